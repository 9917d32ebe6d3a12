"""Features of a folder: every window once, whatever happens in between, and never of two encoders."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from astlib import embeddings
from astlib.embeddings import Embeddings, embed, windows
from astlib.errors import Interrupted, InvalidInput, NotFound

ROOT = Path(__file__).resolve().parents[1]


class Levels:
    """An encoder that can be followed by hand: length, mean and level of a window of one second."""

    name, digest, dim, seconds = "levels", "0" * 64, 3, 1.0

    def __init__(self):
        self.heard = 0

    def embed(self, waveforms):
        self.heard += len(waveforms)
        length = torch.full((len(waveforms),), waveforms.shape[1] / 16_000)
        return torch.stack([length, waveforms.mean(1), waveforms.square().mean(1).sqrt()], dim=1)


class Others(Levels):
    name, digest = "others", "1" * 64


@pytest.fixture
def sounds(tmp_path):
    """Three files in two folders: 3.2 s, 0.4 s, and 2 s at another rate."""
    folder, random = tmp_path / "sounds", np.random.default_rng(0)
    for name, seconds, rate in (("a/long.wav", 3.2, 16_000), ("a/short.flac", 0.4, 16_000), ("b.wav", 2.0, 44_100)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, random.uniform(-0.5, 0.5, int(seconds * rate)), rate)
    return folder


def by_hand(folder, hop=0.5):
    """Every window of every file, cut from the whole file: name, begin, end, and the vector."""
    found = []
    for path in sorted(folder.rglob("*.*")):
        waveform = embeddings.audio.load(path)
        total = len(waveform) / 16_000
        begins = [i * hop for i in range(100) if i * hop + 1 < total] + [max(0.0, total - 1)]
        for begin in begins:
            piece = waveform[round(begin * 16_000) :][:16_000]
            vector = Levels().embed(piece[None])[0].numpy()
            found.append((path.relative_to(folder).as_posix(), begin, min(begin + 1, total), vector))
    return found


def assert_whole(features, folder, hop=0.5):
    found = sorted((*features.window(row), row) for row in features.rows)
    wanted = sorted(by_hand(folder, hop), key=lambda row: row[:2])
    assert [row[0] for row in found] == [row[0] for row in wanted]
    np.testing.assert_allclose([row[1:3] for row in found], [row[1:3] for row in wanted], atol=1e-3)
    rows = np.array([row[3] for row in found])
    np.testing.assert_allclose(features.vectors(rows), [row[3] for row in wanted], atol=2e-3)


@given(
    lengths=st.lists(st.integers(0, 700), min_size=1, max_size=6),
    seconds=st.sampled_from([0.005, 0.01, 0.02]),
    share=st.sampled_from([0.25, 0.5, 0.7, 1.0]),
)
@settings(max_examples=60, deadline=None)
def test_windows_do_not_depend_on_the_blocks_and_cover_everything(lengths, seconds, share):
    whole = torch.arange(float(sum(lengths)))
    cuts = list(windows(whole.split(lengths), seconds, share * seconds))
    again = list(windows([whole], seconds, share * seconds))
    assert [(cut.begin, cut.is_last, cut.waveform.tolist()) for cut in cuts] == [
        (cut.begin, cut.is_last, cut.waveform.tolist()) for cut in again
    ]
    if len(whole):
        assert [cut.is_last for cut in cuts] == [False] * (len(cuts) - 1) + [True]
        assert {x for cut in cuts for x in cut.waveform.tolist()} == set(whole.tolist())
        assert {len(cut.waveform) for cut in cuts} == {min(len(whole), round(seconds * 16_000))}
        assert all(cut.waveform[0] == cut.begin for cut in cuts)


def test_every_window_of_every_file(sounds, tmp_path):
    summary = embed(Levels(), sounds, tmp_path / "features", progress=False)
    assert (summary.files, summary.embedded, summary.unchanged, summary.windows) == (3, 3, 0, 6 + 1 + 3)
    assert summary.seconds == pytest.approx(5.6) and not summary.failed and not summary.gone
    features = Embeddings(tmp_path / "features")
    assert_whole(features, sounds)
    row = features.nearest("a/long.wav", 2.6)
    assert features.window(row)[1:] == (2.0, 3.0)
    assert features.nearest("a/long.wav", 9.0) is None and features.nearest("no.wav", 0) is None
    plain = np.load(tmp_path / "features" / "features.npy", mmap_mode="r")
    assert plain.shape == (10, 3) and np.array_equal(plain, features.features)


@pytest.mark.parametrize("block_s", [0.1, 0.7, 100.0])
def test_sounds_are_those_of_the_windows(sounds, tmp_path, monkeypatch, block_s):
    embed(Levels(), sounds, tmp_path / "features", progress=False)
    features, stream = Embeddings(tmp_path / "features"), embeddings.audio.stream
    monkeypatch.setattr(embeddings.audio, "stream", lambda path: stream(path, seconds=block_s))
    rows = features.rows[::-2]
    for row, sound in features.sounds(rows).items():
        file, begin, end = features.window(row)
        whole = embeddings.audio.load(sounds / file)
        assert torch.equal(sound, whole[round(begin * 16_000) : round(end * 16_000)])
    assert set(features.sounds(rows)) == set(rows)


def test_the_same_call_again_does_only_what_is_left(sounds, tmp_path):
    out, encoder = tmp_path / "features", Levels()
    embed(encoder, sounds, out, progress=False)
    heard = encoder.heard
    assert embed(encoder, sounds, out, progress=False).unchanged == 3
    assert encoder.heard == heard, "nothing is heard twice"
    soundfile.write(sounds / "new.wav", np.full(16_000, 0.25), 16_000)
    soundfile.write(sounds / "a" / "long.wav", np.full(24_000, 0.125), 16_000)
    (sounds / "b.wav").unlink()
    summary = embed(encoder, sounds, out, progress=False)
    assert (summary.embedded, summary.unchanged, summary.gone) == (2, 1, ["b.wav"])
    assert encoder.heard == heard + 1 + 2
    features = Embeddings(out)
    assert len(features) == 3 + 1 + 1 + 2 and len(features.features) == 10 + 3
    values = {(features.window(row).file, round(float(features.features[row, 1]), 3)) for row in features.rows}
    assert {("new.wav", 0.25), ("a/long.wav", 0.125)} <= values
    assert not any(file == "a/long.wav" and mean != 0.125 for file, mean in values), "the old rows are gone"


def test_a_file_that_cannot_be_read_is_listed_and_does_not_stop_the_others(sounds, tmp_path):
    (sounds / "c.wav").write_bytes(b"no sound")
    (sounds / "empty.ogg").write_bytes(b"")
    summary = embed(Levels(), sounds, tmp_path / "features", progress=False)
    assert sorted(summary.failed) == ["c.wav", "empty.ogg"] and summary.embedded == 3
    again = embed(Levels(), sounds, tmp_path / "features", progress=False)
    assert again.failed == summary.failed and again.unchanged == 3
    (sounds / "c.wav").unlink(), (sounds / "empty.ogg").unlink()
    assert_whole(Embeddings(tmp_path / "features"), sounds)


@pytest.mark.parametrize("cut", [1, 3, 4, 8])
def test_after_a_kill_in_the_middle_of_a_file_it_goes_on(sounds, tmp_path, cut, monkeypatch):
    """A program that dies leaves rows without lines, and half a line. Both are taken away."""
    monkeypatch.setattr(embeddings, "SECONDS_AT_RISK", 0.0)
    monkeypatch.setattr(embeddings, "WINDOWS_AT_ONCE", 2)
    out = tmp_path / "features"

    class Dying(Levels):
        def embed(self, waveforms):
            if self.heard >= cut:
                raise RuntimeError("killed")
            return super().embed(waveforms)

    with pytest.raises(RuntimeError, match="killed"):
        embed(Dying(), sounds, out, progress=False)
    with (out / "features.npy").open("ab") as file:
        file.write(b"torn" * 5)
    with (out / "files.jsonl").open("ab") as file:
        file.write(b'{"file": "b.w')
    there = len(Embeddings(out))
    assert there >= cut
    encoder = Levels()
    embed(encoder, sounds, out, progress=False)
    assert encoder.heard == 10 - there, "what was done is not done again"
    assert_whole(Embeddings(out), sounds)


def test_ctrl_c_keeps_what_is_done(sounds, tmp_path):
    class Stopping(Levels):
        def embed(self, waveforms):
            os.kill(os.getpid(), signal.SIGINT)
            return super().embed(waveforms)

    with pytest.raises(Interrupted, match="same command goes on"):
        embed(Stopping(), sounds, tmp_path / "features", progress=False)
    assert len(Embeddings(tmp_path / "features")) == 6
    embed(Levels(), sounds, tmp_path / "features", progress=False)
    assert_whole(Embeddings(tmp_path / "features"), sounds)


def test_a_process_that_is_killed_outright_loses_little(tmp_path):
    sounds, out = tmp_path / "sounds", tmp_path / "features"
    sounds.mkdir()
    for i in range(40):
        soundfile.write(sounds / f"{i:02}.wav", np.full(16_000, i / 100), 16_000)
    program = (
        "import sys, time; sys.path.insert(0, 'tests')\n"
        "from astlib import embeddings; from test_embeddings import Levels\n"
        "embeddings.SECONDS_AT_RISK = 0.05\n"
        "class Slow(Levels):\n"
        "    def embed(self, waveforms):\n"
        "        time.sleep(0.02); return super().embed(waveforms)\n"
        "embeddings.embed(Slow(), sys.argv[1], sys.argv[2], progress=False)"
    )
    process = subprocess.Popen([sys.executable, "-c", program, sounds, out], cwd=ROOT)
    until = time.monotonic() + 60
    while time.monotonic() < until and not ((out / "files.jsonl").is_file() and (out / "files.jsonl").stat().st_size):
        time.sleep(0.01)
    process.kill()
    process.wait()
    encoder = Levels()
    done = len(Embeddings(out))
    assert 0 < done < 40
    embed(encoder, sounds, out, progress=False)
    assert encoder.heard == 40 - done
    assert_whole(Embeddings(out), sounds)


def test_features_of_two_encoders_hops_or_folders_are_not_mixed(sounds, tmp_path):
    out = tmp_path / "features"
    embed(Levels(), sounds, out, progress=False)
    before = (out / "features.npy").read_bytes()
    with pytest.raises(InvalidInput, match="of levels .* of others"):
        embed(Others(), sounds, out, progress=False)
    with pytest.raises(InvalidInput, match="hop of 0.25 s"):
        embed(Levels(), sounds, out, hop=0.25, progress=False)
    (tmp_path / "elsewhere").mkdir()
    soundfile.write(tmp_path / "elsewhere" / "x.wav", np.zeros(16_000), 16_000)
    with pytest.raises(InvalidInput, match="has none of its files"):
        embed(Levels(), tmp_path / "elsewhere", out, progress=False)
    assert (out / "features.npy").read_bytes() == before


def test_a_folder_that_moved_is_found_again(sounds, tmp_path):
    embed(Levels(), sounds, tmp_path / "features", progress=False)
    moved = tmp_path / "moved"
    shutil.move(sounds, moved)
    assert embed(Levels(), moved, tmp_path / "features", progress=False).unchanged == 3
    assert Embeddings(tmp_path / "features").plan.root == str(moved)


@pytest.mark.parametrize("hop", [0.0, -1.0, 1.5])
def test_a_hop_that_makes_no_sense(sounds, tmp_path, hop):
    with pytest.raises(InvalidInput, match="hop must be above 0 and at most a window"):
        embed(Levels(), sounds, tmp_path / "features", hop=hop, progress=False)


def test_what_is_missing_or_damaged_is_named(sounds, tmp_path):
    with pytest.raises(NotFound, match="neither a folder nor a file"):
        embed(Levels(), tmp_path / "nowhere", tmp_path / "features", progress=False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match="holds no sound file"):
        embed(Levels(), tmp_path / "empty", tmp_path / "features", progress=False)
    with pytest.raises(NotFound, match="astlib embed SOUNDS"):
        Embeddings(tmp_path / "features")
    out = tmp_path / "features"
    embed(Levels(), sounds, out, progress=False)
    whole = {name: (out / name).read_bytes() for name in ("features.npy", "files.jsonl", "encoder.json")}
    for name, content in (
        ("features.npy", whole["features.npy"][:140]),
        ("files.jsonl", b"[]\n"),
        ("encoder.json", b"{"),
    ):
        (out / name).write_bytes(content)
        with pytest.raises(InvalidInput, match=f"{name} is damaged"):
            Embeddings(out)
        (out / name).write_bytes(whole[name])
    assert json.loads(whole["encoder.json"])["dim"] == 3
