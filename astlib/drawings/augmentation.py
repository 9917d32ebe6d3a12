"""Drawings of augmentation: a mixture and what a network answers to it, shares, masks by hand, before and after.

Chapter: notebooks/06_data_and_augmentation.ipynb
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .. import plots
from ..plots import BLUE, GRID, INK, ORANGE, SKY, VERMILION, Values, array


def mixture(
    mel: Values,
    answers: Sequence[tuple[str, float]],
    lam: float,
    names: tuple[str, str],
    limits: tuple[float, float] = (-14, 6),
) -> Figure:
    """Draw the spectrogram of a mixture and, below it, the network's first answers.

    Args:
        mel: `(frames, mels)`, 10 ms a frame.
        answers: label and probability of each, the most probable first.
        lam: share of the first sound.
        names: of the two sounds, as the labels name them; their bars are blue and red, others grey.
        limits: range of the colours.

    Returns:
        The figure.
    """
    fig, (above, below) = plots.figure(4.6, 2, 1, height_ratios=[1.7, 1])
    one, two = (name.replace("_", " ") for name in names)
    plots.mel(mel, ax=above, colorbar=False, limits=limits, title=f"{lam:.0%} {one}, {1 - lam:.0%} {two}")
    above.set_xlabel("time (s)", labelpad=1)
    colours = {one: BLUE, two: VERMILION}
    for row, (label, probability) in enumerate(answers):
        label = label.replace("_", " ")
        below.barh(-row, 100 * probability, color=colours.get(label, "#B5BAC0"), height=0.66)
        inside = probability > 0.6
        below.text(
            100 * probability + (-1.5 if inside else 1.5),
            -row,
            f"{label} {probability:.0%}",
            ha="right" if inside else "left",
            va="center",
            color="white" if inside else INK,
        )
    below.set(xlim=(0, 100), xlabel="the three most probable answers (%)", yticks=[])
    below.spines["left"].set_visible(False)
    return fig


def shares(lam: Values, first: Values, second: Values, names: tuple[str, str]) -> Figure:
    """Draw what a network answers to mixtures of two sounds, and what mixup would ask for.

    Args:
        lam: `(mixtures,)` shares of the first sound.
        first: `(mixtures,)` probability of its class.
        second: `(mixtures,)` probability of the other class.
        names: of the two.

    Returns:
        The figure.
    """
    fig, ax = plots.figure(2.9)
    lam = array(lam)
    for values, target, colour, name in ((first, lam, BLUE, names[0]), (second, 1 - lam, VERMILION, names[1])):
        ax.plot(lam, target, color=colour, linestyle="--", linewidth=1.2)
        ax.plot(lam, array(values), ".-", color=colour, label=name.replace("_", " "))
    ax.plot([], [], color=INK, linestyle="--", linewidth=1.2, label="target of mixup")
    ax.set(xlabel="λ, the share of the first sound", ylabel="probability", xlim=(0, 1), ylim=(0, 1.02))
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return fig


def mask_place(size: int, limit: int, u: float, v: float) -> tuple[int, int]:
    """Compute where a mask lies on an axis, as SpecAugment's code does.

    Args:
        size: of the axis.
        limit: upper limit of the width, not reached.
        u: drawn number in [0, 1) for the width.
        v: drawn number in [0, 1) for the start.

    Returns:
        The start and the width.
    """
    return int(v * (size - u * limit)), int(u * limit)


def mask_strips(size: int, limit: int, draws: Sequence[tuple[float, float]]) -> Figure:
    """Draw masks on a short axis by hand: a row of numbered cells for each pair of draws.

    Args:
        size: number of cells.
        limit: upper limit of the width, not reached.
        draws: pairs (u, v).

    Returns:
        The figure.
    """
    fig, ax = plots.figure(0.55 * len(draws) + 0.5)
    for row, (u, v) in enumerate(draws):
        start, width = mask_place(size, limit, u, v)
        for cell in range(size):
            hidden = start <= cell < start + width
            ax.add_patch(Rectangle((cell, -row), 0.92, 0.7, facecolor=ORANGE if hidden else GRID, edgecolor="none"))
            ax.text(cell + 0.46, 0.35 - row, str(cell), ha="center", va="center", fontsize=10)
        ax.text(-0.4, 0.35 - row, f"u = {u:g}, v = {v:g}", ha="right", va="center", fontsize=11)
        ax.text(size + 0.2, 0.35 - row, f"start {start}, width {width}", va="center", fontsize=11)
    ax.set(xlim=(-4.7, size + 4.7), ylim=(0.85 - len(draws), 0.9))
    ax.axis("off")
    return fig


def before_after(pages: Mapping[str, Values], limits: tuple[float, float], seconds: float) -> Figure:
    """Draw spectrograms side by side on the same axes and colours.

    Args:
        pages: title to `(frames, mels)`.
        limits: range of the colours.
        seconds: how long each is.

    Returns:
        The figure.
    """
    fig, axes = plots.figure(2.9, 1, len(pages), sharey=True)
    for ax, (title, page) in zip(axes, pages.items(), strict=True):
        page = array(page)
        ax.imshow(
            page.T,
            origin="lower",
            aspect="auto",
            interpolation="nearest",
            vmin=limits[0],
            vmax=limits[1],
            extent=(0, seconds, 0, page.shape[1]),
        )
        ax.set(title=title, xlabel="time (s)")
    axes[0].set_ylabel("mel bin")
    return fig


def fills(values: Values, places: Mapping[str, float]) -> Figure:
    """Draw how often every value occurs in a normalised spectrogram, and where the fills lie among them.

    Args:
        values: any shape.
        places: name of a fill to its value; known names are "zero", "silence" and "mean".

    Returns:
        The figure.
    """
    fig, ax = plots.figure(2.6)
    ax.hist(np.ravel(array(values)), bins=80, color=SKY)
    looks = {"zero": (VERMILION, "-"), "silence": (INK, ":"), "mean": (BLUE, "--")}
    for fill, place in places.items():
        colour, line = looks[fill]
        ax.axvline(place, color=colour, linestyle=line, linewidth=2.2, label=fill)
    ax.set(xlabel="value after normalisation", ylabel="cells", xlim=(-1.1, 1.6))
    ax.legend(title="fill", loc="upper right")
    return fig
