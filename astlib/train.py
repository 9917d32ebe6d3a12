"""The training loop: explicit, on any number of devices, and able to stop and go on.

sound -> mixup -> log-mel -> pad or cut -> SpecAugment -> normalise -> AST -> loss, all but the decoding in batches on
the device. Hugging Face Accelerate places and gathers tensors; the loop itself is here to be read.

Chapter: notebooks/09_esc50.ipynb
"""

import json
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DataLoaderConfiguration
from torch import nn
from torch.utils.data import DataLoader, Sampler
from tqdm.auto import tqdm

from . import checkpoint, ledger, metrics, transfer
from .augment import mixup, spec_augment
from .checkpoint import TrainingStopped
from .data import ESC50, AudioDataset, Synthetic, collate
from .frontend import LogMel, normalise, pad_or_cut
from .ledger import Run
from .model import AST, ASTConfig
from .recipes import Recipe

DATASETS = {"esc50": ESC50, "synthetic": Synthetic}
PRECISIONS = {"no": "float32", "bf16": "bfloat16 mixed", "fp16": "float16 mixed"}


def generator(seed: int, epoch: int, step: int = 0, process: int = 0) -> torch.Generator:
    """The source of every random draw at one step: a function of its arguments and of nothing before it.

    So a run that was stopped continues with the draws that it would have made.
    """
    key = [seed, epoch, step, process] if process else [seed, epoch, step]
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) >> 1)


class Shuffled(Sampler):
    """All clips once an epoch, in an order drawn from (seed, epoch).

    With several processes accelerate fills an incomplete last batch with clips of the first.
    """

    def __init__(self, length: int, seed: int):
        self.length, self.seed, self.epoch = length, seed, 1

    def __len__(self) -> int:
        return self.length

    def __iter__(self):
        yield from torch.randperm(self.length, generator=generator(self.seed, self.epoch)).tolist()


class Features(nn.Module):
    """Waveforms `(batch, samples)` -> the network's input `(batch, input_tdim, input_fdim)`, normalised, float32.

    Without a recipe nothing is augmented. The order is the original's (src/dataloader.py:129-209): pad or cut the
    log-mel with zeros, mask with zeros, then normalise, so that padding and masks share one value.
    """

    def __init__(self, cfg: ASTConfig):
        super().__init__()
        self.cfg = cfg
        self.log_mel = LogMel(n_mels=cfg.input_fdim)

    def forward(
        self,
        waveforms: torch.Tensor,
        lengths: torch.Tensor | None = None,
        recipe: Recipe | None = None,
        draws: torch.Generator | None = None,
    ) -> torch.Tensor:
        mel = pad_or_cut(self.log_mel(waveforms, lengths), self.cfg.input_tdim)
        if recipe is not None:
            mel = spec_augment(mel, recipe.freqm, recipe.timem, draws)
        return normalise(mel, self.cfg.mean, self.cfg.std)


def datasets(recipe: Recipe) -> tuple[AudioDataset, AudioDataset]:
    """The training and the test part that a recipe names. Raises DataNotFound with what to do."""
    if recipe.dataset not in DATASETS:
        raise ValueError(f"unknown dataset {recipe.dataset!r}; known: {', '.join(DATASETS)}")
    kind = DATASETS[recipe.dataset]
    return kind(fold=recipe.fold, split="train"), kind(fold=recipe.fold, split="test")


