"""Obtained against published: what a cell shows, what is paired with what, and what may be said of it."""

import builtins
import copy
import math
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
from astlib.table import decimal

IMAGENET = SCALES["tiny"]["pretraining/imagenet"]


def test_a_cell_counts_every_fold_once():
    cell = SCALES["tiny"]["esc50/ast-s"]
    found = compare.obtained(cell, Ledger(RECORDS))
    assert [record.parameters["fold"] for record in found.records] == [1, 2, 3, 4, 5]
    precisions = {record.hardware["precision"] for record in found.records}
    assert len(precisions) == 1, "one precision, where one has all folds"
    assert found.mean == pytest.approx(sum(record.epochs[-1]["accuracy"] for record in found.records) / 5)


def test_settings_are_paired_by_fold():
    """The t of the ordinary paired test, made smaller by sqrt((1/5) / (1/5 + 1/4)) = 2/3."""
    from scipy.stats import t, ttest_rel

    first, second = [0.6, 0.7, 0.8, 0.65, 0.7], [0.5, 0.65, 0.75, 0.6, 0.6]
    one, other = (Obtained(IMAGENET, records_of_folds(values), values, 5) for values in (first, second))
    without_rights(one.records + other.records)
    pair = compare.paired(one, other)
    assert pair.difference == pytest.approx(0.07) and pair.folds == 5 and pair.p_clips is None and pair.complete
    assert pair.gaps == pytest.approx([0.1, 0.05, 0.05, 0.05, 0.1])
    ordinary = ttest_rel(first, second).statistic
    assert pair.p_folds == pytest.approx(2 * t.sf(ordinary * 2 / 3, 4))
    assert pair.half == pytest.approx(t.ppf(0.975, 4) * pair.difference / (ordinary * 2 / 3))
    assert compare.paired(Obtained(IMAGENET, [], [], 5), other) is None


def test_the_ordinary_test_is_the_one_without_overlap_of_training_clips():
    from scipy.stats import ttest_1samp

    gaps = [0.02, -0.01, 0.03, 0.01, 0.02]
    known = ttest_1samp(gaps, 0)
    half, p = compare.t_test(gaps, 0)
    low, high = known.confidence_interval()
    assert p == pytest.approx(known.pvalue) and half == pytest.approx((high - low) / 2)
    assert compare.t_test(gaps, 1 / 4)[0] == pytest.approx(1.5 * half)
    assert compare.t_test([0.1, 0.1], 1 / 4) == (0.0, 0.0) and compare.t_test([0.0, 0.0], 1 / 4) == (0.0, 1.0)


def test_the_interval_covers_the_truth_in_95_of_100_when_training_sets_overlap():
    """Differences with the correlation that the correction assumes, share / (1 + share), and the mean 0."""
    generator = torch.Generator().manual_seed(0)
    share, k, repeats = 1 / 4, 5, 4000
    rho = share / (1 + share)
    common = torch.randn(repeats, 1, generator=generator) * math.sqrt(rho)
    gaps = common + torch.randn(repeats, k, generator=generator) * math.sqrt(1 - rho)
    false = {"ordinary": 0, "corrected": 0}
    for row in gaps.tolist():
        false["ordinary"] += compare.t_test(row, 0)[1] < 0.05
        false["corrected"] += compare.t_test(row, share)[1] < 0.05
    assert false["ordinary"] / repeats > 0.1, "the ordinary test finds more than twice as many as it promises"
    assert false["corrected"] / repeats == pytest.approx(0.05, abs=0.012)


def test_holm_multiplies_the_smallest_by_all_and_never_turns_the_order():
    assert compare.holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})
    assert compare.holm({"a": 0.5, "b": 0.9}) == {"a": 1.0, "b": 1.0} and compare.holm({}) == {}


def test_p_is_adjusted_over_the_complete_comparisons_of_the_chapter():
    ledger = Ledger(RECORDS)
    rows = compare.rows_of_chapter("12_the_ablations", "tiny", ledger)
    p_values = {row.cell.name: row.paired.p_folds for row in rows if row.paired and row.paired.complete}
    assert {row.family for row in rows} == {len(p_values)} and len(p_values) > 10
    assert {row.cell.name: row.p_holm for row in rows if row.p_holm is not None} == compare.holm(p_values)
    overlap = [row for row in rows if row.cell.table == "overlap"]
    assert overlap == compare.rows_of("overlap", "tiny", ledger)
    assert all(row.p_holm > row.paired.p_folds for row in overlap if row.paired)
    words = compare.rows_of("fill-words", "tiny", ledger)
    assert {row.p_holm for row in words} == {None}, "one fold is no comparison of trainings"


