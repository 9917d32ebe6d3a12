"""How good are the scores? Average precision, area under the ROC curve, d', accuracy, and how sure each of them is.

Chapter: notebooks/08_measuring.ipynb

All of them look at the order of the scores alone, so logits and probabilities give the same numbers. In every
function targets are 0 or 1 and scores are numbers, both (clips, classes), arrays or tensors.
"""

import math
from statistics import NormalDist

import numpy as np


def average_precision(targets, scores) -> np.ndarray:
    """Per class, the mean over its clips of the precision at the rank where each is found.

    Clips with equal scores share one rank, the last of them. The same as scikit-learn's
    `average_precision_score`, which the original calls (src/utilities/stats.py). What the original prints as
    "Avg Precision" is something else: the precision at the middle point of the curve.

    Returns:
        (classes,) float64 in [0, 1]; nan for a class without a positive.
    """
    targets, scores = _by_class(targets, scores)
    order = np.argsort(-scores, axis=1, kind="stable")
    hits, _, last = _sorted_with_ties(targets, scores, order)
    precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    return _divide((hits * np.take_along_axis(precision, last, axis=1)).sum(1), hits.sum(1))


def auc(targets, scores) -> np.ndarray:
    """Per class, the chance that a positive clip scores higher than a negative one; equal scores count half.

    That is the area under the ROC curve, the same as scikit-learn's `roc_auc_score`.

    Returns:
        (classes,) float64 in [0, 1]; nan for a class without a positive or without a negative. The original
        stops with an error there.
    """
    targets, scores = _by_class(targets, scores)
    order = np.argsort(scores, axis=1, kind="stable")
    hits, first, last = _sorted_with_ties(targets, scores, order)
    positives = hits.sum(1)
    ranks = (hits * ((first + last) / 2 + 1)).sum(1)
    wins = ranks - positives * (positives + 1) / 2
    return _divide(wins, positives * (hits.shape[1] - positives))


def mean_average_precision(targets, scores) -> float:
    """mAP: mean over the classes that have a positive; nan if none has."""
    return _mean(average_precision(targets, scores))


def mean_auc(targets, scores) -> float:
    """mAUC: mean over the classes that have positives and negatives; nan if none has."""
    return _mean(auc(targets, scores))


def d_prime(targets, scores) -> float:
    """d' = sqrt(2) * inverse normal of the mean AUC, as in the original; not the mean of a d' per class.

    How many standard deviations two bell curves of scores would be apart. inf at a mean AUC of exactly 1,
    -inf at 0.
    """
    return _d_prime(mean_auc(targets, scores))


def accuracy(targets, scores) -> float:
    """Share of the clips whose highest score stands at one of their labels; of equal scores the first counts.

    With one label a clip this is the usual accuracy. The original looks at the first label only.
    """
    targets, scores = _checked(targets, scores)
    return float(np.take_along_axis(targets, scores.argmax(1)[:, None], axis=1).mean())


def evaluate(targets, scores) -> dict[str, float]:
    """All of it: mAP, mAUC, d_prime, accuracy, and how many classes have no positive and so do not count."""
    per_class, area = average_precision(targets, scores), mean_auc(targets, scores)
    return {
        "mAP": _mean(per_class),
        "mAUC": area,
        "d_prime": _d_prime(area),
        "accuracy": accuracy(targets, scores),
        "classes_without_positives": int(np.isnan(per_class).sum()),
    }


def wilson(share: float, clips: int) -> tuple[float, float]:
    """95 % interval for a share of clips, such as an accuracy (Wilson, JASA 1927): (low, high), never outside 0 to 1.

    It takes the clips as independent. Where several were cut from one recording, `bootstrap` with groups is wider.
    """
    if not 0 <= share <= 1 or clips < 1:
        raise ValueError(f"expected a share from 0 to 1 of at least one clip, got {share} of {clips}")
    z2 = NormalDist().inv_cdf(0.975) ** 2 / clips
    middle, half = share + z2 / 2, math.sqrt(z2 * share * (1 - share) + z2**2 / 4)
    return max(0.0, (middle - half) / (1 + z2)), min(1.0, (middle + half) / (1 + z2))


