"""Downloads against a real HTTP server on the loopback address that cuts the connection and lies about the content."""

import collections
import hashlib
import http.server
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile

import numpy as np
import pytest
import soundfile
import torch

from astlib import efficientat
from astlib.data import fetch as fetching
from astlib.data.fetch import DOWNLOADS, Archive, fetch, unpack_archive, verify_esc50, whole_list
from astlib.errors import FetchError
from astlib.paths import cache, find_data
from astlib.saved import weights_hash


def archive(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as content:
        for name, content_of_file in entries.items():
            content.writestr(name, content_of_file)
    return buffer.getvalue()


def tarball(entries: dict[str, bytes | tarfile.TarInfo]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as content:
        for name, entry in entries.items():
            info = entry if isinstance(entry, tarfile.TarInfo) else tarfile.TarInfo(name)
            if isinstance(entry, bytes):
                info.size = len(entry)
            content.addfile(info, io.BytesIO(entry) if isinstance(entry, bytes) else None)
    return buffer.getvalue()


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


GOOD = archive({"Set-master/meta.csv": b"a,b\n", "Set-master/audio/1.bin": bytes(range(256)) * 2000})


class Server(http.server.BaseHTTPRequestHandler):
    """Serves `content`, or what `pages` has for a path; `cut` bytes per request; `ranges`: also from the middle on."""

    content, cut, ranges, status, lengths, chunked = GOOD, None, True, 200, True, False
    protocol_version = "HTTP/1.1"
    requests: list = []
    pages: dict[str, str] = {}

    def do_GET(self):
        cls = type(self)
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        cls.requests.append(start)
        content = cls.pages[self.path].encode() if self.path in cls.pages else cls.content
        if cls.status != 200:
            return self.send_error(cls.status)
        if start >= len(content) and start:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.end_headers()
            return None
        start = start if cls.ranges else 0
        body = content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
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
    handler = type("Handler", (Server,), {"requests": [], "pages": {}})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        handler.url = f"http://127.0.0.1:{running.server_port}/set.zip"
        yield handler
        running.shutdown()


def get(server, verify=lambda folder: None, **fields):
    return fetch("set", Archive(server.url, "small", "none", "set", verify=verify, **fields), progress=False)


def left_over():
    return sorted(path.name for path in (cache() / "data").iterdir())


def test_a_whole_download_is_unpacked_and_nothing_else_stays(server):
    folder = get(server)
    assert (folder / "audio" / "1.bin").read_bytes() == bytes(range(256)) * 2000
    assert left_over() == ["set"] and find_data("set") == folder


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
    part = (cache() / "data") / "set.part"
    part.write_bytes(GOOD[:300_000])
    server.cut = None
    get(server)
    assert server.requests == [300_000]


def test_all_bytes_there_but_not_unpacked_needs_no_download(server):
    (cache() / "data").mkdir(parents=True)
    ((cache() / "data") / "set.part").write_bytes(GOOD)
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
    assert find_data("set") is None and left_over() == []


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


def test_a_disk_that_is_too_small_says_so_before_anything_is_loaded(server):
    with pytest.raises(FetchError, match=r"1000000.0 GB are needed in .*GB are free.*XDG_CACHE_HOME"):
        get(server, disk=1e6)
    assert server.requests == [] and left_over() == []


BYTES = np.random.default_rng(0).integers(0, 256, 300_000, dtype=np.uint8).tobytes()
TARBALL = tarball({"./yes/1.wav": BYTES, "./testing_list.txt": b"yes/1.wav\n"})


def test_a_tar_with_the_published_hash_is_unpacked_after_a_cut(server):
    """No top folder, as in Speech Commands' archive."""
    server.content, server.cut = TARBALL, 100_000
    folder = get(server, sha256=hashlib.sha256(TARBALL).hexdigest())
    assert (folder / "yes" / "1.wav").read_bytes() == BYTES and (folder / "testing_list.txt").is_file()
    assert server.requests[:2] == [0, 100_000] and left_over() == ["set"]


def test_another_hash_is_refused_before_anything_is_unpacked(server, monkeypatch):
    server.content = TARBALL[:-1] + bytes([TARBALL[-1] ^ 1])
    monkeypatch.setattr(fetching, "unpack_archive", lambda *_: pytest.fail("unpacked before it was verified"))
    with pytest.raises(FetchError, match="its sha256 is .* the published one is .*thrown away"):
        get(server, sha256=hashlib.sha256(TARBALL).hexdigest())
    assert left_over() == []


@pytest.mark.parametrize(
    "entries",
    [
        {"../evil": b"x"},
        {"/evil": b"x"},
        {"a/../../evil": b"x"},
        {"link": link("link", "/etc/passwd")},
        {"link": link("link", "inside.txt"), "inside.txt": b"x"},
        {"hard": link("hard", "inside.txt", tarfile.LNKTYPE), "inside.txt": b"x"},
        {"pipe": link("pipe", "", tarfile.FIFOTYPE)},
    ],
    ids=lambda entries: next(iter(entries)),
)
def test_a_right_hash_does_not_make_an_unsafe_tar_safe(server, entries):
    server.content = tarball(entries)
    with pytest.raises(FetchError, match="leads out of its folder or is a link"):
        get(server, sha256=hashlib.sha256(server.content).hexdigest())
    assert left_over() == [] and not list(cache().rglob("evil"))


@pytest.mark.parametrize("content", [TARBALL[: len(TARBALL) // 2], GOOD[:-40], b"<html>", b""])
def test_half_an_archive_is_not_one(tmp_path, content):
    (tmp_path / "half").write_bytes(content)
    with pytest.raises(FetchError, match="not a whole archive"):
        unpack_archive(tmp_path / "half", tmp_path / "out")


def test_names_that_lead_out_of_the_folder_are_refused(tmp_path):
    for name in ("../evil", "/evil", "a/../../evil", "..\\evil"):
        path = tmp_path / "bad.zip"
        path.write_bytes(archive({name: b"x"}))
        with pytest.raises(FetchError, match="leads out of its folder"):
            unpack_archive(path, tmp_path / "out")
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


def pickled(value) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


class Code:
    """Something that a pickle would execute."""

    def __reduce__(self):
        return (os.mkdir, ("/tmp/executed-by-a-pickle",))


@pytest.fixture
def authors(server, monkeypatch):
    """The server of the teacher's authors, with other weights that count as theirs."""
    state = {"classifier.5.bias": torch.arange(527.0)}
    monkeypatch.delenv("ASTLIB_WEIGHTS", raising=False)
    monkeypatch.setattr(efficientat, "ADDRESS", server.url.replace("set.zip", efficientat.FILES[1]))
    monkeypatch.setattr(efficientat, "WEIGHTS_HASH", weights_hash(state))
    server.content = pickled(state)
    return server


def test_the_teachers_weights_are_fetched_checked_and_found(authors):
    assert efficientat.find_efficientat() is None
    place = efficientat.fetch_efficientat(progress=False)
    assert place == cache() / "weights" / "mn04_as_mAP_432.pt" == efficientat.find_efficientat()
    assert len(efficientat.read_efficientat(place)["classifier.5.bias"]) == 527
    assert efficientat.fetch_efficientat(progress=False) == place and len(authors.requests) == 1, "it is here already"
    assert [path.name for path in place.parent.iterdir()] == [place.name]


@pytest.mark.parametrize("content, said", [
    (pickled({"classifier.5.bias": torch.zeros(527)}), "holds other weights"),
    (pickled({"classifier.5.bias": Code()}), "is damaged"),
    (b"<html>not found</html>", "is damaged"),
    (GOOD[:1000], "is damaged"),
])  # fmt: skip
def test_other_weights_than_the_teachers_are_thrown_away(authors, content, said):
    authors.content = content
    with pytest.raises(FetchError, match=said):
        efficientat.fetch_efficientat(progress=False)
    assert not list((cache() / "weights").iterdir()) and not os.path.exists("/tmp/executed-by-a-pickle")


# --- AudioSet from the hub --------------------------------------------------------------------------------------------

COMMIT = "0123456789abcdef" * 2 + "01234567"
FILES = {f"data/{part}/0{i}.parquet": f"{part}{i}".encode() * 60_000 for part in ("bal_train", "eval") for i in (0, 1)}
FILES["data/bal_train/00.parquet"] *= 25  # 13 MB: huggingface_hub goes on from the last whole block of 10 MiB
FILES["data/unbal_train/00.parquet"] = b"2.43 TB of them are not asked for"
LISTS = {
    "class_labels_indices.csv": "index,mid,display_name\n" + "".join(f'{i},/m/{i},"A, b"\n' for i in range(527)),
    "balanced_train_segments.csv": "# created\n# num_ytids=2, num_segs=2, num\n# YTID\na, 0, 10, /m\nb, 0, 10, /m\n",
    "eval_segments.csv": "# created\n# num_ytids=1, num_segs=1, num\n# YTID\nc, 0, 10, /m/0\n",
}


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the Hugging Face hub as a download needs, and Google's lists. `cut` breaks each first answer off."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.do_GET(body=False)

    def do_GET(self, body=True):
        cls, path = type(self), self.path.partition("?")[0].removeprefix("/datasets/agkphysics/AudioSet/resolve/")
        if path.startswith("/api/datasets/agkphysics/AudioSet/"):
            what, _, revision = path.removeprefix("/api/datasets/agkphysics/AudioSet/").partition("/")
            cls.asked.append(revision)
            files = []
            for name, content in FILES.items():
                sha256 = hashlib.sha256(content).hexdigest()
                lfs = {"sha256": sha256, "oid": sha256, "size": len(content), "pointerSize": 130}
                names = {"type": "file", "path": name, "rfilename": name, "oid": "0" * 40, "blobId": "0" * 40}
                files.append({**names, "size": len(content), "lfs": lfs})
            answer = {"id": "agkphysics/AudioSet", "_id": "0", "sha": COMMIT, "siblings": files, "tags": []}
            answer = answer if what == "revision" else files
            return self.answer(json.dumps(answer).encode(), {"Content-Type": "application/json"})
        if path.startswith("/lists/"):
            return self.answer(cls.lists[path.removeprefix("/lists/")].encode(), {})
        name = path.removeprefix(COMMIT + "/")
        content = cls.files[name]
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        etag = f'"{hashlib.sha256(FILES[name]).hexdigest()}"'
        headers = {"X-Repo-Commit": COMMIT, "ETag": etag, "X-Linked-Etag": etag, "X-Linked-Size": str(len(content))}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        if body:
            cls.gets[name] += 1
            cls.starts.append(start)
        cut = cls.cut if body and cls.gets[name] == 1 else None
        return self.answer(content[start:], headers, 206 if start else 200, body, cut)

    def answer(self, content, headers, status=200, body=True, cut=None):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content)), "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content[:cut])
        self.close_connection = True

    def log_message(self, *_):
        """The test's output is not the place for a server's log."""


@pytest.fixture
def hub(tmp_path):
    """The server, with `fetch()`: the real command in a process of its own, which finds the hub by $HF_ENDPOINT."""
    counts = {"gets": collections.Counter(), "starts": [], "asked": []}
    handler = type("Handler", (Hub,), {"files": dict(FILES), "lists": dict(LISTS), "cut": None, **counts})
    code = (
        "import dataclasses, sys; from astlib.data.fetch import DOWNLOADS; name = 'audioset-balanced';"
        "lists = {k: sys.argv[1] + '/lists/' + k for k in DOWNLOADS[name].lists};"
        "DOWNLOADS[name] = dataclasses.replace(DOWNLOADS[name], lists=lists);"
        "sys.argv[1:] = ['data', 'fetch', name]; from astlib.cli import main; main()"
    )
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{running.server_port}"
        hidden = ("ASTLIB_DATA", "HF_HUB_OFFLINE")
        environment = {k: v for k, v in os.environ.items() if k not in hidden and "_PROXY" not in k.upper()}
        environment |= {"HF_ENDPOINT": url, "HF_HOME": str(tmp_path / "hf"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
        environment |= {"NO_PROXY": "*", "HF_HUB_DISABLE_TELEMETRY": "1"}
        handler.folder = tmp_path / "cache" / "astlib" / "data" / "audioset"

        def run(**more):
            words = [sys.executable, "-c", code, url]
            done = subprocess.run(words, capture_output=True, text=True, env={**environment, **more}, timeout=120)
            return done.returncode, done.stdout, done.stderr

        handler.fetch = staticmethod(run)
        yield handler
        running.shutdown()


def there(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_audioset_comes_whole_over_cut_connections(hub):
    hub.cut = 12_000_000
    status, text, errors = hub.fetch()
    assert status == 0 and "about 50 GB" in text and f"audioset-balanced is in {hub.folder}" in text, errors
    wanted = {name for name in FILES if "unbal" not in name} | set(LISTS) | {"revision.txt"}
    assert there(hub.folder) == wanted and (hub.folder / "revision.txt").read_text().strip() == COMMIT
    assert all((hub.folder / name).read_bytes() == FILES[name] for name in FILES if "unbal" not in name)
    assert sorted(hub.starts) == [0, 0, 0, 0, 10 * 2**20], "the one that was cut was continued, not begun anew"
    assert there(hub.folder.parent) == {f"audioset/{name}" for name in wanted}


def test_what_does_not_have_the_announced_hash_is_loaded_again_and_the_rest_is_kept(hub):
    name = "data/eval/01.parquet"
    hub.files[name] = bytes(len(FILES[name]))
    status, _, errors = hub.fetch()
    assert status == 2 and f"{name} of agkphysics/AudioSet does not have the sha256" in errors, errors
    assert "Traceback" not in errors and not hub.folder.exists()
    hub.files[name] = FILES[name]
    status, _, errors = hub.fetch()
    assert status == 0 and (hub.folder / name).read_bytes() == FILES[name], errors
    assert dict(hub.gets) == {n: 1 + (n == name) for n in FILES if "unbal" not in n}
    assert hub.asked[0] == "main" and set(hub.asked[1:]) == {COMMIT}, "the second try asks for the first one's commit"


def test_without_network_the_way_around_it_is_told(hub):
    status, _, errors = hub.fetch(HF_ENDPOINT="http://127.0.0.1:9")
    assert status == 2 and "Traceback" not in errors
    for part in ("did not arrive", "hf download agkphysics/AudioSet --repo-type dataset", "eval_segments.csv", "copy"):
        assert part in errors
    assert not hub.folder.exists(), "half of a data set must not look like one"


def test_a_list_that_is_cut_is_refused(hub):
    hub.lists["eval_segments.csv"] = LISTS["eval_segments.csv"].replace("c, 0", "# c, 0")
    status, _, errors = hub.fetch()
    assert status == 2 and "is not eval_segments.csv" in errors and not hub.gets, errors


@pytest.mark.parametrize("name", ["class_labels_indices.csv", "eval_segments.csv"])
@pytest.mark.parametrize(
    "page",
    [
        "<!DOCTYPE html>\n\n<html>\n<body>\n\nSign in to the network\n</body>\n</html>\n",
        "\n\n\n",
        "",
        'index,mid,"' + "x" * 200_000,  # a field that the csv module refuses
    ],
    ids=["portal", "blank lines", "nothing", "one long field"],
)
def test_a_page_in_place_of_a_list_is_thrown_away(server, monkeypatch, name, page):
    """A portal's page once; when the server is healthy again, the same command must do."""
    lists = {one: f"{server.url.rpartition('/')[0]}/{one}" for one in LISTS}
    source = fetching.HubFiles("some/set", ("*.parquet",), lists, "small", "none", "lists")
    server.pages = {f"/{one}": text for one, text in {**LISTS, name: page}.items()}
    monkeypatch.setattr(fetching.HubFiles, "_get_files", lambda *_: None)  # no hub here, and no need of one
    with pytest.raises(FetchError, match=f"{name}. It was thrown away; try again"):
        fetch("lists", source, progress=False)
    assert not (cache() / "data" / "lists.part" / name).exists() and not (cache() / "data" / "lists").exists()
    server.pages[f"/{name}"] = LISTS[name]
    folder = fetch("lists", source, progress=False)
    assert {path.name: path.read_text() for path in folder.iterdir()} == LISTS


def test_a_list_of_another_encoding_is_not_whole(tmp_path):
    for name in LISTS:
        (tmp_path / name).write_bytes("Müll\n".encode("utf-16"))
        assert not whole_list(tmp_path / name)
        (tmp_path / name).write_text(LISTS[name])
        assert whole_list(tmp_path / name)


def test_lists_alone_are_not_the_data_set_and_are_not_overwritten(server):
    folder = (cache() / "data") / "audioset"
    folder.mkdir(parents=True)
    (folder / "eval_segments.csv").write_text("mine")
    with pytest.raises(FetchError, match="Move it away"):
        fetch("audioset-balanced", progress=False)
    assert (folder / "eval_segments.csv").read_text() == "mine" and server.requests == []


def test_the_real_lists_are_recognised(tmp_path):
    root = find_data("audioset")
    if root is None or not (root / "eval_segments.csv").is_file():
        pytest.skip("AudioSet's lists not found: set ASTLIB_DATA")
    for name in DOWNLOADS["audioset-balanced"].lists:
        assert whole_list(root / name)
        shutil.copy(root / name, tmp_path / name)
        lines = (root / name).read_text().splitlines(keepends=True)
        for wrong in (lines[:-1], lines + lines[-1:], ["<html>sign in</html>"], []):
            (tmp_path / name).write_text("".join(wrong))
            assert not whole_list(tmp_path / name)
