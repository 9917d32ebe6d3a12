"""A run that stops, for whatever reason, says why; and the same call takes it to the weights it would have had."""

import math
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import killed_run as KILLED
import pytest
import torch
from small_run import RECIPE, equal, weights

from astlib.data import Synthetic
from astlib.errors import Interrupted, TrainingStopped
from astlib.ledger import Record
from astlib.train import checkpoint, fit


def test_ctrl_c_saves_and_says_how_to_go_on(finished, data, tmp_path):
    before = signal.getsignal(signal.SIGINT)

    def interrupt(training):
        if (training.epoch, training.step) == (2, 1):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted, match="stopped at epoch 2, step 2 of 3.*same command goes on"):
        fit(RECIPE, tmp_path, *data, progress=False, after_step=interrupt)
    assert signal.getsignal(signal.SIGINT) is before, "Ctrl-C is itself again"
    assert checkpoint.latest(tmp_path).name == "checkpoint-002-0000002"
    run = fit(RECIPE, tmp_path, *data, progress=False)
    assert equal(weights(tmp_path / "model"), weights(finished[0] / "model"))
    assert [e["train_loss"] for e in run.epochs] == [e["train_loss"] for e in finished[1].epochs]


def test_what_a_scheduler_sends_stops_the_same_way(data, tmp_path):
    with pytest.raises(Interrupted, match="epoch 1, step 2 of 3"):
        fit(RECIPE, tmp_path, *data, progress=False, after_step=lambda training: signal.raise_signal(signal.SIGTERM))


def test_after_step_sees_every_step_and_changes_nothing(finished, data, tmp_path):
    seen = []

    def look(training):
        seen.append((training.epoch, training.step, training.steps, math.isfinite(training.loss)))
        assert training.recipe == RECIPE and len(training.record.epochs) == training.epoch - 1

    run = fit(RECIPE, tmp_path, *data, progress=False, after_step=look)
    assert seen == [(epoch, step, 3, True) for epoch in (1, 2) for step in (1, 2, 3)]
    assert equal(weights(tmp_path / "model"), weights(finished[0] / "model"))
    assert run.metrics == finished[1].metrics


def test_after_step_may_ask_for_a_stop(finished, data, tmp_path):
    """Also at the last step of an epoch: the stop comes after the next step, wherever that is."""

    def ask(training):
        if training.epoch == 1 and training.step == 3:
            training.asked.set()

    with pytest.raises(Interrupted, match="stopped at epoch 2, step 1 of 3"):
        fit(RECIPE, tmp_path, *data, progress=False, after_step=ask)
    assert checkpoint.latest(tmp_path).name == "checkpoint-002-0000001"
    fit(RECIPE, tmp_path, *data, progress=False)
    assert equal(weights(tmp_path / "model"), weights(finished[0] / "model"))


def test_an_exception_of_after_step_passes_through_and_the_last_checkpoint_counts(finished, data, tmp_path):
    before = signal.getsignal(signal.SIGTERM)

    def fail(training):
        if (training.epoch, training.step) == (2, 2):
            raise LookupError("of its own")

    with pytest.raises(LookupError, match="of its own"):
        fit(RECIPE, tmp_path, *data, progress=False, after_step=fail)
    assert signal.getsignal(signal.SIGTERM) is before
    assert checkpoint.latest(tmp_path).name == "checkpoint-002-0000000", (
        "of the end of epoch 1: the steps since are lost"
    )
    seen = []
    fit(RECIPE, tmp_path, *data, progress=False, after_step=lambda training: seen.append(training.step))
    assert seen == [1, 2, 3] and equal(weights(tmp_path / "model"), weights(finished[0] / "model"))


