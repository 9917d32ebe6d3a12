"""Precision follows the hardware, and a request to stop is heard."""

import signal
import threading

import pytest
import torch

from astlib.devices import asked_to_stop, choose_precision, new_accelerator


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


def test_outside_the_main_thread_nothing_changes():
    before, inside = signal.getsignal(signal.SIGINT), []

    def thread():
        with asked_to_stop() as asked:
            inside.append((signal.getsignal(signal.SIGINT), asked.is_set()))

    worker = threading.Thread(target=thread)
    worker.start()
    worker.join()
    assert inside == [(before, False)]
