"""Answers of chapter 09: clips for an interval, an interval over folds, a split that keeps recordings whole.

Chapter: notebooks/09_esc50.ipynb
"""

from collections import defaultdict
from collections.abc import Sequence
from statistics import mean, pstdev, stdev
from typing import Any

from .exercises import Case, Exercise, Function, Mistake, Number, Trial

FOLDS = 5


def _interval(values: Sequence[float], t: float) -> tuple[float, float, float]:
    """The mean and its interval: t standard errors to each side."""
    half = t * stdev(values) / len(values) ** 0.5
    return mean(values), mean(values) - half, mean(values) + half


def _with_half(half: Any) -> Any:
    """A wrong interval: the mean, and another half width."""
    return lambda values, t: (mean(values), mean(values) - half(values, t), mean(values) + half(values, t))


def made_names() -> list[str]:
    """Names in ESC-50's form without the fold: 6 classes of 15 recordings with 1 to 5 takes each, in order.

    Returns:
        `recording-take-class`, the takes of a recording next to each other.
    """
    takes = (1, 3, 1, 2, 5, 1, 1, 2, 1, 3, 1, 1, 2, 1, 1)
    return [
        f"{10_000 + 100 * number + 7 * label}-{take}-{label}"
        for label in range(6)
        for number, count in enumerate(takes)
        for take in "ABCDE"[:count]
    ]


def _test_split(split: Any) -> str | None:
    """What is wrong with a function that gives every clip a fold."""
    names = made_names()
    found = split(list(names), FOLDS)
    if found is None:
        return "It returns nothing so far. End its body with `return`."
    folds = [int(fold) for fold in found]
    if len(folds) != len(names):
        return f"There are {len(names)} names and {len(folds)} folds: return one number for each name, in their order."
    if min(folds) == 0 and max(folds) < FOLDS:
        return f"Your folds are counted from 0. Count them from 1 to {FOLDS}, as ESC-50 does."
    if outside := sorted(set(folds) - set(range(1, FOLDS + 1))):
        return f"There is a fold {outside[0]}. Folds are numbered from 1 to {FOLDS}."
    if unused := sorted(set(range(1, FOLDS + 1)) - set(folds)):
        return f"No clip is in fold {unused[0]}."
    again = [int(fold) for fold in split(list(names), FOLDS)]
    return _siblings(names, folds, again) or _balance(names, folds)


def _siblings(names: list[str], folds: list[int], again: list[int]) -> str | None:
    """What is wrong if clips of one recording are in several folds."""
    recordings, classes = defaultdict(set), defaultdict(set)
    for name, fold in zip(names, folds, strict=True):
        recording, _, label = name.split("-")
        recordings[recording].add(fold)
        classes[label].add(fold)
    if all(len(there) == 1 for there in classes.values()):
        return "You split by class: a network tested on a fold would never have been shown the classes of that fold."
    apart = {recording: sorted(there) for recording, there in recordings.items() if len(there) > 1}
    if not apart:
        return None
    first = next(iter(apart))
    told = f"{len(apart)} recordings have clips in several folds; {first}, for one, in {apart[first]}."
    if folds != again:
        return f"You shuffle the clips. {told} What is it that has to be dealt out as a whole?"
    if len(apart) < FOLDS:
        return f"You cut the list of clips into blocks, and the cuts go through recordings. {told}"
    if [fold % FOLDS for fold in folds] == [(folds[0] + i) % FOLDS for i in range(len(folds))]:
        return f"You deal out the clips one after the other, so siblings, which are neighbours, are split. {told}"
    by_take = {name.split("-")[1]: fold for name, fold in zip(names, folds, strict=True)}
    if all(by_take[name.split("-")[1]] == fold for name, fold in zip(names, folds, strict=True)):
        return f"You group by the take, A to E, which is not the recording. {told}"
    return f"{told} In training, the network would hear the siblings of its test clips."


def _balance(names: list[str], folds: list[int]) -> str | None:
    """What is wrong if folds are of very different size, or lack a class."""
    sizes = [folds.count(fold) for fold in range(1, FOLDS + 1)]
    for label in sorted({name.split("-")[2] for name in names}):
        there = {fold for name, fold in zip(names, folds, strict=True) if name.split("-")[2] == label}
        if missing := sorted(set(range(1, FOLDS + 1)) - there):
            return (
                f"No recording is torn apart, but class {label} has no clip in fold {missing[0]}, although it has 15 "
                "recordings. Deal out the recordings class by class."
            )
    if max(sizes) > 1.3 * min(sizes):
        return (
            f"No recording is torn apart, but the folds have {min(sizes)} to {max(sizes)} clips. Which fold should the "
            "next recording go to?"
        )
    return None


EXERCISES: list[Exercise] = [
    Number(
        label="ex-09-point",
        right=lambda: 1.96**2 * 0.8 * 0.2 / 0.01**2,
        unit="clips",
        rtol=1e-3,
        remark="That is three times the whole of ESC-50.",
        mistakes=[
            Mistake(0.8 * 0.2 / 0.01**2, "That is one standard error to each side, which 68 % of samples lie within."),
            Mistake(1.96**2 * 0.8 * 0.2 / 0.005**2, "Your interval is one point wide in all, not to each side."),
            Mistake(1.96**2 * 0.25 / 0.01**2, "That is for an accuracy of 50 %. What is p here?"),
            Mistake(1.96 * 0.8 * 0.2 / 0.01**2, "Solve for n once more: z is squared, too."),
            Mistake(1.96**2 * 0.8 * 0.2, "A point is a hundredth: h is 0.01, not 1."),
        ],
    ),
    Function(
        label="ex-09-interval",
        signature="interval(values, t)",
        right=_interval,
        remark="With five folds it is wide. It is even somewhat too narrow, because the folds share training clips.",
        cases=lambda: [
            Case("five folds", ([0.8225, 0.8225, 0.8125, 0.8475, 0.8225], 2.776)),
            Case("three seeds", ([0.10, 0.20, 0.60], 4.303)),
        ],
        mistakes=[
            Mistake(
                _with_half(lambda v, t: t * pstdev(v) / len(v) ** 0.5),
                "You divided the squared deviations by n. The mean was taken from the same values, so divide by n - 1 "
                "(numpy: `ddof=1`).",
            ),
            Mistake(
                _with_half(lambda v, t: t * stdev(v)),
                "That is where single folds lie. The mean of n folds is steadier than one of them: by which factor?",
            ),
            Mistake(
                _with_half(lambda v, t: t * stdev(v) / len(v)),
                "You divided by n. How much steadier is a mean than one value?",
            ),
            Mistake(
                _with_half(lambda v, _: 1.96 * stdev(v) / len(v) ** 0.5),
                "You used 1.96, which is for a known standard deviation. Use the t that is passed in.",
            ),
            Mistake(
                _with_half(lambda v, _: stdev(v) / len(v) ** 0.5),
                "That is one standard error to each side. Where does t come in?",
            ),
            Mistake(
                _with_half(lambda v, t: t * stdev(v) / (len(v) - 1) ** 0.5),
                "You took n - 1 under the root as well. It belongs in the standard deviation only.",
            ),
        ],
        rtol=1e-6,
        atol=1e-9,
    ),
    Trial(
        label="ex-09-groups",
        asks="your function split(names, k)",
        test=_test_split,
        remark="Recordings stay whole, every class is in every fold, and the folds are about equally large.",
    ),
]
