"""Numbers about a data set: how long its clips are, and the mean and deviation that normalise its spectrograms.

Chapter: notebooks/06_data_and_augmentation.ipynb

The two constants of a recipe shift and scale what the network sees, no more. They should be those of the cells that it
really sees, so padding counts. They need not be exact; what must not happen is that training and use differ in them.
"""

import numpy as np
import torch
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from .. import augment, sampling
from ..frontend import LogMel, pad_or_cut
from .base import AudioDataset, Loadable, collate
from .report import DataIncomplete

METHODS = ("pooled", "original")
CHUNK = 25  # clips worked on at a time
BATCH = 1000  # of the original, a multiple of CHUNK
MIXUP, FREQM, TIMEM = 0.5, 24, 192  # of the original


def duration_stats(dataset: AudioDataset) -> dict[str, float]:
    """How long the clips are: count, total_hours; min, median, mean and max in seconds. Unreadable clips do not count.

    Raises:
        DataIncomplete: not a single clip can be read.
    """
    seconds = dataset.durations()
    seconds = seconds[~np.isnan(seconds)]
    if not len(seconds):
        raise DataIncomplete(f"no clip of {dataset.name} can be read. check() lists why")
    functions = {"min": np.min, "median": np.median, "mean": np.mean, "max": np.max}
    numbers = {name: float(function(seconds)) for name, function in functions.items()}
    return {"count": len(seconds), "total_hours": float(seconds.sum()) / 3600, **numbers}


def normalisation(
    dataset: AudioDataset,
    frames: int,
    n_mels: int = 128,
    limit: int | None = None,
    seed: int = 0,
    method: str = "pooled",
    progress: bool = True,
    workers: int = 0,
) -> tuple[float, float]:
    """Mean and standard deviation of the log-mels of a data set, to be measured on its training part.

    Args:
        frames: what the recipe pads or cuts to; padding is 0 and counts.
        limit: measure so many clips, drawn with `seed`; None for all.
        method: "pooled" takes all cells together and augments nothing. "original" does what made the published
            constants (original: src/get_norm_stats.py): half of the clips mixed, SpecAugment with 24 mels and 192
            frames, and the mean of the means and of the standard deviations of batches of 1000 clips. That mean is
            smaller than the pooled deviation, because it leaves out how batches differ.
        workers: processes that decode.

    Raises:
        ValueError: an unknown method.
        DataIncomplete: not a single clip can be used. Single bad clips are left out.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    original = method == "original"
    rows = np.sort(sampling.random(seed, 0, 0).permutation(len(dataset))[:limit])
    plan = sampling.plan(len(rows), CHUNK, seed, 0, mixup=MIXUP if original else 0)
    steps = [rows[plan.indices(step)].tolist() for step in range(len(plan))]
    masks = torch.from_numpy(sampling.random(seed, 0, 3).random((len(rows), 4))).float()
    sums = np.zeros((-(-len(rows) // BATCH) if original else 1, 3))  # of each batch: cells, their sum, their squares
    log_mel = LogMel(n_mels)
    loader = DataLoader(Loadable(dataset), batch_sampler=steps, collate_fn=collate, num_workers=workers)
    for step, items in enumerate(tqdm(loader, desc=f"measuring {dataset.name}", disable=not progress)):
        places, _ = plan.places(step)
        partners, share = (torch.from_numpy(values) for values in plan.pairs(step))
        clips = torch.arange(len(share))
        keep = items["usable"][clips] & items["usable"][partners]
        clips, partners, share = clips[keep], partners[keep], share[keep]
        waveforms, lengths, targets = items["waveforms"], items["lengths"], items["targets"]
        if not len(clips):
            continue
        waveforms, lengths, _ = augment.mixup(
            waveforms[clips], lengths[clips], targets[clips],
            (waveforms[partners], lengths[partners], targets[partners]), share,
        )  # fmt: skip
        mel = pad_or_cut(log_mel(waveforms, lengths), frames)
        if original:
            mel = augment.spec_augment(mel, FREQM, TIMEM, masks[places][keep])
        mel = mel.double()
        sums[step * CHUNK // BATCH if original else 0] += mel.numel(), mel.sum().item(), mel.square().sum().item()
    cells, total, squares = sums[sums[:, 0] > 0].T
    if not len(cells):
        raise DataIncomplete(f"no clip of {dataset.name} can be used. check() lists why")
    means = total / cells
    return float(means.mean()), float(np.sqrt((squares / cells - means**2).clip(min=0)).mean())
