"""Positions on another grid, drawn: the numbers and colours are those of the places that they come from."""

import numpy as np
from matplotlib.patches import Rectangle

from astlib.drawings import regrid


def test_rows_of_places_show_their_numbers_and_start_at_one_line():
    (ax,) = regrid.row({"old": [0, 1, 2, 3], "middle": [1, 2], "longer": [0, 0.6667, 1.5, 2.3333, 3]}).axes
    texts = {(text.get_position()[0], text.get_position()[1]): text.get_text() for text in ax.texts}
    assert [texts[column, 0] for column in range(4)] == ["0", "1", "2", "3"]
    assert [texts[column, -1] for column in range(2)] == ["1", "2"]
    assert [texts[column, -2] for column in range(5)] == ["0", "0.667", "1.5", "2.33", "3"]
    boxes = {(box.get_x() + 0.46, box.get_y() + 0.4): box.get_facecolor() for box in ax.patches}
    assert len(boxes) == 11
    alike = [colour for (column, line), colour in boxes.items() if texts[round(column), round(line)] == "1"]
    assert len(alike) == 2 and np.allclose(*alike), "the same place has the same colour"


def test_every_place_has_a_colour_of_its_own():
    square = regrid.colours(14, 14)[0].reshape(3, -1).T
    assert len({tuple(colour) for colour in square.tolist()}) == 196


def test_origins_keep_the_middle_and_frame_it():
    fig = regrid.origins([(12, 12), (8, 32), (5, 50)])
    square, cut, long, odd = fig.axes
    colours = regrid.colours()[0].transpose(1, 2, 0)
    assert np.array_equal(square.images[0].get_array(), colours)
    assert np.array_equal(cut.images[0].get_array(), colours[1:13, 1:13])
    assert long.images[0].get_array().shape == (8, 32, 3)
    assert np.allclose(long.images[0].get_array()[:, 0], colours[3:11, 0]), "rows 3 to 10, the first column repeated"
    frames = [patch for patch in square.patches if isinstance(patch, Rectangle)]
    assert [(f.get_x(), f.get_y(), f.get_width(), f.get_height()) for f in frames] == [
        (0.5, 0.5, 12, 12),
        (-0.5, 2.5, 14, 8),
        (-0.5, 4.5, 14, 5),
    ]
    assert odd.get_title(loc="left") == "5 x 50: rows 5 to 9"
