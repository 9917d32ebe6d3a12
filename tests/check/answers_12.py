"""Answers to the exercises of chapter 12, as readers might hand them in, written apart from the checker's own list."""

import numpy as np
from scipy import stats


def ordinary(one, other, share):
    result = stats.ttest_rel(one, other)
    low, high = result.confidence_interval()
    return np.mean(one) - np.mean(other), (high - low) / 2, result.pvalue


def with_numpys_default(one, other, share):
    d = np.array(one) - np.array(other)
    se = np.std(d) * np.sqrt(1 / len(d) + share)
    return d.mean(), stats.t.ppf(0.975, len(d) - 1) * se, 2 * stats.t.sf(abs(d.mean() / se), len(d) - 1)


def one_tail(one, other, share):
    d = np.array(one) - np.array(other)
    se = d.std(ddof=1) * np.sqrt(1 / len(d) + share)
    return d.mean(), stats.t.ppf(0.975, len(d) - 1) * se, stats.t.sf(abs(d.mean() / se), len(d) - 1)


def gaussian(one, other, share):
    d = np.array(one) - np.array(other)
    se = d.std(ddof=1) * np.sqrt(1 / len(d) + share)
    return d.mean(), 1.959963985 * se, 2 * (1 - stats.norm.cdf(abs(d.mean() / se)))


def right_paired(one, other, share):
    """With the interval of scipy's t distribution."""
    d = np.array(one) - np.array(other)
    t = stats.t(len(d) - 1, loc=d.mean(), scale=d.std(ddof=1) * np.sqrt(1 / len(d) + share))
    low, high = t.interval(0.95)
    return d.mean(), (high - low) / 2, 2 * min(t.cdf(0), t.sf(0))


def swapped(one, other, share):
    mean, half, p = right_paired(one, other, share)
    return -mean, half, p


def right_holm(p):
    """Over all smaller ones, the largest product."""
    p = np.array(p)
    m = len(p)
    return [min(1, max((m - np.sum(p < q)) * q for q in p[p <= value])) for value in p]


def bonferroni(p):
    return np.minimum(np.array(p) * len(p), 1)


def sorted_holm(p):
    return sorted(right_holm(p))


def falling(p):
    m = len(p)
    return [min(1, (m - sorted(p).index(q)) * q) for q in p]


def false_discovery(p):
    return stats.false_discovery_control(p)


WRONG = {
    "ex-12-paired": [
        (ordinary, "ordinary paired t-test"),
        (with_numpys_default, "divides by k"),
        (one_tail, "one tail"),
        (gaussian, "normal distribution"),
        (swapped, "subtracted the first"),
        (lambda one, other, share: np.mean(one) - np.mean(other), "3 results"),
    ],
    "ex-12-holm": [
        (bonferroni, "Bonferroni"),
        (sorted_holm, "in the order of p"),
        (falling, "below the adjusted one of a smaller p"),
        (false_discovery, "Benjamini"),
        (lambda p: p, "expected 0.06"),
    ],
    "ex-12-twenty": [(1.0, "do not add up"), (0.36, "none of them"), (0.05, "single test"), (0.5, "too small")],
    "ex-12-changes": [
        ("patch/128x2", "cannot keep a step"),
        ("patch/32x32", "step of 32"),
        ("weights/deit", "only the weights differ"),
        ("overlap/0-balanced", "count as one"),
    ],
}
RIGHT = {
    "ex-12-paired": [right_paired],
    "ex-12-holm": [right_holm],
    "ex-12-twenty": [0.64, 0.6415],
    "ex-12-changes": [" weights/vit-large "],
}
