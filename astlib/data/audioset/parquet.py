"""AudioSet as Parquet, in the layout of the public `agkphysics/AudioSet`: the sound of a clip is a cell of a table.

Chapter: notebooks/06_data_and_augmentation.ipynb

Tables are opened with Hugging Face's `datasets`, from a folder or from the hub. It would decode the sound with a
library of its own; here cells stay encoded and go through `astlib.audio`, so that all sounds meet the same checks.
"""

from collections import Counter
from collections.abc import Sized
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ... import audio
from ...errors import AudioError, DataNotFound, InvalidInput, MissingPackage
from ..targets import Targets
from .lists import AUDIOSET_HELP, AudioSetSplit, Located, unknown_labels

if TYPE_CHECKING:  # datasets is an optional package
    from datasets import Dataset, IterableDataset

PARQUET_FOLDERS: dict[AudioSetSplit, list[str]] = {
    "balanced": ["bal_train"],
    "unbalanced": ["unbal_train"],
    "full": ["bal_train", "unbal_train"],
    "eval": ["eval"],
}
PARQUET_COLUMNS = {"video_id", "audio", "labels"}


class EncodedSound(TypedDict):
    """The sound of a clip: the bytes of a sound file, or the path of one.

    Attributes:
        bytes: a whole sound file in any format that libsndfile reads, or None.
        path: the path of a sound file, or None.
    """

    bytes: bytes | None
    path: str | None


class ClipRow(TypedDict):
    """One clip of the table.

    Attributes:
        video_id: the YTID.
        audio: the encoded sound, or None.
        labels: the machine ids of its classes, or None.
    """

    video_id: str
    audio: EncodedSound | None
    labels: list[str] | None


class Columns(NamedTuple):
    """What is kept in memory of a whole table.

    Attributes:
        ytids: `(clips,)` str.
        classes: the labels of every clip.
        sizes: `(clips,)` int64, bytes of encoded sound; 0 for a clip without sound.
        notes: what is unusual about the labels, one sentence each.
    """

    ytids: NDArray[np.str_]
    classes: Targets
    sizes: NDArray[np.int64]
    notes: list[str]


def files(root: Located, split: AudioSetSplit) -> list[Path]:
    """List the Parquet files of a split.

    Args:
        root: as from `lists.locate`.
        split: "balanced", "unbalanced", "full" or "eval".

    Returns:
        The files in order; none if `root` is not a folder.
    """
    if not isinstance(root, Path):
        return []
    return [file for part in PARQUET_FOLDERS[split] for file in sorted(root.glob(f"data/{part}/*.parquet"))]


def open_rows(
    root: Located, split: AudioSetSplit, revision: str | None, streaming: bool
) -> "Dataset | IterableDataset":
    """Open the rows of a split. Their sound stays encoded.

    Args:
        root: as from `lists.locate`.
        split: "balanced", "unbalanced", "full" or "eval".
        revision: of a data set on the hub: a commit, a tag or a branch; None is its main branch.
        streaming: read from front to back, without a copy in the cache of `datasets`.

    Returns:
        An IterableDataset if `streaming`, else a Dataset.

    Raises:
        DataNotFound: the files cannot be opened.
        InvalidInput: `root` is an opened stream and random access is asked for, or columns are missing.
        MissingPackage: `datasets` is not installed.
    """
    datasets = hugging_face()
    if isinstance(root, str | Path):
        where = "parquet" if isinstance(root, Path) else root
        patterns = [f"data/{part}/*.parquet" for part in PARQUET_FOLDERS[split]]
        try:
            rows = datasets.load_dataset(
                where,
                data_files={"train": [str(file) for file in files(root, split)] or patterns},
                split="train",
                revision=revision,
                streaming=streaming,
            )
        except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
            raise DataNotFound(f"{root} cannot be opened ({error.__cause__ or error}). {AUDIOSET_HELP}") from error
    elif not streaming and not isinstance(root, datasets.Dataset):
        raise InvalidInput(f"a {type(root).__name__} has no random access. Use astlib.data.AudioStream")
    else:
        rows = root.to_iterable_dataset() if streaming and isinstance(root, datasets.Dataset) else root
    found = rows.column_names
    if found and not set(found) >= PARQUET_COLUMNS:
        raise InvalidInput(f"expected the columns {', '.join(sorted(PARQUET_COLUMNS))}, found {', '.join(found)}")
    return rows.cast_column("audio", datasets.Audio(decode=False))


