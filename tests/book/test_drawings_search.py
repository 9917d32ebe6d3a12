"""Drawings of a search show what they are given."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from scipy import stats

from astlib import plots
from astlib.drawings.search import gallery, half_width, learning, night
from astlib.errors import InvalidInput


def test_a_night_has_its_rows_and_a_bar_for_each_call():
    fig = night(np.random.rand(400, 16), [("a", 1.0, 2.0), ("b", 12.0, 13.0), ("a", 25.0, 26.0)], 0.1, 10.0)
    assert len(fig.axes) == 4 and [ax.get_xlim() for ax in fig.axes] == [(10 * i, 10 * i + 10) for i in range(4)]
    bars = [[line.get_xdata() for line in ax.lines if len(line.get_xdata())] for ax in fig.axes]
    assert [len(row) for row in bars] == [1, 1, 1, 0] and list(bars[1][0]) == [12.0, 13.0]
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["a", "b"]
    with pytest.raises(InvalidInput, match="one row"):
        night(np.zeros((5, 3)), [], 0.1, 10.0)


def test_a_gallery_tells_right_from_wrong_by_more_than_colour():
    fig = gallery([np.random.rand(20, 8)] * 3, ["x", "y", "z"], [True, False, True], columns=2)
    shown = [ax for ax in fig.axes if ax.axison]
    assert [ax.get_title(loc="left") for ax in shown] == ["✓ x", "✗ y", "✓ z"]
    frames = [to_hex(ax.spines["left"].get_edgecolor()).upper() for ax in shown]
    assert frames == [plots.GREEN, plots.VERMILION, plots.GREEN]
    with pytest.raises(InvalidInput, match="2 verdicts"):
        gallery([np.zeros((2, 2))], ["x"], [True, False])


def test_a_learning_curve_is_the_mean_with_its_interval():
    values = np.random.default_rng(0).random((12, 3))
    fig = learning({"margin": values}, [10, 20, 40], "%", level=0.9)
    line = fig.axes[0].lines[1]
    assert np.allclose(line.get_ydata(), 100 * values.mean(axis=0)) and list(line.get_xdata()) == [10, 20, 40]
    low, high = stats.t.interval(0.95, 11, values[:, 0].mean(), stats.sem(values[:, 0]))
    assert half_width(values)[0] == pytest.approx((high - low) / 2)
    assert not half_width(values[:1]).any()
    with pytest.raises(InvalidInput, match="expected"):
        learning({"margin": values}, [10, 20], "%")
