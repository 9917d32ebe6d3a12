"""Shared by the scripts of this folder: where things are, which chapters there are, how a kernel is started."""

import os
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "_build"
SOURCE = BUILD / "src"  # the staged book: pages and executed chapters
HTML = BUILD / "html"
VENDOR = BUILD / "vendor"  # JavaScript from npm
STAMPED_VENDOR = "_static/vendor/versions.json"  # present in a built book that loads nothing from other hosts
TIMES = BUILD / "times.json"  # chapter -> seconds that it took
MEMORY = BUILD / "memory.json"  # chapter -> peak memory of its processes in bytes
EXECUTED = BUILD / "executed.json"  # chapter -> digest of its inputs when it was executed; failed chapters are absent


def pages() -> list[str]:
    """Every page of book/_toc.yml in reading order, without its ending: "notebooks/01_sound_to_spectrogram"."""
    toc = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))
    entries = [entry for part in toc.get("parts", []) for entry in part["chapters"]]
    return [toc["root"], *(page["file"] for entry in entries for page in (entry, *entry.get("sections", [])))]


def chapters() -> list[Path]:
    """The notebooks of the table of contents, in reading order."""
    return [ROOT / f"{page}.ipynb" for page in pages() if page.startswith("notebooks/")]


def isolate_jupyter() -> None:
    """Run this interpreter's kernels without the user's settings: no user kernels or start-up files; inline figures."""
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    for name in ("JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
        folder = BUILD / "jupyter" / name.lower()
        folder.mkdir(parents=True, exist_ok=True)
        os.environ[name] = str(folder)
    os.environ["PYTHONUNBUFFERED"] = "1"
    os.environ.pop("MPLBACKEND", None)


def fail(message: str) -> None:
    """Exit with status 1 and a message."""
    sys.exit(f"error: {message}")


def table(title: str, rows: list[tuple[str, float | None]]) -> str:
    """Return the seconds of each step as text; None stands for "unchanged, not run again"."""
    width = max(len(name) for name, _ in rows)
    lines = [title]
    for name, seconds in rows:
        lines.append(f"  {name:<{width}}  " + ("unchanged" if seconds is None else f"{seconds:7.1f} s"))
    return "\n".join(lines)
