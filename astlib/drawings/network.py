"""The whole network drawn with its numbers: labels on the picture of one clip, two maps on one scale, what it costs.

Chapter: notebooks/04_the_whole_ast.ipynb
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .. import plots
from ..errors import InvalidInput
from ..plots import BLUE, INK, ORANGE, SKY, VERMILION, Values, array

NOTE: dict[str, Any] = {
    "fontsize": 11,
    "bbox": {"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": INK, "alpha": 0.9},
}
ARROW: dict[str, Any] = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.4}


def labelled(figure: Figure, grid: tuple[int, int], frames: int, names: Sequence[str], logits: Values) -> Figure:
    """Write into the picture of the whole network what its parts are: padding, class tokens, rows, the class that wins.

    Args:
        figure: as `astlib.plots.whole_network` draws it, for a network with two class tokens.
        grid: `(f, t)`, rows and columns of patches.
        frames: of the sound itself; what follows is padding.
        names: of the classes.
        logits: `(classes,)`.

    Returns:
        The same figure.

    Raises:
        InvalidInput: there is not one name for each logit.
    """
    scores = array(logits).ravel()
    if len(scores) != len(names):
        raise InvalidInput(f"expected one name for each of {len(scores)} logits, found {len(names)}")
    _, mel, tokens, _, _, bars = figure.axes[:6]
    rows, columns = grid
    top = mel.get_ylim()[1]
    mel.annotate("padding", (frames + 6, 0.75 * top), (frames - 70, 0.75 * top), ha="right", va="center",
                 arrowprops=ARROW | {"color": "white"}, **NOTE)  # fmt: skip
    starts = [2 + columns * row for row in range(rows)]
    for start in starts:
        tokens.axvline(start - 0.5, color=INK, linewidth=1.2)
    tokens.set_xticks([start + columns / 2 for start in starts], [f"row {row}" for row in range(1, rows + 1)])
    tokens.tick_params(axis="x", length=0, labelsize=10)
    tokens.set_xlabel(f"2 class tokens, then {rows} rows of {columns} patches, from low to high", fontsize=12)
    dim = tokens.get_ylim()[0]
    tokens.annotate("class tokens", (0.5, 0.3 * dim), (14, 0.3 * dim), ha="left", va="center", arrowprops=ARROW, **NOTE)
    best = int(scores.argmax())
    side = -1 if best > len(scores) / 2 else 1
    bars.annotate(
        names[best].replace("_", " "),
        (best, scores[best]),
        (best + 3 * side, 0.8 * scores[best]),
        ha="left" if side > 0 else "right",
        va="center",
        arrowprops={"arrowstyle": "-", "color": INK},
        **NOTE,
    )
    return figure


def two_maps(maps: Mapping[str, Values], frames: int, limit: float, title: str) -> Figure:
    """Draw attention weights of a class token on the patches, computed in several ways, on one colour scale.

    Each title says how much of the attention goes to patches at all, and how much of it to those of the padding.

    Args:
        maps: how it was computed to `(f, t)` attention weights, as fractions. Patches are 16 by 16.
        frames: of the sound itself; a patch that begins behind them, or ends more than half a patch behind them, counts
            as padding.
        limit: end of the colour scale, in per cent.
        title: above all maps.

    Returns:
        The figure.
    """
    fig, axes = plots.figure(0.5 + 1.7 * len(maps), len(maps), 1, sharex=True, squeeze=False)
    for ax, (name, weights) in zip(axes[:, 0], maps.items(), strict=True):
        values = 100 * array(weights)
        rows, columns = values.shape
        extent = (0, 0.16 * columns, 0, 16 * rows)
        image = ax.imshow(values, origin="lower", aspect="auto", extent=extent, vmin=0, vmax=limit, cmap="viridis")
        first = padding_starts(frames, columns)
        edge = Rectangle((0.16 * first, 0), 0.16 * (columns - first), 16 * rows, fill=False, edgecolor=ORANGE)
        edge.set_linewidth(2)
        ax.add_patch(edge)
        ax.set(ylabel="mel bin", yticks=[0, 64, 128])
        ax.set_title(f"{name}: patches {values.sum():.0f} %, padding {values[:, first:].sum():.0f} %", fontsize=12)
    axes[-1, 0].set(xlabel="time (s)")
    fig.colorbar(image, ax=axes[:, 0], label="attention weight (%)", pad=0.02, extend="max")
    fig.suptitle(title, fontsize=13, x=0.02, ha="left")
    return fig


def padding_starts(frames: int, columns: int) -> int:
    """Find the first column of patches that is mostly padding.

    Args:
        frames: of the sound itself.
        columns: of patches, 16 frames wide, without overlap.

    Returns:
        Its number, counted from 0; `columns` if there is none.
    """
    return min(columns, round(frames / 16))


def costs(
    parameters: Mapping[str, float],
    work: Mapping[str, Mapping[str, float]],
    memory: Mapping[str, Mapping[str, float]],
) -> Figure:
    """Draw where a network's parameters are, where its multiply-adds go, and what attention stores for training.

    Args:
        parameters: part to number of parameters.
        work: setting, such as a stride, to part to multiply-adds. The parts are those of `parameters`.
        memory: way of computing attention to setting to bytes. The settings are those of `work`.

    Returns:
        The figure.
    """
    fig, axes = plots.figure(6.6, 3, 1, height_ratios=[1, 2.6, 2.6])
    colours = dict(zip(parameters, (BLUE, SKY, VERMILION, ORANGE), strict=True))
    _stack(axes[0], {"": parameters}, colours, 1e6)
    _stack(axes[1], work, colours, 1e9)
    axes[0].set(xlabel="parameters (million)")
    axes[1].set(xlabel="multiply-adds for one clip (billion)")
    places = np.arange(len(work))
    height = 0.8 / len(memory)
    for number, (name, colour) in enumerate(zip(memory, (VERMILION, BLUE), strict=True)):
        values = [memory[name][setting] / 1e6 for setting in work]
        bars = axes[2].barh(places + (number - 0.5) * height, values, height, color=colour, label=name)
        axes[2].bar_label(bars, fmt="%.0f", padding=3, fontsize=11)
    axes[2].set_yticks(places, list(work))
    axes[2].invert_yaxis()
    axes[2].set(xlabel="kept for the backward pass of attention, one clip (MB)", xmargin=0.12)
    axes[2].legend(loc="upper right")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, columnspacing=1.1)
    return fig


def _stack(ax: Axes, rows: Mapping[str, Mapping[str, float]], colours: Mapping[str, str], unit: float) -> None:
    """Draw horizontal bars, one a row, made of its parts, with the sum behind each."""
    left = np.zeros(len(rows))
    for part, colour in colours.items():
        widths = np.array([row[part] / unit for row in rows.values()])
        bars = ax.barh(list(rows), widths, left=left, color=colour, label=part)
        left += widths
    ax.bar_label(bars, [f"{total:.1f}" for total in left], padding=4, fontsize=11)
    ax.set(xmargin=0.1)
    ax.invert_yaxis()
