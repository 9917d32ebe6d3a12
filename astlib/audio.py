"""Any sound file to one channel of float32 at 16 kHz, or an error that says what is wrong with the file.

libsndfile decodes. This module does what libsndfile does not: it mixes the channels, converts the sample rate, clamps
the range, and detects truncated files. A clip that lost its second half would train and score like any other, so every
container is checked for completeness before its sound is used.

Chapter: notebooks/01_sound_to_spectrogram.ipynb
"""

import contextlib
import io
import os
import shlex
import stat
import struct
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor

from .containers import Incomplete, foreign, no_sound, whole
from .errors import AudioError, AudioWarning, InvalidInput, MissingPackage

PEAK_LIMIT = 4.0  # decoders and resamplers overshoot 1.0 slightly, integers stored as floats by orders of magnitude
CANCELLED = 0.01  # the mean of channels with less of their power than this (20 dB) is not their sound
BLOCK_SAMPLES = 1 << 16  # decoded at a time
LOWEST_RATE, HIGHEST_RATE = 1_000, 10_000_000  # Hz; a rate beyond them is a damaged header
# What can be checked for completeness, and what codes in blocks of samples, the last of which is filled up.
CONTAINERS = frozenset(["WAV", "WAVEX", "RF64", "W64", "FLAC", "OGG", "MP3", "AIFF", "AU", "CAF", "VOC", "NIST"])
BLOCK_CODECS = ("MS_ADPCM", "IMA_ADPCM", "GSM610", "G721", "G723", "NMS_ADPCM", "VOX_ADPCM", "DPCM", "DWVW")
# File names to look for in a folder, by families of formats. Once a file is open, only its content counts.
SUFFIXES = frozenset([
    ".wav", ".wave", ".rf64", ".w64",
    ".flac", ".ogg", ".oga", ".opus", ".mp3",
    ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".voc", ".sph",
])  # fmt: skip

Samples = NDArray[np.float32]


def load(path: str | os.PathLike[str], rate: int = 16_000) -> Tensor:
    """Read a sound file (wav, flac, ogg, mp3, or another format that libsndfile knows).

    Channels are averaged. The original silently keeps the left one (src/dataloader.py:129 passes all channels to
    Kaldi's function, which takes channel 0), so a sound that is only on the right would be silence there. Other sample
    rates are converted; the original does not check the rate.

    A truncated file is refused: a wav by the size of its data chunk, a flac by its decoder, an ogg by its pages and
    its end-of-stream mark, an mp3 by its last frame and, where there is one, its Xing or Info header. An mp3 without
    that header that was cut between two frames is a valid, shorter mp3, and cannot be detected. A container that does
    not say how long it is, such as the formats of samplers, is refused.

    If the channels cancel each other, as where one of them is inverted, an `AudioWarning` says so.

    Args:
        path: the file.
        rate: sample rate of the result in Hz.

    Returns:
        `(samples,)` float32 in [-1, 1]; whatever decoder and resampler overshoot is clamped.

    Raises:
        AudioError: the file is missing, empty, unreadable or truncated, no regular file, holds no sound or NaN, or has
            samples far outside [-1, 1] or an impossible sample rate.
    """
    with _errors_of(path), _opened(Path(path)) as file:
        return torch.cat(list(_blocks(file, os.fspath(path), rate)))


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
    with _errors_of(name):
        return torch.cat(list(_blocks(io.BytesIO(data), name, rate)))


def stream(
    source: str | os.PathLike[str] | BinaryIO, rate: int = 16_000, seconds: float = 10.0, name: str | None = None
) -> Iterator[Tensor]:
    """Read a sound file block by block, so that a recording of many hours fits into memory.

    The blocks are the samples that `load` gives, bit for bit, and the same checks are made. What only the decoder can
    find, a flac that breaks off or NaN in the middle, is found when it gets there: an error can come after blocks.

    Args:
        source: the file; or a file that is open for reading in binary mode and can seek.
        rate: sample rate of the result in Hz.
        seconds: length of a block.
        name: what to call an open file in errors.

    Yields:
        Blocks `(samples,)` float32 in [-1, 1], each of `seconds`; the last one may be shorter.

    Raises:
        AudioError: as in `load`.
        InvalidInput: blocks of no length.
    """
    length = round(seconds * rate)
    if length < 1:
        raise InvalidInput(f"a block must hold at least one sample; found {seconds} s at {rate} Hz")
    if isinstance(source, str | os.PathLike):
        with _errors_of(source), _opened(Path(source)) as file:
            yield from _of_length(_blocks(file, os.fspath(source), rate), length)
    else:
        name = name or "sound"
        with _errors_of(name):
            yield from _of_length(_blocks(source, name, rate), length)


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
    announced, exact = header_seconds(file)
    if exact:
        return announced
    blocks = stream(io.BytesIO(file), name=name) if isinstance(file, bytes) else stream(file)
    return sum(len(block) for block in blocks) / 16_000


