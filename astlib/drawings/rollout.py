"""Rollout as a flow: tokens in columns, one column a block, lines as thick as the share that goes from one to the next.

Chapter: notebooks/14_looking_inside.ipynb
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..errors import InvalidInput
from ..plots import BLUE, CARD, INK, SKY, VERMILION, Values, array, figure


def flow(steps: Sequence[Values], names: Sequence[str], ax: Axes | None = None, follow: int = 0) -> Figure:
    """Draw how the inputs reach one output through several blocks.

    Args:
        steps: one `(tokens, tokens)` matrix for each block, from the first to the last: row i says from which tokens
            before the block token i is made. Rows sum to 1.
        names: of the tokens, the uppermost first.
        ax: where to draw; None makes a new figure.
        follow: number of the output token whose paths are coloured; its shares of the inputs are written at the left.

    Returns:
        The figure.

    Raises:
        InvalidInput: a matrix does not fit the names, or its rows do not sum to 1.
    """
    matrices = [array(step).astype(float) for step in steps]
    for matrix in matrices:
        if matrix.shape != (len(names), len(names)):
            raise InvalidInput(f"expected matrices {len(names)} x {len(names)}, found shape {matrix.shape}")
        if not np.allclose(matrix.sum(axis=1), 1, atol=1e-5):
            raise InvalidInput("expected rows that sum to 1: halve the sum of attention and identity")
    if ax is None:
        ax = figure(3.2)[1]
    heights = np.arange(len(names))[::-1].astype(float)
    reached = np.eye(len(names))[follow]  # how much of each token, after the last block, the followed output holds
    for block in reversed(range(len(matrices))):
        matrix = matrices[block]
        for i, j in np.argwhere(matrix > 0):
            through = reached[i] * matrix[i, j]
            colour = VERMILION if through > 0 else SKY
            width = 9 * through if through > 0 else 1.2
            ax.plot([block, block + 1], [heights[j], heights[i]], color=colour, linewidth=width, alpha=0.75, zorder=1)
            if through > 0:
                place = 0.35 if i != j else 0.5
                y = heights[j] + place * (heights[i] - heights[j])
                ax.text(block + place, y, f"{matrix[i, j]:.2g}", ha="center", va="center", fontsize=10, zorder=3,
                        bbox={"facecolor": CARD, "edgecolor": "none", "pad": 1})  # fmt: skip
        reached = reached @ matrix
    for column in range(len(matrices) + 1):
        ax.plot([column] * len(names), heights, "o", color=BLUE, markersize=17, zorder=2)
    for name, height, share in zip(names, heights, reached, strict=True):
        ax.text(-0.17, height, f"{name}: {share:.2g}", ha="right", va="center", color=INK)
    ax.set_xticks(range(len(matrices) + 1), ["input", *(f"after block {i + 1}" for i in range(len(matrices)))])
    ax.set(yticks=[], xlim=(-1.1, len(matrices) + 0.3), ylim=(-0.6, len(names) - 0.4))
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    drawn = ax.figure
    assert isinstance(drawn, Figure)  # noqa: S101  (axes in a SubFigure are none of ours)
    return drawn
