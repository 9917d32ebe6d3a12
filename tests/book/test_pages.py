"""Pages that are made from the notebooks and for the checks: the list of traps, the chapters run twice."""

import json

import nbformat
import pytest

import copies
import status
import traps
import twice
from astlib.ledger import Ledger
from common import chapters

TEXT = """## A clock

Words.

:::{admonition} Trap: it runs too fast
:class: warning trap
Nobody looks. A second sentence that makes the beginning long enough to be read by itself, at last. Not this one.
:::

### Another

:::{admonition} No trap
:class: note
This is a note.
:::

:::{admonition} it stands still
:class: warning trap
See [chapter 02](02_spectrogram_to_tokens.ipynb): a sentence of more than eighty characters needs no other beside it.
:::
"""


def test_boxes_are_found_with_their_section_and_beginning(tmp_path):
    cells = [nbformat.v4.new_markdown_cell(TEXT), nbformat.v4.new_code_cell("# Trap: not one")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "01_toy.ipynb")
    first, second = traps.boxes(tmp_path / "01_toy.ipynb")
    assert (first[0], first[2]) == ("it runs too fast", "A clock")
    assert first[1].startswith("Nobody looks. A second") and first[1].endswith("at last.")
    assert (second[0], second[2]) == ("it stands still", "Another") and second[1].endswith("beside it.")


@pytest.mark.parametrize("chapter", chapters(), ids=lambda path: path.stem[:2])
def test_every_box_of_a_chapter_is_on_the_page(chapter):
    cells = nbformat.read(chapter, as_version=4).cells
    there = sum(cell.source.count("\n:class: warning trap\n") for cell in cells if cell.cell_type == "markdown")
    assert len(list(traps.boxes(chapter))) == there >= 1


def test_links_of_the_list_start_from_its_own_page():
    page = "\n".join(traps.lines())
    assert "](../notebooks/" in page and "](0" not in page
    assert "#how-good-is-the-teachers-ear" in page, "an apostrophe becomes a curly one, which anchors leave out"
    assert page.count("\n- **") == sum(len(list(traps.boxes(chapter))) for chapter in chapters())


def test_a_doubled_chapter_has_every_cell_twice_and_ids_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(twice, "TWICE", tmp_path / "twice")
    (file,) = twice.write(["01"])
    once, doubled = (nbformat.read(path, as_version=4) for path in (chapters()[0], file))
    nbformat.validate(doubled)
    assert [cell.source for cell in doubled.cells] == 2 * [cell.source for cell in once.cells]
    assert [cell.get("outputs") for cell in doubled.cells] == 2 * [cell.get("outputs") for cell in once.cells]
    assert len({cell.id for cell in doubled.cells}) == len(doubled.cells)


def test_what_a_chapter_takes_is_measured_or_recorded(tmp_path, monkeypatch):
    for name, content in ("TIMES", {"09_esc50": 65.2, "17_new": 3.0}), ("MEMORY", {"09_esc50": 1.64e9}):
        (tmp_path / name).write_text(json.dumps(content))
        monkeypatch.setattr(status, name, tmp_path / name)
    rows = status.takes(Ledger()).rows
    assert [row[3:] for row in rows if row[1] == "the page, as it is here"] == [["65 s", "1.6 GB"]]
    recorded = [row for row in rows if row[1].startswith("one run of esc50-ablation, stride 10, 10 epochs")]
    assert {row[0] for row in recorded} == {"12_the_ablations", "13_cnns_beside_it", "18_a_larger_ear"}
    assert all(row[2] == "NVIDIA H200" for row in recorded)


def test_no_two_publications_are_cited_by_the_same_name_and_year():
    cited = list(copies.bibliography().values())
    assert sorted(set(cited)) == sorted(cited), "put a letter behind the year: 2021a, 2021b"
