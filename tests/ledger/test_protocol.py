"""What was decided before the runs: it names cells that exist, and the code does what it says."""

import math
import subprocess

import pytest
from made_records import ROOT

from astlib.ledger import Ledger, protocol
from astlib.ledger.provenance import History
from astlib.reproduce import SCALES, Cell, Ensemble, compare

PROTOCOL = protocol()
TINY = SCALES["tiny"]


@pytest.mark.parametrize("setting", PROTOCOL["settings"], ids=lambda setting: setting["what"][:30])
def test_its_cells_have_its_folds_seeds_and_metric(setting):
    for name in setting["cells"]:
        cell = TINY[name]
        assert cell.metric == setting["metric"], name
        for part in cell.members if isinstance(cell, Ensemble) else (cell,):
            assert list(part.folds) == setting["folds"] and list(part.seeds) == setting["seeds"], name


def test_every_cell_with_several_seeds_is_in_it():
    named = [name for setting in PROTOCOL["settings"] for name in setting["cells"]]
    assert len(named) == len(set(named)) and set(named) <= set(TINY)
    several = {name for name, cell in TINY.items() if isinstance(cell, Cell) and len(cell.seeds) > 1}
    assert several <= set(named)


def test_the_epochs_are_the_recipes():
    epochs = {cell.table: cell.recipe.epochs for cell in TINY.values() if isinstance(cell, Cell)}
    assert epochs["overlap"] == epochs["esc50"] == 10 and epochs["from-scratch"] == 50
    assert epochs["mixtures"] == epochs["speech-commands"] == 6 and TINY["teacher/mn04"].recipe.epochs == 6
    long = TINY["from-scratch/ast-1e-3"].recipe
    assert [round(long.learning_rate(epoch) / 1e-3, 4) for epoch in (1, 19, 20, 21)] == [1, 1, 0.85, 0.7225]


def test_the_code_decides_as_it_says():
    assert PROTOCOL["level"] == compare.LEVEL
    assert set(PROTOCOL["margin"]) == {"accuracy", "mAP", "why"}
    assert 0 < PROTOCOL["margin"]["accuracy"] == 0.02 and PROTOCOL["margin"]["mAP"] == 0.02


def test_the_margin_is_the_spread_of_an_experiment_in_which_nothing_was_changed():
    ledger = Ledger()
    seed_0 = [
        {
            record.parameters["fold"]: record
            for record in compare.obtained(TINY[name], ledger).records
            if not record.seed
        }
        for name in ("overlap/0", "esc50/ast-s")
    ]
    gaps = [
        compare.value(seed_0[0][fold], TINY["overlap/0"]) - seed_0[1][fold].metrics["accuracy"] for fold in range(1, 6)
    ]
    middle = sum(gaps) / 5
    assert math.sqrt(sum((gap - middle) ** 2 for gap in gaps) / 4) == pytest.approx(
        PROTOCOL["margin"]["accuracy"], abs=5e-4
    )


def test_no_run_with_another_seed_is_older_than_it():
    """A record of a new seed comes from a commit that has the protocol, but those with a teacher, begun before it."""
    history = History.read()
    if not history.whole or history.commits is None:
        pytest.skip("the history of this checkout is not here")

    def git(*words):
        return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True).stdout

    first = git("log", "--diff-filter=A", "--format=%H", "--", "results/protocol.json").split()[-1]
    later = {first, *git("rev-list", f"{first}..HEAD").split()}
    new = [record for record in Ledger().records if record.seed and record.recipe != "esc50-taught"]
    assert {record.id: record.commit for record in new if record.commit not in later} == {}
