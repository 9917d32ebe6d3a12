"""What Google publishes of AudioSet: a table of labels and lists of clips; and the sound files that belong to them.

Chapter: notebooks/06_data_and_augmentation.ipynb

The largest list has two million lines, and a folder of its sound has as many files. A loop over them with the csv
module, regular expressions and a dictionary takes several times as long, so whole blocks of lines and of file names are
processed as arrays here.
"""

import csv
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ... import audio
from ...errors import DataNotFound, InvalidInput
from ...paths import data_folders, find_data
from ..targets import Targets

if TYPE_CHECKING:  # datasets is an optional package
    from datasets import Dataset, IterableDataset

AudioSetSplit = Literal["balanced", "unbalanced", "full", "eval"]
# What a user may give: a folder, a name on the hub, an opened data set, or None: looked for.
AudioSetRoot: TypeAlias = "str | os.PathLike[str] | Dataset | IterableDataset | None"
# What that turns out to be: a folder as Path, a name on the hub as str, or an opened data set.
Located: TypeAlias = "Path | str | Dataset | IterableDataset"
LABELS = "class_labels_indices.csv"
GOOGLE_LISTS = "http://storage.googleapis.com/us_audioset/youtube_corpus/v1/csv/"
BALANCED_LIST, UNBALANCED_LIST = "balanced_train_segments.csv", "unbalanced_train_segments.csv"
LISTS: dict[AudioSetSplit, list[str]] = {
    "balanced": [BALANCED_LIST],
    "unbalanced": [UNBALANCED_LIST],
    "full": [BALANCED_LIST, UNBALANCED_LIST],
    "eval": ["eval_segments.csv"],
}
YTID = 11  # characters of a video's id, "_" and "-" among them
# What downloaders append to it in the name of a file: nothing, the start, or start and end, in s or ms.
REST = re.compile(rb"(?:_(\d+(?:\.\d+)?))?(?:_\d+(?:\.\d+)?)?")
LIST_BLOCK = 1 << 23  # bytes of a list that are processed at a time
FOLDER_BLOCK = 200_000  # entries of a folder that are processed at a time
NUMBER = re.compile(rb"\s*\d+(\.\d*)?\s*")
AROUND = np.frombuffer(b' "\r', np.uint8)
SOUND_ENDINGS = tuple(change(suffix).encode() for change in (str.lower, str.upper) for suffix in audio.SUFFIXES)
AUDIOSET_HELP = (
    "AudioSet is either a folder with Google's lists and a file of sound for each clip, named by its YTID; or Parquet "
    "in the layout of https://huggingface.co/datasets/agkphysics/AudioSet (data/bal_train/*.parquet and so on), as a "
    "folder or by that name: AudioSet('agkphysics/AudioSet')"
)

Bytes = NDArray[np.uint8]
Texts = NDArray[np.bytes_]


class Listed(NamedTuple):
    """The clips of a split that Google lists.

    Attributes:
        ytids: `(clips,)` bytes, the ids of the videos.
        starts: `(clips,)` float64, where each clip starts in its video, in seconds.
        classes: the labels of every clip.
        notes: what is unusual about the lists, one sentence each.
    """

    ytids: Texts
    starts: NDArray[np.float64]
    classes: Targets
    notes: list[str]


class Segments(NamedTuple):
    """The clips of one block of a list.

    Attributes:
        ytids: `(clips,)` bytes.
        starts: `(clips,)` float64, in seconds.
        owners: `(labels,)` int64, the clip of each label, counted from the start of the block.
        labels: `(labels,)` bytes, the machine ids.
    """

    ytids: Texts
    starts: NDArray[np.float64]
    owners: NDArray[np.int64]
    labels: Texts


def locate(root: AudioSetRoot, split: AudioSetSplit) -> Located:
    """Find out what kind of copy of AudioSet `root` is.

    Args:
        root: a folder, a name on the hub, an opened data set, or None: looked for.
        split: one of LISTS.

    Returns:
        A folder as Path, a name on the hub as str, an opened data set unchanged.

    Raises:
        InvalidInput: an unknown split.
        DataNotFound: no such folder, or no copy on this machine.
    """
    if split not in LISTS:
        raise InvalidInput(f"split must be one of {', '.join(LISTS)}, got {split!r}")
    if root is None:
        root = find_data("audioset")
        if root is None:
            where = " and ".join(str(folder) for folder in data_folders("audioset"))
            raise DataNotFound(f"AudioSet is not on this machine (looked in {where}). {AUDIOSET_HELP}")
    if not isinstance(root, str | os.PathLike):
        return root
    path = Path(root).expanduser()
    if path.is_dir():
        return path
    if isinstance(root, str) and re.fullmatch(r"[\w.-]+/[\w.-]+", root) and not path.is_absolute():
        return root
    raise DataNotFound(f"{path} is not a folder. {AUDIOSET_HELP}")


