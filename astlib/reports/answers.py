"""What a network says about every clip of a test part, beside what is true: all that a report needs, without sound.

Chapter: book/how_to_run.md
"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..data.base import AudioDataset
from ..data.folder import Folder
from ..data.report import Problem
from ..decisions import Decision
from ..errors import InvalidInput
from ..scores import rows_of
from .baseline import BaselineScores


@dataclass(frozen=True, eq=False)
class Answers:
    """What a network says about the clips of a test part.

    Attributes:
        labels: names of the classes.
        names: of the clips.
        targets: `(clips, classes)` bool, the labels of each clip.
        scores: `(clips, classes)` float64, the probabilities that the network gives.
        given: `(clips, classes)` bool, the classes that it names: the most probable one, or with several labels per
            clip all that reach their threshold.
        multi_label: whether a clip may have several labels.
        thresholds: of each class, with several labels per clip; else None.
        refused: `(clips,)` bool, the clips that the model's decision calls none of its classes.
        groups: one name per clip, such as its speaker or its recording; None if they are not known.
        files: path of each clip's file; None if the clips are no files.
        trained: number of training clips of each class; None if it is not known.
        baseline: what the simple baseline says about the same clips, or why there is none.
        unusable: clips of the test part that could not be used.
    """

    labels: tuple[str, ...]
    names: tuple[str, ...]
    targets: NDArray[np.bool_]
    scores: NDArray[np.float64]
    given: NDArray[np.bool_]
    multi_label: bool
    thresholds: tuple[float, ...] | None
    refused: NDArray[np.bool_]
    groups: tuple[str, ...] | None = None
    files: tuple[str, ...] | None = None
    trained: tuple[int, ...] | None = None
    baseline: BaselineScores | str = "it was not computed"
    unusable: tuple[Problem, ...] = ()


def answers(
    test: AudioDataset,
    names: Sequence[str],
    scores: Tensor,
    multi_label: bool,
    decision: Decision | None = None,
    refused: Tensor | None = None,
    **more: Any,
) -> Answers:
    """Put the scores of a network beside the labels of the clips.

    Args:
        test: has the labels of these clips, and possibly others.
        names: of the clips that have scores.
        scores: `(clips, classes)` probabilities; of an ensemble, their mean.
        multi_label: whether a clip may have several labels.
        decision: of the model, with the thresholds of its classes; None for 0.5.
        refused: `(clips,)` bool, see `Answers`; None: no clip.
        more: other fields of `Answers` by name.

    Returns:
        The answers.

    Raises:
        InvalidInput: no clip, one that the data set does not have, or another number of classes.
    """
    if not names or scores.shape != (len(names), len(test.labels)):
        raise InvalidInput(
            f"expected scores of {len(names)} clips, one or more, and {len(test.labels)} classes; found "
            f"{tuple(scores.shape)}"
        )
    rows, decision = rows_of(names, test), decision or Decision()
    values = scores.double().cpu().numpy()
    given = np.eye(len(test.labels), dtype=bool)[values.argmax(1)]
    if multi_label:
        given = decision.passes(scores).cpu().numpy()
    files = [test.sources[i] for i in rows]
    group_of = test.group_of if isinstance(test, Folder) else {}
    return Answers(
        labels=tuple(test.labels),
        names=tuple(names),
        targets=test.classes.take(rows).dense().numpy().astype(bool),
        scores=values,
        given=given,
        multi_label=multi_label,
        thresholds=(decision.thresholds or (0.5,) * len(test.labels)) if multi_label else None,
        refused=np.zeros(len(names), bool) if refused is None else refused.cpu().numpy(),
        groups=tuple(group_of[name] for name in names) if group_of else None,
        files=tuple(map(os.fspath, files)) if all(isinstance(file, str | os.PathLike) for file in files) else None,
        **more,
    )


def pool(parts: Sequence[Answers]) -> Answers:
    """Join the answers of several runs on different clips, such as the folds of a cross-validation.

    Args:
        parts: one per run.

    Returns:
        The answers about all clips together. What differs between the runs, such as the number of training clips, is
        left out.

    Raises:
        InvalidInput: no run, runs with other classes, or a clip that two of them were tested on.
    """
    if not parts:
        raise InvalidInput("there are no answers to join: give those of one run or more")
    first = parts[0]
    if any((part.labels, part.multi_label) != (first.labels, first.multi_label) for part in parts):
        raise InvalidInput("only runs on the same classes can be joined; these have different ones")
    names = [name for part in parts for name in part.names]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InvalidInput(f"{len(twice)} clips were tested in more than one run, such as {twice[0]}: join other folds")
    if len(parts) == 1:
        return first
    return Answers(
        labels=first.labels,
        names=tuple(names),
        targets=np.concatenate([part.targets for part in parts]),
        scores=np.concatenate([part.scores for part in parts]),
        given=np.concatenate([part.given for part in parts]),
        multi_label=first.multi_label,
        thresholds=first.thresholds if all(part.thresholds == first.thresholds for part in parts) else None,
        refused=np.concatenate([part.refused for part in parts]),
        groups=_joined([part.groups for part in parts]),
        files=_joined([part.files for part in parts]),
        baseline=_joined_baselines([part.baseline for part in parts]),
        unusable=tuple(problem for part in parts for problem in part.unusable),
    )


def _joined(parts: Sequence[tuple[str, ...] | None]) -> tuple[str, ...] | None:
    known = [part for part in parts if part is not None]
    return tuple(value for part in known for value in part) if len(known) == len(parts) else None


def _joined_baselines(parts: Sequence[BaselineScores | str]) -> BaselineScores | str:
    known = [part for part in parts if isinstance(part, BaselineScores)]
    if len(known) < len(parts):
        return next(part for part in parts if isinstance(part, str))
    return BaselineScores(np.concatenate([part.scores for part in known]), min(part.clips for part in known))
