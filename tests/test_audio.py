"""audio.load: the right samples from whole files, and an AudioError that helps from all others."""

import math
import os
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from astlib.audio import SUFFIXES, decode, load, resample, seconds
from astlib.errors import AudioError

KINDS = {
    "wav": {},
    "wav 24 bit": {"subtype": "PCM_24"},
    "wav float": {"subtype": "FLOAT"},
    "wav RF64": {"format": "RF64"},
    "wav big-endian": {"endian": "BIG"},
    "flac": {},
    "ogg": {},
    "ogg opus": {"format": "OGG", "subtype": "OPUS"},
    "mp3": {},
    "mp3 constant": {"bitrate_mode": "CONSTANT"},
}


def sound(samples=24_000, channels=1, seed=0):
    """A tone in noise, loud in its second half, so that encoders change their bit rate."""
    rng = np.random.default_rng(seed)
    time = np.arange(samples)[:, None] / 16_000
    hiss = 0.1 * rng.standard_normal((samples, channels)) * (time > samples / 32_000)
    return (0.4 * np.sin(2 * np.pi * 440 * time) + hiss).astype(np.float32)


def write(folder, kind, samples, rate=16_000):
    path = folder / f"clip.{kind.split()[0]}"
    soundfile.write(path, samples, rate, **KINDS[kind])
    return path


@pytest.fixture(scope="module")
def encoded(tmp_path_factory):
    """Every kind of file as bytes."""
    folder = tmp_path_factory.mktemp("encoded")
    return {kind: write(folder, kind, sound()).read_bytes() for kind in KINDS}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("scratch")


def load_bytes(folder, content, name="clip.bin"):
    path = folder / name
    path.write_bytes(content)
    return load(path)


# --- whole files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "channels"),
    [(kind, channels) for kind in KINDS for channels in (1, 2, 3) if channels < 3 or "mp3" not in kind],
)
def test_reads_every_format(tmp_path, kind, channels):
    samples = sound(channels=channels)
    waveform = load(write(tmp_path, kind, samples))
    assert waveform.dtype == torch.float32 and waveform.shape == (len(samples),)
    lossy = kind.startswith(("ogg", "mp3"))
    error = (waveform - torch.from_numpy(samples.mean(1))).abs()
    assert error.mean() < (0.05 if lossy else 1e-4)


def test_stereo_is_the_mean_of_its_channels(tmp_path):
    left, right = sound(seed=1), sound(seed=2)
    waveform = load(write(tmp_path, "wav float", np.hstack([left, right])))
    assert torch.allclose(waveform, torch.from_numpy((left + right)[:, 0] / 2), atol=1e-6)
    only_right = load(write(tmp_path, "wav float", np.hstack([0 * left, right])))
    assert only_right.abs().max() > 0.2


@pytest.mark.parametrize("name", ["clip", "clip.raw", "clip.txt", "Klang mit Lücke ♪.wav"])
def test_the_content_counts_not_the_name(tmp_path, encoded, name):
    assert len(load_bytes(tmp_path, encoded["flac"], name)) == 24_000


def test_overshoot_is_clamped(tmp_path):
    waveform = load(write(tmp_path, "wav float", 3 * sound()))
    assert waveform.min() == -1 and waveform.max() == 1


def test_path_may_be_a_string(tmp_path):
    assert len(load(str(write(tmp_path, "wav", sound())))) == 24_000


# --- sample rate ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 32_000, 44_100, 48_000, 96_000])
def test_any_rate_becomes_16_khz(tmp_path, rate):
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(rate) / rate)
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone, rate, subtype="FLOAT")
    waveform = load(path)
    assert len(waveform) == 16_000
    expected = 0.5 * torch.sin(2 * math.pi * 1000 * torch.arange(16_000, dtype=torch.float64) / 16_000)
    assert (waveform - expected)[1000:-1000].abs().max() < 1e-4


def test_what_16_khz_cannot_hold_is_removed():
    tone = torch.sin(2 * math.pi * 10_000 * torch.arange(44_100, dtype=torch.float64) / 44_100)
    assert resample(tone, 44_100, 16_000)[500:-500].abs().max() < 1e-4


def test_resample_works_on_the_last_axis():
    waveforms = torch.from_numpy(sound(channels=6).T.copy()).reshape(2, 3, -1)
    together = resample(waveforms, 16_000, 8_000)
    assert together.shape == (2, 3, 12_000)
    assert torch.equal(together[1, 2], resample(waveforms[1, 2], 16_000, 8_000))


def test_equal_rates_change_nothing_and_need_no_soxr(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "soxr", None)
    assert len(load(write(tmp_path, "wav", sound()))) == 24_000
    with pytest.raises(AudioError, match=r"clip\.wav.*44100 Hz.*pip install soxr"):
        load(write(tmp_path, "wav", sound(), rate=44_100))


def test_a_rate_must_be_positive():
    with pytest.raises(ValueError, match="positive"):
        resample(torch.zeros(10), 16_000, 0)


