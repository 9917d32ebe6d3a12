"""Augmentations: mix a clip with another, mask parts of its spectrogram, add noise, shift it in time.

Chapter: notebooks/06_data_and_augmentation.ipynb

All of them work on whole batches on the device, and none of them draws random numbers: these are arguments, one row per
clip. So the same seed gives the same sounds on every device, in every process and in a resumed run.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def mixup(
    waveforms: Tensor,
    lengths: Tensor,
    targets: Tensor,
    partners: Sequence[Tensor],
    lam: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Mix every clip with its partner, waveforms and targets alike (original: src/dataloader.py:103-174).

    A waveform x becomes lam * x + (1 - lam) * y, where y is cut or padded with zeros to the length of x. The original
    also subtracts the mean of each waveform before they are mixed and that of the mixture. LogMel subtracts the mean of
    every frame, so this makes no difference except in the frames around the end of a shorter y that has an offset:
    there the offset ends in a step, which the original has removed and which stays here.

    The targets are soft: lam for the labels of x, 1 - lam for those of y, 1 for those of both. They need a loss that
    takes probabilities as targets. The original's cross-entropy turns them into integers first, so that every mixed
    pair of two classes becomes class 0 (src/traintest.py:128).

    Args:
        waveforms: `(batch, samples)`, zero after each clip's end.
        lengths: `(batch,)` in samples.
        targets: `(batch, classes)`.
        partners: waveforms, lengths and targets of the partners, row by row; `samples` may differ.
        lam: `(batch,)`, lambda of each clip, from 0 to 1; 1 leaves the clip as it is.

    Returns:
        New waveforms, the same lengths, new targets.
    """
    others, other_lengths, other_targets = partners
    samples = waveforms.shape[1]
    others = torch.nn.functional.pad(others, (0, samples - others.shape[1]))  # a negative amount cuts
    # (batch, samples) bool: where both clips have sound; past the partner's end there may be other things than zeros
    inside = torch.arange(samples, device=lengths.device) < torch.minimum(lengths, other_lengths)[:, None]
    weight = lam[:, None]  # (batch, 1)
    return (
        weight * waveforms + (1 - weight) * others * inside,
        lengths,
        weight * targets + (1 - weight) * other_targets,
    )


def spec_augment(mel: Tensor, freq: int, time: int, draws: Tensor, fill: float = 0.0) -> Tensor:
    """Mask one band of mel bins and one stretch of frames in every clip (original: src/dataloader.py:186-199).

    Widths are integers below `freq` and `time`, all equally likely, 0 included; positions are nearly uniform. The cells
    are those of torchaudio's masks as long as no limit exceeds its axis. A larger limit counts here as one of the
    axis's size, while torchaudio draws widths up to the limit, and so hides the whole axis whenever the width drawn is
    larger than it. No recipe of the paper has such a limit.

    Args:
        mel: `(batch, frames, mels)`.
        freq: upper limit of the width in mel bins, not reached; 0 masks nothing.
        time: upper limit of the width in frames, not reached; 0 masks nothing.
        draws: `(batch, 4)` in [0, 1): width and position of the mask in time, then of the one in frequency.
        fill: value of the masked cells. The original masks before it normalises and fills with 0.0, which is neither
            silence nor the mean.

    Returns:
        `(batch, frames, mels)`, a new tensor.
    """
    in_time = _mask(mel, 1, time, draws[:, :2])[:, :, None]  # (batch, frames, 1)
    in_frequency = _mask(mel, 2, freq, draws[:, 2:4])[:, None, :]  # (batch, 1, mels)
    return mel.masked_fill(in_time | in_frequency, fill)


def _mask(mel: Tensor, axis: int, limit: int, draws: Tensor) -> Tensor:
    """`(batch, size of the axis)` bool, one stretch of True a clip; torchaudio's arithmetic up to `limit` = `size`."""
    size = mel.shape[axis]
    width = draws[:, :1] * min(limit, size)  # rounded down only below, as in torchaudio
    start = (draws[:, 1:] * (size - width)).floor()
    place = torch.arange(size, device=draws.device)
    return ((place >= start) & (place < start + width.floor())).to(mel.device)


def noise_and_roll(mel: Tensor, level: float, roll: int, draws: Tensor, field: Tensor) -> Tensor:
    """Add noise to a normalised spectrogram and roll it in time (original: src/dataloader.py:207-209).

    The paper's recipe for Speech Commands does so, no other.

    Args:
        mel: `(batch, frames, mels)`, normalised.
        level: the noise is uniform in [0, a), with a drawn uniformly from [0, level) once per clip. The original's
            level is 0.1.
        roll: a clip is shifted by an integer number of frames in [-roll, roll); what leaves at one end comes back at
            the other. The original's roll is 10.
        draws: `(batch, 2)` in [0, 1): amplitude of the noise, and shift.
        field: `(batch, frames, mels)` in [0, 1): the noise itself.

    Returns:
        `(batch, frames, mels)`, a new tensor.
    """
    draws, field = draws.to(mel.device), field.to(mel.device)
    noisy = mel + field * (level * draws[:, :1, None])
    frames = mel.shape[1]
    shift = (draws[:, 1:] * 2 * roll).floor().long() - roll  # (batch, 1)
    source = (torch.arange(frames, device=mel.device) - shift) % frames  # (batch, frames): frame t comes from t - shift
    return noisy.gather(1, source[:, :, None].expand_as(noisy))
