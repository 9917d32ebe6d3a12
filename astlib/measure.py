"""Measuring a network: its scores on a data set, on any number of processes.

Chapter: notebooks/08_measuring.ipynb
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from . import metrics
from .data.base import AudioDataset, Loadable
from .data.batch import collate
from .data.report import Problem, Report
from .devices import new_accelerator
from .errors import Diverged, InvalidInput
from .frontend import Features
from .model import to_probabilities
from .networks import Network
from .recipes import Loss

Reduction = Literal["mean", "none"]


@dataclass(frozen=True)
class Evaluation:
    """The outputs of a network on a data set, and how good they are.

    Attributes:
        metrics: mAP, mAUC, d_prime, accuracy, classes_without_positives and loss.
        logits: `(clips, classes)` float32, on the CPU, in the order of the data set.
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


@torch.no_grad()  # not inference_mode: weights that move to the device in it could never be trained again
def evaluate(
    model: Network,
    dataset: AudioDataset,
    batch: int = 64,
    accelerator: Accelerator | None = None,
    workers: int = 0,
    progress: bool = True,
) -> Evaluation:
    """Measure a network on a data set. Every clip counts once, on any number of processes.

    Args:
        model: moves to the accelerator's device and is left there in eval mode.
        dataset: its classes are those of the model.
        batch: clips per forward pass of a process.
        accelerator: None makes a new one, in float32.
        workers: loader processes per device.
        progress: show a progress bar.

    Returns:
        Metrics, logits and names of all clips that could be used, and a report of the others.

    Raises:
        InvalidInput: model and data have different numbers of classes, or no clip is usable.
        Diverged: the network's outputs are not finite.
    """
    accelerator = accelerator or new_accelerator()
    device, rank, world = accelerator.device, accelerator.process_index, accelerator.num_processes
    model = model.to(device).eval()
    cfg = accelerator.unwrap_model(model).cfg
    if cfg.label_dim != len(dataset.labels):
        raise InvalidInput(f"the model has {cfg.label_dim} classes, the data set {dataset.name} {len(dataset.labels)}")
    mine = range(rank, len(dataset), world)  # every world-th clip: no clip is measured twice
    rows = [list(mine[i : i + batch]) for i in range(0, len(mine), batch)]
    loader = DataLoader(Loadable(dataset), batch_sampler=rows, collate_fn=collate, num_workers=workers)
    features = Features(cfg).to(device)
    results: list[tuple[Tensor, Tensor, Tensor]] = []  # per batch: index (n,), logits and targets (n, classes)
    problems: list[Problem] = []
    bar = tqdm(total=len(dataset), desc="test", unit="clip", leave=False, disable=not (progress and rank == 0))
    for items in loader:
        items = items.to(device)
        with accelerator.autocast():
            logits = model(features(items.waveforms, items.lengths))  # (batch, classes)
        good = items.usable
        results.append((items.index[good].cpu(), logits[good].float().cpu(), items.targets[good].cpu()))
        problems += items.problems
        bar.update(world * len(good))
    bar.close()
    if world > 1:
        results, problems = gather_object(results), gather_object(problems)
    report = Report(dataset.name, len(dataset))
    report.update(problems)
    if not report.usable:
        raise InvalidInput(f"no clip of {dataset.name} could be used. {report}")
    index, logits, targets = (torch.cat(column) for column in zip(*results, strict=True))
    order = index.argsort()
    logits, targets = logits[order], targets[order]
    names = [str(dataset.names[i]) for i in index[order].tolist()]
    if len(broken := torch.nonzero(~logits.isfinite().all(dim=1)).flatten().tolist()):
        raise Diverged(
            f"the logits of {len(broken)} of {len(names)} clips of {dataset.name} are not finite (first: "
            f"{names[broken[0]]}): training has diverged, a smaller learning rate is the usual remedy"
        )
    scores = to_probabilities(logits, cfg.multi_label)
    loss = loss_function(logits, targets, "bce" if cfg.multi_label else "ce").item()
    return Evaluation({**metrics.all_metrics(targets, scores), "loss": loss}, logits, names, report)
