"""Jobs: the runs of a cell, one per fold and seed. Which record serves a job, and how it is carried out.

Carrying out a job means to execute its chapter by papermill: parameters in, an executed notebook and a record out.

Chapter: notebooks/12_the_ablations.ipynb
"""

import functools
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from .. import data, notebooks, paths, scores
from ..data.report import ENOUGH
from ..errors import AstlibError, InvalidInput, NotFound
from ..ledger.ledger import Ledger
from ..ledger.record import Record, finite, new_record, record_id, seal
from ..recipes import RECIPES, Recipe
from ..train import Options, fit
from . import costs
from .cells import AnyCell, Cell, Ensemble, select


@dataclass(frozen=True)
class Job:
    """One run of a cell.

    Attributes:
        cell: the cell.
        fold: the fold to test on.
        seed: seed of every random draw.
    """

    cell: Cell
    fold: int
    seed: int

    @property
    def recipe(self) -> Recipe:
        """The recipe of the cell, with the fold and the seed of this run."""
        return _recipe(self.cell, self.fold, self.seed)

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.cell.name.replace('/', '-')}-fold{self.fold}-seed{self.seed}"

    @property
    def out(self) -> Path:
        """Folder of its checkpoints, its model, its record and the executed notebook."""
        return paths.runs() / self.cell.scale / self.name


@functools.lru_cache(maxsize=2048)
def _recipe(cell: Cell, fold: int, seed: int) -> Recipe:
    """Making a recipe checks all its values; tables ask for the same ones again and again."""
    return cell.recipe.replace(fold=fold, seed=seed)


def job(cell: str, scale: str = "tiny", fold: int = 1, seed: int = 0) -> Job:
    """Return the job that a chapter's parameters name, such as `job("position/nearest", fold=2)`.

    Args:
        cell: "table/cell".
        scale: "paper", "tiny" or "try".
        fold: the fold to test on.
        seed: seed of every random draw.

    Returns:
        The job.

    Raises:
        InvalidInput: the tables have no such cell, fold or seed; the message says what there is.
    """
    table, _, name = cell.partition("/")
    if not name:
        raise InvalidInput(f"a cell is named table/cell, such as position/nearest; found {cell!r}")
    selected = select(table, name, scale)[0]
    if isinstance(selected, Ensemble):
        members = ", ".join(member.name for member in selected.members)
        raise InvalidInput(f"{cell} is an ensemble of {members}: run those, then `astlib reproduce`")
    for what, value, known in (("fold", fold, selected.folds), ("seed", seed, selected.seeds)):
        if type(value) is not int or value not in known:
            raise InvalidInput(f"{what} of {cell} must be one of {', '.join(map(str, known))}; found {value!r}")
    return Job(selected, fold, seed)


def jobs_of(cells: Iterable[AnyCell]) -> list[Job]:
    """List every run that the cells need, each once: cells of several tables can share runs.

    Args:
        cells: any number of cells.

    Returns:
        The jobs. Their positions are the numbers that `astlib reproduce --job` takes.
    """
    by_recipe: dict[Recipe, Job] = {}
    for cell in cells:
        for part in cell.members if isinstance(cell, Ensemble) else (cell,):
            for seed in part.seeds:
                for fold in part.folds:
                    job = Job(part, fold, seed)
                    by_recipe.setdefault(job.recipe, job)
    return list(by_recipe.values())


def record_of(job: Job, ledger: Ledger) -> Record | None:
    """Find the record that serves a job.

    Args:
        job: the run.
        ledger: all records.

    Returns:
        The record, see `records_of`; None if there is none.
    """
    return records_of(job.cell, ledger).get((job.fold, job.seed))


def records_of(cell: Cell, ledger: Ledger) -> dict[tuple[int, int], Record]:
    """Find the records that serve the jobs of a cell.

    Of several records of a job the one counts whose precision most runs of the cell have, see `Ledger.find`. All have
    one version of the random draws: that of most runs of the cell, or the latest.

    Args:
        cell: the cell.
        ledger: all records.

    Returns:
        Fold and seed to the record, seed by seed and fold by fold. Runs that were not done are not there.
    """
    jobs = [Job(cell, fold, seed) for seed in cell.seeds for fold in cell.folds]
    precisions: Counter[str] = Counter()  # precision -> how many runs of the cell were made in it
    draws: Counter[int] = Counter()  # version of the draws -> how many runs of the cell have it
    for job in jobs:
        there = ledger.serving(job.recipe)
        precisions.update({record.hardware["precision"] for record in there})
        draws.update({record.draws for record in there})
    chosen = max(draws, key=lambda version: (draws[version], version), default=None)
    found = {(job.fold, job.seed): ledger.find(job.recipe, prefer=precisions, draws=chosen) for job in jobs}
    return {key: record for key, record in found.items() if record is not None}


def record_of_ensemble(cell: Ensemble, ledger: Ledger) -> Record | None:
    """Find the record of an ensemble whose members are the records that serve its runs now.

    Args:
        cell: the ensemble.
        ledger: all records.

    Returns:
        The record, or None.
    """
    ids = [record.id for job in jobs_of([cell]) if (record := record_of(job, ledger))]
    return ledger.ensemble(cell.name.replace("/", "-"), ids)


