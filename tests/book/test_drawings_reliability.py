"""What probabilities are worth, drawn: bars are the accuracies of their bins, shares are those at the threshold."""

import numpy as np
import pytest

from astlib import calibrate
from astlib.drawings import reliability
from astlib.errors import InvalidInput

RNG = np.random.default_rng(0)
SURE = RNG.beta(3, 1, 300)
RIGHT = (RNG.random(300) < SURE**2).astype(float)


def test_bars_are_accuracies_and_every_answer_is_counted():
    upper, lower = reliability.diagram(SURE, RIGHT, bins=5, title="made").axes
    found = calibrate.reliability(SURE, RIGHT, bins=5)
    there = found.answers > 0
    assert np.allclose([bar.get_height() for bar in upper.patches], found.accuracy[there])
    assert sum(bar.get_height() for bar in lower.patches) == 300
    assert upper.get_title(loc="left") == "made"
    dots = upper.lines[-2].get_ydata()
    assert np.allclose(dots, found.confidence[there])


def test_the_curves_end_at_the_precision_and_the_share_of_all():
    (ax,) = reliability.over_threshold(SURE, RIGHT, 0.9, 0.7).axes
    precision, answered = (line.get_ydata() for line in ax.lines[:2])
    assert precision[-1] == pytest.approx(RIGHT.mean()) and answered[-1] == 1
    assert np.isclose(precision[(SURE >= 0.7).sum() - 1], RIGHT[SURE >= 0.7].mean())
    assert any("0.70" in text.get_text() for text in ax.texts)


def test_shares_above_the_line_stand_in_the_title():
    margins = {"max_logit": {"known": [-1, 1, 2, 3], "words": [-3, -2, -1, 0.5]}}
    (ax,) = reliability.apart(margins).axes
    assert ax.get_title(loc="left") == "max logit: 75% of the clips stay, 25% of the words pass"
    heights = [bar.get_height() for bar in ax.patches]
    assert sum(h for h in heights if h > 0) == pytest.approx(1) and sum(h for h in heights if h < 0) == pytest.approx(
        -1
    )
    with pytest.raises(InvalidInput, match="no score"):
        reliability.apart({})
