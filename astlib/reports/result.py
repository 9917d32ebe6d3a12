"""What a report consists of: estimates, rows of classes, clips and groups.

Chapter: book/how_to_run.md
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.report import Problem
from ..table import decimal


class Estimate(NamedTuple):
    """A number with its 95 % interval.

    Attributes:
        value: what was observed.
        low: the lower end; None if there is no interval.
        high: the upper end; None if there is no interval.
    """

    value: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        interval = "" if self.low is None or self.high is None else f" [{_points(self.low)}, {_points(self.high)}]"
        return f"{percent(self.value)}{interval}"


@dataclass(frozen=True)
class ClassRow:
    """One class of a report.

    Attributes:
        label: its name.
        clips: test clips that have it.
        trained: training clips that have it; None if that is not known.
        given: test clips that the network gave it to.
        hits: those of them that have it.
        recall: hits of its clips; None without a clip.
        precision: hits of the clips that it was given to; None if there is none.
        f1: the harmonic mean of the two, 2 hits / (clips + given); None without a clip.
        average_precision: area under the curve of precision over recall; None without a clip.
        threshold: from which probability on it is given, where clips may have several labels; else None.
    """

    label: str
    clips: int
    trained: int | None
    given: int
    hits: int
    recall: Estimate | None
    precision: Estimate | None
    f1: float | None
    average_precision: float | None
    threshold: float | None


@dataclass(frozen=True)
class ClipRow:
    """One test clip of a report.

    Attributes:
        name: of the clip.
        truth: its labels.
        given: the classes that the network names.
        best: the most probable class.
        probability: that of `best`.
        right: whether exactly its labels were given.
        refused: whether the model's decision calls it none of the classes.
        group: such as its speaker; None if that is not known.
        file: path of its file; None if it is no file.
    """

    name: str
    truth: tuple[str, ...]
    given: tuple[str, ...]
    best: str
    probability: float
    right: bool
    refused: bool
    group: str | None
    file: str | None


@dataclass(frozen=True)
class Confused:
    """A class that was taken for another one.

    Attributes:
        truth: the class that was missed.
        given: the class that was given without being there.
        clips: the clips, the most certain mistakes first.
    """

    truth: str
    given: str
    clips: tuple[ClipRow, ...]


@dataclass(frozen=True)
class GroupRow:
    """The clips of one group, such as a speaker or a recording.

    Attributes:
        group: its name.
        clips: number of its clips.
        right: fraction of them that were answered rightly.
    """

    group: str
    clips: int
    right: Estimate


@dataclass(frozen=True)
class Baseline:
    """The simple baseline on the same clips.

    Attributes:
        trained_on: number of clips that it was trained on.
        accuracy: fraction of the clips with the right class; None where clips may have several labels.
        balanced_accuracy: mean recall of the classes; None where clips may have several labels.
        mean_average_precision: mean of the classes' average precision.
        only_network: clips that only the network got right.
        only_baseline: clips that only the baseline got right.
        p_value: of equal accuracy, by McNemar's exact test; None where clips may have several labels.
    """

    trained_on: int
    accuracy: Estimate | None
    balanced_accuracy: Estimate | None
    mean_average_precision: float
    only_network: int
    only_baseline: int
    p_value: float | None


@dataclass(frozen=True, eq=False)
class Report:
    """How good a network is on a test part. `summary` says it in a few lines, `write_report` writes all of it.

    Attributes:
        title: what was measured, on what.
        labels: names of the classes, in the order of `classes` and of `confusion`.
        multi_label: whether clips may have several labels.
        clips: number of clips that were measured.
        accuracy: fraction of the clips with the right class; None where clips may have several labels.
        balanced_accuracy: mean recall of the classes; None where clips may have several labels.
        mean_average_precision: mean of the classes' average precision.
        macro_f1: mean of the classes' F1.
        majority: the most frequent class.
        majority_share: fraction of the clips that have it, the accuracy of always answering it.
        chance: mean average precision of random scores: the mean of the classes' shares.
        refused: clips that the model's decision calls none of its classes.
        baseline: the simple baseline on the same clips, or why there is none.
        classes: one row per class.
        confusion: `(classes, classes)` clips of a class by the class that was given; None with several labels.
        confused: what was taken for what, the most frequent first.
        rows: one row per clip.
        groups: one row per group, the worst first; empty if the groups are not known.
        unusable: clips that could not be used.
        warnings: what makes these numbers doubtful, one sentence each.
    """

    title: str
    labels: tuple[str, ...]
    multi_label: bool
    clips: int
    accuracy: Estimate | None
    balanced_accuracy: Estimate | None
    mean_average_precision: Estimate
    macro_f1: float
    majority: str
    majority_share: float
    chance: float
    refused: int
    baseline: Baseline | str
    classes: tuple[ClassRow, ...]
    confusion: NDArray[np.int64] | None
    confused: tuple[Confused, ...]
    rows: tuple[ClipRow, ...]
    groups: tuple[GroupRow, ...]
    unusable: tuple[Problem, ...]
    warnings: tuple[str, ...] = ()


def percent(value: float) -> str:
    """Write a fraction in per cent.

    Args:
        value: 0 to 1.

    Returns:
        Such as "81.5 %".
    """
    return f"{_points(value)} %"


def _points(value: float) -> str:
    return decimal(100 * value, 1)
