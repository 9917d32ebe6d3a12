"""Measuring a network: its scores on a data set, on any number of processes.

Chapter: notebooks/08_measuring.ipynb
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from . import metrics
from .data.base import AudioDataset, Loadable
from .data.batch import Item, collate
from .data.report import Problem, Report
from .data.windows import EveryWindow, collate_windows
from .decisions import to_probabilities
from .devices import new_accelerator
from .errors import Diverged, InvalidInput
from .networks import Network
from .recipes import Loss

Reduction = Literal["mean", "none"]


@dataclass(frozen=True)
class Evaluation:
    """The outputs of a network on a data set, and how good they are.

    Attributes:
        metrics: mAP, mAUC, d_prime, accuracy, classes_without_positives and loss.
        logits: `(clips, classes)` float32, on the CPU, in the order of the data set. Of a clip with several windows
            those that belong to its mean probabilities, see `over_windows`.
        names: of the clips that could be used, row by row.
        unusable: report on the clips that could not be used, which count in none of the above.
    """

    metrics: dict[str, float]
    logits: Tensor
    names: list[str]
    unusable: Report


def loss_function(logits: Tensor, targets: Tensor, kind: Loss, reduction: Reduction = "mean") -> Tensor:
    """Compute the loss from logits and targets, which may be soft, as mixup makes them.

    The original turns the targets of cross-entropy into class indices, so that every mixed pair counts as class 0
    (src/traintest.py:128); torch's cross-entropy takes probabilities as targets.

    Args:
        logits: `(batch, classes)`.
        targets: `(batch, classes)`, 0 to 1.
        kind: "ce", cross-entropy; or "bce", the mean over the classes of the binary cross-entropies.
        reduction: "mean" averages over the clips, "none" does not.

    Returns:
        One number; or with "none" one number per clip, `(batch,)`.
    """
    if kind == "ce":
        loss = F.cross_entropy(logits, targets, reduction="none")
    else:
        loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(dim=1)
    return loss if reduction == "none" else loss.mean()


def over_windows(logits: Tensor, multi_label: bool) -> Tensor:
    """Average over the windows of a clip, as `astlib.predict` does: probabilities, not logits.

    Args:
        logits: `(windows, classes)`.
        multi_label: True if probabilities are the sigmoid of the logits, False if they are the softmax.

    Returns:
        `(classes,)` float32, the logits whose probabilities are the mean over the windows. Those of a single window are
        returned as they are.
    """
    if len(logits) == 1:
        return logits[0]
    wide = logits.double()  # a probability of 1 - 1e-9 is not 1 yet
    if not multi_label:
        return wide.log_softmax(dim=1).logsumexp(dim=0).sub(math.log(len(wide))).float()
    return (F.logsigmoid(wide).logsumexp(dim=0) - F.logsigmoid(-wide).logsumexp(dim=0)).float()


@torch.no_grad()  # not inference_mode: weights that move to the device in it could never be trained again
def evaluate(
    model: Network,
    dataset: AudioDataset,
    batch: int = 64,
    accelerator: Accelerator | None = None,
    workers: int = 0,
    progress: bool = True,
    windows: bool = True,
) -> Evaluation:
    """Measure a network on a data set. Every clip counts once, on any number of processes.

    The answer to a clip is that of `astlib.predict`, up to the model's decision: a clip that is longer than the input
    is heard whole, window by window, and the probabilities are averaged.

    Args:
        model: moves to the accelerator's device and is left there in eval mode.
        dataset: its classes are those of the model.
        batch: clips per forward pass of a process.
        accelerator: None makes a new one, in float32.
        workers: loader processes per device.
        progress: show a progress bar.
        windows: False measures a clip that is longer than the input by its beginning alone, as the original does.

    Returns:
        Metrics, logits and names of all clips that could be used, and a report of the others.

    Raises:
        InvalidInput: model and data have different numbers of classes, or no clip is usable.
        Diverged: the network's outputs are not finite.
    """
    accelerator = accelerator or new_accelerator()
    device, rank, world = accelerator.device, accelerator.process_index, accelerator.num_processes
    model = model.to(device).eval()
    network = accelerator.unwrap_model(model)
    cfg = network.cfg
    if cfg.label_dim != len(dataset.labels):
        raise InvalidInput(f"the model has {cfg.label_dim} classes, the data set {dataset.name} {len(dataset.labels)}")
    features = network.front_end().to(device)
    results: list[tuple[Tensor, Tensor, Tensor]] = []  # per batch: index (n,), logits and targets (n, classes)
    problems: list[Problem] = []
    bar = tqdm(total=len(dataset), desc="test", unit="clip", leave=False, disable=not (progress and rank == 0))
    for items in _loader(dataset, cfg.input_tdim if windows else None, batch, rank, world, workers):
        items = items.to(device)
        # A long clip has many rows.
        pieces = zip(torch.split(items.waveforms, batch), torch.split(items.lengths, batch), strict=True)
        with accelerator.autocast():
            logits = torch.cat([model(features(waveforms, lengths)) for waveforms, lengths in pieces])  # (n, classes)
        good = items.usable
        results.append((items.index[good].cpu(), logits[good].float().cpu(), items.targets[good].cpu()))
        problems += items.problems
        bar.update(world * len(items.index.unique()))
    bar.close()
    if world > 1:
        results, problems = gather_object(results), gather_object(problems)
    report = Report(dataset.name, len(dataset))
    report.update(problems)
    if not report.usable:
        raise InvalidInput(f"no clip of {dataset.name} could be used. {report}")
    index, logits, targets = _by_clip(results, cfg.multi_label)
    names = [str(dataset.names[i]) for i in index.tolist()]
    if len(broken := torch.nonzero(~logits.isfinite().all(dim=1)).flatten().tolist()):
        raise Diverged(
            f"the logits of {len(broken)} of {len(names)} clips of {dataset.name} are not finite (first: "
            f"{names[broken[0]]}): training has diverged, a smaller learning rate is the usual remedy"
        )
    scores = to_probabilities(logits, cfg.multi_label)
    loss = loss_function(logits, targets, "bce" if cfg.multi_label else "ce").item()
    return Evaluation({**metrics.all_metrics(targets, scores), "loss": loss}, logits, names, report)


def _loader(
    dataset: AudioDataset, frames: int | None, batch: int, rank: int, world: int, workers: int
) -> "DataLoader[Item] | DataLoader[list[Item]]":
    """Load the clips of one process, which are every `world`-th, so that no clip is measured twice."""
    mine = range(rank, len(dataset), world)
    rows = [list(mine[i : i + batch]) for i in range(0, len(mine), batch)]
    if frames is None:
        return DataLoader(Loadable(dataset), batch_sampler=rows, collate_fn=collate, num_workers=workers)
    clips = EveryWindow(dataset, frames)
    return DataLoader(clips, batch_sampler=rows, collate_fn=collate_windows, num_workers=workers)


def _by_clip(results: Sequence[tuple[Tensor, Tensor, Tensor]], multi_label: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Index `(clips,)`, logits and targets `(clips, classes)` in the order of the data set, from those of windows."""
    index, logits, targets = (torch.cat(column) for column in zip(*results, strict=True))
    order = index.argsort(stable=True)
    clips, firsts, counts = np.unique(index[order].numpy(), return_index=True, return_counts=True)
    logits = torch.stack([over_windows(rows, multi_label) for rows in torch.split(logits[order], counts.tolist())])
    return torch.from_numpy(clips), logits, targets[order][firsts]
