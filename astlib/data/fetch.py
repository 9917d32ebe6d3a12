"""Download data into the user's cache: continued after an interruption, verified, and only then used.

Chapter: book/how_to_run.md

What is downloaded gets its name in the cache in one step, when all of it is there and verified. Until then it is a
`.part` beside that name, which the next attempt continues if the server can send the rest (GitHub packs its archives on
request and may start over). Archives are downloaded by the code below and not by pooch, the usual library for this,
which starts over after an interruption. AudioSet's 50 GB are downloaded by huggingface_hub, file by file.
"""

import csv
import errno
import hashlib
import http.client
import lzma
import os
import shutil
import struct
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
from typing import Any

import soundfile

from ..errors import ConnectionLost, FetchError
from ..paths import cache, data_folders, find_data

BLOCK_BYTES = 1 << 20
TRIES = 5  # attempts in a row without a new byte before a download is given up
PAUSE = 0.5  # seconds before the next attempt; doubled with each attempt in a row without a new byte
SECONDS = 60  # without a byte before an attempt counts as failed
GOOGLE_STORAGE = "https://storage.googleapis.com"
# What zipfile and tarfile raise for archives that are damaged, encrypted, or packed in a way that they do not know.
DAMAGED = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, RuntimeError, NotImplementedError,
    LookupError, ValueError, OverflowError, MemoryError, struct.error,
)  # fmt: skip
# Of an OSError while something is unpacked: gzip and bz2 give it no number; the others are names that cannot be.
ODD_NAMES = (None, errno.EINVAL, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.EILSEQ)


@dataclass(frozen=True)
class Archive:
    """A data set in one archive.

    Attributes:
        url: its address.
        size: of the archive, in words, such as "about 600 MB".
        licence: of the data, in words.
        folder: name of the data set's folder in the cache.
        disk: GB that the archive and its content take together.
        sha256: of the archive; None if the server's archives have no stable hash.
        verify: takes the unpacked folder and raises FetchError if it is not the data set.
    """

    url: str
    size: str
    licence: str
    folder: str
    disk: float = 0.0
    sha256: str | None = None
    verify: Callable[[Path], None] = lambda folder: None

    def here(self) -> Path | None:
        """Find the data set on this machine.

        Returns:
            Its folder, or None.
        """
        return find_data(self.folder)

    def get(self, final: Path, progress: bool) -> None:
        """Download, verify and unpack the data set.

        Args:
            final: the folder that it becomes, in one step.
            progress: show a progress bar.

        Raises:
            FetchError: it did not arrive, is not the data set, or does not fit on the disk.
            OSError: it cannot be written.
        """
        archive, unpacked = final.with_name(f"{final.name}.part"), final.with_name(f".{final.name}.unpacking")
        arrived = archive.stat().st_size if archive.exists() else 0
        require_space(final.parent, self.disk * 1e9 - arrived)
        try:
            download(self.url, archive, progress)
            if self.sha256 is not None and (found := sha256(archive)) != self.sha256:
                raise FetchError(f"its sha256 is {found}, the published one is {self.sha256}")
            shutil.rmtree(unpacked, ignore_errors=True)
            content = unpack_archive(archive, unpacked)
            self.verify(content)
            os.replace(content, final)
        except ConnectionLost as error:
            raise FetchError(f"{error}. Or unpack it by hand as {final}") from None
        except FetchError as error:  # it is not what it should be, so continuing it would not help
            archive.unlink(missing_ok=True)
            raise FetchError(
                f"what {self.url} sent is not {final.name}: {error}. It was thrown away; try again"
            ) from None
        finally:
            shutil.rmtree(unpacked, ignore_errors=True)
        archive.unlink()


