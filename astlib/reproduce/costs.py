"""What a run costs: operations are counted; hours are measured where a record did such work alone, else estimated.

torch counts the operations of a forward pass on tensors without memory. A training step costs three forward passes: one
forward, and two for the backward pass. The uncertain part is the fraction of a card's peak that a network reaches. A
Transformer multiplies large matrices; an EfficientNet's depthwise convolutions wait for memory. For AST two published
runs give the bounds: the original's four TITAN X took 590,881 s for AudioSet (its log), and PaSST's authors trained it
at 23.1 clips/s on a TITAN RTX (arXiv 2110.05069, table 1). For PSLA there is one: about one week on four TITAN cards
(README of its repository). `bounds` turns them into fractions of the peak.

A measured speed is carried over only to a network of the same kind and size, with at most four times more or fewer
operations a clip: a tiny network keeps a large card busy for a small part of the time. A record whose machine had
another recorded run at the same time does not count either. Where nothing is left, the estimate stands.

Chapters: notebooks/03_attention_and_the_encoder.ipynb and notebooks/12_the_ablations.ipynb
"""

import functools
import re
from collections.abc import Iterable
from datetime import datetime, timedelta

import torch
from torch.utils.flop_counter import FlopCounterMode

from .. import networks
from ..cnn import CNNConfig
from ..errors import InvalidInput
from ..ledger.record import Record
from ..model import ASTConfig
from ..recipes import RECIPES, NetworkKind, Recipe

# Peak of dense matrix products with 16-bit inputs, in operations per second (NVIDIA's data sheets).
CARDS = {"T4": 65e12, "L4": 121e12, "A100": 312e12, "H100": 989e12, "H200": 989e12}
TITAN_X, TITAN_RTX = 6.7e12, 130e12  # likewise; TITAN X has no matrix units, so this is its float32 peak
LIKE = 4  # how many times more or fewer operations a clip may take for a speed to be carried over
# Numbers of training and test clips. ESC-50's and Speech Commands' are their authors', AudioSet's the original's logs'.
CLIPS = {
    "audioset": (162_757 * 12, 19_185),
    "audioset-balanced": (1_733 * 12, 19_185),
    "esc50": (1_600, 400),
    "esc50-mixture": (2_000, 500),  # astlib/data/registry.py makes so many
    "speech-commands": (84_843, 11_005),
    "synthetic": (320, 80),  # made in code, astlib/data/synthetic.py
}


def forward_flops(recipe: Recipe, classes: int = 50) -> int:
    """Count the operations of the forward pass of one clip.

    Args:
        recipe: names the network and the shape of its input.
        classes: how many the network tells apart.

    Returns:
        Operations. A multiplication and the addition that follows it are two; softmax and norms are left out.
    """
    cfg = recipe.model_config([str(i) for i in range(classes)])
    # These values do not change the count. Fixed ones let recipes share an entry of the cache.
    return _count(cfg.replace(mean=0.0, std=1.0, fill="zero", multi_label=True, labels=None))


@functools.lru_cache(maxsize=256)
def _count(cfg: ASTConfig | CNNConfig) -> int:
    with torch.device("meta"):
        network = networks.build(cfg).eval()
        mel = torch.zeros(1, cfg.input_tdim, cfg.input_fdim)  # (batch, frames, mels)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(mel)
    return int(counter.get_total_flops())


def run_flops(recipe: Recipe, clips: tuple[int, int] | None = None) -> float:
    """Count the operations of a whole run: per epoch three forward passes for a training clip, one for a test clip.

    Args:
        recipe: of the run.
        clips: numbers of training and test clips; None for those of the recipe's data set.

    Returns:
        Operations.

    Raises:
        InvalidInput: the size of the recipe's data set is not known.
    """
    train, test = clips or clips_of(recipe)
    return forward_flops(recipe) * (3.0 * train + test) * recipe.epochs


def clips_of(recipe: Recipe) -> tuple[int, int]:
    """Return the size of a recipe's data set.

    Args:
        recipe: names the data set.

    Returns:
        Numbers of training and test clips.

    Raises:
        InvalidInput: the size is not known.
    """
    if recipe.dataset not in CLIPS:
        raise InvalidInput(f"how many clips {recipe.dataset} has is not known here; known: {', '.join(CLIPS)}")
    return CLIPS[recipe.dataset]


