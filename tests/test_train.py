"""The training loop: it learns, it resumes to the same weights, and it stops for a reason that a person can read."""

import json
import math
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from sklearn.metrics import accuracy_score

from astlib import checkpoint
from astlib.data import Synthetic
from astlib.ledger import Run
from astlib.model import AST
from astlib.recipes import RECIPES
from astlib.train import TrainingStopped, build_model, evaluate, fit, generator, loss_function

LABELS = Synthetic(split="train").labels[:3]
RECIPE = RECIPES["synthetic"].replace(
    init="scratch", epochs=2, batch=8, input_tdim=128, timem=24, fstride=16, tstride=16, prefix_tokens=1, mixup=0.5
)


@pytest.fixture(scope="module")
def data():
    train = Synthetic(fold=1, split="train").select(labels=LABELS, limit_per_class=6)
    test = Synthetic(fold=1, split="test").select(labels=LABELS, limit_per_class=3)
    return train, test


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    return out, fit(RECIPE, out, *data, progress=False)


def weights(folder):
    return AST.from_pretrained(folder).state_dict()


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_a_run_leaves_model_log_and_record(finished):
    out, run = finished
    assert {p.name for p in out.iterdir()} == {"epoch-002", "best", "model", "log.jsonl", "run.json", "start.json"}
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2] and lines == run.epochs
    assert run.metrics["rule"] == "last epoch" and run.metrics["accuracy"] == run.epochs[-1]["accuracy"]
    assert run.throughput > 0 and run.wall_seconds > 0 and run.peak_memory > 1e8
    assert run.data["train"] == {"clips": 18, "hash": run.data["train"]["hash"]}
    assert equal(weights(out / "model"), weights(out / "epoch-002"))


def test_a_finished_run_is_not_run_again(finished, data):
    out, run = finished
    before = (out / "run.json").stat().st_mtime_ns
    assert fit(RECIPE, out, *data, progress=False) == run
    assert (out / "run.json").stat().st_mtime_ns == before


def test_another_run_in_the_same_folder_is_refused(finished, data):
    with pytest.raises(ValueError, match="precision .there float32, here bfloat16"):
        fit(RECIPE, finished[0], *data, precision="bf16", progress=False)
    with pytest.raises(ValueError, match="resume is off"):
        fit(RECIPE, finished[0], *data, resume=False, progress=False)
    with pytest.raises(ValueError, match="already holds the run.*differ in lr"):
        fit(RECIPE.replace(lr=1e-5), finished[0], *data, progress=False)
    with pytest.raises(ValueError, match="differ in data"):
        fit(RECIPE, finished[0], data[1], data[1], progress=False)


