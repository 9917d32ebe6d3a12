"""Which clips a step sees: every clip once in a random order, or rare classes more often; and what they are mixed with.

A plan of an epoch is a function of (seed, epoch) and of nothing before it. So a run that was stopped goes on with the
draws that it would have made, and any number of processes shares the same steps: each takes its part of the places.

Chapter: notebooks/06_data_and_augmentation.ipynb
"""

from dataclasses import dataclass

import numpy as np

from .data.targets import Targets


def random(seed: int, epoch: int, what: int) -> np.random.Generator:
    """The source of the draws of one kind in one epoch."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, epoch, what])))


def balanced_weights(classes: Targets) -> np.ndarray:
    """How often each clip is to be drawn, `(clips,)` float64, relative to the others.

    A class weighs 1000 / (its clips + 0.01), a clip the sum over its classes (original:
    egs/audioset/gen_weight_file.py:46-57). So a clip of a rare class and of a common one comes often. A clip without
    a class is never drawn.
    """
    per_class = 1000 / (classes.counts() + 0.01)
    return np.bincount(classes.rows(), weights=per_class[classes.columns], minlength=len(classes))


def draw(weights: np.ndarray, count: int, seed: int, epoch: int) -> np.ndarray:
    """`count` clips with replacement, each as often as its weight says: `(count,)` int64."""
    edges = np.cumsum(weights)
    if not edges[-1] > 0:
        raise ValueError("no clip has a weight above 0: are there labels at all?")
    source = random(seed, epoch, 1)
    points = np.sort(source.random(count)) * edges[-1]  # in order, the search stays in the processor's cache
    found = np.minimum(np.searchsorted(edges, points, side="right"), len(weights) - 1)
    return source.permutation(found)


@dataclass(frozen=True)
class Plan:
    """One epoch. The i-th place holds clip `clips[i]`; if `shares[i]` < 1 it is mixed with clip `partners[i]`.

    clips, partners: (places,) int64. shares: (places,) float32, the part of the clip itself. batch: places a step.
    """

    clips: np.ndarray
    partners: np.ndarray
    shares: np.ndarray
    batch: int

    def __len__(self) -> int:
        """Steps; the last one may be smaller."""
        return -(-len(self.clips) // self.batch)

    def places(self, step: int, process: int = 0, processes: int = 1) -> tuple[slice, slice]:
        """The places of a step (from 0), and those of them that belong to one process: as even as they can be."""
        first, last = step * self.batch, min((step + 1) * self.batch, len(self.clips))
        edges = [first + (last - first) * i // processes for i in (process, process + 1)]
        return slice(first, last), slice(*edges)

    def indices(self, step: int, process: int = 0, processes: int = 1) -> list[int]:
        """What a process loads for a step: its clips, then the partners of those that are mixed.

        A process that has no place in a small last step loads the step's first clip, which then counts for nothing.
        """
        whole, mine = self.places(step, process, processes)
        mixed = self.shares[mine] < 1
        found = [*self.clips[mine].tolist(), *self.partners[mine][mixed].tolist()]
        return found or [int(self.clips[whole.start])]

    def pairs(self, step: int, process: int = 0, processes: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Of a process's clips of a step, as `indices` has them: the row of each one's partner, and its own share.

        A clip that is not mixed is its own partner.
        """
        shares = self.shares[self.places(step, process, processes)[1]]
        partners, mixed = np.arange(len(shares)), shares < 1
        partners[mixed] = len(shares) + np.arange(mixed.sum())
        return partners, shares


def plan(
    length: int, batch: int, seed: int, epoch: int, weights: np.ndarray | None = None, mixup: float = 0.0
) -> Plan:
    """The plan of an epoch over `length` clips.

    weights: None for every clip once, else clips are drawn by `draw`, as many as there are. mixup: share of places
    that are mixed. A partner is any clip of the set, each as likely as the next, also where the clips themselves are
    drawn by weight (original: src/dataloader.py:157-163; its author found weighted partners worse). The share of the
    clip itself is Beta(10, 10).
    """
    if not 0 <= mixup <= 1:
        raise ValueError(f"the mixup rate is a share of the clips, 0 to 1; found {mixup}")
    if not length:
        raise ValueError("there is no clip to train on")
    order = random(seed, epoch, 0).permutation(length) if weights is None else draw(weights, length, seed, epoch)
    draws = random(seed, epoch, 2)
    mixed = draws.random(length) < mixup
    partners = draws.integers(length, size=length)
    shares = np.where(mixed, draws.beta(10, 10, size=length), 1.0).astype(np.float32)
    return Plan(order, partners, shares, batch)
