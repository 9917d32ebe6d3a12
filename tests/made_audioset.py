"""A small AudioSet for tests: Google's lists, and Parquet in the layout of agkphysics/AudioSet."""

import io
import json
import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when datasets is imported: no test may ask the network

import numpy as np
import pytest
import soundfile

datasets = pytest.importorskip("datasets", reason="Parquet needs the package datasets")
pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

LABELS = [
    ("/m/09x0r", "Speech"), ("/m/05zppz", "Male speech, man speaking"), ("/t/dd00088", "Gush"), ("/m/0bt9lr", "Dog"),
]  # fmt: skip
# Ids with the characters that make names of files hard to take apart.
CLIPS = {
    "balanced": {
        "--PJHxphWEs": (30.0, ["/m/09x0r", "/t/dd00088"]),
        "Y_abc_30_40": (0.0, ["/m/0bt9lr"]),
        "_30000_4000": (7.5, ["/m/05zppz", "/m/09x0r"]),
        "YabcdefghiJ": (10.0, ["/m/09x0r"]),
        "abcdefghijY": (20.0, ["/m/0bt9lr", "/m/09x0r"]),
    },
    "unbalanced": {
        "unbalanced1": (0.0, ["/m/09x0r"]),
        "unbalanced2": (1.0, ["/t/dd00088"]),
    },
    "eval": {f"evaluation{i}": (10.0 * i, [LABELS[i % 4][0]]) for i in range(7)},
}
LISTS = {split: f"{split}_train_segments.csv" for split in ("balanced", "unbalanced")} | {"eval": "eval_segments.csv"}
FOLDERS = {"balanced": "bal_train", "unbalanced": "unbal_train", "eval": "eval"}


def hide_other_data(tmp_path: Path, monkeypatch) -> None:
    """No other data on this machine, and the cache of datasets in a folder of the test's own."""
    monkeypatch.delenv("ASTLIB_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    datasets.disable_progress_bars()


def write_lists(root: Path, clips=CLIPS) -> Path:
    """Google's table and lists, in their own way of writing."""
    root.mkdir(parents=True, exist_ok=True)
    table = ["index,mid,display_name", *(f'{i},{mid},"{name}"' for i, (mid, name) in enumerate(LABELS))]
    (root / "class_labels_indices.csv").write_text("\n".join(table) + "\n")
    for split, rows in clips.items():
        positives = sum(len(mids) for _, mids in rows.values())
        lines = [
            "# Segments csv created Sun Mar  5 10:54:31 2017",
            f"# num_ytids={len(rows)}, num_segs={len(rows)}, num_unique_labels=4, num_positive_labels={positives}",
            "# YTID, start_seconds, end_seconds, positive_labels",
            *(f'{name}, {start:.3f}, {start + 10:.3f}, "{",".join(mids)}"' for name, (start, mids) in rows.items()),
        ]
        (root / LISTS[split]).write_text("\n".join(lines) + "\n")
    return root


def sound(number: int, rate: int = 48_000, seconds: float = 1.0) -> np.ndarray:
    """A tone of its own pitch, so that a mix-up of clips is noticed."""
    return 0.5 * np.sin(2 * np.pi * (300 + 100 * number) * np.arange(int(seconds * rate)) / rate)


def flac(number: int, rate: int = 48_000, seconds: float = 1.0) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, sound(number, rate, seconds), rate, format="FLAC", subtype="PCM_24")
    return file.getvalue()


TYPES = pa.schema(
    {
        "video_id": pa.string(),
        "audio": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
        "labels": pa.list_(pa.string()),
        "human_labels": pa.list_(pa.string()),
    }
)
TEXTS = {"feature": {"dtype": "string", "_type": "Value"}, "_type": "Sequence"}
FEATURES = {"video_id": TEXTS["feature"], "audio": {"_type": "Audio"}, "labels": TEXTS, "human_labels": TEXTS}
KNOWN = TYPES.with_metadata({"huggingface": json.dumps({"info": {"features": FEATURES}})})


def write_parquet(root: Path, cells: dict, clips=CLIPS, files: int = 2, schema=KNOWN) -> Path:
    """Parquet files in the layout of agkphysics/AudioSet. cells: name to what its column `audio` holds."""
    names = dict(LABELS)
    for split, rows in clips.items():
        folder = root / "data" / FOLDERS[split]
        folder.mkdir(parents=True)
        table = [
            {"video_id": name, "audio": cells[name], "labels": mids, "human_labels": [names.get(mid) for mid in mids]}
            for name, (_, mids) in rows.items()
            if name in cells
        ]
        for i in range(files):
            part = pa.Table.from_pylist(table[i::files], schema)
            pq.write_table(part, folder / f"{i:02d}.parquet", row_group_size=3)
    return root


def write_many(root: Path) -> Path:
    """23 short clips in three files."""
    clips = {"eval": {f"number___{i:02d}": (0.0, [LABELS[i % 4][0]]) for i in range(23)}}
    cells = {name: {"bytes": flac(i, seconds=0.1), "path": None} for i, name in enumerate(clips["eval"])}
    return write_parquet(write_lists(root, clips), cells, clips, files=3)
