"""The vectors of all windows of a folder of sound files, kept so that nobody has to listen to them twice.

A folder holds three files:

    features.npy   (windows, dim) float16; `numpy.load(..., mmap_mode="r")` opens it, however large it is
    files.jsonl    one line for each stretch of a sound file, in the order of its rows
    encoder.json   which encoder, which windows, where the sound files are

Rows are only ever appended, and a stretch gets its line after its rows have reached the disk. Whatever ends the
program, rows without a line are cut off at the next start, and the same command goes on from there. A file that has
changed is embedded again; its old rows stay, but no window is at them any more.

Chapter: notebooks/19_a_thousand_hours.ipynb
"""

import contextlib
import io
import itertools
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm.auto import tqdm

from . import audio
from .devices import asked_to_stop
from .encoders import RATE, Encoder
from .errors import AudioError, Interrupted, InvalidInput, NotFound
from .files import write_json
from .locks import locked
from .typed import check_ranges, check_types, read_json

FEATURES, FILES, ENCODER = "features.npy", "files.jsonl", "encoder.json"
LARGEST = 100_000  # numbers of a vector, and seconds of a window
HEADER = 128  # bytes before the first row
WINDOWS_AT_ONCE = 16
SECONDS_AT_RISK = 5.0  # what is embedded reaches the disk at least this often

Floats = NDArray[np.float32]


class Window(NamedTuple):
    """A stretch of a sound file.

    Args:
        file: its path in the folder that was embedded, with "/" between the parts.
        begin_s: where it begins in the file, in seconds.
        end_s: where it ends, in seconds.
    """

    file: str
    begin_s: float
    end_s: float


@dataclass(frozen=True)
class Plan:
    """How a folder of sound files was embedded.

    Args:
        encoder: name of the encoder.
        digest: its digest.
        dim: length of a vector.
        window_s: length of a window in seconds.
        hop_s: from the beginning of a window to that of the next, in seconds.
        root: the folder of the sound files.
    """

    encoder: str
    digest: str
    dim: int
    window_s: float
    hop_s: float
    root: str

    def __post_init__(self) -> None:
        check_types(self)
        check_ranges(self, {"dim": (1, LARGEST), "window_s": (0, LARGEST), "hop_s": (0, LARGEST)})


