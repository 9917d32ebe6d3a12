"""Reproduction: every cell can be priced and run, what was run is found again, and a record that lies is refused."""

import copy
import json
import os
import subprocess
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
import torch

from astlib import audit, compare, costs, data, ledger, notebooks, reproduce, tables
from astlib.checkpoint import load_scores
from astlib.ledger import Run, load_runs
from astlib.model import token_grid
from astlib.recipes import RECIPES
from astlib.reproduce import Ledger

ROOT = Path(__file__).resolve().parents[1]
RUNS = load_runs()
FIVE = [run for run in RUNS if run.recipe == "esc50-tiny" and run.hardware["precision"] == "bfloat16 mixed"]


def astlib(*words, **environment):
    command = [sys.executable, "-m", "astlib.cli", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, **environment})


# --- a chapter as a program ----------------------------------------------------------------------------------


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
    one = reproduce.job("audioset/balanced", "paper")
    assert reproduce.enough(one.recipe) <= 17_142 / 20_371 < 0.95 == reproduce.enough(RECIPES["esc50"])
    words = reproduce.command(one, gpus=2)
    assert words[words.index("--require") + 1] == "0.8"


# --- the tables ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", tables.SCALES)
def test_every_cell_can_be_run_and_has_its_chapter(scale):
    for name, cell in tables.SCALES[scale].items():
        assert cell.table in tables.TABLES and cell.name == name
        assert (notebooks.folder() / f"{cell.chapter}.ipynb").is_file(), name
        for member in cell.members:
            assert tables.SCALES[scale][member].recipe is not None
        if cell.recipe is not None:
            assert cell.recipe.network != "ast" or min(token_grid(cell.recipe.model_config(["a"]))) >= 1
            assert "cell" in notebooks.declared(notebooks.folder() / f"{cell.chapter}.ipynb")


def test_the_reference_of_a_table_is_one_of_its_cells():
    for name, table in tables.TABLES.items():
        there = [cell for scale in tables.SCALES for cell in tables.SCALES[scale] if cell.split("/")[0] == name]
        assert table.reference in there or f"{table.reference}-balanced" in there, name


def test_cells_share_their_runs():
    alone = [reproduce.jobs([cell], "tiny") for cell in tables.cells("all", scale="tiny")]
    together = reproduce.jobs(tables.cells("all", scale="tiny"), "tiny")
    assert len({job.recipe for job in together}) == len(together) < sum(map(len, alone))
    position, pretraining = (reproduce.jobs(tables.cells(*cell), "tiny") for cell in
                             (("position", "bilinear"), ("pretraining", "imagenet")))  # fmt: skip
    assert [job.recipe for job in position] == [job.recipe for job in pretraining]


@pytest.mark.parametrize("arguments, words", [
    (("positions",), "no table 'positions'.*position"),
    (("position", "cubic"), "no cell 'cubic'.*reinit, nearest, bilinear"),
    (("position", "", "huge"), "paper, tiny, try"),
])  # fmt: skip
def test_unknown_names_are_refused_with_what_there_is(arguments, words):
    with pytest.raises(ValueError, match=words):
        tables.cells(*arguments)


@pytest.mark.parametrize("parameters, words", [
    (dict(cell="position"), "table/cell"),
    (dict(cell="position/nearest", fold=6), "fold of position/nearest must be one of 1, 2, 3, 4, 5; found 6"),
    (dict(cell="position/nearest", fold="2"), "found '2'"),
    (dict(cell="position/nearest", seed=1), "seed .* must be one of 0; found 1"),
    (dict(cell="audioset/ensemble-s", scale="paper"), "is an ensemble of audioset/full"),
])  # fmt: skip
def test_a_chapters_parameters_are_checked(parameters, words):
    with pytest.raises(ValueError, match=words):
        reproduce.job(**parameters)


# --- costs ---------------------------------------------------------------------------------------------------


def test_operations_are_the_dossiers_and_the_bounds_are_shares():
    assert costs.forward_flops(RECIPES["audioset"]) == pytest.approx(2 * 130.5e9, rel=2e-3)
    low, high = costs.bounds()
    assert 0.1 < low < high < 0.6


