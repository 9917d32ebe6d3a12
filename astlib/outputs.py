"""Answers on disk, file by file while they come, so that whatever stops the program takes nothing with it.

Chapter: notebooks/17_out_into_the_world.ipynb
"""

import contextlib
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self, TextIO

from tqdm import tqdm  # of the terminal also in a notebook, where there is nothing to show

from . import audio
from .answers import PIPE, Answer, Failure, Request, answers
from .errors import Interrupted, InvalidInput
from .events import CSV_HEADER, csv_rows, to_audacity, to_raven
from .files import write_whole
from .networks import Network
from .typed import read_json

Show = Callable[[Answer | Failure], object]
BAR = "{l_bar}{bar}| {n:.2f} of {total:.2f} h of sound [{elapsed}<{remaining}]"


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where answers are written. Fields are given by name; None is nowhere.

    Attributes:
        jsonl: a file of JSON lines, one for each sound file. With it the same command continues an interrupted one.
        csv: a table of `Answer.rows`.
        audacity: a label track (`.txt`) for one sound file, or a folder of them.
        raven: a selection table (`.txt`) for one sound file, or a folder of them.
        overwrite: whether what is there may be replaced.
    """

    jsonl: Path | None = None
    csv: Path | None = None
    audacity: Path | None = None
    raven: Path | None = None
    overwrite: bool = False

    def given(self) -> list[Path]:
        """List the places.

        Returns:
            Those that are not None.
        """
        return [place for place in (self.jsonl, self.csv, self.audacity, self.raven) if place is not None]


@dataclass
class Summary:
    """What was heard in all files together.

    Attributes:
        files: how many there are.
        answered: how many could be used.
        seconds: of sound in them.
        before: how many were answered by an earlier command.
        labels: number of rows by class: events, or the most probable class of each file.
        none: files that belong to none of the classes.
        doubtful: files with a note.
        failures: the others.
    """

    files: int
    answered: int = 0
    seconds: float = 0.0
    before: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    none: int = 0
    doubtful: int = 0
    failures: list[Failure] = field(default_factory=list)

    def add(self, found: Answer | Failure) -> None:
        """Count a file.

        Args:
            found: what was heard in it.
        """
        if isinstance(found, Failure):
            self.failures.append(found)
            return
        self.answered += 1
        self.seconds += found.seconds
        self.none += found.none
        self.doubtful += bool(found.notes)
        if found.events is not None:
            self.labels.update(event.label for event in found.events)
        elif found.classes and not found.none:
            self.labels[found.classes[0].label] += 1

    def __str__(self) -> str:
        lines = [f"{self.answered:,} of {self.files:,} files, {_duration(self.seconds)} of sound"]
        if self.before:
            lines[0] += f"; {self.before:,} of them were answered before"
        if self.labels:
            shown = self.labels.most_common(12)
            more = f", and {len(self.labels) - len(shown)} more classes" if len(self.labels) > len(shown) else ""
            lines.append("heard: " + ", ".join(f"{label} {count:,}" for label, count in shown) + more)
        if self.none:
            lines.append(f"none of the classes: {_files(self.none)}")
        if self.doubtful:
            lines.append(f"with a note: {_files(self.doubtful)}")
        if self.failures:
            names = ", ".join(failure.file for failure in self.failures[:10])
            more = f" and {len(self.failures) - 10:,} more" if len(self.failures) > 10 else ""
            lines.append(f"failed: {_files(len(self.failures))}: {names}{more}")
        return "\n".join(lines)


def answer_all(
    model: Network,
    files: Sequence[Path],
    request: Request,
    places: Places,
    name: str = "",
    show: Show = lambda found: None,
    progress: bool = True,
) -> Summary:
    """Let a network hear sound files, and write down what it says of each as soon as it has heard it.

    Args:
        model: the network, on any device.
        files: the files.
        request: what to say of them.
        places: where to write it.
        name: what the model is called, for the JSON lines.
        show: is called with what was heard in each file.
        progress: whether to show a progress bar on the error stream, if that is a terminal and it takes a while.

    Returns:
        What was heard in all of them.

    Raises:
        InvalidInput: a place that is taken, or that does not suit the files; or JSON lines of another command.
        Interrupted: Ctrl-C. The message says how to go on.
        OSError: a place cannot be written.
    """
    summary = Summary(len(files))
    with _Writer(places, files, _asked(model, name, request) if places.jsonl else {}) as writer:
        for answer in writer.before:
            summary.add(answer)
        summary.before = len(writer.before)
        todo = [file for file in files if str(file) not in writer.done]
        try:
            with _bar(todo, progress) as bar:
                for found in answers(model, todo, request, lambda seconds: bar.update(seconds / 3600)):
                    writer.write(found)
                    summary.add(found)
                    with tqdm.external_write_mode():
                        show(found)
        except KeyboardInterrupt:
            done = f"stopped after {summary.answered + len(summary.failures)} of {len(files)} files"
            hint = (
                "The same command goes on from there" if places.jsonl else "With --jsonl FILE it could go on from there"
            )
            raise Interrupted(f"{done}. {hint}") from None
    return summary


def _asked(model: Network, name: str, request: Request) -> dict[str, Any]:
    """What the answers depend on, apart from the files."""
    digest = hashlib.sha256(repr(model.decision).encode())
    for key, value in model.state_dict().items():
        digest.update(key.encode() + value.detach().cpu().float().numpy().tobytes())
    return {"model": name, "weights": digest.hexdigest()[:16], **asdict(request)}


def _bar(files: Sequence[Path], progress: bool) -> Any:
    """A progress bar over hours of sound; nothing unless the error stream is a terminal."""
    bar = tqdm(desc="listening", total=0.0, bar_format=BAR, delay=2, leave=False, disable=None if progress else True)
    if not bar.disable:
        bar.total = sum(audio.header_seconds(file)[0] for file in files if file != PIPE) / 3600
    return bar


class _Writer:
    """Everything that is written; a context manager."""

    def __init__(self, places: Places, files: Sequence[Path], asked: dict[str, Any]) -> None:
        self.places, self.asked = places, json.loads(json.dumps(asked))
        self.before: list[Answer] = []
        continues = places.jsonl is not None and places.jsonl.exists() and not places.overwrite
        for place in (places.audacity, places.raven):
            if place is not None and place.suffix == ".txt" and len(files) > 1:
                raise InvalidInput(f"{place} would have to hold {len(files)} sounds; give a folder, a file for each")
        for place in places.given() if not (continues or places.overwrite) else ():
            if place.is_file() or (place.is_dir() and any(place.iterdir())):
                raise InvalidInput(f"{place} exists. Give another place, or --overwrite to replace it")
        if continues:
            self.before = self._earlier()
        wanted = {str(file) for file in files}
        self.before = [answer for answer in self.before if answer.file in wanted]
        self.done = {answer.file for answer in self.before}
        self.root = Path(os.path.commonpath([file.absolute().parent for file in files])) if files else Path()
        self.open = contextlib.ExitStack()

    def _earlier(self) -> list[Answer]:
        """What the file of JSON lines holds, after a look at whether it belongs to this command."""
        path, found = self.places.jsonl, []
        assert path is not None  # noqa: S101 # only called if it exists
        *lines, _ = path.read_text(encoding="utf-8").split("\n")  # a line that a kill cut off has no end
        for number, line in enumerate(lines, start=1):
            try:
                row = read_json(line)
                asked = row.pop("asked")
                answer = None if "error" in row else Answer.from_json(row)
            except (ValueError, KeyError, TypeError, AttributeError):
                raise InvalidInput(
                    f"line {number} of {path} is not an answer of astlib. Give another file, or --overwrite"
                ) from None
            if asked != self.asked:
                changed = sorted(key for key in self.asked if asked.get(key) != self.asked[key])
                raise InvalidInput(
                    f"{path} holds the answers to another command (other {', '.join(changed)}). Give another file, or "
                    "--overwrite to replace it"
                )
            if answer is not None:  # what failed is tried again
                found.append(answer)
        return found

    def __enter__(self) -> Self:
        self.jsonl, self.csv = self._begin(self.places.jsonl, ""), self._begin(self.places.csv, CSV_HEADER)
        for answer in self.before:
            self._write_tables(answer)
        return self

    def __exit__(self, *error: object) -> None:
        self.open.close()

    def _begin(self, path: Path | None, text: str) -> TextIO | None:
        """A text file to append to; what was there is replaced by what earlier commands found, in one step."""
        if path is None:
            return None
        for answer in self.before:
            text += self._line(answer) if path == self.places.jsonl else csv_rows(answer.rows())
        write_whole(path, text.encode("utf-8", "surrogateescape"))
        return self.open.enter_context(path.open("a", encoding="utf-8", errors="surrogateescape", newline="\n"))

    def _line(self, found: Answer | Failure) -> str:
        return json.dumps({**found.as_json(), "asked": self.asked}) + "\n"

    def write(self, found: Answer | Failure) -> None:
        """Write what was heard in one file to all places."""
        if self.jsonl is not None:
            self.jsonl.write(self._line(found))
            self.jsonl.flush()
        if isinstance(found, Failure):
            return
        if self.csv is not None:
            self.csv.write(csv_rows(found.rows()))
            self.csv.flush()
        self._write_tables(found)

    def _write_tables(self, answer: Answer) -> None:
        """Write the tables that belong to one sound file."""
        if place := self.places.audacity:
            to_audacity(answer.rows(), self._table(place, answer.file, ".txt"))
        if place := self.places.raven:
            to_raven(answer.rows(), self._table(place, answer.file, ".selections.txt"))

    def _table(self, place: Path, file: str, suffix: str) -> Path:
        """The table of one sound file: the place itself, or a file in that folder, which has the same subfolders."""
        if place.suffix == ".txt":
            return place
        return place / Path(file).absolute().relative_to(self.root).with_name(Path(file).name + suffix)


def _files(number: int) -> str:
    return f"{number:,} file{'s' * (number != 1)}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
