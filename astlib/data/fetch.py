"""Download a data set into the user's cache: resumed after a cut, verified, and unpacked only if it is the right thing.

Chapter: book/how_to_run.md

A data set gets its name in the cache in one step, when all of it is there and verified. Until then it is a `.part`
beside it, which the next try continues if the server can send the rest (one that packs its archives at request, as
GitHub's does, may start over). Archives come by the code below and not by pooch, which is the usual library for this
but begins anew after a cut. AudioSet's 50 GB come by huggingface_hub, file by file.
"""

import csv
import gzip
import hashlib
import http.client
import os
import shutil
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

import soundfile

from .base import cache_folder, find, folders

BLOCK = 1 << 20
TRIES = 5
PAUSE = 0.5  # seconds before the first repetition that brought nothing; doubled each time
SECONDS = 60  # without a byte before a try counts as failed
GOOGLE = "https://storage.googleapis.com"


class FetchError(RuntimeError):
    """A download that did not arrive, or is not what it should be. The message says what to do."""


class Interrupted(FetchError):
    """The connection failed; what has arrived is kept."""


@dataclass(frozen=True)
class Archive:
    """A data set in one file. `verify` gets the unpacked folder and raises FetchError if it is another thing."""

    url: str
    size: str
    licence: str
    folder: str  # its name in the cache
    disk: float = 0.0  # GB: the archive and what it unpacks to
    sha256: str | None = None  # None where the server's archives have no stable hash
    verify: Callable[[Path], None] = lambda folder: None

    def here(self) -> Path | None:
        return find(self.folder)

    def get(self, final: Path, progress: bool) -> None:
        archive, unpacked = final.with_name(f"{final.name}.part"), final.with_name(f".{final.name}.unpacking")
        arrived = archive.stat().st_size if archive.exists() else 0
        require_space(final.parent, self.disk * 1e9 - arrived)
        try:
            download(self.url, archive, progress)
            if self.sha256 is not None and (found := sha256(archive)) != self.sha256:
                raise FetchError(f"its sha256 is {found}, the published one is {self.sha256}")
            shutil.rmtree(unpacked, ignore_errors=True)
            content = unpack(archive, unpacked)
            self.verify(content)
            os.replace(content, final)
        except Interrupted as error:
            raise FetchError(f"{error}. Or unpack it by hand as {final}") from None
        except FetchError as error:  # it is not what it should be: going on from it would not help
            archive.unlink(missing_ok=True)
            raise FetchError(
                f"what {self.url} gave is not {final.name}: {error}. It was thrown away; try again"
            ) from None
        finally:
            shutil.rmtree(unpacked, ignore_errors=True)
        archive.unlink()


@dataclass(frozen=True)
class HubFiles:
    """Files of a data set on the Hugging Face hub, and lists from elsewhere, in one folder."""

    repo: str
    patterns: tuple[str, ...]
    lists: dict[str, str]  # name -> address
    size: str
    licence: str
    folder: str

    def here(self) -> Path | None:
        """A folder that has something of every pattern; one with the lists alone is not the data set."""
        return next((f for f in folders(self.folder) if all(any(f.glob(p)) for p in self.patterns)), None)

    def get(self, final: Path, progress: bool) -> None:
        part = final.with_name(f"{final.name}.part")
        if final.is_dir() and any(final.iterdir()):
            raise FetchError(f"{final} is there and is not the whole data set. Move it away, then fetch again")
        part.mkdir(exist_ok=True)
        for name, url in self.lists.items():
            download(url, part / name, progress)
            if not whole_list(part / name):
                (part / name).unlink()
                raise FetchError(f"what {url} gave is not {name}. It was thrown away; try again")
        try:
            self._get_files(part, progress)
        except FetchError:
            raise
        except Exception as error:  # what it is when the hub is out of reach depends on huggingface_hub's version
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            include = " ".join(f"--include '{pattern}'" for pattern in self.patterns)
            raise FetchError(
                f"{self.repo} did not arrive from the Hugging Face hub ({reason}). What came "
                f"is kept in {part}; the same command goes on from there. For a machine without network, run "
                f"`hf download {self.repo} --repo-type dataset {include} --local-dir {final.name}` on another, put "
                f"{', '.join(self.lists.values())} into the folder too, and copy it to {final}"
            ) from error
        shutil.rmtree(part / ".cache", ignore_errors=True)
        os.replace(part, final)

    def _get_files(self, part: Path, progress: bool) -> None:
        from huggingface_hub import HfApi, snapshot_download
        from tqdm.auto import tqdm

        # All files are of one commit, also if the download is continued after the data set has changed.
        pinned = part / "revision.txt"
        revision = pinned.read_text().strip() if pinned.is_file() else "main"
        info = HfApi().dataset_info(self.repo, revision=revision, files_metadata=True)
        files = [f for f in info.siblings if any(fnmatch(f.rfilename, pattern) for pattern in self.patterns)]
        if not files:
            raise FetchError(f"{self.repo} has no files {' or '.join(self.patterns)} any more")
        pinned.write_text(f"{info.sha}\n")
        require_space(part, sum(f.size for f in files if not (part / f.rfilename).is_file()))
        snapshot_download(
            self.repo, repo_type="dataset", revision=info.sha, allow_patterns=list(self.patterns), local_dir=part
        )
        # Over plain HTTP huggingface_hub compares sizes only.
        for file in tqdm(files, desc="verifying", unit="file", disable=not progress):
            if file.lfs is None or sha256(part / file.rfilename) != file.lfs.sha256:
                (part / file.rfilename).unlink()
                raise FetchError(
                    f"{file.rfilename} of {self.repo} does not have the sha256 that the hub announces. It was thrown "
                    "away; the same command loads it again"
                )


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


