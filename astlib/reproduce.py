"""Reproduction: the runs behind every cell of the paper's tables, what is done, what it costs, and how to run the rest.

A run is one execution of its chapter by papermill: parameters in, an executed notebook and a record out. What runs
where is somebody else's business: this machine's devices one by one, or a cluster's scheduler as an array of jobs.

Chapter: notebooks/12_the_ablations.ipynb
"""

import os
import queue
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from . import audit, costs, data, measure, provenance, tables
from .data.report import ENOUGH
from .ledger import Run, Table, duration, finite, load_runs, new_run, results_folder, run_id, seal, settings
from .recipes import RECIPES, Recipe
from .tables import Cell


@dataclass(frozen=True)
class Job:
    """One run of a cell: a fold and a seed."""

    cell: Cell
    fold: int
    seed: int
    scale: str

    @property
    def recipe(self) -> Recipe:
        return self.cell.recipe.replace(fold=self.fold, seed=self.seed)

    @property
    def name(self) -> str:
        return f"{self.cell.name.replace('/', '-')}-fold{self.fold}-seed{self.seed}"

    @property
    def out(self) -> Path:
        """Where checkpoints, the model and the executed notebook go."""
        return runs_folder() / self.scale / self.name


def runs_folder() -> Path:
    """`$ASTLIB_RUNS`, else `runs` in the checkout, or for an installed astlib in the current folder."""
    here = results_folder().parent if results_folder().name == "results" else Path.cwd()
    return Path(os.environ.get("ASTLIB_RUNS") or here / "runs").expanduser().absolute()


def job(cell: str, scale: str = "tiny", fold: int = 1, seed: int = 0) -> Job:
    """The run that a chapter's parameters name, such as `job("position/nearest", fold=2)`.

    Raises ValueError with what there is for a cell, fold or seed that the tables do not have.
    """
    table, _, name = cell.partition("/")
    if not name:
        raise ValueError(f"a cell is named table/cell, such as position/nearest; found {cell!r}")
    found = tables.cells(table, name, scale)[0]
    if found.recipe is None:
        raise ValueError(f"{cell} is an ensemble of {', '.join(found.members)}: run those, then `astlib reproduce`")
    for what, value, known in (("fold", fold, found.folds), ("seed", seed, found.seeds)):
        if type(value) is not int or value not in known:
            raise ValueError(f"{what} of {cell} must be one of {', '.join(map(str, known))}; found {value!r}")
    return Job(found, fold, seed, scale)


def jobs(cells: list[Cell], scale: str) -> list[Job]:
    """Every run that the cells stand on, each once: cells of several tables can share runs."""
    found: dict[Recipe, Job] = {}
    for cell in cells:
        for part in [cell] if cell.recipe else [tables.SCALES[scale][name] for name in cell.members]:
            for seed in part.seeds:
                for fold in part.folds:
                    one = Job(part, fold, seed, scale)
                    found.setdefault(one.recipe, one)
    return list(found.values())


# --- what is there -------------------------------------------------------------------------------------------


def serves(run: Run, recipe: Recipe) -> bool:
    """Whether a record is a run of this recipe, or begins with one.

    Without an average nothing in a run depends on how many epochs it will have, so the first epochs of a longer one
    are the shorter one, to the bit.
    """
    if "members" in run.parameters or run.parameters["name"] != recipe.name:
        return False
    theirs, wanted = settings(run), asdict(recipe)
    if recipe.selection == "last" and recipe.average == (0, 0) and theirs["epochs"] > wanted["epochs"]:
        theirs["epochs"] = wanted["epochs"]
    if not theirs["weights"] and run.weights["source"].startswith(f"imagenet, {wanted['weights']}"):
        theirs["weights"] = wanted["weights"]  # the weights that were found are those that are named
    return theirs == wanted


