"""The tables of the status page."""

import re
import subprocess

import pytest
from made_records import FIVE, RECORDS, tampered

import status
from astlib.ledger import Ledger
from astlib.recipes import RECIPES
from astlib.reproduce import SCALES


@pytest.fixture(scope="module")
def ledger():
    return Ledger(RECORDS)


@pytest.fixture(scope="module")
def page(ledger):
    return "\n".join(status.sections(ledger))


def test_the_tables_come_from_the_ledger_that_is_given(monkeypatch):
    ledger = Ledger([*RECORDS, tampered(FIVE[0], "changes")])

    def not_again(*_, **__):
        raise AssertionError("the records were read again, or git was asked again")

    monkeypatch.setattr(Ledger, "__init__", not_again)
    monkeypatch.setattr(subprocess, "run", not_again)
    page = "\n".join(status.sections(ledger))
    every_run = page.partition("## Every run")[2].partition("## Refused")
    assert all(record.id in every_run[0] for record in ledger.records)
    assert FIVE[0].id not in every_run[0] and "the code had changes on top of" in every_run[2]
    assert page.count('role="region" tabindex="0" aria-label=') == page.count("<table")


def test_the_first_line_says_what_was_run_and_what_was_not(page):
    first = page.splitlines()[0]
    assert re.fullmatch(
        rf"\*\*At the paper's scale: none of {len(SCALES['paper'])} cells has been run\. At the tiny scale: \d+ of "
        rf"{len(SCALES['tiny'])} cells, \d+ different settings, one seed\.\*\*",
        first,
    )


def test_the_first_line_counts_the_ledger(ledger):
    """Five runs of one recipe are one setting, whatever number of cells they serve; without a run there is none."""
    cells = len(SCALES["tiny"])
    five = Ledger([record for record in RECORDS if record.recipe == "esc50-tiny" and record.epochs[9:]])
    served = set().union(*status.served(five).values())
    assert "teacher/none" in served and len(served) >= 2
    counted = f"At the tiny scale: {len(served)} of {cells} cells, 1 different settings, one seed."
    assert counted in status.headline(five)
    family = set().union(*(r for r in status.served(ledger).values() if "overlap/6" in r))
    assert {"position/bilinear", "channels/sum", "learning-rate/3e-4"} <= family
    only = [record for record in RECORDS if "overlap/6" in status.served(ledger).get(record.id, [])]
    assert len(only) == 5 and f"{len(family)} of {cells} cells, 1 different" in status.headline(Ledger(only))


def test_cells_lead_to_the_records_of_their_runs(page, ledger):
    table = page.partition("### Overlap of the patches")[2].partition("###")[0]
    served = status.served(ledger)
    wanted = [
        record.id for record in ledger.records if any(c.startswith("overlap/") for c in served.get(record.id, []))
    ]
    assert len(wanted) == 20 and all(f"/results/runs/{name}.json" in table for name in wanted)


def test_tables_are_narrow_and_what_was_not_run_is_folded(page):
    for head in re.findall(r"<thead>.*?</thead>", page):
        assert head.count("<th ") <= 7, head
    assert not re.search(r"<details>(?:(?!</details>).)*^#", page, re.DOTALL | re.MULTILINE), "no heading in a fold"
    paper = page.partition("## At the paper's scale")[2].partition("## What a chapter takes")[0]
    outside = re.sub(r"<details>.*?</details>", "", paper, flags=re.DOTALL)
    assert "not run" in paper and "<table" not in outside


def test_every_run_names_its_cell_and_its_difference(ledger):
    rows = re.findall(r"<tr>(.*?)</tr>", status.every_run(ledger, status.served(ledger)))[1:]
    assert len(rows) == len(ledger.records)
    averaged = next(row for row in rows if "channels/mean" in row)
    assert "channels mean" in averaged
    idle = [row for row in rows if "no cell" in row]
    assert len(idle) == len(ledger.records) - len(status.served(ledger)) and rows[-len(idle) :] == idle
    trials = [row for row in idle if "epochs 2" in row]
    assert len(trials) > len(idle) / 2, "most of them are trials of two epochs, and their rows say so"


def test_the_reference_differs_in_nothing(ledger):
    names = status.served(ledger)
    for record in ledger.records:
        if "overlap/6" in names.get(record.id, []):
            assert status.different(record) == "nothing"
        if "learning-rate/1e-4" in names.get(record.id, []):
            assert status.different(record) == "lr 0.0001" != f"lr {RECIPES['esc50-ablation'].lr}"
