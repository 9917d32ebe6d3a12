"""Files and folders are complete or absent: after errors, on a full disk, after a kill, new ones and old ones."""

import os
import signal
import subprocess
import sys

import pytest

from astlib import files
from astlib.files import remove_folder, whole_folder, write_json, write_whole


def content(folder):
    """Every file below a folder with its text."""
    return {p.relative_to(folder).as_posix(): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


def disk_is_full(*_):
    raise OSError(28, "No space left on device")


@pytest.fixture
def renames(monkeypatch):
    """Which names were given by renaming, in order."""
    real, seen = os.replace, []

    def watched(source, target):
        seen.append(os.fspath(target))
        real(source, target)

    monkeypatch.setattr(files.os, "replace", watched)
    return seen


# --- one file


def test_a_file_gets_its_name_once_it_is_complete(tmp_path, renames, monkeypatch):
    synced = []
    monkeypatch.setattr(files, "sync", lambda path: synced.append(path.read_bytes()))
    path = write_whole(tmp_path / "new" / "a.bin", b"12")
    assert path.read_bytes() == b"12" and renames == [str(path)] and synced == [b"12"]
    assert write_json(path, {"a": [1, None]}).read_text() == '{\n  "a": [\n    1,\n    null\n  ]\n}\n'
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("step", ["write", "sync", "rename"])
@pytest.mark.parametrize("exists", [True, False])
def test_a_file_that_cannot_be_written_is_absent_or_the_earlier_one(tmp_path, monkeypatch, step, exists):
    path = tmp_path / "a.txt"
    if exists:
        path.write_text("earlier")
    what, name = {"write": (type(path), "write_bytes"), "sync": (files, "sync"), "rename": (files.os, "replace")}[step]
    monkeypatch.setattr(what, name, disk_is_full)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"new")
    assert content(tmp_path) == ({"a.txt": "earlier"} if exists else {})


# --- a folder


def test_a_new_folder_appears_in_one_step(tmp_path, renames):
    out = tmp_path / "above" / "out"
    with whole_folder(out) as unfinished:
        (unfinished / "a.txt").write_text("1")
        (unfinished / "sub").mkdir()
        (unfinished / "sub" / "b.txt").write_text("2")
        assert not out.exists()
    assert renames == [str(out)] and content(out) == {"a.txt": "1", "sub/b.txt": "2"}
    assert list(out.parent.iterdir()) == [out]


def test_a_folder_that_exists_is_updated_file_by_file(tmp_path, renames):
    out = tmp_path / "out"
    (out / "sub").mkdir(parents=True)
    for name in ("a.txt", "other.txt", "sub/b.txt", "sub/other.txt"):
        (out / name).write_text("old")
    with whole_folder(out) as unfinished:
        (unfinished / "sub").mkdir()
        for name in ("a.txt", "sub/b.txt", "sub/c.txt"):
            (unfinished / name).write_text("new")
        assert set(content(out).values()) == {"old", "new"}  # the new ones below the temporary folder only
        assert (out / "a.txt").read_text() == (out / "sub" / "b.txt").read_text() == "old"
    assert sorted(renames) == [str(out / name) for name in ("a.txt", "sub/b.txt", "sub/c.txt")]
    assert content(out) == {
        "a.txt": "new", "other.txt": "old", "sub/b.txt": "new", "sub/c.txt": "new", "sub/other.txt": "old"
    }  # fmt: skip


def test_every_file_reaches_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    done = []
    real_sync, real_replace = files.sync, os.replace
    monkeypatch.setattr(files, "sync", lambda path: (done.append(("sync", path.name)), real_sync(path)))
    monkeypatch.setattr(files.os, "replace", lambda a, b: (done.append(("rename", b.name)), real_replace(a, b)))
    with whole_folder(tmp_path / "out") as unfinished:
        (unfinished / "a").write_text("1")
    assert done == [("sync", "a"), ("sync", ".out.tmp"), ("rename", "out"), ("sync", tmp_path.name)]
    done.clear()
    with whole_folder(tmp_path / "out") as unfinished:
        (unfinished / "a").write_text("2")
    assert done == [("sync", "a"), ("sync", ".unfinished.tmp"), ("rename", "a"), ("sync", "out")]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError("no")])
@pytest.mark.parametrize("exists", [True, False])
def test_after_an_error_everything_is_as_it_was(tmp_path, exists, error):
    out = tmp_path / "out"
    if exists:
        out.mkdir()
        (out / "a.txt").write_text("old")
    before = content(tmp_path)
    with pytest.raises(type(error)), whole_folder(out) as unfinished:
        (unfinished / "a.txt").write_text("half of the n")
        raise error
    assert content(tmp_path) == before
    assert [path.name for path in tmp_path.rglob("*") if "tmp" in path.name] == []


def test_a_disk_that_fails_at_the_end_counts_as_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "sync", disk_is_full)
    with pytest.raises(OSError, match="No space"), whole_folder(tmp_path / "out") as unfinished:
        (unfinished / "a.txt").write_text("1")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("exists", [True, False])
def test_what_a_killed_process_left_does_not_come_back(tmp_path, exists):
    out = tmp_path / "out"
    if exists:
        out.mkdir()
        (out / "a.txt").write_text("old")
    killed = (
        "import sys, time\nfrom astlib.files import whole_folder\n"
        "with whole_folder(sys.argv[1]) as unfinished:\n"
        "    (unfinished / 'half.txt').write_text('half')\n"
        "    print('there', flush=True)\n    time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", killed, str(out)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "there\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    left = list(tmp_path.rglob("half.txt"))
    assert len(left) == 1 and ".tmp" in left[0].parent.name, "a kill leaves the temporary folder"
    assert (content(out).get("a.txt") == "old") if exists else not out.exists()
    with whole_folder(out) as unfinished:
        assert list(unfinished.iterdir()) == []
        (unfinished / "a.txt").write_text("new")
    assert content(tmp_path) == {"out/a.txt": "new"}


def test_a_name_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError), whole_folder(tmp_path / "file" / "out"):
        pass
    assert content(tmp_path) == {"file": ""}


def test_a_folder_that_goes_loses_its_name_first(tmp_path, monkeypatch):
    doomed = tmp_path / "checkpoint-001"
    doomed.mkdir()
    (doomed / "state.json").write_text("{}")
    (tmp_path / ".checkpoint-001.tmp").mkdir()  # left by a process that was killed while removing
    real, seen = files.shutil.rmtree, []

    def watched(path, **options):
        seen.append((path.name, doomed.exists()))
        real(path, **options)

    monkeypatch.setattr(files.shutil, "rmtree", watched)
    remove_folder(doomed)
    assert seen[-1] == (".checkpoint-001.tmp", False) and list(tmp_path.iterdir()) == []
