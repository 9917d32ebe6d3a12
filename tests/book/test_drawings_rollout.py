"""The flow of rollout writes the shares that the product of the matrices gives, and draws thick what is large."""

import numpy as np
import pytest

from astlib.drawings.rollout import flow
from astlib.errors import InvalidInput
from astlib.plots import VERMILION

FIRST = np.array([[1, 0, 0], [0, 1, 0], [0, 0.5, 0.5]])
SECOND = np.array([[0.5, 0, 0.5], [0, 1, 0], [0, 0, 1]])
NAMES = ["class", "a", "b"]


def test_the_shares_at_the_left_are_the_row_of_the_product():
    ax = flow([FIRST, SECOND], NAMES).axes[0]
    texts = [text.get_text() for text in ax.texts]
    wanted = (SECOND @ FIRST)[0]
    assert [f"{name}: {share:.2g}" for name, share in zip(NAMES, wanted, strict=True)] == texts[-3:]
    assert sum(float(text.split(": ")[1]) for text in texts[-3:]) == pytest.approx(1)


def test_coloured_lines_are_as_thick_as_what_they_carry():
    ax = flow([FIRST, SECOND], NAMES).axes[0]
    widths = sorted(line.get_linewidth() for line in ax.lines if line.get_color() == VERMILION)
    assert np.allclose(widths, 9 * np.array([0.25, 0.25, 0.5, 0.5, 0.5]))


def test_another_output_has_other_paths():
    ax = flow([FIRST, SECOND], NAMES, follow=1).axes[0]
    assert [text.get_text() for text in ax.texts][-3:] == ["class: 0", "a: 1", "b: 0"]


@pytest.mark.parametrize("wrong", [np.eye(2), 2 * np.eye(3)], ids=["another size", "rows sum to two"])
def test_refuses_what_is_no_flow(wrong):
    with pytest.raises(InvalidInput):
        flow([wrong], NAMES)
