"""The grid of words shows the numbers it was given; the cut shows the middle of the picture."""

import numpy as np
import pytest

from astlib.drawings import words
from astlib.errors import InvalidInput


def test_words_are_drawn_as_they_are_with_one_scale_of_colours():
    first, second = np.arange(128 * 4.0).reshape(128, 4), np.full((128, 4), -3.0)
    figure = words.word_grid({"up": first, "down": second}, end=0.98)
    up, down, empty = figure.axes
    assert np.array_equal(up.images[0].get_array(), first.T) and np.array_equal(down.images[0].get_array(), second.T)
    assert up.images[0].get_clim() == down.images[0].get_clim() == (-3, 511)
    assert [up.get_title(loc="left"), down.get_title(loc="left")] == ["up", "down"]
    assert list(up.lines[0].get_xdata()) == [0.98, 0.98] and up.images[0].get_extent()[1] == pytest.approx(1.28)
    assert not empty.axison


def test_no_words_are_refused():
    with pytest.raises(InvalidInput):
        words.word_grid({})


@pytest.mark.parametrize(
    ("f", "t", "left", "wide", "said"), [(12, 12, 6, 12, "time: cut"), (12, 50, 0, 24, "time: 24 → 50")]
)
def test_the_middle_of_the_picture_is_marked(f, t, left, wide, said):
    (ax,) = words.cut_from_a_picture(24, {"x": (f, t)}).axes
    used = ax.patches[1]
    assert (used.get_x(), used.get_width(), used.get_y(), used.get_height()) == (left, wide, 6, 12)
    assert said in ax.get_title(loc="left")
