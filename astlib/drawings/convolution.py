"""What convolutions see, and a training that blew up.

Chapter: notebooks/13_cnns_beside_it.ipynb
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from .. import plots
from ..errors import InvalidInput
from ..plots import Values, array, figure

GREY = "#8A9099"


def spans(layers: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Follow the receptive field of one number through layers.

    Args:
        layers: width and stride of each window, from the input on.

    Returns:
        For the input and after each layer: the receptive field r and the step j, both in frames.
    """
    r = j = 1
    found = [(r, j)]
    for width, stride in layers:
        r, j = r + (width - 1) * j, j * stride
        found.append((r, j))
    return found


def field_tree(layers: Sequence[tuple[int, int]], names: Sequence[str]) -> Figure:
    """Draw which frames one number behind a few layers can see, layer by layer, along one axis.

    Each row holds the numbers of one layer as boxes. Those that the topmost one depends on are coloured.

    Args:
        layers: width and stride of each window, from the input on.
        names: what the rows are called, from the input on: one more than layers.

    Returns:
        The figure.

    Raises:
        InvalidInput: names and layers do not fit.
    """
    if len(names) != len(layers) + 1:
        raise InvalidInput(f"expected {len(layers) + 1} names, found {len(names)}")
    # From the top down: places and number of the boxes that are needed in each row.
    needed = [1]
    for width, stride in reversed(layers):
        needed.insert(0, (needed[0] - 1) * stride + width)
    steps = spans(layers)
    fig, ax = figure(0.62 * len(names) + 0.5)
    previous: list[float] = []
    for row, (count, (field, step)) in enumerate(zip(needed, steps, strict=True)):
        if row:
            width, stride = layers[row - 1]
            starts = [float(np.mean(previous[i * stride : i * stride + width])) for i in range(count)]
            for i, place in enumerate(starts):
                for lower in previous[i * stride : i * stride + width]:
                    ax.plot([lower, place], [row - 0.72, row - 0.28], color=GREY, linewidth=0.8, zorder=1)
        else:
            starts = [float(i) for i in range(count)]
        colour = plots.ORANGE if row == 0 else plots.VERMILION if row == len(layers) else plots.SKY
        for place in starts:
            ax.add_patch(Rectangle((place - 0.36, row - 0.28), 0.72, 0.56, facecolor=colour, edgecolor=plots.INK))
        ax.text(needed[0] - 0.2, row, f"r = {field}, j = {step}", va="center", fontsize=12)
        previous = starts
    ax.set(xlim=(-0.8, needed[0] + 0.36 * needed[0]), ylim=(-0.6, len(names) - 0.4))
    ax.set_yticks(range(len(names)), list(names))
    ax.set_xticks([0, needed[0] - 1], ["frame 1", f"frame {needed[0]}"])
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    return fig


def blown_up(losses: Values, accuracies: Values, marked: int) -> Figure:
    """Draw the training loss and the test accuracy of every fold, and mark one of them.

    Args:
        losses: `(folds, epochs)`, of the training.
        accuracies: `(folds, epochs)` in per cent, on the test folds.
        marked: the place of the marked fold, counted from 0.

    Returns:
        The figure.
    """
    fig, axes = figure(3.2, 1, 2, sharex=True)
    for ax, values, label in zip(axes, (losses, accuracies), ("training loss", "test accuracy (%)"), strict=True):
        table = array(values).astype(float)
        epochs = np.arange(1, table.shape[1] + 1)
        for fold, line in enumerate(table):
            hot = fold == marked
            ax.plot(
                epochs,
                line,
                "o-" if hot else "-",
                color=plots.VERMILION if hot else GREY,
                linewidth=2.4 if hot else 1.2,
                markersize=4,
                zorder=3 if hot else 2,
            )
        ax.annotate(
            f"fold {marked + 1}",
            (epochs[-1], table[marked, -1]),
            (-10, 0) if table[marked, -1] == table.max() else (0, -16),
            textcoords="offset points",
            ha="right",
            va="center",
            color=plots.VERMILION,
        )
        ax.set(xlabel="epoch", ylabel=label)
        ax.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10], integer=True))
        ax.grid(axis="y")
        ax.set_axisbelow(True)
    return fig
