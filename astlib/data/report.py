"""Clips of a data set that cannot be used: counted and listed. They stop a run only if a threshold says so.

In large collections some clips are always missing: the paper itself had 19,185 of 20,371 for its evaluation.

Chapter: notebooks/06_data_and_augmentation.ipynb
"""

import csv
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import AudioError, DataIncomplete

ENOUGH = 0.95  # fraction of the clips that must be usable, by default
KINDS = ("missing", "unreadable", "empty")  # what can be wrong with a clip


@dataclass(frozen=True)
class Problem:
    """Why a clip cannot be used.

    Attributes:
        clip: its name.
        kind: "missing", "unreadable" or "empty". Empty means no samples, or less than 25 ms, for which the log-mel
            spectrogram has no frame.
        reason: one or two sentences that name the clip or its file.
    """

    clip: str
    kind: str
    reason: str

    @classmethod
    def of(cls, clip: object, error: AudioError) -> "Problem":
        """Make a problem from the error that a clip raised.

        Args:
            clip: its name.
            error: the error.

        Returns:
            The problem.
        """
        return cls(str(clip), error.kind, str(error))


class Report:
    """The clips of a data set that are missing, unreadable or empty, and why.

    Args:
        name: of the data set.
        expected: how many clips there should be.

    Attributes:
        name: of the data set.
        expected: how many clips there should be.
        problems: one per unusable clip, under the name of the clip.
        notes: other things worth knowing, one sentence each.
        file: where `save` wrote the list, or None.
    """

    def __init__(self, name: str, expected: int) -> None:
        self.name, self.expected = name, expected
        self.problems: dict[str, Problem] = {}
        self.notes: list[str] = []
        self.file: Path | None = None

    def update(self, problems: Iterable[Problem]) -> None:
        """Add problems. Of two for one clip, the later one counts.

        Args:
            problems: any number of them.
        """
        self.problems.update({problem.clip: problem for problem in problems})

    def copy(self) -> "Report":
        """Copy the report, so that problems can be added without changing this one.

        Returns:
            A report with the same problems and notes, which has not been saved.
        """
        copy = Report(self.name, self.expected)
        copy.problems, copy.notes = dict(self.problems), list(self.notes)
        return copy

    def counts(self) -> dict[str, int]:
        """Count the problems.

        Returns:
            The number of clips by kind of problem.
        """
        kinds = [problem.kind for problem in self.problems.values()]
        return {kind: kinds.count(kind) for kind in KINDS}

    @property
    def usable(self) -> float:
        """Fraction of the expected clips that can be used, 0 to 1."""
        return 1 - len(self.problems) / self.expected if self.expected else 0.0

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the list as CSV with the columns clip, kind, reason.

        Args:
            path: the file.

        Returns:
            The path.

        Raises:
            OSError: the file cannot be written.
        """
        self.file = Path(path)
        with self.file.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["clip", "kind", "reason"])
            writer.writerows([problem.clip, problem.kind, problem.reason] for problem in self.problems.values())
        return self.file

    def require(self, fraction: float) -> None:
        """Raise an error if too many clips are unusable.

        Args:
            fraction: fraction of the expected clips that must be usable, 0 to 1.

        Raises:
            DataIncomplete: fewer are.
        """
        if self.usable < fraction:
            where = "Report.save writes the whole list" if self.file is None else f"The whole list is in {self.file}"
            raise DataIncomplete(f"{self} At least {fraction:.2%} are required. {where}.")

    def __str__(self) -> str:
        good = self.expected - len(self.problems)
        found = ", ".join(f"{count:,} {kind}" for kind, count in self.counts().items() if count)
        names = list(self.problems)
        clips = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        text = f"{self.name}: {good:,} of {self.expected:,} clips can be used ({self.usable:.2%})"
        return " ".join([f"{text}; {found}: {clips}." if found else f"{text}.", *self.notes])
