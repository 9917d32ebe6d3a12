"""A page on which a person says what windows sound like, and the table of labels that comes out of it.

The page is one file with pictures and sounds in it. It works without a network connection and without a server, and
sends nothing anywhere; its answers are downloaded as `labels.csv`.

Chapter: notebooks/19_a_thousand_hours.ipynb
"""

import csv
import hashlib
import html
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm.auto import tqdm

from . import widgets
from .embeddings import Embeddings
from .errors import InvalidInput, NotFound
from .few import BACKGROUND, UNKNOWN, Ints
from .files import write_whole
from .frontend import LogMel

COLUMNS = ("file", "begin_s", "end_s", "label")
MOST_WINDOWS = 500  # on one page: it is about 100 kB for each
MOST_CLASSES = 9  # one key each


class Label(NamedTuple):
    """What a person heard in a stretch of a sound file.

    Args:
        file: path of the file, as in the features.
        begin_s: where the stretch begins, in seconds.
        end_s: where it ends.
        label: what is heard there.
    """

    file: str
    begin_s: float
    end_s: float
    label: str


def write_page(
    embeddings: Embeddings, rows: Iterable[int], classes: Sequence[str], path: str | Path, progress: bool = True
) -> Path:
    """Write a page for labelling windows.

    Args:
        embeddings: the windows; their sound files must be there.
        rows: numbers of the windows to ask about, in the order in which they are asked.
        classes: 1 to 9 names; the first has the key 1. "background" has the key 0 and is always there. With a single
            class the keys are y and n.
        path: the file, which should end in `.html`.
        progress: show a progress bar.

    Returns:
        The path.

    Raises:
        InvalidInput: no window, too many of them, or no class or too many.
        AudioError: a sound file cannot be read.
        OSError: the page cannot be written.
    """
    rows = [int(row) for row in rows]
    answers = _answers(classes)
    if not 1 <= len(rows) <= MOST_WINDOWS:
        raise InvalidInput(f"expected 1 to {MOST_WINDOWS} windows on a page; found {len(rows)}")
    sounds, log_mel, snippets = embeddings.sounds(rows), LogMel(), []
    for row in tqdm(rows, desc="drawing", unit="window", disable=not progress):
        file, begin, end = embeddings.window(row)
        where = f"{file}, {begin:.1f} to {end:.1f} s"
        sound = sounds[row]
        player = widgets.player(
            sound, label=where, mel=log_mel(sound)[0] if len(sound) >= log_mel.frame_samples else None
        )
        snippets.append(
            f'<section class="snippet" aria-label="{html.escape(where, quote=True)}" hidden>'
            f'<p class="where">{html.escape(where)}</p>{player.source}</section>'
        )
    windows = [embeddings.window(row)._asdict() for row in rows]
    seed = json.dumps([embeddings.plan.digest, windows, answers])
    about = {"id": f"astlib-{hashlib.sha256(seed.encode()).hexdigest()[:16]}", "windows": windows, "answers": answers}
    parts = {
        "{{snippets}}": "\n".join(snippets),
        "{{page}}": json.dumps(about).replace("<", "\\u003c"),
        "{{script}}": widgets.script(),
    }
    page = Path(__file__).with_suffix(".html").read_text(encoding="utf-8")
    for mark, content in parts.items():
        before, _, after = page.partition(mark)
        page = before + content + after
    return write_whole(path, page.encode())


def _answers(classes: Sequence[str]) -> list[dict[str, object]]:
    """The keys of a page, what they stand for, and whether this is written to the table."""
    names = [name for name in dict.fromkeys(classes) if name != BACKGROUND]
    if not 1 <= len(names) <= MOST_CLASSES:
        raise InvalidInput(f"expected 1 to {MOST_CLASSES} classes, for the keys 1 to 9; found {len(names)}")
    keys = ["y"] if len(names) == 1 else [str(i + 1) for i in range(len(names))]
    found = [{"key": key, "label": name, "exported": True} for key, name in zip(keys, names, strict=True)]
    found.append({"key": "n" if len(names) == 1 else "0", "label": BACKGROUND, "exported": True})
    return [*found, {"key": "s", "label": "skip", "exported": False}]


def read_labels(paths: Iterable[str | Path]) -> list[Label]:
    """Read tables of labels: CSV with the columns file, begin_s, end_s, label; others are left out.

    Args:
        paths: the tables.

    Returns:
        Their rows, in order.

    Raises:
        NotFound: there is no such table.
        InvalidInput: it lacks a column, has no row, or a time is no number.
    """
    found: list[Label] = []
    for path in map(Path, paths):
        if not path.is_file():
            raise NotFound(f"there is no table {path}. `astlib label` makes a page that writes one")
        with path.open(encoding="utf-8-sig", newline="", errors="replace") as file:
            table = csv.DictReader(file)
            if missing := set(COLUMNS) - set(table.fieldnames or ()):
                raise InvalidInput(
                    f"{path} must have the columns {', '.join(COLUMNS)}; {', '.join(sorted(missing))} is missing"
                )
            try:
                rows = [Label(row["file"], float(row["begin_s"]), float(row["end_s"]), row["label"]) for row in table]
            except (TypeError, ValueError):
                raise InvalidInput(f"{path}, line {table.line_num}: begin_s and end_s must be seconds") from None
        if not rows:
            raise InvalidInput(f"{path} has no row below its header")
        found += rows
    return found


def place(labels: Iterable[Label], embeddings: Embeddings) -> dict[int, str]:
    """Find the window of each label: the one of its file whose middle is nearest to that of the label.

    Args:
        labels: what was heard where. Of two labels for one window the later counts.
        embeddings: the windows.

    Returns:
        The label by the number of the window, sorted by number.

    Raises:
        InvalidInput: a label is in a file that was not embedded, or outside it.
    """
    found: dict[int, str] = {}
    for label in labels:
        row = embeddings.nearest(label.file, (label.begin_s + label.end_s) / 2)
        if row is None:
            raise InvalidInput(
                f"{embeddings.folder} has no window of {label.file} at {label.begin_s:g} to {label.end_s:g} s. Are "
                "these labels of other recordings?"
            )
        found[row] = label.label.strip()
    return dict(sorted(found.items()))


def as_classes(labels: dict[int, str], embeddings: Embeddings) -> tuple[Ints, list[str]]:
    """Turn placed labels into what `astlib.few.choose` takes.

    Args:
        labels: as `place` returns them.
        embeddings: the windows.

    Returns:
        The class of every row, -1 for unknown, `(rows,)`; and the names of the classes, background last.
    """
    names = sorted(set(labels.values()), key=lambda name: (name == BACKGROUND, name))
    classes = np.full(len(embeddings.file_of), UNKNOWN)
    for row, name in labels.items():
        classes[row] = names.index(name)
    return classes, names
