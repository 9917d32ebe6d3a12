"""The study of chapter 05: which weights of a picture network must come along for sound, with its figure.

`ci/transplant.py` makes the file and states the protocol; here it is read, averaged and drawn.

Chapter: notebooks/05_pictures_to_sound.ipynb
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from .. import paths
from ..errors import InvalidInput
from ..plots import BLUE, CARD, GRID, INK, ORANGE, SKY, VERMILION, figure

Array = NDArray[np.float64]
PARTS = ("patch kernels", "positions and class token", "blocks")


def study() -> dict[str, Any]:
    """Read the study, `results/transplant.json`.

    Returns:
        Its content: "rows" has one entry per row of the table, with "accuracy" per seed and fold.
    """
    content: dict[str, Any] = json.loads((paths.results() / "transplant.json").read_text(encoding="utf-8"))
    return content


def accuracies(content: Mapping[str, Any]) -> dict[str, Array]:
    """Take the accuracies out of the study.

    Args:
        content: what `study` returns.

    Returns:
        Name of a row to `(seeds, folds)` in per cent.
    """
    return {row["row"]: np.array(row["accuracy"], dtype=np.float64) for row in content["rows"]}


def interval(values: Array, draws: int = 10_000, seed: int = 0) -> tuple[float, float]:
    """Compute a 95 % interval of a mean over seeds and folds, by a bootstrap in two stages.

    Each draw takes as many seeds as there are, with replacement, and for each of them as many folds as there are, with
    replacement. For a difference of two rows give their difference, so that they are compared pair by pair.

    Args:
        values: `(seeds, folds)`.
        draws: how many.
        seed: of the draws.

    Returns:
        The lower and the upper end.

    Raises:
        InvalidInput: another shape, or fewer than two seeds or folds.
    """
    if values.ndim != 2 or min(values.shape) < 2:
        raise InvalidInput(f"expected (seeds, folds), at least two of each, found shape {values.shape}")
    rng = np.random.default_rng(seed)
    seeds, folds = values.shape
    drawn_seeds = rng.integers(seeds, size=(draws, seeds))
    drawn_folds = rng.integers(folds, size=(draws, seeds, folds))
    means = values[drawn_seeds[:, :, None], drawn_folds].mean(axis=(1, 2))  # (draws,)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def difference(content: Mapping[str, Any], row: str, other: str) -> tuple[float, float, float]:
    """Compare two rows pair by pair: same clips, same fold, same seed.

    Args:
        content: what `study` returns.
        row: name of a row.
        other: name of the row to subtract.

    Returns:
        The mean difference in points, and the ends of its interval.
    """
    values = accuracies(content)
    pairs = values[row] - values[other]
    return float(pairs.mean()), *interval(pairs)


def table(content: Mapping[str, Any]) -> Figure:
    """Draw the study: what came from ImageNet in each row, every fold and seed, the mean and its interval.

    Args:
        content: what `study` returns.

    Returns:
        The figure.
    """
    rows = content["rows"]
    fig, (left, right) = figure(1.2 + 0.46 * len(rows), 1, 2, width_ratios=[1, 1.75], sharey=True)
    for place, row in enumerate(rows):
        _boxes(left, place, row)
        values = np.array(row["accuracy"])
        low, high = interval(values)
        scatter = np.linspace(-0.2, 0.2, values.size)
        colour = ORANGE if row["imagenet"] is None else BLUE if row["imagenet"] else SKY
        right.barh(place, values.mean(), height=0.62, color=colour, alpha=0.35)
        right.plot(values.ravel(), place + scatter, "o", color=colour, markersize=3, alpha=0.8)
        right.plot([low, high], [place, place], color=INK, linewidth=2.4)
        right.plot(values.mean(), place, "|", color=INK, markersize=13, markeredgewidth=2.4)
        right.text(values.max() + 2, place, f"{values.mean():.1f}", va="center")
    chance = 100 / content["data"]["classes"]
    right.axvline(chance, color=VERMILION, linestyle="--", linewidth=1.2)
    right.set(xlabel="accuracy of the probe (%)", xlim=(0, 82), xticks=range(0, 61, 20))
    right.set_yticks(range(len(rows)), [""] * len(rows))
    right.tick_params(left=False)
    left.set(xlim=(-0.6, 2.6), ylim=(len(rows) - 0.5, -0.5), yticks=[])
    left.set_xticks(range(3), ["patch\nkernels", "positions", "blocks"], fontsize=10.5)
    left.xaxis.set_ticks_position("top")
    left.tick_params(length=0)
    left.spines[:].set_visible(False)
    return fig


def _boxes(ax: Axes, place: int, row: Mapping[str, Any]) -> None:
    """Three boxes: filled where the part came from ImageNet, hatched where its values were shuffled, else empty."""
    if row["imagenet"] is None:
        ax.text(1, place, "no network", ha="center", va="center")
        return
    for column, part in enumerate(PARTS):
        there = part in row["imagenet"]
        hatch = "////" if there and row["shuffled"] else ""
        face = BLUE if there and not row["shuffled"] else CARD
        ax.add_patch(
            Rectangle(
                (column - 0.36, place - 0.3),
                0.72,
                0.6,
                facecolor=face,
                hatch=hatch,
                edgecolor=BLUE if there else GRID,
                linewidth=1.4,
            )  # fmt: skip
        )