def bootstrap(targets, scores, metric, n: int = 1000, groups=None, seed: int = 0) -> tuple[float, float]:
    """95 % interval for a metric over other test clips of the same kind: (low, high), by percentiles (Efron 1979).

    Draws as many clips as there are, with replacement, n times, and measures each draw: n calls of the metric.
    A class that has no positive in a draw is left out of that draw, as the metrics here do. With only a few positives
    a class, as in one fold of ESC-50, mAP itself is a little too high, and its interval holds the truth in about nine
    cases of ten.

    Args:
        metric: a function (targets, scores) -> float, such as `mean_average_precision`.
        groups: one name or number a clip. Groups are drawn whole, for clips of one recording are not independent.

    Raises:
        ValueError: fewer than two groups or clips, or the metric of all clips is nan.
    """
    targets, scores = (
        x.detach().double().cpu().numpy() if hasattr(x, "detach") else np.asarray(x) for x in (targets, scores)
    )
    if math.isnan(metric(targets, scores)):
        raise ValueError("the metric of all clips is nan, so there is nothing to put an interval around")
    clips = np.arange(len(targets))
    names, group = np.unique(clips if groups is None else np.asarray(groups), return_inverse=True)
    if len(group) != len(clips) or len(names) < 2:
        raise ValueError(
            f"expected a group for each of {len(clips)} clips, two different ones or more; "
            f"got {len(group)} clips in {len(names)} groups"
        )
    if n < 1:
        raise ValueError(f"n must be 1 or more, got {n}")
    rng, values = np.random.default_rng(seed), np.empty(n)
    for i in range(n):
        times = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        drawn = np.repeat(clips, times[group])
        values[i] = metric(targets[drawn], scores[drawn])
    values = np.sort(values[~np.isnan(values)])  # no interpolation: d' can be infinite
    if not len(values):
        raise ValueError(f"the metric was nan in all {n} draws: there are too few positives for an interval")
    cut = round(0.025 * len(values))
    return float(values[cut]), float(values[-1 - cut])


def paired_bootstrap(targets, scores, others, metric, n: int = 1000, groups=None, seed: int = 0) -> tuple[float, float]:
    """95 % interval for metric(others) - metric(scores), two models on the same clips: (low, high), as `bootstrap`.

    Both are measured on the same draw, so what is hard or easy about a clip cancels. That makes the interval narrower
    than two separate ones suggest. scores, others: (clips, classes) each.
    """
    scores, others = _checked(targets, scores)[1], _checked(targets, others)[1]

    def difference(targets, both):
        return metric(targets, both[:, 1]) - metric(targets, both[:, 0])

    return bootstrap(targets, np.stack([scores, others], axis=1), difference, n, groups, seed)


def mcnemar(targets, scores, others) -> tuple[int, int, float]:
    """Are two models equally accurate on the same clips? (only `scores` right, only `others` right, p).

    p is exact and two-sided (McNemar 1947): how often fair coins, one for each clip that only one model gets right,
    fall at least as unevenly. It takes the clips as independent.
    """
    first, second = _hits(*_checked(targets, scores)), _hits(*_checked(targets, others))
    one, other = int((first > second).sum()), int((second > first).sum())
    return one, other, coins(one, other)


def coins(heads: int, tails: int) -> float:
    """How often fair coins fall at least as unevenly as these, to either side: the exact two-sided p."""
    rarer = sum(math.comb(heads + tails, k) for k in range(min(heads, tails) + 1))
    return min(1.0, 2 * rarer / 2 ** (heads + tails))


def _checked(targets, scores) -> tuple[np.ndarray, np.ndarray]:
    targets, scores = (
        np.asarray(x.detach().double().cpu() if hasattr(x, "detach") else x, dtype=np.float64)
        for x in (targets, scores)
    )
    if targets.ndim != 2 or targets.shape != scores.shape or not targets.size:
        raise ValueError(
            "targets and scores must both be (clips, classes) with at least one of each, "
            f"got {targets.shape} and {scores.shape}"
        )
    if not np.isin(targets, (0, 1)).all():
        raise ValueError("targets must be 0 or 1; soft targets of mixup are for training only")
    if np.isnan(scores).any():
        clips = np.flatnonzero(np.isnan(scores).any(1))
        raise ValueError(f"{len(clips)} clips have NaN scores, first clip {clips[0]}: did training diverge?")
    return targets, scores


def _hits(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Per clip 1 where the highest score stands at one of its labels, else 0."""
    return np.take_along_axis(targets, scores.argmax(1)[:, None], axis=1)[:, 0]


def _by_class(targets, scores) -> tuple[np.ndarray, np.ndarray]:
    targets, scores = _checked(targets, scores)
    return np.ascontiguousarray(targets.T), np.ascontiguousarray(scores.T)


def _sorted_with_ties(targets, scores, order) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Targets in that order, and for every place the first and last place that hold the same score."""
    hits, scores = np.take_along_axis(targets, order, axis=1), np.take_along_axis(scores, order, axis=1)
    place = np.arange(scores.shape[1])
    edge = np.ones((scores.shape[0], 1), bool)
    change = scores[:, 1:] != scores[:, :-1]
    first = np.maximum.accumulate(np.where(np.hstack([edge, change]), place, 0), axis=1)
    ends = np.where(np.hstack([change, edge]), place, place[-1])
    last = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
    return hits, first, last


def _divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.divide(a, b, out=np.full(len(a), np.nan), where=b > 0)


def _mean(per_class: np.ndarray) -> float:
    counted = per_class[~np.isnan(per_class)]
    return float(counted.mean()) if len(counted) else math.nan


def _d_prime(area: float) -> float:
    if math.isnan(area):
        return math.nan
    if area in (0.0, 1.0):
        return math.copysign(math.inf, area - 0.5)
    return math.sqrt(2) * NormalDist().inv_cdf(area)