def hugging_face() -> ModuleType:
    """Import the optional package `datasets`.

    Returns:
        The package.

    Raises:
        MissingPackage: it is not installed.
    """
    try:
        import datasets
    except ImportError:
        raise MissingPackage('Parquet is read with datasets. Install it with: pip install "astlib[hub]"') from None
    return datasets  # type: ignore[no-any-return]  # it has no type information


def count_rows(root: Located, split: AudioSetSplit, revision: str | None) -> int | None:
    """Count the rows of a split without reading them.

    Args:
        root: as from `lists.locate`.
        split: "balanced", "unbalanced", "full" or "eval".
        revision: of a data set on the hub.

    Returns:
        The number of rows, or None if nothing says how many; the page of a data set on the hub usually does.

    Raises:
        MissingPackage: `datasets` is not installed.
    """
    if isinstance(root, Path):
        from pyarrow.parquet import read_metadata

        return sum(int(read_metadata(file).num_rows) for file in files(root, split))
    if isinstance(root, str):
        datasets = hugging_face()
        try:
            told = datasets.load_dataset_builder(root, "full", revision=revision).info.splits or {}
        except (OSError, ValueError, datasets.exceptions.DatasetsError):
            return None
        folders = PARQUET_FOLDERS[split]
        return sum(int(told[part].num_examples) for part in folders) if set(folders) <= set(told) else None
    return len(root) if isinstance(root, Sized) else None


def read_columns(rows: "Dataset", mids: list[str]) -> Columns:
    """Read everything but the sound: ids, labels, and the sizes of the encoded sounds.

    Args:
        rows: as from `open_rows`, with random access.
        mids: machine ids of the classes, in the order of the target's columns.

    Returns:
        The columns, in the order of the rows.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    table = rows.data.table
    blocks = [
        some["video_id"].to_numpy(zero_copy_only=False).astype(str)
        for some in table.select(["video_id"]).to_batches(max_chunksize=100_000)
    ]
    ytids = np.concatenate([np.zeros(0, "U1"), *blocks])
    sizes = pc.fill_null(pc.binary_length(pc.struct_field(table["audio"], "bytes")), 0).to_numpy()
    labels = pc.list_flatten(table["labels"])
    places = pc.fill_null(pc.index_in(labels, value_set=pa.array(mids)), -1).to_numpy()
    owners = np.repeat(np.arange(len(ytids)), pc.fill_null(pc.list_value_length(table["labels"]), 0).to_numpy())
    known = places >= 0
    classes = Targets.from_pairs(owners[known], places[known], len(ytids), len(mids))
    times = np.ones(len(ytids), np.int64)  # how often each row of the table is chosen
    if rows._indices is not None:  # some rows of the table; through its own interface datasets gathers them one by one
        chosen = rows._indices.column(0).to_numpy()
        times = np.bincount(chosen.astype(np.int64), minlength=len(ytids))
        ytids, classes, sizes = ytids[chosen], classes.take(chosen), sizes[chosen]
    unknown: Counter[str] = Counter()
    for label, owner in zip(labels.filter(pa.array(~known)).to_pylist(), owners[~known].tolist(), strict=True):
        unknown[label] += int(times[owner])
    return Columns(ytids, classes, sizes, unknown_labels(+unknown))


def encoded(cell: EncodedSound | None, name: str) -> bytes | str:
    """Take the encoded sound of a clip from its cell.

    Args:
        cell: of the column `audio`.
        name: of the clip, for the message.

    Returns:
        The bytes of a sound file, or the path of one.

    Raises:
        AudioError: the cell is empty.
    """
    if cell and cell["bytes"] is not None:
        return cell["bytes"]
    if cell and cell["path"]:
        return cell["path"]
    raise AudioError(f"{name}: the table has no sound for it. Leave it out", "missing")


def decode(cell: EncodedSound | None, name: str, rate: int) -> Tensor:
    """Decode the sound of a clip.

    Args:
        cell: of the column `audio`.
        name: of the clip, for the message.
        rate: sample rate of the result in Hz.

    Returns:
        `(samples,)` float32 in [-1, 1].

    Raises:
        AudioError: no sound, or a sound that cannot be used.
    """
    sound = encoded(cell, name)
    return audio.decode(sound, name, rate) if isinstance(sound, bytes) else audio.load(sound, rate)