@dataclass(frozen=True)
class HubFiles:
    """Files of a data set on the Hugging Face hub, and lists from elsewhere, in one folder.

    Attributes:
        repo: name of the data set on the hub.
        patterns: which of its files to download, such as "data/eval/*.parquet".
        lists: the address of each list under the list's name.
        size: of the download, in words, such as "about 50 GB".
        licence: of the data, in words.
        folder: name of the data set's folder in the cache.
    """

    repo: str
    patterns: tuple[str, ...]
    lists: dict[str, str]
    size: str
    licence: str
    folder: str

    def here(self) -> Path | None:
        """Find the data set on this machine.

        Returns:
            A folder with at least one file of every pattern, or None; the lists alone are not the data set.
        """
        return next((f for f in data_folders(self.folder) if all(any(f.glob(p)) for p in self.patterns)), None)

    def get(self, final: Path, progress: bool) -> None:
        """Download and verify the lists and the files.

        Args:
            final: the folder that they become, in one step.
            progress: show progress bars.

        Raises:
            FetchError: something did not arrive, is not what it should be, or does not fit on the disk.
            OSError: something cannot be written.
        """
        part = final.with_name(f"{final.name}.part")
        if final.is_dir() and any(final.iterdir()):
            raise FetchError(f"{final} is there and is not the whole data set. Move it away, then fetch again")
        part.mkdir(exist_ok=True)
        for name, url in self.lists.items():
            download(url, part / name, progress)
            if not whole_list(part / name):
                (part / name).unlink()
                raise FetchError(f"what {url} sent is not {name}. It was thrown away; try again")
        try:
            self._get_files(part, progress)
        except FetchError:
            raise
        except Exception as error:  # its type, if the hub is out of reach, depends on huggingface_hub's version
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            include = " ".join(f"--include '{pattern}'" for pattern in self.patterns)
            raise FetchError(
                f"{self.repo} did not arrive from the Hugging Face hub ({reason}). What has "
                f"arrived is kept in {part}; the same command goes on from there. For a machine without network, run "
                f"`hf download {self.repo} --repo-type dataset {include} --local-dir {final.name}` on another, put "
                f"{', '.join(self.lists.values())} into the folder too, and copy it to {final}"
            ) from error
        shutil.rmtree(part / ".cache", ignore_errors=True)
        os.replace(part, final)

    def _get_files(self, part: Path, progress: bool) -> None:
        from huggingface_hub import HfApi, snapshot_download
        from tqdm.auto import tqdm

        # All files are of one commit, even if the download is continued after the data set has changed.
        pinned = part / "revision.txt"
        revision = pinned.read_text().strip() if pinned.is_file() else "main"
        info = HfApi().dataset_info(self.repo, revision=revision, files_metadata=True)
        siblings = info.siblings or []
        files = [f for f in siblings if any(fnmatch(f.rfilename, pattern) for pattern in self.patterns)]
        if not files:
            raise FetchError(f"{self.repo} no longer has files {' or '.join(self.patterns)}")
        pinned.write_text(f"{info.sha}\n")
        require_space(part, sum(f.size or 0 for f in files if not (part / f.rfilename).is_file()))
        snapshot_download(
            self.repo, repo_type="dataset", revision=info.sha, allow_patterns=list(self.patterns), local_dir=part
        )
        # Over plain HTTP, huggingface_hub only compares sizes.
        for file in tqdm(files, desc="verifying", unit="file", disable=not progress):
            if file.lfs is None or sha256(part / file.rfilename) != file.lfs.sha256:
                (part / file.rfilename).unlink()
                raise FetchError(
                    f"{file.rfilename} of {self.repo} does not have the sha256 that the hub announces. It was thrown "
                    "away; the same command downloads it again"
                )