def test_hours_follow_the_work():
    least, most = costs.hours(RECIPES["audioset"], "A100", [])
    assert 0 < least < most and costs.hours(RECIPES["audioset"], "H100", [])[1] < most
    assert costs.hours(RECIPES["audioset"].replace(epochs=10), "A100", [])[1] == pytest.approx(2 * most)
    with pytest.raises(ValueError, match="estimates exist for T4"):
        costs.hours(RECIPES["audioset"], "V100", [])


def test_a_record_on_a_card_replaces_the_estimate():
    run = replace(copy.deepcopy(FIVE[0]), throughput=1000.0)
    run.hardware.update(device="cuda", name="NVIDIA A100-SXM4-40GB")
    recipe = RECIPES["esc50-tiny"]
    least, most = costs.hours(recipe, "A100", [run])
    assert least == most == pytest.approx(10 * (1600 + 400 / 3) / 1000 / 3600)


def test_a_record_says_nothing_about_another_kind_of_network():
    run = replace(copy.deepcopy(FIVE[0]), throughput=1000.0)
    run.hardware.update(device="cuda", name="NVIDIA A100-SXM4-40GB")
    psla = RECIPES["esc50-psla"]
    assert costs.hours(psla, "A100", [run]) == costs.hours(psla, "A100", [])
    slow, fast = costs.bounds("psla")
    assert 0.02 < slow < fast == costs.bounds()[0], "its own week on four cards is far below what AST reached"


def test_what_no_record_measured_on_a_cpu_is_not_priced():
    assert FIVE[0].hardware["device"] == "cpu" and costs.hours(RECIPES["esc50-tiny"], "cpu", FIVE)
    assert costs.hours(RECIPES["esc50-psla"], "cpu", FIVE) is None
    rows = reproduce.plan(tables.cells("cnns"), "tiny", Ledger(FIVE)).rows
    assert [row[-1] for row in rows if row[1] == "cnns/psla"] == ["not measured"] * 5
    assert rows[-1][-1].endswith(", 15 not measured"), "the CNNs; AST has its hours"


@pytest.mark.parametrize("hours, words", [
    ((0.01, 0.05), "under 5 min"), ((0.2, 0.7), "12 to 42 min"), ((3.0, 11.2), "3 to 11 h"), ((40.0, 40.0), "40 h"),
])  # fmt: skip
def test_hours_in_words(hours, words):
    assert costs.in_words(*hours) == words


def test_measured_times_in_words():
    words = [ledger.duration(seconds) for seconds in (44.6, 89, 200, 5399, 12_240)]
    assert words == ["45 s", "89 s", "3 min", "90 min", "3.4 h"]


# --- what was run --------------------------------------------------------------------------------------------


def test_committed_records_hold_together():
    assert {run.id: found for run in RUNS if (found := audit.problems(run, f"{run.id}.json"))} == {}


def tamper(run: Run, what: str) -> Run:
    """A copy of a record with something changed, and its seal made new: whoever lies, lies thoroughly."""
    run = copy.deepcopy(run)
    last = run.epochs[-1]
    match what:
        case "parameter":
            run.parameters["lr"] = 1e-3
        case "data":
            run.data["train"]["hash"] = "sha256:" + "0" * 64
        case "weights":
            run.weights["hash"] = "sha256:" + "0" * 64
        case "data and name":
            run.data["train"]["hash"] = "sha256:" + "0" * 64
            run.id = ledger.run_id(run.parameters, run.data, run.weights)
        case "commit":
            run.commit = "0" * 40
        case "no commit":
            run.commit = None
        case "changes":
            run.dirty = True
        case "learning rate":
            last["learning_rate"] *= 2
        case "result":
            run.metrics["accuracy"] = 0.999
        case "better epoch":
            run.metrics |= {name: run.epochs[-2][name] for name in ledger.METRICS}
        case "epoch":
            run.epochs.pop()
        case "time":
            run.wall_seconds /= 10
        case "right answers":
            last["right"] = ledger.pack(torch.zeros(400, dtype=torch.bool))
        case "fewer answers":
            last["right"] = ledger.pack(torch.zeros(392, dtype=torch.bool))
    run.seal = ledger.seal(run)
    return run


