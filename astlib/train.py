"""The training loop: explicit, on any number of devices, and able to stop and go on.

sound -> mixup -> log-mel -> pad or cut -> SpecAugment -> normalise -> AST -> loss, all but the decoding in batches on
the device. Hugging Face Accelerate places and gathers tensors; the loop itself is here to be read.

Chapter: notebooks/09_esc50.ipynb
"""

import json
import math
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
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


def generator(seed: int, epoch: int, step: int = 0) -> torch.Generator:
    """The source of every random draw at one step: a function of (seed, epoch, step) and of nothing before it.

    So a run that was stopped continues with the draws that it would have made.
    """
    state = np.random.SeedSequence([seed, epoch, step]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) >> 1)


class Shuffled(Sampler):
    """All clips once an epoch, in an order drawn from (seed, epoch)."""

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
            source = found.stem if found else transfer.VIT_NAMES.get(name, (Path(name).stem,))[0]
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


@torch.inference_mode()
def evaluate(
    model: AST,
    dataset: AudioDataset,
    batch: int = 64,
    accelerator: Accelerator | None = None,
    progress: bool = True,
) -> dict:
    """mAP, mAUC, d', accuracy and loss (from logits) of a model on a data set, plus `logits` `(clips, classes)`."""
    accelerator = accelerator or Accelerator()
    loader = accelerator.prepare(DataLoader(dataset, batch_size=batch, collate_fn=collate))
    model = model.to(accelerator.device).eval()
    features = Features(accelerator.unwrap_model(model).cfg).to(accelerator.device)
    logits, targets = [], []
    for items in tqdm(loader, desc="test", leave=False, disable=not (progress and accelerator.is_main_process)):
        with accelerator.autocast():
            out = model(features(items["waveforms"], items["lengths"]))
        out, wanted = accelerator.gather_for_metrics((out.float(), items["targets"]))
        logits.append(out.cpu())
        targets.append(wanted.cpu())
    logits, targets = torch.cat(logits), torch.cat(targets)
    multi_label = accelerator.unwrap_model(model).cfg.multi_label
    scores = logits.sigmoid() if multi_label else logits.softmax(dim=-1)
    loss = loss_function(logits, targets, "bce" if multi_label else "ce").item()
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
    one), `log.jsonl` (one line an epoch) and `run.json`. If it holds an unfinished run of the same recipe, data and
    weights, that run goes on; if it holds a finished one, its record is returned; if another run, ValueError.
    train, test: instead of the data that the recipe names. workers: loader processes; 0 decodes all clips once and
    keeps them in memory. precision: "no" (float32), "bf16" or "fp16".
    Raises TrainingStopped if the loss is not a number, DataNotFound and WeightsNotFound with what to do.
    """
    out = Path(out)
    if train is None or test is None:
        train, test = datasets(recipe)
    accelerator = Accelerator(
        mixed_precision=precision,
        dataloader_config=DataLoaderConfiguration(split_batches=True, even_batches=True),
    )
    show = progress and accelerator.is_main_process
    model, weights = build_model(recipe, train.labels)
    record = new_record(recipe, train, test, weights, accelerator)
    finished = check_folder(out, record, resume)
    if finished is not None:
        return finished
    optimizer = torch.optim.Adam(
        [p for p in model.parameters() if p.requires_grad],
        lr=recipe.lr, betas=recipe.betas, weight_decay=recipe.weight_decay,
    )  # fmt: skip
    last = checkpoint.latest(out)
    if last is not None:
        history = checkpoint.load(last, model, optimizer)
        record.epochs, record.started, record.peak_memory = (
            history["epochs"],
            history["started"],
            history["peak_memory"],
        )
        if history["commit"] != record.commit:  # one run, two states of the code: the record must not look clean
            record.dirty = True
    else:
        write_start(out, record)
    if workers == 0:
        train.preload(progress=show)
        test.preload(progress=show)
    order = Shuffled(len(train), recipe.seed)
    loader = DataLoader(train, batch_size=recipe.batch, sampler=order, collate_fn=collate, num_workers=workers)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    features = Features(accelerator.unwrap_model(model).cfg).to(accelerator.device)

    for epoch in range(len(record.epochs) + 1, recipe.epochs + 1):
        order.epoch = epoch
        started = time.perf_counter()
        train_loss = train_epoch(recipe, epoch, model, features, loader, optimizer, accelerator, show, train, last)
        seconds = time.perf_counter() - started
        result = evaluate(model, test, 2 * recipe.batch, accelerator, progress=show)
        entry = {
            "epoch": epoch,
            "train_loss": train_loss,
            "learning_rate": recipe.learning_rate(epoch),
            "train_seconds": seconds,
            "seconds": time.perf_counter() - started,
            # an AUC of exactly 1 makes d' infinite, which JSON cannot hold: null in the record
            **{name: value if math.isfinite(value) else None for name, value in result.items() if name != "logits"},
        }
        record.epochs.append(entry)
        record.peak_memory = max(record.peak_memory, ledger.peak_memory(accelerator.device))
        if accelerator.is_main_process:
            last = save_epoch(out, record, recipe, accelerator.unwrap_model(model), optimizer)
        accelerator.wait_for_everyone()
        if show:
            tqdm.write(
                f"epoch {epoch}/{recipe.epochs}: loss {train_loss:.3f}, test {recipe.metric} "
                f"{entry[recipe.metric]:.4f}, {seconds:.0f} s"
            )
    return finish(out, record, recipe, len(train), accelerator)


def train_epoch(recipe, epoch, model, features, loader, optimizer, accelerator, show, dataset, last) -> float:
    """One pass over the training clips; returns the mean loss. Stops at a loss that is not a number."""
    model.train()
    losses = []
    bar = tqdm(loader, desc=f"epoch {epoch}/{recipe.epochs}", leave=False, disable=not show)
    for step, items in enumerate(bar):
        draws = generator(recipe.seed + accelerator.process_index * 1_000_003, epoch, step + 1)
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
            raise TrainingStopped(
                f"the loss is {loss.item()} at epoch {epoch}, step {step + 1} (learning rate {rate:g}). "
                f"Clips of that step: {clips}. Last good checkpoint: {last or 'none yet'}. "
                "A smaller learning rate is the usual remedy; check these clips too"
            )
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        bar.set_postfix(loss=f"{np.mean(losses[-20:]):.3f}")
    return float(np.mean(losses))


def new_record(recipe: Recipe, train: AudioDataset, test: AudioDataset, weights: dict, accelerator) -> Run:
    data = {
        "name": train.name,
        "synthetic": train.is_synthetic,
        "classes": len(train.labels),
        "train": {"clips": len(train), "hash": train.manifest_hash()},
        "test": {"clips": len(test), "hash": test.manifest_hash()},
    }
    parameters = json.loads(json.dumps(asdict(recipe)))  # tuples become lists, as they will when read back
    commit, dirty = ledger.git_state()
    return Run(
        id=ledger.run_id(parameters, data, weights),
        commit=commit,
        dirty=dirty,
        recipe=recipe.name,
        parameters=parameters,
        data=data,
        weights=weights,
        seed=recipe.seed,
        hardware={
            **ledger.hardware(accelerator.device, accelerator.num_processes),
            "precision": PRECISIONS[accelerator.mixed_precision],
        },
        versions=ledger.versions(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def check_folder(out: Path, record: Run, resume: bool) -> Run | None:
    """The finished record if `out` has this very run; None if there is work to do. Never overwrites another run."""
    start = out / "start.json"
    if not start.is_file():
        return None
    there = json.loads(start.read_text(encoding="utf-8"))
    if there["id"] != record.id or not resume:
        differing = sorted(
            key for key, value in record.parameters.items() if there["parameters"].get(key) != value
        ) or [key for key in ("data", "weights") if there[key] != getattr(record, key)]
        why = f"they differ in {', '.join(differing)}" if differing else "resume is off"
        raise ValueError(
            f"{out} already holds the run {there['id']}, this one is {record.id}: {why}. "
            "Give another folder, or remove that one if it is not needed"
        )
    return Run.load(out / "run.json") if (out / "run.json").is_file() else None


def write_start(out: Path, record: Run) -> None:
    ledger.write_json(out / "start.json", asdict(record))


def save_epoch(out: Path, record: Run, recipe: Recipe, model: AST, optimizer) -> Path:
    history = {"epochs": record.epochs, "started": record.started, "peak_memory": record.peak_memory,
               "commit": record.commit}  # fmt: skip
    best = max(record.epochs, key=lambda entry: entry[recipe.metric])
    if best is record.epochs[-1]:
        model.save_pretrained(out / "best")
    folder = checkpoint.save(out, len(record.epochs), model, optimizer, history)
    lines = "".join(json.dumps(entry) + "\n" for entry in record.epochs)
    (out / "log.jsonl").write_text(lines, encoding="utf-8")
    return folder


def finish(out: Path, record: Run, recipe: Recipe, clips: int, accelerator) -> Run:
    """Select the epoch, export its model, write the record."""
    by_metric = max(record.epochs, key=lambda entry: entry[recipe.metric])
    chosen, rule = (
        (record.epochs[-1], "last epoch")
        if recipe.selection == "last"
        else (by_metric, "best epoch on the test part, as published")
    )
    record.metrics = {
        "rule": rule,
        **{name: chosen[name] for name in ("epoch", "accuracy", "mAP", "mAUC", "d_prime", "loss")},
        "best_on_test": {"epoch": by_metric["epoch"], recipe.metric: by_metric[recipe.metric]},
    }
    record.wall_seconds = sum(entry["seconds"] for entry in record.epochs)
    record.throughput = clips * len(record.epochs) / sum(entry["train_seconds"] for entry in record.epochs)
    if accelerator.is_main_process:
        source = checkpoint.latest(out) if recipe.selection == "last" else out / "best"
        AST.from_pretrained(source).save_pretrained(out / "model")
        ledger.write_json(out / "run.json", asdict(record))
    return record
