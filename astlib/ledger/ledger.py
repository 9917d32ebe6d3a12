"""The ledger: every record that passes the audit, found by what was run, and those that are refused, with the reasons.

All records are read through it: what the chapters, the status page and `astlib results` show has passed the audit.

Chapter: notebooks/12_the_ablations.ipynb
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from .. import paths
from ..errors import InvalidInput
from ..recipes import Recipe
from ..table import Table, duration
from . import audit
from .record import Epoch, Record


class Ledger:
    """All records that pass the audit, and those that are refused.

    Args:
        records: to check; None reads those of `results/runs` and of the finished runs in `astlib.paths.runs()`.

    Attributes:
        records: those that passed the audit, ordered by file name; of records with one id the last.
        refused: the others: id (or the name of a file that cannot be read as a record) to what is wrong.
    """

    def __init__(self, records: Iterable[Record] | None = None) -> None:
        self.records: list[Record] = []
        self.refused: dict[str, list[str]] = {}
        self._refused: list[Record] = []
        reference = audit.Reference.read()  # once: it asks git
        found = self._read() if records is None else records
        for record in {record.id: record for record in found}.values():
            problems = audit.problems(record, reference=reference)
            if problems:
                self.refused[record.id] = problems
                self._refused.append(record)
            else:
                self.records.append(record)
        self._recipes = {record.id: record.as_recipe() for record in self.records if "members" not in record.parameters}
        self._by_key: dict[tuple[object, ...], list[Record]] = defaultdict(list)
        for record in self.records:
            if record.id in self._recipes:
                self._by_key[_key(self._recipes[record.id])].append(record)

    def _read(self) -> list[Record]:
        records = []
        for file in sorted((paths.results() / "runs").glob("*.json")):
            record = self._load(file, file.stem)
            if record is not None and record.id != file.stem:
                self.refused[file.stem] = [f"the file is named {file.stem}, the record {record.id}"]
            elif record is not None:
                records.append(record)
        runs = [self._load(file, file.parent.name) for file in sorted(paths.runs().glob("*/*/run.json"))]
        return records + [record for record in runs if record is not None]

    def _load(self, file: Path, name: str) -> Record | None:
        try:
            return Record.load(file)
        except (InvalidInput, OSError) as error:
            self.refused[name] = [str(error)]
            return None

    def select(self, **parameters: Any) -> list[Record]:
        """List the records with certain parameters: `select(recipe="esc50-tiny", fold=1)`.

        Args:
            **parameters: fields of the recipe and their values; `recipe` is its name.

        Returns:
            The records, ordered by id.
        """
        wanted = {("name" if key == "recipe" else key): value for key, value in parameters.items()}
        matching = [
            record
            for record in self.records
            if all(record.parameters.get(key) == value for key, value in wanted.items())
        ]
        return sorted(matching, key=lambda record: record.id)

    def serving(self, recipe: Recipe) -> list[Record]:
        """List the records that are a run of a recipe, or that begin with one.

        Without an average of weights, nothing in a run depends on how many epochs it will have. The first epochs of a
        longer run are therefore the shorter run, bit for bit.

        Args:
            recipe: with its fold and seed.

        Returns:
            The records.
        """
        return [r for r in self._by_key.get(_key(recipe), []) if _serves(r, self._recipes[r.id], recipe)]

    def refusals(self, recipe: Recipe) -> dict[str, list[str]]:
        """Find the refused records that claim to be a run of a recipe.

        Args:
            recipe: with its fold and seed.

        Returns:
            Their ids, and what is wrong with each.
        """
        there = {}
        for record in self._refused:
            try:
                claimed = record.as_recipe()
                if _key(claimed) == _key(recipe) and _serves(record, claimed, recipe):
                    there[record.id] = self.refused[record.id]
            except (LookupError, TypeError, ValueError, AttributeError):  # it may hold anything
                continue
        return there

    def find(self, recipe: Recipe, prefer: Mapping[str, int] | None = None, draws: int | None = None) -> Record | None:
        """Find the record that serves a recipe.

        Args:
            recipe: with its fold and seed.
            prefer: precision to its rank, the higher the better, such as the number of sibling runs that have it.
            draws: the only version of the random draws that may serve; None for any.

        Returns:
            Of several records the one in the preferred precision, then the one with the latest draws, then the one with
            the recipe's own number of epochs, then one in float32; None if there is none.
        """

        def order(record: Record) -> tuple[int, int, bool, bool, str]:
            precision = record.hardware["precision"]
            rank = (prefer or {}).get(precision, 0)
            return -rank, -record.draws, len(record.epochs) != recipe.epochs, precision != "float32", record.id

        there = (record for record in self.serving(recipe) if draws in (None, record.draws))
        return min(there, key=order, default=None)

    def ensemble(self, name: str, members: list[str]) -> Record | None:
        """Find the record of an ensemble.

        Args:
            name: its name.
            members: ids of the records that it must consist of, in order.

        Returns:
            The record, or None.
        """
        there = (r for r in self.records if r.recipe == name and r.parameters.get("members") == members)
        return next(there, None)


def _serves(record: Record, own: Recipe, wanted: Recipe) -> bool:
    """Whether a record with the recipe `own` serves `wanted`, if the two have the same `_key`."""
    longer_is_fine = wanted.selection == "last" and wanted.average == (0, 0)
    if not (own.epochs == wanted.epochs or (longer_is_fine and own.epochs > wanted.epochs)):
        return False
    # A recipe with weights "" takes any that fit. Those that were found then count as if it had named them.
    source: str = record.weights["source"]
    return own.weights == wanted.weights or (not own.weights and source.startswith(f"imagenet, {wanted.weights}"))


def _key(recipe: Recipe) -> tuple[object, ...]:
    """What all records that serve one recipe have in common: all fields but the epochs and the weights."""
    return tuple(getattr(recipe, field.name) for field in fields(recipe) if field.name not in ("epochs", "weights"))


def table(records: Iterable[Record]) -> Table:
    """Show records side by side: what was run, the result, hardware, time and commit.

    Args:
        records: any number of them.

    Returns:
        One row per record.
    """
    header = ["run", "data", "model", "start", "stride", "epochs", "result", "hardware", "time", "commit"]
    return Table(header, [_row(record) for record in records])


def _row(record: Record) -> list[object]:
    p, metric = record.parameters, record.parameters["metric"]
    value = record.metrics[metric]
    result = f"accuracy {100 * value:.1f} %" if metric == "accuracy" else f"{metric} {value:.3f}"
    network = p.get("network", "ast")
    is_ast = network == "ast"
    return [
        record.id,
        f"{record.data['name']}, {record.data['classes']} classes, fold {p['fold']}",
        p["model_size"] if is_ast else network,
        p["init"],
        f"{p['fstride']}x{p['tstride']}" if is_ast else "",
        len(record.epochs),
        f"{result} ({record.metrics['rule']})",
        record.hardware["name"],
        duration(record.wall_seconds),
        f"{(record.commit or 'unknown')[:8]}{' (with changes)' if record.dirty else ''}",
    ]


def families(records: Iterable[Record]) -> list[list[Record]]:
    """Group records that differ only in their fold, such as the five folds of one setting.

    Args:
        records: those of runs; an ensemble has no recipe of its own.

    Returns:
        The groups, in the order of their first record.
    """
    groups: dict[str, list[Record]] = {}
    for record in records:
        alike = asdict(record.as_recipe().replace(fold=1))
        key = json.dumps([alike, record.hardware["precision"]], sort_keys=True)
        groups.setdefault(key, []).append(record)
    return list(groups.values())


def best_epoch_over(records: list[Record]) -> tuple[int, list[Epoch]]:
    """Choose an epoch as the original does for ESC-50: the one whose mean over the folds' test parts is best.

    Because the test folds choose the epoch, the result is too good: in the original's log by 0.15 points
    (egs/esc50/get_esc_result.py:26-40).

    Args:
        records: of all folds of one setting.

    Returns:
        The epoch, from 1, and its entry in each record.

    Raises:
        InvalidInput: the runs have different numbers of epochs, or there is none.
    """
    if len({len(record.epochs) for record in records}) != 1:
        raise InvalidInput("the runs of all folds must have the same number of epochs, and there must be at least one")
    metric = records[0].as_recipe().metric
    means = [
        sum(record.epochs[e][metric] or 0.0 for record in records) / len(records) for e in range(len(records[0].epochs))
    ]
    best = max(range(len(means)), key=means.__getitem__)
    return best + 1, [record.epochs[best] for record in records]