@pytest.mark.parametrize("what, words", [
    ("parameter", "does not follow from its parameters"), ("data", "does not follow"), ("weights", "does not follow"),
    ("data and name", "no known copy of esc50"), ("commit", "not in this repository's history"),
    ("no commit", "names no commit"), ("changes", "had changes"), ("learning rate", "learning rate"),
    ("result", "metrics are not those"), ("better epoch", "metrics are not those"), ("epoch", "9 epochs"),
    ("time", "not the sum"), ("right answers", "list of right answers"), ("fewer answers", "and there are 400 clips"),
])  # fmt: skip
def test_a_record_that_was_tampered_with_is_refused(what, words):
    run = tamper(FIVE[0], what)
    assert any(words in problem for problem in audit.problems(run)), audit.problems(run)
    there = Ledger([run])
    assert there.runs == [] and run.id in there.refused
    cell = tables.SCALES["tiny"]["esc50/ast-s"]
    assert compare.obtained(cell, "tiny", there).text == "not run"


def test_a_broken_seal_and_a_wrong_file_name_are_refused():
    run = copy.deepcopy(FIVE[0])
    run.hardware["name"] = "a faster one"
    assert "its seal is broken: something in it was changed after the run" in audit.problems(run)
    assert "the file is named other" in audit.problems(FIVE[0], "other.json")[0]


def test_the_known_copies_are_what_the_data_here_gives(esc50_root):
    for folds in audit.known_data()["esc50"].values():
        for fold, known in enumerate(folds, start=1):
            train, _, test = data.parts("esc50", fold)
            if {"train": train.manifest_hash(), "test": test.manifest_hash()} != known:
                break
        else:
            return
    pytest.fail("the copy of ESC-50 that is here is none of results/data.json")


def test_a_longer_run_begins_with_the_shorter_one():
    run, recipe = FIVE[0], RECIPES["esc50-tiny"].replace(fold=FIVE[0].parameters["fold"])
    assert reproduce.serves(run, recipe) and reproduce.serves(run, recipe.replace(epochs=2))
    assert not reproduce.serves(run, recipe.replace(epochs=11)) and not reproduce.serves(run, recipe.replace(lr=1e-3))
    assert not reproduce.serves(run, recipe.replace(epochs=3, average=(1, 3), selection="average"))
    assert reproduce.serves(run, recipe.replace(weights="vit_tiny_patch16_224"))
    assert not reproduce.serves(run, recipe.replace(weights="deit_tiny_patch16_224"))
    shorter = replace(tables.SCALES["tiny"]["esc50/ast-s"], recipe=recipe.replace(epochs=2))
    assert compare.value(run, shorter) == run.epochs[1]["accuracy"] != run.metrics["accuracy"]


def test_a_cell_counts_every_fold_once():
    cell = tables.SCALES["tiny"]["esc50/ast-s"]
    found = compare.obtained(cell, "tiny", Ledger(RUNS))
    assert [run.parameters["fold"] for run in found.runs] == [1, 2, 3, 4, 5]
    assert len({run.hardware["precision"] for run in found.runs}) == 1, "one precision, where one has all folds"
    assert found.mean == pytest.approx(sum(run.epochs[-1]["accuracy"] for run in found.runs) / 5)


def made(accuracies: list[float], epochs=2, rights=None, **changes) -> list[Run]:
    """Records of a setting, one a fold, as good as real ones for comparing."""
    runs = []
    for fold, accuracy in enumerate(accuracies, start=1):
        run = copy.deepcopy(FIVE[0])
        run.parameters |= {"fold": fold, "epochs": epochs, **changes}
        run.epochs = run.epochs[:epochs]
        run.epochs[-1]["accuracy"] = run.metrics["accuracy"] = accuracy
        if rights:
            run.epochs[-1]["right"] = rights[fold - 1]
        runs.append(run)
    return runs


