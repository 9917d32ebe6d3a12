"""One writer at a time: who holds a folder is named, and no end of a process, however sudden, leaves a lock behind."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict

import filelock
import pytest

import astlib
from astlib import locks
from astlib.errors import FolderInUse
from astlib.locks import HOLDER, Holder, locked

HOLD = """
import signal, sys, time, types
package = sys.modules["astlib"] = types.ModuleType("astlib")
package.__path__ = [sys.argv[2]]  # the package without its __init__, which would take seconds to import torch
from astlib.locks import locked
signal.signal(signal.SIGINT, signal.default_int_handler)  # a process in the background may ignore Ctrl-C
with locked(sys.argv[1]):
    print("holds", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    """Another process that holds the lock of `tmp_path`."""
    words = [sys.executable, "-c", HOLD, str(tmp_path), *astlib.__path__]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout.readline() == "holds\n"
        yield process
        process.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_second_writer_is_refused_until_the_first_has_ended_whatever_ended_it(other, tmp_path, number):
    started = time.monotonic()
    with pytest.raises(FolderInUse, match=rf"is in use: process {other.pid} on {socket.gethostname()} has been"):
        locked(tmp_path).__enter__()
    assert time.monotonic() - started < locks.PATIENCE + 1
    other.send_signal(number)
    other.wait()
    assert (tmp_path / HOLDER).exists() == (number != signal.SIGINT), "what a kill leaves behind is only a note"
    with locked(tmp_path):
        assert Holder.read(tmp_path).pid == os.getpid()
    assert not (tmp_path / HOLDER).exists()


def test_this_process_cannot_write_twice_either_and_an_error_frees_the_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE", 0.05)
    with pytest.raises(LookupError), locked(tmp_path / "new"):
        with pytest.raises(FolderInUse, match="that is this process. Give another folder"):
            locked(tmp_path / "new").__enter__()
        with locked(tmp_path):
            raise LookupError
    with locked(tmp_path / "new"):
        pass


@pytest.mark.parametrize("note", ["", "{", "[1]", '{"pid": 1}', '{"pid": 1, "host": "a", "since": "b", "more": 1}'])
def test_a_note_that_says_nothing_is_no_obstacle(tmp_path, monkeypatch, note):
    monkeypatch.setattr(locks, "PATIENCE", 0.05)
    with locked(tmp_path):
        (tmp_path / HOLDER).write_text(note)
        with pytest.raises(FolderInUse, match="another process writes to it"):
            locked(tmp_path).__enter__()


def test_the_loader_processes_of_a_killed_run_are_waited_for(tmp_path, monkeypatch):
    """They have the lock from the run that forked them, and end a few seconds after it."""
    monkeypatch.setattr(locks, "PATIENCE", 0)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / HOLDER).write_text(json.dumps(asdict(Holder(gone.pid, socket.gethostname(), "before"))))
    loader = filelock.FileLock(tmp_path / locks.LOCK)
    loader.acquire()
    asked = []
    monkeypatch.setattr(time, "sleep", lambda seconds: (asked.append(seconds), loader.release()))
    with locked(tmp_path):
        assert asked and Holder.read(tmp_path).pid == os.getpid()
    elsewhere = Holder(gone.pid, "another machine", "before")
    assert not elsewhere.is_gone, "what runs there, nobody here can see"


@pytest.mark.parametrize("error", [OSError(errno.ENOLCK, "no locks"), NotImplementedError()])
def test_a_file_system_without_locks_gives_a_warning(tmp_path, monkeypatch, error):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    with pytest.warns(UserWarning, match="has no locks: make sure that no other process"), locked(tmp_path):
        assert not (tmp_path / HOLDER).exists()


def failing(number):
    """A function that fails as the system would."""

    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_folder_that_cannot_be_written_is_not_locked(tmp_path, monkeypatch, number):
    monkeypatch.setattr(filelock.FileLock, "acquire", failing(number))
    with locked(tmp_path):
        assert not list(tmp_path.iterdir())


def test_any_other_error_passes(tmp_path, monkeypatch):
    monkeypatch.setattr(filelock.FileLock, "acquire", failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        locked(tmp_path).__enter__()


def test_on_a_full_disk_only_the_name_of_the_holder_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE", 0)
    monkeypatch.setattr(locks, "write_json", failing(errno.ENOSPC))
    with locked(tmp_path), pytest.raises(FolderInUse, match="another process writes to it"):
        locked(tmp_path).__enter__()
