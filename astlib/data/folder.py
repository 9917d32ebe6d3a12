"""Your own sounds: one folder per class, or a CSV that says what is in each file.

Chapter: notebooks/15_your_own_sounds.ipynb

A network recognises a recording that it was trained on, so clips cut from one recording must not be in both the
training and the test part: the test would measure memory. `group` says which clips belong together.
"""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import audio
from ..errors import DataNotFound, InvalidInput
from .base import FOLD_COUNT, SPLITS, SoundFiles, Split
from .batch import SHORTEST
from .folds import Grouping, divide, grouping
from .report import Problem, Report
from .splits import Part, part_named
from .tables import Clip, is_list, read_list
from .targets import Targets

# Sound and video files that libsndfile does not read and ffmpeg converts.
CONVERTIBLE = frozenset([
    ".m4a", ".m4b", ".aac", ".alac", ".mp4", ".m4v", ".mov", ".3gp", ".wma", ".wmv", ".asf", ".webm", ".mkv", ".mka",
    ".avi", ".flv", ".mpg", ".mpeg", ".mts", ".amr", ".ape", ".wv", ".tta", ".ac3", ".dts", ".spx", ".ra", ".rm",
])  # fmt: skip
RUN_FILES = ("start.json", "run.json")  # what the folder of a training run has


