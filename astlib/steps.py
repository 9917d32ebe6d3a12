"""One step: the clips that belong to it, what happens to them on the device, and the gradients that come out.

A step always means `recipe.batch` clips, whatever the number of processes: each takes its part of them, and the loss of
a clip counts 1 / (clips of the step), also in a small last step. Everything random is a function of (seed, epoch,
step), so neither a stop nor another number of processes changes what is drawn.

Chapter: notebooks/07_the_training_loop.ipynb
"""

import contextlib
from collections.abc import Iterator

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device
from torch import Tensor
from torch.utils.data import DataLoader

from . import sampling
from .augment import mixup, noise_and_roll, spec_augment
from .cnn import Network
from .data import AudioDataset, collate
from .data.base import Loadable
from .frontend import Features
from .measure import loss_function
from .recipes import Recipe


def generator(seed: int, epoch: int, step: int = 0) -> torch.Generator:
    """The source of the augmentation's draws at one step: a function of its arguments and of nothing before it."""
    state = np.random.SeedSequence([seed, epoch, step]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) >> 1)


def batches(
    recipe: Recipe, epoch: int, first: int, train: AudioDataset, weights: np.ndarray | None, accelerator: Accelerator,
    workers: int = 0,
) -> Iterator[dict]:
    """The steps of an epoch from step `first` (from 0) on: collated clips on the device, and what belongs to them.

    `count` clips of this process count, of `total` in the whole step, from its place `row` on. `partner` is the row of
    the clip that each is mixed with, `share` the part of the clip itself. weights: of the clips, for balanced sampling.
    """
    rank, world, device = accelerator.process_index, accelerator.num_processes, accelerator.device
    if not isinstance(train, AudioDataset):
        stream = train.batches(recipe.batch, recipe.seed, epoch, rank, world, skip=first)
        for step, items in enumerate(stream, start=first):
            yield _of_a_stream(recipe, epoch, step, send_to_device(items, device), accelerator)
        return
    plan = sampling.plan(len(train), recipe.batch, recipe.seed, epoch, weights, recipe.mixup)
    steps = range(first, len(plan))
    loader = DataLoader(
        Loadable(train), collate_fn=collate, num_workers=workers, pin_memory=device.type == "cuda",
        batch_sampler=[plan.indices(step, rank, world) for step in steps],
    )  # fmt: skip
    for step, items in zip(steps, loader, strict=True):
        whole, mine = plan.places(step, rank, world)
        partner, share = (torch.from_numpy(values).to(device) for values in plan.pairs(step, rank, world))
        yield {
            **send_to_device(items, device), "count": len(share), "total": whole.stop - whole.start,
            "row": mine.start - whole.start, "partner": partner, "share": share,
        }  # fmt: skip


def _of_a_stream(recipe: Recipe, epoch: int, step: int, items: dict, accelerator: Accelerator) -> dict:
    """A stream has no other clips at hand: those of one process are mixed with each other, if at all."""
    count, device = len(items["index"]), accelerator.device
    total = int(accelerator.reduce(torch.tensor(float(count), device=device), "sum").item())
    row = int(items["index"][0]) - step * recipe.batch if count else 0
    draws = sampling.random(recipe.seed, epoch, 3 + step)
    share = np.where(draws.random(total) < recipe.mixup, draws.beta(10, 10, size=total), 1.0).astype(np.float32)
    share = torch.from_numpy(share[row : row + count]).to(device)
    partner = torch.arange(count, device=device).roll(1)
    return {**items, "count": count, "total": total, "row": row, "partner": partner, "share": share}


def backward(
    recipe: Recipe, epoch: int, step: int, items: dict, model: Network, features: Features, accelerator: Accelerator,
    micro_batch: int = 0,
) -> Tensor:
    """Gradients of one step, `micro_batch` clips at a time (0: all at once); returns the loss of each clip, `(count,)`.

    Accelerate averages gradients over the processes, so a clip's loss is scaled by processes / clips of the step. A
    clip that cannot be used counts for nothing, and one whose partner cannot be used stays unmixed.
    """
    count, total, cfg = items["count"], items["total"], features.cfg
    draws = generator(recipe.seed, epoch, step + 1)
    rows = slice(items["row"], items["row"] + count)
    uniform = torch.rand(total, 6, generator=draws)[rows]
    field = torch.rand(total, cfg.input_tdim, cfg.input_fdim, generator=draws)[rows] if recipe.noise else None
    if not count:  # nothing of a small last step is for this process, which must take part all the same
        with accelerator.autocast():
            logits = model(torch.zeros(1, cfg.input_tdim, cfg.input_fdim, device=accelerator.device))
        accelerator.backward(0.0 * logits.float().sum())
        return torch.zeros(0, device=accelerator.device)
    clips = [items[key] for key in ("waveforms", "lengths", "targets")]
    share = torch.where(items["usable"][items["partner"]], items["share"], 1.0)
    parts = torch.arange(count).split(micro_batch or count)
    losses = []
    for part in parts:
        rows = slice(int(part[0]), int(part[-1]) + 1)
        partners = [value[items["partner"][rows]] for value in clips]
        waveforms, lengths, targets = mixup(*(value[rows] for value in clips), partners, share[rows])
        mel = features.mel(waveforms, lengths)
        mel = spec_augment(mel, recipe.freqm, recipe.timem, uniform[rows, :4], features.fill)
        mel = features.normalise(mel)
        if recipe.noise:
            mel = noise_and_roll(mel, recipe.noise, recipe.roll, uniform[rows, 4:], field[rows])
        with contextlib.nullcontext() if part is parts[-1] else accelerator.no_sync(model):
            with accelerator.autocast():
                logits = model(mel)
            loss = loss_function(logits.float(), targets, recipe.loss, reduction="none") * items["usable"][rows]
            accelerator.backward(loss.sum() * accelerator.num_processes / total)
        losses.append(loss.detach())
    return torch.cat(losses)
