"""The drawings of chapter 03 show the numbers that they are given, in the right places."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle

from astlib import plots
from astlib.drawings import attention
from astlib.errors import InvalidInput

NAMES = ["call", "pause", "call", "hum"]
GRID = (8, 31)
LOGMEL = torch.randn(490, 128, generator=torch.Generator().manual_seed(0)) * 4 - 7


def texts(fig) -> list[str]:
    return [text.get_text() for axes in fig.axes for text in axes.texts]


@pytest.fixture
def steps():
    x = torch.tensor([[2.0, 0.0], [0.0, 0.0], [1.0, 1.0], [0.0, 2.0]])
    scores = x @ x.T
    A = (scores / 2**0.5).softmax(dim=1)
    return {"x": x, "q": x, "k": x, "v": x, "scores": scores, "divided": scores / 2**0.5, "A": A, "y": A @ x}


def test_by_hand_writes_every_number_of_every_matrix(steps):
    fig = attention.by_hand(NAMES, steps, query=2)
    numbers = [text.replace("−", "-") for text in texts(fig)]
    cells = sorted(float(text) for text in numbers if text.strip("-").replace(".", "").isdigit())
    wanted = [steps[name] for name in (*steps, "v")]  # values are drawn twice
    assert np.allclose(cells, sorted(torch.cat([matrix.flatten() for matrix in wanted])), atol=0.00501)
    assert numbers.count("call") == 6 and numbers.count("k hum") == 3


def test_by_hand_frames_the_row_of_the_query(steps):
    frames = {}
    for query in (0, 3):
        boxes = [box for box in attention.by_hand(NAMES, steps, query).axes[0].patches if not box.get_fill()]
        frames[query] = np.array([box.get_y() for box in boxes])
    assert len(frames[0]) == 8, "all matrices but the second copy of the values"
    assert np.allclose(frames[3] - frames[0], 3 * attention.ROW)


def test_by_hand_refuses_other_names(steps):
    with pytest.raises(InvalidInput, match="expected 3 rows"):
        attention.by_hand(NAMES[:3], steps)


def test_heads_shows_all_numbers_with_a_gap_between_the_heads():
    generator = torch.Generator().manual_seed(1)
    token, found, out = torch.randn(3, 192, generator=generator)
    qkv = torch.randn(3, 192, generator=generator)
    weights = torch.rand(3, 248, generator=generator)
    fig = attention.heads(token, qkv, weights, found, out, GRID, query=2 * 31 + 5)
    strips = [np.asarray(axes.images[0].get_array()) for axes in fig.axes]
    for wanted in (token, *qkv, found, out):
        assert any(strip.shape == (1, 192) and np.array_equal(strip[0], wanted) for strip in strips)
    for wanted in weights:
        assert any(strip.shape == GRID and np.array_equal(strip, wanted.reshape(GRID)) for strip in strips)
    gaps = [[line.get_xdata()[0] for line in axes.lines] for axes in fig.axes if axes.lines]
    assert gaps == [[63.5, 127.5]] * 4, "q, k, v and what the heads found"
    boxes = [axes.patches[0].get_xy() for axes in fig.axes if axes.patches]
    assert boxes == [(4.5, 1.5)] * 3


def test_bus_writes_every_size():
    sizes = {"start": 0.73, "attention": 0.39, "between": 0.7, "MLP": 0.77, "end": 0.95}
    shown = texts(attention.bus(sizes))
    assert {"0.73", "0.70", "0.95", "adds 0.39", "adds 0.77"} <= set(shown)


def test_over_clip_lays_each_weight_over_its_patch():
    weights = torch.zeros(8, 31)
    weights[3, 7] = 0.25
    axes = attention.over_clip(LOGMEL, weights, (3, 7), "title").axes[0]
    shown = np.asarray(axes.images[1].get_array())  # (mels, frames), low frequencies first
    assert shown.shape == (128, 490)
    assert np.argwhere(shown == 25).min(axis=0).tolist() == [48, 112]
    assert np.argwhere(shown == 25).max(axis=0).tolist() == [63, 127] and (shown > 0).sum() == 256
    (box,) = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert box.get_xy() == pytest.approx((1.12, 47.5)) and box.get_edgecolor() == to_rgba(plots.INK)


def test_over_clip_refuses_patches_that_do_not_cover_the_clip():
    with pytest.raises(InvalidInput, match="do not cover"):
        attention.over_clip(LOGMEL, torch.zeros(8, 30), (0, 0))


def test_three_heads_have_their_own_map_and_title():
    weights = torch.rand(3, 8, 31, generator=torch.Generator().manual_seed(2))
    fig = attention.three_heads(LOGMEL, weights, (1, 2), ["one", "two", "three"])
    maps = [axes for axes in fig.axes if len(axes.images) == 2]
    assert [axes.get_title(loc="left") for axes in maps] == ["one", "two", "three"]
    for axes, wanted in zip(maps, weights, strict=True):
        assert np.asarray(axes.images[1].get_array())[0, 0] == pytest.approx(100 * wanted[0, 0].item())


def test_twins_say_their_correlation_and_frame_their_places():
    one, other = torch.randn(2, 16, 16, generator=torch.Generator().manual_seed(3))
    fig = attention.twins([one, other], [LOGMEL, LOGMEL], [(2, 5), (2, 9)], ["crow", "sea_waves"], 0.876)
    assert "0.88" in fig.get_suptitle()
    assert np.array_equal(fig.axes[0].images[0].get_array(), one)
    assert [axes.patches[0].get_xy() for axes in (fig.axes[1], fig.axes[3])] == [(0.8, 32), (1.44, 32)]
    assert fig.axes[3].get_title(loc="left") == "from: sea waves"
