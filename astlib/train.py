"""The training loop: explicit, on any number of devices, and able to stop at any moment and go on.

sound -> mixup -> log-mel -> pad or cut -> SpecAugment -> normalise -> AST -> loss, all but the decoding in batches on
the device. Hugging Face Accelerate places the model and adds up gradients; the loop itself is here to be read.

A step always means `recipe.batch` clips, whatever the number of devices: each takes its part of them, and the loss of
a clip counts 1 / (clips of the step), also in a small last step. Everything random is a function of (seed, epoch,
step), so neither a stop nor another number of devices changes what is drawn.

Chapter: notebooks/07_the_training_loop.ipynb
"""

import contextlib
import copy
import errno
import json
import math
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import psutil
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import gather_object, send_to_device
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from . import checkpoint, convert, data, ledger, metrics, sampling, transfer
from .augment import mixup, noise_and_roll, spec_augment
from .checkpoint import Interrupted, TrainingStopped
from .data import AudioDataset, collate
from .data.base import Loadable, Report
from .frontend import Features
from .ledger import Run
from .model import AST
from .recipes import Recipe

DISK_FULL = (errno.EFBIG, errno.ENOSPC, errno.EDQUOT)
PRECISIONS = {"no": "float32", "bf16": "bfloat16 mixed", "fp16": "float16 mixed"}


def generator(seed: int, epoch: int, step: int = 0) -> torch.Generator:
    """The source of the augmentation's draws at one step: a function of its arguments and of nothing before it."""
    state = np.random.SeedSequence([seed, epoch, step]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) >> 1)


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
        start = convert.open_model(recipe.init)
        weights = {"source": Path(recipe.init).name, "hash": ledger.weights_hash(start.state_dict())}
        return transfer.adapt(start, cfg, position=recipe.position), weights


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


def choose_precision(precision: str) -> str:
    """ "auto" becomes what the device is good at: bfloat16 where the chip computes it (Ampere and later), float16 with
    a loss scaler on older NVIDIA cards such as the T4, float32 elsewhere. Anything else stays as it is.

    Raises ValueError for an unknown one, and for float16 where there is no NVIDIA card.
    """
    cuda = torch.cuda.is_available()
    if precision == "auto":
        if not cuda:
            return "no"
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be auto or one of {', '.join(PRECISIONS)}; found {precision!r}")
    if precision == "fp16" and not cuda:
        raise ValueError("fp16 needs an NVIDIA card, and there is none here: take no (float32) or bf16")
    return precision


def new_accelerator(precision: str = "no", tracker: str | None = None, folder: Path | None = None) -> Accelerator:
    """A fresh one: accelerate keeps the first precision of a process for ever, and a notebook has several runs."""
    AcceleratorState._reset_state()
    return Accelerator(mixed_precision=choose_precision(precision), log_with=tracker, project_dir=folder)


@contextlib.contextmanager
def asked_to_stop():
    """Ctrl-C and SIGTERM (what a scheduler sends before it takes the machine away) end the step, not the program.

    Gives a threading.Event that is set when somebody asked. A second Ctrl-C stops at once.
    """
    asked, before = threading.Event(), {}

    def ask(number, frame):
        if asked.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.set()

    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# --- measuring ---------------------------------------------------------------------------------------------


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
    scores = logits.sigmoid() if cfg.multi_label else logits.softmax(dim=-1)
    loss = loss_function(logits, targets, "bce" if cfg.multi_label else "ce").item()
    return {**metrics.evaluate(targets, scores), "loss": loss, "logits": logits, "names": names, "unusable": report}


def evaluate_ensemble(paths: list[str | Path], dataset: AudioDataset) -> dict:
    """mAP, mAUC, d', accuracy of the mean of the probabilities that several runs or score files hold for a data set.

    paths: see `astlib.checkpoint.ensemble`. Raises ValueError if they are not about this data set's clips.
    """
    scores, names = checkpoint.ensemble(paths)
    rows = {str(name): i for i, name in enumerate(dataset.names)}
    if missing := [name for name in names if name not in rows]:
        raise ValueError(f"{paths[0]} holds scores of {missing[0]!r}, which is no clip of {dataset.name}")
    return {"members": len(paths), **metrics.evaluate(dataset.classes.take([rows[n] for n in names]).dense(), scores)}


# --- training ----------------------------------------------------------------------------------------------


