"""Answers to the exercises of chapter 13, as readers might hand them in, written apart from the checker's own list."""

import torch


def step_by_step(x, u, a, v, b, w, how="right"):
    """Attention pooling with loops over heads and clips."""
    out = []
    for clip in x:  # (steps, dim)
        total = 0
        for head in range(len(w)):
            gate = clip @ u[head].T + a[head]  # (steps, classes)
            score = (clip @ v[head].T + b[head]).sigmoid()
            if how == "softmax":
                weight = torch.softmax(gate, 0)
            elif how == "raw gate":
                weight = gate.sigmoid()
            elif how == "classes":
                weight = gate.sigmoid() / gate.sigmoid().sum(1, keepdim=True)
            else:
                weight = gate.sigmoid() / gate.sigmoid().sum(0)
            share = 1 / len(w) if how == "mean of heads" else w[head]
            total = total + share * (weight * score).sum(0)
        out.append(total)
    return torch.stack(out)


def variant(how):
    return lambda x, u, a, v, b, w: step_by_step(x, u, a, v, b, w, how)


WRONG = {
    "ex-13-pooling": [
        (variant("softmax"), "softmax over the steps"),
        (variant("raw gate"), "do not add up to 1"),
        (variant("classes"), "over the classes"),
        (variant("mean of heads"), "plain mean of the heads"),
        (lambda x, u, a, v, b, w: step_by_step(x, u, a, v, b, w)[0], "expected the shape"),
    ],
    "ex-13-field": [
        (1 + 4 * 3, "twice as wide"),
        (94, "five blocks"),
        (1 + 2 * 15, "windows of the pooling"),
        (100, "too large"),
    ],
    "ex-13-heads": [
        (2 * 527 * 4 * 1408, "the weights of the heads"),
        (4 * 527 * 1408 + 4 * 527 + 4, "two layers"),
        (563_604, "50 classes"),
        (5_940_344, "weights, too"),
    ],
    "ex-13-scale": [("all", "position embedding"), ("AST-Tiny", "layer norms"), ("none", "divide by")],
    "ex-13-average": [(1 / 15, "added once"), (0.0625, "share of each"), (0.5, "too large"), (2, "how often")],
}
RIGHT = {
    "ex-13-pooling": [step_by_step],
    "ex-13-field": [46.0],
    "ex-13-heads": [5_940_348],
    "ex-13-average": [0.125],
}
