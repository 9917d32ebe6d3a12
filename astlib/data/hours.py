"""Hours of sound made in code: noise as of a night outside, with a few calls in it whose times are known.

Chapter: notebooks/19_a_thousand_hours.ipynb

Every part of an hour is a function of the seed and the number of the hour, so that a few seconds can be made without
the rest.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.random import PCG64, Generator
from torch import Tensor

from .synthetic import FADE, RATE, SAMPLES, SOUNDS, Floats, between, noise_spectrum

CALLS = ("bird song", "rising chirp", "falling chirp", "alarm beeps")  # what is looked for
OTHERS = ("engine", "siren", "clicks", "bubbles")  # what else is heard
CALLS_PER_HOUR = 15  # of each kind
OTHERS_PER_HOUR = 30
LEVEL = 0.02  # of the noise, root mean square
LOUDNESS = (-6.0, 12.0)  # dB of a call, relative to the noise around it
SECONDS = (1.5, 4.0)  # length of a call
BLOCK = SAMPLES // 2  # samples from one block of noise to the next; each fades into the next


class Call(NamedTuple):
    """A sound that was put into an hour.

    Args:
        label: what it is, a name of `CALLS` or `OTHERS`.
        begin_s: where it begins, in seconds.
        end_s: where it ends.
        loudness: in dB, relative to the noise.
    """

    label: str
    begin_s: float
    end_s: float
    loudness: float


class Hour:
    """One hour of made sound.

    Args:
        number: of the hour; another number is another hour.
        seed: of all hours.
        seconds: its length.

    Attributes:
        number: as given.
        seconds: as given.
        sounds: all sounds in it, by time.
        calls: those of them that are looked for.
    """

    def __init__(self, number: int, seed: int = 0, seconds: float = 3600.0) -> None:
        self.number, self.seed, self.seconds = number, seed, seconds
        rng = self._random(0)
        kinds = [*CALLS * CALLS_PER_HOUR, *OTHERS * OTHERS_PER_HOUR]
        many = round(len(kinds) * seconds / 3600)
        kinds = [kinds[i] for i in rng.permutation(len(kinds))[:many]]
        slot = seconds / max(1, many)  # each sound has its own stretch of time, so that no two overlap
        self.sounds = []
        for i, label in enumerate(kinds):
            length = between(rng, *SECONDS)
            begin = slot * i + rng.uniform(0, max(0.0, slot - length))
            self.sounds.append(Call(label, begin, begin + length, rng.uniform(*LOUDNESS)))
        self.calls = [sound for sound in self.sounds if sound.label in CALLS]

    def sound(self, begin_s: float = 0.0, end_s: float | None = None) -> Tensor:
        """Make a part of the hour.

        Args:
            begin_s: where it begins, in seconds.
            end_s: where it ends; None for the end of the hour.

        Returns:
            `(samples,)` float32 at 16 kHz in [-1, 1].
        """
        first, end = round(begin_s * RATE), round((self.seconds if end_s is None else end_s) * RATE)
        mixed = self._noise(first, end)
        for i, call in enumerate(self.sounds):
            at = round(call.begin_s * RATE) - first
            if call.begin_s < end / RATE and call.end_s > first / RATE:
                wave = self._call(i, call)
                start, stop = max(0, at), min(len(mixed), at + len(wave))
                mixed[start:stop] += wave[start - at : stop - at]
        return torch.from_numpy(mixed.clip(-1, 1)).float()

    def label(self, begin_s: float, end_s: float, least_s: float = 1.0) -> str | None:
        """Say which call is heard in a window.

        Args:
            begin_s: where the window begins, in seconds.
            end_s: where it ends.
            least_s: a call counts if so much of it lies in the window.

        Returns:
            The call of which most lies in the window; None if there is none.
        """
        parts = [(min(end_s, call.end_s) - max(begin_s, call.begin_s), call.label) for call in self.calls]
        longest, label = max(parts, default=(0.0, ""))
        return label if longest >= least_s else None

    def _random(self, *what: int) -> Generator:
        return Generator(PCG64([self.seed, self.number, *what]))

    def _noise(self, first: int, end: int) -> Floats:
        """Noise whose level and colour change slowly."""
        window = np.sin(np.pi * (np.arange(SAMPLES) + 0.5) / SAMPLES)  # two neighbours have constant power together
        noise = np.zeros(end - first)
        for block in range(first // BLOCK - 1, -(-end // BLOCK)):
            rng, turn = self._random(1, block + 1), 2 * np.pi * block * BLOCK / RATE / 600  # once in ten minutes
            wave = np.fft.irfft(noise_spectrum(rng, 20, 7900, 0.4 + 0.3 * np.sin(turn)), SAMPLES)
            wave *= window * LEVEL * 10 ** (2 * np.sin(1.7 * turn + self.number) / 20) / wave.std()
            at = block * BLOCK - first
            start, stop = max(0, at), min(len(noise), at + SAMPLES)
            noise[start:stop] += wave[start - at : stop - at]
        return noise

    def _call(self, i: int, call: Call) -> Floats:
        """The sound of a call, faded in and out, `(samples,)`."""
        rng, length = self._random(2, i), round((call.end_s - call.begin_s) * RATE)
        whole = SOUNDS[call.label](rng)
        begin = int(rng.integers(0, len(whole) - length))
        wave: Floats = whole[begin : begin + length].copy()
        wave[: len(FADE)] *= FADE
        wave[-len(FADE) :] *= FADE[::-1]
        level = np.sqrt(np.square(wave).mean()) + 1e-9
        wave *= LEVEL * 10 ** (call.loudness / 20) / level
        return wave
