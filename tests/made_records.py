"""Records for the tests of the ledger and of the comparisons: the committed ones, and copies with something changed."""

import copy
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from astlib import scores
from astlib.ledger import Record, record, seal
from astlib.recipes import RECIPES

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "results" / "runs").glob("*.json"))
RECORDS = [Record.load(file) for file in FILES]
FIVE = [r for r in RECORDS if r.recipe == "esc50-tiny" and r.hardware["precision"] == "bfloat16 mixed"]


def small_record(**changes: Any) -> Record:
    """A record with as little in it as its dataclass allows; the audit would refuse it."""
    recipe = RECIPES["esc50-tiny"]
    values = {
        "id": "r1",
        "commit": "0" * 40,
        "dirty": False,
        "recipe": recipe.name,
        "parameters": json.loads(json.dumps(asdict(recipe))),
        "data": {"name": "esc50", "classes": 50},
        "weights": {},
        "seed": 0,
        "hardware": {"name": "cpu"},
        "versions": {},
        "started": "2026-01-01T00:00:00+00:00",
        "wall_seconds": 60.0,
        "epochs": [{}],
        "metrics": {"accuracy": 0.5, "rule": "last epoch"},
    }
    return Record(**{**values, **changes})


def tampered(original: Record, what: str) -> Record:
    """A copy of a record with something changed, and its seal made new: whoever lies, lies thoroughly."""
    changed = copy.deepcopy(original)
    last = changed.epochs[-1]
    match what:
        case "parameter":
            changed.parameters["lr"] = 1e-3
        case "data":
            changed.data["train"]["hash"] = "sha256:" + "0" * 64
        case "weights":
            changed.weights["hash"] = "sha256:" + "0" * 64
        case "data and name":
            changed.data["train"]["hash"] = "sha256:" + "0" * 64
            changed.id = record.record_id(changed.parameters, changed.data, changed.weights)
        case "commit":
            changed.commit = "0" * 40
        case "no commit":
            changed.commit = None
        case "changes":
            changed.dirty = True
        case "learning rate":
            last["learning_rate"] *= 2
        case "result":
            changed.metrics["accuracy"] = 0.999
        case "better epoch":
            changed.metrics |= {name: changed.epochs[-2][name] for name in record.METRICS}
        case "epoch":
            changed.epochs.pop()
        case "time":
            changed.wall_seconds /= 10
        case "right answers":
            last["right"] = scores.pack(torch.zeros(400, dtype=torch.bool))
        case "fewer answers":
            last["right"] = scores.pack(torch.zeros(392, dtype=torch.bool))
        case "data of another kind":
            changed.data["train"] = None
        case "no metrics":
            changed.metrics = {}
        case _:
            raise ValueError(what)
    changed.seal = seal(changed)
    return changed


def records_of_folds(
    accuracies: list[float], epochs: int = 2, rights: list[str] | None = None, **changes: Any
) -> list[Record]:
    """Records of a setting, one per fold, as good as real ones for comparing."""
    records = []
    for fold, accuracy in enumerate(accuracies, start=1):
        made = copy.deepcopy(FIVE[0])
        made.parameters |= {"fold": fold, "epochs": epochs, **changes}
        made.epochs = made.epochs[:epochs]
        made.epochs[-1]["accuracy"] = made.metrics["accuracy"] = accuracy
        made.metrics["epoch"] = epochs
        if rights:
            made.epochs[-1]["right"] = rights[fold - 1]
        records.append(made)
    return records
