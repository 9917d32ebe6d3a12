"""A run in progress: epoch after epoch, step after step, and what is kept so that it can go on from any moment.

Chapter: notebooks/07_the_training_loop.ipynb
"""

import copy
import json
import math
import shutil
import threading
import time
from dataclasses import asdict
from pathlib import Path

import psutil
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from tqdm.auto import tqdm

from . import checkpoint, ledger, provenance, sampling
from .checkpoint import Interrupted, TrainingStopped
from .cnn import Network, open_saved
from .data import AudioDataset, Loadable
from .files import write_json, write_whole
from .frontend import Features
from .ledger import Run
from .measure import evaluate, evaluate_ensemble, right_answers
from .recipes import Recipe
from .steps import backward, batches


class Training:
    """A run in progress: the network, where it stands, and what it has measured so far."""

    asked: threading.Event  # is set when somebody wants the run to stop

    def __init__(
        self, recipe: Recipe, out: Path, parts: dict, accelerator: Accelerator, model: Network, record: Run,
        workers: int, micro_batch: int, save_minutes: float, require: float, progress: bool,
    ):  # fmt: skip
        self.recipe, self.out, self.parts, self.accelerator, self.record = recipe, out, parts, accelerator, record
        self.workers, self.micro_batch, self.require = workers, micro_batch, require
        self.save_seconds, self.show = 60 * save_minutes, progress and accelerator.is_main_process
        self.device, self.main = accelerator.device, accelerator.is_main_process
        self.world = accelerator.num_processes
        self.train, self.test = parts["train"], parts["test"]
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
        if self.streamed:
            self.reports["train"] = self.train.report  # which the stream itself keeps
        self.known = 0  # unusable training clips that all processes know of
        self.epoch, self.step, self.loss, self.seconds = 1, 0, 0.0, 0.0  # of the epoch: steps done, their sum, time
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

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

    @property
    def steps(self) -> int:
        return -(-len(self.train) // self.recipe.batch)

    def one_epoch(self) -> None:
        """The steps that are left, a look at the test part, and a checkpoint."""
        recipe, done = self.recipe, self.epoch
        self.model.train()
        saved = started = time.perf_counter()
        before = self.seconds
        with tqdm(
            desc=f"epoch {done}/{recipe.epochs}", total=len(self.train), unit="clip", leave=False,
            initial=min(self.step * recipe.batch, len(self.train)), disable=not self.show,
        ) as bar:  # fmt: skip
            for items in batches(recipe, done, self.step, self.train, self.weights, self.accelerator, self.workers):
                loss, stop = self.one_step(items)
                self.step, self.loss = self.step + 1, self.loss + loss
                self.seconds = before + time.perf_counter() - started
                bar.update(items["total"])
                bar.set_postfix(loss=f"{self.loss / self.step:.3f}", **self.last_score())
                if stop:
                    self.stop()
                if time.perf_counter() - saved >= self.save_seconds and self.step < self.steps:
                    self.save()
                    saved = time.perf_counter()
        entry = self.measure()
        self.record.epochs.append(entry)
        if self.main and recipe.average[0] <= done <= recipe.average[1]:
            self.bare.save_pretrained(self.out / "weights" / f"epoch-{done:03d}")
        if self.main and self.record.best() is entry:
            self.bare.save_pretrained(self.out / "best")
        self.epoch, self.step, self.loss, self.seconds = done + 1, 0, 0.0, 0.0
        self.save()  # only now does the epoch count: after a kill all that is above is done again, with the same result
        self.write_log()
        self.announce(entry)
        numbers = {**entry, **{f"validation/{name}": v for name, v in entry.get("validation", {}).items()}}
        numbers = {f"epoch/{name}": v for name, v in numbers.items() if isinstance(v, int | float)}
        self.accelerator.log(numbers, step=done * self.steps)
        self.require_clips()

    def one_step(self, items: dict) -> tuple[float, bool]:
        """One update of the weights: the mean loss of all clips of the step, and whether somebody asked for a stop.

        Raises TrainingStopped with the clips if the loss is not a number, before anything is updated.
        """
        rate = self.recipe.learning_rate(self.epoch, (self.epoch - 1) * self.steps + self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        losses = backward(
            self.recipe, self.epoch, self.step, items, self.model, self.features, self.accelerator, self.micro_batch
        )
        report = self.reports["train"]
        for i, kind, why in [] if self.streamed else items["problems"]:
            report.problems.setdefault(str(self.train.names[i]), (kind, why))
        own = [losses.sum().item(), float(self.asked.is_set()), float(len(report.problems) - self.known)]
        loss, stop, new = self.accelerator.reduce(torch.tensor(own, device=self.device), "sum").tolist()
        loss /= items["total"]
        if not math.isfinite(loss):
            names = [self.name(i) for i in items["index"][: len(losses)][~losses.isfinite()].tolist()]
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

    def name(self, i: int) -> str:
        return f"number {i} of this epoch's stream" if self.streamed else str(self.train.names[i])

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
                    path = self.out / "scores" / f"epoch-{self.epoch:03d}.npz"
                    checkpoint.save_scores(path, logits, names, self.bare.cfg.multi_label)
                found[name] = ledger.finite(result)
                if name == "test" and recipe.metric == "accuracy":
                    found[name]["right"] = ledger.pack(right_answers(logits, names, self.test))
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

    def evaluate(self, part: AudioDataset, model: Network | None = None) -> dict:
        size = self.micro_batch or 2 * self.recipe.batch
        try:
            return evaluate(model or self.bare, part, size, self.accelerator, self.workers, progress=self.show)
        except FloatingPointError as error:
            kept = checkpoint.latest(self.out) or "none yet"
            raise TrainingStopped(f"after epoch {self.epoch}, {error}. Last good checkpoint: {kept}") from None

    def share_problems(self) -> None:
        """Every process learns which clips the others could not use."""
        for report in self.reports.values() if self.world > 1 else ():
            for problems in gather_object([report.problems]):
                report.problems.update(problems)

    def start_or_resume(self) -> None:
        last = checkpoint.latest(self.out)
        if last is not None:
            state = checkpoint.load(last, self.bare, self.optimizer, self.accelerator.scaler)
            self.record.resume(state.pop("record"))
            vars(self).update(state)
            self.write_log()
        elif self.main:
            write_json(self.out / "start.json", asdict(self.record))

    def save(self) -> None:
        """A checkpoint of this moment; on one process, for all of them."""
        self.record.peak_memory = max(self.record.peak_memory, provenance.peak_memory(self.device))
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

    def write_log(self) -> None:
        if self.main:
            lines = "".join(json.dumps(line) + "\n" for line in self.record.epochs)
            write_whole(self.out / "log.jsonl", lines.encode())

    def last_score(self) -> dict[str, str]:
        score = self.record.epochs[-1][self.recipe.metric] if self.record.epochs else None
        return {} if score is None else {self.recipe.metric: f"{score:.3f}"}

    def announce(self, entry: dict) -> None:
        left = (self.recipe.epochs - entry["epoch"]) * entry["seconds"] / 60
        test = " ".join(["test", *(f"{name} {score}" for name, score in self.last_score().items())])
        if self.show:
            tqdm.write(
                f"epoch {entry['epoch']}/{self.recipe.epochs}: loss {entry['train_loss']:.3f}, {test}, "
                f"{len(self.train) / entry['train_seconds']:.1f} clips/s, {entry['seconds']:.0f} s"
                + (f", about {left:.0f} min left" if left else "")
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
                checkpoint.save_scores(self.out / "scores/average.npz", logits, names, self.bare.cfg.multi_label)
                epochs = [self.out / "scores" / f"epoch-{e:03d}.npz" for e in range(1, recipe.epochs + 1)]
                together = evaluate_ensemble(epochs, self.test)
                more["checkpoint_ensemble"] = {"epochs": [1, recipe.epochs], **ledger.finite(together)}
        record.finish(len(self.train), more)
        unusable = {name: report.counts() for name, report in self.reports.items() if report.problems}
        if unusable:
            record.metrics["unusable"] = unusable
        record.seal = ledger.seal(record)
        if self.main:
            if recipe.selection == "average":
                chosen, scores = self.out / "average", "average"
            else:
                chosen = checkpoint.latest(self.out) if recipe.selection == "last" else self.out / "best"
                scores = f"epoch-{record.metrics['epoch']:03d}"
            open_saved(chosen).save_pretrained(self.out / "model")
            shutil.copyfile(self.out / "scores" / f"{scores}.npz", self.out / "scores.npz")
            for folder in (self.out / "model", self.out):
                write_json(folder / "run.json", asdict(record))
            for finished in checkpoint.complete(self.out):
                checkpoint.remove(finished)
