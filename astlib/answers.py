"""What a network says of many sound files: class by class, window by window, event by event, with what is doubtful.

Chapter: notebooks/17_out_into_the_world.ipynb
"""

import shutil
import sys
import tempfile
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from torch import Tensor

from . import audio
from .containers import FOREIGN_SUFFIXES
from .decisions import DEFAULT_THRESHOLD
from .errors import AudioError, AudioWarning, InvalidInput, NotFound
from .events import Event, Merging, merge
from .networks import Network
from .predict import Heard, best, listen, names_of

PIPE = Path("-")  # the sound comes from standard input
SILENCE = 1e-4  # of full scale, -80 dB
SHORT = 0.5  # of a window: a shorter sound is mostly padding

Progress = Callable[[float], object]  # called with seconds of sound


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to say of every file. Fields are given by name.

    Attributes:
        top: how many classes to name.
        threshold: name only classes of this probability or more, and use it for all events. None: name the most
            probable ones, and use the thresholds of `model.decision` for events.
        hop_s: seconds from the beginning of one window to that of the next; None for half a window.
        windows: also the classes of each window.
        merging: how windows become events; None for no events.

    Raises:
        InvalidInput: a value out of range.
    """

    top: int = 5
    threshold: float | None = None
    hop_s: float | None = None
    windows: bool = False
    merging: Merging | None = None

    def __post_init__(self) -> None:
        if self.top < 1:
            raise InvalidInput(f"top must be 1 or more; found {self.top}")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise InvalidInput(f"the threshold is a probability, 0 to 1; found {self.threshold}")


class Named(NamedTuple):
    """A class and how probable it is.

    Attributes:
        label: name of the class.
        probability: 0 to 1.
    """

    label: str
    probability: float


class Window(NamedTuple):
    """What was heard in one window.

    Attributes:
        begin_s: where it begins, in seconds.
        end_s: where it ends.
        classes: the most probable classes.
        none: whether the sound belongs to none of the classes; `classes` are then the nearest ones.
    """

    begin_s: float
    end_s: float
    classes: tuple[Named, ...]
    none: bool = False


@dataclass(frozen=True)
class Answer:
    """What was heard in one file.

    Attributes:
        file: the file.
        seconds: its duration.
        classes: the most probable classes by the mean over all windows.
        none: whether no window belongs to any of the classes; `classes` are then the nearest ones.
        windows: the windows, if they were asked for.
        events: the events, if they were asked for.
        notes: what makes the answer doubtful, in sentences.
    """

    file: str
    seconds: float
    classes: tuple[Named, ...]
    none: bool = False
    windows: tuple[Window, ...] | None = None
    events: tuple[Event, ...] | None = None
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Turn it into what JSON can hold.

        Returns:
            Its fields; windows, events and notes only where there are some to be had.
        """
        found: dict[str, Any] = {"file": self.file, "classes": [named._asdict() for named in self.classes]}
        if self.windows is not None:
            found["windows"] = [_window_json(window) for window in self.windows]
        if self.events is not None:
            found["events"] = [
                {"begin_s": e.begin_s, "end_s": e.end_s, "label": e.label, "score": e.score} for e in self.events
            ]
        found |= {"seconds": self.seconds, "none": self.none}
        return found | ({"notes": list(self.notes)} if self.notes else {})

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> "Answer":
        """Read what `as_json` made.

        Args:
            found: the fields.

        Returns:
            The answer.

        Raises:
            KeyError: a field is missing.
            TypeError: a field is of another type.
        """
        windows, events = found.get("windows"), found.get("events")
        return cls(
            file=found["file"],
            seconds=found["seconds"],
            classes=_named(found["classes"]),
            none=found["none"],
            windows=None
            if windows is None
            else tuple(Window(row["begin_s"], row["end_s"], _named(row["classes"]), row["none"]) for row in windows),
            events=None if events is None else tuple(Event(file=found["file"], **row) for row in events),
            notes=tuple(found.get("notes", ())),
        )

    def rows(self) -> list[Event]:
        """List what was heard, in one form for all questions.

        Returns:
            The events if they were asked for; else the classes of each window; else the classes of the whole file.
            Windows and files that belong to none of the classes have no rows.
        """
        if self.events is not None:
            return list(self.events)
        whole = Window(0.0, self.seconds, self.classes, self.none)
        return [
            Event(self.file, window.begin_s, window.end_s, named.label, named.probability)
            for window in ((whole,) if self.windows is None else self.windows)
            if not window.none
            for named in window.classes
        ]


