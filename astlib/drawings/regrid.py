"""Positions on another grid: what is kept, what is stretched, and from where each new place comes.

Chapter: notebooks/05_pictures_to_sound.ipynb
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from ..plots import GRID, INK, YELLOW, Values, array, figure
from ..transfer import cut_or_stretch

FRAMES = (YELLOW, "white", "black")  # of the parts that are kept, one colour a target


def row(lines: Mapping[str, Values]) -> Figure:
    """Draw rows of places below each other, each place a box with its number, coloured by it.

    Args:
        lines: label to `(places,)`: for every place the number of the old place that it was taken from, or a number in
            between if it was blended. The first line is the old row itself.

    Returns:
        The figure.
    """
    numbers = {label: array(line).astype(float) for label, line in lines.items()}
    most = max(1.0, max(line.max() for line in numbers.values()))
    longest = max(len(line) for line in numbers.values())
    fig, ax = figure(0.2 + 0.55 * len(lines))
    for place, (label, line) in enumerate(numbers.items()):
        for column, number in enumerate(line):
            shade = number / most
            colour = (0.60 + 0.38 * shade, 0.88 - 0.06 * shade, 0.98 - 0.38 * shade)
            ax.add_patch(Rectangle((column - 0.46, -place - 0.4), 0.92, 0.8, facecolor=colour, edgecolor=GRID))
            ax.text(column, -place, f"{number:.3g}", ha="center", va="center", fontsize=11, color=INK)
        ax.text(-0.8, -place, label, ha="right", va="center", fontsize=12)
    ax.set(xlim=(-4.1, longest - 0.4), ylim=(0.5 - len(lines), 0.5))
    ax.axis("off")
    return fig


def colours(rows: int = 14, columns: int = 14) -> NDArray[np.float32]:
    """Give each place of a grid a colour of its own.

    Args:
        rows: of the grid.
        columns: of the grid.

    Returns:
        `(1, 3, rows, columns)` in [0, 1].
    """
    place, column = np.mgrid[0:rows, 0:columns]
    channels = [place / (rows - 1), np.full(place.shape, 0.35), column / (columns - 1)]
    return np.stack(channels)[None].astype(np.float32)


def origins(targets: Sequence[tuple[int, int]], side: int = 14) -> Figure:
    """Draw a square of coloured places, frames around what is kept of it, and three grids made from it.

    Args:
        targets: three grids, `(rows, columns)` each.
        side: of the square.

    Returns:
        The figure.
    """
    square = torch.from_numpy(colours(side, side))
    fig, axes = figure(4.4, 2, 2, height_ratios=[2, 1])
    places = axes.ravel()
    places[0].imshow(square[0].permute(1, 2, 0).numpy(), origin="lower")
    places[0].set(title=f"{side} x {side}, the picture", xticks=[0, side - 1], yticks=[0, side - 1])
    for ax, (rows, columns), colour in zip(places[1:], targets, FRAMES, strict=True):
        low = side // 2 - rows // 2 if rows <= side else 0
        left = side // 2 - columns // 2 if columns <= side else 0
        size = (min(columns, side), min(rows, side))
        dashes = "--" if colour == FRAMES[0] else "-"  # it may lie on another frame
        frame = Rectangle((left - 0.5, low - 0.5), *size, fill=False, edgecolor=colour, linewidth=2, linestyle=dashes)
        frame.set_zorder(3 if colour == FRAMES[0] else 2)
        places[0].add_patch(frame)
        stretched = cut_or_stretch(square, columns, axis=3, mode="bilinear")
        fitted = cut_or_stretch(stretched, rows, axis=2, mode="bilinear")
        ax.imshow(fitted[0].permute(1, 2, 0).numpy(), origin="lower")
        ax.set(title=f"{rows} x {columns}: rows {low} to {low + size[1] - 1}")
        ax.set(xticks=[0, columns - 1], yticks=[0, rows - 1])
    return fig
