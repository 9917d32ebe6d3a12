"""Which of a picture network's weights must come along for sound? Writes `results/transplant.json` (chapter 05).

    ASTLIB_DATA=... ASTLIB_WEIGHTS=... python ci/transplant.py      # about 20 minutes of one CPU core; can be resumed

The protocol, written before the first run:

- The network is AST-Tiny with patches of 16 at stride 16 and 512 frames. Its tensors fall into three parts: the patch
  kernels, the positions with the class token, and the blocks with the last layer norm. A row names the parts that come
  from ViT-Tiny's ImageNet weights; the others stay as a new network has them. In one row every tensor comes from
  ImageNet, but the values within each tensor are shuffled. One row has no network: mean and standard deviation of every
  mel bin over time.
- Nothing is trained but a linear probe on the frozen vectors (the class token's output): standardised, then logistic
  regression with C = 0.1. The five folds of ESC-50 take turns as the test fold.
- There are four seeds. Seed s takes two clips of each class in each fold, 500 in all, no clip in two seeds, so that the
  four use all of ESC-50 once. It also draws the new weights and the shuffling. Within a seed every row sees the same
  clips and the same new weights, so that rows are compared fold by fold within a seed: 20 pairs.
- Networks run in float32. In a network with new weights what differs between two clips is a small part of the vector,
  and bfloat16 would round it away.
- The interval of a mean, or of a mean difference of pairs, is a bootstrap in two stages: draw four seeds with
  replacement, for each of them five folds with replacement, 10,000 times, and take the middle 95 %. Four seeds are few
  for this, so an interval is a little too narrow. It is not corrected for the number of rows.
- What is claimed: that a row is above or below another one, if the interval of their difference does not hold 0.

The file's commit is that of the library that it ran with. This script, unchanged since but for its layout, came into
the repository together with the file.
"""

import argparse
import hashlib
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import sklearn
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

import astlib
from astlib import paths, saved, transfer
from astlib.data import ESC50
from astlib.frontend import normalise, pad_or_cut
from astlib.ledger import provenance
from common import BUILD, fail

SOURCE = "vit_tiny_patch16_224"
PARTS = {  # name of a part: how the names of its tensors begin
    "patch kernels": ["patch_embed."],
    "positions and class token": ["pos_embed", "cls_token"],
    "blocks": ["blocks.", "norm."],
}
KERNELS, POSITIONS, BLOCKS = PARTS
ROWS: dict[str, list[str] | None] = {  # label: what comes from ImageNet; None where there is no network
    "mel statistics, no network": None,
    "nothing": [],
    "patch kernels only": [KERNELS],
    "positions and class token only": [POSITIONS],
    "blocks only": [BLOCKS],
    "all but the blocks": [KERNELS, POSITIONS],
    "all but the patch kernels": [POSITIONS, BLOCKS],
    "all but the positions and class token": [KERNELS, BLOCKS],
    "all, values shuffled": [KERNELS, POSITIONS, BLOCKS],
    "everything": [KERNELS, POSITIONS, BLOCKS],
}
SHUFFLED = "all, values shuffled"
SEEDS, FOLDS, PER_CLASS = (0, 1, 2, 3), (1, 2, 3, 4, 5), 2
PROTOCOL = {
    "seeds": list(SEEDS),
    "folds": list(FOLDS),
    "clips_per_class_and_fold": PER_CLASS,
    "network": {"model_size": "tiny224", "fstride": 16, "tstride": 16, "input_tdim": 512, "prefix_tokens": 1},
    "normalisation": {"mean": -6.6268077, "std": 5.358466},
    "probe": {"C": 0.1, "max_iter": 2000},
    "precision": "float32",
    "interval": {"draws": 10_000, "stages": ["seeds", "folds"], "level": 0.95},
}


def config() -> astlib.ASTConfig:
    return astlib.ASTConfig(label_dim=50, multi_label=False, **PROTOCOL["network"], **PROTOCOL["normalisation"])


def chosen(data: ESC50, seed: int) -> list[int]:
    """The clips of a seed: of the clips of a class in a fold, in an order drawn once, numbers 2s and 2s + 1."""
    classes = data.targets.argmax(dim=1).numpy()
    order = np.random.default_rng(0).permutation(len(data))
    rows: list[int] = []
    for fold in FOLDS:
        for label in range(len(data.labels)):
            there = [int(i) for i in order if data.folds[i] == fold and classes[i] == label]
            rows += there[PER_CLASS * seed : PER_CLASS * (seed + 1)]
    return sorted(rows)


def network(row: str, seed: int, imagenet: dict[str, torch.Tensor]) -> astlib.AST:
    """An AST in which the parts of a row come from ImageNet, and everything else is new."""
    torch.manual_seed(seed)
    model = astlib.AST(config())
    state = model.state_dict()
    begins = tuple(start for part in ROWS[row] or [] for start in PARTS[part])
    shuffle = torch.Generator().manual_seed(seed)
    for name in state:
        if begins and name.startswith(begins):
            tensor = imagenet[name]
            if row == SHUFFLED:
                tensor = tensor.flatten()[torch.randperm(tensor.numel(), generator=shuffle)].view_as(tensor)
            state[name] = tensor
    model.load_state_dict(state)
    return model.eval()


