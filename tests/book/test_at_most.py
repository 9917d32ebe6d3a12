"""Differences are printed rounded up to a power of ten."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astlib.errors import InvalidInput
from astlib.notebooks import at_most


@given(st.floats(min_value=1e-30, max_value=1e30))
def test_the_power_of_ten_is_the_next_one_above(value):
    power = float(at_most(value))
    assert value <= power * (1 + 1e-6) and power < 10.001 * value


def test_what_is_printed():
    assert [at_most(x) for x in (0, 3e-6, 1e-5, 0.5, 7)] == ["0", "1e-05", "1e-05", "1e+00", "1e+01"]
    for wrong in (-1e-9, math.nan, math.inf):
        with pytest.raises(InvalidInput, match="0 or above"):
            at_most(wrong)