@pytest.mark.parametrize(
    ("value", "digits", "sign", "text"),
    [
        (100 * 0.8385, 1, "", "83.9"),
        (100 * 0.1695, 1, "", "17.0"),
        (82.55, 1, "", "82.6"),
        (-1.15, 1, "+", "-1.2"),
        (1.05, 1, "+", "+1.1"),
        (85, 1, "", "85.0"),
        (-0.04, 1, "", "0.0"),
        (0.44856, 3, "", "0.449"),
    ],
)
def test_a_half_is_rounded_away_from_zero_everywhere(value, digits, sign, text):
    assert decimal(value, digits, sign) == text


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
    assert compare.p_text(pair.p_clips) == "0.12" and compare.interval_text(pair, "accuracy") == "+100.0"


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
        pair = against and compare.paired(found, against)
        complete = bool(pair and pair.complete)
        return compare.claim(
            compare.Row(IMAGENET, found, None, pair, pair.p_folds if complete else None, int(complete))
        )

    assert claim([0.6, 0.75, 0.86, 0.7, 0.69]) == (
        "+10.0 (+8.7 to +11.3) points over 5 folds, p < 0.001 after Holm's correction of 1: settled"
    )
    undecided = claim([0.51, 0.64, 0.76, 0.59, 0.61])
    assert undecided.startswith("+0.2 (-1.8 to +2.2) points") and undecided.endswith(": equal within the margin")
    wide = claim([0.53, 0.62, 0.78, 0.57, 0.62])
    assert wide.startswith("+0.4 (") and wide.endswith(": not settled")
    assert claim([0.9, 0.9]).endswith("over 2 of 5 runs: no claim")
    assert claim([0.9] * 5, "float64").endswith("no claim, not in the same precision")
    assert claim([], against=None) == "not run" and claim([0.9], against=None) == "the reference of its table"


def seeds_of_folds(by_seed):
    """Records of a setting, one list of the folds' accuracies for each seed."""
    records = []
    for seed, values in enumerate(by_seed):
        for record in records_of_folds(values):
            record.seed = record.parameters["seed"] = seed
            records.append(record)
    return without_rights(records)


def test_the_differences_of_a_fold_are_averaged_over_its_seeds_before_the_test():
    """Three seeds of five folds are five values, not fifteen: seeds of one fold share all their clips."""
    one = [[0.80, 0.82, 0.84, 0.81, 0.83], [0.82, 0.80, 0.85, 0.83, 0.80], [0.81, 0.83, 0.82, 0.80, 0.84]]
    other = [[0.81, 0.80, 0.80, 0.80, 0.80], [0.79, 0.80, 0.81, 0.80, 0.79], [0.80, 0.79, 0.80, 0.79, 0.80]]
    pair = compare.paired(*(Obtained(IMAGENET, seeds_of_folds(values), [], 15) for values in (one, other)))
    by_fold = [sum(a[i] - b[i] for a, b in zip(one, other, strict=True)) / 3 for i in range(5)]
    assert pair.gaps == pytest.approx(by_fold) and pair.runs == 15 and pair.folds == 5 and pair.every_run
    assert (pair.half, pair.p_folds) == pytest.approx(compare.t_test(by_fold, 1 / 4))
    uneven = compare.paired(
        Obtained(IMAGENET, seeds_of_folds(one), [], 15), Obtained(IMAGENET, seeds_of_folds(other[:1]), [], 15)
    )
    assert uneven.gaps == pytest.approx([a - b for a, b in zip(one[0], other[0], strict=True)])
    assert uneven.runs == 5 and uneven.complete and not uneven.every_run


def test_records_of_other_draws_are_not_paired():
    first, second = ([0.8] * 5, [0.7] * 5)
    one, other = (Obtained(IMAGENET, seeds_of_folds([values]), [], 15) for values in (first, second))
    for record in other.records[:2]:
        record.versions = {**record.versions, "draws": "3"}
    assert compare.paired(one, other).folds == 3 and not compare.paired(one, other).complete


def test_equal_is_said_of_all_runs_and_only_inside_the_margin():
    """Scipy's two one-sided tests, on the corrected standard error."""
    from scipy.stats import t

    values = [0.8, 0.82, 0.84, 0.81, 0.83]
    near = [
        [value + shift for value, shift in zip(values, shifts, strict=True)]
        for shifts in (
            (0.004, -0.006, 0.005, 0.0, -0.002),
            (0.0, 0.003, -0.004, 0.006, 0.001),
            (-0.002, 0.001, 0.003, -0.005, 0.004),
        )
    ]
    one, other = (Obtained(IMAGENET, seeds_of_folds(by_seed), [], 15) for by_seed in (near, [values] * 3))
    pair = compare.paired(one, other)
    error = pair.sd * math.sqrt(1 / 5 + 1 / 4)
    for margin in (0.02, 0.004, 0.001):
        p = max(t.sf((margin + sign * pair.difference) / error, 4) for sign in (-1, 1))
        assert pair.within(margin) == (p < 0.05), margin
    assert pair.within(0.02) and not pair.within(0.001)
    fewer = compare.paired(Obtained(IMAGENET, one.records[:10], [], 15), other)
    assert not fewer.within(0.02), "not before all runs are there"


