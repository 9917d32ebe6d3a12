"""A run in progress: epoch after epoch, step after step, and what is saved so that it can be resumed at any moment.

The heart is `Training._one_step`: learning rate, gradients, Adam. Around it, `_train_epoch` repeats the step,
`_measure` evaluates after each epoch, and `_save` writes the checkpoints.

Chapter: notebooks/07_the_training_loop.ipynb
"""

import json
import math
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

import psutil
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor
from tqdm.auto import tqdm

from ..data.audioset.stream import AudioStream
from ..data.base import AudioDataset
from ..data.registry import Parts
from ..devices import asked_to_stop
from ..errors import Diverged, Interrupted, TrainingStopped
from ..files import write_json, write_whole
from ..ledger import provenance
from ..ledger.record import Epoch, Record, finite, seal
from ..measure import Evaluation, evaluate
from ..networks import Network, open_model
from ..recipes import Recipe
from ..scores import evaluate_ensemble, pack, right_answers, save_scores
from . import checkpoint
from .distillation import learner, stepper_of
from .folder import RunFolder
from .options import Options
from .steps import Step
from .unusable import Unusable

AfterStep = Callable[["Training"], None]


class Training:
    """A run in progress: where it stands, and what it has measured so far.

    Args:
        recipe: what is run.
        out: folder of the run.
        parts: of its data.
        model: the network with its first weights.
        record: what is known of the run before it begins.
        accelerator: devices, processes and precision.
        options: how the run is carried out.
        after_step: called with this object after every optimiser step.

    Attributes:
        recipe: as given.
        parts: as given.
        out: as given.
        options: as given.
        accelerator: as given.
        after_step: as given.
        device: of this process.
        main: True in the one process that writes files.
        show: True if this process shows progress.
        folder: the paths of the run's files.
        model: the network that is trained.
        prepared: the same network, wrapped so that processes exchange their gradients.
        optimizer: Adam, as Accelerate prepared it.
        stepper: makes the steps and their gradients.
        unusable: the clips that cannot be used.
        epoch: the epoch being worked on, from 1.
        step: how many of its optimiser steps are done.
        loss: sum of the losses of these steps.
        seconds: time spent on them.
        record: the record so far.
        asked: set it to stop the run after the next step, with a checkpoint.
    """

    def __init__(
        self,
        recipe: Recipe,
        out: Path,
        parts: Parts,
        model: Network,
        record: Record,
        accelerator: Accelerator,
        options: Options,
        after_step: AfterStep | None = None,
    ) -> None:
        self.recipe, self.parts, self.record, self.options = recipe, parts, record, options
        self.accelerator, self.device, self.main = accelerator, accelerator.device, accelerator.is_main_process
        self.out, self.folder, self.after_step = out, RunFolder(out), after_step
        self.show = options.progress and self.main
        self.asked = threading.Event()
        optimizer = torch.optim.Adam(
            [p for p in model.parameters() if p.requires_grad],
            lr=recipe.lr,
            betas=recipe.betas,
            weight_decay=recipe.weight_decay,  # added to the gradient, as in the original: Adam, not AdamW
        )
        self.prepared, self.optimizer = accelerator.prepare(learner(recipe, model), optimizer)
        self.model = model  # on the device by now
        self.stepper = stepper_of(recipe, parts.train, self.prepared, model.cfg, accelerator, options)
        self.unusable = Unusable(parts, out, options.require, accelerator)
        self.epoch, self.step, self.loss, self.seconds = 1, 0, 0.0, 0.0
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    @property
    def steps(self) -> int:
        """Optimiser steps per epoch; the last one may be smaller."""
        return -(-len(self.parts.train) // self.recipe.batch)

    def run(self) -> None:
        """Do what is left of the run, and write model, scores and record.

        Raises:
            TrainingStopped: the loss is not a finite number.
            Interrupted: somebody asked for a stop.
            DataIncomplete: too few clips are usable.
            OSError: the folder cannot be written.
        """
        self.unusable.require()
        if self.options.workers == 0:
            self._preload()
        self.stepper.listen(self.show)
        self._start_or_resume()
        # Before and after the steps Ctrl-C loses nothing that is not done again, so there it ends the program at once.
        with asked_to_stop() as self.asked:
            while self.epoch <= self.recipe.epochs:
                self._one_epoch()
        self._finish()

    # --- steps and epochs ----------------------------------------------------------------------------------------

    def _one_epoch(self) -> None:
        """Do the steps of an epoch that are left, measure, and save."""
        self._train_epoch()
        done, entry = self.epoch, self._measure()
        self.record.epochs.append(entry)
        if self.main and self.recipe.average[0] <= done <= self.recipe.average[1]:
            self.model.save_pretrained(self.folder.weights(done))
        if self.main and self.record.best() is entry:
            self.model.save_pretrained(self.folder.best)
        self.epoch, self.step, self.loss, self.seconds = done + 1, 0, 0.0, 0.0
        # The epoch counts from here on. After a kill before this line, the steps since the last checkpoint and all of
        # the above are done again, with the same result.
        self._save()
        self._write_log()
        self._announce(entry)
        self._track(entry)
        self.unusable.require()

    def _train_epoch(self) -> None:
        """Do the steps of an epoch that are left, with a checkpoint every `save_minutes`."""
        self.prepared.train()
        saved = started = time.perf_counter()
        before = self.seconds  # spent on this epoch before the run was resumed
        with self._bar() as bar:
            for step in self.stepper.steps(self.epoch, first=self.step):
                loss, stop = self._one_step(step)
                self.step, self.loss = self.step + 1, self.loss + loss
                self.seconds = before + time.perf_counter() - started
                bar.update(step.total)
                bar.set_postfix(loss=f"{self.loss / self.step:.3f}", **self._last_score())
                if self.after_step is not None:
                    self.after_step(self)
                if stop:
                    self._stop()
                if time.perf_counter() - saved >= 60 * self.options.save_minutes and self.step < self.steps:
                    self._save()
                    saved = time.perf_counter()

    def _one_step(self, step: Step) -> tuple[float, bool]:
        """Update the weights once; return the mean loss of all clips of the step, and whether a stop was asked for.

        Raises TrainingStopped if the loss is not a finite number, before anything is updated.
        """
        number = (self.epoch - 1) * self.steps + self.step  # of this step in the run, from 0
        rate = self.recipe.learning_rate(self.epoch, number)
        for group in self.optimizer.param_groups:
            group["lr"] = rate

        losses = self.stepper.gradients(step, self.epoch)  # (count,), the clips of this process

        if not isinstance(self.parts.train, AudioStream):  # a stream keeps its own list
            self.unusable.add(list(step.batch.problems))
        # One exchange between the processes carries the loss, the request to stop and the number of unusable clips, so
        # that all of them decide the same.
        own = [losses.sum().item(), float(self.asked.is_set()), float(self.unusable.new)]
        loss, stop, new = self.accelerator.reduce(torch.tensor(own, device=self.device), "sum").tolist()
        loss /= step.total
        if not math.isfinite(loss):
            self._stop_at_loss(loss, rate, step, losses)
        if self.unusable.too_many(new):
            self.unusable.share()
            self.unusable.require()

        self.optimizer.step()
        self.optimizer.zero_grad()
        self.accelerator.log({"step/loss": loss, "step/learning_rate": rate}, step=number)
        return loss, bool(stop)

    def _stop_at_loss(self, loss: float, rate: float, step: Step, losses: Tensor) -> NoReturn:
        rows = step.batch.index[: len(losses)][~losses.isfinite()].tolist()
        names = [self._clip_name(row) for row in rows]
        names = gather_object(names) if self.accelerator.num_processes > 1 else names
        raise TrainingStopped(
            f"the loss is {loss} at epoch {self.epoch}, step {self.step + 1} of {self.steps} (learning rate "
            f"{rate:g}), from the clips {', '.join(names)}. A smaller learning rate is the usual remedy; listen to "
            f"these clips too. Last good checkpoint: {checkpoint.latest(self.out) or 'none yet'}"
        )

    def _clip_name(self, row: int) -> str:
        train = self.parts.train
        return f"number {row} of this epoch's stream" if isinstance(train, AudioStream) else str(train.names[row])

    # --- measuring -----------------------------------------------------------------------------------------------

    def _measure(self) -> Epoch:
        """Measure the test part, and the validation part if there is one."""
        started, recipe = time.perf_counter(), self.recipe
        result = self._evaluate(self.parts.test)
        self.unusable.reports["test"].update(result.unusable.problems.values())
        if self.main:
            self._save_scores(self.folder.scores(self.epoch), result)
        validation = None if self.parts.validation is None else self._evaluate(self.parts.validation)
        if validation is not None:
            self.unusable.reports["validation"].update(validation.unusable.problems.values())
        self.unusable.share()
        test = finite(result.metrics)
        entry: Epoch = {
            "epoch": self.epoch,
            "train_loss": self.loss / self.step,  # mean over the steps, of a network that changed meanwhile
            "learning_rate": recipe.learning_rate(self.epoch, self.epoch * self.steps - 1),
            "train_seconds": self.seconds,
            "seconds": self.seconds + time.perf_counter() - started,
            "mAP": test["mAP"],
            "mAUC": test["mAUC"],
            "d_prime": test["d_prime"],
            "accuracy": test["accuracy"],
            "classes_without_positives": test["classes_without_positives"],
            "loss": test["loss"],
        }
        if recipe.metric == "accuracy":
            entry["right"] = pack(right_answers(result.logits, result.names, self.parts.test))
        if validation is not None:
            entry["validation"] = finite(validation.metrics)
        return entry

    def _evaluate(self, part: AudioDataset, model: Network | None = None) -> Evaluation:
        size = self.options.micro_batch or 2 * self.recipe.batch
        try:
            network, workers = model or self.model, self.options.workers
            return evaluate(network, part, size, self.accelerator, workers, self.show, self.recipe.windows)
        except Diverged as error:
            kept = checkpoint.latest(self.out) or "none yet"
            raise TrainingStopped(f"after epoch {self.epoch}, {error}. Last good checkpoint: {kept}") from None

    def _save_scores(self, path: Path, result: Evaluation) -> None:
        save_scores(path, result.logits, result.names, self.model.cfg.multi_label)

    # --- starting, saving, finishing ------------------------------------------------------------------------------

    def _preload(self) -> None:
        """Decode every clip once, if all of them fit into a quarter of the free memory, shared by the processes."""
        clips = {name: part for name, part in self.parts._asdict().items() if isinstance(part, AudioDataset)}
        needed = sum(part.estimated_bytes() for part in clips.values())
        if needed > psutil.virtual_memory().available / 4 / self.accelerator.num_processes:
            if self.main:
                tqdm.write(f"{needed / 2**30:.0f} GiB of sound are decoded in each epoch; workers > 0 would be faster")
            return
        for name, part in clips.items():
            self.unusable.reports[name] = part.preload(progress=self.show).check(progress=False)
        self.unusable.require()

    def _start_or_resume(self) -> None:
        """Go on from the last checkpoint, or write down what is about to begin."""
        last = checkpoint.latest(self.out)
        if last is not None:
            state = checkpoint.restore(last, self.model, self.optimizer, self.accelerator.scaler)
            self.epoch, self.step, self.loss, self.seconds = state.epoch, state.step, state.loss, state.seconds
            self.record.resume(state.record)
            self._write_log()
        elif self.main:
            write_json(self.folder.start, asdict(self.record))

    def _save(self) -> None:
        """Write a checkpoint of this moment; one process does it for all."""
        self.record.peak_memory = max(self.record.peak_memory, provenance.peak_memory(self.device))
        if self.main:
            state = checkpoint.State(self.epoch, self.step, self.loss, self.seconds, asdict(self.record))
            checkpoint.save(self.out, self.model, self.optimizer, state, self.accelerator.scaler)

    def _stop(self) -> NoReturn:
        """Save and leave, on all processes at the same step."""
        self._save()
        self.accelerator.wait_for_everyone()
        raise Interrupted(
            f"stopped at epoch {self.epoch}, step {self.step} of {self.steps}; it is kept in {self.out}. "
            "The same command goes on from there"
        )

    def _finish(self) -> None:
        """Measure the averaged weights and the ensemble of epochs, select a result, and write everything."""
        recipe, record, folder = self.recipe, self.record, self.folder
        more = {}
        self.accelerator.wait_for_everyone()  # the weights of the last epoch are there
        if recipe.average != (0, 0):
            first, last = recipe.average
            averaged = checkpoint.average([folder.weights(epoch) for epoch in range(first, last + 1)])
            result = self._evaluate(self.parts.test, averaged)
            more["average"] = {"epochs": [first, last], **finite(result.metrics)}
            if self.main:
                averaged.save_pretrained(folder.average)
                self._save_scores(folder.average_scores, result)
                epochs = [folder.scores(epoch) for epoch in range(1, recipe.epochs + 1)]
                together = evaluate_ensemble(epochs, self.parts.test)
                more["checkpoint_ensemble"] = {"epochs": [1, recipe.epochs], **finite(together)}
        record.finish(len(self.parts.train), more)
        if unusable := self.unusable.counts():
            record.metrics["unusable"] = unusable
        record.seal = seal(record)
        if self.main:
            self._write_results()

    def _write_results(self) -> None:
        """Write the selected model, its scores and the record, and remove the last checkpoint."""
        folder, rule = self.folder, self.recipe.selection
        scores = folder.scores(self.record.metrics["epoch"])
        if rule == "average":
            chosen, scores = folder.average, folder.average_scores
        elif rule == "last":
            chosen = checkpoint.complete(self.out)[-1]  # of the end of the last epoch
        else:
            chosen = folder.best
        open_model(chosen).save_pretrained(folder.model)
        shutil.copyfile(scores, folder.selected_scores)
        for path in (folder.model / folder.record.name, folder.record):
            write_json(path, asdict(self.record))
        checkpoint.remove(self.out)

    # --- what a person sees --------------------------------------------------------------------------------------

    def _bar(self) -> "tqdm[None]":
        clips = len(self.parts.train)
        done = min(self.step * self.recipe.batch, clips)
        title = f"epoch {self.epoch}/{self.recipe.epochs}"
        return tqdm(desc=title, total=clips, initial=done, unit="clip", leave=False, disable=not self.show)

    def _last_score(self) -> dict[str, str]:
        score = self.record.epochs[-1][self.recipe.metric] if self.record.epochs else None
        return {} if score is None else {self.recipe.metric: f"{score:.3f}"}

    def _announce(self, entry: Epoch) -> None:
        if not self.show:
            return
        left = (self.recipe.epochs - entry["epoch"]) * entry["seconds"] / 60
        test = " ".join(["test", *(f"{name} {score}" for name, score in self._last_score().items())])
        tqdm.write(
            f"epoch {entry['epoch']}/{self.recipe.epochs}: loss {entry['train_loss']:.3f}, {test}, "
            f"{len(self.parts.train) / entry['train_seconds']:.1f} clips/s, {entry['seconds']:.0f} s"
            + (f", about {left:.0f} min left" if left else "")
        )

    def _track(self, entry: Epoch) -> None:
        """Send the numbers of an epoch to the tracker, if there is one: under "epoch/" and "epoch/validation/"."""
        numbers: dict[str, object] = {f"epoch/{name}": value for name, value in entry.items()}
        numbers |= {f"epoch/validation/{name}": value for name, value in entry.get("validation", {}).items()}
        values = {name: value for name, value in numbers.items() if isinstance(value, int | float)}
        self.accelerator.log(values, step=entry["epoch"] * self.steps)

    def _write_log(self) -> None:
        if self.main:
            lines = "".join(json.dumps(entry) + "\n" for entry in self.record.epochs)
            write_whole(self.folder.log, lines.encode())
