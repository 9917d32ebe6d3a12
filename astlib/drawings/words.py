"""Spoken words as the network sees them, and a position embedding that is cut from the middle of a picture's.

Chapter: notebooks/11_speech_commands.ipynb
"""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .. import plots
from ..errors import InvalidInput
from ..plots import Values, array, figure

COLUMNS = 3


def word_grid(words: Mapping[str, Values], end: float = 0.98, hop: float = 0.010) -> Figure:
    """Draw the spectrograms of some words beside each other, each with a dashed line where its sound ends.

    Args:
        words: title to `(frames, mels)`, as the network gets it, padding included.
        end: where the sound ends, in seconds.
        hop: between two frames, in seconds.

    Returns:
        The figure.

    Raises:
        InvalidInput: there is no word.
    """
    if not words:
        raise InvalidInput("expected at least one word")
    rows = -(-len(words) // COLUMNS)
    fig, axes = figure(0.6 + 1.9 * rows, rows, COLUMNS, squeeze=False, sharex=True, sharey=True)
    low = min(array(values).min() for values in words.values())
    high = max(array(values).max() for values in words.values())
    for place, ax in enumerate(axes.flat):
        if place >= len(words):
            ax.axis("off")
            continue
        title, values = list(words.items())[place]
        picture = array(values)
        ax.imshow(
            picture.T,
            origin="lower",
            aspect="auto",
            interpolation="nearest",
            vmin=low,
            vmax=high,
            extent=(0, len(picture) * hop, 0, picture.shape[1]),
        )
        ax.axvline(end, color="white", linestyle="--", linewidth=1.2)
        ax.set(title=title, xticks=(0, 0.5, 1), yticks=(0, 64, 128))
    for ax in axes[-1]:
        ax.set_xlabel("time (s)")
    for ax in axes[:, 0]:
        ax.set_ylabel("mel bin")
    return fig


def cut_from_a_picture(side: int, grids: Mapping[str, tuple[int, int]]) -> Figure:
    """Draw how grids of patches take their position embedding from a square one: cut where smaller, else blended.

    Args:
        side: patches along each side of the picture.
        grids: title to `(f, t)`, patches in frequency and in time.

    Returns:
        The figure: for each grid the square of the picture, with the part that is used in colour.
    """
    fig, axes = figure(2.9, 1, len(grids), squeeze=False)
    for ax, (title, (f, t)) in zip(axes[0], grids.items(), strict=True):
        _draw_cut(ax, side, f, t)
        ax.set_title(f"{title}\ntime: {'cut' if t <= side else f'{side} → {t}'}", fontsize=12)
    return fig


def _draw_cut(ax: Axes, side: int, f: int, t: int) -> None:
    """The places of a picture, those that are used, and how each axis is treated."""
    high, wide = min(f, side), min(t, side)
    low, left = (side - high) // 2, (side - wide) // 2
    ax.add_patch(Rectangle((0, 0), side, side, facecolor=plots.GRID, edgecolor="white"))
    ax.add_patch(Rectangle((left, low), wide, high, facecolor=plots.SKY, edgecolor=plots.BLUE, linewidth=2))
    for line in np.arange(1, side):
        ax.plot([line, line], [0, side], color="white", linewidth=0.6)
        ax.plot([0, side], [line, line], color="white", linewidth=0.6)
    ax.set(
        xlim=(-0.5, side + 0.5),
        ylim=(-0.5, side + 0.5),
        aspect="equal",
        xticks=[0, left, left + wide, side],
        yticks=[0, low, low + high, side],
        xlabel="column",
        ylabel="row",
    )
    ax.set_xticks(sorted({0, left, left + wide, side}))
    ax.spines[:].set_visible(False)