# --- files that are cut short --------------------------------------------------------------------------


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(sorted(KINDS)), where=st.floats(0, 1, exclude_max=True))
def test_no_beginning_of_a_file_passes_for_the_file(encoded, scratch, kind, where):
    whole = encoded[kind]
    with pytest.raises(AudioError, match=r"clip\.bin"):
        load_bytes(scratch, whole[: int(where * len(whole))])


@pytest.mark.parametrize("kind", KINDS)
def test_nor_does_one_that_lacks_a_few_bytes(encoded, scratch, kind):
    whole = encoded[kind]
    for missing in range(1, 25):
        with pytest.raises(AudioError, match="truncated or damaged"):
            load_bytes(scratch, whole[:-missing])


@pytest.mark.parametrize("size", [0, 0xFFFF_FFFF, 0x7FFF_F000])
def test_a_wav_written_to_a_pipe_does_not_know_its_length(encoded, tmp_path, size):
    streamed = bytearray(encoded["wav"])
    struct.pack_into("<I", streamed, 4, size)
    struct.pack_into("<I", streamed, streamed.index(b"data") + 4, size)
    assert torch.equal(load_bytes(tmp_path, streamed), load_bytes(tmp_path, encoded["wav"]))


def test_chunks_behind_the_sound_are_no_sound(encoded, tmp_path):
    tagged = bytearray(encoded["wav"] + b"LIST" + struct.pack("<I", 4) + b"INFO")
    struct.pack_into("<I", tagged, 4, len(tagged) - 8)
    assert len(load_bytes(tmp_path, tagged)) == 24_000


def without_length(flac: bytes) -> bytes:
    """What an encoder that writes to a pipe leaves: 0 in the 36 bits for the number of samples."""
    streamed = bytearray(flac)
    streamed[21] &= 0xF0
    streamed[22:26] = bytes(4)
    return bytes(streamed)


def test_a_flac_written_to_a_pipe_does_not_know_its_length(encoded, tmp_path):
    streamed = without_length(encoded["flac"])
    assert torch.equal(load_bytes(tmp_path, streamed), load_bytes(tmp_path, encoded["flac"]))
    with pytest.raises(AudioError, match="truncated"):
        load_bytes(tmp_path, streamed[:-100])


def test_an_ogg_stream_needs_its_end(encoded, tmp_path):
    whole = encoded["ogg"]
    without_last_page = whole[: whole.rindex(b"OggS")]
    with pytest.raises(AudioError, match="no end"):
        load_bytes(tmp_path, without_last_page)


def without_header(mp3: bytes) -> bytes:
    """Drop the first frame, which holds the Xing or Info header."""
    return mp3[mp3.index(mp3[:2], 4) :]


@pytest.mark.parametrize("kind", ["mp3", "mp3 constant"])
def test_an_mp3_without_a_header_loses_nothing(encoded, tmp_path, kind):
    headless = without_header(encoded[kind])
    assert b"Xing" not in headless and b"Info" not in headless
    waveform = load_bytes(tmp_path, headless)
    assert 24_000 <= len(waveform) < 26_000  # with the encoder's delay and padding
    assert waveform[-6000:].abs().mean() > 0.1
    with pytest.raises(AudioError, match="breaks off"):
        load_bytes(tmp_path, headless[:-7])


@pytest.mark.parametrize("tag", [b"TAG" + bytes(125), b"APETAGEX" + bytes(24), bytes(64)])
def test_tags_around_an_mp3_do_not_matter(encoded, tmp_path, tag):
    id3 = b"ID3\x03\x00\x00" + bytes([0, 0, 1, 0]) + bytes(128)
    plain = load_bytes(tmp_path, encoded["mp3"])
    assert torch.equal(load_bytes(tmp_path, id3 + encoded["mp3"] + tag), plain)


def test_real_clips_cut_anywhere(esc50_root, tmp_path):
    rng = np.random.default_rng(0)
    for path in sorted((esc50_root / "audio").iterdir())[::200]:
        content = path.read_bytes()
        assert len(load(path)) > 0
        for cut in rng.integers(0, len(content), 8):
            with pytest.raises(AudioError):
                load_bytes(tmp_path, content[:cut], path.name)


# --- other faults --------------------------------------------------------------------------------------


