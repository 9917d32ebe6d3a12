"""Execute the chapters with papermill into _build/src/notebooks and stage the pages of the book beside them.

    python ci/execute.py                                # every chapter, profile quick
    python ci/execute.py --only 09 --profile full -p fold=2 -p seed=1

A chapter that fails leaves its notebook with the traceback; the others still run; the exit status is 1. A chapter
is run again only if something it depends on changed: the notebook, astlib, models, results, requirements,
profile, parameters, or the data and weights that are found.

No cell has a time limit, because a slow laptop is no error. A chapter is stopped only if its kernel computes nothing
at all for ten minutes. While a chapter runs, a line every half minute says which cell it has reached.
"""

import argparse
import contextlib
import hashlib
import json
import multiprocessing
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import nbformat
import psutil
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

import traps
from astlib import notebooks
from common import EXECUTED, MEMORY, ROOT, SOURCE, TIMES, chapters, fail, isolate_jupyter

PROFILES = ("quick", "full")
STALL_SECONDS = 600  # a kernel that uses no processor time for so long waits for something that will not come
REPORT_SECONDS = 30  # between two lines about a chapter that runs


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--profile", choices=PROFILES, default="quick", help="default: quick")
    parser.add_argument("--only", nargs="+", metavar="NN", help="numbers of chapters, as 01 05")
    parser.add_argument(
        "-p",
        dest="parameters",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of a chapter; can be given again",
    )
    parser.add_argument(
        "--at-once", type=int, default=1, metavar="N", help="chapters that share the cores (default: 1)"
    )
    parser.add_argument("--force", action="store_true", help="run again even what did not change")
    return parser.parse_args()


def select(numbers: list[str] | None) -> list[Path]:
    """Return the chapters with these numbers ("1" and "01" both mean 01), or all of them."""
    found = chapters()
    missing = [path.name for path in found if not path.exists()]
    if missing:
        fail(f"book/_toc.yml lists chapters that are not there: {', '.join(missing)}")
    if numbers is None:
        return found
    by_number = {path.name[:2]: path for path in found}
    unknown = [number for number in numbers if number.zfill(2) not in by_number]
    if unknown:
        fail(f"no chapter {', '.join(unknown)}; there are {', '.join(by_number)}")
    return [by_number[number.zfill(2)] for number in numbers]


def assign(paths: list[Path], given: list[str], profile: str) -> dict[Path, dict]:
    """Give each chapter the parameters that it declares. A name that no chapter declares is refused."""
    texts = {"profile": profile}
    for pair in given:
        name, sign, text = pair.partition("=")
        if not sign:
            fail(f"-p takes NAME=VALUE, got {pair!r}")
        if name == "profile":
            fail("use --profile to choose the profile")
        texts[name] = text
    known = {path: notebooks.declared(path) for path in paths}
    everything = sorted({name for parameters in known.values() for name in parameters})
    if unknown := [name for name in texts if name not in everything and name != "profile"]:
        fail(f"unknown parameter {', '.join(unknown)}; the chosen chapters know {', '.join(everything)}")
    try:
        return {
            path: notebooks.checked(path, {name: text for name, text in texts.items() if name in known[path]})
            for path in paths
        }
    except ValueError as error:
        fail(str(error))


