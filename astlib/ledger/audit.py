"""Consistency checks on a record: id, seal, commit, data, learning rates and metrics must agree with one another.

A record is refused if its id does not follow from its parameters and hashes, if its commit is unknown or was changed,
if its data are no known copy, if its learning rates are not its recipe's, or if its metrics are not its epochs'.

Chapter: notebooks/12_the_ablations.ipynb
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path

from .. import paths
from ..errors import InvalidInput
from ..recipes import Recipe
from ..scores import unpack
from ..typed import WORDS, read_object, shown
from .provenance import History
from .record import METRICS, Record, record_id, seal

# What every table and comparison looks up in a record: the part, the key, the type.
INSIDE: tuple[tuple[str, str, type], ...] = (
    *(("parameters", key, str) for key in ("name", "init", "metric", "selection")),
    *(("parameters", key, int) for key in ("fold", "fstride")),
    ("data", "name", str),
    ("data", "classes", int),
    ("data", "synthetic", bool),
    ("weights", "source", str),
    *(("hardware", key, str) for key in ("device", "name", "precision")),
    ("hardware", "count", int),
    ("metrics", "rule", str),
)

KnownCopies = dict[str, dict[str, list[dict[str, str]]]]  # data set -> description of a copy -> per fold: part -> hash


@dataclass(frozen=True)
class Reference:
    """What records are checked against. Reading it once serves any number of records.

    Attributes:
        history: the commits of this checkout.
        data: the known copies of each data set, see `known_data`.
    """

    history: History
    data: KnownCopies

    @classmethod
    def read(cls) -> "Reference":
        """Ask git for the history, and read the list of known copies of the data sets.

        Returns:
            The reference.
        """
        return cls(History.read(), known_data())


def known_data() -> KnownCopies:
    """Read `results/data.json`, the copies of the data sets that records may have been made on.

    Returns:
        Name of the data set, to a description of the copy, to one dict per fold: name of the part to its hash.

    Raises:
        InvalidInput: the file is damaged.
    """
    return read_object(paths.results() / "data.json")


def problems(record: Record, path: str | Path | None = None, reference: Reference | None = None) -> list[str]:
    """List what is wrong with a record.

    Args:
        record: the record, whatever it says.
        path: its file, which must be named by its id; None does not check that.
        reference: what to check against; None reads it.

    Returns:
        One sentence per problem; an empty list if nothing is wrong.
    """
    found = []
    if path is not None and Path(path).stem != record.id:
        found.append(f"the file is named {Path(path).stem}, the record {record.id}")
    try:
        return found + _contradictions(record, reference or Reference.read())
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:  # the file may hold anything
        return [*found, f"it is not built like a record: {type(error).__name__}: {error}"]


def _contradictions(record: Record, reference: Reference) -> list[str]:
    found = _form(record)
    if found:  # the rest would stumble over it, and so would every table
        return found
    if record_id(record.parameters, record.data, record.weights, record.draws) != record.id:
        found.append("its id does not follow from its parameters, data and weights: one of them was changed")
    if seal(record) != record.seal:
        found.append("its seal is broken: something in it was changed after the run")
    found += _commit(record, reference.history) + _data(record, reference.data)
    if "members" in record.parameters:  # an ensemble: it has no epochs of its own
        return found
    try:
        recipe = Recipe(**record.parameters)
    except (TypeError, InvalidInput) as error:
        return [*found, f"its parameters are no recipe: {error}"]
    return found + _epochs(record, recipe) + _metrics(record)


def _form(record: Record) -> list[str]:
    found = []
    for part, key, kind in INSIDE:
        value = getattr(record, part).get(key)
        if type(value) is not kind:
            found.append(
                f"it is not built like a record: {key} of its {part} must be {WORDS[kind]}; found {shown(value)}"
            )
    return found


def _commit(record: Record, history: History) -> list[str]:
    commit = record.commit
    if commit is None or not re.fullmatch("[0-9a-f]{40}", commit):
        return ["it names no commit: nobody knows which code ran"]
    if record.dirty:
        return [f"the code had changes on top of commit {commit[:8]}"]
    if history.knows(commit) is False:
        return [f"commit {commit[:8]} is not in this repository's history"]
    return []


def _data(record: Record, known: KnownCopies) -> list[str]:
    name = record.data["name"]
    if record.data["synthetic"]:
        return []  # made in code: the commit says what they are
    parts = {key: value["hash"] for key, value in record.data.items() if isinstance(value, dict)}
    copies = known.get(name, {})
    if any(parts.items() <= fold.items() for folds in copies.values() for fold in folds):
        return []
    return [
        f"its data are no known copy of {name}: results/data.json lists {len(copies)}, and "
        f"`astlib data hash {name} --add WORDS` adds the one that is here"
    ]


def _epochs(record: Record, recipe: Recipe) -> list[str]:
    found = []
    if [entry["epoch"] for entry in record.epochs] != list(range(1, recipe.epochs + 1)):
        found.append(f"it has {len(record.epochs)} epochs, its recipe {recipe.epochs}")
    steps, clips = -(-record.data["train"]["clips"] // recipe.batch), record.data["test"]["clips"]
    usable = clips - sum(record.metrics.get("unusable", {}).get("test", {}).values())
    for entry in record.epochs:
        if odd := [name for name in METRICS if (value := entry[name]) is not None and not math.isfinite(value)]:
            found.append(f"epoch {entry['epoch']} has {', '.join(odd)} that are no finite numbers")
        wanted = recipe.learning_rate(entry["epoch"], entry["epoch"] * steps - 1)
        if not math.isclose(entry["learning_rate"], wanted, rel_tol=1e-9):
            found.append(f"epoch {entry['epoch']} had learning rate {entry['learning_rate']:g}, its recipe {wanted:g}")
        if "right" in entry:
            try:
                right = unpack(entry["right"], clips).sum()
            except InvalidInput as error:
                found.append(f"epoch {entry['epoch']}: {error}")
                continue
            if right != round(usable * (entry["accuracy"] or 0)):
                found.append(f"epoch {entry['epoch']} claims another accuracy than its list of right answers")
    return found


def _metrics(record: Record) -> list[str]:
    rule, problems_found = record.parameters["selection"], []
    if rule != "average" and not 1 <= record.metrics["epoch"] <= len(record.epochs):
        return [f"it reports epoch {record.metrics['epoch']} of {len(record.epochs)}"]
    chosen = record.metrics["average"] if rule == "average" else record.epochs[record.metrics["epoch"] - 1]
    if any(record.metrics[name] != chosen[name] for name in METRICS):
        problems_found.append(f"its metrics are not those of its {record.metrics['rule']}")
    if rule == "last" and record.metrics["epoch"] != len(record.epochs):
        problems_found.append("it reports another epoch than the last")
    if not math.isclose(record.wall_seconds, sum(entry["seconds"] for entry in record.epochs), rel_tol=1e-6):
        problems_found.append("its time is not the sum of its epochs'")
    return problems_found
