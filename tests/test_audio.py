"""audio.load: the right samples from whole files, and an AudioError that helps from all others."""

import io
import math
import os
import struct
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from astlib.audio import SUFFIXES, decode, load, resample, seconds, stream
from astlib.errors import AudioError, AudioWarning, InvalidInput

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

    def refuse(self, mode):
        raise error

    monkeypatch.setattr(Path, "open", refuse)
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


# --- formats that libsndfile does not know, and mp3s with something in front ------------------------------------------


@pytest.mark.parametrize(
    "front", [b"\0", b"junk before the first frame" * 40, bytes(3000), b"ID3\x03\x00\x00\x00\x00\x00\x0a" + bytes(500)]
)
@pytest.mark.parametrize("kind", ["mp3", "mp3 constant"])
def test_an_mp3_with_something_in_front_plays(encoded, tmp_path, kind, front):
    """What stands in front is what recorders and downloads leave there; other players look for the first frame too."""
    plain = load_bytes(tmp_path, encoded[kind])
    assert torch.equal(load_bytes(tmp_path, front + encoded[kind]), plain)
    assert torch.equal(decode(front + encoded[kind], "cell"), plain)
    with pytest.raises(AudioError, match="truncated"):
        load_bytes(tmp_path, (front + encoded[kind])[:-9])


def test_an_mp3_that_begins_inside_a_frame(encoded, tmp_path):
    headless = without_header(encoded["mp3 constant"])
    waveform = load_bytes(tmp_path, headless[150:])
    assert 21_000 < len(waveform) < 26_000 and waveform[-6000:].abs().mean() > 0.1


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\0\0\0\x20ftypM4A \0\0\0\0M4A mp42isom", r"is MPEG-4 audio \(\.m4a\)"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", r"is MPEG-4 \(\.mp4, \.m4a\)"),
        (b"\0\0\0\x18ftyp3gp4\0\0\0\0", "is a 3GPP recording"),
        (b"\xff\xf1\x50\x80\x02\x1f\xfc\xde\x02", "is AAC"),
        (b"#!AMR\n\x3c\x91", "is a telephone recording"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\0\xaa", "is Windows Media"),
        (b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01", "is WebM or Matroska"),
        (b"RIFF\x10\0\0\0AVI LIST", "is a film"),
        (b"OggS\0\x02" + bytes(20) + b"\x01\x50Speex   1.2", "is Speex"),
    ],
)
def test_other_formats_are_named_with_the_command_that_converts_them(tmp_path, content, expected):
    path = tmp_path / "my phone.wav"
    path.write_bytes(content + bytes(2000))
    with pytest.raises(AudioError, match=expected + ".* which libsndfile cannot read") as caught:
        load(path)
    assert str(caught.value).endswith(f"ffmpeg -i '{path}' '{tmp_path / 'my phone.flac'}'")


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        (b"<!DOCTYPE html><html>log in</html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (b"PK\x03\x04zipped", "Unpack"),
        (b"MThd\0\0\0\x06", "MIDI"),
    ],
)
def test_what_is_no_sound_at_all_is_named(tmp_path, content, advice):
    with pytest.raises(AudioError, match=advice):
        load_bytes(tmp_path, content, "clip.wav")


def test_a_wav_with_another_codec_says_how_to_convert_it(tmp_path):
    """Format 0x0161, Windows Media in a wav."""
    form = struct.pack("<HHIIHH", 0x0161, 1, 16_000, 4000, 1, 16)
    chunks = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", 800) + bytes(800)
    with pytest.raises(AudioError, match="ffmpeg -i .*clip.wav"):
        load_bytes(tmp_path, b"RIFF" + struct.pack("<I", len(chunks)) + chunks, "clip.wav")


# --- channels that cancel each other ----------------------------------------------------------------------------------


