"""Players for sounds and sliders over figures, for the chapters. They need no running kernel.

What is returned here is HTML with pictures and sounds in it. A script (widgets.js) is added for Colab and Jupyter; the
built book loads it once a page. Without the script a sound can still be played, and a picture seen.

Chapters: all; the first is notebooks/01_sound_to_spectrogram.ipynb.
"""

import base64
import functools
import html
import inspect
import io
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from matplotlib.figure import Figure
from PIL import Image

from . import data, plots
from .errors import InvalidInput
from .plots import Values, array

MAX_FRAMES = 20  # every frame lies in the notebook as base64
# Chromium fails to go to the end of an MP3 file of varying rate that ends in silence. soundfile 0.12 makes no other.
CONSTANT_RATE: dict[str, Any] = (
    {"bitrate_mode": "CONSTANT", "compression_level": 0.8}
    if "bitrate_mode" in inspect.signature(soundfile.write).parameters
    else {}
)
COLOURS = 256  # of a picture; the file is a third of one with all colours
HOP, LOW_HZ = 0.010, 20.0  # of the spectrograms: seconds between two frames, and where the lowest filter begins
SPOKEN = {  # how the data sets are called in a sentence
    "esc50": "ESC-50",
    "esc50-mixture": "ESC-50",
    "speech-commands": "Speech Commands",
    "audioset": "AudioSet",
    "audioset-balanced": "AudioSet",
    "folder": "folder of sounds",
}


class Html:
    """A piece of HTML for the end of a cell. Its text form is fixed, so that it does not depend on the data.

    Args:
        source: the HTML.
        text: what is shown where HTML is not.
        moves: whether it needs the script, which then comes after it.
    """

    def __init__(self, source: str, text: str, moves: bool = False) -> None:
        self.source, self.text, self.moves = source, text, moves

    def _repr_html_(self) -> str:
        return self.source + (f'<script class="astlib-script">{script()}</script>' if self.moves else "")

    def __repr__(self) -> str:
        return f"<{self.text}>"

    def __add__(self, other: "Html") -> "Html":
        return Html(self.source + other.source, self.text, self.moves or other.moves)


@functools.cache
def script() -> str:
    """Give the script that makes players and flipbooks move, without its comments and indentation.

    Returns:
        JavaScript. It may run several times in a page.
    """
    lines = Path(__file__).with_suffix(".js").read_text(encoding="utf-8").splitlines()
    stripped = (re.sub(r"(^|\s)// .*", "", line).strip() for line in lines)
    return "\n".join(line for line in stripped if line)


def _picture(figure: Figure, alt: str, attributes: str = "") -> str:
    """A figure as an image that holds a PNG file with a palette. `alt` is HTML already."""
    buffer = io.BytesIO()
    picture = Image.open(io.BytesIO(plots.png(figure))).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return (
        f'<img alt="{alt}"{attributes} width="{picture.width}" height="{picture.height}" '
        f'style="width: 100%; height: auto" src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'
    )


def player(waveform: Values, rate: int = 16_000, label: str = "", mel: Values | None = None) -> Html:
    """Make a labelled player of one sound. Two players added with `+` are shown below each other.

    The sound is stored as MP3, which every browser plays, at about a sixth of the size of a WAV file. With `mel` the
    player shows the spectrogram: a cursor moves over it, a click goes to its place in the sound, and of a box that is
    dragged over it only that time and band are played.

    Args:
        waveform: `(samples,)` in [-1, 1]; a louder one is scaled down as a whole.
        rate: in Hz, one that MP3 knows (8, 11.025, 12, 16, 22.05, 24, 32, 44.1 or 48 kHz).
        label: above the player.
        mel: `(frames, mels)`, the log-mel spectrogram of this sound, a frame every 10 ms from 20 Hz to `rate / 2`.

    Returns:
        The player, for the end of a cell.

    Raises:
        InvalidInput: another shape, or samples that are not finite.
    """
    samples = array(waveform).astype(np.float32).squeeze()
    if samples.ndim != 1 or samples.size == 0 or not np.isfinite(samples).all():
        raise InvalidInput(f"expected one sound, (samples,) of finite numbers, got shape {samples.shape}")
    samples = samples / max(1.0, np.abs(samples).max())
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="MP3", **CONSTANT_RATE)
    name = html.escape(label or "sound", quote=True)
    picture, axes = ("", "") if mel is None else _spectrogram(array(mel), rate, name)
    width = "" if mel is not None else "; max-width: 24rem"
    return Html(
        f'<div class="player"{axes} style="margin: 0.4em 0"><div>{name}</div>{picture}'
        f'<audio controls aria-label="{name}" style="width: 100%{width}" '
        f'src="data:audio/mpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"></audio></div>',
        "player",
        moves=mel is not None,
    )


def _spectrogram(mel: np.ndarray, rate: int, name: str) -> tuple[str, str]:
    """The picture of a player, and the attribute that says where in it which time and frequency are."""
    figure, ax = plots.figure(2.6)
    plots.mel(mel, ax, colorbar=False, hop=HOP)
    figure.draw_without_rendering()  # only now it is known where the axes lie
    place = ax.get_position()
    frames, bins = mel.shape[-2:]
    where = {
        "box": [round(part, 5) for part in (place.x0, 1 - place.y1, place.width, place.height)],
        "seconds": round(frames * HOP, 3),
        "hz": [LOW_HZ, rate / 2],
        "bins": bins,
    }
    return (
        f'<div class="player-picture" style="position: relative">'
        f"{_picture(figure, f'{name}: {_seen(mel, rate)}')}</div>",
        f' data-axes="{html.escape(json.dumps(where), quote=True)}"',
    )