def whole_list(path: Path) -> bool:
    """Whether a list of AudioSet is complete: the header of the segments says how many follow; there are 527 labels."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        return False
    if path.name == "class_labels_indices.csv":
        return [row[0] for row in csv.reader(lines)] == ["index", *map(str, range(527))]
    return f"num_segs={sum(not line.startswith('#') for line in lines)}," in "".join(lines[:2])


SOURCES = {
    "esc50": Archive(
        url="https://github.com/karolpiczak/ESC-50/archive/refs/heads/master.zip",
        size="about 600 MB",
        licence="CC BY-NC 3.0: not for commercial use",
        folder="esc50",
        disk=1.6,
        verify=verify_esc50,
    ),
    "speech-commands": Archive(
        url=f"{GOOGLE}/download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
        size="about 2.4 GB",
        licence="CC BY 4.0",
        folder="speech_commands",
        disk=6,
        sha256="af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",  # as in torchaudio's loader
    ),
    "speech-commands-v1": Archive(
        url=f"{GOOGLE}/download.tensorflow.org/data/speech_commands_v0.01.tar.gz",
        size="about 1.5 GB",
        licence="CC BY 4.0",
        folder="speech_commands_v0.01",
        disk=4,
        sha256="743935421bb51cccdb6bdd152e04c5c70274e935c82119ad7faeec31780d811d",  # as in torchaudio's loader
    ),
    "audioset-balanced": HubFiles(
        repo="agkphysics/AudioSet",
        patterns=("data/bal_train/*.parquet", "data/eval/*.parquet"),
        lists={
            name: f"{GOOGLE}/us_audioset/youtube_corpus/v1/csv/{name}"
            for name in ("class_labels_indices.csv", "balanced_train_segments.csv", "eval_segments.csv")
        },
        size="about 50 GB, and as much again in the cache of `datasets` when it is first opened",
        licence="the lists CC BY 4.0; the sounds belong to those who made them",
        folder="audioset",
    ),
}


def fetch(name: str, source: Archive | HubFiles | None = None, progress: bool = True) -> Path:
    """The folder of a data set, downloaded if it is not on this machine yet.

    Raises FetchError if the server does not give it, gives something else, or the disk is full. What has arrived is
    kept, and the next call goes on from there.
    """
    if source is None:
        if name not in SOURCES:
            raise FetchError(f"no data set {name!r} can be fetched. Known: {', '.join(SOURCES)}")
        source = SOURCES[name]
        if (here := source.here()) is not None:
            return here
    folder = cache_folder()
    final = folder / source.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        source.get(final, progress)
    except OSError as error:
        raise FetchError(f"{name} could not be stored in {folder}: {error.strerror or error}") from error
    return final


def require_space(folder: Path, size: float) -> None:
    """Raises FetchError if fewer than `size` bytes are free in `folder`."""
    free = shutil.disk_usage(folder).free
    if free < size:
        raise FetchError(
            f"{size / 1e9:.1f} GB are needed in {folder}, where {free / 1e9:.1f} GB are free. Make room, or set "
            "XDG_CACHE_HOME to a folder on a larger disk"
        )


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
    """Unpack a zip or tar.gz; returns the folder with the content, which is the top folder if there is just one.

    Raises FetchError if it is damaged, or has an entry that leads out of its folder or is neither file nor folder.
    """
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as content:
                for info in content.infolist():
                    _require_inside(info.filename, info.external_attr >> 28 != 0xA)
                content.extractall(folder)
        else:
            with tarfile.open(archive, "r:gz") as content:
                content.extractall(folder, filter=_plain)
    except (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise FetchError(f"it is not a whole archive ({error})") from None
    entries = list(folder.iterdir())
    return entries[0] if len(entries) == 1 and entries[0].is_dir() else folder


def _plain(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo:
    """tarfile's "data" filter, which takes links inside the folder and cuts leading slashes, made stricter."""
    _require_inside(member.name, member.isfile() or member.isdir())
    return tarfile.data_filter(member, folder)


def _require_inside(name: str, plain: bool) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or not plain:
        raise FetchError(f"the archive has the entry {name!r}, which leads out of its folder or is a link")
