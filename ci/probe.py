"""How much do frozen features already know about ESC-50's classes? Writes `results/probe.json` (chapter 18).

    ASTLIB_DATA=... ASTLIB_WEIGHTS=... python ci/probe.py                 # about 10 minutes of one CPU core
    ASTLIB_DATA=... ASTLIB_WEIGHTS=... python ci/probe.py --runs RUN ...  # networks of own runs as well

The protocol, written before the first run:

- A row is a way to turn a clip into one vector. The teacher, EfficientAT mn04, gives two: its 384 features, and its 527
  logits. AST-Tiny with the first weights of the recipe "esc50-tiny" (ViT-Tiny from ImageNet) and the embedded network
  give the mean of their class tokens. One row has no network: mean and standard deviation of every mel bin over time.
- No network is trained. On its vectors two classifiers are: logistic regression (C = 0.1), and the 10 nearest
  neighbours by cosine. Vectors are standardised with mean and standard deviation of the training clips.
- The official folds take turns as the test fold. A network that was trained on ESC-50 is tested on the fold that it
  never heard, and on no other.
- Few labels: of each class 1, 2 or 5 clips of folds 2 to 5 are drawn ten times; logistic regression learns from these
  alone, also mean and standard deviation, and is tested on fold 1. All rows see the same draws.
- What the teacher hears: for the first clip of each class in fold 1 the eight AudioSet classes with the highest
  probabilities; and for each class the mean probabilities of the logistic regression over its clips, each clip by the
  regression that was fitted without its fold. Means below 0.002 are left out.

With `--runs`, folders of finished runs of astlib add a row for every recipe. Rows of runs that are in the file already
are kept if they are not given again. The file's commit is that of the library that it ran with.
"""

import argparse
import hashlib
import json
import sys
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import sklearn
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

import astlib
from astlib import encoders, paths, recipes, saved, transfer
from astlib.data import ESC50
from astlib.data.audioset.lists import label_table
from astlib.efficientat import DIM, NAME, WEIGHTS_HASH, EfficientAT, find_efficientat, load_efficientat
from astlib.ledger import provenance
from astlib.ledger.record import Record
from astlib.train.start import build_model
from common import BUILD, fail

TEACHER, TEACHER_LOGITS = "EfficientAT mn04, features", "EfficientAT mn04, logits"
NO_NETWORK, IMAGENET, EMBEDDED = "mel statistics, no network", "AST-Tiny from ImageNet", "ast-tiny-esc50"
PROTOCOL = {
    "logistic_regression": {"C": 0.1, "max_iter": 2000},
    "neighbours": {"n_neighbors": 10, "metric": "cosine"},
    "folds": [1, 2, 3, 4, 5],
    "few": {"clips_per_class": [1, 2, 5], "draws": 10, "test_fold": 1, "seed": 0},
    "heard": {"fold": 1, "classes": 8},
    "taken_for": {"smallest": 0.002},
}
AT_ONCE = 25  # clips


class Row(NamedTuple):
    """What makes the vectors of a row.

    Args:
        name: of the row.
        source: what the network is, with the hash of its weights; the key of the cache.
        embed: `(n, samples)` at 16 kHz to `(n, numbers)`.
        folds: those that it can be tested on.
        columns: which of the numbers belong to the row.
    """

    name: str
    source: str
    embed: Callable[[torch.Tensor], torch.Tensor]
    folds: list[int]
    columns: slice = slice(None)


def statistics(waveforms: torch.Tensor) -> torch.Tensor:
    mel = astlib.LogMel()(waveforms)  # (n, frames, 128)
    return torch.cat([mel.mean(dim=1), mel.std(dim=1)], dim=1)


def both(teacher: EfficientAT, waveforms: torch.Tensor) -> torch.Tensor:
    """`(n, 384 + 527)`: the teacher's features and logits, heard once."""
    return torch.cat(teacher(waveforms), dim=1)