def verify_esc50(folder: Path) -> None:
    """Check that a folder is ESC-50: the official list and 2,000 clips of 5 s. GitHub's archives have no stable hash.

    Args:
        folder: the unpacked archive.

    Raises:
        FetchError: it is not ESC-50; the message says what is different.
    """
    listing = folder / "meta" / "esc50.csv"
    content = listing.read_bytes() if listing.is_file() else b""
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()  # as git names it
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
    """Tell whether a list of AudioSet is complete: its header says how many clips follow; the table has 527 labels.

    Args:
        path: the list, under its own name.

    Returns:
        False also if it is something else, such as the page of a login portal.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        return False
    if path.name == "class_labels_indices.csv":
        try:
            return [row[:1] for row in csv.reader(lines)] == [["index"], *([str(i)] for i in range(527))]
        except csv.Error:
            return False
    return f"num_segs={sum(not line.startswith('#') for line in lines)}," in "".join(lines[:2])


DOWNLOADS: dict[str, Archive | HubFiles] = {
    "esc50": Archive(
        url="https://github.com/karolpiczak/ESC-50/archive/refs/heads/master.zip",
        size="about 600 MB",
        licence="CC BY-NC 3.0: not for commercial use",
        folder="esc50",
        disk=1.6,
        verify=verify_esc50,
    ),
    "speech-commands": Archive(
        url=f"{GOOGLE_STORAGE}/download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
        size="about 2.4 GB",
        licence="CC BY 4.0",
        folder="speech_commands",
        disk=6,
        sha256="af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",  # as in torchaudio's loader
    ),
    "speech-commands-v1": Archive(
        url=f"{GOOGLE_STORAGE}/download.tensorflow.org/data/speech_commands_v0.01.tar.gz",
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
            name: f"{GOOGLE_STORAGE}/us_audioset/youtube_corpus/v1/csv/{name}"
            for name in ("class_labels_indices.csv", "balanced_train_segments.csv", "eval_segments.csv")
        },
        size="about 50 GB, and as much again in the cache of `datasets` when it is first opened",
        licence="the lists CC BY 4.0; the sounds belong to those who made them",
        folder="audioset",
    ),
}


def fetch(name: str, source: Archive | HubFiles | None = None, progress: bool = True) -> Path:
    """Download a data set, unless it is on this machine already.

    Args:
        name: one of DOWNLOADS.
        source: where it comes from, if not from DOWNLOADS; then it is always downloaded.
        progress: show progress bars.

    Returns:
        Its folder.

    Raises:
        FetchError: the server does not send it or sends something else, or the disk is full. What has arrived is kept,
            and the next call continues from there.
    """
    if source is None:
        if name not in DOWNLOADS:
            raise FetchError(f"there is no download {name!r}. Known: {', '.join(DOWNLOADS)}")
        source = DOWNLOADS[name]
        if (here := source.here()) is not None:
            return here
    folder = cache() / "data"
    final = folder / source.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        source.get(final, progress)
    except OSError as error:
        raise FetchError(f"{name} could not be stored in {folder}: {error.strerror or error}") from error
    return final


def require_space(folder: Path, size: float) -> None:
    """Check that the disk has enough space.

    Args:
        folder: where to write.
        size: bytes.

    Raises:
        FetchError: fewer bytes are free.
    """
    free = shutil.disk_usage(folder).free
    if free < size:
        raise FetchError(
            f"{size / 1e9:.1f} GB are needed in {folder}, where {free / 1e9:.1f} GB are free. Make room, or set "
            "XDG_CACHE_HOME to a folder on a larger disk"
        )


def sha256(path: Path) -> str:
    """Hash a file.

    Args:
        path: the file.

    Returns:
        64 hexadecimal digits.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download(url: str, path: Path, progress: bool = True) -> None:
    """Download a file, continuing from what is already there.

    Args:
        url: its address.
        path: where to write it. After an error, what has arrived stays there.
        progress: show a progress bar.

    Raises:
        ConnectionLost: `TRIES` attempts in a row brought no new byte, or the server refuses.
        OSError: the disk is full.
    """
    from tqdm.auto import tqdm

    failures, total = 0, None
    with tqdm(desc=path.name, unit="B", unit_scale=True, disable=not progress) as bar:
        while failures < TRIES:
            before = path.stat().st_size if path.exists() else 0
            bar.n = before
            try:
                total = _continue(url, path, before, bar)
            except urllib.error.HTTPError as error:
                if error.code == 416 and before:  # the server has nothing more: all of it is here, or too much
                    total = _length(error)
                    if total in (before, None):
                        return
                    path.unlink()
                elif error.code < 500:
                    raise ConnectionLost(f"{url} answered {error}. Check the address, or fetch it by hand") from None
            except (OSError, ValueError, http.client.HTTPException) as error:  # the last: a chunked answer was cut
                if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                    raise
            now = path.stat().st_size if path.exists() else 0
            if total is not None and now == total:
                return
            failures = 0 if now > before else failures + 1
            if failures:
                time.sleep(PAUSE * 2**failures)
    raise ConnectionLost(
        f"the connection to {url} failed {TRIES} times in a row. {now:,} bytes are kept in {path}; "
        "the same command goes on from there"
    )


