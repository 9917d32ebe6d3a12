"""One step: the same draws, losses and gradients however many processes and micro-batches share it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from astlib.train.steps import generator


def test_draws_are_a_function_of_seed_epoch_and_step():
    def draw(*key):
        return torch.rand(4, generator=generator(*key))

    assert torch.equal(draw(0, 1, 2), draw(0, 1, 2))
    assert len({tuple(draw(*key).tolist()) for key in [(0, 1, 2), (1, 1, 2), (0, 2, 2), (0, 1, 3), (0, 2, 1)]}) == 5


def test_two_processes_give_what_one_gives(finished, tmp_path, record_property):
    """torchrun with two processes (gloo, CPU): the same loss curve, the same metrics, every clip once.

    Alone in one go, alone in micro batches, and as two; with every augmentation, and a last step of one clip for two.
    """
    script = Path(__file__).parent / "two_processes.py"
    env = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    two = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    runs = {"one": ([sys.executable], 0), "micro": ([sys.executable], 2), "two": (two, 0)}
    for name, (launcher, micro) in runs.items():
        words = [*launcher, str(script), str(tmp_path / name), str(micro), str(finished[0] / "model")]
        done = subprocess.run(words, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
    records = {name: json.loads((tmp_path / name / "run.json").read_text()) for name in runs}
    fixed = {name: json.loads((tmp_path / name / "fixed.json").read_text()) for name in runs}
    assert records["two"]["hardware"]["count"] == 2 and records["one"]["hardware"]["count"] == 1
    worst = {"loss curve": 0.0, "metrics of one model": 0.0}
    for name in ("micro", "two"):
        assert fixed[name]["names"] == fixed["one"]["names"] and len(set(fixed[name]["names"])) == 15
        for key in ("mAP", "mAUC", "d_prime", "accuracy", "loss"):
            gap = abs(fixed[name][key] - fixed["one"][key])
            worst["metrics of one model"] = max(gap, worst["metrics of one model"])
            assert gap < 1e-6, (name, key)
        for a, b in zip(records["one"]["epochs"], records[name]["epochs"], strict=True):
            assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-4), name
            assert a["loss"] == pytest.approx(b["loss"], rel=1e-4), name
            worst["loss curve"] = max(abs(a["train_loss"] - b["train_loss"]), worst["loss curve"])
    found = ", ".join(f"{name} {value:.1e}" for name, value in worst.items())
    record_property("figures", f"two processes and micro batches against one process, largest differences: {found}")
