"""`astlib train` on a person's own sounds: what it says beforehand, what lies where afterwards, and its mistakes."""

import json

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from astlib.cli import app
from astlib.cli.training import _numbers
from astlib.errors import InvalidInput, NotFound
from astlib.ledger import Record
from astlib.networks import open_model
from astlib.scores import load_logits

runner = CliRunner()
SETTINGS = [word for change in ("epochs=1", "init=scratch", "lr=1e-3") for word in ("--set", change)]


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """Two classes; two speakers, each with two clips of 0.4 s a class."""
    root = tmp_path_factory.mktemp("own") / "sounds"
    for c, name in enumerate(("hum", "whistle")):
        (root / name).mkdir(parents=True)
        for i in range(4):
            tone = np.sin(2 * np.pi * 200 * (1 + 3 * c + 0.1 * i) * np.arange(6400) / 16_000)
            soundfile.write(root / name / f"{i // 2}_{'ab'[i % 2]}.wav", 0.3 * tone, 16_000)
    return root


@pytest.fixture(scope="module")
def all_folds(sounds):
    out = sounds.parent / "runs"
    words = ["train", "--recipe", "own-sounds", "--data", str(sounds), "--out", str(out), "--folds", "all"]
    return out, runner.invoke(app, [*words, "--group", "_([ab])", *SETTINGS])


def test_it_says_what_it_chose_before_time_is_spent(all_folds):
    _, done = all_folds
    assert done.exit_code == 0, done.output
    said = done.stderr
    assert "clips: median 0.40 s, 95 % up to 0.40 s: input_tdim=48 (was 512), timem=18 (was 96)" in said
    assert "epochs=" not in said, "set by hand"


def test_every_clip_is_tested_once_and_no_speaker_is_on_both_sides(all_folds, sounds):
    out, done = all_folds
    tested = [set(load_logits(out / f"fold-{fold}" / "scores.npz").names) for fold in (1, 2)]
    assert sorted(name for names in tested for name in names) == sorted(
        path.relative_to(sounds).as_posix() for path in sounds.rglob("*.wav")
    )
    assert [len({name[-5] for name in names}) for names in tested] == [1, 1]
    assert "accuracy, mean of 2 folds: " in done.stdout and "standard deviation" in done.stdout
    assert "2 folds together: 8 clips" in done.stdout and (out / "report" / "report.html").is_file()


def test_the_record_has_the_values_of_the_plan(all_folds):
    out, _ = all_folds
    parameters = [Record.load(out / f"fold-{fold}" / "run.json").parameters for fold in (1, 2)]
    assert [p.pop("fold") for p in parameters] == [1, 2] and parameters[0] == parameters[1]
    expected = {"input_tdim": 48, "timem": 18, "epochs": 1, "windows": True, "group": "_([ab])"}
    assert expected.items() <= parameters[0].items()


def test_the_folder_of_a_run_names_its_model(all_folds):
    out, _ = all_folds
    network = open_model(out / "fold-1")
    assert network.cfg.labels == ("hum", "whistle") and network.cfg.input_tdim == 48
    with pytest.raises(NotFound, match="runs of 2 folds, each with a model of its own: give .*fold-1"):
        open_model(out)


def test_the_folder_of_an_unfinished_run_is_told_from_a_missing_one(tmp_path):
    (tmp_path / "start.json").write_text(json.dumps({}))
    (tmp_path / "best").mkdir()
    with pytest.raises(NotFound, match="is not finished, and its model comes at the end. The best .*best"):
        open_model(tmp_path)


def test_folds_that_are_not_there_end_in_one_line():
    assert _numbers("all", [1, 2, 3]) == [1, 2, 3] and _numbers("3,1", [1, 2, 3]) == [3, 1]
    for text, words in (("4", "no fold 4, only 1, 2, 3"), ("some", "must be all, or numbers such as 1,3")):
        with pytest.raises(InvalidInput, match=words):
            _numbers(text, [1, 2, 3])
