"""Players for sounds and sliders over figures, for the chapters. They need no running kernel.

What is returned here is shown as HTML, or as ipywidgets whose state is in the notebook. It works in the built book, on
a phone and in Colab.

Chapters: all; the first is notebooks/01_sound_to_spectrogram.ipynb.
"""

import base64
import html
import io
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import soundfile
from matplotlib.figure import Figure

from . import data
from .errors import InvalidInput, MissingPackage
from .plots import Values, array, png

if TYPE_CHECKING:
    import ipywidgets

MAX_FRAMES = 20  # every frame lies in the page as base64
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
    """

    def __init__(self, source: str, text: str) -> None:
        self.source, self.text = source, text

    def _repr_html_(self) -> str:
        return self.source

    def __repr__(self) -> str:
        return f"<{self.text}>"

    def __add__(self, other: "Html") -> "Html":
        return Html(self.source + other.source, self.text)


def player(waveform: Values, rate: int = 16_000, label: str = "") -> Html:
    """Make a labelled player of one sound. Two players added with `+` are shown below each other.

    The sound is stored as MP3, which every browser plays, at about a tenth of the size of a WAV file.

    Args:
        waveform: `(samples,)` in [-1, 1]; a louder one is scaled down as a whole.
        rate: in Hz, one that MP3 knows (8, 11.025, 12, 16, 22.05, 24, 32, 44.1 or 48 kHz).
        label: above the player.

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
    soundfile.write(buffer, samples, rate, format="MP3")
    name = html.escape(label or "sound", quote=True)
    return Html(
        f'<div class="player" style="margin: 0.4em 0"><div>{name}</div>'
        f'<audio controls aria-label="{name}" style="width: 100%; max-width: 24rem" '
        f'src="data:audio/mpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"></audio></div>',
        "player",
    )


def flipbook(figures: Iterable[Figure], labels: Iterable[object], description: str) -> "ipywidgets.VBox":
    """Make a slider over pictures that were drawn beforehand: it moves in the built book, where no kernel runs.

    Args:
        figures: 2 to 20 of them.
        labels: what the slider shows for each of them.
        description: what the slider changes. A picture's alt text is both ("Window: 25 ms").

    Returns:
        The widget, for the end of a cell.

    Raises:
        InvalidInput: too few or too many figures, or another number of labels.
        MissingPackage: ipywidgets is not installed.
    """
    try:
        import ipywidgets
    except ImportError as error:
        raise MissingPackage('the slider needs ipywidgets: pip install "astlib[book]"') from error
    pages, names = list(figures), [str(label) for label in labels]
    if not 2 <= len(pages) == len(names) <= MAX_FRAMES:
        raise InvalidInput(
            f"expected 2 to {MAX_FRAMES} figures and a label for each, "
            f"found {len(pages)} figures and {len(names)} labels"
        )
    # HTML rather than ipywidgets.Image, which cannot carry alt text: with a tooltip its view fails (ipywidgets 8.1).
    pictures = [
        ipywidgets.HTML(
            f'<img class="widget-image" alt="{html.escape(f"{description}: {label}", quote=True)}" '
            f'style="max-width: 100%" src="data:image/png;base64,{base64.b64encode(png(figure)).decode()}">'
        )
        for figure, label in zip(pages, names, strict=True)
    ]
    slider = ipywidgets.SelectionSlider(
        options=[(label, i) for i, label in enumerate(names)],
        description=description,
        style={"description_width": "initial"},
        layout=ipywidgets.Layout(width="min(100%, 30rem)"),
    )
    stack = ipywidgets.Stack(pictures, selected_index=0)
    ipywidgets.jslink((slider, "index"), (stack, "selected_index"))
    return ipywidgets.VBox([slider, stack])


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