def fault(kind, folder):
    path = folder / f"{kind}.wav"
    if kind == "folder":
        path.mkdir()
    elif kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("this is not a sound\n" * 100)
    elif kind == "headerless":
        path.write_bytes(np.random.default_rng(0).bytes(5000))
    elif kind == "no samples":
        soundfile.write(path, np.zeros(0), 16_000)
    elif kind == "no samples after resampling":
        soundfile.write(path, np.zeros(1), 96_000)
    elif kind in ("nan", "inf"):
        soundfile.write(path, np.r_[np.zeros(9), float(kind)], 16_000, subtype="FLOAT")
    elif kind == "integers":
        soundfile.write(path, 20_000 * sound(), 16_000, subtype="FLOAT")
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "no such file"),
        ("folder", "is a folder"),
        ("empty", "0 bytes"),
        ("text", "not a sound file"),
        ("headerless", "not a sound file"),
        ("no samples", "no samples"),
        ("no samples after resampling", "no samples"),
        ("nan", "NaN"),
        ("inf", "infinite"),
        ("integers", "divide them by their full scale"),
    ],
)
def test_an_error_names_the_file_and_what_to_do(tmp_path, kind, message):
    path = fault(kind, tmp_path)
    with pytest.raises(AudioError, match=message) as caught:
        load(path)
    kinds = {"missing": "missing", "empty": "empty", "no samples": "empty", "no samples after resampling": "empty"}
    assert caught.value.kind == kinds.get(kind, "unreadable")
    text = str(caught.value)
    assert text.startswith(str(path)) and ". " in text  # what is wrong, then what to do
    assert caught.value.__suppress_context__  # no decoder's traceback behind it


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(5, "Bad disk")])
def test_what_the_system_refuses(tmp_path, monkeypatch, error):
    path = write(tmp_path, "wav", sound())

    def refuse(self):
        raise error

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(AudioError, match=r"clip\.wav: (may not be read|cannot be read \(Bad disk\))"):
        load(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read every file")
def test_a_file_without_permission(tmp_path):
    path = write(tmp_path, "wav", sound())
    path.chmod(0)
    with pytest.raises(AudioError, match="may not be read"):
        load(path)


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(sorted(KINDS)),
    place=st.floats(0, 0.2),
    junk=st.binary(min_size=1, max_size=40),
)
def test_damaged_files_give_a_sound_or_an_audio_error(encoded, scratch, kind, place, junk):
    content = bytearray(encoded[kind])
    at = int(place * len(content))
    content[at : at + len(junk)] = junk
    try:
        waveform = load_bytes(scratch, content)
    except AudioError:
        return
    assert waveform.ndim == 1 and len(waveform) and waveform.abs().max() <= 1


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    magic=st.sampled_from([b"", b"RIFF", b"RIFF0000WAVEdata", b"fLaC", b"OggS", b"ID3", b"\xff\xfb\x90\x64"]),
    content=st.binary(max_size=300),
)
def test_junk_gives_a_sound_or_an_audio_error(scratch, magic, content):
    try:
        waveform = load_bytes(scratch, magic + content)
    except AudioError:
        return
    assert waveform.ndim == 1 and len(waveform) and waveform.abs().max() <= 1


# --- bytes, and headers --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_give_what_the_file_gives(encoded, tmp_path, kind):
    assert torch.equal(decode(encoded[kind], "cell 3"), load_bytes(tmp_path, encoded[kind]))
    assert len(decode(encoded[kind], "cell 3", rate=8_000)) == pytest.approx(12_000, abs=600)
    with pytest.raises(AudioError, match="^cell 3: is truncated or damaged"):
        decode(encoded[kind][:-9], "cell 3")
    with pytest.raises(AudioError, match="^cell 3: is empty") as caught:
        decode(b"", "cell 3")
    assert caught.value.kind == "empty"


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
@pytest.mark.parametrize("kind", KINDS)
def test_length_without_decoding(tmp_path, kind, rate):
    path = write(tmp_path, kind, sound(), rate if "opus" not in kind else 48_000)
    exact = len(sound()) / (rate if "opus" not in kind else 48_000)
    for file in (path, str(path), path.read_bytes()):
        assert seconds(file) == pytest.approx(exact, abs=1e-4 if kind[:3] != "mp3" else 0.1)


def test_lengths_that_no_header_tells(encoded, tmp_path, monkeypatch):
    streamed = without_length(encoded["flac"])
    assert seconds(streamed) == 1.5 and seconds(without_header(encoded["mp3"])) == pytest.approx(1.5, abs=0.11)
    for content, kind in ((b"", "empty"), (b"no sound" * 99, "unreadable")):
        with pytest.raises(AudioError, match="^cell: ") as caught:
            seconds(content, "cell")
        assert caught.value.kind == kind
    with pytest.raises(AudioError, match="no such file") as caught:
        seconds(tmp_path / "nowhere.wav")
    assert caught.value.kind == "missing"
    monkeypatch.setattr("astlib.audio._waveform", lambda *_: pytest.fail("decoded"))
    assert seconds(encoded["flac"]) == 1.5  # its header does


def test_the_suffixes_are_those_of_formats_that_libsndfile_knows():
    aliases = {"wave": "WAV", "oga": "OGG", "opus": "OGG", "aif": "AIFF", "aifc": "AIFF", "snd": "AU", "sph": "NIST"}
    known = soundfile.available_formats()
    assert all(aliases.get(suffix[1:], suffix[1:].upper()) in known for suffix in SUFFIXES)
