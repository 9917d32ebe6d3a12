"""Download a data set into the user's cache: resumed after a cut, verified, and unpacked only if it is the right thing.

Chapter: book/how_to_run.md

A data set gets its name in the cache in one step, when all of it is there and verified. Until then it is a `.part`
file, which the next try continues if the server can send the rest (one that packs its archives at request, as GitHub's
does, may start over), or a folder beside it, which the next try throws away.
"""

import hashlib
import http.client
import os
import shutil
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import soundfile

from .base import cache_folder, find

BLOCK = 1 << 20
TRIES = 5
PAUSE = 0.5  # seconds before the first repetition that brought nothing; doubled each time
SECONDS = 60  # without a byte before a try counts as failed


class FetchError(RuntimeError):
    """A download that did not arrive, or is not what it should be. The message says what to do."""


@dataclass(frozen=True)
class Source:
    """Where a data set comes from. `verify` gets the unpacked folder and raises FetchError if it is another thing."""

    url: str
    size: str
    licence: str
    verify: Callable[[Path], None]


def verify_esc50(folder: Path) -> None:
    """GitHub's archives have no stable hash, so the content is checked: the official list and 2,000 clips of 5 s."""
    listing = folder / "meta" / "esc50.csv"
    content = listing.read_bytes() if listing.is_file() else b""
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    if not blob.startswith("a5e6b65627d6"):
        raise FetchError("its meta/esc50.csv is not the official list")
    clips = sorted((folder / "audio").glob("*.wav"))
    if len(clips) != 2000:
        raise FetchError(f"it has {len(clips)} clips, ESC-50 has 2,000")
    for clip in clips:
        try:
            info = soundfile.info(clip)
        except soundfile.SoundFileError as error:
            raise FetchError(f"its clip {clip.name} cannot be read ({error})") from None
        if (info.frames, info.samplerate) != (220_500, 44_100):
            raise FetchError(
                f"its clip {clip.name} has {info.frames} samples at {info.samplerate} Hz, not 220500 at 44100 Hz"
            )


SOURCES = {
    "esc50": Source(
        url="https://github.com/karolpiczak/ESC-50/archive/refs/heads/master.zip",
        size="about 600 MB",
        licence="CC BY-NC 3.0: not for commercial use",
        verify=verify_esc50,
    ),
}


def fetch(name: str, source: Source | None = None, progress: bool = True) -> Path:
    """The folder of a data set, downloaded if it is not on this machine yet.

    Raises FetchError if the server does not give it, gives something else, or the disk is full. What has arrived is
    kept, and the next call goes on from there.
    """
    if source is None:
        if name not in SOURCES:
            raise FetchError(f"no data set {name!r} can be fetched. Known: {', '.join(SOURCES)}")
        if (here := find(name)) is not None:
            return here
        source = SOURCES[name]
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    archive, unpacked, final = folder / f"{name}.zip.part", folder / f".{name}.unpacking", folder / name
    try:
        download(source.url, archive, progress)
        shutil.rmtree(unpacked, ignore_errors=True)
        content = unpack(archive, unpacked)
        source.verify(content)
        os.replace(content, final)
    except OSError as error:
        raise FetchError(f"{name} could not be stored in {folder}: {error.strerror or error}") from error
    except (FetchError, zipfile.BadZipFile) as error:
        if not isinstance(error, Interrupted):
            archive.unlink(missing_ok=True)  # it is not what it should be: going on from it would not help
            raise FetchError(f"what {source.url} gave is not {name}: {error}. It was thrown away; try again") from None
        raise
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
    archive.unlink()
    return final


class Interrupted(FetchError):
    """The connection failed; what has arrived is kept."""


def download(url: str, path: Path, progress: bool = True) -> None:
    """`url` to `path`, going on from what `path` has. Raises Interrupted after `TRIES` tries that brought nothing."""
    from tqdm.auto import tqdm

    failures, total = 0, None
    with tqdm(desc=path.name, unit="B", unit_scale=True, disable=not progress) as bar:
        while failures < TRIES:
            before = path.stat().st_size if path.exists() else 0
            bar.n = before
            try:
                total = _continue(url, path, before, bar)
            except (urllib.error.HTTPError, ValueError) as error:
                if getattr(error, "code", None) == 416 and before:  # all of it is there already, or too much
                    total = _length(error)
                    if total in (before, None):
                        return
                    path.unlink()
                elif getattr(error, "code", 500) < 500:
                    raise Interrupted(f"{url} answered {error}. Check the address, or fetch it by hand") from None
            except (OSError, http.client.HTTPException) as error:  # the latter: a chunked answer was cut
                if getattr(error, "errno", None) == 28:
                    raise
            now = path.stat().st_size if path.exists() else 0
            if total is not None and now == total:
                return
            failures = 0 if now > before else failures + 1
            if failures:
                time.sleep(PAUSE * 2**failures)
    raise Interrupted(
        f"the connection to {url} failed {TRIES} times in a row. {now:,} bytes are kept in {path}; "
        "the same command goes on from there"
    )


def _continue(url: str, path: Path, start: int, bar) -> int | None:
    """One request; appends what comes. Returns the size that the whole file should have."""
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        append = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        length = answer.headers.get("Content-Length")
        start = start if append else 0
        total = start + int(length) if length is not None else None
        bar.total, bar.n = total, start
        with open(path, "ab" if append else "wb") as file:
            while block := answer.read(BLOCK):
                file.write(block)
                bar.update(len(block))
        return total if total is not None else path.stat().st_size  # no length given: the server closed at the end


def _length(error: urllib.error.HTTPError) -> int | None:
    """The size in a 416 answer's `Content-Range: bytes */N`."""
    text = error.headers.get("Content-Range", "").rpartition("/")[2]
    return int(text) if text.isdigit() else None


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack a zip whose files lie in one top folder; returns that folder. Refuses names that lead out of it."""
    with zipfile.ZipFile(archive) as content:
        for info in content.infolist():
            parts = Path(info.filename).parts
            if Path(info.filename).is_absolute() or ".." in parts or info.external_attr >> 28 == 0xA:
                raise FetchError(f"the archive has the entry {info.filename!r}, which leads out of its folder")
        content.extractall(folder)
    tops = [path for path in folder.iterdir() if path.is_dir()]
    if len(tops) != 1:
        raise FetchError(f"the archive has {len(tops)} top folders, one was expected")
    return tops[0]
