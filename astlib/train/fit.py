"""Training as one call: a recipe and a folder in, a record out. After a stop, the same call resumes the run.

waveform -> mixup -> log-mel -> pad or cut -> SpecAugment -> normalise -> network -> loss. All but the decoding is done
in batches on the device: `astlib.train.steps` does one step; `astlib.train.loop` repeats it, measures, and saves what
is needed to resume.

Chapter: notebooks/07_the_training_loop.ipynb
"""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Unpack

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from .. import data
from ..data.base import AudioDataset
from ..data.registry import Parts
from ..devices import PRECISIONS, new_accelerator
from ..efficientat import WEIGHTS_HASH
from ..errors import InvalidInput, TrainingStopped
from ..ledger.record import Record, earlier_record, new_record
from ..locks import locked
from ..recipes import Recipe
from . import checkpoint
from .distillation import with_mixtures
from .loop import AfterStep, Training
from .options import Options, Settings
from .start import build_model, check_parts

DISK_FULL = (errno.EFBIG, errno.ENOSPC, errno.EDQUOT)


def fit(
    recipe: Recipe,
    out: str | Path,
    train: AudioDataset | data.AudioStream | None = None,
    test: AudioDataset | None = None,
    validation: AudioDataset | None = None,
    *,
    root: str | Path | None = None,
    resume: bool = True,
    after_step: AfterStep | None = None,
    options: Options | None = None,
    **settings: Unpack[Settings],
) -> Record:
    """Train as the recipe says. A run that was stopped is resumed from its last checkpoint, with the same result.

    Several processes, which torchrun or `accelerate launch` started, share every step of the run: on the GPUs of one or
    more machines, or on a CPU. An AST has the same result however many they are. A CNN does not, because its batch
    norms see the clips of one process, or of one micro-batch, at a time; and the statistics that it keeps for later are
    those of the first process.

    Args:
        recipe: what is run.
        out: folder for everything that the run writes: `checkpoint-EEE-SSSSSSS` (the last one), `weights/epoch-NNN`
            (those that averaging needs), `best` (by the recipe's metric on the part that selects),
            `scores/epoch-NNN.npz`, `log.jsonl` (one line per epoch), `unusable-PART.csv` if clips could not be used;
            and at the end `model` (the selected weights, with the record), `scores.npz` (their logits on the test
            part) and `run.json` (the record). Processes on several machines must share it.
        train: clips to train on, instead of those that the recipe names.
        test: clips to measure on; given together with `train`.
        validation: clips to choose an epoch by, for `selection="validation"`.
        root: folder of the recipe's data; None looks where `astlib.paths.data_folders` says.
        resume: False refuses to resume an unfinished run in `out`.
        after_step: called on every process after every optimiser step, with the run in progress. It may read
            anything. Setting `training.asked` stops the run after the next step, with a checkpoint; an exception
            stops it at once, and the next call resumes from the last checkpoint.
        options: how the run is carried out.
        settings: fields of `Options` by name, instead of `options`: `fit(recipe, out, precision="bf16")`.

    Returns:
        The record, which is also `out/run.json`. If `out` holds the finished run already, its record.

    Raises:
        InvalidInput: `out` holds another run, the data do not fit the recipe, or both `options` and fields by name.
        FolderInUse: another process is writing to `out`.
        TrainingStopped: the loss is not a finite number, or the disk is full.
        Interrupted: Ctrl-C or SIGTERM. A checkpoint was saved, and the same call resumes the run.
        DataNotFound: the data is missing, or too much of it is unusable.
        WeightsNotFound: ImageNet weights are asked for and missing.
    """
    if options is not None and settings:
        raise InvalidInput(f"give options or {', '.join(settings)}, not both")
    options = options or Options(**settings)
    out = Path(out)
    parts = _parts(recipe, train, test, validation, root)
    check_parts(recipe, parts)
    recipe = recipe.replace(dataset=parts.train.name)
    accelerator = new_accelerator(options.precision, options.tracker, out)
    model, weights = build_model(recipe, parts.train.labels)
    if recipe.teacher:
        parts, weights = with_mixtures(parts, recipe.mixtures, recipe.seed), {**weights, "teacher": WEIGHTS_HASH}
    precision = PRECISIONS[accelerator.mixed_precision]
    record = new_record(recipe, parts, weights, accelerator.device, accelerator.num_processes, precision)
    with _only_writer(out, accelerator):
        if earlier_record(out, record, resume) is None:
            _train(Training(recipe, out, parts, model, record, accelerator, options, after_step))
        elif accelerator.is_main_process:
            checkpoint.remove(out)  # left by a kill between the record, which is written first, and their removal
        accelerator.wait_for_everyone()  # whoever returns may read the model at once
    return Record.load(out / "run.json")


@contextlib.contextmanager
def _only_writer(out: Path, accelerator: Accelerator) -> Iterator[None]:
    """Hold the lock of a run's folder: the main process does it for all processes of the run."""
    with contextlib.ExitStack() as held:
        refused: list[Exception | None] = [None]
        if accelerator.is_main_process:
            try:
                held.enter_context(locked(out))
            except Exception as error:  # the others must hear of it, or they would wait for ever
                refused = [error]
        if accelerator.num_processes > 1:
            broadcast_object_list(refused)
        if refused[0] is not None:
            raise refused[0]
        yield


def _train(training: Training) -> None:
    """Carry the run out, with its tracker; a full disk ends it with a message."""
    out, accelerator, tracker = training.out, training.accelerator, training.options.tracker
    if tracker:
        accelerator.init_trackers("astlib", config={key: str(value) for key, value in vars(training.recipe).items()})
    try:
        training.run()
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


def _parts(
    recipe: Recipe,
    train: AudioDataset | data.AudioStream | None,
    test: AudioDataset | None,
    validation: AudioDataset | None,
    root: str | Path | None,
) -> Parts:
    """The parts that were given, or those that the recipe names."""
    if train is None and test is None and validation is None:
        validated = recipe.selection == "validation"
        return data.parts(recipe.dataset, recipe.fold, validated, root, recipe.group, recipe.folds)
    if train is None or test is None:
        given = {"train": train, "test": test, "validation": validation}
        only = " and ".join(name for name, part in given.items() if part is not None)
        raise InvalidInput(f"give both train and test, or neither, and the recipe names the data; found only {only}")
    return Parts(train, validation, test)
