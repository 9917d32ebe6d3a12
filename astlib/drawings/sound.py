"""Drawings of how a sound becomes a spectrogram: frames, spectra, the mel scale, and one frame becoming one column.

Chapter: notebooks/01_sound_to_spectrogram.ipynb
"""

import base64
import html
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MultipleLocator
from numpy.typing import NDArray

from .. import plots, widgets
from ..frontend import hz_to_mel
from ..plots import BLUE, GREEN, GRID, INK, ORANGE, SKY, VERMILION, Values, array

Numbers = NDArray[np.float64]
QUIET = "#8A9097"  # grey for what is there to compare with


def _decibels(power: Values) -> Numbers:
    """Power in dB below its own maximum; zeros become -200 dB."""
    power = array(power).astype(np.float64)
    return np.asarray(10 * np.log10(np.maximum(power / power.max(), 1e-20)))


def _mel(hz: Numbers) -> Numbers:
    """Hertz as mel."""
    return hz_to_mel(torch.as_tensor(hz, dtype=torch.float64)).numpy()


def _hertz(mel: Numbers) -> Numbers:
    """Mel as hertz."""
    return np.asarray(700 * np.expm1(mel / 1127))


def _triangle(corners: Numbers, j: int) -> tuple[Numbers, Numbers]:
    """Filter j as a line: places in mel, and its weight there, which rises and falls straight on the mel scale."""
    mel = np.linspace(corners[j], corners[j + 2], 65)
    return mel, 1 - np.abs(mel - corners[j + 1]) / (corners[j + 1] - corners[j])


def waveform_above(samples: Values, mel: Values, rate: int = 16_000) -> Figure:
    """Draw the waveform of a sound so that its time axis lies above that of the spectrogram in its player.

    Args:
        samples: `(samples,)` in [-1, 1].
        mel: `(frames, mels)`, one frame every 10 ms, as it is given to `astlib.widgets.player`.
        rate: in Hz.

    Returns:
        The figure.
    """
    below, ax = plots.figure(2.6)  # as the player draws it: only a drawn figure knows where its axes lie
    plots.mel(mel, ax, colorbar=False)
    below.draw_without_rendering()
    place = ax.get_position()
    fig = plots.Plot(figsize=(plots.WIDTH, 1.1))
    axes = fig.add_axes((place.x0, 0.06, place.width, 0.9))
    samples = array(samples)
    axes.plot(np.arange(len(samples)) / rate, samples, linewidth=0.7)
    axes.set(ylabel="pressure", xlim=(0, len(array(mel)) / 100), yticks=[0], yticklabels=["0"])
    axes.tick_params(labelbottom=False)
    return fig


def sound_and_pictures(samples: Values, mel: Values, rate: int = 16_000, label: str = "") -> widgets.Html:
    """Show a sound as a waveform and, below it, as a player with its log-mel spectrogram.

    Args:
        samples: `(samples,)` in [-1, 1].
        mel: `(frames, mels)`, one frame every 10 ms.
        rate: in Hz.
        label: name of the sound.

    Returns:
        Both, for the end of a cell.
    """
    picture = base64.b64encode(plots.png(waveform_above(samples, mel, rate))).decode()
    name = html.escape(f"{label}: its waveform, {len(array(samples)) / rate:.1f} s of it", quote=True)
    source = f'<img alt="{name}" style="display: block; width: 100%" src="data:image/png;base64,{picture}">'
    return widgets.Html(source, "waveform and player") + widgets.player(samples, rate, label, mel=mel)


