"""Drawings of chapter 18: soft targets, classifiers of the plane, the parts of a loss, and folds with and without."""

import numpy as np
import pytest

from astlib.drawings import student
from astlib.errors import InvalidInput


def test_a_plane_is_a_softmax_of_a_linear_layer():
    plane = student.Plane(np.array([[1.0, 0], [0, 1], [0, 0]]), np.zeros(3))
    p = plane.probabilities(np.array([[0.0, 0.0], [50.0, 0.0]]))
    assert np.allclose(p[0], 1 / 3) and np.allclose(p[1], [1, 0, 0])


def test_pages_have_their_temperature_and_their_entropy():
    pages = student.softened([np.array([0.5, 0.5]), np.array([1.0, 0.0])], [2, 0.5], ["a", "b"])
    assert [page.axes[0].get_title(loc="left") for page in pages] == [
        "T = 2, entropy 0.69 nats",
        "T = 0.5, entropy 0.00 nats",
    ]
    assert [text.get_text() for text in pages[1].axes[0].texts] == ["1.000", "0.000"]
    with pytest.raises(InvalidInput, match="2 probabilities"):
        student.softened([np.ones(3) / 3], [1], ["a", "b"])


def test_planes_are_drawn_side_by_side_with_their_points():
    plane = student.Plane(np.array([[1.0, 0], [0, 1], [-1, -1]]), np.zeros(3))
    points = np.array([[1.0, 0.0], [0.0, 1.0]])
    fig = student.planes({"one": plane, "two": plane}, {"two": (points, np.eye(3)[[0, 1]])})
    first, second = fig.axes
    assert np.array_equal(first.images[0].get_array(), second.images[0].get_array())
    dots = [collection for collection in second.collections if len(collection.get_offsets()) == 2]
    assert len(dots) == 1 and np.allclose(dots[0].get_offsets(), points)
    picture = first.images[0].get_array()
    right = picture[60, -1]  # x = 3, y = 0: almost only the first class
    assert np.allclose(right, 0.35 + 0.65 * np.array(student.to_rgb(student.CORNERS[0])), atol=0.05)


def test_parts_have_a_panel_each():
    fig = student.parts_of_the_loss({"a": [3.0, 2.0, 1.0], "b": [0.5, 0.4, 0.3]})
    assert [ax.get_title(loc="left") for ax in fig.axes] == ["a", "b"]
    assert fig.axes[0].lines[0].get_xdata().tolist() == [1, 2, 3]


def test_folds_are_joined_means_are_written_and_what_is_missing_is_named():
    settings = {"without": {1: 80.0, 2: 84.0}, "labels": {}, "taught": {1: 86.0}}
    (ax,) = student.fold_by_fold(settings, {"ceiling": {1: 93.0, 2: 95.0}}).axes
    texts = [text.get_text() for text in ax.texts]
    assert {"82.0", "86.0", "not run", "ceiling 94.0"} == set(texts)
    joined = [line for line in ax.lines if line.get_marker() == "o"]
    assert [line.get_ydata().tolist() for line in joined] == [[80.0, 86.0], [84.0]]


def test_nothing_run_is_a_figure_too():
    (ax,) = student.fold_by_fold({"without": {}, "taught": {}}).axes
    assert [text.get_text() for text in ax.texts] == ["not run", "not run"]