def test_settings_are_paired_by_fold():
    from scipy.stats import ttest_rel

    first, second = [0.6, 0.7, 0.8, 0.65, 0.7], [0.5, 0.65, 0.75, 0.6, 0.6]
    cell = tables.SCALES["tiny"]["pretraining/imagenet"]
    one, other = (compare.Obtained(cell, made(values), values, 5) for values in (first, second))
    pair = compare.paired(one, other)
    assert pair.difference == pytest.approx(0.07) and pair.folds == 5 and pair.clips is None
    assert pair.t == pytest.approx(ttest_rel(first, second).pvalue)
    assert compare.paired(compare.Obtained(cell, [], [], 5), other) is None


def test_what_can_be_claimed():
    cell = tables.SCALES["tiny"]["pretraining/imagenet"]
    other = compare.Obtained(cell, made([0.5, 0.65, 0.75, 0.6, 0.6]), [0.5, 0.65, 0.75, 0.6, 0.6], 5)

    def claim(values, precision=None, against=other):
        runs = made(values)
        for run in runs if precision else ():
            run.hardware["precision"] = precision
        found = compare.Obtained(cell, runs, values, 5)
        return compare.claim({"found": found, "paired": against and compare.paired(found, against)})

    assert claim([0.6, 0.75, 0.86, 0.7, 0.69]).startswith("+10.0 points over 5 of 5 runs: beyond the spread, p = ")
    assert ": no difference beyond the spread, p = 0." in claim([0.51, 0.64, 0.76, 0.59, 0.61])
    assert claim([0.9, 0.9]).endswith("over 2 of 5 runs: no claim")
    assert claim([0.9] * 5, "float64").endswith("no claim, not in the same precision")
    assert claim([], against=None) == "not run" and "compared with this one" in claim([0.9], against=None)


def test_clips_are_paired_where_records_have_them():
    from scipy.stats import binomtest

    cell = tables.SCALES["tiny"]["pretraining/imagenet"]
    a, b = torch.arange(400) < 300, (torch.arange(400) >= 20) & (torch.arange(400) < 310)
    one = compare.Obtained(cell, made([0.75], rights=[ledger.pack(a)]), [0.75], 1)
    other = compare.Obtained(cell, made([0.725], rights=[ledger.pack(b)]), [0.725], 1)
    assert compare.paired(one, other).clips == pytest.approx(binomtest(20, 30).pvalue)


def test_verdicts():
    paper = {"value": 88.7, "spread": 0.7, "unit": "%"}
    cell = tables.SCALES["paper"]["esc50/ast-s"]
    runs = made([0.887] * 15)

    def verdict(values, runs=runs, cell=cell, published=paper):
        return compare.verdict(compare.Obtained(cell, runs, values, 15), published)

    assert verdict([0.884, 0.889, 0.890]) == "within the spread"
    assert verdict([0.84, 0.84, 0.841]) == "outside the spread"
    assert verdict([0.887], runs[:5]) == "5 of 15 runs"
    assert verdict([], []) == "not run" and verdict([0.5], published=None) == "the paper has no such number"
    tiny = tables.SCALES["tiny"]["esc50/ast-s"]
    assert "tiny224, stride 16" in verdict([0.82], cell=tiny)


def test_an_ensemble_counts_only_with_the_runs_that_count():
    cell = tables.SCALES["paper"]["audioset/ensemble-s"]
    assert compare.obtained(cell, "paper", Ledger(RUNS)).text == "not run"
    with pytest.raises(FileNotFoundError, match="needs the scores of its runs"):
        reproduce.join(cell, "paper")


# --- running it ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", tables.SCALES)
def test_a_dry_run_lists_and_prices_every_table(scale, tmp_path):
    done = astlib("reproduce", "all", "--scale", scale, "--dry-run", ASTLIB_RUNS=str(tmp_path))
    assert done.returncode == 0, done.stderr
    everything = reproduce.jobs(tables.cells("all", scale=scale), scale)
    lines = done.stdout.splitlines()
    assert len(lines) == len(everything) + 3 and "missing" in lines[-1]
    assert all(name in lines[0] for name in costs.CARDS)


