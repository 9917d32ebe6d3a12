"""Answers of chapter 08.

Chapter: notebooks/08_measuring.ipynb
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .exercises import Case, Choice, Exercise, Function, Mistake, Number, Trial

Array = NDArray[np.float64]
CLIPS, CLASSES, DRAWS = 60, 5, 500


def _ranks(score: Array, ties: str) -> NDArray[np.intp]:
    """The rank of every clip from 1, best first; tied clips share the last of their ranks, or what a mistake gives."""
    if ties == "last":
        return np.asarray((score[None] >= score[:, None]).sum(axis=1))
    if ties == "first":
        return np.asarray((score[None] > score[:, None]).sum(axis=1) + 1)
    order = np.argsort(-score, kind="stable")
    ranks = np.empty(len(score), int)
    ranks[order] = np.arange(1, len(score) + 1)
    return ranks


def _ap(found: Array, score: Array, ties: str = "last", over: str = "right") -> float:
    """Average precision, and with other arguments what it is taken for."""
    found, score = np.asarray(found, float), np.asarray(score, float)
    ranks = _ranks(score, ties)
    above = np.array([found[ranks <= rank].sum() for rank in ranks])
    precision = above / ranks
    if over == "everything":
        return float(precision.mean())
    return float((precision * found).sum() / (found.sum() if over == "right" else len(found)))


def _tied(found: Array, score: Array, best: bool) -> float:
    """Tied clips ordered by whether they are right: the right ones first, or last."""
    order = np.lexsort((-found if best else found, -score))
    return _ap(found[order], np.arange(len(found), 0, -1.0))


def _curve(found: Array, score: Array) -> tuple[Array, Array]:
    """Recall and precision at every threshold, the highest first."""
    thresholds = np.unique(score)[::-1]
    taken = np.array([score >= threshold for threshold in thresholds])
    hits = (taken * found).sum(axis=1)
    return hits / found.sum(), hits / taken.sum(axis=1)


def _trapezoids(found: Array, score: Array) -> float:
    recall, precision = _curve(found, score)
    recall, precision = np.concatenate([[0.0], recall]), np.concatenate([[1.0], precision])
    return float((np.diff(recall) * (precision[1:] + precision[:-1]) / 2).sum())


def _best_to_the_right(found: Array, score: Array) -> float:
    recall, precision = _curve(found, score)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(np.concatenate([[0.0], recall])) * best).sum())


def _area(found: Array, score: Array) -> float:
    right, wrong = score[found == 1][:, None], score[found == 0][None]
    return float(((right > wrong) + 0.5 * (right == wrong)).mean())


def _rankings() -> list[Case]:
    drawn = np.random.default_rng(8)
    found = np.array([1.0, 0, 1, 1, 0, 0, 1, 0])
    order = np.array([3, 0, 6, 1, 7, 5, 2, 4])
    many = (drawn.random(60) < 0.3).astype(float)
    return [
        Case("the eight clips of this chapter, out of order", (found[order], np.arange(8.0, 0.0, -1.0)[order])),
        Case("eight clips with ties", (np.array([0.0, 1, 0, 1, 1, 0, 0, 1]), np.array([3.0, 3, 3, 2, 2, 2, 1, 1]))),
        Case("sixty clips with many ties", (many, np.round(2 * many + 2 * drawn.standard_normal(60)))),
        Case("four clips with one score", (np.array([0.0, 0, 1, 0]), np.zeros(4))),
    ]


def _first(clip: Array) -> Array:
    return np.asarray(np.sin(clip))


def _second(clip: Array) -> Array:
    return np.asarray(np.sin(clip) + 0.3 + 2 * np.cos(3.7 * clip))


class _Spy:
    """A metric that writes down which clips it is given; the scores hold the number of their clip and their model."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[int]]] = []
        self.problem: str | None = None

    def __call__(self, targets: Any, scores: Any) -> float:
        seen, wanted = np.asarray(scores, float), np.asarray(targets, float)
        if seen.ndim != 2 or wanted.shape != seen.shape:
            self.note("The metric takes targets and scores, both (clips, classes).")
            return math.nan
        clips, columns = np.divmod(np.floor(seen).astype(int), 10)
        if (columns != np.arange(columns.shape[1])).any() or columns.shape[1] != CLASSES:
            self.note("You drew classes. What could have been others are the clips, and a clip keeps all its scores.")
        elif (clips != clips[:, :1]).any():
            self.note("A clip's scores came from several clips. Draw rows, one for each place in the new test set.")
        elif (wanted.argmax(axis=1) != clips[:, 0] % CLASSES).any():
            self.note("Targets and scores are not of the same clips: draw numbers once, and index all tables by them.")
        elif len(clips) != CLIPS:
            self.note(f"A draw has {len(clips)} clips. It should have as many as the test set, which has {CLIPS}.")
        model = "first" if seen[0, 0] % 1 < 0.4 else "second"
        self.calls.append((model, clips[:, 0].tolist()))
        value = (_first if model == "first" else _second)(clips[:, 0].astype(float)).mean()
        return float(value)

    def note(self, problem: str) -> None:
        """Keep the first problem."""
        self.problem = self.problem or problem


