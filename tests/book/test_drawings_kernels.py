"""Kernels drawn: principal components are found again, colours that cancel go flat, edges answer where edges are."""

import numpy as np
import pytest

from astlib.drawings import kernels
from astlib.errors import InvalidInput

RNG = np.random.default_rng(0)


def test_principal_components_are_the_patterns_that_kernels_were_mixed_from():
    patterns = np.linalg.qr(RNG.standard_normal((3 * 16, 2)))[0].T.reshape(2, 3, 4, 4)
    weights = RNG.standard_normal((50, 2)) * [5.0, 1.0]
    mixed = np.einsum("dk,kchw->dchw", weights, patterns)
    found = kernels.principal(mixed, 2)
    cosines = np.abs(np.einsum("kchw,kchw->k", found, patterns))
    assert found.shape == (2, 3, 4, 4) and (cosines > 0.98).all()
    farthest = np.take_along_axis(found.reshape(2, -1), np.abs(found).reshape(2, -1).argmax(1)[:, None], axis=1)
    assert (farthest > 0).all()


def test_more_components_than_kernels_are_refused():
    with pytest.raises(InvalidInput, match="5 components"):
        kernels.principal(RNG.standard_normal((4, 3, 2, 2)), 5)


def test_grey_is_kept_by_the_sum_and_colour_against_colour_is_lost():
    shape = RNG.standard_normal((4, 4))
    grey, green_against_red = np.stack([shape] * 3), np.stack([-shape, shape, 0 * shape])
    one_colour = np.stack([shape, 0 * shape, 0 * shape])
    assert np.allclose(kernels.kept_by_sum(np.stack([grey, green_against_red, one_colour])), [1, 0, 1 / 3])


def test_a_mosaic_holds_every_tile_in_its_place():
    tiles = np.arange(6.0)[:, None, None, None] / 10 * np.ones((6, 1, 2, 2))
    picture = kernels.mosaic(tiles, 3)[..., 0]
    assert picture.shape == (8, 12)
    assert np.allclose(picture[[1, 5]][:, [1, 5, 9]], [[0, 0.1, 0.2], [0.3, 0.4, 0.5]])
    assert (picture[[0, 3]] == 1).all()


def test_colours_are_drawn_above_and_their_sum_below_on_one_scale():
    shape = RNG.standard_normal((2, 1, 4, 4))
    above, below = kernels.colours(np.concatenate([shape, -shape, 0 * shape], axis=1), 2).axes
    assert above.images[0].get_array().shape == (6, 12, 3)
    inside = np.ones((6, 12), bool)
    inside[[0, 5]] = inside[:, [0, 5, 6, 11]] = False
    assert np.allclose(np.squeeze(below.images[0].get_array())[inside], 0.5), "what cancels is flat"


def test_the_opening_holds_the_numbers_that_it_is_given():
    patterns = RNG.standard_normal((16, 3, 4, 4))
    fig = kernels.opening(patterns, RNG.standard_normal((50, 128)), {"new": 18.2, "trained": 51.4}, "looks", "hears")
    bars = fig.axes[2]
    assert [bar.get_width() for bar in bars.patches] == [18.2, 51.4]
    assert [text.get_text() for text in bars.texts] == ["18 %  new", "51 %  trained"]
    assert [ax.get_title(loc="left") for ax in fig.axes[:2]] == ["looks", "hears"]


def test_ideal_ramps_answer_to_their_own_edges_only():
    onset = np.zeros((60, 64))
    onset[30:] = 1.0  # from frame 30 on
    tone = np.zeros((60, 64))
    tone[:, 20:] = 1.0  # from mel bin 20 up
    ramps = kernels.ramps(16)
    answers = {
        (kind, name): np.abs(kernels.response(values, ramp)).max()
        for kind, values in (("onset", onset), ("tone", tone))
        for name, ramp in ramps.items()
    }
    assert answers["onset", "left to right"] > 1 and answers["tone", "low to high"] > 1
    assert answers["onset", "low to high"] < 1e-9 and answers["tone", "left to right"] < 1e-9
    at = np.abs(kernels.response(onset, ramps["left to right"])).max(axis=0).argmax()
    assert at == 30 - 8, "strongest where the edge is in the middle of the kernel"


def test_the_nearest_kernel_is_like_one_ramp_and_unlike_the_other():
    ramps = kernels.ramps(16)
    right, up = ramps["left to right"], ramps["low to high"]
    given = np.stack([right + up, -(right + 0.05 * up), up - 0.1 * right, RNG.standard_normal((16, 16))]) + 3.0
    assert kernels.nearest(given) == {"left to right": 1, "low to high": 2}
    assert np.allclose(kernels.cosines(given)["left to right"][:2], [0.5**0.5, -1 / (1 + 0.05**2) ** 0.5])


def test_edges_are_drawn_with_their_cosines():
    right, up = kernels.ramps(16).values()
    fig = kernels.edges(RNG.standard_normal((60, 64)), np.stack([right, up + 0.1 * right]))
    titles = [ax.get_title(loc="left") for ax in fig.axes if ax.get_title(loc="left")]
    assert titles[1] == "ideal, left to right" and titles[2] == "the network's nearest: cosines +1.00, +0.00"
    assert titles[4] == "the network's nearest: cosines +0.10, +1.00"
    assert fig.axes[-1].images[0].get_array().shape == (64 - 15, 60 - 15)
