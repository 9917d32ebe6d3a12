"""A whole run: what it leaves, which weights it selects, what it refuses, and that it learns."""

import json
import math
import os
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import soundfile
import torch
from sklearn.metrics import accuracy_score, average_precision_score
from small_run import LABELS, RECIPE, weights

from astlib.data import Folder, Synthetic, parts
from astlib.errors import AstlibError, AudioError, CheckpointError, DataIncomplete, FolderInUse, InvalidInput
from astlib.ledger import audit
from astlib.measure import evaluate
from astlib.model import AST
from astlib.scores import ensemble, evaluate_ensemble, load_scores, unpack
from astlib.train import Options, build_model, checkpoint, fit
from astlib.train.options import Settings


def test_a_run_leaves_model_log_scores_and_record(finished, data):
    out, run = finished
    names = {"best", "model", "scores", "scores.npz", "log.jsonl", "run.json", "start.json", ".lock"}
    assert {p.name for p in out.iterdir()} == names, "no checkpoint and no weights: nothing needs them any more"
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2] and lines == run.epochs
    assert run.metrics["rule"] == "last epoch" and run.metrics["accuracy"] == run.epochs[-1]["accuracy"]
    assert run.throughput > 0 and run.wall_seconds > 0 and run.peak_memory > 1e8
    for epoch in run.epochs:
        assert unpack(epoch["right"], len(data[1])).mean() == pytest.approx(epoch["accuracy"], abs=1e-12)
    assert run.data["train"] == {"clips": 18, "hash": run.data["train"]["hash"]}
    scores, clips = load_scores(out / "scores.npz")
    assert clips == data[1].names and scores.sum(1).allclose(torch.ones(len(clips)))
    assert accuracy_score(data[1].targets.argmax(1), scores.argmax(1)) == run.metrics["accuracy"]


def test_a_finished_run_is_not_run_again(finished, data):
    out, run = finished
    before = (out / "run.json").stat().st_mtime_ns
    called = []
    assert fit(RECIPE, out, *data, progress=False, after_step=called.append) == run
    assert (out / "run.json").stat().st_mtime_ns == before and not called


def test_another_run_in_the_same_folder_is_refused(finished, data):
    with pytest.raises(ValueError, match="precision .there float32, here bfloat16"):
        fit(RECIPE, finished[0], *data, precision="bf16", progress=False)
    with pytest.raises(ValueError, match="resume is off"):
        fit(RECIPE, finished[0], *data, resume=False, progress=False)
    with pytest.raises(ValueError, match="already holds the run.*differ in lr"):
        fit(RECIPE.replace(lr=1e-5), finished[0], *data, progress=False)
    with pytest.raises(ValueError, match="differ in data"):
        fit(RECIPE, finished[0], data[1], data[1], progress=False)


def test_while_a_run_writes_to_its_folder_no_other_does(data, tmp_path):
    refused = []

    def again(training):
        if training.step == 1:
            with pytest.raises(FolderInUse, match=f"process {os.getpid()} on .* has been writing to it since"):
                fit(RECIPE.replace(epochs=1), tmp_path, *data, progress=False)
            refused.append(training.epoch)

    run = fit(RECIPE.replace(epochs=1), tmp_path, *data, progress=False, after_step=again)
    assert refused == [1] and len(run.epochs) == 1
    assert fit(RECIPE.replace(epochs=1), tmp_path, *data, progress=False) == run


def test_what_a_kill_at_the_very_end_left_is_removed_by_the_next_call(finished, data, tmp_path):
    """After the record was written, and before the last checkpoint was removed."""
    (tmp_path / "run.json").write_bytes((finished[0] / "run.json").read_bytes())
    for name in ("checkpoint-003-0000000", ".checkpoint-002-0000000.tmp"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "state.json").write_text("{}")
    assert fit(RECIPE, tmp_path, *data, progress=False) == finished[1]
    assert {path.name for path in tmp_path.iterdir()} == {"run.json", ".lock"}


def test_options_are_given_whole_or_by_name_and_mean_the_same(finished, data):
    out, run = finished
    assert fit(RECIPE, out, *data, options=Options(progress=False)) == run
    with pytest.raises(ValueError, match="precision .there float32, here bfloat16"):
        fit(RECIPE, out, *data, options=Options(precision="bf16", progress=False))
    with pytest.raises(InvalidInput, match="options or workers, progress, not both"):
        fit(RECIPE, out, *data, options=Options(), workers=0, progress=False)
    assert Settings.__annotations__ == Options.__annotations__, "one can be given by name what Options has"


@pytest.mark.parametrize(
    "change", [{"workers": -1}, {"micro_batch": -1}, {"save_minutes": -0.1}, {"require": 1.1}, {"require": -0.1}]
)
def test_options_that_make_no_sense_are_refused(change):
    with pytest.raises(InvalidInput, match="must be 0 or more, require from 0 to 1; found"):
        Options(**change)
    with pytest.raises(TypeError, match="unexpected keyword argument 'loaders'"):
        fit(RECIPE, "unused", loaders=1)


class Damaged(Synthetic):
    """Synthetic clips of which some cannot be decoded, as in every large collection."""

    bad = ()

    def read(self, source):
        if source in self.bad:
            raise AudioError(f"{source}: is truncated")
        return super().read(source)


