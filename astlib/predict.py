"""From a sound file to names of classes, with any saved AST.

A model reads a fixed number of frames. A shorter sound is padded as in training; a longer one is cut into windows that
overlap by half, and the probabilities are averaged over them.

Chapter: notebooks/05_pictures_to_sound.ipynb
"""

import torch

from .frontend import LogMel, normalise, pad_or_cut
from .model import AST


def windows(mel: torch.Tensor, frames: int) -> torch.Tensor:
    """`(frames_of_the_sound, mels)` -> `(windows, frames, mels)`, not normalised; the last ends with the sound."""
    total = mel.shape[0]
    if total <= frames:
        return pad_or_cut(mel.unsqueeze(0), frames)
    starts = [*range(0, total - frames, frames // 2), total - frames]
    return torch.stack([mel[start : start + frames] for start in starts])


@torch.inference_mode()
def probabilities(model: AST, waveform: torch.Tensor) -> torch.Tensor:
    """Mono waveform `(samples,)` at 16 kHz, float32 -> probabilities `(label_dim,)`.

    Sigmoid for a multi-label model (AudioSet), softmax for one of many (ESC-50).
    """
    cfg, device = model.cfg, model.pos_embed.device
    mel = LogMel(n_mels=cfg.input_fdim).to(device)(waveform.to(device).unsqueeze(0))[0]
    scores = [
        model(normalise(part, cfg.mean, cfg.std)).float()
        for part in windows(mel, cfg.input_tdim).split(8)  # a long recording does not need all windows at once
    ]
    logits = torch.cat(scores)
    return (logits.sigmoid() if cfg.multi_label else logits.softmax(dim=-1)).mean(dim=0).cpu()


def predict(model: AST, waveform: torch.Tensor, top: int = 5) -> list[tuple[str, float]]:
    """The `top` most probable classes of a mono waveform `(samples,)` at 16 kHz: (label, probability), best first."""
    model.eval()
    values, order = probabilities(model, waveform).sort(descending=True)
    labels = model.cfg.labels or [f"class {i}" for i in range(model.cfg.label_dim)]
    return [(labels[i], value) for value, i in zip(values[:top].tolist(), order[:top].tolist(), strict=True)]
