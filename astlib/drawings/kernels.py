"""The patch kernels of a picture network: their main patterns, and what an edge detector does with a spectrogram.

Chapter: notebooks/05_pictures_to_sound.ipynb
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..errors import InvalidInput
from ..plots import BLUE, SKY, Values, array, figure, mel

Array = NDArray[np.float64]


def principal(kernels: Values, count: int = 24) -> Array:
    """Compute the principal components of patch kernels, the patterns that they are mixed from.

    This is how the ViT paper shows its kernels (its figure 7, left). A component's sign means nothing; here the number
    that is farthest from zero is positive.

    Args:
        kernels: `(dim, channels, height, width)`.
        count: how many components, the ones with most variance first.

    Returns:
        `(count, channels, height, width)`, each of length 1.

    Raises:
        InvalidInput: another shape, or more components than kernels.
    """
    weights = array(kernels).astype(np.float64)
    if weights.ndim != 4 or not 1 <= count <= len(weights):
        raise InvalidInput(f"expected kernels (dim, channels, height, width) and at most dim components, "
                           f"found shape {weights.shape} and {count} components")  # fmt: skip
    flat = weights.reshape(len(weights), -1)
    components = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False)[2][:count]  # (count, numbers)
    farthest = np.abs(components).argmax(axis=1)[:, None]
    components = components * np.sign(np.take_along_axis(components, farthest, axis=1))
    patterns: Array = components.reshape(count, *weights.shape[1:])
    return patterns


def kept_by_sum(patterns: Values) -> Array:
    """Compute what of each colour pattern is left when its colours are summed.

    Args:
        patterns: `(count, 3, height, width)`.

    Returns:
        `(count,)`: 1 for a pattern that is grey already, 0 for one that only compares colours.
    """
    colours = array(patterns).astype(np.float64)
    left: Array = (colours.sum(axis=1) ** 2).sum(axis=(1, 2)) / (3 * (colours**2).sum(axis=(1, 2, 3)))
    return left


def mosaic(tiles: Values, columns: int) -> Array:
    """Put tiles into one picture, with a white line between them.

    Args:
        tiles: `(count, channels, height, width)`, in [0, 1].
        columns: tiles in a row; the count is a multiple of it.

    Returns:
        `(rows * (height + 2), columns * (width + 2), channels)`.
    """
    padded = np.pad(array(tiles), ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=1.0)
    count, channels, height, width = padded.shape
    grid = padded.reshape(count // columns, columns, channels, height, width)
    return grid.transpose(0, 3, 1, 4, 2).reshape(-1, columns * width, channels)


def _scaled(patterns: Values) -> Array:
    """Patterns as colours in [0, 1], each on a scale of its own; 0 becomes the middle."""
    values = array(patterns).astype(np.float64)
    scaled: Array = values / np.abs(values).max(axis=(1, 2, 3), keepdims=True) / 2 + 0.5
    return scaled


def _picture(ax: Axes, pixels: Array, title: str) -> None:
    """Draw a picture without ticks and frame."""
    ax.imshow(pixels, cmap="gray", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[], title=title)
    ax.spines[:].set_visible(False)


def colours(patterns: Values, columns: int = 12) -> Figure:
    """Draw colour patterns, and below them what is left of each when its colours are summed.

    Args:
        patterns: `(count, 3, height, width)`, such as `principal` gives.
        columns: patterns in a row.

    Returns:
        The figure.
    """
    shown = _scaled(patterns)
    fig, axes = figure(3.1, 2, 1)
    _picture(axes[0], mosaic(shown, columns), "red, green and blue")
    _picture(axes[1], mosaic(shown.mean(axis=1, keepdims=True), columns), "the three summed, on the same scale")
    return fig


def opening(patterns: Values, values: Values, accuracies: Mapping[str, float], looks: str, hears: str) -> Figure:
    """Draw what a picture network looks for, a spectrogram, and two accuracies: with photographs and without.

    Args:
        patterns: `(count, 3, height, width)`; the count is a square number.
        values: log-mel `(frames, mels)`.
        accuracies: label to accuracy in per cent, the last one with ImageNet.
        looks: title of the patterns.
        hears: title of the spectrogram.

    Returns:
        The figure.
    """
    fig, whole = figure(4.7)
    whole.remove()
    grid = fig.add_gridspec(2, 2, height_ratios=[3.2, 1], width_ratios=[1, 1.25])
    columns = round(len(array(patterns)) ** 0.5)
    _picture(fig.add_subplot(grid[0, 0]), mosaic(_scaled(patterns), columns), looks)
    mel(values, fig.add_subplot(grid[0, 1]), hears, colorbar=False)
    ax = fig.add_subplot(grid[1, :])
    for place, (label, accuracy) in enumerate(accuracies.items()):
        ax.barh(place, accuracy, color=BLUE if place == len(accuracies) - 1 else SKY)
        ax.text(accuracy + 1, place, f"{accuracy:.0f} %  {label}", va="center")
    ax.set(xlim=(0, 100), xlabel="accuracy of a linear probe on ESC-50 (%)", yticks=[])
    ax.spines["left"].set_visible(False)
    ax.invert_yaxis()
    return fig


def ramps(side: int = 16) -> dict[str, Array]:
    """Make two ideal edge detectors.

    Args:
        side: of the kernels, in pixels.

    Returns:
        "left to right" and "low to high": `(side, side)`, the first axis from low to high, both of length 1.
    """
    ramp = np.tile(np.linspace(-1, 1, side), (side, 1))
    ramp /= np.linalg.norm(ramp)
    return {"left to right": ramp, "low to high": ramp.T}


def cosines(kernels: Values) -> dict[str, Array]:
    """Compare kernels with the two ideal edge detectors, all without their mean.

    Args:
        kernels: `(dim, side, side)`, the first axis of a kernel from low to high.

    Returns:
        "left to right" and "low to high": the cosines, `(dim,)`.
    """
    centred = array(kernels).astype(np.float64)
    centred = centred - centred.mean(axis=(1, 2), keepdims=True)
    lengths = np.sqrt((centred**2).sum(axis=(1, 2))).clip(min=1e-12)
    return {name: np.einsum("dij,ij->d", centred, ramp) / lengths for name, ramp in ramps(centred.shape[-1]).items()}


def nearest(kernels: Values) -> dict[str, int]:
    """Find the kernel that answers to one kind of edge and least to the other: largest difference of |cosine|.

    Args:
        kernels: `(dim, side, side)`.

    Returns:
        "left to right" and "low to high": the number of a kernel.
    """
    alike = {name: np.abs(values) for name, values in cosines(kernels).items()}
    first, second = alike
    return {
        first: int((alike[first] - alike[second]).argmax()),
        second: int((alike[second] - alike[first]).argmax()),
    }


def response(values: Values, kernel: Values) -> Array:
    """Slide a kernel over a spectrogram, one frame and one mel bin at a time.

    Args:
        values: `(frames, mels)`.
        kernel: `(side, side)`, the first axis from low to high; its mean is taken off.

    Returns:
        `(mels - side + 1, frames - side + 1)`.
    """
    picture, weights = array(values).astype(np.float64).T, array(kernel).astype(np.float64)
    weights = weights - weights.mean()
    windows = np.lib.stride_tricks.sliding_window_view(picture, weights.shape)
    answer: Array = np.einsum("ftij,ij->ft", windows, weights)
    return answer


def edges(values: Values, kernels: Values, hop: float = 0.010) -> Figure:
    """Draw a spectrogram, and what ideal edge detectors and the network's nearest kernels make of it.

    Args:
        values: log-mel `(frames, mels)`, normalised.
        kernels: `(dim, side, side)`, summed over the colours, the first axis from low to high.
        hop: between two frames, in seconds.

    Returns:
        The figure.
    """
    summed, chosen, alike = array(kernels), nearest(kernels), cosines(kernels)
    rows: list[tuple[str, Any]] = []
    for name, ramp in ramps(summed.shape[-1]).items():
        first, second = (round(float(alike[kind][chosen[name]]), 2) + 0.0 for kind in alike)  # no -0.00
        rows.append((f"ideal, {name}", ramp))
        rows.append((f"the network's nearest: cosines {first:+.2f}, {second:+.2f}", summed[chosen[name]]))
    frames, mels = array(values).shape
    side = summed.shape[-1]
    fig, axes = figure(8.6, 5, 2, width_ratios=[1, 8])
    axes[0, 0].axis("off")
    axes[0, 1].imshow(array(values).T, origin="lower", aspect="auto", extent=(0, frames * hop, 0, mels))
    axes[0, 1].set(title="the spectrogram")
    for (small, large), (title, kernel) in zip(axes[1:], rows, strict=True):
        small.imshow(kernel, origin="lower", cmap="gray")
        small.set(xticks=[], yticks=[])
        answer = response(values, kernel)
        most = np.quantile(np.abs(answer), 0.995)
        ends = (side / 2 * hop, (frames - side / 2) * hop, side / 2, mels - side / 2)
        large.imshow(answer, origin="lower", aspect="auto", cmap="RdBu_r", vmin=-most, vmax=most, extent=ends)
        large.set_title(title)
    for ax in axes[:, 1]:
        ax.set(ylabel="mel bin", xlim=(0, frames * hop), ylim=(0, mels), yticks=[0, mels // 2, mels])
        ax.tick_params(labelbottom=ax is axes[-1, 1])
    axes[-1, 1].set(xlabel="time (s)")
    return fig