@dataclass(frozen=True)
class Failure:
    """A file that could not be used.

    Attributes:
        file: the file.
        error: why, in a sentence that names it.
    """

    file: str
    error: str

    def as_json(self) -> dict[str, Any]:
        """Turn it into what JSON can hold.

        Returns:
            Its fields.
        """
        return {"file": self.file, "error": self.error}


class Found(NamedTuple):
    """Sound files.

    Attributes:
        files: the files, each once.
        left_out: how many files in folders have the suffix of a format that libsndfile does not read.
    """

    files: list[Path]
    left_out: Counter[str]


def find_sounds(places: Iterable[Path]) -> Found:
    """Find the sound files in folders and below.

    Args:
        places: files, which are taken as they are, also `-` for standard input; and folders, of which the files with
            the suffix of a sound are taken, except hidden ones.

    Returns:
        The files, in the order of the places, sorted within a folder.

    Raises:
        NotFound: a folder holds no sound file.
    """
    files: dict[Path, None] = {}
    left_out: Counter[str] = Counter()
    for place in places:
        if not place.is_dir():
            files[place] = None
            continue
        inside = [path for path in sorted(place.rglob("*")) if not _hidden(path, place) and path.is_file()]
        sounds = [path for path in inside if path.suffix.lower() in audio.SUFFIXES]
        others = Counter(path.suffix.lower() for path in inside if path.suffix.lower() in FOREIGN_SUFFIXES)
        if not sounds:
            hint = f"but {_counted(others)}; convert them with ffmpeg" if others else "wav, flac, ogg or mp3"
            raise NotFound(f"{place} holds no sound file that libsndfile reads ({hint})")
        files |= dict.fromkeys(sounds)
        left_out += others
    return Found(list(files), left_out)


def left_out_warning(left_out: Counter[str]) -> str:
    """Say which files of a folder were left out, and how they can be used.

    Args:
        left_out: number of files by suffix, at least one.

    Returns:
        A sentence.
    """
    suffix = min(left_out)
    return (
        f"{_counted(left_out)} left out, which libsndfile cannot read. Convert them: "
        f'for f in *{suffix}; do ffmpeg -i "$f" "${{f%{suffix}}}.flac"; done'
    )


def answers(
    model: Network, files: Iterable[Path], request: Request | None = None, progress: Progress = lambda seconds: None
) -> Iterator[Answer | Failure]:
    """Let a network hear sound files, one after the other; windows of several short ones go through it together.

    A file is read block by block, so that it may be a night long.

    Args:
        model: the network, on any device.
        files: the files; `-` is standard input.
        request: what to say of them; None for `Request()`.
        progress: is called with the seconds of sound that have been read.

    Yields:
        For each file in its turn what was heard, or why it could not be used.

    Raises:
        InvalidInput: a hop that is longer than a window.
    """
    request = request or Request()
    readers: deque[_Reader] = deque()

    def sounds() -> Iterator[_Reader]:
        for file in files:
            readers.append(_Reader(file, progress))
            yield readers[-1]

    for heard in listen(model, sounds(), request.hop_s):
        reader = readers.popleft()
        if isinstance(heard, InvalidInput):
            text = str(heard) if isinstance(heard, AudioError) else f"{reader.file}: {heard}"
            yield Failure(str(reader.file), text)
        else:
            yield _answer(model, heard, reader, request)


