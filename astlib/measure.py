"""Measuring a network: its scores on a data set, one network or several together, on any number of processes.

Chapter: notebooks/08_measuring.ipynb
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.utils import gather_object, send_to_device
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from . import checkpoint, metrics
from .cnn import Network
from .data import AudioDataset, collate
from .data.base import Loadable
from .data.report import Report
from .devices import new_accelerator
from .frontend import Features
from .model import to_probabilities


def loss_function(logits: torch.Tensor, targets: torch.Tensor, kind: str, reduction: str = "mean") -> torch.Tensor:
    """Loss from logits and targets, both `(batch, classes)`; targets may be soft, as mixup makes them.

    reduction: "mean" gives one number, "none" one for each clip, `(batch,)`.
    The original turns the targets of cross-entropy into indices, so that every mixed pair counts as class 0
    (src/traintest.py:128); torch's cross-entropy takes the soft targets as they are.
    """
    if kind == "ce":
        loss = F.cross_entropy(logits, targets, reduction="none")
    else:
        loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(dim=1)
    return loss if reduction == "none" else loss.mean()


@torch.no_grad()  # not inference_mode: what it makes, such as the weights of a model that moves, can never be trained
def evaluate(
    model: Network,
    dataset: AudioDataset,
    batch: int = 64,
    accelerator: Accelerator | None = None,
    workers: int = 0,
    progress: bool = True,
) -> dict:
    """mAP, mAUC, d', accuracy and loss (from logits) of a model on a data set, plus `logits` `(clips, classes)`.

    Every clip counts once, on any number of processes; `logits` are in the data set's order. Clips that cannot be
    decoded are left out: `names` are those that count, `unusable` is a `Report` of the others.
    The model moves to the accelerator's device and is left there in eval mode.
    Raises ValueError if model and data do not have the same number of classes, or if no clip is usable;
    FloatingPointError if the network gives no numbers.
    """
    accelerator = accelerator or new_accelerator()
    device, rank, world = accelerator.device, accelerator.process_index, accelerator.num_processes
    model = model.to(device).eval()
    cfg = accelerator.unwrap_model(model).cfg
    if cfg.label_dim != len(dataset.labels):
        raise ValueError(f"the model has {cfg.label_dim} classes, the data set {dataset.name} {len(dataset.labels)}")
    mine = range(rank, len(dataset), world)
    batches = [list(mine[i : i + batch]) for i in range(0, len(mine), batch)]
    loader = DataLoader(Loadable(dataset), batch_sampler=batches, collate_fn=collate, num_workers=workers)
    features = Features(cfg).to(device)
    found, problems = [], []
    bar = tqdm(total=len(dataset), desc="test", unit="clip", leave=False, disable=not (progress and rank == 0))
    for items in loader:
        items = send_to_device(items, device)
        with accelerator.autocast():
            logits = model(features(items["waveforms"], items["lengths"]))
        usable = items["usable"]
        found.append([items["index"][usable].cpu(), logits[usable].float().cpu(), items["targets"][usable].cpu()])
        problems += items["problems"]
        bar.update(world * len(usable))
    bar.close()
    if world > 1:
        found, problems = gather_object(found), gather_object(problems)
    report = Report(dataset.name, len(dataset))
    report.problems.update({str(dataset.names[i]): (kind, why) for i, kind, why in problems})
    if not report.usable:
        raise ValueError(f"no clip of {dataset.name} could be used. {report}")
    index, logits, targets = (torch.cat(column) for column in zip(*found, strict=True))
    order = index.argsort()
    logits, targets = logits[order], targets[order]
    names = [str(dataset.names[i]) for i in index[order].tolist()]
    if len(broken := torch.nonzero(~logits.isfinite().all(dim=1)).flatten().tolist()):
        raise FloatingPointError(
            f"the logits of {len(broken)} of {len(names)} clips of {dataset.name} are not numbers (first: "
            f"{names[broken[0]]}): training has diverged, a smaller learning rate is the usual remedy"
        )
    scores = to_probabilities(logits, cfg.multi_label)
    loss = loss_function(logits, targets, "bce" if cfg.multi_label else "ce").item()
    return {**metrics.evaluate(targets, scores), "loss": loss, "logits": logits, "names": names, "unusable": report}


def evaluate_ensemble(paths: list[str | Path], dataset: AudioDataset) -> dict:
    """mAP, mAUC, d', accuracy of the mean of the probabilities that several runs or score files hold for a data set.

    paths: see `astlib.checkpoint.ensemble`. Raises ValueError if they are not about this data set's clips.
    """
    scores, names = checkpoint.ensemble(paths)
    return {"members": len(paths), **evaluate_scores(scores, names, dataset)}


def evaluate_scores(scores: torch.Tensor, names: list[str], dataset: AudioDataset) -> dict:
    """mAP, mAUC, d', accuracy of probabilities `(clips, classes)` for the clips of these names.

    Raises ValueError if one of them is no clip of the data set.
    """
    return metrics.evaluate(dataset.classes.take(_rows(names, dataset)).dense(), scores)


def right_answers(scores: torch.Tensor, names: list[str], dataset: AudioDataset) -> torch.Tensor:
    """Which clips of a data set got their own class the highest score, of `(named clips, classes)` scores or logits.

    `(clips of the data set,)` bool in its order, whatever could be read: a clip without a score is not right. With
    these of two networks one can compare them clip by clip (`astlib.metrics.mcnemar`).
    Raises ValueError if one of the names is no clip of the data set.
    """
    right, rows = torch.zeros(len(dataset), dtype=torch.bool), _rows(names, dataset)
    right[rows] = scores.argmax(dim=1) == dataset.classes.take(rows).dense().argmax(dim=1)
    return right


def _rows(names: list[str], dataset: AudioDataset) -> list[int]:
    rows = {str(name): i for i, name in enumerate(dataset.names)}
    if missing := [name for name in names if name not in rows]:
        raise ValueError(f"there are scores of {missing[0]!r}, which is no clip of {dataset.name}")
    return [rows[name] for name in names]
