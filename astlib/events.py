"""From windows to events: when which class was heard, and the files that other programs open.

A network answers for overlapping windows of some seconds. Windows in a row that reach the threshold of a class are one
event of that class. Events can be written for a spreadsheet (CSV), a script (JSON lines), Audacity (a label track) and
Raven (a selection table).

Chapter: notebooks/15_your_own_sounds.ipynb
"""

import csv
import io
import itertools
import json
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path

from torch import Tensor

from .errors import InvalidInput
from .files import write_whole

LOW_HZ, HIGH_HZ = 20.0, 8000.0  # what a network hears at 16 kHz, see astlib.frontend
RAVEN = (
    "Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)",
    "Begin Path", "Label", "Score",
)  # fmt: skip


@dataclass(frozen=True)
class Event:
    """A stretch of a sound in which a class was heard.

    Attributes:
        file: the sound file.
        begin_s: where the event begins in it, in seconds.
        end_s: where it ends.
        label: the class.
        score: the highest probability of its windows.
        low_hz: lowest frequency in Hz.
        high_hz: highest frequency in Hz. Both are those that the network hears; it does not say in which band an event
            was.
    """

    file: str
    begin_s: float
    end_s: float
    label: str
    score: float
    low_hz: float = LOW_HZ
    high_hz: float = HIGH_HZ


CSV_HEADER = ",".join(field.name for field in fields(Event)) + "\n"


@dataclass(frozen=True, kw_only=True)
class Merging:
    """How windows become events. Fields are given by name.

    Attributes:
        gap_s: two events of a class that are at most so many seconds apart are one.
        least_s: shorter events are left out.
        release: an event goes on, in both directions, while the probability is at least this part of the threshold, 0
            to 1. With 1 all of its windows reach the threshold; less keeps together what hovers around it.

    Raises:
        InvalidInput: a value out of range.
    """

    gap_s: float = 0.0
    least_s: float = 0.0
    release: float = 1.0

    def __post_init__(self) -> None:
        if not (self.gap_s >= 0 and self.least_s >= 0):
            raise InvalidInput(f"gap and least length are 0 s or more; found {self.gap_s} and {self.least_s}")
        if not 0 <= self.release <= 1:
            raise InvalidInput(f"release is a part of the threshold, 0 to 1; found {self.release}")


def merge(
    file: str,
    spans: Tensor,
    probabilities: Tensor,
    labels: Sequence[str],
    thresholds: Sequence[float],
    how: Merging | None = None,
    heard: Tensor | None = None,
) -> list[Event]:
    """Join the windows in which a class is heard to events.

    Windows that overlap or touch are one event, so that the events of a class are apart from each other.

    Args:
        file: the sound file, for the events.
        spans: `(windows, 2)`, begin and end of each window in seconds, in the order of their beginnings.
        probabilities: `(windows, classes)`.
        labels: names of the classes.
        thresholds: for each class the probability from which on it counts as heard.
        how: gaps, least length and release; None for `Merging()`.
        heard: `(windows,)` bool; False for windows that belong to none of the classes. None: all count.

    Returns:
        The events of all classes, sorted by their beginnings. An event begins and ends with a window.

    Raises:
        InvalidInput: shapes that do not belong together.
    """
    how = how or Merging()
    if probabilities.shape != (len(spans), len(labels)) or len(thresholds) != len(labels):
        raise InvalidInput(
            f"expected a row of {len(labels)} probabilities for each of {len(spans)} windows, and a threshold for each "
            f"class; found {tuple(probabilities.shape)} and {len(thresholds)} thresholds"
        )
    needed = probabilities.new_tensor(thresholds)
    over, near = probabilities >= needed, probabilities >= how.release * needed  # (windows, classes)
    if heard is not None:
        over, near = over & heard[:, None], near & heard[:, None]
    times, events = spans.tolist(), []
    for c in over.any(dim=0).nonzero()[:, 0].tolist():
        rows = _kept(over[:, c].tolist(), near[:, c].tolist())
        for group in _joined(rows, times, how.gap_s):
            begin, end = times[group[0]][0], max(times[row][1] for row in group)
            if end - begin >= how.least_s:
                score = probabilities[group, c].max().item()
                events.append(Event(file, begin, end, labels[c], round(score, 6)))
    return sorted(events, key=lambda event: (event.begin_s, event.end_s, event.label))


