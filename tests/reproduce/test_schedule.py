"""What is missing, and how the missing runs are started: here, or by a cluster's scheduler."""

import json
import os
import re
import subprocess
import sys
import threading
from types import SimpleNamespace

import nbformat
import pytest
from made_records import ROOT

from astlib import reproduce
from astlib.ledger import Ledger, Record
from astlib.reproduce import SCALES, costs, schedule
from astlib.reproduce.cells import select


def astlib(*words, **environment):
    command = [sys.executable, "-m", "astlib.cli", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, **environment})


@pytest.mark.parametrize("scale", SCALES)
def test_a_dry_run_lists_and_prices_every_table(scale, tmp_path):
    done = astlib("reproduce", "all", "--scale", scale, "--dry-run", ASTLIB_RUNS=str(tmp_path))
    assert done.returncode == 0, done.stderr
    everything = reproduce.jobs_of(select("all", scale=scale))
    lines = done.stdout.splitlines()
    assert len(lines) == len(everything) + 3 and "missing" in lines[-1]
    assert all(name in lines[0] for name in costs.CARDS)


def test_slurm_gets_the_missing_runs_as_an_array(tmp_path):
    file = tmp_path / "jobs.sh"
    words = ("weights", "--scale", "paper", "--slurm", str(file), "--card", "H100", "--gpus-per-run", "2")
    done = astlib("reproduce", *words, ASTLIB_RUNS=str(tmp_path))
    assert done.returncode == 0, done.stderr
    text = file.read_text()
    assert "#SBATCH --array=0,1,2,3\n" in text and "--gres=gpu:2" in text and "reproduce weights --scale paper" in text
    assert subprocess.run(["bash", "-n", file]).returncode == 0
    with pytest.raises(ValueError, match="a job array is for GPUs: the card must be one of T4, .*found 'cpu'"):
        reproduce.slurm("weights", "", select("weights", scale="paper"), card="cpu")


@pytest.fixture
def no_record(monkeypatch):
    """A ledger without records; made beforehand, because it asks git by the `subprocess.run` that is replaced."""
    empty = Ledger([])
    monkeypatch.setattr(schedule, "Ledger", lambda: empty)


@pytest.mark.parametrize("visible", [None, "7,3,GPU-5a,1,0"])
def test_as_many_runs_at_once_as_there_are_devices(no_record, monkeypatch, visible):
    cells = select("position", "", "paper")
    busy, most, seen, lock = set(), [], [], threading.Lock()

    def run(words, env):
        devices = env["CUDA_VISIBLE_DEVICES"]
        assert words[2:5] == ["astlib.cli", "reproduce", "position"] and words[6:] == ["--scale", "paper", "--job", "0"]
        with lock:
            assert not busy & set(devices.split(",")), "a GPU serves one run at a time"
            busy.update(devices.split(","))
            most.append(len(busy))
            seen.append((words[5], devices))
        threading.Event().wait(0.02)
        with lock:
            busy.difference_update(devices.split(","))
        return SimpleNamespace(returncode=int(words[5] == cells[2].name))

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(schedule.subprocess, "run", run)
    monkeypatch.setattr(schedule.torch.cuda, "device_count", lambda: 5)
    assert reproduce.run_missing(cells, gpus_per_run=2) == 1, "the third of three fails"
    assert sorted(name for name, _ in seen) == sorted(cell.name for cell in cells) and max(most) == 4
    assert {devices for _, devices in seen} == ({"7,3", "GPU-5a,1"} if visible else {"0,1", "2,3"})


def test_tiny_runs_can_share_a_gpu(no_record, monkeypatch):
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
    monkeypatch.setattr(schedule.subprocess, "run", run)
    monkeypatch.setattr(schedule.torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(schedule.os, "cpu_count", lambda: 24)
    assert reproduce.run_missing(select("overlap"), runs_per_gpu=4) == 0
    assert len(seen) == 4 * 5 * 3 and max(most) == 8 and set(seen) == {("0", "3"), ("1", "3")}
    with pytest.raises(ValueError, match="several GPUs or shares one"):
        reproduce.run_missing(select("overlap"), gpus_per_run=2, runs_per_gpu=2)


@pytest.mark.slow
def test_a_table_is_run_by_papermill_and_not_twice(tmp_path):
    words = ["reproduce", "learning-rate", "1e-3", "--scale", "try"]
    done = astlib(*words, ASTLIB_RUNS=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    folders = sorted((tmp_path / "try").iterdir())
    assert [folder.name for folder in folders] == [f"learning-rate-1e-3-fold{fold}-seed0" for fold in (1, 2)]
    for fold, folder in enumerate(folders, start=1):
        record = Record.load(folder / "run.json")
        assert record.parameters["lr"] == 1e-3 and record.parameters["fold"] == fold
        executed = nbformat.read(folder / "12_the_ablations.ipynb", as_version=4)
        assert f"fold = {fold}" in json.dumps(executed) or fold == 1
    assert re.search(r"\b1e-3\b", done.stdout)
    times = [(folder / "run.json").stat().st_mtime_ns for folder in folders]
    again = astlib(*words, "--job", "1", ASTLIB_RUNS=str(tmp_path))
    assert again.returncode == 0 and [(f / "run.json").stat().st_mtime_ns for f in folders] == times
    assert not list((ROOT / "results" / "runs").glob("synthetic-*")), "a try stays out of the ledger"


def test_a_job_that_is_not_there_is_refused(tmp_path):
    done = astlib("reproduce", "learning-rate", "--scale", "try", "--job", "9", ASTLIB_RUNS=str(tmp_path))
    assert done.returncode == 2 and "jobs 0 to 3; found 9" in done.stderr
