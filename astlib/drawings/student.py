"""Drawings of what a student learns: soft targets, what three of them fix, the parts of the loss, and its results.

Chapter: notebooks/18_a_larger_ear.ipynb
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..errors import InvalidInput
from ..plots import BLUE, CARD, GRID, INK, LINES, ORANGE, PURPLE, VERMILION, Values, array, figure
from ..table import decimal

Array = NDArray[np.float64]
CORNERS = (BLUE, ORANGE, PURPLE)  # of the three classes of the drawings in the plane
BEHIND = {"facecolor": CARD, "edgecolor": "none", "pad": 1.0}
GREY = "#5F6670"  # of what was not run


class Plane(NamedTuple):
    """A classifier of points in the plane: softmax of a linear layer.

    Attributes:
        weight: `(3, 2)`.
        bias: `(3,)`.
    """

    weight: Array
    bias: Array

    def probabilities(self, points: Array) -> Array:
        """Compute the probabilities of the three classes.

        Args:
            points: `(n, 2)`.

        Returns:
            `(n, 3)`.
        """
        logits = points @ self.weight.T + self.bias
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        found: Array = powers / powers.sum(axis=1, keepdims=True)
        return found


def softened(probabilities: Sequence[Values], temperatures: Sequence[float], names: Sequence[str]) -> list[Figure]:
    """Draw a soft target at several temperatures, a page each, for a slider.

    Args:
        probabilities: `(classes,)` for each temperature.
        temperatures: as many.
        names: of the classes.

    Returns:
        One figure for each temperature.

    Raises:
        InvalidInput: a page has another number of classes than there are names, or pages and temperatures differ in
            number.
    """
    pages = [array(page) for page in probabilities]
    if len(pages) != len(temperatures) or any(page.shape != (len(names),) for page in pages):
        raise InvalidInput(f"expected {len(temperatures)} pages of {len(names)} probabilities")
    figures: list[Figure] = []
    for page, temperature in zip(pages, temperatures, strict=True):
        fig, ax = figure(2.6)
        ax.bar(range(len(names)), page, color=BLUE, width=0.6)
        for place, value in enumerate(page):
            ax.text(place, value + 0.02, f"{value:.3f}", ha="center", fontsize=11.5)
        ax.set_xticks(range(len(names)), names)
        entropy = abs((page * np.log(page.clip(1e-12))).sum())
        ax.set(ylim=(0, 1.12), ylabel="probability", title=f"T = {temperature:g}, entropy {entropy:.2f} nats")
        figures.append(fig)
    return figures


def planes(panels: Mapping[str, Plane], given: Mapping[str, tuple[Array, Array]], reach: float = 3.0) -> Figure:
    """Draw classifiers of the plane, two in a row. The colour of a place mixes those of the classes by probability.

    Args:
        panels: title to classifier.
        given: title to what the classifier of this panel was given, drawn as dots: points `(n, 2)` and their targets
            `(n, 3)`; a panel without an entry has no dots.
        reach: the axes go from minus this to this.

    Returns:
        The figure.
    """
    rows = (len(panels) + 1) // 2
    fig, axes = figure(0.6 + 2.7 * rows, rows, 2, sharex=True, sharey=True, squeeze=False)
    places = np.linspace(-reach, reach, 121)
    grid = np.stack(np.meshgrid(places, places), axis=-1).reshape(-1, 2)  # (121 * 121, 2)
    colours = np.array([to_rgb(colour) for colour in CORNERS])  # (3, 3)
    for ax, (title, plane) in zip(axes.flat, panels.items(), strict=False):
        probabilities = plane.probabilities(grid)
        picture = 0.35 + 0.65 * (probabilities @ colours)  # lighter, so that dots stand out
        ax.imshow(picture.reshape(121, 121, 3), origin="lower", extent=(-reach, reach, -reach, reach))
        for k in range(3):  # the border of each class
            ahead = probabilities[:, k] - np.delete(probabilities, k, axis=1).max(axis=1)
            ax.contour(places, places, ahead.reshape(121, 121), levels=[0], colors=INK, linewidths=1.1)
        if title in given:
            points, targets = given[title]
            ax.scatter(*points.T, c=targets @ colours, s=75, edgecolors=INK, linewidths=1.4, zorder=3)
        ax.set(title=title, xticks=[-2, 0, 2], yticks=[-2, 0, 2])
    for ax in axes.flat[len(panels) :]:
        ax.remove()
    fig.supxlabel("first number", fontsize=13)
    fig.supylabel("second number", fontsize=13)
    return fig


def parts_of_the_loss(parts: Mapping[str, Sequence[float]]) -> Figure:
    """Draw the parts of the loss after every step.

    Args:
        parts: name to one value per step.

    Returns:
        The figure.
    """
    fig, axes = figure(2.6, 1, len(parts))
    for number, (ax, (name, values)) in enumerate(zip(axes, parts.items(), strict=True)):
        ax.plot(range(1, len(values) + 1), values, color=LINES[number])
        ax.set(title=name, xlabel="step", ylim=(0, 1.1 * max(values)))
        ax.title.set_fontsize(12)
    axes[0].set_ylabel("mean over the batch")
    return fig


def fold_by_fold(
    settings: Mapping[str, Mapping[int, float]], ceilings: Mapping[str, Mapping[int, float]] | None = None
) -> Figure:
    """Draw the accuracy of each fold under several settings, the same fold joined by a line; a bar is the mean.

    Args:
        settings: label to the accuracy of each fold that was run, in per cent; an empty mapping says "not run".
        ceilings: others to compare with, drawn dashed across the figure by their mean.

    Returns:
        The figure.
    """
    fig, ax = figure(4.2)
    folds = sorted({fold for values in settings.values() for fold in values})
    for number, fold in enumerate(folds):
        there = [(place, values[fold]) for place, values in enumerate(settings.values()) if fold in values]
        ax.plot(*zip(*there, strict=True), "o-", color=LINES[number % len(LINES)], linewidth=1.2, label=f"fold {fold}")
    for place, values in enumerate(settings.values()):
        if values:
            mean = float(np.mean(list(values.values())))
            ax.plot([place - 0.17, place + 0.17], [mean, mean], color=INK, linewidth=3, zorder=3)
            ax.text(place - 0.2, mean, decimal(mean, 1), ha="right", va="center", fontsize=11.5, bbox=BEHIND, zorder=4)
        else:
            ax.text(place, 0.5, "not run", transform=ax.get_xaxis_transform(), ha="center", color=GREY)
    for label, values in (ceilings or {}).items():
        mean = float(np.mean(list(values.values())))
        ax.axhline(mean, color=VERMILION, linestyle="--", linewidth=1.3)
        ax.text(len(settings) - 0.52, mean, f"{label} {decimal(mean, 1)}", ha="right", va="bottom", fontsize=11)
    ax.set_xticks(range(len(settings)), [label.replace(", ", ",\n") for label in settings])
    ax.set(ylabel="accuracy (%)", xlim=(-0.75, len(settings) - 0.5))
    ax.margins(y=0.12)
    ax.grid(axis="y", color=GRID)
    if folds:
        fig.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=len(folds), fontsize=11)
    return fig
