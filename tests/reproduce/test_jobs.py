"""A job: named by a chapter's parameters, carried out by papermill or on several GPUs, joined to ensembles."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from made_records import RECORDS, tampered

from astlib import data, notebooks, reproduce
from astlib.cli.training import parse
from astlib.errors import AstlibError, InvalidInput
from astlib.ledger import Ledger, audit
from astlib.recipes import RECIPES
from astlib.reproduce import SCALES, Cell, Ensemble, compare, jobs
from astlib.reproduce.cells import select
from astlib.scores import load_scores


def test_a_chapter_asks_for_drive_only_if_out_lies_there(tmp_path, monkeypatch):
    mounted = []
    drive = SimpleNamespace(mount=mounted.append)
    monkeypatch.setattr(notebooks, "DRIVE", tmp_path / "drive")
    assert notebooks.results(str(tmp_path / "drive" / "mine")).is_dir() and not mounted  # outside of Colab
    monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace(drive=drive))
    for out in ("", str(tmp_path / "here")):
        assert notebooks.results(out).is_dir()
    assert notebooks.results("") != notebooks.results("") and not mounted
    assert notebooks.results(str(tmp_path / "drive" / "MyDrive" / "ast")).is_dir()
    assert mounted == [str(tmp_path / "drive")]


def test_the_public_copy_of_audioset_is_enough():
    """It holds 18,685 of 22,160 and 17,142 of 20,371 clips; the default of `astlib train` would stop there."""
    job = reproduce.job("audioset/balanced", "paper")
    required = jobs.options_of(job.recipe, gpus=1).require
    assert required <= 17_142 / 20_371 < 0.95 == jobs.options_of(RECIPES["esc50"], gpus=1).require
    words = jobs.command(job, gpus=2)
    assert words[words.index("--require") + 1] == "0.8"


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"cell": "position"}, "table/cell"),
        ({"cell": "position/nearest", "fold": 6}, "fold of position/nearest must be one of 1, 2, 3, 4, 5; found 6"),
        ({"cell": "position/nearest", "fold": "2"}, "found '2'"),
        ({"cell": "position/nearest", "seed": 3}, "seed .* must be one of 0, 1, 2; found 3"),
        ({"cell": "audioset/ensemble-s", "scale": "paper"}, "is an ensemble of audioset/full"),
    ],
)
def test_a_chapters_parameters_are_checked(parameters, words):
    with pytest.raises(ValueError, match=words):
        reproduce.job(**parameters)


@pytest.mark.parametrize("scale", ["paper", "tiny"])
def test_several_gpus_get_the_recipe_value_by_value(scale):
    for job in reproduce.jobs_of(select("all", scale=scale)):
        words = jobs.command(job, 4)
        assert "--nproc-per-node=4" in words and str(job.out) in words
        changes = dict(parse(change) for word, change in zip(words, words[1:], strict=False) if word == "--set")
        assert RECIPES[words[words.index("--recipe") + 1]].replace(**changes) == job.recipe


def test_an_ensemble_without_scores_is_refused(tmp_path, monkeypatch):
    cell = SCALES["paper"]["audioset/ensemble-s"]
    assert compare.obtained(cell, Ledger(RECORDS)).text == "not run"
    monkeypatch.setattr(jobs, "record_of", lambda job, ledger: RECORDS[0])  # as if all its runs were there
    monkeypatch.setenv("ASTLIB_RUNS", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="needs the scores of its runs"):
        jobs.join(cell, Ledger(RECORDS))


@pytest.fixture
def pair(monkeypatch, tmp_path):
    """An ensemble of two runs on sounds made in code, small enough to be trained here."""
    monkeypatch.setenv("ASTLIB_RUNS", str(tmp_path))
    monkeypatch.setattr("astlib.ledger.provenance.git_state", lambda: ("a" * 40, False))
    monkeypatch.setattr("astlib.ledger.provenance.History.knows", lambda self, commit: True)
    members = tuple(replace(SCALES["try"][f"learning-rate/{name}"], folds=(1,)) for name in ("3e-4", "1e-3"))
    train, _, test = (part and part.select(limit_per_class=3) for part in data.parts("synthetic", 1))
    monkeypatch.setattr(data, "parts", lambda *given, **more: data.Parts(train, None, test))
    return Ensemble("learning-rate/both", "both together", members, "12_the_ablations", scale="try"), test


def test_an_ensemble_is_joined_from_the_runs_of_its_members(pair):
    from sklearn.metrics import average_precision_score

    both, test = pair
    todo = reproduce.jobs_of([both])
    records = [reproduce.train(job, progress=False) for job in todo]
    joined = jobs.join(both, Ledger())
    assert joined.parameters["members"] == [record.id for record in records] and audit.problems(joined) == []

    mean = np.mean([load_scores(job.out / "scores.npz")[0].numpy() for job in todo], axis=0)
    found = average_precision_score(test.targets.numpy(), mean, average="macro")
    assert joined.metrics["mAP"] == pytest.approx(found, abs=1e-6) and joined.metrics["members"] == 2
    again = Ledger([*records, joined])
    assert jobs.record_of_ensemble(both, again).id == joined.id
    assert both.metric == "accuracy" and compare.obtained(both, again).values == [joined.metrics["accuracy"]]
    (todo[0].out / "scores" / "epoch-001.npz").unlink()
    with pytest.raises(FileNotFoundError, match="needs the scores of its runs"):
        jobs.join(both, Ledger())


def test_an_ensemble_with_a_missing_or_a_refused_member_says_which_and_why(tmp_path, monkeypatch):
    monkeypatch.setenv("ASTLIB_RUNS", str(tmp_path))
    members = tuple(
        replace(SCALES["tiny"][f"position/{name}"], folds=(1, 2), seeds=(0,)) for name in ("bilinear", "nearest")
    )
    cell = Ensemble("position/both", "both together", members, "12_the_ablations")
    ledger = Ledger(RECORDS)
    missing = jobs.record_of(reproduce.job("position/nearest", fold=2), ledger)
    rest = [record for record in RECORDS if record.id != missing.id]
    with pytest.raises(InvalidInput, match="position/both needs the run position-nearest-fold2-seed0, .*was not run"):
        jobs.join(cell, Ledger(rest))
    refused = Ledger([*rest, tampered(missing, "changes")])
    words = f"position-nearest-fold2-seed0, and its record {missing.id} is refused: the code had changes on top of"
    with pytest.raises(InvalidInput, match=words):
        jobs.join(cell, refused)


def test_an_ensemble_cell_with_a_missing_member_shows_no_number():
    cell = Ensemble("position/both", "", (SCALES["tiny"]["position/nearest"],), "12_the_ablations")
    assert isinstance(cell.members[0], Cell) and compare.obtained(cell, Ledger([])).text == "not run"


def test_a_chapter_that_fails_says_where_its_traceback_is(tmp_path, monkeypatch):
    from papermill.exceptions import PapermillExecutionError

    def failing(chapter, output, parameters):
        raise PapermillExecutionError(3, 2, "", "DataNotFound", "ESC-50 is not on this machine", [])

    monkeypatch.setenv("ASTLIB_RUNS", str(tmp_path))
    monkeypatch.setattr(notebooks, "execute", failing)
    job = reproduce.job("position/nearest", fold=2)
    with pytest.raises(AstlibError, match="DataNotFound: ESC-50 is not on this machine") as stop:
        reproduce.execute_job(job)
    assert str(job.out / "12_the_ablations.ipynb") in str(stop.value)


def test_without_papermill_the_message_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "papermill", None)
    chapter = notebooks.folder() / "12_the_ablations.ipynb"
    for call in (lambda: notebooks.declared(chapter), lambda: notebooks.execute(chapter, chapter, {})):
        with pytest.raises(ImportError, match=r'papermill: pip install "astlib\[reproduce\]"'):
            call()
