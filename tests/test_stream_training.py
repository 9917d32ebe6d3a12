"""Training on a stream: AudioSet's public layout, read from front to back, on one process, stopped and gone on."""

import signal

import pytest
import torch
from test_audioset import many, nothing_else  # noqa: F401  (fixtures)

from astlib.checkpoint import Interrupted
from astlib.data import AudioSet, AudioStream
from astlib.loop import Training
from astlib.model import AST
from astlib.recipes import RECIPES
from astlib.train import fit

RECIPE = RECIPES["audioset-balanced"].replace(
    init="scratch", model_size="tiny224", fstride=16, tstride=16, input_tdim=64, timem=8, batch=4, epochs=2,
    average=(1, 2), balanced=False,
)  # fmt: skip


def parts(root):
    return AudioStream(root, "eval"), AudioSet(root, "eval")


def test_a_stream_trains_stops_and_goes_on_to_the_same_weights(many, tmp_path, monkeypatch):  # noqa: F811
    whole = fit(RECIPE, tmp_path / "whole", *parts(many), progress=False)
    train = parts(many)[0]
    assert whole.data["train"]["clips"] == len(train) > 2 * RECIPE.batch
    assert len(whole.epochs) == 2 and whole.metrics["average"]["epochs"] == [1, 2]
    real, calls = Training.one_step, []

    def interrupted(self, items):
        calls.append(items["count"])
        if len(calls) == 2:
            signal.raise_signal(signal.SIGTERM)
        return real(self, items)

    monkeypatch.setattr(Training, "one_step", interrupted)
    with pytest.raises(Interrupted, match="epoch 1, step 2"):
        fit(RECIPE, tmp_path / "stopped", *parts(many), progress=False)
    monkeypatch.undo()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    again = fit(RECIPE, tmp_path / "stopped", *parts(many), progress=False)
    a, b = (AST.from_pretrained(tmp_path / name / "model").state_dict() for name in ("whole", "stopped"))
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert [e["train_loss"] for e in again.epochs] == [e["train_loss"] for e in whole.epochs]


def test_what_a_stream_cannot_do_is_said_before_anything_is_read(many, tmp_path):  # noqa: F811
    stream, test = parts(many)
    with pytest.raises(ValueError, match="balanced sampling draws any clip.*use a local copy, or balanced=False"):
        fit(RECIPE.replace(balanced=True), tmp_path, stream, test, progress=False)
    with pytest.raises(ValueError, match="a stream can be trained on; for testing"):
        fit(RECIPE, tmp_path, test, stream, progress=False)
