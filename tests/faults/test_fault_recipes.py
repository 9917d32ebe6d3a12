"""Recipes with values that nobody means: each is refused in a sentence before data or memory is taken."""

from dataclasses import fields

import pytest

from astlib.errors import InvalidInput
from astlib.recipes import RANGES, RECIPES, Recipe

BASE = RECIPES["esc50-tiny"]
ODD = (None, "", "x", "5", 5.5, -1, 0, True, 10**30, 10**5000, 1e30, 1e308, float("nan"), float("inf"), -0.0, 1e-300,
       [], [1], (1, 2), ("1", 2), ((1, 2), (3, 4)), {}, {1: 2}, b"x", "x" * 10**6)  # fmt: skip


def refused(**change):
    with pytest.raises(InvalidInput) as error:
        BASE.replace(**change)
    assert len(str(error.value)) < 400 and "\n" not in str(error.value)


@pytest.mark.parametrize("field", RANGES)
def test_both_ends_of_every_range(field):
    least, most = RANGES[field]
    for value in (least - 1, most + 1, 10**30, 10**5000, -(10**30)):
        refused(**{field: value})


@pytest.mark.parametrize("change", [
    {"epochs": 10**9}, {"epochs": 10**400}, {"batch": 10**30}, {"decay": 1e300}, {"decay": 1.5}, {"lr": 1e300},
    {"mean": 1e38}, {"std": 1e38}, {"std": 1e-300}, {"betas": (2.0, 3.0)}, {"betas": (-1.0, 0.5)},
    {"betas": (0.9, 1.0)},
    {"weight_decay": 1e300}, {"input_tdim": 10**7}, {"input_fdim": 100_000}, {"input_tdim": 90_000, "fstride": 1},
    {"seed": 10**30}, {"seed": 2**63}, {"noise": 1e300}, {"roll": 10**30}, {"fold": 10**30}, {"folds": 1},
    {"fstride": 10**30}, {"tstride": 0}, {"patch": (0, 16)}, {"patch": (10**30, 16)}, {"warmup_steps": 10**30},
], ids=str)  # fmt: skip
def test_numbers_beyond_their_range(change):
    refused(**change)


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "/a", ".hidden", "a\\b", "a\0b", "a\nb", "a b", "x" * 101])
def test_names_that_are_paths(name):
    refused(name=name)


@pytest.mark.parametrize("field", [field.name for field in fields(Recipe)])
def test_any_field_with_an_odd_value(field):
    """A recipe that can be used, or a sentence; never an error from inside."""
    for value in ODD:
        try:
            made = BASE.replace(**{field: value})
        except InvalidInput as error:
            assert len(str(error)) < 400
        else:
            assert made.learning_rate(1) >= 0 and made.model_config(["a", "b"]).label_dim == 2


def test_every_recipe_is_in_its_ranges():
    for recipe in RECIPES.values():
        assert Recipe(**{field.name: getattr(recipe, field.name) for field in fields(Recipe)}) == recipe
