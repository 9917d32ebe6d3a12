"""The clips that a run cannot use: counted on every process, listed in its folder; too many of them stop it.

Chapter: notebooks/07_the_training_loop.ipynb
"""

from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import gather_object

from ..data.audioset.stream import AudioStream
from ..data.registry import Parts
from ..data.report import Problem, Report


class Unusable:
    """The reports of all parts of a run.

    Args:
        parts: of the run's data.
        out: folder of the run, for the lists.
        require: fraction of the clips of each part that must be usable.
        accelerator: knows the other processes.

    Attributes:
        reports: one per part, by its name.
        out: as given.
        fraction: as given by `require`.
        accelerator: as given.
        known: number of unusable training clips that all processes know of.
    """

    def __init__(self, parts: Parts, out: Path, require: float, accelerator: Accelerator) -> None:
        self.out, self.fraction, self.accelerator = out, require, accelerator
        there = {name: part for name, part in parts._asdict().items() if part is not None}
        # A stream writes into its own report while it decodes.
        self.reports: dict[str, Report] = {
            name: part.report if isinstance(part, AudioStream) else part.report.copy() for name, part in there.items()
        }
        self.known = 0

    @property
    def new(self) -> int:
        """Number of unusable training clips that this process has found and the others may not know yet."""
        return len(self.reports["train"].problems) - self.known

    def add(self, problems: list[Problem]) -> None:
        """Add training clips that could not be decoded. Of several reasons for one clip, the first is kept.

        Args:
            problems: of one step.
        """
        report = self.reports["train"]
        report.update(problem for problem in problems if problem.clip not in report.problems)

    def too_many(self, new: float) -> bool:
        """Tell whether there are too many unusable training clips.

        Args:
            new: how many all processes together have found since `require` was last called.

        Returns:
            True if the run has to stop.
        """
        return bool(new) and self.known + new > (1 - self.fraction) * self.reports["train"].expected

    def require(self) -> None:
        """Write the list of unusable clips of each part.

        Raises:
            DataIncomplete: fewer clips of a part are usable than required.
        """
        self.known = len(self.reports["train"].problems)
        for name, report in self.reports.items():
            if report.problems and self.accelerator.is_main_process:
                self.out.mkdir(parents=True, exist_ok=True)
                report.save(self.out / f"unusable-{name}.csv")
            report.require(self.fraction)

    def share(self) -> None:
        """Tell every process which clips the others could not use."""
        if self.accelerator.num_processes > 1:
            for report in self.reports.values():
                report.update(gather_object(list(report.problems.values())))

    def counts(self) -> dict[str, dict[str, int]]:
        """Count the problems of each part that has any.

        Returns:
            Part to kind of problem to number of clips.
        """
        return {name: report.counts() for name, report in self.reports.items() if report.problems}
