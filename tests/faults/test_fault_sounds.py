"""Sound files whose header lies, that are no files, or whose format cannot be checked."""

import errno
import io
import os
import struct

import numpy as np
import pytest
import soundfile
import torch

from astlib import audio, containers
from astlib.errors import AudioError

SECOND = (0.3 * np.random.default_rng(0).standard_normal(16_000)).astype(np.float32)
WHOLE = {  # container -> how soundfile writes it
    "aiff": {"format": "AIFF"},
    "aiff 24": {"format": "AIFF", "subtype": "PCM_24"},
    "aifc": {"format": "AIFF", "subtype": "FLOAT"},
    "au": {"format": "AU"},
    "au little": {"format": "AU", "endian": "LITTLE"},
    "w64": {"format": "W64"},
    "caf": {"format": "CAF"},
    "caf alac": {"format": "CAF", "subtype": "ALAC_16"},
    "voc": {"format": "VOC"},
    "nist": {"format": "NIST"},
}


def encode(rate=16_000, samples=SECOND, **how):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, **how)
    return file.getvalue()


def refused(content, message):
    with pytest.raises(AudioError, match=message) as error:
        audio.decode(content, "clip")
    assert str(error.value).startswith("clip: ") and "\n" not in str(error.value)


# --- half files


@pytest.mark.parametrize("kind", WHOLE)
def test_half_a_file_is_no_file(kind):
    """At every tenth, and without the last bytes."""
    whole = encode(**WHOLE[kind])
    assert len(audio.decode(whole, "clip")) == 16_000
    for tenth in range(10):
        refused(whole[: tenth * len(whole) // 10], "clip")
    for missing in range(2 if kind == "voc" else 1, 20):  # the last byte of a voc is the mark of its end
        refused(whole[:-missing], "truncated|not a sound file")


def test_what_was_written_to_a_pipe_does_not_know_its_length():
    au = bytearray(encode(format="AU"))
    struct.pack_into(">I", au, 8, 0xFFFF_FFFF)
    assert len(audio.decode(bytes(au), "clip")) == 16_000


@pytest.mark.parametrize("front", [b"FORM\0\0\0\0AIFF", b"caff\0\1\0\0", b"riff" + bytes(36), b"RIFF\0\0\0\0WAVE"])
def test_a_container_of_a_million_empty_chunks_ends_soon(front, monkeypatch):
    looks = 0

    def at(file, position, count, real=containers.at):
        nonlocal looks
        looks += 1
        return real(file, position, count)

    monkeypatch.setattr(containers, "at", at)
    refused(front + (b"none" + struct.pack("<Q", 24)[:4] * 5) * 100_000, "clip")
    assert looks < 3 * containers.MOST_CHUNKS


@pytest.mark.parametrize("kind", ["aiff", "caf", "w64"])
def test_a_chunk_of_exabytes(kind):
    whole = bytearray(encode(**WHOLE[kind]))
    at = whole.index({"aiff": b"COMM", "caf": b"desc", "w64": b"fmt "}[kind]) + (16 if kind == "w64" else 4)
    whole[at : at + 4] = b"\x7f\xff\xff\xff"
    refused(bytes(whole), "clip")


# --- rates


@pytest.mark.parametrize("rate", [1, 2, 8, 100, 999, 2**31 - 1])
@pytest.mark.parametrize("kind", ["WAV", "FLAC", "AIFF", "AU"])
def test_a_header_that_lies_about_the_rate(kind, rate):
    """Resampling 8 Hz to 16 kHz would make 2,000 samples of each one."""
    rate = 500 if kind == "FLAC" and rate > 999 else rate  # a flac has no room for gigahertz
    refused(
        encode(rate, SECOND[:1600], format=kind), r"has a sample rate of [\d,]+ Hz, 1,000 to 10,000,000 are possible"
    )


@pytest.mark.parametrize("rate", [1_000, 4_000, 192_000, 500_000, 10_000_000])
def test_rates_of_seismometers_and_of_bats(rate):
    wave = audio.decode(encode(rate, np.tile(SECOND, 10), format="WAV"), "clip")
    assert len(wave) == pytest.approx(160_000 * 16_000 / rate, abs=2)


# --- channels


@pytest.mark.parametrize("channels", [1, 2, 6, 8, 16, 64])
def test_any_number_of_channels_is_averaged(channels):
    samples = np.tile(SECOND[:, None], (1, channels)) * np.linspace(0.5, 1, channels)
    wave = audio.decode(encode(samples=samples, format="WAV", subtype="FLOAT"), "clip")
    assert torch.allclose(wave, torch.from_numpy(samples.mean(1)).float(), atol=1e-5)


def test_many_channels_are_decoded_in_smaller_blocks():
    """64 channels take no more memory at once than 8."""
    with soundfile.SoundFile(io.BytesIO(encode(samples=np.zeros((20_000, 64)), format="WAV"))) as sound:
        blocks = [block.shape for block, _ in audio._decoded(sound, sound.frames)]
    assert {rows * columns for rows, columns in blocks[:-1]} == {8 * audio.BLOCK_SAMPLES}


# --- formats


@pytest.mark.parametrize("name", ["XI", "WVE", "AVR", "PVF", "IRCAM", "MAT4", "MAT5", "PAF", "SDS", "MPC2K", "SVX"])
def test_a_format_that_does_not_say_how_long_it_is(name):
    subtype = {"XI": "DPCM_16", "WVE": "ALAW"}.get(name)
    refused(encode(format=name, subtype=subtype), "does not say how long it should be. Convert it: ffmpeg -i clip")


@pytest.mark.parametrize("codec", ["MS_ADPCM", "G721_32", "GSM610", "NMS_ADPCM_16"])
def test_a_codec_that_fills_up_its_last_block(codec):
    """MS ADPCM decodes to 192 samples more than were written; the chunk `fact` tells."""
    assert len(audio.decode(encode(format="WAV", subtype=codec), "clip")) == 16_000


@pytest.mark.parametrize("how", [("W64", "MS_ADPCM"), ("W64", "IMA_ADPCM"), ("AU", "G721_32")], ids="-".join)
def test_a_codec_in_blocks_without_a_number_of_samples(how):
    """It is read whole: the last block, filled up with almost nothing, cannot be told from the sound."""
    wave = audio.decode(encode(format=how[0], subtype=how[1]), "clip")
    assert 16_000 <= len(wave) < 17_100 and wave[16_000:].abs().sum() < 0.01 * wave.abs().sum()


@pytest.mark.parametrize("announced", [0, 16_400, 1 << 31])
def test_a_number_of_samples_that_does_not_fit_the_blocks(announced):
    """Recorders of the nineties wrote such files, and players play them: it is read whole."""
    content = bytearray(encode(format="WAV", subtype="MS_ADPCM"))
    place = content.index(b"fact") + 8
    whole = len(soundfile.read(io.BytesIO(content))[0])
    content[place : place + 4] = announced.to_bytes(4, "little")
    assert len(audio.decode(bytes(content), "clip")) == whole


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"])
def test_every_kind_of_sample_gives_the_same_sound(subtype):
    wave = audio.decode(encode(format="WAV", subtype=subtype), "clip")
    assert (wave - torch.from_numpy(SECOND).clamp(-1, 1)).abs().mean() < 0.02


# --- what is no file


def test_pipes_and_devices_are_refused_without_reading(tmp_path):
    pipe = tmp_path / "pipe.wav"
    os.mkfifo(pipe)
    for path in (pipe, "/dev/zero", "/dev/urandom", "/dev/null"):
        with pytest.raises(AudioError, match=r"is a device or a pipe, not a file\. Save the sound"):
            audio.load(path)
        assert audio.header_seconds(path) == (0.0, False)


def test_links(tmp_path):
    (tmp_path / "real.wav").write_bytes(encode(format="WAV"))
    for name, target in {"good": "real.wav", "broken": "nothing.wav", "circle": "circle.wav"}.items():
        (tmp_path / f"{name}.wav").symlink_to(target)
    assert len(audio.load(tmp_path / "good.wav")) == 16_000
    with pytest.raises(AudioError, match="there is no such file"):
        audio.load(tmp_path / "broken.wav")
    with pytest.raises(AudioError, match="cannot be read"):
        audio.load(tmp_path / "circle.wav")


@pytest.mark.parametrize("name", ["with space", "Ünï çødé 絆 ☃", "new\nline", "-dash", "'quote\"", "a" * 250, "..wav"])
def test_names_as_people_have_them(tmp_path, name):
    path = tmp_path / f"{name}.wav"
    path.write_bytes(encode(format="WAV"))
    assert len(audio.load(path)) == 16_000 and audio.seconds(path) == 1


def test_a_name_that_is_no_text(tmp_path):
    path = os.fsencode(tmp_path) + b"/caf\xe9.wav"
    with open(path, "wb") as file:
        file.write(encode(format="WAV"))
    assert len(audio.load(os.fsdecode(path))) == 16_000


@pytest.mark.parametrize("name", ["a" * 300 + ".wav", "a.wav/b.wav", "\0.wav"])
def test_a_path_that_cannot_be(tmp_path, name):
    (tmp_path / "a.wav").touch()
    with pytest.raises(AudioError, match="cannot be|no such file"):
        audio.load(tmp_path / name)


def test_a_disk_that_fails_while_it_is_read(tmp_path):
    class Failing(io.BytesIO):
        def read(self, count=-1):
            raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(AudioError, match="clip: cannot be read .Input/output error."):
        list(audio.stream(Failing(encode(format="WAV")), name="clip"))


# --- whatever a reader of containers raises


@pytest.mark.parametrize("error", [struct.error("x"), IndexError(), ValueError("x"), KeyError("x"), OverflowError()],
                         ids=lambda error: type(error).__name__)  # fmt: skip
def test_what_a_reader_of_containers_raises_is_an_audio_error(monkeypatch, error):
    def broken(file):
        raise error

    monkeypatch.setattr(audio, "whole", broken)
    refused(encode(format="WAV"), "its start is damaged")


@pytest.mark.parametrize("tag", [b"Xing", b"Info", b"VBRI"])
def test_an_mp3_of_a_few_bytes_with_a_tag(tag):
    for frame in (b"\xff\xe3\x18\xc0", b"\xff\xf3\x14\xc4", b"\xff\xfb\x90\x64"):
        content = (frame + bytes(32 if frame[1] == 0xFB else 9) + tag + b"\0\0\0\x0f") * 8
        for length in range(4, 120, 3):
            try:
                assert len(audio.decode(content[:length], "clip"))  # a few frames may be a sound
            except AudioError as error:
                assert str(error).startswith("clip: ")


def test_silence_and_clipping_are_sounds():
    assert not audio.decode(encode(samples=np.zeros(400), format="WAV"), "clip").any()
    loud = audio.decode(encode(samples=np.sign(SECOND), format="WAV"), "clip")
    assert loud.abs().min() > 0.99 and loud.abs().max() <= 1


def test_one_sample_is_a_sound():
    assert audio.decode(encode(samples=SECOND[:1], format="WAV", subtype="FLOAT"), "clip").tolist() == [SECOND[0]]