def test_an_inverted_channel_is_reported(tmp_path):
    left, right = sound(seed=1), sound(seed=2)
    for name, samples in {"inverted": np.hstack([left, -left]), "nearly": np.hstack([left, -0.9 * left])}.items():
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, samples, 16_000, subtype="FLOAT")
        with pytest.warns(AudioWarning, match=rf"{name}\.wav: the channels cancel each other.*ffmpeg"):
            load(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for samples in (np.hstack([left, right]), np.hstack([left, 0 * left]), left, np.zeros((900, 2))):
            load(write(tmp_path, "wav float", samples))


# --- block by block ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [16_000, 44_100])
@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_gives_what_load_gives(tmp_path, kind, rate):
    """Bit for bit: `load` joins the same blocks."""
    path = write(tmp_path, kind, sound(100_000, channels=2), rate if "opus" not in kind else 48_000)
    waveform = load(path)
    for length in (1.0, 0.123, 600.0):
        blocks = list(stream(path, seconds=length))
        assert {len(block) for block in blocks[:-1]} <= {round(length * 16_000)} and len(blocks[-1]) > 0
        assert torch.equal(torch.cat(blocks), waveform)
    with path.open("rb") as file:
        assert torch.equal(torch.cat(list(stream(file))), waveform)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_resampling_in_blocks_is_resampling_the_whole(tmp_path, rate):
    """Bit for bit, whatever a block is: the filter remembers what came before."""
    samples = sound(5 * rate + 17)
    path = tmp_path / "a.wav"
    soundfile.write(path, samples, rate, subtype="FLOAT")
    assert torch.equal(load(path), resample(torch.from_numpy(samples[:, 0]), rate, 16_000).clamp(-1, 1))


def test_what_a_stream_finds_late_is_an_error_all_the_same(encoded, tmp_path):
    samples = sound(400_000)
    samples[390_000] = np.nan
    path = write(tmp_path, "wav float", samples)
    blocks = stream(path, seconds=5)
    assert len(next(blocks)) == 80_000
    with pytest.raises(AudioError, match=r"clip\.wav: has NaN"):
        list(blocks)
    with pytest.raises(AudioError, match="^pipe: is truncated"):
        list(stream(io.BytesIO(encoded["wav"][:-9]), name="pipe"))
    with pytest.raises(InvalidInput, match="at least one sample; found 0 s"):
        next(stream(path, seconds=0))


def most_memory():
    """The most memory that this process has held at once, in MB."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1000


@pytest.fixture
def memory():
    """A function that tells by how many MB the memory of this process has grown at most since the last call."""
    reset, before = Path("/proc/self/clear_refs"), 0.0

    def grown():
        nonlocal before
        most, start = most_memory(), before
        reset.write_text("5")
        before = most_memory()
        return most - start

    try:
        grown()
    except OSError:
        pytest.skip("the memory of this process cannot be measured here")
    return grown


def test_a_long_recording_is_never_in_memory(tmp_path, memory):
    """Half an hour, 60 MB that the disk does not hold. `load` has to hold the sound, a stream does not."""
    path = tmp_path / "night.wav"
    soundfile.write(path, np.zeros(16_000, dtype=np.int16), 16_000)
    size, header = 60_000_000, path.stat().st_size - 32_000
    with path.open("r+b") as file:
        for position, value in ((4, size + header - 8), (header - 4, size)):
            file.seek(position)
            file.write(struct.pack("<I", value))
        file.truncate(header + size)
    memory()
    count = sum(len(block) for block in stream(path))
    assert memory() < 40 and count == size // 2
    assert len(load(path)) == count
    assert 4 * count / 1e6 < memory() < 12 * count / 1e6, "at most three times the result"


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
    monkeypatch.setattr("astlib.audio._blocks", lambda *_: pytest.fail("decoded"))
    assert seconds(encoded["flac"]) == 1.5  # its header does


def test_the_suffixes_are_those_of_formats_that_libsndfile_knows():
    aliases = {"wave": "WAV", "oga": "OGG", "opus": "OGG", "aif": "AIFF", "aifc": "AIFF", "snd": "AU", "sph": "NIST"}
    known = soundfile.available_formats()
    assert all(aliases.get(suffix[1:], suffix[1:].upper()) in known for suffix in SUFFIXES)
