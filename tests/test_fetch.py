"""Downloads against a real HTTP server on the loopback address that cuts the connection and lies about the content."""

import http.server
import io
import threading
import zipfile

import numpy as np
import pytest
import soundfile

from astlib.data import base
from astlib.data import fetch as fetching
from astlib.data.fetch import FetchError, Source, fetch, unpack, verify_esc50


def archive(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as content:
        for name, data in entries.items():
            content.writestr(name, data)
    return buffer.getvalue()


GOOD = archive({"Set-master/meta.csv": b"a,b\n", "Set-master/audio/1.bin": bytes(range(256)) * 2000})


class Server(http.server.BaseHTTPRequestHandler):
    """Serves `content`; `cut` bytes a request at most; `ranges`: whether it can go on from the middle."""

    content, cut, ranges, status, lengths, chunked = GOOD, None, True, 200, True, False
    protocol_version = "HTTP/1.1"
    requests: list = []

    def do_GET(self):
        cls = type(self)
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        cls.requests.append(start)
        if cls.status != 200:
            return self.send_error(cls.status)
        if start >= len(cls.content) and start:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(cls.content)}")
            self.end_headers()
            return None
        start = start if cls.ranges else 0
        body = cls.content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(cls.content) - 1}/{len(cls.content)}")
        self.send_header("Connection", "close")
        if cls.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif cls.lengths:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if cls.chunked:  # the cut falls into the chunk
            self.wfile.write(b"%x\r\n" % len(body) + body[: cls.cut] + (b"" if cls.cut else b"\r\n0\r\n\r\n"))
        else:
            self.wfile.write(body[: cls.cut])
        self.close_connection = True
        return None

    def log_message(self, *_):
        """The test's output is not the place for a server's log."""


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("ASTLIB_DATA", raising=False)
    monkeypatch.setattr(fetching, "PAUSE", 0.001)
    handler = type("Handler", (Server,), {"requests": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        handler.url = f"http://127.0.0.1:{running.server_port}/set.zip"
        yield handler
        running.shutdown()


def get(server, verify=lambda folder: None):
    return fetch("set", Source(server.url, "small", "none", verify), progress=False)


def left_over():
    return sorted(path.name for path in base.cache_folder().iterdir())


def test_a_whole_download_is_unpacked_and_nothing_else_stays(server):
    folder = get(server)
    assert (folder / "audio" / "1.bin").read_bytes() == bytes(range(256)) * 2000
    assert left_over() == ["set"] and base.find("set") == folder


@pytest.mark.parametrize("ranges", [True, False])
def test_cut_connections_are_continued(server, ranges):
    server.cut, server.ranges = 200_000, ranges
    if not ranges:
        with pytest.raises(FetchError, match="failed 5 times in a row.*are kept in"):
            get(server)
        server.cut = None
    assert (get(server) / "meta.csv").read_bytes() == b"a,b\n"
    assert (200_000 in server.requests) and left_over() == ["set"]


def test_a_chunked_answer_that_is_cut_is_tried_again(server):
    server.chunked, server.cut = True, 200_000
    with pytest.raises(FetchError, match="failed 5 times"):
        server.ranges = False
        get(server)
    server.cut = None
    assert (get(server) / "meta.csv").is_file() and left_over() == ["set"]


def test_an_answer_without_a_length_ends_with_the_connection(server):
    server.lengths = False
    assert (get(server) / "meta.csv").is_file()


def test_a_second_call_goes_on_where_the_first_stopped(server, monkeypatch):
    server.cut = 100_000
    monkeypatch.setattr(fetching, "TRIES", 1)
    server.status = 200
    with monkeypatch.context() as patch:
        patch.setattr(fetching, "_continue", lambda *_: (_ for _ in ()).throw(ConnectionResetError()))
        with pytest.raises(FetchError, match="0 bytes are kept"):
            get(server)
    part = base.cache_folder() / "set.zip.part"
    part.write_bytes(GOOD[:300_000])
    server.cut = None
    get(server)
    assert server.requests == [300_000]


def test_all_bytes_there_but_not_unpacked_needs_no_download(server):
    base.cache_folder().mkdir(parents=True)
    (base.cache_folder() / "set.zip.part").write_bytes(GOOD)
    assert (get(server) / "meta.csv").is_file() and server.requests == [len(GOOD)]


@pytest.mark.parametrize("content", [b"<html>sign in</html>", GOOD[:-40], b""])
def test_something_else_is_refused_and_thrown_away(server, content):
    server.content = content
    with pytest.raises(FetchError, match="is not set.*thrown away"):
        get(server)
    assert left_over() == []


def test_content_that_does_not_verify_never_gets_the_name(server):
    def refuse(folder):
        raise FetchError("its list is another one")

    with pytest.raises(FetchError, match="its list is another one"):
        get(server, refuse)
    assert base.find("set") is None and left_over() == []


def test_no_such_page_says_so_at_once(server):
    server.status = 404
    with pytest.raises(FetchError, match="404"):
        get(server)
    assert len(server.requests) == 1


def test_a_full_disk_says_so(server, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fetching, "_continue", full)
    with pytest.raises(FetchError, match="could not be stored in .*No space left on device"):
        get(server)


def test_names_that_lead_out_of_the_folder_are_refused(tmp_path):
    for name in ("../evil", "/evil", "a/../../evil"):
        path = tmp_path / "bad.zip"
        path.write_bytes(archive({name: b"x"}))
        with pytest.raises(FetchError, match="leads out of its folder"):
            unpack(path, tmp_path / "out")
    assert not (tmp_path / "evil").exists()


def test_esc50_is_told_by_its_content(tmp_path, esc50_root):
    """The real list is accepted, a changed one is not; then the clips are counted and measured."""
    (tmp_path / "meta").mkdir()
    (tmp_path / "audio").mkdir()
    listing = (esc50_root / "meta" / "esc50.csv").read_bytes()
    (tmp_path / "meta" / "esc50.csv").write_bytes(listing + b"\n")
    with pytest.raises(FetchError, match="not the official list"):
        verify_esc50(tmp_path)
    (tmp_path / "meta" / "esc50.csv").write_bytes(listing)
    with pytest.raises(FetchError, match="0 clips, ESC-50 has 2,000"):
        verify_esc50(tmp_path)
    for i in range(2000):
        (tmp_path / "audio" / f"{i}.wav").touch()
    soundfile.write(tmp_path / "audio" / "0.wav", np.zeros(80_000), 16_000)
    with pytest.raises(FetchError, match="80000 samples at 16000 Hz"):
        verify_esc50(tmp_path)


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(FetchError, match="Known: esc50"):
        fetch("imagenet")
