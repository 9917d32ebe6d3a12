"""Rankings drawn: the best clips as cards, average precision with a pencil, AUC as won pairs, what is taken for what.

Chapter: notebooks/08_measuring.ipynb
"""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from ..errors import InvalidInput
from ..plots import BLUE, CARD, GRID, INK, ORANGE, SKY, VERMILION, Values, array, figure

Array = NDArray[np.float64]


def cards(
    mels: Values, right: Values, scores: Values, names: Sequence[str], columns: int = 6, title: str = ""
) -> Figure:
    """Draw the clips at the top of a ranking as cards, best first: the spectrogram, the rank, the score.

    Args:
        mels: `(clips, frames, mels)`, in the order of the ranking.
        right: `(clips,)`, true where the clip is of the class.
        scores: `(clips,)`, falling.
        names: what each clip is, below its card.
        columns: cards in a row.
        title: above the cards.

    Returns:
        The figure.
    """
    pictures, found, values = array(mels), array(right).astype(bool), array(scores)
    rows = -(-len(pictures) // columns)
    fig, axes = figure(0.3 + 1.42 * rows, rows, columns)
    for ax in axes.ravel():
        ax.axis("off")
    for place, ax in enumerate(axes.ravel()[: len(pictures)]):
        colour = BLUE if found[place] else ORANGE
        ax.axis("on")
        ax.imshow(pictures[place].T, origin="lower", aspect="auto")
        ax.set(xticks=[], yticks=[])
        ax.set_title(f"{place + 1}:  {values[place]:.2f}", fontsize=11, color=INK)
        ax.set_xlabel(textwrap.fill(f"{'✓' if found[place] else '✗'} {names[place]}", 13), fontsize=9.5, color=INK)
        for spine in ax.spines.values():
            spine.set(visible=True, color=colour, linewidth=3.2)
    if title:
        fig.suptitle(title, x=0.02, ha="left", fontsize=13)
    return fig


def pencil(found: Values) -> Figure:
    """Draw a short ranking, the precision after each clip, and which of them average precision takes the mean of.

    Args:
        found: `(clips,)`, 1 for a right clip, best first.

    Returns:
        The figure.
    """
    hits = array(found).astype(bool)
    counts = np.cumsum(hits)
    fig, ax = figure(1.9)
    for place, hit in enumerate(hits):
        face, hatch = (BLUE, "") if hit else (CARD, "///")
        ax.add_patch(Rectangle((place + 0.08, 1.1), 0.84, 0.8, facecolor=face, hatch=hatch,
                               edgecolor=BLUE if hit else ORANGE, linewidth=1.6))  # fmt: skip
        ax.text(place + 0.5, 1.5, str(place + 1), ha="center", va="center", fontsize=14,
                color="white" if hit else INK, fontweight="bold")  # fmt: skip
        ax.text(place + 0.5, 0.45, f"{counts[place]}/{place + 1}", ha="center", va="center", fontsize=13,
                color=INK if hit else "#6B7280",
                bbox={"boxstyle": "circle,pad=0.35", "facecolor": CARD, "edgecolor": BLUE, "linewidth": 1.8}
                if hit else None)  # fmt: skip
    ax.text(-0.15, 1.5, "rank", ha="right", va="center")
    ax.text(-0.15, 0.45, "precision", ha="right", va="center")
    ax.set(xlim=(-1.5, len(hits) + 0.1), ylim=(-0.15, 2.0))
    ax.axis("off")
    return fig


def won(found: Values, score: Values) -> Array:
    """Compare every right clip with every wrong one.

    Args:
        found: `(clips,)`, 1 for a right clip.
        score: `(clips,)`.

    Returns:
        `(right, wrong)`, both best first: 1 where the right clip scores higher, 0.5 for a tie, else 0.
    """
    hits, values = array(found).astype(bool), array(score).astype(float)
    right, wrong = -np.sort(-values[hits]), -np.sort(-values[~hits])
    wins: Array = (right[:, None] > wrong) + 0.5 * (right[:, None] == wrong)
    return wins


def pairs(found: Values, score: Values) -> Figure:
    """Draw every pair of a right and a wrong clip, and the ROC curve that separates the won pairs from the lost ones.

    Args:
        found: `(clips,)`, 1 for a right clip.
        score: `(clips,)`.

    Returns:
        The figure.
    """
    wins = won(found, score)
    right, wrong = wins.shape
    order = np.argsort(-array(score), kind="stable")
    hits = array(found).astype(bool)[order]
    fig, (left, curve) = figure(3.5, 1, 2)
    for row in range(right):
        for column in range(wrong):
            win = wins[row, column]
            face = {1.0: SKY, 0.5: "#BFE3F5", 0.0: CARD}[float(win)]
            left.add_patch(Rectangle((column, row), 1, 1, facecolor=face, edgecolor=GRID, linewidth=1.4))
            left.text(column + 0.5, row + 0.5, f"{win:g}", ha="center", va="center")
    left.set(xlim=(0, wrong), ylim=(0, right), aspect="equal", title=f"{wins.sum():g} of {wins.size} pairs won")
    left.set_xticks(np.arange(wrong) + 0.5, np.flatnonzero(~hits) + 1)
    left.set_yticks(np.arange(right) + 0.5, np.flatnonzero(hits) + 1)
    left.set(xlabel="rank of the wrong clip", ylabel="rank of the right clip")
    left.tick_params(length=0)
    left.spines[:].set_visible(False)
    across = np.concatenate([[0], np.cumsum(~hits)]) / wrong
    up = np.concatenate([[0], np.cumsum(hits)]) / right
    curve.fill_between(across, up, color=SKY, alpha=0.5, step=None)
    curve.plot(across, up, color=BLUE, linewidth=2.6)
    curve.plot([0, 1], [0, 1], color=VERMILION, linestyle="--", linewidth=1.2)
    curve.set(xlabel="false-positive rate", ylabel="true-positive rate", title=f"area {wins.mean():.4g}")
    curve.set(aspect="equal", xlim=(0, 1), ylim=(0, 1.02), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    return fig


def confused(truth: Values, answers: Values, count: int = 7, others: int = 4) -> tuple[list[int], list[int]]:
    """Find the classes whose clips are most often taken for others, and what they are taken for.

    Args:
        truth: `(clips,)` numbers of classes.
        answers: `(clips,)` numbers of classes.
        count: how many classes at most.
        others: how many more answers to name at most.

    Returns:
        Numbers of classes, most mistakes first, equal ones in the order of the classes; and the numbers of other
        classes that their clips are taken for, the most frequent first.
    """
    true, said = array(truth).astype(int), array(answers).astype(int)
    mistakes = np.bincount(true[true != said], minlength=1)
    rows = [int(one) for one in np.argsort(-mistakes, kind="stable")[:count] if mistakes[one]]
    given = said[np.isin(true, rows) & ~np.isin(said, rows)]
    times = np.bincount(given, minlength=1)
    more = [int(one) for one in np.argsort(-times, kind="stable")[:others] if times[one]]
    return rows, more


def confusion(truth: Values, answers: Values, labels: Sequence[str], count: int = 7, others: int = 4) -> Figure:
    """Draw the part of a confusion matrix in which most mistakes are; all other answers are one column.

    Args:
        truth: `(clips,)` numbers of classes.
        answers: `(clips,)` numbers of classes.
        labels: names of the classes.
        count: how many true classes to draw at most.
        others: how many answers beside them to name at most.

    Returns:
        The figure.

    Raises:
        InvalidInput: there is no mistake to draw.
    """
    rows, more = confused(truth, answers, count, others)
    if not rows:
        raise InvalidInput("every answer is right: there is no confusion to draw")
    true, said = array(truth).astype(int), array(answers).astype(int)
    columns = [*rows, *more]
    counts = np.zeros((len(rows), len(columns) + 1), int)
    for row, one in enumerate(rows):
        given = said[true == one]
        counts[row, :-1] = [(given == other).sum() for other in columns]
        counts[row, -1] = len(given) - counts[row, :-1].sum()
    fig, ax = figure(2.0 + 0.36 * len(rows))
    _cells(ax, counts)
    names = [labels[one].replace("_", " ") for one in columns]
    ax.set_xticks(range(len(columns) + 1), [*names, "another"], rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(rows)), names[: len(rows)])
    ax.set(xlabel="answer", ylabel="truth")
    return fig


def _cells(ax: Axes, counts: NDArray[np.int_]) -> None:
    """Numbers on squares: right answers blue, mistakes orange, deeper for more of the clips of a row."""
    share = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    for (row, column), number in np.ndenumerate(counts):
        colour = BLUE if row == column else ORANGE
        ax.add_patch(
            Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=colour, alpha=0.12 + 0.88 * share[row, column])
            if number
            else Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=CARD, edgecolor=GRID)
        )
        if number:
            dark = row == column and share[row, column] > 0.5
            ax.text(column, row, str(number), ha="center", va="center", color="white" if dark else INK)
    ax.set(xlim=(-0.5, counts.shape[1] - 0.5), ylim=(counts.shape[0] - 0.5, -0.5))
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
