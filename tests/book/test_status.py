"""The tables of the status page."""

import csv
import io
import json
import re
import subprocess
import sys

import claims
import pytest
from made_records import FIVE, RECORDS, ROOT, tampered

import status
from astlib.ledger import Ledger, protocol
from astlib.recipes import RECIPES
from astlib.reproduce import SCALES, TABLES, compare


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
    assert table.count("<tr>") == 1 + 8, "both halves of table 5"
    served = status.served(ledger)
    wanted = [
        record.id for record in ledger.records if any(c.startswith("overlap/") for c in served.get(record.id, []))
    ]
    assert len(wanted) >= 20 and all(f"/results/runs/{name}.json" in table for name in wanted)


def test_tables_are_narrow_and_what_was_not_run_is_folded(page):
    for head in re.findall(r"<thead>.*?</thead>", page):
        assert head.count("<th ") <= 7, head
    assert not re.search(r"<details>(?:(?!</details>).)*^#", page, re.DOTALL | re.MULTILINE), "no heading in a fold"
    assert "not&nbsp;run" in page and page.index("## The tables") < page.index("<table")


def test_published_base_and_tiny_stand_in_one_line(ledger):
    table = status.one_table("position", ledger)
    heads = re.findall(r"<th scope='col'>(.*?)</th>", table)
    assert heads[1:4] == ["published", "base network", "tiny network"]
    rows = [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", table)[1:]]
    assert [row[1] for row in rows] == ["0.305", "0.346", "0.347"] and {row[2] for row in rows} == {"not&nbsp;run"}
    for row, line in zip(rows, compare.rows_of("position", "tiny", ledger), strict=True):
        assert row[3] == line.found.text.replace(" ", "&nbsp;") and line.cell.what in row[0]
    overlap = status.lines_of("overlap", ledger)
    assert [(paper.cell.name, tiny and tiny.cell.name) for paper, tiny in overlap][:2] == [
        ("overlap/0-balanced", "overlap/0"),
        ("overlap/0-full", None),
    ]
    every = {row.cell.name for name in TABLES for line in status.lines_of(name, ledger) for row in line if row}
    assert every == {*SCALES["paper"], *SCALES["tiny"]}, "no cell is lost where the scales are joined"


def test_a_drawn_interval_lies_where_its_numbers_are(ledger):
    row = next(row for row in compare.rows_of("position", "tiny", ledger) if row.cell.name == "position/reinit")
    low, high, dot = re.search(r"M([\d.]+) 7H([\d.]+).*?cx=\"([\d.]+)\"", status.drawn_interval(row, 0.25)).groups()
    drawn = [0.25 * (float(x) - 60) / 56 for x in (low, dot, high)]
    pair = row.paired
    wanted = [pair.difference - pair.half, pair.difference, pair.difference + pair.half]
    assert drawn == pytest.approx(wanted, abs=0.0003)
    assert 'fill="currentColor"' in status.drawn_interval(row, 0.25).partition("circle")[2], "settled: filled"
    curves = status.drawn_curves(row)
    last = float(re.findall(r",([\d.]+)\"", curves)[-1])
    assert (42 - last) / 40 == pytest.approx(row.found.mean, abs=0.002) and curves.count("<polyline") == 6


def test_what_can_be_downloaded_says_what_the_page_says(ledger):
    lines = list(csv.DictReader(io.StringIO(status.as_csv(ledger))))
    cells = {cell["cell"]: cell for cell in json.loads(status.as_json(ledger))["cells"] if cell["scale"] == "tiny"}
    assert {line["record"] for line in lines} == set(status.served(ledger))
    for row in compare.rows_of("overlap", "tiny", ledger):
        values = [float(line["value"]) for line in lines if line["cell"] == row.cell.name]
        assert len(values) == cells[row.cell.name]["runs"] and sum(values) / len(values) == pytest.approx(
            row.found.mean
        )
        if row.paired:
            assert cells[row.cell.name]["comparison"]["p_holm"] == row.p_holm


def test_how_to_check_us_recomputes_a_table_without_astlib(tmp_path):
    """The page's own lines, run as a reader would run them, give what the table says."""
    code = re.search(r"```python\n(.*?)```", (ROOT / "book" / "check_us.md").read_text(), re.DOTALL)[1]
    assert "astlib" not in code
    (tmp_path / "check.py").write_text(code)
    done = subprocess.run([sys.executable, tmp_path / "check.py"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    rows = [row for row in compare.rows_of("overlap", "tiny") if row.paired]
    for row, line in zip(rows, said, strict=True):
        mean, half = 100 * row.paired.difference, 100 * row.paired.half
        numbers = [float(number) for number in re.findall(r"[-+]?\d+\.\d+", line)]
        assert numbers == pytest.approx([mean, mean - half, mean + half, row.paired.p_folds], abs=0.0051), line


def test_the_report_follows_from_the_ledger(ledger):
    """Without runs no claim about runs is settled; with the ledger the settled differences are."""
    text, empty = claims.as_markdown(ledger), claims.as_markdown(Ledger([]))
    for claim in claims.CLAIMS:
        assert f"**{claim.words}**" in text and f"**{claim.words}**" in empty
    reproduced = text.partition("### Reproduced in small")[2].partition("###")[0]
    assert "`pretraining/none`" in reproduced and "settled" in reproduced
    assert "None." in empty.partition("### Reproduced in small")[2].partition("###")[0]
    assert "fewer parameters" in text.partition("### Refuted")[2].partition("### Not tested")[0]
    assert "0.459" in text.partition("### Not tested")[2]


def test_the_page_of_the_protocol_has_every_rule(ledger):
    text, file = status.protocol_text(ledger), protocol()
    assert all(file[key] in text for key in ("known_before", "read_out", "comparison", "test", "equivalence"))
    assert all(f"`{name}`" in text for setting in file["settings"] for name in setting["cells"])
    assert "Every run is there for 0 of 6 cells." in text


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
