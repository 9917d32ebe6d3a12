"""How good are the scores? Average precision, area under the ROC curve, d', accuracy, and how certain each of them is.

Chapter: notebooks/08_measuring.ipynb

All of them depend on the order of the scores alone, so logits and probabilities give the same numbers. In every
function targets are 0 or 1 and scores are numbers, both `(clips, classes)`, arrays or tensors.
"""

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from .errors import InvalidInput

Scores = ArrayLike | Tensor
Array = NDArray[np.float64]
MetricFunction = Callable[[Array, Array], float]  # (targets, scores) -> value


def average_precision(targets: Scores, scores: Scores) -> Array:
    """Compute the average precision of each class: the mean, over its positives, of the precision at their ranks.

    Clips with equal scores share one rank, the last of them. Equal to scikit-learn's `average_precision_score`, which
    the original calls (src/utilities/stats.py). What the original prints as "Avg Precision" is something else: the
    precision at the middle point of the curve.

    Args:
        targets: `(clips, classes)`, 0 or 1.
        scores: `(clips, classes)`.

    Returns:
        `(classes,)` in [0, 1]; nan for a class without a positive.

    Raises:
        InvalidInput: other shapes, other targets, or a score that is nan.
    """
    targets, scores = _by_class(targets, scores)  # (classes, clips)
    order = np.argsort(-scores, axis=1, kind="stable")
    hits, _, last = _sorted_with_ties(targets, scores, order)
    precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    return _divide((hits * np.take_along_axis(precision, last, axis=1)).sum(1), hits.sum(1))


def auc(targets: Scores, scores: Scores) -> Array:
    """Compute the area under the ROC curve of each class.

    It is the probability that a positive clip scores higher than a negative one, where equal scores count half. Equal
    to scikit-learn's `roc_auc_score`.

    Args:
        targets: `(clips, classes)`, 0 or 1.
        scores: `(clips, classes)`.

    Returns:
        `(classes,)` in [0, 1]; nan for a class without a positive or without a negative, where the original stops with
        an error.

    Raises:
        InvalidInput: other shapes, other targets, or a score that is nan.
    """
    targets, scores = _by_class(targets, scores)  # (classes, clips)
    order = np.argsort(scores, axis=1, kind="stable")
    hits, first, last = _sorted_with_ties(targets, scores, order)
    positives = hits.sum(1)
    ranks = (hits * ((first + last) / 2 + 1)).sum(1)  # sum of the positives' ranks, from 1; ties get their mean rank
    wins = ranks - positives * (positives + 1) / 2  # Mann and Whitney's U: pairs in which the positive scores higher
    return _divide(wins, positives * (hits.shape[1] - positives))


def mean_average_precision(targets: Scores, scores: Scores) -> float:
    """Average the average precision over the classes that have a positive (mAP).

    Args:
        targets: `(clips, classes)`, 0 or 1.
        scores: `(clips, classes)`.

    Returns:
        A number in [0, 1]; nan if no class has a positive.
    """
    return _mean(average_precision(targets, scores))


def mean_auc(targets: Scores, scores: Scores) -> float:
    """Average the area under the ROC curve over the classes that have positives and negatives (mAUC).

    Args:
        targets: `(clips, classes)`, 0 or 1.
        scores: `(clips, classes)`.

    Returns:
        A number in [0, 1]; nan if there is no such class.
    """
    return _mean(auc(targets, scores))


def d_prime(targets: Scores, scores: Scores) -> float:
    """Compute d' = sqrt(2) * (inverse normal distribution function of the mean AUC).

    As in the original, this is not the mean of one d' per class. d' is the distance, in standard deviations, between
    two normal distributions of scores with that AUC.

    Args:
        targets: `(clips, classes)`, 0 or 1.
        scores: `(clips, classes)`.

    Returns:
        A number; inf at a mean AUC of exactly 1, -inf at 0, nan if there is no mean AUC.
    """
    return _d_prime(mean_auc(targets, scores))


def accuracy(targets: Scores, scores: Scores) -> float:
    """Compute the fraction of the clips whose highest score is that of one of their labels.

    Of equal scores the first counts. With one label per clip this is the usual accuracy. The original looks at the
    first label only.

    Args:
        targets: `(clips, classes)`, 0 or 1.
        scores: `(clips, classes)`.

    Returns:
        A number in [0, 1].
    """
    return float(_hits(*_checked(targets, scores)).mean())


