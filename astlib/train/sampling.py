"""Which clips a step sees: every clip once in random order, or rare classes more often; and what they are mixed with.

A plan of an epoch is a function of (seed, epoch) and of nothing drawn before. So a resumed run gets the draws that it
would have had without the stop, and any number of processes shares the same steps.

Chapter: notebooks/06_data_and_augmentation.ipynb
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..data.targets import Targets
from ..errors import InvalidInput

# What the draws of an epoch are for: the third part of the seed, so that each has a generator of its own.
ORDER, BALANCED, PARTNERS, FIRST_STREAMED_STEP = range(4)
BEGINS = 2**31  # later than any step of a stream


def random(seed: int, epoch: int, purpose: int) -> np.random.Generator:
    """Return the source of the random draws for one purpose in one epoch.

    Args:
        seed: of the run.
        epoch: from 1.
        purpose: a number of its own for each kind of draw.

    Returns:
        A generator that depends on the arguments and on nothing drawn before.
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, epoch, purpose])))


def balanced_weights(classes: Targets) -> NDArray[np.float64]:
    """Weights by which clips of rare classes are drawn more often.

    The weight of a class is 1000 / (number of its clips + 0.01), that of a clip the sum over its classes (original:
    egs/audioset/gen_weight_file.py:46-57). So a clip that has a rare class beside a common one is drawn often. A clip
    without a class has weight 0.

    Args:
        classes: of all clips.

    Returns:
        `(clips,)`; only their ratios matter.
    """
    per_class = 1000 / (classes.counts() + 0.01)  # (classes,)
    sums = np.bincount(classes.rows(), weights=per_class[classes.columns], minlength=len(classes))
    return sums.astype(np.float64, copy=False)  # as it is already; numpy's type stubs say integers


def draw(weights: NDArray[np.float64], count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Draw clips with replacement, each with a probability proportional to its weight.

    Args:
        weights: `(clips,)`, 0 or more.
        count: number of draws.
        seed: of the run.
        epoch: from 1.

    Returns:
        `(count,)`, numbers of clips.

    Raises:
        InvalidInput: no weight is above 0.
    """
    edges = np.cumsum(weights)
    if not edges[-1] > 0:
        raise InvalidInput("no clip has a weight above 0: are there labels at all?")
    source = random(seed, epoch, BALANCED)
    points = np.sort(source.random(count)) * edges[-1]  # sorted, because a search in order stays in the CPU's cache
    clips = np.minimum(np.searchsorted(edges, points, side="right"), len(weights) - 1)
    return source.permutation(clips)


def draw_lambda(source: np.random.Generator, mixed: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Draw mixup's lambda, the weight of a clip against its partner: Beta(10, 10) (original: src/dataloader.py:124).

    Args:
        source: of the random numbers.
        mixed: `(clips,)`, which clips are mixed.

    Returns:
        `(clips,)`, 1 for a clip that is not mixed.
    """
    return np.where(mixed, source.beta(10, 10, size=len(mixed)), 1.0).astype(np.float32)


@dataclass(frozen=True)
class Plan:
    """One epoch: place i holds clip `clips[i]`, and if `lam[i]` < 1 it is mixed with clip `partners[i]`.

    Attributes:
        clips: `(places,)` int64, in the order of training.
        partners: `(places,)` int64.
        lam: `(places,)` float32, mixup's lambda: the weight of the clip itself; 1 where it is not mixed.
        begins: `(2, places)` float64 in [0, 1): where the window of the clip begins, and that of its partner, if they
            are longer than the input, see `astlib.data.windows.OneWindow`.
        batch: places per step.
    """

    clips: NDArray[np.int64]
    partners: NDArray[np.int64]
    lam: NDArray[np.float32]
    begins: NDArray[np.float64]
    batch: int

    def __len__(self) -> int:
        """Number of steps; the last one may be smaller."""
        return -(-len(self.clips) // self.batch)

    def places(self, step: int, process: int = 0, processes: int = 1) -> tuple[slice, slice]:
        """Divide the places of a step among the processes, as evenly as possible.

        Args:
            step: from 0.
            process: number of the process, from 0.
            processes: how many there are.

        Returns:
            The places of the whole step, and those of this process.
        """
        first, last = step * self.batch, min((step + 1) * self.batch, len(self.clips))
        edges = [first + (last - first) * i // processes for i in (process, process + 1)]
        return slice(first, last), slice(*edges)

    def indices(self, step: int, process: int = 0, processes: int = 1) -> list[int]:
        """List what a process loads for a step: its clips, then the partners of those that are mixed.

        A process that has no place in a small last step loads the first clip of the step, which does not count.

        Args:
            step: from 0.
            process: number of the process, from 0.
            processes: how many there are.

        Returns:
            Numbers of clips, at least one.
        """
        return [clip for clip, _ in self.windows(step, process, processes)]

    def windows(self, step: int, process: int = 0, processes: int = 1) -> list[tuple[int, float]]:
        """List what `indices` lists, each clip with the place of its window.

        A place of the epoch has its own window: a clip that is drawn twice is heard in two places.

        Args:
            step: from 0.
            process: number of the process, from 0.
            processes: how many there are.

        Returns:
            Number of the clip and a number in [0, 1), see `begins`; at least one.
        """
        whole, mine = self.places(step, process, processes)
        mixed = self.lam[mine] < 1
        clips = [*self.clips[mine].tolist(), *self.partners[mine][mixed].tolist()] or [int(self.clips[whole.start])]
        begins = [*self.begins[0][mine].tolist(), *self.begins[1][mine][mixed].tolist()] or [0.0]
        return list(zip(clips, begins, strict=True))

    def pairs(self, step: int, process: int = 0, processes: int = 1) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Tell for each clip of a process in a step where its partner is loaded, and lambda.

        Args:
            step: from 0.
            process: number of the process, from 0.
            processes: how many there are.

        Returns:
            Rows of the partners in what `indices` lists, `(count,)`, and lambda, `(count,)`. A clip that is not mixed
            is its own partner.
        """
        lam = self.lam[self.places(step, process, processes)[1]]
        partners, mixed = np.arange(len(lam)), lam < 1
        partners[mixed] = len(lam) + np.arange(mixed.sum())
        return partners, lam


def plan_epoch(
    length: int,
    batch: int,
    seed: int,
    epoch: int,
    weights: NDArray[np.float64] | None = None,
    mixup: float = 0.0,
) -> Plan:
    """Plan one epoch.

    A partner is any clip of the data set, all equally likely, also where the clips themselves are drawn by weight
    (original: src/dataloader.py:157-163; its author found weighted partners worse).

    Args:
        length: number of clips in the data set, and of places in the epoch.
        batch: places per step.
        seed: of the run.
        epoch: from 1.
        weights: `(length,)`, for `draw`; None takes every clip once.
        mixup: fraction of the places that are mixed, 0 to 1.

    Returns:
        The plan.

    Raises:
        InvalidInput: no clip, no weight above 0, or a fraction outside 0 to 1.
    """
    if not 0 <= mixup <= 1:
        raise InvalidInput(f"the mixup rate is a fraction of the clips, 0 to 1; found {mixup}")
    if not length:
        raise InvalidInput("there is no clip to train on")
    order = random(seed, epoch, ORDER).permutation(length) if weights is None else draw(weights, length, seed, epoch)
    draws = random(seed, epoch, PARTNERS)
    mixed = draws.random(length) < mixup
    partners = draws.integers(length, size=length)
    begins = random(seed, epoch, BEGINS).random((2, length))
    return Plan(order, partners, draw_lambda(draws, mixed), begins, batch)