def test_the_paper_scale_starts_from_public_weights_by_name():
    for cell in tables.SCALES["paper"].values():
        recipe = cell.recipe
        if recipe is not None and recipe.init == "imagenet":
            from astlib.transfer import VIT_NAMES

            assert recipe.weights or VIT_NAMES[recipe.model_size]
        elif recipe is not None:
            assert recipe.init in ("scratch", tables.RELEASED)


def test_slurm_gets_the_missing_runs_as_an_array(tmp_path):
    file = tmp_path / "jobs.sh"
    done = astlib("reproduce", "weights", "--scale", "paper", "--slurm", str(file), "--card", "H100", "--gpus-per-run",
                  "2", ASTLIB_RUNS=str(tmp_path))  # fmt: skip
    assert done.returncode == 0, done.stderr
    text = file.read_text()
    assert "#SBATCH --array=0,1,2,3\n" in text and "--gres=gpu:2" in text and "reproduce weights --scale paper" in text
    assert subprocess.run(["bash", "-n", file]).returncode == 0
    with pytest.raises(ValueError, match="a job array is for GPUs: the card must be one of T4, .*found 'cpu'"):
        reproduce.slurm("weights", "", "paper", card="cpu")


@pytest.mark.parametrize("scale", ["paper", "tiny"])
def test_several_gpus_get_the_recipe_value_by_value(scale):
    from astlib.cli import parse

    for one in reproduce.jobs(tables.cells("all", scale=scale), scale):
        words = reproduce.command(one, 4)
        assert "--nproc-per-node=4" in words and str(one.out) in words
        changes = dict(parse(change) for word, change in zip(words, words[1:], strict=False) if word == "--set")
        assert RECIPES[words[words.index("--recipe") + 1]].replace(**changes) == one.recipe


@pytest.mark.parametrize("visible", [None, "7,3,GPU-5a,1,0"])
def test_as_many_runs_at_once_as_there_are_devices(monkeypatch, visible):
    busy, most, seen, lock = set(), [], [], threading.Lock()

    def run(words, env):
        devices = env["CUDA_VISIBLE_DEVICES"]
        with lock:
            assert not busy & set(devices.split(",")), "a GPU serves one run at a time"
            busy.update(devices.split(","))
            most.append(len(busy))
            seen.append((words[-1], devices))
        threading.Event().wait(0.02)
        with lock:
            busy.difference_update(devices.split(","))
        return SimpleNamespace(returncode=int(words[-1] == "2"))

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(reproduce.subprocess, "run", run)
    monkeypatch.setattr(reproduce.torch.cuda, "device_count", lambda: 5)
    monkeypatch.setattr(reproduce, "Ledger", lambda: Ledger([]))
    assert reproduce.run_missing("position", "", "paper", gpus_per_run=2) == 1, "the third of three fails"
    assert sorted(number for number, _ in seen) == ["0", "1", "2"] and max(most) == 4
    assert {devices for _, devices in seen} == ({"7,3", "GPU-5a,1"} if visible else {"0,1", "2,3"})


