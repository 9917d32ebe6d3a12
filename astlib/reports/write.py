"""A report in a folder: a page to read, and tables for programs and spreadsheets.

Chapter: book/how_to_run.md
"""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..files import whole_folder, write_json, write_whole
from .page import page
from .result import ClassRow, Estimate, Report

PAGE = "report.html"


def write_report(folder: str | Path, found: Report) -> Path:
    """Write a report into a folder, completely or not at all.

    It gets `report.html`, a page without anything to load; `classes.csv`, one line per class; `clips.csv`, one line per
    clip; `confusion.csv`, unless clips may have several labels; and `report.json`, with all of it.

    Args:
        folder: is created if it does not exist; other files in it stay.
        found: the report.

    Returns:
        The page.

    Raises:
        OSError: the folder cannot be written.
    """
    folder = Path(folder)
    with whole_folder(folder) as unfinished:
        write_whole(unfinished / PAGE, page(found, folder).encode("utf-8", "surrogateescape"))
        _write_csv(unfinished / "classes.csv", CLASS_COLUMNS, map(_class_line, found.classes))
        _write_csv(unfinished / "clips.csv", CLIP_COLUMNS, _clip_lines(found))
        if found.confusion is not None:
            lines = ([label, *row] for label, row in zip(found.labels, found.confusion.tolist(), strict=True))
            _write_csv(unfinished / "confusion.csv", ["class", *found.labels], lines)
        write_json(unfinished / "report.json", _as_json(found))
    return folder / PAGE


CLASS_COLUMNS = ["class", "clips", "given", "hits", "recall", "recall_low", "recall_high", "precision", "precision_low",
                 "precision_high", "f1", "average_precision", "threshold", "training_clips"]  # fmt: skip
CLIP_COLUMNS = ["file", "truth", "prediction", "best", "probability", "right", "none_of_the_classes", "group"]


def _class_line(row: ClassRow) -> list[object]:
    recall, precision = (estimate or (None, None, None) for estimate in (row.recall, row.precision))
    counts = [row.label, row.clips, row.given, row.hits]
    return [*counts, *recall, *precision, row.f1, row.average_precision, row.threshold, row.trained]


def _clip_lines(found: Report) -> Iterable[list[object]]:
    for clip in found.rows:
        labels = ["|".join(clip.truth), "|".join(clip.given), clip.best]
        right, refused = int(clip.right), int(clip.refused)
        yield [clip.name, *labels, round(clip.probability, 6), right, refused, clip.group]


def _write_csv(path: Path, header: Sequence[str], lines: Iterable[Sequence[object]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    write_whole(path, text.getvalue().encode("utf-8", "surrogateescape"))


def _as_json(found: Report) -> dict[str, Any]:
    """All of a report in what JSON knows; estimates are objects, and a pair of classes has the names of its clips."""
    content = {key: _plain(value) for key, value in vars(found).items()}
    content["confused"] = [
        {"truth": pair.truth, "given": pair.given, "clips": [clip.name for clip in pair.clips]}
        for pair in found.confused
    ]
    return content


def _plain(value: Any) -> Any:
    if isinstance(value, Estimate):
        return value._asdict()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return {key: _plain(item) for key, item in vars(value).items()}
    return value.tolist() if hasattr(value, "tolist") else value