def header_seconds(file: str | os.PathLike[str] | bytes) -> tuple[float, bool]:
    """Read the duration of a sound from its header, without decoding anything.

    Args:
        file: the path of a sound file, or its content.

    Returns:
        The duration in seconds, 0 if the header does not tell or cannot be read; and whether it is exact. That of an
        mp3 is an estimate.
    """
    if not isinstance(file, bytes) and not os.path.isfile(file):  # to open a pipe would wait for its writer
        return 0.0, False
    try:
        info = soundfile.info(io.BytesIO(file) if isinstance(file, bytes) else os.fspath(file))
    except (soundfile.SoundFileError, RuntimeError, TypeError):
        return 0.0, False
    if not 0 < info.frames < 1 << 62 or not info.samplerate:  # libsndfile writes a huge number where a header has none
        return 0.0, False
    return info.frames / info.samplerate, info.format != "MP3"


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
    soxr = _soxr(source_rate, target_rate)
    channels = waveform.detach().cpu().float().reshape(-1, waveform.shape[-1])  # (channels, samples)
    changed = soxr.resample(channels.T.numpy(), source_rate, target_rate, quality="HQ")
    return torch.from_numpy(changed.T.copy()).reshape(*waveform.shape[:-1], -1).to(waveform.device)


def _soxr(source_rate: int, target_rate: int) -> Any:
    """The module soxr, or an error that says what it is needed for."""
    try:
        import soxr
    except ImportError:
        raise MissingPackage(
            f"its rate is {source_rate} Hz and {target_rate} Hz is needed; the conversion needs soxr. "
            "Install it with: pip install soxr"
        ) from None
    return soxr


@contextlib.contextmanager
def _errors_of(name: str | os.PathLike[str]) -> Iterator[None]:
    """Put the name of the file in front of the errors, which continue after it and a colon."""
    try:
        yield
    except Incomplete as error:
        raise _truncated(str(error), f"{name}: ") from None
    except AudioError as error:
        raise AudioError(f"{name}: {error}", error.kind) from None
    except MissingPackage as error:
        raise AudioError(f"{name}: {error}") from None
    except OSError as error:  # the disk, or the network that it is on
        raise AudioError(f"{name}: cannot be read ({error.strerror or error}). Check the path and the disk") from None


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """A file open for reading, or an AudioError that says why it cannot be read."""
    try:
        if "\0" in os.fspath(path):
            raise AudioError("cannot be the name of a file. Check the path")
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # to open a pipe would wait for its writer
            raise AudioError("is a device or a pipe, not a file. Save the sound in a file first")
        with path.open("rb") as file:
            yield file
    except FileNotFoundError:
        raise AudioError("there is no such file. Check the path", "missing") from None
    except OSError as error:
        if path.is_dir():
            raise AudioError("is a folder. Name one of the files in it") from None
        if isinstance(error, PermissionError):
            raise AudioError("may not be read. Ask its owner for permission, or copy it") from None
        raise AudioError(f"cannot be read ({error.strerror or error}). Check the path and the disk") from None


def _blocks(file: BinaryIO, name: str, rate: int) -> Iterator[Tensor]:
    """One channel at the wanted rate, `(samples,)` at a time, clamped."""
    count, levels = 0, _Levels()
    with _decoder(file, name) as (sound, length):
        source_rate: int = sound.samplerate
        resampler = (
            None
            if source_rate == rate
            else _soxr(source_rate, rate).ResampleStream(source_rate, rate, 1, dtype="float32", quality="HQ")
        )
        for samples, last in _decoded(sound, length):  # (samples, channels)
            mono = _mixed(samples, levels)  # (samples,)
            if resampler is not None:
                mono = resampler.resample_chunk(mono, last=last)
            count += len(mono)
            yield torch.from_numpy(mono).clamp(-1, 1)
    if not count:
        raise AudioError("holds no samples. Record or export it again", "empty")
    if levels.cancel():
        warnings.warn(f"{name}: {levels}", AudioWarning, stacklevel=2)


@contextlib.contextmanager
def _decoder(file: BinaryIO, name: str) -> Iterator[tuple[soundfile.SoundFile, int]]:
    """libsndfile at work on a file that is complete; and how many samples of each channel are sound."""
    if not file.seek(0, io.SEEK_END):
        raise AudioError("is empty (0 bytes). Copy or download it again", "empty")
    if reason := no_sound(file):
        raise AudioError(reason)
    if kind := foreign(file):
        raise AudioError(f"is {kind}, which libsndfile cannot read. Convert it: {_ffmpeg(name)}")
    try:
        spliced = whole(file)
        sound = soundfile.SoundFile(spliced)
    except Incomplete:
        raise
    except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError, LookupError, OverflowError, struct.error):
        raise AudioError(
            "is not a sound file that libsndfile knows, or its start is damaged. Use wav, flac, ogg or mp3; "
            f"ffmpeg knows nearly everything: {_ffmpeg(name)}"
        ) from None
    with sound:
        length = _length(sound, spliced.samples, name)
        sound.seekable = lambda: False  # or soundfile seeks after each block, and fails if the end is unknown
        yield sound, length


