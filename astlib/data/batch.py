"""What goes from a data set to the device: single clips as items, and several of them as a batch.

Chapter: notebooks/06_data_and_augmentation.ipynb
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NotRequired, Self, TypedDict

import torch
from torch import Tensor

from ..errors import AudioError
from .report import Problem

SHORTEST = 400  # samples, 25 ms: the log-mel has no frame of a shorter clip


class Item(TypedDict):
    """One clip of a data set, as loaders of torch expect it: a dict.

    Attributes:
        waveform: `(samples,)` float32 in [-1, 1] at 16 kHz.
        target: `(classes,)` float32, one-hot or multi-hot.
        index: number of the clip in its data set.
        problem: why the clip cannot be used; None or absent for a usable clip.
    """

    waveform: Tensor
    target: Tensor
    index: int
    problem: NotRequired[Problem | None]


@dataclass(frozen=True)
class Batch:
    """Several clips, padded to the longest.

    Attributes:
        waveforms: `(batch, samples)` float32 in [-1, 1], zero after each clip's end.
        lengths: `(batch,)` int64, samples of each clip before padding.
        targets: `(batch, classes)` float32.
        index: `(batch,)` int64, numbers of the clips in their data set.
        usable: `(batch,)` bool; False where a clip cannot be used and silence is in its place.
        problems: one per unusable clip.
    """

    waveforms: Tensor
    lengths: Tensor
    targets: Tensor
    index: Tensor
    usable: Tensor
    problems: Sequence[Problem] = ()

    def __len__(self) -> int:
        return len(self.index)

    @property
    def clips(self) -> tuple[Tensor, Tensor, Tensor]:
        """Waveforms, lengths and targets: what mixup mixes."""
        return self.waveforms, self.lengths, self.targets

    def to(self, device: torch.device | str) -> Self:
        """Move the tensors to a device.

        Args:
            device: the device.

        Returns:
            A new batch.
        """
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Self:
        """Copy the tensors to page-locked memory, from which they reach a GPU faster. Called by torch's loaders.

        Returns:
            A new batch.
        """
        return self._each(Tensor.pin_memory)

    def _each(self, function: Callable[[Tensor], Tensor]) -> Self:
        changed: dict[str, Any] = {
            name: function(value) for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        return replace(self, **changed)

    @classmethod
    def empty(cls, classes: int) -> Self:
        """Return a batch of no clips, for a process that gets no clip of a small last step.

        Args:
            classes: number of classes.

        Returns:
            A batch whose tensors have length 0.
        """
        none = torch.zeros(0, dtype=torch.int64)
        return cls(torch.zeros(0, 0), none, torch.zeros(0, classes), none, none.bool())


def collate(items: Sequence[Item]) -> Batch:
    """Join items of a data set into one batch. Waveforms are padded with zeros at the end.

    Args:
        items: of an `AudioDataset` or a `Loadable`; at least one.

    Returns:
        The batch.
    """
    waveforms = [item["waveform"] for item in items]
    problems = [item.get("problem") for item in items]
    return Batch(
        waveforms=torch.nn.utils.rnn.pad_sequence(waveforms, batch_first=True),
        lengths=torch.tensor([len(waveform) for waveform in waveforms]),
        targets=torch.stack([item["target"] for item in items]),
        index=torch.tensor([item["index"] for item in items]),
        usable=torch.tensor([problem is None for problem in problems]),
        problems=[problem for problem in problems if problem is not None],
    )


def guarded(make: Callable[[], Item], name: str, target: Tensor, index: int) -> Item:
    """Make an item, or 25 ms of silence and a problem if the clip cannot be used.

    A clip shorter than 25 ms counts as empty, because its log-mel spectrogram would have no frame.

    Args:
        make: returns the item or raises AudioError.
        name: of the clip.
        target: `(classes,)` of the clip.
        index: its number.

    Returns:
        The item with the key "problem": None, or why the clip cannot be used.
    """
    try:
        item = make()
    except AudioError as error:
        problem = Problem.of(name, error)
    else:
        samples = len(item["waveform"])
        if samples >= SHORTEST:
            return {**item, "problem": None}
        reason = f"{name}: has {samples} samples, less than the {SHORTEST} of 25 ms. Leave it out"
        problem = Problem(name, "empty", reason)
    return {"waveform": torch.zeros(SHORTEST), "target": target, "index": index, "problem": problem}
