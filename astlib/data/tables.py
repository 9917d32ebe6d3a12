"""Lists of sound files as people have them: CSV or JSON, with a column for the files and one for the labels.

What is unambiguous is accepted: the usual names of columns, any common encoding, a list without a header, one column of
zeros and ones for each class, file names without a suffix. Everything else ends in one short message that says what to
rename.

Chapter: notebooks/06_data_and_augmentation.ipynb
"""

import codecs
import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from .. import audio
from ..errors import InvalidInput
from ..typed import read_json
from .splits import Part, part_named

# Names of columns, the preferred ones first. Letters and digits count, upper and lower case are the same: "File Name"
# is "filename". slice_file_name is UrbanSound8K's, fname FSD50K's, wav the original AST's.
FILE_COLUMNS = (
    *("file", "filename", "path", "filepath", "fname", "slicefilename", "clip", "clipname", "sound", "soundfile"),
    *("wav", "wavfile", "wavpath", "audio", "audiofile", "audiopath", "audiofilename"),
)
LABEL_COLUMNS = ("labels", "label", "category", "class", "classname", "classlabel", "tags", "tag", "target")
LISTING_COLUMNS = ("labels", "tags")  # here a comma separates labels; in the others it may be part of a name
SPLIT_COLUMNS, FOLD_COLUMNS = ("split", "subset", "partition"), ("fold", "folds")
MOST_SHOWN = 8  # columns in a message

# One row by the names of its columns: None for what is missing at the end, a list under None for what is too much.
Fields = Mapping[str | Any, str | Any]


@dataclass(frozen=True)
class Clip:
    """One clip of a folder or of a list.

    Attributes:
        name: its path within the folder, with "/" on every system; in a list, as it is written there.
        path: the file. It need not exist.
        labels: any number; none only in a list with one column of zeros and ones for each class.
        part: "train", "validation" or "test", the number of a fold from 1, or None if the clips are not divided yet.
        columns: the row of the list, by the names of its columns.
    """

    name: str
    path: Path
    labels: tuple[str, ...]
    part: Part | int | None = None
    columns: Mapping[str, str] = field(default_factory=dict)


class Listing(NamedTuple):
    """What a list says.

    Attributes:
        clips: one for each of its lines.
        notes: what the reader should know, one sentence each.
    """

    clips: list[Clip]
    notes: list[str]


class Sheet(NamedTuple):
    """A CSV or JSON file as a table.

    Attributes:
        names: of the columns.
        rows: the number of the line (in JSON, of the entry) and the fields of each.
        notes: what the reader should know, one sentence each.
    """

    names: list[str]
    rows: list[tuple[int, Fields]]
    notes: list[str]


class Columns(NamedTuple):
    """Which column holds what. A column that the list does not have is None.

    Attributes:
        file: of the file names.
        label: of the labels.
        classes: instead of `label`, one column of zeros and ones for each class.
        split: of the parts.
        fold: of the folds.
    """

    file: str | None
    label: str | None
    classes: tuple[str, ...]
    split: str | None
    fold: str | None


def read_list(path: Path) -> Listing:
    """Read a list of sound files with their labels.

    Args:
        path: a CSV with commas, semicolons or tabs, in UTF-8, UTF-16 or Windows-1252; or a JSON file with a list of
            objects, alone or under "data".

    Returns:
        Its clips. The files are looked for beside the list, in the folder `audio` there or one level up, and in folders
        such as `fold1` inside of those.

    Raises:
        InvalidInput: it cannot be understood; the message names the line, or the columns to rename.
    """
    sheet = _sheet(path)
    columns = _columns(sheet)
    if not sheet.rows or not columns.file or not (columns.label or columns.classes):
        raise InvalidInput(_not_a_list(path, sheet, columns))
    clips = list(_clips(path, sheet, columns, columns.file))
    folds = [clip.part for clip in clips if isinstance(clip.part, int)]
    if folds and min(folds) == 0:  # 0 is what a person who counts from 0 calls the first fold
        clips = [replace(clip, part=clip.part + 1) if isinstance(clip.part, int) else clip for clip in clips]
        sheet.notes.append(f"The folds of {path.name} are numbered from 0; here they are 1 to {max(folds) + 1}.")
    return Listing(clips, sheet.notes)