def _seen(mel: np.ndarray, rate: int) -> str:
    """What is to be seen in a spectrogram, in words: how long it is, when it is loud, and where."""
    values = mel.reshape(-1, mel.shape[-1])
    level = np.logaddexp.reduce(values, axis=1)  # log of a frame's energy
    loud = level >= (level.min() + level.max()) / 2
    edges = np.flatnonzero(np.diff(loud, prepend=False, append=False)).reshape(-1, 2)  # (runs, 2): first frame, end
    longest = edges[np.sort(np.argsort(edges[:, 0] - edges[:, 1], kind="stable")[:3])] * HOP
    times = [f"from {a:.1f} to {b:.1f} s" if b - a > 0.1 else f"at {(a + b) / 2:.1f} s" for a, b in longest]
    parts = "loudest " if len(edges) == 1 else f"{len(edges)} loud parts, the longest "
    low, high = (1127 * np.log1p(hz / 700) for hz in (LOW_HZ, rate / 2))
    peak = low + (values[loud].mean(axis=0).argmax() + 1) / (values.shape[1] + 1) * (high - low)
    return (
        f"log-mel spectrogram of {len(values) * HOP:.1f} s; {parts}{', '.join(times)}; "
        f"there strongest near {700 * np.expm1(peak / 1127):,.0f} Hz"
    )


def flipbook(figures: Iterable[Figure], labels: Iterable[object], description: str, start: int = 0) -> Html:
    """Make a slider over pictures that were drawn beforehand: it moves in the built book, where no kernel runs.

    Args:
        figures: 2 to 20 of them.
        labels: what the slider shows for each of them.
        description: what the slider changes. A picture's alt text is both ("Window: 25 ms").
        start: the page that is seen first, counted from 0.

    Returns:
        The slider and its pictures, for the end of a cell.

    Raises:
        InvalidInput: too few or too many figures, another number of labels, or a start that is no page.
    """
    pages, names = list(figures), [str(label) for label in labels]
    if not 2 <= len(pages) == len(names) <= MAX_FRAMES:
        raise InvalidInput(
            f"expected 2 to {MAX_FRAMES} figures and a label for each, "
            f"found {len(pages)} figures and {len(names)} labels"
        )
    if not 0 <= start < len(pages):
        raise InvalidInput(f"expected a start from 0 to {len(pages) - 1}, found {start}")
    title = html.escape(description, quote=True)
    words = [html.escape(name, quote=True) for name in names]
    pictures = "".join(
        _picture(page, f"{title}: {word}", f' data-label="{word}"' + (" hidden" if i != start else ""))
        for i, (page, word) in enumerate(zip(pages, words, strict=True))
    )
    return Html(
        f'<div class="flipbook"><label style="display: flex; gap: 0.7em; align-items: center">{title} '
        f'<input type="range" min="0" max="{len(pages) - 1}" value="{start}" aria-valuetext="{words[start]}" '
        f'style="flex: 1"><output>{words[start]}</output></label>{pictures}</div>',
        "slider",
        moves=True,
    )


def data_note(
    dataset: "data.AudioDataset | data.AudioStream", weights_found: bool | None = None, wanted: str = "esc50"
) -> Html:
    """Say which data and weights a page was made with: clearly visible for stand-ins, unobtrusive for real ones.

    Args:
        dataset: the data set that the page uses.
        weights_found: True for ImageNet weights, False where random ones stand in, None if the page uses none.
        wanted: name of the data set (of `astlib.data.DATASETS`) that generated sounds stand in for.

    Returns:
        The note, for the end of a cell.

    Raises:
        InvalidInput: no data set has the name `wanted`.
    """
    name, clips = html.escape(SPOKEN.get(dataset.name, dataset.name)), f"{len(dataset):,} clips"
    real, missing = [], []
    if dataset.is_synthetic and wanted != dataset.name:
        how = re.sub(r"(astlib .+)", r"<code>\1</code>", html.escape(data.data_source(wanted).get))
        missing.append(
            f"<strong>Stand-in sounds.</strong> No {SPOKEN.get(wanted, wanted)} was found, so this page uses the "
            f"{name} set ({clips}), sounds made in code. Every step is the same; pictures and numbers are not those of "
            f"real recordings. {how[0].upper()}{how[1:]}, or set <code>ASTLIB_DATA</code> to the folder that holds it; "
            "then run the page again."
        )
    else:
        real.append(f"{name} ({clips})")
    if weights_found is False:
        missing.append(
            "<strong>Random weights.</strong> No ImageNet weights were found, so the networks on this page "
            "start from random numbers. For the real ones, set <code>ASTLIB_WEIGHTS</code> to a folder that "
            "holds <code>vit_tiny_patch16_224_in1k.safetensors</code>, and run the page again."
        )
    elif weights_found:
        real.append("ImageNet weights")
    source = f'<p class="data-source"><small>Made with {" and ".join(real)}.</small></p>' if real else ""
    if missing:
        box = "".join(f"<p>{text}</p>" for text in missing)
        source = f'<div class="data-note" role="note">{box}{source}</div>'
    return Html(source, "note on the data of this page")