def _pairs(spy: _Spy) -> tuple[list[Array], str | None]:
    """The differences of the draws, second minus first, and what is wrong with how the clips were drawn."""
    if spy.problem:
        return [], spy.problem
    calls = [call for call in spy.calls if call[1] != list(range(CLIPS))]  # measuring all clips once is no mistake
    if not calls:
        return [], "You measured all clips, and drew none. Draw clips with replacement, and measure these."
    firsts = [clips for model, clips in calls if model == "first"]
    seconds = [clips for model, clips in calls if model == "second"]
    if not firsts or not seconds:
        return [], "Only one of the two models is measured on the draws."
    if any(sorted(clips) == list(range(CLIPS)) for clips in firsts):
        return [], "You drew without replacement: each draw holds every clip once, in another order."
    if firsts != seconds:
        return [], "The two models see different clips: this is not paired. Measure both on the same draw."
    if len(firsts) != DRAWS:
        return [], f"Asked for {DRAWS} draws, you made {len(firsts)}."
    if len({tuple(clips) for clips in firsts}) < DRAWS / 2:
        return [], "The draws are all the same. Make the generator once, before the loop."
    clips = np.array(firsts, float)
    return list(_second(clips).mean(axis=1) - _first(clips).mean(axis=1)), None


def _ends(found: Any, differences: Array) -> str | None:
    """What is wrong with the interval that was returned, given the differences of all draws."""
    if not isinstance(found, tuple | list | np.ndarray) or len(found) != 2:
        return "Return two numbers: the lower and the upper end of the interval."
    low, high = (float(end) for end in found)

    def near(one: float, other: float) -> bool:
        return math.isclose(one, other, abs_tol=0.02)

    def both(ends: Any) -> bool:
        return near(low, ends[0]) and near(high, ends[1])

    wanted = np.percentile(differences, [2.5, 97.5])
    if both(wanted):
        return None
    if both(-wanted[::-1]):
        return "The sign is wrong: subtract the first model from the second."
    if both(wanted[::-1]):
        return "The lower end comes first."
    if both(np.percentile(differences, [5, 95])):
        return "Between 5 and 95 % lie the middle 90 % of the draws, not 95 %."
    if both([differences.min(), differences.max()]):
        return "You took the smallest and the largest of all draws. An interval of 95 % leaves out the ends."
    middle, spread = differences.mean(), differences.std()
    if both([middle - spread, middle + spread]):
        return "You went one standard deviation to each side: that holds about two thirds of the draws, not 95 %."
    return "The clips are drawn well, but the ends are not the middle 95 % of the differences."


