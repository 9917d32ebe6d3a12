"""Data sets with one interface: clips, targets, folds.

Chapter: notebooks/06_data_and_augmentation.ipynb
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .audioset import AudioSet, AudioStream
from .base import AudioDataset, Loadable, cache_folder, collate, find, folders
from .esc50 import ESC50
from .folder import Folder
from .mixture import Mixture
from .report import DataIncomplete, DataNotFound, Report
from .speech_commands import FOLDERS, SpeechCommands, has_testing_part
from .statistics import duration_stats, normalisation
from .synthetic import Synthetic
from .targets import Targets

__all__ = [
    "DATASETS", "AudioDataset", "AudioSet", "AudioStream", "DataIncomplete", "DataNotFound", "ESC50", "Folder",
    "Loadable", "Mixture", "Report", "SpeechCommands", "Synthetic", "Targets", "cache_folder", "collate",
    "duration_stats", "esc50_or_synthetic", "find", "known", "normalisation", "parts",
]  # fmt: skip

FOLDS = 5


@dataclass(frozen=True)
class Known:
    """A data set that the command line and the recipes know by a name.

    Attributes:
        what: one line about it.
        parts: (fold, validation, root) to (train, validation or None, test).
        everything: (root, fold or None) to the data sets that together are all clips, or all clips of one fold.
        get: how to get it.
        place: the folder it was found in, if any.
        frames: length of the log-mel that its recipes use; None where that depends on the clips.
    """

    what: str
    parts: Callable[[int, bool, str | None], tuple]
    everything: Callable[[str | None, int | None], list[AudioDataset]]
    get: str
    place: Callable[[], Path | None] = lambda: None
    frames: int | None = None


def known(name: str) -> Known:
    """A data set by its name. Raises ValueError with the names there are."""
    if name not in DATASETS:
        raise ValueError(f"no data set {name!r}. Known: {', '.join(DATASETS)}")
    return DATASETS[name]


def parts(name: str, fold: int = 1, validation: bool = False, root=None) -> tuple:
    """(train, validation or None, test) of a data set by its name.

    Args:
        name: one of DATASETS.
        fold: the one to test on, 1 to 5; data sets without folds ignore it.
        validation: also hold out a part to choose a model by, so that the test part does not choose it. With folds
            that is the next fold; Speech Commands has an official one, AudioSet has none.
        root: folder of the data; None looks in $ASTLIB_DATA and the user's cache. "folder" needs it.

    Raises:
        ValueError: an unknown name or fold, or no validation part where one is asked for.
        DataNotFound: the data is not there; the message says how to get it.
    """
    return known(name).parts(fold, validation, root)


def esc50_or_synthetic(fold: int = 1, split: str = "train") -> AudioDataset:
    """ESC-50 where it is on this machine, else the sounds made in code; `is_synthetic` tells which.

    A copy of ESC-50 that is there but incomplete is an error, not a reason to use the other.
    """
    return Synthetic(fold, split) if find("esc50") is None else ESC50(fold=fold, split=split)


def _synthetic(root, fold: int, split: str) -> Synthetic:
    if root is not None:
        raise ValueError(f"the data set synthetic is made in code and has no folder; {root} was given")
    return Synthetic(fold, split)


def _by_folds(kind: Callable) -> Callable:
    def make(fold: int, validation: bool, root) -> tuple:
        train, test = kind(root, fold, "train"), kind(root, fold, "test")
        if not validation:
            return train, None, test
        held_out = fold % FOLDS + 1
        rest = [other for other in range(1, FOLDS + 1) if other not in (fold, held_out)]
        return train.select(folds=rest), kind(root, held_out, "test"), test

    return make


def _fold_or_all(kind: Callable) -> Callable:
    return lambda root, fold: [kind(root, fold or 1, "test" if fold else "all")]


def _mixture(fold: int, validation: bool, root) -> tuple:
    """Mixed after the division, so that no clip of the test fold is in a mixture for training."""
    train, held_out, test = _by_folds(ESC50)(fold, validation, root)
    return (
        Mixture(train, 2000),
        None if held_out is None else Mixture(held_out, 500, seed=1, skew=0),
        Mixture(test, 500, seed=2, skew=0),
    )


def _speech_commands(fold: int, validation: bool, root) -> tuple:
    """A copy without a testing part, such as a selection of clips, is tested on its validation part."""
    train, held_out = SpeechCommands(root, "train"), SpeechCommands(root, "validation")
    if has_testing_part(root):
        return train, held_out if validation else None, SpeechCommands(root, "test")
    if validation:
        raise ValueError(
            "this copy of Speech Commands has no testing part, so its validation part is for testing and there is "
            "none to choose a model by. The whole data set has both: astlib data fetch speech-commands"
        )
    return train, None, held_out


def _folder(root, fold: int, split: str) -> Folder:
    if root is None:
        raise ValueError("the data set folder is your own: say where it is (--root FOLDER; in training --data FOLDER)")
    return Folder(root, fold, split)


def _folder_parts(fold: int, validation: bool, root) -> tuple:
    train, test = _folder(root, fold, "train"), _folder(root, fold, "test")
    if not validation:
        return train, None, test
    if train.folds is None:
        return train, _folder(root, fold, "validation"), test
    others = sorted(set(train.folds) - {0})  # 0: a clip alone in its class, which only trains
    if len(others) < 2:
        raise ValueError(f"{root} has only folds to train and to test on: there is none to choose a model by")
    held_out = next((other for other in others if other > fold), others[0])
    rest = [other for other in [0, *others] if other != held_out]
    return train.select(folds=rest), train.select(folds=held_out), test


def _audioset(split: str) -> Callable:
    def make(fold: int, validation: bool, root) -> tuple:
        if validation:
            raise ValueError("AudioSet has no validation part: its evaluation segments are the test part")
        return AudioSet(root, split), None, AudioSet(root, "eval")

    return make


def _audioset_place() -> Path | None:
    """A folder with more than Google's lists in it, which are useful beside sound that is elsewhere."""
    found = (folder for folder in folders("audioset") if folder.is_dir())
    return next((f for f in found if any(e.suffix not in (".csv", ".json", ".txt") for e in f.iterdir())), None)


