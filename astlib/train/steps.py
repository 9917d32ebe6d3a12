"""One step: the clips that belong to it, their augmentation on the device, and the gradients of its loss.

A step always means `recipe.batch` clips, whatever the number of processes: each process takes its part of them, and the
loss of a clip counts 1 / (clips of the step), also in a small last step. Everything random is a function of (seed,
epoch, step), so neither a stop nor another number of processes changes what is drawn.

Chapter: notebooks/07_the_training_loop.ipynb
"""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ..data.audioset.stream import AudioStream
from ..data.base import AudioDataset, Loadable
from ..data.batch import Batch, collate
from ..data.windows import OneWindow
from ..frontend import Features
from ..measure import loss_function
from ..model import ASTConfig, token_grid
from ..recipes import Recipe
from . import sampling
from .augment import mixup, noise_and_roll, spec_augment


@dataclass(frozen=True)
class Step:
    """The clips of one step that one process trains on, and their position in the whole step.

    Attributes:
        number: of the step in its epoch, from 0.
        batch: `count` clips to train on, followed by the partners of those that are mixed.
        count: clips of the step that this process trains on; may be 0 in a small last step.
        first: position of this process's first clip within the step.
        total: clips of the step over all processes.
        partners: `(count,)` int64, for each clip the row in `batch` of the clip that it is mixed with.
        lam: `(count,)` float32, mixup's lambda: the weight of the clip itself; 1 where it is not mixed.
    """

    number: int
    batch: Batch
    count: int
    first: int
    total: int
    partners: Tensor
    lam: Tensor


@dataclass(frozen=True)
class Draws:
    """The random numbers that augment the `count` clips of one process in one step. All are uniform in [0, 1).

    Attributes:
        masks: `(count, 4)`, width and position of SpecAugment's mask in time, then of the one in frequency.
        noise: `(count, 2)`, amplitude of the noise and shift in time.
        field: `(count, frames, mels)`, the noise itself; None if the recipe adds none.
        patches: `(count, patches of the network)`, those with the smallest numbers stay; None if all do.
    """

    masks: Tensor
    noise: Tensor
    field: Tensor | None
    patches: Tensor | None


def generator(seed: int, epoch: int, step: int = 0) -> torch.Generator:
    """Return the source of the augmentation's random draws at one step.

    Args:
        seed: of the run.
        epoch: from 1.
        step: from 1.

    Returns:
        A CPU generator that depends on the arguments and on nothing drawn before.
    """
    state = np.random.SeedSequence([seed, epoch, step]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) >> 1)  # 63 bits: torch takes a signed number


