"""Settings compared in pairs: folds joined by lines, effects with their intervals, and curves beside the tables.

Chapter: notebooks/12_the_ablations.ipynb
"""

import textwrap
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .. import plots
from ..errors import InvalidInput
from ..plots import Values, array, figure
from ..table import decimal

Effect = tuple[float, float]  # difference and half the width of its interval
CLOSE = 7.0  # points on either side of zero in the panel of small effects
GREY = "#8A9099"
BEHIND = {"facecolor": plots.CARD, "edgecolor": "none", "alpha": 0.85, "pad": 0.6}  # of a text that lies on lines
PLACES = {(0.98, 0.05): "right", (0.04, 0.95): "left", (0.98, 0.42): "right"}  # of a list of names in a small panel


def effects(found: Mapping[str, Effect], settled: Collection[str], noise: Effect | None = None) -> Figure:
    """Draw differences with their intervals, one line for each setting, on two scales.

    The left panel holds everything, the right one the neighbourhood of zero. A filled dot is a settled difference.

    Args:
        found: label to difference and half the width of the interval, in points.
        settled: labels of the differences that are settled.
        noise: the same for two trainings that do not differ; a grey band shows its interval. None draws no band.

    Returns:
        The figure.

    Raises:
        InvalidInput: there is nothing to draw.
    """
    if not found:
        raise InvalidInput("expected at least one difference, found none")
    names = sorted(found, key=lambda name: found[name][0])
    fig, (whole, close) = figure(0.27 * len(names) + 1.1, 1, 2, sharey=True, width_ratios=[1, 1.15])
    for place, name in enumerate(names):
        difference, half = found[name]
        full = name in settled
        for ax in (whole, close) if abs(difference) <= CLOSE else (whole,):
            ax.errorbar(
                difference,
                place,
                xerr=half,
                fmt="o",
                color=plots.VERMILION if full else plots.INK,
                markerfacecolor=None if full else plots.CARD,
                elinewidth=1.6,
            )
        if abs(difference) > CLOSE:
            close.annotate(
                f"{'<' if difference < 0 else ''} {decimal(difference, 1, '+')} {'>' if difference > 0 else ''}",
                (-0.97 * CLOSE if difference < 0 else 0.97 * CLOSE, place),
                ha="left" if difference < 0 else "right",
                va="center",
                fontsize=11,
                color=plots.VERMILION if full else plots.INK,
            )
    for ax in (whole, close):
        ax.axvline(0, linewidth=1, linestyle="--", color=plots.INK, zorder=1)
        ax.grid(axis="y")
        ax.set_axisbelow(True)
    if noise is not None:
        close.axvspan(noise[0] - noise[1], noise[0] + noise[1], color=plots.GRID, alpha=0.7, zorder=0)
        close.set_title("grey: nothing changed", fontsize=12)
    whole.set_title("all", fontsize=12)
    whole.set_yticks(range(len(names)), names)
    close.set_xlim(-CLOSE, CLOSE)
    fig.supxlabel("difference in accuracy (points)", fontsize=13)
    return fig


