"""Any sound file to one channel of float32 at 16 kHz, or an error that says what is wrong with the file.

libsndfile decodes. This module does what libsndfile does not: it mixes the channels, converts the sample rate, clamps
the range, and detects truncated files. A clip that lost its second half would train and score like any other, so every
container is checked for completeness before its sound is used.

Chapter: notebooks/01_sound_to_spectrogram.ipynb
"""

import io
import os
import struct
from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor

from .errors import AudioError, InvalidInput, MissingPackage

PEAK_LIMIT = 4.0  # decoders and resamplers overshoot 1.0 slightly, integers stored as floats by orders of magnitude
UNKNOWN_SIZE = 0x7FFF_0000  # a program that writes a wav to a pipe puts this or more where the size belongs
BLOCK_SAMPLES = 1 << 16  # decoded at a time
# File names to look for in a folder, by families of formats. Once a file is open, only its content counts.
SUFFIXES = frozenset([
    ".wav", ".wave", ".rf64", ".w64",
    ".flac", ".ogg", ".oga", ".opus", ".mp3",
    ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".voc", ".sph",
])  # fmt: skip

# Bit rates of layer III in kbit/s, of MPEG-1 and of MPEG-2 and 2.5, by the index in a frame's header.
MP3_RATES_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
MP3_RATES_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)


def load(path: str | os.PathLike[str], rate: int = 16_000) -> Tensor:
    """Read a sound file (wav, flac, ogg, mp3, or another format that libsndfile knows).

    Channels are averaged. The original silently keeps the left one (src/dataloader.py:129 passes all channels to
    Kaldi's function, which takes channel 0), so a sound that is only on the right would be silence there. Other sample
    rates are converted; the original does not check the rate.

    A truncated file is refused: a wav by the size of its data chunk, a flac by its decoder, an ogg by its pages and
    its end-of-stream mark, an mp3 by its last frame and, where there is one, its Xing or Info header. An mp3 without
    that header that was cut between two frames is a valid, shorter mp3, and cannot be detected.

    Args:
        path: the file.
        rate: sample rate of the result in Hz.

    Returns:
        `(samples,)` float32 in [-1, 1]; whatever decoder and resampler overshoot is clamped.

    Raises:
        AudioError: the file is missing, empty, unreadable or truncated, holds no sound or NaN, or has samples far
            outside [-1, 1].
    """
    try:
        return _waveform(_read_bytes(Path(path)), rate)
    except AudioError as error:
        raise AudioError(f"{path}: {error}", error.kind) from None


def decode(data: bytes, name: str, rate: int = 16_000) -> Tensor:
    """Decode the bytes of a sound file, such as a cell of a Parquet file, as `load` does.

    Args:
        data: the content of the file.
        name: what to call it in errors.
        rate: sample rate of the result in Hz.

    Returns:
        `(samples,)` float32 in [-1, 1].

    Raises:
        AudioError: as in `load`.
    """
    try:
        return _waveform(data, rate)
    except AudioError as error:
        raise AudioError(f"{name}: {error}", error.kind) from None


def seconds(file: str | os.PathLike[str] | bytes, name: str | None = None) -> float:
    """Measure the duration of a sound. It is read from the header, and the sound is decoded only if that has none.

    Args:
        file: the path of a sound file, or its content.
        name: what to call the content in errors.

    Returns:
        The duration in seconds.

    Raises:
        AudioError: as in `load`. A truncated file is detected only if it has to be decoded.
    """
    try:
        info = soundfile.info(io.BytesIO(file) if isinstance(file, bytes) else os.fspath(file))
        # libsndfile writes a huge number where a header has none, and guesses the length of an mp3
        samples: int = info.frames if info.frames < 1 << 62 and info.format != "MP3" else 0
    except (soundfile.SoundFileError, RuntimeError, TypeError):
        samples = 0  # decoding says what is wrong
    if samples:
        rate: int = info.samplerate
        return samples / rate
    return len(decode(file, name or "sound") if isinstance(file, bytes) else load(file)) / 16_000


