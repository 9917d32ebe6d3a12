"""What cannot be used of a data set: counted, listed, and fatal only where a person says so.

In large collections some clips are always missing: the paper itself had 19,185 of 20,371 for its evaluation.

Chapter: notebooks/06_data_and_augmentation.ipynb
"""

import csv
import os
from pathlib import Path

from ..audio import AudioError

ENOUGH = 0.95  # share of the clips that must be usable where nobody says otherwise
KINDS = ("missing", "unreadable", "empty")  # what can be wrong with a clip


class DataNotFound(FileNotFoundError):
    """A data set that is not there, or not wholly. The message says what is missing and how to get it."""


class DataIncomplete(DataNotFound):
    """More clips of a data set cannot be used than the caller puts up with. The message has counts and examples."""


class Report:
    """What is wrong with the clips of a data set: which are missing, unreadable or empty, and why.

    Attributes:
        name: of the data set.
        expected: clips that should be there.
        problems: clip name to (kind, reason); kind is "missing", "unreadable" or "empty". Empty means no samples, or
            fewer than 25 ms, of which the log-mel has no frame.
        notes: other things worth knowing, one sentence each.
        file: where `save` wrote the list.
    """

    def __init__(self, name: str, expected: int):
        self.name, self.expected = name, expected
        self.problems: dict[str, tuple[str, str]] = {}
        self.notes: list[str] = []
        self.file: Path | None = None

    def add(self, name: str, error: AudioError) -> None:
        self.problems[str(name)] = (error.kind, str(error))

    def counts(self) -> dict[str, int]:
        """Clips of each kind of problem."""
        kinds = [kind for kind, _ in self.problems.values()]
        return {kind: kinds.count(kind) for kind in KINDS}

    @property
    def usable(self) -> float:
        """Share of the expected clips that nothing is wrong with."""
        return 1 - len(self.problems) / self.expected if self.expected else 0.0

    def save(self, path: str | os.PathLike) -> Path:
        """Write the list as CSV: clip, kind, reason."""
        self.file = Path(path)
        with self.file.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["clip", "kind", "reason"])
            writer.writerows([name, *problem] for name, problem in self.problems.items())
        return self.file

    def require(self, share: float) -> None:
        """Raise DataIncomplete unless at least this share of the clips can be used."""
        if self.usable < share:
            where = "Report.save writes the whole list" if self.file is None else f"The whole list is in {self.file}"
            raise DataIncomplete(f"{self} At least {share:.2%} are required. {where}.")

    def __str__(self) -> str:
        good = self.expected - len(self.problems)
        found = ", ".join(f"{count:,} {kind}" for kind, count in self.counts().items() if count)
        names = list(self.problems)
        clips = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        text = f"{self.name}: {good:,} of {self.expected:,} clips can be used ({self.usable:.2%})"
        return " ".join([f"{text}; {found}: {clips}." if found else f"{text}.", *self.notes])