def confusion(targets: Scores, scores: Scores) -> NDArray[np.int64]:
    """Count the clips of each class by the class that has their highest score.

    Args:
        targets: `(clips, classes)`, 0 or 1, with a single 1 for each clip.
        scores: `(clips, classes)`. Of equal scores the first counts.

    Returns:
        `(classes, classes)`: row i has the clips of class i, column j those whose highest score is that of class j.

    Raises:
        InvalidInput: as in `average_precision`, or a clip with no label or with several.
    """
    targets, scores = _checked(targets, scores)
    if not (targets.sum(1) == 1).all():
        raise InvalidInput("a confusion matrix needs clips with exactly one label each; some have none or several")
    counts = np.zeros((targets.shape[1], targets.shape[1]), np.int64)
    np.add.at(counts, (targets.argmax(1), scores.argmax(1)), 1)
    return counts


def balanced_accuracy(targets: Scores, scores: Scores) -> float:
    """Average the recall over the classes that have a clip: every class counts the same, however rare it is.

    A network that always gives the same class has 1 / classes. Equal to scikit-learn's `balanced_accuracy_score`.

    Args:
        targets: `(clips, classes)`, 0 or 1, with a single 1 for each clip.
        scores: `(clips, classes)`.

    Returns:
        A number in [0, 1].

    Raises:
        InvalidInput: as in `confusion`.
    """
    counts = confusion(targets, scores)
    return _mean(_divide(np.diag(counts).astype(float), counts.sum(1).astype(float)))


def all_metrics(targets: Scores, scores: Scores) -> dict[str, float]:
    """Compute all metrics.

    Args:
        targets: `(clips, classes)`, 0 or 1.
        scores: `(clips, classes)`.

    Returns:
        mAP, mAUC, d_prime, accuracy, and classes_without_positives, the number of classes that mAP leaves out.
    """
    per_class, area = average_precision(targets, scores), mean_auc(targets, scores)
    return {
        "mAP": _mean(per_class),
        "mAUC": area,
        "d_prime": _d_prime(area),
        "accuracy": accuracy(targets, scores),
        "classes_without_positives": int(np.isnan(per_class).sum()),
    }


def wilson(fraction: float, clips: int) -> tuple[float, float]:
    """Compute a 95 % interval for a fraction of clips, such as an accuracy (Wilson, JASA 1927).

    It takes the clips as independent. Where several were cut from one recording, `bootstrap` with groups gives the
    wider interval that is right.

    Args:
        fraction: observed, 0 to 1.
        clips: number of clips.

    Returns:
        The lower and the upper end, never outside 0 to 1.

    Raises:
        InvalidInput: no fraction, or no clip.
    """
    if not 0 <= fraction <= 1 or clips < 1:
        raise InvalidInput(f"expected a fraction from 0 to 1 of at least one clip; found {fraction} of {clips}")
    z2 = NormalDist().inv_cdf(0.975) ** 2 / clips
    middle, half = fraction + z2 / 2, math.sqrt(z2 * fraction * (1 - fraction) + z2**2 / 4)
    return max(0.0, (middle - half) / (1 + z2)), min(1.0, (middle + half) / (1 + z2))


def mean_interval(fractions: Sequence[float], clips: Sequence[int]) -> tuple[float, float]:
    """Compute a 95 % interval for the mean of independent fractions, such as a balanced accuracy.

    Four clips, two of them right, are added over all classes together before the usual formula (Price and Bonett,
    Computational Statistics & Data Analysis 2004). So it does not shrink to a point where every clip was right, as a
    bootstrap does. It contains the true value in 93 to 99 cases of 100, but in only about 85 if many classes have one
    or two clips.

    Args:
        fractions: observed, 0 to 1, such as the recall of each class.
        clips: number of clips that each fraction is of.

    Returns:
        The lower and the upper end, never outside 0 to 1.

    Raises:
        InvalidInput: no fraction, one that is out of range, or a fraction of no clip.
    """
    observed, counts = np.asarray(fractions, float), np.asarray(clips, float)
    if not len(observed) or not ((observed >= 0) & (observed <= 1)).all() or not (counts >= 1).all():
        raise InvalidInput(f"expected fractions from 0 to 1, each of at least one clip; found {fractions} of {clips}")
    added = 4 / len(observed)
    shifted = (observed * counts + added / 2) / (counts + added)
    middle = float(shifted.mean())
    deviation = math.sqrt((shifted * (1 - shifted) / (counts + added)).sum()) / len(observed)
    half = NormalDist().inv_cdf(0.975) * deviation
    return max(0.0, middle - half), min(1.0, middle + half)


