"""Sounds one can play and figures one can move in the chapters, with no kernel behind them.

Chapters: all; the first is notebooks/01_sound_to_spectrogram.ipynb. What is returned here is shown as HTML or
as ipywidgets whose state lies in the notebook, so it works in the built book, on a phone, and in Colab.
"""

import base64
import html
import io
import re

import numpy as np
import soundfile

from . import data
from .plots import array, png

MAX_FRAMES = 20  # every frame lies in the page as base64
SPOKEN = {"esc50": "ESC-50", "speech-commands": "Speech Commands"}  # how people write a data set's name


class Html:
    """A piece of HTML for the end of a cell. Its text form is fixed, so that it never depends on the data."""

    def __init__(self, source: str, text: str):
        self.source, self.text = source, text

    def _repr_html_(self) -> str:
        return self.source

    def __repr__(self) -> str:
        return f"<{self.text}>"

    def __add__(self, other: "Html") -> "Html":
        return Html(self.source + other.source, self.text)


def player(waveform, rate: int = 16_000, label: str = "") -> Html:
    """A labelled player of one sound; `player(a) + player(b)` shows two below each other.

    waveform: (samples,) in [-1, 1]; what is louder is scaled down as a whole. The sound is stored as MP3,
    which every browser plays, at about a tenth of the size of a WAV file. rate: in Hz, one that MP3 knows
    (8, 11.025, 12, 16, 22.05, 24, 32, 44.1 or 48 kHz). Raises ValueError for another shape, or for samples
    that are not finite.
    """
    samples = array(waveform).astype(np.float32).squeeze()
    if samples.ndim != 1 or samples.size == 0 or not np.isfinite(samples).all():
        raise ValueError(f"expected one sound, (samples,) of finite numbers, got shape {samples.shape}")
    samples = samples / max(1.0, np.abs(samples).max())
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="MP3")
    name = html.escape(label or "sound", quote=True)
    return Html(
        f'<div class="player" style="margin: 0.4em 0"><div>{name}</div>'
        f'<audio controls aria-label="{name}" style="width: 100%; max-width: 24rem" '
        f'src="data:audio/mpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"></audio></div>',
        "player",
    )


def flipbook(figures, labels, description: str):
    """A slider over pictures that were drawn beforehand: it moves in the built book, where no kernel runs.

    figures: up to 20 matplotlib figures; labels: what the slider shows at each; description: what it changes.
    A picture's alt text is both ("Window: 25 ms").
    """
    import ipywidgets

    figures, labels = list(figures), [str(label) for label in labels]
    if not 2 <= len(figures) == len(labels) <= MAX_FRAMES:
        raise ValueError(f"expected 2 to {MAX_FRAMES} figures and a label for each, "
                         f"found {len(figures)} figures and {len(labels)} labels")  # fmt: skip
    # HTML rather than ipywidgets.Image, which cannot carry alt text: with a tooltip its view fails (ipywidgets 8.1).
    pictures = [
        ipywidgets.HTML(
            f'<img class="widget-image" alt="{html.escape(f"{description}: {label}", quote=True)}" '
            f'style="max-width: 100%" src="data:image/png;base64,{base64.b64encode(png(figure)).decode()}">'
        )
        for figure, label in zip(figures, labels, strict=True)
    ]
    slider = ipywidgets.SelectionSlider(
        options=[(label, i) for i, label in enumerate(labels)], description=description,
        style={"description_width": "initial"}, layout=ipywidgets.Layout(width="min(100%, 30rem)"),
    )  # fmt: skip
    stack = ipywidgets.Stack(pictures, selected_index=0)
    ipywidgets.jslink((slider, "index"), (stack, "selected_index"))
    return ipywidgets.VBox([slider, stack])


def data_note(dataset, weights_found: bool | None = None, wanted: str = "esc50") -> Html:
    """Which data and weights this page was made with: loud when they are stand-ins, quiet when they are real.

    dataset: an `astlib.data.AudioDataset`. weights_found: True for ImageNet weights, False where random ones
    stand in, None if the page uses none. wanted: which of `astlib.data.DATASETS` sounds made in code stand in for.
    """
    name, clips = html.escape(SPOKEN.get(dataset.name, dataset.name)), f"{len(dataset):,} clips"
    found, missing = [], []
    if dataset.is_synthetic:
        how = re.sub(r"(astlib .+)", r"<code>\1</code>", html.escape(data.known(wanted).get))
        missing.append(
            f"<strong>Stand-in sounds.</strong> No {SPOKEN[wanted]} was found, so this page uses the {name} set "
            f"({clips}), sounds made in code. Every step is the same; pictures and numbers are not those of "
            f"real recordings. {how[0].upper()}{how[1:]}, or set <code>ASTLIB_DATA</code> to the folder that holds it; "
            "then run the page again."
        )
    else:
        found.append(f"{name} ({clips})")
    if weights_found is False:
        missing.append(
            "<strong>Random weights.</strong> No ImageNet weights were found, so the networks on this page "
            "start from random numbers. For the real ones, set <code>ASTLIB_WEIGHTS</code> to a folder that "
            "holds <code>vit_tiny_patch16_224_in1k.safetensors</code>, and run the page again."
        )
    elif weights_found:
        found.append("ImageNet weights")
    source = f'<p class="data-source"><small>Made with {" and ".join(found)}.</small></p>' if found else ""
    if missing:
        box = "".join(f"<p>{text}</p>" for text in missing)
        source = f'<div class="data-note" role="note">{box}{source}</div>'
    return Html(source, "note on the data of this page")
