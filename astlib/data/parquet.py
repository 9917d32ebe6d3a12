"""AudioSet as Parquet, in the layout of the public `agkphysics/AudioSet`: the sound of a clip is a cell of a table.

Chapter: notebooks/06_data_and_augmentation.ipynb

Tables are opened with Hugging Face's `datasets`, from a folder or from the hub. It would decode the sound with a
library of its own; here cells stay encoded and go through `astlib.audio`, so that all sounds meet the same checks.
"""

from collections import Counter
from pathlib import Path

import numpy as np
from torch import Tensor

from .. import audio
from ..audio import AudioError
from .report import DataNotFound
from .segments import HOW_TO_GET, tell_unknown
from .targets import Targets

PARTS = {
    "balanced": ["bal_train"], "unbalanced": ["unbal_train"], "full": ["bal_train", "unbal_train"], "eval": ["eval"],
}  # fmt: skip
COLUMNS = {"video_id", "audio", "labels"}


def files(root, split: str) -> list[Path]:
    """The Parquet files of a split in a folder, in order."""
    if not isinstance(root, Path):
        return []
    return [file for part in PARTS[split] for file in sorted(root.glob(f"data/{part}/*.parquet"))]


def open_rows(root, split: str, revision: str | None, streaming: bool):
    """The rows of a split as a `datasets.Dataset`, or as an IterableDataset; sound stays encoded."""
    datasets = hugging_face()
    if isinstance(root, str | Path):
        where = "parquet" if isinstance(root, Path) else root
        which = files(root, split) or [f"data/{part}/*.parquet" for part in PARTS[split]]
        try:
            rows = datasets.load_dataset(
                where,
                data_files={"train": [str(file) for file in which]},
                split="train",
                revision=revision,
                streaming=streaming,
            )
        except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
            raise DataNotFound(f"{root} cannot be opened ({error.__cause__ or error}). {HOW_TO_GET}") from error
    elif not streaming and not isinstance(root, datasets.Dataset):
        raise ValueError(f"a {type(root).__name__} has no random access. Use AudioSet(..., streaming=True)")
    else:
        rows = root.to_iterable_dataset() if streaming and isinstance(root, datasets.Dataset) else root
    found = rows.column_names
    if found and not COLUMNS <= set(found):
        raise ValueError(f"expected the columns {', '.join(sorted(COLUMNS))}, found {', '.join(found)}")
    return rows.cast_column("audio", datasets.Audio(decode=False))


def hugging_face():
    try:
        import datasets
    except ImportError:
        raise ImportError('Parquet is read with datasets. Install it with: pip install "astlib[hub]"') from None
    return datasets


def count_rows(root, split: str, revision: str | None) -> int | None:
    """Rows, or None where nothing says how many; a hub's page usually does."""
    if isinstance(root, Path):
        from pyarrow.parquet import read_metadata

        return sum(read_metadata(file).num_rows for file in files(root, split))
    if isinstance(root, str):
        datasets = hugging_face()
        try:
            told = datasets.load_dataset_builder(root, "full", revision=revision).info.splits or {}
        except (OSError, ValueError, datasets.exceptions.DatasetsError):
            return None
        return sum(told[part].num_examples for part in PARTS[split]) if set(PARTS[split]) <= set(told) else None
    return len(root) if hasattr(root, "__len__") else None


def read_columns(rows, mids: list[str]) -> tuple[np.ndarray, Targets, np.ndarray, list[str]]:
    """YTIDs, classes and bytes of encoded sound of every row, and what is odd about them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    table = rows.data.table
    ytids = [some["video_id"].to_numpy(zero_copy_only=False).astype(str)
             for some in table.select(["video_id"]).to_batches(max_chunksize=100_000)]  # fmt: skip
    ytids = np.concatenate([np.zeros(0, "U1"), *ytids])
    sizes = pc.fill_null(pc.binary_length(pc.struct_field(table["audio"], "bytes")), 0).to_numpy()
    labels = pc.list_flatten(table["labels"])
    places = pc.fill_null(pc.index_in(labels, value_set=pa.array(mids)), -1).to_numpy()
    owners = np.repeat(np.arange(len(ytids)), pc.fill_null(pc.list_value_length(table["labels"]), 0).to_numpy())
    known = places >= 0
    classes = Targets.from_pairs(owners[known], places[known], len(ytids), len(mids))
    times = np.ones(len(ytids), np.int64)  # that each row is in
    if rows._indices is not None:  # some rows of the table; through its own interface datasets gathers them one by one
        chosen = rows._indices.column(0).to_numpy()
        times = np.bincount(chosen.astype(np.int64), minlength=len(ytids))
        ytids, classes, sizes = ytids[chosen], classes.take(chosen), sizes[chosen]
    unknown = Counter()
    for label, owner in zip(labels.filter(pa.array(~known)).to_pylist(), owners[~known].tolist(), strict=True):
        unknown[label] += int(times[owner])
    return ytids, classes, sizes, tell_unknown(+unknown)


def encoded(cell: dict | None, name: str) -> bytes | str:
    """Bytes of a sound file, or the path of one, from a cell of the column `audio`."""
    if not cell or cell["bytes"] is None and not cell["path"]:
        raise AudioError(f"{name}: the table has no sound for it. Leave it out", "missing")
    return cell["path"] if cell["bytes"] is None else cell["bytes"]


def decode(cell: dict | None, name: str, rate: int) -> Tensor:
    sound = encoded(cell, name)
    return audio.decode(sound, name, rate) if isinstance(sound, bytes) else audio.load(sound, rate)
