"""The data sets that the command line and the recipes know by name.

Chapter: notebooks/06_data_and_augmentation.ipynb
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

from ..errors import InvalidInput
from ..paths import data_folders, find_data
from .audioset import AudioSet, AudioStream
from .audioset.lists import AudioSetSplit
from .base import FOLD_COUNT, AudioDataset, Split
from .esc50 import ESC50
from .folder import Folder
from .mixture import Mixture
from .speech_commands import FOLDERS, SpeechCommands, has_testing_part
from .synthetic import Synthetic

Root = str | Path | None  # a folder, or None for the places where data sets are looked for
Kind = TypeVar("Kind", bound=AudioDataset)


class Parts(NamedTuple):
    """A data set, divided for one run.

    Attributes:
        train: clips to train on; the only part that may be a stream.
        validation: clips to choose a model by, or None.
        test: clips to measure on.
    """

    train: AudioDataset | AudioStream
    validation: AudioDataset | None
    test: AudioDataset


@dataclass(frozen=True)
class DataSource:
    """A data set that the command line and the recipes know by name.

    Attributes:
        what: a description in one line.
        parts: divides it for one run; takes fold, validation and root as the function `parts` does.
        everything: takes root and a fold or None; returns the data sets that together are all clips of that fold, or
            all clips.
        get: how to get it.
        place: returns the folder it was found in, or None.
        frames: length of the spectrogram in its recipes, in frames of 10 ms; None if that depends on the clips.
    """

    what: str
    parts: Callable[[int, bool, Root], Parts]
    everything: Callable[[Root, int | None], list[AudioDataset]]
    get: str
    place: Callable[[], Path | None] = lambda: None
    frames: int | None = None


def data_source(name: str) -> DataSource:
    """Look up a data set by name.

    Args:
        name: one of DATASETS.

    Returns:
        Its entry in DATASETS.

    Raises:
        InvalidInput: an unknown name; the message lists the known ones.
    """
    if name not in DATASETS:
        raise InvalidInput(f"no data set {name!r}. Known: {', '.join(DATASETS)}; or the path of a folder that exists")
    return DATASETS[name]


def parts(
    name: str,
    fold: int = 1,
    validation: bool = False,
    root: Root = None,
    group: str = "",
    folds: int = FOLD_COUNT,
) -> Parts:
    """Open a data set by name and divide it for one run.

    Args:
        name: one of DATASETS.
        fold: the test fold, from 1; data sets without folds ignore it.
        validation: also hold out a part to choose a model by, so that the test part does not choose it. With folds
            that is the next fold; Speech Commands has an official one, AudioSet has none.
        root: folder of the data; None looks in $ASTLIB_DATA and the user's cache. "folder" needs it.
        group: of "folder" only: what tells which clips belong together, see `Folder`; "" is its default.
        folds: of "folder" only: how many folds to deal.

    Returns:
        The parts for training, validation and testing.

    Raises:
        InvalidInput: an unknown name or fold, there is no validation part and one is asked for, or `group` or `folds`
            for a data set that is divided already.
        DataNotFound: the data is not there; the message says how to get it.
    """
    source = data_source(name)
    if name == "folder":
        return _folder_parts(fold, validation, root, group, folds)
    _refuse_dealing(name, group, folds)
    return source.parts(fold, validation, root)


def everything(
    name: str, fold: int | None = None, root: Root = None, group: str = "", folds: int = FOLD_COUNT
) -> list[AudioDataset]:
    """Open all clips of a data set, or those of a fold, without dividing them.

    Args:
        name: one of DATASETS.
        fold: the fold, or None for all clips.
        root: as for `parts`.
        group: as for `parts`.
        folds: as for `parts`.

    Returns:
        The data sets that together are these clips.

    Raises:
        InvalidInput: as for `parts`.
        DataNotFound: as for `parts`.
    """
    source = data_source(name)
    if name == "folder":
        return [_folder(root, fold or 1, "test" if fold else "all", group, folds)]
    _refuse_dealing(name, group, folds)
    return source.everything(root, fold)


def _refuse_dealing(name: str, group: str, folds: int) -> None:
    if group or folds != FOLD_COUNT:
        raise InvalidInput(f"group and folds are for sounds of your own (the data set folder); {name} has its division")


def esc50_or_synthetic(fold: int = 1, split: Split = "train") -> AudioDataset:
    """Open ESC-50 if it is on this machine, else the sounds made in code; `is_synthetic` tells which.

    A copy of ESC-50 that is incomplete is an error, and the sounds made in code do not replace it.

    Args:
        fold: the test fold, 1 to 5.
        split: "train", "test" or "all".

    Returns:
        The data set.

    Raises:
        InvalidInput: another fold or split.
        DataNotFound: ESC-50 is there and incomplete.
    """
    return Synthetic(fold, split) if find_data("esc50") is None else ESC50(fold=fold, split=split)


def _synthetic(root: Root, fold: int, split: Split) -> Synthetic:
    if root is not None:
        raise InvalidInput(f"the data set synthetic is made in code and has no folder; {root} was given")
    return Synthetic(fold, split)


def _divide(
    kind: Callable[[Root, int, Split], Kind], fold: int, validation: bool, root: Root
) -> tuple[Kind, Kind | None, Kind]:
    """Divide by folds: `fold` is for testing, the next one for validation if asked for, the others for training."""
    train, test = kind(root, fold, "train"), kind(root, fold, "test")
    if not validation:
        return train, None, test
    held_out = fold % FOLD_COUNT + 1
    rest = [other for other in range(1, FOLD_COUNT + 1) if other not in (fold, held_out)]
    return train.select(folds=rest), kind(root, held_out, "test"), test


def _by_folds(kind: Callable[[Root, int, Split], AudioDataset]) -> Callable[[int, bool, Root], Parts]:
    return lambda fold, validation, root: Parts(*_divide(kind, fold, validation, root))


def _fold_or_all(
    kind: Callable[[Root, int, Split], AudioDataset],
) -> Callable[[Root, int | None], list[AudioDataset]]:
    return lambda root, fold: [kind(root, fold or 1, "test" if fold else "all")]


def _mixtures(fold: int, validation: bool, root: Root) -> tuple[Mixture, Mixture | None, Mixture]:
    """Mixed after the division, so that no clip of the test fold is in a mixture for training."""
    train, held_out, test = _divide(ESC50, fold, validation, root)
    return (
        Mixture(train, 2000),
        None if held_out is None else Mixture(held_out, 500, seed=1, skew=0),
        Mixture(test, 500, seed=2, skew=0),
    )


def _all_mixtures(root: Root, fold: int | None) -> list[AudioDataset]:
    train, _, test = _mixtures(fold or 1, False, root)
    return [train, test]


def _speech_commands(fold: int, validation: bool, root: Root) -> Parts:
    """A copy without a testing part, such as a selection of clips, is tested on its validation part."""
    train, held_out = SpeechCommands(root, "train"), SpeechCommands(root, "validation")
    if has_testing_part(root):
        return Parts(train, held_out if validation else None, SpeechCommands(root, "test"))
    if validation:
        raise InvalidInput(
            "this copy of Speech Commands has no testing part, so its validation part is for testing and there is "
            "none to choose a model by. The whole data set has both: astlib data fetch speech-commands"
        )
    return Parts(train, None, held_out)


def _folder(root: Root, fold: int, split: Split, group: str = "", folds: int = FOLD_COUNT) -> Folder:
    if root is None:
        raise InvalidInput("the data set folder is your own: say where it is (--data FOLDER)")
    return Folder(root, fold, split, group=group, folds=folds)


def _folder_parts(fold: int, validation: bool, root: Root, group: str = "", folds: int = FOLD_COUNT) -> Parts:
    train, test = (_folder(root, fold, split, group, folds) for split in ("train", "test"))
    if not validation:
        return Parts(train, None, test)
    if train.folds is None:
        return Parts(train, _folder(root, fold, "validation", group, folds), test)
    others = sorted(set(train.folds) - {0})  # 0: a clip that is for training in every fold
    if len(others) < 2:
        raise InvalidInput(f"{root} has only folds to train and to test on: there is none to choose a model by")
    held_out = next((other for other in others if other > fold), others[0])
    rest = [other for other in [0, *others] if other != held_out]
    smaller, chosen_by = train.select(folds=rest), train.select(folds=held_out)
    smaller.report = train.report.copy()  # what is missing or in other formats still counts
    smaller.report.expected -= len(chosen_by)
    return Parts(smaller, chosen_by, test)


def _audioset(split: AudioSetSplit) -> Callable[[int, bool, Root], Parts]:
    def make(fold: int, validation: bool, root: Root) -> Parts:
        if validation:
            raise InvalidInput("AudioSet has no validation part: its evaluation segments are the test part")
        return Parts(AudioSet(root, split), None, AudioSet(root, "eval"))

    return make


def _audioset_place() -> Path | None:
    """A folder that has more than Google's lists; those may lie there alone, with the sound in another folder."""
    found = (folder for folder in data_folders("audioset") if folder.is_dir())
    return next((f for f in found if any(e.suffix not in (".csv", ".json", ".txt") for e in f.iterdir())), None)


