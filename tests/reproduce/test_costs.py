"""What a run costs: counted, measured where there is a record, estimated elsewhere."""

import copy
from dataclasses import replace

import pytest
from made_records import FIVE, RECORDS

from astlib import reproduce
from astlib.ledger import Ledger
from astlib.recipes import RECIPES
from astlib.reproduce import costs
from astlib.reproduce.cells import select


def on_a_card(name: str):
    """A record made on a card, at 1,000 clips per second."""
    record = replace(copy.deepcopy(FIVE[0]), throughput=1000.0)
    record.hardware.update(device="cuda", name=name)
    return record


def test_operations_are_the_dossiers_and_the_bounds_are_fractions():
    assert costs.forward_flops(RECIPES["audioset"]) == pytest.approx(2 * 130.5e9, rel=2e-3)
    low, high = costs.bounds()
    assert 0.1 < low < high < 0.6


def test_hours_follow_the_work():
    least, most = costs.hours(RECIPES["audioset"], "A100", [])
    assert 0 < least < most and costs.hours(RECIPES["audioset"], "H100", [])[1] < most
    assert costs.hours(RECIPES["audioset"].replace(epochs=10), "A100", [])[1] == pytest.approx(2 * most)
    with pytest.raises(ValueError, match="estimates exist for T4"):
        costs.hours(RECIPES["audioset"], "V100", [])
    with pytest.raises(ValueError, match="folder .*known: audioset"):
        costs.hours(RECIPES["esc50-tiny"].replace(dataset="folder"), "A100", [])


def test_a_record_on_a_card_replaces_the_estimate():
    record = on_a_card("NVIDIA A100-SXM4-40GB")
    least, most = costs.hours(RECIPES["esc50-tiny"], "A100", [record])
    assert least == most == pytest.approx(10 * (1600 + 400 / 3) / 1000 / 3600)


@pytest.mark.parametrize(
    ("name", "card", "same"),
    [
        ("NVIDIA L40S", "L4", False),
        ("NVIDIA L4", "L4", True),
        ("NVIDIA H100 80GB HBM3", "H100", True),
        ("NVIDIA GH200 480GB", "H200", False),
        ("Tesla T4", "T4", True),
        ("NVIDIA T400", "T4", False),
    ],
)
def test_a_card_is_its_whole_name(name, card, same):
    """A record from an L40S is not a measurement of an L4."""
    recipe, record = RECIPES["esc50-tiny"], on_a_card(name)
    assert (costs.measured(recipe, [record], card) is not None) == same
    assert (costs.hours(recipe, card, [record]) != costs.hours(recipe, card, [])) == same


def test_a_record_says_nothing_about_another_kind_of_network():
    record = on_a_card("NVIDIA A100-SXM4-40GB")
    psla = RECIPES["esc50-psla"]
    assert costs.hours(psla, "A100", [record]) == costs.hours(psla, "A100", [])
    slow, fast = costs.bounds("psla")
    assert 0.02 < slow < fast == costs.bounds()[0], "its own week on four cards is far below what AST reached"


def test_a_speed_of_a_far_smaller_network_is_not_carried_over():
    """A tiny network leaves a large card idle: its speed would make the base network look twenty times as dear."""
    record, base = on_a_card("NVIDIA H200"), RECIPES["audioset"]
    assert costs.forward_flops(base) > costs.LIKE * costs.forward_flops(record.as_recipe())
    assert costs.measured(base, [record], "H200") is None
    assert costs.hours(base, "H200", [record]) == costs.hours(base, "H200", [])


def test_a_run_that_shared_its_machine_measures_nothing():
    first, second = on_a_card("NVIDIA H200"), on_a_card("NVIDIA H200")
    second.id, second.throughput = "another", 70.0
    recipe = first.as_recipe()
    later = replace(second, started="2030-01-01T00:00:00+00:00")
    assert costs.alone(first, [first]) and costs.alone(first, [first, later])
    assert costs.measured(recipe, [first, later], "H200") == costs.measured(recipe, [first], "H200")
    assert not costs.alone(first, [first, second]) and costs.measured(recipe, [first, second], "H200") is None


def test_equal_chips_have_like_prices():
    """The H100 and the H200 have one peak. A table with 5 h for the one and 473 h for the other is wrong."""
    assert costs.CARDS["H100"] == costs.CARDS["H200"]
    for name in ("audioset", "audioset-balanced", "audioset-psla", "audioset-psla-balanced", "speech-commands"):
        (low, high), (least, most) = (costs.hours(RECIPES[name], card, RECORDS) for card in ("H100", "H200"))
        assert low / 2 < least <= most < 2 * high, name


def test_what_no_record_measured_on_a_cpu_is_not_priced():
    assert FIVE[0].hardware["device"] == "cpu" and costs.hours(RECIPES["esc50-tiny"], "cpu", FIVE)
    assert costs.hours(RECIPES["esc50-psla"], "cpu", FIVE) is None
    rows = reproduce.plan(select("cnns"), Ledger(FIVE)).rows
    assert [row[-1] for row in rows if row[1] == "cnns/psla"] == ["not measured"] * 5
    assert rows[-1][-1].endswith(", 15 not measured"), "the CNNs; AST has its hours"


@pytest.mark.parametrize(
    ("hours", "words"),
    [
        ((0.01, 0.05), "under 5 min"),
        ((0.2, 0.7), "12 to 42 min"),
        ((3.0, 11.2), "3 to 11 h"),
        ((40.0, 40.0), "40 h"),
    ],
)
def test_hours_in_words(hours, words):
    assert costs.in_words(*hours) == words
