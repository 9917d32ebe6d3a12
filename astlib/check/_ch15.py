"""Answers of chapter 15.

Chapter: notebooks/15_your_own_sounds.ipynb
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from .exercises import Case, Choice, Exercise, Function, Mistake, Number

Events = list[tuple[int, float, float]]


def _named(probabilities: Tensor, threshold: float) -> list[int]:
    """The class of each window, -1 for none."""
    values, classes = probabilities.max(dim=1)
    return [int(c) if p > threshold else -1 for p, c in zip(values, classes, strict=True)]


def _groups(named: Sequence[int]) -> list[tuple[int, int, int]]:
    """Runs of equal classes: (class, first window, last window), without those of no class."""
    found: list[tuple[int, int, int]] = []
    for i, name in enumerate(named):
        if i and name == named[i - 1]:
            found[-1] = (name, found[-1][1], i)
        else:
            found.append((name, i, i))
    return [run for run in found if run[0] >= 0]


def merge(spans: Tensor, probabilities: Tensor, threshold: float) -> Events:
    """Merge neighbouring windows with one class into events.

    Args:
        spans: begin and end of each window in seconds, `(windows, 2)`.
        probabilities: `(windows, classes)`.
        threshold: a window whose largest probability is not above it names no class.

    Returns:
        (class, begin, end) of each event, by time.
    """
    runs = _groups(_named(probabilities, threshold))
    return [(name, spans[first, 0].item(), spans[last, 1].item()) for name, first, last in runs]


def _no_threshold(spans: Tensor, probabilities: Tensor, threshold: float) -> Events:
    return merge(spans, probabilities, -1.0)


def _each_window(spans: Tensor, probabilities: Tensor, threshold: float) -> Events:
    named = _named(probabilities, threshold)
    return [(name, *spans[i].tolist()) for i, name in enumerate(named) if name >= 0]


def _begin_of_last(spans: Tensor, probabilities: Tensor, threshold: float) -> Events:
    runs = _groups(_named(probabilities, threshold))
    return [(name, spans[first, 0].item(), spans[last, 0].item()) for name, first, last in runs]


def _last_lost(spans: Tensor, probabilities: Tensor, threshold: float) -> Events:
    named = _named(probabilities, threshold)
    runs = _groups(named)
    open_at_end = named[-1] >= 0
    runs = runs[:-1] if open_at_end else runs
    return [(name, spans[first, 0].item(), spans[last, 1].item()) for name, first, last in runs]


def _over_gaps(spans: Tensor, probabilities: Tensor, threshold: float) -> Events:
    named = _named(probabilities, threshold)
    places = [i for i, name in enumerate(named) if name >= 0]
    runs = _groups([named[i] for i in places])
    return [(name, spans[places[first], 0].item(), spans[places[last], 1].item()) for name, first, last in runs]


def _any_class(spans: Tensor, probabilities: Tensor, threshold: float) -> Events:
    named = _named(probabilities, threshold)
    runs = _groups([0 if name >= 0 else -1 for name in named])
    return [(named[first], spans[first, 0].item(), spans[last, 1].item()) for _, first, last in runs]


def _end_of_first(spans: Tensor, probabilities: Tensor, threshold: float) -> Events:
    runs = _groups(_named(probabilities, threshold))
    return [(name, spans[first, 0].item(), spans[first, 1].item()) for name, first, _ in runs]


def _windows() -> Sequence[Case]:
    begins = torch.arange(9.0)
    spans = torch.stack([begins, begins + 2], dim=1)
    sure = torch.tensor([0.9, 0.8, 0.3, 0.7, 0.6, 0.9, 0.2, 0.8, 0.9])
    classes = torch.tensor([1, 1, 2, 1, 0, 0, 1, 2, 2])
    rest = (1 - sure)[:, None].expand(-1, 4) / 8
    long = rest.scatter(1, classes[:, None], sure[:, None])
    quiet = torch.full((3, 4), 0.25)
    return [
        Case("nine windows of four classes, threshold 0.5", (spans, long, 0.5)),
        Case("windows in which no class is above the threshold", (spans[:3], quiet, 0.5)),
        Case("one window", (spans[:1], long[:1], 0.5)),
    ]


EXERCISES: list[Exercise] = [
    Choice(
        label="ex-15-days",
        right="day",
        wrong={
            "random": "Then each test is on days that the network has heard. Will next week be one of them?",
            "clip": "A number of its own for every clip is a random deal in other words.",
            "machine": "There is one machine, so that would be one fold, and nothing to train on.",
        },
    ),
    Number(
        label="ex-15-balanced",
        right=5.0,
        unit="times an epoch",
        rtol=1e-3,
        remark='The weights of scikit-learn\'s "balanced" are the same number, n / (C n_c).',
        mistakes=[
            Mistake(50.0, "That is how often any clip of thunder is drawn. There are ten of them."),
            Mistake(1.0, "That is the rate without balancing: every clip once in 100 draws."),
            Mistake(9.0, "You gave thunder nine times the weight of rain; but then the draws are still 100 in all."),
            Mistake(10.0, "Half of the draws are thunder, not all of them."),
        ],
    ),
    Number(
        label="ex-15-clips",
        right=380,
        unit="clips",
        rtol=0.02,
        remark="Four times as many halve the interval: its width goes with the square root.",
        mistakes=[
            Mistake(10, "With ten clips the interval is about 50 points from end to end."),
            Mistake(95, "That is for ten points to either side. Five points need how many times as many?"),
            Mistake(1537, "That is for 2.5 points to either side: 5 points from end to end."),
            Mistake(246, "That holds for 80 % right. Nothing is said about how good it is: take the widest case."),
        ],
    ),
    Function(
        label="ex-15-events",
        signature="events(spans, probabilities, threshold)",
        right=merge,
        cases=_windows,
        remark="Next: close gaps of one window, and drop events of one window. Which errors does each remove?",
        mistakes=[
            Mistake(_no_threshold, "Every window is in an event. What about those that are not above the threshold?"),
            Mistake(_each_window, "Each window is an event of its own. Join neighbours that name one class."),
            Mistake(_begin_of_last, "Your events end where their last window begins."),
            Mistake(_end_of_first, "Your events end with their first window."),
            Mistake(_last_lost, "An event that is open when the recording ends is lost. Close it after the loop."),
            Mistake(_over_gaps, "You joined windows over a silent one between them: those are two events."),
            Mistake(_any_class, "You joined neighbours of different classes into one event."),
        ],
    ),
]
