"""The small network learns, its history is what happened, and the drawings of chapter 07 show the numbers given."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from astlib import plots
from astlib.drawings import training


def clips(count=6, classes=3):
    source = torch.Generator().manual_seed(0)
    return torch.randn(count, 8, 4, generator=source), torch.eye(classes)[torch.arange(count) % classes]


def small(seed=0):
    return training.SmallAST(3, frames=8, mels=4, seed=seed)


def test_a_new_network_knows_nothing_and_is_the_same_each_time():
    mel, targets = clips()
    before = torch.random.get_rng_state()
    one, two, other = small(), small(), small(seed=1)
    assert torch.equal(before, torch.random.get_rng_state()), "it uses up nobody's random numbers"
    assert torch.equal(one(mel), two(mel)) and not torch.equal(one(mel), other(mel))
    assert F.cross_entropy(one(mel), targets).item() == pytest.approx(math.log(3), abs=0.2)


def test_the_history_is_what_happened():
    mel, targets = clips()
    network = small()
    untrained = F.cross_entropy(network(mel), targets).item()
    history = training.learn(network, (mel, targets), 5e-3, 30, batch=4, validation=(mel, targets), watched=mel[:1])
    assert len(history.losses) == 60 and len(history.answers) == 61 and len(history.validation) == 30
    assert history.train[0] == pytest.approx(np.mean(history.losses[:2]))
    assert history.validation[-1] == pytest.approx(F.cross_entropy(network(mel), targets).item(), rel=1e-5)
    assert history.validation[-1] < 0.1 * untrained and history.accuracy[-1] == 1 and not network.training
    assert torch.allclose(history.answers[-1], network(mel[:1]).softmax(1)[0])


def test_learning_shows_the_answers_with_the_right_class_at_the_bottom():
    answers = np.array([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1]])
    _, middle, below, *_ = training.learning(np.zeros((9, 128)), answers, [1.2], ["a", "b", "c"], "b").axes
    bottom = middle.collections[0].get_paths()[0].vertices
    assert bottom[:, 1].max() == pytest.approx(0.8)
    assert [text.get_text() for text in middle.texts] == ["b", "a", "c"]
    assert list(below.lines[0].get_ydata()) == [1.2] and below.lines[1].get_ydata()[0] == pytest.approx(math.log(3))


def test_descents_are_drawn_on_the_parabola():
    left, right = training.descents({0.1: [1.0, 0.8], 1.1: [1.0, -1.2]}).axes
    assert np.allclose(right.lines[1].get_ydata(), [1.0, 1.44]) and left.get_title(loc="left") == "η = 0.1"


def test_a_page_of_rates_puts_one_run_in_front():
    figure = training.rate_page({0.1: [1.0, 0.5], 1.0: [9.0, 9.0]}, 0.1, 1.5)
    left, right = figure.axes
    front = [line for line in left.lines if line.get_color() == plots.VERMILION]
    assert len(front) == 1 and list(front[0].get_ydata()) == [1.5, 1.0, 0.5]
    assert list(right.lines[0].get_ydata()) == [0.5, 3.0], "what is too large is drawn at the top"


def test_two_curves_mark_the_lowest_validation_loss():
    history = training.History(train=[3, 2, 1], validation=[3, 1, 2], accuracy=[0.1, 0.5, 0.4])
    above = training.two_curves({"x": history, "y": history}, 3.5).axes[0]
    dot = above.lines[2]
    assert (dot.get_xdata()[0], dot.get_ydata()[0]) == (2, 1)


@pytest.mark.parametrize("value", [0.1, -3.25, 1.0, 65504.0])
def test_bits_are_those_of_numpy_and_say_what_is_kept(value):
    assert training.bits_of(value, "float32") == f"{np.float32(value).view(np.uint32):032b}"
    assert training.bits_of(value, "float16") == f"{np.float16(value).view(np.uint16):016b}"
    whole = int(training.bits_of(value, "bfloat16") + 16 * "0", 2)
    assert np.uint32(whole).view(np.float32) == torch.tensor(value).bfloat16().item()
    boxes = training.bits(value).axes[0]
    assert "".join(text.get_text() for text in boxes.texts[:32]) == training.bits_of(value, "float32")


def test_faults_have_a_panel_each():
    axes = training.faults({"one": [1, 2], "two": [3, 4]}, 1.0).axes
    assert [list(ax.lines[0].get_ydata()) for ax in axes] == [[1, 2], [3, 4]]
