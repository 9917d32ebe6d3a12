"""Devices: where a run computes, in which precision, and how it hears that it should stop.

Hugging Face Accelerate knows whether this process is alone or one of many, and where its tensors belong.

Chapter: notebooks/07_the_training_loop.ipynb
"""

import contextlib
import os
import signal
import threading
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

PRECISIONS = {"no": "float32", "bf16": "bfloat16 mixed", "fp16": "float16 mixed"}


def choose_precision(precision: str) -> str:
    """ "auto" becomes what the device is good at: bfloat16 where the chip computes it (Ampere and later), float16 with
    a loss scaler on older NVIDIA cards such as the T4, float32 elsewhere. Accelerate's own setting goes before that
    (ACCELERATE_MIXED_PRECISION=bf16 for a processor that computes it), except "no": `accelerate launch` sets that where
    nobody chose. Anything else stays as it is.

    Raises ValueError for an unknown one, and for float16 where there is no NVIDIA card.
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
        raise ValueError(f"precision must be auto or one of {', '.join(PRECISIONS)}; found {precision!r}")
    if precision == "fp16" and not cuda:
        raise ValueError("fp16 needs an NVIDIA card, and there is none here: take no (float32) or bf16")
    return precision


def new_accelerator(precision: str = "no", tracker: str | None = None, folder: Path | None = None) -> Accelerator:
    """A fresh one: accelerate keeps the first precision of a process for ever, and a notebook has several runs."""
    AcceleratorState._reset_state()
    return Accelerator(mixed_precision=choose_precision(precision), log_with=tracker, project_dir=folder)


@contextlib.contextmanager
def asked_to_stop():
    """Ctrl-C and SIGTERM (what a scheduler sends before it takes the machine away) end the step, not the program.

    Gives a threading.Event that is set when somebody asked. A second Ctrl-C stops at once.
    """
    asked, before = threading.Event(), {}

    def ask(number, frame):
        if asked.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.set()

    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
