"""Items and batches: what is padded, what moves to a device, and what becomes of a clip that cannot be used."""

import dataclasses

import pytest
import torch

from astlib.data import Batch, Problem, Synthetic, collate
from astlib.data.batch import SHORTEST, guarded
from astlib.errors import AudioError

TENSORS = ("waveforms", "lengths", "targets", "index", "usable")


def item(samples: int, index: int = 0, classes: int = 3) -> dict:
    return {"waveform": torch.full((samples,), 0.5), "target": torch.eye(classes)[index % classes], "index": index}


def test_shapes_and_types():
    batch = collate([item(500, 4), item(700, 2)])
    assert len(batch) == 2 and batch.problems == [] and batch.usable.tolist() == [True, True]
    assert batch.waveforms.shape == (2, 700) and batch.targets.shape == (2, 3)
    types = {name: getattr(batch, name).dtype for name in TENSORS}
    assert types == {
        "waveforms": torch.float32,
        "lengths": torch.int64,
        "targets": torch.float32,
        "index": torch.int64,
        "usable": torch.bool,
    }
    assert batch.lengths.tolist() == [500, 700] and batch.index.tolist() == [4, 2]
    assert all(
        torch.equal(a, b) for a, b in zip(batch.clips, (batch.waveforms, batch.lengths, batch.targets), strict=True)
    )


def test_a_batch_does_not_change():
    batch = collate([item(500)])
    with pytest.raises(dataclasses.FrozenInstanceError):
        batch.index = torch.zeros(1)


def test_every_tensor_moves_and_the_rest_stays():
    problems = [Problem("x", "missing", "x is gone")]
    batch = dataclasses.replace(collate([item(500), item(450, 1)]), problems=problems)
    moved = batch.to("meta")
    assert isinstance(moved, Batch) and moved.problems is problems
    assert all(getattr(moved, name).device.type == "meta" for name in TENSORS)
    assert all(getattr(batch, name).device.type == "cpu" for name in TENSORS), "the first one is as it was"
    same = batch.to(torch.device("cpu"))
    assert all(torch.equal(getattr(same, name), getattr(batch, name)) for name in TENSORS)


def test_loaders_of_torch_pin_every_tensor(monkeypatch):
    """Without a GPU there is no page-locked memory: it is counted who is asked for it."""
    asked = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: asked.append(tensor.shape) or tensor.clone())
    batch = collate([item(500)])
    pinned = torch.utils.data._utils.pin_memory.pin_memory(batch)
    assert isinstance(pinned, Batch) and len(asked) == len(TENSORS)
    assert all(torch.equal(getattr(pinned, name), getattr(batch, name)) for name in TENSORS)


def test_an_empty_batch_has_everything():
    empty, batch = Batch.empty(3), collate([item(500)])
    assert len(empty) == 0 and empty.targets.shape == (0, 3) and empty.waveforms.shape == (0, 0)
    assert all(getattr(empty, name).dtype == getattr(batch, name).dtype for name in TENSORS)
    assert list(empty.problems) == []


@pytest.mark.parametrize(("samples", "usable"), [(0, False), (SHORTEST - 1, False), (SHORTEST, True), (5000, True)])
def test_a_clip_without_a_frame_counts_as_empty(samples, usable):
    found = guarded(lambda: item(samples, 7), "name", torch.ones(3), 7)
    assert found["index"] == 7 and (found["problem"] is None) == usable
    if usable:
        assert len(found["waveform"]) == samples and found["waveform"].any()
    else:
        reason = f"name: has {samples} samples, less than the 400 of 25 ms. Leave it out"
        assert found["problem"] == Problem("name", "empty", reason)
        assert len(found["waveform"]) == SHORTEST and not found["waveform"].any()
        assert torch.equal(found["target"], torch.ones(3))


def test_an_unusable_clip_becomes_silence_with_its_problem():
    def refuse():
        raise AudioError("x.wav: is truncated. Copy it again", "unreadable")

    found = guarded(refuse, "x", torch.ones(3), 5)
    assert found["problem"] == Problem("x", "unreadable", "x.wav: is truncated. Copy it again")
    batch = collate([item(900, 0), found])
    assert batch.usable.tolist() == [True, False] and batch.problems == [found["problem"]]
    assert batch.lengths.tolist() == [900, SHORTEST] and not batch.waveforms[1].any()
    with pytest.raises(ZeroDivisionError):  # a bug is not a clip that cannot be used
        guarded(lambda: 1 / 0, "x", torch.ones(3), 5)


def test_items_of_a_data_set_have_no_problem_until_somebody_looks():
    dataset = Synthetic(split="test")
    assert "problem" not in dataset[0]
    assert collate([dataset[0], dataset[1]]).problems == []