def _paired(answer: Callable[..., Any]) -> str | None:
    """Run the reader's bootstrap with a metric that watches."""
    clip, column = np.arange(CLIPS)[:, None], np.arange(CLASSES)[None]
    first = 10.0 * clip + column + 0.25
    targets = np.eye(CLASSES)[np.arange(CLIPS) % CLASSES]
    spy = _Spy()
    found = answer(targets, first, first + 0.5, spy, DRAWS, 0)
    if found is None:
        return "It returns nothing so far. Write its body, and end it with `return`."
    differences, problem = _pairs(spy)
    return problem or _ends(found, np.array(differences))


def _gaps(confidence: Array, right: Array, bins: int) -> tuple[Array, Array]:
    """How many answers each bin holds that has any, and how far their mean probability is above their accuracy."""
    place = np.ceil(np.asarray(confidence, float) * bins).astype(int).clip(1, bins) - 1
    there = np.unique(place)
    answers = np.array([(place == one).sum() for one in there], float)
    gaps = [confidence[place == one].mean() - right[place == one].mean() for one in there]
    return answers, np.array(gaps)


def _ece(confidence: Array, right: Array, bins: int) -> float:
    answers, gaps = _gaps(confidence, right, bins)
    return float((answers * np.abs(gaps)).sum() / answers.sum())


def _squared(confidence: Array, right: Array, bins: int) -> float:
    answers, gaps = _gaps(confidence, right, bins)
    return float((answers * gaps**2).sum() / answers.sum())


def _without_the_last_edge(confidence: Array, right: Array, bins: int) -> float:
    """The answers with a probability of exactly 1 get lost, but count among all answers."""
    inside = confidence < 1
    return _ece(confidence[inside], right[inside], bins) * float(inside.mean())


def _from_the_middle(confidence: Array, right: Array, bins: int) -> float:
    middle = (np.ceil(confidence * bins).clip(1, bins) - 0.5) / bins
    return _ece(middle, right, bins)


def _sure_answers() -> list[Case]:
    drawn = np.random.default_rng(8)
    p = drawn.beta(3, 1, 200)
    some = np.array([1.0, 1.0, 1.0, 0.97, 0.42, 0.41, 0.58, 0.33])
    return [
        Case("the four answers of this chapter", (np.array([0.97, 0.91, 0.66, 0.62]), np.array([1.0, 0, 1, 1]), 5)),
        Case("two hundred answers", (p, (drawn.random(200) < p**2).astype(float), 15)),
        Case("eight answers, three of them quite sure", (some, np.array([1.0, 0, 1, 1, 0, 1, 0, 0]), 10)),
    ]