class Ledger:
    """All records that hold together, and those that are refused with the reasons.

    By default those of `results/runs` and of finished runs in `runs_folder()`.
    """

    def __init__(self, runs: list[Run] | None = None):
        self.runs, self.refused = [], {}
        if runs is None:
            runs = load_runs() + [Run.load(path) for path in sorted(runs_folder().glob("*/*/run.json"))]
        for run in {run.id: run for run in runs}.values():
            found = audit.problems(run)
            if found:
                self.refused[run.id] = found
            else:
                self.runs.append(run)

    def find(self, one: Job) -> Run | None:
        """The record that serves a job.

        Of several the one in whose precision most folds of the cell were run, then the one with the cell's own number
        of epochs, then float32.
        """
        there = [run for run in self.runs if serves(run, one.recipe)]
        if len(there) < 2:
            return there[0] if there else None
        folds = Counter()  # precision -> how many folds of the cell ran in it
        for fold in one.cell.folds:
            sibling = Job(one.cell, fold, one.seed, one.scale).recipe
            folds.update({run.hardware["precision"] for run in self.runs if serves(run, sibling)})

        def order(run: Run) -> tuple:
            precision = run.hardware["precision"]
            return -folds[precision], len(run.epochs) != one.recipe.epochs, precision != "float32", run.id

        return min(there, key=order)

    def ensemble(self, cell: Cell, scale: str) -> Run | None:
        """The record of an ensemble, if it joined the runs that count today."""
        ids = [run.id for one in jobs([cell], scale) if (run := self.find(one))]
        name = cell.name.replace("/", "-")
        return next((r for r in self.runs if r.recipe == name and r.parameters.get("members") == ids), None)


def missing(cells: list[Cell], scale: str, ledger: Ledger) -> list[int]:
    """The numbers of the jobs that no record serves."""
    return [number for number, one in enumerate(jobs(cells, scale)) if ledger.find(one) is None]


def plan(cells: list[Cell], scale: str, ledger: Ledger | None = None) -> Table:
    """Every run behind the cells: done or missing, and what it costs on each card. Numbers are those of `--job`."""
    ledger = ledger or Ledger()
    cards = [*costs.CARDS, "cpu"]
    rows, totals, unknown = [], dict.fromkeys(cards, (0.0, 0.0)), Counter()
    for number, one in enumerate(jobs(cells, scale)):
        run, spent = ledger.find(one), {card: hours(one.recipe, card, ledger.runs) for card in cards}
        if run is None:
            unknown.update(card for card in cards if spent[card] is None)
            totals = {card: tuple(map(sum, zip(totals[card], spent[card] or (0, 0), strict=True))) for card in cards}
        took = None if run is None else duration(run.wall_seconds)
        state = "missing" if run is None else f"done: {run.id.rsplit('-', 1)[1]}, {took}"
        words = ["" if run else costs.in_words(*spent[card]) if spent[card] else "not measured" for card in cards]
        rows.append([number, one.cell.name, one.fold, one.seed, state, *words])
    left = sum(row[4] == "missing" for row in rows)
    total = []
    for card in cards:
        parts = [costs.in_words(*totals[card])] if any(totals[card]) else []
        total.append(", ".join([*parts, f"{unknown[card]} not measured"] if unknown[card] else parts))
    rows.append(["", "", "", "", f"{left} of {len(rows)} missing", *total])
    return Table(["job", "cell", "fold", "seed", "state", *cards], rows)


def hours(recipe: Recipe, card: str, runs: list[Run]) -> tuple[float, float] | None:
    """`costs.hours` with the clips of the copy that is known here: the nine words of the tiny scale are 5,000 clips."""
    sizes = {
        (run.data["train"]["clips"], run.data["test"]["clips"]) for run in runs if run.recipe == recipe.name
    }  # fmt: skip
    return costs.hours(recipe, card, runs, max(sizes, default=None))


# --- running -------------------------------------------------------------------------------------------------


