"""A run that an older version left unfinished is resumed: what its folder looks like must never change.

`old_run` has the JSON files of two such folders, of an AST and a CNN, stopped after two of four steps of epoch 2. They
were written by the code of commit 7e558b7. The tensors would be too large to keep: the test writes random ones with the
names and shapes of `tensors.json`, where the parameters come first, in the order of the optimizer's state.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from astlib.data import Synthetic
from astlib.ledger import Record
from astlib.recipes import RECIPES
from astlib.train import fit

OLD = Path(__file__).parent / "old_run"
LABELS = ["steady tone", "rising chirp", "falling chirp"]
AST = RECIPES["synthetic"].replace(
    init="scratch",
    epochs=3,
    batch=4,
    input_tdim=64,
    timem=24,
    freqm=24,
    mixup=0.5,
    noise=0.1,
    roll=10,
    balanced=True,
    average=(1, 3),
    selection="average",
)
RUNS = {"ast": AST, "cnn-mlp": AST.replace(network="cnn-mlp", selection="paper")}
STEPS_DONE = 6.0  # four of epoch 1, two of epoch 2


def parts():
    return [Synthetic(split=split).select(labels=LABELS, limit_per_class=n) for split, n in (("train", 5), ("test", 3))]


def random_tensors(shapes, seed):
    """Weights that a network can work with; the statistics of batch norms are positive, their counters integers."""
    source = torch.Generator().manual_seed(seed)
    tensors = {name: torch.randn(shape, generator=source) * 0.05 for name, shape in shapes.items()}
    for name in tensors:
        if name.endswith("running_var"):
            tensors[name] = tensors[name].abs() + 1
        if name.endswith("num_batches_tracked"):
            tensors[name] = torch.tensor(6)
    return tensors


def write_old_run(name, out):
    """The folder as the older version left it; returns its weights and the state of its optimizer."""
    shutil.copytree(OLD / name, out)
    shapes = json.loads((out / "tensors.json").read_text())
    (out / "tensors.json").unlink()
    checkpoint = out / "checkpoint-002-0000002"
    weights, earlier = random_tensors(shapes, 1), random_tensors(shapes, 2)
    save_file(weights, checkpoint / "model.safetensors", metadata={"format": "pt"})
    for folder in ("weights/epoch-001", "best"):
        save_file(earlier, out / folder / "model.safetensors", metadata={"format": "pt"})
    parameters = [key for key in shapes if "running_" not in key and "num_batches" not in key]
    means, squares = random_tensors(shapes, 3), random_tensors(shapes, 4)
    state = {
        i: {"step": torch.tensor(STEPS_DONE), "exp_avg": means[key], "exp_avg_sq": squares[key].square()}
        for i, key in enumerate(parameters)
    }
    group = {
        "lr": 0.0003, "betas": (0.95, 0.999), "eps": 1e-08, "weight_decay": 5e-07, "amsgrad": False, "maximize": False,
        "foreach": None, "capturable": False, "differentiable": False, "fused": None, "decoupled_weight_decay": False,
        "params": list(range(len(parameters))),
    }  # fmt: skip
    torch.save({"optimizer": {"state": state, "param_groups": [group]}, "scaler": None}, checkpoint / "optimizer.pt")
    (out / "scores").mkdir()
    names = parts()[1].names
    logits = np.random.default_rng(0).standard_normal((9, 3)).astype(np.float32)
    np.savez(out / "scores" / "epoch-001.npz", logits=logits, names=np.array(names), multi_label=False)
    return weights, {parameters[i]: value for i, value in state.items()}


@pytest.mark.parametrize("name", RUNS)
def test_an_unfinished_run_of_an_older_version_goes_on(name, tmp_path):
    out = tmp_path / "run"
    weights, adam = write_old_run(name, out)
    untouched = {file: (out / file).read_bytes() for file in ("weights/epoch-001/model.safetensors", "start.json")}
    seen = []

    def look(training):
        seen.append((training.epoch, training.step))
        if len(seen) > 1:
            return
        # One step of Adam, written out, from what the older version left.
        assert training.record.epochs == [json.loads((OLD / name / "log.jsonl").read_text())]
        assert training.loss > json.loads((OLD / name / "checkpoint-002-0000002/state.json").read_text())["loss"]
        for key, parameter in training.model.named_parameters():
            state, before = training.optimizer.state[parameter], adam[key]
            assert state["step"] == STEPS_DONE + 1, key
            gradient = (state["exp_avg"] - 0.95 * before["exp_avg"]) / 0.05
            squares = 0.999 * before["exp_avg_sq"] + 0.001 * gradient**2
            torch.testing.assert_close(state["exp_avg_sq"], squares, rtol=1e-3, atol=1e-9)
            mean, square = state["exp_avg"] / (1 - 0.95**7), state["exp_avg_sq"] / (1 - 0.999**7)
            expected = weights[key] - 3e-4 * mean / (square.sqrt() + 1e-8)
            torch.testing.assert_close(parameter.detach(), expected, rtol=1e-5, atol=1e-6)

    run = fit(RUNS[name], out, *parts(), precision="no", progress=False, after_step=look)

    assert seen == [(2, 3), (2, 4), (3, 1), (3, 2), (3, 3), (3, 4)], "it goes on where it stopped"
    old = json.loads((OLD / name / "start.json").read_text())
    assert run.id == old["id"] and run.started == old["started"] and run.data == old["data"]
    assert [entry["epoch"] for entry in run.epochs] == [1, 2, 3]
    assert {file: (out / file).read_bytes() for file in untouched} == untouched
    assert run.metrics["average"]["epochs"] == [1, 3] and run.metrics["checkpoint_ensemble"]["members"] == 3
    kept = [load_file(out / "weights" / f"epoch-00{epoch}" / "model.safetensors") for epoch in (1, 2, 3)]
    for key, value in load_file(out / "average" / "model.safetensors").items():
        torch.testing.assert_close(
            value, (sum(w[key].double() for w in kept) / 3).to(value.dtype), rtol=1e-6, atol=1e-7
        )
    assert not list(out.glob("checkpoint-*"))
    chosen = out / "average" if name == "ast" else out / "weights" / f"epoch-00{run.metrics['epoch']}"
    assert (out / "model" / "model.safetensors").read_bytes() == (chosen / "model.safetensors").read_bytes()
    assert fit(RUNS[name], out, *parts(), precision="no", progress=False) == run == Record.load(out / "run.json")
