"""What a run costs: operations counted, hours measured where there is a record, estimated between two bounds elsewhere.

A forward pass is counted by torch on tensors without memory; a training step costs three of them, one forward and two
backward. How much of its peak a card reaches is the uncertain part, and it depends on the network: a Transformer
multiplies large matrices, an EfficientNet's depthwise convolutions wait for memory. For AST the bounds are two
published figures: the original's four TITAN X took 590,881 s for AudioSet (its log), and PaSST's authors trained it at
23.1 clips/s on a TITAN RTX (arXiv 2110.05069, table 1). For PSLA one is published: about one week on four TITAN cards
(README of its repository). `bounds` turns them into shares of the peak.

Chapters: notebooks/03_attention_and_the_encoder.ipynb and notebooks/12_the_ablations.ipynb
"""

import functools
import math

import torch
from torch.utils.flop_counter import FlopCounterMode

from . import cnn
from .ledger import Run, settings
from .recipes import RECIPES, Recipe

# Peak of dense matrix products with 16-bit inputs, in operations a second (NVIDIA's data sheets).
CARDS = {"T4": 65e12, "L4": 121e12, "A100": 312e12, "H100": 989e12, "H200": 989e12}
TITAN_X, TITAN_RTX = 6.7e12, 130e12  # the first has no matrix units: its float32 peak
CLIPS = {  # training and test clips; ESC-50 and Speech Commands from their authors, AudioSet from the original's logs
    "audioset": (162_757 * 12, 19_185),
    "audioset-balanced": (1_733 * 12, 19_185),
    "esc50": (1_600, 400),
    "speech-commands": (84_843, 11_005),
    "synthetic": (320, 80),  # made in code, astlib/data/synthetic.py
}


def forward_flops(recipe: Recipe, classes: int = 50) -> int:
    """Operations of one clip's forward pass: a multiply and an add are two, softmax and norms are left out."""
    cfg = recipe.model_config([str(i) for i in range(classes)])
    return _count(cfg.replace(mean=0.0, std=1.0, fill="zero", multi_label=True, labels=None))  # these cost nothing


@functools.lru_cache(maxsize=256)
def _count(cfg) -> int:
    with torch.device("meta"):
        network = cnn.build(cfg).eval()
        mel = torch.zeros(1, cfg.input_tdim, cfg.input_fdim)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(mel)
    return counter.get_total_flops()


def run_flops(recipe: Recipe, clips: tuple[int, int] | None = None) -> float:
    """Operations of a whole run: three forward passes for a training clip, one for a test clip, each epoch.

    clips: of training and test part, by default those of the recipe's data set. Raises ValueError if it has none.
    """
    train, test = clips or clips_of(recipe)
    return forward_flops(recipe) * (3.0 * train + test) * recipe.epochs


def clips_of(recipe: Recipe) -> tuple[int, int]:
    if recipe.dataset not in CLIPS:
        raise ValueError(f"how many clips {recipe.dataset} has is not known here; known: {', '.join(CLIPS)}")
    return CLIPS[recipe.dataset]


def bounds(network: str = "ast") -> tuple[float, float]:
    """The shares of a card's peak that published runs reached, lower first.

    For PSLA its own run, taken as a week on TITAN X, and the lower of AST's two: nobody has shown that it does better.
    CNN + MLP has no published run and counts as AST, because its convolutions are matrix products.
    """
    recipe, psla = RECIPES["audioset"], RECIPES["audioset-psla"]
    original = run_flops(recipe) / 590_881 / (4 * TITAN_X)
    koutini = 3 * forward_flops(recipe) * 23.1 / TITAN_RTX
    if network == "psla":
        return run_flops(psla) / (7 * 86_400) / (4 * TITAN_X), min(original, koutini)
    return min(original, koutini), max(original, koutini)


def measured(recipe: Recipe, runs: list[Run], device: str) -> float | None:
    """Operations a second that training reached on this device, from records of the same kind of network.

    Of those up to four times larger or smaller the fastest counts, because the others had company on their machine;
    without such a record, the one nearest in size.

    device: a part of the hardware's name, such as "A100", or "cpu". None if no record of the ledger ran there.
    """
    found, wanted = [], forward_flops(recipe)
    for run in runs:
        name, kind = run.hardware["name"], run.hardware["device"]
        if not run.throughput or not (kind == "cpu" if device == "cpu" else device in name):
            continue  # elsewhere, or an ensemble: it trained nothing
        known = Recipe(**settings(run))
        if known.network != recipe.network:
            continue
        own = forward_flops(known)
        apart = abs(math.log(own / wanted))
        found.append((max(apart, math.log(4)), -3.0 * own * run.throughput / run.hardware["count"]))
    return -min(found)[1] if found else None


def hours(
    recipe: Recipe, device: str, runs: list[Run], clips: tuple[int, int] | None = None
) -> tuple[float, float] | None:
    """Hours of one run on one device, `(least, most)`; both are the same where a record has measured it.

    device: a name of CARDS or "cpu". On a CPU nothing is published, so without a record of that kind of network the
    answer is None. Raises ValueError for a device that is neither known nor in a record.
    """
    operations, rate = run_flops(recipe, clips), measured(recipe, runs, device)
    if rate is not None:
        return operations / rate / 3600, operations / rate / 3600
    if device == "cpu":
        return None
    if device not in CARDS:
        raise ValueError(f"no record was made on {device!r}; estimates exist for {', '.join(CARDS)}")
    low, high = bounds(recipe.network)
    return operations / (high * CARDS[device]) / 3600, operations / (low * CARDS[device]) / 3600


def in_words(least: float, most: float) -> str:
    """Hours as people say them: "12 to 41 h", "35 min", "under 5 min"."""
    if most < 1 / 12:
        return "under 5 min"
    unit, scale = ("h", 1) if most >= 2 else ("min", 60)
    low, high = (f"{max(1, value * scale):.0f}" if value * scale >= 10 else f"{max(0.1, value * scale):.1g}"
                 for value in (least, most))  # fmt: skip
    return f"{low} {unit}" if low == high else f"{low} to {high} {unit}"
