"""The training loop: it learns, it resumes to the same weights, and it stops for a reason that a person can read."""

import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import killed_run as KILLED
import pytest
import torch
from sklearn.metrics import accuracy_score, average_precision_score

from astlib import audit, checkpoint, ledger
from astlib.audio import AudioError
from astlib.checkpoint import Interrupted, TrainingStopped
from astlib.data import Synthetic, parts
from astlib.data.report import DataIncomplete
from astlib.devices import choose_precision
from astlib.ledger import Run, best_epoch_over
from astlib.loop import Training
from astlib.measure import evaluate_ensemble, loss_function
from astlib.model import AST
from astlib.recipes import RECIPES
from astlib.start import build_model
from astlib.steps import generator
from astlib.train import evaluate, fit

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


def test_a_run_leaves_model_log_scores_and_record(finished, data):
    out, run = finished
    names = {"best", "model", "scores", "scores.npz", "log.jsonl", "run.json", "start.json"}
    assert {p.name for p in out.iterdir()} == names, "no checkpoint and no weights: nothing needs them any more"
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2] and lines == run.epochs
    assert run.metrics["rule"] == "last epoch" and run.metrics["accuracy"] == run.epochs[-1]["accuracy"]
    assert run.throughput > 0 and run.wall_seconds > 0 and run.peak_memory > 1e8
    for epoch in run.epochs:
        assert ledger.unpack(epoch["right"], len(data[1])).mean() == pytest.approx(epoch["accuracy"], abs=1e-12)
    assert run.data["train"] == {"clips": 18, "hash": run.data["train"]["hash"]}
    scores, clips = checkpoint.load_scores(out / "scores.npz")
    assert clips == data[1].names and scores.sum(1).allclose(torch.ones(len(clips)))
    assert accuracy_score(data[1].targets.argmax(1), scores.argmax(1)) == run.metrics["accuracy"]


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


def test_ctrl_c_saves_and_says_how_to_go_on(finished, data, tmp_path, monkeypatch):
    real, calls, before = Training.one_step, [], signal.getsignal(signal.SIGINT)

    def interrupted(self, items):
        calls.append(1)
        if len(calls) == 5:  # epoch 2, step 2 of 3
            signal.raise_signal(signal.SIGINT)
        return real(self, items)

    monkeypatch.setattr(Training, "one_step", interrupted)
    with pytest.raises(Interrupted, match="stopped at epoch 2, step 2 of 3.*same command goes on"):
        fit(RECIPE, tmp_path, *data, progress=False)
    monkeypatch.undo()
    assert signal.getsignal(signal.SIGINT) is before, "Ctrl-C is itself again"
    assert checkpoint.latest(tmp_path).name == "checkpoint-002-0000002"
    run = fit(RECIPE, tmp_path, *data, progress=False)
    assert equal(weights(tmp_path / "model"), weights(finished[0] / "model"))
    assert [e["train_loss"] for e in run.epochs] == [e["train_loss"] for e in finished[1].epochs]


def test_what_a_scheduler_sends_stops_the_same_way(data, tmp_path, monkeypatch):
    real = Training.one_step

    def terminated(self, items):
        signal.raise_signal(signal.SIGTERM)
        return real(self, items)

    monkeypatch.setattr(Training, "one_step", terminated)
    with pytest.raises(Interrupted, match="epoch 1, step 1 of 3"):
        fit(RECIPE, tmp_path, *data, progress=False)


def test_an_unfinished_checkpoint_is_never_read(tmp_path):
    (tmp_path / ".checkpoint-009-0000000.tmp").mkdir()
    (tmp_path / ".checkpoint-009-0000000.tmp" / "state.json").write_text("{}")
    (tmp_path / "checkpoint-008-0000000").mkdir()  # no state in it: not complete
    assert checkpoint.latest(tmp_path) is None