def fold_lines(
    settings: Mapping[str, Sequence[float]],
    published: Mapping[str, float | None] | None = None,
    axes: Sequence[Axes] | None = None,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Draw the accuracy of every fold under each setting, and join the same fold by a line.

    Lines that run parallel show differences that all folds share; lines that cross show noise. A bar is the mean.

    Args:
        settings: label to one value per fold in per cent; an empty list says "not run".
        published: label to the published number, for a second panel below; None for one panel.
        axes: where to draw, one or two; None makes a new figure.
        limits: range of the upper axis; None takes that of the values.

    Returns:
        The figure.

    Raises:
        InvalidInput: the axes belong to no figure.
    """
    below = published is not None and any(number is not None for number in published.values())
    if axes is None:
        ratios = [2, 1] if below else [1]
        fig, made = figure(4.6 if below else 3.3, len(ratios), 1, sharex=True, squeeze=False, height_ratios=ratios)
        axes = list(made[:, 0])
    top = axes[0]
    there = [place for place, values in enumerate(settings.values()) if len(values)]
    table = np.array([values for values in settings.values() if len(values)])  # (settings, folds)
    for fold in range(table.shape[1] if len(there) else 0):
        colour = plots.LINES[fold % len(plots.LINES)]
        top.plot(there, table[:, fold], "o-", color=colour, linewidth=1.2, markersize=5)
    for place, values in zip(there, table, strict=True):
        mean = float(values.mean())
        top.plot([place - 0.16, place + 0.16], [mean, mean], color=plots.INK, linewidth=3, zorder=3)
        text = decimal(mean, 1)
        top.annotate(text, (place - 0.19, mean), ha="right", va="center", fontsize=11, bbox=BEHIND, zorder=4)
    for place, values in enumerate(settings.values()):
        if not len(values):
            top.text(place, 0.5, "not run", transform=top.get_xaxis_transform(), ha="center", color=GREY)
    middle, half = np.mean(top.get_ylim()), max(2.5, np.ptp(top.get_ylim()) / 2)
    top.set(ylabel="accuracy (%)", xlim=(-0.75, len(settings) - 0.5), ylim=limits or (middle - half, middle + half))
    if len(there) > 1:
        _fold_names(top, there[-1] + 0.07, table[-1])
    labels = [textwrap.fill(label, 15, break_on_hyphens=False) for label in settings]
    if below:
        _published(axes[1], list((published or {}).values()))
    axes[-1].set_xticks(range(len(settings)), labels)
    found = top.figure
    if not isinstance(found, Figure):
        raise InvalidInput("these axes belong to no figure")
    return found


def _fold_names(ax: Axes, place: float, values: Values) -> None:
    """The number of each fold at the end of its line, moved apart until none covers another, and inside the panel."""
    ends = array(values)
    order = np.argsort(ends, kind="stable")
    step = 0.065 * np.ptp(ax.get_ylim())
    steps = step * np.arange(len(ends))
    heights = np.maximum.accumulate(ends[order] - steps) + steps
    heights = np.minimum(heights, max(ax.get_ylim()) - step / 2 - steps[::-1])
    for fold, height in zip(order, heights, strict=True):
        colour = plots.LINES[fold % len(plots.LINES)]
        ax.annotate(f"{fold + 1}", (place, height), color=colour, va="center", fontsize=10)


def _published(ax: Axes, numbers: Sequence[float | None]) -> None:
    """The published numbers of a table as diamonds, one for each setting."""
    known = [(place, number) for place, number in enumerate(numbers) if number is not None]
    ax.plot(*zip(*known, strict=True), "D--", color=plots.INK, markersize=6, linewidth=0.8)
    for place, number in known:
        ax.annotate(f"{number:.3f}", (place, number), (0, 8), textcoords="offset points", ha="center", fontsize=11)
    values = [number for _, number in known]
    room = max(0.25 * (max(values) - min(values)), 0.004)
    ax.set(ylabel="mAP, paper", ylim=(min(values) - room, max(values) + 2.2 * room))


def curve_grid(tables: Mapping[str, Mapping[str, Values]], columns: int = 3) -> Figure:
    """Draw the learning curves behind several tables, one small panel for each.

    Args:
        tables: title to the settings of a table; the first one is its reference and is drawn in grey. A setting is
            `(folds, epochs)` in per cent; its mean is a thick line, its folds are thin.
        columns: panels beside each other.

    Returns:
        The figure.
    """
    rows = -(-len(tables) // columns)
    fig, axes = figure(2.25 * rows + 0.3, rows, columns, squeeze=False, sharex=True)
    for ax, (title, settings) in zip(axes.flat, tables.items(), strict=False):
        ends = []
        for number, (label, values) in enumerate(settings.items()):
            folds = array(values).astype(float)  # (folds, epochs)
            colour = GREY if number == 0 else plots.LINES[number - 1]
            epochs = np.arange(1, folds.shape[1] + 1)
            for fold in folds:
                ax.plot(epochs, fold, color=colour, linewidth=0.6, alpha=0.5)
            ax.plot(epochs, folds.mean(axis=0), color=colour, linewidth=2.4)
            ends.append((float(folds.mean(axis=0)[-1]), label, colour))
        _legend(ax, ends)
        ax.set_title(title, fontsize=12)
        ax.tick_params(labelsize=10)
        ax.xaxis.set_major_locator(MaxNLocator(nbins=3, steps=[1, 2, 5, 10], integer=True))
    for ax in list(axes.flat)[len(tables) :]:
        ax.set_visible(False)
    fig.supxlabel("epoch", fontsize=13)
    fig.supylabel("test accuracy (%)", fontsize=13)
    return fig


def _legend(ax: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """The names of the curves, from the highest end to the lowest, where the panel is emptiest."""
    ax.autoscale_view()  # the limits are set only when somebody asks for them
    lines = [ax.transAxes.inverted().transform(ax.transData.transform(line.get_xydata())) for line in ax.lines]
    points = np.concatenate(lines)  # (points of all curves, 2), from 0 to 1 in the panel

    def covered(place: tuple[float, float]) -> int:
        left = place[0] if PLACES[place] == "left" else place[0] - 0.5
        low = place[1] - 0.13 * len(ends) if PLACES[place] == "left" else place[1]
        inside = (points >= (left, low - 0.05)) & (points <= (left + 0.5, low + 0.13 * len(ends)))
        return int(inside.all(axis=1).sum())

    x, y = min(PLACES, key=covered)
    side = PLACES[x, y]
    highest = y - 0.13 if side == "left" else y + 0.13 * (len(ends) - 1)
    for row, (_, label, colour) in enumerate(sorted(ends, reverse=True)):
        place = (x, highest - 0.13 * row)
        ax.text(*place, label, color=colour, transform=ax.transAxes, ha=side, va="bottom", fontsize=10)
