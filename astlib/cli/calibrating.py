"""The command `astlib calibrate`: how a model's outputs are to be read, found out on held-out clips.

Chapter: notebooks/08_measuring.ipynb
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InvalidInput, NotFound
from .options import EMBEDDED, Model, where
from .tested import measure_model, open_tested, warn_if_heard

if TYPE_CHECKING:
    from torch import Tensor

    from ..calibrate import Calibration
    from ..decisions import Decision
    from ..networks import Network

Sound = Callable[[], Iterator["Tensor"]]  # gives the blocks of one sound, (samples,) each


def calibrate(
    model: Model = EMBEDDED,
    data: Annotated[
        str, typer.Option(help="A data set, or your own folder: clips that the model was not trained on.")
    ] = "esc50",
    fold: Annotated[
        int | None, typer.Option(min=1, help="The fold to use; by default the one that the model never heard.")
    ] = None,
    none_from: Annotated[
        list[str] | None,
        typer.Option(help="Sounds of none of the classes: a folder, a file or a data set. Can be repeated."),
    ] = None,
    none_most: Annotated[int, typer.Option(min=1, help="Take at most so many of them, drawn at random.")] = 500,
    precision: Annotated[float, typer.Option(help="Wanted of the answers at or above their threshold.")] = 0.9,
    false_alarms: Annotated[float, typer.Option(help="The most sounds of no class that may get one.")] = 0.05,
    keep: Annotated[float, typer.Option(help="The fewest rightly named clips that must keep their name.")] = 0.9,
    workers: Annotated[int, typer.Option(min=0, help="Loader processes.")] = 0,
) -> None:
    """Choose temperature, thresholds and what belongs to none of the classes; write decision.json beside the weights.

    `astlib predict` obeys it. Without --none-from, what the model's decision says of other sounds stays as it is.
    """
    from dataclasses import replace

    from ..calibrate import calibrate as choose

    name, place = where(data)
    sounds = open_tested(model, name, place, fold, everything=False)
    warn_if_heard(model, sounds)
    folder = _folder(model)
    network, found = measure_model(model, data, sounds.test, workers)
    rows = {clip: i for i, clip in enumerate(sounds.test.names)}
    targets = sounds.test.targets[[rows[clip] for clip in found.names]].float()
    none = _logits(network, none_from, none_most) if none_from else None
    chosen = choose(found.logits, targets, network.cfg.multi_label, none, precision, false_alarms, keep)
    old, part = network.decision, f"{sounds.part} of {data}"
    note = f"Chosen by astlib calibrate on {len(targets)} clips, {part}"
    note += f", and {len(none)} windows from {', '.join(none_from or [])}." if none is not None else "."
    decision = replace(chosen.decision, note=note)
    if none is None:
        decision = replace(
            decision, none_score=old.none_score, none_threshold=old.none_threshold, none_weights=old.none_weights
        )
    typer.echo(f"{model} on {part}, {len(targets)} clips\n\n{_summary(chosen, precision, network, keep)}")
    typer.echo(f"\n{_written(decision, folder)}")
    typer.echo("All of it was measured on the clips that it was chosen by. On others it is a little worse.")


def _folder(model: str) -> Path:
    """The folder that can hold the decision."""
    from ..saved import find_model

    try:
        return find_model(model)
    except NotFound as error:
        raise InvalidInput(
            f"{model} is no folder of a model that astlib saved, and only beside such a model a decision can be kept. "
            'Save it first: astlib.networks.open_model("…").save_pretrained("my_model")'
        ) from error


def _written(decision: "Decision", folder: Path) -> str:
    """Write the decision, unless the model belongs to astlib itself."""
    from .. import paths

    if folder.resolve().parent == paths.models().resolve():
        return f"{folder.name} comes with astlib, so its decision stays as it is. Copy its folder to give it another"
    decision.save(folder)
    return f"written: {folder / 'decision.json'}"


def _logits(network: "Network", places: list[str], most: int) -> "Tensor":
    """The logits of every window of the sounds of no class, `(windows, classes)`."""
    import random

    import torch
    from tqdm.auto import tqdm

    from ..predict import listen

    sounds = [sound for place in places for sound in _sounds(place)]
    drawn = random.Random(0).sample(sounds, min(most, len(sounds)))
    bar = tqdm(drawn, desc="none of these", unit="sound", leave=False)
    heard = list(listen(network, (sound() for sound in bar)))
    problems = [str(one) for one in heard if isinstance(one, InvalidInput)]
    if problems:
        typer.echo(f"{len(problems)} of {len(drawn)} sounds could not be used: {problems[0]}", err=True)
    if len(problems) == len(drawn):
        raise InvalidInput(f"none of the sounds of {', '.join(places)} could be used")
    return torch.cat([one.logits for one in heard if not isinstance(one, InvalidInput)])


def _sounds(place: str) -> list[Sound]:
    """The sounds of a data set, a folder or a file."""
    from .. import audio
    from ..answers import find_sounds
    from ..data import DATASETS, everything
    from ..data.base import AudioDataset

    def clip(dataset: AudioDataset, number: int) -> Sound:
        def blocks() -> Iterator["Tensor"]:
            yield dataset.waveform(number)

        return blocks

    def file(path: Path) -> Sound:
        return lambda: audio.stream(path)

    if place in DATASETS:
        parts = everything(place, None)
        return [clip(part, i) for part in parts for i in range(len(part))]
    if not Path(place).exists():
        raise NotFound(f"--none-from {place}: there is no such folder, file or data set ({', '.join(DATASETS)})")
    return [file(path) for path in find_sounds([Path(place)]).files]


def _summary(found: "Calibration", precision: float, network: "Network", keep: float) -> str:
    """The tables and sentences for the screen."""
    from ..calibrate import clips_without_a_mistake
    from ..table import Table

    before, after, thresholds = found.before, found.after, found.thresholds
    temperature = found.decision.temperature
    rows = [
        ["calibration error", *(f"{error.value:.3f}" for error in (before, after))],
        ["  95 % interval", *(f"{error.low:.3f} to {error.high:.3f}" for error in (before, after))],
        ["  by chance alone", *(f"{error.by_chance:.3f}" for error in (before, after))],
        ["log loss", *(f"{loss:.3f}" for loss in found.log_losses)],
    ]
    header = ["", "temperature 1", f"temperature {temperature:.2f}"]
    used = 2 if temperature == 1 else 3  # columns: the second temperature only if it is another one
    lines = [str(Table(header[:used], [row[:used] for row in rows]))]
    if temperature == 1:
        lines.append(f"the best temperature is {found.best_temperature:.2f}; chance explains what it gains, so 1 stays")
    lines.append("")
    own, labels = sum(thresholds.own), network.cfg.label_dim
    if thresholds.reached or own:
        lines.append(
            f"for a precision of {precision:.0%}: threshold {thresholds.shared:.3f}; {own} of {labels} classes have "
            f"their own, which needs {clips_without_a_mistake(precision)} clips without a mistake or more"
        )
    else:
        lines.append(f"no threshold shows a precision of {precision:.0%} on these clips: 0.5 stays")
    if found.rejections:
        chosen = [[r.kind, f"{r.auroc:.3f}", f"{r.kept:.1%}", f"{r.false_alarms:.1%}"] for r in found.rejections]
        lines += ["", str(Table(["none of these by", "AUROC", "names kept", "false alarms"], chosen))]
        lines.append(
            f"used: {found.decision.none_score}"
            if found.decision.none_score
            else f"no score keeps {keep:.0%} of the right names, so none is used: allow more --false-alarms, or lower "
            "--keep"
        )
    return "\n".join(lines)
