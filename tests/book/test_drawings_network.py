"""The drawings of chapter 04 show the numbers that they are given, in the right places."""

import numpy as np
import pytest
import torch

from astlib import plots
from astlib.drawings import network
from astlib.errors import InvalidInput

GRID = (8, 4)
LABELS = ["dog", "rooster", "crying_baby"]
LOGITS = torch.tensor([[-1.0, 0.5, 4.0]])


def whole():
    states = torch.randn(13, 34, 6, generator=torch.Generator().manual_seed(0))
    return plots.whole_network(torch.randn(1600), torch.randn(64, 128), 16, states, torch.randn(1, 6), LOGITS)


def test_the_whole_network_is_labelled():
    fig = network.labelled(whole(), GRID, 50, LABELS, LOGITS)
    padding, tokens, best = (list(fig.axes[i].texts) for i in (1, 2, 5))
    assert padding[0].get_text() == "padding" and padding[0].xy[0] == 56
    assert tokens[0].get_text() == "class tokens" and tokens[0].xy[0] == 0.5
    assert best[0].get_text() == "crying baby" and best[0].xy == (2, 4.0)
    starts = [line.get_xdata()[0] for line in fig.axes[2].lines]
    assert starts == [1.5 + 4 * row for row in range(8)], "a line in front of each row of patches"
    assert [label.get_text() for label in fig.axes[2].get_xticklabels()] == [f"row {i}" for i in range(1, 9)]


def test_labels_must_fit_the_logits():
    with pytest.raises(InvalidInput, match="3 logits, found 2"):
        network.labelled(whole(), GRID, 50, LABELS[:2], LOGITS)


@pytest.mark.parametrize(("frames", "columns", "first"), [(498, 32, 31), (512, 32, 32), (96, 32, 6), (900, 32, 32)])
def test_padding_starts_where_a_patch_is_mostly_padding(frames, columns, first):
    assert network.padding_starts(frames, columns) == first


def test_two_maps_share_a_scale_and_say_what_goes_to_patches_and_to_padding():
    true, false = torch.full((8, 32), 0.001), torch.zeros(8, 32)
    false[:, 31] = 0.1
    fig = network.two_maps({"true": true, "false": false}, 498, 4, "block 11")
    images = [axes.images[0] for axes in fig.axes if axes.images]
    assert [image.get_clim() for image in images] == [(0, 4), (0, 4)]
    assert images[0].get_array()[3, 3] == pytest.approx(0.1)
    titles = [axes.get_title(loc="left") for axes in fig.axes if axes.images]
    assert titles == ["true: patches 26 %, padding 1 %", "false: patches 80 %, padding 80 %"]
    assert fig.get_suptitle() == "block 11"


def test_costs_stack_their_parts_and_write_the_sums():
    parameters = {"MLP": 50e6, "qkv and proj": 25e6, "token pairs": 0, "the rest": 5e6}
    work = {"stride 16": dict.fromkeys(parameters, 10e9), "stride 10": dict.fromkeys(parameters, 20e9)}
    memory = {"step by step": {"stride 16": 2e8, "stride 10": 9e8}, "fused": {"stride 16": 1e8, "stride 10": 2e8}}
    top, middle, low = network.costs(parameters, work, memory).axes
    assert [text.get_text() for text in top.texts] == ["80.0"]
    assert [text.get_text() for text in middle.texts] == ["40.0", "80.0"]
    assert [text.get_text() for text in low.texts] == ["200", "900", "100", "200"]
    assert [bar.get_width() for bar in top.patches] == [50, 25, 0, 5]
    assert np.allclose([bar.get_x() for bar in middle.patches][2:4], [10, 20]), (
        "the second part begins at the first's end"
    )