FILL_UP = """
import resource, sys
from pathlib import Path
sys.path[:0] = [{tests!r}]
from killed_run import LABELS, RECIPE
from astlib import checkpoint, loop, train
from astlib.data import Synthetic
parts = [Synthetic(split=split).select(labels=LABELS, limit_per_class=2) for split in ("train", "test")]
out, real = Path({out!r}), loop.Training.measure
def measure(self):  # from the second epoch on no file may be larger than 1 MB: the kernel refuses the rest
    if self.epoch == 2:
        import signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
    return real(self)
loop.Training.measure = measure
try:
    train.fit(RECIPE, out, *parts, progress=False)
except train.TrainingStopped as error:
    print("stopped:", error)
print("kept:", checkpoint.latest(out).name, sorted(path.name for path in out.glob(".*")))
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
    """A file system of 40 MB that really is full after one checkpoint, where mounting one is allowed."""
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


def test_a_checkpoint_of_another_model_is_refused(finished, tmp_path):
    model = AST.from_pretrained(finished[0] / "model")
    kept = checkpoint.save(tmp_path, model, torch.optim.Adam(model.parameters()), {"epoch": 1, "step": 0})
    other = AST(RECIPE.replace(input_tdim=64).model_config(LABELS))
    with pytest.raises(checkpoint.CheckpointError, match="checkpoint-001-0000000 cannot be used"):
        checkpoint.load(kept, other, torch.optim.Adam(other.parameters()))


def test_a_loss_that_is_not_a_number_names_step_clips_and_checkpoint(data, tmp_path):
    names = "|".join(data[0].names)
    with pytest.raises(TrainingStopped, match=rf"loss is nan at epoch 1, step \d+ of 3.*clips ({names}).*: none yet"):
        fit(RECIPE.replace(lr=1e30, epochs=1), tmp_path, *data, progress=False)
    run = fit(RECIPE.replace(epochs=1), tmp_path, *data, progress=False)
    assert len(run.epochs) == 1, "a run that never saved anything does not block its folder"


def test_weights_that_broke_in_the_last_step_of_an_epoch_stop_the_run_too(data, tmp_path, monkeypatch):
    real = Training.one_step

    def broken(self, items):
        result = real(self, items)
        if (self.epoch, self.step) == (2, 2):
            torch.nn.init.constant_(self.bare.mlp_head[1].bias, math.nan)
        return result

    monkeypatch.setattr(Training, "one_step", broken)
    with pytest.raises(TrainingStopped, match="after epoch 2, the logits of 9 of 9.*diverged.*checkpoint-002-0000000"):
        fit(RECIPE, tmp_path, *data, progress=False)


class Damaged(Synthetic):
    """Synthetic clips of which some cannot be decoded, as in every large collection."""

    bad = ()

    def read(self, source):
        if source in self.bad:
            raise AudioError(f"{source}: is truncated")
        return super().read(source)


@pytest.mark.parametrize("workers", [0, 1])
def test_clips_that_cannot_be_read_are_listed_and_the_rest_is_trained(tmp_path, workers):
    train = Damaged(split="train").select(labels=LABELS, limit_per_class=6)
    test = Damaged(split="test").select(labels=LABELS, limit_per_class=3)
    train.bad = test.bad = {train.sources[4], test.sources[0]}
    run = fit(RECIPE, tmp_path / "on", train, test, require=0.8, workers=workers, progress=False)
    assert run.metrics["unusable"]["train"]["unreadable"] == 1 == run.metrics["unusable"]["test"]["unreadable"]
    assert train.names[4] in (tmp_path / "on" / "unusable-train.csv").read_text()
    for epoch in run.epochs:  # the list is about all clips of the part, so that two runs can be laid side by side
        right = ledger.unpack(epoch["right"], len(test))
        assert not right[0] and right.sum() == pytest.approx(epoch["accuracy"] * (len(test) - 1), abs=1e-9)
    assert not [text for text in audit.problems(run) if "epoch" in text]
    with pytest.raises(DataIncomplete, match=r"1 unreadable: .*At least 95.00% are required.*unusable-"):
        fit(RECIPE, tmp_path / "off", train, test, workers=workers, progress=False)
    assert checkpoint.latest(tmp_path / "off") is None or workers


def test_only_the_weights_that_averaging_needs_are_kept(data, tmp_path):
    recipe = RECIPE.replace(epochs=3, average=(2, 3), selection="average")
    run = fit(recipe, tmp_path, *data, progress=False)
    kept = checkpoint.epoch_weights(tmp_path)
    assert [path.name for path in kept] == ["epoch-002", "epoch-003"]
    both = [weights(path) for path in kept]
    for key, value in weights(tmp_path / "model").items():
        torch.testing.assert_close(value, (both[0][key] + both[1][key]) / 2, rtol=1e-6, atol=1e-7)
    again = evaluate(AST.from_pretrained(tmp_path / "model"), data[1], progress=False)
    assert again["mAP"] == pytest.approx(run.metrics["average"]["mAP"], abs=1e-9)
    assert run.metrics["mAP"] == run.metrics["average"]["mAP"] and "averaged over epochs 2 to 3" in run.metrics["rule"]
    assert run.metrics["last"] == {"epoch": 3, "accuracy": run.epochs[-1]["accuracy"]}, "both are reported"


def test_ensembles_are_means_of_probabilities(data, tmp_path):
    folders = [tmp_path / str(seed) for seed in (0, 1)]
    for seed, folder in enumerate(folders):
        fit(RECIPE.replace(seed=seed), folder, *data, progress=False)
    models = [AST.from_pretrained(folder / "model") for folder in folders]
    scores = sum(evaluate(m, data[1], progress=False)["logits"].softmax(-1) for m in models) / 2
    together = evaluate_ensemble(folders, data[1])
    targets = data[1].targets.numpy()
    assert together["mAP"] == pytest.approx(average_precision_score(targets, scores.numpy(), average="macro"))
    assert together["members"] == 2
    with pytest.raises(ValueError, match="no clip of synthetic"):
        evaluate_ensemble(folders, data[0])
    broken = tmp_path / "broken.npz"
    broken.write_bytes((folders[0] / "scores.npz").read_bytes()[:200])
    with pytest.raises(checkpoint.CheckpointError, match="not a file of scores"):
        checkpoint.ensemble([folders[0], broken])


def test_selection_by_validation_never_looks_at_the_test_part(tmp_path):
    train, validation, test = parts("synthetic", validation=True)
    chosen = [p.select(labels=LABELS, limit_per_class=n) for p, n in ((train, 4), (test, 3), (validation, 3))]
    assert set(chosen[2].folds).isdisjoint(chosen[0].folds) and set(chosen[1].folds).isdisjoint(chosen[2].folds)
    run = fit(RECIPE.replace(selection="validation", epochs=3), tmp_path, *chosen, progress=False)
    scores = [entry["validation"]["accuracy"] for entry in run.epochs]
    assert run.metrics["epoch"] == 1 + scores.index(max(scores))
    assert run.metrics["accuracy"] == run.epochs[run.metrics["epoch"] - 1]["accuracy"]
    assert {"last", "best_on_test", "best_on_validation"} <= set(run.metrics), "all rules are reported"
    best = evaluate(AST.from_pretrained(tmp_path / "model"), chosen[2], progress=False)
    assert best["accuracy"] == pytest.approx(max(scores))


def test_curves_for_tensorboard(data, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = fit(RECIPE, tmp_path, *data, tracker="tensorboard", progress=False)
    events = EventAccumulator(str(tmp_path / "astlib")).Reload()
    losses = [event.value for event in events.Scalars("epoch/train_loss")]
    assert losses == pytest.approx([entry["train_loss"] for entry in run.epochs], rel=1e-6)
    assert len(events.Scalars("step/loss")) == 2 * 3


def test_data_that_do_not_fit_are_refused(data, tmp_path):
    train, test = data
    with pytest.raises(ValueError, match="both train and test, or neither"):
        fit(RECIPE, tmp_path, train=train)
    with pytest.raises(ValueError, match="different classes"):
        fit(RECIPE, tmp_path, train, test.select(labels=LABELS[::-1]))
    with pytest.raises(ValueError, match="needs a validation part"):
        fit(RECIPE.replace(selection="validation"), tmp_path, train, test)
    with pytest.raises(ValueError, match="precision must be auto or one of"):
        fit(RECIPE, tmp_path, train, test, precision="int4")
    with pytest.raises(ValueError, match="3 classes, the data set synthetic 2"):
        evaluate(AST(RECIPE.model_config(LABELS)), test.select(labels=LABELS[:2]), progress=False)


def test_a_resumed_run_is_clean_only_if_every_session_was(finished):
    run = Run(**{**asdict(finished[1]), "commit": "a", "dirty": False})
    for commit, dirty, expected in [("a", False, False), ("a", True, True), ("b", False, True)]:
        run.dirty = False
        there = {"name": "another machine", "count": 4}
        history = {"epochs": [], "started": "", "peak_memory": 0, "commit": commit, "dirty": dirty, "hardware": there}
        run.resume(history)
        assert run.dirty is expected and run.hardware["earlier"] == [there]


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


def test_precision_follows_the_chip_or_what_accelerate_was_told(monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    assert choose_precision("auto") == "bf16" and choose_precision("no") == "no"
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")  # as accelerate launch does, unasked
    for cuda, bf16, expected in [(False, False, "no"), (True, True, "bf16"), (True, False, "fp16")]:
        monkeypatch.setattr(torch.cuda, "is_available", lambda cuda=cuda: cuda)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True, bf16=bf16: bf16)
        assert choose_precision("auto") == expected
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="fp16 needs an NVIDIA card"):
        choose_precision("fp16")


def test_the_originals_epoch_is_one_for_all_folds(finished):
    def run(scores):
        epochs = [{**finished[1].epochs[0], "accuracy": score, "epoch": i + 1} for i, score in enumerate(scores)]
        return Run(**{**asdict(finished[1]), "epochs": epochs})

    epoch, lines = best_epoch_over([run([0.1, 0.6, 0.5]), run([0.2, 0.5, 0.7])])
    assert epoch == 3 and [line["accuracy"] for line in lines] == [0.5, 0.7]
    with pytest.raises(ValueError, match="same number of epochs"):
        best_epoch_over([run([0.1]), run([0.2, 0.3])])
