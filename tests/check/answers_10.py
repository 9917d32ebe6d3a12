"""Answers to the exercises of chapter 10, as readers might hand them in, written apart from the checker's own list.

WRONG: label -> (answer, part of the sentence that the checker must answer with). RIGHT: label -> answers that differ
from the published solution and are right all the same.
"""

import numpy as np
import torch


def counted(targets):
    return [max(1.0, float(column.sum())) for column in targets.T]


def scaled(weights):
    weights = torch.tensor(weights)
    return weights / weights.sum()


def not_scaled(targets):
    counts = counted(targets)
    return torch.tensor([sum(1 / c for here, c in zip(row, counts, strict=True) if here) for row in targets])


def by_mean(targets):
    counts = counted(targets)
    return scaled([np.mean([1 / c for here, c in zip(row, counts, strict=True) if here]) for row in targets])


def by_rarest(targets):
    counts = counted(targets)
    return scaled([max(1 / c for here, c in zip(row, counts, strict=True) if here) for row in targets])


def sum_then_invert(targets):
    counts = counted(targets)
    return scaled([1 / sum(c for here, c in zip(row, counts, strict=True) if here) for row in targets])


def more_of_the_frequent(targets):
    counts = counted(targets)
    return scaled([sum(c for here, c in zip(row, counts, strict=True) if here) for row in targets])


def divides_by_zero(targets):
    weights = (targets / targets.sum(0)).sum(1)
    return weights / weights.sum()


def by_number_of_labels(targets):
    return scaled([1 / float(row.sum()) for row in targets])


def one_a_label(targets):
    weights = torch.tensor(
        [1 / c if column.any() else 0 for c, column in zip(counted(targets), targets.T, strict=True)]
    )
    return weights / weights.sum()


def in_place(targets):
    targets /= targets.sum(0).clamp(min=1)
    return targets.sum(1) / targets.sum()


def matrix_product(targets):
    table = targets.numpy()
    counts = table.sum(axis=0)
    share = np.divide(1, counts, out=np.zeros_like(counts), where=counts > 0)
    weights = table @ share
    return weights / weights.sum()


WRONG = {
    "ex-10-guess": [
        (0.5, "area under the ROC curve"),
        (0.0018975, "every label is measured by itself"),
        (0.0169492, "Count all clips"),
        (0.289627, "from 0 to 1"),
        (0.003075, "none of this label"),
        (0.9971, "do not have the label"),
        (59, "too large"),
    ],
    "ex-10-rare": [
        (3.435, "How many are left"),
        (49.65, "the public copy"),
        (59, "Some of them are lost"),
        (0.0582, "Multiply what"),
        (0.9418, "Of how many clips"),
        (19_185, "too large"),
    ],
    "ex-10-weights": [
        (not_scaled, "their sum is 1"),
        (by_mean, "the mean over the labels"),
        (by_rarest, "The others count, too"),
        (sum_then_invert, "Invert each label's count first"),
        (more_of_the_frequent, "frequent labels more often still"),
        (divides_by_zero, "which is nan"),
        (by_number_of_labels, "how rare they are"),
        (one_a_label, "one weight for each label"),
        (in_place, "changes its input"),
    ],
}
RIGHT = {
    "ex-10-guess": [0.0029, 59 / 20_371],
    "ex-10-rare": [55.6, 56, 55.565],
    "ex-10-weights": [matrix_product],
}
