"""Any sound file to one channel of float32 at 16 kHz, or an error that says what is wrong with the file.

Chapter: notebooks/01_sound_to_spectrogram.ipynb

Decoding is libsndfile's work. What stands here is what it does not do: mix the channels, change the rate,
keep the range, and notice when a file is only part of a file. A clip that lost its second half trains and
scores like any other, so every container is asked whether it is complete before its sound is used.
"""

import io
import os
import struct
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

PEAK_LIMIT = 4.0  # decoders and resamplers overshoot 1.0 by a little, integers stored as floats by far
UNKNOWN_SIZE = 0x7FFF_0000  # recorders that write to a pipe put this or more where a wav's size belongs
BLOCK = 1 << 16
# Names of files whose headers libsndfile knows; for searching folders only, what counts is the content.
SUFFIXES = frozenset(
    ".wav .wave .flac .ogg .oga .opus .mp3 .aif .aiff .aifc .au .snd .caf .w64 .rf64 .voc .sph".split()
)

# Kilobits per second of layer III in MPEG-1 and in MPEG-2 and 2.5, by the index in a frame's header.
MP3_RATES_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
MP3_RATES_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)


class AudioError(ValueError):
    """A sound file that cannot be used. The message names the file, what is wrong and what to do.

    kind: "missing" (no such file), "empty" (no sound in it) or "unreadable" (everything else).
    """

    def __init__(self, message: str, kind: str = "unreadable"):
        super().__init__(message, kind)  # both, so that it survives the way out of a loader's worker
        self.kind = kind

    def __str__(self) -> str:
        return self.args[0]


def load(path: str | os.PathLike, rate: int = 16_000) -> Tensor:
    """Read a sound file (wav, flac, ogg, mp3 and what else libsndfile knows).

    Channels are averaged. The original silently keeps the left one (src/dataloader.py:129 hands all channels
    to Kaldi's function, which takes channel 0), so a sound that is only on the right would be silence there.
    Other rates are converted; the original does not check the rate.

    A file that was cut short is refused: wav by the size of its data chunk, flac by its decoder, ogg by its
    pages and end-of-stream mark, mp3 by its last frame and, where there is one, its Xing or Info header. An
    mp3 without that header that was cut between two frames is a valid, shorter mp3: nobody can tell.

    Args:
        path: the file.
        rate: sample rate of the result in Hz.

    Returns:
        (samples,) float32 in [-1, 1]; what decoder and resampler overshoot is clamped.

    Raises:
        AudioError: missing, empty, unreadable, truncated, no sound, NaN, or far outside [-1, 1].
    """
    try:
        return _waveform(_read_bytes(Path(path)), rate)
    except AudioError as error:
        raise AudioError(f"{path}: {error}", error.kind) from None


def decode(data: bytes, name: str, rate: int = 16_000) -> Tensor:
    """The same from the bytes of a sound file, such as a cell of a Parquet file. `name` is for the errors."""
    try:
        return _waveform(data, rate)
    except AudioError as error:
        raise AudioError(f"{name}: {error}", error.kind) from None


def seconds(file: str | os.PathLike | bytes, name: str | None = None) -> float:
    """How long a sound is, from the header of a file or of its bytes; decoded only where no header says it.

    Raises:
        AudioError: as in `load`. A file that was cut short is found only where it has to be decoded.
    """
    inside = isinstance(file, bytes)
    try:
        info = soundfile.info(io.BytesIO(file) if inside else os.fspath(file))
        told = info.frames if info.frames < 1 << 62 and info.format != "MP3" else 0  # of an mp3 it may be a guess
    except (soundfile.SoundFileError, RuntimeError, TypeError):
        told = 0  # decoding says what is wrong
    if told:
        return told / info.samplerate
    return len(decode(file, name or "sound") if inside else load(file)) / 16_000


def _waveform(data: bytes, rate: int) -> Tensor:
    """What `load` and `decode` do; the messages of its errors go on after a name and a colon."""
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
                "floats, divide them by their full scale (16 bit: 32768) and save the file again"
            )
        waveform = resample(torch.from_numpy(samples.mean(axis=1)), source_rate, rate)
        if not len(waveform):
            raise AudioError("holds no samples. Record or export it again", "empty")
    except ImportError as error:
        raise AudioError(str(error)) from None
    return waveform.clamp(-1, 1)


