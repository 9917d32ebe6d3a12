"""AudioSet: two million clips of 10 s from YouTube, 527 classes, several to a clip (Gemmeke et al., ICASSP 2017).

Chapter: notebooks/06_data_and_augmentation.ipynb

Google publishes lists, no sound, and what has vanished from YouTube since is missing from every copy: the paper itself
had 19,185 of the 20,371 clips of the evaluation list. So missing clips are counted and reported here, and are no error.

The sound may be a folder of files beside Google's lists, or Parquet files in the layout of the public
`agkphysics/AudioSet` on Hugging Face. Parquet is opened with `datasets`, for random access or as a stream. The names
and labels of all clips stay in memory, in a few arrays; the sound of a clip is read when it is asked for.
"""

import csv
import hashlib
import os
import re
from array import array
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
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
REST = re.compile(rb"(?:_(\d+(?:\.\d+)?))?(?:_\d+(?:\.\d+)?)?")
SUFFIXES = frozenset(suffix.encode() for suffix in audio.SUFFIXES)
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
        return AudioStream(root, split, revision) if streaming else super().__new__(cls)

    def __init__(self, root=None, split: str = "balanced", streaming: bool = False, revision: str | None = None):
        root = _root(root, split)
        self.name, self.root = _name(split), root
        self.mids, labels = label_table(root)
        if _is_folder_of_sound(root, split):
            rows, starts, classes, notes = _listed(root, split, self.mids)
            sources, self._cells, self._sizes = _files_of(root, rows, starts), None, None
            names, there = _decoded(rows), sources != b""
            if not there.any():
                raise DataNotFound(f"{root} has none of the {len(names):,} clips of AudioSet's {split}. {HOW_TO_GET}")
            report = _missing(self.name, names, there, f"there is no file for it in {root}")
            names, classes, sources = names[there], classes.take(np.flatnonzero(there)), sources[there]
        else:
            rows = _open(root, split, revision, streaming=False)
            names, classes, self._sizes, notes = _columns_of(rows, self.mids)
            sources, self._cells = np.arange(len(rows)), rows.select_columns(["video_id", "audio"])
            report = Report(self.name, len(names))
            if isinstance(root, str | Path):  # an opened data set may be any part of a split
                if all(_find_list(root, name) for name in LISTS[split]):
                    listed = _decoded(_listed(root, split, self.mids)[0])
                    report = _missing(self.name, listed, np.isin(listed, names), f"Google lists it, {root} lacks it")
                else:
                    notes.append(f"How many more there should be is not known: the lists of {GOOGLE} are not here.")
        report.notes = notes
        super().__init__(labels, names, classes, None, sources, report)

    def read(self, source) -> Tensor:
        if self._cells is None:
            return audio.load(self._path(source), self.rate)
        row = self._cells[int(source)]
        return _decode(row["audio"], row["video_id"], self.rate)

    def seconds(self, source) -> float:
        if self._cells is None:
            return audio.seconds(self._path(source))
        row = self._cells[int(source)]
        return audio.seconds(_encoded(row["audio"], row["video_id"]), row["video_id"])

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
            if self._cells is None:
                digest.update(b"\0".join(self.sources.tolist()))
                sizes = np.array([os.stat(self._path(source)).st_size for source in self.sources])
            else:
                sizes = self._sizes[self.sources]
            digest.update(sizes.astype("<i8").tobytes())
            self._hash = f"sha256:{digest.hexdigest()}"
        return self._hash


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
        root = _root(root, split)
        if _is_folder_of_sound(root, split):
            raise DataNotFound(f"only Parquet can be streamed, and {root} has none of {split}. {HOW_TO_GET}")
        self.name, self.root, self.split, self.revision = _name(split), root, split, revision
        self.buffer, self.workers = buffer, workers
        self.mids, self.labels = label_table(root)
        self._columns = {mid: column for column, mid in enumerate(self.mids)}
        self._rows = _open(root, split, revision, streaming=True)
        self._length = _length(root, split, revision)
        self.report = Report(self.name, self._length or 0)
        self.unknown: Counter[str] = Counter()

    def __len__(self) -> int:
        """Rows. Raises TypeError where nothing but reading to the end would tell."""
        if self._length is None:
            raise TypeError(f"how many rows {_shown(self.root)} has is not known before they are read")
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
        return guarded(lambda: {"waveform": _decode(cell, name, self.rate), **rest}, name, target, index), name

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
        files = [(file.parent.name, file.name, file.stat().st_size) for file in _parquet(self.root, self.split)]
        content = files or [(_shown(self.root), self.revision, self._length)]
        return f"sha256:{hashlib.sha256(repr((self.name, self.labels, content)).encode()).hexdigest()}"

    def __repr__(self) -> str:
        rows = "?" if self._length is None else f"{self._length:,}"
        return f"AudioStream({_shown(self.root)}, {self.split}, {rows} clips)"


