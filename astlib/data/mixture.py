"""Mixtures: clips of another data set added up, so that a clip has several labels and some labels are rare.

Chapter: notebooks/10_audioset.ipynb

AudioSet cannot be downloaded in a minute, but its two difficulties can be made from any data set: several sounds at
once, and classes of which a few are everywhere and most are hardly there.
"""

import hashlib

import numpy as np
import torch
from torch import Tensor

from .base import AudioDataset
from .report import Report
from .targets import Targets

GAIN = 5.0  # dB up or down
VERSION = 2  # a number more whenever the same draw gives another sound


class Mixture(AudioDataset):
    """Sums of clips of different classes, with the labels of all of them.

    Mixture i is a function of (seed, i) and the base set: which classes, a clip of each, their gains and their places
    in time. It is the same in a longer Mixture, on every machine and in every epoch.

    Args:
        base: where the clips come from. Its order and its number of clips must stay.
        clips: how many mixtures.
        parts: the fewest and the most clips in one, each of another class.
        seed: of every draw.
        skew: a class is drawn with a probability that falls as rank ** -skew; its rank is drawn from the seed. With 0
            all are equally likely, with 1 the first of 50 is drawn 50 times as often as the last.
        seconds: length of every mixture: longer clips are cut, shorter ones lie somewhere in it. None: that of the
            longest clip in it.

    A sum that would clip is scaled to a peak of 1.

    Raises:
        ValueError: numbers that make no mixture.
    """

    multi_label = True

    def __init__(
        self,
        base: AudioDataset,
        clips: int = 2000,
        parts: tuple[int, int] = (2, 3),
        seed: int = 0,
        skew: float = 1.0,
        seconds: float | None = None,
    ):
        present = np.flatnonzero(base.classes.counts())
        if not 1 <= parts[0] <= parts[1] <= len(present):
            classes = f"the {len(present)} classes of {base.name}"
            raise ValueError(f"parts must be (fewest, most), from 1 to {classes}; got {parts}")
        if clips < 1 or skew < 0 or (seconds is not None and seconds < 0.025):
            found = f"{clips}, {skew}, {seconds}"
            raise ValueError(f"clips must be 1 or more, skew 0 or more, seconds 0.025 or more; got {found}")
        self.base, self.length = base, None if seconds is None else round(seconds * self.rate)
        self.name, self.is_synthetic = f"{base.name}-mixture", base.is_synthetic
        rank = np.argsort(_draws(seed, 0).random(len(present)))  # a permutation
        odds = (1.0 + rank) ** -skew
        owners = base.classes.rows()
        clips_of = [owners[base.classes.columns == column] for column in present]
        sources = []
        for i in range(clips):
            rng = _draws(seed, i + 1)
            count = parts[0] + int(rng.random() * (parts[1] - parts[0] + 1))
            # Without replacement, by keys (Efraimidis & Spirakis 2006): the same as one draw after another.
            chosen = np.argsort(np.log(1 - rng.random(len(odds))) / odds)[::-1][:count]
            rows = [int(clips_of[c][int(rng.random() * len(clips_of[c]))]) for c in chosen]
            # Rounded, because numpy's powers differ in the last bit from one kind of processor to another, and with
            # it the fingerprint would.
            gains = (10 ** (rng.uniform(-GAIN, GAIN, count) / 20)).round(6)
            sources.append((tuple(rows), tuple(gains.tolist()), tuple(rng.random(count).tolist())))
        joined = [(i, column) for i, (rows, _, _) in enumerate(sources) for r in rows for column in _columns(base, r)]
        report = Report(self.name, clips)
        report.notes += [f"What it is made from: {base.report}"] if base.report.problems else []
        super().__init__(
            labels=base.labels,
            names=[f"mixture-{seed}-{i}" for i in range(clips)],
            targets=Targets.from_pairs(*np.array(joined).T, clips, len(base.labels)),
            folds=None,
            sources=sources,
            report=report,
        )
        self._digests: dict[int, bytes] = {}

    def read(self, source) -> Tensor:
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

    def fingerprint(self, source) -> bytes:
        for row in source[0]:
            if row not in self._digests:
                self._digests[row] = hashlib.sha256(self.base.fingerprint(self.base.sources[row])).digest()
        return repr((VERSION, self.length, source[1:], [self._digests[row] for row in source[0]])).encode()

    def seconds(self, source) -> float:
        if self.length is not None:
            return self.length / self.rate
        return max(self.base.seconds(self.base.sources[row]) for row in source[0])

    def preload(self, progress: bool = True) -> "Mixture":
        """Decode the clips that it is made from and keep those: adding up is cheap."""
        self.base.preload(progress)
        return self


def _draws(seed: int, stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([seed, stream]))


def _columns(base: AudioDataset, row: int) -> np.ndarray:
    return base.classes.columns[base.classes.offsets[row] : base.classes.offsets[row + 1]]
