"""What all data sets share: named clips with targets and folds, decoded one at a time, and nothing else.

Chapter: notebooks/06_data_and_augmentation.ipynb

A data set decodes sound and stops there. Everything after that, mixup included, is batched tensor work on
the device.
"""

import copy
import difflib
import hashlib
import os
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

SPLITS = ("train", "test", "all")


class DataNotFound(FileNotFoundError):
    """A data set that is not there, or not wholly. The message says what is missing and how to get it."""


class AudioDataset(Dataset):
    """Clips of sound with targets. A data set of its own defines `read` and `fingerprint`.

    Attributes:
        name: of the data set, for records.
        labels: names of the classes, in the order of the target's columns.
        multi_label: False where every clip has exactly one label.
        rate: 16 000 Hz, always.
        is_synthetic: True where the sounds are made in code and stand in for recordings.
        names: one per clip, stable over runs and machines, such as "1-100032-A-0".
        targets: (clips, classes) float32, one-hot or multi-hot.
        folds: one int per clip.
        sources: one per clip, whatever `read` needs to make its waveform.
    """

    name: str
    multi_label = False
    is_synthetic = False
    rate = 16_000

    def __init__(self, labels: list[str], names: list[str], targets: Tensor, folds: list[int], sources: list):
        self.labels, self.names, self.targets = labels, names, targets
        self.folds, self.sources = folds, sources
        self._clips: list[Tensor] | None = None
        self._hash: str | None = None

    def read(self, source) -> Tensor:
        """One clip as (samples,) float32 in [-1, 1] at 16 kHz."""
        raise NotImplementedError

    def fingerprint(self, source) -> bytes:
        """Bytes that change when the sound of a clip changes."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> dict:
        """{"waveform": (samples,) float32, "target": (classes,) float32, "index": int}."""
        return {"waveform": self.waveform(i), "target": self.targets[i], "index": range(len(self))[i]}

    def waveform(self, i: int) -> Tensor:
        """(samples,) float32 in [-1, 1]: from memory after `preload`, else decoded now."""
        return self.read(self.sources[i]) if self._clips is None else self._clips[i]

    def preload(self, progress: bool = True) -> "AudioDataset":
        """Decode every clip once and keep it: 64 kB a second of sound. Forked workers share the memory."""
        if self._clips is None:
            from tqdm.auto import tqdm

            sources = tqdm(self.sources, desc=f"decoding {self.name}", unit="clip", disable=not progress)
            self._clips = [self.read(source) for source in sources]
        return self

    def counts(self) -> dict[str, int]:
        """Clips of each label."""
        return dict(zip(self.labels, self.targets.sum(0).int().tolist(), strict=True))

    def select(self, labels=None, folds=None, limit_per_class: int | None = None) -> "AudioDataset":
        """A smaller data set: clips of a few classes, or of some folds, or the first few of each class.

        Args:
            labels: names to keep; the new targets have one column for each, in the order given here. A clip
                stays if it has at least one of them.
            folds: numbers to keep, or one number.
            limit_per_class: a clip stays while one of its classes has fewer clips than that.

        Returns:
            A data set of the same kind, clips in the same order. What was preloaded stays in memory once.

        Raises:
            ValueError: a label that the data set does not have, or nothing left.
        """
        labels = list(self.labels if labels is None else labels)
        unknown = [label for label in labels if label not in self.labels]
        if unknown:
            near = difflib.get_close_matches(str(unknown[0]), self.labels) or self.labels
            raise ValueError(f"{self.name} has no label {unknown[0]!r}. Did you mean: {', '.join(near)}?")
        targets = self.targets[:, [self.labels.index(label) for label in labels]]
        folds = self.folds if folds is None else [folds] if isinstance(folds, int) else list(folds)
        seen, keep = torch.zeros(len(labels)), []
        for i, target in enumerate(targets):
            open_classes = target > 0
            if limit_per_class is not None:
                open_classes &= seen < limit_per_class
            if self.folds[i] in folds and open_classes.any():
                keep.append(i)
                seen += target
        if not keep:
            raise ValueError(f"nothing of {self.name} has labels {labels} in folds {sorted(set(folds))}")
        part = copy.copy(self)
        part.labels, part.targets, part._hash = labels, targets[keep], None
        for field in ("names", "folds", "sources"):
            setattr(part, field, [getattr(self, field)[i] for i in keep])
        part._clips = None if self._clips is None else [self._clips[i] for i in keep]
        return part

    def manifest_hash(self) -> str:
        """ "sha256:..." over labels, names, targets, folds and the content of every clip, in order.

        It tells two data sets apart that look alike: another copy, another encoding, a file too few.
        Computed once; files that change afterwards are not noticed.
        """
        if self._hash is None:
            digest = hashlib.sha256(repr((self.name, self.labels)).encode())
            for name, target, fold, source in zip(
                self.names, self.targets.tolist(), self.folds, self.sources, strict=True
            ):
                content = hashlib.sha256(self.fingerprint(source)).hexdigest()
                digest.update(repr((name, target, fold, content)).encode())
            self._hash = f"sha256:{digest.hexdigest()}"
        return self._hash

    def __repr__(self) -> str:
        folds = sorted(set(self.folds))
        return f"{type(self).__name__}({len(self)} clips, {len(self.labels)} classes, folds {folds})"


def folds_of(fold: int, split: str, folds: int = 5) -> list[int]:
    """Folds of a split in cross-validation: fold `fold` is the test fold, the others are for training."""
    everything = list(range(1, folds + 1))
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    if fold not in everything:
        raise ValueError(f"fold must be 1 to {folds}, got {fold!r}")
    return {"train": [f for f in everything if f != fold], "test": [fold], "all": everything}[split]


def collate(items: list[dict]) -> dict[str, Tensor]:
    """Items of an AudioDataset to one batch.

    Returns:
        {"waveforms": (batch, samples) float32, zero padded to the longest clip, "lengths": (batch,) int64 in
        samples, "targets": (batch, classes) float32, "index": (batch,) int64}.
    """
    waveforms = [item["waveform"] for item in items]
    return {
        "waveforms": torch.nn.utils.rnn.pad_sequence(waveforms, batch_first=True),
        "lengths": torch.tensor([len(waveform) for waveform in waveforms]),
        "targets": torch.stack([item["target"] for item in items]),
        "index": torch.tensor([item["index"] for item in items]),
    }


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