def label_table(root=None) -> tuple[list[str], list[str]]:
    """Machine ids and names of the 527 classes in the order of Google's table.

    Raises:
        DataNotFound: the table is not there, or is another file.
    """
    path = _find_list(root, LABELS)
    if path is None:
        where = " and ".join(str(folder) for folder in folders("audioset"))
        raise DataNotFound(f"{LABELS} is not in {_shown(root)}, {where}. Get it from {GOOGLE}{LABELS}")
    with path.open(newline="", encoding="utf-8-sig") as file:
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


def _missing(name: str, expected: np.ndarray, there: np.ndarray, reason: str) -> Report:
    report = Report(name, len(expected))
    report.problems = dict.fromkeys(expected[~there].tolist(), ("missing", reason))
    return report


# --- a folder of sound and Google's lists --------------------------------------------------------------


def _is_folder_of_sound(root, split: str) -> bool:
    return isinstance(root, Path) and not _parquet(root, split)


def _listed(root: Path, split: str, mids: list[str]) -> tuple[dict[bytes, int], array, Targets, list[str]]:
    """Of all clips that Google lists: the row of each YTID, start seconds, classes; and what is odd about the lists."""
    rows, starts, codes, texts, notes = {}, array("d"), array("q"), {}, []
    for name in LISTS[split]:
        path = _find_list(root, name)
        if path is None:
            raise DataNotFound(f"{name} is not in {root}. Get it from {GOOGLE}{name}")
        before, lines, announced = len(rows), 0, None
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.startswith(b"#") or not line.strip():
                    found = re.search(rb"num_segs=(\d+)", line)
                    announced = int(found[1]) if found else announced
                    continue
                try:  # two million times, so with nothing that is not needed
                    ytid, start, _, labels = line.split(b",", 3)
                    if rows.setdefault(ytid, len(rows)) == len(starts):
                        starts.append(float(start))
                        codes.append(texts.setdefault(labels, len(texts)))
                    lines += 1
                except ValueError:
                    wanted = f'expected YTID, start, end, "label,label". Get it from {GOOGLE}{name}'
                    raise DataNotFound(f"{path}, line {number}: {wanted}") from None
        if announced not in (None, lines):
            notes.append(f"{path.name} announces {announced:,} clips and lists {lines:,}.")
        if lines > len(rows) - before:
            notes.append(f"{path.name} repeats {lines - len(rows) + before:,} YTIDs; the first line of each counts.")
    columns = {mid: column for column, mid in enumerate(mids)}
    labels = [text.decode().strip(' "\r\n').split(",") for text in texts]
    classes = Targets.from_lists([[columns[mid] for mid in row if mid in columns] for row in labels], len(mids))
    unknown = Counter()
    for row, count in zip(labels, np.bincount(codes, minlength=len(labels)).tolist(), strict=True):
        unknown.update({mid: count for mid in row if mid not in columns})
    return rows, starts, classes.take(codes), notes + _unknown(unknown)


def _decoded(ytids) -> np.ndarray:
    return np.array(list(ytids)).astype(str)  # ASCII


def _unknown(labels: dict[str, int]) -> list[str]:
    if not labels:
        return []
    first = ", ".join(list(labels)[:3]) + (", ..." if len(labels) > 3 else "")
    return [f"{sum(labels.values()):,} labels are not in {LABELS} and were left out ({first})."]


def _files_of(root: Path, rows: dict[bytes, int], starts: array) -> np.ndarray:
    """(rows,) bytes: the file of each clip relative to `root`, b"" where there is none.

    The folders are read once; asking for two million files one by one would take minutes on a network disk.
    """
    files, numbers = [b""] * len(rows), {}
    for folder, name in _sounds(root):
        stem = name[: name.rindex(b".")]
        row = rows.get(stem)
        if row is None:
            for first in (0, 1) if stem.startswith(b"Y") else (0,):
                rest = stem[first + 11 :]
                if rest not in numbers:  # there are few
                    found = REST.fullmatch(rest)
                    numbers[rest] = found and float(found[1] or "nan")
                if numbers[rest] is not None and row is None:
                    row = rows.get(stem[first : first + 11])
                    if row is not None and _another_start(starts[row], numbers[rest]):
                        row = None
        if row is not None:
            path = folder + name
            files[row] = min(path, files[row]) if files[row] else path  # of two files for one clip always the same
    return np.array(files)


def _another_start(seconds: float, found: float) -> bool:
    """Whether a file's number says that it is another part of the same video. NaN says nothing."""
    return abs(found - seconds) >= 5e-4 and abs(found - 1000 * seconds) >= 0.5