def vectors(row: str, seed: int, mels: torch.Tensor, imagenet: dict[str, torch.Tensor]) -> torch.Tensor:
    """`(clips, numbers)`: what the probe gets to see. mels: `(clips, 498, 128)`."""
    if ROWS[row] is None:
        return torch.cat([mels.mean(dim=1), mels.std(dim=1)], dim=1)
    cfg = config()
    inputs = normalise(pad_or_cut(mels, cfg.input_tdim), cfg.mean, cfg.std)
    model = network(row, seed, imagenet)
    with torch.inference_mode():
        return torch.cat([model.embed(part) for part in inputs.split(20)])


def probe(features: torch.Tensor, truth: np.ndarray, folds: np.ndarray) -> tuple[list[int], list[int]]:
    """How many test clips are right in each fold, and how many there are."""
    right, clips = [], []
    for fold in FOLDS:
        train, test = folds != fold, folds == fold
        line = make_pipeline(StandardScaler(), LogisticRegression(**PROTOCOL["probe"]))
        with threadpool_limits(1):
            line.fit(features.numpy()[train], truth[train])
            right.append(int((line.predict(features.numpy()[test]) == truth[test]).sum()))
        clips.append(int(test.sum()))
    return right, clips


def cells(data: ESC50, imagenet: dict[str, torch.Tensor], cache: Path) -> list[dict]:
    """Every row with every seed. What is in the cache already is not computed again."""
    found = []
    for seed in SEEDS:
        rows = chosen(data, seed)
        part = data.select(rows=rows)
        truth, folds = part.targets.argmax(dim=1).numpy(), np.array(part.folds)
        mels = None
        for row in ROWS:
            path = cache / f"{seed}-{list(ROWS).index(row)}.json"
            if not path.exists():
                if mels is None:
                    log_mel = astlib.LogMel()
                    mels = torch.cat([log_mel(part.waveform(i)) for i in range(len(part))])  # (500, 498, 128)
                start = time.process_time()
                right, clips = probe(vectors(row, seed, mels, imagenet), truth, folds)
                cell = {"row": row, "seed": seed, "right": right, "clips": clips,
                        "cpu_seconds": round(time.process_time() - start, 1)}  # fmt: skip
                path.write_text(json.dumps(cell), encoding="utf-8")
            cell = json.loads(path.read_text(encoding="utf-8"))
            found.append(cell)
            accuracy = 100 * sum(cell["right"]) / sum(cell["clips"])
            print(f"seed {seed}  {row:40} {accuracy:5.1f} %  {cell['right']}  {cell['cpu_seconds']} s", flush=True)
    return found


def report(data: ESC50, state: dict[str, torch.Tensor], found: list[dict], started: str) -> dict:
    """The file: what was done, with what, on what, and every accuracy."""
    commit, dirty = provenance.git_state()
    per_row = {row: [cell for cell in found if cell["row"] == row] for row in ROWS}
    return {
        "about": "Accuracy on ESC-50 of a linear probe on a frozen AST-Tiny into which parts of ImageNet's ViT-Tiny "
        "were put, per seed and fold. Made by ci/transplant.py, whose first lines are the protocol; chapter 05 draws "
        "it.",
        "protocol": PROTOCOL,
        "data": {
            "name": data.name,
            "clips": len(data),
            "classes": len(data.labels),
            "hash": data.manifest_hash(),
            "seeds": [data.select(rows=chosen(data, seed)).manifest_hash() for seed in SEEDS],
        },
        "weights": {"source": SOURCE, "hash": saved.weights_hash(state)},
        "commit": commit,
        "dirty": dirty,
        "hardware": provenance.hardware(torch.device("cpu")),
        "versions": {**provenance.versions(), "scikit-learn": sklearn.__version__},
        "started": started,
        "seconds": round(sum(cell["cpu_seconds"] for cell in found), 1),
        "rows": [
            {
                "row": row,
                "imagenet": ROWS[row],
                "shuffled": row == SHUFFLED,
                "right": [cell["right"] for cell in cells],
                "clips": [cell["clips"] for cell in cells],
                "accuracy": [
                    [round(100 * r / n, 4) for r, n in zip(cell["right"], cell["clips"], strict=True)] for cell in cells
                ],
                "seconds": round(sum(cell["cpu_seconds"] for cell in cells), 1),
            }
            for row, cells in per_row.items()
        ],
    }


def main(out: Path, threads: int) -> None:
    if transfer.find_vit(SOURCE) is None or paths.find_data("esc50") is None:
        fail(f"this needs ESC-50 (in ASTLIB_DATA) and the ImageNet weights of {SOURCE} (in ASTLIB_WEIGHTS)")
    torch.set_num_threads(threads)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    data, state = ESC50(split="all"), transfer.load_vit(SOURCE)
    imagenet = transfer.from_vit(state, config()).state_dict()
    inputs = [PROTOCOL, ROWS, data.manifest_hash(), saved.weights_hash(state)]
    cache = BUILD / "transplant" / hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:16]
    cache.mkdir(parents=True, exist_ok=True)
    found = cells(data, imagenet, cache)
    text = json.dumps(report(data, state, found, started), indent=1, ensure_ascii=False)
    out.write_text(text + "\n", encoding="utf-8")
    print(f"wrote {out.name}: {sum(cell['cpu_seconds'] for cell in found):.0f} s of one core")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Which weights of a picture network must come along for sound?")
    parser.add_argument("--out", type=Path, default=paths.results() / "transplant.json")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    sys.exit(main(given.out, given.threads))
