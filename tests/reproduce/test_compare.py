"""Obtained against published: what a cell shows, what is paired with what, and what may be said of it."""

import builtins
import copy
from dataclasses import replace

import pytest
import torch
from made_records import FIVE, RECORDS, records_of_folds

from astlib import reproduce, scores
from astlib.errors import MissingPackage
from astlib.ledger import Ledger
from astlib.reproduce import SCALES, TABLES, compare
from astlib.reproduce.cells import select
from astlib.reproduce.compare import Obtained

IMAGENET = SCALES["tiny"]["pretraining/imagenet"]


def test_a_cell_counts_every_fold_once():
    cell = SCALES["tiny"]["esc50/ast-s"]
    found = compare.obtained(cell, Ledger(RECORDS))
    assert [record.parameters["fold"] for record in found.records] == [1, 2, 3, 4, 5]
    precisions = {record.hardware["precision"] for record in found.records}
    assert len(precisions) == 1, "one precision, where one has all folds"
    assert found.mean == pytest.approx(sum(record.epochs[-1]["accuracy"] for record in found.records) / 5)


def test_settings_are_paired_by_fold():
    from scipy.stats import ttest_rel

    first, second = [0.6, 0.7, 0.8, 0.65, 0.7], [0.5, 0.65, 0.75, 0.6, 0.6]
    one, other = (Obtained(IMAGENET, records_of_folds(values), values, 5) for values in (first, second))
    without_rights(one.records + other.records)
    pair = compare.paired(one, other)
    assert pair.difference == pytest.approx(0.07) and pair.folds == 5 and pair.p_clips is None
    assert pair.p_folds == pytest.approx(ttest_rel(first, second).pvalue)
    assert compare.paired(Obtained(IMAGENET, [], [], 5), other) is None


def test_clips_are_paired_where_records_have_them():
    from scipy.stats import binomtest

    a, b = torch.arange(400) < 300, (torch.arange(400) >= 20) & (torch.arange(400) < 310)
    one = Obtained(IMAGENET, records_of_folds([0.75], rights=[scores.pack(a)]), [0.75], 1)
    other = Obtained(IMAGENET, records_of_folds([0.725], rights=[scores.pack(b)]), [0.725], 1)
    assert compare.paired(one, other).p_clips == pytest.approx(binomtest(20, 30).pvalue)


def selected(right: bool, selection: str, epoch: int = 1):
    """A record of two epochs on four clips: at the selected one all right or all wrong, at the other half right."""
    all_clips, half = torch.full((4,), right), torch.tensor([True, True, False, False])
    record = records_of_folds([0.5], selection=selection)[0]
    record.data["test"]["clips"] = 4
    for entry in record.epochs:
        entry["right"] = scores.pack(all_clips if entry["epoch"] == epoch else half)
        entry["accuracy"] = float(right) if entry["epoch"] == epoch else 0.5
    record.metrics |= {"epoch": epoch, "accuracy": float(right)}
    record.metrics |= {
        "last": {"epoch": 2, "accuracy": record.epochs[1]["accuracy"]},
        "best_on_test": {"epoch": epoch, "accuracy": float(right)},
    }
    return record


@pytest.mark.parametrize("selection", ["validation", "paper"])
def test_clips_are_compared_at_the_epoch_whose_number_is_shown(selection):
    """All right against all wrong in the selected first epoch; the last epochs are equal."""
    cell = replace(IMAGENET, recipe=IMAGENET.recipe.replace(epochs=2, selection=selection))
    one, other = (Obtained(cell, [selected(right, selection)], [float(right)], 1) for right in (True, False))
    pair = compare.paired(one, other)
    assert pair.difference == 1.0 and pair.p_clips == pytest.approx(0.125), "2 * 0.5 ** 4"
    assert "clips p = 0.12" in compare.paired_text(pair, "accuracy")


@pytest.mark.parametrize(("rule", "p"), [("best_on_test", 0.125), ("last", 1.0), ("average", None)])
def test_clips_are_compared_at_the_epoch_of_the_cells_rule(rule, p):
    cell = replace(IMAGENET, recipe=IMAGENET.recipe.replace(epochs=2, selection="validation"), rule=rule)
    records = [selected(right, "validation") for right in (True, False)]
    for record in records:
        record.metrics["average"] = {"accuracy": 0.5}
    pair = compare.paired(*(Obtained(cell, [record], [0.5], 1) for record in records))
    assert pair.difference == (1.0 if rule == "best_on_test" else 0.0) and pair.p_clips == p


