"""Does a record hold together? What it claims must follow from what it carries, and from what is known elsewhere.

A record is refused if its name does not follow from its parameters and hashes, if its commit is unknown or was changed,
if its data are no known copy, if its learning rates are not its recipe's, or if its metrics are not its epochs'.

Chapter: notebooks/12_the_ablations.ipynb
"""

import json
import math
import re
from pathlib import Path

from . import provenance
from .ledger import METRICS, Run, results_folder, run_id, seal, unpack
from .recipes import Recipe


def problems(run: Run, path: str | Path | None = None) -> list[str]:
    """What is wrong with a record, in words; an empty list if nothing is.

    path: of its file, which is named by its id.
    """
    found = []
    if path is not None and Path(path).stem != run.id:
        found.append(f"the file is named {Path(path).stem}, the record {run.id}")
    if run_id(run.parameters, run.data, run.weights) != run.id:
        found.append("its id does not follow from its parameters, data and weights: one of them was changed")
    if seal(run) != run.seal:
        found.append("its seal is broken: something in it was changed after the run")
    found += _commit(run) + _data(run)
    if "members" in run.parameters:  # an ensemble: it has no epochs of its own
        return found
    try:
        recipe = Recipe(**run.parameters)
    except (TypeError, ValueError) as error:
        return [*found, f"its parameters are no recipe: {error}"]
    return found + _epochs(run, recipe) + _metrics(run)


def _commit(run: Run) -> list[str]:
    if not re.fullmatch("[0-9a-f]{40}", run.commit or ""):
        return ["it names no commit: nobody knows which code ran"]
    if run.dirty:
        return [f"the code had changes on top of commit {run.commit[:8]}"]
    if provenance.knows_commit(run.commit) is False:
        return [f"commit {run.commit[:8]} is not in this repository's history"]
    return []


def known_data() -> dict:
    """`results/data.json`: data set -> a copy in words -> what its folds consist of, part -> hash."""
    return json.loads((results_folder() / "data.json").read_text(encoding="utf-8"))


def _data(run: Run) -> list[str]:
    name = run.data["name"]
    if run.data["synthetic"]:
        return []  # made in code: the commit says what they are
    parts = {key: value["hash"] for key, value in run.data.items() if isinstance(value, dict)}
    copies = known_data().get(name, {})
    if any(parts.items() <= fold.items() for folds in copies.values() for fold in folds):
        return []
    return [f"its data are no known copy of {name}: results/data.json lists {len(copies)}, and "
            f"`astlib data hash {name} --add WORDS` adds the one that is here"]  # fmt: skip


def _epochs(run: Run, recipe: Recipe) -> list[str]:
    found = []
    if [entry["epoch"] for entry in run.epochs] != list(range(1, recipe.epochs + 1)):
        found.append(f"it has {len(run.epochs)} epochs, its recipe {recipe.epochs}")
    steps, clips = -(-run.data["train"]["clips"] // recipe.batch), run.data["test"]["clips"]
    usable = clips - sum(run.metrics.get("unusable", {}).get("test", {}).values())
    for entry in run.epochs:
        wanted = recipe.learning_rate(entry["epoch"], entry["epoch"] * steps - 1)
        if not math.isclose(entry["learning_rate"], wanted, rel_tol=1e-9):
            found.append(f"epoch {entry['epoch']} had learning rate {entry['learning_rate']:g}, its recipe {wanted:g}")
        if "right" in entry:
            try:
                right = unpack(entry["right"], clips).sum()
            except ValueError as error:
                found.append(f"epoch {entry['epoch']}: {error}")
                continue
            if right != round(usable * (entry["accuracy"] or 0)):
                found.append(f"epoch {entry['epoch']} claims another accuracy than its list of right answers")
    return found


def _metrics(run: Run) -> list[str]:
    rule, found = run.parameters["selection"], []
    if rule != "average" and not 1 <= run.metrics["epoch"] <= len(run.epochs):
        return [f"it reports epoch {run.metrics['epoch']} of {len(run.epochs)}"]
    chosen = run.metrics["average"] if rule == "average" else run.epochs[run.metrics["epoch"] - 1]
    if any(run.metrics[name] != chosen[name] for name in METRICS):
        found.append(f"its metrics are not those of its {run.metrics['rule']}")
    if rule == "last" and run.metrics["epoch"] != len(run.epochs):
        found.append("it reports another epoch than the last")
    if not math.isclose(run.wall_seconds, sum(entry["seconds"] for entry in run.epochs), rel_tol=1e-6):
        found.append("its time is not the sum of its epochs'")
    return found