def shown(root: "Located | None") -> str:
    """Describe a copy of AudioSet for messages.

    Args:
        root: as from `locate`.

    Returns:
        Its path, its name on the hub, or the type of an opened data set.
    """
    return str(root) if isinstance(root, str | Path) else type(root).__name__


def name_of(split: AudioSetSplit) -> str:
    """Return the name of a split in records.

    Args:
        split: one of LISTS.

    Returns:
        "audioset" for the full training part, else "audioset-" and the split.
    """
    return "audioset" if split == "full" else f"audioset-{split}"


def find_list(root: "Located | None", name: str) -> Path | None:
    """Look for one of Google's files in `root`, then where data sets are looked for.

    Args:
        root: as from `locate`; None looks in the usual places only.
        name: of the file.

    Returns:
        Its path, or None.
    """
    places = [root if isinstance(root, Path) else None, find_data("audioset")]
    return next((place / name for place in places if place and (place / name).is_file()), None)


def label_table(root: "Located | None" = None) -> tuple[list[str], list[str]]:
    """Read Google's table of the 527 classes.

    Args:
        root: as from `locate`; None looks in the usual places only.

    Returns:
        The machine ids and the names of the classes, in the order of the table.

    Raises:
        DataNotFound: the table is not there, or is another file.
    """
    path = find_list(root, LABELS)
    if path is None:
        where = " and ".join(str(folder) for folder in data_folders("audioset"))
        raise DataNotFound(f"{LABELS} is not in {shown(root)}, {where}. Get it from {GOOGLE_LISTS}{LABELS}")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [(int(row["index"]), row["mid"], row["display_name"]) for row in csv.DictReader(file)]
    except (KeyError, TypeError, ValueError, csv.Error):
        rows = []
    if not rows or [index for index, _, _ in rows] != list(range(len(rows))):
        raise DataNotFound(
            f"{path} is not Google's table with the columns index, mid, display_name. "
            f"Get it from {GOOGLE_LISTS}{LABELS}"
        )
    return [mid for _, mid, _ in rows], [name for _, _, name in rows]


def read_lists(root: Located, split: AudioSetSplit, mids: list[str]) -> Listed:
    """Read the clips of a split that Google lists. Of several lines for one video, the first counts.

    Args:
        root: as from `locate`.
        split: one of LISTS.
        mids: machine ids of the classes, in the order of the target's columns.

    Returns:
        The clips in the order of the lists.

    Raises:
        DataNotFound: a list is missing, is empty, or has a line that is not one of Google's.
    """
    notes: list[str] = []
    unknown: Counter[str] = Counter()
    all_ytids, all_starts, clips, columns = [], [], [], []  # one array per block; the latter two per label
    count = 0  # of the clips so far
    order = np.argsort(np.array(mids, "S"))
    known_labels = np.array(mids, "S")[order]
    for name in LISTS[split]:
        path = find_list(root, name)
        if path is None:
            raise DataNotFound(f"{name} is not in {shown(root)}. Get it from {GOOGLE_LISTS}{name}")
        for block in _segments(path, notes):
            at = np.searchsorted(known_labels, block.labels).clip(max=len(known_labels) - 1)
            known = known_labels[at] == block.labels
            all_ytids.append(block.ytids)
            all_starts.append(block.starts)
            clips.append((block.owners[known] + count).astype(np.int32))
            columns.append(order[at[known]].astype(np.int32))
            unknown.update(label.decode(errors="replace") for label in block.labels[~known].tolist())
            count += len(block.ytids)
    if not count:
        lists = ", ".join(LISTS[split])
        raise DataNotFound(f"{lists} in {shown(root)}: not a single clip is listed. Get it from {GOOGLE_LISTS}")
    ytids, starts = np.concatenate(all_ytids), np.concatenate(all_starts)
    classes = Targets.from_pairs(np.concatenate(clips), np.concatenate(columns), count, len(mids))
    by_id = np.argsort(ytids, kind="stable")
    again = by_id[1:][ytids[by_id[1:]] == ytids[by_id[:-1]]]
    if len(again):
        notes.append(f"{len(again):,} YTIDs are listed more than once; the first line of each counts.")
        first = np.delete(np.arange(count), again)
        ytids, starts, classes = ytids[first], starts[first], classes.take(first)
    return Listed(ytids, starts, classes, notes + unknown_labels(unknown))