def train(one: Job, progress: bool = True) -> Run:
    """Do one run, or go on with it, on every GPU that this process can see; returns its record.

    The record is `out/run.json`, and in a checkout a copy goes into the ledger. Raises what `astlib.train.fit` raises.
    """
    from .train import fit

    gpus = torch.cuda.device_count()
    if gpus > 1:
        subprocess.run(command(one, gpus), check=True)
        run = Run.load(one.out / "run.json")
    else:
        workers, require = loaders(one.recipe, gpus), enough(one.recipe)
        run = fit(one.recipe, one.out, workers=workers, require=require, progress=progress)
    keep(run)
    return run


def enough(recipe: Recipe) -> float:
    """Share of the clips that must be usable. Every copy of AudioSet lacks some: the public one, whose evaluation part
    holds 17,142 of 20,371 clips, a sixth."""
    return 0.8 if recipe.dataset.startswith("audioset") else ENOUGH


def loaders(recipe: Recipe, gpus: int) -> int:
    """Loader processes a device: none for a small data set, which is kept in memory, else what the cores give."""
    if costs.clips_of(recipe)[0] <= 10_000:
        return 0
    return max(1, (os.cpu_count() or 1) // max(1, gpus) - 1)


def command(one: Job, gpus: int) -> list[str]:
    """What starts a job on several GPUs: torchrun with `astlib train`, and the recipe value by value."""
    recipe = one.recipe
    base = asdict(RECIPES[recipe.name])
    changes = [f"{key}={value}" for key, value in asdict(recipe).items() if base[key] != value]
    return [
        sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={gpus}", "-m", "astlib.cli",
        "train", "--recipe", recipe.name, "--out", str(one.out), "--workers", str(loaders(recipe, gpus)),
        "--require", str(enough(recipe)),
        *(word for change in changes for word in ("--set", change)),
    ]  # fmt: skip


def keep(run: Run) -> None:
    """Put a record into the ledger of the checkout that astlib runs from; an installed astlib has none.

    A run on sounds that were made in code is a try, and stays where it is.
    """
    if results_folder().name == "results" and not run.data["synthetic"]:
        run.save(results_folder() / "runs")


def execute(one: Job) -> Path:
    """Run one job's chapter by papermill; returns the executed notebook, which lies beside the record.

    Raises papermill's PapermillExecutionError with the chapter's own error in it.
    """
    from . import notebooks

    chapter = notebooks.folder() / f"{one.cell.chapter}.ipynb"
    given = {"cell": one.cell.name, "scale": one.scale, "fold": one.fold, "seed": one.seed}
    output = one.out / chapter.name
    one.out.mkdir(parents=True, exist_ok=True)
    notebooks.execute(chapter, output, notebooks.checked(chapter, given))
    return output


def run_missing(table: str, cell: str, scale: str, gpus_per_run: int = 1, runs_per_gpu: int = 1) -> int:
    """Run what is missing, as many at once as there are devices; returns how many failed. A second call goes on.

    Every run is a process of its own, so a crash of one loses nothing of the others.
    runs_per_gpu: of tiny networks, which leave a large card idle. Raises ValueError beside several `gpus_per_run`.
    """
    if gpus_per_run > 1 and runs_per_gpu > 1:
        raise ValueError(f"either a run has several GPUs or shares one; found {gpus_per_run} and {runs_per_gpu}")
    cells = tables.cells(table, cell, scale)
    todo = missing(cells, scale, Ledger())
    gpus = torch.cuda.device_count()
    cards = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(gpus)))).split(",")
    slots: queue.Queue[list[int]] = queue.Queue()
    for first in range(0, max(1, gpus - gpus_per_run + 1), gpus_per_run):
        for _ in range(runs_per_gpu):
            slots.put(list(range(first, min(gpus, first + gpus_per_run))))
    # Or each process would start as many threads as there are cores.
    threads = max(1, (os.cpu_count() or 1) // (slots.qsize() * gpus_per_run))
    command = [sys.executable, "-m", "astlib.cli", "reproduce", table, *([cell] if cell else []), "--scale", scale]

    def one(number: int) -> int:
        slot = slots.get()
        try:
            environment = {"OMP_NUM_THREADS": str(threads), **os.environ}
            if gpus:
                environment["CUDA_VISIBLE_DEVICES"] = ",".join(cards[place] for place in slot)
            return subprocess.run([*command, "--job", str(number)], env=environment).returncode
        finally:
            slots.put(slot)

    with ThreadPoolExecutor(slots.qsize()) as pool:
        failed = sum(map(bool, pool.map(one, todo)))
    for found in cells:
        if found.members and not failed:
            join(found, scale)
    return failed


def join(cell: Cell, scale: str) -> Run:
    """Measure an ensemble from the scores that its members' runs left, and put its record into the ledger.

    Raises FileNotFoundError if a member's run folder is not here: scores stay there, the ledger has records alone.
    """
    ledger, parts = Ledger(), jobs([cell], scale)
    found = [ledger.find(one) for one in parts]
    files = [one.out / "scores" / f"epoch-{one.recipe.epochs:03d}.npz" for one in parts]
    if gone := [file for file in files if not file.is_file()]:
        raise FileNotFoundError(f"{cell.name} needs the scores of its runs: {gone[0]} is not here")
    first = parts[0].recipe
    test = data.parts(first.dataset, first.fold)[2]
    result = finite(measure.evaluate_ensemble(files, test))
    run = new_run(first.replace(name=cell.name.replace("/", "-")), {"test": test},
                  {"source": "ensemble", "hash": None}, torch.device("cpu"), 1, "float32")  # fmt: skip
    run.parameters["members"] = [member.id for member in found]
    run.id = run_id(run.parameters, run.data, run.weights)
    run.metrics = {"rule": f"mean of {len(files)} networks' probabilities", "epoch": None, **result}
    run.seal = seal(run)
    keep(run)
    return run


def slurm(table: str, cell: str, scale: str, card: str = "A100", gpus_per_run: int = 1) -> str:
    """A job array for Slurm with the missing runs: `sbatch FILE`. What was killed at its time limit goes on when the
    same script is submitted again.

    card: of CARDS, for the time limit. Raises ValueError for an unknown one, or if nothing is missing.
    """
    cells, ledger = tables.cells(table, cell, scale), Ledger()
    everything, todo = jobs(cells, scale), missing(cells, scale, ledger)
    if not todo:
        raise ValueError(f"nothing is missing in {table} {cell}".rstrip())
    if card not in costs.CARDS:
        raise ValueError(f"a job array is for GPUs: the card must be one of {', '.join(costs.CARDS)}, found {card!r}")
    longest = max(hours(everything[number].recipe, card, ledger.runs)[1] for number in todo) / gpus_per_run
    wanted = f"{table} {cell}".strip()
    return f"""#!/bin/bash
# {wanted} at scale {scale}: {len(todo)} runs. From a checkout of the project: sbatch THIS_FILE
#SBATCH --job-name=astlib-{table}
#SBATCH --array={",".join(map(str, todo))}
#SBATCH --gres=gpu:{gpus_per_run}
#SBATCH --cpus-per-task={8 * gpus_per_run}
#SBATCH --time={max(1, round(1.5 * longest + 1))}:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --output=astlib-{table}-%a.log
cd "$SLURM_SUBMIT_DIR"
srun {sys.executable} -m astlib.cli reproduce {wanted} --scale {scale} --job "$SLURM_ARRAY_TASK_ID"
"""


def ready() -> list[str]:
    """What stands in the way of records that count, in words."""
    commit, dirty = provenance.git_state()
    if commit is None:
        return ["this astlib is not in a checkout: records would name no commit, and they would be refused"]
    return ["the checkout has changes: records would be refused until they are committed"] if dirty else []