@dataclass(frozen=True)
class Stretch:
    """Some windows of one sound file, in neighbouring rows: one line of `files.jsonl`.

    Args:
        file: path in the folder.
        size: of the file, in bytes.
        changed_ns: when the file was last changed, in nanoseconds since 1970.
        row: of the first window.
        begin: number of the first window in its file, counted from 0.
        windows: how many.
        seconds: length of the sound, if these are the last windows of the file; else None.
        error: why the file cannot be used, if it cannot.
    """

    file: str
    size: int
    changed_ns: int
    row: int
    begin: int
    windows: int
    seconds: float | None = None
    error: str = ""

    def __post_init__(self) -> None:
        check_types(self)
        check_ranges(self, dict.fromkeys(("size", "row", "begin", "windows"), (0, 2**62)))

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to do for this file."""
        return self.seconds is not None or bool(self.error)


@dataclass
class Summary:
    """What `embed` found and did.

    Args:
        files: sound files in the folder.
        embedded: how many of them were embedded now.
        unchanged: how many were there already.
        windows: windows that were embedded now.
        seconds: of sound in these files.
        failed: why files cannot be used, by their path; also those of which this was known.
        gone: files that were embedded earlier and are not in the folder any more. Their windows stay.
    """

    files: int = 0
    embedded: int = 0
    unchanged: int = 0
    windows: int = 0
    seconds: float = 0.0
    failed: dict[str, str] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)

    def count(self, part: Stretch) -> None:
        """Add a stretch that was embedded now.

        Args:
            part: the stretch.
        """
        self.windows += part.windows
        if part.error:
            self.failed[part.file] = part.error
        elif part.seconds is not None:
            self.embedded += 1
            self.seconds += part.seconds


class Embeddings:
    """The windows of a folder, as `embed` wrote them.

    A window has the number of its row. Rows of files that have changed since belong to no window.

    Args:
        folder: the folder that holds `features.npy`.

    Attributes:
        folder: as given.
        plan: how the sound files were embedded.
        files: paths of the sound files.
        features: `(rows, dim)` float16, a memory map.
        file_of: `(rows,)`, the number of each row's file, -1 for a row that belongs to no window.
        begin_s: `(rows,)` float32, where each window begins in its file, in seconds.
        end_s: `(rows,)` float32, where it ends.

    Raises:
        NotFound: the folder holds no features.
        InvalidInput: a file in it is damaged.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.plan = read_plan(self.folder)
        stretches = read_stretches(self.folder)
        rows = max((part.row + part.windows for part in stretches), default=0)
        self.features = _mapped(self.folder / FEATURES, rows, self.plan.dim)
        self.file_of = np.full(rows, -1, np.int32)
        self.begin_s, self.end_s = np.zeros(rows, np.float32), np.zeros(rows, np.float32)
        self.files: list[str] = []
        for file, parts in _current(stretches).items():
            for part in parts:
                self._place(part, len(self.files), parts[-1].seconds)
            self.files.append(file)

    def _place(self, part: Stretch, file: int, seconds: float | None) -> None:
        """Say where the windows of a stretch are; `seconds` is the length of its file, if that is known."""
        at = slice(part.row, part.row + part.windows)
        begins = self.plan.hop_s * np.arange(part.begin, part.begin + part.windows)
        end = np.inf if seconds is None else seconds
        begins = np.minimum(begins, max(0.0, end - self.plan.window_s))  # the last window ends with the sound
        self.file_of[at], self.begin_s[at] = file, begins
        self.end_s[at] = np.minimum(begins + self.plan.window_s, end)

    def __len__(self) -> int:
        """How many windows there are."""
        return int((self.file_of >= 0).sum())

    @property
    def rows(self) -> NDArray[np.intp]:
        """The numbers of all windows, `(windows,)`."""
        return np.flatnonzero(self.file_of >= 0)

    def window(self, row: int) -> Window:
        """Say where a window is.

        Args:
            row: its number.

        Returns:
            The file, begin and end.
        """
        return Window(self.files[self.file_of[row]], float(self.begin_s[row]), float(self.end_s[row]))

    def vectors(self, rows: Sequence[int] | NDArray[np.intp] | None = None) -> Floats:
        """Read vectors.

        Args:
            rows: numbers of windows; None for all of them.

        Returns:
            `(n, dim)` float32, in memory.
        """
        return np.asarray(self.features[self.rows if rows is None else rows], np.float32)

    def sounds(self, rows: Iterable[int]) -> dict[int, Tensor]:
        """Decode the sound of some windows. Each file is read once, and only to the end of its last window.

        Args:
            rows: numbers of windows.

        Returns:
            `(samples,)` float32 at 16 kHz for each of them.

        Raises:
            AudioError: a file cannot be read.
        """
        found: dict[int, Tensor] = {}
        by_file = itertools.groupby(sorted(rows, key=self.window), key=lambda row: self.window(row).file)
        for file, wanted in by_file:
            found |= self._sounds_of(Path(self.plan.root) / file, list(wanted))
        return found

    def _sounds_of(self, path: Path, rows: list[int]) -> dict[int, Tensor]:
        """The sound of windows of one file, which come in the order of time."""
        found: dict[int, Tensor] = {}
        held, first = torch.empty(0), 0  # the samples from number `first` on
        blocks = audio.stream(path)
        for row in rows:
            begin, end = (round(float(time) * RATE) for time in (self.begin_s[row], self.end_s[row]))
            while first + len(held) < end and (block := next(blocks, None)) is not None:
                kept = held[max(0, begin - first) :]
                first, held = first + len(held) - len(kept), torch.cat([kept, block])
            found[row] = held[begin - first : end - first]
        return found

    def nearest(self, file: str, middle_s: float) -> int | None:
        """Find the window of a file whose middle is nearest to a time.

        Args:
            file: the path as in `files`.
            middle_s: the time in seconds.

        Returns:
            The number of the window, or None if no window of this file is near: none that contains the time.
        """
        if file not in self.files:
            return None
        rows = np.flatnonzero(self.file_of == self.files.index(file))
        begin, end = self.begin_s[rows], self.end_s[rows]
        best = int(np.abs((begin + end) / 2 - middle_s).argmin())
        slack = 0.05  # seconds: times in tables are rounded
        return int(rows[best]) if begin[best] - slack <= middle_s <= end[best] + slack else None


