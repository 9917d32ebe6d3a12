"""The drawings of chapter 02 show the numbers that they are given, at the right places."""

import numpy as np
import pytest
import torch

from astlib.drawings import patches as drawings

GENERATOR = torch.Generator().manual_seed(0)
MEL = torch.randn(100, 128, generator=GENERATOR)
PATCH = torch.randn(16, 16, generator=GENERATOR)
WEIGHT, BIAS = torch.randn(192, 256, generator=GENERATOR), torch.randn(192, generator=GENERATOR)


def test_every_text_is_large_enough():
    figures = [
        drawings.in_a_row(MEL),
        drawings.starts(128, 10),
        drawings.patch_to_token(PATCH, WEIGHT, BIAS),
        drawings.pairs({16: 512, 10: 1212}),
    ]
    for figure in figures:
        figure.draw_without_rendering()
        for axes in figure.axes:
            labels = [*axes.texts, axes.title, axes.xaxis.label, axes.yaxis.label, *axes.get_xticklabels()]
            assert all(text.get_fontsize() >= 9 for text in labels)
        assert all(text.get_fontsize() >= 9 for text in figure.texts)


def test_patches_stand_in_a_row_in_the_order_of_the_tokens():
    top, bottom = drawings.in_a_row(MEL, across=12).axes
    assert len(top.patches) == 8 * 6
    assert [text.get_text() for text in top.texts] == ["0", "6", "47"]
    canvas = np.ma.filled(bottom.images[0].get_array(), np.nan)
    lines = canvas[~np.isnan(canvas).all(axis=1)].reshape(4, 16, -1)[::-1]  # from the top: the first line first
    for token in (0, 5, 6, 47):
        line, at = divmod(token, 12)
        row, column = divmod(token, 6)
        found = lines[line][:, 20 * at : 20 * at + 16]
        np.testing.assert_array_equal(found, MEL[16 * column : 16 * column + 16, 16 * row : 16 * row + 16].T)


@pytest.mark.parametrize(("size", "stride", "count", "left"), [(128, 10, 12, 2), (1024, 10, 101, 8), (128, 16, 8, 0)])
def test_starts_shows_what_fits_and_what_is_left_over(size, stride, count, left):
    axes = drawings.starts(size, stride).axes[0]
    bars = [bar for container in axes.containers for bar in container]
    assert [bar.get_x() for bar in bars] == [stride * i for i in range(count)]
    assert all(bar.get_width() == 16 and bar.get_x() + 16 <= size for bar in bars)
    assert [text.get_text() for text in axes.texts] == ([f"{left} left over"] if left else [])


def test_a_patch_becomes_the_token_that_the_layer_gives():
    figure = drawings.patch_to_token(PATCH, WEIGHT, BIAS, row=7)
    picture, vector, matrix, token = (axes.images[0].get_array() for axes in figure.axes)
    np.testing.assert_array_equal(vector[:, 0], PATCH.reshape(-1))
    np.testing.assert_allclose(token[:, 0], WEIGHT.double() @ PATCH.reshape(-1).double() + BIAS.double())
    assert picture.shape == (16, 16) and matrix.shape == (192, 256)
    assert figure.texts[-1].get_text() == f"row 7 of W times the 256 numbers, plus b: {token[7, 0]:+.2f}"


def test_pairs_are_squares_with_sides_of_as_many_tokens():
    axes = drawings.pairs({10: 1212, 16: 512}).axes[0]
    assert [(square.get_width(), square.get_height()) for square in axes.patches] == [(1212, 1212), (512, 512)]
    assert axes.texts[0].get_text() == "stride 10\n1,212² = 1.47 million"
    assert axes.texts[1].get_text() == "stride 16\n512² = 0.26 million"
