"""Search through hours: calls marked in a night, what was found, and how much a label teaches.

Chapter: notebooks/19_a_thousand_hours.ipynb
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from .. import plots
from ..errors import InvalidInput
from ..plots import Values, array, figure

Mark = tuple[str, float, float]  # label, begin and end in seconds


def night(mels: Values, marks: Sequence[Mark], hop: float, row_s: float) -> Figure:
    """Draw a long spectrogram in rows, and above each row a coloured bar where something is.

    Args:
        mels: log-mel `(frames, mels)`.
        marks: what is where; each label has its colour.
        hop: between two frames, in seconds.
        row_s: seconds in a row; what is left at the end is not drawn.

    Returns:
        The figure.

    Raises:
        InvalidInput: less than one row.
    """
    values, frames = array(mels), round(row_s / hop)
    rows = len(values) // frames
    if not rows:
        raise InvalidInput(f"expected at least {frames} frames, one row; found {len(values)}")
    names = list(dict.fromkeys(label for label, _, _ in marks))
    colours = dict(zip(names, plots.LINES, strict=False))
    fig, axes = figure(1.0 * rows + 0.7, rows, 1, squeeze=False)
    low, high = np.percentile(values, (5, 99.8))
    for row, ax in enumerate(axes[:, 0]):
        begin = row * row_s
        part = values[row * frames : (row + 1) * frames]
        extent = (begin, begin + row_s, 0, part.shape[1])
        ax.imshow(part.T, origin="lower", aspect="auto", vmin=low, vmax=high, extent=extent)
        for label, first, end in marks:
            if begin <= first < begin + row_s:
                ax.plot([first, end], [1.09 * part.shape[1]] * 2, color=colours[label], linewidth=5, clip_on=False)
        ax.set(xlim=(begin, begin + row_s), ylim=(0, part.shape[1]), yticks=[])
        ax.tick_params(labelsize=11)
    axes[-1, 0].set_xlabel("time (s)")
    handles = [axes[0, 0].plot([], [], color=colours[name], linewidth=5, label=name)[0] for name in names]
    fig.legend(handles=handles, loc="outside upper center", ncols=4, fontsize=11, handlelength=1, columnspacing=1)
    return fig


def gallery(mels: Sequence[Values], titles: Sequence[str], right: Sequence[bool], columns: int = 4) -> Figure:
    """Draw small spectrograms side by side: a green frame and a tick for what is right, red and a cross for the rest.

    Args:
        mels: log-mel `(frames, mels)` of each.
        titles: one for each.
        right: whether it is what was looked for.
        columns: pictures in a row.

    Returns:
        The figure.

    Raises:
        InvalidInput: another number of titles or of verdicts than of spectrograms.
    """
    if not len(mels) == len(titles) == len(right) > 0:
        raise InvalidInput(f"found {len(mels)} spectrograms, {len(titles)} titles and {len(right)} verdicts")
    rows = -(-len(mels) // columns)
    fig, axes = figure(1.45 * rows, rows, columns, squeeze=False)
    for ax in axes.flat[len(mels) :]:
        ax.set_axis_off()
    for ax, mel, title, is_right in zip(axes.flat, mels, titles, right, strict=False):
        values = array(mel)
        ax.imshow(values.T, origin="lower", aspect="auto", vmin=np.percentile(values, 5), vmax=values.max())
        ax.set(xticks=[], yticks=[])
        ax.set_title(f"{'✓' if is_right else '✗'} {title}", fontsize=11)
        for spine in ax.spines.values():
            spine.set(visible=True, linewidth=3, color=plots.GREEN if is_right else plots.VERMILION)
    return fig


def learning(curves: Mapping[str, Values], labels: Sequence[int], ylabel: str, level: float | None = None) -> Figure:
    """Draw how something grows with the number of labels: the mean over repeated draws, and its 95 % interval.

    Args:
        curves: name to `(draws, points)`, values from 0 to 1.
        labels: number of labels at each point.
        ylabel: what the values are.
        level: a dashed line to compare with; None for none.

    Returns:
        The figure.

    Raises:
        InvalidInput: another number of points than of labels.
    """
    fig, ax = figure(3.4)
    if level is not None:
        ax.axhline(100 * level, color=plots.INK, linestyle="--", linewidth=1)
    for (name, values), colour, marker in zip(curves.items(), plots.LINES, "os^Dv", strict=False):
        points = 100 * array(values)
        if points.ndim != 2 or points.shape[1] != len(labels):
            raise InvalidInput(f"expected (draws, {len(labels)}) for {name}, found {points.shape}")
        mean, half = points.mean(axis=0), half_width(points)
        ax.fill_between(labels, mean - half, mean + half, color=colour, alpha=0.2, linewidth=0)
        ax.plot(labels, mean, f"-{marker}", color=colour, markersize=5, label=name)
    ax.set(xlabel="labels", ylabel=ylabel, ylim=(0, 100), xlim=(0, None))
    ax.grid(axis="y")
    ax.legend(loc="lower right")
    return fig


def half_width(values: Values) -> np.ndarray:
    """Compute half the width of the 95 % interval of a mean over repeated draws (Student's t).

    Args:
        values: `(draws, ...)`.

    Returns:
        `(...)`; 0 for a single draw.
    """
    from scipy import stats

    found = array(values).astype(float)
    draws = len(found)
    if draws < 2:
        return np.zeros(found.shape[1:])
    half: np.ndarray = stats.t.ppf(0.975, draws - 1) * found.std(axis=0, ddof=1) / np.sqrt(draws)
    return half