class Folder(SoundFiles):
    """A folder of your own. Clips are named by their path in it, with "/" on every system.

    1. One folder per class, `root/dog/*.wav`, `root/cat/*.flac`. The clips of every class are distributed evenly over
       the folds, in an order that follows from `seed`; fold `fold` is for testing. The only clip of a class is always
       for training.
    2. `root/train/dog/*.wav`, `root/test/dog/*.wav`, and optionally `root/validation/dog/*.wav`: that is the split.
    3. A list: `root` itself, or the only CSV in it or in its folder `meta` or `metadata`. It has a column for the files
       (`file`, `filename`, `path`, `fname`, `audio` and others) and one for the labels (`labels`, `label`, `category`,
       `class`, `target` and others), or a column of zeros and ones for each class; and optionally `split` (train,
       validation, test) or `fold` (numbers). Several labels are separated by "|" or ";", or by "," in a column called
       `labels`. `astlib.data.tables` says where the files are looked for.

    Files may have any format that libsndfile reads (wav, flac, ogg, mp3, aiff and others) and any sample rate. Hidden
    files and folders of training runs are ignored. Files that are listed and missing are in `report`, and so are those
    in formats that have to be converted first; these count as clips for training. Clips shorter than 25 ms are padded
    with silence to that length.

    Args:
        root: the folder, or the list (CSV, or JSON as in the original AST's recipes).
        fold: the test fold, from 1. A fixed split has no folds.
        split: "train", "validation" (only if the folder or the list has such a part), "test" or "all".
        seed: another number distributes the clips over the folds in another way.
        group: clips of one group are in one fold: a column of the list, or a regular expression with one pair of
            parentheses that is searched in each clip's name, such as "_(speaker[0-9]+)_". None: the column `group`, if
            there is one, else each clip stands alone.
        folds: how many folds, if they are dealt here.

    Attributes:
        grouping: which clips of the whole folder belong together, or None.
        group_of: the group of each clip of the whole folder by its name; empty if there are no groups.

    Raises:
        DataNotFound: no folder, no class, a class without a clip, or none of the files that the list names.
        InvalidInput: a wrong argument, or a list that cannot be understood; the message names the line.
    """

    name = "folder"

    def __init__(
        self,
        root: str | os.PathLike[str],
        fold: int = 1,
        split: Split = "train",
        seed: int = 0,
        group: str | None = None,
        folds: int = FOLD_COUNT,
    ) -> None:
        if split not in SPLITS:
            raise InvalidInput(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
        root = Path(root).expanduser()
        if not root.exists():
            raise DataNotFound(f"there is no folder {root}. Check the path")
        found = _listed(root) or _in_folders(root)
        clips = found.clips
        self.grouping: Grouping | None = grouping(clips, group)
        groups = self.grouping.groups if self.grouping else ()
        self.group_of = {clip.name: name for clip, name in zip(clips, groups, strict=False)}
        division = divide(clips, folds, seed, self.grouping)
        keep = _chosen(root, division.parts, fold, split)
        there = [i for i in keep if clips[i].path.is_file()]
        report = _report(found, division.parts, keep, split)
        report.notes += [*(self.grouping.notes if self.grouping else ()), *division.notes]
        if not there:
            raise DataNotFound(f"{report} Paths are relative to {root if root.is_dir() else root.parent}.")
        labels = sorted({label for clip in clips for label in clip.labels})
        columns = {label: column for column, label in enumerate(labels)}
        self.multi_label = any(len(clip.labels) != 1 for clip in clips)
        super().__init__(
            labels=labels,
            names=[clips[i].name for i in there],
            targets=Targets.from_lists([[columns[label] for label in clips[i].labels] for i in there], len(labels)),
            folds=[part for i in there if isinstance(part := division.parts[i], int)] or None,
            sources=[clips[i].path for i in there],
            report=report,
        )

    def read(self, source: str | os.PathLike[str]) -> Tensor:
        """Decode a sound file: `(samples,)` float32 in [-1, 1] at 16 kHz. Raises AudioError if it cannot be used.

        A clip shorter than 25 ms is padded with silence to that length, for which the spectrogram has one frame.
        """
        waveform = super().read(source)  # (samples,)
        return torch.nn.functional.pad(waveform, (0, max(0, SHORTEST - len(waveform))))


# --- which clips are for what --------------------------------------------------------------------------


def _chosen(root: Path, parts: Sequence[Part | int], fold: int, split: Split) -> list[int]:
    """Numbers of the clips of a split."""
    if split == "all":
        return list(range(len(parts)))
    if isinstance(parts[0], str):
        if fold != 1:
            raise InvalidInput(f"{root} has a fixed split into {_names(parts)}, so there is no fold {fold}")
        if split not in parts:
            raise InvalidInput(f"{root} has no part for {split}, only {_names(parts)}")
        return [i for i, part in enumerate(parts) if part == split]
    if split == "validation":
        raise InvalidInput(
            f"{root} has folds and no part for validation. Take one of the training folds with select(folds=...)"
        )
    if not any(parts):
        raise InvalidInput(
            f"nothing of {root} can be tested: each class has one clip only, or clips of one group only. "
            "Add clips, at least five for each class"
        )
    if fold not in parts or fold == 0:
        raise InvalidInput(f"fold must be one of {_names(set(parts) - {0})}, got {fold!r}")
    return [i for i, part in enumerate(parts) if (part == fold) == (split == "test")]


def _report(found: "_Found", parts: Sequence[Part | int], keep: Sequence[int], split: Split) -> Report:
    """What of a split is missing, or in a format that has to be converted first."""
    unreadable = [clip for clip in found.unreadable if split in ("all", clip.part or "train")]
    report = Report(Folder.name, len(keep) + len(unreadable))
    missing = [found.clips[i] for i in keep if not found.clips[i].path.is_file()]
    report.update(Problem(clip.name, "missing", f"there is no file {clip.path}") for clip in missing)
    for clip in unreadable:
        suffix = clip.path.suffix
        report.update([Problem(clip.name, "unreadable", f"{clip.path}: libsndfile does not read {suffix} files")])
    suffixes = sorted({clip.path.suffix for clip in unreadable})
    report.notes = [*found.notes, *(f"Convert the {suffix} files: {convert_line(suffix)}" for suffix in suffixes)]
    return report


def convert_line(suffix: str) -> str:
    """Write the line for a shell that converts the files of a folder to flac.

    Args:
        suffix: of the files, such as ".m4a".

    Returns:
        The line.
    """
    return f'for f in *{suffix}; do ffmpeg -i "$f" -vn "${{f%{suffix}}}.flac"; done'


def _names(values: Iterable[Any]) -> str:
    """All different values in order; they are all names or all numbers."""
    return ", ".join(str(value) for value in sorted(set(values)))


# --- folders and lists ---------------------------------------------------------------------------------


class _Found(NamedTuple):
    """What a folder holds."""

    clips: list[Clip]
    notes: list[str]
    unreadable: Sequence[Clip] = ()  # in formats that have to be converted first


def _listed(root: Path) -> _Found | None:
    """Clips of a list; None if there is none, so that the folders are the classes."""
    if root.is_file():
        return _Found(*read_list(root))
    folders = [root, *(root / name for name in ("meta", "metadata") if (root / "audio").is_dir())]
    lists, broken = [], []
    for path in [path for folder in folders for path in sorted(folder.glob("*.csv"))]:
        try:
            lists += [path] if is_list(path) else []
        except InvalidInput as error:
            broken.append(error)
    if len(lists) > 1:
        names = ", ".join(path.relative_to(root).as_posix() for path in lists)
        raise InvalidInput(f"{root} has several lists of files: {names}. Give the path of one instead of the folder")
    if broken and not lists and not _folders(root):
        raise broken[0]
    return _Found(*read_list(lists[0])) if lists else None


def _in_folders(root: Path) -> _Found:
    """Clips of a folder of folders."""
    if not root.is_dir():
        raise InvalidInput(f"{root} is neither a folder nor a CSV")
    others = _Others()
    folders = _folders(root)
    parts = {folder: part for folder in folders if (part := part_named(folder.name))}
    # "train" may be a class: it is a split only beside another part, with nothing else there, and if it holds classes.
    if len(parts) > 1 and len(parts) == len(folders) and all(map(_folders, parts)):
        if "train" not in parts.values():
            names = " and ".join(sorted(folder.name for folder in folders))
            raise InvalidInput(f"{root} has the folders {names}, but none with a train part. Add one named train")
        clips = [clip for folder, part in parts.items() for clip in _classes(root, _folders(folder), part, others)]
    else:
        clips = _classes(root, folders, None, others)
    if not clips:
        loose = len(_sounds(root, root, _Others()))
        found = f"{loose} sound files, but no folders" if loose else "neither folders nor sound files"
        raise DataNotFound(
            f"{root} has {found}. Expected one folder for each class with its sound files in it, "
            "or a CSV with the columns file and labels"
        )
    return _Found(clips, others.notes(), others.convertible)


class _Others:
    """Files in class folders that are no clips: those that ffmpeg converts, and how many there are of the others."""

    def __init__(self) -> None:
        self.convertible: list[Clip] = []
        self.suffixes: Counter[str] = Counter()

    def notes(self) -> list[str]:
        if not self.suffixes:
            return []
        kinds = ", ".join(sorted(self.suffixes))
        return [f"Files left out because they are no sound: {self.suffixes.total()} ({kinds})."]


def _classes(root: Path, folders: list[Path], part: Part | None, others: _Others) -> list[Clip]:
    """Clips of folders that are classes. Files that are no clips are added to `others`."""
    clips: list[Clip] = []
    for folder in folders:
        rest = _Others()
        sounds = _sounds(root, folder, rest)
        if not sounds and not rest.convertible and _is_run(folder):
            continue
        if not sounds:
            suffixes = sorted({clip.path.suffix for clip in rest.convertible})
            hint = f", only {', '.join(suffixes)} files; convert them: {convert_line(suffixes[0])}" if suffixes else ""
            raise DataNotFound(f"class {folder.name!r} has no clip: {folder} holds no sound file{hint}")
        clips += [Clip(path.relative_to(root).as_posix(), path, (folder.name,), part) for path in sounds]
        others.convertible += [Clip(clip.name, clip.path, (folder.name,), part) for clip in rest.convertible]
        others.suffixes += rest.suffixes
    return clips


def _is_run(folder: Path) -> bool:
    """Whether a training run, or several, wrote their results here."""
    return any(True for name in RUN_FILES for _ in folder.rglob(name))


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _sounds(root: Path, folder: Path, others: _Others) -> list[Path]:
    """Sound files in a folder and below, sorted. Other files are added to `others`, but for those converted already."""
    sounds: list[Path] = []
    rest: list[Path] = []
    for path in sorted(folder.rglob("*")):
        if any(name.startswith(".") for name in path.relative_to(root).parts) or not path.is_file():
            continue
        (sounds if path.suffix.lower() in audio.SUFFIXES else rest).append(path)
    converted = {path.with_suffix("") for path in sounds}
    for path in rest:
        if path.suffix.lower() not in CONVERTIBLE:
            others.suffixes[path.suffix.lower() or path.name] += 1
        elif path.with_suffix("") not in converted:
            others.convertible.append(Clip(path.relative_to(root).as_posix(), path, ()))
    return sounds
