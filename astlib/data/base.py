"""What all data sets share: named clips with labels and folds, decoded one at a time, and nothing else.

Chapter: notebooks/06_data_and_augmentation.ipynb

A data set decodes sound and does nothing else. Everything after that, mixup included, is batched tensor work on the
device.

The largest data set has two million clips, so a few bytes are kept per clip, in a few long arrays. The workers of a
loader share these arrays. One Python object per clip would be copied into every worker, because even reading an object
changes its reference count and so writes to its page of memory.
"""

import copy
import difflib
import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from .. import audio
from ..errors import AudioError, DataIncomplete, InvalidInput
from .batch import Item, guarded
from .report import Problem, Report
from .targets import Integers, Targets

Split = Literal["train", "validation", "test", "all"]
SPLITS: tuple[Split, ...] = get_args(Split)
FOLD_COUNT = 5  # of data sets that are divided for cross-validation
CLIP_SUFFIXES = (".ogg", ".flac", ".wav")  # of known data sets; of two files for one clip, the later suffix counts


class AudioDataset(Dataset[Item]):
    """Clips of sound with targets. A subclass defines `read` and `fingerprint`, and `seconds` if it can be fast.

    Args:
        labels: names of the classes, in the order of the target's columns.
        names: one per clip.
        targets: the labels of every clip; or `(clips, classes)` of zeros and ones.
        folds: one number per clip, or None if the data set has no folds.
        sources: one per clip, whatever `read` needs to make its waveform.
        report: which clips should be there and are missing; None if nothing is missing.

    Attributes:
        name: of the data set, for records.
        labels: as given.
        multi_label: False if every clip has exactly one label.
        rate: 16 000 Hz, always.
        is_synthetic: True if the sounds are made in code and stand in for recordings.
        names: one per clip, the same in every run and on every machine, such as "1-100032-A-0"; a list or an array.
        classes: the labels of every clip.
        folds: as given.
        sources: as given.
        report: what is known to be missing. `check` returns one for which every clip was decoded.
    """

    name: str
    multi_label = False
    is_synthetic = False
    rate = 16_000

    def __init__(
        self,
        labels: list[str],
        names: Sequence[str] | NDArray[np.str_],
        targets: Targets | Tensor,
        folds: Sequence[int] | None,
        sources: Sequence[Any] | NDArray[Any],
        report: Report | None = None,
    ) -> None:
        self.labels, self.names, self.folds, self.sources = labels, names, folds, sources
        self.classes = targets if isinstance(targets, Targets) else Targets.from_dense(targets)
        self.report = Report(self.name, len(names)) if report is None else report
        self._dense: Tensor | None = None
        self._clips: list[Tensor | AudioError] | None = None
        self._hash: str | None = None

    def read(self, source: Any) -> Tensor:
        """Decode one clip.

        Args:
            source: one of `sources`.

        Returns:
            `(samples,)` float32 in [-1, 1] at 16 kHz.

        Raises:
            AudioError: the clip cannot be used.
        """
        raise NotImplementedError

    def fingerprint(self, source: Any) -> bytes:
        """Return bytes that change when the sound of a clip changes.

        Args:
            source: one of `sources`.

        Returns:
            The bytes of its file, or a description of how it is made.
        """
        raise NotImplementedError

    def seconds(self, source: Any) -> float:
        """Measure how long one clip is. Data sets of files read the header only.

        Args:
            source: one of `sources`.

        Returns:
            Seconds.

        Raises:
            AudioError: the clip cannot be read.
        """
        return len(self.read(source)) / self.rate

    @property
    def targets(self) -> Tensor:
        """`(clips, classes)` float32, one-hot or multi-hot. Raises InvalidInput if that is more than 2 GB."""
        if self._dense is None:
            self._dense = self.classes.dense()
        return self._dense

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> Item:
        """Return one clip with its target and its number. Raises AudioError if it cannot be used."""
        return {"waveform": self.waveform(i), "target": self.classes[i], "index": range(len(self))[i]}

    def waveform(self, i: int) -> Tensor:
        """Decode one clip, or take it from memory after `preload`.

        Args:
            i: number of the clip.

        Returns:
            `(samples,)` float32 in [-1, 1] at 16 kHz.

        Raises:
            AudioError: the clip cannot be used.
        """
        if self._clips is None:
            return self.read(self.sources[i])
        clip = self._clips[i]
        if isinstance(clip, AudioError):
            raise clip.with_traceback(None)
        return clip

    def preload(self, progress: bool = True) -> Self:
        """Decode every clip once and keep it in memory: 64 kB per second of sound, shared by forked workers.

        A clip that cannot be decoded does not stop this; `waveform` raises its AudioError.

        Args:
            progress: show a progress bar.

        Returns:
            This data set.
        """
        if self._clips is None:
            sources = tqdm(self.sources, desc=f"decoding {self.name}", unit="clip", disable=not progress)
            self._clips = [self._read_or_error(source) for source in sources]
        return self

    def estimated_bytes(self, most: int = 1000) -> int:
        """Estimate how much memory `preload` takes, from the lengths of clips spread evenly over the data set.

        Args:
            most: number of clips to look at; in a smaller data set, all of them.

        Returns:
            Bytes.
        """
        rows = np.unique(np.linspace(0, len(self) - 1, min(most, len(self))).astype(int))
        seconds = self.select(rows=rows).durations()
        known = seconds[~np.isnan(seconds)]
        return int(4 * self.rate * len(self) * known.mean()) if len(known) else 0

    def _read_or_error(self, source: Any) -> Tensor | AudioError:
        try:
            return self.read(source)
        except AudioError as error:
            return error

    def counts(self) -> dict[str, int]:
        """Count the clips of each label.

        Returns:
            The number of clips by label, in the order of `labels`.
        """
        return dict(zip(self.labels, self.classes.counts().tolist(), strict=True))

    def durations(self) -> NDArray[np.float64]:
        """Measure how long the clips are, by their headers where there are any.

        Returns:
            `(clips,)` float64 in seconds, NaN for a clip that cannot be read.
        """
        seconds = np.full(len(self), np.nan)
        for i, source in enumerate(self.sources):
            try:
                seconds[i] = self.seconds(source) if self._clips is None else len(self.waveform(i)) / self.rate
            except AudioError:
                continue  # stays NaN
        return seconds

    def check(self, progress: bool = True, workers: int = 0) -> Report:
        """Decode every clip and report those that cannot be used, together with those known to be missing.

        Args:
            progress: show a progress bar.
            workers: processes that decode; 0 decodes in this process.

        Returns:
            A new report.
        """
        report = self.report.copy()
        loader = DataLoader(Loadable(self), batch_size=8, collate_fn=_problems, num_workers=workers)
        with tqdm(total=len(self), desc=f"checking {self.name}", unit="clip", disable=not progress) as bar:
            for problems in loader:
                report.update(problem for problem in problems if problem is not None)
                bar.update(len(problems))
        return report

    def select(
        self,
        labels: str | Iterable[str] | None = None,
        folds: int | Integers | None = None,
        limit_per_class: int | None = None,
        rows: Integers | None = None,
    ) -> Self:
        """Choose clips: of some classes, of some folds, or the first few of each class.

        Args:
            labels: one label or several. A clip stays if it has at least one of them; the new targets have one column
                per label, in the order given here.
            folds: one fold or several. A clip stays if its fold is among them.
            limit_per_class: a clip stays as long as one of its classes has fewer clips than this.
            rows: numbers of the clips to choose from, in the wanted order.

        Returns:
            A data set of the same kind, clips in the same order. It shares preloaded clips with this one.

        Raises:
            InvalidInput: a label or a clip that the data set does not have, or no clip is left.
        """
        if isinstance(labels, str):
            labels = [labels]  # a string is one label, not a list of letters
        labels = None if labels is None else list(dict.fromkeys(labels))
        numbers = None if folds is None else np.atleast_1d(folds).tolist()
        chosen = self._chosen(rows, numbers)
        classes = self.classes.take(chosen)
        if labels is not None:
            classes = self._columns(classes, labels)
        keep = np.ones(len(chosen), bool)
        if labels is not None or limit_per_class is not None:
            keep = _first_of_each_class(classes, limit_per_class)
        chosen = chosen[keep]
        if not len(chosen):
            wanted = (("labels", labels), ("folds", numbers))
            found = ", ".join(f"{what} {value}" for what, value in wanted if value is not None)
            raise InvalidInput(f"nothing of {self.name} is left{found and f' with {found}'}")
        part = copy.copy(self)
        part.labels = self.labels if labels is None else labels
        part.classes, part._dense, part._hash = classes.take(np.flatnonzero(keep)), None, None
        part.report = Report(self.name, len(chosen))  # what is missing elsewhere does not concern this selection
        for field in ("names", "folds", "sources", "_clips"):
            setattr(part, field, _take(getattr(self, field), chosen))
        return part

    def _chosen(self, rows: Integers | None, folds: list[int] | None) -> NDArray[np.integer[Any]]:
        """Numbers of the clips that are among `rows` and in one of these folds."""
        everything = np.arange(len(self))
        chosen = everything if rows is None else np.asarray(rows, np.int64 if len(rows) == 0 else None)
        if chosen.ndim != 1 or chosen.dtype.kind not in "iu" or not np.isin(chosen, everything).all():
            raise InvalidInput(f"rows must be numbers of clips, 0 to {len(self) - 1}, in one list or array")
        if folds is None:
            return chosen
        if self.folds is None:
            raise InvalidInput(f"{self.name} has no folds")
        return chosen[np.isin(np.asarray(self.folds)[chosen], folds)]

    def _columns(self, classes: Targets, labels: list[str]) -> Targets:
        """The same clips with one column for each of these labels."""
        places = {label: i for i, label in enumerate(self.labels)}
        unknown = [label for label in labels if label not in places]
        if unknown:
            near = difflib.get_close_matches(str(unknown[0]), self.labels) or self.labels[:5]
            raise InvalidInput(f"{self.name} has no label {unknown[0]!r}. Did you mean: {', '.join(near)}?")
        new = np.full(len(self.labels), -1)
        new[[places[label] for label in labels]] = np.arange(len(labels))
        columns = new[classes.columns]
        return Targets.from_pairs(classes.rows()[columns >= 0], columns[columns >= 0], len(classes), len(labels))

    def manifest_hash(self) -> str:
        """Hash labels, names, targets, folds and the content of every clip, in order.

        It distinguishes data sets that look alike: another copy, another encoding, a missing file. It is computed once;
        files that change afterwards are not noticed.

        Returns:
            "sha256:" and 64 hexadecimal digits.
        """
        if self._hash is None:
            digest = hashlib.sha256(repr((self.name, self.labels)).encode())
            for i, source in enumerate(self.sources):
                fold = None if self.folds is None else int(self.folds[i])
                content = hashlib.sha256(self.fingerprint(source)).hexdigest()
                digest.update(repr((str(self.names[i]), self.classes[i].tolist(), fold, content)).encode())
            self._hash = f"sha256:{digest.hexdigest()}"
        return self._hash

    def __repr__(self) -> str:
        folds = "" if self.folds is None else f", folds {sorted(set(self.folds))}"
        return f"{type(self).__name__}({len(self)} clips, {len(self.labels)} classes{folds})"


