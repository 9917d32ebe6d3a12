"""All folds of a data set, one run after the other: every clip is tested once, by a network that never heard it.

Chapter: notebooks/15_your_own_sounds.ipynb
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from .. import data
from ..data.registry import Parts
from ..errors import InvalidInput
from ..ledger.record import Record
from ..recipes import Recipe
from .fit import fit
from .options import Options


@dataclass(frozen=True)
class FoldRun:
    """The run that was tested on one fold.

    Attributes:
        fold: its number.
        out: folder of the run.
        parts: of its data.
        record: of the run.
    """

    fold: int
    out: Path
    parts: Parts
    record: Record


def fold_numbers(parts: Parts) -> list[int]:
    """List the folds that a data set can be tested on.

    Args:
        parts: of one fold.

    Returns:
        Their numbers, in order.

    Raises:
        InvalidInput: it has no folds.
    """
    folds = {int(fold) for part in parts if part is not None for fold in getattr(part, "folds", None) or ()}
    if not folds - {0}:
        raise InvalidInput(f"{parts.test.name} is divided into parts for training and testing, so it has no folds")
    return sorted(folds - {0})  # 0: clips that are for training in every fold


def fit_folds(
    recipe: Recipe,
    out: str | Path,
    folds: Sequence[int],
    root: str | Path | None = None,
    resume: bool = True,
    options: Options | None = None,
) -> Iterator[FoldRun]:
    """Train once for each fold, into `out/fold-N`. The same call again continues with what is missing.

    Args:
        recipe: what is run; its fold is replaced.
        out: folder for the folders of the runs.
        folds: their numbers.
        root: folder of the data; None looks where `astlib.paths.data_folders` says.
        resume: False refuses to resume an unfinished run.
        options: how the runs are carried out.

    Yields:
        Each run when it is finished.

    Raises:
        InvalidInput: the data set does not have such a fold, or as in `astlib.train.fit`.
    """
    for fold in folds:
        run, folder = recipe.replace(fold=fold), Path(out) / f"fold-{fold}"
        parts = data.parts(run.dataset, fold, run.selection == "validation", root, run.group, run.folds)
        record = fit(run, folder, parts.train, parts.test, parts.validation, resume=resume, options=options)
        yield FoldRun(fold, folder, parts, record)


def over_folds(records: Sequence[Record]) -> str:
    """Say what the runs of several folds come to: mean and spread of the recipe's metric.

    Args:
        records: of the runs, one or more.

    Returns:
        One line.
    """
    metric: str = records[0].parameters["metric"]
    scores = [math.nan if (value := record.metrics[metric]) is None else float(value) for record in records]
    spread = f", standard deviation {stdev(scores):.3f}" if len(scores) > 1 else ""
    return f"{metric}, mean of {len(scores)} folds: {mean(scores):.3f}{spread}, {min(scores):.3f} to {max(scores):.3f}"
