"""What Google publishes of AudioSet, a table of labels and lists of clips, and the files of sound that belong to them.

Chapter: notebooks/06_data_and_augmentation.ipynb

The large list has two million lines, a folder of it as many files. A loop over them with the csv module, regular
expressions and a dictionary takes several times as long, so whole blocks of lines and of names are arrays here.
"""

import csv
import os
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from .. import audio
from .base import find, folders
from .report import DataNotFound
from .targets import Targets

LABELS = "class_labels_indices.csv"
GOOGLE = "http://storage.googleapis.com/us_audioset/youtube_corpus/v1/csv/"
BALANCED, UNBALANCED = "balanced_train_segments.csv", "unbalanced_train_segments.csv"
LISTS = {
    "balanced": [BALANCED], "unbalanced": [UNBALANCED], "full": [BALANCED, UNBALANCED], "eval": ["eval_segments.csv"],
}  # fmt: skip
YTID = 11  # characters of a video's id, "_" and "-" among them
# What downloaders put behind it in the name of a file: nothing, the start, or start and end, in s or ms.
REST = re.compile(rb"(?:_(\d+(?:\.\d+)?))?(?:_\d+(?:\.\d+)?)?")
BLOCK = 1 << 23  # bytes of a list that are worked on at a time
NUMBER = re.compile(rb"\s*\d+(\.\d*)?\s*")
AROUND = np.frombuffer(b' "\r', np.uint8)
SUFFIXES = tuple(change(suffix).encode() for change in (str.lower, str.upper) for suffix in audio.SUFFIXES)
HOW_TO_GET = (
    "AudioSet is either a folder with Google's lists and a file of sound for each clip, named by its YTID; or Parquet "
    "in the layout of https://huggingface.co/datasets/agkphysics/AudioSet (data/bal_train/*.parquet and so on), as a "
    "folder or by that name: AudioSet('agkphysics/AudioSet')"
)


def locate(root, split: str):
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


def shown(root) -> str:
    return str(root) if isinstance(root, str | Path) else type(root).__name__


def name_of(split: str) -> str:
    """The name that records use."""
    return "audioset" if split == "full" else f"audioset-{split}"


def find_list(root, name: str) -> Path | None:
    places = [root if isinstance(root, Path) else None, find("audioset")]
    return next((place / name for place in places if place and (place / name).is_file()), None)


def label_table(root=None) -> tuple[list[str], list[str]]:
    """Machine ids and names of the 527 classes in the order of Google's table.

    Raises:
        DataNotFound: the table is not there, or is another file.
    """
    path = find_list(root, LABELS)
    if path is None:
        where = " and ".join(str(folder) for folder in folders("audioset"))
        raise DataNotFound(f"{LABELS} is not in {shown(root)}, {where}. Get it from {GOOGLE}{LABELS}")
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


def read_lists(root: Path, split: str, mids: list[str]) -> tuple[np.ndarray, np.ndarray, Targets, list[str]]:
    """Of all clips that Google lists: YTIDs as bytes, start seconds, classes; and what is odd about the lists."""
    ytids, starts, clips, columns, count = [], [], [], [], 0
    unknown, notes = Counter(), []
    order = np.argsort(np.array(mids, "S"))
    names = np.array(mids, "S")[order]
    for name in LISTS[split]:
        path = find_list(root, name)
        if path is None:
            raise DataNotFound(f"{name} is not in {root}. Get it from {GOOGLE}{name}")
        for found, start, lines, labels in _segments(path, notes):
            at = np.searchsorted(names, labels).clip(max=len(names) - 1)
            known = names[at] == labels
            ytids.append(found)
            starts.append(start)
            clips.append((lines[known] + count).astype(np.int32))
            columns.append(order[at[known]].astype(np.int32))
            unknown.update(label.decode(errors="replace") for label in labels[~known].tolist())
            count += len(found)
    if not count:
        raise DataNotFound(f"{', '.join(LISTS[split])} in {root}: not a single clip is listed. Get it from {GOOGLE}")
    ytids, starts = np.concatenate(ytids), np.concatenate(starts)
    classes = Targets.from_pairs(np.concatenate(clips), np.concatenate(columns), count, len(mids))
    order = np.argsort(ytids, kind="stable")
    again = order[1:][ytids[order[1:]] == ytids[order[:-1]]]
    if len(again):
        notes.append(f"{len(again):,} YTIDs are listed more than once; the first line of each counts.")
        first = np.delete(np.arange(count), again)
        ytids, starts, classes = ytids[first], starts[first], classes.take(first)
    return ytids, starts, classes, notes + tell_unknown(unknown)


