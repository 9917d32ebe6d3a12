"""Recipes: schedules against the original's logs, and values that make no sense refused."""

import pytest
import torch

from astlib.data import Synthetic
from astlib.frontend import LogMel, pad_or_cut
from astlib.recipes import RECIPES, Recipe

# learning rate in force at the end of each epoch: original, egs/*/exp logs at commit 31088be (result.csv)
ORIGINAL = {
    "audioset-full": (dict(lr=1e-5, epochs=5, decay_from=3, decay=0.5), [1e-5, 1e-5, 5e-6, 2.5e-6, 1.25e-6]),
    "audioset-balanced": (
        dict(lr=5e-5, epochs=25, decay_from=11, decay_every=5, decay=0.5),
        [5e-5] * 10 + [2.5e-5] * 5 + [1.25e-5] * 5 + [6.25e-6] * 5,
    ),
    "esc50": (dict(lr=1e-5, epochs=25, decay_from=6, decay=0.85), [1e-5] * 5 + [1e-5 * 0.85**k for k in range(1, 21)]),
}


@pytest.mark.parametrize("name", ORIGINAL)
def test_schedule_is_the_originals_epoch_by_epoch(name):
    values, expected = ORIGINAL[name]
    recipe = Recipe(name=name, **values)
    assert [recipe.learning_rate(e) for e in range(1, recipe.epochs + 1)] == pytest.approx(expected, rel=1e-9)


def test_warmup_is_linear_and_ends_at_the_epochs_rate():
    recipe = Recipe(name="w", lr=1e-5, warmup_steps=1000)
    assert recipe.learning_rate(1, step=499) == pytest.approx(5e-6)
    assert recipe.learning_rate(1, step=999) == recipe.learning_rate(1, step=5000) == pytest.approx(1e-5)


def test_esc50_is_what_the_released_script_says():
    recipe = RECIPES["esc50"]
    found = (recipe.lr, recipe.batch, recipe.epochs, recipe.mixup, recipe.freqm, recipe.timem, recipe.input_tdim)
    assert found == (1e-4, 48, 25, 0.0, 24, 96, 512)
    assert (recipe.mean, recipe.std, recipe.betas, recipe.weight_decay) == (-6.6268077, 5.358466, (0.95, 0.999), 5e-7)
    assert (recipe.model_size, recipe.fstride, recipe.tstride, recipe.prefix_tokens) == ("base384", 10, 10, 2)


@pytest.mark.parametrize("change", [
    {"loss": "mse"}, {"metric": "f1"}, {"selection": "luck"}, {"epochs": 0}, {"epochs": 2.0}, {"lr": 0}, {"lr": "1"},
    {"betas": 0.9}, {"mixup": 3}, {"freqm": -1}, {"seed": -1}, {"decay_every": 0}, {"position": "guess"},
])
def test_values_that_make_no_sense_are_refused(change):
    with pytest.raises(ValueError, match="found"):
        RECIPES["esc50"].replace(**change)


def test_a_grid_without_a_token_is_refused_before_any_data_is_read():
    with pytest.raises(ValueError, match="smaller than one patch"):
        RECIPES["esc50"].replace(input_tdim=15)


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="has no learning_rat.*It has:.*lr"):
        RECIPES["esc50"].replace(learning_rat=1)


def test_model_config_carries_what_one_needs_to_use_the_model():
    cfg = RECIPES["esc50-tiny"].model_config(["dog", "rain"])
    assert (cfg.labels, cfg.multi_label, cfg.mean) == (("dog", "rain"), False, -6.6268077)


def test_constants_of_the_synthetic_set_are_its_own():
    recipe, log_mel, clips = RECIPES["synthetic"], LogMel(), Synthetic(split="all")
    mel = torch.cat([pad_or_cut(log_mel(clips.waveform(i)), 512) for i in range(len(clips))])
    assert mel.mean().item() == pytest.approx(recipe.mean, abs=0.01)
    assert mel.std().item() == pytest.approx(recipe.std, abs=0.01)
