"""A list of labels that is a long tail, and how much of it every copy has.

Chapter: notebooks/10_audioset.ipynb
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .. import plots
from ..plots import Values, array, figure


def long_tail(counts: Values, names: Sequence[str], copies: Mapping[str, int], whole: int) -> Figure:
    """Draw how many clips every label of a list has, and how many clips of a list several copies hold.

    Args:
        counts: `(labels,)`, clips with each label.
        names: of the labels.
        copies: whose copy to its number of clips; empty leaves out this panel.
        whole: clips of the list that the copies are copies of.

    Returns:
        The figure.
    """
    rows = 2 if copies else 1
    fig, axes = figure(
        3.4 + (0.7 + 0.42 * len(copies)) * bool(copies),
        rows,
        1,
        squeeze=False,
        height_ratios=[3.4, 0.7 + 0.42 * len(copies)][:rows],
    )
    _draw_labels(axes[0, 0], array(counts), names)
    if copies:
        _draw_copies(axes[1, 0], copies, whole)
    return fig


def _draw_labels(ax: Axes, counts: np.ndarray, names: Sequence[str]) -> None:
    """One bar a label, from the most frequent to the rarest, with the names of some."""
    order = np.argsort(-counts, kind="stable")
    ranks = np.arange(1, len(counts) + 1)
    ax.bar(ranks, counts[order], width=1.0, color=plots.SKY)
    for place in (0, 1):
        ax.annotate(
            f"{_short(names[order[place]])}: {counts[order[place]]:,.0f}",
            (ranks[place], counts[order[place]]),
            (0.06, 0.95 - 0.13 * place),
            textcoords="axes fraction",
            va="center",
            arrowprops={"arrowstyle": "-", "color": plots.INK, "linewidth": 0.8},
        )
    middle = len(counts) // 2
    for place, spot in ((middle, (0.38, 0.62)), (len(counts) - 1, (0.70, 0.62))):
        what = "in the middle" if place == middle else "rarest"
        ax.annotate(
            f"{what}:\n{_short(names[order[place]])}, {counts[order[place]]:,.0f}",
            (ranks[place], counts[order[place]]),
            spot,
            textcoords="axes fraction",
            arrowprops={"arrowstyle": "-", "color": plots.INK, "linewidth": 0.8},
        )
    ax.set(
        xlabel="label, from the most frequent to the rarest",
        ylabel="clips (logarithmic)",
        yscale="log",
        xlim=(0.5, len(counts) + 0.5),
        ylim=(max(1, counts.min()) / 4, 4 * counts.max()),
    )


def _short(name: str) -> str:
    """The first of the words that AudioSet gives a label."""
    return name.split(",")[0]


def _draw_copies(ax: Axes, copies: Mapping[str, int], whole: int) -> None:
    """One bar a copy: what it has, and what it lacks."""
    for row, there in enumerate(copies.values()):
        ax.barh(row, there, color=plots.BLUE, height=0.62)
        ax.barh(row, whole - there, left=there, height=0.62, color=plots.CARD, edgecolor=plots.VERMILION, hatch="////")
        lost = f"{there:,}" + (f", {1 - there / whole:.0%} lost" if there < whole else "")
        ax.text(0.01 * whole, row, lost, color="white", va="center", fontsize=12)
    ax.set_yticks(range(len(copies)), list(copies))
    ax.set(
        xlabel="clips of the evaluation list",
        xlim=(0, whole * 1.01),
        xticks=range(0, whole + 1, 5_000),
        ylim=(len(copies) - 0.4, -0.6),
    )
