"""The timeline draws the probabilities it is given, and a box where each event is."""

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.patches import Rectangle

from astlib.drawings.halves import halves
from astlib.drawings.timeline import edges_of, rows_of, timeline
from astlib.errors import InvalidInput
from astlib.plots import SKY, VERMILION

SPANS = np.array([[0.0, 2.0], [1.0, 3.0], [2.0, 4.0]])
P = np.array([[0.1, 0.7, 0.2], [0.2, 0.5, 0.3], [0.6, 0.1, 0.3]])
LABELS = ["cat", "dog_bark", "rain"]


def test_rows_are_the_events_then_the_most_probable_others():
    assert rows_of(P, LABELS, [("rain", 0, 1), ("hail", 0, 1)], others=1) == [2, 1]


def test_windows_meet_at_the_middle_of_their_overlap():
    assert np.allclose(edges_of(SPANS), [0.5, 1.5, 2.5, 3.5])


def test_draws_the_probabilities_and_a_box_for_each_event():
    fig = timeline(np.zeros((400, 128)), SPANS, P, LABELS, [("rain", 0.5, 1.5), ("hail", 2, 3)], others=2)
    low = fig.axes[1]
    (mesh,) = [child for child in low.get_children() if isinstance(child, QuadMesh)]
    assert np.allclose(np.asarray(mesh.get_array()).reshape(3, 3), P[:, [2, 1, 0]].T)
    boxes = [patch for patch in low.patches if isinstance(patch, Rectangle)]
    assert [(box.get_x(), box.get_y(), box.get_width()) for box in boxes] == [(0.5, 0, 1.0)]
    assert [text.get_text() for text in low.get_yticklabels()] == ["rain", "dog bark", "cat"]


def test_refuses_shapes_that_do_not_fit():
    with pytest.raises(InvalidInput):
        timeline(np.zeros((400, 128)), SPANS, P, LABELS[:2])


def test_halves_are_coloured_by_their_side_and_torn_clips_marked():
    sides = {"whole": np.array([[1, 1], [0, 0]]), "torn": np.array([[1, 0], [0, 1]])}
    fig = halves(sides, {"whole": (0.25, 4), "torn": (0.75, 4)})
    whole, bar, torn, _ = fig.axes
    colours = [patch.get_facecolor() for patch in whole.patches]
    assert colours == [patch.get_facecolor() for patch in (torn.patches[i] for i in (0, 3, 1, 2))]
    assert len({colours[0], colours[2]}) == 2 and VERMILION != SKY
    assert len(whole.lines) == 0 and len(torn.lines) == 2
    assert [text.get_text() for text in bar.texts] == ["25%"]


def test_halves_refuses_other_shapes():
    with pytest.raises(InvalidInput):
        halves({"whole": np.zeros((3, 3))}, {"whole": (0.5, 3)})
    with pytest.raises(InvalidInput):
        halves({"whole": np.zeros((3, 2))}, {"torn": (0.5, 3)})
