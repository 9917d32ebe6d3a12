"""The API reference: everything public has one entry, names become links, and each chapter ends with its modules."""

import re

import nbformat
import pytest

import api
import library
from common import ROOT, chapters, pages


@pytest.fixture(scope="module")
def texts():
    """Page -> what it includes."""
    return {page: "\n\n".join(map(api.section_of, api.of_page(page))) for page in api.PAGES}


def test_every_page_is_in_the_contents():
    there = [page.removeprefix("book/api/") for page in pages() if page.startswith("book/api/")]
    assert there == list(api.PAGES) == [name for name in there if (ROOT / "book" / "api" / f"{name}.md").exists()]


def test_every_public_name_has_one_entry(texts):
    written = [f"{module}.{name}" for text in texts.values() for name, module in
               re.findall(r"^::::::\{py:\w+\} (\w+).*\n:module: (\S+)$", text, re.MULTILINE)]  # fmt: skip
    expected = [library.address_of(thing) for module in library.modules(library.load())
                for thing in library.members(module)]  # fmt: skip
    assert sorted(written) == sorted(expected)
    assert "astlib.LogMel" in written and "astlib.train.fit" in written


def test_every_module_is_on_one_page(texts):
    headings = re.findall(r"^## (astlib\S*)$", "\n".join(texts.values()), re.MULTILINE)
    assert sorted([*headings, "astlib"]) == sorted(module.path for module in library.modules(library.load()))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("See `LogMel`.", "See {py:obj}`LogMel <astlib.LogMel>`."),
        ("See `Recipe.network`.", "See {py:obj}`Recipe.network <astlib.recipes.Recipe>`."),  # a field: its class
        ("See `astlib.frontend.LogMel`.", "See {py:obj}`astlib.frontend.LogMel <astlib.LogMel>`."),
        ("See `astlib.train`.", "See [`astlib.train`](#module-astlib.train)."),
        ("`mel_filters(128)` of `n_mels`", "`mel_filters(128)` of `n_mels`"),
        ("a*b, $x, [0, 1], <id>", r"a\*b, \$x, \[0, 1\], \<id\>"),
        ("as --out does", "as `--out` does"),
        ("from https://example.org/a_b.", r"from <https://example.org/a_b>."),
        ("Say:\n\n    astlib train *\n", "Say:\n\n    astlib train *\n"),
    ],
)
def test_docstrings_become_markdown(text, expected):
    assert api.markdown(text, library.load()["frontend.hz_to_mel"]) == expected


def test_every_link_leads_to_an_entry(texts):
    entries = {library.address_of(thing) for thing in library.shown().values() if not api.is_field(thing)}
    targets = {name for text in texts.values() for name in re.findall(r"\{py:obj\}`[^`<]*<([^`>]+)>`", text)}
    assert len(targets) > 50 and targets <= entries, targets - entries


def test_a_name_is_a_link_only_where_it_is_certain():
    function = library.load()["frontend.mel_filters"]
    assert library.resolve("n_mels", function) is None  # one of its own parameters
    assert library.resolve("hz_to_mel", function) == "astlib.frontend.hz_to_mel"  # the same module
    assert library.resolve("load", function) is None  # a word of another module
    assert library.resolve("audio.load", function) == "astlib.audio.load"


def test_chapters_end_with_their_modules(tmp_path, monkeypatch):
    monkeypatch.setattr(api, "SOURCE", tmp_path)
    (tmp_path / "notebooks").mkdir()
    first = tmp_path / "notebooks" / chapters()[0].name
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# 01 A title")]), first)
    for _ in range(2):  # the second time in place of the first
        api.link_chapters()
        *_, last = cells = nbformat.read(first, as_version=4).cells
        assert len(cells) == 2 and last.source.startswith("## In the library")
        assert "[`astlib.frontend`](#module-astlib.frontend)" in last.source
