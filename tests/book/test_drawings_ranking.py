"""Rankings drawn: cards in order, fractions as written, pairs that add up to AUC, mistakes that add up to all."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from astlib import metrics
from astlib.drawings import ranking
from astlib.errors import InvalidInput
from astlib.plots import BLUE, ORANGE

FOUND = np.array([1, 0, 1, 1, 0, 0, 1, 0])
FALLING = np.arange(8.0, 0.0, -1.0)


def test_cards_say_rank_score_and_truth():
    mels = np.random.default_rng(0).standard_normal((8, 30, 16))
    fig = ranking.cards(mels, FOUND, FALLING / 10, ["cat" if one else "door wood creaks" for one in FOUND], columns=6)
    shown, empty = fig.axes[:8], fig.axes[8:]
    assert [ax.get_title(loc="left") for ax in shown][:2] == ["1:  0.80", "2:  0.70"]
    assert shown[0].get_xlabel() == "✓ cat" and shown[1].get_xlabel() == "✗ door wood\ncreaks"
    edges = [to_hex(ax.spines["left"].get_edgecolor()) for ax in shown]
    assert edges == [to_hex(BLUE) if one else to_hex(ORANGE) for one in FOUND]
    assert np.array_equal(shown[3].images[0].get_array(), mels[3].T)
    assert len(empty) == 4 and not any(ax.images for ax in empty)


def test_the_pencil_circles_the_precisions_that_average_to_ap():
    (ax,) = ranking.pencil(FOUND).axes
    fractions = [text for text in ax.texts if "/" in text.get_text()]
    assert [text.get_text() for text in fractions] == ["1/1", "1/2", "2/3", "3/4", "3/5", "3/6", "4/7", "4/8"]
    circled = [text.get_text().split("/") for text in fractions if text.get_bbox_patch() is not None]
    mean = np.mean([int(over) / int(under) for over, under in circled])
    assert np.isclose(mean, metrics.average_precision(FOUND[:, None], FALLING[:, None])[0])


@pytest.mark.parametrize("score", [FALLING, np.ceil(FALLING / 3), np.zeros(8)], ids=["falling", "ties", "equal"])
def test_the_mean_of_all_pairs_is_auc(score):
    assert np.isclose(ranking.won(FOUND, score).mean(), metrics.auc(FOUND[:, None], score[:, None])[0])


def test_pairs_are_drawn_with_the_curve_that_bounds_them():
    cells, curve = ranking.pairs(FOUND, FALLING).axes
    assert cells.get_title(loc="left") == "11 of 16 pairs won" and curve.get_title(loc="left") == "area 0.6875"
    numbers = [float(text.get_text()) for text in cells.texts]
    assert sum(numbers) == 11 and len(numbers) == 16
    x, y = curve.lines[0].get_data()
    assert np.isclose((np.diff(x) * (y[1:] + y[:-1]) / 2).sum(), 11 / 16)
    assert [label.get_text() for label in cells.get_yticklabels()] == ["1", "3", "4", "7"]


def test_confused_classes_come_first_and_what_they_are_taken_for_after_them():
    truth = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2])
    said = np.array([0, 3, 3, 1, 0, 1, 2, 2, 2])
    assert ranking.confused(truth, said) == ([0, 1], [3])
    assert ranking.confused(truth, said, count=1, others=0) == ([0], [])


def test_no_clip_is_lost_in_the_confusion():
    truth = np.array([0, 0, 0, 0, 1, 1, 1, 2])
    said = np.array([0, 3, 4, 5, 1, 0, 1, 2])
    (ax,) = ranking.confusion(truth, said, ["a_b", "c", "d", "e", "f", "g"], others=1).axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a b", "c"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a b", "c", "e", "another"]
    counts = {tuple(map(int, text.get_position())): int(text.get_text()) for text in ax.texts}
    assert counts == {(0, 0): 1, (2, 0): 1, (3, 0): 2, (0, 1): 1, (1, 1): 2}


def test_without_a_mistake_there_is_nothing_to_draw():
    with pytest.raises(InvalidInput, match="right"):
        ranking.confusion([0, 1], [0, 1], ["a", "b"])