def _segments(path: Path, notes: list[str]) -> Iterator[Segments]:
    """Read a list block by block.

    Lines look like `--PJHxphWEs, 30.000, 40.000, "/m/09x0r,/t/dd00088"`. A block is an array of bytes, and its lines
    are taken apart at their commas.
    """
    before, count, announced = 0, 0, None  # lines and clips of the blocks so far; clips that the header promises
    with path.open("rb") as file:
        while block := file.read(LIST_BLOCK) + file.readline():
            if found := re.match(rb"#.*?num_segs=(\d+)", block, re.DOTALL):
                announced = int(found[1])
            segments = _segments_of_block(block, path, before)
            yield segments
            before, count = before + block.count(b"\n"), count + len(segments.ytids)
    if announced not in (None, count):
        notes.append(f"{path.name} announces {announced:,} clips and lists {count:,}.")


def _segments_of_block(block: bytes, path: Path, before: int) -> Segments:
    """The clips of some whole lines of a list, of which `before` lines come before this block."""
    data = np.frombuffer(block + b"\n", np.uint8)
    ends = np.flatnonzero(data == ord("\n"))
    begins = np.append(0, ends[:-1] + 1)
    numbers = np.flatnonzero((data[begins] != ord("#")) & (ends - begins > 1))  # of the lines that are clips
    begins, ends = begins[numbers], ends[numbers]
    commas = np.append(np.flatnonzero(data == ord(",")), [len(data)] * 3)
    first, behind = np.searchsorted(commas, begins), np.searchsorted(commas, ends)  # commas of a line: first to behind
    wrong = (behind - first < 3) | (commas[first] - begins != YTID)
    texts = _texts(data, commas[first] + 1, np.where(wrong, commas[first], commas[first + 1]))
    try:
        starts = texts.astype(np.float64)
    except ValueError:
        wrong |= [not NUMBER.fullmatch(text) for text in texts.tolist()]
    if wrong.any():
        wanted = f'expected YTID, start, end, "label,label". Get it from {GOOGLE_LISTS}{path.name}'
        raise DataNotFound(f"{path}, line {before + numbers[wrong.argmax()] + 1}: {wanted}")
    sizes = behind - first - 2  # labels of each line: one after each comma from the third on
    owners = np.repeat(np.arange(len(numbers)), sizes)
    places = np.arange(len(owners)) + np.repeat(first + 2 - (np.cumsum(sizes) - sizes), sizes)
    start, stop = commas[places] + 1, np.minimum(commas[places + 1], ends[owners])
    for _ in range(2):  # a space and a quotation mark in front; a quotation mark and a carriage return behind
        start += np.isin(data[start], AROUND)
        stop -= np.isin(data[stop - 1], AROUND)
    return Segments(_texts(data, begins, begins + YTID), starts, owners, _texts(data, start, stop))


def _texts(data: Bytes, begins: NDArray[np.int64], ends: NDArray[np.int64]) -> Texts:
    """Pieces of an array of bytes, as an array of texts; what is longer than 40 bytes is cut."""
    width = int((ends - begins).max(initial=1).clip(1, 40))
    texts = np.zeros((len(begins), width), np.uint8)
    for i in range(width):
        at = begins + i
        texts[:, i] = np.where(at < ends, data[at.clip(max=len(data) - 1)], 0)
    return texts.view(f"S{width}")[:, 0]


def unknown_labels(labels: Mapping[str, int]) -> list[str]:
    """Say which labels are not in Google's table.

    Args:
        labels: how often each of them occurs.

    Returns:
        One sentence for a report, or none if there are no such labels.
    """
    if not labels:
        return []
    first = ", ".join(list(labels)[:3]) + (", ..." if len(labels) > 3 else "")
    return [f"{sum(labels.values()):,} labels are not in {LABELS} and were left out ({first})."]


