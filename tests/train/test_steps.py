"""One step: the same draws, losses and gradients however many processes and micro-batches share it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_run import equal

from astlib.data import Synthetic
from astlib.devices import new_accelerator
from astlib.frontend import Features
from astlib.recipes import RECIPES
from astlib.train import build_model
from astlib.train.steps import Stepper, generator


def test_draws_are_a_function_of_seed_epoch_and_step():
    def draw(*key):
        return torch.rand(4, generator=generator(*key))

    assert torch.equal(draw(0, 1, 2), draw(0, 1, 2))
    assert len({tuple(draw(*key).tolist()) for key in [(0, 1, 2), (1, 1, 2), (0, 2, 2), (0, 1, 3), (0, 2, 1)]}) == 5


@pytest.fixture(scope="module")
def shared(finished, tmp_path_factory):
    """The folder of the same runs alone in one go, alone in micro-batches, and as two processes that are stopped once.

    torchrun is told nothing but the number of processes.
    """
    folder, script = tmp_path_factory.mktemp("shared"), Path(__file__).parent / "two_processes.py"
    env = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    env.pop("ACCELERATE_USE_CPU", None)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for launcher, runs in ((torchrun, ["two=0"]), ([], ["one=0", "micro=2"])):
        words = [sys.executable, *launcher, str(script), str(folder), str(finished[0] / "model"), *runs]
        done = subprocess.run(words, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
    return folder


def records(folder, network):
    return {name: json.loads((folder / name / network / "run.json").read_text()) for name in ("one", "micro", "two")}


def curve(record):
    return [epoch["train_loss"] for epoch in record["epochs"]]


def test_two_processes_give_what_one_gives(shared, record_property):
    """torchrun with two processes (gloo, CPU): the same loss curve, the same metrics, every clip once.

    With every augmentation, a last step of one clip for two, and a stop in between.
    """
    runs = records(shared, "ast")
    fixed = {name: json.loads((shared / name / "fixed.json").read_text()) for name in runs}
    assert runs["two"]["hardware"]["count"] == 2 and runs["one"]["hardware"]["count"] == 1
    worst = {"loss curve": 0.0, "metrics of one model": 0.0}
    for name in ("micro", "two"):
        assert fixed[name]["names"] == fixed["one"]["names"] and len(set(fixed[name]["names"])) == 15
        for key in ("mAP", "mAUC", "d_prime", "accuracy", "loss"):
            gap = abs(fixed[name][key] - fixed["one"][key])
            worst["metrics of one model"] = max(gap, worst["metrics of one model"])
            assert gap < 1e-6, (name, key)
        for a, b in zip(runs["one"]["epochs"], runs[name]["epochs"], strict=True):
            assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-4), name
            assert a["loss"] == pytest.approx(b["loss"], rel=1e-4), name
            worst["loss curve"] = max(abs(a["train_loss"] - b["train_loss"]), worst["loss curve"])
    found = ", ".join(f"{name} {value:.1e}" for name, value in worst.items())
    record_property("figures", f"two processes and micro batches against one process, largest differences: {found}")


def test_two_processes_stop_together_though_one_was_asked(shared):
    stopped, same = (json.loads((shared / f"stopped-{rank}.json").read_text()) for rank in (0, 1))
    assert stopped == same and stopped[0].startswith("stopped at epoch 1, step 3 of 5")
    assert stopped[1] == ["checkpoint-001-0000003"]


def test_the_batch_norms_of_a_cnn_see_the_clips_of_one_process(shared):
    """Two processes train a CNN as one does in micro-batches of half the step, and not as one does in one go."""
    runs = records(shared, "cnn")
    assert curve(runs["two"]) == pytest.approx(curve(runs["micro"]), rel=1e-4)
    assert curve(runs["two"]) != pytest.approx(curve(runs["one"]), rel=1e-3)


def test_a_process_without_a_clip_leaves_the_batch_norms_alone():
    train = Synthetic(split="train").select(limit_per_class=1)
    recipe = RECIPES["synthetic"].replace(network="cnn-mlp", init="scratch", input_tdim=64)
    model, _ = build_model(recipe, train.labels)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    stepper = Stepper(recipe, train, model.train(), Features(model.cfg), new_accelerator())
    assert stepper._no_gradients().shape == (0,)
    assert equal(model.state_dict(), before) and model.training
    assert all((parameter.grad == 0).all() for parameter in model.parameters())