def fit(
    recipe: Recipe,
    out: str | Path,
    train: AudioDataset | None = None,
    test: AudioDataset | None = None,
    validation: AudioDataset | None = None,
    root: str | Path | None = None,
    resume: bool = True,
    workers: int = 0,
    precision: str = "auto",
    micro_batch: int = 0,
    save_minutes: float = 10.0,
    require: float = 0.95,
    tracker: str | None = None,
    progress: bool = True,
) -> Run:
    """Train as the recipe says; returns the record, which is also `out/run.json`.

    out: gets `checkpoint-EEE-SSSSSSS` (the last one), `weights/epoch-NNN` (those that averaging needs), `best` (by the
    recipe's metric on the part that selects), `scores/epoch-NNN.npz`, `log.jsonl` (one line an epoch), and at the end
    `model` (the selected weights, with the record), `scores.npz` (what they say of the test part) and `run.json`; and
    `unusable-PART.csv` if clips could not be used. If it holds an unfinished run of the same recipe, data and weights,
    that run goes on, to the weights that it would have had; if a finished one, its record is returned; if another,
    ValueError. On several machines all of them must see `out`.

    train, test, validation: instead of the data that the recipe names. root: where those are, see `astlib.data.parts`.
    workers: loader processes a device; 0 decodes all clips once and keeps them if memory allows.
    precision: see `choose_precision`. micro_batch: clips a device takes at a time, to save memory; 0 takes its whole
    part of a step. save_minutes: between checkpoints inside an epoch. require: share of the clips of each part that
    must be usable; with fewer the run stops with their list. tracker: "tensorboard" or what else accelerate knows.
    Raises TrainingStopped (loss not a number, disk full), its kind Interrupted (Ctrl-C), DataNotFound and
    WeightsNotFound, all with what to do.
    """
    out = Path(out)
    if (train is None) != (test is None):
        raise ValueError("give both train and test, or neither: the recipe then says which")
    if train is None:
        train, validation, test = data.parts(recipe.dataset, recipe.fold, recipe.selection == "validation", root)
    parts = {"train": train, "test": test, **({"validation": validation} if validation is not None else {})}
    check_parts(recipe, parts)
    recipe = recipe.replace(dataset=train.name)
    accelerator = new_accelerator(precision, tracker, out)
    model, weights = build_model(recipe, train.labels)
    kind = PRECISIONS[accelerator.mixed_precision]
    record = ledger.new_run(recipe, parts, weights, accelerator.device, accelerator.num_processes, kind)
    finished = ledger.earlier_run(out, record, resume)
    if finished is not None:
        return finished
    training = Training(recipe, out, parts, accelerator, model, record)
    training.workers, training.micro_batch, training.require = workers, micro_batch, require
    training.save_seconds, training.show = 60 * save_minutes, progress and accelerator.is_main_process
    training.require_clips()
    if workers == 0:
        training.preload()
    training.start_or_resume()
    if tracker:
        accelerator.init_trackers("astlib", config={key: str(value) for key, value in vars(recipe).items()})
    try:
        with asked_to_stop() as training.asked:
            while training.epoch <= recipe.epochs:
                training.one_epoch()
        training.finish()
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise TrainingStopped(
            f"{out} cannot be written: {error.strerror or error}. Make room, and the same command goes on from the "
            f"last good checkpoint: {checkpoint.latest(out) or 'none yet'}"
        ) from error
    finally:
        if tracker:
            accelerator.end_training()
    accelerator.wait_for_everyone()  # who returns may read the model at once
    return Run.load(out / "run.json")


def check_parts(recipe: Recipe, parts: dict[str, AudioDataset]) -> None:
    """Raises ValueError if the parts do not belong together or cannot do what the recipe asks."""
    train, test = parts["train"], parts["test"]
    for name, part in parts.items():
        if part.labels != train.labels:
            raise ValueError(f"train and {name} have different classes: {train.labels[:5]} and {part.labels[:5]}")
    if not all(isinstance(part, AudioDataset) for part in (test, parts.get("validation", test))):
        raise ValueError("a stream can be trained on; for testing and validation give a data set with random access")
    if recipe.balanced and not isinstance(train, AudioDataset):
        raise ValueError(
            "balanced sampling draws any clip at any time, and a stream gives them in its own order: "
            "use a local copy, or balanced=False"
        )
    if recipe.selection == "validation" and "validation" not in parts:
        raise ValueError('selection="validation" needs a validation part, and there is none')
    if recipe.loss == "ce" and train.multi_label:
        raise ValueError(f'{train.name} has clips with several labels: cross-entropy wants one. Use loss="bce"')