def is_list(path: Path) -> bool:
    """Tell whether a CSV is a list of sound files with their labels.

    Args:
        path: the CSV.

    Returns:
        True if it has both columns.

    Raises:
        InvalidInput: it cannot be read as a CSV.
    """
    columns = _columns(_sheet(path))
    return bool(columns.file and (columns.label or columns.classes))


def column_named(names: Iterable[str], wanted: Sequence[str]) -> str | None:
    """Find a column whatever its spelling: "File Name", "file_name" and "filename" are one name.

    Args:
        names: of the columns.
        wanted: what to look for, in lower case and without blanks and underscores; the first that is there counts.

    Returns:
        The name as it is in the list, or None.
    """
    found = {plain(name): name for name in names}
    return next((found[name] for name in wanted if name in found), None)


def plain(name: str) -> str:
    """Reduce the name of a column to its letters and digits, in lower case.

    Args:
        name: such as "Speaker_ID".

    Returns:
        Such as "speakerid".
    """
    return re.sub(r"[\W_]+", "", name).lower()


# --- files to tables -----------------------------------------------------------------------------------


def _sheet(path: Path) -> Sheet:
    text, notes = _text(path)
    if path.suffix.lower() == ".json":
        return _json_sheet(path, text, notes)
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    cells = next(csv.reader([first], delimiter=delimiter, skipinitialspace=True), [])
    # A first line with a sound file in it is no header.
    header = _header(cells) if any(Path(cell.strip()).suffix.lower() in audio.SUFFIXES for cell in cells) else None
    reader = csv.DictReader(io.StringIO(text), header, delimiter=delimiter, skipinitialspace=True)
    try:
        return Sheet(list(reader.fieldnames or []), [(reader.line_num, row) for row in reader], notes)
    except csv.Error as error:
        raise InvalidInput(f"{path} cannot be read as a CSV beyond line {reader.line_num}: {error}") from None


def _header(cells: list[str]) -> list[str]:
    """Names for the columns of a list without a header, which is clear if there are two; else they stay as they are."""
    if len(cells) != 2:
        return cells
    first_is_file = Path(cells[0].strip()).suffix.lower() in audio.SUFFIXES
    return ["file", "label"] if first_is_file else ["label", "file"]


def _text(path: Path) -> tuple[str, list[str]]:
    """The text of a file in one of the encodings that spreadsheets write, and a note if it had to be guessed."""
    content = path.read_bytes()
    notes: list[str] = []
    try:
        is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = content.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")
        notes = [f"{path.name} is not in UTF-8 and was read as Windows-1252: check names with accents."]
    if "\0" in text:
        raise InvalidInput(f"{path} is not a CSV: it is no text. Save the table as CSV in UTF-8")
    return text, notes


def _json_sheet(path: Path, text: str, notes: list[str]) -> Sheet:
    """A list of objects, alone or under "data" as in the original AST's recipes."""
    try:
        content = read_json(text)
    except ValueError as error:
        raise InvalidInput(f"{path} is not valid JSON: {error}") from None
    entries = content.get("data") if isinstance(content, dict) else content
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InvalidInput(
            f'{path} must hold a list of objects such as {{"file": "1.wav", "labels": "dog"}}, alone or under "data"'
        )
    readable = _display_names(path.parent)
    rows = [{str(key): _json_value(value) for key, value in entry.items()} for entry in entries]
    if readable:
        label = column_named(rows[0] if rows else (), LABEL_COLUMNS)
        for row in rows if label else ():
            codes = (row.get(label or "") or "").split(",")
            if all(code.strip() in readable for code in codes):
                row[label or ""] = "|".join(readable[code.strip()] for code in codes)
    names = dict.fromkeys(name for row in rows for name in row)
    return Sheet(list(names), [(i, {**dict.fromkeys(names), **row}) for i, row in enumerate(rows, 1)], notes)


