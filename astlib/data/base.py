"""What all data sets share: named clips with labels and folds, decoded one at a time, and nothing else.

Chapter: notebooks/06_data_and_augmentation.ipynb

A data set decodes sound and stops there. Everything after that, mixup included, is batched tensor work on the device.

The largest one has two million clips, so what is kept of each clip is a few bytes in a few long arrays. Workers of a
loader then share those arrays; a Python object for each clip would be copied into every one of them, because merely
looking at an object counts its references and writes to its page.
"""

import copy
import difflib
import hashlib
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from .. import audio
from ..audio import AudioError
from .report import Report
from .targets import Targets

SPLITS = ("train", "test", "all")
SHORTEST = 400  # samples, 25 ms: the log-mel has no frame of a shorter clip


class AudioDataset(Dataset):
    """Clips of sound with targets. A data set of its own defines `read` and `fingerprint`, and `seconds` if it can.

    Attributes:
        name: of the data set, for records.
        labels: names of the classes, in the order of the target's columns.
        multi_label: False where every clip has exactly one label.
        rate: 16 000 Hz, always.
        is_synthetic: True where the sounds are made in code and stand in for recordings.
        names: one per clip, stable over runs and machines, such as "1-100032-A-0"; a list or an array.
        classes: the labels of every clip.
        folds: one int per clip, or None where the data set has no folds.
        sources: one per clip, whatever `read` needs to make its waveform.
        report: what should be there and is known to be missing. `check` makes one that has decoded every clip.
    """

    name: str
    multi_label = False
    is_synthetic = False
    rate = 16_000

    def __init__(self, labels: list[str], names, targets: Targets | Tensor, folds, sources, report=None):
        self.labels, self.names, self.folds, self.sources = labels, names, folds, sources
        self.classes = targets if isinstance(targets, Targets) else Targets.from_dense(targets)
        self.report = Report(self.name, len(names)) if report is None else report
        self._dense: Tensor | None = None
        self._clips: list[Tensor | AudioError] | None = None
        self._hash: str | None = None

    def read(self, source) -> Tensor:
        """One clip as (samples,) float32 in [-1, 1] at 16 kHz. Raises AudioError."""
        raise NotImplementedError

    def fingerprint(self, source) -> bytes:
        """Bytes that change when the sound of a clip changes."""
        raise NotImplementedError

    def seconds(self, source) -> float:
        """How long one clip is. Raises AudioError. Sets of files read the header alone."""
        return len(self.read(source)) / self.rate

    @property
    def targets(self) -> Tensor:
        """(clips, classes) float32, one-hot or multi-hot. Raises ValueError where that is more than 2 GB."""
        if self._dense is None:
            self._dense = self.classes.dense()
        return self._dense

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> dict:
        """{"waveform": (samples,) float32, "target": (classes,) float32, "index": int}. Raises AudioError."""
        return {"waveform": self.waveform(i), "target": self.classes[i], "index": range(len(self))[i]}

    def waveform(self, i: int) -> Tensor:
        """(samples,) float32 in [-1, 1]: from memory after `preload`, else decoded now. Raises AudioError."""
        if self._clips is None:
            return self.read(self.sources[i])
        if isinstance(self._clips[i], AudioError):
            raise self._clips[i].with_traceback(None)
        return self._clips[i]

    def preload(self, progress: bool = True) -> "AudioDataset":
        """Decode every clip once and keep it: 64 kB a second of sound. Forked workers share the memory.

        A clip that cannot be decoded stops nothing here; `waveform` raises its AudioError.
        """
        if self._clips is None:
            sources = tqdm(self.sources, desc=f"decoding {self.name}", unit="clip", disable=not progress)
            self._clips = [self._read_or_error(source) for source in sources]
        return self

    def _read_or_error(self, source) -> Tensor | AudioError:
        try:
            return self.read(source)
        except AudioError as error:
            return error

    def counts(self) -> dict[str, int]:
        """Clips of each label."""
        return dict(zip(self.labels, self.classes.counts().tolist(), strict=True))

    def durations(self) -> np.ndarray:
        """(clips,) float64 in seconds, NaN where a clip cannot be read. Headers are believed where there are any."""
        seconds = np.full(len(self), np.nan)
        for i, source in enumerate(self.sources):
            try:
                seconds[i] = self.seconds(source) if self._clips is None else len(self.waveform(i)) / self.rate
            except AudioError:
                continue  # stays NaN
        return seconds

    def check(self, progress: bool = True, workers: int = 0) -> Report:
        """Decode every clip and list what cannot be used, with what is known to be missing.

        workers: processes that decode; 0 decodes here.
        """
        report = copy.copy(self.report)
        report.problems, report.file = dict(report.problems), None
        loader = DataLoader(Loadable(self), batch_size=8, collate_fn=_problems, num_workers=workers)
        with tqdm(total=len(self), desc=f"checking {self.name}", unit="clip", disable=not progress) as bar:
            for size, problems in loader:
                report.problems.update({str(self.names[i]): (kind, reason) for i, kind, reason in problems})
                bar.update(size)
        return report

    def select(self, labels=None, folds=None, limit_per_class: int | None = None, rows=None) -> "AudioDataset":
        """A smaller data set: clips of a few classes, or of some folds, or the first few of each class.

        Args:
            labels: names to keep; the new targets have one column for each, in the order given here. A clip
                stays if it has at least one of them.
            folds: numbers to keep, or one number.
            limit_per_class: a clip stays while one of its classes has fewer clips than that.
            rows: numbers of the clips to choose from, in the order wanted.

        Returns:
            A data set of the same kind, clips in the same order. What was preloaded stays in memory once.

        Raises:
            ValueError: a label or a clip that the data set does not have, or nothing left.
        """
        labels = None if labels is None else list(dict.fromkeys(labels))
        everything = np.arange(len(self))
        rows = everything if rows is None else np.asarray(rows, np.int64 if len(rows) == 0 else None)
        if rows.ndim != 1 or rows.dtype.kind not in "iu" or not np.isin(rows, everything).all():
            raise ValueError(f"rows must be numbers of clips, 0 to {len(self) - 1}, in one list or array")
        if folds is not None:
            if self.folds is None:
                raise ValueError(f"{self.name} has no folds")
            rows = rows[np.isin(np.asarray(self.folds)[rows], folds)]
        classes = self.classes.take(rows)
        if labels is not None:
            classes = self._columns(classes, labels)
        keep = np.ones(len(rows), bool)
        if labels is not None or limit_per_class is not None:
            # The first few clips of a class all stay, whatever their other labels are, and count for those too.
            owners, order = classes.rows(), np.argsort(classes.columns, kind="stable")
            starts = np.concatenate([[0], np.cumsum(classes.counts())])[classes.columns[order]]
            place_in_class = np.arange(len(order)) - starts
            first = order if limit_per_class is None else order[place_in_class < limit_per_class]
            keep[:] = False
            keep[owners[first]] = True
        rows = rows[keep]
        if not len(rows):
            wanted = {"labels": labels, "folds": None if folds is None else np.atleast_1d(folds).tolist()}
            found = ", ".join(f"{what} {value}" for what, value in wanted.items() if value is not None)
            raise ValueError(f"nothing of {self.name} is left{found and f' with {found}'}")
        part = copy.copy(self)
        part.labels = self.labels if labels is None else labels
        part.classes, part._dense, part._hash = classes.take(np.flatnonzero(keep)), None, None
        part.report = Report(self.name, len(rows))  # nobody asked for what is missing elsewhere
        for field in ("names", "folds", "sources", "_clips"):
            setattr(part, field, _take(getattr(self, field), rows))
        return part

    def _columns(self, classes: Targets, labels: list[str]) -> Targets:
        """The same clips with a column for each of these labels."""
        places = {label: i for i, label in enumerate(self.labels)}
        unknown = [label for label in labels if label not in places]
        if unknown:
            near = difflib.get_close_matches(str(unknown[0]), self.labels) or self.labels[:5]
            raise ValueError(f"{self.name} has no label {unknown[0]!r}. Did you mean: {', '.join(near)}?")
        new = np.full(len(self.labels), -1)
        new[[places[label] for label in labels]] = np.arange(len(labels))
        columns = new[classes.columns]
        return Targets.from_pairs(classes.rows()[columns >= 0], columns[columns >= 0], len(classes), len(labels))

    def manifest_hash(self) -> str:
        """ "sha256:..." over labels, names, targets, folds and the content of every clip, in order.

        It tells two data sets apart that look alike: another copy, another encoding, a file too few.
        Computed once; files that change afterwards are not noticed.
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

    def read(self, source: str | os.PathLike) -> Tensor:
        return audio.load(source, self.rate)

    def fingerprint(self, source: str | os.PathLike) -> bytes:
        return Path(source).read_bytes()

    def seconds(self, source: str | os.PathLike) -> float:
        return audio.seconds(source)


def _take(values, rows: np.ndarray):
    """These rows of an array, of another sequence as a list, or of None."""
    if values is None or isinstance(values, np.ndarray):
        return None if values is None else values[rows]
    return [values[i] for i in rows.tolist()]


class Loadable(Dataset):
    """What loaders iterate: a data set whose bad clips do not stop a run.

    An item has, besides what the data set gives, "problem": None or (kind, reason). A clip that cannot be used is
    25 ms of silence, and `collate` marks it as not usable.
    """

    def __init__(self, dataset: AudioDataset):
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, i: int) -> dict:
        dataset = self.dataset
        return guarded(lambda: dataset[i], str(dataset.names[i]), dataset.classes[i], range(len(self))[i])


def guarded(make, name: str, target: Tensor, index: int) -> dict:
    """What `make` makes, an item, with "problem": None; or silence and (kind, reason) where it raises AudioError.

    A clip without a single frame counts as empty.
    """
    try:
        item = make()
        samples = len(item["waveform"])
        if samples < SHORTEST:
            raise AudioError(f"{name}: has {samples} samples, less than the {SHORTEST} of 25 ms. Leave it out", "empty")
        return {**item, "problem": None}
    except AudioError as error:
        problem = (error.kind, str(error))
        return {"waveform": torch.zeros(SHORTEST), "target": target, "index": index, "problem": problem}


def folds_of(fold: int, split: str, folds: int = 5) -> list[int]:
    """Folds of a split in cross-validation: fold `fold` is the test fold, the others are for training."""
    everything = list(range(1, folds + 1))
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    if fold not in everything:
        raise ValueError(f"fold must be 1 to {folds}, got {fold!r}")
    return {"train": [f for f in everything if f != fold], "test": [fold], "all": everything}[split]


def collate(items: list[dict]) -> dict:
    """Items of an AudioDataset or a Loadable to one batch.

    Returns:
        {"waveforms": (batch, samples) float32, zero padded to the longest clip, "lengths": (batch,) int64 in
        samples, "targets": (batch, classes) float32, "index": (batch,) int64, "usable": (batch,) bool, "problems":
        list of (index, kind, reason), empty as a rule}.
    """
    waveforms = [item["waveform"] for item in items]
    return {
        "waveforms": torch.nn.utils.rnn.pad_sequence(waveforms, batch_first=True),
        "lengths": torch.tensor([len(waveform) for waveform in waveforms]),
        "targets": torch.stack([item["target"] for item in items]),
        "index": torch.tensor([item["index"] for item in items]),
        "usable": torch.tensor([item.get("problem") is None for item in items]),
        "problems": _problems(items)[1],
    }


def _problems(items: list[dict]) -> tuple[int, list[tuple[int, str, str]]]:
    return len(items), [(item["index"], *item["problem"]) for item in items if item.get("problem")]


def cache_folder() -> Path:
    """Where downloaded data lives: astlib/data in $XDG_CACHE_HOME or ~/.cache. It need not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "astlib" / "data"


def folders(name: str) -> list[Path]:
    """Where data set `name` is looked for, in this order: $ASTLIB_DATA, then the user's cache."""
    chosen = os.environ.get("ASTLIB_DATA")
    return [*([Path(chosen).expanduser() / name] if chosen else []), cache_folder() / name]


def find(name: str) -> Path | None:
    """The folder of a data set, if it is on this machine and not empty. Looks only; no network."""
    return next((folder for folder in folders(name) if folder.is_dir() and any(folder.iterdir())), None)
