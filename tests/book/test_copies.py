"""The copies for Colab: made from the chapters, nothing raw left in them, hints and solutions closed."""

import re

import nbformat
import pytest

import copies
from common import ROOT, chapters

CHAPTERS = chapters()


@pytest.fixture(params=CHAPTERS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def copy(path):
    return nbformat.reads(copies.copy(path), as_version=4)


def markdown(notebook) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def test_the_stored_copy_is_up_to_date(path):
    stored = copies.FOLDER / path.name
    assert stored.exists() and stored.read_text(encoding="utf-8") == copies.copy(path), "run `make outputs`"


def test_there_is_no_other_copy():
    assert {path.name for path in copies.FOLDER.glob("*.ipynb")} == {path.name for path in CHAPTERS}


def test_is_a_valid_notebook_without_outputs(copy):
    nbformat.validate(copy)
    assert not any(cell.get("outputs") for cell in copy.cells)


def test_no_raw_role_or_directive_is_left(copy):
    text = re.sub(r"^```.*?^```", "", markdown(copy), flags=re.MULTILINE | re.DOTALL)
    assert not re.findall(r"\{[\w:-]+\}`", text)
    assert not re.findall(r"^:::.*$", text, re.MULTILINE)
    assert not re.findall(r"^:(?:class|label|name):.*$", text, re.MULTILINE)
    assert not re.findall(r"^\$\$ \(.*$", text, re.MULTILINE)


def test_links_leave_the_notebook_whole(copy):
    for target in re.findall(r"\]\(([^)\s]+)\)", markdown(copy)):
        assert target.startswith(("https://", "http://", "#")), target


def test_hints_and_solutions_are_closed(path, copy):
    source = markdown(nbformat.read(path, as_version=4))
    text = markdown(copy)
    solutions = len(re.findall(r"^:::+\{solution(?:-start)?\}", source, re.MULTILINE))
    assert text.count("<summary>Solution of exercise") == solutions > 0
    assert text.count("<details>") == text.count("</details>") >= solutions
    assert "<details open" not in text


def test_code_of_solutions_is_folded_and_the_cell_for_the_reader_is_not(copy):
    folded = [cell for cell in copy.cells if cell.metadata.get("cellView") == "form"]
    assert all(cell.source.startswith("# @title ") for cell in folded)
    assert all(cell.metadata.jupyter.source_hidden for cell in folded)
    labels = {label for cell in copy.cells for label in re.findall(r'check\("(ex-[\w-]+)"', cell.source)}
    for label in labels:
        cells = [cell for cell in copy.cells if f'check("{label}"' in cell.source]
        assert cells[0] not in folded, f"{label}: the reader's cell"
        assert cells[-1].source.startswith("# @title Solution"), f"{label}: the solution"


def test_the_code_is_the_chapters_own(path, copy):
    original = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    ours = [re.sub(r"^# @title .*\n", "", cell.source) for cell in copy.cells if cell.cell_type == "code"]
    assert ours == original


def test_captions_stand_below_their_figures(path, copy):
    cells = nbformat.read(path, as_version=4).cells
    captions = [c for c in cells if "caption" in c.metadata.get("mystnb", {}).get("figure", {})]
    assert len(re.findall(rf"^\*Figure {int(path.name[:2])}\.\d+: ", markdown(copy), re.MULTILINE)) == len(captions)


def test_the_badge_opens_the_copy(path):
    first = nbformat.read(path, as_version=4).cells[0].source
    assert f"/notebooks/colab/{path.name})" in first
    assert (ROOT / "notebooks" / "colab" / path.name).exists()


def test_a_box_in_a_box_an_equation_and_a_citation():
    made = copies.Copy(CHAPTERS[0], {"ex-01-a": "1.1", "eq-01-a": "1.2"})
    text = made.text(
        ":::{exercise} One\n:label: ex-01-a\n\n*Easy, 1 minutes.*\n\nSee {eq}`eq-01-a`.\n:::\n\n"
        "::::{solution} ex-01-a\n:class: dropdown\n\nAs {cite:t}`gong2021ast` say:\n\n"
        ":::{admonition} Trap: a\n:class: warning trap\nb {term}`tokens <token>`\n:::\n::::\n\n"
        "$$\na = b\n$$ (eq-01-a)\n"
    )
    assert "### Exercise 1.1: One" in text and "See (1.2)." in text
    assert re.search(r"As Gong et al\. \(2021\w?\) say:", text)
    assert "> **Trap: a**\n>\n> b tokens" in text and text.count("<details>") == 1
    assert "a = b \\tag{1.2}" in text
