"""`astlib evaluate` on a person's own sounds: which clips it takes, what it warns of, and the report that it writes."""

import json
import shutil

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from astlib import AST, ASTConfig
from astlib.cli import app
from astlib.data import parts
from astlib.decisions import Decision
from astlib.metrics import wilson
from astlib.recipes import RECIPES
from astlib.train import fit

runner = CliRunner()
RECIPE = RECIPES["own-sounds"].replace(
    init="scratch", epochs=1, input_tdim=64, timem=8, fold=2, folds=3, group="([a-z]+)-"
)  # fmt: skip


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """Three classes, six short tones in each, of three speakers."""
    root = tmp_path_factory.mktemp("sounds")
    for c, label in enumerate(("hum", "hiss", "whistle")):
        (root / label).mkdir()
        for i in range(6):
            tone = np.sin(2 * np.pi * 200 * (1 + 3 * c + 0.1 * i) * np.arange(8000) / 16_000)
            soundfile.write(root / label / f"{('ann', 'bob', 'eve')[i // 2]}-{i}.wav", 0.3 * tone, 16_000)
    return root


@pytest.fixture(scope="module")
def run(sounds, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    fit(RECIPE, out, root=sounds, progress=False)
    return out


def evaluate(*words):
    return runner.invoke(app, ["evaluate", *map(str, words)])


def test_evaluate_divides_a_folder_as_its_training_did(sounds, run, tmp_path):
    """The fold, the groups and the number of folds are in the record; the folder of the run finds its model."""
    found = evaluate("--model", run, "--data", sounds, "--report", tmp_path / "report", "--json")
    assert found.exit_code == 0 and "careful" not in found.stderr, found.output
    result = json.loads(found.stdout)
    test = parts("folder", 2, root=sounds, group=RECIPE.group, folds=3).test
    assert result["fold"] == 2 and result["clips"] == len(test) == 6
    assert tuple(result["accuracy_interval"]) == pytest.approx(wilson(result["accuracy"], 6))
    content = json.loads((tmp_path / "report" / "report.json").read_text())
    assert content["accuracy"]["value"] == result["accuracy"] and result["report"].endswith("report.html")
    (speaker,) = content["groups"]
    assert speaker["clips"] == 6 and any("one group" in warning for warning in content["warnings"])
    assert content["baseline"]["trained_on"] == 12 and content["rows"][0]["file"].startswith(str(sounds))


def test_the_old_way_to_name_a_folder_still_works(sounds, run):
    old = evaluate("--model", run / "model", "--data", "folder", "--root", sounds)
    new = evaluate("--model", run, "--data", sounds)
    assert old.exit_code == new.exit_code == 0
    assert old.stdout.splitlines()[1:] == new.stdout.splitlines()[1:] and "95 % interval" in new.stdout


def test_evaluate_warns_of_clips_that_the_model_has_heard(sounds, run, tmp_path):
    assert "was trained on fold 3; fold 2 is what it never heard" in evaluate(
        "--model", run, "--data", sounds, "--fold", 3).stderr  # fmt: skip
    everything = evaluate("--model", run, "--data", sounds, "--all", "--json")
    assert "was trained on most of these clips" in everything.stderr and json.loads(everything.stdout)["clips"] == 18
    grown = tmp_path / "grown"
    shutil.copytree(sounds, grown)
    shutil.copy(grown / "hum" / "ann-0.wav", grown / "hum" / "joe-7.wav")
    assert "was trained on other clips" in evaluate("--model", run, "--data", grown).stderr
    shutil.rmtree(grown / "hiss")
    refused = evaluate("--model", run, "--data", grown)
    assert "only the model has hiss, only the data have none" in str(refused.exception)


def test_all_clips_of_new_sounds_have_a_report_without_a_baseline(sounds, tmp_path):
    config = ASTConfig(label_dim=3, labels=("hiss", "hum", "whistle"), model_size="tiny224", fstride=16, tstride=16,
                       input_tdim=64)  # fmt: skip
    model = AST(config)
    model.decision = Decision(thresholds=(0.0, 1.0, 1.0))
    model.save_pretrained(tmp_path / "model")
    found = evaluate("--model", tmp_path / "model", "--data", sounds, "--all", "--report", tmp_path / "report")
    assert found.exit_code == 0, found.output
    assert f"on all clips of {sounds}, 18 clips" in found.stdout and "careful: " not in found.stderr
    assert "simple baseline          none: there are no clips to train it on" in found.stdout
    classes = json.loads((tmp_path / "report" / "report.json").read_text())["classes"]
    assert [(row["given"], row["threshold"]) for row in classes] == [(18, 0.0), (0, 1.0), (0, 1.0)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--data", "none/of/these"), "no data set 'none/of/these'"),
        (("--all", "--fold", 2), "give one of the two"),
        (("--all", "--data", "speech-commands-x"), "no data set"),
        (("--all", "--data", "esc50-mixture"), "has a test part of its own"),
    ],
)  # fmt: skip
def test_what_cannot_be_tested_on_is_said(words, message, request):
    if "esc50-mixture" in words:
        request.getfixturevalue("esc50_root")
    assert message in str(evaluate(*words).exception)