@pytest.fixture
def ctrl_c():
    """Python's own answer to Ctrl-C; a process that was started in the background may ignore the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_while_clips_are_decoded_ends_the_program_at_once(data, tmp_path, ctrl_c):
    """Nothing is lost then, and the first step may be minutes away."""

    class Slow(Synthetic):
        def preload(self, progress=True):
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("it went on")

    train, test = (
        Slow(split=split).select(labels=part.labels) for split, part in zip(("train", "test"), data, strict=True)
    )
    with pytest.raises(KeyboardInterrupt):
        fit(RECIPE, tmp_path, train, test, progress=False)


FILL_UP = """
import resource, signal, sys
from pathlib import Path
sys.path[:0] = [{tests!r}]
from killed_run import LABELS, RECIPE
from astlib import errors
from astlib.data import Synthetic
from astlib.train import checkpoint, fit
parts = [Synthetic(split=split).select(labels=LABELS, limit_per_class=2) for split in ("train", "test")]
out = Path({out!r})
def fill_up(training):  # from the second epoch on no file may be larger than 1 MB: the kernel refuses the rest
    if training.epoch == 2:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    fit(RECIPE, out, *parts, progress=False, after_step=fill_up)
except errors.TrainingStopped as error:
    print("stopped:", error)
print("kept:", checkpoint.latest(out).name, sorted(path.name for path in out.glob(".checkpoint*")))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file sizes are a POSIX thing")
def test_a_disk_without_room_stops_with_a_message_and_keeps_the_checkpoint(tmp_path):
    """A real refusal by the kernel, in the middle of the run's own writing; then room again, and it goes on."""
    code = FILL_UP.format(tests=str(Path(__file__).parent), out=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "stopped:" in done.stdout and "Make room, and the same command goes on" in done.stdout
    assert "kept: checkpoint-002-0000000 []" in done.stdout
    parts = [Synthetic(split=split).select(labels=KILLED.LABELS, limit_per_class=2) for split in ("train", "test")]
    assert len(fit(KILLED.RECIPE, tmp_path, *parts, progress=False).epochs) == 2


def test_a_full_disk_stops_the_same_way(data, tmp_path):
    """A file system of 120 MB that really is full after one checkpoint, where mounting one is allowed."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=120m", "tmpfs", str(small)], capture_output=True)
    if mounted.returncode:
        pytest.skip("only the superuser may mount a small disk")
    try:
        with pytest.raises(TrainingStopped, match="No space left on device. Make room"):
            fit(RECIPE.replace(average=(1, 2), selection="average"), small, *data, progress=False)
        assert checkpoint.latest(small).name == "checkpoint-002-0000000"
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_loss_that_is_not_a_number_names_step_clips_and_checkpoint(data, tmp_path):
    names = "|".join(data[0].names)
    with pytest.raises(TrainingStopped, match=rf"loss is nan at epoch 1, step \d+ of 3.*clips ({names}).*: none yet"):
        fit(RECIPE.replace(lr=1e30, epochs=1), tmp_path, *data, progress=False)
    run = fit(RECIPE.replace(epochs=1), tmp_path, *data, progress=False)
    assert len(run.epochs) == 1, "a run that never saved anything does not block its folder"


def test_weights_that_broke_in_the_last_step_of_an_epoch_stop_the_run_too(data, tmp_path):
    def break_weights(training):
        if (training.epoch, training.step) == (2, 3):
            torch.nn.init.constant_(training.model.mlp_head[1].bias, math.nan)

    with pytest.raises(TrainingStopped, match="after epoch 2, the logits of 9 of 9.*diverged.*checkpoint-002-0000000"):
        fit(RECIPE, tmp_path, *data, progress=False, after_step=break_weights)


def test_a_resumed_run_is_clean_only_if_every_session_was(finished):
    run = Record(**{**asdict(finished[1]), "commit": "a", "dirty": False})
    for commit, dirty, expected in [("a", False, False), ("a", True, True), ("b", False, True)]:
        run.dirty = False
        there = {"name": "another machine", "count": 4}
        history = {"epochs": [], "started": "", "peak_memory": 0, "commit": commit, "dirty": dirty, "hardware": there}
        run.resume(history)
        assert run.dirty is expected and run.hardware["earlier"] == [there]