def test_clips_of_a_longer_run_are_compared_where_the_cell_ends():
    cell = replace(IMAGENET, recipe=IMAGENET.recipe.replace(epochs=1))
    records = [selected(right, "last", epoch=1) for right in (True, False)]
    pair = compare.paired(*(Obtained(cell, [record], [0.5], 1) for record in records))
    assert (pair.difference, pair.p_clips) == (1.0, 0.125)


def test_what_can_be_claimed():
    values = [0.5, 0.65, 0.75, 0.6, 0.6]
    other = Obtained(IMAGENET, without_rights(records_of_folds(values)), values, 5)

    def claim(values, precision=None, against=other):
        records = without_rights(records_of_folds(values))
        for record in records if precision else ():
            record.hardware["precision"] = precision
        found = Obtained(IMAGENET, records, values, 5)
        return compare.claim(compare.Row(IMAGENET, found, None, against and compare.paired(found, against)))

    assert claim([0.6, 0.75, 0.86, 0.7, 0.69]).startswith("+10.0 points over 5 of 5 runs: beyond the spread, p = ")
    assert ": no difference beyond the spread, p = 0." in claim([0.51, 0.64, 0.76, 0.59, 0.61])
    assert claim([0.9, 0.9]).endswith("over 2 of 5 runs: no claim")
    assert claim([0.9] * 5, "float64").endswith("no claim, not in the same precision")
    assert claim([], against=None) == "not run" and "compared with this one" in claim([0.9], against=None)


def without_rights(records):
    for record in records:
        record.epochs[-1].pop("right", None)
    return records


def test_verdicts():
    paper = {"value": 88.7, "spread": 0.7, "unit": "%"}
    cell = SCALES["paper"]["esc50/ast-s"]
    records = records_of_folds([0.887] * 15)

    def verdict(values, records=records, cell=cell, published=paper):
        return compare.verdict(Obtained(cell, records, values, 15), published)

    assert verdict([0.884, 0.889, 0.890]) == "within the spread"
    assert verdict([0.84, 0.84, 0.841]) == "outside the spread"
    assert verdict([0.887], records[:5]) == "5 of 15 runs"
    assert verdict([], []) == "not run" and verdict([0.5], published=None) == "the paper has no such number"
    tiny = SCALES["tiny"]["esc50/ast-s"]
    assert "tiny224, stride 16" in verdict([0.82], cell=tiny)


def test_without_scipy_the_message_says_how_to_install_it(monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **more):
        if name.partition(".")[0] == "scipy":
            raise ModuleNotFoundError("No module named 'scipy'", name="scipy")
        return real(name, *rest, **more)

    first, second = [0.6, 0.7, 0.8], [0.5, 0.65, 0.75]
    one, other = (Obtained(IMAGENET, records_of_folds(values), values, 3) for values in (first, second))
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingPackage, match=r'needs scipy: pip install "astlib\[reproduce\]"'):
        compare.paired(one, other)


def test_a_ledger_that_is_given_is_the_only_one(monkeypatch):
    """Rendering tables reads no records and asks git for nothing."""
    ledger = Ledger(RECORDS)

    def built(*_, **__):
        raise AssertionError("a second ledger was built")

    monkeypatch.setattr(Ledger, "__init__", built)
    for name in dict.fromkeys(cell.table for cell in select()):
        assert len(compare.side_by_side(name, "tiny", ledger).rows) == len(select(name))
    assert compare.rows_of("position", "tiny", ledger)[0].found.records
    assert reproduce.plan(select("position"), ledger).rows and not reproduce.missing(select("position"), ledger)


def test_every_row_of_the_tiny_tables_says_what_it_compares():
    ledger = Ledger(RECORDS)
    for name in dict.fromkeys(cell.table for cell in select()):
        rows = compare.rows_of(name, "tiny", ledger)
        references = [row for row in rows if row.paired is None and row.found.records]
        assert [row.cell.name for row in references] in ([TABLES[name].reference], [rows[0].cell.name]), name


def test_fewer_clips_than_the_data_set_has_are_named():
    record = copy.deepcopy(FIVE[0])
    record.data["train"]["clips"] = 1200
    found = Obtained(SCALES["paper"]["esc50/ast-s"], [record], [0.8], 15)
    assert compare.fewer_clips(found) == ["1,200 of 1,600 training clips"]
    assert compare.verdict(found, {"value": 88.7, "spread": 0.7, "unit": "%"}).startswith("not comparable: 1,200 of")
