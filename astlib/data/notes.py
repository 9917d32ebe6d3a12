"""What to know about the data before time is spent: classes that cannot be learned or tested, sounds that get lost.

Chapter: notebooks/15_your_own_sounds.ipynb
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import soundfile

from .audioset import AudioStream
from .base import AudioDataset
from .batch import SHORTEST
from .folder import Folder

Kind = Literal["reading", "one class", "not trained", "not tested", "uneven", "silent", "high", "opposite", "short"]

RARE = 10  # a class with fewer training clips than the largest one divided by this is rare
FEW = 0.02  # fraction of the clips listened to that is not worth a note
LISTENED = 100  # clips of a folder that are listened to, spread evenly
SECONDS = 10.0  # of each of them, from its beginning
FRAME_SECONDS = 0.025
SILENCE = 10 ** (-80 / 20)  # root mean square of a frame, -80 dB of full scale
MOSTLY = 0.9  # fraction of frames
NYQUIST = 8000  # Hz, half of astlib's sample rate: what is above is lost
CANCELLED = 0.01  # power of the channels' mean, as a fraction of the power of the channels


@dataclass(frozen=True)
class Note:
    """Something to know before time is spent on the data.

    Attributes:
        kind: what it is about: the reading of the folder, its classes, or its sounds.
        text: one or two sentences that say what was found and what to do.
    """

    kind: Kind
    text: str

    def __str__(self) -> str:
        return self.text


class Heard(NamedTuple):
    """What was noticed in one sound file.

    Attributes:
        silent: at least 90 % of it is silence.
        high: more than half of its power is above 8 kHz.
        opposite: its channels cancel each other.
        short: it has less than 25 ms.
    """

    silent: bool
    high: bool
    opposite: bool
    short: bool


def notes_of(parts: tuple[AudioDataset | AudioStream, AudioDataset | None, AudioDataset]) -> list[Note]:
    """Collect what to know about the data of a run before it begins.

    Args:
        parts: for training, validation and testing, as `astlib.data.parts` returns them.

    Returns:
        The notes, the most general first. Of a folder of one's own, up to 100 training clips are listened to, which
        takes about a second.
    """
    train, _, test = parts
    texts = [text for part in parts if part is not None for text in part.report.notes]
    notes = [Note("reading", text) for text in dict.fromkeys(texts)]
    if isinstance(train, AudioDataset):
        notes += class_notes(train, test)
    if isinstance(train, Folder):
        notes += sound_notes(train)
    return notes


def class_notes(train: AudioDataset, test: AudioDataset) -> list[Note]:
    """Find the classes that cannot be learned, cannot be tested, or are rare.

    Args:
        train: clips to train on.
        test: clips to test on, with the same classes.

    Returns:
        The notes.
    """
    trained, tested = train.counts(), test.counts()
    if len(train.labels) == 1:
        text = f"All clips have the class {train.labels[0]}, so there is nothing to tell apart. "
        return [Note("one class", text + "Put each class into a folder of its own, or give a list with the labels.")]
    notes = []
    if never := [label for label, count in trained.items() if not count]:
        text = f"No clip for training has the label {_some(never)}: it cannot be learned. Check the spelling."
        notes.append(Note("not trained", text))
    if untested := [label for label, count in tested.items() if not count and trained[label]]:
        notes.append(Note("not tested", f"No clip for testing has the label {_some(untested)}: how good the network is "
                          "at it stays unknown."))  # fmt: skip
    largest = max(trained.values())
    if rare := [f"{label} {count}" for label, count in trained.items() if 0 < count < largest / RARE]:
        text = f"The largest class has {largest} clips for training, the rare ones few ({_some(rare)}), so they will "
        notes.append(Note("uneven", text + "hardly ever be predicted. balanced=True draws every class equally often."))
    return notes


def sound_notes(dataset: Folder, most: int = LISTENED) -> list[Note]:
    """Listen to some clips of a folder, and tell what will be lost of them.

    Args:
        dataset: the folder.
        most: number of clips, spread evenly over the folder; in a smaller folder, all of them.

    Returns:
        The notes.
    """
    rows = np.unique(np.linspace(0, len(dataset) - 1, min(most, len(dataset))).astype(int)).tolist()
    heard = [(dataset.names[i], found) for i in rows if (found := listen(dataset.sources[i])) is not None]

    def note(kind: Kind, names: Sequence[object], what: str, advice: str) -> Iterator[Note]:
        if len(names) > FEW * len(heard):
            example = f"{len(names)} of {len(heard)} clips listened to, such as {names[0]}"
            yield Note(kind, f"{what}: {example}. {advice}.")

    return [
        *note("silent", [name for name, found in heard if found.silent], "Nearly all silence",
              "Cut them to the sound, or check the recording"),
        *note("high", [name for name, found in heard if found.high], "Most of the power above 8 kHz",
              "It is lost at astlib's sample rate of 16 kHz; recordings of ultrasound can be slowed down"),
        *note("opposite", [name for name, found in heard if found.opposite], "Channels that cancel each other",
              "astlib takes the mean of the channels, which is nearly silent here: keep one of them"),
        *note("short", [name for name, found in heard if found.short], "Shorter than 25 ms",
              "They are padded with silence"),
    ]  # fmt: skip


def listen(path: str | os.PathLike[str]) -> Heard | None:
    """Listen to the first ten seconds of a sound file as it was recorded, before its channels and rate are changed.

    Args:
        path: the file.

    Returns:
        What was noticed; None if the file cannot be read.
    """
    try:
        with soundfile.SoundFile(os.fspath(path)) as file:
            rate = file.samplerate
            samples = file.read(int(SECONDS * rate), dtype="float32", always_2d=True)  # (samples, channels)
    except (soundfile.SoundFileError, RuntimeError, TypeError, OSError):
        return None
    if not len(samples) or not np.isfinite(samples).all():
        return None
    frames = np.array_split(samples, max(1, round(len(samples) / (FRAME_SECONDS * rate))))
    silent = np.mean([np.square(frame).mean() < SILENCE**2 for frame in frames])
    channels = np.square(samples).mean()
    mean = samples.mean(axis=1)  # (samples,)
    spectrum = np.square(np.abs(np.fft.rfft(samples - samples.mean(axis=0), axis=0))).sum(axis=1)  # (frequencies,)
    above = np.fft.rfftfreq(len(samples), 1 / rate) > NYQUIST
    return Heard(
        silent=bool(silent >= MOSTLY),
        high=bool(spectrum[above].sum() > 0.5 * spectrum.sum()),
        opposite=bool(silent < MOSTLY and np.square(mean).mean() < CANCELLED * channels),
        short=len(samples) < SHORTEST / 16_000 * rate,
    )


def _some(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