def bounds(network: NetworkKind = "ast") -> tuple[float, float]:
    """Return the fractions of a card's peak that published runs reached.

    For PSLA these are its own run, taken as one week on TITAN X, and the lower one of AST's two: no published run of
    PSLA does better. CNN + MLP has no published run and counts as AST, because its convolutions are matrix products.

    Args:
        network: kind of network, as in `Recipe.network`.

    Returns:
        The lower fraction, then the higher one.
    """
    recipe, psla = RECIPES["audioset"], RECIPES["audioset-psla"]
    original = run_flops(recipe) / 590_881 / (4 * TITAN_X)
    koutini = 3 * forward_flops(recipe) * 23.1 / TITAN_RTX
    if network == "psla":
        return run_flops(psla) / (7 * 86_400) / (4 * TITAN_X), min(original, koutini)
    return min(original, koutini), max(original, koutini)


def measured(recipe: Recipe, records: Iterable[Record], device: str) -> float | None:
    """Return how many operations per second training reached on a device, according to records of such a network.

    Only records of networks of this kind and size count whose operations per clip are at most four times more or fewer,
    and only those of runs that had the machine for themselves, as far as the other records tell. Of these, the fastest
    counts.

    Args:
        recipe: names the network.
        records: any number of them.
        device: a whole word of the hardware's name, such as "A100"; or "cpu".

    Returns:
        Operations per second of one device; None if no such record was made there.
    """
    there = [record for record in records if record.throughput and _made_on(record, device)]
    wanted, rates = forward_flops(recipe), []
    for record in there:
        known = record.as_recipe()
        if (known.network, known.model_size) != (recipe.network, recipe.model_size) or not alone(record, there):
            continue
        own = forward_flops(known)
        if max(own, wanted) <= LIKE * min(own, wanted):
            rates.append(3.0 * own * record.throughput / record.hardware["count"])
    return max(rates, default=None)


def alone(record: Record, others: Iterable[Record]) -> bool:
    """Tell whether a run had its machine for itself: no other recorded run overlaps with it on hardware of that name.

    Args:
        record: the run.
        others: all records that may overlap; the run itself may be among them.

    Returns:
        False if one of the others began before the run ended and ended after it began.
    """
    start, end = _span(record)
    return not any(
        other.id != record.id
        and other.hardware["name"] == record.hardware["name"]
        and max(start, _span(other)[0]) < min(end, _span(other)[1])
        for other in others
    )


def _span(record: Record) -> tuple[datetime, datetime]:
    start = datetime.fromisoformat(record.started)
    return start, start + timedelta(seconds=record.wall_seconds)


def _made_on(record: Record, device: str) -> bool:
    if device == "cpu":
        return bool(record.hardware["device"] == "cpu")
    return re.search(rf"\b{re.escape(device)}\b", record.hardware["name"]) is not None  # an L40S is no L4


def hours(
    recipe: Recipe, device: str, records: Iterable[Record], clips: tuple[int, int] | None = None
) -> tuple[float, float] | None:
    """Estimate how long a run takes on one device.

    Args:
        recipe: of the run.
        device: a name of `CARDS` or "cpu".
        records: those that may have measured it.
        clips: numbers of training and test clips; None for those of the recipe's data set.

    Returns:
        Least and most hours; both are the same where a record has measured it, see `measured`. None on a CPU without
        such a record, because nothing is published.

    Raises:
        InvalidInput: the device is not known and in no record, or the size of the data set is not known.
    """
    operations, rate = run_flops(recipe, clips), measured(recipe, records, device)
    if rate is not None:
        return operations / rate / 3600, operations / rate / 3600
    if device == "cpu":
        return None
    if device not in CARDS:
        raise InvalidInput(f"no record was made on {device!r}; estimates exist for {', '.join(CARDS)}")
    low, high = bounds(recipe.network)
    return operations / (high * CARDS[device]) / 3600, operations / (low * CARDS[device]) / 3600


def in_words(least: float, most: float) -> str:
    """Write a range of hours in words.

    Args:
        least: hours.
        most: hours.

    Returns:
        Such as "12 to 41 h", "35 min", "under 5 min".
    """
    if most < 1 / 12:
        return "under 5 min"
    unit, scale = ("h", 1) if most >= 2 else ("min", 60)
    low, high = (
        f"{max(1, value * scale):.0f}" if value * scale >= 10 else f"{max(0.1, value * scale):.1g}"
        for value in (least, most)
    )
    return f"{low} {unit}" if low == high else f"{low} to {high} {unit}"
