"""Plan a run on sounds of one's own: the values of the recipe `own-sounds` that depend on the clips.

Chapter: notebooks/15_your_own_sounds.ipynb

A plan is made before the run, and the recipe that is run holds its values: `astlib.train.fit` does exactly what its
recipe says, and the record has every value.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .data.base import AudioDataset
from .data.registry import Parts
from .errors import DataIncomplete
from .frontend import LogMel
from .model import ASTConfig
from .networks import open_model
from .recipes import Recipe
from .transfer import kind_of

HELD = 95  # percent of the clips that fit into the input
FRAME_STEP = 16  # the width of a patch: a shorter step would leave frames unused
FEWEST_FRAMES, MOST_FRAMES = 32, 1024  # a longer clip is heard in windows
TIMEM_SHARE = 3 / 8  # of the input that SpecAugment may mask: 96 frames of 256 and more, 48 of 128
FEWEST_STEPS, MOST_STEPS = 400, 5_000  # optimiser steps of a run
FEWEST_EPOCHS, MOST_EPOCHS = 3, 100
MEASURED = 5_000  # clips whose lengths are read; of a larger set, so many spread evenly
PADDED, LONGER = 0.5, 0.05  # fraction of padding in the median clip, and of clips that are longer, worth a note
FROM_START = ("model_size", "prefix_tokens", "patch", "input_fdim", "mean", "std", "fill")


@dataclass(frozen=True)
class Plan:
    """A recipe that fits the clips, and why.

    Attributes:
        recipe: what to run.
        notes: one sentence per choice: what was found, and what was chosen.
    """

    recipe: Recipe
    notes: tuple[str, ...]


def plan(recipe: Recipe, parts: Parts, fixed: Collection[str] = ()) -> Plan:
    """Fit a recipe to clips of one's own.

    Chosen are: what the network must share with its start; the length of the input and the masks in time, by the
    lengths of the clips; loss and metric, by whether clips have several labels; and the number of epochs, by the number
    of optimiser steps, with the same fall of the learning rate over the run.

    Args:
        recipe: to begin with.
        parts: the clips. Only the lengths of the test clips are looked at, not their sound.
        fixed: fields that were chosen by hand and stay as they are.

    Returns:
        The plan.

    Raises:
        NotFound: `init` names a model that does not exist.
        DataIncomplete: the length of no clip can be read.
    """
    clips = parts.train
    seconds = lengths(parts.test) if not isinstance(clips, AudioDataset) else lengths(clips, parts.test)
    notes = []
    for changes, why in (
        _of_the_start(recipe),
        _of_the_length(recipe, seconds, fixed),
        _of_the_labels(recipe, clips.multi_label),
        _of_the_steps(recipe, len(clips), fixed),
    ):
        free = {name: value for name, value in changes.items() if name not in fixed and getattr(recipe, name) != value}
        if free:
            chosen = ", ".join(f"{name}={value} (was {getattr(recipe, name)})" for name, value in free.items())
            notes.append(f"{why}: {chosen}")
            recipe = recipe.replace(**free)
    more = length_note(recipe, seconds)
    return Plan(recipe, (*notes, more) if more else tuple(notes))


def lengths(*datasets: AudioDataset, most: int = MEASURED) -> NDArray[np.float64]:
    """Read how long the clips are, from the headers of their files.

    Args:
        datasets: the clips.
        most: how many clips of each data set are looked at, spread evenly; of a smaller one, all.

    Returns:
        `(clips,)`, seconds, of the clips that can be read.

    Raises:
        DataIncomplete: no clip can be read.
    """
    found = []
    for dataset in datasets:
        rows = np.unique(np.linspace(0, len(dataset) - 1, min(most, len(dataset))).astype(int))
        found.append(dataset.select(rows=rows).durations())
    seconds = np.concatenate(found)
    seconds = seconds[~np.isnan(seconds)]
    if not len(seconds):
        raise DataIncomplete(f"no clip of {datasets[0].name} can be read. `astlib data check FOLDER` lists why")
    return seconds


def fitting_frames(seconds: NDArray[np.float64]) -> int:
    """Choose the length of the input: the smallest multiple of 16 frames that holds 95 % of the clips.

    Args:
        seconds: `(clips,)`.

    Returns:
        Frames of 10 ms, from 32 to 1,024.
    """
    log_mel = _log_mel()
    frames = log_mel.frame_count(math.ceil(float(np.percentile(seconds, HELD)) * log_mel.sample_rate))
    return min(max(FRAME_STEP * math.ceil(frames / FRAME_STEP), FEWEST_FRAMES), MOST_FRAMES)


def length_note(recipe: Recipe, seconds: NDArray[np.float64]) -> str:
    """Say so if the input is much longer or shorter than the clips.

    Args:
        recipe: has the length of the input.
        seconds: `(clips,)`, how long the clips are.

    Returns:
        One sentence; "" if the lengths go together.
    """
    log_mel, frames = _log_mel(), recipe.input_tdim
    whole = log_mel.sample_count(frames) / log_mel.sample_rate
    padding = 1 - float(np.median(seconds)) / whole
    longer = float(np.mean(seconds >= whole + log_mel.hop_samples / log_mel.sample_rate))
    better = fitting_frames(seconds)
    if padding > PADDED and better < frames:
        hint = f"input_tdim={better} and timem={_masked(recipe, better)} would be {frames / better:.0f} times faster"
        return f"the input has {whole:.1f} s, and {padding:.0%} of the median clip in it is padding; {hint}"
    if longer <= LONGER:
        return ""
    found = f"{longer:.0%} of the clips are longer than the input of {whole:.1f} s"
    if recipe.windows:
        return f"{found}: they are heard in windows, and every window counts as having the labels of its clip"
    return f"{found}, and only their beginning is used; windows=True uses all of them"


Choice = tuple[Mapping[str, Any], str]  # values of fields, and why


def _of_the_start(recipe: Recipe) -> Choice:
    """What a network shares with the one that it starts from."""
    if recipe.init in ("imagenet", "scratch"):
        return {}, ""
    cfg = open_model(recipe.init).cfg
    names = FROM_START if isinstance(cfg, ASTConfig) else [name for name in FROM_START if hasattr(cfg, name)]
    return {"network": kind_of(cfg), **{name: getattr(cfg, name) for name in names}}, f"as in the start, {recipe.init}"


def _of_the_length(recipe: Recipe, seconds: NDArray[np.float64], fixed: Collection[str]) -> Choice:
    """Input and masks, by the lengths of the clips."""
    frames = recipe.input_tdim if "input_tdim" in fixed else fitting_frames(seconds)
    middle, most = np.percentile(seconds, [50, HELD])
    why = f"clips: median {_spoken(middle)}, {HELD} % up to {_spoken(most)}"
    return {"input_tdim": frames, "timem": _masked(recipe, frames)}, why


def _masked(recipe: Recipe, frames: int) -> int:
    return min(recipe.timem, int(TIMEM_SHARE * frames))


def _of_the_labels(recipe: Recipe, multi_label: bool) -> Choice:
    """Loss and metric, by the labels."""
    if not multi_label:
        return {}, ""
    return {"loss": "bce", "metric": "mAP"}, "some clips have several labels"


def _of_the_steps(recipe: Recipe, clips: int, fixed: Collection[str]) -> Choice:
    """Epochs, by the optimiser steps; the learning rate falls as often as in the recipe, over the whole run."""
    if "epochs" in fixed:
        return {}, ""
    per_epoch = math.ceil(clips / recipe.batch)
    epochs = min(max(recipe.epochs, math.ceil(FEWEST_STEPS / per_epoch)), MOST_EPOCHS)
    epochs = min(epochs, max(MOST_STEPS // per_epoch, min(FEWEST_EPOCHS, recipe.epochs)))
    stretch = epochs / recipe.epochs
    decay = {
        "decay_from": max(1, round((recipe.decay_from - 1) * stretch) + 1),
        "decay_every": max(1, round(recipe.decay_every * stretch)),
    }
    was, now = recipe.epochs * per_epoch, epochs * per_epoch
    why = f"{clips:,} clips for training, {per_epoch:,} optimiser steps an epoch; {now:,} steps instead of {was:,}"
    return {"epochs": epochs, **decay}, why


@cache
def _log_mel() -> LogMel:
    return LogMel()


def _spoken(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
