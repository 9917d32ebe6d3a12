"""A long recording: its spectrogram, the probabilities of some classes in each window, and what was really there.

Chapter: notebooks/15_your_own_sounds.ipynb
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..errors import InvalidInput
from ..plots import VERMILION, Values, array, figure, mel

Event = tuple[str, float, float]  # class, begin and end in seconds


def rows_of(probabilities: Values, labels: Sequence[str], events: Sequence[Event], others: int = 4) -> list[int]:
    """Choose the classes to show: those that are there, and those that come up most although they are not.

    Args:
        probabilities: `(windows, classes)`.
        labels: of all classes.
        events: what is in the recording.
        others: how many classes that are not there.

    Returns:
        Numbers of classes, in the order of the events, then by falling probability.
    """
    there = list(dict.fromkeys(labels.index(label) for label, _, _ in events if label in labels))
    order = np.argsort(-array(probabilities).max(axis=0), kind="stable")
    return there + [int(c) for c in order if c not in there][:others]


def edges_of(spans: Values) -> np.ndarray:
    """Give each window the middle half of its time, so that neighbours, which overlap by half, do not cover each other.

    Args:
        spans: begin and end of each window in seconds, `(windows, 2)`.

    Returns:
        The edges between the windows in seconds, `(windows + 1,)`.
    """
    spans = array(spans).astype(float)
    begins = spans @ np.array([0.75, 0.25])
    return np.append(begins, spans[-1] @ np.array([0.25, 0.75]))


def timeline(
    values: Values,
    spans: Values,
    probabilities: Values,
    labels: Sequence[str],
    events: Sequence[Event] = (),
    hop: float = 0.01,
    others: int = 4,
    title: str = "",
) -> Figure:
    """Draw a spectrogram, and below it one row for each class and one column for each window, dark where probable.

    Args:
        values: log-mel `(frames, mels)`.
        spans: begin and end of each window in seconds, `(windows, 2)`.
        probabilities: `(windows, classes)`.
        labels: of all classes.
        events: what is really there; a red box marks each. Classes that are not among the labels have no row.
        hop: between two frames, in seconds.
        others: how many classes to show that are not there.
        title: above the spectrogram.

    Returns:
        The figure.

    Raises:
        InvalidInput: spans, probabilities and labels do not fit together.
    """
    probabilities, spans = array(probabilities), array(spans)
    if probabilities.shape != (len(spans), len(labels)) or spans.shape != (len(spans), 2):
        raise InvalidInput(f"spans {spans.shape}, probabilities {probabilities.shape} and {len(labels)} labels differ")
    shown = rows_of(probabilities, labels, events, others)
    names = [labels[c] for c in shown]
    fig, (top, low) = figure(2.2 + 0.34 * len(shown), 2, 1, sharex=True, height_ratios=[1, 0.21 * len(shown)])
    mel(values, top, title, colorbar=False, hop=hop)
    top.set_xlabel("")
    image = low.pcolormesh(
        edges_of(spans), np.arange(len(shown) + 1), probabilities[:, shown].T, cmap="Blues", vmin=0, vmax=1
    )
    for label, begin, end in events:
        if label in names:
            box = Rectangle(
                (begin, names.index(label)), end - begin, 1, fill=False, edgecolor=VERMILION, linewidth=2, clip_on=False
            )
            low.add_patch(box)
    low.set_yticks(np.arange(len(shown)) + 0.5, [name.replace("_", " ") for name in names])
    low.set(xlabel="time (s)", ylim=(len(shown), 0))
    fig.colorbar(image, ax=(top, low), label="probability", location="bottom", aspect=50).outline.set_visible(False)
    return fig