def found_data() -> list[str]:
    """List the data and weights that a chapter could find: names, sizes and times, two levels deep."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "astlib"
    named = [os.environ[name] for name in ("ASTLIB_DATA", "ASTLIB_WEIGHTS") if os.environ.get(name)]
    traces = []
    for root in (*(Path(name).expanduser() for name in named), cache / "data", cache / "weights"):
        for path in sorted([root, *root.glob("*"), *root.glob("*/*")]):
            if path.exists():
                stat = path.stat()
                traces.append(f"{path} {stat.st_mtime_ns} {stat.st_size if path.is_file() else ''}")
    return traces


def common_digest() -> str:
    """Return a digest of everything that all chapters depend on, besides the chapter itself."""
    digest = hashlib.sha256(f"{sys.version} {found_data()}".encode())
    files = [ROOT / "requirements.txt", ROOT / "ci" / "constraints.txt"]
    for folder in ("astlib", "models", "results"):
        files += sorted(path for path in (ROOT / folder).rglob("*") if path.is_file())
    for path in files:
        if path.suffix != ".pyc":
            digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()


def digest_of(notebook: Path, common: str, profile: str, parameters: dict) -> str:
    recipe = json.dumps([common, profile, parameters], sort_keys=True).encode()
    return hashlib.sha256(recipe + notebook.read_bytes()).hexdigest()


def stage() -> None:
    """Copy the configuration and the pages; keep executed chapters, except those that are no longer listed."""
    shutil.rmtree(SOURCE / "book", ignore_errors=True)
    shutil.copytree(ROOT / "book", SOURCE / "book", ignore=shutil.ignore_patterns("__pycache__"))
    traps.write()
    shutil.copy(ROOT / "_config.yml", SOURCE / "_config.yml")
    (SOURCE / "notebooks").mkdir(exist_ok=True)
    listed = {path.name for path in chapters()}
    for path in (SOURCE / "notebooks").glob("*.ipynb"):
        if path.name not in listed:
            path.unlink()


def explain(error: Exception, stalled: bool) -> str:
    """What went wrong with a chapter, for the person who started it."""
    if stalled:
        return (
            f"nothing was computed for {STALL_SECONDS // 60} minutes, so it was stopped; the last cell may wait for "
            "input or for a network"
        )
    if isinstance(error, PapermillExecutionError):
        return f"cell {error.exec_count}: {error.ename}: {error.evalue}".strip()
    if isinstance(error, DeadKernelError):
        return "the kernel died; often the memory was not enough"
    return f"{type(error).__name__}: {error}"


class Watch(threading.Thread):
    """Looks at the kernel that this process has started: its memory, its progress, and whether it has stalled.

    Attributes:
        memory: the most, in bytes, that the processes started from here held together.
        stalled: whether the kernel was stopped because it computed nothing.
    """

    def __init__(self, output: Path | None = None, every: float = 0.2) -> None:
        super().__init__(daemon=True)
        self.output, self.every, self.memory, self.stalled = output, every, 0, False
        self.over = threading.Event()

    def __enter__(self) -> "Watch":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.join()

    def run(self) -> None:
        started = reported = busy = time.monotonic()
        used = 0.0
        while not self.over.wait(self.every):
            now = time.monotonic()
            with contextlib.suppress(psutil.NoSuchProcess):  # one of them has just ended
                children = psutil.Process().children(recursive=True)
                self.memory = max(self.memory, sum(child.memory_info().rss for child in children))
                seconds = sum(sum(child.cpu_times()[:2]) for child in children)
                if abs(seconds - used) > 0.01 * (now - busy):  # an idle kernel uses less than 1 % of a core
                    used, busy = seconds, now
                if now - busy > STALL_SECONDS:
                    self.stalled = True
                    for child in children:
                        child.kill()
            if self.output is not None and now - reported >= REPORT_SECONDS:
                reported = now
                print(f"{self.output.stem}: {progress(self.output)}{now - started:.0f} s so far", flush=True)


def progress(output: Path) -> str:
    """Which cell a chapter has reached, as papermill notes it in the notebook that it writes."""
    try:
        cells = [
            cell for cell in json.loads(output.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"
        ]
    except (OSError, ValueError):  # not there yet, or just being written
        return ""
    done = sum(cell["metadata"].get("papermill", {}).get("status") == "completed" for cell in cells)
    return f"{done} of {len(cells)} code cells, "


@dataclass(frozen=True)
class Outcome:
    """What came of a chapter: what went wrong, if anything, seconds, and bytes of memory."""

    problem: str | None
    seconds: float
    memory: int


def run(notebook: Path, output: Path, parameters: dict) -> Outcome:
    """Execute one chapter."""
    start, problem = time.perf_counter(), None
    with Watch(output) as watch:
        try:
            notebooks.execute(notebook, output, parameters)
        except (PapermillExecutionError, DeadKernelError, RuntimeError) as error:
            problem = explain(error, watch.stalled)
    if problem is None:
        strip(output)
    return Outcome(problem, round(time.perf_counter() - start, 1), watch.memory)


def strip(output: Path) -> None:
    """Make an executed chapter ready for its page: without times of this machine, in myst-nb's words."""
    notebook = nbformat.read(output, as_version=4)
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = joined(cell.outputs)
        image = cell.metadata.get("mystnb", {}).get("image", {})
        if "class" in image:
            image["classes"] = image.pop("class")  # as myst-nb calls it for pictures; it passes over "class"
    notebook.cells = [part for cell in notebook.cells for part in apart(cell)]
    nbformat.write(notebook, output)


