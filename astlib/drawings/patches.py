"""Drawings of how a spectrogram becomes tokens: patches in a row, what fits, patch to token, pairs of tokens.

Chapter: notebooks/02_spectrogram_to_tokens.ipynb
"""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch, Rectangle
from numpy.typing import NDArray

from .. import plots
from ..plots import BLUE, CARD, INK, ORANGE, VERMILION, Values, array

SIGNED = "RdBu_r"  # of values that may be negative


def in_a_row(mel: Values, patch: int = 16, across: int = 12) -> Figure:
    """Draw a spectrogram with the grid of its patches and, below it, the patches one after the other.

    Args:
        mel: `(frames, mels)`.
        patch: side of a patch; the patches do not overlap.
        across: how many patches stand in one line.

    Returns:
        The figure.
    """
    mel = array(mel)
    rows, columns = mel.shape[1] // patch, mel.shape[0] // patch
    plots.style()
    fig = plots.Plot(figsize=(plots.WIDTH, 4.7), layout="constrained")
    top, bottom = fig.subplots(2, 1, height_ratios=[1, 1.1])
    colours = {"vmin": mel.min(), "vmax": mel.max(), "origin": "lower", "interpolation": "nearest"}
    top.imshow(mel.T, aspect="auto", extent=(0, mel.shape[0], 0, mel.shape[1]), **colours)
    for row in range(rows):
        for column in range(columns):
            corner = (column * patch, row * patch)
            top.add_patch(Rectangle(corner, patch, patch, facecolor="none", edgecolor="white", linewidth=0.8))
    for place, (row, column) in {0: (0, 0), columns: (1, 0), rows * columns - 1: (rows - 1, columns - 1)}.items():
        middle = (column * patch + patch / 2, row * patch + patch / 2)
        top.text(*middle, str(place), ha="center", va="center", fontsize=11, bbox={"facecolor": CARD, "pad": 1.5})
    top.set(xlabel="frame", ylabel="mel bin", yticks=np.arange(0, mel.shape[1] + 1, 32))
    lines, gap = -(-rows * columns // across), 4
    canvas = np.full((lines * (patch + 2 * gap), across * (patch + gap)), np.nan)
    for place in range(rows * columns):
        row, column = divmod(place, columns)
        line, at = divmod(place, across)
        y, x = (lines - 1 - line) * (patch + 2 * gap) + gap, at * (patch + gap)
        part = mel[column * patch : (column + 1) * patch, row * patch : (row + 1) * patch]
        canvas[y : y + patch, x : x + patch] = part.T
    bottom.imshow(canvas, aspect="equal", **colours)
    firsts = [(lines - 1 - line) * (patch + 2 * gap) + gap + patch / 2 for line in range(lines)]
    bottom.set_yticks(firsts, [str(line * across) for line in range(lines)])
    bottom.set(xticks=[], ylabel="token")
    bottom.spines[:].set_visible(False)
    return fig


def starts(size: int, stride: int, patch: int = 16, label: str = "mel bin") -> Figure:
    """Draw the patches along one axis as bars, one above the other, and what they leave over at the end.

    Args:
        size: length of the axis.
        stride: distance of the starts.
        patch: length of a patch.
        label: of the axis.

    Returns:
        The figure.
    """
    places = range(0, size - patch + 1, stride)
    fig, ax = plots.figure(2.6)
    for row, start in enumerate(places):
        ax.barh(row, patch, left=start, height=0.72, color=BLUE if row else ORANGE)
    end = places[-1] + patch
    if end < size:
        ax.axvspan(end, size, color=VERMILION, alpha=0.45)
        ax.annotate(
            f"{size - end} left over",
            (end, len(places) * 0.25),
            xytext=(-8, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            color=VERMILION,
        )
    ax.set(xlabel=label, ylabel="patch", xlim=(0, size), xticks=np.linspace(0, size, 5))
    ax.set(ylim=(-0.6, len(places) - 0.4), yticks=[0, len(places) - 1])
    return fig


def patch_to_token(patch: Values, weight: Values, bias: Values, row: int = 40) -> Figure:
    """Draw how the 256 numbers of a patch become a token: times a matrix, plus a bias.

    Args:
        patch: `(16, 16)`, frequency by time.
        weight: `(D, 256)`.
        bias: `(D,)`.
        row: the row of the matrix to point out, which gives one number of the token.

    Returns:
        The figure.
    """
    patch, weight, bias = (array(values).astype(np.float64) for values in (patch, weight, bias))
    flat = patch.reshape(-1)
    token = weight @ flat + bias
    plots.style()
    fig = plots.Plot(figsize=(plots.WIDTH, 3.6))
    picture = fig.add_axes((0.02, 0.36, 0.22, 0.36))
    vector = fig.add_axes((0.335, 0.10, 0.035, 0.74))
    matrix = fig.add_axes((0.46, 0.19, 0.36, 0.56))
    result = fig.add_axes((0.93, 0.19, 0.035, 0.56))
    picture.imshow(patch, origin="lower", aspect="auto", interpolation="nearest")
    vector.imshow(flat[:, None], aspect="auto", interpolation="nearest")
    _signed(matrix, weight)
    _signed(result, token[:, None])
    for ax, title in (
        (picture, f"patch\n{patch.shape[0]} × {patch.shape[1]}"),
        (vector, f"{len(flat)}\nnumbers"),
        (matrix, f"matrix W: {weight.shape[0]} × {weight.shape[1]}"),
        (result, f"token:\n{len(token)}"),
    ):
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(True)
        ax.set_title(title, loc="center", fontsize=12)
    for x, sign in ((0.285, "→"), (0.415, "×"), (0.875, "+ b =")):
        fig.text(x, 0.47, sign, ha="center", va="center", fontsize=16)
    matrix.add_patch(Rectangle((-0.5, row - 1.5), weight.shape[1], 3, facecolor="none", edgecolor=INK, linewidth=1.6))
    result.add_patch(Rectangle((-0.5, row - 1.5), 1, 3, facecolor="none", edgecolor=INK, linewidth=1.6))
    line = ConnectionPatch(
        (weight.shape[1] - 0.5, row), (-0.5, row), "data", "data", axesA=matrix, axesB=result, color=INK, linewidth=1.2
    )
    fig.add_artist(line)
    fig.text(
        0.5, 0.02, f"row {row} of W times the {len(flat)} numbers, plus b: {token[row]:+.2f}", ha="center", fontsize=12
    )
    return fig


def _signed(ax: Axes, values: NDArray[np.float64]) -> None:
    """A matrix in colours whose middle is 0."""
    most = np.abs(values).max()
    ax.imshow(values, aspect="auto", interpolation="nearest", cmap=SIGNED, vmin=-most, vmax=most)


def pairs(counts: Mapping[int, int]) -> Figure:
    """Draw, as squares on top of each other, how many pairs the tokens of several strides make.

    Args:
        counts: stride to number of tokens, the most tokens last.

    Returns:
        The figure.
    """
    fig, ax = plots.figure(5.2)
    largest = max(counts.values())
    for shade, (stride, count) in zip((0.12, 0.28, 0.4, 1.0), sorted(counts.items()), strict=False):
        ax.add_patch(Rectangle((0, 0), count, count, facecolor=BLUE, alpha=shade, edgecolor=INK, linewidth=1.2))
        ax.text(
            count - 0.015 * largest,
            count - 0.02 * largest,
            f"stride {stride}\n{count:,}² = {count**2 / 1e6:.2f} million",
            ha="right",
            va="top",
            fontsize=11,
            color=CARD if shade > 0.5 else INK,
        )
    ax.set(xlim=(0, 1.01 * largest), ylim=(0, 1.01 * largest), aspect="equal")
    ax.set(xlabel="token", ylabel="token", xticks=[0, *counts.values()])
    ax.set_yticks([0, *counts.values()])
    return fig
