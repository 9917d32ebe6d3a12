"""The command `astlib evaluate`: how good a saved model is.

Chapter: notebooks/08_measuring.ipynb
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import torch
import typer
from torch import Tensor

from ..data.base import AudioDataset
from ..errors import InvalidInput
from .options import EMBEDDED, MODEL_HELP


def evaluate(
    model: Annotated[list[str] | None, typer.Option(help=f"{MODEL_HELP} Several are an ensemble.")] = None,
    data: Annotated[str, typer.Option(help="A data set: `astlib data list` shows them.")] = "esc50",
    fold: Annotated[int, typer.Option(min=1, max=5, help="The fold to test on, where there are folds.")] = 1,
    root: Annotated[Path | None, typer.Option(help="Folder of the data; by default where ASTLIB_DATA says.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Loader processes.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure a saved model, or the ensemble of several, on the test part of a data set."""
    from ..data import parts
    from ..ledger.record import finite
    from ..scores import evaluate_scores

    models = model or [EMBEDDED]
    test = parts(data, fold, root=root).test
    measured = [_measure(name, data, fold, test, workers) for name in models]
    names, metrics = measured[0].names, measured[0].metrics
    if len(models) > 1:
        together = torch.stack([found.probabilities for found in measured]).mean(dim=0)  # (clips, classes)
        metrics = evaluate_scores(together, names, test)
    result = finite(metrics)
    if as_json:
        typer.echo(json.dumps({"model": models, "data": data, "fold": fold, "clips": len(names), **result}))
        return
    place = f"fold {fold} of {data}" if test.folds is not None else data
    typer.echo(f"{' + '.join(models)} on {place}, {len(names)} clips")
    for name, value in result.items():
        typer.echo(f"  {name:26} {value:.4f}" if isinstance(value, float) else f"  {name:26} {value}")


class _Measured(NamedTuple):
    names: Sequence[str]
    metrics: Mapping[str, float]
    probabilities: Tensor  # (clips, classes)


def _measure(model: str, data: str, fold: int, test: AudioDataset, workers: int) -> _Measured:
    """Measure one model on the test part of a data set, and warn of what makes the result doubtful."""
    from ..ledger import Record
    from ..measure import evaluate as measure
    from ..model import to_probabilities
    from ..networks import open_model
    from ..saved import find_model

    network = open_model(model)
    if network.cfg.labels and list(network.cfg.labels) != test.labels:
        raise InvalidInput(
            f"{model} knows the classes {', '.join(network.cfg.labels[:3])} …, {data} has "
            f"{', '.join(test.labels[:3])} …: a model can be measured only on the classes it was trained for"
        )
    record = (find_model(model) if model == EMBEDDED else Path(model)) / "run.json"
    held_out = Record.load(record).parameters["fold"] if record.is_file() else fold
    if held_out != fold:
        typer.echo(f"careful: {model} was trained on fold {fold}; fold {held_out} is what it never heard", err=True)
    found = measure(network, test, workers=workers)
    if found.unusable.problems:
        typer.echo(str(found.unusable), err=True)
    return _Measured(found.names, found.metrics, to_probabilities(found.logits, network.cfg.multi_label))