class SoundFiles(AudioDataset):
    """A data set whose sources are paths of sound files."""

    def read(self, source: str | os.PathLike[str]) -> Tensor:
        """Decode a sound file: `(samples,)` float32 in [-1, 1] at 16 kHz. Raises AudioError if it cannot be used."""
        return audio.load(source, self.rate)

    def fingerprint(self, source: str | os.PathLike[str]) -> bytes:
        """Return the bytes of a file."""
        return Path(source).read_bytes()

    def seconds(self, source: str | os.PathLike[str]) -> float:
        """Measure how long a sound file is, by its header. Raises AudioError if it cannot be read."""
        return audio.seconds(source)


def _first_of_each_class(classes: Targets, limit: int | None) -> NDArray[np.bool_]:
    """`(clips,)`: whether a clip is one of the first `limit` of one of its classes; None: whether it has a class.

    The first clips of a class all stay, whatever other labels they have, and they count for those labels too.
    """
    owners, order = classes.rows(), np.argsort(classes.columns, kind="stable")
    starts = np.concatenate([[0], np.cumsum(classes.counts())])[classes.columns[order]]
    place_in_class = np.arange(len(order)) - starts
    first = order if limit is None else order[place_in_class < limit]
    keep = np.zeros(len(classes), bool)
    keep[owners[first]] = True
    return keep


