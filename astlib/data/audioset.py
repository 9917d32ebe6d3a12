"""AudioSet: two million clips of 10 s from YouTube, 527 classes, several to a clip (Gemmeke et al., ICASSP 2017).

Chapter: notebooks/10_audioset.ipynb

Google publishes lists, no sound, and what has vanished from YouTube since is missing from every copy: the paper itself
had 19,185 of the 20,371 clips of the evaluation list. So missing clips are counted and reported here, and are no error.

The sound may be a folder of files beside Google's lists, or Parquet files in the layout of the public
`agkphysics/AudioSet` on Hugging Face. Parquet is opened with `datasets`, for random access or as a stream. The names and
labels of all clips stay in memory, in five arrays; the sound of a clip is read when it is asked for.
"""

import csv
import hashlib
import os
import re
from array import array
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .. import audio
from ..audio import AudioError
from .base import AudioDataset, DataNotFound, Report, Targets, collate, find, folders, guarded

LABELS = "class_labels_indices.csv"
GOOGLE = "http://storage.googleapis.com/us_audioset/youtube_corpus/v1/csv/"
BALANCED, UNBALANCED = "balanced_train_segments.csv", "unbalanced_train_segments.csv"
LISTS = {
    "balanced": [BALANCED], "unbalanced": [UNBALANCED], "full": [BALANCED, UNBALANCED], "eval": ["eval_segments.csv"],
}  # fmt: skip
PARQUET = {
    "balanced": ["bal_train"], "unbalanced": ["unbal_train"], "full": ["bal_train", "unbal_train"], "eval": ["eval"],
}  # fmt: skip
COLUMNS = {"video_id", "audio", "labels"}
# A video's id has 11 characters, "_" and "-" among them. Downloaders add a "Y", the start and the end, in s or ms.
STEM = re.compile(r"Y?(.{11})(?:_(\d+(?:\.\d+)?))?(?:_\d+(?:\.\d+)?)?")
HOW_TO_GET = (
    "AudioSet is either a folder with Google's lists and a file of sound for each clip, named by its YTID; or Parquet "
    "in the layout of https://huggingface.co/datasets/agkphysics/AudioSet (data/bal_train/*.parquet and so on), as a "
    "folder or by that name: AudioSet('agkphysics/AudioSet')"
)


class AudioSet(AudioDataset):
    """One split of AudioSet. Clips are named by their YTID; those that are missing are in `report`.

    Args:
        root: a folder, the name of a data set on the hub ("agkphysics/AudioSet"), or a `datasets.Dataset` with its
            columns `video_id`, `audio` and `labels`. None looks in $ASTLIB_DATA/audioset and the user's cache.

            A folder of sound holds files named `YTID`, `YTID_start` or `YTID_start_end` (seconds or milliseconds),
            with or without a "Y" in front, in any format that libsndfile reads. They lie in it, in its folder `audio`,
            or one folder further down. A folder of Parquet holds `data/bal_train/*.parquet` and so on. `datasets`
            makes a copy of Parquet in its own cache on first use; where there is no room for it, stream.
        split: "balanced", "unbalanced", "full" (both) or "eval".
        streaming: give an `AudioStream` instead: no copy, no random access.
        revision: of a data set on the hub: a commit, a tag or a branch.

    Google's lists are looked for in `root`, then in $ASTLIB_DATA/audioset and the cache: `class_labels_indices.csv`,
    which is needed always, and the list of the split, which a folder of sound needs. For Parquet it only tells which
    clips are missing.

    Raises:
        DataNotFound: no list, or not a single clip.
        ImportError: `datasets` is needed and not installed.
        ValueError: an unknown split, or columns that are not there.
    """

    multi_label = True

    def __new__(cls, root=None, split: str = "balanced", streaming: bool = False, revision: str | None = None):
        return AudioStream(root, split, revision=revision) if streaming else super().__new__(cls)

    def __init__(self, root=None, split: str = "balanced", streaming: bool = False, revision: str | None = None):
        root = _root(root, split)
        self.name = _name(split)
        self.mids, labels = label_table(root)
        self.root, self._sound, self._sizes = root, None, None
        if _is_folder_of_sound(root, split):
            names, starts, classes, notes = _listed(root, split, self.mids)
            sources = _files_of(root, names, starts)
            report, there = _missing(self.name, names, sources != b"", f"there is no file of this name in {root}")
            if not len(there):
                raise DataNotFound(f"{root} has none of the {len(names):,} clips of AudioSet's {split}. {HOW_TO_GET}")
            names, classes, sources = names[there], classes.take(there), sources[there]
        else:
            rows = _open(root, split, revision, streaming=False)
            names, classes, self._sizes, notes = _columns_of(rows, self.mids)
            self._sound, sources = rows.select_columns(["audio"]), np.arange(len(rows))
            report = Report(self.name, len(names))
            if expected := _expected(root, split, self.mids):
                there = np.isin(expected, names)
                report, _ = _missing(self.name, expected, there, f"is listed by Google, but not in {_shown(root)}")
            else:
                notes.append(f"How many are missing is not known: {LISTS[split][-1]} of {GOOGLE} is not here.")
        report.notes = notes
        super().__init__(labels, names, classes, None, sources, report)

    def read(self, source) -> Tensor:
        if self._sound is None:
            return audio.load(self._path(source), self.rate)
        row = int(source)
        return _decode(self._sound[row]["audio"], f"row {row} of {_shown(self.root)}", self.rate)

    def seconds(self, source) -> float:
        if self._sound is None:
            return audio.seconds(self._path(source))
        cell = self._sound[int(source)]["audio"]
        return audio.seconds(cell["bytes"] or cell["path"] or b"", f"row {source} of {_shown(self.root)}")

    def _path(self, source: bytes) -> str:
        return os.path.join(self.root, os.fsdecode(source))

    def manifest_hash(self) -> str:
        """ "sha256:..." over names, labels, and the size in bytes of every encoded clip, with the names of files.

        Not over the content: at 2.4 TB nobody would wait for it. So a clip that was replaced by another of the very
        same size is not noticed. Two copies in the same encoding give the same hash wherever they lie.
        """
        if self._hash is None:
            digest = hashlib.sha256(repr((self.name, self.labels)).encode())
            digest.update("\n".join(self.names.tolist()).encode())
            for numbers in (self.classes.offsets, self.classes.columns):
                digest.update(numbers.astype("<i8").tobytes())
            if self._sound is None:
                digest.update(b"\0".join(self.sources.tolist()))
                sizes = np.array([os.stat(self._path(source)).st_size for source in self.sources])
            else:
                sizes = self._sizes[self.sources]
            digest.update(sizes.astype("<i8").tobytes())
            self._hash = f"sha256:{digest.hexdigest()}"
        return self._hash