class Cut(NamedTuple):
    """A window that was cut out of a sound.

    Args:
        waveform: `(samples,)`.
        begin: its first sample in the sound.
        is_last: whether it is the last one.
    """

    waveform: Tensor
    begin: int
    is_last: bool


def windows(blocks: Iterable[Tensor], seconds: float, hop: float) -> Iterator[Cut]:
    """Cut a sound into windows while it is read, and never hold much more than one window and one block of it.

    The last window ends with the sound; a sound that is shorter than a window is one by itself.

    Args:
        blocks: the sound at 16 kHz, in pieces `(samples,)`; a list with the whole sound will do.
        seconds: length of a window.
        hop: from the beginning of a window to that of the next, in seconds.

    Yields:
        Each window; none for an empty sound.
    """
    length, held, first, number = round(seconds * RATE), torch.empty(0), 0, 0
    for block in blocks:
        held = torch.cat([held, block])
        total = first + len(held)
        while (begin := round(number * hop * RATE)) + length < total:
            yield Cut(held[begin - first :][:length], begin, False)
            number += 1
        keep = max(first, min(begin, total - length))
        held, first = held[keep - first :], keep
    if len(held):
        begin = max(first, first + len(held) - length)
        yield Cut(held[begin - first :], begin, True)


def sound_files(root: Path) -> list[str]:
    """List the sound files in a folder and its subfolders, by their suffixes.

    Args:
        root: the folder, or a single file.

    Returns:
        Paths in the folder, sorted, with "/" between the parts.

    Raises:
        NotFound: there is no such folder.
        InvalidInput: there is no sound file in it.
    """
    if root.is_file():
        return [root.name]
    if not root.is_dir():
        raise NotFound(f"{root} is neither a folder nor a file. Check the path")
    names = [path.relative_to(root) for path in root.rglob("*") if path.suffix.lower() in audio.SUFFIXES]
    found = sorted(name.as_posix() for name in names if not any(part.startswith(".") for part in name.parts))
    if not found:
        known = " ".join(sorted(audio.SUFFIXES))
        raise InvalidInput(f"{root} holds no sound file. Expected files that end in {known}")
    return found


def embed(
    encoder: Encoder, root: str | Path, out: str | Path, hop: float | None = None, progress: bool = True
) -> Summary:
    """Embed every window of every sound file in a folder. The same call again does what is left to do.

    Args:
        encoder: turns windows into vectors.
        root: the folder of the sound files; it is searched with its subfolders. Or a single file.
        out: the folder for the features; it is created if it does not exist.
        hop: from the beginning of a window to that of the next, in seconds; None for half a window.
        progress: show a progress bar.

    Returns:
        What was found and done. Files that cannot be read are listed there and do not stop the others.

    Raises:
        NotFound: there is no such folder.
        InvalidInput: it holds no sound file; or `out` holds the features of another encoder, another hop or another
            folder.
        FolderInUse: another process writes to `out`.
        Interrupted: Ctrl-C. What was embedded so far is kept.
        OSError: `out` cannot be written.
    """
    root, out = Path(root), Path(out)
    names = sound_files(root)
    base = (root.parent if root.is_file() else root).resolve()
    step = encoder.seconds / 2 if hop is None else hop
    if not 0 < step <= encoder.seconds:
        raise InvalidInput(f"hop must be above 0 and at most a window, {encoder.seconds:.2f} s; found {step:g} s")
    plan = Plan(encoder.name, encoder.digest, encoder.dim, encoder.seconds, step, str(base))
    with locked(out), contextlib.closing(_Writer(out, plan, names)) as writer, asked_to_stop() as asked:
        known = {name: writer.known(base, name) for name in names}
        waiting = [name for name in names if not known[name].is_finished]
        failed = {name: part.error for name, part in known.items() if part.error}
        unchanged, gone = len(names) - len(waiting) - len(failed), sorted(set(writer.files) - set(names))
        summary = Summary(len(names), unchanged=unchanged, failed=failed, gone=gone)
        lengths = {name: audio.header_seconds(base / name)[0] for name in waiting}  # probably; for the bar
        with tqdm(total=round(sum(lengths.values())), desc="embedding", unit="s", disable=not progress) as bar:
            for name in waiting:
                before = bar.n
                for part in _embed_file(encoder, base / name, known[name], step, writer):
                    heard = part.seconds or min(lengths[name], step * (part.begin + part.windows))
                    bar.update(max(0, before + round(heard) - bar.n))
                    summary.count(part)
                    if asked.is_set():
                        raise Interrupted(
                            f"stopped at {name}. {out} keeps what was done; the same command goes on from there"
                        )
    return summary


