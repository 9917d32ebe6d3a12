"""Ways to make a clip new each time: mix it with another, hide parts of its spectrogram, shift it, add noise.

Chapter: notebooks/06_data_and_augmentation.ipynb

All work on whole batches on the device, and none of them draws anything: what is random comes in as numbers, a row a
clip. So the same seed gives the same sounds on every device, in every process and in a run that goes on.
"""

import torch
from torch import Tensor


def mixup(
    waveforms: Tensor,
    lengths: Tensor,
    targets: Tensor,
    partners: tuple[Tensor, Tensor, Tensor],
    share: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Mix every clip with its partner, sound and targets alike (original: src/dataloader.py:103-174).

    x becomes m x + (1 - m) y, where y is cut or zero padded to the length of x. The original also takes the mean off
    the mixture, which would change nothing here: LogMel takes it off every frame.

    The targets are soft: m for the labels of x, 1 - m for those of y, 1 for those of both. They need a loss that takes
    them as they are. The original's cross-entropy turns them into whole numbers first, and every mixed pair of two
    classes becomes class 0 (src/traintest.py:128).

    Args:
        waveforms: (batch, samples), zero after each clip's end.
        lengths: (batch,) in samples.
        targets: (batch, classes).
        partners: the same three of the partners, row by row; `samples` may differ.
        share: (batch,) float, m of each clip, 0 to 1. 1 leaves the clip as it is.

    Returns:
        New waveforms, the same lengths, new targets.
    """
    others, other_lengths, other_targets = partners
    samples = waveforms.shape[1]
    others = torch.nn.functional.pad(others, (0, samples - others.shape[1]))  # a negative amount cuts
    inside = torch.arange(samples, device=lengths.device) < torch.minimum(lengths, other_lengths)[:, None]
    m = share[:, None]
    return m * waveforms + (1 - m) * others * inside, lengths, m * targets + (1 - m) * other_targets


def spec_augment(mel: Tensor, freq: int, time: int, draws: Tensor, fill: float = 0.0) -> Tensor:
    """Hide one band of mels and one stretch of frames in every clip (original: src/dataloader.py:186-199).

    Widths are whole numbers below `freq` and `time`, all as likely as the next, 0 included; places nearly so. As in
    torchaudio's masks, a width never exceeds the axis.

    Args:
        mel: (batch, frames, mels).
        freq, time: what the widths stay below, in mels and frames; 0 hides nothing.
        draws: (batch, 4) in [0, 1): width and place of the stretch of frames, width and place of the band.
        fill: value of the hidden cells. The original hides before it normalises and fills with 0.0, which is
            neither silence nor the mean.

    Returns:
        (batch, frames, mels), a new tensor.
    """
    hidden = _stripes(mel, 1, time, draws[:, :2])[:, :, None] | _stripes(mel, 2, freq, draws[:, 2:4])[:, None, :]
    return mel.masked_fill(hidden, fill)


def _stripes(mel: Tensor, axis: int, limit: int, draws: Tensor) -> Tensor:
    """(batch, size of the axis) bool: one stripe for each clip."""
    size = mel.shape[axis]
    width = draws[:, :1] * min(limit, size)
    start = (draws[:, 1:] * (size - width)).floor()
    place = torch.arange(size, device=draws.device)
    return ((place >= start) & (place < start + width.floor())).to(mel.device)


def noise_and_roll(mel: Tensor, level: float, roll: int, draws: Tensor, field: Tensor) -> Tensor:
    """Add noise to a normalised spectrogram and turn it in time: Speech Commands only (src/dataloader.py:207-209).

    Args:
        mel: (batch, frames, mels), normalised.
        level: the noise of a clip is even in [0, a), with a even in [0, level). The original's level is 0.1.
        roll: the clip is turned by a whole number of frames in [-roll, roll), what leaves at one end comes back at
            the other. The original's is 10 frames.
        draws: (batch, 2) in [0, 1): the clip's noise, and its turn.
        field: (batch, frames, mels) in [0, 1): the noise itself.
    """
    draws, field = draws.to(mel.device), field.to(mel.device)
    noisy = mel + field * (level * draws[:, :1, None])
    frames = mel.shape[1]
    turn = (draws[:, 1:] * 2 * roll).floor().long() - roll
    source = (torch.arange(frames, device=mel.device) - turn) % frames  # (batch, frames)
    return noisy.gather(1, source[:, :, None].expand_as(noisy))
