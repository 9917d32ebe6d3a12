"""Learning curves of several folds at once, and one setting that was run twice.

Chapter: notebooks/09_esc50.ipynb
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .. import plots
from ..errors import InvalidInput
from ..plots import Values, array, figure

COLOURS = (plots.BLUE, plots.VERMILION, plots.GREEN, plots.PURPLE)


def learning_curves(
    families: Mapping[str, Values],
    reference: Mapping[str, float] | None = None,
    ylabel: str = "test accuracy (%)",
    limits: tuple[float, float] = (0, 100),
) -> Figure:
    """Draw every fold of some settings as a thin line, and their mean as a thick one.

    Args:
        families: label to `(folds, epochs)`, in the unit of the axis.
        reference: label to a published number, drawn as a dashed line.
        ylabel: of the vertical axis.
        limits: of the vertical axis.

    Returns:
        The figure.

    Raises:
        InvalidInput: no setting, or more than there are colours.
    """
    if not 1 <= len(families) <= len(COLOURS):
        raise InvalidInput(f"expected 1 to {len(COLOURS)} settings, found {len(families)}")
    fig, ax = figure(3.9)
    longest = 1
    for (label, values), colour in zip(families.items(), COLOURS, strict=False):
        folds = array(values).astype(float)  # (folds, epochs)
        epochs = np.arange(1, folds.shape[1] + 1)
        longest = max(longest, len(epochs))
        for fold in folds:
            ax.plot(epochs, fold, color=colour, linewidth=0.9, alpha=0.55)
        mean = folds.mean(axis=0)
        ax.plot(epochs, mean, color=colour, linewidth=3)
        ax.annotate(f" {label}", (epochs[-1], mean[-1]), color=colour, va="center", annotation_clip=False)
    for label, value in (reference or {}).items():
        ax.axhline(value, color=plots.INK, linewidth=1.0, linestyle=(0, (5, 4)))
        ax.annotate(label, (1, value), (0, 4), textcoords="offset points", color=plots.INK)
    ax.set(xlabel="epoch", ylabel=ylabel, xlim=(0.8, longest + 0.2), ylim=limits)
    ax.xaxis.set_major_locator(MaxNLocator(nbins="auto", steps=[1, 2, 5, 10], integer=True))
    ax.grid(axis="y")
    ax.set_axisbelow(True)
    return fig


def run_twice(first: Sequence[float], second: Sequence[float], labels: tuple[str, str], xlabel: str) -> Figure:
    """Draw the folds of one setting that was run twice: a ring and a dot for each fold, joined by a line.

    Args:
        first: one number a fold, in the unit of the axis.
        second: those of the other execution, in the same order.
        labels: names of the two executions.
        xlabel: of the axis.

    Returns:
        The figure.

    Raises:
        InvalidInput: the two have different numbers of folds.
    """
    if len(first) != len(second):
        raise InvalidInput(f"expected as many folds in both, found {len(first)} and {len(second)}")
    fig, ax = figure(0.9 + 0.42 * len(first))
    rows = range(1, len(first) + 1)
    ax.hlines(rows, first, second, color=plots.INK, linewidth=1.2, zorder=1)
    ax.plot(first, rows, "o", color=plots.BLUE, markersize=10, fillstyle="none", markeredgewidth=2, label=labels[0])
    ax.plot(second, rows, "o", color=plots.VERMILION, markersize=6, label=labels[1])
    low, high = min(*first, *second), max(*first, *second)
    for row, one, other in zip(rows, first, second, strict=True):
        place = (max(one, other), row)
        ax.annotate(f"{other - one:+.2f}", place, (10, 0), textcoords="offset points", va="center", fontsize=12)
    ax.set(xlabel=xlabel, ylabel="fold", yticks=list(rows), xlim=(low - 0.6, high + 1.2))
    ax.set_ylim(len(first) + 0.6, 0.4)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 1.22), ncols=2)
    return fig
