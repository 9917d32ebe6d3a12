"""Answers of chapter 12.

Chapter: notebooks/12_the_ablations.ipynb
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from .exercises import Case, Choice, Exercise, Function, Mistake, Number

Accuracies = Sequence[float]
Values = NDArray[np.float64]  # an answer may be a list of them as well


def _paired(
    one: Accuracies,
    other: Accuracies,
    share: float,
    ddof: int = 1,
    variance: Callable[[int, float], float] = lambda k, share: 1 / k + share,
    quantile: float = 0.975,
    tails: int = 2,
    lost: int = 1,
) -> tuple[float, float, float]:
    """The corrected paired t-test; the keywords are what the usual mistakes change."""
    from scipy.stats import t

    gaps = np.asarray(one, dtype=float) - np.asarray(other, dtype=float)
    k = len(gaps)
    error = gaps.std(ddof=ddof) * variance(k, share) ** 0.5
    mean = float(gaps.mean())
    half = float(t.ppf(quantile, k - lost)) * error
    return mean, float(half), float(tails * t.sf(abs(mean) / error, k - lost))


def _normal(one: Accuracies, other: Accuracies, share: float) -> tuple[float, float, float]:
    from scipy.stats import norm

    gaps = np.asarray(one, dtype=float) - np.asarray(other, dtype=float)
    error = gaps.std(ddof=1) * (1 / len(gaps) + share) ** 0.5
    mean = float(gaps.mean())
    return mean, float(norm.ppf(0.975)) * float(error), float(2 * norm.sf(abs(mean) / error))


def _unpaired(one: Accuracies, other: Accuracies, share: float) -> tuple[float, float, float]:
    from scipy.stats import t

    a, b = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
    k = len(a)
    error = ((a.var(ddof=1) + b.var(ddof=1)) * (1 / k + share)) ** 0.5
    mean = float(a.mean() - b.mean())
    return mean, float(t.ppf(0.975, k - 1)) * float(error), float(2 * t.sf(abs(mean) / error, k - 1))


def _signed(one: Accuracies, other: Accuracies, share: float) -> tuple[float, float, float]:
    mean, half, p = _paired(one, other, share)
    return mean, half, p if mean > 0 else 2 - p


def _turned(one: Accuracies, other: Accuracies, share: float) -> tuple[float, float, float]:
    return _paired(other, one, share)


def _whole(one: Accuracies, other: Accuracies, share: float) -> tuple[float, float, float]:
    mean, half, p = _paired(one, other, share)
    return mean, 2 * half, p


def _comparisons() -> list[Case]:
    up = [0.71, 0.68, 0.74, 0.70, 0.69], [0.69, 0.69, 0.70, 0.66, 0.68]
    down = [0.60, 0.62, 0.58], [0.66, 0.63, 0.65]
    return [
        Case("five folds and a share of 1/4", (*up, 0.25)),
        Case("three folds, where the second setting is better", (*down, 0.5)),
    ]


def _holm(p: Sequence[float], order: bool = True, monotone: bool = True, cap: bool = True) -> Values:
    """Holm's method; the keywords are the steps that can be forgotten."""
    ranks = np.argsort(p)
    adjusted, largest = [0.0] * len(p), 0.0
    for rank, place in enumerate(ranks):
        value = (len(p) - rank) * p[place]
        largest = max(largest, value)
        value = largest if monotone else value
        adjusted[place] = min(1.0, value) if cap else value
    return np.array(adjusted if order else sorted(adjusted))


def _bonferroni(p: Sequence[float]) -> Values:
    return np.array([min(1.0, len(p) * value) for value in p])


def _benjamini(p: Sequence[float]) -> Values:
    """Benjamini and Hochberg's method, which bounds another error rate."""
    m, adjusted, smallest = len(p), [0.0] * len(p), 1.0
    for rank, place in reversed(list(enumerate(np.argsort(p), 1))):
        smallest = min(smallest, m / rank * p[place])
        adjusted[place] = smallest
    return np.array(adjusted)


def _in_their_order(p: Sequence[float]) -> Values:
    return np.array([min(1.0, (len(p) - rank) * value) for rank, value in enumerate(p)])