def train(job: Job, progress: bool = True) -> Record:
    """Carry out a run, or continue it, on every GPU that this process can see.

    Args:
        job: the run.
        progress: whether to show a progress bar, and one line per epoch.

    Returns:
        Its record, which is also `job.out/run.json`; in a checkout a copy goes into the ledger.

    Raises:
        AstlibError: the run failed; `astlib.train.fit` says how it can.
    """
    gpus = torch.cuda.device_count()
    if gpus > 1:
        done = subprocess.run(command(job, gpus))
        if done.returncode:
            raise AstlibError(f"{job.name} failed with exit status {done.returncode}; its messages are above")
        record = Record.load(job.out / "run.json")
    else:
        record = fit(job.recipe, job.out, options=options_of(job.recipe, gpus, progress))
    keep(record)
    return record


def options_of(recipe: Recipe, gpus: int, progress: bool = True) -> Options:
    """Choose how a run is carried out.

    Args:
        recipe: of the run.
        gpus: number of GPUs that share it; 0 on a CPU.
        progress: whether to show a progress bar, and one line per epoch.

    Returns:
        As many loader processes as the CPU cores allow, or none for a small data set, which is kept in memory. Every
        copy of AudioSet lacks clips, so 80 % of them are enough: the public copy's evaluation part has 17,142 of
        20,371.
    """
    small = costs.clips_of(recipe)[0] <= 10_000
    workers = 0 if small else max(1, (os.cpu_count() or 1) // max(1, gpus) - 1)
    return Options(workers=workers, require=0.8 if recipe.dataset.startswith("audioset") else ENOUGH, progress=progress)


def command(job: Job, gpus: int) -> list[str]:
    """Return the command that carries out a job on several GPUs: torchrun with `astlib train`.

    Args:
        job: the run.
        gpus: number of GPUs that share it.

    Returns:
        The words of the command. Every value in which the job's recipe differs from the one of its name is a `--set`.
    """
    recipe, options = job.recipe, options_of(job.recipe, gpus)
    base = asdict(RECIPES[recipe.name])
    changes = [f"{key}={value}" for key, value in asdict(recipe).items() if base[key] != value]
    return [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={gpus}"),
        *("-m", "astlib.cli", "train", "--recipe", recipe.name, "--out", str(job.out)),
        *("--workers", str(options.workers), "--require", str(options.require)),
        *(word for change in changes for word in ("--set", change)),
    ]


def keep(record: Record) -> None:
    """Copy a record into the ledger of the checkout that astlib runs from. An installed astlib has no such ledger.

    Args:
        record: of a finished run. A record on sounds made in code is not copied.

    Raises:
        OSError: the ledger cannot be written.
    """
    if paths.checkout() is not None and not record.data["synthetic"]:
        record.save(paths.results() / "runs")


def execute_job(job: Job) -> Path:
    """Carry out a job by executing its chapter with papermill.

    Args:
        job: the run.

    Returns:
        The executed notebook, which lies beside the record.

    Raises:
        AstlibError: the chapter failed. The message has its error, and says where the notebook with the traceback is.
        MissingPackage: papermill is not installed.
    """
    chapter = notebooks.folder() / f"{job.cell.chapter}.ipynb"
    given = {"cell": job.cell.name, "scale": job.cell.scale, "fold": job.fold, "seed": job.seed}
    output = job.out / chapter.name
    job.out.mkdir(parents=True, exist_ok=True)
    parameters = notebooks.checked(chapter, given)
    from papermill.exceptions import (
        PapermillExecutionError,
    )  # `checked` has imported papermill, or said what is missing

    try:
        notebooks.execute(chapter, output, parameters)
    except PapermillExecutionError as error:
        found = f"{error.ename}: {error.evalue}"
        raise AstlibError(f"{job.name} failed: {found}. The traceback is in the executed notebook, {output}") from error
    return output


def join(cell: Ensemble, ledger: Ledger) -> Record:
    """Measure an ensemble from the scores that its members' runs saved, and copy its record into the ledger.

    Args:
        cell: the ensemble.
        ledger: has the members' records.

    Returns:
        The record of the ensemble.

    Raises:
        InvalidInput: a member was not run, or its record is refused.
        NotFound: a member's scores are not here. They stay in the folder of its run; the ledger has records alone.
    """
    parts = jobs_of([cell])
    members = [_member(cell, job, ledger) for job in parts]
    files = [job.out / "scores" / f"epoch-{job.recipe.epochs:03d}.npz" for job in parts]
    if gone := [file for file in files if not file.is_file()]:
        raise NotFound(f"{cell.name} needs the scores of its runs: {gone[0]} is not here")
    first = parts[0].recipe
    test = data.parts(first.dataset, first.fold).test
    result = finite(scores.evaluate_ensemble(files, test))
    record = new_record(
        first.replace(name=cell.name.replace("/", "-")),
        {"test": test},
        {"source": "ensemble", "hash": None},
        torch.device("cpu"),
        processes=1,
        precision="float32",
    )
    record.parameters["members"] = [member.id for member in members]
    record.id = record_id(record.parameters, record.data, record.weights)
    record.metrics = {"rule": f"mean of {len(files)} networks' probabilities", "epoch": None, **result}
    record.seal = seal(record)
    keep(record)
    return record


def _member(cell: Ensemble, job: Job, ledger: Ledger) -> Record:
    """The record that serves a job of an ensemble."""
    record = record_of(job, ledger)
    if record is not None:
        return record
    refused = [f"its record {name} is refused: {'; '.join(why)}" for name, why in ledger.refusals(job.recipe).items()]
    why = "; ".join(refused) or f"it was not run: astlib reproduce {job.cell.table} --scale {job.cell.scale}"
    raise InvalidInput(f"{cell.name} needs the run {job.name}, and {why}")
