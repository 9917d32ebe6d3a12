"""Measure AudioSet at full size: how long it takes to open, how much memory loaders need, how long sampling takes.

A test has no room for 2.4 TB, so the index has full size and the sound has not. From 64 real clips (of ESC-50, or made
in code where it is absent) the script makes:

- a folder: 2.2 million lines in Google's format, and a file for two million of them, each a hard link to one of the 64;
- a table: the 64 in Parquet as the public copy has them, and two million rows of it chosen with `Dataset.select`.

Both are opened by `AudioSet` in a fresh process, which then loads from them with two workers.

    python ci/scale.py                 # about two minutes, 300 MB in the temporary folder
    python ci/scale.py --rows 100000
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when datasets is imported

import numpy as np
import psutil
import soundfile
import soxr

ROWS = 2_000_000
CLIPS = 64
KINDS = ("folder", "table")
EPOCHS, PER_EPOCH, WORKERS = 8, 200, 2
LETTERS = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", "S1")
MB = 1 << 20


def real_clips() -> tuple[list[np.ndarray], str]:
    """Return 64 clips of 10 s at 16 kHz, each made of two clips of ESC-50, and the name of their data set."""
    from astlib.data import esc50_or_synthetic

    dataset = esc50_or_synthetic(split="test")
    step = len(dataset) // CLIPS
    waveforms = [dataset.waveform(i * step).numpy() for i in range(CLIPS)]
    return [np.concatenate([waveforms[i - 1], waveform]) for i, waveform in enumerate(waveforms)], dataset.name


def encode(samples: np.ndarray, rate: int, kind: str, **how) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, soxr.resample(samples, 16_000, rate).clip(-1, 1), rate, format=kind, **how)
    return file.getvalue()


def build(root: Path, rows: int) -> dict:
    """Write lists, folder and Parquet; the lists name a tenth more clips. Labels are as uneven as AudioSet's."""
    rng = np.random.default_rng(0)
    clips, source = real_clips()
    cells = [encode(clip, 44_100 if i % 10 == 9 else 48_000, "FLAC", subtype="PCM_24") for i, clip in enumerate(clips)]
    mids = [f"/m/{i:05d}" for i in range(527)]
    table = "".join(f'{i},{mid},"class {i}"\n' for i, mid in enumerate(mids))
    (root / "class_labels_indices.csv").write_text("index,mid,display_name\n" + table)

    listed = rows + rows // 10
    names = LETTERS[rng.integers(0, 64, (listed, 11))].view("S11")[:, 0].astype(str)
    frequency = 1 / np.arange(1, 528)  # the commonest class is in half of AudioSet, the rarest in a few dozen clips
    labels = np.searchsorted(np.cumsum(frequency / frequency.sum()), rng.random((listed, 3))).clip(max=526)
    several = rng.integers(1, 4, listed)
    starts = rng.integers(0, 600, listed)
    with open(root / "unbalanced_train_segments.csv", "w") as file:
        file.write(f"# Segments csv\n# num_ytids={listed}, num_segs={listed}\n# YTID, start_seconds, ...\n")
        for name, start, row, n in zip(names.tolist(), starts.tolist(), labels.tolist(), several.tolist(), strict=True):
            text = ",".join(mids[label] for label in dict.fromkeys(row[:n]))
            file.write(f'{name}, {start}.000, {start + 10}.000, "{text}"\n')

    pool = root / ".pool"
    pool.mkdir()
    for i, cell in enumerate(cells):
        (pool / f"{i}.flac").write_bytes(cell)
    there = np.delete(np.arange(listed), np.arange(0, listed, 11)[: listed - rows])
    for part in range(0, rows, 100_000):  # a folder for every 100,000
        folder = root / "audio" / f"{part // 100_000:02d}"
        folder.mkdir(parents=True)
        for i in there[part : part + 100_000].tolist():
            os.link(pool / f"{i % CLIPS}.flac", folder / f"Y{names[i]}_{starts[i]}000.flac")

    import pyarrow as pa
    from pyarrow.parquet import write_table

    columns = {
        "video_id": names[:CLIPS].tolist(),
        "audio": [{"bytes": cell, "path": f"{name}.flac"} for name, cell in zip(names, cells, strict=False)],
        "labels": [[mids[label] for label in dict.fromkeys(row)] for row in labels[:CLIPS].tolist()],
    }
    (root / "table").mkdir()
    write_table(pa.table(columns), root / "table" / "0.parquet")
    return {"clips of": source, "files": rows, "lines": listed}


def memory(process: psutil.Process) -> dict:
    """Return memory in MB: resident (shared pages counted fully), proportional (shared pages divided) and private."""
    full = process.memory_full_info()
    return {name: round(getattr(full, name, 0) / MB) for name in ("rss", "pss", "uss")}