class AudioStream:
    """AudioSet read from front to back: for Parquet that is too large to be copied or lies on the hub.

    There is no random access, so no weighted sampling and no partner for mixup from the whole set. Clips are shuffled
    as far as `buffer` goes, and the order of the Parquet files is drawn anew each epoch.

    Args:
        root, split, revision: as of AudioSet; `root` may also be a `datasets.IterableDataset`.
        buffer: encoded clips, about 1 MB each, among which the next one is drawn.
        workers: threads that decode.

    Attributes:
        labels, multi_label, name, rate: as of AudioSet.
        report: problems of the clips that this process has read so far.
        unknown: how often a label came that is not in Google's table.
    """

    multi_label = True
    is_synthetic = False
    rate = 16_000

    def __init__(
        self, root=None, split: str = "balanced", revision: str | None = None, buffer: int = 256, workers: int = 2
    ):
        root = _root(root, split)
        if _is_folder_of_sound(root, split):
            raise DataNotFound(f"only Parquet can be streamed, and {root} has none. {HOW_TO_GET}")
        self.name, self.root, self.split, self.revision = _name(split), root, split, revision
        self.buffer, self.workers = buffer, workers
        self.mids, self.labels = label_table(root)
        self._columns = {mid: column for column, mid in enumerate(self.mids)}
        self._stream = _open(root, split, revision, streaming=True)
        self._length = _rows_of(root, split, revision)
        self.report = Report(self.name, self._length or 0)
        self.unknown: Counter[str] = Counter()

    def __len__(self) -> int:
        """Rows. Raises TypeError where nothing but reading to the end would tell."""
        if self._length is None:
            raise TypeError(f"the number of rows in {_shown(self.root)} is not known before they are read")
        return self._length

    def batches(
        self, batch: int, seed: int, epoch: int, rank: int = 0, world: int = 1, skip: int = 0, shuffle: bool = True
    ) -> Iterator[dict]:
        """One epoch of this process's share of batches, collated as those of a Loadable.

        All processes read the whole stream and decode only their own rows. So the batches together are the same for
        any number of processes: no clip twice, none left out. The last batch may be short; a process with nothing
        left of it gets a batch of no clips, so that all take the same number of steps.

        Args:
            batch: clips of all processes together.
            seed, epoch: the order is a function of these two.
            rank, world: which process of how many.
            skip: steps to leave out in front, for a run that goes on.
            shuffle: False for the order of the files, as evaluation wants it.
        """
        stream = self._stream
        if shuffle:
            state = np.random.SeedSequence([seed, epoch]).generate_state(1)[0]
            stream = stream.shuffle(seed=int(state), buffer_size=self.buffer)
        rows = islice(enumerate(stream), skip * batch, None)
        with ThreadPoolExecutor(self.workers) as pool:
            ahead = deque()
            while step := list(islice(rows, batch)):
                first, last = (len(step) * (rank + i) // world for i in (0, 1))
                ahead.append([pool.submit(self._item, *row) for row in step[first:last]])
                if len(ahead) > 1:
                    yield self._collated(ahead.popleft())
            while ahead:
                yield self._collated(ahead.popleft())

    def _item(self, index: int, row: dict) -> dict:
        name, target = row["video_id"], torch.zeros(len(self.labels))
        for mid in row["labels"] or []:
            if mid in self._columns:
                target[self._columns[mid]] = 1
            else:
                self.unknown[mid] += 1
        make = lambda: {"waveform": _decode(row["audio"], name, self.rate), "target": target, "index": index}  # noqa: E731
        return {**guarded(make, name, target, index), "name": name}

    def _collated(self, futures: list) -> dict:
        items = [future.result() for future in futures]
        self.report.problems.update({item["name"]: item["problem"] for item in items if item["problem"]})
        return collate(items) if items else _no_clips(len(self.labels))

    def manifest_hash(self) -> str:
        """ "sha256:..." over labels and the names and sizes of the Parquet files; of the hub: its name and revision.

        No clip is read for it. Give a commit as `revision`, or the hash of data on the hub says little.
        """
        if files := _parquet(self.root, self.split):
            content = [(file.parent.name, file.name, file.stat().st_size) for file in files]
        else:
            content = [(_shown(self.root), self.revision, self._length)]
        return f"sha256:{hashlib.sha256(repr((self.name, self.labels, content)).encode()).hexdigest()}"

    def __repr__(self) -> str:
        rows = "?" if self._length is None else f"{self._length:,}"
        return f"AudioStream({_shown(self.root)}, {self.split}, {rows} clips)"


def _no_clips(classes: int) -> dict:
    none = torch.zeros(0, dtype=torch.int64)
    return {
        "waveforms": torch.zeros(0, 0), "lengths": none, "targets": torch.zeros(0, classes), "index": none,
        "usable": none.bool(), "problems": [],
    }  # fmt: skip


def label_table(root=None) -> tuple[list[str], list[str]]:
    """Machine ids and names of the 527 classes in the order of Google's table.

    Raises:
        DataNotFound: the table is not there, or is another file.
    """
    path = _find_list(root, LABELS)
    if path is None:
        where = " and ".join(str(folder) for folder in folders("audioset"))
        raise DataNotFound(f"{LABELS} is not in {_shown(root)}, {where}. Get it from {GOOGLE}{LABELS}")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    try:
        if not rows or [int(row["index"]) for row in rows] != list(range(len(rows))):
            raise ValueError
        return [row["mid"] for row in rows], [row["display_name"] for row in rows]
    except (KeyError, TypeError, ValueError):
        raise DataNotFound(
            f"{path} is not Google's table with the columns index, mid, display_name. Get it from {GOOGLE}{LABELS}"
        ) from None


def _name(split: str) -> str:
    return "audioset" if split == "full" else f"audioset-{split}"


def _root(root, split: str):
    """A folder as Path; a name on the hub as str; an opened data set as it is."""
    if split not in LISTS:
        raise ValueError(f"split must be one of {', '.join(LISTS)}, got {split!r}")
    if root is None:
        root = find("audioset")
        if root is None:
            where = " and ".join(str(folder) for folder in folders("audioset"))
            raise DataNotFound(f"AudioSet is not on this machine (looked in {where}). {HOW_TO_GET}")
    if not isinstance(root, str | os.PathLike):
        return root
    path = Path(root).expanduser()
    if path.is_dir():
        return path
    if isinstance(root, str) and re.fullmatch(r"[\w.-]+/[\w.-]+", root) and not path.is_absolute():
        return root
    raise DataNotFound(f"{path} is not a folder. {HOW_TO_GET}")


def _shown(root) -> str:
    return str(root) if isinstance(root, str | Path) else type(root).__name__


def _find_list(root, name: str) -> Path | None:
    places = [root if isinstance(root, Path) else None, find("audioset")]
    return next((place / name for place in places if place and (place / name).is_file()), None)


# --- a folder of sound and Google's lists --------------------------------------------------------------


def _is_folder_of_sound(root, split: str) -> bool:
    return isinstance(root, Path) and not _parquet(root, split)


def _listed(root: Path, split: str, mids: list[str]) -> tuple[np.ndarray, np.ndarray, Targets, list[str]]:
    """YTIDs, start seconds and classes of all clips that Google lists, and what is odd about the lists."""
    parts, notes = [], []
    for name in LISTS[split]:
        path = _find_list(root, name)
        if path is None:
            raise DataNotFound(f"{name} is not in {root}. Get it from {GOOGLE}{name}")
        parts.append(_segments(path, notes))
    names, starts, texts, codes = (list(part) for part in zip(*parts, strict=True))
    classes = [_classes(text, code, mids) for text, code in zip(texts, codes, strict=True)]
    unknown = sum((count for _, count in classes), Counter())
    if unknown:
        notes.append(_unknown(unknown))
    rows, columns, start = [], [], 0
    for part, _ in classes:
        rows.append(part.rows() + start)
        columns.append(part.columns)
        start += len(part)
    classes = Targets.from_pairs(np.concatenate(rows), np.concatenate(columns), start, len(mids))
    return np.concatenate(names), np.concatenate(starts), classes, notes