# Every data set that the command line and the recipes know, by its name there.
DATASETS: dict[str, DataSource] = {
    "synthetic": DataSource(
        "400 clips of 5 s made in code: 10 classes, 5 folds",
        parts=_by_folds(_synthetic),
        everything=_fold_or_all(_synthetic),
        get="always here",
        frames=512,
    ),
    "esc50": DataSource(
        "2,000 clips of 5 s: 50 classes of environmental sound, 5 folds",
        parts=_by_folds(ESC50),
        everything=_fold_or_all(ESC50),
        get="to get it: astlib data fetch esc50",
        place=lambda: find_data("esc50"),
        frames=512,
    ),
    "esc50-mixture": DataSource(
        "sums of two or three clips of ESC-50: several labels per clip, common and rare classes, 5 folds",
        parts=lambda fold, validation, root: Parts(*_mixtures(fold, validation, root)),
        everything=_all_mixtures,
        get="to get it: astlib data fetch esc50",
        place=lambda: find_data("esc50"),
        frames=512,
    ),
    "speech-commands": DataSource(
        "105,829 clips of 1 s: 35 spoken words",
        parts=_speech_commands,
        everything=lambda root, fold: [SpeechCommands(root, "all")],
        get="to get it: astlib data fetch speech-commands",
        place=lambda: next((found for name in FOLDERS[None] if (found := find_data(name))), None),
        frames=128,
    ),
    "audioset-balanced": DataSource(
        "22,160 clips of 10 s for training, 20,371 for testing, some of them gone: 527 classes, several per clip",
        parts=_audioset("balanced"),
        everything=lambda root, fold: [AudioSet(root, "balanced"), AudioSet(root, "eval")],
        get="to get it: astlib data fetch audioset-balanced",
        place=_audioset_place,
        frames=1024,
    ),
    "audioset": DataSource(
        "the same classes with two million clips for training",
        parts=_audioset("full"),
        everything=lambda root, fold: [AudioSet(root, "full"), AudioSet(root, "eval")],
        get="to get it: data/*/*.parquet of https://huggingface.co/datasets/agkphysics/AudioSet (2.4 TB), or your copy",
        place=_audioset_place,
        frames=1024,
    ),
    "folder": DataSource(
        "your own sounds: one folder per class, or a CSV with the labels of each file",
        parts=_folder_parts,
        everything=_fold_or_all(_folder),
        get="say where they are: astlib data check FOLDER",
    ),
}
