"""The command `astlib evaluate`: how good a saved model is.

Chapter: notebooks/08_measuring.ipynb
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from ..errors import InvalidInput, NotFound
from .options import EMBEDDED, MODEL_HELP, where

if TYPE_CHECKING:
    from torch import Tensor

    from ..data import AudioStream, Parts
    from ..data.base import AudioDataset
    from ..ledger import Record
    from ..measure import Evaluation
    from ..networks import Network
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
    sounds = _open(models[0], name, place, fold, everything)
    for each in models:
        _warn(each, sounds)
    measured = [_measure(each, data, sounds.test, workers) for each in models]
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


class _Sounds(NamedTuple):
    """What is tested on, and what the simple baseline of a report is trained on."""

    name: str
    place: str | None
    fold: int | None  # None: there are no folds, or all clips are tested on
    test: "AudioDataset"
    train: "AudioDataset | AudioStream | None"  # None: all clips are tested on

    @property
    def part(self) -> str:
        if self.fold is not None:
            return f"fold {self.fold}"
        return "all clips" if self.train is None else "the test part"


def _open(model: str, name: str, place: str | None, fold: int | None, everything: bool) -> _Sounds:
    """Open the data to test on."""
    from ..data import everything as whole

    if everything:
        if fold is not None:
            raise InvalidInput(f"--all tests on all clips, --fold {fold} on those of one fold: give one of the two")
        first, *more = whole(name, None, place)
        if more:
            raise InvalidInput(f"{name} has a test part of its own, so --all is not for it")
        return _Sounds(name, place, None, first, None)
    record = _record(model, name)
    parts = _divided(name, place, fold, record)
    chosen = fold or (1 if record is None else record.parameters["fold"])
    return _Sounds(name, place, None if parts.test.folds is None else chosen, parts.test, parts.train)


def _divided(name: str, place: str | None, fold: int | None, record: "Record | None") -> "Parts":
    """Divide the data as for the run of a record, with its fold if none is given; without one as by default."""
    from ..data import parts

    if record is None:
        return parts(name, fold or 1, root=place)
    recipe = record.as_recipe()
    return parts(name, fold or recipe.fold, recipe.selection == "validation", place, recipe.group, recipe.folds)


def _record(model: str, data: str) -> "Record | None":
    """The record of the run that a model came from, if it is there and the run was on this data set."""
    from ..ledger import Record
    from ..saved import find_model

    try:
        path = find_model(model) / "run.json"
    except NotFound:  # a checkpoint of the original, or a Hugging Face model
        return None
    record = Record.load(path) if path.is_file() else None
    return None if record is None or record.parameters["dataset"] != data else record


def _warn(model: str, sounds: _Sounds) -> None:
    """Say so if a model has, or may have, heard the clips that it is tested on."""
    record = _record(model, sounds.name)
    if record is None:
        return
    held_out, heard, own = record.parameters["fold"], record.data["train"]["hash"], sounds.name == "folder"
    text = ""
    if sounds.train is None:
        if not own or _divided(sounds.name, sounds.place, None, record).train.manifest_hash() == heard:
            text = "was trained on most of these clips; without --all it is tested on those that it never heard"
    elif sounds.fold is not None and sounds.fold != held_out:
        text = f"was trained on fold {sounds.fold}; fold {held_out} is what it never heard"
    elif own and sounds.train.manifest_hash() != heard:
        text = (
            "was trained on other clips than those of this folder's training part. If it is the folder of its training "
            "and clips have come or gone since, it may have heard some of those that it is tested on"
        )
    if text:
        typer.echo(f"careful: {model} {text}", err=True)


class _Measured(NamedTuple):
    network: "Network"
    found: "Evaluation"

    @property
    def scores(self) -> "Tensor":
        """Probabilities, `(clips, classes)`."""
        return self.network.decision.probabilities(self.found.logits, self.network.cfg.multi_label)


def _mean(measured: Sequence[_Measured]) -> "Tensor":
    """Mean of the models' probabilities, `(clips, classes)`."""
    import torch

    return torch.stack([each.scores for each in measured]).mean(dim=0)


def _measure(model: str, data: str, test: "AudioDataset", workers: int) -> _Measured:
    """Measure one model on a test part."""
    from ..measure import evaluate as measure
    from ..networks import open_model

    network = open_model(model)
    known = network.cfg.labels
    if known and list(known) != test.labels:
        only = [sorted(set(known) - set(test.labels)), sorted(set(test.labels) - set(known))]
        some = [f"{', '.join(names[:3])}{' …' * (len(names) > 3)}" or "none" for names in only]
        differing = (
            f"only the model has {some[0]}, only the data have {some[1]}" if any(only) else "their order differs"
        )
        raise InvalidInput(
            f"{model} and {data} do not have the same classes: {differing}. A model can be measured only on the "
            "classes that it was trained for"
        )
    found = measure(network, test, workers=workers)
    if found.unusable.problems:
        typer.echo(str(found.unusable), err=True)
    return _Measured(network, found)


def _answers(measured: Sequence[_Measured], sounds: _Sounds) -> "Answers":
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
