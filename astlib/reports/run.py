"""The report of a finished run, from what lies in its folder.

Chapter: book/how_to_run.md
"""

import contextlib
import csv
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from ..data.audioset.stream import AudioStream
from ..data.base import AudioDataset
from ..data.registry import Parts
from ..data.report import Problem
from ..decisions import Decision
from ..errors import InvalidInput
from ..scores import load_logits
from .answers import Answers, answers
from .baseline import BaselineScores, simple_baseline
from .compute import report
from .result import Report
from .write import write_report


def answers_on(
    train: AudioDataset | AudioStream | None,
    test: AudioDataset,
    names: Sequence[str],
    scores: Tensor,
    multi_label: bool,
    decision: Decision | None = None,
    refused: Tensor | None = None,
    unusable: Sequence[Problem] = (),
    progress: bool = True,
) -> Answers:
    """Put the scores of a network beside the labels of the clips, and beside the simple baseline's.

    Args:
        train: clips to train the baseline on; None: there is no baseline.
        test: has the labels of the test clips.
        names: of the test clips that have scores.
        scores: `(clips, classes)` probabilities; of an ensemble, their mean.
        multi_label: whether a clip may have several labels.
        decision: of the model; None for the default.
        refused: `(clips,)` bool, clips that the decision calls none of the classes; None: no clip.
        unusable: test clips that could not be used.
        progress: show a progress bar.

    Returns:
        The answers.

    Raises:
        InvalidInput: as in `answers`.
    """
    baseline: BaselineScores | str = "there are no clips to train it on"
    if train is not None:
        try:
            baseline = simple_baseline(train, test, names, multi_label, progress)
        except InvalidInput as error:
            baseline = str(error)
    counts = tuple(train.classes.counts().tolist()) if isinstance(train, AudioDataset) else None
    more = {"baseline": baseline, "trained": counts, "unusable": tuple(unusable)}
    return answers(test, names, scores, multi_label, decision, refused, **more)


def answers_of_run(out: str | Path, parts: Parts, progress: bool = True) -> Answers:
    """Read what a finished run says about its test part, from `scores.npz` in its folder; no network is needed.

    Args:
        out: folder of the run.
        parts: of its data.
        progress: show a progress bar.

    Returns:
        The answers.

    Raises:
        CheckpointError: the scores are missing or damaged.
        InvalidInput: the scores are of other clips than those of the test part.
    """
    out = Path(out)
    saved, decision = load_logits(out / "scores.npz"), Decision.load(out / "model") or Decision()
    scores = decision.probabilities(saved.logits, saved.multi_label)
    refused = decision.is_none(saved.logits)
    unusable = _unusable(out, parts.test, saved.names)
    return answers_on(
        parts.train, parts.test, saved.names, scores, saved.multi_label, decision, refused, unusable, progress
    )


def _unusable(out: Path, test: AudioDataset, names: Sequence[str]) -> list[Problem]:
    """The test clips that have no scores, with the reason that the run wrote down."""
    problems = dict(test.report.problems)
    with contextlib.suppress(FileNotFoundError), (out / "unusable-test.csv").open(newline="", encoding="utf-8") as file:
        problems |= {row["clip"]: Problem(**row) for row in csv.DictReader(file)}
    measured = set(names)
    for name in map(str, test.names):
        if name not in measured:
            problems.setdefault(name, Problem(name, "unreadable", "it was not measured"))
    return [problem for name, problem in problems.items() if name not in measured]


def report_run(out: str | Path, parts: Parts, progress: bool = True) -> Report:
    """Write the report of a finished run into `report` in its folder.

    Several runs, such as the folds of a cross-validation, have a report together:
    `write_report(folder, report(pool([answers_of_run(...), ...]), title))`.

    Args:
        out: folder of the run.
        parts: of its data.
        progress: show a progress bar.

    Returns:
        The report; `summary` says it in a few lines.

    Raises:
        CheckpointError: the scores are missing or damaged.
        InvalidInput: the scores are of other clips than those of the test part.
        OSError: the folder cannot be written.
    """
    folds = set(parts.test.folds or [])
    part = f"fold {folds.pop()}" if len(folds) == 1 else "the test part"
    found = report(answers_of_run(out, parts, progress), f"{Path(out).name} on {part} of {parts.test.name}")
    write_report(Path(out) / "report", found)
    return found