def test_tiny_runs_can_share_a_gpu(monkeypatch):
    together, most, lock, seen = [], [], threading.Lock(), []

    def run(words, env):
        with lock:
            together.append(words[-1])
            most.append(len(together))
            seen.append((env["CUDA_VISIBLE_DEVICES"], env["OMP_NUM_THREADS"]))
        threading.Event().wait(0.05)
        with lock:
            together.remove(words[-1])
        return SimpleNamespace(returncode=0)

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(reproduce.subprocess, "run", run)
    monkeypatch.setattr(reproduce.torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(reproduce.os, "cpu_count", lambda: 24)
    monkeypatch.setattr(reproduce, "Ledger", lambda: Ledger([]))
    assert reproduce.run_missing("overlap", "", "tiny", runs_per_gpu=4) == 0
    assert len(seen) == 20 and max(most) == 8 and set(seen) == {("0", "3"), ("1", "3")}
    with pytest.raises(ValueError, match="several GPUs or shares one"):
        reproduce.run_missing("overlap", "", "tiny", gpus_per_run=2, runs_per_gpu=2)


def test_a_table_is_run_by_papermill_and_not_twice(tmp_path):
    words = ["reproduce", "learning-rate", "1e-3", "--scale", "try"]
    done = astlib(*words, ASTLIB_RUNS=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    folders = sorted((tmp_path / "try").iterdir())
    assert [folder.name for folder in folders] == [f"learning-rate-1e-3-fold{fold}-seed0" for fold in (1, 2)]
    for fold, folder in enumerate(folders, start=1):
        run = Run.load(folder / "run.json")
        assert run.parameters["lr"] == 1e-3 and run.parameters["fold"] == fold
        executed = nbformat.read(folder / "12_the_ablations.ipynb", as_version=4)
        assert f'fold = {fold}' in json.dumps(executed) or fold == 1
    assert "learning-rate/1e-3" in done.stdout
    times = [(folder / "run.json").stat().st_mtime_ns for folder in folders]
    again = astlib(*words, "--job", "1", ASTLIB_RUNS=str(tmp_path))
    assert again.returncode == 0 and [(f / "run.json").stat().st_mtime_ns for f in folders] == times
    assert not list((ROOT / "results" / "runs").glob("synthetic-*")), "a try stays out of the ledger"


def test_an_ensemble_is_joined_from_the_runs_of_its_members(tmp_path, monkeypatch):
    from sklearn.metrics import average_precision_score

    monkeypatch.setenv("ASTLIB_RUNS", str(tmp_path))
    monkeypatch.setattr("astlib.provenance.git_state", lambda: ("a" * 40, False))
    monkeypatch.setattr("astlib.provenance.knows_commit", lambda commit: True)
    names = [f"learning-rate/{name}" for name in ("3e-4", "1e-3")]
    members = {name: replace(tables.SCALES["try"][name], folds=(1,)) for name in names}
    both = tables.Cell("learning-rate/both", "both together", None, "12_the_ablations", members=tuple(names))
    monkeypatch.setitem(tables.SCALES, "try", {**members, both.name: both})
    train, _, test = (part and part.select(limit_per_class=3) for part in data.parts("synthetic", 1))
    monkeypatch.setattr(data, "parts", lambda *given: (train, None, test))
    jobs = reproduce.jobs([both], "try")
    runs = [reproduce.train(one, progress=False) for one in jobs]
    joined = reproduce.join(both, "try")
    assert joined.parameters["members"] == [run.id for run in runs] and audit.problems(joined) == []

    mean = np.mean([load_scores(one.out / "scores.npz")[0].numpy() for one in jobs], axis=0)
    found = average_precision_score(test.targets.numpy(), mean, average="macro")
    assert joined.metrics["mAP"] == pytest.approx(found, abs=1e-6) and joined.metrics["members"] == 2
    again = Ledger([*runs, joined])
    assert again.ensemble(both, "try").id == joined.id
    assert compare.obtained(both, "try", again).values == [joined.metrics["mAP"]]
    (jobs[0].out / "scores" / "epoch-001.npz").unlink()
    with pytest.raises(FileNotFoundError, match="needs the scores of its runs"):
        reproduce.join(both, "try")


def test_a_job_that_is_not_there_is_refused(tmp_path):
    done = astlib("reproduce", "learning-rate", "--scale", "try", "--job", "9", ASTLIB_RUNS=str(tmp_path))
    assert done.returncode == 2 and "jobs 0 to 3; found 9" in done.stderr


def test_settings_of_old_records_get_todays_defaults():
    run = copy.deepcopy(FIVE[0])
    del run.parameters["warmup_every"]
    run.parameters["gone"] = 1
    assert reproduce.settings(run) == asdict(RECIPES["esc50-tiny"].replace(fold=run.parameters["fold"]))
