"""From a sound file to the names of classes, with any saved network.

A network reads a fixed number of frames. A shorter sound is padded as in training; a longer one is cut into windows
that overlap by half, and the probabilities are averaged over them, or kept per window to say when a class was heard.

Chapters: notebooks/04_the_whole_ast.ipynb and notebooks/15_your_own_sounds.ipynb
"""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

from .errors import InvalidInput
from .frontend import Features
from .model import to_probabilities
from .networks import Network

WINDOWS_AT_ONCE = 8  # a long recording is not held as one spectrogram


def starts(total: int, frames: int) -> list[int]:
    """List where the windows over a sound begin: half a window apart, and the last one ends with the sound.

    Args:
        total: frames of the sound.
        frames: frames of a window.

    Returns:
        The first frame of each window; only 0 if the sound fits into one window.
    """
    return [*range(0, total - frames, frames // 2), total - frames] if total > frames else [0]


@contextlib.contextmanager
def evaluating(model: Network) -> Iterator[None]:
    """Put a network into eval mode for a while. In training mode, batch norm would use and change other statistics.

    Args:
        model: the network; afterwards each of its modules is in the mode that it was in.

    Yields:
        Nothing.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@torch.inference_mode()
def timeline(model: Network, waveform: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the probabilities of every class for each window of a sound.

    Args:
        model: the network; its mode and its statistics stay as they are.
        waveform: one mono sound `(samples,)` at 16 kHz in [-1, 1], floating point, 25 ms or more.

    Returns:
        Begin and end of each window in seconds, `(windows, 2)`; the end is never later than that of the sound. And the
        probabilities `(windows, label_dim)`: sigmoid for a multi-label model (AudioSet), softmax for one of many
        (ESC-50). Both are float32, on the CPU.

    Raises:
        InvalidInput: another shape, or too short a sound.
    """
    cfg, device = model.cfg, next(model.parameters()).device
    features = Features(cfg).to(device)
    log_mel = features.log_mel
    waveform = torch.as_tensor(waveform)
    if waveform.ndim != 1 or log_mel.frame_count(len(waveform)) < 1:
        raise InvalidInput(
            f"expected one mono sound of 25 ms or more, (samples,) at 16 kHz; found shape {tuple(waveform.shape)}"
        )
    hop = log_mel.hop_samples
    length = (cfg.input_tdim - 1) * hop + log_mel.frame_samples  # samples of one window
    begins = [start * hop for start in starts(log_mel.frame_count(len(waveform)), cfg.input_tdim)]
    spans = torch.tensor([(begin, min(begin + length, len(waveform))) for begin in begins]) / log_mel.sample_rate
    logits: list[Tensor] = []
    with evaluating(model):
        for i in range(0, len(begins), WINDOWS_AT_ONCE):
            parts = [waveform[begin : begin + length] for begin in begins[i : i + WINDOWS_AT_ONCE]]
            mel = features(torch.stack(parts).to(device))  # (n, input_tdim, input_fdim)
            logits.append(model(mel).float())  # (n, label_dim)
    return spans, to_probabilities(torch.cat(logits), cfg.multi_label).cpu()


def probabilities(model: Network, waveform: Tensor) -> Tensor:
    """Compute the probabilities of every class for a sound, the mean over its windows.

    Args:
        model: the network; its mode and its statistics stay as they are.
        waveform: one mono sound `(samples,)` at 16 kHz in [-1, 1], floating point, 25 ms or more.

    Returns:
        `(label_dim,)` float32, on the CPU.

    Raises:
        InvalidInput: as in `timeline`.
    """
    return timeline(model, waveform)[1].mean(dim=0)


def best(model: Network, probabilities: Tensor, top: int = 5) -> list[tuple[str, float]]:
    """Name the most probable classes.

    Args:
        model: the network, which knows the names of the classes.
        probabilities: `(label_dim,)`.
        top: how many classes to name.

    Returns:
        (label, probability) of each, the most probable first.

    Raises:
        InvalidInput: `top` is less than 1.
    """
    if top < 1:
        raise InvalidInput(f"top must be 1 or more; found {top}")
    values, order = probabilities.sort(descending=True)
    labels = model.cfg.labels or [f"class {i}" for i in range(model.cfg.label_dim)]
    return [(labels[i], value) for value, i in zip(values[:top].tolist(), order[:top].tolist(), strict=True)]


def predict(model: Network, waveform: Tensor, top: int = 5) -> list[tuple[str, float]]:
    """Name the most probable classes of a sound.

    Args:
        model: the network; its mode and its statistics stay as they are.
        waveform: one mono sound `(samples,)` at 16 kHz in [-1, 1], floating point, 25 ms or more.
        top: how many classes to name.

    Returns:
        (label, probability) of each, the most probable first.

    Raises:
        InvalidInput: as in `timeline`, or `top` is less than 1.
    """
    return best(model, probabilities(model, waveform), top)
