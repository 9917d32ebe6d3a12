"""Which classes each clip has, for data sets so large that a table of all clips and classes would not fit in memory.

Chapter: notebooks/06_data_and_augmentation.ipynb
"""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..errors import InvalidInput

DENSE_LIMIT = 2e9  # bytes

Integers = Sequence[int] | NDArray[np.integer[Any]]


class Targets:
    """Which classes each clip has, in compressed sparse rows: clip i has columns[offsets[i] : offsets[i + 1]].

    A dense table of AudioSet takes 4.2 GB, this takes 32 MB. It is written by hand, although SciPy has such a matrix:
    SciPy is an optional package here, and the data sets must work without it.

    Args:
        offsets: `(clips + 1,)` int64.
        columns: `(labels of all clips,)` int32; ascending and without repetition within a clip.
        classes: number of classes.

    Attributes:
        offsets: as given.
        columns: as given.
        classes: number of classes.
    """

    def __init__(self, offsets: NDArray[np.int64], columns: NDArray[np.int32], classes: int) -> None:
        self.offsets, self.columns, self.classes = offsets, columns, classes

    @classmethod
    def from_pairs(cls, rows: Integers, columns: Integers, clips: int, classes: int) -> Self:
        """Build targets from the positions of the ones in the table.

        Args:
            rows: `(n,)` integers, the clip of each one, in any order.
            columns: `(n,)` integers, the class of each one. A pair that occurs twice counts once.
            clips: number of clips.
            classes: number of classes.

        Returns:
            The targets of `clips` clips.

        Raises:
            InvalidInput: a clip or a class is out of range.
        """
        rows, columns = np.asarray(rows, np.int64), np.asarray(columns, np.int64)
        for what, values, limit in (("clip", rows, clips), ("class", columns, classes)):
            if len(values) and not 0 <= values.min() <= values.max() < limit:
                wrong = values.min() if values.min() < 0 else values.max()
                raise InvalidInput(f"there is no {what} {wrong}: they are numbered from 0 to {limit - 1}")
        pairs = np.sort(rows * classes + columns)  # np.unique takes ten times as long
        pairs = pairs[np.append(True, pairs[1:] != pairs[:-1])[: len(pairs)]]
        offsets = np.zeros(clips + 1, np.int64)
        if classes:
            np.cumsum(np.bincount(pairs // classes, minlength=clips), out=offsets[1:])
            pairs %= classes
        return cls(offsets, pairs.astype(np.int32), classes)

    @classmethod
    def from_lists(cls, lists: Sequence[Sequence[int]], classes: int) -> Self:
        """Build targets from the class numbers of every clip.

        Args:
            lists: one sequence per clip, such as `[[3], [0, 5], []]`.
            classes: number of classes.

        Returns:
            The targets of `len(lists)` clips.
        """
        rows = np.repeat(np.arange(len(lists)), [len(row) for row in lists])
        return cls.from_pairs(rows, [column for row in lists for column in row], len(lists), classes)

    @classmethod
    def from_dense(cls, table: ArrayLike | Tensor) -> Self:
        """Build targets from a dense table.

        Args:
            table: `(clips, classes)` of zeros and ones.

        Returns:
            The targets of `len(table)` clips.

        Raises:
            InvalidInput: another shape, or values other than 0 and 1.
        """
        array = np.asarray(table)
        if array.ndim != 2 or not np.isin(array, (0, 1)).all():
            raise InvalidInput(f"targets must be (clips, classes) of 0 and 1, found {array.dtype} {array.shape}")
        rows, columns = array.nonzero()
        clips, classes = array.shape
        return cls.from_pairs(rows, columns, clips, classes)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, i: int) -> Tensor:
        """Return the target of one clip: `(classes,)` float32, multi-hot."""
        i = range(len(self))[i]
        row = torch.zeros(self.classes)
        row[torch.from_numpy(self.columns[self.offsets[i] : self.offsets[i + 1]]).long()] = 1
        return row

    def rows(self) -> NDArray[np.int64]:
        """Find the clip of every label.

        Returns:
            `(labels of all clips,)` int64, the clip of each entry of `columns`.
        """
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def take(self, rows: Integers) -> "Targets":
        """Choose clips.

        Args:
            rows: numbers of the clips, in the wanted order, repetitions allowed.

        Returns:
            The targets of these clips, in this order.
        """
        rows = np.asarray(rows, np.int64)
        starts, sizes = self.offsets[:-1][rows], np.diff(self.offsets)[rows]
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        places = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], sizes)
        return Targets(offsets, self.columns[places], self.classes)

    def counts(self) -> NDArray[np.int64]:
        """Count the clips of each class.

        Returns:
            `(classes,)` int64.
        """
        return np.bincount(self.columns, minlength=self.classes)

    def dense(self) -> Tensor:
        """Write the targets out as a table.

        Returns:
            `(clips, classes)` float32, one-hot or multi-hot.

        Raises:
            InvalidInput: the table would take more than 2 GB.
        """
        if 4 * len(self) * self.classes > DENSE_LIMIT:
            raise InvalidInput(
                f"a table of {len(self)} clips and {self.classes} classes takes {4e-9 * len(self) * self.classes:.1f} "
                "GB. Use dataset.classes, which keeps them compressed: classes[i] is one clip's row, classes.counts() "
                "the clips of each class; or make the data set smaller with select()"
            )
        table = torch.zeros(len(self), self.classes)
        table[torch.from_numpy(self.rows()), torch.from_numpy(self.columns).long()] = 1
        return table