def _take(values: Any, rows: NDArray[np.integer[Any]]) -> Any:
    """These rows of an array, of another sequence as a list, or of None."""
    if values is None or isinstance(values, np.ndarray):
        return None if values is None else values[rows]
    return [values[i] for i in rows.tolist()]


class Loadable(Dataset[Item]):
    """A data set as loaders iterate over it: clips that cannot be used do not stop a run.

    Such a clip becomes 25 ms of silence with its problem, and `collate` marks it as not usable.

    Args:
        dataset: the data set.
    """

    def __init__(self, dataset: AudioDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, i: int) -> Item:
        dataset = self.dataset
        return guarded(lambda: dataset[i], str(dataset.names[i]), dataset.classes[i], range(len(self))[i])


def folds_of(fold: int, split: Split) -> list[int]:
    """List the folds of a split in cross-validation: one fold is the test fold, the others are for training.

    Args:
        fold: the test fold, 1 to 5.
        split: "train", "test" or "all"; with folds there is no separate validation part.

    Returns:
        Numbers of folds.

    Raises:
        InvalidInput: another fold or split.
    """
    everything = list(range(1, FOLD_COUNT + 1))
    if fold not in everything:
        raise InvalidInput(f"fold must be 1 to {FOLD_COUNT}, got {fold!r}")
    folds = {"train": [f for f in everything if f != fold], "test": [fold], "all": everything}.get(split)
    if folds is None:
        raise InvalidInput(f"split must be one of train, test, all, got {split!r}")
    return folds


def _problems(items: list[Item]) -> list[Problem | None]:
    return [item.get("problem") for item in items]


def duration_stats(dataset: AudioDataset) -> dict[str, float]:
    """Measure how long the clips are. Unreadable clips do not count.

    Args:
        dataset: any data set.

    Returns:
        count and total_hours; min, median, mean, p95 (95 % of the clips are not longer) and max in seconds.

    Raises:
        DataIncomplete: not a single clip can be read.
    """
    seconds = dataset.durations()
    seconds = seconds[~np.isnan(seconds)]
    if not len(seconds):
        raise DataIncomplete(f"no clip of {dataset.name} can be read. check() lists why")
    return {
        "count": len(seconds),
        "total_hours": float(seconds.sum()) / 3600,
        "min": float(seconds.min()),
        "median": float(np.median(seconds)),
        "mean": float(seconds.mean()),
        "p95": float(np.quantile(seconds, 0.95, method="inverted_cdf")),
        "max": float(seconds.max()),
    }
