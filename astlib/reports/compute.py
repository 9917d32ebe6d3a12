"""The numbers of a report, each with its interval.

Chapter: book/how_to_run.md
"""

from collections import defaultdict
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .. import metrics
from .answers import Answers
from .baseline import BaselineScores
from .doubts import FEW_GROUPS, doubts
from .result import Baseline, ClassRow, ClipRow, Confused, Estimate, GroupRow, Report

DRAWS, WORK = 1000, 4e8  # of a bootstrap; draws x clips x classes that it may take


def report(answers: Answers, title: str) -> Report:
    """Compute a report.

    Args:
        answers: what the network says about each clip, see `answers`.
        title: what was measured, on what, such as "runs/mine on fold 1 of my_sounds".

    Returns:
        The report.
    """
    one_label, targets = not answers.multi_label, answers.targets
    right = (answers.given == targets).all(axis=1)  # (clips,)
    counts = targets.sum(axis=0)  # (classes,)
    classes, rows = _class_rows(answers), _clip_rows(answers, right)
    found = Report(
        title=title,
        labels=answers.labels,
        multi_label=answers.multi_label,
        clips=len(answers.names),
        accuracy=_accuracy(right, answers.groups) if one_label else None,
        balanced_accuracy=_balanced_accuracy(classes) if one_label else None,
        mean_average_precision=_mean_average_precision(answers),
        macro_f1=float(np.mean([row.f1 for row in classes if row.f1 is not None] or [0.0])),
        majority=answers.labels[int(counts.argmax())],
        majority_share=float(counts.max() / len(targets)),
        chance=float(counts[counts > 0].mean() / len(targets)) if counts.any() else 0.0,
        refused=int(answers.refused.sum()),
        baseline=_baseline(answers, right),
        classes=classes,
        confusion=metrics.confusion(targets, answers.scores) if one_label else None,
        confused=_confused(answers, rows),
        rows=rows,
        groups=_group_rows(right, answers.groups),
        unusable=answers.unusable,
    )
    return replace(found, warnings=doubts(found))


def _fraction(hits: int, of: int) -> Estimate | None:
    return Estimate(hits / of, *metrics.wilson(hits / of, of)) if of else None


def _accuracy(right: NDArray[np.bool_], groups: tuple[str, ...] | None) -> Estimate:
    """The fraction of right answers. With five groups or more, the interval is about other groups of the same kind.

    A bootstrap over groups shrinks to a point where all answers are right, so the interval is never narrower than that
    of as many independent clips.
    """
    value = float(right.mean())
    low, high = metrics.wilson(value, len(right))
    if groups is not None and FEW_GROUPS <= len(set(groups)) < len(groups):
        column = right[:, None].astype(float)
        by_group = metrics.bootstrap(column, column, lambda targets, _: float(targets.mean()), groups=groups)
        low, high = min(low, by_group[0]), max(high, by_group[1])
    return Estimate(value, low, high)


def _balanced_accuracy(classes: tuple[ClassRow, ...]) -> Estimate:
    tested = [row for row in classes if row.clips]
    recalls, clips = [row.hits / row.clips for row in tested], [row.clips for row in tested]
    return Estimate(float(np.mean(recalls)), *metrics.mean_interval(recalls, clips))


def _mean_average_precision(answers: Answers) -> Estimate:
    """With an interval where clips may have several labels, as long as that takes seconds."""
    value = metrics.mean_average_precision(answers.targets, answers.scores)
    draws = min(DRAWS, int(WORK / answers.targets.size))
    if not answers.multi_label or len(answers.names) < 2 or draws < DRAWS / 10 or np.isnan(value):
        return Estimate(0.0 if np.isnan(value) else value, None, None)
    groups = answers.groups if answers.groups is not None and len(set(answers.groups)) >= FEW_GROUPS else None
    args = answers.targets, answers.scores, metrics.mean_average_precision
    return Estimate(value, *metrics.bootstrap(*args, n=draws, groups=groups))