def resample(waveform: Tensor, source_rate: int, target_rate: int) -> Tensor:
    """Change the sample rate with soxr's HQ filter, which keeps what lies below half of the lower rate.

    Args:
        waveform: (..., samples) float; time is the last axis.
        source_rate, target_rate: in Hz.

    Returns:
        (..., samples * target_rate / source_rate) float32, or the waveform itself if the rates are equal. It
        may overshoot the range of the input by a little.

    Raises:
        ImportError: soxr is not installed.
    """
    if source_rate <= 0 or target_rate <= 0:
        raise ValueError(f"sample rates are positive numbers of Hz, got {source_rate} and {target_rate}")
    if source_rate == target_rate or not waveform.shape[-1]:
        return waveform
    try:
        import soxr
    except ImportError:
        raise ImportError(
            f"its rate is {source_rate} Hz and {target_rate} Hz is needed; the conversion needs soxr. "
            "Install it with: pip install soxr"
        ) from None
    channels = waveform.detach().cpu().float().reshape(-1, waveform.shape[-1])
    changed = soxr.resample(channels.T.numpy(), source_rate, target_rate, quality="HQ")
    return torch.from_numpy(changed.T.copy()).reshape(*waveform.shape[:-1], -1).to(waveform.device)


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise AudioError("there is no such file. Check the path", "missing") from None
    except OSError as error:
        if path.is_dir():
            raise AudioError("is a folder. Give one of the files in it") from None
        if isinstance(error, PermissionError):
            raise AudioError("may not be read. Ask its owner for permission, or copy it") from None
        raise AudioError(f"cannot be read ({error.strerror or error}). Check the path and the disk") from None


def _decode(data: bytes) -> tuple[np.ndarray, int]:
    """(samples, channels) float32 as the decoder gives them, and the rate in Hz."""
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
        file.seekable = lambda: False  # else soundfile seeks after a block and fails if the end is unknown
        blocks, last = [], BLOCK
        while last == BLOCK:
            try:
                block = file.read(BLOCK, dtype="float32", always_2d=True)
            except (soundfile.SoundFileError, RuntimeError):
                raise _cut_short("the decoder lost its way") from None
            blocks.append(block)
            last = len(block)
        samples, unknown = np.concatenate(blocks), file.frames > 1 << 62
        if not unknown and file.format != "MP3" and len(samples) < file.frames:
            raise _cut_short(f"{len(samples)} of {file.frames} samples are there")
        return samples, file.samplerate


def _cut_short(found: str) -> AudioError:
    return AudioError(f"is truncated or damaged ({found}). Copy, download or export it again")


def _whole_wav(data: bytes) -> bytes:
    """Walk the chunks up to `data` and compare its size with the bytes that follow.

    Recorders that cannot go back leave 0 or a huge number there, and the sound goes on to the file's end.
    libsndfile takes 0 for no sound, so that one is filled in.
    """
    order = ">" if data[:4] == b"RIFX" else "<"
    riff_size = struct.unpack_from(order + "I", data, 4)[0] if len(data) >= 8 else 0
    position, size64 = 12, None
    while position + 8 <= len(data):
        name, size = struct.unpack_from(order + "4sI", data, position)
        start = position + 8
        there = len(data) - start
        if name == b"ds64" and there >= 16:
            size64 = struct.unpack_from(order + "Q", data, start + 8)[0]
        if name == b"data":
            if data[:4] == b"RF64" and size64 is not None:
                size = size64
            if size == 0 and there and (riff_size + 8 <= start or riff_size >= UNKNOWN_SIZE):
                return data[:position] + struct.pack(order + "4sI", name, there) + data[start:]
            if size > there and (size < UNKNOWN_SIZE or size64 is not None):
                raise _cut_short(f"{there} of {size} bytes of sound are there")
            return data
        position = start + size + size % 2
    return data  # no data chunk: libsndfile refuses it


def _check_ogg(data: bytes) -> None:
    """Walk the pages: each must be complete, and the last must carry the end-of-stream mark (RFC 3533 §6)."""
    position, ended = 0, False
    while data[position : position + 4] == b"OggS":
        table = position + 27
        if table > len(data) or table + data[position + 26] > len(data):
            raise _cut_short("the last page of the Ogg stream breaks off")
        ended = bool(data[position + 5] & 4)
        segments = data[position + 26]
        position = table + segments + sum(data[table : table + segments])
    if position > len(data) or not ended:
        raise _cut_short("the Ogg stream has no end")


def _whole_mp3(data: bytes) -> bytes:
    """Walk the frames: the last must be complete, and as many there as a Xing or Info header announces.

    Without such a header libsndfile guesses the length from the first frame and stops there, which loses
    sound where the bit rate varies. The missing header is then put in front.
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
        raise _cut_short("the last frame of the mp3 breaks off")
    if not count or rest.strip(b"\0") and not rest.startswith((b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"ID3")):
        return data  # another layer, free format, gaps between frames: the walk cannot judge
    mpeg1, mono = data[first + 1] & 8, data[first + 3] >> 6 == 3
    side_info = (17 if mono else 32) if mpeg1 else (9 if mono else 17)
    tag = first + 4 + side_info
    if data[tag : tag + 4] in (b"Xing", b"Info"):
        flags, frames, size = struct.unpack_from(">III", data, tag + 4)
        if flags & 1 and frames > count or flags & 3 == 3 and first + size > len(data):
            raise _cut_short(f"its header announces {frames} mp3 frames, {count - 1} are there")
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
    """Bytes of the layer III frame whose header stands here, 0 if there is none."""
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
