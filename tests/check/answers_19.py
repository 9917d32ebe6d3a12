"""Answers to the exercises of chapter 19, as readers might hand them in, written apart from the checker's own list."""

import torch


def right_nearest(features, example, n):
    units = features / features.norm(dim=1, keepdim=True)
    return torch.argsort(units @ example, descending=True)[:n]


def as_list(features, example, n):
    found = []
    for i, row in enumerate(features):
        found.append((float(row @ example / row.norm() / example.norm()), i))
    return [i for _, i in sorted(found, reverse=True)[:n]]


def by_product(features, example, n):
    return torch.argsort(features @ example, descending=True)[:n]


def by_distance(features, example, n):
    return torch.argsort(((features - example) ** 2).sum(dim=1))[:n]


def ascending(features, example, n):
    return torch.argsort(right_similarity(features, example))[:n]


def right_similarity(features, example):
    return (features / features.norm(dim=1, keepdim=True)) @ example / example.norm()


def similarities(features, example, n):
    return right_similarity(features, example).sort(descending=True).values[:n]


def sorted_by_time(features, example, n):
    return sorted(right_nearest(features, example, n).tolist())


def right_ask(probabilities, known, n):
    ordered = probabilities.sort(dim=1).values
    margin = ordered[:, -1] - ordered[:, -2]
    open_ones = (~known).nonzero()[:, 0]
    return open_ones[margin[open_ones].argsort()[:n]]


def with_loop(probabilities, known, n):
    margins = []
    for i, row in enumerate(probabilities.tolist()):
        if not known[i]:
            a, b = sorted(row)[-2:]
            margins.append((b - a, i))
    return [i for _, i in sorted(margins)[:n]]


def forgets_known(probabilities, known, n):
    return right_ask(probabilities, known & False, n)


def uncertain(probabilities, known, n):
    best = probabilities.max(dim=1).values.clone()
    best[known] = 2
    return best.argsort()[:n]


def sure(probabilities, known, n):
    ordered = probabilities.sort(dim=1).values
    margin = ordered[:, -1] - ordered[:, -2]
    margin[known] = -1
    return margin.argsort(descending=True)[:n]


def counts_among_open(probabilities, known, n):
    return right_ask(probabilities[~known], torch.zeros(int((~known).sum()), dtype=torch.bool), n)


def best_minus_worst(probabilities, known, n):
    margin = probabilities.max(dim=1).values - probabilities.min(dim=1).values
    margin[known] = 2
    return margin.argsort()[:n]


WRONG = {
    "ex-19-disk": [(1106, "float16 has two"), (276.5, "too few"), (1.44, "million windows"), (9.2, "3,600 s")],
    "ex-19-random": [
        (10, "a fifth of a call"),
        (100, "two calls on average"),
        (50, "Five were asked for"),
        (7, "small"),
    ],
    "ex-19-nearest": [
        (by_product, "Long vectors win"),
        (by_distance, "Only the direction"),
        (ascending, "least similar"),
        (similarities, "the numbers of the windows"),
        (sorted_by_time, "order of time"),
    ],
    "ex-19-ask": [
        (forgets_known, "a label already"),
        (uncertain, "the best class alone"),
        (sure, "is sure of them"),
        (counts_among_open, "among all windows"),
        (best_minus_worst, "second best"),
    ],
    "ex-19-sample": [("asked", "unsure of them"), ("top", "just above"), ("all", "Training labels")],
}
RIGHT = {
    "ex-19-disk": [552.96, 527],
    "ex-19-nearest": [right_nearest, as_list],
    "ex-19-ask": [right_ask, with_loop],
}
