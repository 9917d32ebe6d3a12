"""What `astlib evaluate` and `astlib calibrate` share: the clips to test on, who has heard them, and the answers.

Chapter: notebooks/08_measuring.ipynb
"""

from typing import TYPE_CHECKING, NamedTuple

import typer

from ..errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from torch import Tensor

    from ..data import AudioStream, Parts
    from ..data.base import AudioDataset
    from ..ledger import Record
    from ..measure import Evaluation
    from ..networks import Network


class Tested(NamedTuple):
    """What is tested on, and what the simple baseline of a report is trained on.

    Args:
        name: of the data set.
        place: its folder; None for the usual places.
        fold: number of the test fold; None if there are no folds, or all clips are tested on.
        test: the clips to test on.
        train: the other clips; None if all are tested on.
    """

    name: str
    place: str | None
    fold: int | None
    test: "AudioDataset"
    train: "AudioDataset | AudioStream | None"

    @property
    def part(self) -> str:
        """The clips to test on, in words."""
        if self.fold is not None:
            return f"fold {self.fold}"
        return "all clips" if self.train is None else "the test part"


def open_tested(model: str, name: str, place: str | None, fold: int | None, everything: bool) -> Tested:
    """Open the data to test on.

    Args:
        model: whose record, if there is one, says how the data were divided.
        name: of the data set.
        place: its folder; None for the usual places.
        fold: number of the test fold; None for the one that the model never heard.
        everything: test on all clips.

    Returns:
        The clips, and where they are from.

    Raises:
        InvalidInput: `everything` with a fold, or on a data set that has a test part of its own.
    """
    from ..data import everything as whole

    if everything:
        if fold is not None:
            raise InvalidInput(f"--all tests on all clips, --fold {fold} on those of one fold: give one of the two")
        first, *more = whole(name, None, place)
        if more:
            raise InvalidInput(f"{name} has a test part of its own, so --all is not for it")
        return Tested(name, place, None, first, None)
    record = _record(model, name)
    parts = _divided(name, place, fold, record)
    chosen = fold or (1 if record is None else record.parameters["fold"])
    return Tested(name, place, None if parts.test.folds is None else chosen, parts.test, parts.train)


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


def warn_if_heard(model: str, sounds: Tested) -> None:
    """Say so if a model has, or may have, heard the clips that it is tested on.

    Args:
        model: name or folder.
        sounds: what it is tested on.
    """
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


class Measured(NamedTuple):
    """A model and what was measured of it.

    Args:
        network: the model.
        found: its metrics and logits.
    """

    network: "Network"
    found: "Evaluation"

    @property
    def scores(self) -> "Tensor":
        """Probabilities, `(clips, classes)`."""
        return self.network.decision.probabilities(self.found.logits, self.network.cfg.multi_label)


def measure_model(model: str, data: str, test: "AudioDataset", workers: int) -> Measured:
    """Measure one model on a test part. Clips that cannot be used are named on stderr.

    Args:
        model: name or folder.
        data: name of the data, for messages.
        test: the clips.
        workers: loader processes.

    Returns:
        The network and what was measured.

    Raises:
        InvalidInput: model and data do not have the same classes in the same order.
    """
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
    return Measured(network, found)