def _kept(over: Sequence[bool], near: Sequence[bool]) -> list[int]:
    """The rows of those runs of neighbours that are `near` in which at least one is `over`."""
    rows: list[int] = []
    for is_near, run in itertools.groupby(range(len(near)), key=near.__getitem__):
        members = list(run)
        if is_near and any(over[row] for row in members):
            rows += members
    return rows


def _joined(rows: Sequence[int], times: Sequence[Sequence[float]], gap_s: float) -> list[list[int]]:
    """Windows in groups: those of a group are not further apart than the gap."""
    groups: list[list[int]] = []
    end = -math.inf
    for row in rows:
        if times[row][0] <= end + gap_s:
            groups[-1].append(row)
        else:
            groups.append([row])
        end = max(end, times[row][1])
    return groups


def csv_rows(events: Iterable[Event]) -> str:
    """Write events as lines of CSV, without the header.

    Args:
        events: the events.

    Returns:
        A line for each, with the columns of `CSV_HEADER`.
    """
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(astuple(event) for event in events)
    return text.getvalue()


def to_csv(events: Iterable[Event], path: str | os.PathLike[str]) -> Path:
    """Write events as a CSV table: file, begin_s, end_s, label, score, low_hz, high_hz.

    Args:
        events: the events.
        path: the file; it is replaced as a whole.

    Returns:
        The path.

    Raises:
        OSError: the file cannot be written.
    """
    return _write(path, CSV_HEADER + csv_rows(events))


def to_jsonl(events: Iterable[Event], path: str | os.PathLike[str]) -> Path:
    """Write events as JSON lines, one object for each, with the fields of `Event`.

    Args:
        events: the events.
        path: the file; it is replaced as a whole.

    Returns:
        The path.

    Raises:
        OSError: the file cannot be written.
    """
    return _write(path, "".join(json.dumps(asdict(event)) + "\n" for event in events))


def to_audacity(events: Iterable[Event], path: str | os.PathLike[str]) -> Path:
    """Write the events of one sound as a label track for Audacity (File, Import, Labels).

    Source of the format: https://manual.audacityteam.org/man/importing_and_exporting_labels.html

    Args:
        events: events of one file. The name of a file is not part of the format.
        path: the file; it is replaced as a whole.

    Returns:
        The path.

    Raises:
        InvalidInput: events of several files.
        OSError: the file cannot be written.
    """
    rows = [(f"{e.begin_s:.6f}", f"{e.end_s:.6f}", f"{e.label} {e.score:.2f}") for e in _of_one_file(events)]
    return _write(path, _tab_separated(rows))


def to_raven(events: Iterable[Event], path: str | os.PathLike[str]) -> Path:
    """Write the events of one sound as a selection table for Raven.

    Args:
        events: events of one file.
        path: the file; it is replaced as a whole. Raven looks for names that end in `.selections.txt`.

    Returns:
        The path.

    Raises:
        InvalidInput: events of several files.
        OSError: the file cannot be written.
    """
    rows = [
        (number, "Spectrogram 1", 1, f"{e.begin_s:.6f}", f"{e.end_s:.6f}", f"{e.low_hz:g}", f"{e.high_hz:g}")
        + (e.file, e.label, f"{e.score:.4f}")
        for number, e in enumerate(_of_one_file(events), start=1)
    ]
    return _write(path, _tab_separated([RAVEN, *rows]))


def _of_one_file(events: Iterable[Event]) -> list[Event]:
    rows = list(events)
    files = {event.file for event in rows}
    if len(files) > 1:
        raise InvalidInput(f"expected events of one sound file; found {len(files)}. Write one table for each")
    return rows


def _tab_separated(rows: Iterable[Sequence[object]]) -> str:
    """Lines of cells between tabs; a tab or a line break in a name becomes a space."""
    return "".join("\t".join(" ".join(str(cell).split()) for cell in row) + "\n" for row in rows)


def _write(path: str | os.PathLike[str], text: str) -> Path:
    # names of files that are not valid Unicode keep their bytes
    return write_whole(path, text.encode("utf-8", "surrogateescape"))
