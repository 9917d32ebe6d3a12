"""Use what moves in a built page as a reader would: players with a spectrogram, sliders, terms, questions.

ci/check_browser.py calls `check` for every page. What is found is yielded as text.
"""

import base64
import contextlib
import math

import numpy as np
from playwright.sync_api import TimeoutError

from astlib.plots import mel_bin_of

PIXELS, SECONDS, DECIBEL = 2, 0.05, -20.0  # the cursor's error, the error of a place in time, energy outside a box
BESIDE = 50  # Hz that a box's filter may take from pass to stop band
STEPS = (0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 2.5, 5.0, 10.0)  # seconds between two marks of a time axis

# The columns, in pixels of the window, of the marks below a player's time axis, found in the picture itself.
MARKS = """box => {
  const image = box.querySelector('img'), [x, y, wide, high] = JSON.parse(box.dataset.axes).box;
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  const pen = canvas.getContext('2d');
  pen.drawImage(image, 0, 0);
  const row = pen.getImageData(0, Math.round((y + high) * canvas.height) + 3, canvas.width, 1).data;
  const dark = [...Array(canvas.width).keys()].filter(i => row[4 * i] + row[4 * i + 1] + row[4 * i + 2] < 450);
  const starts = dark.filter(i => !dark.includes(i - 1)), ends = dark.filter(i => !dark.includes(i + 1));
  const area = image.getBoundingClientRect(), scale = area.width / canvas.width;
  return starts.map((start, i) => area.left + scale * ((start + ends[i]) / 2 + 0.5))
    .filter(p => p > area.left + x * area.width - 3 && p < area.left + (x + wide) * area.width + 3);
}"""
SEEK = """async (box, time) => {
  const audio = box.querySelector('audio');
  const done = new Promise(resolve => audio.addEventListener('seeked', resolve, {once: true}));
  audio.currentTime = time;
  await done;
  const cursor = box.querySelector('.player-cursor').getBoundingClientRect();
  return (cursor.left + cursor.right) / 2;
}"""
# What a player plays, and the whole sound, as 32-bit numbers in base64.
HEARD = """async box => {
  const rate = 2 * JSON.parse(box.dataset.axes).hz[1], parts = [];
  for (const address of [box.querySelector('audio').src, box.dataset.whole]) {
    const bytes = await (await fetch(address)).arrayBuffer();
    const sound = (await new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes)).getChannelData(0);
    let text = '';
    new Uint8Array(sound.buffer).forEach(byte => { text += String.fromCharCode(byte); });
    parts.push(btoa(text));
  }
  return parts;
}"""
AUDIO = """box => { const audio = box.querySelector('audio');
  return {time: audio.currentTime, paused: audio.paused, part: audio.src.startsWith('blob:'),
          said: box.querySelector('.player-surface').ariaValueText}; }"""


def wait(page, condition: str, argument, seconds: float = 10) -> None:
    """Wait until the page has reacted; whether it did is checked afterwards."""
    with contextlib.suppress(TimeoutError):
        page.wait_for_function(condition, arg=argument, timeout=1000 * seconds)


def check(page, is_phone: bool):
    """Use everything that moves; on a phone, what differs there."""
    yield from check_flipbooks(page)
    yield from check_terms(page, is_phone)
    yield from check_quiz(page)
    for number, player in enumerate(page.query_selector_all(".bd-article .player[data-axes]")):
        if player.is_visible():
            yield from check_cursor(page, player)
            if number == 0 and not is_phone:
                yield from check_box(page, player)
                yield from check_keys(page, player)


def check_flipbooks(page):
    """Move each slider one step by keyboard: another picture is seen, it is loaded, and its name is said."""
    for book in page.query_selector_all(".bd-article .flipbook"):
        slider = book.query_selector("input")
        name = slider.evaluate("e => e.labels[0].innerText.split('\\n')[0].trim()")
        before = book.evaluate("e => e.querySelector('img:not([hidden])').src")
        at_end = slider.evaluate("e => e.value === e.max")
        slider.focus()
        page.keyboard.press("ArrowLeft" if at_end else "ArrowRight")
        wait(page, "e => e.querySelector('img:not([hidden])').naturalWidth > 0", book)
        pages = book.query_selector_all("img:not([hidden])")
        said = slider.get_attribute("aria-valuetext")
        if len(pages) != 1 or pages[0].evaluate("e => e.src") == before:
            yield f"slider {name!r} does not change its picture"
        elif not pages[0].evaluate("e => e.naturalWidth && e.offsetParent"):
            yield f"slider {name!r} shows a picture that does not load"
        elif said != book.query_selector("output").inner_text() or said not in pages[0].get_attribute("alt"):
            yield f"slider {name!r} does not say which picture it shows: {said!r}"