def _json_value(value: object) -> str:
    return "|".join(map(str, value)) if isinstance(value, list) else str(value)


def _display_names(folder: Path) -> dict[str, str]:
    """Names of classes by their codes, from the list that the original AST keeps beside its JSON files."""
    path = folder / "class_labels_indices.csv"
    if not path.is_file():
        return {}
    rows = csv.DictReader(io.StringIO(_text(path)[0]))
    return {row["mid"]: row["display_name"] for row in rows if row.get("mid") and row.get("display_name")}


# --- columns -------------------------------------------------------------------------------------------


def _columns(sheet: Sheet) -> Columns:
    file, label = column_named(sheet.names, FILE_COLUMNS), column_named(sheet.names, LABEL_COLUMNS)
    split, fold = column_named(sheet.names, SPLIT_COLUMNS), column_named(sheet.names, FOLD_COLUMNS)
    if split and plain(split) != "split" and not all(part_named(row[split] or "") for _, row in sheet.rows):
        split = None  # a column of another meaning
    binary: tuple[str, ...] = ()
    if file and not label:
        others = [name for name in sheet.names if name not in (file, split, fold)]
        binary = tuple(name for name in others if all(_is_binary(row[name]) for _, row in sheet.rows))
    return Columns(file, label, binary if len(binary) > 1 else (), split, fold)


def _is_binary(value: str | None) -> bool:
    return (value or "").strip() in ("0", "1", "0.0", "1.0")


def _not_a_list(path: Path, sheet: Sheet, columns: Columns) -> str:
    """One short message: what the list must have, what it has, and what to rename."""
    shown = [name if len(name) <= 30 else f"{name[:30]}…" for name in sheet.names[:MOST_SHOWN]]
    more = len(sheet.names) - len(shown)
    names = ", ".join(shown) + (f" and {more} more" if more else "")
    found = f"the columns {names} and {len(sheet.rows)} lines" if sheet.names else "nothing"
    text = f"{path} must have the columns file and labels, and a line for each clip; found {found}"
    if any(Path(name.strip()).suffix.lower() in audio.SUFFIXES for name in sheet.names):
        return f"{text}. Its first line is no header: add one, such as file,label"
    if not sheet.rows:
        return text
    missing = ["the file names to file"] if not columns.file else []
    missing += [] if columns.label else ["the classes to label"]
    return f"{text}. Rename the column with {' and the one with '.join(missing)}"


# --- rows to clips -------------------------------------------------------------------------------------


def _clips(path: Path, sheet: Sheet, columns: Columns, file: str) -> Iterable[Clip]:
    marks = "|;," if columns.label and plain(columns.label) in LISTING_COLUMNS else "|;"
    texts = [row[columns.label] or "" for _, row in sheet.rows] if columns.label else []
    mark = next((mark for mark in marks if any(mark in text for text in texts)), None)
    places, lines = Places(path.parent), dict[str, int]()
    for line, row in sheet.rows:
        if row.get(None):
            raise InvalidInput(
                f"{path}, line {line} has more fields than the {len(sheet.names)} columns, from {row[None][0]!r} on. "
                'Put quotation marks around labels with commas, or separate them by "|"'
            )
        name, labels = (row[file] or "").strip().replace("\\", "/"), _labels(row, columns, mark)
        if not name or not (labels or columns.classes):
            raise InvalidInput(f"{path}, line {line}: {f'{name} has no label' if name else 'there is no file'}")
        if name in lines:
            raise InvalidInput(
                f"{path}: {name} is listed twice, in lines {lines[name]} and {line}. Give each file one line; "
                'several labels are separated by "|"'
            )
        lines[name] = line
        part = _given_part(row, columns, f"{path}, line {line}")
        values = {key.strip(): (value or "").strip() for key, value in row.items() if key is not None}
        yield Clip(name, places.find(name, row[columns.fold] if columns.fold else None), labels, part, values)


