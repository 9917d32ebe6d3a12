"""Precision follows the hardware, and a request to stop is heard."""

import signal
import threading
import time

import pytest
import torch

from astlib import devices
from astlib.devices import asked_to_stop, choose_precision, new_accelerator
from astlib.errors import InvalidInput


def test_precision_follows_the_chip_or_what_accelerate_was_told(monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    assert choose_precision("auto") == "bf16" and choose_precision("no") == "no"
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")  # as accelerate launch does, unasked
    for cuda, bf16, expected in [(False, False, "no"), (True, True, "bf16"), (True, False, "fp16")]:
        monkeypatch.setattr(torch.cuda, "is_available", lambda cuda=cuda: cuda)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True, bf16=bf16: bf16)
        assert choose_precision("auto") == expected
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="fp16 needs an NVIDIA card"):
        choose_precision("fp16")


def test_a_process_may_have_several_precisions_one_after_the_other():
    assert [new_accelerator(precision).mixed_precision for precision in ("no", "bf16", "no")] == ["no", "bf16", "no"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_request_is_heard_and_a_second_ctrl_c_ends_it(number):
    before = signal.getsignal(number)
    with asked_to_stop() as asked:
        assert not asked.is_set()
        signal.raise_signal(number)
        assert asked.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(number) is before


def test_torchruns_copy_of_a_ctrl_c_is_not_a_second_one(monkeypatch):
    """The terminal sends it to every process, and torchrun once more to those that it has started."""
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with asked_to_stop() as asked:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert asked.is_set()
        later = time.monotonic() + devices.ECHO
        monkeypatch.setattr(time, "monotonic", lambda: later)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_processes_without_a_gpu_are_told_to_share_the_cpu(monkeypatch):
    """Accelerate alone would take each of them for a run of its own. That they do share is seen in train/test_steps."""
    asked = []
    monkeypatch.setattr(devices, "Accelerator", lambda cpu, **_: asked.append(cpu))
    for gpus, place, processes in [(0, None, 2), (0, "0", 1), (0, "1", 2), (2, "1", 2)]:
        monkeypatch.setattr(torch.cuda, "device_count", lambda gpus=gpus: gpus)
        monkeypatch.setenv("WORLD_SIZE", str(processes))
        monkeypatch.delenv("LOCAL_RANK", raising=False)
        if place is not None:
            monkeypatch.setenv("LOCAL_RANK", place)
        new_accelerator()
    assert asked == [False, False, True, False]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InvalidInput, match="this machine has 1, and this is process 2 here. Start 1 of them"):
        new_accelerator()
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    new_accelerator()


def test_outside_the_main_thread_nothing_changes():
    before, inside = signal.getsignal(signal.SIGINT), []

    def thread():
        with asked_to_stop() as asked:
            inside.append((signal.getsignal(signal.SIGINT), asked.is_set()))

    worker = threading.Thread(target=thread)
    worker.start()
    worker.join()
    assert inside == [(before, False)]