def _length(sound: soundfile.SoundFile, announced: int | None, name: str) -> int:
    """How many samples of each channel are sound; or an AudioError if what the header says cannot be right."""
    if not LOWEST_RATE <= sound.samplerate <= HIGHEST_RATE:
        raise AudioError(
            f"has a sample rate of {sound.samplerate:,} Hz, {LOWEST_RATE:,} to {HIGHEST_RATE:,} are possible. Its "
            "header is probably damaged: export it again"
        )
    if sound.format not in CONTAINERS:
        raise AudioError(
            f"is {sound.format_info}, which does not say how long it should be. Convert it: {_ffmpeg(name)}"
        )
    if announced is None or not sound.subtype.startswith(BLOCK_CODECS) or sound.format == "AIFF":  # it counts samples
        return int(sound.frames)
    # What the last block is filled up with is no sound. A number that does not fit the blocks says nothing.
    return announced if announced and 0 <= sound.frames - announced < BLOCK_SAMPLES else int(sound.frames)


def _decoded(sound: soundfile.SoundFile, length: int) -> Iterator[tuple[Samples, bool]]:
    """The samples as the decoder returns them, `(samples, channels)` at a time, and whether these are the last."""
    size = min(BLOCK_SAMPLES, 8 * BLOCK_SAMPLES // sound.channels)  # many channels take no more memory than 8
    count, last = 0, False
    while not last:
        try:
            block = sound.read(size, dtype="float32", always_2d=True)
        except (soundfile.SoundFileError, RuntimeError):
            raise _truncated("the decoder failed in the middle") from None
        last = len(block) < size
        kept = block[: max(0, length - count)] if length < sound.frames else block
        count += len(block)
        if last and count < sound.frames < 1 << 62 and sound.format != "MP3":
            raise _truncated(f"{count} of {sound.frames} samples are there")
        yield kept, last


def _mixed(samples: Samples, levels: "_Levels") -> Samples:
    """The mean of the channels of a block, `(samples,)`, after a look at its values."""
    if not np.isfinite(samples).all():
        raise AudioError("has NaN or infinite samples. Export it again from its source")
    peak = np.abs(samples).max(initial=0.0)
    if peak > PEAK_LIMIT:
        raise AudioError(
            f"has samples up to {peak:g} where [-1, 1] is expected. If these are integers stored as "
            "floats, divide them by their full scale (16 bits: 32768) and save the file again"
        )
    mono: Samples = samples.mean(axis=1)
    levels.add(samples, mono)
    return mono


class _Levels:
    """The power of the channels of a sound, and of their mean."""

    def __init__(self) -> None:
        self.channels = self.mean = 0.0

    def add(self, samples: Samples, mono: Samples) -> None:
        """Count a block: `(samples, channels)` and its mean."""
        if samples.shape[1] > 1:
            self.channels += float(np.vdot(samples, samples)) / samples.shape[1]
            self.mean += float(np.vdot(mono, mono))

    def cancel(self) -> bool:
        """Whether there is much less in the mean than in the channels."""
        return self.mean < CANCELLED * self.channels

    def __str__(self) -> str:
        quieter = f"{10 * np.log10(self.channels / self.mean):.0f} dB quieter than they are" if self.mean else "silence"
        return (
            f"the channels cancel each other, their mean is {quieter}. One of them is probably inverted. Keep only "
            'one: ffmpeg -i IN -af "pan=mono|c0=c0" OUT.flac'
        )


def _of_length(blocks: Iterable[Tensor], length: int) -> Iterator[Tensor]:
    """The same samples in blocks of one length; the last one may be shorter."""
    held: list[Tensor] = []
    count = 0
    for block in blocks:
        held.append(block)
        count += len(block)
        if count >= length:
            joined = torch.cat(held)
            whole_blocks = count // length * length
            yield from torch.split(joined[:whole_blocks], length)
            held, count = [joined[whole_blocks:].clone()], count - whole_blocks
    if count:
        yield torch.cat(held)


def _ffmpeg(name: str) -> str:
    """The command that converts a file."""
    return f"ffmpeg -i {shlex.quote(name)} {shlex.quote(str(Path(name).with_suffix('.flac')))}"


def _truncated(found: str, name: str = "") -> AudioError:
    return AudioError(f"{name}is truncated or damaged ({found}). Copy, download or export it again")