def _labels(row: Fields, columns: Columns, mark: str | None) -> tuple[str, ...]:
    """The labels of a row, each once."""
    if not columns.label:
        return tuple(name.strip() for name in columns.classes if float(row[name]))
    text = row[columns.label] or ""
    labels = [label.strip() for label in (text.split(mark) if mark else [text])]
    return tuple(dict.fromkeys(label for label in labels if label))


def _given_part(row: Fields, columns: Columns, where: str) -> Part | int | None:
    """The part or the fold that a row names; the split counts if the list has both."""
    if columns.split:
        part = part_named(row[columns.split] or "")
        if not part:
            raise InvalidInput(f"{where}: the split is train, validation or test, found {row[columns.split]!r}")
        return part
    if columns.fold:
        number = re.fullmatch(r"\s*(?:fold)?[ _-]?(\d+)(?:\.0*)?\s*", row[columns.fold] or "", re.IGNORECASE)
        if not number:
            raise InvalidInput(f"{where}: the fold is a whole number, found {row[columns.fold]!r}")
        return int(number[1])
    return None


class Places:
    """Where the files of a list are: beside it, in the folder `audio` there, or the same one level up.

    Args:
        folder: of the list.

    Attributes:
        folder: as given.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        above = folder.absolute().parent
        self._bases = [folder / "audio", folder, above / "audio", above]
        self._seen: dict[Path, dict[str, list[Path]]] = {}

    def find(self, name: str, fold: str | None = None) -> Path:
        """Find the file that a list names.

        Args:
            name: relative to one of the places, or absolute; or a file name without folder or without suffix that
                occurs once in the folders of the places. The file may have been converted and have another suffix.
            fold: what the list says of its fold, to choose among folders such as `fold1`.

        Returns:
            The path. If there is no such file, the path beside the list.
        """
        for path in (base / name for base in self._bases):
            if path.is_file():
                return path
        for path in (base / name for base in self._bases if Path(name).suffix):
            converted = self._sounds(path.parent).get(path.stem, [])
            if len(converted) == 1:
                return converted[0]
        if "/" not in name:
            found = self._index.get(name, [])
            inside = [path for path in found if fold and path.parent.name.lower() in (f"fold{fold}", f"fold_{fold}")]
            for paths in (inside, found):
                if len(paths) == 1:
                    return paths[0]
        elif re.match(r"/|\.|[A-Za-z]:", name):  # a path on the machine where the list was made
            tails = [name.split("/", i)[-1] for i in range(1, name.count("/") + 1)]
            for tail in tails:
                for base in self._bases:
                    if tail and (base / tail).is_file():
                        return base / tail
        return self.folder / name

    @cached_property
    def _index(self) -> dict[str, list[Path]]:
        """The sound files in the places and in the folders of each, by name and by name without suffix."""
        *near, above = self._bases
        folders = {base.resolve() for base in near if base.is_dir()}
        folders |= {path.resolve() for base in near if base.is_dir() for path in base.iterdir() if path.is_dir()}
        folders |= {path.resolve() for path in above.iterdir() if "audio" in path.name.lower() and path.is_dir()}
        index = defaultdict[str, list[Path]](list)
        for folder in sorted(folders):
            for stem, paths in self._sounds(folder).items():
                index[stem] += paths
                for path in paths:
                    index[path.name].append(path)
        return dict(index)

    def _sounds(self, folder: Path) -> dict[str, list[Path]]:
        """The sound files in a folder by their names without suffix; a list of thousands reads each folder once."""
        if folder not in self._seen:
            self._seen[folder] = defaultdict(list)
            for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                if path.suffix.lower() in audio.SUFFIXES and not path.name.startswith("."):
                    self._seen[folder][path.stem].append(path)
        return self._seen[folder]