def _embed_file(encoder: Encoder, path: Path, known: Stretch, hop: float, writer: "_Writer") -> Iterator[Stretch]:
    """Embed what is not known yet of one file and give it to the writer, batch by batch; what was given is yielded."""
    done = known.begin + known.windows
    cuts = itertools.islice(windows(audio.stream(path), encoder.seconds, hop), done, None)
    try:
        part = known
        while not part.is_finished:
            batch = list(itertools.islice(cuts, WINDOWS_AT_ONCE))
            if not batch:
                raise AudioError(f"{path}: ends after {done} windows, where more were expected. Copy it again")
            last = batch[-1]
            seconds = (last.begin + len(last.waveform)) / RATE if last.is_last else None
            part = replace(known, begin=done, windows=len(batch), seconds=seconds)
            writer.add(part, encoder.embed(torch.stack([cut.waveform for cut in batch])))
            done += len(batch)
            yield part
    except AudioError as error:
        part = replace(known, begin=done, windows=0, error=str(error))
        writer.add(part, torch.empty(0, encoder.dim))
        yield part


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """Compute on one core for a while: what is small is done before a second thread has woken up.

    Yields:
        Nothing.
    """
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)


# The files.


def read_plan(folder: Path) -> Plan:
    """Read how a folder was embedded.

    Args:
        folder: the folder that holds `features.npy`.

    Returns:
        The plan.

    Raises:
        NotFound: the folder holds no features.
        InvalidInput: the file is damaged.
    """
    path = folder / ENCODER
    if not path.is_file():
        raise NotFound(f"{folder} holds no features. Make them with: astlib embed SOUNDS --out {folder}")
    try:
        return Plan(**read_json(path.read_bytes()))
    except (ValueError, TypeError) as error:
        raise _damaged(path, str(error)) from error


def read_stretches(folder: Path) -> list[Stretch]:
    """Read which stretches of which files are embedded.

    Args:
        folder: the folder that holds `features.npy`.

    Returns:
        All lines of `files.jsonl` but a last one that was not written to its end.

    Raises:
        InvalidInput: the file is damaged.
    """
    path = folder / FILES
    lines = path.read_bytes().split(b"\n")[:-1] if path.is_file() else []
    try:
        return [Stretch(**read_json(line)) for line in lines]
    except (ValueError, TypeError) as error:
        raise _damaged(path, str(error)) from error


def _current(stretches: Iterable[Stretch]) -> dict[str, list[Stretch]]:
    """The stretches of each file that count: a file that has changed begins anew."""
    of_file: dict[str, list[Stretch]] = {}
    for part in stretches:
        if part.begin == 0:
            of_file[part.file] = []
        of_file[part.file].append(part)
    return of_file


def _damaged(path: Path, what: str) -> InvalidInput:
    return InvalidInput(f"{path} is damaged: {what}. Copy the folder again, or remove it and embed anew")


def _mapped(path: Path, rows: int, dim: int) -> NDArray[np.float16]:
    """The rows as a memory map."""
    if not rows:
        return np.empty((0, dim), np.float16)
    if path.stat().st_size < HEADER + 2 * rows * dim:
        raise _damaged(path, f"expected {rows} rows of {dim} numbers, found {path.stat().st_size} bytes")
    return np.memmap(path, "<f2", "r", HEADER, (rows, dim))


