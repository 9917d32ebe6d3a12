"""Answers to the exercises of chapter 08, as readers might hand them in, written apart from the checker's own list."""

import numpy as np


def ap(found, score, kind="stable"):
    """Sorts, and so breaks ties by the order of the file."""
    order = np.argsort(-score, kind=kind)
    hits = found[order]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return (precision * hits).sum() / hits.sum()


def ap_with_ties(found, score):
    total = 0.0
    for threshold in score[found == 1]:
        total += found[score >= threshold].mean()
    return total / found.sum()


def ap_by_steps(found, score):
    """The sum of precision times the step in recall, one step for each different score."""
    total, recall = 0.0, 0.0
    for threshold in sorted(set(score.tolist()), reverse=True):
        taken = found[score >= threshold]
        total += taken.mean() * (taken.sum() / found.sum() - recall)
        recall = taken.sum() / found.sum()
    return total


def right_ones_first(found, score):
    return ap(*zip_sorted(found, score, lambda pair: (-pair[1], -pair[0])))


def wrong_ones_first(found, score):
    return ap(*zip_sorted(found, score, lambda pair: (-pair[1], pair[0])))


def zip_sorted(found, score, key):
    pairs = sorted(zip(found, score, strict=True), key=key)
    return np.array([one for one, _ in pairs]), -np.arange(len(pairs), dtype=float)


def best_rank(found, score):
    precisions = []
    for threshold in score[found == 1]:
        rank = (score > threshold).sum() + 1
        ranks = np.array([(score > one).sum() + 1 for one in score])
        precisions.append(found[ranks <= rank].sum() / rank)
    return np.mean(precisions)


def trapezoid(found, score):
    from sklearn import metrics

    precision, recall, _ = metrics.precision_recall_curve(found, score)
    return metrics.auc(recall, precision)


def interpolated(found, score):
    from sklearn import metrics

    precision, recall, _ = metrics.precision_recall_curve(found, score)
    best = np.maximum.accumulate(precision[:-1])
    return float((-np.diff(recall) * best).sum())


def all_ranks(found, score):
    return np.mean([found[score >= threshold].mean() for threshold in score])


def roc(found, score):
    from sklearn import metrics

    return metrics.roc_auc_score(found, score)


def bootstrap(targets, first, second, metric, draws=1000, seed=0, **slip):
    """Right without a slip; each slip is one mistake."""
    rng = np.random.default_rng(seed)
    differences = []
    clips, classes = targets.shape
    for _ in range(draws):
        if slip.get("inside"):
            rng = np.random.default_rng(seed)
        rows = rng.integers(clips, size=slip.get("size", clips))
        if slip.get("permuted"):
            rows = rng.permutation(clips)
        others = rng.integers(clips, size=clips) if slip.get("unpaired") else rows
        if slip.get("columns"):
            columns = rng.integers(classes, size=classes)
            pair = targets[:, columns], first[:, columns], targets[:, columns], second[:, columns]
        elif slip.get("apart"):
            pair = targets, first[rows], targets, second[rows]
        else:
            pair = targets[rows], first[rows], targets[others], second[others]
        differences.append(metric(*pair[2:]) - metric(*pair[:2]))
    differences = np.array(differences)
    if slip.get("sign"):
        differences = -differences
    if slip.get("all"):
        return differences
    if slip.get("deviation"):
        return differences.mean() - differences.std(), differences.mean() + differences.std()
    low, high = np.percentile(differences, slip.get("ends", [2.5, 97.5]))
    return low, high


def slipping(**slip):
    def handed_in(targets, first, second, metric, draws=1000, seed=0):
        return bootstrap(targets, first, second, metric, draws, seed, **slip)

    return handed_in


def nothing_drawn(targets, first, second, metric, draws=1000, seed=0):
    difference = float(metric(targets, second)) - float(metric(targets, first))
    return difference, difference


def shuffled_scores(targets, first, second, metric, draws=1000, seed=0):
    rng = np.random.default_rng(seed)
    first = rng.permuted(first, axis=0)
    return metric(targets, first), metric(targets, second)


def sorted_differences(targets, first, second, metric, draws=1000, seed=0):
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        drawn = rng.choice(len(targets), len(targets))
        found.append(metric(targets[drawn], second[drawn]) - metric(targets[drawn], first[drawn]))
    found.sort()
    cut = round(0.025 * draws)
    return found[cut], found[-1 - cut]


def binned(confidence, right, bins, each=lambda members, right: len(members) * abs(members.mean() - right.mean())):
    """The sum over bins of what each gives, the upper edge of a bin within it."""
    total = 0.0
    for k in range(bins):
        inside = (confidence > k / bins) & (confidence <= (k + 1) / bins)
        if inside.any():
            total += each(confidence[inside], right[inside])
    return total


def ece(confidence, right, bins):
    return binned(confidence, right, bins) / len(right)