def _class_rows(answers: Answers) -> tuple[ClassRow, ...]:
    targets, given = answers.targets, answers.given
    clips, gave, hits = (table.sum(axis=0).tolist() for table in (targets, given, targets & given))
    average = metrics.average_precision(targets, answers.scores)
    return tuple(
        ClassRow(
            label=label,
            clips=clips[i],
            trained=None if answers.trained is None else answers.trained[i],
            given=gave[i],
            hits=hits[i],
            recall=_fraction(hits[i], clips[i]),
            precision=_fraction(hits[i], gave[i]),
            f1=2 * hits[i] / (clips[i] + gave[i]) if clips[i] else None,
            average_precision=float(average[i]) if clips[i] else None,
            threshold=None if answers.thresholds is None else answers.thresholds[i],
        )
        for i, label in enumerate(answers.labels)
    )


def _clip_rows(answers: Answers, right: NDArray[np.bool_]) -> tuple[ClipRow, ...]:
    best = answers.scores.argmax(axis=1)
    return tuple(
        ClipRow(
            name=name,
            truth=tuple(answers.labels[k] for k in np.flatnonzero(answers.targets[i])),
            given=tuple(answers.labels[k] for k in np.flatnonzero(answers.given[i])),
            best=answers.labels[best[i]],
            probability=float(answers.scores[i, best[i]]),
            right=bool(right[i]),
            refused=bool(answers.refused[i]),
            group=None if answers.groups is None else answers.groups[i],
            file=None if answers.files is None else answers.files[i],
        )
        for i, name in enumerate(answers.names)
    )


def _confused(answers: Answers, rows: tuple[ClipRow, ...]) -> tuple[Confused, ...]:
    """Pairs of a missed and a wrongly given class, the most frequent first; within a pair, the most certain first."""
    pairs: dict[tuple[int, int], list[int]] = defaultdict(list)
    for i in np.flatnonzero((answers.given != answers.targets).any(axis=1)).tolist():
        missed = np.flatnonzero(answers.targets[i] & ~answers.given[i])
        wrong = np.flatnonzero(answers.given[i] & ~answers.targets[i])
        for k in missed.tolist():
            for other in wrong.tolist():
                pairs[k, other].append(i)
    order = sorted(pairs, key=lambda pair: (-len(pairs[pair]), pair))
    return tuple(
        Confused(
            answers.labels[k],
            answers.labels[other],
            tuple(rows[i] for i in sorted(pairs[k, other], key=lambda i: -answers.scores[i, other])),  # noqa: B023
        )
        for k, other in order
    )


def _group_rows(right: NDArray[np.bool_], groups: tuple[str, ...] | None) -> tuple[GroupRow, ...]:
    """One row per group, the worst first; none if every clip is a group of its own, which says nothing more."""
    if groups is None or len(set(groups)) == len(groups):
        return ()
    members: dict[str, list[bool]] = defaultdict(list)
    for group, value in zip(groups, right.tolist(), strict=True):
        members[group].append(value)
    rows = []
    for group, values in members.items():
        share = sum(values) / len(values)
        rows.append(GroupRow(group, len(values), Estimate(share, *metrics.wilson(share, len(values)))))
    return tuple(sorted(rows, key=lambda row: (row.right.value, row.group)))


def _baseline(answers: Answers, right: NDArray[np.bool_]) -> Baseline | str:
    found, targets = answers.baseline, answers.targets
    if not isinstance(found, BaselineScores):
        return found
    value = metrics.mean_average_precision(targets, found.scores)
    if answers.multi_label:
        return Baseline(found.clips, None, None, value, 0, 0, None)
    theirs = targets[np.arange(len(targets)), found.scores.argmax(axis=1)]  # (clips,) bool
    only_network, only_baseline = int((right & ~theirs).sum()), int((theirs & ~right).sum())
    counts = metrics.confusion(targets, found.scores)
    clips = counts.sum(axis=1)
    recalls = (np.diag(counts)[clips > 0] / clips[clips > 0]).tolist()
    balanced = Estimate(float(np.mean(recalls)), *metrics.mean_interval(recalls, clips[clips > 0].tolist()))
    return Baseline(
        trained_on=found.clips,
        accuracy=_accuracy(theirs, answers.groups),
        balanced_accuracy=balanced,
        mean_average_precision=value,
        only_network=only_network,
        only_baseline=only_baseline,
        p_value=metrics.sign_test(only_network, only_baseline),
    )
