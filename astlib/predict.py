"""From a sound file to names of classes, with any saved network.

A model reads a fixed number of frames. A shorter sound is padded as in training; a longer one is cut into windows that
overlap by half, and the probabilities are averaged over them, or kept apart to say when.

Chapters: notebooks/04_the_whole_ast.ipynb and notebooks/15_your_own_sounds.ipynb
"""

import torch

from .cnn import Network
from .frontend import Features
from .model import to_probabilities


def starts(total: int, frames: int) -> list[int]:
    """First frames of the windows over a sound of `total` frames: half a window apart, the last ends with the sound."""
    return [*range(0, total - frames, frames // 2), total - frames] if total > frames else [0]


@torch.inference_mode()
def timeline(model: Network, waveform: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What is heard when, in a mono waveform `(samples,)` at 16 kHz, floating point.

    Returns begin and end of each window in seconds, `(windows, 2)`, and its probabilities `(windows, label_dim)`:
    sigmoid for a multi-label model (AudioSet), softmax for one of many (ESC-50). The end is never behind the sound's.
    Raises ValueError if it is not one sound of at least 25 ms.
    """
    cfg, device = model.cfg, next(model.parameters()).device
    features = Features(cfg).to(device)
    log_mel = features.log_mel
    waveform = torch.as_tensor(waveform)
    if waveform.ndim != 1 or log_mel.frame_count(len(waveform)) < 1:
        raise ValueError(
            f"expected one mono sound of 25 ms or more, (samples,) at 16 kHz; found shape {tuple(waveform.shape)}"
        )
    hop = log_mel.hop_samples
    length = (cfg.input_tdim - 1) * hop + log_mel.frame_samples  # samples that make one window's frames
    begins = [start * hop for start in starts(log_mel.frame_count(len(waveform)), cfg.input_tdim)]
    spans = torch.tensor([(begin, min(begin + length, len(waveform))) for begin in begins]) / log_mel.sample_rate
    logits = []
    for i in range(0, len(begins), 8):  # a long recording is not held as one spectrogram
        parts = torch.stack([waveform[begin : begin + length] for begin in begins[i : i + 8]])
        logits.append(model(features(parts.to(device))).float())
    return spans, to_probabilities(torch.cat(logits), cfg.multi_label).cpu()


def probabilities(model: Network, waveform: torch.Tensor) -> torch.Tensor:
    """The mean of `timeline` over its windows: `(label_dim,)`."""
    return timeline(model, waveform)[1].mean(dim=0)


def best(model: Network, shares: torch.Tensor, top: int = 5) -> list[tuple[str, float]]:
    """The `top` largest of the probabilities `(label_dim,)`, with the model's names: (label, probability)."""
    if top < 1:
        raise ValueError(f"top must be 1 or more; found {top}")
    values, order = shares.sort(descending=True)
    labels = model.cfg.labels or [f"class {i}" for i in range(model.cfg.label_dim)]
    return [(labels[i], value) for value, i in zip(values[:top].tolist(), order[:top].tolist(), strict=True)]


def predict(model: Network, waveform: torch.Tensor, top: int = 5) -> list[tuple[str, float]]:
    """The `top` most probable classes of a mono waveform `(samples,)` at 16 kHz: (label, probability), best first."""
    return best(model, probabilities(model.eval(), waveform), top)
