"""One writer at a time: while a process writes to a folder, every other is told who it is and refused.

The lock is the operating system's (flock; on Windows msvcrt), by way of the package filelock. It ends with the process,
however that ends, so a kill or a power cut leaves no lock behind. On one machine that always holds. On a network file
system it holds between machines if the system passes locks on, as NFS with its lock service and Lustre mounted with
`-o flock` do. A file system without locks gives a warning, and nothing is locked.

Chapter: notebooks/07_the_training_loop.ipynb
"""

import contextlib
import errno
import json
import os
import socket
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import psutil
from filelock import FileLock, Timeout

from .errors import FolderInUse
from .files import write_json

LOCK, HOLDER = ".lock", ".lock.json"  # what the system locks, and who holds it; both lie in the folder
PATIENCE = 1.0  # seconds, for a process that is about to finish
PATIENCE_WITH_THE_DEAD = 15.0  # seconds; the loader processes of a killed run notice its end after about five
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)
NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock.

    Attributes:
        pid: number of the process.
        host: name of its machine.
        since: when it took the lock, date and time, UTC.
    """

    pid: int
    host: str
    since: str

    @classmethod
    def this_process(cls) -> Self:
        """Describe the process that calls this.

        Returns:
            Its holder, with the time of now.
        """
        return cls(os.getpid(), socket.gethostname(), f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Read who holds, or held last, the lock of a folder.

        Args:
            folder: the folder.

        Returns:
            The holder; None if nobody has written that down.
        """
        try:
            return cls(**json.loads((folder / HOLDER).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):  # not there, or not what `locked` writes
            return None

    @property
    def is_gone(self) -> bool:
        """True if it was a process of this machine that has ended."""
        return self.host == socket.gethostname() and not psutil.pid_exists(self.pid)


@contextlib.contextmanager
def locked(folder: str | Path) -> Iterator[None]:
    """Hold the lock of a folder. After the block it is free, whatever happened; after a kill too.

    A folder that cannot be written is not locked, for whoever tries to write to it fails anyhow. `.lock` stays in the
    folder as an empty file.

    Args:
        folder: it is created if it does not exist.

    Yields:
        Nothing.

    Raises:
        FolderInUse: another process, or another thread of this one, holds the lock. The message names the process.
        OSError: the folder cannot be created.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        _acquire(lock, folder)
        yield
    finally:
        if lock.is_locked:
            with contextlib.suppress(OSError):
                (folder / HOLDER).unlink()
            lock.release()


def _acquire(lock: FileLock, folder: Path) -> None:
    """Take the lock and write down who has it."""
    holder = Holder.read(folder)
    try:
        lock.acquire(timeout=PATIENCE_WITH_THE_DEAD if holder is not None and holder.is_gone else PATIENCE)
    except Timeout:
        raise FolderInUse(_refusal(folder, Holder.read(folder))) from None
    except NotImplementedError:  # filelock's answer, in some versions, to a file system without locks
        _warn(folder)
    except OSError as error:
        if error.errno in NO_LOCKS:
            _warn(folder)
        elif error.errno not in NOT_WRITABLE:
            raise
    else:
        with contextlib.suppress(OSError):  # a full disk: the lock holds, only the message will have no name
            write_json(folder / HOLDER, asdict(Holder.this_process()))


def _refusal(folder: Path, holder: Holder | None) -> str:
    if holder is None:
        return f"{folder} is in use: another process writes to it. Wait until it has ended, or give another folder"
    who = f"process {holder.pid} on {holder.host} has been writing to it since {holder.since}"
    if holder.pid == os.getpid() and holder.host == socket.gethostname():
        return f"{folder} is in use: {who}, and that is this process. Give another folder"
    return f"{folder} is in use: {who}. Wait until it has ended, stop it, or give another folder"


def _warn(folder: Path) -> None:
    warnings.warn(
        f"the file system of {folder} has no locks: make sure that no other process writes to this folder",
        stacklevel=5,
    )