def rows_without_runs(data: ESC50) -> list[Row]:
    teacher = load_efficientat()
    start, weights = build_model(recipes.recipe("esc50-tiny"), data.labels)
    ours = astlib.AST.from_pretrained(EMBEDDED)
    every = PROTOCOL["folds"]
    first, own = encoders.ASTEncoder(start, IMAGENET), encoders.ASTEncoder(ours, EMBEDDED)
    hears, heard_by = partial(both, teacher), f"{NAME} {WEIGHTS_HASH}"
    return [
        Row(NO_NETWORK, "LogMel", statistics, every),
        Row(TEACHER_LOGITS, heard_by, hears, every, slice(DIM, None)),
        Row(TEACHER, heard_by, hears, every, slice(DIM)),
        Row(EMBEDDED, saved.weights_hash(ours.state_dict()), own.embed, [1]),
        Row(IMAGENET, f"{weights['source']} {weights['hash']}", first.embed, every),
    ]


def rows_of_runs(folders: list[Path]) -> list[Row]:
    """A row for each run: it is tested on its own fold."""
    found = []
    for folder in folders:
        record = Record.load(folder / "run.json")
        encoder = encoders.open_encoder(folder / "model")
        found.append(Row(f"{record.recipe}, trained", record.id, encoder.embed, [record.parameters["fold"]]))
    return found


@torch.inference_mode()
def vectors(row: Row, data: ESC50) -> np.ndarray:
    """`(clips, numbers)` float32, from the cache if they are there."""
    key = f"{row.source} {data.manifest_hash()}"
    path = BUILD / "probe" / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.npy"
    if not path.is_file():
        parts = []
        for first in range(0, len(data), AT_ONCE):
            clips = range(first, min(first + AT_ONCE, len(data)))
            parts.append(row.embed(torch.stack([data.waveform(i) for i in clips])))
            print(f"\r{row.name}: {clips.stop} of {len(data)} clips ", end="", flush=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, torch.cat(parts).numpy())
        print()
    return np.load(path)[:, row.columns]


def regression():
    return make_pipeline(StandardScaler(), LogisticRegression(**PROTOCOL["logistic_regression"]))


def neighbours():
    return make_pipeline(StandardScaler(), KNeighborsClassifier(**PROTOCOL["neighbours"]))


def right(classifier, features: np.ndarray, truth: np.ndarray, train: np.ndarray, test: np.ndarray) -> int:
    """How many test clips a classifier gets right that was fitted to the training clips."""
    return int((classifier.fit(features[train], truth[train]).predict(features[test]) == truth[test]).sum())


def few(features: np.ndarray, truth: np.ndarray, folds: np.ndarray) -> dict[str, list[int]]:
    """Clips a class to the number of right test clips in each draw."""
    asked = PROTOCOL["few"]
    rng = np.random.default_rng(asked["seed"])
    test = np.flatnonzero(folds == asked["test_fold"])
    found: dict[str, list[int]] = {str(n): [] for n in asked["clips_per_class"]}
    warnings.filterwarnings("ignore", "The number of unique classes is greater than 50%")  # one clip of each class
    for _ in range(asked["draws"]):
        order = rng.permutation(np.flatnonzero(folds != asked["test_fold"]))
        for n in asked["clips_per_class"]:
            chosen = np.concatenate([order[truth[order] == label][:n] for label in range(truth.max() + 1)])
            found[str(n)].append(right(regression(), features, truth, chosen, test))
    return found


def measured(row: Row, data: ESC50) -> dict:
    """A row of the file."""
    truth, folds, features = data.targets.argmax(dim=1).numpy(), np.array(data.folds), vectors(row, data)
    found: dict = {"row": row.name, "source": row.source, "numbers": features.shape[1], "folds": row.folds}
    with threadpool_limits(1):
        for name, make in (("regression", regression), ("neighbours", neighbours)):
            found[name] = [right(make(), features, truth, folds != fold, folds == fold) for fold in row.folds]
        found["clips"] = [int((folds == fold).sum()) for fold in row.folds]
        if PROTOCOL["few"]["test_fold"] in row.folds:
            found["few"] = few(features, truth, folds)
    means = {name: f"{100 * sum(found[name]) / sum(found['clips']):.1f} %" for name in ("regression", "neighbours")}
    print(row.name, means, {n: round(np.mean(one) / 4, 1) for n, one in found.get("few", {}).items()}, flush=True)
    return found


