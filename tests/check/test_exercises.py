"""The kinds of exercises of astlib.check: what they accept, what they say, and that no answer breaks them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from astlib.check import check
from astlib.check.exercises import Case, Choice, Function, Mistake, Number, Trial
from astlib.errors import InvalidInput

DOUBLE = Function(
    label="ex-00-double",
    signature="double(values)",
    right=lambda values: 2 * values,
    cases=lambda: [Case("three numbers", (torch.tensor([1.0, 2.0, 4.0]),))],
    mistakes=[Mistake(lambda values: values**2, "You squared them.")],
)


def test_an_unknown_label_names_a_near_one():
    with pytest.raises(InvalidInput, match="ex-01-frames"):
        check("ex-01-frame", 3)
    with pytest.raises(InvalidInput, match="label of an exercise"):
        check("frames", 3)


@given(st.floats(allow_nan=True, allow_infinity=True) | st.integers() | st.text() | st.none() | st.booleans())
def test_no_answer_breaks_a_number(answer):
    exercise = Number(label="ex-00-seven", right=7)
    assert bool(exercise.check(answer)) is (answer == 7 and not isinstance(answer, bool))


def test_numbers_from_numpy_and_torch_count():
    exercise = Number(label="ex-00-half", right=0.5, rtol=0.01)
    assert exercise.check(np.float32(0.501)) and exercise.check(torch.tensor([0.499]))
    assert "sign" in exercise.check(-0.5).text
    assert "too small" in exercise.check(0.4).text and "too large" in exercise.check(0.6).text


def test_a_mistake_is_recognised_by_its_results():
    assert DOUBLE.check(lambda v: v + v)
    assert DOUBLE.check(lambda v: [2 * x for x in v.tolist()]), "plain lists count"
    assert "squared" in DOUBLE.check(lambda v: v * v).text


def test_an_unknown_mistake_is_told_where_it_shows():
    text = DOUBLE.check(lambda v: 2 * v + torch.tensor([0.0, 0.0, 1.0])).text
    assert "three numbers" in text and "[2]" in text and "expected 8, found 9" in text
    assert "shape (3,), found (2,)" in DOUBLE.check(lambda v: 2 * v[:2]).text
    assert "nan" in DOUBLE.check(lambda v: v / 0 * 0).text


def test_a_stub_an_error_and_a_changed_input_are_told():
    def stub(values): ...

    def changes(values):
        values *= 2
        return values

    assert "returns nothing so far" in DOUBLE.check(stub).text
    assert "RuntimeError" in DOUBLE.check(lambda v: v @ torch.ones(7)).text
    assert "changes its input" in DOUBLE.check(changes).text
    assert "without calling it" in DOUBLE.check(torch.ones(3)).text


def test_a_choice_says_why():
    exercise = Choice(label="ex-00-line", right="b", wrong={"a": "That line is as it should be.", "c": "Look up."})
    assert exercise.check(" b ")
    assert "as it should be" in exercise.check("a").text
    assert "'a' or 'b' or 'c'" in exercise.check("d").text


def test_a_trial_passes_errors_on_as_a_sentence():
    def build(): ...

    exercise = Trial(label="ex-00-class", asks="your class", test=lambda cls: cls(1) and None)
    assert "ZeroDivisionError" in exercise.check(lambda n: n / 0).text
    assert "returns nothing so far" in exercise.check(build).text
    assert exercise.check(int)


def test_a_short_function_is_not_taken_for_an_empty_one():
    exercise = Trial(label="ex-00-minus", asks="your function", test=lambda function: None)
    assert exercise.check(lambda x: -x) and exercise.check(lambda x: 3)
    assert not exercise.check(lambda x: None)


def test_a_number_with_decimals_equals_itself():
    assert Number(label="ex-00-seconds", right=10.255).check(10.255)