def _sounds(root: Path) -> Iterator[tuple[bytes, bytes]]:
    """Sound files in `root`, in its folder `audio`, and in the folders of both: (folder relative to root, name)."""
    waiting = [(b"", True)]
    while waiting:
        folder, go_down = waiting.pop()
        with os.scandir(os.path.join(os.fsencode(root), folder)) as entries:
            for entry in entries:
                name = entry.name
                if name[name.rfind(b".") :].lower() in SUFFIXES:
                    yield folder, name
                elif go_down and not name.startswith(b".") and entry.is_dir():
                    waiting.append((folder + name + b"/", folder + name == b"audio"))


# --- Parquet -------------------------------------------------------------------------------------------


def _parquet(root, split: str) -> list[Path]:
    """The Parquet files of a split in a folder, in order."""
    if not isinstance(root, Path):
        return []
    return [file for part in PARQUET[split] for file in sorted(root.glob(f"data/{part}/*.parquet"))]


def _open(root, split: str, revision: str | None, streaming: bool):
    """The rows of a split as a `datasets.Dataset`, or as an IterableDataset; sound stays encoded."""
    datasets = _datasets()
    if isinstance(root, str | Path):
        files = _parquet(root, split) or [f"data/{part}/*.parquet" for part in PARQUET[split]]
        where = "parquet" if isinstance(root, Path) else root
        files = {"train": [str(file) for file in files]}
        try:
            rows = datasets.load_dataset(where, data_files=files, split="train", revision=revision, streaming=streaming)
        except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
            raise DataNotFound(f"{root} cannot be opened ({error.__cause__ or error}). {HOW_TO_GET}") from error
    elif not streaming and not isinstance(root, datasets.Dataset):
        raise ValueError(f"a {type(root).__name__} has no random access. Use AudioSet(..., streaming=True)")
    else:
        rows = root.to_iterable_dataset() if streaming and isinstance(root, datasets.Dataset) else root
    found = rows.column_names
    if found and not COLUMNS <= set(found):
        raise ValueError(f"expected the columns {', '.join(sorted(COLUMNS))}, found {', '.join(found)}")
    return rows.cast_column("audio", datasets.Audio(decode=False))  # else datasets decodes, with another library


def _datasets():
    try:
        import datasets
    except ImportError:
        raise ImportError('Parquet is read with datasets. Install it with: pip install "astlib[hub]"') from None
    return datasets


def _length(root, split: str, revision: str | None) -> int | None:
    """Rows, where something says how many."""
    if isinstance(root, Path):
        from pyarrow.parquet import read_metadata

        return sum(read_metadata(file).num_rows for file in _parquet(root, split))
    if isinstance(root, str):
        splits = _datasets().load_dataset_builder(root, "full", revision=revision).info.splits or {}
        return sum(splits[part].num_examples for part in PARQUET[split]) if set(PARQUET[split]) <= set(splits) else None
    return len(root) if hasattr(root, "__len__") else None


def _columns_of(rows, mids: list[str]) -> tuple[np.ndarray, Targets, np.ndarray, list[str]]:
    """YTIDs, classes and bytes of encoded sound of every row, and what is odd about them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    # Through its own interface, datasets gathers chosen rows one by one; Arrow takes two million of them at once.
    table, chosen = rows.data.table, rows._indices
    columns = [table["video_id"], table["labels"], pc.binary_length(pc.struct_field(table["audio"], "bytes"))]
    if chosen is not None:
        columns = [column.take(chosen.column(0)) for column in columns]
    ytids, labels, sizes = columns
    lengths = pc.fill_null(pc.list_value_length(labels), 0).to_numpy()
    clips, found = np.repeat(np.arange(len(lengths)), lengths), pc.list_flatten(labels)
    places = pc.fill_null(pc.index_in(found, value_set=pa.array(mids)), -1).to_numpy()
    known = places >= 0
    classes = Targets.from_pairs(clips[known], places[known], len(lengths), len(mids))
    unknown = pc.value_counts(found.filter(pa.array(~known))).to_pylist()
    notes = _unknown({count["values"]: count["counts"] for count in unknown})
    return ytids.to_numpy().astype(str), classes, pc.fill_null(sizes, 0).to_numpy(), notes


def _encoded(cell: dict | None, name: str) -> bytes | str:
    """Bytes of a sound file, or the path of one, from a cell of the column `audio`."""
    if not cell or cell["bytes"] is None and not cell["path"]:
        raise AudioError(f"{name}: the table has no sound for it. Leave it out", "missing")
    return cell["path"] if cell["bytes"] is None else cell["bytes"]


def _decode(cell: dict | None, name: str, rate: int) -> Tensor:
    sound = _encoded(cell, name)
    return audio.decode(sound, name, rate) if isinstance(sound, bytes) else audio.load(sound, rate)
