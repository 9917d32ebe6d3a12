"""Your own sounds: one folder per class, or a CSV that says what is in each file.

Chapter: notebooks/06_data_and_augmentation.ipynb

A network recognises a recording that it was trained on, so clips cut from one recording must not be in both the
training and the test part: the test would measure memory. File names do not tell which clips belong together. If you
have such clips, give each recording a number in the CSV's column `fold`, or sort the clips into the folders `train` and
`test` yourself.
"""

import csv
import io
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import audio
from ..errors import DataNotFound, InvalidInput
from .base import FOLD_COUNT, SPLITS, Part, SoundFiles, Split
from .report import Problem, Report
from .targets import Targets

PART_NAMES: dict[Part, str] = {
    "train": "train(ing)?",
    "test": "test(ing)?|eval(uation)?",
    "validation": "val(id|idation)?|dev",
}
FILE_COLUMNS, LABEL_COLUMNS = ("file", "filename", "path"), ("labels", "label", "category")

# One row of a CSV by the names of its columns: None for what is missing at the end, a list under None for what is
# too much.
Fields = dict[str | Any, str | Any]


@dataclass(frozen=True)
class Clip:
    """One clip of a folder or of a CSV.

    Attributes:
        name: its path within the folder, with "/" on every system.
        path: the file. It need not exist.
        labels: one or several.
        part: "train", "validation" or "test", the number of a fold, or None if the clips are not divided yet.
    """

    name: str
    path: Path
    labels: tuple[str, ...]
    part: Part | int | None = None


