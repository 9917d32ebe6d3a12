"""The figures of the chapters, in one house style.

Every function takes arrays or tensors, draws on `ax` (or on a new figure) and returns the figure. pyplot is not used,
so no window opens, no back end is chosen, and a figure at the end of a cell is shown once.

Chapters: notebooks/01_sound_to_spectrogram.ipynb (waveform, mel, filterbank),
notebooks/02_spectrogram_to_tokens.ipynb (patches), notebooks/04_the_whole_ast.ipynb (whole_network),
notebooks/05_pictures_to_sound.ipynb (position_similarity), notebooks/09_esc50.ipynb (curves, confusion),
notebooks/12_the_ablations.ipynb (ablation), notebooks/14_looking_inside.ipynb (attention).
"""

import io
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from .errors import InvalidInput, MissingPackage
from .frontend import LOW_HZ, hz_to_mel

try:
    import matplotlib
    from cycler import cycler
    from matplotlib.axes import Axes
    from matplotlib.colors import LinearSegmentedColormap, to_rgba
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle
    from matplotlib.ticker import MaxNLocator
except ImportError as error:
    raise MissingPackage('figures are drawn by matplotlib: pip install "astlib[book]"') from error

# Okabe and Ito's palette: distinct for every common kind of colour vision. Yellow is not among the colours of lines,
# because it can hardly be seen on a light card.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
LINES = [BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK]
INK, GRID, CARD = "#22262B", "#D9DCE0", "#FFFFFF"  # CARD is opaque: the figure stays readable on a dark page
WIDTH = 6.0  # inches; with 13 pt text a label is still about 10 px high on a 390 px phone

STYLE: dict[str, Any] = {
    "figure.dpi": 116,
    "figure.facecolor": CARD,
    "savefig.facecolor": CARD,
    "axes.facecolor": CARD,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "font.family": "DejaVu Sans",
    "font.size": 13,
    "axes.titlesize": 13,
    "axes.labelsize": 13,
    "xtick.labelsize": 12,
    "ytick.labelsize": 12,
    "legend.fontsize": 12,
    "legend.frameon": False,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=LINES),
    "lines.linewidth": 1.8,
    "axes.grid": False,
    "grid.color": GRID,
    "image.cmap": "magma",
}


Values: TypeAlias = ArrayLike | torch.Tensor  # a list, an array, or a tensor on any device


class Plot(Figure):
    """A figure that shows itself as a PNG at the end of a cell, with or without pyplot's hooks."""

    def _repr_png_(self) -> bytes:
        return png(self)


def style() -> dict[str, Any]:
    """Make the house style the current one. `figure` calls it, so every figure here has it.

    Returns:
        The style, as matplotlib's parameters.
    """
    matplotlib.rcParams.update(STYLE)  # type: ignore[arg-type]  # matplotlib lists every key as a literal
    return STYLE


def figure(height: float = 3.0, rows: int = 1, cols: int = 1, **subplots: Any) -> tuple["Plot", Any]:
    """Make a new figure in the house style, as wide as the book's text.

    Args:
        height: in inches.
        rows: number of axes from top to bottom.
        cols: number of axes from left to right.
        **subplots: passed on to matplotlib's `Figure.subplots`.

    Returns:
        The figure, and its axes: one, or an array of them, as `Figure.subplots` gives them.
    """
    style()
    fig = Plot(figsize=(WIDTH, height), layout="constrained")
    return fig, fig.subplots(rows, cols, **subplots)


def png(fig: Figure) -> bytes:
    """Draw a figure as a PNG file.

    Args:
        fig: the figure.

    Returns:
        The bytes of the file.
    """
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=fig.dpi)
    return buffer.getvalue()


def array(values: Values) -> NDArray[Any]:
    """Turn a list, an array or a tensor into an array.

    Args:
        values: the numbers. A tensor may be on a GPU and may require a gradient.

    Returns:
        The same numbers as an array on the CPU.
    """
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
    return np.asarray(values)


def _axes(ax: Axes | None, height: float) -> Axes:
    """The given axes, or those of a new figure of this height in inches."""
    if ax is None:
        new: Axes = figure(height)[1]
        return new
    return ax


