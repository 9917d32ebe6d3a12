"""AudioSet read from front to back, for tables that are too large to be copied or lie on the hub.

Chapter: notebooks/06_data_and_augmentation.ipynb
"""

import hashlib
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...errors import DataNotFound
from ..batch import Batch, Item, collate, guarded
from ..report import Report
from . import parquet
from .lists import AUDIOSET_HELP, AudioSetRoot, AudioSetSplit, label_table, locate, name_of, shown
from .parquet import ClipRow


class AudioStream:
    """AudioSet read from front to back, for Parquet that is too large to be copied or lies on the hub.

    There is no random access, so there is no weighted sampling, and mixup cannot draw its partners from the whole data
    set. The order of the Parquet files is drawn anew each epoch; within that order, clips are shuffled as far as
    `buffer` reaches.

    Args:
        root: as for AudioSet, or a `datasets.IterableDataset`.
        split: "balanced", "unbalanced", "full" or "eval".
        revision: of a data set on the hub: a commit, a tag or a branch.
        buffer: number of encoded clips, about 1 MB each, from which the next clip is drawn.
        workers: threads that decode.

    Attributes:
        name: of the split, for records.
        root: the folder as Path, the name on the hub, or the opened data set.
        split: as given.
        revision: as given.
        buffer: as given.
        workers: as given.
        mids: Google's machine ids of the classes.
        labels: names of the classes, in the order of the target's columns.
        multi_label: True.
        is_synthetic: False.
        rate: 16 000 Hz.
        report: problems of the clips that this process has decoded so far.
        unknown: how often each label occurred that is not in Google's table.

    Raises:
        DataNotFound: no Parquet of this split, or no table of labels.
        InvalidInput: an unknown split, or columns that are missing.
        MissingPackage: `datasets` is not installed.
    """

    multi_label = True
    is_synthetic = False
    rate = 16_000

    def __init__(
        self,
        root: AudioSetRoot = None,
        split: AudioSetSplit = "balanced",
        revision: str | None = None,
        buffer: int = 256,
        workers: int = 2,
    ) -> None:
        place = locate(root, split)
        if isinstance(place, Path) and not parquet.files(place, split):
            raise DataNotFound(f"only Parquet can be streamed, and {place} has none of {split}. {AUDIOSET_HELP}")
        self.name, self.root, self.split, self.revision = name_of(split), place, split, revision
        self.buffer, self.workers = buffer, workers
        self.mids, self.labels = label_table(place)
        self._columns = {mid: column for column, mid in enumerate(self.mids)}
        self._rows = parquet.open_rows(place, split, revision, streaming=True)
        self._length = parquet.count_rows(place, split, revision)
        self.report = Report(self.name, self._length or 0)
        self.unknown: Counter[str] = Counter()

    def __len__(self) -> int:
        """Return the number of rows. Raises TypeError if only reading to the end would tell it."""
        if self._length is None:
            raise TypeError(f"how many rows {shown(self.root)} has is not known before they are read")
        return self._length

    def batches(
        self, batch: int, seed: int, epoch: int, rank: int = 0, world: int = 1, skip: int = 0, shuffle: bool = True
    ) -> Iterator[Batch]:
        """Read one epoch: this process's part of every batch, collated as the items of a Loadable are.

        Every process reads the whole stream and decodes only its own rows. So all processes together see the same
        batches, however many they are: no clip twice, none left out. The last batch may be short; a process that gets
        no clip of it yields a batch of no clips, so that all processes take the same number of steps. The index of a
        clip is its position in the order of this epoch.

        Args:
            batch: number of clips per step, of all processes together.
            seed: the order of the clips is a function of this and `epoch`.
            epoch: number of the epoch.
            rank: number of this process, from 0.
            world: number of processes.
            skip: steps to leave out at the start, for a run that continues. Their rows are read, not decoded.
            shuffle: False keeps the order of the files.

        Yields:
            One batch per step.
        """
        order: Iterable[ClipRow] = self._shuffled(np.random.default_rng([seed, epoch])) if shuffle else self._rows
        rows = islice(enumerate(order), skip * batch, None)
        with ThreadPoolExecutor(self.workers) as threads:
            ahead: deque[list[Future[Item]]] = deque()  # decoded while the step before is being used
            while step := list(islice(rows, batch)):
                first, last = (len(step) * (rank + i) // world for i in (0, 1))
                ahead.append([threads.submit(self._item, i, row, self._target(row)) for i, row in step[first:last]])
                if len(ahead) > 1:
                    yield self._collated(ahead.popleft())
            while ahead:
                yield self._collated(ahead.popleft())

    def _shuffled(self, draws: np.random.Generator) -> Iterator[ClipRow]:
        """The rows of one epoch in random order.

        The stream's own shuffle is not used: it reads ten files at once, which is gigabytes of sound.
        """
        files = draws.permutation(self._rows.num_shards).tolist()
        rows = chain.from_iterable(self._rows.shard(len(files), i) for i in files)
        held = list(islice(rows, self.buffer))
        for row in rows:
            i = draws.integers(len(held))
            yield held[i]
            held[i] = row
        yield from (held[i] for i in draws.permutation(len(held)))

    def _target(self, row: ClipRow) -> Tensor:
        target = torch.zeros(len(self.labels))
        for mid in row["labels"] or []:
            if mid in self._columns:
                target[self._columns[mid]] = 1
            else:
                self.unknown[mid] += 1
        return target

    def _item(self, index: int, row: ClipRow, target: Tensor) -> Item:
        def make() -> Item:
            return {"waveform": parquet.decode(row["audio"], name, self.rate), "target": target, "index": index}

        name = row["video_id"]
        return guarded(make, name, target, index)

    def _collated(self, ahead: list[Future[Item]]) -> Batch:
        batch = collate([future.result() for future in ahead]) if ahead else Batch.empty(len(self.labels))
        self.report.update(batch.problems)
        return batch

    def manifest_hash(self) -> str:
        """Hash the labels and the names and sizes of the Parquet files; for data on the hub, its name and revision.

        No clip is read for it. For data on the hub, `revision` should be a commit: a branch may change its content.

        Returns:
            "sha256:" and 64 hexadecimal digits.
        """
        files: list[tuple[object, ...]] = [
            (file.parent.name, file.name, file.stat().st_size) for file in parquet.files(self.root, self.split)
        ]
        content = files or [(shown(self.root), self.revision, self._length)]
        return f"sha256:{hashlib.sha256(repr((self.name, self.labels, content)).encode()).hexdigest()}"

    def __repr__(self) -> str:
        rows = "?" if self._length is None else f"{self._length:,}"
        return f"AudioStream({shown(self.root)}, {self.split}, {rows} clips)"
