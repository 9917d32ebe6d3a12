"""Training on a stream: AudioSet's public layout, read from front to back, on one process, stopped and gone on."""

import signal

import pytest
import torch
from made_audioset import hide_other_data, write_many

from astlib.data import AudioSet, AudioStream
from astlib.errors import Interrupted
from astlib.model import AST
from astlib.recipes import RECIPES
from astlib.train import fit

RECIPE = RECIPES["audioset-balanced"].replace(
    init="scratch", model_size="tiny224", fstride=16, tstride=16, input_tdim=64, timem=8, batch=4, epochs=2,
    average=(1, 2), balanced=False,
)  # fmt: skip


@pytest.fixture
def many(tmp_path, monkeypatch):
    hide_other_data(tmp_path, monkeypatch)
    return write_many(tmp_path / "many")


def parts(root):
    return AudioStream(root, "eval"), AudioSet(root, "eval")


def test_a_stream_trains_stops_and_goes_on_to_the_same_weights(many, tmp_path, monkeypatch):
    whole = fit(RECIPE, tmp_path / "whole", *parts(many), progress=False)
    train = parts(many)[0]
    assert whole.data["train"]["clips"] == len(train) > 2 * RECIPE.batch
    assert len(whole.epochs) == 2 and whole.metrics["average"]["epochs"] == [1, 2]

    def terminate(training):
        signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted, match="epoch 1, step 2"):
        fit(RECIPE, tmp_path / "stopped", *parts(many), progress=False, after_step=terminate)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    again = fit(RECIPE, tmp_path / "stopped", *parts(many), progress=False)
    a, b = (AST.from_pretrained(tmp_path / name / "model").state_dict() for name in ("whole", "stopped"))
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert [e["train_loss"] for e in again.epochs] == [e["train_loss"] for e in whole.epochs]


def test_what_a_stream_cannot_do_is_said_before_anything_is_read(many, tmp_path):
    stream, test = parts(many)
    with pytest.raises(ValueError, match="balanced sampling draws any clip.*use a local copy, or balanced=False"):
        fit(RECIPE.replace(balanced=True), tmp_path, stream, test, progress=False)
    with pytest.raises(ValueError, match="a stream can be trained on; for testing"):
        fit(RECIPE, tmp_path, test, stream, progress=False)