def _figure(ax: Axes) -> Figure:
    """The figure that axes lie in."""
    fig = ax.figure
    if not isinstance(fig, Figure):
        raise InvalidInput("these axes belong to no figure: they were removed, or they lie in a SubFigure")
    return fig


def _matrix(values: Values, what: str) -> NDArray[Any]:
    matrix = array(values)
    if matrix.ndim == 3 and len(matrix) == 1:
        matrix = matrix[0]
    if matrix.ndim != 2:
        raise InvalidInput(f"expected one {what}, found shape {matrix.shape}: draw one item of a batch")
    return matrix


def waveform(samples: Values, rate: int = 16_000, ax: Axes | None = None, title: str = "", color: str = BLUE) -> Figure:
    """Draw air pressure against time.

    Args:
        samples: `(samples,)` in [-1, 1].
        rate: in Hz; the time axis is in seconds.
        ax: where to draw; None makes a new figure.
        title: above the axes.
        color: of the line.

    Returns:
        The figure.
    """
    ax = _axes(ax, 2.2)
    samples = array(samples)
    ax.plot(np.arange(len(samples)) / rate, samples, color=color, linewidth=0.7)
    ax.set(xlabel="time (s)", ylabel="pressure", title=title, xlim=(0, len(samples) / rate))
    ax.axhline(0, color=GRID, linewidth=0.8, zorder=0)
    return _figure(ax)


def mel_bin_of(hz: Values, n_mels: int = 128, rate: int = 16_000) -> NDArray[np.float64]:
    """Find where a frequency lies on the axis of mel bins: bin m has its centre at m.

    Args:
        hz: frequencies in Hz.
        n_mels: number of mel bins.
        rate: sample rate in Hz.

    Returns:
        Places on the axis, in bins.
    """
    low, high, mels = (hz_to_mel(torch.as_tensor(f, dtype=torch.float64)) for f in (LOW_HZ, rate / 2, hz))
    places: NDArray[np.float64] = ((mels - low) / (high - low) * (n_mels + 1) - 1).numpy()
    return places


