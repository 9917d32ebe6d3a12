"""How good are the scores? Average precision, area under the ROC curve, d', accuracy.

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