def build_model(recipe: Recipe, labels: list[str]) -> tuple[AST, dict]:
    """The network a recipe starts from, and where its weights came from: `{"source", "hash"}`.

    New weights depend on the recipe's seed alone. Raises WeightsNotFound if ImageNet weights are asked for and absent.
    """
    cfg = recipe.model_config(labels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        if recipe.init == "scratch":
            return AST(cfg), {"source": "scratch", "hash": None}
        if recipe.init == "imagenet":
            name = recipe.weights or recipe.model_size
            found = transfer.find_vit(name)
            state = transfer.load_vit(name)
            model = transfer.from_vit(state, cfg, channels=recipe.channels, position=recipe.position)
            source = found.stem if found else transfer.VIT_NAMES.get(name, (name,))[0]
            return model, {"source": f"imagenet, {source}", "hash": ledger.weights_hash(state)}
        start = AST.from_pretrained(recipe.init)
        weights = {"source": Path(recipe.init).name, "hash": ledger.weights_hash(start.state_dict())}
        return transfer.adapt(start, cfg, position=recipe.position), weights


def loss_function(logits: torch.Tensor, targets: torch.Tensor, kind: str) -> torch.Tensor:
    """Mean loss from logits and targets, both `(batch, classes)`; targets may be soft, as mixup makes them.

    The original turns the targets of cross-entropy into indices, so that every mixed pair counts as class 0
    (src/traintest.py:128); torch's cross-entropy takes the soft targets as they are.
    """
    if kind == "ce":
        return F.cross_entropy(logits, targets)
    return F.binary_cross_entropy_with_logits(logits, targets)


def new_accelerator(precision: str = "no", split_batches: bool = False) -> Accelerator:
    """A fresh one: accelerate keeps the first precision of a process for ever, and a notebook has several runs."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}; found {precision!r}")
    AcceleratorState._reset_state()
    loading = DataLoaderConfiguration(split_batches=split_batches)
    return Accelerator(mixed_precision=precision, dataloader_config=loading)


@torch.no_grad()  # not inference_mode: what it makes, such as the weights of a model that moves, can never be trained
def evaluate(
    model: AST,
    dataset: AudioDataset,
    batch: int = 64,
    accelerator: Accelerator | None = None,
    workers: int = 0,
    progress: bool = True,
) -> dict:
    """mAP, mAUC, d', accuracy and loss (from logits) of a model on a data set, plus `logits` `(clips, classes)`.

    The model moves to the accelerator's device and is left there in eval mode.
    Raises ValueError if model and data do not have the same number of classes.
    """
    accelerator = accelerator or new_accelerator()
    loader = accelerator.prepare(DataLoader(dataset, batch_size=batch, collate_fn=collate, num_workers=workers))
    model = model.to(accelerator.device).eval()
    cfg = accelerator.unwrap_model(model).cfg
    if cfg.label_dim != len(dataset.labels):
        raise ValueError(f"the model has {cfg.label_dim} classes, the data set {dataset.name} {len(dataset.labels)}")
    features = Features(cfg).to(accelerator.device)
    logits, targets = [], []
    for items in tqdm(loader, desc="test", leave=False, disable=not (progress and accelerator.is_main_process)):
        with accelerator.autocast():
            out = model(features(items["waveforms"], items["lengths"]))
        out, wanted = accelerator.gather_for_metrics((out.float(), items["targets"]))
        logits.append(out.cpu())
        targets.append(wanted.cpu())
    logits, targets = torch.cat(logits), torch.cat(targets)
    scores = logits.sigmoid() if cfg.multi_label else logits.softmax(dim=-1)
    loss = loss_function(logits, targets, "bce" if cfg.multi_label else "ce").item()
    return {**metrics.evaluate(targets, scores), "loss": loss, "logits": logits}


def fit(
    recipe: Recipe,
    out: str | Path,
    train: AudioDataset | None = None,
    test: AudioDataset | None = None,
    resume: bool = True,
    workers: int = 0,
    precision: str = "no",
    progress: bool = True,
) -> Run:
    """Train as the recipe says; returns the record, which is also `out/run.json`.

    out: gets `epoch-NNN` (the last checkpoint), `best` (by the recipe's metric on the test part), `model` (the selected
    one, with its record), `log.jsonl` (one line an epoch) and `run.json`. If it holds an unfinished run of the same
    recipe, data and weights, that run goes on; if a finished one, its record is returned; if another, ValueError.
    train, test: instead of the data that the recipe names. workers: loader processes; 0 decodes all clips once and
    keeps them in memory. precision: "no" (float32), "bf16" or "fp16".
    Raises TrainingStopped if the loss is not a number, DataNotFound and WeightsNotFound with what to do.
    """
    out = Path(out)
    if (train is None) != (test is None):
        raise ValueError("give both train and test, or neither: the recipe then says which")
    if train is None:
        train, test = datasets(recipe)
    if train.labels != test.labels:
        raise ValueError(f"training and test part have different classes: {train.labels[:5]} and {test.labels[:5]}")
    recipe = recipe.replace(dataset=train.name)
    accelerator = new_accelerator(precision, split_batches=True)
    device, processes = accelerator.device, accelerator.num_processes
    if recipe.batch % processes:
        raise ValueError(f"a batch of {recipe.batch} cannot be shared by {processes} processes: take a multiple of it")
    show = progress and accelerator.is_main_process
    model, weights = build_model(recipe, train.labels)
    record = ledger.new_run(recipe, train, test, weights, device, processes, PRECISIONS[precision])
    finished = ledger.earlier_run(out, record, resume)
    if finished is not None:
        return finished
    if workers == 0:
        train.preload(progress=show)
        test.preload(progress=show)
    optimizer = torch.optim.Adam(
        [p for p in model.parameters() if p.requires_grad],
        lr=recipe.lr, betas=recipe.betas, weight_decay=recipe.weight_decay,
    )  # fmt: skip
    order = Shuffled(len(train), recipe.seed)
    loader = DataLoader(train, batch_size=recipe.batch, sampler=order, collate_fn=collate, num_workers=workers)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    bare = accelerator.unwrap_model(model)
    features = Features(bare.cfg).to(device)
    last = checkpoint.latest(out)
    if last is not None:
        record.resume(checkpoint.load(last, bare, optimizer, accelerator.scaler))
        if accelerator.is_main_process and record.best() is record.epochs[-1]:  # killed between the two writes
            bare.save_pretrained(out / "best")
    elif accelerator.is_main_process:
        ledger.write_json(out / "start.json", asdict(record))
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)

    for epoch in range(len(record.epochs) + 1, recipe.epochs + 1):
        order.epoch = epoch
        started = time.perf_counter()
        try:
            train_loss = train_epoch(recipe, epoch, model, features, loader, optimizer, accelerator, train, show)
            seconds = time.perf_counter() - started
            result = evaluate(model, test, 2 * recipe.batch, accelerator, workers, progress=show)
        except FloatingPointError as error:
            raise TrainingStopped(f"{error}. Last good checkpoint: {last or 'none yet'}") from None
        del result["logits"]
        entry = {
            "epoch": epoch,
            "train_loss": train_loss,
            "learning_rate": recipe.learning_rate(epoch, epoch * len(loader) - 1),
            "train_seconds": seconds,
            "seconds": time.perf_counter() - started,
            **ledger.finite(result),
        }
        record.epochs.append(entry)
        record.peak_memory = max(record.peak_memory, ledger.peak_memory(device))
        if accelerator.is_main_process:
            last = checkpoint.save(out, epoch, bare, optimizer, asdict(record), accelerator.scaler)
            if record.best() is entry:
                bare.save_pretrained(out / "best")
            lines = "".join(json.dumps(line) + "\n" for line in record.epochs)
            (out / "log.jsonl").write_text(lines, encoding="utf-8")
        accelerator.wait_for_everyone()
        if show:
            score = f"test {recipe.metric} {entry[recipe.metric]:.4f}"
            tqdm.write(f"epoch {epoch}/{recipe.epochs}: loss {train_loss:.3f}, {score}, {seconds:.0f} s")
    record.finish(len(train))
    if accelerator.is_main_process:
        chosen = out / "best" if recipe.selection == "paper" else checkpoint.latest(out)
        AST.from_pretrained(chosen).save_pretrained(out / "model")
        for folder in (out / "model", out):
            ledger.write_json(folder / "run.json", asdict(record))
    accelerator.wait_for_everyone()  # who returns may read the model at once
    return record


def train_epoch(recipe, epoch, model, features, loader, optimizer, accelerator, dataset, show) -> float:
    """One pass over the training clips; returns the mean of the steps' losses over all processes.

    Raises FloatingPointError with the clips of the step if the loss is not a number.
    """
    model.train()
    losses = []
    bar = tqdm(loader, desc=f"epoch {epoch}/{recipe.epochs}", leave=False, disable=not show)
    for step, items in enumerate(bar):
        draws = generator(recipe.seed, epoch, step + 1, accelerator.process_index)
        waveforms, lengths, targets = mixup(items["waveforms"], items["lengths"], items["targets"], recipe.mixup, draws)
        rate = recipe.learning_rate(epoch, (epoch - 1) * len(loader) + step)
        for group in optimizer.param_groups:
            group["lr"] = rate
        mel = features(waveforms, lengths, recipe, draws)
        with accelerator.autocast():
            logits = model(mel)
        loss = loss_function(logits.float(), targets, recipe.loss)
        if not torch.isfinite(loss):
            clips = ", ".join(dataset.names[i] for i in items["index"].tolist())
            raise FloatingPointError(
                f"the loss is {loss.item()} at epoch {epoch}, step {step + 1} (learning rate {rate:g}). A smaller "
                f"learning rate is the usual remedy; check the clips of that step too: {clips}"
            )
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        bar.set_postfix(loss=f"{np.mean(losses[-20:]):.3f}")
    return accelerator.reduce(torch.tensor(losses, device=accelerator.device), "mean").mean().item()
