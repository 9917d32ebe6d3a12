"""A report on a finished run: what a network gets right and wrong, class by class, and what that is worth.

One number hides too much: with nine clips in ten of one class, a network that always answers that class has an accuracy
of 90 %. A report has the recall and the precision of every class, what is taken for what, how far all of this could be
chance, and two things to compare it with: always answering the most frequent class, and a linear classifier on the mean
spectrum.

Chapter: book/how_to_run.md
"""

from .answers import Answers, answers, pool
from .baseline import BaselineScores, simple_baseline
from .compute import report
from .page import page
from .result import Baseline, ClassRow, ClipRow, Confused, Estimate, GroupRow, Report
from .run import answers_of_run, answers_on, report_run
from .words import results, summary
from .write import write_report

__all__ = [
    "Answers",
    "Baseline",
    "BaselineScores",
    "ClassRow",
    "ClipRow",
    "Confused",
    "Estimate",
    "GroupRow",
    "Report",
    "answers",
    "answers_of_run",
    "answers_on",
    "page",
    "pool",
    "report",
    "report_run",
    "results",
    "simple_baseline",
    "summary",
    "write_report",
]
