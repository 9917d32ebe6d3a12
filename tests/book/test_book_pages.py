"""The built book: what ci/check_book.py and ci/check_browser.py find, and that they find what is broken.

`make test` builds the book before it runs these tests.
"""

import os
import shutil

import pytest
import soundfile
import torch
from playwright.sync_api import sync_playwright

import check_book
import check_browser
from astlib import AST, audio
from astlib.data import Synthetic
from astlib.predict import heard, predict
from common import HTML, STAMPED_VENDOR

built = pytest.mark.skipif(not (HTML / "index.html").exists(), reason="there is no built book; run `make book`")


@built
def test_pages_are_whole():
    """Links, anchors, files, alt texts, sizes; no error, no warning, no raw markup, no path of this machine."""
    assert check_book.check(HTML) == []


@built
def test_pages_in_a_browser():
    """Every page, light and dark, wide and narrow: requests, console, pictures, formulas, sliders, accessibility."""
    missing = None
    if check_browser.find_browser() is None:
        missing = check_browser.HOW_TO_INSTALL
    elif not (HTML / STAMPED_VENDOR).exists():
        missing = "the book was built without npm, so its pages need the internet: install Node.js, then `make book`"
    if missing:
        (pytest.fail if os.environ.get("ASTLIB_REQUIRE_BROWSER") == "1" else pytest.skip)(missing)
    assert check_browser.check(HTML) == []


@built
def test_the_network_in_the_page_answers_as_predict_does(tmp_path):
    """Chapter 17 in Chromium: nothing heavy before the click; short, long and broken files, a recording."""
    if check_browser.find_browser() is None or not (HTML / "_static" / "live" / "about.json").exists():
        pytest.skip("needs Chromium, and a book that was built with npm")
    data, model = Synthetic(split="test"), AST.from_pretrained("ast-tiny-esc50")
    sounds = {"short.wav": data.waveform(7)[:30_000], "long.wav": torch.cat([data.waveform(i) for i in (7, 40, 75)])}
    sounds["quiet.wav"] = 1e-4 * torch.randn(80_000, generator=torch.Generator().manual_seed(0))
    for name, waveform in sounds.items():
        soundfile.write(tmp_path / name, waveform.numpy(), 16_000, subtype="FLOAT")
    (tmp_path / "broken.wav").write_bytes(b"not a sound")
    listening = [f"--use-fake-{kind}-for-media-stream" for kind in ("device", "ui")]
    server, asked, errors = check_browser.serve(HTML), [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=check_browser.find_browser(), args=[*check_browser.ARGUMENTS, *listening]
        )
        page = browser.new_page()
        page.set_default_timeout(120_000)
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(error))
        page.goto(f"http://127.0.0.1:{server.server_address[1]}/notebooks/17_out_into_the_world.html")
        assert not any("onnx" in url or "/live/" in url for url in asked), "loaded before anybody asked"
        page.get_by_role("button", name="Load the network").click()
        listen = page.get_by_role("button", name="Listen for 5 seconds")
        listen.wait_for()
        status, rows = page.locator(".live-status"), page.locator(".live-model tr")
        for name, waveform in sounds.items():
            page.set_input_files(".live-model input", tmp_path / name)
            status.filter(has_text=f"{len(waveform) / 16_000:.1f} s of sound, named").wait_for()
            found = [
                (row.locator("th").inner_text(), float(row.locator("td").first.inner_text().split()[0]) / 100)
                for row in rows.all()
            ]
            expected = predict(model, audio.load(tmp_path / name))
            none = model.decision.is_none(heard(model, audio.load(tmp_path / name)).logits).all().item()
            assert page.get_by_text("Nothing I know. What comes nearest").count() == none
            assert [label for label, _ in found] == [label.replace("_", " ") for label, _ in expected]
            assert [share for _, share in found] == pytest.approx([share for _, share in expected], abs=1e-3)
        page.set_input_files(".live-model input", tmp_path / "broken.wav")
        status.filter(has_text="did not work").wait_for()
        assert not rows.first.is_visible()
        listen.click()
        status.filter(has_text="Recording").wait_for()
        status.filter(has_text="named in").wait_for()
        assert rows.count() == 5
        browser.close()
    server.shutdown()
    assert not errors and all("127.0.0.1" in url for url in asked if not url.startswith(("data:", "blob:")))


GOOD = """<html><body><article><h1 id="top">A page</h1><img src="a.png" alt="a dark picture">
<a href="#top">up</a><div class="cell_output"><pre>498 frames</pre></div></article></body></html>"""
BROKEN = {
    "link to gone.html": '<a href="gone.html">x</a>',
    "no such anchor": '<a href="#gone">x</a>',
    "which is not there": '<img src="gone.png" alt="a picture">',
    "without alt text": '<img src="a.png">',
    "from another host": '<script src="https://example.org/x.js"></script>',
    "an error or a warning": '<div class="cell"><div class="cell_output"><pre>ValueError: no</pre></div></div>',
    "UserWarning": '<div class="cell"><div class="cell_output"><pre>x.py:3: UserWarning: old</pre></div></div>',
    "went to stderr": '<div class="cell"><div class="cell_output"><div class="output stderr">x</div></div></div>',
    "not expanded": "<p>see {eq}`eq-01-mel`</p>",
    "MB of HTML": f"<p>{'x' * check_book.MAX_BYTES}</p>",
    "path of the machine": "<p>in site-packages</p>",
}


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A book of one page, self-contained."""
    monkeypatch.setattr(check_book, "pages", lambda: ["index"])
    (tmp_path / "_static" / "vendor").mkdir(parents=True)
    (tmp_path / check_book.STAMPED_VENDOR).write_text("[]")
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "index.html").write_text(GOOD)
    return tmp_path


def test_a_whole_page_passes(book):
    assert check_book.check(book) == []


@pytest.mark.parametrize("finding", BROKEN)
def test_what_is_broken_is_found(book, finding):
    (book / "index.html").write_text(GOOD.replace("</article>", f"{BROKEN[finding]}</article>"))
    findings = check_book.check(book)
    assert len(findings) == 1 and finding in findings[0]


def test_a_missing_page_is_found(book, monkeypatch):
    monkeypatch.setattr(check_book, "pages", lambda: ["index", "book/intro"])
    assert check_book.check(book) == ["book/intro.html: the page is missing"]


def test_a_missing_file_of_a_style_sheet_is_found(book):
    (book / "_static" / "x.css").write_text("body { background: url(gone.png) }")
    assert "gone.png" in check_book.check(book)[0]


@pytest.mark.skipif(check_browser.find_browser() is None, reason=check_browser.HOW_TO_INSTALL)
def test_the_browser_finds_what_is_broken(tmp_path):
    """A page that is too wide, with a picture and a script that fail, and a formula that is not typeset."""
    (tmp_path / "index.html").write_text(
        """<html lang="en"><body><article class="bd-article"><div style="width: 3000px">wide</div>
        <img src="gone.png" alt="x"><div class="math">\\[x\\]</div><script>undefinedName();</script></article></body>"""
    )
    findings = "\n".join(check_browser.check(tmp_path, ["index.html"]))
    for words in ("overflows", "404", "picture does not load", "undefinedName", "not typeset"):
        assert words in findings


def test_a_browser_that_is_not_there_is_an_error_that_says_so(monkeypatch):
    monkeypatch.setenv("ASTLIB_CHROMIUM", "no-such-browser")
    with pytest.raises(FileNotFoundError, match="no-such-browser"):
        check_browser.find_browser()
    monkeypatch.delenv("ASTLIB_CHROMIUM")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert check_browser.find_browser() is None
