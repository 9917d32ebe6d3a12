"""AudioSet: two million clips of 10 s from YouTube, 527 classes, several per clip (Gemmeke et al., ICASSP 2017).

Chapter: notebooks/06_data_and_augmentation.ipynb

Google publishes lists but no sound, and videos that have vanished from YouTube are missing from every copy: the paper
itself had 19,185 of the 20,371 clips of the evaluation list. So missing clips are counted and reported here, and they
are not an error.

The sound may be a folder of files beside Google's lists, or Parquet files. The names and labels of all clips stay in
memory, in a few arrays; the sound of a clip is read only when it is needed.
"""

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ... import audio
from ...errors import DataNotFound
from ..base import AudioDataset
from ..report import Problem, Report
from ..targets import Targets
from . import parquet
from .lists import (
    AUDIOSET_HELP,
    GOOGLE_LISTS,
    LISTS,
    AudioSetRoot,
    AudioSetSplit,
    Located,
    find_files,
    find_list,
    label_table,
    locate,
    name_of,
    read_lists,
)

if TYPE_CHECKING:  # datasets is an optional package
    from datasets import Dataset


class AudioSet(AudioDataset):
    """One split of AudioSet. Clips are named by their YTID; those that are missing are in `report`.

    Google's lists are looked for in `root`, then in $ASTLIB_DATA/audioset and the cache: `class_labels_indices.csv`,
    which is always needed, and the list of the split, which a folder of sound needs. For Parquet, the list only tells
    which clips are missing.

    Args:
        root: a folder, the name of a data set on the hub ("agkphysics/AudioSet"), or a `datasets.Dataset` with its
            columns `video_id`, `audio` and `labels`. None looks in $ASTLIB_DATA/audioset and the user's cache.

            A folder of sound holds files named `YTID`, `YTID_start` or `YTID_start_end` (seconds or milliseconds),
            with or without a "Y" in front, in any format that libsndfile reads. They lie in it, in its folder `audio`,
            or one folder further down. A folder of Parquet holds `data/bal_train/*.parquet` and so on. `datasets`
            makes a copy of Parquet in its own cache on first use; where there is no room for it, use `AudioStream`.
        split: "balanced", "unbalanced", "full" (both) or "eval".
        revision: of a data set on the hub: a commit, a tag or a branch.

    Attributes:
        root: the folder as Path, the name on the hub, or the opened data set.
        mids: Google's machine ids of the classes, in the order of `labels`.

    Raises:
        DataNotFound: no list, or not a single clip.
        MissingPackage: `datasets` is needed and not installed.
        InvalidInput: an unknown split, or columns that are missing.
    """

    multi_label = True
    names: NDArray[np.str_]
    sources: NDArray[Any]  # names of files as bytes, or numbers of rows of the table

    def __init__(
        self, root: AudioSetRoot = None, split: AudioSetSplit = "balanced", revision: str | None = None
    ) -> None:
        place = locate(root, split)
        self.name, self.root = name_of(split), place
        self.mids, labels = label_table(place)
        self._cells: Dataset | None = None  # the table, if the sound is in one
        self._sizes: NDArray[np.int64] | None = None  # (rows of the table,), bytes of encoded sound
        sources: NDArray[Any]
        if isinstance(place, Path) and not parquet.files(place, split):
            names, classes, sources, report = self._open_folder(place, split)
        else:
            names, classes, sources, report = self._open_table(place, split, revision)
        super().__init__(labels, names, classes, None, sources, report)

    def _open_folder(
        self, folder: Path, split: AudioSetSplit
    ) -> tuple[NDArray[np.str_], Targets, NDArray[np.bytes_], Report]:
        """Names, labels and files of the clips that are there, and a report of those that are not."""
        listed = read_lists(folder, split, self.mids)
        files = find_files(folder, listed.ytids, listed.starts)
        there = files != b""
        if not there.any():
            raise DataNotFound(f"{folder} has none of the {len(files):,} clips of AudioSet's {split}. {AUDIOSET_HELP}")
        report = _missing(self.name, listed.ytids, there, f"there is no file for it in {folder}")
        report.notes = listed.notes
        return listed.ytids[there].astype(str), listed.classes.take(np.flatnonzero(there)), files[there], report

    def _open_table(
        self, place: Located, split: AudioSetSplit, revision: str | None
    ) -> tuple[NDArray[np.str_], Targets, NDArray[np.int64], Report]:
        """Names, labels and numbers of the rows, and a report of the clips that Google lists and the table lacks."""
        rows = parquet.open_rows(place, split, revision, streaming=False)
        names, classes, self._sizes, notes = parquet.read_columns(rows, self.mids)
        self._cells = rows.select_columns(["video_id", "audio"])
        report = Report(self.name, len(names))
        if isinstance(place, str | Path):  # an opened data set may be any part of a split
            if all(find_list(place, name) for name in LISTS[split]):
                listed = read_lists(place, split, self.mids).ytids
                there = np.isin(listed, names.astype("S"))
                report = _missing(self.name, listed, there, f"Google lists it, {place} lacks it")
            else:
                notes.append(f"How many more there should be is not known: the lists of {GOOGLE_LISTS} are not here.")
        report.notes = notes
        return names, classes, np.arange(len(rows)), report

    def read(self, source: Any) -> Tensor:
        """Decode one clip: `(samples,)` float32 in [-1, 1] at 16 kHz. Raises AudioError if it cannot be used."""
        if self._cells is None:
            return audio.load(self._path(source), self.rate)
        row: parquet.ClipRow = self._cells[int(source)]
        return parquet.decode(row["audio"], row["video_id"], self.rate)

    def seconds(self, source: Any) -> float:
        """Measure how long one clip is, by its header. Raises AudioError if it cannot be read."""
        if self._cells is None:
            return audio.seconds(self._path(source))
        row: parquet.ClipRow = self._cells[int(source)]
        return audio.seconds(parquet.encoded(row["audio"], row["video_id"]), row["video_id"])

    def _path(self, source: bytes) -> str:
        return os.path.join(str(self.root), os.fsdecode(source))

    def manifest_hash(self) -> str:
        """Hash names, labels, and the size in bytes of every encoded clip; of a folder, the names of files as well.

        The content is not hashed: reading 2.4 TB would take too long. So a clip that was replaced by another of the
        very same size is not noticed. Two copies in the same encoding have the same hash wherever they are.

        Returns:
            "sha256:" and 64 hexadecimal digits.
        """
        if self._hash is None:
            digest = hashlib.sha256(repr((self.name, self.labels)).encode())
            digest.update("\n".join(self.names.tolist()).encode())
            for numbers in (self.classes.offsets, self.classes.columns):
                digest.update(numbers.astype("<i8").tobytes())
            if self._sizes is None:
                digest.update(b"\0".join(self.sources.tolist()))
                sizes = np.array([os.stat(self._path(source)).st_size for source in self.sources])
            else:
                sizes = self._sizes[self.sources]
            digest.update(sizes.astype("<i8").tobytes())
            self._hash = f"sha256:{digest.hexdigest()}"
        return self._hash


def _missing(name: str, listed: NDArray[np.bytes_], there: NDArray[np.bool_], reason: str) -> Report:
    """A report of the listed clips that are not there."""
    report = Report(name, len(listed))
    report.update(Problem(ytid, "missing", reason) for ytid in listed[~there].astype(str).tolist())
    return report
