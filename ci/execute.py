"""Execute the chapters with papermill into _build/src/notebooks and stage the pages of the book beside them.

    python ci/execute.py                                # every chapter, profile quick
    python ci/execute.py --only 09 --profile full -p fold=2 -p seed=1

A chapter that fails leaves its notebook with the traceback; the others still run; the exit status is 1. A chapter
is run again only if something it depends on changed: the notebook, astlib, models, results, requirements,
profile, parameters, or the data and weights that are found.
"""

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import sys
import threading
import time
from pathlib import Path

import nbformat
import psutil
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError

import traps
from astlib import notebooks
from common import EXECUTED, MEMORY, ROOT, SOURCE, TIMES, chapters, fail, isolate_jupyter

CELL_SECONDS = {"quick": 300, "full": None}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--profile", choices=list(CELL_SECONDS), default="quick", help="default: quick")
    parser.add_argument("--only", nargs="+", metavar="NN", help="numbers of chapters, as 01 05")
    parser.add_argument("-p", dest="parameters", action="append", default=[], metavar="NAME=VALUE",
                        help="a parameter of a chapter; can be given again")
    parser.add_argument("--force", action="store_true", help="run again even what did not change")
    return parser.parse_args()


def select(numbers: list[str] | None) -> list[Path]:
    """The chapters with these numbers ("1" and "01" both mean 01), or all of them."""
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
    """Which parameters each chapter gets: those it declares. A name that none of them declares is refused."""
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
        return {path: notebooks.checked(path, {name: text for name, text in texts.items() if name in known[path]})
                for path in paths}
    except ValueError as error:
        fail(str(error))


def found_data() -> list[str]:
    """Traces of the data and weights that a chapter could find: names, sizes and times, two levels deep."""
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
    """Digest of all that every chapter depends on besides itself."""
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
    """Copy the configuration and the pages; the executed chapters stay, those no longer listed go."""
    shutil.rmtree(SOURCE / "book", ignore_errors=True)
    shutil.copytree(ROOT / "book", SOURCE / "book", ignore=shutil.ignore_patterns("__pycache__"))
    traps.write()
    shutil.copy(ROOT / "_config.yml", SOURCE / "_config.yml")
    (SOURCE / "notebooks").mkdir(exist_ok=True)
    listed = {path.name for path in chapters()}
    for path in (SOURCE / "notebooks").glob("*.ipynb"):
        if path.name not in listed:
            path.unlink()


def explain(error: Exception) -> str:
    if isinstance(error, PapermillExecutionError):
        return f"cell {error.exec_count}: {error.ename}: {error.evalue}".strip()
    if isinstance(error, CellTimeoutError):
        return "a cell took longer than allowed: " + str(error).splitlines()[0]
    if isinstance(error, DeadKernelError):
        return "the kernel died; often the memory was not enough"
    return f"{type(error).__name__}: {error}"


@contextlib.contextmanager
def watched(every: float = 0.2):
    """Gives a list; its only entry is the most memory, in bytes, that the processes started from here held together."""
    most, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(every):
            with contextlib.suppress(psutil.NoSuchProcess):  # one of them has just ended
                children = psutil.Process().children(recursive=True)
                most[0] = max(most[0], sum(child.memory_info().rss for child in children))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        over.set()
        thread.join()


def run(notebook: Path, output: Path, parameters: dict, profile: str) -> str | None:
    """Execute one chapter. Returns None, or what went wrong."""
    try:
        notebooks.execute(notebook, output, parameters, CELL_SECONDS[profile])
    except (PapermillExecutionError, CellTimeoutError, DeadKernelError, RuntimeError) as error:
        return explain(error)
    notebook = nbformat.read(output, as_version=4)  # the page and its download carry no times of this machine
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
    notebook.cells = [part for cell in notebook.cells for part in apart(cell)]
    nbformat.write(notebook, output)
    return None


def apart(cell: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """A cell that shows tables and a figure, as two: caption and label belong to its last picture, not to tables."""
    outputs = cell.get("outputs", [])
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    if "figure" not in cell.metadata.get("mystnb", {}) or not pictures or sum("data" in o for o in outputs) < 2:
        return [cell]
    figure = nbformat.v4.new_code_cell(
        source="# the figure of the cell above",  # an empty cell would be left out
        id=f"{cell.id[:57]}-figure", metadata={"mystnb": cell.metadata.pop("mystnb"), "tags": ["remove-input"]},
        execution_count=cell.execution_count, outputs=[pictures[-1]])
    cell.outputs = [output for output in outputs if output is not pictures[-1]]
    return [cell, figure]


def read(path: Path) -> dict:
    return json.loads(path.read_text()) if path.exists() else {}


def main() -> None:
    arguments = parse()
    isolate_jupyter()
    os.chdir(ROOT)
    selected = select(arguments.only)
    chosen = assign(selected, arguments.parameters, arguments.profile)
    stage()
    state, times, memory, common, failed = read(EXECUTED), read(TIMES), read(MEMORY), common_digest(), []
    for notebook, parameters in chosen.items():
        name, output = notebook.stem, SOURCE / "notebooks" / notebook.name
        digest = digest_of(notebook, common, arguments.profile, parameters)
        if not arguments.force and output.exists() and state.get(name) == digest:
            print(f"{name}: unchanged ({times[name]:.1f} s when it ran)", flush=True)
            continue
        shown = "".join(f", {key}={value}" for key, value in parameters.items() if key != "profile")
        print(f"{name}: executing, profile {arguments.profile}{shown} …", flush=True)
        state.pop(name, None)
        EXECUTED.write_text(json.dumps(state, indent=1))
        start = time.perf_counter()
        with watched() as most:
            problem = run(notebook, output, parameters, arguments.profile)
        memory[name] = most[0]
        times[name] = round(time.perf_counter() - start, 1)
        if problem:
            failed.append(f"{name}: {problem}\n  the traceback is in {output.relative_to(ROOT)}")
            print(f"{name}: FAILED after {times[name]:.1f} s", flush=True)
        else:
            state[name] = digest
            print(f"{name}: {times[name]:.1f} s", flush=True)
        EXECUTED.write_text(json.dumps(state, indent=1))
        TIMES.write_text(json.dumps(times, indent=1))
        MEMORY.write_text(json.dumps(memory, indent=1))
    if failed:
        fail(f"{len(failed)} of {len(selected)} chapters failed\n" + "\n".join(failed))


if __name__ == "__main__":
    main()