def mel(
    values: Values,
    ax: Axes | None = None,
    title: str = "",
    colorbar: bool = True,
    limits: tuple[float, float] | None = None,
    hop: float = 0.010,
    label: str = "natural log of energy",
) -> Figure:
    """Draw a log-mel spectrogram. The left axis counts mel bins, the right axis gives their centre frequencies in Hz.

    Args:
        values: `(frames, mels)`, or a batch of one.
        ax: where to draw; None makes a new figure.
        title: above the axes.
        colorbar: whether to explain the colours.
        limits: range of the colours; None takes that of the values.
        hop: between two frames, in seconds.
        label: of the colours.

    Returns:
        The figure.

    Raises:
        InvalidInput: more than one spectrogram.
    """
    ax = _axes(ax, 3.0)
    values = _matrix(values, "spectrogram (frames, mels)")
    frames, mels = values.shape
    low, high = limits or (values.min(), values.max())
    image = ax.imshow(
        values.T,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        vmin=low,
        vmax=high,
        extent=(0, frames * hop, -0.5, mels - 0.5),
    )
    ax.set(xlabel="time (s)", ylabel="mel bin", title=title, yticks=np.arange(0, mels, max(1, mels // 4)))
    ticks = [100, 500, 1000, 2000, 4000]
    side = ax.secondary_yaxis("right")
    side.set_yticks(mel_bin_of(ticks, mels), [f"{t / 1000:g} kHz" if t >= 1000 else f"{t} Hz" for t in ticks])
    if colorbar:
        bar = _figure(ax).colorbar(image, ax=ax, pad=0.02, aspect=25)
        bar.set_label(label)
        bar.outline.set_visible(False)
    return _figure(ax)


def filterbank(
    weights: Values, rate: int = 16_000, ax: Axes | None = None, title: str = "", highlight: Iterable[int] = ()
) -> Figure:
    """Draw the triangles of a mel filter bank.

    Args:
        weights: `(mels, bins)`, the bins evenly spaced up to half the rate.
        rate: sample rate in Hz.
        ax: where to draw; None makes a new figure.
        title: above the axes.
        highlight: numbers of the filters to colour.

    Returns:
        The figure.

    Raises:
        InvalidInput: another shape.
    """
    ax = _axes(ax, 2.6)
    weights = _matrix(weights, "filter bank (mels, bins)")
    hz = np.arange(weights.shape[1]) * rate / (2 * (weights.shape[1] - 1))
    colours = dict(zip(highlight, LINES[1:], strict=False))
    for index, row in enumerate(weights):
        chosen = index in colours
        ax.plot(
            hz,
            row,
            color=colours.get(index, SKY),
            linewidth=2.2 if chosen else 0.9,
            zorder=3 if chosen else 2,
            label=f"filter {index}" if chosen else None,
        )
    ax.set(xlabel="frequency (Hz)", ylabel="weight", title=title, xlim=(0, hz[-1]), ylim=(0, 1.05))
    if colours:
        ax.legend()
    return _figure(ax)


def patches(
    values: Values,
    stride: tuple[int, int] = (10, 10),
    patch: tuple[int, int] = (16, 16),
    highlight: tuple[int, int] = (0, 0),
    ax: Axes | None = None,
    title: str = "",
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Draw the patches that become tokens over a spectrogram. Axes count frames and mel bins.

    Every patch is outlined; the highlighted one and its next neighbours in time and in frequency are coloured.

    Args:
        values: `(frames, mels)`, or a batch of one.
        stride: hop of the patches in mel bins and in frames.
        patch: their height in mel bins and their width in frames.
        highlight: row and column of the highlighted patch in the token grid.
        ax: where to draw; None makes a new figure.
        title: above the axes.
        limits: range of the colours; None takes that of the values.

    Returns:
        The figure.

    Raises:
        InvalidInput: more than one spectrogram.
    """
    ax = _axes(ax, 3.6)
    values = _matrix(values, "spectrogram (frames, mels)")
    frames, mels = values.shape
    low, high = limits or (values.min(), values.max())
    ax.imshow(
        values.T,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        vmin=low,
        vmax=high,
        extent=(0, frames, 0, mels),
    )
    rows, cols = (mels - patch[0]) // stride[0] + 1, (frames - patch[1]) // stride[1] + 1
    near = {(0, 0): ORANGE, (0, 1): SKY, (1, 0): GREEN}
    for f in range(rows):
        for t in range(cols):
            colour = near.get((f - highlight[0], t - highlight[1]))
            ax.add_patch(
                Rectangle(
                    (t * stride[1], f * stride[0]),
                    patch[1],
                    patch[0],
                    facecolor="none",
                    edgecolor=colour or "white",
                    linewidth=2.6 if colour else 0.6,
                    alpha=1.0 if colour else 0.5,
                    zorder=4 if colour == ORANGE else 3 if colour else 2,
                )
            )
    ax.set(xlabel="frame", ylabel="mel bin", title=title, xlim=(0, frames), ylim=(0, mels))
    ax.set_yticks(np.arange(0, mels + 1, max(1, mels // 4)))
    return _figure(ax)


def position_similarity(
    pos_embed: Values,
    grid: tuple[int, int],
    prefix: int,
    rows: int = 4,
    cols: int = 6,
    origin: Literal["lower", "upper"] = "lower",
    title: str = "",
) -> Figure:
    """Draw how similar the position embeddings are: one small map for each of some chosen positions.

    A map shows the cosine similarity of the position in the ring with every other one.

    Args:
        pos_embed: `(1, prefix + f*t, dim)`, frequency outer, time inner.
        grid: `(f, t)`.
        prefix: number of class tokens in front.
        rows: how many chosen positions in frequency.
        cols: how many chosen positions in time.
        origin: "lower" puts low frequencies at the bottom, "upper" keeps the top of a picture at the top.
        title: above the maps.

    Returns:
        The figure.

    Raises:
        InvalidInput: the shape does not fit the grid.
    """
    pos = array(pos_embed).astype(np.float64)
    f, t = grid
    if pos.ndim != 3 or pos.shape[1] != prefix + f * t:
        raise InvalidInput(f"expected pos_embed (1, {prefix} + {f}*{t}, dim), found shape {pos.shape}")
    pos = pos[0, prefix:]
    pos = pos / np.linalg.norm(pos, axis=1, keepdims=True).clip(min=1e-12)
    rows, cols = min(rows, f), min(cols, t)
    # The middle of `rows` equal bands, so that no chosen position lies at the border.
    chosen_f = ((np.arange(rows) + 0.5) * f / rows).astype(int)
    chosen_t = ((np.arange(cols) + 0.5) * t / cols).astype(int)
    index = chosen_f[:, None] * t + chosen_t[None, :]
    maps = (pos[index.ravel()] @ pos.T).reshape(rows, cols, f, t)
    cell = WIDTH / cols * min(max(f / t, 0.45), 1.0)
    fig, axes = figure(rows * cell + 0.9, rows, cols, squeeze=False)
    low, high = np.percentile(maps, 1), np.percentile(maps[maps < 0.999], 99.5)
    order = range(rows) if origin == "upper" else range(rows - 1, -1, -1)
    for place, row in enumerate(order):
        for col in range(cols):
            ax = axes[place, col]
            image = ax.imshow(maps[row, col], origin=origin, vmin=low, vmax=high, cmap="viridis", aspect="auto")
            ax.plot(chosen_t[col], chosen_f[row], "o", markersize=6, markerfacecolor="none", markeredgecolor="white")
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
    bar = fig.colorbar(image, ax=axes, orientation="horizontal", aspect=50, pad=0.03)
    bar.set_label("cosine similarity with the position in the ring")
    bar.outline.set_visible(False)
    if title:
        fig.suptitle(title, x=0.02, ha="left", fontsize=STYLE["axes.titlesize"])
    return fig


def curves(
    runs: Mapping[str, Values],
    ylabel: str = "accuracy (%)",
    reference: Mapping[str, float] | None = None,
    ax: Axes | None = None,
    title: str = "",
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Draw the learning curves of several runs, each labelled at its own end.

    Args:
        runs: label to the values of epoch 1, 2, and so on.
        ylabel: of the vertical axis.
        reference: label to a published number, drawn as a dashed line.
        ax: where to draw; None makes a new figure.
        title: above the axes.
        limits: range of the vertical axis.

    Returns:
        The figure.

    Raises:
        InvalidInput: there is no run.
    """
    if not runs:
        raise InvalidInput("expected at least one run, found none: pass {label: [value of epoch 1, ...]}")
    ax = _axes(ax, 3.4)
    ends = []
    for number, (label, values) in enumerate(runs.items()):
        values, colour = array(values).astype(float), LINES[number % len(LINES)]
        epochs = np.arange(1, len(values) + 1)
        ax.plot(epochs, values, color=colour, marker="o", markersize=3.5)
        ends.append((values[-1], f" {label}", colour))
    longest = max(len(array(values)) for values in runs.values())
    for label, value in (reference or {}).items():
        ax.axhline(value, color=INK, linewidth=1.0, linestyle=(0, (5, 4)))
        ends.append((value, f" {label}", INK))
    ax.set(xlabel="epoch", ylabel=ylabel, title=title, xlim=(0.8, longest + 0.2), ylim=limits)
    ends.sort(key=lambda end: end[0])
    steps = 0.075 * np.ptp(ax.get_ylim()) * np.arange(len(ends))  # labels are pushed up until none covers another
    heights = np.maximum.accumulate([value for value, _, _ in ends] - steps) + steps
    for (_, label, colour), y in zip(ends, heights, strict=True):
        ax.annotate(
            label,
            (1.0, y),
            xycoords=("axes fraction", "data"),
            color=colour,
            va="center",
            fontsize=STYLE["legend.fontsize"],
        )
    ax.xaxis.set_major_locator(MaxNLocator(nbins="auto", steps=[1, 2, 2.5, 5, 10], integer=True))  # whole epochs
    ax.grid(axis="y")
    ax.set_axisbelow(True)
    return _figure(ax)


def confusion(matrix: Values, labels: Sequence[str], ax: Axes | None = None, title: str = "") -> Figure:
    """Draw which class was taken for which.

    Args:
        matrix: `(classes, classes)` counts; a row is the true class.
        labels: names of the classes.
        ax: where to draw; None makes a new figure.
        title: above the axes.

    Returns:
        The figure.

    Raises:
        InvalidInput: the matrix is no square of this many classes.
    """
    counts = _matrix(matrix, "confusion matrix (classes, classes)")
    if counts.shape != (len(labels), len(labels)):
        raise InvalidInput(f"expected a square for {len(labels)} labels, found shape {counts.shape}")
    ax = _axes(ax, 2.0 + 0.34 * min(len(labels), 12))
    fraction = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    ax.imshow(fraction, cmap="Blues", vmin=0, vmax=1)
    ax.set_xticks(range(len(labels)), labels, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(labels)), labels)
    ax.set(xlabel="predicted", ylabel="true", title=title)
    ax.spines[:].set_visible(False)
    if len(labels) <= 12:
        for (row, col), count in np.ndenumerate(counts):
            if count:
                ax.text(
                    col,
                    row,
                    f"{count:g}",
                    ha="center",
                    va="center",
                    fontsize=11,
                    color="white" if fraction[row, col] > 0.5 else INK,
                )
    return _figure(ax)


def whole_network(
    samples: Values,
    values: Values,
    stride: int,
    states: Sequence[Values],
    pooled: Values,
    logits: Values,
    rate: int = 16_000,
) -> Figure:
    """Draw one clip at every stage of the network; each picture shows the numbers themselves.

    Args:
        samples: `(samples,)`.
        values: log-mel `(frames, mels)`, cut into patches of 16.
        stride: hop of the patches on both axes.
        states: the tokens `(tokens, dim)` before the first block and after each block.
        pooled: `(dim,)`, the mean of the class tokens.
        logits: `(classes,)`.
        rate: in Hz.

    Returns:
        The figure.

    Raises:
        InvalidInput: a state or a spectrogram of another shape.
    """
    fig, axes = figure(8.2, 6, 1, height_ratios=[0.6, 1.3, 1.3, 0.9, 0.25, 0.8])
    waveform(samples, rate, ax=axes[0], title=f"sound: {array(samples).size:,} samples")
    frames, mels = _matrix(values, "spectrogram (frames, mels)").shape
    patches(values, (stride, stride), highlight=(-9, -9), ax=axes[1], title=f"log-mel: {frames} frames x {mels} bins")
    pages = []
    for state in states:  # each on a scale of its own, because the tokens grow from block to block
        state = _matrix(state, "matrix of tokens (tokens, dim)")
        pages.append(np.pad(state.T / np.percentile(np.abs(state), 98), ((0, 0), (0, 20)), constant_values=np.nan))
    dim, wide = pages[0].shape
    vector, scores = array(pooled).reshape(1, -1), array(logits).ravel()
    pictures = [pages[0][:, : wide - 20], np.hstack(pages[1:])[:, :-20], vector / np.abs(vector).max()]
    for ax, picture in zip(axes[2:5], pictures, strict=True):
        ax.imshow(picture, aspect="auto", interpolation="none", cmap="RdBu_r", vmin=-1, vmax=1)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    axes[2].set(title=f"{wide - 20} tokens of {dim} numbers, one per column", xlabel="token", ylabel="number")
    axes[3].set(title="the same tokens after every block", xlabel="block", ylabel="number")
    axes[3].set_xticks([wide * i + wide / 2 for i in range(len(pages) - 1)], range(1, len(pages)))
    axes[3].tick_params(length=0)
    axes[4].set(title=f"the mean of the class tokens: {vector.size} numbers")
    colours = [VERMILION if score == scores.max() else SKY for score in scores]
    axes[5].bar(range(scores.size), scores, color=colours)
    axes[5].set(title=f"{scores.size} logits, one per class", xlabel="class", ylabel="logit", xlim=(-1, scores.size))
    return fig


def attention(
    values: Values,
    weights: Values,
    ax: Axes | None = None,
    title: str = "",
    colorbar: bool = True,
    limits: tuple[float, float] | None = None,
    hop: float = 0.010,
    label: str = "× uniform weight",
) -> Figure:
    """Draw a spectrogram in grey, dark where it is loud, and a map over it in colour: the more colour, the larger.

    Args:
        values: log-mel `(frames, mels)`.
        weights: the map, of the same shape. Negative values are blue, NaN stays without colour.
        ax: where to draw; None makes a new figure.
        title: above the axes.
        colorbar: whether to explain the colours.
        limits: range of the colours; None takes that of the map.
        hop: between two frames, in seconds.
        label: of the colours.

    Returns:
        The figure.

    Raises:
        InvalidInput: spectrogram and map differ in shape.
    """
    ax = _axes(ax, 3.0)
    values, weights = _matrix(values, "spectrogram (frames, mels)"), _matrix(weights, "map (frames, mels)")
    if values.shape != weights.shape:
        raise InvalidInput(f"spectrogram and map differ in shape: {values.shape} and {weights.shape}")
    loud = np.percentile(values, 99.8)
    mel(values, ax, title, colorbar=False, limits=(loud - 11, loud + 4), hop=hop)  # 48 dB; never black under the map
    ax.images[0].set_cmap("gray_r")
    high = np.nanmax(np.abs(weights))
    low, high = limits or (-high if np.nanmin(weights) < 0 else 0, high)  # no colour at zero
    ends = [to_rgba(VERMILION, 0), to_rgba(VERMILION, 0.85)]
    if low < 0:
        ends = [to_rgba(BLUE, 0.85), (1, 1, 1, 0), ends[1]]
    colours = LinearSegmentedColormap.from_list("map", ends)
    image = ax.imshow(
        weights.T,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        vmin=low,
        vmax=high,
        cmap=colours,
        extent=ax.images[0].get_extent(),
    )
    if colorbar:
        bar = _figure(ax).colorbar(image, ax=ax, pad=0.02, aspect=25)
        bar.set_label(label)
        bar.outline.set_visible(False)
    return _figure(ax)


def ablation(
    cells: Mapping[str, tuple[Sequence[float], float | None]],
    xlabel: str = "accuracy (%)",
    theirs: str = "mAP, published",
) -> Figure:
    """Draw a table, one line per cell: our runs (rings) and their mean (bar), and the published number (diamond).

    The left axis spans five points or more, so that small differences look small. Where nothing was published there is
    one panel.

    Args:
        cells: label to our values in per cent and the published number, if any; without values it says "not run".
        xlabel: of the left panel.
        theirs: label of the right panel.

    Returns:
        The figure.
    """
    known = any(published is not None for _, published in cells.values())
    fig, ((left, *right),) = figure(
        0.9 + 0.52 * len(cells),
        1,
        1 + known,
        sharey=True,
        squeeze=False,
        subplot_kw={"xlabel": theirs, "xmargin": 0.2, "axisbelow": True},
    )
    for row, (values, published) in enumerate(cells.values()):
        left.plot(values, [row] * len(values), "o", color=BLUE, fillstyle="none", markersize=7)
        shown = [(left, float(np.mean(values)), "|", 20)] if len(values) else []
        shown += [(ax, published, "D", 7) for ax in right if published is not None]
        for ax, number, mark, size in shown:
            ax.plot(number, row, mark, color=VERMILION, markersize=size, markeredgewidth=2.5)
            ax.annotate(f"{number:.3g}", (number, row - 0.28), ha="center", fontsize=11)
            ax.grid(visible=True, axis="y")
        if not len(values):
            left.text(0.5, row, "not run", transform=left.get_yaxis_transform(), ha="center", va="center")
    middle, half = np.mean(left.get_xlim()), max(2.5, np.ptp(left.get_xlim()) / 2)
    left.set(xlabel=xlabel, xlim=(middle - half, middle + half), ylim=(len(cells) - 0.5, -0.6))
    left.set_yticks(range(len(cells)), [textwrap.fill(label, 22, break_on_hyphens=False) for label in cells])
    left.tick_params(labelbottom=any(len(values) for values, _ in cells.values()))
    return fig
