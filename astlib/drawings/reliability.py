"""What probabilities are worth, drawn: reliability, precision over the threshold, and sounds of none of the classes.

`ci/decide.py` measures the embedded model and states the protocol; here its file is read and drawn.

Chapter: notebooks/08_measuring.ipynb
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .. import paths
from ..calibrate import lower_bound, reliability
from ..errors import InvalidInput
from ..metrics import wilson
from ..plots import BLUE, GRID, INK, ORANGE, SKY, VERMILION, Values, array, figure

Array = NDArray[np.float64]


def study() -> dict[str, Any]:
    """Read what is known of the embedded model's decision, `results/decisions.json`.

    Returns:
        Its content: "scores" has a row for each score that was tried, "clips" the numbers that are drawn.
    """
    content: dict[str, Any] = json.loads((paths.results() / "decisions.json").read_text(encoding="utf-8"))
    return content


def diagram(confidence: Values, right: Values, bins: int = 10, title: str = "") -> Figure:
    """Draw a reliability diagram: per bin of probability, the fraction of the answers that is right.

    Args:
        confidence: `(answers,)` probabilities.
        right: `(answers,)`, 1 where the answer is right, else 0.
        bins: of equal width.
        title: above the picture.

    Returns:
        The figure: above, accuracy with 95 % intervals and the mean probability of each bin; below, how many answers
        are in it.
    """
    found = reliability(array(confidence), array(right), bins)
    there = np.flatnonzero(found.answers)
    middle, width = (found.edges[1:] + found.edges[:-1])[there] / 2, np.diff(found.edges)[there]
    accuracy = found.accuracy[there]
    ends = np.array([wilson(a, n) for a, n in zip(accuracy, found.answers[there], strict=True)])
    fig, (upper, lower) = figure(4.6, 2, 1, sharex=True, height_ratios=[3, 1])
    upper.bar(middle, accuracy, 0.94 * width, color=SKY, label="right")
    upper.errorbar(middle, accuracy, [accuracy - ends[:, 0], ends[:, 1] - accuracy], fmt="none", ecolor=INK, capsize=3)
    upper.plot(found.confidence[there], found.confidence[there], "o", color=VERMILION, label="said")
    upper.plot([0, 1], [0, 1], "--", color=VERMILION, linewidth=1.2)
    upper.set(ylabel="fraction", ylim=(0, 1.05), title=title)
    upper.legend(loc="upper left")
    lower.bar(middle, found.answers[there], 0.94 * width, color=BLUE)
    lower.set(xlabel="probability of the answer", ylabel="answers", xlim=(0, 1))
    return fig


def over_threshold(confidence: Values, right: Values, wanted: float, threshold: float) -> Figure:
    """Draw precision, and the fraction of the clips that get an answer, over the threshold.

    Args:
        confidence: `(answers,)` probabilities.
        right: `(answers,)`, 1 where the answer is right, else 0.
        wanted: precision, a level line.
        threshold: the one that was chosen, an upright line.

    Returns:
        The figure, with the precision's one-sided 90 % bound below it.
    """
    p, hit = array(confidence).astype(float), array(right).astype(float)
    order = np.argsort(-p, kind="stable")
    p, above = p[order], np.arange(1, len(p) + 1)
    precision, bound = np.cumsum(hit[order]) / above, lower_bound(np.cumsum(hit[order]), above)
    fig, ax = figure(3.6)
    ax.fill_between(p, bound, precision, color=SKY, alpha=0.4, linewidth=0)
    ax.plot(p, precision, color=BLUE, label="precision, and its bound")
    ax.plot(p, above / len(p), color=ORANGE, linestyle="-.", label="clips that get an answer")
    ax.axhline(wanted, color=GRID, zorder=0)
    ax.axvline(threshold, color=VERMILION, linestyle="--", linewidth=1.2)
    ax.text(threshold, 0.06, f" {threshold:.2f}", color=VERMILION)
    ax.set(xlabel="threshold", ylabel="fraction", xlim=(p.min(), 1), ylim=(0, 1.05))
    fig.legend(loc="outside upper center", ncols=2)  # not in the axes: a threshold may be anywhere
    return fig


def apart(margins: Mapping[str, Mapping[str, Values]], others: str = "words") -> Figure:
    """Draw how far known sounds and others are above the threshold of several scores.

    Args:
        margins: name of a score to kind of sounds to `(sounds,)`, the score minus its threshold; the kind "known" is
            drawn upwards, the other one downwards.
        others: the kind of the others.

    Returns:
        The figure, one panel for each score.

    Raises:
        InvalidInput: there is no score.
    """
    if not margins:
        raise InvalidInput("there is no score to draw")
    fig, axes = figure(0.6 + 2.0 * len(margins), len(margins), 1)
    for ax, (score, kinds) in zip(np.atleast_1d(axes), margins.items(), strict=True):
        known, strangers = (array(kinds[kind]).astype(float) for kind in ("known", others))
        _opposite(ax, known, strangers, others)
        stay, passing = (known >= 0).mean(), (strangers >= 0).mean()
        ax.set_title(f"{score.replace('_', ' ')}: {stay:.0%} of the clips stay, {passing:.0%} of the {others} pass")
    last = np.atleast_1d(axes)[-1]
    last.legend(loc="lower right")
    last.set_xlabel("score, from its threshold on")
    return fig


def _opposite(ax: Axes, known: Array, others: Array, name: str) -> None:
    """Two histograms on one line: known sounds above it, others below."""
    low, high = np.quantile(np.concatenate([known, others]), [0.002, 0.998])
    bins = np.linspace(min(low, 0), max(high, 0), 41)
    up, down = (np.histogram(values.clip(bins[0], bins[-1]), bins)[0] / len(values) for values in (known, others))
    ax.bar(bins[:-1], up, np.diff(bins), align="edge", color=BLUE, label="clips of the classes")
    ax.bar(bins[:-1], -down, np.diff(bins), align="edge", color=ORANGE, hatch="///", edgecolor="white", label=name)
    ax.axvline(0, color=VERMILION, linestyle="--", linewidth=1.2)
    ax.axhline(0, color=INK, linewidth=0.8)
    ax.set(yticks=[])
