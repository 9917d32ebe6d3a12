"""Training as one call: a recipe and a folder in, a record out. Stopped at any moment, the same call goes on.

sound -> mixup -> log-mel -> pad or cut -> SpecAugment -> normalise -> AST -> loss, all but the decoding in batches on
the device: `astlib.steps` does one step, `astlib.loop` repeats it, measures, and keeps what is needed to go on.

Chapter: notebooks/07_the_training_loop.ipynb
"""

import errno
from pathlib import Path

from . import checkpoint, data, ledger
from .checkpoint import TrainingStopped
from .data import AudioDataset
from .data.report import ENOUGH
from .devices import PRECISIONS, asked_to_stop, new_accelerator
from .ledger import Run
from .loop import Training
from .measure import evaluate, loss_function
from .recipes import Recipe
from .start import build_model, check_parts

__all__ = ["build_model", "evaluate", "fit", "loss_function"]

DISK_FULL = (errno.EFBIG, errno.ENOSPC, errno.EDQUOT)


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
    require: float = ENOUGH,
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
    training = Training(
        recipe, out, parts, accelerator, model, record, workers, micro_batch, save_minutes, require, progress
    )
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