def zoom(samples: Values, rate: int, centre: int, lengths: Sequence[int] = (1600, 160)) -> Figure:
    """Draw shorter and shorter pieces of a sound side by side; in the shortest every sample is a dot.

    Args:
        samples: `(samples,)`.
        rate: in Hz.
        centre: sample in the middle of the pieces, as far as the ends of the sound allow.
        lengths: of the pieces, in samples, the longest first.

    Returns:
        The figure.
    """
    samples = array(samples)
    fig, axes = plots.figure(2.4, 1, len(lengths), sharey=True)
    for ax, length in zip(axes, lengths, strict=True):
        start = min(max(centre - length // 2, 0), len(samples) - length)
        ms = 1000 * np.arange(length) / rate
        last = length == lengths[-1]
        ax.plot(ms, samples[start : start + length], ".-" if last else "-", linewidth=0.8, color=BLUE)
        ax.set(xlabel="time (ms)", xlim=(0, ms[-1]), title=f"{length:,} samples")
        ax.set_xticks(np.linspace(0, round(1000 * length / rate), 5)[:-1].round(1))
    axes[0].set_ylabel("pressure")
    return fig


def window_length(sound: Values, ms: int, rate: int = 16_000, highest: float = 2000.0) -> Figure:
    """Draw the spectrogram of a sound, one column every ms, cut with windows of one length.

    Args:
        sound: `(samples,)`.
        ms: length of the windows.
        rate: in Hz.
        highest: frequency at the upper edge, in Hz.

    Returns:
        The figure.
    """
    sound, length, n_fft = array(sound).astype(np.float64), rate * ms // 1000, 2048
    frames = np.lib.stride_tricks.sliding_window_view(sound, length)[:: rate // 1000]  # (frames, samples)
    shown = np.abs(np.fft.rfft(frames * np.hanning(length), n=n_fft))[:, : int(highest * n_fft / rate) + 1]
    fig, ax = plots.figure(3.0)
    ax.imshow(
        np.log(np.maximum(shown / shown.max(), 1e-9)).T,
        origin="lower",
        aspect="auto",
        vmin=-6,
        vmax=0,
        extent=(ms / 2, len(frames) + ms / 2, 0, highest),
    )
    ax.set(xlabel="time (ms)", ylabel="frequency (Hz)", xlim=(50, 350), title=f"windows of {ms} ms")
    return fig


def products(rows: Mapping[str, tuple[Values, Values]], rate: int = 16_000) -> Figure:
    """Draw frames with the waves that they are multiplied with, and the products below, with their sums.

    Args:
        rows: title to frame and wave, each `(samples,)`; one column of panels for each.
        rate: in Hz.

    Returns:
        The figure.
    """
    fig, axes = plots.figure(3.9, 2, len(rows), sharex=True, sharey=True)
    for (above, below), (title, pair) in zip(axes.T, rows.items(), strict=True):
        frame, wave = (array(values).astype(np.float64) for values in pair)
        ms, product = 1000 * np.arange(len(frame)) / rate, frame * wave
        above.plot(ms, frame, color=BLUE, label="frame")
        above.plot(ms, wave, color=ORANGE, linewidth=1.3, linestyle=(0, (4, 2)), label="wave")
        below.fill_between(ms, product, 0, where=product >= 0, color=GREEN)
        below.fill_between(ms, product, 0, where=product <= 0, color=VERMILION)
        below.axhline(0, color=INK, linewidth=0.8)
        above.set(title=title, xlim=(0, 1000 * len(frame) / rate), ylim=(-1.15, 1.15), yticks=[-1, 0, 1])
        below.set(xlabel="time (ms)", title=f"sum {product.sum() + 0.0:.0f}".replace("-0", "0"))
    axes[0, 0].set_ylabel("frame, wave")
    axes[1, 0].set_ylabel("product")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    return fig


def frame_spectrum(frame: Values, power: Values, rate: int = 16_000) -> Figure:
    """Draw one frame and, beside it, its power at every bin of the Fourier transform, the strongest bin marked.

    Args:
        frame: `(samples,)`.
        power: `(bins,)`, from 0 Hz to half the rate.
        rate: in Hz.

    Returns:
        The figure.
    """
    frame, level = array(frame), _decibels(power)
    hz = np.linspace(0, rate / 2, len(level))
    fig, (left, right) = plots.figure(2.9, 1, 2, width_ratios=[1, 1.7])
    left.plot(1000 * np.arange(len(frame)) / rate, frame, linewidth=0.9)
    left.set(xlabel="time (ms)", ylabel="pressure", xlim=(0, 1000 * len(frame) / rate), title="one frame")
    best = int(level.argmax())
    right.plot(hz, level, linewidth=1.1)
    right.plot(hz[best], 0, "o", color=VERMILION)
    right.annotate(
        f"bin {best}: {hz[best]:,.0f} Hz", (hz[best], 0), xytext=(9, 3), textcoords="offset points", color=VERMILION
    )
    right.set(xlabel="frequency (Hz)", ylabel="power (dB)", xlim=(0, rate / 2), ylim=(-80, 9), title="its spectrum")
    return fig


def preparation(steps: Mapping[str, Values], rate: int = 16_000, n_fft: int = 512) -> Figure:
    """Draw a frame after every step of its preparation, and its spectrum; in grey the spectrum before the step.

    Args:
        steps: name to `(samples,)`.
        rate: in Hz.
        n_fft: length of the Fourier transform.

    Returns:
        The figure.
    """
    fig, axes = plots.figure(4.3, 2, len(steps), sharey="row")
    ms = 1000 * np.arange(len(array(next(iter(steps.values()))))) / rate
    hz, before = np.linspace(0, rate / 2000, n_fft // 2 + 1), None
    for (above, below), (name, values) in zip(axes.T, steps.items(), strict=True):
        values = array(values).astype(np.float64)
        level = _decibels(np.abs(np.fft.rfft(values, n=n_fft)) ** 2)
        above.plot(ms, values / np.abs(values).max(), linewidth=0.8)
        above.set(title=name, xlabel="time (ms)", yticks=[-1, 0, 1])
        if before is not None:
            below.plot(hz, before, color=QUIET, linewidth=0.9)
        below.plot(hz, level, linewidth=1.1, color=BLUE)
        below.set(xlabel="frequency (kHz)", ylim=(-80, 3), xlim=(0, rate / 2000), xticks=[0, 4, 8])
        before = level
    axes[0, 0].set_ylabel("share of peak")
    axes[1, 0].set_ylabel("power (dB)")
    return fig


def leakage(spectra: Mapping[str, Values], rate: int = 16_000, near: tuple[float, float] = (800.0, 1230.0)) -> Figure:
    """Draw the spectra of one sound under several windows: all frequencies, and beside them the ones near its peak.

    Args:
        spectra: name of the window to power, `(bins,)`, from 0 Hz to half the rate.
        rate: in Hz.
        near: the range of the right panel, in Hz.

    Returns:
        The figure.
    """
    fig, (left, right) = plots.figure(3.3, 1, 2, width_ratios=[1.9, 1], sharey=True)
    for (name, power), colour in zip(spectra.items(), (QUIET, VERMILION, BLUE), strict=False):
        level = _decibels(power)
        hz = np.linspace(0, rate / 2, len(level))
        for ax in (left, right):
            ax.plot(hz, level, label=name, linewidth=1.1, color=colour)
    left.set(xlabel="frequency (Hz)", ylabel="power (dB)", xlim=(0, rate / 2), ylim=(-120, 4))
    right.set(xlabel="frequency (Hz)", xlim=near, title="near the loud tone")
    fig.legend(*left.get_legend_handles_labels(), loc="outside upper left", ncols=len(spectra), columnspacing=1.2)
    return fig


def mel_curve(points: Values, pairs: Sequence[tuple[float, float]] = (), every: int = 10, rate: int = 16_000) -> Figure:
    """Draw the mel scale against frequency: steps of one height upwards are ever longer steps to the right.

    Args:
        points: `(points,)` evenly spaced, in mel.
        pairs: of frequencies in Hz, whose distance in mel is marked and written down.
        every: which of the points are drawn as steps.
        rate: in Hz.

    Returns:
        The figure.
    """
    points = array(points).astype(np.float64)
    hz = np.linspace(0, rate / 2, 801)
    fig, ax = plots.figure(3.8)
    ax.plot(hz, _mel(hz), linewidth=2.4)
    for mel in points[::every]:
        at = float(_hertz(mel))
        ax.plot([0, at, at], [mel, mel, 0], color=ORANGE, linewidth=1.0, zorder=1)
    for low, high in pairs:
        ends = _mel(np.array([low, high]))
        ax.plot([low, high], ends, color=VERMILION, linewidth=6, solid_capstyle="butt", zorder=3)
        left = low < rate / 4
        ax.annotate(
            f"{low:,.0f} to {high:,.0f} Hz:\n{ends[1] - ends[0]:.0f} mel",
            (high, ends[0]),
            xytext=(1000, 620) if left else (7950, 2250),
            ha="left" if left else "right",
            va="top",
            color=VERMILION,
            bbox={"facecolor": plots.CARD, "edgecolor": "none", "pad": 1.5},
            arrowprops={"arrowstyle": "-", "color": VERMILION},
        )
    ax.set(xlabel="frequency (Hz)", ylabel="mel", xlim=(0, rate / 2), ylim=(0, 2900))
    return fig


def mel_filters(points: Values, bank: Values, empty: int = 3, rate: int = 16_000) -> Figure:
    """Draw mel filters as triangles: on an axis in Hz, on one in mel, and the lowest seven with the bins they catch.

    Args:
        points: `(mels + 2,)` corners of the triangles, in mel. Filter j rises from j, peaks at j + 1, ends at j + 2.
        bank: `(bins, mels)` weights of the bins of the Fourier transform.
        empty: the filter to colour.
        rate: in Hz.

    Returns:
        The figure.
    """
    points, bank = array(points).astype(np.float64), array(bank)
    fig, (top, middle, bottom) = plots.figure(6.3, 3, 1, height_ratios=[1, 1, 1.7])
    for j in range(0, len(points) - 2, 8):
        mel, height = _triangle(points, j)
        top.plot(_hertz(mel), height, color=BLUE, linewidth=1.2)
        middle.plot(mel, height, color=BLUE, linewidth=1.2)
    top.set(xlabel="frequency (Hz)", xlim=(0, rate / 2), ylabel="weight", ylim=(0, 1.08), yticks=[0, 1])
    middle.set(xlabel="mel", xlim=(0, points[-1]), ylabel="weight", ylim=(0, 1.08), yticks=[0, 1])
    bins = np.arange(len(bank)) * rate / (2 * (len(bank) - 1))
    bottom.vlines(bins[:7], 0, 1.08, color=GRID, linewidth=1.4, zorder=0)
    for j in range(7):
        mel, height = _triangle(points, j)
        colour, hz, caught = VERMILION if j == empty else BLUE, _hertz(mel), bank[:, j] > 0
        bottom.plot(hz, height, color=colour, linewidth=2.4 if j == empty else 1.2)
        bottom.plot(bins[caught], bank[caught, j], "o", color=colour)
        if j == empty:
            bottom.annotate(f"filter {j}", (hz[32], 1.1), color=colour, ha="center")
    bottom.set(xlabel="frequency (Hz)", ylabel="weight", xlim=(0, 200), ylim=(0, 1.3), yticks=[0, 0.5, 1])
    return fig


def lowest_bins(mel: Values, noise: Values, count: int = 13, empty: int = 3, title: str = "") -> Figure:
    """Draw the spectrogram of a clip and, below it with colours of their own, the lowest bins of noise.

    Args:
        mel: `(frames, mels)` of the clip.
        noise: `(frames, mels)` of noise.
        count: how many bins the lower picture shows.
        empty: the bin to point out.
        title: above the figure.

    Returns:
        The figure.
    """
    noise = array(noise)
    fig, (whole, zoomed) = plots.figure(5.2, 2, 1, height_ratios=[1.7, 1])
    plots.mel(mel, ax=whole, label="ln of power", title=title)
    whole.set(xlabel="")
    low = zoomed.imshow(
        noise[:, :count].T,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        extent=(0, len(noise) / 100, -0.5, count - 0.5),
    )
    bar = fig.colorbar(low, ax=zoomed, pad=0.02, aspect=12)
    bar.outline.set_visible(False)
    zoomed.set(xlabel="time (s)", ylabel="mel bin", yticks=[0, empty, 6, 9, 12], title="noise, the lowest bins")
    zoomed.get_yticklabels()[1].set(color=VERMILION, fontweight="bold")
    return fig


def frame_to_column(
    samples: Values,
    tapered: Values,
    power: Values,
    mel: Values,
    frame: int,
    section: tuple[int, int],
    rate: int = 16_000,
) -> Figure:
    """Draw how one frame becomes one column: the waveform with the frame boxed, the frame, its spectrum, the column.

    Figures for different frames of one section have equal axes, so they can be turned as the pages of a flipbook.

    Args:
        samples: `(samples,)`.
        tapered: `(frames, 400)` prepared frames.
        power: `(frames, bins)` their power spectra.
        mel: `(frames, mels)` log-mel spectrogram.
        frame: which frame.
        section: the first frame that is shown, and the one after the last.
        rate: in Hz.

    Returns:
        The figure.
    """
    plots.style()
    fig = plots.Plot(figsize=(plots.WIDTH, 6.3))  # places are fixed, so that nothing jumps from page to page
    places = {
        "sound": (0.11, 0.86, 0.64, 0.13),
        "frame": (0.06, 0.55, 0.25, 0.22),
        "spectrum": (0.44, 0.55, 0.53, 0.22),
        "mel": (0.11, 0.09, 0.64, 0.33),
        "column": (0.79, 0.09, 0.18, 0.33),
    }
    axes = {name: fig.add_axes(place) for name, place in places.items()}
    part = slice(*section)
    _sound_with_box(axes["sound"], array(samples), frame, section, rate)
    fig.text(0.79, 0.92, f"frame {frame}", va="center", color=VERMILION, fontsize=15)
    tapered = array(tapered)
    axes["frame"].plot(1000 * np.arange(tapered.shape[1]) / rate, tapered[frame], linewidth=0.8, color=VERMILION)
    most = 1.05 * np.abs(tapered[part]).max()
    axes["frame"].set(xlabel="time (ms)", ylim=(-most, most), yticks=[], title="windowed")
    _spectrum_with_triangles(axes["spectrum"], array(power), array(mel).shape[1], frame, part, rate)
    _columns_so_far(axes["mel"], axes["column"], array(mel), frame, section)
    return fig


def _sound_with_box(
    ax: Axes, samples: Numbers, frame: int, section: tuple[int, int], rate: int, hop: int = 160
) -> None:
    """The waveform of a section, and a box around one frame of 25 ms."""
    first, last = section[0] * hop, (section[1] - 1) * hop + 400
    piece = samples[first:last]
    most = 1.1 * np.abs(piece).max()
    ax.plot(np.arange(first, last) / rate, piece, linewidth=0.6, color=BLUE)
    ax.add_patch(
        Rectangle(
            (frame * hop / rate, -most),
            0.025,
            2 * most,
            facecolor=ORANGE,
            edgecolor=VERMILION,
            alpha=0.35,
            linewidth=2,
        )
    )
    ax.set(xlim=(first / rate, last / rate), ylim=(-most, most), yticks=[], ylabel="sound")
    ax.tick_params(labelbottom=False)


def _spectrum_with_triangles(ax: Axes, power: Numbers, mels: int, frame: int, part: slice, rate: int) -> None:
    """The spectrum of a frame in natural logarithms, and every eighth mel triangle, scaled to the axes."""
    level = np.log(np.maximum(power, 1e-10))
    low, high = np.quantile(level[part], 0.01), level[part].max() + 1
    first, last = _mel(np.array([20, rate / 2]))
    corners = np.linspace(first, last, mels + 2)
    for j in range(0, mels, 8):
        mel, height = _triangle(corners, j)
        khz, top = _hertz(mel) / 1000, low + height * (high - low)
        ax.fill_between(khz, low, top, color=SKY, alpha=0.35, linewidth=0)
    ax.plot(np.linspace(0, rate / 2000, power.shape[1]), level[frame], linewidth=1.1, color=VERMILION)
    ax.set(xlabel="frequency (kHz)", ylabel="ln of power", title="spectrum, every 8th filter")
    ax.set(xlim=(0, rate / 2000), ylim=(low, high))


def _columns_so_far(left: Axes, right: Axes, mel: Numbers, frame: int, section: tuple[int, int]) -> None:
    """The columns up to one frame, centred on their frames, and the newest of them as a line beside it."""
    first, end = section
    shown = np.full((end - first, mel.shape[1]), np.nan)  # what is not there yet is not drawn
    shown[: frame + 1 - first] = mel[first : frame + 1]
    low, high = mel[first:end].min(), mel[first:end].max()
    start = first / 100 + 0.0075  # a frame of 25 ms has its middle at 12.5 ms, and a column is 10 ms wide
    left.set_facecolor(GRID)
    left.imshow(
        shown.T,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        vmin=low,
        vmax=high,
        extent=(start, start + (end - first) / 100, -0.5, mel.shape[1] - 0.5),
    )
    left.add_patch(
        Rectangle(
            (start + (frame - first) / 100, -0.5), 0.01, mel.shape[1], facecolor="none", edgecolor=ORANGE, linewidth=2
        )
    )
    left.xaxis.set_major_locator(MultipleLocator(0.05))
    left.set(xlim=(first / 100, (end - 1) / 100 + 0.025), xlabel="time (s)", ylabel="mel bin", yticks=[0, 32, 64, 96])
    right.plot(mel[frame], np.arange(mel.shape[1]), color=VERMILION, linewidth=1.2)
    right.set(xlabel="ln of power", xlim=(low - 0.5, high + 0.5), ylim=left.get_ylim(), yticklabels=[], title="column")