DATASETS = {
    "synthetic": Known(
        "400 clips of 5 s made in code: 10 classes, 5 folds",
        parts=_by_folds(_synthetic),
        everything=_fold_or_all(_synthetic),
        get="always here",
        frames=512,
    ),
    "esc50": Known(
        "2,000 clips of 5 s: 50 classes of environmental sound, 5 folds",
        parts=_by_folds(ESC50),
        everything=_fold_or_all(ESC50),
        get="to get it: astlib data fetch esc50",
        place=lambda: find("esc50"),
        frames=512,
    ),
    "esc50-mixture": Known(
        "sums of two or three clips of ESC-50: several labels to a clip, common and rare classes, 5 folds",
        parts=_mixture,
        everything=lambda root, fold: list(_mixture(fold or 1, False, root))[::2],
        get="to get it: astlib data fetch esc50",
        place=lambda: find("esc50"),
        frames=512,
    ),
    "speech-commands": Known(
        "105,829 clips of 1 s: 35 spoken words",
        parts=_speech_commands,
        everything=lambda root, fold: [SpeechCommands(root, "all")],
        get="to get it: astlib data fetch speech-commands",
        place=lambda: next((found for name in FOLDERS[None] if (found := find(name))), None),
        frames=128,
    ),
    "audioset-balanced": Known(
        "22,160 clips of 10 s for training, 20,371 for testing, of which some are gone: 527 classes, several to a clip",
        parts=_audioset("balanced"),
        everything=lambda root, fold: [AudioSet(root, split) for split in ("balanced", "eval")],
        get="to get it: astlib data fetch audioset-balanced",
        place=_audioset_place,
        frames=1024,
    ),
    "audioset": Known(
        "the same classes with two million clips for training",
        parts=_audioset("full"),
        everything=lambda root, fold: [AudioSet(root, split) for split in ("full", "eval")],
        get="to get it: data/*/*.parquet of https://huggingface.co/datasets/agkphysics/AudioSet (2.4 TB), or your copy",
        place=_audioset_place,
        frames=1024,
    ),
    "folder": Known(
        "your own sounds: a folder for each class, or a CSV with the labels of each file",
        parts=_folder_parts,
        everything=_fold_or_all(_folder),
        get="say where they are: astlib data check folder --root FOLDER",
    ),
}
