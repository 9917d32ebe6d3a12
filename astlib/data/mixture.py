"""Mixtures: sums of clips of another data set, so that a clip has several labels and some labels are rare.

Chapter: notebooks/10_audioset.ipynb

AudioSet cannot be downloaded in a minute, but its two difficulties can be made from any data set: several sounds at
once, and a few common classes beside many rare ones.
"""

import hashlib
from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InvalidInput
from .base import AudioDataset
from .report import Report
from .targets import Targets

GAIN = 5.0  # largest change of level, in dB up or down
MIXTURE_VERSION = 2  # to be raised whenever the same draw gives another sound

# A mixture: numbers of its clips in the base set, their gains, and their places in time from 0 to 1.
Draw = tuple[tuple[int, ...], tuple[float, ...], tuple[float, ...]]


class Mixture(AudioDataset):
    """Sums of clips of different classes, with the labels of all of them.

    Mixture i is a function of (seed, i) and the base set: its classes, one clip of each, their gains and their places
    in time. It is the same in a longer Mixture, on every machine and in every epoch. A sum with a peak above 1 is
    scaled to a peak of 1.

    Args:
        base: where the clips come from. The order and the number of its clips must not change.
        clips: how many mixtures.
        parts: the smallest and the largest number of clips in one mixture, each of another class.
        seed: of every draw.
        skew: a class is drawn with a probability proportional to rank ** -skew; its rank is drawn from the seed. With 0
            all classes are equally likely, with 1 the first of 50 is drawn 50 times as often as the last.
        seconds: length of every mixture: longer clips are cut, shorter ones are placed somewhere in it. None: the
            length of the longest clip in it.

    Attributes:
        base: as given.
        length: samples of every mixture, or None.

    Raises:
        InvalidInput: numbers with which no mixture can be made.
    """

    multi_label = True
    sources: Sequence[Draw]

    def __init__(
        self,
        base: AudioDataset,
        clips: int = 2000,
        parts: tuple[int, int] = (2, 3),
        seed: int = 0,
        skew: float = 1.0,
        seconds: float | None = None,
    ) -> None:
        present = np.flatnonzero(base.classes.counts())
        if not 1 <= parts[0] <= parts[1] <= len(present):
            classes = f"the {len(present)} classes of {base.name}"
            raise InvalidInput(f"parts must be (fewest, most), from 1 to {classes}; got {parts}")
        if clips < 1 or skew < 0 or (seconds is not None and seconds < 0.025):
            found = f"{clips}, {skew}, {seconds}"
            raise InvalidInput(f"clips must be 1 or more, skew 0 or more, seconds 0.025 or more; got {found}")
        self.base, self.length = base, None if seconds is None else round(seconds * self.rate)
        self.name, self.is_synthetic = f"{base.name}-mixture", base.is_synthetic
        sources = _draw(base, present, clips, parts, seed, skew)
        joined = [(i, column) for i, (rows, _, _) in enumerate(sources) for r in rows for column in _columns(base, r)]
        owners, columns = np.array(joined).T
        report = Report(self.name, clips)
        report.notes += [f"What it is made from: {base.report}"] if base.report.problems else []
        super().__init__(
            labels=base.labels,
            names=[f"mixture-{seed}-{i}" for i in range(clips)],
            targets=Targets.from_pairs(owners, columns, clips, len(base.labels)),
            folds=None,
            sources=sources,
            report=report,
        )
        self._digests: dict[int, bytes] = {}

    def read(self, source: Draw) -> Tensor:
        """Add up the clips of one mixture: `(samples,)` float32 in [-1, 1]. Raises AudioError if one is unusable."""
        rows, gains, places = source
        clips = [gain * self.base.waveform(row) for row, gain in zip(rows, gains, strict=True)]
        samples = max(map(len, clips)) if self.length is None else self.length
        mixture = torch.zeros(samples)
        for clip, place in zip(clips, places, strict=True):
            room = samples - len(clip)
            start = int(place * (abs(room) + 1))
            if room >= 0:
                mixture[start : start + len(clip)] += clip
            else:
                mixture += clip[start : start + samples]
        return mixture / mixture.abs().max().clamp(min=1)

    def fingerprint(self, source: Draw) -> bytes:
        """Return gains and places, and the hashes of the clips that are added up."""
        for row in source[0]:
            if row not in self._digests:
                self._digests[row] = hashlib.sha256(self.base.fingerprint(self.base.sources[row])).digest()
        return repr((MIXTURE_VERSION, self.length, source[1:], [self._digests[row] for row in source[0]])).encode()

    def seconds(self, source: Draw) -> float:
        """Return the length of one mixture in seconds. Raises AudioError if a clip cannot be read."""
        if self.length is not None:
            return self.length / self.rate
        return max(self.base.seconds(self.base.sources[row]) for row in source[0])

    def preload(self, progress: bool = True) -> Self:
        """Decode the clips that the mixtures are made from and keep those: adding them up is cheap."""
        self.base.preload(progress)
        return self

    def estimated_bytes(self, most: int = 1000) -> int:
        """Estimate how much memory `preload` takes, which keeps the clips of the base and no mixture.

        Args:
            most: number of clips of the base to look at.

        Returns:
            Bytes.
        """
        return self.base.estimated_bytes(most)


def _draw(
    base: AudioDataset,
    present: NDArray[np.int64],
    clips: int,
    parts: tuple[int, int],
    seed: int,
    skew: float,
) -> list[Draw]:
    """Draw the mixtures. `present` has the numbers of the classes that have clips."""
    rank = np.argsort(_draws(seed, 0).random(len(present)))  # a permutation
    odds = (1.0 + rank) ** -skew
    owners = base.classes.rows()
    clips_of = [owners[base.classes.columns == column] for column in present]
    drawn: list[Draw] = []
    for i in range(clips):
        rng = _draws(seed, i + 1)
        count = parts[0] + int(rng.random() * (parts[1] - parts[0] + 1))
        # Without replacement, by keys (Efraimidis & Spirakis 2006): the same distribution as one draw after another.
        chosen = np.argsort(np.log(1 - rng.random(len(odds))) / odds)[::-1][:count]
        rows = [int(clips_of[c][int(rng.random() * len(clips_of[c]))]) for c in chosen]
        # Rounded, because the last bit of numpy's powers depends on the processor, and the fingerprint would too.
        gains = (10 ** (rng.uniform(-GAIN, GAIN, count) / 20)).round(6)
        drawn.append((tuple(rows), tuple(gains.tolist()), tuple(rng.random(count).tolist())))
    return drawn


def _draws(seed: int, stream: int) -> np.random.Generator:
    """An independent stream of random numbers."""
    return np.random.Generator(np.random.PCG64([seed, stream]))


def _columns(base: AudioDataset, row: int) -> NDArray[np.int32]:
    """Numbers of the classes of one clip."""
    return base.classes.columns[base.classes.offsets[row] : base.classes.offsets[row + 1]]