def _waveform(data: bytes, rate: int) -> Tensor:
    """Decode and convert. The messages of its errors continue after the name of the file and a colon."""
    if not data:
        raise AudioError("is empty (0 bytes). Copy or download it again", "empty")
    try:
        samples, source_rate = _decode(data)
        if not np.isfinite(samples).all():
            raise AudioError("has NaN or infinite samples. Export it again from its source")
        peak = np.abs(samples).max(initial=0.0)
        if peak > PEAK_LIMIT:
            raise AudioError(
                f"has samples up to {peak:g} where [-1, 1] is expected. If these are integers stored as "
                "floats, divide them by their full scale (16 bits: 32768) and save the file again"
            )
        waveform = resample(torch.from_numpy(samples.mean(axis=1)), source_rate, rate)
        if not len(waveform):
            raise AudioError("holds no samples. Record or export it again", "empty")
    except ImportError as error:
        raise AudioError(str(error)) from None
    return waveform.clamp(-1, 1)


def resample(waveform: Tensor, source_rate: int, target_rate: int) -> Tensor:
    """Convert the sample rate with soxr's HQ filter, which keeps frequencies below half of the lower rate.

    Args:
        waveform: `(..., samples)`, floating point.
        source_rate: sample rate of the waveform in Hz.
        target_rate: sample rate of the result in Hz.

    Returns:
        `(..., samples * target_rate / source_rate)` float32, or the waveform itself if the rates are equal. It may
        overshoot the range of the input slightly.

    Raises:
        InvalidInput: a rate that is not positive.
        MissingPackage: soxr is not installed.
    """
    if source_rate <= 0 or target_rate <= 0:
        raise InvalidInput(f"sample rates are positive numbers of Hz; found {source_rate} and {target_rate}")
    if source_rate == target_rate or not waveform.shape[-1]:
        return waveform
    try:
        import soxr
    except ImportError:
        raise MissingPackage(
            f"its rate is {source_rate} Hz and {target_rate} Hz is needed; the conversion needs soxr. "
            "Install it with: pip install soxr"
        ) from None
    channels = waveform.detach().cpu().float().reshape(-1, waveform.shape[-1])  # (channels, samples)
    changed = soxr.resample(channels.T.numpy(), source_rate, target_rate, quality="HQ")
    return torch.from_numpy(changed.T.copy()).reshape(*waveform.shape[:-1], -1).to(waveform.device)


