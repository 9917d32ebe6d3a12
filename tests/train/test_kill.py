"""A run that is killed for good, again and again, ends with the weights that it would have had, bit for bit."""

import json
import multiprocessing
import random
import time
from pathlib import Path

import pytest
import torch
from killed_run import run, run_and_die
from safetensors.torch import load_file

RANDOM_MOMENTS = 14
WRITES = 10  # of the calls that flush or rename a file, spread over the whole run
FILES = ("model/model.safetensors", "average/model.safetensors", "weights/epoch-001/model.safetensors",
         "weights/epoch-002/model.safetensors", "best/model.safetensors")  # fmt: skip


@pytest.fixture(scope="module")
def processes():
    """Processes that start in a moment: torch is imported once, by the server that they are forked from."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["killed_run", "astlib.train", "astlib.transfer", "safetensors.torch"])
    return context


@pytest.fixture(scope="module")
def whole(processes, tmp_path_factory):
    """The uninterrupted run: its folder, how long it took, and how often it flushed or renamed a file."""
    folder = tmp_path_factory.mktemp("whole")
    for attempt in ("first", "second"):  # the first also pays for imports
        started = time.perf_counter()
        process = processes.Process(target=run_and_die, args=(str(folder / attempt), str(folder / "ledger"), -1))
        process.start()
        process.join()
        seconds = time.perf_counter() - started
        assert process.exitcode == 0
    assert same_weights(folder / "first", folder / "second"), "the run itself is not repeatable"
    return folder / "second", seconds, int((folder / "second" / "writes").read_text())


def same_weights(a: Path, b: Path) -> bool:
    pairs = [(load_file(a / name), load_file(b / name)) for name in FILES]
    return all(x.keys() == y.keys() and all(torch.equal(x[key], y[key]) for key in x) for x, y in pairs)


def numbers(folder: Path) -> list:
    """What the record says of every epoch, but for times; and the final metrics."""
    record = json.loads((folder / "run.json").read_text())
    return [[{k: v for k, v in line.items() if "seconds" not in k} for line in record["epochs"]], record["metrics"]]


@pytest.mark.slow
def test_killed_at_random_moments_and_at_writes_it_ends_with_the_same_bits(whole, processes, tmp_path, record_property):
    folder, seconds, writes = whole
    draw = random.Random(0)
    plans = [("moment", draw.uniform(0.05, 1) * seconds) for _ in range(RANDOM_MOMENTS)]
    plans += [("write", 1 + (writes - 1) * i // (WRITES - 1)) for i in range(WRITES)]
    killed, ended = 0, 0
    for number, (kind, value) in enumerate(plans):
        out, ledger = tmp_path / str(number), tmp_path / f"ledger-{number}"
        for attempt in range(3):  # killed up to twice, the second time earlier
            target, more = (run, ()) if kind == "moment" else (run_and_die, (value,))
            if attempt == 2 or (attempt == 1 and kind == "write"):
                target, more = run, ()
            process = processes.Process(target=target, args=(str(out), str(ledger), *more))
            process.start()
            process.join(value * 0.6**attempt if kind == "moment" and attempt < 2 else None)
            if process.is_alive():
                process.kill()
                process.join()
            if process.exitcode == 0:
                break
            assert process.exitcode == -9, f"the run ended by itself with {process.exitcode} after a kill"
            killed += 1
            for file in [*out.rglob("*.json"), *ledger.glob("*.json")]:
                if not any(part.startswith(".") for part in file.relative_to(tmp_path).parts):
                    json.loads(file.read_text())  # whatever bears its real name is whole
        assert process.exitcode == 0
        ended += 1
        assert same_weights(out, folder), f"other weights after {kind} {value}"
        assert numbers(out) == numbers(folder)
        assert not list(out.glob("checkpoint-*")), "a finished run keeps no checkpoint"
        assert len(list(ledger.glob("*.json"))) == 1
    record_property("figures", f"{killed} kills in {ended} runs ({RANDOM_MOMENTS} by time, {WRITES} at one of {writes} "
                    "writes): all ended with the same bits")  # fmt: skip
    assert killed >= 20
