"""Attention drawn with its numbers: four tokens by hand, the split into heads, the block as a bus, maps over a clip.

Chapter: notebooks/03_attention_and_the_encoder.ipynb
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from .. import plots
from ..errors import InvalidInput
from ..plots import BLUE, GRID, INK, ORANGE, SKY, VERMILION, Plot, Values, array

CELL, ROW = 0.54, 0.32  # width and height of a number's cell in `by_hand`, in inches


def by_hand(names: Sequence[str], steps: Mapping[str, Values], query: int = 0) -> Figure:
    """Draw one head of attention for a few tokens of two numbers, with every intermediate number in its cell.

    Args:
        names: of the tokens.
        steps: the matrices, by name: x, q, k, v and y `(tokens, 2)`; scores, divided and A `(tokens, tokens)`.
        query: the token whose row is framed in every matrix.

    Returns:
        The figure.

    Raises:
        InvalidInput: a matrix has another number of rows than there are names.
    """
    made = {name: array(matrix) for name, matrix in steps.items()}
    n = len(names)
    if wrong := [name for name, matrix in made.items() if len(matrix) != n]:
        raise InvalidInput(f"expected {n} rows, one for each name, in {', '.join(wrong)}")
    plots.style()
    high = ROW * n + 0.72
    fig = Plot(figsize=(plots.WIDTH, 3 * high + 0.12))
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, plots.WIDTH), ylim=(3 * high + 0.12, 0))
    ax.axis("off")
    wide, start = CELL * n, 0.72
    names_of_keys = [f"k {name}" for name in names]
    pair = 2 * CELL + 0.28
    for place, (name, title) in enumerate({"x": "tokens x", "q": "queries q", "k": "keys k", "v": "values v"}.items()):
        _cells(ax, made[name], (start + place * pair, 0.62), title, query, rows=[] if place else names)
    _cells(ax, made["scores"], (start, high + 0.62), "scores q·k", query, rows=names, columns=names_of_keys)
    right = start + wide + 0.52
    _cells(ax, made["divided"], (right, high + 0.62), "scores / √d", query, columns=names_of_keys)
    ax.text(right - 0.27, high + 0.62 + ROW * n / 2, "→", ha="center", va="center", fontsize=16)
    low = 2 * high + 0.62
    _cells(ax, made["A"], (start, low), "attention weights A", query, rows=names, columns=names_of_keys, share=True)
    after = start + wide + 0.4
    ax.text(after - 0.2, low + ROW * n / 2, "×", ha="center", va="center", fontsize=16)
    _cells(ax, made["v"], (after, low), "values v", None)
    after += 2 * CELL + 0.4
    ax.text(after - 0.2, low + ROW * n / 2, "=", ha="center", va="center", fontsize=16)
    _cells(ax, made["y"], (after, low), "outputs y", query)
    return fig


def _cells(
    ax: Axes,
    matrix: Any,
    corner: tuple[float, float],
    title: str,
    query: int | None,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    share: bool = False,
) -> None:
    """Write a matrix as coloured cells, from its upper left corner. Weights (`share`) are blue, others by sign."""
    left, top = corner
    ax.text(left, top - (0.32 if columns else 0.12), title, fontsize=12, fontweight="bold", va="bottom")
    largest = max(float(np.abs(matrix).max()), 1e-9)
    for i, line in enumerate(matrix):
        for j, value in enumerate(line):
            colour = BLUE if share else SKY if value < 0 else ORANGE
            strength = 0.55 * abs(value) / (1 if share else largest)
            place = (left + j * CELL, top + i * ROW)
            ax.add_patch(Rectangle(place, CELL, ROW, facecolor=(colour, strength), edgecolor=GRID, linewidth=0.8))
            text = f"{value:.2f}".rstrip("0").rstrip(".").replace("-", "−")
            ax.text(place[0] + CELL / 2, place[1] + ROW / 2, text, ha="center", va="center", fontsize=11)
    for i, name in enumerate(rows):
        ax.text(left - 0.08, top + (i + 0.5) * ROW, name, ha="right", va="center", fontsize=11)
    for j, name in enumerate(columns):
        ax.text(left + (j + 0.5) * CELL, top - 0.05, name, ha="center", va="bottom", fontsize=9)
    if query is not None:
        frame = (left, top + query * ROW)
        ax.add_patch(
            Rectangle(frame, matrix.shape[1] * CELL, ROW, fill=False, edgecolor=VERMILION, linewidth=2.2, zorder=3)
        )


def heads(
    token: Values, qkv: Values, weights: Values, found: Values, out: Values, grid: tuple[int, int], query: int
) -> Figure:
    """Draw how one token's numbers are split among the heads and joined again, with the numbers themselves.

    Args:
        token: `(dim,)`, after the norm.
        qkv: `(3, dim)`, its query, key and value, of all heads side by side.
        weights: `(heads, f * t)`, its attention weights on the patches.
        found: `(dim,)`, what the heads found, side by side.
        out: `(dim,)`, after the last linear layer.
        grid: `(f, t)`, rows and columns of patches.
        query: the patch whose token this is, counted row by row.

    Returns:
        The figure.
    """
    qkv, maps = array(qkv), array(weights)
    count, dim = len(maps), qkv.shape[1]
    labels = [f"head {number}" for number in range(1, count + 1)]
    lines = {"token": array(token), "q": qkv[0], "k": qkv[1], "v": qkv[2], "found": array(found), "out": array(out)}
    titles = {
        "token": f"one token after the norm: {dim} numbers",
        "q": f"q, k and v: one matrix, then a split into {count} × {dim // count}",
        "found": f"what the heads found, side by side: {count} × {dim // count}",
        "out": f"after proj, which mixes the heads: {dim} numbers",
    }
    plots.style()
    fig = Plot(figsize=(plots.WIDTH, 5.4), layout="constrained")
    layout = [[name] * count for name in ("token", "q", "k", "v")] + [labels] + [[n] * count for n in ("found", "out")]
    axes: dict[str, Axes] = fig.subplot_mosaic(
        layout,  # type: ignore[arg-type]  # matplotlib asks for a list of lists of Any
        height_ratios=[1, 1, 1, 1, 2.6, 1, 1],
    )
    for name, numbers in lines.items():
        ax, end = axes[name], max(float(np.percentile(np.abs(numbers), 98)), 1e-9)
        ax.imshow(numbers[None], aspect="auto", interpolation="none", cmap="RdBu_r", vmin=-end, vmax=end)
        ax.set(xticks=[], yticks=[])
        ax.set_title(titles.get(name, ""), fontsize=12)
        ax.set_ylabel(name if name in "qkv" else "", rotation=0, va="center", labelpad=10)
        if name not in ("token", "out"):
            for edge in range(1, count):
                ax.axvline(edge * dim / count - 0.5, color="white", linewidth=9)
    row, column = divmod(query, grid[1])
    for label, values in zip(labels, maps, strict=True):
        ax = axes[label]
        ax.imshow(values.reshape(grid), origin="lower", aspect="auto", cmap="viridis", vmin=0)
        ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor="white", linewidth=1.8))
        ax.set(xticks=[], yticks=[], xlabel="time", ylabel="mel bin" if label == labels[0] else "")
        ax.set_title(f"{label}: weights", fontsize=12)
    return fig


def bus(sizes: Mapping[str, float]) -> Figure:
    """Draw one block: a line that runs through (the residual stream), and two stations that read from it and add to it.

    Args:
        sizes: root mean square of the numbers: of the stream at its "start", "between" the stations and at its "end",
            and of what "attention" and "MLP" add.

    Returns:
        The figure.
    """
    plots.style()
    fig = Plot(figsize=(plots.WIDTH, 2.9))
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, 12), ylim=(0, 5.7))
    ax.axis("off")
    ax.add_patch(
        FancyArrowPatch(
            (0.2, 1.5), (11.9, 1.5), arrowstyle="simple,head_width=22,head_length=16,tail_width=10", color=GRID
        )
    )
    ax.text(0.2, 0.1, "the residual stream, and the size of its numbers", fontsize=11, va="bottom")
    stations = {"attention": (1.6, "tokens exchange", BLUE), "MLP": (6.9, "each token alone", VERMILION)}
    for name, (left, remark, colour) in stations.items():
        right = left + 3.4
        for start, end in (((left, 1.6), (left, 2.75)), ((left, 3.35), (left, 4.1)), ((right, 4.1), (right, 1.85))):
            ax.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=14, color=colour, linewidth=1.8))
        _box(ax, (left - 0.75, 2.75), (1.5, 0.62), "norm", INK)
        _box(ax, (left - 0.75, 4.1), (4.8, 1.35), f"{name}\n{remark}", colour)
        ax.text(right, 1.5, "+", ha="center", va="center", fontsize=15, color="white", zorder=4,
                bbox={"boxstyle": "circle,pad=0.12", "facecolor": colour, "edgecolor": "none"})  # fmt: skip
        ax.text(right - 0.2, 2.75, f"adds {sizes[name]:.2f}", ha="right", va="center", fontsize=11, color=colour)
    for place, name in {0.75: "start", 6.0: "between", 11.2: "end"}.items():
        ax.text(place, 0.95, f"{sizes[name]:.2f}", ha="center", va="center", fontsize=12, fontweight="bold")
    return fig


def _box(ax: Axes, corner: tuple[float, float], size: tuple[float, float], text: str, colour: str) -> None:
    """Draw a box with rounded corners and its text."""
    ax.add_patch(
        FancyBboxPatch(corner, *size, boxstyle="round,pad=0,rounding_size=0.15", facecolor=(colour, 0.13),
                       edgecolor=colour, linewidth=1.6)
    )  # fmt: skip
    ax.text(corner[0] + size[0] / 2, corner[1] + size[1] / 2, text, ha="center", va="center", fontsize=12)


def over_clip(
    values: Values,
    weights: Values,
    query: tuple[int, int],
    title: str = "",
    ax: Axes | None = None,
    patch: int = 16,
    label: str = "attention weight (%)",
) -> Figure:
    """Draw the attention weights of one patch over the clip: the clip in grey, the weights in colour, the patch framed.

    Args:
        values: log-mel `(frames, mels)` without padding.
        weights: of the patches, `(f, t)`, as fractions. Patches are squares that do not overlap; those behind the last
            frame are not drawn.
        query: row and column of the patch that asks.
        title: above the axes.
        ax: where to draw; None makes a new figure.
        patch: side of a patch, in frames and mel bins.
        label: of the colours.

    Returns:
        The figure.

    Raises:
        InvalidInput: the patches do not cover the clip.
    """
    frames, mels = array(values).shape
    wide = np.kron(100 * array(weights).T, np.ones((patch, patch)))  # (t * patch, f * patch)
    if wide.shape[0] < frames or wide.shape[1] != mels:
        raise InvalidInput(f"patches over {wide.shape} frames and mel bins do not cover a clip of {(frames, mels)}")
    fig = plots.attention(values, wide[:frames], ax=ax, title=title, label=label)
    target = ax or fig.axes[0]
    row, column = query
    corner = (column * patch * 0.01, row * patch - 0.5)
    target.add_patch(Rectangle(corner, patch * 0.01, patch, fill=False, edgecolor=INK, linewidth=2.6))
    return fig


def three_heads(values: Values, weights: Values, query: tuple[int, int], titles: Sequence[str]) -> Figure:
    """Draw the attention weights of one patch in several heads, one picture below the other.

    Args:
        values: log-mel `(frames, mels)` without padding.
        weights: `(heads, f, t)`, of the patches, as fractions.
        query: row and column of the patch that asks.
        titles: one for each head.

    Returns:
        The figure.

    Raises:
        InvalidInput: the patches do not cover the clip.
    """
    fig, axes = plots.figure(1.75 * len(titles), len(titles), 1, sharex=True)
    for ax, one, title in zip(axes, array(weights), titles, strict=True):
        over_clip(values, one, query, title, ax=ax, label="weight (%)")
        for side in ax.child_axes:  # there is no room for a second axis in Hz
            side.set_visible(False)
        if ax is not axes[-1]:
            ax.set(xlabel="")
    return fig


def twins(
    patches: Sequence[Values],
    clips: Sequence[Values],
    places: Sequence[tuple[int, int]],
    names: Sequence[str],
    correlation: float,
) -> Figure:
    """Draw two patches that look alike, brightness and contrast removed, beside the clips they were cut from.

    Args:
        patches: two patches `(16, 16)`, mel bin first, each with mean 0 and variance 1.
        clips: the two log-mel spectrograms `(frames, mels)`.
        places: row and column of each patch, in a grid of 16 by 16.
        names: of the two classes.
        correlation: of the two patches.

    Returns:
        The figure.
    """
    fig, axes = plots.figure(4.4, 2, 2, width_ratios=[1, 3.2])
    for (small, wide), patch, clip, (row, column), name in zip(axes, patches, clips, places, names, strict=True):
        small.imshow(array(patch), origin="lower", vmin=-2.5, vmax=2.5)
        small.set(xticks=[], yticks=[], title="patch")
        values = array(clip)
        frames, mels = values.shape
        high = values.max()
        wide.imshow(
            values.T, origin="lower", aspect="auto", extent=(0, frames * 0.01, 0, mels), vmin=high - 8, vmax=high
        )
        frame = Rectangle((0.16 * column, 16 * row), 0.16, 16, fill=False, edgecolor=SKY, linewidth=2.6)
        wide.add_patch(frame)
        wide.set(title=f"from: {name}".replace("_", " "), ylabel="mel bin", yticks=[0, 64, 128])
    axes[1, 1].set(xlabel="time (s)")
    fig.suptitle(f"correlation of the two patches: {correlation:.2f}", fontsize=13, x=0.02, ha="left")
    return fig