class Folder(SoundFiles):
    """A folder of your own. Clips are named by their path in it, with "/" on every system.

    1. One folder per class, `root/dog/*.wav`, `root/cat/*.flac`. The clips of every class are distributed evenly over
       five folds, in an order that follows from `seed`; fold `fold` is for testing. The only clip of a class is always
       for training.
    2. `root/train/dog/*.wav`, `root/test/dog/*.wav`, and optionally `root/validation/dog/*.wav`: that is the split.
    3. A CSV, `root` itself or the only one in it. Columns: `file` (or `filename`, `path`), relative to the CSV or to
       the folder `audio` beside it; `labels` (or `label`, `category`); and optionally `split` (train, validation, test)
       or `fold` (1, 2, ...). Several labels are separated by "|" or ";", or by "," in a column called `labels`.

    Files may have any format that libsndfile reads (wav, flac, ogg, mp3, aiff and others) and any sample rate. Hidden
    files are ignored. Files that are listed and missing are in `report`.

    Args:
        root: the folder, or the CSV.
        fold: the test fold, 1 to 5 or one that the CSV has. A fixed split has no folds.
        split: "train", "validation" (only if the folder or the CSV has such a part), "test" or "all".
        seed: another number distributes the clips over the folds in another way.

    Raises:
        DataNotFound: no folder, no class, a class without a clip, or none of the files that the CSV lists.
        InvalidInput: a wrong argument, or a CSV that cannot be understood; the message names the line.
    """

    name = "folder"

    def __init__(self, root: str | os.PathLike[str], fold: int = 1, split: Split = "train", seed: int = 0) -> None:
        if split not in SPLITS:
            raise InvalidInput(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
        root = Path(root).expanduser()
        if not root.exists():
            raise DataNotFound(f"there is no folder {root}. Check the path")
        clips, notes = _listed(root) or _in_folders(root)
        labels = sorted({label for clip in clips for label in clip.labels})
        given = [clip.part for clip in clips if clip.part is not None]  # either all clips have a part or none has
        parts: Sequence[Part | int] = given or _assign_folds(clips, seed)
        keep = _chosen(root, parts, fold, split)
        if split == "train":
            _warn_of_odd_classes(clips, parts, fold)

        report, there = Report(self.name, len(keep)), []
        for i in keep:
            if clips[i].path.is_file():
                there.append(i)
            else:
                report.update([Problem(clips[i].name, "missing", f"there is no file {clips[i].path}")])
        report.notes = notes
        if not there:
            raise DataNotFound(f"{report} Paths are relative to {root if root.is_dir() else root.parent}.")
        columns = {label: column for column, label in enumerate(labels)}
        self.multi_label = any(len(clip.labels) > 1 for clip in clips)
        super().__init__(
            labels=labels,
            names=[clips[i].name for i in there],
            targets=Targets.from_lists([[columns[label] for label in clips[i].labels] for i in there], len(labels)),
            folds=[part for i in there if isinstance(part := parts[i], int)] or None,
            sources=[clips[i].path for i in there],
            report=report,
        )


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
    if fold not in parts or fold == 0:
        raise InvalidInput(f"fold must be one of {_names(set(parts) - {0})}, got {fold!r}")
    return [i for i, part in enumerate(parts) if (part == fold) == (split == "test")]


def _names(values: Iterable[Any]) -> str:
    """All different values in order; they are all names or all numbers."""
    return ", ".join(str(value) for value in sorted(set(values)))


def _assign_folds(clips: list[Clip], seed: int) -> list[int]:
    """A fold for every clip, 1 to 5, with every class spread evenly. The only clip of a class gets 0: training only.

    A clip with several labels counts as one of its rarest label.
    """
    counts = Counter(label for clip in clips for label in clip.labels)
    groups: dict[str, list[int]] = {label: [] for label in sorted(counts)}
    for i in np.random.default_rng(seed).permutation(len(clips)).tolist():
        groups[min(clips[i].labels, key=lambda label: (counts[label], label))].append(i)
    folds, first = [0] * len(clips), 0
    for label, mine in groups.items():
        if counts[label] > 1:
            # A small class has a clip in fold 1 and in the next ones, as far as its clips go.
            start = first if len(mine) >= FOLD_COUNT else 0
            for place, i in enumerate(mine, start):
                folds[i] = place % FOLD_COUNT + 1
            first = (start + len(mine)) % FOLD_COUNT if len(mine) >= FOLD_COUNT else first
    return folds


def _warn_of_odd_classes(clips: list[Clip], parts: Sequence[Part | int], fold: int) -> None:
    """Warn of labels without a clip for training, and of those with a single clip."""
    trained = [part not in (fold, "test", "validation") for part in parts]
    counts = Counter(label for clip in clips for label in clip.labels)
    seen = {label for clip, there in zip(clips, trained, strict=True) if there for label in clip.labels}
    never = sorted(set(counts) - seen)
    lone = {label for clip, part in zip(clips, parts, strict=True) if part == 0 for label in clip.labels}
    alone = sorted(label for label in lone if counts[label] == 1)
    for labels, what in (
        (never, "no clip for training has the label {}: check the spelling"),
        (alone, "only one clip has the label {}: it is trained on and never tested"),
    ):
        if labels:
            shown = ", ".join(labels[:5]) + (", ..." if len(labels) > 5 else "")
            warnings.warn(what.format(shown), stacklevel=3)


# --- folders -------------------------------------------------------------------------------------------


def _in_folders(root: Path) -> tuple[list[Clip], list[str]]:
    """Clips of a folder of folders."""
    if not root.is_dir():
        raise InvalidInput(f"{root} is neither a folder nor a CSV")
    left_out: Counter[str] = Counter()
    folders = _folders(root)
    parts = {folder: part for folder in folders if (part := _part(folder.name))}
    # "train" may be a class: it is a split only beside another part, with nothing else there, and if it holds classes.
    if len(parts) > 1 and len(parts) == len(folders) and all(map(_folders, parts)):
        if missing := " or ".join(sorted({"train", "test"} - set(parts.values()))):
            names = " and ".join(sorted(folder.name for folder in folders))
            raise InvalidInput(
                f"{root} has the folders {names}, but none with a {missing} part. Add one named {missing}"
            )
        clips = [clip for folder, part in parts.items() for clip in _classes(root, _folders(folder), part, left_out)]
    else:
        clips = _classes(root, folders, None, left_out)
    if not clips:
        loose = len(_sounds(root, root, Counter()))
        found = f"{loose} sound files, but no folders" if loose else "neither folders nor sound files"
        raise DataNotFound(
            f"{root} has {found}. Expected one folder for each class with its sound files in it, "
            f"or a CSV with the columns {FILE_COLUMNS[0]} and {LABEL_COLUMNS[0]}"
        )
    kinds = ", ".join(sorted(left_out))
    what = f"{sum(left_out.values())} files are not in a format that libsndfile reads and were left out ({kinds})."
    return clips, [what] if left_out else []


def _classes(root: Path, folders: list[Path], part: Part | None, left_out: Counter[str]) -> list[Clip]:
    """Clips of folders that are classes. The suffixes of other files are counted in `left_out`."""
    clips = []
    for folder in folders:
        sounds = _sounds(root, folder, left_out)
        if not sounds:
            hint = f", only {_names(left_out)} files; convert them to wav or flac" if left_out else ""
            raise DataNotFound(f"class {folder.name!r} has no clip: {folder} holds no sound file{hint}")
        clips += [Clip(path.relative_to(root).as_posix(), path, (folder.name,), part) for path in sounds]
    return clips


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _sounds(root: Path, folder: Path, left_out: Counter[str]) -> list[Path]:
    """Sound files in a folder and below, sorted. The suffixes of other files are counted in `left_out`."""
    sounds = []
    for path in sorted(folder.rglob("*")):
        if any(name.startswith(".") for name in path.relative_to(root).parts) or not path.is_file():
            continue
        if path.suffix.lower() in audio.SUFFIXES:
            sounds.append(path)
        else:
            left_out[path.suffix.lower() or path.name] += 1
    return sounds


def _part(name: str) -> Part | None:
    """The part that a name means, such as "Training" or "dev", or None."""
    return next((part for part, names in PART_NAMES.items() if re.fullmatch(names, name.strip().lower())), None)


# --- a list --------------------------------------------------------------------------------------------


def _listed(root: Path) -> tuple[list[Clip], list[str]] | None:
    """Clips of a CSV; None if there is none, so that the folders are the classes."""
    if root.is_file():
        return _rows(root), []
    tables = [path for path in sorted(root.glob("*.csv")) if all(_columns(_table(path)[0]))]
    if len(tables) > 1:
        names = ", ".join(table.name for table in tables)
        raise InvalidInput(f"{root} has several lists of files: {names}. Give the path of one instead of the folder")
    return (_rows(tables[0]), []) if tables else None


def _table(path: Path) -> tuple[list[str], list[tuple[int, Fields]]]:
    """The columns of a CSV, and its rows with their line numbers; commas, semicolons or tabs between the fields."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets write a byte order mark
    except UnicodeDecodeError:
        raise InvalidInput(f"{path} is not a CSV in UTF-8. Save it as one") from None
    first = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text), delimiter=max(",;\t", key=first.count), skipinitialspace=True)
    try:
        return list(reader.fieldnames or []), [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise InvalidInput(f"{path} cannot be read as a CSV beyond line {reader.line_num}: {error}") from None


def _columns(names: list[str]) -> tuple[str | None, str | None]:
    """The columns with files and with labels."""
    return _column(names, FILE_COLUMNS), _column(names, LABEL_COLUMNS)


def _column(names: list[str], wanted: tuple[str, ...]) -> str | None:
    """The first of the wanted columns that is there, in upper or lower case."""
    found = {name.strip().lower(): name for name in names}
    return next((found[name] for name in wanted if name in found), None)


def _rows(path: Path) -> list[Clip]:
    """Clips of a CSV, one per line."""
    names, rows = _table(path)
    file, labels = _columns(names)
    if not (file and labels and rows):
        found = f"the columns {', '.join(names)} and {len(rows)} lines" if names else "nothing"
        raise InvalidInput(
            f"{path} must have the columns {FILE_COLUMNS[0]} and {LABEL_COLUMNS[0]}, and a line for each clip; "
            f"found {found}"
        )
    split, fold = _column(names, ("split",)), _column(names, ("fold",))
    marks = "|;," if labels.strip().lower() == "labels" else "|;"
    mark = next((mark for mark in marks if any(mark in (row[labels] or "") for _, row in rows)), None)
    clips: list[Clip] = []
    lines: dict[str, int] = {}
    for line, row in rows:
        if row.get(None):
            raise InvalidInput(
                f"{path}, line {line} has more fields than the {len(names)} columns, from {row[None][0]!r} on. Put "
                'quotation marks around labels with commas, or separate them by "|"'
            )
        name, text = (row[file] or "").strip().replace("\\", "/"), row[labels] or ""
        several = [label.strip() for label in (text.split(mark) if mark else [text]) if label.strip()]
        if not name or not several:
            raise InvalidInput(f"{path}, line {line}: {f'{name} has no label' if name else 'there is no file'}")
        if name in lines:
            raise InvalidInput(
                f"{path}: {name} is listed twice, in lines {lines[name]} and {line}. Give each file one line; "
                'several labels are separated by "|"'
            )
        lines[name] = line
        beside = path.parent / "audio" / name
        file_of = beside if beside.is_file() else path.parent / name
        part = _given_part(row, split, fold, f"{path}, line {line}")
        clips.append(Clip(name, file_of, tuple(dict.fromkeys(several)), part))
    return clips


def _given_part(row: Fields, split: str | None, fold: str | None, where: str) -> Part | int | None:
    """The part or the fold that a row names in these columns; `split` counts if the CSV has both."""
    if split:
        part = _part(row[split] or "")
        if not part:
            raise InvalidInput(f"{where}: the split is train, validation or test, found {row[split]!r}")
        return part
    if fold:
        if not re.fullmatch(r"\s*[1-9]\d*\s*", row[fold] or ""):
            raise InvalidInput(f"{where}: the fold is a number from 1 on, found {row[fold]!r}")
        return int(row[fold])
    return None
