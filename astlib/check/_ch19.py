"""Answers of chapter 19.

Chapter: notebooks/19_a_thousand_hours.ipynb
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .exercises import Case, Choice, Exercise, Function, Mistake, Number


def nearest(features: Tensor, example: Tensor, n: int) -> Tensor:
    """Find the windows whose vectors point most nearly in the direction of an example.

    Args:
        features: `(windows, dim)`.
        example: `(dim,)`.
        n: how many to find.

    Returns:
        Numbers of windows `(n,)`, the most similar first.
    """
    return F.cosine_similarity(features, example[None], dim=1).topk(n).indices


def _dot(features: Tensor, example: Tensor, n: int) -> Tensor:
    return (features @ example).topk(n).indices


def _distance(features: Tensor, example: Tensor, n: int) -> Tensor:
    distances: Tensor = (features - example).norm(dim=1)
    return distances.topk(n, largest=False).indices


def _least(features: Tensor, example: Tensor, n: int) -> Tensor:
    return F.cosine_similarity(features, example[None], dim=1).topk(n, largest=False).indices


def _similarities(features: Tensor, example: Tensor, n: int) -> Tensor:
    return F.cosine_similarity(features, example[None], dim=1).topk(n).values


def _in_time(features: Tensor, example: Tensor, n: int) -> Tensor:
    return nearest(features, example, n).sort().values


def _vectors() -> Sequence[Case]:
    generator = torch.Generator().manual_seed(19)
    features = torch.randn(40, 8, generator=generator)
    features *= torch.rand(40, 1, generator=generator) * 5 + 0.2
    centred = torch.randn(30, 6, generator=generator) + 2
    return [
        Case("40 windows of 8 numbers, some long and some short", (features, torch.randn(8, generator=generator), 5)),
        Case("30 windows that all have much in common", (centred, 3 * centred[4] + 0.5, 3)),
    ]


def ask(probabilities: Tensor, known: Tensor, n: int) -> Tensor:
    """Choose the windows without a label whose two most probable classes are closest together.

    Args:
        probabilities: `(windows, classes)`.
        known: `(windows,)` bool, True where a window has a label.
        n: how many to choose.

    Returns:
        Numbers of windows `(n,)`, the smallest margin first.
    """
    best = probabilities.topk(2, dim=1).values
    margin = (best[:, 0] - best[:, 1]).masked_fill(known, torch.inf)
    return margin.topk(n, largest=False).indices


def _also_known(probabilities: Tensor, known: Tensor, n: int) -> Tensor:
    return ask(probabilities, torch.zeros_like(known), n)


def _least_probable(probabilities: Tensor, known: Tensor, n: int) -> Tensor:
    return probabilities.amax(dim=1).masked_fill(known, torch.inf).topk(n, largest=False).indices


def _surest(probabilities: Tensor, known: Tensor, n: int) -> Tensor:
    best = probabilities.topk(2, dim=1).values
    return (best[:, 0] - best[:, 1]).masked_fill(known, -torch.inf).topk(n).indices


def _own_count(probabilities: Tensor, known: Tensor, n: int) -> Tensor:
    return ask(probabilities[~known], known[~known], n)


def _spread(probabilities: Tensor, known: Tensor, n: int) -> Tensor:
    margin = probabilities.amax(dim=1) - probabilities.amin(dim=1)
    return margin.masked_fill(known, torch.inf).topk(n, largest=False).indices


def _margins(probabilities: Tensor, known: Tensor, n: int) -> Tensor:
    best = probabilities.topk(2, dim=1).values
    return (best[:, 0] - best[:, 1])[ask(probabilities, known, n)]


def _first_two(probabilities: Tensor, known: Tensor, n: int) -> Tensor:
    margin = (probabilities[:, 0] - probabilities[:, 1]).abs()
    return margin.masked_fill(known, torch.inf).topk(n, largest=False).indices


def _answers() -> Sequence[Case]:
    generator = torch.Generator().manual_seed(20)
    answers = (2 * torch.randn(60, 4, generator=generator)).softmax(dim=1)
    known = torch.rand(60, generator=generator) < 0.3
    known[ask(answers, torch.zeros_like(known), 2)] = True  # the closest of all have a label
    few = (3 * torch.randn(12, 3, generator=generator)).softmax(dim=1)
    return [
        Case("60 windows, four classes, 18 of them or so labelled", (answers, known, 6)),
        Case("12 windows of which none has a label", (few, torch.zeros(12, dtype=torch.bool), 4)),
    ]


EXERCISES: list[Exercise] = [
    Number(
        label="ex-19-disk",
        right=1000 * 3600 / 2.5 * 192 * 2 / 1e6,
        unit="MB",
        rtol=0.06,
        remark="The sound itself, 16-bit at 16 kHz, is 200 times as large.",
        mistakes=[
            Mistake(1000 * 3600 / 2.5 * 192 * 4 / 1e6, "That is with four bytes for each number. float16 has two."),
            Mistake(1000 * 3600 / 2.5 * 192 / 1e6, "One byte for each number is too few: float16 has two."),
            Mistake(1000 * 3600 / 5 * 192 * 2 / 1e6, "That is one window every 5 s. They overlap by half."),
            Mistake(1000 * 3600 / 2.5 / 1e6, "That is how many million windows there are. How large is each?"),
            Mistake(1000 * 60 / 2.5 * 192 * 2 / 1e6, "An hour has 3,600 s."),
        ],
    ),
    Number(
        label="ex-19-random",
        right=250,
        unit="windows",
        remark="And five are few. This is why one begins with a search and not with chance.",
        mistakes=[
            Mistake(10, "Two calls in a hundred windows: ten windows hold a fifth of a call."),
            Mistake(100, "In 100 windows there are two calls on average."),
            Mistake(5 / 0.2, "2 % is 0.02, not 0.2."),
            Mistake(50, "That is for one call. Five were asked for."),
            Mistake(5, "Then every window would hold a call."),
        ],
    ),
    Function(
        label="ex-19-nearest",
        signature="nearest(features, example, n)",
        right=nearest,
        cases=_vectors,
        remark="This is the whole of the search; all that astlib adds is to do it block by block.",
        mistakes=[
            Mistake(_dot, "Long vectors win. Divide each product by the length of its window's vector."),
            Mistake(_distance, "These are the nearest by distance. Only the direction should count."),
            Mistake(_least, "These are the least similar ones."),
            Mistake(_similarities, "You return the similarities. Return the numbers of the windows."),
            Mistake(_in_time, "The right windows, in the order of time. The most similar comes first."),
        ],
    ),
    Function(
        label="ex-19-ask",
        signature="ask(probabilities, known, n)",
        right=ask,
        cases=_answers,
        remark="Now put it into the loop of this chapter in place of `choose`. Do neighbours crowd?",
        mistakes=[
            Mistake(_also_known, "You ask about windows that have a label already."),
            Mistake(_least_probable, "That is `uncertain`: it looks at the best class alone. Compare the best two."),
            Mistake(_surest, "These have the largest margins: the head is sure of them."),
            Mistake(_own_count, "You count among the windows without a label. Return their numbers among all windows."),
            Mistake(_spread, "You took the best class minus the worst. The rival is the second best."),
            Mistake(_margins, "You return the margins. Return the numbers of the windows."),
            Mistake(_first_two, "You compared the first two columns. The two most probable classes differ by window."),
        ],
    ),
    Choice(
        label="ex-19-sample",
        right="random",
        wrong={
            "asked": "The head chose these because it was unsure of them. Among all answers it is right more often.",
            "top": "The highest scores say nothing about the scores just above a lower threshold.",
            "all": "Training labels are known to the head, and most of them were chosen by it.",
        },
        remark="At random among those above a low threshold, and not used for training.",
    ),
]
