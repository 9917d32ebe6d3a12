"""Several data sets as one: the clips of one after those of the other.

Chapter: notebooks/18_a_larger_ear.ipynb
"""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
from torch import Tensor

from ..errors import InvalidInput
from .base import AudioDataset
from .report import Report
from .targets import Targets


class Place(NamedTuple):
    """Where a clip is.

    Attributes:
        part: number of its data set.
        row: its number there.
    """

    part: int
    row: int


class Joined(AudioDataset):
    """The clips of several data sets with the same classes, one set after the other.

    Args:
        parts: the data sets; the first gives its name and its labels.
        manifest: what `manifest_hash` returns; None hashes every clip. A set that is made from another one by rules
            that stand elsewhere, such as a recipe, has the hash of that one.

    Attributes:
        parts: as given.

    Raises:
        InvalidInput: no data set, or data sets with different classes.
    """

    sources: Sequence[Place]

    def __init__(self, parts: Sequence[AudioDataset], manifest: str | None = None) -> None:
        if not parts or any(part.labels != parts[0].labels for part in parts):
            raise InvalidInput("data sets can be joined if there is at least one and all have the same classes")
        first = parts[0]
        self.parts, self.name, self.is_synthetic = parts, first.name, first.is_synthetic
        self.multi_label = any(part.multi_label for part in parts)
        begins = np.cumsum([0, *map(len, parts)])
        owners = [part.classes.rows() + begin for part, begin in zip(parts, begins, strict=False)]
        columns = [part.classes.columns for part in parts]
        report = Report(self.name, int(begins[-1]))
        for part in parts:
            report.update(part.report.problems.values())
        super().__init__(
            labels=first.labels,
            names=[str(name) for part in parts for name in part.names],
            targets=Targets.from_pairs(
                np.concatenate(owners), np.concatenate(columns), int(begins[-1]), len(first.labels)
            ),
            folds=None,
            sources=[Place(number, row) for number, part in enumerate(parts) for row in range(len(part))],
            report=report,
        )
        self._hash = manifest

    def read(self, source: Place) -> Tensor:
        """Return a clip of one of the parts: `(samples,)` float32 in [-1, 1]. Raises AudioError if it is unusable."""
        return self.parts[source.part].waveform(source.row)

    def fingerprint(self, source: Place) -> bytes:
        """Return the fingerprint that the clip has in its own data set."""
        part = self.parts[source.part]
        return part.fingerprint(part.sources[source.row])

    def seconds(self, source: Place) -> float:
        """Return the length of a clip in seconds. Raises AudioError if it cannot be read."""
        part = self.parts[source.part]
        return part.seconds(part.sources[source.row])

    def preload(self, progress: bool = True) -> Self:
        """Let every part decode what it keeps.

        Args:
            progress: show a progress bar for each.

        Returns:
            This data set.
        """
        for part in self.parts:
            part.preload(progress)
        return self

    def estimated_bytes(self, most: int = 1000) -> int:
        """Estimate how much memory `preload` takes in all parts.

        Args:
            most: number of clips of each part to look at.

        Returns:
            Bytes.
        """
        return sum(part.estimated_bytes(most) for part in self.parts)
