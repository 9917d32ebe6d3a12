"""The places of things: this checkout, data, weights, saved models, the ledger, the folder of runs.

Chapter: book/how_to_run.md
"""

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def checkout() -> Path | None:
    """The root of the checkout that astlib runs from, or None for an installed wheel.

    A wheel carries the ledger and the embedded models inside the package; a checkout has them beside it.

    Returns:
        The folder that holds `astlib`, `results` and `models`, or None.
    """
    return None if (PACKAGE / "_results").is_dir() else PACKAGE.parent


def results() -> Path:
    """The folder of the ledger.

    Returns:
        `results` of a checkout, or the copy inside an installed wheel.
    """
    root = checkout()
    return PACKAGE / "_results" if root is None else root / "results"


def models() -> Path:
    """The folder of the models that come with astlib.

    Returns:
        `models` of a checkout, or the copy inside an installed wheel.
    """
    root = checkout()
    return PACKAGE / "_models" if root is None else root / "models"


def runs() -> Path:
    """The folder that `astlib reproduce` writes its runs to.

    Returns:
        $ASTLIB_RUNS if it is set, else `runs` in the checkout, or in the current folder for an installed wheel.
    """
    default = (checkout() or Path.cwd()) / "runs"
    return Path(os.environ.get("ASTLIB_RUNS") or default).expanduser().absolute()


def cache() -> Path:
    """astlib's folder in the user's cache.

    Returns:
        `astlib` in $XDG_CACHE_HOME or ~/.cache; it need not exist.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "astlib"


def weight_folders() -> list[Path]:
    """The folders that are searched for weights.

    Returns:
        $ASTLIB_WEIGHTS if it is set, then `weights` in the user's cache; they need not exist.
    """
    chosen = os.environ.get("ASTLIB_WEIGHTS")
    return [*([Path(chosen).expanduser()] if chosen else []), cache() / "weights"]


def data_folders(name: str) -> list[Path]:
    """The folders that are searched for a data set.

    Args:
        name: of the data set, such as "esc50".

    Returns:
        `name` in $ASTLIB_DATA if that is set, then in `data` of the user's cache; they need not exist.
    """
    chosen = os.environ.get("ASTLIB_DATA")
    return [*([Path(chosen).expanduser() / name] if chosen else []), cache() / "data" / name]


def find_data(name: str) -> Path | None:
    """Find a data set on this machine. The network is never used.

    Args:
        name: of the data set, such as "esc50".

    Returns:
        The first of `data_folders(name)` that exists and is not empty, or None.
    """
    return next((folder for folder in data_folders(name) if folder.is_dir() and any(folder.iterdir())), None)