EXERCISES: list[Exercise] = [
    Number(
        label="ex-08-swap",
        right=0.125,
        unit="what AP loses",
        rtol=0.01,
        remark="The same swap at the ranks 7 and 8 costs a seventh of that. AUC loses 1/16 either way.",
        mistakes=[
            Mistake(0.5, "That is the sum over the right clips. AP is their mean."),
            Mistake(1 / 16, "That is what AUC loses: one pair of sixteen."),
            Mistake((4 / 7 - 4 / 8) / 4, "That is the loss for the ranks 7 and 8."),
            Mistake((1 + 2 / 3 + 3 / 4 + 4 / 7) / 4 - 0.125, "That is AP after the swap. By how much has it fallen?"),
        ],
    ),
    Number(
        label="ex-08-split",
        right=5,
        unit="clips",
        remark="At 5 to 15, or a more uneven split, p is below 0.05. "
        "The clips that both models get right do not enter.",
        mistakes=[
            Mistake(6, "At 6 to 14 the two tails together hold 0.115."),
            Mistake(15, "That is the larger side. How many are on the smaller one?"),
            Mistake(4, "4 to 16 is less even than it has to be: try one more."),
            Mistake(10, "10 to 10 is as even as can be."),
        ],
    ),
    Choice(
        label="ex-08-squash",
        right="c",
        wrong={
            "a": "The order of the clips within a class decides. Does softmax, which looks at the other classes of a "
            "clip, keep that order?",
            "b": "A sigmoid never changes which of two numbers is larger.",
            "d": "Accuracy compares the classes within one clip, and softmax keeps their order.",
        },
        remark="Compare `logits` and `scores` to see it.",
    ),
    Function(
        label="ex-08-ap",
        signature="average_precision(found, score)",
        right=_ap,
        cases=_rankings,
        remark="Equal to scikit-learn's, ties included.",
        mistakes=[
            Mistake(lambda found, score: _ap(found, -score), "You sorted ascending: the worst clip comes first."),
            Mistake(
                lambda found, score: _ap(found, score, ties="file"),
                "Ties are broken by the order of the file. Clips with equal scores have no order: they share one rank, "
                "the last of theirs.",
            ),
            Mistake(
                lambda found, score: _tied(found, score, best=True),
                "Of clips with equal scores you take the right ones first. That is as if the model knew them.",
            ),
            Mistake(
                lambda found, score: _tied(found, score, best=False),
                "Of clips with equal scores you take the wrong ones first, and count the right ones one after another. "
                "They all share the last rank.",
            ),
            Mistake(
                lambda found, score: _ap(found, score, ties="first"),
                "Clips with equal scores share the last of their ranks, not the first.",
            ),
            Mistake(
                _trapezoids,
                "You measured the area under the precision-recall curve with trapezoids. AP does not interpolate: it "
                "is a mean over the right clips.",
            ),
            Mistake(
                _best_to_the_right,
                "You interpolated: at each recall the best precision further down. AP takes the precision as it is.",
            ),
            Mistake(
                lambda found, score: _ap(found, score, over="everything"),
                "You averaged the precision at every rank. Only the ranks of right clips count.",
            ),
            Mistake(
                lambda found, score: _ap(found, score, over="clips"),
                "You divided by the number of clips. Divide by the number of right ones.",
            ),
            Mistake(_area, "That is AUC: the fraction of pairs in which the right clip wins."),
        ],
    ),
    Trial(
        label="ex-08-paired",
        asks="your function paired_bootstrap(targets, first, second, metric, draws, seed)",
        test=_paired,
        remark="Both models were measured on the same clips, drawn with replacement.",
    ),
    Function(
        label="ex-08-ece",
        signature="calibration_error(confidence, right, bins)",
        right=_ece,
        cases=_sure_answers,
        remark="Weighted by the answers in each bin, like `calibrate.expected_calibration_error`.",
        mistakes=[
            Mistake(
                lambda confidence, right, bins: np.abs(_gaps(confidence, right, bins)[1]).mean(),
                "Every bin counts the same in yours. A bin with one answer then weighs as much as one with a hundred.",
            ),
            Mistake(
                lambda confidence, right, bins: np.abs(_gaps(confidence, right, bins)[1]).sum() / bins,
                "Every bin counts the same in yours, even the empty ones. How many answers does a bin speak for?",
            ),
            Mistake(
                lambda confidence, right, bins: np.abs(_gaps(confidence, right, bins)[1]).max(),
                "That is the largest gap of any bin (the maximum calibration error).",
            ),
            Mistake(
                lambda confidence, right, bins: abs(confidence.mean() - right.mean()),
                "Gaps of different signs cancel in yours: too sure here and too unsure there looks perfect. Take the "
                "size of each bin's gap before you average.",
            ),
            Mistake(
                lambda confidence, right, bins: np.abs(confidence - right).mean(),
                "You compare each answer with 0 or 1. One answer cannot be 90 % right: average in a bin first.",
            ),
            Mistake(
                lambda confidence, right, bins: len(right) * _ece(confidence, right, bins),
                "You added up the gaps of all answers. Divide by how many there are.",
            ),
            Mistake(
                _squared,
                "You squared the gaps. The error is the mean of their sizes.",
            ),
            Mistake(
                _from_the_middle,
                "You took the middle of a bin for its probability. Take the mean of the probabilities in it.",
            ),
            Mistake(
                _without_the_last_edge,
                "An answer with a probability of exactly 1 is in none of your bins. The last one has to hold it.",
            ),
            Mistake(
                lambda confidence, right, bins: math.nan,
                "A bin without answers has no mean, and one nan spoils the sum. Leave empty bins out.",
            ),
        ],
    ),
]
