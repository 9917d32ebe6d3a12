"""AudioSet: two million clips of 10 s from YouTube, 527 classes, several to a clip (Gemmeke et al., ICASSP 2017).

Chapter: notebooks/06_data_and_augmentation.ipynb

Google publishes lists, no sound, and what has vanished from YouTube since is missing from every copy: the paper itself
had 19,185 of the 20,371 clips of the evaluation list. So missing clips are counted and reported here, and are no error.

The sound may be a folder of files beside Google's lists, or Parquet files. The names and labels of all clips stay in
memory, in a few arrays; the sound of a clip is read when it is asked for.
"""

import hashlib
import os
from pathlib import Path

import numpy as np
from torch import Tensor

from .. import audio
from . import parquet
from .base import AudioDataset
from .report import DataNotFound, Report
from .segments import GOOGLE, HOW_TO_GET, LISTS, find_files, find_list, label_table, locate, name_of, read_lists
from .stream import AudioStream


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
        root = locate(root, split)
        self.name, self.root = name_of(split), root
        self.mids, labels = label_table(root)
        if isinstance(root, Path) and not parquet.files(root, split):
            listed, starts, classes, notes = read_lists(root, split, self.mids)
            sources, self._cells, self._sizes = find_files(root, listed, starts), None, None
            there = sources != b""
            if not there.any():
                raise DataNotFound(f"{root} has none of the {len(listed):,} clips of AudioSet's {split}. {HOW_TO_GET}")
            report = missing(self.name, listed, there, f"there is no file for it in {root}")
            names, classes, sources = listed[there].astype(str), classes.take(np.flatnonzero(there)), sources[there]
        else:
            rows = parquet.open_rows(root, split, revision, streaming=False)
            names, classes, self._sizes, notes = parquet.read_columns(rows, self.mids)
            sources, self._cells = np.arange(len(rows)), rows.select_columns(["video_id", "audio"])
            report = Report(self.name, len(names))
            if isinstance(root, str | Path):  # an opened data set may be any part of a split
                if all(find_list(root, name) for name in LISTS[split]):
                    listed = read_lists(root, split, self.mids)[0]
                    there = np.isin(listed, names.astype("S"))
                    report = missing(self.name, listed, there, f"Google lists it, {root} lacks it")
                else:
                    notes.append(f"How many more there should be is not known: the lists of {GOOGLE} are not here.")
        report.notes = notes
        super().__init__(labels, names, classes, None, sources, report)

    def read(self, source) -> Tensor:
        if self._cells is None:
            return audio.load(self._path(source), self.rate)
        row = self._cells[int(source)]
        return parquet.decode(row["audio"], row["video_id"], self.rate)

    def seconds(self, source) -> float:
        if self._cells is None:
            return audio.seconds(self._path(source))
        row = self._cells[int(source)]
        return audio.seconds(parquet.encoded(row["audio"], row["video_id"]), row["video_id"])

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


def missing(name: str, listed: np.ndarray, there: np.ndarray, reason: str) -> Report:
    report = Report(name, len(listed))
    report.problems = dict.fromkeys(listed[~there].astype(str).tolist(), ("missing", reason))
    return report