def _segments(path: Path, notes: list[str]) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Of each block of a list: YTID and start seconds of every line; and line and name of every label.

    Lines look like `--PJHxphWEs, 30.000, 40.000, "/m/09x0r,/t/dd00088"`. A block is an array of bytes, and a line is
    where its commas are.
    """
    before, count, announced = 0, 0, None
    with path.open("rb") as file:
        while block := file.read(BLOCK) + file.readline():
            if found := re.match(rb"#.*?num_segs=(\d+)", block, re.DOTALL):
                announced = int(found[1])
            data = np.frombuffer(block + b"\n", np.uint8)
            ends = np.flatnonzero(data == ord("\n"))
            begins = np.append(0, ends[:-1] + 1)
            numbers = np.flatnonzero((data[begins] != ord("#")) & (ends - begins > 1))
            begins, ends = begins[numbers], ends[numbers]
            commas = np.append(np.flatnonzero(data == ord(",")), [len(data)] * 3)
            first, behind = np.searchsorted(commas, begins), np.searchsorted(commas, ends)
            wrong = (behind - first < 3) | (commas[first] - begins != YTID)
            starts = _texts(data, commas[first] + 1, np.where(wrong, commas[first], commas[first + 1]))
            try:
                starts = starts.astype(np.float64)
            except ValueError:
                wrong |= [not NUMBER.fullmatch(start) for start in starts.tolist()]
            if wrong.any():
                wanted = f'expected YTID, start, end, "label,label". Get it from {GOOGLE}{path.name}'
                raise DataNotFound(f"{path}, line {before + numbers[wrong.argmax()] + 1}: {wanted}")
            sizes = behind - first - 2  # labels of each line: one behind each comma from the third on
            lines = np.repeat(np.arange(len(numbers)), sizes)
            places = np.arange(len(lines)) + np.repeat(first + 2 - (np.cumsum(sizes) - sizes), sizes)
            start, stop = commas[places] + 1, np.minimum(commas[places + 1], ends[lines])
            for _ in range(2):  # a blank and a quotation mark in front; quotation mark and line end behind
                start += np.isin(data[start], AROUND)
                stop -= np.isin(data[stop - 1], AROUND)
            yield _texts(data, begins, begins + YTID), starts, lines, _texts(data, start, stop)
            before, count = before + block.count(b"\n"), count + len(numbers)
    if announced not in (None, count):
        notes.append(f"{path.name} announces {announced:,} clips and lists {count:,}.")


def _texts(data: np.ndarray, begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Pieces of an array of bytes, as an array of texts; what is longer than 40 bytes is cut."""
    width = int((ends - begins).max(initial=1).clip(1, 40))
    texts = np.zeros((len(begins), width), np.uint8)
    for i in range(width):
        at = begins + i
        texts[:, i] = np.where(at < ends, data[at.clip(max=len(data) - 1)], 0)
    return texts.view(f"S{width}")[:, 0]


def tell_unknown(labels: dict[str, int]) -> list[str]:
    if not labels:
        return []
    first = ", ".join(list(labels)[:3]) + (", ..." if len(labels) > 3 else "")
    return [f"{sum(labels.values()):,} labels are not in {LABELS} and were left out ({first})."]


def find_files(root: Path, ytids: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """(clips,) bytes: the file of each clip relative to `root`, b"" where there is none.

    The folders are read once; asking for two million files one by one would take minutes on a network disk.
    """
    order = np.argsort(ytids)
    ordered = ytids[order]
    rows, paths = [np.zeros(0, np.int64)], [np.zeros(0, "S1")]
    for folder, names in _sounds(root):
        names = np.array(names)
        letters = names.view(np.uint8).reshape(len(names), -1)
        stems = letters.shape[1] - 1 - (letters[:, ::-1] == ord(".")).argmax(1)
        for skip in (0, 1):  # a "Y" in front
            these = np.flatnonzero((stems >= skip + YTID) & ((letters[:, 0] == ord("Y")) | (skip == 0)))
            keys = np.ascontiguousarray(letters[these, skip : skip + YTID]).view(f"S{YTID}").reshape(-1)
            sort = np.argsort(keys)  # looking up in order stays in the processor's cache
            these, keys = these[sort], keys[sort]
            at = np.searchsorted(ordered, keys).clip(max=len(order) - 1)
            same = ordered[at] == keys
            these, at = these[same], order[at[same]]
            begins = these * letters.shape[1]
            kinds, kind = np.unique(
                _texts(letters.reshape(-1), begins + skip + YTID, begins + stems[these]), return_inverse=True
            )
            found = np.array([_number(text) for text in kinds.tolist()])[kind] if len(kind) else np.zeros(0)
            # Another number is another part of the same video.
            fits = np.isnan(found) | (abs(found - starts[at]) < 5e-4) | (abs(found - 1000 * starts[at]) < 0.5)
            rows.append(at[fits])
            paths.append(_under(folder, letters[these[fits]]))
    rows, paths = np.concatenate(rows), np.concatenate(paths)
    if np.bincount(rows).max(initial=0) > 1:  # of two files for one clip always the same
        last = np.argsort(paths)[::-1]
        rows, paths = rows[last], paths[last]
    files = np.zeros(len(ytids), paths.dtype)
    files[rows] = paths
    return files


def _number(rest: bytes) -> float:
    """The start in what follows the YTID in a file's name: NaN if there is nothing, infinite if it is no number."""
    found = REST.fullmatch(rest)
    return float(found[1] or "nan") if found else float("inf")


def _under(folder: bytes, letters: np.ndarray) -> np.ndarray:
    prefix = np.tile(np.frombuffer(folder, np.uint8), (len(letters), 1))
    paths = np.concatenate([prefix, letters], axis=1)
    return paths.view(f"S{paths.shape[1]}").reshape(-1)


def _sounds(root: Path) -> Iterator[tuple[bytes, list[bytes]]]:
    """Sound files in `root`, in its folder `audio`, and in the folders of both: folder relative to root, and names."""
    waiting = [(b"", True)]
    while waiting:
        folder, go_down = waiting.pop()
        with os.scandir(os.path.join(os.fsencode(root), folder)) as entries:
            while some := list(islice(entries, 200_000)):
                names = [entry.name for entry in some]
                if sounds := [name for name in names if name.endswith(SUFFIXES)]:
                    yield folder, sounds
                if go_down and len(sounds) < len(names):
                    others = set(names).difference(sounds)
                    for entry in some:
                        if entry.name in others and entry.name[:1] != b"." and entry.is_dir():
                            waiting.append((folder + entry.name + b"/", folder + entry.name == b"audio"))