class Stepper:
    """Makes the steps of an epoch and turns each of them into gradients.

    Args:
        recipe: batch size, seed, sampling, augmentations and loss.
        train: the clips to train on.
        model: the network as Accelerate prepared it.
        features: the front-end of the same network, on its device.
        accelerator: knows the device, this process's place among the others, and the precision.
        micro_batch: clips that the device takes at a time, to save memory; 0 takes all at once.
        workers: loader processes per device.
    """

    def __init__(
        self,
        recipe: Recipe,
        train: AudioDataset | AudioStream,
        model: nn.Module,
        features: Features,
        accelerator: Accelerator,
        micro_batch: int = 0,
        workers: int = 0,
    ) -> None:
        self.recipe, self.train, self.model, self.features = recipe, train, model, features
        self.accelerator, self.micro_batch, self.workers = accelerator, micro_batch, workers
        self.patches = math.prod(token_grid(cfg)) if isinstance(cfg := recipe.model_config(["any"]), ASTConfig) else 0
        self.weights = None  # (clips,) float64: how often each clip is drawn; None takes every clip once per epoch
        if recipe.balanced and isinstance(train, AudioDataset):
            self.weights = sampling.balanced_weights(train.classes)

    def listen(self, progress: bool) -> None:
        """Prepare what has to be known of all clips before the first step: nothing, where no teacher is.

        Args:
            progress: show a progress bar.
        """

    def steps(self, epoch: int, first: int = 0) -> Iterator[Step]:
        """Load the steps of an epoch, their tensors on the device.

        Args:
            epoch: from 1.
            first: number of the first step wanted, from 0; a resumed run skips those that are done.

        Yields:
            One step after the other.
        """
        train, recipe = self.train, self.recipe
        if isinstance(train, AudioStream):
            yield from self._streamed(train, epoch, first)
            return
        rank, world, device = self.accelerator.process_index, self.accelerator.num_processes, self.accelerator.device
        plan = sampling.plan_epoch(len(train), recipe.batch, recipe.seed, epoch, self.weights, recipe.mixup)
        numbers = range(first, len(plan))
        loader = DataLoader(
            OneWindow(train, recipe.input_tdim) if recipe.windows else Loadable(train),
            batch_sampler=[
                plan.windows(number, rank, world) if recipe.windows else plan.indices(number, rank, world)
                for number in numbers
            ],
            collate_fn=collate,
            num_workers=self.workers,
            pin_memory=device.type == "cuda",
        )
        for number, batch in zip(numbers, loader, strict=True):
            whole, mine = plan.places(number, rank, world)
            partners, lam = (torch.from_numpy(values).to(device) for values in plan.pairs(number, rank, world))
            yield Step(
                number=number,
                batch=batch.to(device),
                count=len(lam),
                first=mine.start - whole.start,
                total=whole.stop - whole.start,
                partners=partners,
                lam=lam,
            )

    def _streamed(self, train: AudioStream, epoch: int, first: int) -> Iterator[Step]:
        """The steps of a stream. It has no other clips at hand, so those of one process are mixed with each other."""
        recipe, accelerator, device = self.recipe, self.accelerator, self.accelerator.device
        rank, world = accelerator.process_index, accelerator.num_processes
        batches = train.batches(recipe.batch, recipe.seed, epoch, rank, world, skip=first)
        for number, batch in enumerate(batches, start=first):
            count = len(batch)
            # Nobody knows beforehand how many clips the last step has, so the processes add up what they got.
            total = int(accelerator.reduce(torch.tensor(float(count), device=device), "sum").item())
            place = int(batch.index[0]) - number * recipe.batch if count else 0  # the index counts through the epoch
            # Lambda is drawn for all clips of the step, so that it does not depend on the number of processes.
            draws = sampling.random(recipe.seed, epoch, sampling.FIRST_STREAMED_STEP + number)
            lam = sampling.draw_lambda(draws, draws.random(total) < recipe.mixup)[place : place + count]
            yield Step(
                number=number,
                batch=batch.to(device),
                count=count,
                first=place,
                total=total,
                partners=torch.arange(count, device=device).roll(1),
                lam=torch.from_numpy(lam).to(device),
            )

    def gradients(self, step: Step, epoch: int) -> Tensor:
        """Add the gradients of one step to those of the parameters, `micro_batch` clips at a time.

        The loss of a clip that cannot be used is multiplied by 0, and a clip whose partner cannot be used stays
        unmixed.

        Args:
            step: the clips.
            epoch: from 1; with the number of the step it decides every random draw.

        Returns:
            `(count,)` float32, the loss of each clip of this process.
        """
        if not step.count:
            return self._no_gradients()
        draws, losses = self._draws(step, epoch), []
        size = self.micro_batch or step.count
        for start in range(0, step.count, size):
            rows = slice(start, min(start + size, step.count))  # the n clips of this micro-batch
            mel, targets = self._augmented(step, rows, draws)  # (n, frames, mels), (n, classes)

            # Processes exchange gradients once per step, with the last micro-batch; before it, each adds up its own.
            last = rows.stop == step.count
            with contextlib.nullcontext() if last else self.accelerator.no_sync(self.model):
                loss = self._loss(mel, targets, step.batch.index[rows], self._kept(draws, rows))  # (n,) float32
                loss = loss * step.batch.usable[rows]

                # Every clip of the step has the weight 1 / total, wherever its loss is computed: not the mean over the
                # micro-batch or the process, which may be smaller than the others. Accelerate averages gradients over
                # the processes, that is, divides their sum by the number of processes; the factor undoes that.
                self.accelerator.backward(loss.sum() * self.accelerator.num_processes / step.total)
            losses.append(loss.detach())
        return torch.cat(losses)

    def _loss(self, mel: Tensor, targets: Tensor, clips: Tensor, kept: Tensor | None) -> Tensor:
        """The loss of n clips with these numbers in the data set, `(n,)` float32."""
        with self.accelerator.autocast():
            logits = self.model(mel) if kept is None else self.model(mel, kept)  # (n, classes), perhaps bfloat16
        return loss_function(logits.float(), targets, self.recipe.loss, reduction="none")

    def _kept(self, draws: Draws, rows: slice) -> Tensor | None:
        """Numbers of the patches that stay, `(n, kept)`; None if all do."""
        if draws.patches is None:
            return None
        count = max(1, round(self.recipe.keep * draws.patches.shape[1]))
        return draws.patches[rows].argsort(dim=1)[:, :count].to(self.accelerator.device)

    def _draws(self, step: Step, epoch: int) -> Draws:
        """Draw for all clips of the step, so that a clip gets the same numbers however many processes share it."""
        cfg, source = self.features.cfg, generator(self.recipe.seed, epoch, step.number + 1)
        own = slice(step.first, step.first + step.count)
        uniform = torch.rand(step.total, 6, generator=source)[own]  # (count, 6)
        field = None
        if self.recipe.noise:
            field = torch.rand(step.total, cfg.input_tdim, cfg.input_fdim, generator=source)[own]
        patches = None
        if self.recipe.keep < 1:
            patches = torch.rand(step.total, self.patches, generator=source)[own]
        return Draws(masks=uniform[:, :4], noise=uniform[:, 4:], field=field, patches=patches)

    def _augmented(self, step: Step, rows: slice, draws: Draws) -> tuple[Tensor, Tensor]:
        """The input of the network, `(n, frames, mels)`, and soft targets, `(n, classes)`, of n clips of a step.

        The order is the original's: mixup on the waveforms, SpecAugment on the log-mel, then normalisation, then noise
        and shift (src/dataloader.py:103-209).
        """
        recipe, features, batch = self.recipe, self.features, step.batch
        partners = step.partners[rows]  # (n,)
        lam = torch.where(batch.usable[partners], step.lam[rows], 1.0)  # (n,)
        waveforms, lengths, targets = (value[rows] for value in batch.clips)  # (n, samples), (n,), (n, classes)
        others = [value[partners] for value in batch.clips]  # the same three of the partners
        waveforms, lengths, targets = mixup(waveforms, lengths, targets, others, lam)
        mel = features.mel(waveforms, lengths)  # (n, frames, mels), natural log, padded or cut
        mel = spec_augment(mel, recipe.freqm, recipe.timem, draws.masks[rows], features.fill)
        mel = features.normalise(mel)
        if draws.field is not None:
            mel = noise_and_roll(mel, recipe.noise, recipe.roll, draws.noise[rows], draws.field[rows])
        return mel, targets

    def _no_gradients(self) -> Tensor:
        """Take part in the exchange of gradients with zeros: without this process the others would wait for ever."""
        cfg, accelerator = self.features.cfg, self.accelerator
        self.model.eval()  # the zeros must not enter the statistics of a batch norm
        zeros = torch.zeros(1, cfg.input_tdim, cfg.input_fdim, device=accelerator.device)
        loss = self._loss(zeros, zeros.new_zeros(1, len(self.train.labels)), torch.zeros(1, dtype=torch.int64), None)
        accelerator.backward(0.0 * loss.sum())
        self.model.train()
        return torch.zeros(0, device=accelerator.device)