class Training:
    """A run in progress: the network, where it stands, and what it has measured so far."""

    asked: threading.Event

    def __init__(self, recipe: Recipe, out: Path, parts: dict, accelerator: Accelerator, model: AST, record: Run):
        self.recipe, self.out, self.parts, self.accelerator, self.record = recipe, out, parts, accelerator, record
        self.device, self.main = accelerator.device, accelerator.is_main_process
        self.rank, self.world = accelerator.process_index, accelerator.num_processes
        self.train, self.test, self.validation = parts["train"], parts["test"], parts.get("validation")
        optimizer = torch.optim.Adam(
            [p for p in model.parameters() if p.requires_grad],
            lr=recipe.lr, betas=recipe.betas, weight_decay=recipe.weight_decay,
        )  # fmt: skip
        self.model, self.optimizer = accelerator.prepare(model, optimizer)
        self.bare = accelerator.unwrap_model(self.model)
        self.features = Features(self.bare.cfg).to(self.device)
        self.weights = sampling.balanced_weights(self.train.classes) if recipe.balanced else None
        self.streamed = not isinstance(self.train, AudioDataset)
        self.reports = {name: copy.deepcopy(part.report) for name, part in parts.items()}
        self.known = 0  # unusable training clips that all processes know of
        self.epoch, self.step, self.loss, self.seconds = 1, 0, 0.0, 0.0  # of the epoch: steps done, their sum, time
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    # --- clips -------------------------------------------------------------------------------------------

    def require_clips(self) -> None:
        """What is known to be missing or broken is written down; below the threshold the run stops with the list."""
        self.known = len(self.reports["train"].problems)
        for name, report in self.reports.items():
            if report.problems and self.main:
                self.out.mkdir(parents=True, exist_ok=True)
                report.save(self.out / f"unusable-{name}.csv")
            report.require(self.require)

    def preload(self) -> None:
        """Decode every clip once, if all of them fit into a quarter of the free memory of this process's share."""
        clips = [part for part in self.parts.values() if isinstance(part, AudioDataset)]
        longest = max(len(Loadable(clips[0])[i]["waveform"]) for i in range(min(10, len(clips[0]))))
        needed = 4 * longest * sum(len(part) for part in clips)
        if needed > psutil.virtual_memory().available / 4 / self.world:
            tqdm.write(f"{needed / 2**30:.0f} GiB of sound are decoded anew each epoch; workers > 0 would do it faster")
            return
        for name, part in self.parts.items():
            if part in clips:
                self.reports[name] = part.preload(progress=self.show).check(progress=False)
        self.require_clips()

    def batches(self) -> Iterator[dict]:
        """The steps of this epoch that are left, collated, on the device, with what belongs to them:

        `count` clips of this process that count, of `total` in the whole step, from `row` on; behind them the clips
        that they are mixed with (`partner`: the row of each one's partner) to the `share` of the clip itself.
        """
        recipe, seed, first = self.recipe, self.recipe.seed, self.step
        if self.streamed:
            stream = self.train.batches(recipe.batch, seed, self.epoch, self.rank, self.world, skip=first)
            for step, items in enumerate(stream, start=first):
                yield self.stream_step(step, send_to_device(items, self.device))
            return
        plan = self.plan()
        steps = range(first, len(plan))
        loader = DataLoader(
            Loadable(self.train), collate_fn=collate, num_workers=self.workers, pin_memory=self.device.type == "cuda",
            batch_sampler=[plan.indices(step, self.rank, self.world) for step in steps],
        )  # fmt: skip
        for step, items in zip(steps, loader, strict=True):
            whole, mine = plan.places(step, self.rank, self.world)
            share = torch.from_numpy(plan.shares[mine])
            count, mixed = len(share), share < 1
            partner = torch.arange(count)
            partner[mixed] = count + torch.arange(int(mixed.sum()))
            yield {
                **send_to_device(items, self.device), "count": count, "total": whole.stop - whole.start,
                "row": mine.start - whole.start, "partner": partner.to(self.device), "share": share.to(self.device),
            }  # fmt: skip

    def stream_step(self, step: int, items: dict) -> dict:
        """A stream has no other clips at hand: those of this process are mixed with each other, if at all."""
        count = len(items["index"])
        total = int(self.accelerator.reduce(torch.tensor(float(count), device=self.device), "sum").item())
        row = int(items["index"][0]) - step * self.recipe.batch if count else 0
        draws = sampling.random(self.recipe.seed, self.epoch, 3 + step)
        mixed, share = draws.random(total) < self.recipe.mixup, draws.beta(10, 10, size=total)
        share = torch.from_numpy(np.where(mixed, share, 1.0).astype(np.float32)[row : row + count])
        partner = torch.arange(count, device=self.device).roll(1)
        return {**items, "count": count, "total": total, "row": row, "partner": partner, "share": share.to(self.device)}

    def plan(self) -> sampling.Plan:
        r = self.recipe
        return sampling.plan(len(self.train), r.batch, r.seed, self.epoch, self.weights, r.mixup)

    @property
    def steps(self) -> int:
        return -(-len(self.train) // self.recipe.batch)

    # --- one epoch ---------------------------------------------------------------------------------------

    def one_epoch(self) -> None:
        """The steps that are left, a look at the test part, and a checkpoint."""
        self.model.train()
        saved = started = time.perf_counter()
        before = self.seconds
        with tqdm(
            desc=f"epoch {self.epoch}/{self.recipe.epochs}", total=len(self.train), unit="clip", leave=False,
            initial=min(self.step * self.recipe.batch, len(self.train)), disable=not self.show,
        ) as bar:  # fmt: skip
            for items in self.batches():
                loss, stop = self.one_step(items)
                self.step, self.loss = self.step + 1, self.loss + loss
                self.seconds = before + time.perf_counter() - started
                bar.update(items["total"])
                bar.set_postfix(loss=f"{self.loss / self.step:.3f}")
                if stop:
                    self.stop()
                if time.perf_counter() - saved >= self.save_seconds and self.step < self.steps:
                    self.save()
                    saved = time.perf_counter()
        entry = self.measure()
        self.record.epochs.append(entry)
        done, recipe = self.epoch, self.recipe
        if self.main and recipe.average[0] <= done <= recipe.average[1]:
            self.bare.save_pretrained(self.out / "weights" / f"epoch-{done:03d}")
        if self.main and self.record.best() is entry:
            self.bare.save_pretrained(self.out / "best")
        self.epoch, self.step, self.loss, self.seconds = done + 1, 0, 0.0, 0.0
        self.save()  # only now does the epoch count: after a kill all that is above is done again, with the same result
        self.write_log()
        self.announce(entry)
        self.accelerator.log(scalars(entry), step=done * self.steps)
        self.require_clips()

    def one_step(self, items: dict) -> tuple[float, bool]:
        """One update of the weights: the mean loss of all clips of the step, and whether somebody asked for a stop.

        Raises TrainingStopped with the clips if the loss is not a number, before anything is updated.
        """
        rate = self.recipe.learning_rate(self.epoch, (self.epoch - 1) * self.steps + self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        losses = self.backward(items)
        report = self.reports["train"]
        for i, kind, why in items["problems"]:
            report.problems.setdefault(str(self.train.names[i]), (kind, why))
        own = [losses.sum().item(), float(self.asked.is_set()), float(len(report.problems) - self.known)]
        loss, stop, new = self.accelerator.reduce(torch.tensor(own, device=self.device), "sum").tolist()
        loss /= items["total"]
        if not math.isfinite(loss):
            names = [str(self.train.names[i]) for i in items["index"][: len(losses)][~losses.isfinite()].tolist()]
            names = gather_object(names) if self.world > 1 else names
            raise TrainingStopped(
                f"the loss is {loss} at epoch {self.epoch}, step {self.step + 1} of {self.steps} (learning rate "
                f"{rate:g}), from the clips {', '.join(names)}. A smaller learning rate is the usual remedy; listen to "
                f"these clips too. Last good checkpoint: {checkpoint.latest(self.out) or 'none yet'}"
            )
        if new and self.known + new > (1 - self.require) * report.expected:
            self.share_problems()
            self.require_clips()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.accelerator.log({"step/loss": loss, "step/learning_rate": rate},
                             step=(self.epoch - 1) * self.steps + self.step)  # fmt: skip
        return loss, bool(stop)

    def backward(self, items: dict) -> torch.Tensor:
        """Gradients of a step, `micro_batch` clips at a time; returns the loss of each clip, `(count,)`.

        Accelerate averages gradients over the processes, so a clip's loss is scaled by processes / clips of the step.
        """
        recipe, count, total = self.recipe, items["count"], items["total"]
        draws = generator(recipe.seed, self.epoch, self.step + 1)
        rows = slice(items["row"], items["row"] + count)
        cfg = self.bare.cfg
        uniform = torch.rand(total, 6, generator=draws)[rows]
        field = torch.rand(total, cfg.input_tdim, cfg.input_fdim, generator=draws)[rows] if recipe.noise else None
        clips = [items[key] for key in ("waveforms", "lengths", "targets")]
        size = self.micro_batch or max(count, 1)
        starts = list(range(0, max(count, 1), size))  # a process with no clip of its own still takes part, with none
        losses = []
        for start in starts:
            part = slice(start, min(start + size, count)) if count else slice(0, 1)
            waveforms, lengths, targets = (value[part] for value in clips)
            if count:
                partners = [value[items["partner"][part]] for value in clips]
                waveforms, lengths, targets = mixup(waveforms, lengths, targets, partners, self.share(items)[part])
            mel = self.features.mel(waveforms, lengths)
            if count:
                mel = spec_augment(mel, recipe.freqm, recipe.timem, uniform[part, :4], self.features.fill)
            mel = self.features.normalise(mel)
            if count and recipe.noise:
                mel = noise_and_roll(mel, recipe.noise, recipe.roll, uniform[part, 4:], field[part])
            counts = items["usable"][part].float() if count else torch.zeros(1, device=self.device)
            last = start == starts[-1]
            with contextlib.nullcontext() if last else self.accelerator.no_sync(self.model):
                with self.accelerator.autocast():
                    logits = self.model(mel)
                loss = loss_function(logits.float(), targets, recipe.loss, reduction="none") * counts
                self.accelerator.backward(loss.sum() * self.world / total)
            losses.append(loss.detach())
        return torch.cat(losses)

    def share(self, items: dict) -> torch.Tensor:
        """A clip whose partner cannot be decoded stays unmixed."""
        return torch.where(items["usable"][items["partner"]], items["share"], 1.0)

    def measure(self) -> dict:
        """The line of this epoch in the record: loss, learning rate, time, and the metrics of the test part.

        With a validation part `validation` holds its metrics. The loss of the training part is the mean of its steps,
        of a network that was still changing.
        """
        started, recipe = time.perf_counter(), self.recipe
        found = {}
        for name in ("test", "validation"):
            if name in self.parts:
                result = self.evaluate(self.parts[name])
                self.reports[name].problems.update(result.pop("unusable").problems)
                logits, names = result.pop("logits"), result.pop("names")
                if self.main and name == "test":
                    self.save_scores(self.out / "scores" / f"epoch-{self.epoch:03d}.npz", logits, names)
                found[name] = ledger.finite(result)
        self.share_problems()
        return {
            "epoch": self.epoch,
            "train_loss": self.loss / self.step,
            "learning_rate": recipe.learning_rate(self.epoch, self.epoch * self.steps - 1),
            "train_seconds": self.seconds,
            "seconds": self.seconds + time.perf_counter() - started,
            **found["test"],
            **({"validation": found["validation"]} if "validation" in found else {}),
        }

    def evaluate(self, part: AudioDataset, model: AST | None = None) -> dict:
        size = self.micro_batch or 2 * self.recipe.batch
        try:
            return evaluate(model or self.bare, part, size, self.accelerator, self.workers, progress=self.show)
        except FloatingPointError as error:
            kept = checkpoint.latest(self.out) or "none yet"
            raise TrainingStopped(f"after epoch {self.epoch}, {error}. Last good checkpoint: {kept}") from None

    def share_problems(self) -> None:
        """Every process learns which clips the others could not use."""
        if self.world > 1:
            for name, report in self.reports.items():
                for problems in gather_object([(name, report.problems)]):
                    if problems[0] == name:
                        report.problems.update(problems[1])

    # --- what is kept ------------------------------------------------------------------------------------

    def start_or_resume(self) -> None:
        last = checkpoint.latest(self.out)
        if last is not None:
            state = checkpoint.load(last, self.bare, self.optimizer, self.accelerator.scaler)
            self.record.resume(state.pop("record"))
            vars(self).update(state)
            self.write_log()
        elif self.main:
            ledger.write_json(self.out / "start.json", asdict(self.record))

    def save(self) -> None:
        """A checkpoint of this moment; on one process, for all of them."""
        self.record.peak_memory = max(self.record.peak_memory, ledger.peak_memory(self.device))
        if self.main:
            state = {name: getattr(self, name) for name in ("epoch", "step", "loss", "seconds")}
            state["record"] = asdict(self.record)
            checkpoint.save(self.out, self.bare, self.optimizer, state, self.accelerator.scaler)

    def stop(self) -> None:
        """Save and say how to go on. Raises Interrupted."""
        self.save()
        self.accelerator.wait_for_everyone()
        raise Interrupted(
            f"stopped at epoch {self.epoch}, step {self.step} of {self.steps}; it is kept in {self.out}. "
            "The same command goes on from there"
        )

    def save_scores(self, path: Path, logits: torch.Tensor, names: list[str]) -> None:
        checkpoint.save_scores(path, logits, names, self.bare.cfg.multi_label)

    def write_log(self) -> None:
        if self.main:
            lines = "".join(json.dumps(line) + "\n" for line in self.record.epochs)
            (self.out / "log.jsonl").write_text(lines, encoding="utf-8")

    def announce(self, entry: dict) -> None:
        if not self.show:
            return
        recipe, left = self.recipe, (self.recipe.epochs - entry["epoch"]) * entry["seconds"]
        tqdm.write(
            f"epoch {entry['epoch']}/{recipe.epochs}: loss {entry['train_loss']:.3f}, test {recipe.metric} "
            f"{entry[recipe.metric]:.4f}, {len(self.train) / entry['train_seconds']:.1f} clips/s, "
            f"{entry['seconds']:.0f} s" + (f", about {left / 60:.0f} min left" if left else "")
        )

    def finish(self) -> None:
        """Select the weights that count, measure what is not measured yet, and write model, scores and record."""
        recipe, record = self.recipe, self.record
        more = {}
        self.accelerator.wait_for_everyone()  # the weights of the last epoch are there
        if recipe.average != (0, 0):
            folders = [self.out / "weights" / f"epoch-{e:03d}" for e in range(recipe.average[0], recipe.average[1] + 1)]
            averaged = checkpoint.average(folders)
            result = self.evaluate(self.test, averaged)
            logits, names, _ = result.pop("logits"), result.pop("names"), result.pop("unusable")
            more["average"] = {"epochs": list(recipe.average), **ledger.finite(result)}
            if self.main:
                averaged.save_pretrained(self.out / "average")
                self.save_scores(self.out / "scores" / "average.npz", logits, names)
                epochs = [self.out / "scores" / f"epoch-{e:03d}.npz" for e in range(1, recipe.epochs + 1)]
                together = evaluate_ensemble(epochs, self.test)
                more["checkpoint_ensemble"] = {"epochs": [1, recipe.epochs], **ledger.finite(together)}
        record.finish(len(self.train), more)
        unusable = {name: report.counts() for name, report in self.reports.items() if report.problems}
        if unusable:
            record.metrics["unusable"] = unusable
        if self.main:
            if recipe.selection == "average":
                chosen, scores = self.out / "average", "average"
            else:
                chosen = checkpoint.latest(self.out) if recipe.selection == "last" else self.out / "best"
                scores = f"epoch-{record.metrics['epoch']:03d}"
            AST.from_pretrained(chosen).save_pretrained(self.out / "model")
            shutil.copyfile(self.out / "scores" / f"{scores}.npz", self.out / "scores.npz")
            for folder in (self.out / "model", self.out):
                ledger.write_json(folder / "run.json", asdict(record))
            for finished in checkpoint.complete(self.out):
                checkpoint.remove(finished)


def scalars(entry: dict, prefix: str = "epoch/") -> dict[str, float]:
    """The numbers of a record's line by flat names, for a tracker."""
    flat = {}
    for key, value in entry.items():
        if isinstance(value, dict):
            flat |= scalars(value, f"{prefix}{key}/")
        elif value is not None:
            flat[f"{prefix}{key}"] = value
    return flat
