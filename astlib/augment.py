"""Two ways to make a clip new each time: mix it with another one, and hide parts of its spectrogram.

Chapter: notebooks/06_data_and_augmentation.ipynb

Both work on whole batches on the device. Their random draws come from a generator on the CPU that the run
seeds, so that the same seed gives the same draws on every device.
"""

import torch
from torch import Generator, Tensor


def mixup(
    waveforms: Tensor,
    lengths: Tensor,
    targets: Tensor,
    rate: float,
    generator: Generator,
    alpha: float = 10.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Mix clips of a batch in pairs, sound and targets alike (original: src/dataloader.py:103-174).

    With probability `rate` a clip x becomes m x + (1 - m) y, m from Beta(alpha, alpha), where y is another
    clip of the batch, each as likely as the next. The original draws y from the whole data set; in shuffled
    batches that comes to the same, but for x itself. y is cut or zero padded to the length of x. The original
    also takes the mean off the mixture, which would change nothing here: LogMel takes it off every frame.

    The targets are soft: m for the labels of x, 1 - m for those of y, 1 for those of both. They need a loss
    that takes them as they are. The original's cross-entropy turns them into whole numbers first, and every
    mixed pair of two classes becomes class 0 (src/traintest.py:128).

    Args:
        waveforms: (batch, samples), zero after each clip's end.
        lengths: (batch,) in samples.
        targets: (batch, classes).
        rate: share of the clips that are mixed, 0 to 1.
        generator: on the CPU.

    Returns:
        New waveforms, the same lengths, new targets. A batch of one stays as it is.
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"the mixup rate is a share of the clips, 0 to 1, got {rate}")
    batch, samples = waveforms.shape
    if rate == 0 or batch == 1:
        return waveforms, lengths, targets
    device = waveforms.device
    mixed = torch.rand(batch, generator=generator) < rate
    partner = (torch.arange(batch) + torch.randint(1, batch, (batch,), generator=generator)) % batch
    gammas = torch._standard_gamma(torch.full((2, batch), alpha), generator=generator)
    share = torch.where(mixed, gammas[0] / gammas.sum(0), 1.0)[:, None].to(device)
    partner = partner.to(device)
    inside = torch.arange(samples, device=device) < lengths.to(device)[:, None]
    mixture = share * waveforms + (1 - share) * waveforms[partner] * inside
    return mixture, lengths, share * targets + (1 - share) * targets[partner]


def spec_augment(mel: Tensor, freq: int, time: int, generator: Generator, fill: float = 0.0) -> Tensor:
    """Hide one band of mels and one stretch of frames in every clip (original: src/dataloader.py:186-199).

    Widths are whole numbers below `freq` and `time`, all as likely as the next, 0 included; places likewise.
    As in torchaudio's masks a width never exceeds the axis, and each clip has its own draws.

    Args:
        mel: (batch, frames, mels).
        freq, time: what the widths stay below, in mels and frames; 0 hides nothing.
        generator: on the CPU.
        fill: value of the hidden cells. The original hides before it normalises and fills with 0.0, which is
            neither silence nor the mean.

    Returns:
        (batch, frames, mels), a new tensor.
    """
    hidden = _stripes(mel, 1, time, generator)[:, :, None] | _stripes(mel, 2, freq, generator)[:, None, :]
    return mel.masked_fill(hidden, fill)


def _stripes(mel: Tensor, axis: int, limit: int, generator: Generator) -> Tensor:
    """(batch, size of the axis) bool: one stripe for each clip."""
    size = mel.shape[axis]
    draws = torch.rand(2, len(mel), 1, generator=generator)
    width = draws[0] * min(limit, size)
    start = (draws[1] * (size - width)).floor()
    place = torch.arange(size)
    return ((place >= start) & (place < start + width.floor())).to(mel.device)