def merged(rows: list[dict]) -> list[dict]:
    """Rows of one name as one row: the runs of a recipe, each tested on its own fold."""
    found: dict[str, dict] = {}
    for row in rows:
        if row["row"] not in found:
            found[row["row"]] = row
        else:
            first = found[row["row"]]
            first["source"] = f"{first['source']}, {row['source']}"
            for key in ("folds", "regression", "neighbours", "clips"):
                first[key] = first[key] + row[key]
            first |= {"few": row["few"]} if "few" in row else {}
    return list(found.values())


def with_earlier(rows: list[dict], out: Path) -> list[dict]:
    """The rows, and those of the file as it is that have other names."""
    if not out.is_file():
        return rows
    given = {row["row"] for row in rows}
    return rows + [row for row in json.loads(out.read_text(encoding="utf-8"))["rows"] if row["row"] not in given]


def heard(logits: np.ndarray, data: ESC50) -> list[dict]:
    """What the teacher hears in the first clip of each class of fold 1."""
    (_, names), asked = label_table(), PROTOCOL["heard"]
    probabilities = 1 / (1 + np.exp(-logits))  # (clips, 527)
    truth = data.targets.argmax(dim=1).numpy()
    found = []
    for label, name in enumerate(data.labels):
        clip = next(i for i in range(len(data)) if data.folds[i] == asked["fold"] and truth[i] == label)
        best = np.argsort(-probabilities[clip])[: asked["classes"]]
        answers = {names[c]: round(float(probabilities[clip, c]), 4) for c in best}
        found.append({"clip": data.names[clip], "label": name, "answers": answers})
    return found


def taken_for(features: np.ndarray, data: ESC50) -> dict[str, dict[str, float]]:
    """For each class the mean probabilities of all classes, by regressions that were fitted without the clips' fold."""
    truth, folds = data.targets.argmax(dim=1).numpy(), np.array(data.folds)
    soft = np.zeros((len(data), len(data.labels)))
    for fold in PROTOCOL["folds"]:
        soft[folds == fold] = (
            regression().fit(features[folds != fold], truth[folds != fold]).predict_proba(features[folds == fold])
        )
    smallest, found = PROTOCOL["taken_for"]["smallest"], {}
    for label, name in enumerate(data.labels):
        means = soft[truth == label].mean(axis=0)
        found[name] = {
            data.labels[c]: round(float(means[c]), 4) for c in np.argsort(-means) if means[c] >= smallest or c == label
        }
    return found


def main(out: Path, runs: list[Path]) -> None:
    if find_efficientat() is None or transfer.find_vit("vit_tiny_patch16_224") is None or not paths.find_data("esc50"):
        fail("this needs ESC-50 (in ASTLIB_DATA), and in ASTLIB_WEIGHTS EfficientAT mn04 and ViT-Tiny from ImageNet")
    torch.set_num_threads(1)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    data = ESC50(split="all")
    commit, dirty = provenance.git_state()
    fixed, own = rows_without_runs(data), rows_of_runs(runs)
    rows = with_earlier(merged([measured(row, data) for row in [*fixed, *own]]), out)
    by_name = {row.name: vectors(row, data) for row in fixed if row.name in (TEACHER, TEACHER_LOGITS)}
    content = {
        "about": "Accuracy on ESC-50 of simple classifiers on frozen vectors, and what the teacher of chapter 18 "
        "hears. Made by ci/probe.py, whose first lines are the protocol; chapter 18 shows it.",
        "protocol": PROTOCOL,
        "data": {"name": data.name, "clips": len(data), "classes": len(data.labels), "hash": data.manifest_hash()},
        "commit": commit,
        "dirty": dirty,
        "hardware": provenance.hardware(torch.device("cpu")),
        "versions": {**provenance.versions(), "scikit-learn": sklearn.__version__},
        "started": started,
        "rows": rows,
        "heard": heard(by_name[TEACHER_LOGITS], data),
        "taken_for": taken_for(by_name[TEACHER], data),
    }
    out.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"wrote {out.name}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="How much do frozen features know about ESC-50's classes?")
    parser.add_argument("--out", type=Path, default=paths.results() / "probe.json")
    parser.add_argument("--runs", type=Path, nargs="*", default=[], help="folders of finished runs, on ESC-50")
    given = parser.parse_args()
    sys.exit(main(given.out, given.runs))
