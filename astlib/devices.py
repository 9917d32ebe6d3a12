"""The device that a run uses, its precision, and how a run learns that it should stop.

Hugging Face Accelerate knows whether this process is alone or one of many, and where its tensors belong.

Chapter: notebooks/07_the_training_loop.ipynb
"""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Literal

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from .errors import InvalidInput

Precision = Literal["auto", "no", "bf16", "fp16"]
PRECISIONS = {"no": "float32", "bf16": "bfloat16 mixed", "fp16": "float16 mixed"}  # Accelerate's name: what it is


def choose_precision(precision: str) -> str:
    """Replace "auto" by the precision that suits the device, and check any other.

    "auto" is bfloat16 where the GPU computes in it (NVIDIA Ampere and later), float16 with a loss scaler on older
    NVIDIA cards such as the T4, and float32 elsewhere. Accelerate's own setting comes first
    (ACCELERATE_MIXED_PRECISION=bf16, for a CPU that computes in it), unless it is "no": `accelerate launch` sets that
    where nobody has chosen.

    Args:
        precision: "auto" or a key of `PRECISIONS`.

    Returns:
        A key of `PRECISIONS`.

    Raises:
        InvalidInput: an unknown precision, or float16 without an NVIDIA card.
    """
    cuda = torch.cuda.is_available()
    if precision == "auto":
        chosen = os.environ.get("ACCELERATE_MIXED_PRECISION", "no").lower()
        precision = "auto" if chosen == "no" else chosen
    if precision == "auto":
        if not cuda:
            return "no"
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if precision not in PRECISIONS:
        raise InvalidInput(f"precision must be auto or one of {', '.join(PRECISIONS)}; found {precision!r}")
    if precision == "fp16" and not cuda:
        raise InvalidInput("fp16 needs an NVIDIA card, and there is none here: take no (float32) or bf16")
    return precision


def new_accelerator(precision: str = "no", tracker: str | None = None, folder: Path | None = None) -> Accelerator:
    """Create an Accelerator.

    Accelerate's process-wide state is reset first; otherwise every later run in this process, as in a notebook, would
    use the first run's precision.

    Args:
        precision: as for `choose_precision`.
        tracker: "tensorboard", or another tracker that Accelerate knows; None for none.
        folder: where the tracker writes.

    Returns:
        The accelerator.

    Raises:
        InvalidInput: as in `choose_precision`.
    """
    AcceleratorState._reset_state()
    return Accelerator(mixed_precision=choose_precision(precision), log_with=tracker, project_dir=folder)


@contextlib.contextmanager
def asked_to_stop() -> Iterator[threading.Event]:
    """Make Ctrl-C and SIGTERM, which a scheduler sends before it takes the machine away, end the step, not the program.

    A second Ctrl-C stops the program at once. Outside the main thread, where signals cannot be handled, nothing
    changes.

    Yields:
        An event that is set as soon as somebody has asked for a stop.
    """
    asked = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        if asked.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.set()

    handled = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, ask) for number in handled}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