def joined(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Join pieces of printed text that follow each other; a table between two of them stays between them."""
    kept: list[nbformat.NotebookNode] = []
    for output in outputs:
        if output.output_type == "stream" and kept and kept[-1].get("name") == output.name:
            kept[-1].text += output.text
        else:
            kept.append(output)
    return kept


def is_picture(data: dict) -> bool:
    """Whether an output is a picture, a slider over pictures, or a player with one (`astlib.widgets`)."""
    page = data.get("text/html", "")
    return "image/png" in data or 'class="flipbook"' in page or 'class="player-picture"' in page


def apart(cell: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Split a cell that shows tables and a figure in two: caption and label belong to the picture (or slider)."""
    outputs = cell.get("outputs", [])
    pictures = [output for output in outputs if is_picture(output.get("data", {}))]
    if "figure" not in cell.metadata.get("mystnb", {}) or not pictures or sum("data" in o for o in outputs) < 2:
        return [cell]
    figure = nbformat.v4.new_code_cell(
        source="# the figure of the cell above",  # an empty cell would be left out
        id=f"{cell.id[:57]}-figure",
        metadata={"mystnb": cell.metadata.pop("mystnb"), "tags": ["remove-input"]},
        execution_count=cell.execution_count,
        outputs=[pictures[-1]],
    )
    cell.outputs = [output for output in outputs if output is not pictures[-1]]
    return [cell, figure]


def read(path: Path) -> dict:
    return json.loads(path.read_text()) if path.exists() else {}


def execute(chosen: dict[Path, dict], at_once: int) -> Iterator[tuple[Path, Outcome]]:
    """Run chapters, several at once if asked to; gives each as soon as it is done."""
    if at_once > 1:
        os.environ["OMP_NUM_THREADS"] = str(
            max(1, (os.cpu_count() or 1) // at_once)
        )  # else their threads get in the way
    # A process of its own for each chapter, so that its memory and its stalling can be told from the others'.
    with ProcessPoolExecutor(at_once, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
        running = {
            pool.submit(run, notebook, SOURCE / "notebooks" / notebook.name, parameters): notebook
            for notebook, parameters in chosen.items()
        }
        for future in as_completed(running):
            yield running[future], future.result()


def main() -> None:
    arguments = parse()
    isolate_jupyter()
    os.chdir(ROOT)
    selected = select(arguments.only)
    chosen = assign(selected, arguments.parameters, arguments.profile)
    stage()
    state, times, memory, common, failed = read(EXECUTED), read(TIMES), read(MEMORY), common_digest(), []
    digests = {path: digest_of(path, common, arguments.profile, parameters) for path, parameters in chosen.items()}
    for path, digest in digests.items():
        name = path.stem
        if not arguments.force and (SOURCE / "notebooks" / path.name).exists() and state.get(name) == digest:
            print(f"{name}: unchanged ({times[name]:.1f} s when it ran)", flush=True)
            del chosen[path]
    shown = "".join(f", {pair}" for pair in arguments.parameters)
    if chosen:
        print(f"executing {len(chosen)} chapters, profile {arguments.profile}{shown} …", flush=True)
        for path in chosen:
            state.pop(path.stem, None)
        EXECUTED.write_text(json.dumps(state, indent=1))
    for path, outcome in execute(chosen, arguments.at_once):
        name = path.stem
        times[name], memory[name] = outcome.seconds, outcome.memory
        if outcome.problem:
            output = (SOURCE / "notebooks" / path.name).relative_to(ROOT)
            failed.append(
                f"{name}: {outcome.problem}\n  the traceback is in {output}; once it is mended, run\n"
                f"  .venv/bin/python ci/execute.py --only {name[:2]}"
            )
            print(f"{name}: FAILED after {outcome.seconds:.1f} s", flush=True)
        else:
            state[name] = digests[path]
            print(f"{name}: {outcome.seconds:.1f} s", flush=True)
        EXECUTED.write_text(json.dumps(state, indent=1))
        TIMES.write_text(json.dumps(times, indent=1))
        MEMORY.write_text(json.dumps(memory, indent=1))
    if failed:
        fail(f"{len(failed)} of {len(selected)} chapters failed\n" + "\n".join(failed))


if __name__ == "__main__":
    main()
