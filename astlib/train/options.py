"""How a run is carried out. Nothing here changes a result beyond rounding: what decides a result is the recipe.

Chapter: notebooks/07_the_training_loop.ipynb
"""

from dataclasses import dataclass
from typing import TypedDict

from ..data.report import ENOUGH
from ..devices import Precision
from ..errors import InvalidInput


@dataclass(frozen=True)
class Options:
    """Settings of a run that are not part of its recipe, for `fit`, `astlib train` and `astlib reproduce`.

    Raises:
        InvalidInput: a value out of range.
    """

    workers: int = 0
    """Loader processes per device; 0 decodes all clips once and keeps them if memory allows."""
    precision: Precision = "auto"
    """"no" (float32), "bf16", "fp16", or "auto", see `astlib.devices.choose_precision`."""
    micro_batch: int = 0
    """Clips that a device processes at a time, to save memory; 0 takes its whole part of a step."""
    save_minutes: float = 10.0
    """Minutes between checkpoints inside an epoch."""
    require: float = ENOUGH
    """Fraction of the clips of each part that must be usable; with fewer, the run stops and lists the others."""
    tracker: str | None = None
    """"tensorboard", or another tracker that Accelerate knows; None for none."""
    progress: bool = True
    """Show a progress bar and a line per epoch."""

    def __post_init__(self) -> None:
        if min(self.workers, self.micro_batch, self.save_minutes) < 0 or not 0 <= self.require <= 1:
            raise InvalidInput(
                "workers, micro_batch and save_minutes must be 0 or more, require from 0 to 1; found "
                f"{self.workers}, {self.micro_batch}, {self.save_minutes} and {self.require}"
            )


class Settings(TypedDict, total=False):
    """The fields of `Options` as keyword arguments, so that type checkers and editors know them.

    Attributes:
        workers: see `Options`.
        precision: see `Options`.
        micro_batch: see `Options`.
        save_minutes: see `Options`.
        require: see `Options`.
        tracker: see `Options`.
        progress: see `Options`.
    """

    workers: int
    precision: Precision
    micro_batch: int
    save_minutes: float
    require: float
    tracker: str | None
    progress: bool
