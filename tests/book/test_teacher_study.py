"""The study of chapter 18: its file is whole, its figures show what it holds, and its script measures what it says."""

import json
import re
from types import SimpleNamespace

import numpy as np
import probe as script
import pytest
import torch

from astlib.drawings import teacher
from astlib.errors import NotFound
from common import ROOT

STUDY = teacher.study()


def test_every_row_has_its_folds_and_what_was_left_out_is_named():
    assert set(STUDY.rows) >= {script.NO_NETWORK, script.IMAGENET, script.EMBEDDED, script.TEACHER}
    for name, row in STUDY.rows.items():
        assert len(row.regression) == len(row.neighbours) == len(row.folds) == len(set(row.folds))
        assert (row.regression >= 2).all() and (row.regression <= 100).all(), name
        assert bool(row.few) == (1 in row.folds)
    assert STUDY.rows[script.EMBEDDED].folds == [1], "it was trained on the other folds"
    assert STUDY.rows[script.TEACHER].folds == script.PROTOCOL["folds"]


def test_more_labels_help_and_the_teacher_is_ahead():
    for row in STUDY.rows.values():
        means = [values.mean() for values in row.few.values()]
        assert means == sorted(means)
    best = STUDY.rows[script.TEACHER].regression.mean()
    assert all(best > row.regression.mean() for name, row in STUDY.rows.items() if not name.startswith("EfficientAT"))


def test_the_teacher_heard_one_clip_of_every_class_and_names_it():
    assert [one.label for one in STUDY.heard] == STUDY.labels
    assert all(re.fullmatch(r"1-\d+-[A-Z]-\d+", one.clip) for one in STUDY.heard)
    assert all(list(one.answers.values()) == sorted(one.answers.values(), reverse=True) for one in STUDY.heard)
    hen = next(one for one in STUDY.heard if one.label == "hen")
    assert "Chicken, rooster" in list(hen.answers)[:2]


def test_mean_soft_targets_are_distributions():
    sums = STUDY.taken_for.sum(axis=1)
    assert (sums <= 1.01).all() and (sums > 0.85).all(), "means below 0.002 are left out"
    assert (STUDY.taken_for.argmax(axis=1) == np.arange(50)).mean() > 0.9


def test_within_groups_by_hand():
    even = np.full((10, 10), 0.1)
    assert teacher.within_groups(even) == pytest.approx(1 / 9)
    blocks = np.kron(np.eye(5), np.ones((2, 2)))
    assert teacher.within_groups(blocks) == 1


def test_the_opening_has_the_label_and_all_answers():
    fig = teacher.label_and_teacher("dog", {"Bark": 0.9, "Dog, canine": 0.4, "Animal": 0.2})
    label, heard = fig.axes
    assert [text.get_text() for text in heard.texts] == ["0.90", "0.40", "0.20"]
    assert [text.get_text() for text in heard.get_yticklabels()] == ["Bark", "Dog", "Animal"]
    assert [patch.get_width() for patch in label.patches] == [1.0]
    with_sound = teacher.label_and_teacher("dog", {"Bark": 0.9}, torch.zeros(498, 128))
    assert with_sound.axes[0].images


def test_figures_show_every_row():
    (ax,) = teacher.yardstick(STUDY).axes
    written = {text.get_text() for text in ax.texts}
    for row in STUDY.rows.values():
        assert f"{row.regression.mean():.1f}" in written and f"{row.neighbours.mean():.1f}" in written
    few = teacher.few_labels(STUDY).axes[0]
    assert {line.get_label() for line in few.lines} >= {name for name, row in STUDY.rows.items() if row.few}
    picture, _ = teacher.mean_soft_targets(STUDY).axes
    assert picture.images[0].get_array().shape == (50, 50)


