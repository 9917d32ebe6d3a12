"""Effects with intervals, folds joined by lines, curves beside tables: what is handed in is what is drawn."""

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex

from astlib import plots
from astlib.drawings import comparisons
from astlib.errors import InvalidInput

FOUND = {"small": (-2.25, 3.0), "large": (-31.25, 25.0), "gain": (18.2, 7.3)}


def bars(ax):
    """The ends of all error bars of one panel."""
    lines = [item for item in ax.collections if isinstance(item, LineCollection)]
    return sorted((s[0][0], s[1][0]) for line in lines for s in line.get_segments())


def test_effects_are_sorted_and_have_their_intervals():
    whole, close = comparisons.effects(FOUND, {"gain"}, (0.3, 3.7)).axes
    assert [label.get_text() for label in whole.get_yticklabels()] == ["large", "small", "gain"]
    wanted = sorted((d - h, d + h) for d, h in FOUND.values())
    assert np.allclose(bars(whole), wanted)
    assert np.allclose(bars(close), [(-5.25, 0.75)]), "what lies outside is written"
    assert [text.get_text().strip() for text in close.texts] == ["< -31.3", "+18.2 >"]


def test_settled_effects_are_filled_and_the_band_is_that_of_no_change():
    whole, close = comparisons.effects(FOUND, {"gain"}, (0.3, 3.7)).axes
    dots = {line.get_xdata()[0]: line for line in whole.lines if line.get_marker() == "o"}
    assert to_hex(dots[18.2].get_markerfacecolor()) == plots.VERMILION.lower()
    assert to_hex(dots[-2.25].get_markerfacecolor()) == plots.CARD.lower()
    (band,) = close.patches
    assert np.allclose(band.get_extents().transformed(close.transData.inverted()).intervalx, [-3.4, 4.0])
    with pytest.raises(InvalidInput, match="at least one"):
        comparisons.effects({}, set())


def test_a_fold_is_one_line_and_the_mean_is_rounded_as_in_the_tables():
    settings = {"one": [85.5, 82.0], "other": [83.0, 84.7], "third": []}
    top, below = comparisons.fold_lines(settings, {"one": 0.336, "other": 0.347, "third": None}).axes
    folds = [list(line.get_ydata()) for line in top.lines if line.get_marker() == "o"]
    assert folds == [[85.5, 83.0], [82.0, 84.7]]
    texts = [text.get_text() for text in top.texts]
    assert texts.count("not run") == 1 and {"83.8", "83.9"} <= set(texts), "83.75 and 83.85, a half is rounded up"
    assert [text.get_text() for text in below.texts] == ["0.336", "0.347"]
    assert len(comparisons.fold_lines({"one": [1.0], "other": [2.0]}).axes) == 1


def test_names_of_folds_do_not_cover_each_other():
    (top,) = comparisons.fold_lines({"one": [80.0] * 5, "other": [80.0] * 5}).axes
    heights = sorted(text.xy[1] for text in top.texts if text.get_text() in "12345")
    assert len(heights) == 5 and min(np.diff(heights)) > 0.2


def test_names_of_folds_stay_inside_the_panel():
    (top,) = comparisons.fold_lines({"one": [15.0] * 5, "other": [85.0] * 5}).axes
    heights = [text.xy[1] for text in top.texts if text.get_text() in "12345"]
    assert len(set(heights)) == 5 and max(heights) < max(top.get_ylim())


def test_names_of_curves_lie_where_the_panel_is_empty():
    fast, slow = [[60, 80, 85, 85]], [[5, 5, 6, 8]]
    (ax,) = [ax for ax in comparisons.curve_grid({"a": {"fast": fast, "slow": slow}}).axes if ax.get_visible()]
    heights = {text.get_text(): text.get_position()[1] for text in ax.texts}
    assert heights["fast"] > heights["slow"] > 0.3, "above the low curve, and the higher curve's name above the lower's"


def test_curves_have_one_panel_a_table_and_the_reference_is_grey():
    table = {"recipe": [[10, 20, 40], [20, 30, 50]], "other": [[5, 6, 7]]}
    fig = comparisons.curve_grid({"a": table, "b": table, "c": table, "d": table})
    shown = [ax for ax in fig.axes if ax.get_visible()]
    assert [ax.get_title(loc="left") for ax in shown] == ["a", "b", "c", "d"]
    thick = [line for line in shown[0].lines if line.get_linewidth() > 2]
    assert [list(line.get_ydata()) for line in thick] == [[15, 25, 45], [5, 6, 7]]
    assert to_hex(thick[0].get_color()) == comparisons.GREY.lower()
    assert {text.get_text() for text in shown[0].texts} == {"recipe", "other"}
