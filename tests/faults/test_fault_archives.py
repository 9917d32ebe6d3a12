"""Archives of somebody else: damaged, encrypted, packed in unknown ways, with names that cannot be, or too large."""

import collections
import errno
import http.server
import io
import os
import struct
import tarfile
import threading
import zipfile

import pytest

from astlib.data import fetch as fetching
from astlib.data.fetch import download, unpack_archive
from astlib.errors import ConnectionLost, FetchError

CENTRAL = b"PK\x01\x02"  # where the second header of a zip's entry begins


def packed(names=("a/b",), content=b"x" * 1000, how=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", how) as archive:
        for name in names:
            archive.writestr(name, content)
    return bytearray(file.getvalue())


def tarred(*members):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for member in members:
            member.size = 1 if member.isfile() else 0
            archive.addfile(member, io.BytesIO(b"x"))
    return file.getvalue()


def refused(folder, content, message="archive"):
    (folder / "archive").write_bytes(content)
    with pytest.raises(FetchError, match=message) as error:
        unpack_archive(folder / "archive", folder / "out" / "inside")
    assert "Errno" not in str(error.value)
    found = {path.name for path in folder.iterdir()} | {path.name for path in (folder / "out").iterdir()}
    assert found <= {"archive", "out", "inside"}, "something was written outside of the folder"


def test_an_entry_without_a_name(tmp_path):
    refused(tmp_path, packed().replace(b"a/b", b"\0/b"))
    refused(tmp_path, tarred(tarfile.TarInfo("")))


def test_an_encrypted_archive(tmp_path):
    content = packed()
    for at in (6, content.index(CENTRAL) + 8):
        struct.pack_into("<H", content, at, 1)
    refused(tmp_path, content, "encrypted")


@pytest.mark.parametrize("method", [1, 6, 9, 12, 14, 93, 95, 99, 65535])
def test_a_compression_that_is_not_known_or_not_the_true_one(tmp_path, method):
    content = packed()
    for at in (8, content.index(CENTRAL) + 10):
        struct.pack_into("<H", content, at, method)
    refused(tmp_path, content, "not a whole archive")


@pytest.mark.parametrize("how", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_DEFLATED], ids=["lzma", "bz2", "zip"])
def test_damage_inside_compressed_content(tmp_path, how):
    whole = packed(content=os.urandom(2000), how=how)
    for at in (33, 36, 38, 44, 90, 500):
        content = bytearray(whole)
        content[at : at + 40] = bytes(255 - byte for byte in content[at : at + 40])
        refused(tmp_path, content)


def test_any_byte_of_a_zips_directory(tmp_path):
    """It becomes a whole folder or a FetchError."""
    whole = packed()
    for at in range(whole.index(CENTRAL), len(whole)):
        for flip in (0xFF, 0x01):
            content = bytearray(whole)
            content[at] ^= flip
            (tmp_path / "archive").write_bytes(content)
            try:
                found = unpack_archive(tmp_path / "archive", tmp_path / f"out-{at}-{flip}")
            except FetchError:
                continue
            assert all(path.read_bytes() in (b"x" * 1000, b"") for path in found.rglob("*") if path.is_file())


@pytest.mark.parametrize("names", [("a", "a/b"), ("a" * 300,), (".",)], ids=["file and folder", "long", "dot"])
def test_names_that_cannot_be(tmp_path, names):
    refused(tmp_path, packed(names), "not a whole archive, or has names that cannot be")
    refused(tmp_path, tarred(*map(tarfile.TarInfo, names)), "not a whole archive")


@pytest.mark.parametrize("content", [packed(()), tarred(), b"Rar!" + bytes(99), b"", b"<html>log in</html>"],
                         ids=["empty zip", "empty tar", "rar", "no bytes", "web page"])  # fmt: skip
def test_what_holds_nothing_is_no_data_set(tmp_path, content):
    refused(tmp_path, content)


def test_a_zip_larger_than_the_disk_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    """A bomb: 50 kB that become 50 MB."""
    bomb = packed(content=bytes(50_000_000), how=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 60_000
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda _: usage(0, 0, 40_000_000))
    refused(tmp_path, bomb, "0.1 GB are needed")
    assert not list((tmp_path / "out" / "inside").iterdir())


def test_a_full_disk_is_not_the_archives_fault(tmp_path, monkeypatch):
    (tmp_path / "archive").write_bytes(packed())

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "extractall", full)
    with pytest.raises(OSError, match="No space left"):
        unpack_archive(tmp_path / "archive", tmp_path / "out")


def test_a_redirect_without_an_end(tmp_path):
    class Circle(http.server.BaseHTTPRequestHandler):
        asked = 0

        def do_GET(self):
            Circle.asked += 1
            self.send_response(302)
            self.send_header("Location", self.path)
            self.end_headers()

        def log_message(self, *_):
            """The test's output is not the place for a server's log."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Circle) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(ConnectionLost, match="answered HTTP Error 302"):
            download(f"http://127.0.0.1:{server.server_port}/set.zip", tmp_path / "set.part", progress=False)
        server.shutdown()
    assert Circle.asked < 20 and not (tmp_path / "set.part").exists()
