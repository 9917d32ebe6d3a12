"""What the book's own extensions and scripts make of a page: cells, pictures, terms, the sounds of the first page."""

import re
import sys

import nbformat
import pytest
from bs4 import BeautifulSoup
from sphinx.application import Sphinx

import front
from astlib import plots, widgets
from common import ROOT, chapters

sys.path.insert(0, str(ROOT / "book" / "_ext"))

GLOSSARY = """# Glossary

:::{glossary}
token
  One vector of `D` numbers, see {term}`head`; $x < y$.

head
  A part of *attention*.
:::
"""


def notebook() -> nbformat.NotebookNode:
    """A chapter with three folded cells in a row, a slider with a caption, a table, and a term."""
    new = nbformat.v4
    book = widgets.flipbook([plots.figure()[0] for _ in range(3)], "abc", "Page", start=1)
    folded = [new.new_code_cell(f"step = {i}", id=f"f{i}", metadata={"tags": ["hide-cell"]}) for i in range(3)]
    slider = new.new_code_cell(
        "draw()",
        id="slider",
        metadata={"tags": ["hide-input"], "mystnb": {"figure": {"name": "fig-01-x", "caption": "Three pages."}}},
        outputs=[new.new_output("execute_result", data={"text/html": book._repr_html_(), "text/plain": "<slider>"})],
    )
    told = new.new_code_cell(
        "tell()",
        id="told",
        metadata={"tags": ["hide-input"]},
        outputs=[new.new_output("execute_result", data={"text/html": "<p>told</p>", "text/plain": "<told>"})],
    )
    alone = new.new_code_cell("step = 3", id="f3", metadata={"tags": ["hide-cell"]})
    text = new.new_markdown_cell(
        "# 01 A page\n\nA {term}`token`, in {numref}`fig-01-x`.\n\n**Runs on** any CPU", id="t"
    )
    return new.new_notebook(cells=[text, *folded, slider, new.new_markdown_cell("## On", id="on"), alone, told])


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page as the book's extensions make it, and the folder of the built book."""
    folder = tmp_path_factory.mktemp("book")
    (folder / "book").mkdir()
    (folder / "book" / "glossary.md").write_text(GLOSSARY)
    (folder / "notebooks").mkdir()
    nbformat.write(notebook(), folder / "notebooks" / "01_x.ipynb")
    (folder / "index.md").write_text("# Index\n\n```{toctree}\nbook/glossary\nnotebooks/01_x\n```\n")
    app = Sphinx(
        str(folder),
        None,
        str(folder / "html"),
        str(folder / "trees"),
        "html",
        {
            "extensions": ["myst_nb", "cells", "terms"],
            "nb_execution_mode": "off",
            "numfig": True,
            "myst_enable_extensions": ["colon_fence", "dollarmath"],
        },
        status=None,
    )
    app.build()
    html = (folder / "html" / "notebooks" / "01_x.html").read_text()
    return BeautifulSoup(html, "html.parser"), folder / "html"


def test_folded_cells_in_a_row_are_one_line(page):
    titles = [line.get_text() for line in page[0].select("details.hide > summary > p.collapsed")]
    assert [title.split(":")[0] for title in titles] == ["Setup", "How this is drawn", "The code", "The code"]
    assert [code.get_text().strip() for code in page[0].select("details.hide")[0].select("pre")] == [
        f"step = {i}" for i in range(3)
    ]


def test_a_picture_stands_above_the_line_that_opens_its_code(page):
    cell = page[0].select_one("figure").find_parent(class_="cell")
    assert [child.name for child in cell.find_all(recursive=False)] == ["div", "details"]


def test_a_slider_is_a_figure_with_number_and_caption_and_its_pages_are_files(page):
    soup, folder = page
    figure = soup.select_one("figure#fig-01-x")
    assert "Fig. 1" in figure.get_text() and "Three pages." in figure.get_text()
    images = figure.select(".flipbook img")
    assert [image.has_attr("loading") for image in images] == [True, False, True], "only hidden pages may come late"
    for image in images:
        assert (folder / "notebooks" / image["src"]).resolve().read_bytes().startswith(b"\x89PNG")
    assert not soup.select("script.astlib-script"), "the page loads it once"


def test_a_page_brings_the_definitions_of_its_terms(page):
    data = page[0].select_one("script#book-terms").string
    assert "term-token" in data and "term-head" not in data
    assert r"One vector of <code>D<\/code> numbers, see head; <span class=\"math\">\\(x &lt; y\\)<\/span>." in data


def test_the_first_page_has_three_sounds_with_the_answer_of_the_network():
    soup = BeautifulSoup(front.page(), "html.parser")
    sounds = soup.select(".front-sound")
    assert len(sounds) == len(soup.select("input[type=radio]")) == len(front.SOUNDS) == 3
    right = []
    for sound, made in zip(sounds, front.SOUNDS, strict=True):
        assert sound.select_one("audio")["src"].startswith("data:audio/mpeg") and sound.select_one("img")["alt"]
        rows = [row.get_text(" ").split(" %")[0].rsplit(" ", 1) for row in sound.select("tr")]
        shares = [float(share) for _, share in rows]
        assert len(rows) == front.TOP and shares == sorted(shares, reverse=True)
        best = rows[0][0].removesuffix(" ✓").strip().replace(" ", "_")
        right.append(best == made.label and shares[0] > 50)
        assert ("That is right." in sound.get_text()) == (best == made.label)
        assert rows[0][0].removesuffix(" ✓").strip() in sound.select_one("strong").get_text()
    assert sum(right) == 2, "two that it names with more than half, and one that fools it"


def test_the_first_page_leads_to_the_live_network():
    chapter, anchor = re.fullmatch(r"\.\./notebooks/(.+)\.html#(.+)", front.live()).groups()
    page = next(path for path in chapters() if path.stem == chapter)
    assert anchor == "in-your-browser" and "## In your browser" in page.read_text(encoding="utf-8")
