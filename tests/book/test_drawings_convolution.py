"""The receptive field and the training that blew up: boxes, lines and numbers are those of the layers and the runs."""

import numpy as np
import pytest
import torch
from matplotlib.patches import Rectangle
from torch import nn

from astlib import plots
from astlib.drawings import convolution
from astlib.errors import InvalidInput

BLOCKS = [(3, 1), (2, 2), (3, 1), (2, 2)]


def test_the_formula_is_the_gradients_answer():
    """The frames with a gradient, through real layers of these widths and strides."""
    layers = [nn.Conv1d(1, 1, 3), nn.AvgPool1d(2), nn.Conv1d(1, 1, 3), nn.AvgPool1d(2)]
    frames = torch.ones(1, 1, 40, requires_grad=True)
    nn.Sequential(*layers)(frames)[0, 0, 3].backward()
    field, step = convolution.spans(BLOCKS)[-1]
    assert field == int((frames.grad != 0).sum()) == 10 and step == 4
    assert int(frames.grad[0, 0].nonzero()[0]) == 3 * step


def test_every_box_that_is_needed_is_drawn():
    (ax,) = convolution.field_tree(BLOCKS, list("abcde")).axes
    rows = [round(box.get_y() + 0.28) for box in ax.patches if isinstance(box, Rectangle)]
    assert [rows.count(row) for row in range(5)] == [10, 8, 4, 2, 1]
    assert [text.get_text() for text in ax.texts] == [
        f"r = {r}, j = {j}" for r, j in ((1, 1), (3, 1), (4, 2), (8, 2), (10, 4))
    ]
    assert len(ax.lines) == 8 * 3 + 4 * 2 + 2 * 3 + 1 * 2, "a line to each number that a window covers"
    with pytest.raises(InvalidInput, match="5 names"):
        convolution.field_tree(BLOCKS, ["a"])


def test_the_marked_fold_stands_out_in_both_panels():
    losses, accuracies = [[3, 2, 1], [3, 2, 4]], [[10, 20, 30], [10, 20, 5]]
    for ax, values in zip(convolution.blown_up(losses, accuracies, 1).axes, (losses, accuracies), strict=True):
        assert np.array_equal([line.get_ydata() for line in ax.lines], values)
        assert [line.get_color() == plots.VERMILION for line in ax.lines] == [False, True]
        assert [text.get_text() for text in ax.texts] == ["fold 2"]
