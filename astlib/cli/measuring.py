"""The command `astlib evaluate`: how good a saved model is.

Chapter: notebooks/08_measuring.ipynb
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import EMBEDDED, MODEL_HELP, where
from .tested import Measured, Tested, measure_model, open_tested, warn_if_heard

if TYPE_CHECKING:
    from torch import Tensor

    from ..reports import Answers


def evaluate(
    model: Annotated[list[str] | None, typer.Option(help=f"{MODEL_HELP} Several are an ensemble.")] = None,
    data: Annotated[
        str, typer.Option(help="A data set (`astlib data list` shows them), or your own folder.")
    ] = "esc50",
    fold: Annotated[
        int | None, typer.Option(min=1, help="The fold to test on; by default the one that the model never heard.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Test on all clips; for sounds that the model was not trained on.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(help="Write a report into this folder: a page, and tables as CSV and JSON.")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Loader processes.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    root: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Measure a saved model, or the ensemble of several, on the test part of a data set."""
    from ..ledger.record import finite
    from ..metrics import wilson
    from ..reports import report as numbers
    from ..reports import summary, write_report
    from ..scores import evaluate_scores

    models, (name, place) = model or [EMBEDDED], where(data, root)
    sounds = open_tested(models[0], name, place, fold, everything)
    for each in models:
        warn_if_heard(each, sounds)
    measured = [measure_model(each, data, sounds.test, workers) for each in models]
    names, clips = measured[0].found.names, len(measured[0].found.names)
    metrics = measured[0].found.metrics if len(models) == 1 else evaluate_scores(_mean(measured), names, sounds.test)
    result, interval = finite(metrics), wilson(metrics["accuracy"], clips)
    title = f"{' + '.join(models)} on {sounds.part} of {data}"
    page = None
    if report is not None:
        found = numbers(_answers(measured, sounds), title)
        page = write_report(report, found)
    if as_json:
        about = {"model": models, "data": data, "fold": sounds.fold, "clips": clips, **result}
        typer.echo(json.dumps(about | {"accuracy_interval": interval} | ({"report": str(page)} if page else {})))
        return
    typer.echo(f"{title}, {clips} clips")
    for metric, value in result.items():
        ends = f"   95 % interval {interval[0]:.4f} to {interval[1]:.4f}" if metric == "accuracy" else ""
        typer.echo(f"  {metric:26} {f'{value:.4f}' if isinstance(value, float) else value}{ends}")
    if page is not None:
        typer.echo(f"\n{summary(found)}\nreport: {page}")


def _mean(measured: Sequence[Measured]) -> "Tensor":
    """Mean of the models' probabilities, `(clips, classes)`."""
    import torch

    return torch.stack([each.scores for each in measured]).mean(dim=0)


def _answers(measured: Sequence[Measured], sounds: Tested) -> "Answers":
    """What the models say about each clip. An ensemble has no decision of its own."""
    from ..reports import answers_on

    (network, found), alone = measured[0], len(measured) == 1
    return answers_on(
        sounds.train,
        sounds.test,
        found.names,
        _mean(measured),
        network.cfg.multi_label,
        network.decision if alone else None,
        network.decision.is_none(found.logits) if alone else None,
        list({**sounds.test.report.problems, **found.unusable.problems}.values()),
    )