def peak() -> int:
    """Return the peak resident memory of this process in MB, on Linux; elsewhere 0."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM")), 0)


class Clock:
    """Measures wall time and processor time; on a shared machine the processor time is the one to compare."""

    def __init__(self):
        self.wall, self.processor = time.perf_counter(), time.process_time()

    def read(self) -> list[float]:
        return [time.perf_counter() - self.wall, time.process_time() - self.processor]


def measure(root: Path, kind: str, rows: int) -> dict:
    """Open, sample and load in this process, which must be a fresh one."""
    from torch.utils.data import DataLoader

    from astlib.data import AudioSet, Loadable, collate
    from astlib.train import sampling

    here, source = psutil.Process(), root
    if kind == "table":
        import datasets

        datasets.disable_progress_bars()
        datasets.config.HF_DATASETS_CACHE = str(root / "cache")
        pool = datasets.load_dataset("parquet", data_files=str(root / "table" / "*.parquet"), split="train")
        source = pool.select(np.random.default_rng(1).integers(0, CLIPS, rows))
        os.environ["ASTLIB_DATA"] = str(root.parent)  # where the table of labels is
    found = {"kind": kind, "before": memory(here)}

    clock = Clock()
    dataset = AudioSet(source, "unbalanced")
    found |= {"open": clock.read(), "clips": len(dataset), "after": memory(here), "peak": peak()}
    found |= {"missing": dataset.report.counts()["missing"], "labels": len(dataset.classes.columns)}

    clock = Clock()
    weights = sampling.balanced_weights(dataset.classes)
    drawn = sampling.draw(weights, len(weights), seed=0, epoch=1)
    found["sample"] = clock.read()
    before, after = dataset.classes.counts(), dataset.classes.take(drawn).counts()
    expected = np.bincount(dataset.classes.columns, weights[dataset.classes.rows()], len(before)) / weights.sum()
    error = np.sqrt(len(drawn) * expected * (1 - expected)).clip(min=1)
    found["worst class"] = float((np.abs(after - len(drawn) * expected) / error).max())  # in standard errors
    found["spread"] = [int(counts.max() / max(1, counts[before > 0].min())) for counts in (before, after)]

    batches: list[list[int]] = []
    loader = DataLoader(
        Loadable(dataset), batch_sampler=batches, collate_fn=collate, num_workers=WORKERS, persistent_workers=True
    )
    found["epochs"] = []
    for epoch in range(EPOCHS):
        batches[:] = drawn[epoch * PER_EPOCH : (epoch + 1) * PER_EPOCH].reshape(-1, 20).tolist()
        clips = sum(int(batch.usable.sum()) for batch in loader)
        workers = [memory(worker) for worker in here.children()]
        found["epochs"].append({"clips": clips, "main": memory(here), "workers": workers})
    return found


def throughput(root: Path, seconds: float = 3.0) -> dict[str, float]:
    """Clips decoded per second of one core, from files that the system has in its memory."""
    from astlib import audio

    clips, _ = real_clips()
    kinds = {
        "10 s, flac 24 bit, 48 kHz": [encode(clip, 48_000, "FLAC", subtype="PCM_24") for clip in clips],
        "5 s, ogg, 16 kHz": [encode(clip[:80_000], 16_000, "OGG") for clip in clips],
        "1 s, wav, 16 kHz": [encode(clip[:16_000], 16_000, "WAV") for clip in clips],
    }
    rates = {}
    for kind, files in kinds.items():
        paths = [root / f"{i}.sound" for i in range(len(files))]
        for path, content in zip(paths, files, strict=True):
            path.write_bytes(content)
        started, done = time.process_time(), 0
        while time.process_time() - started < seconds:
            audio.load(paths[done % len(paths)])
            done += 1
        rates[kind] = done / (time.process_time() - started)
    return rates


def fresh(root: Path, kind: str, rows: int) -> dict:
    """Run `measure` in a process of its own."""
    command = [sys.executable, __file__, "--measure", str(root), kind, "--rows", str(rows)]
    # glibc raises the size from which on it gives memory back at once, and then keeps up to 370 MB a worker (seen over
    # 24 epochs) without any leak. With that size held still, a worker holds what is in use: 10 MB.
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "MALLOC_MMAP_THRESHOLD_": "131072",
        "PYTHONPATH": str(Path(__file__).resolve().parent.parent),
    }
    out = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    return json.loads(out.splitlines()[-1])


def told(found: dict) -> str:
    """Describe what was measured."""
    wall, processor = zip(found["open"], found["sample"], strict=True)
    lines = [
        f"{found['kind']}: {found['clips']:,} clips with {found['labels']:,} labels, {found['missing']:,} missing",
        f"  opened in {wall[0]:.2f} s ({processor[0]:.2f} s of processor time); "
        f"MB resident: {found['before']['rss']} before, {found['after']['rss']} after, at most {found['peak']}",
        f"  an epoch's weighted sampling {wall[1]:.2f} s ({processor[1]:.2f} s of processor time); "
        f"clips of the commonest class for one of the rarest: {found['spread'][0]:,} -> {found['spread'][1]:,}",
        "  after each epoch, MB of each worker, resident (proportional, private):",
    ]
    for number, epoch in enumerate(found["epochs"], start=1):
        workers = "; ".join(f"{w['rss']} ({w['pss']}, {w['uss']})" for w in epoch["workers"])
        lines.append(f"    {number}: {workers}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--measure", nargs=2, metavar=("ROOT", "KIND"), help="what a fresh process is told")
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(Path(arguments.measure[0]), arguments.measure[1], arguments.rows)))
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "audioset"
        root.mkdir()
        started = time.perf_counter()
        built = build(root, arguments.rows)
        print(f"built in {time.perf_counter() - started:.0f} s:", built)
        for kind in KINDS:
            print(told(fresh(root, kind, arguments.rows)))
        print("decoded by one core, clips a second:")
        for kind, rate in throughput(root).items():
            print(f"  {kind:26}{rate:8.0f}")


if __name__ == "__main__":
    main()