def _read_bytes(path: Path) -> bytes:
    """The content of a file, or an AudioError that says why it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise AudioError("there is no such file. Check the path", "missing") from None
    except OSError as error:
        if path.is_dir():
            raise AudioError("is a folder. Name one of the files in it") from None
        if isinstance(error, PermissionError):
            raise AudioError("may not be read. Ask its owner for permission, or copy it") from None
        raise AudioError(f"cannot be read ({error.strerror or error}). Check the path and the disk") from None


def _decode(data: bytes) -> tuple[NDArray[np.float32], int]:
    """The samples as the decoder returns them, `(samples, channels)`, and the sample rate in Hz."""
    if data[:4] in (b"RIFF", b"RIFX", b"RF64"):
        data = _whole_wav(data)
    elif data[:4] == b"OggS":
        _check_ogg(data)
    elif data[:3] == b"ID3" or _mp3_frame(data, 0):
        data = _whole_mp3(data)
    try:
        file = soundfile.SoundFile(io.BytesIO(data))
    except (soundfile.SoundFileError, RuntimeError, TypeError):
        raise AudioError(
            "is not a sound file that libsndfile knows, or its start is damaged. Use wav, flac, ogg or mp3"
        ) from None
    with file:
        file.seekable = lambda: False  # or soundfile seeks after each block, and fails if the end is unknown
        blocks, last = [], BLOCK_SAMPLES
        while last == BLOCK_SAMPLES:
            try:
                block = file.read(BLOCK_SAMPLES, dtype="float32", always_2d=True)
            except (soundfile.SoundFileError, RuntimeError):
                raise _truncated("the decoder failed in the middle") from None
            blocks.append(block)
            last = len(block)
        samples, unknown = np.concatenate(blocks), file.frames > 1 << 62
        if not unknown and file.format != "MP3" and len(samples) < file.frames:
            raise _truncated(f"{len(samples)} of {file.frames} samples are there")
        return samples, file.samplerate


def _truncated(found: str) -> AudioError:
    return AudioError(f"is truncated or damaged ({found}). Copy, download or export it again")


def _whole_wav(data: bytes) -> bytes:
    """Walk the chunks up to `data`, and compare its size with the number of bytes that follow.

    Programs that cannot seek back leave 0 or a huge number there, and the sound extends to the end of the file.
    libsndfile reads a size of 0 as no sound, so that the true size is filled in.
    """
    order = ">" if data[:4] == b"RIFX" else "<"
    riff_size = struct.unpack_from(order + "I", data, 4)[0] if len(data) >= 8 else 0
    position, size64 = 12, None
    while position + 8 <= len(data):
        name, size = struct.unpack_from(order + "4sI", data, position)
        start = position + 8
        there = len(data) - start
        if name == b"ds64" and there >= 16:  # RF64 keeps sizes of more than 32 bits here
            size64 = struct.unpack_from(order + "Q", data, start + 8)[0]
        if name == b"data":
            if data[:4] == b"RF64" and size64 is not None:
                size = size64
            if size == 0 and there and (riff_size + 8 <= start or riff_size >= UNKNOWN_SIZE):
                return data[:position] + struct.pack(order + "4sI", name, there) + data[start:]
            if size > there and (size < UNKNOWN_SIZE or size64 is not None):
                raise _truncated(f"{there} of {size} bytes of sound are there")
            return data
        position = start + size + size % 2
    return data  # no data chunk: libsndfile refuses it


def _check_ogg(data: bytes) -> None:
    """Walk the pages: each must be complete, and the last must carry the end-of-stream mark (RFC 3533 §6)."""
    position, ended = 0, False
    while data[position : position + 4] == b"OggS":
        table = position + 27
        if table > len(data) or table + data[position + 26] > len(data):
            raise _truncated("the last page of the Ogg stream breaks off")
        ended = bool(data[position + 5] & 4)  # flag "last page of the stream"
        segments = data[position + 26]
        position = table + segments + sum(data[table : table + segments])
    if position > len(data) or not ended:
        raise _truncated("the Ogg stream has no end")


def _whole_mp3(data: bytes) -> bytes:
    """Walk the frames: the last must be complete, and there must be as many as a Xing or Info header announces.

    Without such a header libsndfile estimates the length from the first frame and stops there, which loses sound if
    the bit rate varies. The missing header is then put in front.
    """
    position = 0
    while data[position : position + 3] == b"ID3" and position + 10 <= len(data):
        a, b, c, d = data[position + 6 : position + 10]
        position += 10 + (a << 21 | b << 14 | c << 7 | d) + 10 * (data[position + 5] >> 4 & 1)
    first, count = position, 0
    while size := _mp3_frame(data, position):
        position, count = position + size, count + 1
    rest = data[position:]
    if position > len(data) or (rest[:1] == b"\xff" and len(rest) < 4):
        raise _truncated("the last frame of the mp3 breaks off")
    if not count or (rest.strip(b"\0") and not rest.startswith((b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"ID3"))):
        return data  # another layer, free format, or gaps between frames: the walk cannot tell
    mpeg1, mono = data[first + 1] & 8, data[first + 3] >> 6 == 3
    side_info = (17 if mono else 32) if mpeg1 else (9 if mono else 17)
    tag = first + 4 + side_info
    if data[tag : tag + 4] in (b"Xing", b"Info"):
        flags, frames, size = struct.unpack_from(">III", data, tag + 4)
        if (flags & 1 and frames > count) or (flags & 3 == 3 and first + size > len(data)):
            raise _truncated(f"its header announces {frames} mp3 frames, {count - 1} are there")
        return data
    if data[first + 36 : first + 40] == b"VBRI":  # Fraunhofer's header, which the decoder reads
        return data
    silent = bytearray(_mp3_frame(data, first))
    silent[:4] = data[first : first + 4]
    if len(silent) < 16 + side_info:
        return data
    struct.pack_into(">4sII", silent, 4 + side_info, b"Xing", 1, count)
    return bytes(silent) + data[first:]


def _mp3_frame(data: bytes, position: int) -> int:
    """Size in bytes of the layer III frame whose header is at `position`, 0 if there is none."""
    if position + 4 > len(data):
        return 0
    sync, version, coding = data[position], data[position + 1], data[position + 2]
    rate, frequency = coding >> 4, coding >> 2 & 3
    if sync != 0xFF or version & 0xE6 != 0xE2 or version & 0x18 == 8 or frequency == 3 or rate in (0, 15):
        return 0
    mpeg1 = version & 8
    hertz = (44_100, 48_000, 32_000)[frequency] >> {0x18: 0, 0x10: 1, 0: 2}[version & 0x18]
    bits = 1000 * (MP3_RATES_1 if mpeg1 else MP3_RATES_2)[rate]
    return (144 if mpeg1 else 72) * bits // hertz + (coding >> 1 & 1)