def find_files(root: Path, ytids: Texts, starts: NDArray[np.float64]) -> Texts:
    """Find the sound file of each clip.

    The folders are read once; asking for two million files one by one would take minutes on a network disk.

    Args:
        root: a folder with sound files, in it, in its folder `audio`, or one folder further down.
        ytids: `(clips,)` bytes.
        starts: `(clips,)` float64, in seconds.

    Returns:
        `(clips,)` bytes: the path of each file relative to `root`, b"" where there is none.
    """
    order = np.argsort(ytids)
    ordered = ytids[order]
    found: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    places: list[Texts] = [np.zeros(0, "S1")]
    for folder, names in _sounds(root):
        texts = np.array(names)
        letters = texts.view(np.uint8).reshape(len(texts), -1)  # (files, longest name)
        stems = letters.shape[1] - 1 - (letters[:, ::-1] == ord(".")).argmax(1)  # where the last "." is
        for skip in (0, 1):  # a "Y" in front
            these = np.flatnonzero((stems >= skip + YTID) & ((letters[:, 0] == ord("Y")) | (skip == 0)))
            keys = np.ascontiguousarray(letters[these, skip : skip + YTID]).view(f"S{YTID}").reshape(-1)
            sort = np.argsort(keys)  # looking up in order stays in the processor's cache
            these, keys = these[sort], keys[sort]
            at = np.searchsorted(ordered, keys).clip(max=len(order) - 1)
            same = ordered[at] == keys
            these, clips = these[same], order[at[same]]
            begins = these * letters.shape[1]
            rests = _texts(letters.reshape(-1), begins + skip + YTID, begins + stems[these])
            numbers = _numbers(rests)
            # Another number is another part of the same video.
            fits = (
                np.isnan(numbers) | (abs(numbers - starts[clips]) < 5e-4) | (abs(numbers - 1000 * starts[clips]) < 0.5)
            )
            found.append(clips[fits])
            places.append(_under(folder, letters[these[fits]]))
    rows, paths = np.concatenate(found), np.concatenate(places)
    if np.bincount(rows).max(initial=0) > 1:  # of two files for one clip, always the same one
        last = np.argsort(paths)[::-1]
        rows, paths = rows[last], paths[last]
    files = np.zeros(len(ytids), paths.dtype)
    files[rows] = paths
    return files


def _numbers(rests: Texts) -> NDArray[np.float64]:
    """`(files,)`: the start that follows the YTID in each name; few different ones occur, so each is parsed once."""
    kinds, kind = np.unique(rests, return_inverse=True)
    return np.array([_number(text) for text in kinds.tolist()])[kind] if len(kind) else np.zeros(0)


def _number(rest: bytes) -> float:
    """The start that follows the YTID in a file's name: NaN if there is nothing, infinite if it is no number."""
    found = REST.fullmatch(rest)
    return float(found[1] or "nan") if found else float("inf")


def _under(folder: bytes, letters: Bytes) -> Texts:
    """Paths from a folder and `(files, longest name)` characters of names."""
    prefix = np.tile(np.frombuffer(folder, np.uint8), (len(letters), 1))
    paths = np.concatenate([prefix, letters], axis=1)
    return paths.view(f"S{paths.shape[1]}").reshape(-1)


def _sounds(root: Path) -> Iterator[tuple[bytes, list[bytes]]]:
    """Sound files in `root`, in its folder `audio`, and in the folders of both: folder relative to root, and names."""
    waiting = [(b"", True)]
    while waiting:
        folder, go_down = waiting.pop()
        with os.scandir(os.path.join(os.fsencode(root), folder)) as entries:
            while some := list(islice(entries, FOLDER_BLOCK)):
                names = [entry.name for entry in some]
                if sounds := [name for name in names if name.endswith(SOUND_ENDINGS)]:
                    yield folder, sounds
                if go_down and len(sounds) < len(names):
                    others = set(names).difference(sounds)
                    for entry in some:
                        if entry.name in others and entry.name[:1] != b"." and entry.is_dir():
                            waiting.append((folder + entry.name + b"/", folder + entry.name == b"audio"))
