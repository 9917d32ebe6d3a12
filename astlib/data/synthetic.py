"""Ten classes of sound made in code, in ESC-50's shape, so that every chapter runs with nothing downloaded.

Chapter: notebooks/06_data_and_augmentation.ipynb

Some classes differ in pitch or colour, others only in what changes over time: a rising and a falling chirp
have the same average spectrum. A network that looks at averages alone cannot tell them apart.

Every clip follows from (seed, class, fold, index) and no other state, so any clip can be made at any time, in
any order, on any machine.
"""

import numpy as np
import torch
from torch import Tensor

from .base import AudioDataset, folds_of
from .targets import Targets

RATE = 16_000
SAMPLES = 5 * RATE
VERSION = 1  # counts up when any clip changes: it is all that the manifest hash sees of the sounds
CLIPS = 8  # of each class in each fold
TABLE = 4096  # steps of one period, a power of two
STEPS = np.arange(TABLE)
SINE = np.sin(2 * np.pi * STEPS / TABLE)
FADE = np.linspace(0, 1, RATE // 100)
TIME = np.arange(SAMPLES) / RATE  # seconds
OCTAVES = np.log2(np.maximum(np.fft.rfftfreq(SAMPLES, 1 / RATE), 0.1) / 1000)  # of every FFT bin, from 1 kHz


def oscillator(hz, partials=(1.0,)) -> np.ndarray:
    """A tone with overtones: hz one number or one a sample, partials the amplitudes of its multiples.

    No multiple may pass 8 kHz: it would come back as a tone that nobody asked for.
    """
    table = sum(a * SINE[k * STEPS & TABLE - 1] for k, a in enumerate(partials, start=1))
    steps = np.cumsum(np.broadcast_to(hz, SAMPLES)) * (TABLE / RATE)
    return table[steps.astype(np.int64) & TABLE - 1]


def noise_spectrum(rng, low: float, high: float, tilt: float = 0.0) -> np.ndarray:
    """Noise from low to high Hz, its amplitude falling to 2 ** -tilt per octave, as an FFT.

    The bins are drawn evenly from a square; the sum of so many of them is Gaussian all the same.
    """
    first, last = (int(hz * SAMPLES / RATE) for hz in (low, high))
    spectrum = np.zeros(SAMPLES // 2 + 1, complex)
    slope = np.exp2(-tilt * OCTAVES[first:last])
    spectrum[first:last] = (rng.random(2 * (last - first)) - 0.5).view(complex) * slope
    return spectrum


def noise(rng, low: float, high: float, tilt: float = 0.0) -> np.ndarray:
    """The same as sound, a quarter of full scale on average."""
    sound = np.fft.irfft(noise_spectrum(rng, low, high, tilt), SAMPLES)
    return sound / (4 * sound.std())


def between(rng, low: float, high: float) -> float:
    """A positive number, even on a logarithmic scale, as pitch and tempo are heard."""
    return float(low * (high / low) ** rng.random())


def cycle(rng, period: float) -> np.ndarray:
    """Position in a repeating pattern, in periods: 0 up to 1, again and again, from a random start."""
    turns = TIME / period + rng.random()
    return turns - np.floor(turns)


def ramps(position: np.ndarray, edge: float) -> np.ndarray:
    """1 while position is in (0, 1), 0 outside, with linear edges of the given width."""
    return np.clip(np.minimum(position, 1 - position) / edge, 0, 1)


def steady_tone(rng):
    partials = rng.random(6) ** 2 + (1, 0, 0, 0, 0, 0)
    vibrato = 1 + 0.004 * rng.random() * oscillator(between(rng, 3, 7))
    return oscillator(between(rng, 120, 1200) * vibrato, partials)


def chirp(rng, rising: bool):
    length, gap = between(rng, 0.4, 1.8), between(rng, 0.1, 0.8)
    low = between(rng, 150, 600)
    high = low * between(rng, 2.5, 4.3)
    position = cycle(rng, length + gap) * (1 + gap / length)
    climb = np.minimum(position, 1) if rising else 1 - np.minimum(position, 1)
    partials = (1, 0.5 * rng.random(), 0.3 * rng.random())
    return oscillator(low * np.exp(np.log(high / low) * climb), partials) * ramps(position, 0.05)


def rising_chirp(rng):
    return chirp(rng, rising=True)


def falling_chirp(rng):
    return chirp(rng, rising=False)


def clicks(rng):
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


def siren(rng):
    swing = 4 * np.abs(cycle(rng, between(rng, 0.35, 2.5)) - 0.5) - 1  # straight up and down
    if rng.random() < 0.5:
        swing = np.sin(np.pi / 2 * swing)  # or round
    partials = (1, 0.6 * rng.random(), 0.4 * rng.random())
    return oscillator(between(rng, 450, 1300) * np.exp(rng.uniform(0.25, 0.6) * swing), partials)


def noise_bursts(rng):
    period = between(rng, 0.15, 0.9)
    low = between(rng, 150, 1500)
    position = cycle(rng, period) / rng.uniform(0.2, 0.6)
    burst = np.exp(-3 * rng.random() * position) * ramps(position, 0.1)
    return noise(rng, low, min(7500.0, low * between(rng, 3, 12)), rng.random()) * burst


def bird_song(rng):
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


def alarm_beeps(rng):
    period, hz = between(rng, 0.12, 0.7), between(rng, 500, 2000)
    beat = 2 * cycle(rng, 2 * period)
    second = beat >= 1
    other = rng.choice([1, 1, 0.75, 1.26])
    partials = (1, 0, 0.5 * rng.random())
    return oscillator(np.where(second, hz * other, hz), partials) * ramps((beat - second) / 0.55, 0.04)


def engine(rng):
    speed = between(rng, 25, 75)
    wobble = rng.uniform(0.02, 0.2) * oscillator(between(rng, 0.15, 0.8)) + 0.02 * noise(rng, 0.5, 8)
    partials = (0.3 + rng.random(16)) / np.arange(1, 17) ** 0.7
    beat = oscillator(speed * (1 + wobble), partials)
    return beat + noise(rng, 60, between(rng, 800, 3000), 0.8) * (1 + beat) * rng.uniform(0.5, 2)


def bubbles(rng):
    sound = np.zeros(2 * SAMPLES)
    time = np.arange(RATE // 8) / RATE
    size = between(rng, 500, 1600)
    for start in rng.integers(0, SAMPLES, int(between(rng, 12, 70))):
        hz, ring = size * between(rng, 0.5, 2), between(rng, 0.008, 0.03)
        drop = np.exp(-time / ring) * np.sin(2 * np.pi * hz * (time + between(rng, 2, 12) * time**2))
        sound[start : start + len(time)] += rng.random() * drop
    return sound[:SAMPLES]


SOUNDS = {
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


def make(seed: int, label: int, fold: int, index: int) -> np.ndarray:
    """One clip, (80 000,) float64 in [-1, 1]: the sound, cut out in time, recorded in a place of its own.

    The place is a smooth random filter, background noise 3 to 30 dB below the sound, and a random level.
    """
    rng = np.random.Generator(np.random.PCG64([seed, label, fold, index]))
    sound = list(SOUNDS.values())[label](rng)
    begin, length = (int(RATE * s) for s in (rng.uniform(0, 1.5), rng.uniform(2, 4.5)))
    sound[:begin] = 0
    sound[begin + length :] = 0
    sound[begin:][: len(FADE)] *= FADE
    sound[: begin + length][-len(FADE) :] *= FADE[::-1]
    sound = np.fft.rfft(sound)
    octaves = np.maximum(OCTAVES, -5)
    bend = rng.standard_normal() * np.sin(octaves + 6 * rng.random())
    sound *= np.exp2(0.4 * rng.standard_normal() * octaves + bend)  # 1 is 6 dB
    background = noise_spectrum(rng, 20, 7900, rng.uniform(0, 0.7))
    background *= 10 ** (-rng.uniform(3, 30) / 20) * np.linalg.norm(sound) / np.linalg.norm(background)
    mixture = np.fft.irfft(sound + background, SAMPLES)
    return mixture / np.abs(mixture).max() * 10 ** (-rng.uniform(1, 16) / 20)


class Synthetic(AudioDataset):
    """Sounds made in code: 10 classes, 8 clips of each in each of 5 folds, 5 s at 16 kHz.

    Args:
        fold: 1 to 5, the test fold.
        split: "train" (320 clips), "test" (80) or "all" (400).
        seed: another number gives other clips of the same classes.
    """

    name = "synthetic"
    is_synthetic = True

    def __init__(self, fold: int = 1, split: str = "train", seed: int = 0):
        self.seed = seed
        labels, wanted = list(SOUNDS), folds_of(fold, split)
        sources = [(c, f, i) for f in wanted for i in range(CLIPS) for c in range(len(labels))]
        super().__init__(
            labels=labels,
            names=[f"{f}-{i}-{labels[c].replace(' ', '-')}" for c, f, i in sources],
            targets=Targets.from_lists([[c] for c, _, _ in sources], len(labels)),
            folds=[f for _, f, _ in sources],
            sources=sources,
        )

    def read(self, source: tuple[int, int, int]) -> Tensor:
        return torch.from_numpy(make(self.seed, *source)).float()

    def fingerprint(self, source: tuple[int, int, int]) -> bytes:
        return repr((VERSION, self.seed, source)).encode()

    def seconds(self, source: tuple[int, int, int]) -> float:
        return SAMPLES / RATE