def bootstrap(
    targets: Scores,
    scores: Scores,
    metric: MetricFunction,
    n: int = 1000,
    groups: Sequence[object] | NDArray[np.generic] | None = None,
    seed: int = 0,
) -> tuple[float, float]:
    """Compute a 95 % interval for a metric over other test clips of the same kind, by percentiles (Efron 1979).

    Each of n draws takes as many clips as there are, with replacement, and computes the metric of these. A class that
    has no positive in a draw is left out of that draw, as in the metrics of this module. With only a few positives per
    class, as in one fold of ESC-50, mAP itself is a little too high, and its interval contains the true value in about
    nine cases of ten.

    Args:
        targets: `(clips, classes)`.
        scores: one row per clip.
        metric: a function of targets and scores, such as `mean_average_precision`.
        n: number of draws; each calls `metric` once.
        groups: one name or number per clip. Groups are drawn as a whole, because clips of one recording are not
            independent. None draws single clips.
        seed: of the draws.

    Returns:
        The lower and the upper end.

    Raises:
        InvalidInput: fewer than two groups or clips, no draw, or a metric that is nan for all clips or in all draws.
    """
    targets, scores = _array(targets), _array(scores)
    if math.isnan(metric(targets, scores)):
        raise InvalidInput("the metric of all clips is nan, so there is nothing to put an interval around")
    clips = np.arange(len(targets))
    names, group = np.unique(clips if groups is None else np.asarray(groups), return_inverse=True)
    if len(group) != len(clips) or len(names) < 2:
        raise InvalidInput(
            f"expected a group for each of {len(clips)} clips, two different ones or more; "
            f"found {len(group)} clips in {len(names)} groups"
        )
    if n < 1:
        raise InvalidInput(f"n must be 1 or more; found {n}")
    rng, values = np.random.default_rng(seed), np.empty(n)
    for i in range(n):
        times = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        drawn = np.repeat(clips, times[group])
        values[i] = metric(targets[drawn], scores[drawn])
    values = np.sort(values[~np.isnan(values)])  # percentiles without interpolation, because d' can be infinite
    if not len(values):
        raise InvalidInput(f"the metric was nan in all {n} draws: there are too few positives for an interval")
    cut = round(0.025 * len(values))
    return float(values[cut]), float(values[-1 - cut])


def paired_bootstrap(
    targets: Scores,
    scores: Scores,
    others: Scores,
    metric: MetricFunction,
    n: int = 1000,
    groups: Sequence[object] | NDArray[np.generic] | None = None,
    seed: int = 0,
) -> tuple[float, float]:
    """Compute a 95 % interval for metric(others) - metric(scores), of two models on the same clips.

    Both are measured on the same draw, so what makes a clip hard or easy cancels. The interval is therefore narrower
    than two separate ones suggest.

    Args:
        targets: `(clips, classes)`, 0 or 1.
        scores: `(clips, classes)` of one model.
        others: `(clips, classes)` of the other model.
        metric: as for `bootstrap`.
        n: as for `bootstrap`.
        groups: as for `bootstrap`.
        seed: as for `bootstrap`.

    Returns:
        The lower and the upper end of the difference.

    Raises:
        InvalidInput: as in `bootstrap`, or the two models have scores of different shapes.
    """
    (_, first), (_, second) = _checked(targets, scores), _checked(targets, others)

    def difference(targets: Array, both: Array) -> float:
        return metric(targets, both[:, 1]) - metric(targets, both[:, 0])

    return bootstrap(targets, np.stack([first, second], axis=1), difference, n, groups, seed)


