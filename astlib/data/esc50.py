"""ESC-50: 2,000 clips of 5 s, 50 classes of environmental sound, 5 folds (Piczak, ACM Multimedia 2015).

Chapter: notebooks/09_esc50.ipynb

The folds are part of the data set: clips cut from one recording are in one fold, so training and test never
share a recording. Results are comparable only on these folds.
"""

import csv
import os
from pathlib import Path

from ..errors import DataNotFound
from ..paths import data_folders, find_data
from .base import CLIP_SUFFIXES, SoundFiles, Split, folds_of
from .targets import Targets

ESC50_HELP = (
    "To get it: `astlib data fetch esc50` (about 600 MB), or put the folders `audio` and `meta` of "
    "https://github.com/karolpiczak/ESC-50 into a folder `esc50` and set ASTLIB_DATA to the folder that holds it"
)


class ESC50(SoundFiles):
    """The official folds: `fold` is for testing, the other four for training (original: prep_esc50.py:47-87).

    Labels are the `category` column in the order of `target`. Files are matched by stem, so a copy in wav, flac or ogg
    will do, at any sample rate.

    Args:
        root: folder with meta/esc50.csv and audio/; None looks in $ASTLIB_DATA/esc50 and the user's cache.
        fold: 1 to 5.
        split: "train" (1,600 clips), "test" (400) or "all" (2,000), in the order of the official file.

    Raises:
        InvalidInput: another fold or split.
        DataNotFound: no folder, no meta/esc50.csv, or clips missing; the message says what.
    """

    name = "esc50"

    def __init__(self, root: str | os.PathLike[str] | None = None, fold: int = 1, split: Split = "train") -> None:
        wanted = folds_of(fold, split)
        folder = find_data("esc50") if root is None else Path(root)
        if folder is None:
            looked = " and ".join(str(place) for place in data_folders("esc50"))
            raise DataNotFound(f"ESC-50 is not on this machine (looked in {looked}). {ESC50_HELP}")
        rows = _rows(folder)
        labels = dict(sorted((target, category) for _, _, target, category in rows))
        rows = [row for row in rows if row[1] in wanted]
        names = [name for name, *_ in rows]
        files = _audio_files(folder)
        missing = [name for name in names if name not in files]
        if missing or not names:
            shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
            raise DataNotFound(
                f"{folder / 'audio'} lacks {len(missing)} of {len(names)} clips of ESC-50 ({shown}). " + ESC50_HELP
            )
        columns = {target: column for column, target in enumerate(labels)}
        super().__init__(
            labels=list(labels.values()),
            names=names,
            targets=Targets.from_lists([[columns[target]] for _, _, target, _ in rows], len(labels)),
            folds=[fold for _, fold, _, _ in rows],
            sources=[files[name] for name in names],
        )


def _rows(root: Path) -> list[tuple[str, int, int, str]]:
    """(stem, fold, target, category) of every line of the official list."""
    path = root / "meta" / "esc50.csv"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [
                (Path(row["filename"]).stem, int(row["fold"]), int(row["target"]), row["category"])
                for row in csv.DictReader(file)
            ]
    except OSError:
        raise DataNotFound(f"{path} is not there or cannot be read. {ESC50_HELP}") from None
    except (KeyError, TypeError, ValueError):
        rows = []
    if not rows:
        raise DataNotFound(f"{path} is not the official list: filename, fold, target, category. {ESC50_HELP}")
    return rows


def _audio_files(root: Path) -> dict[str, Path]:
    """Stem to file, for every sound in the folder `audio`."""
    folder = root / "audio"
    if not folder.is_dir():
        return {}
    files = [file for file in folder.iterdir() if file.suffix.lower() in CLIP_SUFFIXES]
    return {file.stem: file for file in sorted(files, key=lambda file: CLIP_SUFFIXES.index(file.suffix.lower()))}
