"""Answers to the exercises of chapter 09, as readers might hand them in, written apart from the checker's own list.

WRONG: label -> (answer, part of the sentence that the checker must answer with). RIGHT: label -> answers that differ
from the published solution and are right all the same.
"""

import random
from collections import Counter

import numpy as np


def population_sd(values, t):
    values = np.array(values)
    half = t * values.std() / np.sqrt(len(values))
    return values.mean(), values.mean() - half, values.mean() + half


def spread_of_folds(values, t):
    values = np.array(values)
    half = t * values.std(ddof=1)
    return values.mean(), values.mean() - half, values.mean() + half


def divided_by_n(values, t):
    values = np.array(values)
    half = t * values.std(ddof=1) / len(values)
    return values.mean(), values.mean() - half, values.mean() + half


def normal(values, t):
    values = np.array(values)
    half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    return values.mean(), values.mean() - half, values.mean() + half


def only_the_error(values, t):
    values = np.array(values)
    half = values.std(ddof=1) / np.sqrt(len(values))
    return values.mean(), values.mean() - half, values.mean() + half


def twice_less_one(values, t):
    values = np.array(values)
    half = t * values.std(ddof=1) / np.sqrt(len(values) - 1)
    return values.mean(), values.mean() - half, values.mean() + half


def half_width(values, t):
    return np.mean(values), t * np.std(values, ddof=1) / np.sqrt(len(values))


def numpy_interval(values, t):
    middle, error = np.mean(values), np.std(values, ddof=1) / len(values) ** 0.5
    return [middle - 0 * t, middle - t * error, middle + t * error]


def shuffled(names, k):
    folds = [1 + i % k for i in range(len(names))]
    random.shuffle(folds)
    return folds


def one_by_one(names, k):
    return [1 + i % k for i in range(len(names))]


def in_blocks(names, k):
    return [1 + i * k // len(names) for i in range(len(names))]


def by_class(names, k):
    return [1 + int(name.split("-")[2]) % k for name in names]


def by_take(names, k):
    return [1 + "ABCDE".index(name.split("-")[1]) for name in names]


def by_take_of_five(names, k):
    """Groups by the take, with a fold of its own for one class."""
    return [5 if name.endswith("-0") else 1 + "ABCDE".index(name.split("-")[1]) for name in names]


def from_zero(names, k):
    recordings = list(dict.fromkeys(name.split("-")[0] for name in names))
    return [recordings.index(name.split("-")[0]) % k for name in names]


def recordings_in_blocks(names, k):
    recordings = list(dict.fromkeys(name.split("-")[0] for name in names))
    return [1 + recordings.index(name.split("-")[0]) * k // len(recordings) for name in names]


def one_large_fold(names, k):
    """The first half of every class's recordings goes to fold 1, the rest is dealt out."""
    seen, folds = {}, []
    for name in names:
        recording, _, label = name.split("-")
        own = seen.setdefault(label, [])
        if recording not in own:
            own.append(recording)
        place = own.index(recording)
        folds.append(1 if place < 7 else 2 + (place - 7) % (k - 1))
    return folds


def too_few(names, k):
    return [1 + i % k for i, _ in enumerate(sorted({name.split("-")[0] for name in names}))]


def greedy(names, k):
    """The smallest fold of the class takes its next recording, the largest recordings first."""
    size = Counter(name.split("-")[0] for name in names)
    label_of = {name.split("-")[0]: name.split("-")[2] for name in names}
    there, fold_of = Counter(), {}
    for recording in sorted(size, key=lambda one: (label_of[one], -size[one], one)):
        fold = min(range(1, k + 1), key=lambda f: (there[label_of[recording], f], there[f]))
        fold_of[recording] = fold
        there[label_of[recording], fold] += size[recording]
        there[fold] += size[recording]
    return np.array([fold_of[name.split("-")[0]] for name in names])


WRONG = {
    "ex-09-point": [
        (1_600, "one standard error"),
        (24_586, "one point wide in all"),
        (9_604, "What is p here"),
        (3_136, "z is squared"),
        (0.6147, "h is 0.01"),
        (400, "too small"),
    ],
    "ex-09-interval": [
        (population_sd, "divide by n - 1"),
        (spread_of_folds, "where single folds lie"),
        (divided_by_n, "You divided by n."),
        (normal, "1.96"),
        (only_the_error, "Where does t come in"),
        (twice_less_one, "under the root"),
        (half_width, "expected 3 results"),
    ],
    "ex-09-groups": [
        (shuffled, "You shuffle the clips"),
        (one_by_one, "one after the other"),
        (in_blocks, "into blocks"),
        (by_class, "You split by class"),
        (by_take, "You group by the take"),
        (by_take_of_five, "have clips in several folds"),
        (from_zero, "counted from 0"),
        (recordings_in_blocks, "class by class"),
        (one_large_fold, "Which fold should the next recording go to"),
        (too_few, "return one number for each name"),
        (lambda names, k: [k + 1] * len(names), "There is a fold 6"),
    ],
}
RIGHT = {
    "ex-09-point": [6147, 6146.56],
    "ex-09-interval": [numpy_interval],
    "ex-09-groups": [greedy],
}
