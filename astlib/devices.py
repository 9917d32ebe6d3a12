"""The device that a run uses, its precision, and how a run learns that it should stop.

Hugging Face Accelerate knows whether this process is alone or one of many, and where its tensors belong.

Chapter: notebooks/07_the_training_loop.ipynb
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Literal

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import parse_flag_from_env

from .errors import InvalidInput

Precision = Literal["auto", "no", "bf16", "fp16"]
PRECISIONS = {"no": "float32", "bf16": "bfloat16 mixed", "fp16": "float16 mixed"}  # Accelerate's name: what it is

ECHO = 2.0  # seconds within which a second Ctrl-C may be torchrun's copy of the first


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


def processes() -> int:
    """Return how many processes torchrun or `accelerate launch` has started for this run.

    Returns:
        Their number over all machines; 1 where neither of them started this process.
    """
    return int(os.environ.get("WORLD_SIZE", "1")) if "LOCAL_RANK" in os.environ else 1


def new_accelerator(precision: str = "no", tracker: str | None = None, folder: Path | None = None) -> Accelerator:
    """Create an Accelerator.

    Accelerate's process-wide state is reset first; otherwise every later run in this process, as in a notebook, would
    use the first run's precision. Several processes on a machine without a GPU share the work on its CPU, by way of
    gloo; Accelerate has to be told so, or each of them would believe that it is alone.

    Args:
        precision: as for `choose_precision`.
        tracker: "tensorboard", or another tracker that Accelerate knows; None for none.
        folder: where the tracker writes.

    Returns:
        The accelerator.

    Raises:
        InvalidInput: as in `choose_precision`; or this machine has fewer GPUs than processes.
    """
    gpus, place = torch.cuda.device_count() or torch.xpu.device_count(), int(os.environ.get("LOCAL_RANK", "0"))
    if processes() > 1 and 0 < gpus <= place and not parse_flag_from_env("ACCELERATE_USE_CPU"):
        raise InvalidInput(
            f"every process needs a GPU of its own; this machine has {gpus}, and this is process {place + 1} here. "
            f"Start {gpus} of them (torchrun --nproc-per-node {gpus}), or set ACCELERATE_USE_CPU=true for the CPU"
        )
    AcceleratorState._reset_state()
    return Accelerator(
        cpu=processes() > 1 and not gpus,
        mixed_precision=choose_precision(precision),
        log_with=tracker,
        project_dir=folder,
    )


@contextlib.contextmanager
def asked_to_stop() -> Iterator[threading.Event]:
    """Make Ctrl-C and SIGTERM, which a scheduler sends before it takes the machine away, end the step, not the program.

    A second Ctrl-C stops the program at once. torchrun passes on to its processes what the terminal has sent them
    already, so there a second one counts only if it comes later than `ECHO` seconds. Outside the main thread, where
    signals cannot be handled, nothing changes.

    Yields:
        An event that is set as soon as somebody has asked for a stop.
    """
    asked, first = threading.Event(), 0.0
    echo = ECHO if processes() > 1 else 0.0

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal first
        if not asked.is_set():
            first = time.monotonic()
            asked.set()
        elif number == signal.SIGINT and time.monotonic() >= first + echo:
            raise KeyboardInterrupt

    handled = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, ask) for number in handled}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
