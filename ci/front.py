"""Make what can be heard on the first page: sounds made in code, their spectrograms, and what the network says.

    python ci/front.py

ci/build.py calls it. It writes _build/src/book/front.html, which book/intro.md includes. Every number in it is computed
here, by the network that comes with astlib (models/ast-tiny-esc50). It was trained on recordings and has heard none of
these sounds; where it is wrong, the page says so.
"""

import html
from collections.abc import Callable
from dataclasses import dataclass

import nbformat
import numpy as np
import torch
from docutils.nodes import make_id

import astlib
from astlib import widgets
from astlib.predict import predict
from common import SOURCE, chapters

PAGE = SOURCE / "book" / "front.html"
RATE = 16_000
SECONDS = 5
TIME = np.arange(SECONDS * RATE) / RATE
TOP = 5


def struck(starts: np.ndarray, one: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The same event several times; `one` gives its pressure for the seconds since it began."""
    sound = np.zeros(TIME.shape)
    for start in starts:
        since = TIME - start
        sound[since >= 0] += one(since[since >= 0])
    return sound


def bells() -> np.ndarray:
    """A bell: partials that are no multiples of each other, as in a real one; the low ones ring longest."""
    ratio = np.array([0.5, 1, 1.19, 1.5, 2, 2.51, 2.66, 3.01, 4.17, 5.43, 6.8])
    loudness = np.array([0.5, 1, 0.8, 0.5, 1, 0.4, 0.3, 0.35, 0.25, 0.2, 0.15])
    seconds = 4 * np.array([1, 0.7, 0.55, 0.5, 0.45, 0.3, 0.25, 0.25, 0.15, 0.1, 0.08])

    def bell(since: np.ndarray) -> np.ndarray:
        ringing = np.exp(-since[:, None] / seconds) * np.sin(2 * np.pi * 300 * ratio * since[:, None])
        return ringing @ loudness

    return struck(np.array([0.1, 1.7, 3.3]), bell) + hiss(0.004)


def crickets() -> np.ndarray:
    """A cricket: four short pulses of one high tone, over and over."""
    pulses = (np.arange(0.1, SECONDS, 0.45)[:, None] + 0.03 * np.arange(4)).ravel()
    length = 0.021

    def pulse(since: np.ndarray) -> np.ndarray:
        window = np.where(since < length, np.sin(np.pi * since / length) ** 2, 0)
        return window * np.sin(2 * np.pi * 4500 * since)

    return struck(pulses, pulse) + hiss(0.002)


def clock() -> np.ndarray:
    """A clock: tick and tock, two short ringing clicks of slightly different pitch."""

    def click(hz: float) -> Callable[[np.ndarray], np.ndarray]:
        return lambda since: np.exp(-since / 0.004) * np.sin(2 * np.pi * hz * since)

    tick, tock = struck(np.arange(0.2, SECONDS, 1), click(3100)), struck(np.arange(0.7, SECONDS, 1), click(2600))
    return tick + tock + hiss(0.0005)


def hiss(level: float) -> np.ndarray:
    """The faint noise of a recording."""
    return level * np.random.default_rng(0).standard_normal(TIME.shape)


@dataclass(frozen=True)
class Sound:
    """A sound of the page: what it is in words, the class of ESC-50 that this is, and how it is made."""

    name: str
    label: str
    make: Callable[[], np.ndarray]


SOUNDS = [
    Sound("a bell", "church_bells", bells),
    Sound("crickets", "crickets", crickets),
    Sound("a ticking clock", "clock_tick", clock),
]


def live() -> str:
    """The address of the network in the reader's browser: the section of the chapter that has it."""
    for chapter in chapters():
        heading = ""
        for cell in nbformat.read(chapter, as_version=4).cells:
            heads = [line[3:] for line in cell.source.splitlines() if line.startswith("## ")]
            if cell.cell_type == "markdown":
                heading = heads[-1] if heads else heading
                if 'class="live-model"' in cell.source:
                    return f"../notebooks/{chapter.stem}.html#{make_id(heading)}"
    raise LookupError('no chapter has an element of class "live-model"')


def bars(rows: list[tuple[str, float]], label: str) -> str:
    """The most probable classes as a table with bars; the right one is marked."""
    lines = "".join(
        f'<tr{" class=right" if name == label else ""}><th scope="row">{html.escape(name.replace("_", " "))}'
        f"{' ✓' if name == label else ''}</th><td>{100 * share:.1f} %</td>"
        f'<td><div class="live-bar" style="width: {100 * share:.0f}%"></div></td></tr>'
        for name, share in rows
    )
    return f'<table aria-label="The {TOP} most probable classes">{lines}</table>'


def verdict(sound: Sound, rows: list[tuple[str, float]]) -> str:
    """One sentence about the answer."""
    best, share = rows[0]
    said = f"<strong>{html.escape(best.replace('_', ' '))}</strong>, with {100 * share:.0f} %"
    if best == sound.label:
        return f"Made in code to sound like {sound.name}. The network says {said}. That is right."
    return (
        f"Made in code to sound like {sound.name}. The network says {said}. That is wrong: what would you change "
        "in the sound, or in what it learned from?"
    )


def page() -> str:
    """The first page's sounds as HTML: a choice, and for each a player with its spectrogram and the answer."""
    model, log_mel = astlib.AST.from_pretrained("ast-tiny-esc50"), astlib.LogMel()
    choices, parts = [], []
    for number, sound in enumerate(SOUNDS):
        samples = sound.make()
        waveform = torch.tensor(0.5 * samples / np.abs(samples).max(), dtype=torch.float32)
        rows = predict(model, waveform, top=TOP)
        player = widgets.player(waveform, RATE, sound.name.capitalize(), mel=log_mel(waveform))
        choices.append(
            f'<label><input type="radio" name="front-sound" value="{number}"{" checked" if not number else ""}> '
            f"{sound.name}</label>"
        )
        parts.append(
            f'<div class="front-sound" data-sound="{number}">{player.source}'
            f"<p>{verdict(sound, rows)}</p>{bars(rows, sound.label)}</div>"
        )
    return (
        f'<div class="front"><fieldset aria-label="Choose a sound"><strong>Hear</strong>{"".join(choices)}</fieldset>'
        f"{''.join(parts)}"
        f'<p><a href="{live()}">Let it hear a sound of yours</a>: the same network runs in your browser. '
        '<a href="listen.html">Listen with it</a> shows what happens inside.</p></div>\n'
    )


def write() -> None:
    """Write the sounds beside the pages of the staged book."""
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    write()
    print(f"the sounds of the first page: {PAGE}")