class _Reader:
    """The blocks of a file, and what is to be noted about it."""

    def __init__(self, file: Path, progress: Progress) -> None:
        self.file, self.progress = file, progress
        self.peak, self.notes = 0.0, list[str]()

    def __iter__(self) -> Iterator[Tensor]:
        blocks = audio.stream(_piped() if self.file == PIPE else self.file, name=str(self.file))
        while (block := self._next(blocks)) is not None:
            self.peak = max(self.peak, block.abs().max().item())
            self.progress(len(block) / 16_000)
            yield block

    def _next(self, blocks: Iterator[Tensor]) -> Tensor | None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", AudioWarning)
            block = next(blocks, None)
        self.notes += [str(warning.message).removeprefix(f"{self.file}: ") for warning in caught]
        return block


def _piped() -> BinaryIO:
    """Standard input as a file in which one can go back."""
    if sys.stdin.isatty():
        raise AudioError("-: nothing is piped into this command. Name a file, or: cat a.wav | astlib predict -")
    spool = tempfile.TemporaryFile()  # noqa: SIM115 # closed when nobody reads from it any more
    shutil.copyfileobj(sys.stdin.buffer, spool)
    return spool


def _answer(model: Network, heard: Heard, reader: _Reader, request: Request) -> Answer:
    """What is said of one file."""
    decision, file = model.decision, str(reader.file)
    probabilities = decision.probabilities(heard.logits, model.cfg.multi_label)  # (windows, classes)
    none = decision.is_none(heard.logits)  # (windows,)
    windows = events = None
    if request.windows:
        windows = tuple(
            Window(begin, end, _best(model, row, request), is_none)
            for (begin, end), row, is_none in zip(heard.spans.tolist(), probabilities, none.tolist(), strict=True)
        )
    if request.merging is not None:
        thresholds = _thresholds(model, request.threshold)
        events = tuple(merge(file, heard.spans, probabilities, names_of(model), thresholds, request.merging, ~none))
    return Answer(
        file=file,
        seconds=heard.seconds,
        classes=_best(model, probabilities.mean(dim=0), request),
        none=bool(none.all()),
        windows=windows,
        events=events,
        notes=(*reader.notes, *_doubts(heard.seconds, reader.peak, model.cfg.input_tdim / 100)),
    )


def _best(model: Network, probabilities: Tensor, request: Request) -> tuple[Named, ...]:
    """The most probable classes, `(classes,)`; with a threshold only those that reach it."""
    least = -1.0 if request.threshold is None else request.threshold
    return tuple(Named(label, round(p, 6)) for label, p in best(model, probabilities, request.top) if p >= least)


def _thresholds(model: Network, threshold: float | None) -> Sequence[float]:
    """For each class the probability from which on it counts as heard."""
    if threshold is None and model.decision.thresholds is not None:
        return model.decision.thresholds
    return [DEFAULT_THRESHOLD if threshold is None else threshold] * model.cfg.label_dim


def _doubts(seconds: float, peak: float, window: float) -> Iterator[str]:
    """What makes an answer doubtful although the file is in order."""
    if peak < SILENCE:
        yield "silence: no sample is above -80 dB of full scale, and the answer means nothing"
    if seconds < SHORT * window:
        yield (
            f"{seconds:.1f} s of sound in a window of {window:.1f} s: the rest is padding. A model that was trained on "
            "longer sounds is less often right here"
        )


def _window_json(window: Window) -> dict[str, Any]:
    return {**window._asdict(), "classes": [named._asdict() for named in window.classes]}


def _named(rows: Iterable[dict[str, Any]]) -> tuple[Named, ...]:
    return tuple(Named(row["label"], row["probability"]) for row in rows)


def _hidden(path: Path, below: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(below).parts)


def _counted(suffixes: Counter[str]) -> str:
    return ", ".join(f"{number} {suffix} file{'s' * (number > 1)}" for suffix, number in sorted(suffixes.items()))
