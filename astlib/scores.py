"""The outputs of networks on a test part, saved without the networks: logits, ensembles, lists of right answers.

Chapter: notebooks/10_audioset.ipynb
"""

import io
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import metrics
from .data.base import AudioDataset
from .decisions import to_probabilities
from .errors import CheckpointError, InvalidInput
from .files import write_whole


def save_scores(path: str | Path, logits: Tensor, names: Sequence[str], multi_label: bool) -> None:
    """Write the logits of an evaluation, completely or not at all. An ensemble then needs no network.

    Args:
        path: the file, ending in `.npz`.
        logits: `(clips, classes)` float32.
        names: one per clip.
        multi_label: True if probabilities are the sigmoid of the logits, False if they are the softmax.

    Raises:
        OSError: the file cannot be written.
    """
    content = io.BytesIO()
    np.savez(content, logits=logits.numpy(), names=np.array(names), multi_label=np.array(multi_label))
    write_whole(path, content.getbuffer())


# What NumPy raises for an archive that is damaged, or whose header claims more than there is.
UNREADABLE = (
    OSError, ValueError, LookupError, TypeError, EOFError, MemoryError, OverflowError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


class SavedScores(NamedTuple):
    """What a file of scores holds.

    Attributes:
        logits: `(clips, classes)` float32.
        names: one per clip.
        multi_label: True if probabilities are the sigmoid of the logits, False if they are the softmax.
    """

    logits: Tensor
    names: list[str]
    multi_label: bool


def load_logits(path: str | Path) -> SavedScores:
    """Read a file that `save_scores` wrote: a NumPy archive with "logits", "names" and "multi_label".

    Args:
        path: the file.

    Returns:
        Its content.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            logits, names = torch.from_numpy(file["logits"]), file["names"].tolist()
            found = SavedScores(logits, names, bool(file["multi_label"]))
    except UNREADABLE as error:
        why = str(error) or type(error).__name__
        raise CheckpointError(f"{path} is not a file of scores: {why}") from error
    count = len(names) if isinstance(names, list) else 0
    if logits.ndim != 2 or not logits.is_floating_point() or count != len(logits):
        raise CheckpointError(f"{path} is not a file of scores: {count} names for {tuple(logits.shape)} {logits.dtype}")
    return found


def load_scores(path: str | Path) -> tuple[Tensor, list[str]]:
    """Read a file that `save_scores` wrote, as probabilities.

    Args:
        path: the file.

    Returns:
        Probabilities `(clips, classes)` and the names of the clips.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    saved = load_logits(path)
    return to_probabilities(saved.logits, saved.multi_label), saved.names


def ensemble(paths: Sequence[str | Path]) -> tuple[Tensor, list[str]]:
    """Average the probabilities of several evaluations on the same clips.

    Over runs with other seeds this is the paper's Ensemble-S, over other networks its Ensemble-M (original:
    egs/audioset/ensemble.py); over the epochs of one run it is a checkpoint ensemble (src/traintest.py:322-338).

    Args:
        paths: files of scores; or folders of runs, for the scores of their selected weights.

    Returns:
        Mean probabilities `(clips, classes)` and the names of the clips.

    Raises:
        InvalidInput: no path, or evaluations of different clips or classes.
        CheckpointError: a file cannot be read.
    """
    if not paths:
        raise InvalidInput("an ensemble needs at least one run")
    files = [Path(path) / "scores.npz" if Path(path).is_dir() else Path(path) for path in paths]
    total, names = load_scores(files[0])
    for file in files[1:]:
        scores, others = load_scores(file)
        if others != names or scores.shape != total.shape:
            raise InvalidInput(f"{file} holds other clips or classes than {files[0]}: an ensemble needs the same ones")
        total = total + scores
    return total / len(files), names


def evaluate_ensemble(paths: Sequence[str | Path], dataset: AudioDataset) -> dict[str, float]:
    """Measure the mean of the probabilities of several runs or files of scores.

    Args:
        paths: see `ensemble`.
        dataset: has the targets of these clips.

    Returns:
        "members", the number of evaluations, and the metrics of `astlib.metrics.all_metrics`.

    Raises:
        InvalidInput: the scores are of clips that the data set does not have.
        CheckpointError: a file cannot be read.
    """
    scores, names = ensemble(paths)
    return {"members": len(paths), **evaluate_scores(scores, names, dataset)}


def evaluate_scores(scores: Tensor, names: Sequence[str], dataset: AudioDataset) -> dict[str, float]:
    """Compute the metrics of scores that were computed elsewhere.

    Args:
        scores: `(clips, classes)` probabilities.
        names: of the clips.
        dataset: has the targets of these clips, and possibly of others.

    Returns:
        The metrics of `astlib.metrics.all_metrics`.

    Raises:
        InvalidInput: one of the names is no clip of the data set.
    """
    return metrics.all_metrics(dataset.classes.take(rows_of(names, dataset)).dense(), scores)


def right_answers(scores: Tensor, names: Sequence[str], dataset: AudioDataset) -> Tensor:
    """Tell which clips of a data set have their highest score at their own class.

    Two such lists compare two networks clip by clip.

    Args:
        scores: `(named clips, classes)` logits or probabilities.
        names: of the clips that have a score.
        dataset: all clips; one without a score counts as wrong.

    Returns:
        `(clips of the data set,)` bool, in its order.

    Raises:
        InvalidInput: one of the names is no clip of the data set.
    """
    right, rows = torch.zeros(len(dataset), dtype=torch.bool), rows_of(names, dataset)
    right[rows] = scores.argmax(dim=1) == dataset.classes.take(rows).dense().argmax(dim=1)
    return right


def pack(right: Tensor) -> str:
    """Write a list of right answers as text, one bit per clip, in hexadecimal.

    Args:
        right: `(clips,)` bool.

    Returns:
        Two digits for every eight clips.
    """
    return np.packbits(right.cpu().numpy()).tobytes().hex()


def unpack(text: str, clips: int) -> NDArray[np.bool_]:
    """Read what `pack` wrote.

    Args:
        text: the hexadecimal digits.
        clips: number of clips in the list.

    Returns:
        `(clips,)` bool.

    Raises:
        InvalidInput: the text has another number of clips, or is not hexadecimal.
    """
    if len(text) != 2 * -(-clips // 8):
        raise InvalidInput(f"the list of right answers has {4 * len(text)} bits, and there are {clips} clips")
    try:
        packed = np.frombuffer(bytes.fromhex(text), np.uint8)
    except ValueError:
        raise InvalidInput("the list of right answers is not hexadecimal") from None
    return np.unpackbits(packed, count=clips).astype(bool)


def rows_of(names: Sequence[str], dataset: AudioDataset) -> list[int]:
    """Find clips in their data set by name.

    Args:
        names: of the clips.
        dataset: has these clips, and possibly others.

    Returns:
        Their numbers, in the order of the names.

    Raises:
        InvalidInput: one of the names is no clip of the data set.
    """
    rows = {str(name): i for i, name in enumerate(dataset.names)}
    if missing := [name for name in names if name not in rows]:
        raise InvalidInput(f"there are scores of {missing[0]!r}, which is no clip of {dataset.name}")
    return [rows[name] for name in names]
