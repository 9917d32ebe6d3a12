"""Checkpoints: complete or not there, of this model or refused; and averages of saved weights."""

import pytest
import torch
from small_run import LABELS, RECIPE

from astlib.errors import CheckpointError, InvalidInput
from astlib.model import AST
from astlib.train import checkpoint
from astlib.train.checkpoint import State


def test_an_unfinished_checkpoint_is_never_read(tmp_path):
    (tmp_path / ".checkpoint-009-0000000.tmp").mkdir()
    (tmp_path / ".checkpoint-009-0000000.tmp" / "state.json").write_text("{}")
    (tmp_path / "checkpoint-008-0000000").mkdir()  # no state in it: not complete
    assert checkpoint.latest(tmp_path) is None


def test_a_checkpoint_of_another_model_is_refused(finished, tmp_path):
    model = AST.from_pretrained(finished[0] / "model")
    state = State(epoch=1, step=0, loss=0.0, seconds=0.0, record={})
    kept = checkpoint.save(tmp_path, model, torch.optim.Adam(model.parameters()), state)
    other = AST(RECIPE.replace(input_tdim=64).model_config(LABELS))
    with pytest.raises(CheckpointError, match="checkpoint-001-0000000 cannot be used"):
        checkpoint.restore(kept, other, torch.optim.Adam(other.parameters()))


def test_what_is_saved_comes_back_and_earlier_ones_go(tmp_path):
    model = torch.manual_seed(0) and AST(RECIPE.model_config(LABELS))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for step in (1, 2):
        model(torch.rand(2, 128, 128)).sum().backward()
        optimizer.step()
        state = State(epoch=3, step=step, loss=1.5, seconds=0.25, record={"epochs": [{"epoch": 1}]})
        kept = checkpoint.save(tmp_path, model, optimizer, state)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-003-0000002"] and checkpoint.latest(
        tmp_path
    ) == kept
    other = AST(model.cfg)
    fresh = torch.optim.Adam(other.parameters(), lr=0.1)
    assert checkpoint.restore(kept, other, fresh) == state
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    before, after = optimizer.state_dict()["state"], fresh.state_dict()["state"]
    assert before and all(torch.equal(before[i][key], after[i][key]) for i in before for key in before[i])


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "state.json"])
def test_a_damaged_file_is_named(tmp_path, name):
    model = AST(RECIPE.model_config(LABELS))
    optimizer = torch.optim.Adam(model.parameters())
    kept = checkpoint.save(tmp_path, model, optimizer, State(2, 0, 0.0, 0.0, {}))
    (kept / name).write_bytes((kept / name).read_bytes()[:20])
    with pytest.raises(CheckpointError, match="checkpoint-002-0000000 cannot be used for this run"):
        checkpoint.restore(kept, model, optimizer)


def test_the_average_is_the_mean_and_wants_one_network(tmp_path):
    models = [AST(RECIPE.model_config(LABELS)) for _ in range(3)]
    folders = [tmp_path / str(i) for i in range(3)]
    for model, folder in zip(models, folders, strict=True):
        model.save_pretrained(folder)
    mean = checkpoint.average(folders).state_dict()
    for key, value in mean.items():
        expected = torch.stack([model.state_dict()[key].double() for model in models]).mean(0).float()
        torch.testing.assert_close(value, expected, rtol=0, atol=1e-7)
    with pytest.raises(InvalidInput, match="no weights to average"):
        checkpoint.average([])
    AST(RECIPE.replace(input_tdim=64).model_config(LABELS)).save_pretrained(folders[2])
    with pytest.raises(InvalidInput, match="another network.*configurations differ"):
        checkpoint.average(folders)
