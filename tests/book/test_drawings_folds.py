"""The curves of five folds, and one setting run twice: every number handed in can be found in the figure."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from astlib.drawings import folds
from astlib.errors import InvalidInput

TWO = {"a": [[10, 20, 30], [20, 40, 50]], "b": [[1, 2, 3]]}


def test_every_fold_is_a_line_and_the_mean_a_thick_one():
    (ax,) = folds.learning_curves(TWO, {"paper": 88.7}).axes
    drawn = [(list(line.get_ydata()), line.get_linewidth()) for line in ax.lines]
    thin = [values for values, width in drawn if width < 1]
    thick = [values for values, width in drawn if width > 2]
    assert thin == [[10, 20, 30], [20, 40, 50], [1, 2, 3]]
    assert thick == [[15, 30, 40], [1, 2, 3]]
    assert [88.7, 88.7] in [values for values, _ in drawn]
    assert list(ax.lines[0].get_xdata()) == [1, 2, 3]


def test_every_setting_has_its_colour_and_its_name_at_the_end_of_its_mean():
    (ax,) = folds.learning_curves(TWO).axes
    colours = {to_hex(line.get_color()) for line in ax.lines}
    assert len(colours) == 2
    assert {(text.get_text().strip(), text.xy) for text in ax.texts} == {("a", (3, 40)), ("b", (3, 3))}


@pytest.mark.parametrize("number", [0, 5])
def test_too_few_or_too_many_settings_are_refused(number):
    with pytest.raises(InvalidInput, match="settings"):
        folds.learning_curves({str(i): [[1, 2]] for i in range(number)})


def test_run_twice_joins_the_folds_and_writes_their_differences():
    (ax,) = folds.run_twice([82.25, 84.75], [83.0, 82.5], ("one", "other"), "accuracy (%)").axes
    assert [text.get_text() for text in ax.texts] == ["+0.75", "-2.25"]
    (joined,) = ax.collections
    assert np.allclose([segment[:, 0] for segment in joined.get_segments()], [[82.25, 83.0], [84.75, 82.5]])
    assert [list(line.get_xdata()) for line in ax.lines] == [[82.25, 84.75], [83.0, 82.5]]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["one", "other"]


def test_run_twice_refuses_folds_that_do_not_match():
    with pytest.raises(InvalidInput, match="2 and 1"):
        folds.run_twice([1, 2], [1], ("one", "other"), "accuracy (%)")
