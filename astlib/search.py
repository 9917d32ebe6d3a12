"""Find the windows that sound like an example: exact search by cosine similarity, through all of them.

A million windows of 192 numbers take a third of a second on one core, so that no index is needed: nothing has to be
built, and nothing is missed.

Chapter: notebooks/19_a_thousand_hours.ipynb
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import audio
from .embeddings import Embeddings, Floats, Window, one_core
from .encoders import RATE, Encoder
from .errors import InvalidInput

BLOCK_ROWS = 2048  # compared at a time: they stay in the cache of the processor
MANY = 16  # times as many rows as hits wanted are sorted at first
SLACK = 1.1  # a file that is a tenth longer than a window is still one example: its middle
SMALLEST = 1e-12  # length of a vector that is as good as zero


class Example(NamedTuple):
    """A sound to search for.

    Args:
        vector: `(dim,)` float32.
        path: its file.
        begin_s: where it begins there, in seconds.
        end_s: where it ends.
    """

    vector: Tensor
    path: Path
    begin_s: float
    end_s: float


class Hit(NamedTuple):
    """A window that was found.

    Args:
        row: its number.
        window: where it is.
        similarity: cosine of the angle to the example, -1 to 1.
    """

    row: int
    window: Window
    similarity: float


def read_example(encoder: Encoder, text: str | Path) -> Example:
    """Read and embed a sound to search for.

    Args:
        encoder: the encoder of the features that are searched.
        text: a sound file that is not longer than a window; or "night.wav@12.5" for the window around second 12.5.

    Returns:
        The example.

    Raises:
        InvalidInput: the file is longer than a window and no second is given, or it ends before that.
        AudioError: the file cannot be read.
    """
    path, at = Path(text), None
    if not path.exists() and (found := re.fullmatch(r"(.+)@(\d+(?:\.\d*)?)", str(text))):
        path, at = Path(found[1]), float(found[2])
    waveform = audio.load(path)
    seconds, length = len(waveform) / RATE, round(encoder.seconds * RATE)
    if at is None and len(waveform) > SLACK * length:
        raise InvalidInput(
            f"{path} lasts {seconds:.1f} s, and {encoder.name} hears {encoder.seconds:.1f} s at a time. Say around "
            f"which second the sound is: {path}@{seconds / 2:.1f}"
        )
    if at is not None and at > seconds:
        raise InvalidInput(f"{path} lasts {seconds:.1f} s; found second {at:g}")
    middle = seconds / 2 if at is None else at
    begin = max(0, min(round(middle * RATE) - length // 2, len(waveform) - length))
    piece = waveform[begin : begin + length]
    return Example(encoder.embed(piece[None])[0], path, begin / RATE, (begin + len(piece)) / RATE)


def similarities(features: NDArray[np.float16] | Floats, vector: Tensor) -> Floats:
    """Compute the cosine similarity of every row with a vector.

    Args:
        features: `(rows, dim)`, also a memory map.
        vector: `(dim,)`.

    Returns:
        `(rows,)` float32 in [-1, 1]; 0 for a row of zeros.
    """
    direction = torch.nn.functional.normalize(vector.float(), dim=0)  # (dim,)
    found = torch.empty(len(features))
    with one_core():
        for first in range(0, len(features), BLOCK_ROWS):
            block = torch.from_numpy(np.array(features[first : first + BLOCK_ROWS])).float()  # (rows, dim)
            found[first : first + len(block)] = block @ direction / block.norm(dim=1).clamp_min(SMALLEST)
    return found.numpy()


def find(embeddings: Embeddings, example: Example, top: int = 20, apart_s: float | None = None) -> list[Hit]:
    """Find the windows that are most like an example. The example itself is left out, if it is among them.

    Args:
        embeddings: the windows to search.
        example: what to search for, embedded by the same encoder.
        top: how many to find.
        apart_s: two hits in one file are at least so far apart, in seconds; None for the length of a window.

    Returns:
        The hits, the most similar first.

    Raises:
        InvalidInput: the example was embedded by another encoder, or `top` is less than 1.
    """
    if top < 1:
        raise InvalidInput(f"top must be 1 or more; found {top}")
    if example.vector.shape != (embeddings.plan.dim,):
        raise InvalidInput(f"expected a vector of {embeddings.plan.dim} numbers; found {tuple(example.vector.shape)}")
    values = similarities(embeddings.features, example.vector)
    values[embeddings.file_of < 0] = -np.inf
    values[_is_example(embeddings, example)] = -np.inf
    apart = embeddings.plan.window_s if apart_s is None else apart_s
    hits: list[Hit] = []
    taken: dict[int, list[float]] = {}  # file -> where its hits begin
    for row in _best_first(values, top):
        file, begin = int(embeddings.file_of[row]), float(embeddings.begin_s[row])
        if all(abs(begin - other) >= apart for other in taken.get(file, ())):
            taken.setdefault(file, []).append(begin)
            hits.append(Hit(row, embeddings.window(row), float(values[row])))
            if len(hits) == top:
                break
    return hits


def _best_first(values: Floats, top: int) -> Iterator[int]:
    """The rows by falling value, without those that are minus infinity. All are sorted only if that many are wanted."""
    few = min(len(values), MANY * top)
    best = np.argpartition(-values, few - 1)[:few]
    best = best[np.lexsort((best, -values[best]))]  # of equal values the earlier row first
    yield from (int(row) for row in best if values[row] > -np.inf)
    rest = values.copy()
    rest[best] = -np.inf
    for row in np.argsort(-rest, kind="stable"):
        if rest[row] == -np.inf:
            return
        yield int(row)


def _is_example(embeddings: Embeddings, example: Example) -> NDArray[np.bool_]:
    """Which rows overlap with the example itself, `(rows,)`."""
    overlaps = (embeddings.begin_s < example.end_s) & (embeddings.end_s > example.begin_s)
    root, path = Path(embeddings.plan.root), example.path.resolve()
    name = path.relative_to(root).as_posix() if path.is_relative_to(root) else ""
    file = embeddings.files.index(name) if name in embeddings.files else -2
    same: NDArray[np.bool_] = overlaps & (embeddings.file_of == file)
    return same