def _continue(url: str, path: Path, start: int, bar: Any) -> int | None:
    """Send one request and append what comes. Returns the size that the whole file should have."""
    headers = {"Range": f"bytes={start}-"} if start else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310  # addresses are those of DOWNLOADS
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
        append = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        length = answer.headers.get("Content-Length")
        start = start if append else 0
        total = start + int(length) if length is not None else None
        bar.total, bar.n = total, start
        with open(path, "ab" if append else "wb") as file:
            while block := answer.read(BLOCK_BYTES):
                file.write(block)
                bar.update(len(block))
        return total if total is not None else path.stat().st_size  # no length given: the server closed at the end


def _length(error: urllib.error.HTTPError) -> int | None:
    """The size in the header `Content-Range: bytes */N` of an answer 416."""
    text: str = error.headers.get("Content-Range", "").rpartition("/")[2]
    return int(text) if text.isdigit() else None


def unpack_archive(archive: Path, folder: Path) -> Path:
    """Unpack a zip or tar.gz.

    Args:
        archive: the file.
        folder: where to unpack it.

    Returns:
        The folder with the content: the only folder at the top of the archive, or else `folder`.

    Raises:
        FetchError: it is damaged, encrypted, empty or larger than the disk, or has an entry that leads out of its
            folder or is neither file nor folder.
        OSError: something cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _extract(archive, folder)
    except FetchError:
        raise
    except DAMAGED as error:
        raise FetchError(f"it is not a whole archive ({str(error) or type(error).__name__})") from None
    except OSError as error:
        if error.errno not in ODD_NAMES:
            raise
        raise FetchError(
            f"it is not a whole archive, or has names that cannot be ({error.strerror or error})"
        ) from None
    entries = list(folder.iterdir())
    if not entries:
        raise FetchError("the archive is empty")
    return entries[0] if len(entries) == 1 and entries[0].is_dir() else folder


def _extract(archive: Path, folder: Path) -> None:
    """Unpack an archive after a look at its entries."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as content:
            for info in content.infolist():
                _require_inside(info.filename, info.external_attr >> 28 != 0xA)
            require_space(folder, sum(info.file_size for info in content.infolist()))
            content.extractall(folder)  # noqa: S202  # all entries were checked
    else:
        with tarfile.open(archive, "r:gz") as content:
            content.extractall(folder, filter=_plain)  # noqa: S202  # each entry is checked


def _plain(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo:
    """Check an entry with tarfile's "data" filter, and more strictly: links and absolute paths are refused."""
    _require_inside(member.name, member.isfile() or member.isdir())
    return tarfile.data_filter(member, folder)


def _require_inside(name: str, plain: bool) -> None:
    """Raise FetchError unless the name of an entry stays in its folder and the entry is a file or a folder."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or not plain:
        raise FetchError(f"the archive has the entry {name!r}, which leads out of its folder or is a link")