def check_terms(page, is_phone: bool):
    """The definition of the first term: by mouse, by keyboard, by touch, and away again."""
    term = page.query_selector(".bd-article a.term")
    tip = page.query_selector("#term-tip")
    if term is None:
        return
    term.scroll_into_view_if_needed()
    name = term.inner_text()
    if is_phone:
        address = page.url
        term.tap()
        if not tip.is_visible() or page.url != address:
            yield f"the term {name!r} does not show its definition when touched"
        page.touchscreen.tap(2, 2)
        return
    term.hover()
    if not tip.is_visible() or len(tip.inner_text()) < 10:
        yield f"the term {name!r} does not show its definition to the mouse"
        return
    area = tip.bounding_box()
    if area["x"] < 0 or area["x"] + area["width"] > page.viewport_size["width"]:
        yield f"the definition of {name!r} is wider than the window"
    tip.hover()
    page.wait_for_timeout(500)
    if not tip.is_visible():
        yield f"the definition of {name!r} goes away under the mouse"
    page.keyboard.press("Escape")
    if tip.is_visible():
        yield f"the definition of {name!r} stays after Escape"
    page.mouse.move(0, 0)
    term.focus()
    if not tip.is_visible() or term.get_attribute("aria-describedby") != tip.get_attribute("id"):
        yield f"the term {name!r} does not show its definition to the keyboard"
    term.evaluate("e => e.blur()")
    if tip.is_visible():
        yield f"the definition of {name!r} stays without its term"


def check_quiz(page):
    """Open every choice of the questions by keyboard: one is right, and each says why."""
    for question in page.query_selector_all(".bd-article .quiz-question"):
        name, answers = question.get_attribute("id"), []
        for choice in question.query_selector_all("details.quiz-choice"):
            choice.query_selector("summary").focus()
            page.keyboard.press("Enter")
            if not choice.evaluate("e => e.open"):
                yield f"question {name}: a choice does not open by keyboard"
            reason = choice.query_selector("p")
            answers.append(choice.get_attribute("data-right"))
            word = "Right." if answers[-1] == "true" else "No."
            if not reason.is_visible() or not reason.inner_text().startswith(word):
                yield f"question {name}: a choice does not say whether it is right"
        if answers.count("true") != 1:
            yield f"question {name}: {answers.count('true')} choices are right"


def check_cursor(page, player):
    """The cursor stands at the mark of the axis nearest to one second when the sound is there."""
    player.scroll_into_view_if_needed()
    name, axes = name_of(player), player.evaluate("e => JSON.parse(e.dataset.axes)")
    wait(page, "e => e.querySelector('img').naturalWidth > 0 && e.querySelector('audio').readyState > 0", player)
    marks = player.evaluate(MARKS)
    if len(marks) < 2:
        yield f"player {name!r}: no marks of a time axis in its picture"
        return
    wide = axes["box"][2] * player.query_selector("img").bounding_box()["width"]
    step = min(STEPS, key=lambda seconds: abs(math.log(seconds * wide / axes["seconds"] / (marks[1] - marks[0]))))
    mark = min(range(1, len(marks)), key=lambda k: abs(k * step - 1.0))
    place = player.evaluate(SEEK, mark * step)
    if abs(place - marks[mark]) > PIXELS:
        yield f"player {name!r}: at {mark * step:g} s the cursor is {place - marks[mark]:+.1f} px beside the mark"


