"""Which classes each clip has, for sets so large that a table of all clips and classes would not fit.

Chapter: notebooks/06_data_and_augmentation.ipynb
"""

import numpy as np
import torch
from torch import Tensor

DENSE_LIMIT = 2e9  # bytes


class Targets:
    """Which classes each clip has, as compressed rows: those of clip i are columns[offsets[i] : offsets[i + 1]].

    A dense table of AudioSet is 4.2 GB, this is 32 MB.

    Attributes:
        offsets: (clips + 1,) int64.
        columns: (labels of all clips,) int32, in a clip ascending and each once.
        classes: number of classes.
    """

    def __init__(self, offsets: np.ndarray, columns: np.ndarray, classes: int):
        self.offsets, self.columns, self.classes = offsets, columns, classes

    @classmethod
    def from_pairs(cls, rows, columns, clips: int, classes: int) -> "Targets":
        """From the places of the ones: integers of equal length, in any order, a pair twice counts once.

        Raises:
            ValueError: a row or a column that is not there.
        """
        rows, columns = np.asarray(rows, np.int64), np.asarray(columns, np.int64)
        for what, values, limit in (("clip", rows, clips), ("class", columns, classes)):
            if len(values) and not 0 <= values.min() <= values.max() < limit:
                wrong = values.min() if values.min() < 0 else values.max()
                raise ValueError(f"there is no {what} {wrong}: they are numbered from 0 to {limit - 1}")
        pairs = np.sort(rows * classes + columns)  # np.unique takes ten times as long
        pairs = pairs[np.append(True, pairs[1:] != pairs[:-1])[: len(pairs)]]
        offsets = np.zeros(clips + 1, np.int64)
        if classes:
            np.cumsum(np.bincount(pairs // classes, minlength=clips), out=offsets[1:])
            pairs %= classes
        return cls(offsets, pairs.astype(np.int32), classes)

    @classmethod
    def from_lists(cls, lists, classes: int) -> "Targets":
        """From the class numbers of every clip, such as [[3], [0, 5], []]."""
        rows = np.repeat(np.arange(len(lists)), [len(row) for row in lists])
        return cls.from_pairs(rows, [column for row in lists for column in row], len(lists), classes)

    @classmethod
    def from_dense(cls, table) -> "Targets":
        """From (clips, classes) of zeros and ones."""
        table = np.asarray(table)
        if table.ndim != 2 or not np.isin(table, (0, 1)).all():
            raise ValueError(f"targets must be (clips, classes) of 0 and 1, found {table.dtype} {table.shape}")
        return cls.from_pairs(*table.nonzero(), *table.shape)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, i: int) -> Tensor:
        """(classes,) float32, multi-hot."""
        i = range(len(self))[i]
        row = torch.zeros(self.classes)
        row[torch.from_numpy(self.columns[self.offsets[i] : self.offsets[i + 1]]).long()] = 1
        return row

    def rows(self) -> np.ndarray:
        """The clip of every entry of `columns`, int64."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def take(self, rows) -> "Targets":
        """The clips of these numbers, in this order."""
        rows = np.asarray(rows, np.int64)
        starts, sizes = self.offsets[:-1][rows], np.diff(self.offsets)[rows]
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        places = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], sizes)
        return Targets(offsets, self.columns[places], self.classes)

    def counts(self) -> np.ndarray:
        """(classes,) int64: clips that have each class."""
        return np.bincount(self.columns, minlength=self.classes)

    def dense(self) -> Tensor:
        """(clips, classes) float32. Raises ValueError where that is more than 2 GB."""
        if 4 * len(self) * self.classes > DENSE_LIMIT:
            raise ValueError(
                f"a table of {len(self)} clips and {self.classes} classes takes {4e-9 * len(self) * self.classes:.1f} "
                "GB. Use dataset.classes, which keeps them compressed: classes[i] is one clip's row, classes.counts() "
                "the clips of each class; or make the data set smaller with select()"
            )
        table = torch.zeros(len(self), self.classes)
        table[torch.from_numpy(self.rows()), torch.from_numpy(self.columns).long()] = 1
        return table
