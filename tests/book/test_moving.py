"""What moves in a page: players, sliders, terms and questions, used in Chromium; and that what is broken is found."""

import re

import pytest
import torch

import check_browser
import check_moving
from astlib import LogMel, plots, widgets
from astlib.quiz import ask, quiz, right, wrong
from common import ROOT

pytestmark = pytest.mark.skipif(check_browser.find_browser() is None, reason=check_browser.HOW_TO_INSTALL)

RATE = 16_000
NOISE = 0.1 * torch.randn(2 * RATE, generator=torch.Generator().manual_seed(0))
NOISE[RATE:] *= 1e-9  # silence, at whose end the browser once failed
PLAYER = widgets.player(NOISE, RATE, "noise", mel=LogMel()(NOISE))
BOOK = widgets.flipbook([plots.mel(LogMel()(NOISE) + i) for i in range(3)], ["one", "two", "three"], "Level", start=1)
QUIZ = quiz(
    *(ask(f"q-01-n{i}", "How many?", right("2", "Count them."), wrong("3", "Once too often.")) for i in range(3))
)
TERM = '<p id="term-token">A <a class="reference internal" href="#term-token">token</a> is what?</p>'
TERMS = (
    '<script type="application/json" id="book-terms">{"term-token": "One vector of the <em>sequence</em>."}</script>'
)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    server = check_browser.serve(folder)
    yield folder, f"http://127.0.0.1:{server.server_address[1]}/page.html"
    server.shutdown()


def page_of(*parts: str) -> str:
    static = ROOT / "book" / "_static"
    return (
        '<!doctype html><html lang="en" data-theme="light"><head><title>A page</title>'
        f"<style>{(static / 'book.css').read_text()}</style><script>{(static / 'terms.js').read_text()}</script></head>"
        f'<body><article class="bd-article" style="width: 700px; margin: 60px">{"".join(parts)}</article></body></html>'
    )


def findings(browser, served, source: str, is_phone: bool = False) -> list[str]:
    folder, address = served
    (folder / "page.html").write_text(source)
    context = browser.new_context(viewport={"width": 1000, "height": 900}, has_touch=is_phone)
    page, errors = context.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    found = list(check_moving.check(page, is_phone))
    context.close()
    return found + errors


@pytest.mark.parametrize("is_phone", [False, True])
def test_everything_works_by_mouse_keyboard_and_touch(browser, served, is_phone):
    """The cursor to 2 px, the energy outside a box below -20 dB, and all the rest that check_moving looks at."""
    source = page_of(PLAYER._repr_html_(), BOOK._repr_html_(), QUIZ._repr_html_(), TERM, TERMS)
    assert findings(browser, served, source, is_phone) == []


def test_a_page_that_is_a_file_works_and_one_without_scripts_has_picture_and_sound(browser, served):
    folder, _ = served
    (folder / "page.html").write_text(page_of(PLAYER._repr_html_()))
    assert list(check_moving.check_without_server(browser, (folder / "page.html").as_uri())) == []


BROKEN = {
    "beside the mark": PLAYER._repr_html_().replace("&quot;seconds&quot;: 1.98", "&quot;seconds&quot;: 2.05"),
    "not where it was dragged": PLAYER._repr_html_().replace("&quot;hz&quot;: [20.0", "&quot;hz&quot;: [200.0"),
    "outside its band": PLAYER._repr_html_().replace(".connect(filter)", ""),
    "box plays nothing": PLAYER._repr_html_().replace("if (drag.moved) {", "if (false) {"),
    "Escape does not remove": PLAYER._repr_html_().replace('"Escape"', '"F7"'),
    "the space bar": PLAYER._repr_html_().replace('event.key === " "', 'event.key === "p"'),
    "typed borders": PLAYER._repr_html_().replace('field.addEventListener("change"', 'field.addEventListener("x"'),
    "does not change its picture": BOOK._repr_html_().replace('slider.addEventListener("input"', "void (0"),
    "does not say which picture": BOOK._repr_html_().replace('slider.setAttribute("aria-valuetext"', "void (0"),
    "0 choices are right": QUIZ._repr_html_().replace('data-right="true"', 'data-right="false"'),
    "does not say whether": QUIZ._repr_html_().replace("<strong>Right.</strong>", ""),
}


@pytest.mark.parametrize("words", BROKEN)
def test_what_is_broken_is_found(browser, served, words):
    assert BROKEN[words] not in (PLAYER._repr_html_(), BOOK._repr_html_(), QUIZ._repr_html_()), "nothing was broken"
    assert words in "\n".join(findings(browser, served, page_of(BROKEN[words])))


@pytest.mark.parametrize(
    ("words", "before", "after"),
    [
        ("to the mouse", '"pointerenter"', '"x"'),
        ("to the keyboard", '"focus"', '"x"'),
        ("stays after Escape", '"Escape"', '"x"'),
        ("goes away under the mouse", "clearTimeout(leaving); });", "});"),
    ],
)
def test_a_definition_that_does_not_show_is_found(browser, served, words, before, after):
    source = page_of(TERM, TERMS)
    assert before in source
    assert words in "\n".join(findings(browser, served, source.replace(before, after)))


def test_the_script_may_run_twice(browser, served):
    """As in Jupyter, where each output brings it along."""
    source = page_of(PLAYER._repr_html_(), BOOK._repr_html_(), PLAYER._repr_html_())
    assert len(re.findall("<script", source)) >= 4
    assert findings(browser, served, source) == []
