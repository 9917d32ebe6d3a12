"""Ten classes of sound made in code, in the shape of ESC-50, so that every chapter runs without a download.

Chapter: notebooks/06_data_and_augmentation.ipynb

Some classes differ in pitch or timbre, others only in how they change over time: a rising and a falling chirp have the
same average spectrum. A network that only looks at averages cannot tell them apart.

Every clip is a function of (seed, class, fold, index) and of nothing else, so any clip can be made at any time, in any
order, on any machine.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from .base import AudioDataset, Split, folds_of
from .targets import Targets

RATE = 16_000
SAMPLES = 5 * RATE
SOUNDS_VERSION = 1  # to be raised when any clip changes: the manifest hash covers the sounds only by this number
CLIPS_PER_FOLD = 8  # of each class
TABLE = 4096  # steps per period, a power of two
STEPS = np.arange(TABLE)
SINE = np.sin(2 * np.pi * STEPS / TABLE)
FADE = np.linspace(0, 1, RATE // 100)
TIME = np.arange(SAMPLES) / RATE  # seconds
OCTAVES = np.log2(np.maximum(np.fft.rfftfreq(SAMPLES, 1 / RATE), 0.1) / 1000)  # of every FFT bin, relative to 1 kHz

Floats = NDArray[np.float64]


def oscillator(hz: float | Floats, partials: Sequence[float] | Floats = (1.0,)) -> Floats:
    """Make a tone with overtones.

    Args:
        hz: fundamental frequency in Hz, one number or one per sample. No overtone may exceed 8 kHz, where it would
            alias to another frequency.
        partials: amplitudes of the fundamental and of its multiples.

    Returns:
        `(80 000,)` float64.
    """
    table = np.zeros(TABLE)
    for k, amplitude in enumerate(partials, start=1):
        table += amplitude * SINE[k * STEPS & TABLE - 1]
    steps = np.cumsum(np.broadcast_to(hz, SAMPLES)) * (TABLE / RATE)
    wave: Floats = table[steps.astype(np.int64) & TABLE - 1]
    return wave


def noise_spectrum(rng: Generator, low: float, high: float, tilt: float = 0.0) -> NDArray[np.complex128]:
    """Draw the spectrum of band-limited noise.

    The bins are drawn uniformly from a square; the sound is Gaussian nevertheless, as a sum of so many of them.

    Args:
        rng: where the random numbers come from.
        low: lower limit in Hz.
        high: upper limit in Hz.
        tilt: per octave, the amplitude falls by a factor of 2 ** tilt.

    Returns:
        `(40 001,)` complex128, as of `numpy.fft.rfft`.
    """
    first, last = (int(hz * SAMPLES / RATE) for hz in (low, high))
    spectrum = np.zeros(SAMPLES // 2 + 1, complex)
    slope = np.exp2(-tilt * OCTAVES[first:last])
    spectrum[first:last] = (rng.random(2 * (last - first)) - 0.5).view(complex) * slope
    return spectrum


def noise(rng: Generator, low: float, high: float, tilt: float = 0.0) -> Floats:
    """Make band-limited noise.

    Args:
        rng: where the random numbers come from.
        low: lower limit in Hz.
        high: upper limit in Hz.
        tilt: per octave, the amplitude falls by a factor of 2 ** tilt.

    Returns:
        `(80 000,)` float64 with a standard deviation of 0.25.
    """
    sound = np.fft.irfft(noise_spectrum(rng, low, high, tilt), SAMPLES)
    scaled: Floats = sound / (4 * sound.std())
    return scaled


def between(rng: Generator, low: float, high: float) -> float:
    """Draw a number uniformly on a logarithmic scale, as pitch and tempo are heard.

    Args:
        rng: where the random number comes from.
        low: the smallest, more than 0.
        high: the largest.

    Returns:
        The number.
    """
    return float(low * (high / low) ** rng.random())


def cycle(rng: Generator, period: float) -> Floats:
    """Make the positions in a repeating pattern, from a random start.

    Args:
        rng: where the start comes from.
        period: in seconds.

    Returns:
        `(80 000,)` float64 in [0, 1), in periods.
    """
    turns = TIME / period + rng.random()
    position: Floats = turns - np.floor(turns)
    return position


def ramps(position: Floats, edge: float) -> Floats:
    """Make an envelope: 1 while the position is in (0, 1), 0 outside, with linear edges.

    Args:
        position: any shape.
        edge: length of each edge, in the unit of the position.

    Returns:
        float64 in [0, 1], in the shape of the position.
    """
    envelope: Floats = np.clip(np.minimum(position, 1 - position) / edge, 0, 1)
    return envelope


def steady_tone(rng: Generator) -> Floats:
    """Make a tone with random overtones and a slight vibrato.

    Args:
        rng: where the random numbers come from.

    Returns:
        `(80 000,)` float64.
    """
    partials = rng.random(6) ** 2 + (1, 0, 0, 0, 0, 0)
    vibrato = 1 + 0.004 * rng.random() * oscillator(between(rng, 3, 7))
    return oscillator(between(rng, 120, 1200) * vibrato, partials)


def _chirp(rng: Generator, rising: bool) -> Floats:
    """A repeated sweep of one to two octaves in pitch, with gaps."""
    length, gap = between(rng, 0.4, 1.8), between(rng, 0.1, 0.8)
    low = between(rng, 150, 600)
    high = low * between(rng, 2.5, 4.3)
    position = cycle(rng, length + gap) * (1 + gap / length)
    climb = np.minimum(position, 1) if rising else 1 - np.minimum(position, 1)
    partials = (1, 0.5 * rng.random(), 0.3 * rng.random())
    return oscillator(low * np.exp(np.log(high / low) * climb), partials) * ramps(position, 0.05)


def rising_chirp(rng: Generator) -> Floats:
    """Make a repeated upward sweep in pitch.

    Args:
        rng: where the random numbers come from.

    Returns:
        `(80 000,)` float64.
    """
    return _chirp(rng, rising=True)


def falling_chirp(rng: Generator) -> Floats:
    """Make a repeated downward sweep in pitch.

    Args:
        rng: where the random numbers come from.

    Returns:
        `(80 000,)` float64.
    """
    return _chirp(rng, rising=False)


def clicks(rng: Generator) -> Floats:
    """Make short ringing clicks at a nearly even tempo.

    Args:
        rng: where the random numbers come from.

    Returns:
        `(80 000,)` float64.
    """
    period, ring = between(rng, 0.12, 0.7), between(rng, 0.004, 0.02)
    time = np.arange(RATE // 10) / RATE
    click = np.exp(-time / ring) * (
        np.sin(2 * np.pi * between(rng, 800, 4000) * time) + 0.6 * rng.standard_normal(len(time))
    )
    sound = np.zeros(SAMPLES + len(time))
    for start in np.arange(period * rng.random(), 5, period):
        at = int(RATE * (start + 0.03 * period * rng.standard_normal())) % SAMPLES
        sound[at : at + len(time)] += (0.6 + 0.4 * rng.random()) * click
    return sound[:SAMPLES]


def siren(rng: Generator) -> Floats:
    """Make a tone whose pitch goes up and down without a break.

    Args:
        rng: where the random numbers come from.

    Returns:
        `(80 000,)` float64.
    """
    swing = 4 * np.abs(cycle(rng, between(rng, 0.35, 2.5)) - 0.5) - 1  # straight up and down
    if rng.random() < 0.5:
        swing = np.sin(np.pi / 2 * swing)  # or round
    partials = (1, 0.6 * rng.random(), 0.4 * rng.random())
    return oscillator(between(rng, 450, 1300) * np.exp(rng.uniform(0.25, 0.6) * swing), partials)


def noise_bursts(rng: Generator) -> Floats:
    """Make bursts of band-limited noise at an even tempo.

    Args:
        rng: where the random numbers come from.

    Returns:
        `(80 000,)` float64.
    """
    period = between(rng, 0.15, 0.9)
    low = between(rng, 150, 1500)
    position = cycle(rng, period) / rng.uniform(0.2, 0.6)
    burst = np.exp(-3 * rng.random() * position) * ramps(position, 0.1)
    return noise(rng, low, min(7500.0, low * between(rng, 3, 12)), rng.random()) * burst


def bird_song(rng: Generator) -> Floats:
    """Make syllables of short, quick sweeps, each repeated several times.

    Args:
        rng: where the random numbers come from.

    Returns:
        `(80 000,)` float64.
    """
    hz, loud = np.full(SAMPLES, 3000.0), np.zeros(SAMPLES)
    centre, start = between(rng, 2000, 4500), 0.8 * rng.random()
    while start < 4.8:
        length = between(rng, 0.05, 0.16)
        first, last = (centre * between(rng, 0.75, 1.5) for _ in range(2))
        for _ in range(rng.integers(2, 7)):  # one syllable, several times over
            at = int(start * RATE)
            note = np.linspace(0, 1, int(length * RATE))[: SAMPLES - at]
            hz[at : at + len(note)] = first + (last - first) * note
            loud[at : at + len(note)] = ramps(note, 0.3) * (0.7 + 0.3 * rng.random())
            start += length * rng.uniform(1.1, 1.6)
            if start >= 4.95:
                break
        start += between(rng, 0.15, 0.9)
    return oscillator(hz) * loud


def alarm_beeps(rng: Generator) -> Floats:
    """Make beeps at an even tempo, on one pitch or on two in turn.

    Args:
        rng: where the random numbers come from.

    Returns:
        `(80 000,)` float64.
    """
    period, hz = between(rng, 0.12, 0.7), between(rng, 500, 2000)
    beat = 2 * cycle(rng, 2 * period)
    second = beat >= 1
    other = rng.choice([1, 1, 0.75, 1.26])
    partials = (1, 0, 0.5 * rng.random())
    return oscillator(np.where(second, hz * other, hz), partials) * ramps((beat - second) / 0.55, 0.04)


def engine(rng: Generator) -> Floats:
    """Make a low, buzzing tone of unsteady speed, with noise in its rhythm.

    Args:
        rng: where the random numbers come from.

    Returns:
        `(80 000,)` float64.
    """
    speed = between(rng, 25, 75)
    wobble = rng.uniform(0.02, 0.2) * oscillator(between(rng, 0.15, 0.8)) + 0.02 * noise(rng, 0.5, 8)
    partials = (0.3 + rng.random(16)) / np.arange(1, 17) ** 0.7
    beat = oscillator(speed * (1 + wobble), partials)
    return beat + noise(rng, 60, between(rng, 800, 3000), 0.8) * (1 + beat) * rng.uniform(0.5, 2)


def bubbles(rng: Generator) -> Floats:
    """Make short drops of rising pitch at random times.

    Args:
        rng: where the random numbers come from.

    Returns:
        `(80 000,)` float64.
    """
    sound = np.zeros(2 * SAMPLES)
    time = np.arange(RATE // 8) / RATE
    size = between(rng, 500, 1600)
    for start in rng.integers(0, SAMPLES, int(between(rng, 12, 70))):
        hz, ring = size * between(rng, 0.5, 2), between(rng, 0.008, 0.03)
        drop = np.exp(-time / ring) * np.sin(2 * np.pi * hz * (time + between(rng, 2, 12) * time**2))
        sound[start : start + len(time)] += rng.random() * drop
    return sound[:SAMPLES]


SOUNDS: dict[str, Callable[[Generator], Floats]] = {
    "steady tone": steady_tone,
    "rising chirp": rising_chirp,
    "falling chirp": falling_chirp,
    "clicks": clicks,
    "siren": siren,
    "noise bursts": noise_bursts,
    "bird song": bird_song,
    "alarm beeps": alarm_beeps,
    "engine": engine,
    "bubbles": bubbles,
}


def make(seed: int, label: int, fold: int, index: int) -> Floats:
    """Make one clip: a part of the sound of its class, as if recorded in a room of its own.

    The room is a smooth random filter, background noise 3 to 30 dB below the sound, and a random level.

    Args:
        seed: of the data set.
        label: number of the class.
        fold: number of the fold.
        index: number of the clip within its class and fold.

    Returns:
        `(80 000,)` float64 in [-1, 1].
    """
    rng = np.random.Generator(np.random.PCG64([seed, label, fold, index]))
    sound = list(SOUNDS.values())[label](rng)
    begin, length = (int(RATE * s) for s in (rng.uniform(0, 1.5), rng.uniform(2, 4.5)))
    sound[:begin] = 0
    sound[begin + length :] = 0
    sound[begin:][: len(FADE)] *= FADE
    sound[: begin + length][-len(FADE) :] *= FADE[::-1]
    spectrum = np.fft.rfft(sound)
    octaves = np.maximum(OCTAVES, -5)
    bend = rng.standard_normal() * np.sin(octaves + 6 * rng.random())
    spectrum *= np.exp2(0.4 * rng.standard_normal() * octaves + bend)  # 1 is 6 dB
    background = noise_spectrum(rng, 20, 7900, rng.uniform(0, 0.7))
    background *= 10 ** (-rng.uniform(3, 30) / 20) * np.linalg.norm(spectrum) / np.linalg.norm(background)
    mixture = np.fft.irfft(spectrum + background, SAMPLES)
    scaled: Floats = mixture / np.abs(mixture).max() * 10 ** (-rng.uniform(1, 16) / 20)
    return scaled


class Synthetic(AudioDataset):
    """Sounds made in code: 10 classes, 8 clips of each in each of 5 folds, 5 s at 16 kHz.

    Args:
        fold: 1 to 5, the test fold.
        split: "train" (320 clips), "test" (80) or "all" (400).
        seed: another number gives other clips of the same classes.

    Attributes:
        seed: as given.

    Raises:
        InvalidInput: another fold or split.
    """

    name = "synthetic"
    is_synthetic = True

    def __init__(self, fold: int = 1, split: Split = "train", seed: int = 0) -> None:
        self.seed = seed
        labels, wanted = list(SOUNDS), folds_of(fold, split)
        sources = [(c, f, i) for f in wanted for i in range(CLIPS_PER_FOLD) for c in range(len(labels))]
        super().__init__(
            labels=labels,
            names=[f"{f}-{i}-{labels[c].replace(' ', '-')}" for c, f, i in sources],
            targets=Targets.from_lists([[c] for c, _, _ in sources], len(labels)),
            folds=[f for _, f, _ in sources],
            sources=sources,
        )

    def read(self, source: tuple[int, int, int]) -> Tensor:
        """Make one clip from (class, fold, index): `(80 000,)` float32 in [-1, 1]."""
        return torch.from_numpy(make(self.seed, *source)).float()

    def fingerprint(self, source: tuple[int, int, int]) -> bytes:
        """Return what the clip is a function of, and the version of the functions."""
        return repr((SOUNDS_VERSION, self.seed, source)).encode()

    def seconds(self, source: tuple[int, int, int]) -> float:
        """Return 5: all clips have the same length."""
        return SAMPLES / RATE
