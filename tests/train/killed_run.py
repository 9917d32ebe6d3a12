"""What test_kill.py kills: a short run that writes a checkpoint after every step, in a process of its own."""

import faulthandler
import os
import signal
import threading
from pathlib import Path

import torch
from tqdm import tqdm

from astlib.data import Synthetic
from astlib.recipes import RECIPES
from astlib.train import fit

LABELS = Synthetic().labels[:3]
RECIPE = RECIPES["synthetic"].replace(
    init="scratch", epochs=2, batch=6, input_tdim=64, timem=24, mixup=0.5, noise=0.1, roll=10, balanced=True,
    average=(1, 2), selection="average", windows=True,
)  # fmt: skip
WRITES = ("replace", "fsync", "rename")
HANGS = 300  # seconds


def run(out: str, ledger: str) -> None:
    """The whole run, and its record in the ledger: everything that is ever written."""
    faulthandler.dump_traceback_later(HANGS, exit=True)  # a run that hangs says where, and fails the test
    # tqdm's own lock is shared by all processes that are forked from one server: whoever is killed while holding it
    # would block all later ones. Runs that are started one by one do not share it.
    tqdm.set_lock(threading.RLock())
    torch.set_num_threads(1)
    train = Synthetic(split="train").select(labels=LABELS, limit_per_class=5)  # 15 clips: the last step is small
    test = Synthetic(split="test").select(labels=LABELS, limit_per_class=3)
    fit(RECIPE, out, train, test, save_minutes=0, progress=False).save(Path(ledger))


def run_and_die(out: str, ledger: str, write: int) -> None:
    """The same, killed for good at its `write`-th call that flushes or renames a file, before the call."""
    calls = 0

    def counted(real):
        def call(*arguments, **named):
            nonlocal calls
            calls += 1
            if calls == write:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **named)

        return call

    for name in WRITES:
        setattr(os, name, counted(getattr(os, name)))
    run(out, ledger)
    Path(out, "writes").write_text(str(calls))