def check_box(page, player):
    """Drag a box: only its time and band are heard. Click: the sound goes there."""
    name, axes = name_of(player), player.evaluate("e => JSON.parse(e.dataset.axes)")
    player.evaluate("e => { e.dataset.whole = e.querySelector('audio').src; }")
    surface = player.query_selector(".player-surface")
    area = surface.bounding_box()
    at = [(area["x"] + fx * area["width"], area["y"] + fy * area["height"]) for fx, fy in ((0.2, 0.3), (0.7, 0.65))]
    page.mouse.move(*at[0])
    page.mouse.down()
    page.mouse.move(*at[1], steps=4)
    page.mouse.up()
    wait(page, "e => e.querySelector('audio').src.startsWith('blob:')", player)
    if not player.evaluate(AUDIO)["part"]:
        yield f"player {name!r}: a dragged box plays nothing"
        return
    said = player.query_selector("[role=status]").inner_text()
    first, end, low, high = (float(word) for word in said.replace(",", "").split() if word[0].isdigit())
    places = mel_bin_of([high, low], axes["bins"], round(2 * axes["hz"][1]))
    wanted = [(1 - share) * axes["bins"] - 0.5 for share in (0.3, 0.65)]
    if np.abs(places - wanted).max() > 1 or abs(first - 0.2 * axes["seconds"]) > SECONDS:
        yield f"player {name!r}: the box says {said!r}, which is not where it was dragged"
    part, whole = (np.frombuffer(base64.b64decode(text), np.float32) for text in player.evaluate(HEARD))
    rate = round(2 * axes["hz"][1])
    if abs(len(part) / rate - (end - first)) > SECONDS:
        yield f"player {name!r}: a box of {end - first:.2f} s plays {len(part) / rate:.2f} s"
    start = round(first * rate)
    before, after = energies(whole[start : start + len(part)], rate, low, high), energies(part, rate, low, high)
    outside, inside = (10 * math.log10((new + 1e-9) / (old + 1e-9)) for new, old in zip(after, before, strict=True))
    loud = after[0] > after[1] * 10 ** (DECIBEL / 10)  # else there was nothing to take away
    if (outside > DECIBEL and loud) or abs(inside) > 1:
        yield f"player {name!r}: a box changes the sound by {outside:+.1f} dB outside its band, by {inside:+.1f} in it"
    page.keyboard.press("Escape")
    if player.evaluate(AUDIO)["part"]:
        yield f"player {name!r}: Escape does not remove the box"
    page.mouse.click(area["x"] + 0.5 * area["width"], area["y"] + 0.5 * area["height"])
    state = player.evaluate(AUDIO)
    if state["paused"] or not 0 <= state["time"] - 0.5 * axes["seconds"] < 0.5:
        yield f"player {name!r}: a click in its middle leads to {state['time']:.2f} s of {axes['seconds']} s"


def energies(samples: np.ndarray, rate: int, low: float, high: float) -> tuple[float, float]:
    """The mean square of a sound outside a band (and beyond what lies just beside it), and inside."""
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2 / len(samples) ** 2
    hz = np.fft.rfftfreq(len(samples), 1 / rate)
    inside = (hz > low + BESIDE) & (hz < high - BESIDE)
    return float(power[(hz < low - BESIDE) | (hz > high + BESIDE)].sum()), float(power[inside].sum())


def check_keys(page, player):
    """Move and stop the sound by keyboard, set a box by its numbers, and read what a screen reader is told."""
    name, surface = name_of(player), player.query_selector(".player-surface")
    wait(page, "e => e.querySelector('audio').readyState > 0", player)  # the whole sound is back after a box
    end = player.evaluate("e => Math.min(JSON.parse(e.dataset.axes).seconds, e.querySelector('audio').duration)")
    surface.focus()
    if not player.evaluate(AUDIO)["paused"]:
        page.keyboard.press("Space")
    for key, place in (("Home", 0), ("ArrowRight", 0.1), ("End", end), ("ArrowLeft", end - 0.1)):
        page.keyboard.press(key)
        state = player.evaluate(AUDIO)
        if abs(state["time"] - place) > SECONDS or not state["said"].startswith(f"{place:.1f} of"):
            yield f"player {name!r}: {key} leads to {state['time']:.2f} s; it says {state['said']!r}"
    page.keyboard.press("Home")
    page.keyboard.press("Space")
    wait(page, "e => e.querySelector('audio').currentTime > 0.1", player)
    if player.evaluate(AUDIO)["time"] < 0.1:
        yield f"player {name!r}: the space bar does not play it"
    page.keyboard.press("Space")
    if not player.evaluate(AUDIO)["paused"]:
        yield f"player {name!r}: the space bar does not stop it"
    player.query_selector("summary").focus()
    page.keyboard.press("Enter")
    fields = player.query_selector_all("input")
    fields[1].focus()
    page.keyboard.type(f"{end / 2:.2f}")
    page.keyboard.press("Tab")
    wait(page, "e => e.querySelector('audio').src.startsWith('blob:')", player)
    if not player.evaluate(AUDIO)["part"] or not player.query_selector(".player-part").is_visible():
        yield f"player {name!r}: typed borders set no box"
    page.keyboard.press("Escape")
    page.keyboard.press("Shift+Tab")
    player.query_selector("summary").click()


def check_without_server(browser, file: str):
    """A page opened as a file: a box is heard. Without its scripts: picture and sound are there, every page is seen."""
    page = browser.new_page()
    page.goto(file)
    for player in page.query_selector_all(".player[data-axes]")[:1]:
        page.set_viewport_size({"width": 1300, "height": 900})
        yield from (f"as a file: {finding}" for finding in check_box(page, player))
    page.close()
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file)
    player = page.locator(".player[data-axes]").first
    for part in ("img", "audio"):
        if player.count() and not player.locator(part).first.is_visible():
            yield f"without scripts a player has no {part}"
    context.close()


def name_of(player) -> str:
    return player.query_selector("audio").get_attribute("aria-label")