def _header(rows: int, dim: int) -> bytes:
    """The beginning of a file in numpy's format. numpy leaves room in it, so that it is as long for any number."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f2", "fortran_order": False, "shape": (rows, dim)})
    return buffer.getvalue()


class _Writer:
    """Appends rows and then their lines, and first repairs what a kill has left.

    Args:
        out: the folder for the features.
        plan: how the sound files are embedded now.
        names: the sound files that are in the folder now.
    """

    def __init__(self, out: Path, plan: Plan, names: Sequence[str]) -> None:
        is_new = not (out / ENCODER).exists()
        stretches = [] if is_new else read_stretches(out)
        self.files = {file: parts[-1] for file, parts in _current(stretches).items()}
        if not is_new:
            _check_same(out, read_plan(out), plan, any(name in self.files for name in names) or not self.files)
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / ENCODER, asdict(plan))
        self.dim, self.rows = plan.dim, max((part.row + part.windows for part in stretches), default=0)
        self.vectors: list[NDArray[np.float16]] = []  # not on disk yet
        self.waiting: list[Stretch] = []
        written = (out / FILES).read_bytes() if stretches else b""
        self.lines = _opened(out / FILES, written.rfind(b"\n") + 1)  # without a line that was not written to its end
        self.features = _opened(out / FEATURES, HEADER + 2 * self.rows * self.dim if self.rows else 0)
        self.saved = time.monotonic()
        self.save()

    def known(self, base: Path, name: str) -> Stretch:
        """The last stretch of a file that is there already; one without windows if it is new or has changed."""
        about = (base / name).stat()
        last = self.files.get(name)
        if last is None or (last.size, last.changed_ns) != (about.st_size, about.st_mtime_ns):
            return Stretch(name, about.st_size, about.st_mtime_ns, 0, 0, 0)
        return last

    def add(self, part: Stretch, vectors: Tensor) -> None:
        """Take the vectors of a stretch, `(windows, dim)`, and write them to disk at the latest after a while."""
        part = replace(part, row=self.rows)
        self.rows += part.windows
        self.vectors.append(vectors.half().numpy())
        before = self.waiting[-1] if self.waiting else None
        if before is not None and before.file == part.file and part.begin:
            self.waiting[-1] = replace(part, row=before.row, begin=before.begin, windows=before.windows + part.windows)
        else:
            self.waiting.append(part)
        if time.monotonic() - self.saved > SECONDS_AT_RISK:
            self.save()

    def save(self) -> None:
        """Bring everything to the disk: rows, header, lines."""
        self.features.seek(0)
        self.features.write(_header(self.rows, self.dim))
        self.features.seek(0, os.SEEK_END)
        self.features.writelines(np.ascontiguousarray(part).tobytes() for part in self.vectors)
        _flush(self.features)
        self.lines.writelines(json.dumps(asdict(part)).encode() + b"\n" for part in self.waiting)
        _flush(self.lines)
        self.vectors, self.waiting, self.saved = [], [], time.monotonic()

    def close(self) -> None:
        """Save, and close the files."""
        try:
            self.save()
        finally:
            self.features.close()
            self.lines.close()


def _check_same(out: Path, before: Plan, now: Plan, has_common_files: bool) -> None:
    """Refuse to add to the features of another encoder, other windows or another folder."""
    if before.digest != now.digest:
        raise InvalidInput(
            f"{out} holds features of {before.encoder} ({before.digest[:8]}), and these would be of {now.encoder} "
            f"({now.digest[:8]}). They cannot be compared: give another --out, or remove the folder"
        )
    if before.hop_s != now.hop_s:
        raise InvalidInput(
            f"{out} holds windows {before.hop_s:g} s apart; found a hop of {now.hop_s:g} s. Give the same hop, or "
            "another --out"
        )
    if not has_common_files:
        raise InvalidInput(
            f"{out} holds features of {before.root}, and {now.root} has none of its files. Give another --out"
        )


def _opened(path: Path, size: int) -> BinaryIO:
    """A file to append to, cut to the size that is known to be whole."""
    path.touch()
    if path.stat().st_size < size:
        raise _damaged(path, f"expected {size} bytes or more, found {path.stat().st_size}")
    file = path.open("r+b")
    file.truncate(size)
    file.seek(0, os.SEEK_END)
    return file


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