def test_long_clips_behind_short_ones_are_not_all_kept_in_memory(tmp_path, monkeypatch, capsys):
    """In a folder the first clips are all of one class, so their lengths say nothing of the others."""
    for label, samples in (("a_click", 1_600), ("z_rain", 96_000)):
        for i in range(12):
            (tmp_path / "sounds" / label).mkdir(parents=True, exist_ok=True)
            soundfile.write(tmp_path / "sounds" / label / f"{i}.wav", np.zeros(samples), 16_000)
    sounds = Folder(tmp_path / "sounds")
    memory = SimpleNamespace(available=8_000_000, total=8_000_000)  # a quarter is 2 MB; the clips are 4.7 MB
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr(Folder, "preload", lambda *_, **__: pytest.fail("decoded all clips"))

    def stop(training):
        raise StopIteration

    with pytest.raises(StopIteration):
        fit(RECIPE, tmp_path / "run", sounds, sounds, progress=False, after_step=stop)
    assert "decoded in each epoch; workers > 0 would be faster" in capsys.readouterr().out


@pytest.mark.parametrize("workers", [0, 1])
def test_clips_that_cannot_be_read_are_listed_and_the_rest_is_trained(tmp_path, workers):
    train = Damaged(split="train").select(labels=LABELS, limit_per_class=6)
    test = Damaged(split="test").select(labels=LABELS, limit_per_class=3)
    train.bad = test.bad = {train.sources[4], test.sources[0]}
    run = fit(RECIPE, tmp_path / "on", train, test, require=0.8, workers=workers, progress=False)
    assert run.metrics["unusable"]["train"]["unreadable"] == 1 == run.metrics["unusable"]["test"]["unreadable"]
    assert train.names[4] in (tmp_path / "on" / "unusable-train.csv").read_text()
    for epoch in run.epochs:  # the list is about all clips of the part, so that two runs can be laid side by side
        right = unpack(epoch["right"], len(test))
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
    model = AST.from_pretrained(tmp_path / "model")
    again = evaluate(model, data[1], progress=False, windows=recipe.windows).metrics  # as the run measured
    assert again["mAP"] == pytest.approx(run.metrics["average"]["mAP"], abs=1e-9)
    assert run.metrics["mAP"] == run.metrics["average"]["mAP"] and "averaged over epochs 2 to 3" in run.metrics["rule"]
    assert run.metrics["last"] == {"epoch": 3, "accuracy": run.epochs[-1]["accuracy"]}, "both are reported"


def test_ensembles_are_means_of_probabilities(data, tmp_path):
    folders = [tmp_path / str(seed) for seed in (0, 1)]
    for seed, folder in enumerate(folders):
        fit(RECIPE.replace(seed=seed), folder, *data, progress=False)
    models = [AST.from_pretrained(folder / "model") for folder in folders]
    scores = sum(evaluate(m, data[1], progress=False, windows=False).logits.softmax(-1) for m in models) / 2
    together = evaluate_ensemble(folders, data[1])
    targets = data[1].targets.numpy()
    assert together["mAP"] == pytest.approx(average_precision_score(targets, scores.numpy(), average="macro"))
    assert together["members"] == 2
    with pytest.raises(ValueError, match="no clip of synthetic"):
        evaluate_ensemble(folders, data[0])
    broken = tmp_path / "broken.npz"
    broken.write_bytes((folders[0] / "scores.npz").read_bytes()[:200])
    with pytest.raises(CheckpointError, match="not a file of scores"):
        ensemble([folders[0], broken])


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
    assert best.metrics["accuracy"] == pytest.approx(max(scores))


def test_curves_for_tensorboard(data, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = fit(RECIPE, tmp_path, *data, tracker="tensorboard", progress=False)
    events = EventAccumulator(str(tmp_path / "astlib")).Reload()
    losses = [event.value for event in events.Scalars("epoch/train_loss")]
    assert losses == pytest.approx([entry["train_loss"] for entry in run.epochs], rel=1e-6)
    assert len(events.Scalars("step/loss")) == 2 * 3


def test_data_that_do_not_fit_are_refused(data, tmp_path):
    train, test = data
    for half in ({"train": train}, {"test": test}, {"validation": test}):
        with pytest.raises(ValueError, match=f"both train and test, or neither.*found only {next(iter(half))}"):
            fit(RECIPE, tmp_path, **half)
    with pytest.raises(ValueError, match="different classes"):
        fit(RECIPE, tmp_path, train, test.select(labels=LABELS[::-1]))
    with pytest.raises(ValueError, match="needs a validation part"):
        fit(RECIPE.replace(selection="validation"), tmp_path, train, test)
    with pytest.raises(ValueError, match="precision must be auto or one of"):
        fit(RECIPE, tmp_path, train, test, precision="int4")
    with pytest.raises(AstlibError, match="3 classes, the data set synthetic 2"):
        evaluate(AST(RECIPE.model_config(LABELS)), test.select(labels=LABELS[:2]), progress=False)


def test_weights_depend_on_the_seed_alone(data):
    def start(seed, before):
        torch.manual_seed(before)
        return build_model(RECIPE.replace(seed=seed), LABELS)[0].state_dict()

    one, two, other = start(0, 5), start(0, 6), start(1, 5)
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert not all(torch.equal(one[key], other[key]) for key in one)


def test_it_learns_from_an_earlier_ast(tmp_path):
    """The embedded model, given another grid and three new classes, tells three unlike sounds apart at once."""
    labels = ["steady tone", "clicks", "noise bursts"]
    chosen = [Synthetic(split=split).select(labels=labels, limit_per_class=8) for split in ("train", "test")]
    recipe = RECIPE.replace(init="ast-tiny-esc50", prefix_tokens=2, epochs=3, mixup=0.0)
    run = fit(recipe, tmp_path, *chosen, progress=False)
    assert run.weights["source"] == "ast-tiny-esc50" and run.weights["hash"].startswith("sha256:")
    assert run.metrics["accuracy"] >= 0.75, "a third is what guessing gives"
    assert run.epochs[-1]["train_loss"] < 0.6 * math.log(len(labels))
