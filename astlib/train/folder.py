"""The files of a run: what lies where in its folder.

Chapter: notebooks/07_the_training_loop.ipynb
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunFolder:
    """Every path in the folder of a run, but for the checkpoints, see `astlib.train.checkpoint`.

    Attributes:
        out: the folder.
    """

    out: Path

    @property
    def start(self) -> Path:
        """The record as it was when the run began, without a result."""
        return self.out / "start.json"

    @property
    def log(self) -> Path:
        """One line of JSON per finished epoch."""
        return self.out / "log.jsonl"

    @property
    def best(self) -> Path:
        """The weights of the best epoch so far, on the part by which the recipe selects."""
        return self.out / "best"

    @property
    def average(self) -> Path:
        """The averaged weights."""
        return self.out / "average"

    @property
    def model(self) -> Path:
        """The selected weights, with the record."""
        return self.out / "model"

    @property
    def record(self) -> Path:
        """The record of the finished run."""
        return self.out / "run.json"

    @property
    def selected_scores(self) -> Path:
        """The logits of the selected weights on the test part."""
        return self.out / "scores.npz"

    @property
    def average_scores(self) -> Path:
        """The logits of the averaged weights on the test part."""
        return self.out / "scores" / "average.npz"

    def scores(self, epoch: int) -> Path:
        """Return the file of the logits on the test part after an epoch.

        Args:
            epoch: from 1.

        Returns:
            The path.
        """
        return self.out / "scores" / f"epoch-{epoch:03d}.npz"

    def weights(self, epoch: int) -> Path:
        """Return the folder of the weights after an epoch, kept for averaging.

        Args:
            epoch: from 1.

        Returns:
            The path.
        """
        return self.out / "weights" / f"epoch-{epoch:03d}"
