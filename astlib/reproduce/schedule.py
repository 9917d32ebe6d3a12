"""Which runs of the cells are missing, what they cost, and how they are started.

They run on the devices of this machine, or as a job array on a cluster with Slurm.

Chapter: notebooks/12_the_ablations.ipynb
"""

import os
import queue
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

from ..errors import InvalidInput
from ..ledger import provenance
from ..ledger.ledger import Ledger
from ..recipes import Recipe
from ..table import Table, duration
from . import costs
from .cells import AnyCell, Ensemble
from .jobs import jobs_of, join, record_of

Hours = tuple[float, float]  # the least and the most that a run may take


def missing(cells: Sequence[AnyCell], ledger: Ledger) -> list[int]:
    """List the jobs that no record serves.

    Args:
        cells: any number of cells.
        ledger: all records.

    Returns:
        Their positions in `astlib.reproduce.jobs_of(cells)`.
    """
    return [number for number, job in enumerate(jobs_of(cells)) if record_of(job, ledger) is None]


def plan(cells: Sequence[AnyCell], ledger: Ledger | None = None) -> Table:
    """List every run of the cells: whether it is done or missing, and what a missing one costs on each card.

    Args:
        cells: any number of cells.
        ledger: all records; None reads them.

    Returns:
        One row per job, with the number that `astlib reproduce --job` takes, and a row of sums.
    """
    ledger = Ledger() if ledger is None else ledger
    cards = [*costs.CARDS, "cpu"]
    rows: list[list[object]] = []
    totals: dict[str, Hours] = dict.fromkeys(cards, (0.0, 0.0))
    unknown: Counter[str] = Counter()
    left = 0
    for number, job in enumerate(jobs_of(cells)):
        record = record_of(job, ledger)
        if record is not None:
            state = f"done: {record.id.rsplit('-', 1)[1]}, {duration(record.wall_seconds)}"
            rows.append([number, job.cell.name, job.fold, job.seed, state, *("" for _ in cards)])
            continue
        left += 1
        words = []
        for card in cards:
            spent = estimated_hours(job.recipe, card, ledger)
            if spent is None:
                unknown[card] += 1
            else:
                totals[card] = totals[card][0] + spent[0], totals[card][1] + spent[1]
            words.append("not measured" if spent is None else costs.in_words(*spent))
        rows.append([number, job.cell.name, job.fold, job.seed, "missing", *words])
    sums = []
    for card in cards:
        parts = [costs.in_words(*totals[card])] if any(totals[card]) else []
        sums.append(", ".join([*parts, f"{unknown[card]} not measured"] if unknown[card] else parts))
    rows.append(["", "", "", "", f"{left} of {len(rows)} missing", *sums])
    return Table(["job", "cell", "fold", "seed", "state", *cards], rows)


def estimated_hours(recipe: Recipe, card: str, ledger: Ledger) -> Hours | None:
    """Estimate the hours of a run, with as many clips as its recipe had in earlier runs.

    A copy of a data set need not be the whole: the nine words of the tiny scale are 5,000 clips of Speech Commands.

    Args:
        recipe: of the run.
        card: a name of `astlib.reproduce.costs.CARDS`, or "cpu".
        ledger: all records.

    Returns:
        Least and most, see `astlib.reproduce.costs.hours`; None if nothing is known of this network on a CPU.
    """
    sizes = {
        (record.data["train"]["clips"], record.data["test"]["clips"]) for record in ledger.select(recipe=recipe.name)
    }
    return costs.hours(recipe, card, ledger.records, max(sizes, default=None))


def run_missing(cells: Sequence[AnyCell], gpus_per_run: int = 1, runs_per_gpu: int = 1) -> int:
    """Carry out the missing runs, as many at a time as there are devices. The same call continues where it was stopped.

    Every run is a process of its own, so that a crash does not harm the others. Ensembles are joined at the end.

    Args:
        cells: cells of one scale.
        gpus_per_run: number of GPUs that share one run.
        runs_per_gpu: number of runs that share one GPU, for tiny networks, which leave a large card idle.

    Returns:
        How many runs failed.

    Raises:
        InvalidInput: both numbers are above one; or an ensemble cannot be joined, see `astlib.reproduce.jobs.join`.
        NotFound: the scores of an ensemble's members are not here.
    """
    if gpus_per_run > 1 and runs_per_gpu > 1:
        raise InvalidInput(f"either a run has several GPUs or shares one; found {gpus_per_run} and {runs_per_gpu}")
    everything, todo = jobs_of(cells), missing(cells, Ledger())
    gpus = torch.cuda.device_count()
    cards = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(gpus)))).split(",")
    slots: queue.Queue[list[int]] = queue.Queue()
    for first in range(0, max(1, gpus - gpus_per_run + 1), gpus_per_run):
        for _ in range(runs_per_gpu):
            slots.put(list(range(first, min(gpus, first + gpus_per_run))))
    # Without a limit each process would start as many threads as there are cores.
    threads = max(1, (os.cpu_count() or 1) // (slots.qsize() * gpus_per_run))

    def run(number: int) -> int:
        slot, job = slots.get(), everything[number]
        words = [sys.executable, "-m", "astlib.cli", "reproduce", job.cell.table, job.cell.name]
        own = jobs_of([job.cell]).index(job)
        try:
            environment = {"OMP_NUM_THREADS": str(threads), **os.environ}
            if gpus:
                environment["CUDA_VISIBLE_DEVICES"] = ",".join(cards[place] for place in slot)
            return subprocess.run([*words, "--scale", job.cell.scale, "--job", str(own)], env=environment).returncode
        finally:
            slots.put(slot)

    with ThreadPoolExecutor(slots.qsize()) as pool:
        failed = sum(map(bool, pool.map(run, todo)))
    ensembles = [cell for cell in cells if isinstance(cell, Ensemble)]
    if ensembles and not failed:
        ledger = Ledger()
        for cell in ensembles:
            join(cell, ledger)
    return failed


def slurm(table: str, cell: str, cells: Sequence[AnyCell], card: str = "A100", gpus_per_run: int = 1) -> str:
    """Write the missing runs as a job array for Slurm.

    A run that was killed at its time limit continues when the same script is submitted again.

    Args:
        table: name of the table, as `astlib reproduce` takes it.
        cell: name of one of its cells, or "".
        cells: the cells that these two names select, of one scale.
        card: a name of `astlib.reproduce.costs.CARDS`, for the time limit.
        gpus_per_run: number of GPUs that share one run.

    Returns:
        The script, for `sbatch FILE`.

    Raises:
        InvalidInput: the card is unknown, or nothing is missing.
    """
    if card not in costs.CARDS:
        raise InvalidInput(f"a job array is for GPUs: the card must be one of {', '.join(costs.CARDS)}, found {card!r}")
    ledger = Ledger()
    everything, todo = jobs_of(cells), missing(cells, ledger)
    if not todo:
        raise InvalidInput(f"nothing is missing in {table} {cell}".rstrip())
    spent = [estimated_hours(everything[number].recipe, card, ledger) for number in todo]
    longest = max(most for _, most in filter(None, spent)) / gpus_per_run
    wanted, scale = f"{table} {cell}".strip(), cells[0].scale
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
    """Say why records that are made now would be refused.

    Returns:
        One sentence per reason; an empty list if they would count.
    """
    commit, dirty = provenance.git_state()
    if commit is None:
        return ["this astlib is not in a checkout: records would name no commit, and they would be refused"]
    return ["the checkout has changes: records would be refused until they are committed"] if dirty else []
