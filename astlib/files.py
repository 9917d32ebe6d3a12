"""Writing to disk so that a file or folder is complete or absent, whatever ends the program.

Everything is written under a temporary name, flushed to the disk, and renamed. A rename is one step for the file
system, so a kill or a power cut leaves either the old content or the new one, never half of it.

Chapter: notebooks/07_the_training_loop.ipynb
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def write_whole(path: str | os.PathLike[str], content: bytes | memoryview) -> Path:
    """Write a file completely or not at all. Its folder is created if it does not exist.

    Args:
        path: the file.
        content: its new content.

    Returns:
        The path.

    Raises:
        OSError: the file cannot be written. It is then absent, or still the earlier one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_bytes(content)
        sync(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def write_json(path: str | os.PathLike[str], content: Mapping[str, Any] | list[Any]) -> Path:
    """Write a JSON file completely or not at all.

    Args:
        path: the file.
        content: what `json.dumps` can write.

    Returns:
        The path.

    Raises:
        OSError: as in `write_whole`.
    """
    return write_whole(path, (json.dumps(content, indent=2) + "\n").encode())


@contextlib.contextmanager
def whole_folder(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Fill a folder completely or not at all.

    `with whole_folder(out) as unfinished:` gives a temporary folder to write into. A folder that does not exist yet
    gets its name in one step, after all of its files have reached the disk. In a folder that exists, each of the new
    files replaces its predecessor in one step, and other files stay.

    Args:
        folder: the folder to create or to update.

    Yields:
        A temporary folder. Whatever it holds at the end of the block is moved to `folder`; after an error it is
        removed, and `folder` is as it was.

    Raises:
        OSError: the disk is full or the folder cannot be written. No file is then half written.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder / ".unfinished.tmp" if folder.is_dir() else folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(unfinished, ignore_errors=True)  # left by a process that was killed
    unfinished.mkdir()
    try:
        yield unfinished
        for path in [*unfinished.rglob("*"), unfinished]:
            sync(path)
        if folder.is_dir():
            for path in [path for path in unfinished.rglob("*") if not path.is_dir()]:
                target = folder / path.relative_to(unfinished)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(path, target)
            sync(folder)
        else:
            os.replace(unfinished, folder)
            sync(folder.parent)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)  # on a full disk it would occupy what the next attempt needs


def remove_folder(folder: Path) -> None:
    """Remove a folder so that it is complete or gone: it loses its name first, in one step.

    Args:
        folder: the folder; it must exist.
    """
    doomed = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(doomed, ignore_errors=True)
    os.replace(folder, doomed)
    shutil.rmtree(doomed)


def sync(path: Path) -> None:
    """Wait until a file's content, or the entries of a folder, have reached the disk.

    Args:
        path: the file or folder.
    """
    if path.is_dir():
        if os.name == "nt":
            return  # Windows does not open folders
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return
    with open(path, "r+b") as file:  # Windows refuses to flush a file that was opened for reading
        os.fsync(file.fileno())
