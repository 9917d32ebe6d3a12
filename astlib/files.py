"""Writing to disk so that whatever ends the program, a name stands for a whole file or for none.

Chapter: notebooks/07_the_training_loop.ipynb
"""

import json
import os
from pathlib import Path


def write_whole(path: str | Path, content: bytes) -> Path:
    """Write a file by renaming a finished temporary one, so that a kill never leaves half of it; returns its path.

    Raises OSError if it cannot be written: it is then not there, or still the earlier one.
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


def write_json(path: str | Path, content: dict) -> Path:
    """The same with `content` as JSON."""
    return write_whole(path, (json.dumps(content, indent=2) + "\n").encode())


def sync(path: Path) -> None:
    """Ask the disk to really have a file or a folder's entries."""
    if path.is_dir():
        if os.name == "nt":
            return  # Windows does not open folders
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return
    with open(path, "r+b") as file:  # Windows refuses to flush a file opened for reading
        os.fsync(file.fileno())