def ece_lower_edges(confidence, right, bins):
    """The lower edge of a bin within it; no probability but 1 stands on an edge."""
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    return sum(abs((confidence - right)[place == k].sum()) for k in range(bins)) / len(right)


def ece_same_weights(confidence, right, bins):
    gaps = []
    binned(confidence, right, bins, lambda p, hit: gaps.append(abs(p.mean() - hit.mean())) or 0.0)
    return np.mean(gaps)


def ece_open_end(confidence, right, bins):
    total = 0.0
    for k in range(bins):
        inside = (confidence >= k / bins) & (confidence < (k + 1) / bins)
        if inside.any():
            total += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    return total


def ece_middles(confidence, right, bins):
    total = 0.0
    for k in range(bins):
        inside = (confidence > k / bins) & (confidence <= (k + 1) / bins)
        if inside.any():
            total += inside.mean() * abs((k + 0.5) / bins - right[inside].mean())
    return total


def ece_with_empty_bins(confidence, right, bins):
    with np.errstate(all="ignore"):
        place = np.ceil(confidence * bins) - 1
        counts = np.array([(place == k).sum() for k in range(bins)])
        sums = np.array([abs((confidence - right)[place == k].sum()) for k in range(bins)])
        return float((counts / len(right) * (sums / counts)).sum())


WRONG = {
    "ex-08-swap": [
        (1 - 1 / 2, "sum over the right clips"),
        (0.0625, "one pair of sixteen"),
        (0.0179, "ranks 7 and 8"),
        (0.6220, "AP after the swap"),
        (-0.125, "sign"),
    ],
    "ex-08-split": [(6, "0.115"), (15, "larger side"), (4, "less even"), (10, "as even as can be"), (1, "too small")],
    "ex-08-squash": [("a", "keep that order"), ("b", "sigmoid never"), ("d", "within one clip")],
    "ex-08-ap": [
        (ap, "order of the file"),
        (lambda found, score: ap_with_ties(found, -score), "ascending"),
        (right_ones_first, "as if the model knew"),
        (wrong_ones_first, "one after another"),
        (best_rank, "not the first"),
        (trapezoid, "trapezoids"),
        (interpolated, "the best precision further down"),
        (all_ranks, "precision at every rank"),
        (lambda found, score: ap_with_ties(found, score) * found.mean(), "divided by the number of clips"),
        (roc, "That is AUC"),
        (lambda found, score: found.mean(), "expected"),
    ],
    "ex-08-paired": [
        (slipping(unpaired=True), "not paired"),
        (slipping(columns=True), "You drew classes"),
        (slipping(permuted=True), "without replacement"),
        (slipping(apart=True), "not of the same clips"),
        (slipping(size=30), "as many as the test set"),
        (slipping(inside=True), "all the same"),
        (slipping(sign=True), "subtract the first"),
        (slipping(ends=[5, 95]), "90 %"),
        (slipping(ends=[0, 100]), "smallest and the largest"),
        (slipping(ends=[97.5, 2.5]), "lower end comes first"),
        (slipping(deviation=True), "two thirds"),
        (slipping(all=True), "two numbers"),
        (nothing_drawn, "drew none"),
        (shuffled_scores, "several clips"),
        (lambda targets, first, second, metric, draws, seed: (0.0, metric(targets, second)), "drew none"),
    ],
    "ex-08-ece": [
        (ece_same_weights, "weighs as much as one with a hundred"),
        (lambda p, right, bins: binned(p, right, bins, lambda p, hit: abs(p.mean() - hit.mean())) / bins, "empty ones"),
        (lambda p, right, bins: abs(np.mean(p - right)), "cancel"),
        (lambda p, right, bins: np.mean(np.abs(p - right)), "One answer cannot"),
        (binned, "Divide by how many"),
        (
            lambda p, right, bins: (
                binned(p, right, bins, lambda p, hit: len(p) * (p.mean() - hit.mean()) ** 2) / len(p)
            ),
            "squared",
        ),
        (
            lambda p, right, bins: max(
                abs(p[np.ceil(p * bins) == k].mean() - right[np.ceil(p * bins) == k].mean())
                for k in set(np.ceil(p * bins))
            ),
            "largest gap",
        ),
        (ece_open_end, "exactly 1"),
        (ece_middles, "middle of a bin"),
        (ece_with_empty_bins, "Leave empty bins out"),
        (lambda p, right, bins: np.mean((p - right) ** 2), "expected"),
    ],
}
RIGHT = {
    "ex-08-swap": [(1 - 1 / 2) / 4],
    "ex-08-split": [5],
    "ex-08-squash": ["c"],
    "ex-08-ap": [ap_with_ties, ap_by_steps],
    "ex-08-paired": [slipping(), sorted_differences],
    "ex-08-ece": [ece, ece_lower_edges],
}
