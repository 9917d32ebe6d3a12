"""Mean and standard deviation of a data set's log-mel values, which normalise its spectrograms.

Chapter: notebooks/06_data_and_augmentation.ipynb

The two constants of a recipe only shift and scale the input of the network. They should be those of the values that it
really gets, so padding counts. They need not be exact, but training and use must have the same ones.
"""

from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from ..data.base import AudioDataset, Loadable
from ..data.batch import collate
from ..errors import DataIncomplete, InvalidInput
from ..frontend import LogMel, pad_or_cut
from . import augment, sampling

Method = Literal["pooled", "original"]
MEASURED_AT_ONCE = 25  # clips
# What the original measures with (src/get_norm_stats.py).
ORIGINAL_BATCH = 1000  # clips, a multiple of MEASURED_AT_ONCE
ORIGINAL_MIXUP, ORIGINAL_FREQM, ORIGINAL_TIMEM = 0.5, 24, 192
MASKS = 3  # the purpose of draws, see `sampling.random`


def normalisation(
    dataset: AudioDataset,
    frames: int,
    n_mels: int = 128,
    limit: int | None = None,
    seed: int = 0,
    method: Method = "pooled",
    progress: bool = True,
    workers: int = 0,
) -> tuple[float, float]:
    """Measure mean and standard deviation of the log-mels of a data set: of its training part.

    Single clips that cannot be used are left out.

    Args:
        dataset: the clips.
        frames: length that the recipe pads or cuts to; padding has the value 0 and counts.
        n_mels: mel bins.
        limit: number of clips to measure, chosen at random; None measures all.
        seed: of the random choice and of the augmentations.
        method: "pooled" takes the values of all clips together, without augmentation. "original" repeats how the
            published constants were made (original: src/get_norm_stats.py): half of the clips mixed, SpecAugment with
            24 mels and 192 frames, and the mean of the means and of the standard deviations over batches of 1000
            clips. That is smaller than the pooled standard deviation, because it leaves out how batches differ.
        progress: show a progress bar.
        workers: loader processes that decode.

    Returns:
        Mean and standard deviation, natural log.

    Raises:
        InvalidInput: an unknown method.
        DataIncomplete: not a single clip can be used.
    """
    if method not in get_args(Method):
        raise InvalidInput(f"method must be one of {', '.join(get_args(Method))}; found {method!r}")
    original = method == "original"
    rows = np.sort(sampling.random(seed, 0, sampling.ORDER).permutation(len(dataset))[:limit])
    sums = np.zeros(
        (-(-len(rows) // ORIGINAL_BATCH) if original else 1, 3)
    )  # per batch: number of values, sum, squares
    log_mel = LogMel(n_mels)
    for first, waveforms, lengths, draws in _clips(dataset, rows, seed, original, progress, workers):
        mel = pad_or_cut(log_mel(waveforms, lengths), frames)  # (clips, frames, n_mels)
        if original:
            mel = augment.spec_augment(mel, ORIGINAL_FREQM, ORIGINAL_TIMEM, draws)
        mel = mel.double()
        values = mel.numel(), mel.sum().item(), mel.square().sum().item()
        sums[first // ORIGINAL_BATCH if original else 0] += values
    count, total, squares = sums[sums[:, 0] > 0].T
    if not len(count):
        raise DataIncomplete(f"no clip of {dataset.name} can be used. check() lists why")
    means = total / count
    return float(means.mean()), float(np.sqrt((squares / count - means**2).clip(min=0)).mean())


def _clips(
    dataset: AudioDataset, rows: np.ndarray, seed: int, mixed: bool, progress: bool, workers: int
) -> Iterator[tuple[int, Tensor, Tensor, Tensor]]:
    """Load the usable clips of these rows, a few at once: place of the first, waveforms, lengths, draws for masks."""
    plan = sampling.plan_epoch(len(rows), MEASURED_AT_ONCE, seed, 0, mixup=ORIGINAL_MIXUP if mixed else 0)
    steps = [rows[plan.indices(step)].tolist() for step in range(len(plan))]
    masks = torch.from_numpy(sampling.random(seed, 0, MASKS).random((len(rows), 4))).float()
    loader = DataLoader(Loadable(dataset), batch_sampler=steps, collate_fn=collate, num_workers=workers)
    for step, batch in enumerate(tqdm(loader, desc=f"measuring {dataset.name}", disable=not progress)):
        places, _ = plan.places(step)
        partners, lam = (torch.from_numpy(values) for values in plan.pairs(step))
        clips = torch.arange(len(lam))
        keep = batch.usable[clips] & batch.usable[partners]
        clips, partners, lam = clips[keep], partners[keep], lam[keep]
        if not len(clips):
            continue
        waveforms, lengths, targets = (value[clips] for value in batch.clips)
        others = [value[partners] for value in batch.clips]
        waveforms, lengths, _ = augment.mixup(waveforms, lengths, targets, others, lam)
        yield places.start, waveforms, lengths, masks[places][keep]