def mcnemar(targets: Scores, scores: Scores, others: Scores) -> tuple[int, int, float]:
    """Test whether two models are equally accurate on the same clips (McNemar 1947), exact and two-sided.

    It takes the clips as independent.

    Args:
        targets: `(clips, classes)`, 0 or 1.
        scores: `(clips, classes)` of one model.
        others: `(clips, classes)` of the other model.

    Returns:
        How many clips only the first model classifies correctly, how many only the second, and p, see `sign_test`.

    Raises:
        InvalidInput: the two models have scores of different shapes.
    """
    first, second = _hits(*_checked(targets, scores)), _hits(*_checked(targets, others))
    only_first, only_second = int((first > second).sum()), int((second > first).sum())
    return only_first, only_second, sign_test(only_first, only_second)


def sign_test(heads: int, tails: int) -> float:
    """Compute the two-sided p value of an exact sign test.

    Args:
        heads: number of cases with one outcome.
        tails: number of cases with the other outcome.

    Returns:
        The probability that a fair coin, tossed as often as there are cases, falls at least as unevenly.
    """
    rarer = sum(math.comb(heads + tails, k) for k in range(min(heads, tails) + 1))
    tosses: int = 2 ** (heads + tails)  # of equal probability
    return min(1.0, 2 * rarer / tosses)


def _array(values: Scores) -> Array:
    """An array of the same numbers; of a tensor, in float64, because numpy has no bfloat16."""
    return values.detach().double().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def _checked(targets: Scores, scores: Scores) -> tuple[Array, Array]:
    targets, scores = (np.asarray(_array(values), dtype=np.float64) for values in (targets, scores))
    if targets.ndim != 2 or targets.shape != scores.shape or not targets.size:
        raise InvalidInput(
            "targets and scores must both be (clips, classes) with at least one of each; "
            f"found {targets.shape} and {scores.shape}"
        )
    if not np.isin(targets, (0, 1)).all():
        raise InvalidInput("targets must be 0 or 1; soft targets of mixup are for training only")
    if np.isnan(scores).any():
        clips = np.flatnonzero(np.isnan(scores).any(1))
        raise InvalidInput(f"{len(clips)} clips have NaN scores, first clip {clips[0]}: did training diverge?")
    return targets, scores


def _hits(targets: Array, scores: Array) -> Array:
    """`(clips,)`, 1 where the highest score is that of one of the clip's labels, else 0."""
    return np.take_along_axis(targets, scores.argmax(1)[:, None], axis=1)[:, 0]


def _by_class(targets: Scores, scores: Scores) -> tuple[Array, Array]:
    """Both as `(classes, clips)`, because everything per class is then contiguous in memory."""
    targets, scores = _checked(targets, scores)
    return np.ascontiguousarray(targets.T), np.ascontiguousarray(scores.T)


def _sorted_with_ties(
    targets: Array, scores: Array, order: NDArray[np.intp]
) -> tuple[Array, NDArray[np.intp], NDArray[np.intp]]:
    """Targets in that order, and for every place the first and the last place that have the same score."""
    hits, scores = np.take_along_axis(targets, order, axis=1), np.take_along_axis(scores, order, axis=1)
    place = np.arange(scores.shape[1])
    edge = np.ones((scores.shape[0], 1), bool)
    change = scores[:, 1:] != scores[:, :-1]
    first = np.maximum.accumulate(np.where(np.hstack([edge, change]), place, 0), axis=1)
    ends = np.where(np.hstack([change, edge]), place, place[-1])
    last = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
    return hits, first, last


def _divide(a: Array, b: Array) -> Array:
    """a / b, nan where b is 0."""
    quotient: Array = np.divide(a, b, out=np.full(len(a), np.nan), where=b > 0)
    return quotient


def _mean(per_class: Array) -> float:
    """Mean of the numbers that are not nan; nan if there is none."""
    counted = per_class[~np.isnan(per_class)]
    return float(counted.mean()) if len(counted) else math.nan


def _d_prime(area: float) -> float:
    if math.isnan(area):
        return math.nan
    if area in (0.0, 1.0):
        return math.copysign(math.inf, area - 0.5)
    return math.sqrt(2) * NormalDist().inv_cdf(area)
