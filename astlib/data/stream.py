"""AudioSet from front to back, for tables that are too large to be copied or lie on the hub.

Chapter: notebooks/06_data_and_augmentation.ipynb
"""

import hashlib
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from . import parquet
from .base import collate, guarded
from .report import DataNotFound, Report
from .segments import HOW_TO_GET, label_table, locate, name_of, shown


class AudioStream:
    """AudioSet read from front to back: for Parquet that is too large to be copied, or lies on the hub.

    There is no random access, so no weighted sampling, and no partner for mixup from the whole set. The order of the
    Parquet files is drawn anew each epoch; within that, clips are shuffled as far as `buffer` goes.

    Args:
        root, split, revision: as of AudioSet; `root` may also be a `datasets.IterableDataset`.
        buffer: encoded clips, about 1 MB each, among which the next one is drawn.
        workers: threads that decode.

    Attributes:
        labels, multi_label, name, rate: as of AudioSet.
        report: problems of the clips that this process has decoded so far.
        unknown: how often a label came that is not in Google's table.
    """

    multi_label = True
    is_synthetic = False
    rate = 16_000

    def __init__(self, root=None, split="balanced", revision: str | None = None, buffer: int = 256, workers: int = 2):
        root = locate(root, split)
        if isinstance(root, Path) and not parquet.files(root, split):
            raise DataNotFound(f"only Parquet can be streamed, and {root} has none of {split}. {HOW_TO_GET}")
        self.name, self.root, self.split, self.revision = name_of(split), root, split, revision
        self.buffer, self.workers = buffer, workers
        self.mids, self.labels = label_table(root)
        self._columns = {mid: column for column, mid in enumerate(self.mids)}
        self._rows = parquet.open_rows(root, split, revision, streaming=True)
        self._length = parquet.count_rows(root, split, revision)
        self.report = Report(self.name, self._length or 0)
        self.unknown: Counter[str] = Counter()

    def __len__(self) -> int:
        """Rows. Raises TypeError where nothing but reading to the end would tell."""
        if self._length is None:
            raise TypeError(f"how many rows {shown(self.root)} has is not known before they are read")
        return self._length

    def batches(
        self, batch: int, seed: int, epoch: int, rank: int = 0, world: int = 1, skip: int = 0, shuffle: bool = True
    ) -> Iterator[dict]:
        """One epoch: this process's share of every batch, collated as those of a Loadable.

        All processes read the whole stream and decode only their own rows. So the batches taken together are the same
        for any number of processes: no clip twice, none left out. The last batch may be short; a process for which
        nothing is left of it gets a batch of no clips, so that all take the same number of steps. The index of a clip
        is its place in this epoch's order.

        Args:
            batch: clips of all processes together.
            seed, epoch: the order is a function of these two.
            rank, world: which process of how many.
            skip: steps to leave out in front, for a run that goes on. Their rows are read, not decoded.
            shuffle: False for the order of the files, as a test wants it.
        """
        rows = self._shuffled(np.random.default_rng([seed, epoch])) if shuffle else self._rows
        rows = islice(enumerate(rows), skip * batch, None)
        with ThreadPoolExecutor(self.workers) as threads:
            ahead = deque()
            while step := list(islice(rows, batch)):
                first, last = (len(step) * (rank + i) // world for i in (0, 1))
                ahead.append([threads.submit(self._item, i, row, self._target(row)) for i, row in step[first:last]])
                if len(ahead) > 1:
                    yield self._collated(ahead.popleft())
            while ahead:
                yield self._collated(ahead.popleft())

    def _shuffled(self, draws: np.random.Generator) -> Iterator[dict]:
        """Not with the stream's own shuffle: that reads ten files at once, which is gigabytes of sound."""
        files = draws.permutation(self._rows.num_shards).tolist()
        rows = chain.from_iterable(self._rows.shard(len(files), i) for i in files)
        held = list(islice(rows, self.buffer))
        for row in rows:
            i = draws.integers(len(held))
            yield held[i]
            held[i] = row
        yield from (held[i] for i in draws.permutation(len(held)))

    def _target(self, row: dict) -> Tensor:
        target = torch.zeros(len(self.labels))
        for mid in row["labels"] or []:
            if mid in self._columns:
                target[self._columns[mid]] = 1
            else:
                self.unknown[mid] += 1
        return target

    def _item(self, index: int, row: dict, target: Tensor) -> tuple[dict, str]:
        name, cell = row["video_id"], row["audio"]
        rest = {"target": target, "index": index}
        return guarded(lambda: {"waveform": parquet.decode(cell, name, self.rate), **rest}, name, target, index), name

    def _collated(self, ahead: list) -> dict:
        items = [future.result() for future in ahead]
        self.report.problems.update({name: item["problem"] for item, name in items if item["problem"]})
        return collate([item for item, _ in items]) if items else self._no_clips()

    def _no_clips(self) -> dict:
        none = torch.zeros(0, dtype=torch.int64)
        batch = {"waveforms": torch.zeros(0, 0), "lengths": none, "targets": torch.zeros(0, len(self.labels))}
        return {**batch, "index": none, "usable": none.bool(), "problems": []}

    def manifest_hash(self) -> str:
        """ "sha256:..." over labels and the names and sizes of the Parquet files; on the hub, its name and revision.

        No clip is read for it. Give a commit as `revision`, else the hash of data on the hub says little.
        """
        files = [(file.parent.name, file.name, file.stat().st_size) for file in parquet.files(self.root, self.split)]
        content = files or [(shown(self.root), self.revision, self._length)]
        return f"sha256:{hashlib.sha256(repr((self.name, self.labels, content)).encode()).hexdigest()}"

    def __repr__(self) -> str:
        rows = "?" if self._length is None else f"{self._length:,}"
        return f"AudioStream({shown(self.root)}, {self.split}, {rows} clips)"
