"""The drawings of chapter 06 show the numbers they were given."""

import numpy as np
import pytest
import torch

from astlib import plots
from astlib.drawings import augmentation
from astlib.train.augment import spec_augment


def test_a_mixture_is_drawn_with_its_answers_in_the_colours_of_its_sounds():
    mel = np.arange(128 * 6.0).reshape(6, 128)
    answers = [("clock_tick", 0.7), ("dog", 0.2), ("siren", 0.05)]
    above, below, *_ = augmentation.mixture(mel, answers, 0.25, ("siren", "clock_tick")).axes
    assert np.array_equal(above.images[0].get_array(), mel.T)
    assert above.get_title(loc="left") == "25% siren, 75% clock tick"
    assert [bar.get_width() for bar in below.patches] == pytest.approx([70, 20, 5])
    colours = [plots.matplotlib.colors.to_hex(bar.get_facecolor()).upper() for bar in below.patches]
    assert colours[0] == plots.VERMILION and colours[2] == plots.BLUE and colours[1] not in plots.LINES
    assert [text.get_text() for text in below.texts] == ["clock tick 70%", "dog 20%", "siren 5%"]


def test_shares_are_drawn_beside_what_mixup_asks_for():
    lam = torch.linspace(0, 1, 5)
    (ax,) = augmentation.shares(lam, lam**2, 1 - lam**2, ("a", "b_c")).axes
    drawn = [np.asarray(line.get_ydata(), dtype=float) for line in ax.lines[:4]]
    for found, expected in zip(drawn, (lam, lam**2, 1 - lam, 1 - lam**2), strict=True):
        assert np.allclose(found, expected)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b c", "target of mixup"]


def test_the_strips_hide_the_cells_that_the_library_hides():
    draws = [(0.0, 0.5), (0.99, 0.99), (0.7, 0.4), (0.3, 0.0)]
    (ax,) = augmentation.mask_strips(10, 5, draws).axes
    hidden = np.array([box.get_facecolor() == plots.to_rgba(plots.ORANGE) for box in ax.patches]).reshape(4, 10)
    numbers = torch.tensor([[u, v, 0, 0] for u, v in draws])
    masked = spec_augment(torch.ones(4, 10, 3), 0, 5, numbers) == 0
    assert np.array_equal(hidden, masked[:, :, 0].numpy()) and hidden.sum(axis=1).tolist() == [0, 4, 3, 1]
    assert "start 2, width 3" in [text.get_text() for text in ax.texts]


def test_before_and_after_share_their_colours():
    pages = {"before": torch.zeros(4, 3), "after": torch.arange(12.0).reshape(4, 3)}
    left, right = augmentation.before_after(pages, (-1, 5), 2.0).axes
    assert left.images[0].get_clim() == right.images[0].get_clim() == (-1, 5)
    assert np.array_equal(right.images[0].get_array(), pages["after"].T)
    assert right.images[0].get_extent() == [0, 2.0, 0, 3] and right.get_title(loc="left") == "after"


def test_fills_are_lines_at_their_values():
    (ax,) = augmentation.fills(np.zeros(100), {"zero": 0.5, "mean": 0.0}).axes
    assert [line.get_xdata()[0] for line in ax.lines] == [0.5, 0.0]
    assert sum(bar.get_height() for bar in ax.patches) == 100