def made(classes: int = 4, per_fold: int = 3):
    """Clips of `classes` classes in five folds, and vectors in which the classes are easily told apart."""
    rng = np.random.default_rng(0)
    truth = np.tile(np.repeat(np.arange(classes), per_fold), 5)
    folds = np.repeat(np.arange(1, 6), classes * per_fold)
    features = 6 * np.eye(classes)[truth] + rng.normal(size=(len(truth), classes))
    return features, truth, folds


def test_few_labels_are_drawn_from_the_other_folds_and_never_more_than_asked(monkeypatch):
    features, truth, folds = made()
    asked = []

    def right(classifier, features, truth, train, test):
        asked.append((truth[train], folds[train], folds[test]))
        return 1

    monkeypatch.setattr(script, "right", right)
    found = script.few(features, truth, folds)
    assert {n: len(one) for n, one in found.items()} == {"1": 10, "2": 10, "5": 10}
    for number, (labels, train, test) in enumerate(asked):
        wanted = script.PROTOCOL["few"]["clips_per_class"][number % 3]
        assert np.bincount(labels).tolist() == [wanted] * 4
        assert 1 not in train and set(test) == {1}


def test_a_regression_on_vectors_that_tell_classes_apart_is_right_and_on_noise_is_not():
    features, truth, folds = made()
    train, test = folds != 1, folds == 1
    assert script.right(script.regression(), features, truth, train, test) == test.sum()
    noise = np.random.default_rng(1).normal(size=features.shape)
    assert script.right(script.regression(), noise, truth, train, test) < 0.8 * test.sum()


def test_soft_targets_come_from_regressions_that_had_not_heard_the_fold(monkeypatch):
    features, truth, folds = made()
    data = SimpleNamespace(targets=torch.eye(4)[torch.from_numpy(truth)], folds=folds.tolist(), labels=list("abcd"))
    data = type("Clips", (), {"__len__": lambda self: len(truth), **vars(data)})()
    honest = script.taken_for(features, data)
    assert all(abs(sum(row.values()) - 1) < 0.02 for row in honest.values())
    alone = features.copy()
    alone[folds == 2] += 40  # far away: what was fitted without this fold must be wrong about it
    spoilt = script.taken_for(alone, data)
    assert spoilt["a"]["a"] < honest["a"]["a"] - 0.1


def test_the_file_was_made_by_the_protocol_of_the_script():
    content = json.loads((ROOT / "results" / "probe.json").read_text(encoding="utf-8"))
    assert content["protocol"] == script.PROTOCOL
    assert re.fullmatch(r"[0-9a-f]{40}", content["commit"]) and content["dirty"] is False
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", content["data"]["hash"])
    for row in content["rows"]:
        assert set(row["clips"]) == {400}
        assert len(row["regression"]) == len(row["folds"])
        assert all(0 <= right <= 400 for right in row["regression"] + row["neighbours"])


def test_runs_of_a_recipe_are_one_row_and_rows_of_other_names_stay(tmp_path):
    def row(name, fold, right, **more):
        parts = {"folds": [fold], "regression": [right], "neighbours": [right - 9], "clips": [400]}
        return {"row": name, "source": f"{name}{fold}", **parts, **more}

    taught = script.merged([row("taught", 1, 350, few={"1": [300]}), row("plain", 1, 320), row("taught", 2, 360)])
    assert [one["row"] for one in taught] == ["taught", "plain"]
    assert taught[0]["folds"] == [1, 2] and taught[0]["regression"] == [350, 360]
    assert taught[0]["few"] == {"1": [300]} and taught[0]["source"] == "taught1, taught2"
    file = tmp_path / "probe.json"
    assert script.with_earlier(taught, file) == taught
    file.write_text(json.dumps({"rows": [row("plain", 1, 1), row("another", 3, 5)]}))
    kept = script.with_earlier(taught, file)
    assert [one["row"] for one in kept] == ["taught", "plain", "another"] and kept[1]["regression"] == [320]


def test_a_study_that_is_not_there_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(teacher.paths, "results", lambda: tmp_path)
    with pytest.raises(NotFound, match="probe"):
        teacher.study()
