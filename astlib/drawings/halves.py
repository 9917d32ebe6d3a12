"""Clips cut in two: where the halves of each clip go, and how many are then named right.

Chapter: notebooks/15_your_own_sounds.ipynb
"""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..errors import InvalidInput
from ..metrics import wilson
from ..plots import BLUE, INK, SKY, VERMILION, Values, array, figure


def halves(sides: Mapping[str, Values], right: Mapping[str, tuple[float, int]], shown: int = 12) -> Figure:
    """Draw for each way of dividing which halves test, and the accuracy that comes of it.

    Args:
        sides: way of dividing to `(clips, 2)`: true where a half is in the test part.
        right: way of dividing to the fraction of halves named right, and their number.
        shown: how many clips are drawn.

    Returns:
        The figure: a row for each way, with the clips at the left and a bar with its 95 % interval at the right.

    Raises:
        InvalidInput: the ways differ, or a clip has not two halves.
    """
    if set(sides) != set(right):
        raise InvalidInput(f"two lists of ways: {sorted(sides)} and {sorted(right)}")
    fig, axes = figure(1.0 + 1.0 * len(sides), len(sides), 2, width_ratios=[1.5, 1], squeeze=False)
    for (strip, bar), (way, tests) in zip(axes, sides.items(), strict=True):
        tests = array(tests).astype(bool)[:shown]
        if tests.ndim != 2 or tests.shape[1] != 2:
            raise InvalidInput(f"expected two halves for each clip, (clips, 2); found shape {tests.shape}")
        for clip, pair in enumerate(tests):
            for half, testing in enumerate(pair):
                colour = VERMILION if testing else SKY
                strip.add_patch(Rectangle((clip + 0.42 * half, 0), 0.4, 1, facecolor=colour, edgecolor="none"))
            if pair[0] != pair[1]:
                strip.plot([clip + 0.2, clip + 0.62], [1.22, 1.22], color=INK, linewidth=2.5)
        strip.set(title=way, xlim=(-0.2, len(tests)), ylim=(-0.1, 1.5), xticks=[], yticks=[])
        strip.spines[:].set_visible(False)
        accuracy, number = right[way]
        low, high = wilson(accuracy, number)
        spread = 100 * np.array([[accuracy - low], [high - accuracy]])
        bar.barh(0, 100 * accuracy, xerr=spread, height=0.6, color=BLUE, ecolor=INK, capsize=4)
        bar.text(100 * high + 3, 0, f"{accuracy:.0%}", va="center")
        bar.set(xlim=(0, 115), xticks=[0, 50, 100], yticks=[], ylim=(-0.6, 0.6))
        bar.spines["left"].set_visible(False)
    axes[-1, 1].set_xlabel("right (%)")
    axes[-1, 0].set_xlabel("clips in halves:\norange tests, blue trains")
    return fig