EXERCISES: list[Exercise] = [
    Function(
        label="ex-12-paired",
        signature="paired(one, other, share)",
        right=_paired,
        cases=_comparisons,
        remark="With a share of 0 it is the ordinary paired t-test of scipy.",
        mistakes=[
            Mistake(_turned, "You subtracted the first setting from the second."),
            Mistake(
                lambda one, other, share: _paired(one, other, share, variance=lambda k, share: 1 / k),
                "That is the ordinary paired t-test. Where does the share of test clips go?",
            ),
            Mistake(
                lambda one, other, share: _paired(one, other, share, ddof=0),
                "Your standard deviation divides by k. numpy does that unless it is told otherwise.",
            ),
            Mistake(
                lambda one, other, share: _paired(one, other, share, quantile=0.95),
                "Your interval leaves 5 % out on each side, so it is one of 90 %.",
            ),
            Mistake(
                lambda one, other, share: _paired(one, other, share, tails=1),
                "Your p counts one tail. A difference in the other direction would have surprised you as much.",
            ),
            Mistake(
                lambda one, other, share: _paired(one, other, share, lost=0),
                "How many degrees of freedom do k differences have, once their mean is known?",
            ),
            Mistake(_signed, "Your p is above 1 where the second setting is better: take the absolute value of t."),
            Mistake(_normal, "That is the normal distribution. With few folds the tails are those of Student's."),
            Mistake(_unpaired, "You compared the two settings as if unpaired. Take the differences first."),
            Mistake(_whole, "You return the whole width of the interval, not half of it."),
            Mistake(
                lambda one, other, share: _paired(one, other, share, variance=lambda k, share: (1 / k + share) ** 2),
                "You forgot the square root over 1/k + share.",
            ),
        ],
    ),
    Function(
        label="ex-12-holm",
        signature="holm(p)",
        right=_holm,
        cases=lambda: [
            Case("three values", ([0.04, 0.01, 0.03],)),
            Case("five values, one of them large", ([0.6, 0.001, 0.02, 0.013, 0.4],)),
            Case("three values, two of them large", ([0.7, 0.6, 0.001],)),
        ],
        remark="For the smallest p this is Bonferroni's correction; for all others it is milder.",
        mistakes=[
            Mistake(_bonferroni, "You multiplied every p by m. That is Bonferroni's method; Holm's is milder."),
            Mistake(
                lambda p: _holm(p, order=False), "The values are right, but sorted: give them back in the order of p."
            ),
            Mistake(lambda p: _holm(p, monotone=False), "One of your values is below the adjusted one of a smaller p."),
            Mistake(lambda p: _holm(p, cap=False), "One of your values is above 1."),
            Mistake(
                lambda p: _holm(p, monotone=False, cap=False),
                "One of your values is above 1, and one is below the adjusted one of a smaller p.",
            ),
            Mistake(
                _in_their_order, "You multiplied in the order of the list. The smallest p gets the largest factor."
            ),
            Mistake(_benjamini, "You multiplied by m / rank. That is Benjamini and Hochberg's method, not Holm's."),
        ],
    ),
    Number(
        label="ex-12-twenty",
        right=1 - 0.95**20,
        rtol=0.02,
        remark="So among twenty settings that do nothing, a false finding is more likely than none.",
        mistakes=[
            Mistake(
                20 * 0.05, "Probabilities of events that can happen together do not add up. Try none of them first."
            ),
            Mistake(0.95**20, "That is the probability that none of them does."),
            Mistake(0.05, "That is the probability for a single test."),
            Mistake(0.05**20, "That is the probability that all twenty do."),
            Mistake(20 * 0.05 * 0.95**19, "That is the probability of exactly one."),
        ],
    ),
    Choice(
        label="ex-12-changes",
        right="weights/vit-large",
        wrong={
            "patch/128x2": "Its step differs too, but a slice of all frequencies cannot keep a step of 16 frames.",
            "patch/32x32": "Its step differs too, but without overlap a square of 32 has a step of 32.",
            "weights/vit-base": "Compare its recipe with that of DeiT with distillation: only the weights differ.",
            "weights/deit": "Compare its recipe with that of DeiT with distillation: only the weights differ.",
            "position/reinit": "Only one value of the recipe differs, the position.",
            "overlap/0-balanced": "The two strides count as one.",
        },
        remark="Its row changes the network and the overlap at once.",
    ),
]
