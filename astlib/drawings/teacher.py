"""The study of chapter 18: what frozen networks know about ESC-50's classes, and what the teacher hears.

`ci/probe.py` makes the file and states the protocol; here it is read and drawn.

Chapter: notebooks/18_a_larger_ear.ipynb
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .. import paths
from ..errors import NotFound
from ..plots import BLUE, GRID, INK, LINES, ORANGE, VERMILION, Values, figure, mel

Array = NDArray[np.float64]
TEACHER = "EfficientAT mn04, features"  # the row of the file that is the teacher
GROUPS = ("animals", "nature", "people", "indoors", "outdoors")  # of ten classes each, in the order of ESC-50


class Row(NamedTuple):
    """What simple classifiers reach on the frozen vectors of one network.

    Attributes:
        folds: the test folds, those that the network never heard.
        regression: accuracy of the logistic regression on each of them, in per cent.
        neighbours: accuracy of the ten nearest neighbours, in per cent.
        few: clips a class to the accuracies of the draws on fold 1, in per cent; empty if fold 1 is not among `folds`.
    """

    folds: list[int]
    regression: Array
    neighbours: Array
    few: dict[int, Array]


class Heard(NamedTuple):
    """What the teacher hears in one clip.

    Attributes:
        clip: its name in ESC-50.
        label: its class there.
        answers: AudioSet classes and their probabilities, the highest first.
    """

    clip: str
    label: str
    answers: dict[str, float]


@dataclass(frozen=True)
class Study:
    """The content of `results/probe.json`.

    Attributes:
        rows: name to what was measured.
        heard: one clip of each class.
        labels: the classes of ESC-50, in its order.
        taken_for: `(classes, classes)`, mean probabilities of the columns for the clips of a row, by logistic
            regressions on the teacher's features that had not heard the clips' fold.
    """

    rows: dict[str, Row]
    heard: list[Heard]
    labels: list[str]
    taken_for: Array


def study() -> Study:
    """Read the study, `results/probe.json`.

    Returns:
        Its content.

    Raises:
        NotFound: the file is not there.
    """
    path = paths.results() / "probe.json"
    if not path.is_file():
        raise NotFound(f"{path} is not there; ci/probe.py makes it")
    content = json.loads(path.read_text(encoding="utf-8"))
    rows = {}
    for row in content["rows"]:
        clips, of_first = np.array(row["clips"]), row["clips"][0]
        few = {int(n): 100 * np.array(right) / of_first for n, right in row.get("few", {}).items()}
        regression, neighbours = (100 * np.array(row[name]) / clips for name in ("regression", "neighbours"))
        rows[row["row"]] = Row(row["folds"], regression, neighbours, few)
    labels = list(content["taken_for"])
    taken_for = np.array([[content["taken_for"][row].get(column, 0.0) for column in labels] for row in labels])
    return Study(rows, [Heard(**one) for one in content["heard"]], labels, taken_for)


def within_groups(taken_for: Array) -> float:
    """Say how much of what is not the own class goes to the nine other classes of the same group.

    Args:
        taken_for: `(50, 50)`, as in `Study`.

    Returns:
        A fraction of 1; nine classes of 49 would have 9/49 by chance.
    """
    others = taken_for * (1 - np.eye(len(taken_for)))
    group = np.arange(len(taken_for)) // (len(taken_for) // len(GROUPS))
    return float(others[group[:, None] == group].sum() / others.sum())


def label_and_teacher(label: str, answers: Mapping[str, float], spectrogram: Values | None = None) -> Figure:
    """Draw what the label says about a clip, and what a teacher hears in it.

    Args:
        label: the clip's class.
        answers: names of classes and their probabilities.
        spectrogram: log-mel of the clip `(frames, mels)`, drawn above; None leaves it out.

    Returns:
        The figure.
    """
    ratios = [1.0, 0.45 * len(answers)]
    if spectrogram is not None:
        ratios = [3.2, *ratios]
    fig, axes = figure(0.9 + 0.72 * sum(ratios), len(ratios), 1, height_ratios=ratios)
    if spectrogram is not None:
        mel(spectrogram, axes[0], title="the sound", colorbar=False)
    _bars(axes[-2], {label.replace("_", " "): 1.0}, ORANGE, "what the label says")
    _bars(axes[-1], answers, BLUE, "what the teacher hears")
    axes[-1].set_xlabel("probability")
    axes[-2].set_xticklabels([])
    return fig


def _bars(ax: Axes, values: Mapping[str, float], colour: str, title: str) -> None:
    places = range(len(values))
    ax.barh(places, list(values.values()), color=colour, height=0.66)
    for place, value in zip(places, values.values(), strict=True):
        ax.text(min(value, 1) + 0.012, place, f"{value:.2f}", va="center", fontsize=11)
    ax.set(xlim=(0, 1.1), ylim=(len(values) - 0.4, -0.6), title=title, xticks=np.linspace(0, 1, 6))
    ax.set_yticks(places, [name.partition(",")[0] for name in values])
    ax.tick_params(axis="y", length=0)


def yardstick(found: Study) -> Figure:
    """Draw what is reached on the frozen vectors of each network: every fold, and the mean.

    Args:
        found: the study.

    Returns:
        The figure.
    """
    fig, ax = figure(1.5 + 0.75 * len(found.rows))
    for place, row in enumerate(found.rows.values()):
        for values, shift, colour, marker in (
            (row.regression, -0.17, BLUE, "o"),
            (row.neighbours, 0.17, VERMILION, "s"),
        ):
            name = "logistic regression" if marker == "o" else "ten nearest neighbours"
            height = np.full(len(values), place + shift)
            ax.plot(values, height, marker, color=colour, markersize=5, alpha=0.75, label=None if place else name)
            ax.plot([values.mean()] * 2, [place + shift - 0.14, place + shift + 0.14], color=INK, linewidth=2.2)
            ax.text(101.5, place + shift, f"{values.mean():.1f}", va="center", fontsize=11.5, color=colour)
    names = [_with_folds(name, row) for name, row in found.rows.items()]
    ax.set_yticks(range(len(names)), names)
    ax.set(xlim=(0, 112), xticks=range(0, 101, 20), ylim=(len(names) - 0.45, -0.55), xlabel="accuracy (%)")
    ax.grid(axis="x")
    ax.set_axisbelow(True)
    fig.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return fig


def _with_folds(name: str, row: Row) -> str:
    first, _, rest = name.partition(", ")
    folds = "" if len(row.folds) == 5 else f"fold {', '.join(map(str, row.folds))} only"
    return "\n".join(part for part in (first, rest, folds) if part)


def few_labels(found: Study) -> Figure:
    """Draw accuracy against the number of labelled clips of each class, on fold 1: every draw, and the mean.

    Args:
        found: the study.

    Returns:
        The figure.
    """
    fig, ax = figure(3.2 + 0.26 * len(found.rows))
    rows = {name: row for name, row in found.rows.items() if row.few}
    for number, (name, row) in enumerate(rows.items()):
        colour = LINES[number % len(LINES)]
        for clips, values in row.few.items():
            ax.plot([clips] * len(values), values, "o", color=colour, markersize=3, alpha=0.45)
        ax.plot(list(row.few), [values.mean() for values in row.few.values()], "-", color=colour, label=name)
    counts = sorted({clips for row in rows.values() for clips in row.few})
    ax.set_xscale("log", base=2)
    ax.set_xticks(counts, [str(count) for count in counts])
    ax.minorticks_off()
    ax.set(xlabel="labelled clips of each class", ylabel="accuracy on fold 1 (%)", ylim=(0, 100))
    ax.grid(axis="y")
    fig.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=1)
    return fig


def mean_soft_targets(found: Study) -> Figure:
    """Draw the mean soft target of every class, as a matrix on a logarithmic scale.

    Args:
        found: the study.

    Returns:
        The figure.
    """
    fig, ax = figure(5.2)
    size = len(found.labels) // len(GROUPS)
    shown = ax.imshow(found.taken_for.clip(1e-3), norm=LogNorm(1e-3, 1), cmap="magma")
    for border in range(size, len(found.labels), size):
        ax.axhline(border - 0.5, color=GRID, linewidth=0.9)
        ax.axvline(border - 0.5, color=GRID, linewidth=0.9)
    middles = size * np.arange(len(GROUPS)) + size / 2 - 0.5
    ax.set_xticks(middles, GROUPS)
    ax.set_yticks(middles, GROUPS)
    ax.tick_params(length=0)
    ax.set(xlabel="class in the teacher's answer", ylabel="class of the clip")
    fig.colorbar(shown, ax=ax, label="mean probability", shrink=0.9)
    return fig