def test_stopped_after_an_epoch_it_ends_with_the_same_weights(finished, data, tmp_path, monkeypatch):
    import astlib.train as train_module

    real = train_module.train_epoch

    def interrupted(recipe, epoch, *rest):
        if epoch == 2:
            raise KeyboardInterrupt
        return real(recipe, epoch, *rest)

    monkeypatch.setattr(train_module, "train_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(RECIPE, tmp_path, *data, progress=False)
    monkeypatch.undo()
    assert checkpoint.latest(tmp_path).name == "epoch-001"
    run = fit(RECIPE, tmp_path, *data, progress=False)
    assert equal(weights(tmp_path / "model"), weights(finished[0] / "model"))
    assert [e["train_loss"] for e in run.epochs] == [e["train_loss"] for e in finished[1].epochs]


def test_an_unfinished_checkpoint_is_never_read(finished, data, tmp_path):
    (tmp_path / ".epoch-009.tmp").mkdir()
    (tmp_path / ".epoch-009.tmp" / "history.json").write_text("{}")
    (tmp_path / "epoch-008").mkdir()  # no history in it: not complete
    assert checkpoint.latest(tmp_path) is None


def test_a_full_disk_leaves_the_previous_checkpoint_whole(finished, tmp_path, monkeypatch):
    out, run = finished
    model = AST.from_pretrained(out / "model")
    optimizer = torch.optim.Adam(model.parameters())
    first = checkpoint.save(tmp_path, 1, model, optimizer, {"epochs": [1]})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(tmp_path, 2, model, optimizer, {"epochs": [1, 2]})
    assert checkpoint.latest(tmp_path) == first
    assert checkpoint.load(first, model, optimizer) == {"epochs": [1]}


def test_a_checkpoint_of_another_model_is_refused(finished, tmp_path):
    other = AST(RECIPE.replace(input_tdim=64).model_config(LABELS))
    with pytest.raises(checkpoint.CheckpointError, match="epoch-002 cannot be used"):
        checkpoint.load(finished[0] / "epoch-002", other, torch.optim.Adam(other.parameters()))


def test_a_loss_that_is_not_a_number_names_step_and_clips(data, tmp_path):
    with pytest.raises(TrainingStopped, match=r"loss is nan at epoch 1, step \d+.*clips of that step too: .*: none"):
        fit(RECIPE.replace(lr=1e30, epochs=1), tmp_path, *data, progress=False)
    run = fit(RECIPE.replace(epochs=1), tmp_path, *data, progress=False)
    assert len(run.epochs) == 1, "a run that never finished an epoch does not block its folder"


def test_data_that_do_not_fit_are_refused(data, tmp_path):
    train, test = data
    with pytest.raises(ValueError, match="both train and test, or neither"):
        fit(RECIPE, tmp_path, train=train)
    with pytest.raises(ValueError, match="different classes"):
        fit(RECIPE, tmp_path, train, test.select(labels=LABELS[::-1]))
    with pytest.raises(ValueError, match="3 classes, the data set synthetic 2"):
        evaluate(AST(RECIPE.model_config(LABELS)), test.select(labels=LABELS[:2]), progress=False)


def test_a_resumed_run_is_clean_only_if_every_session_was(finished):
    run = Run(**{**asdict(finished[1]), "commit": "a", "dirty": False})
    for commit, dirty, expected in [("a", False, False), ("a", True, True), ("b", False, True)]:
        run.dirty = False
        run.resume({"epochs": [], "started": "", "peak_memory": 0, "commit": commit, "dirty": dirty})
        assert run.dirty is expected


def test_two_processes_give_what_one_gives(tmp_path):
    """Same metrics and same loss curve, no clip twice or left out: torchrun with two processes, gloo, on CPU."""
    script = Path(__file__).parent / "two_processes.py"
    env = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    two = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for launcher, out in ([sys.executable], "one"), (two, "two"):
        done = subprocess.run([*launcher, str(script), str(tmp_path / out)], env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
    one, both = (json.loads((tmp_path / out / "run.json").read_text()) for out in ("one", "two"))
    assert both["hardware"]["count"] == 2 and one["hardware"]["count"] == 1
    for a, b in zip(one["epochs"], both["epochs"], strict=True):
        for name in ("train_loss", "loss", "mAP", "accuracy"):
            assert a[name] == pytest.approx(b[name], rel=2e-4), name


def test_weights_depend_on_the_seed_alone(data):
    torch.manual_seed(5)
    one, _ = build_model(RECIPE, LABELS)
    torch.manual_seed(6)
    two, _ = build_model(RECIPE, LABELS)
    other, _ = build_model(RECIPE.replace(seed=1), LABELS)
    assert equal(one.state_dict(), two.state_dict())
    assert not equal(one.state_dict(), other.state_dict())


def test_draws_are_a_function_of_seed_epoch_and_step():
    def draw(*key):
        return torch.rand(4, generator=generator(*key))

    assert torch.equal(draw(0, 1, 2), draw(0, 1, 2))
    assert len({tuple(draw(*key).tolist()) for key in [(0, 1, 2), (1, 1, 2), (0, 2, 2), (0, 1, 3), (0, 2, 1)]}) == 5


def test_soft_targets_count_in_cross_entropy():
    """The original turns mixed targets into class 0; here the loss is smallest at the mixture itself."""
    soft = torch.tensor([[0.0, 0.6, 0.4]])
    at_mixture = loss_function(soft.clamp(min=1e-9).log(), soft, "ce")
    class_zero = loss_function(torch.tensor([[9.0, 0.0, 0.0]]), soft, "ce")
    entropy = -(0.6 * math.log(0.6) + 0.4 * math.log(0.4))
    assert at_mixture.item() == pytest.approx(entropy, abs=1e-6)
    assert class_zero > 5


def test_evaluate_counts_every_clip_once_whatever_the_batch(finished, data):
    model, test = AST.from_pretrained(finished[0] / "model"), data[1]
    one, all_ = evaluate(model, test, batch=1, progress=False), evaluate(model, test, batch=64, progress=False)
    assert one["logits"].shape == (len(test), len(LABELS))
    torch.testing.assert_close(one["logits"], all_["logits"], rtol=1e-4, atol=1e-4)
    assert one["accuracy"] == accuracy_score(test.targets.argmax(1), one["logits"].argmax(1))


def test_it_learns_from_an_earlier_ast(tmp_path):
    """The embedded model, given another grid and three new classes, tells three unlike sounds apart at once."""
    labels = ["steady tone", "clicks", "noise bursts"]
    parts = [Synthetic(split=split).select(labels=labels, limit_per_class=8) for split in ("train", "test")]
    recipe = RECIPE.replace(init="ast-tiny-esc50", prefix_tokens=2, epochs=3, mixup=0.0)
    run = fit(recipe, tmp_path, *parts, progress=False)
    assert run.weights["source"] == "ast-tiny-esc50" and run.weights["hash"].startswith("sha256:")
    assert run.metrics["accuracy"] >= 0.75, "a third is what guessing gives"
    assert run.epochs[-1]["train_loss"] < 0.6 * math.log(len(labels))