def test_the_folds_of_several_seeds_are_shown_by_fold_in_small_and_by_seed_as_the_paper_does():
    tiny = SCALES["tiny"]["position/nearest"]
    ledger = Ledger(RECORDS)
    found = compare.obtained(tiny, ledger)
    assert len(found.values) == 5 and found.wanted == 15 and found.sd is not None
    per_seed = replace(tiny, scale="paper")
    assert len(compare.obtained(per_seed, ledger).values) == len(found.records) // 5


def test_a_small_p_that_does_not_survive_holm_is_not_settled():
    """The same differences: alone they are settled, as one of twenty comparisons they are not."""
    values, others = [0.62, 0.66, 0.77, 0.66, 0.68], [0.6, 0.65, 0.75, 0.63, 0.66]
    pair = compare.paired(*(Obtained(IMAGENET, without_rights(records_of_folds(v)), v, 5) for v in (values, others)))
    assert 0.05 / 20 < pair.p_folds < 0.05
    alone = compare.Row(IMAGENET, Obtained(IMAGENET, [], values, 5), None, pair, pair.p_folds, 1)
    among = replace(
        alone, p_holm=compare.holm({"it": pair.p_folds} | {str(i): 0.9 for i in range(19)})["it"], family=20
    )
    assert alone.settled and compare.claim(alone).endswith(": settled")
    assert not among.settled and compare.claim(among).endswith("correction of 20: not settled")


def without_rights(records):
    for record in records:
        record.epochs[-1].pop("right", None)
    return records


def test_verdicts():
    paper = {"value": 98.11, "spread": 0.05, "unit": "%"}
    cell = SCALES["paper"]["speech-commands/ast-s"]
    records = copy.deepcopy(records_of_folds([0.98] * 3))
    for record in records:
        record.data["name"], record.data["train"]["clips"] = "speech-commands", 84_843

    def verdict(values, records=records, cell=cell, published=paper):
        return compare.verdict(Obtained(cell, records, values, 3), published)

    assert verdict([0.979, 0.98, 0.981]) == (
        "-0.1 against the published number; standard deviation published 0.05, ours 0.1"
    )
    assert verdict([0.98], records[:1]) == "1 of 3 runs"
    assert verdict([], []) == "not run" and verdict([0.5], published=None) == "the paper has no such number"
    tiny = SCALES["tiny"]["esc50/ast-s"]
    assert "tiny224, stride 16" in verdict([0.82], cell=tiny)


def test_other_rules_and_other_labels_than_the_papers_are_named():
    esc = SCALES["paper"]["esc50/ast-s"]
    assert compare.differences(esc) == ["the last epoch instead of the best one on the test folds"]
    assert compare.differences(replace(esc, rule="best_on_test")) == []
    labels = "AudioSet's own labels instead of PSLA's enhanced ones"
    paper = {name: compare.differences(cell) for name, cell in SCALES["paper"].items()}
    assert paper["audioset/balanced"] == paper["position/nearest"] == [labels] and paper["audioset/full"] == []


def test_the_columns_are_few_and_what_all_rows_share_stands_above_them():
    ledger = Ledger(RECORDS)
    for name in dict.fromkeys(cell.table for cell in select()):
        table = compare.side_by_side(name, "tiny", ledger)
        assert len(table.header) <= 7 and table.header[0] == "cell" and table.header[-1] == "runs"
        assert max(len(entry) for row in table.rows for entry in row) <= 28
        published = any(row.published for row in compare.rows_of(name, "tiny", ledger))
        assert ("published" in table.header) == published == bool(table.note)
        assert repr(table).startswith(table.note) and table._repr_html_().startswith("<p>" * published)
    position = compare.side_by_side("position", "tiny", ledger)
    assert "esc50, tiny224, 10 epochs" in position.note
    assert [row[3] for row in position.rows][-1] == "reference"


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
    assert reproduce.plan(select("patch"), ledger).rows and not reproduce.missing(select("patch"), ledger)


def test_every_row_of_the_tiny_tables_says_what_it_compares():
    ledger = Ledger(RECORDS)
    for name in dict.fromkeys(cell.table for cell in select()):
        rows = compare.rows_of(name, "tiny", ledger)
        references = [row for row in rows if row.paired is None and row.found.records]
        if not any(row.found.records for row in rows):
            assert {compare.claim(row) for row in rows} == {"not run"}, name
            continue
        assert [row.cell.name for row in references] in ([TABLES[name].reference], [rows[0].cell.name]), name


def test_fewer_clips_than_the_data_set_has_are_named():
    record = copy.deepcopy(FIVE[0])
    record.data["train"]["clips"] = 1200
    found = Obtained(SCALES["paper"]["esc50/ast-s"], [record], [0.8], 15)
    assert compare.fewer_clips(found) == ["1,200 of 1,600 training clips"]
    assert "1,200 of 1,600 training clips" in compare.verdict(found, {"value": 88.7, "spread": 0.7, "unit": "%"})
