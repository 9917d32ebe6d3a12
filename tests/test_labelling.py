"""The page for labelling, used in a browser as a person would, and the table that comes out of it."""

import csv
import json

import numpy as np
import pytest
import soundfile
from test_embeddings import Levels

import check_browser
from astlib.embeddings import Embeddings, embed
from astlib.errors import InvalidInput, NotFound
from astlib.labelling import COLUMNS, Label, as_classes, place, read_labels, write_page

needs_browser = pytest.mark.skipif(check_browser.find_browser() is None, reason=check_browser.HOW_TO_INSTALL)


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    """Two recordings of 4 and 2 s, one of them with a name that HTML and CSV have to be careful with."""
    folder, random = tmp_path_factory.mktemp("sounds"), np.random.default_rng(0)
    for name, seconds in (('a, "b" <i>.wav', 4), ("c.wav", 2)):
        soundfile.write(folder / name, random.uniform(-0.3, 0.3, seconds * 16_000), 16_000)
    out = tmp_path_factory.mktemp("features")
    embed(Levels(), folder, out, hop=1.0, progress=False)
    return Embeddings(out)


@pytest.fixture(scope="module")
def page_file(features, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "label.html"
    return write_page(features, [0, 2, 4, 5], ["crow", "dog", "background"], path, progress=False)


def opened(context, page_file, errors):
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(page_file.as_uri())
    return page


@needs_browser
def test_three_windows_are_labelled_by_keys_and_read_back(browser, page_file, features, tmp_path):
    errors, context = [], browser.new_context(viewport={"width": 390, "height": 800}, accept_downloads=True)
    page = opened(context, page_file, errors)
    assert page.locator(".snippet:visible").count() == 1 and "0.0 to 1.0 s" in page.inner_text(".snippet:visible")
    page.keyboard.press("2")
    assert "dog" in page.inner_text("#said") and "1 of 4" in page.inner_text("#said")
    assert "2.0 to 3.0 s" in page.inner_text(".snippet:visible")
    page.keyboard.press("1")
    page.keyboard.press("u")
    assert "2.0 to 3.0 s" in page.inner_text(".snippet:visible"), "undo goes back to it"
    page.keyboard.press("0")
    page.close()
    page = opened(context, page_file, errors)
    assert "2 of 4" in page.inner_text("#said"), "the browser keeps the answers"
    page.keyboard.press("s")
    page.click("button:has-text('crow')")
    assert "All have an answer" in page.inner_text("#said")
    assert page.evaluate("document.activeElement.id") == "download"
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "it fits on a phone"
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    download.value.save_as(tmp_path / "labels.csv")
    context.close()
    assert not errors
    labels = read_labels([tmp_path / "labels.csv"])
    assert [(label.begin_s, label.label) for label in labels] == [(0, "dog"), (2, "background"), (1, "crow")]
    assert place(labels, features) == {0: "dog", 2: "background", 5: "crow"}


@needs_browser
def test_space_plays_and_typing_a_number_does_not_answer(browser, page_file):
    errors, context = [], browser.new_context()
    page = opened(context, page_file, errors)
    audio = page.locator(".snippet:visible audio")
    audio.evaluate("e => { e.loop = true; }")
    page.keyboard.press(" ")
    page.wait_for_function("e => !e.paused", arg=audio.element_handle())
    page.keyboard.press(" ")
    page.wait_for_function("e => e.paused", arg=audio.element_handle())
    page.locator(".snippet:visible summary").click()
    page.locator(".snippet:visible input").first.fill("1")
    page.keyboard.press("2")
    assert not page.evaluate("localStorage.length"), "no answer was given"
    assert page.locator(".snippet:visible .player-cursor").count() == 1
    context.close()
    assert not errors


@needs_browser
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nobody_is_left_out(browser, page_file, theme):
    """axe-core finds nothing serious in light and dark."""
    if not check_browser.AXE.is_file():
        pytest.skip("axe-core is not there: ci/build.py fetches it")
    context = browser.new_context(color_scheme=theme)
    page = opened(context, page_file, [])
    page.keyboard.press("1")
    page.locator("details:has(#rows) > summary").click()
    page.add_script_tag(path=check_browser.AXE)
    assert list(check_browser.check_axe(page)) == []
    context.close()


def test_one_class_is_answered_with_yes_and_no(features, tmp_path):
    path = write_page(features, [0], ["crow"], tmp_path / "page.html", progress=False)
    source = path.read_text()
    about = json.loads(source.split('id="page">')[1].split("</script>")[0])
    assert [(answer["key"], answer["label"]) for answer in about["answers"]] == [
        ("y", "crow"),
        ("n", "background"),
        ("s", "skip"),
    ]
    assert about["windows"][0]["file"] == 'a, "b" <i>.wav' and "<i>.wav" not in source
    assert "{{" not in source and "http" not in source.replace("http-equiv", "")


def test_what_does_not_fit_on_a_page(features, tmp_path):
    with pytest.raises(InvalidInput, match="1 to 9 classes"):
        write_page(features, [0], ["background"], tmp_path / "page.html", progress=False)
    with pytest.raises(InvalidInput, match="found 10"):
        write_page(features, [0], [str(i) for i in range(10)], tmp_path / "page.html", progress=False)
    with pytest.raises(InvalidInput, match="1 to 500 windows on a page; found 0"):
        write_page(features, [], ["crow"], tmp_path / "page.html", progress=False)


def test_tables_are_read_as_written_and_mistakes_are_told(features, tmp_path):
    labels = [Label('a, "b" <i>.wav', 0.0, 1.0, "crow, young"), Label("c.wav", 0.5, 1.2, "background")]
    path = tmp_path / "labels.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *labels])
    assert read_labels([path]) == labels
    placed = place([*labels, Label("c.wav", 0.0, 1.0, " dog ")], features)
    assert placed == {0: "crow, young", 4: "dog"}, "the nearest window; the later label of a window counts"
    classes, names = as_classes(placed, features)
    assert names == ["crow, young", "dog"] and classes.tolist() == [0, -1, -1, -1, 1, -1]
    with pytest.raises(InvalidInput, match="no window of c.wav at 7 to 8 s"):
        place([Label("c.wav", 7, 8, "dog")], features)
    with pytest.raises(NotFound, match="no table"):
        read_labels([tmp_path / "none.csv"])
    for text, words in (
        ("file,label\na,b\n", "begin_s, end_s is missing"),
        ("file,begin_s,end_s,label\na,x,1,b\n", "line 2: begin_s and end_s must be seconds"),
        ("file,begin_s,end_s,label\n", "no row below its header"),
    ):
        (tmp_path / "wrong.csv").write_text(text)
        with pytest.raises(InvalidInput, match=words):
            read_labels([tmp_path / "wrong.csv"])
    with path.open(newline="") as file:
        assert next(csv.reader(file)) == ["file", "begin_s", "end_s", "label"]
