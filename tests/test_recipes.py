"""Recipes: schedules against the original's logs, and values that make no sense refused."""

import math
from dataclasses import fields

import pytest
import torch

from astlib.data import DATASETS, Synthetic
from astlib.frontend import LogMel, pad_or_cut
from astlib.ledger import original_logs
from astlib.recipes import PAPER, RECIPES, YOUNGER, Recipe
from astlib.sources import describe, meanings

LOGS = original_logs()["runs"]


@pytest.mark.parametrize("name", LOGS)
def test_schedule_is_that_of_the_originals_log_epoch_by_epoch(name):
    expected, recipe = LOGS[name]["learning_rate"], RECIPES[name]
    assert len(expected) == recipe.epochs
    assert [recipe.learning_rate(e) for e in range(1, recipe.epochs + 1)] == pytest.approx(expected, rel=1e-9)


def test_the_rate_that_the_speech_commands_log_froze_goes_on_in_todays_script():
    log, script = RECIPES["speech-commands"], RECIPES["speech-commands-script"]
    assert log.learning_rate(30) == log.learning_rate(26) == script.learning_rate(26)
    assert script.learning_rate(30) == pytest.approx(2.5e-4 * 0.85**25)


def test_warmup_of_audioset_moves_every_50_steps_and_ends_at_step_1000():
    recipe = RECIPES["audioset"]
    found = [recipe.learning_rate(1, step) for step in (0, 49, 50, 99, 500, 549, 999, 1000, 10**6)]
    assert found == pytest.approx([0, 0, 5e-7, 5e-7, 5e-6, 5e-6, 9.5e-6, 1e-5, 1e-5], abs=1e-18)


def test_warmup_may_also_move_at_every_step():
    recipe = Recipe(name="w", lr=1e-5, warmup_steps=1000)
    assert recipe.learning_rate(1, step=500) == pytest.approx(5e-6)
    assert recipe.learning_rate(1, step=1000) == recipe.learning_rate(1, step=5000) == pytest.approx(1e-5)


# What the dossier of the original says of every recipe: lr, batch, epochs, warm-up, loss, metric, mixup, masks, length,
# mean, std, balanced sampling, averaging. Sources: egs/*/run*.sh and src/traintest.py at 31088be.
PUBLISHED = {
    "audioset": (1e-5, 12, 5, 1000, "bce", "mAP", 0.5, 48, 192, 1024, -4.2677393, 4.5689974, True, (1, 5)),
    "audioset-balanced": (5e-5, 12, 25, 1000, "bce", "mAP", 0.5, 48, 192, 1024, -4.2677393, 4.5689974, False, (6, 25)),
    "esc50": (1e-4, 48, 25, 0, "ce", "accuracy", 0.0, 24, 96, 512, -6.6268077, 5.358466, False, (0, 0)),
    "esc50-p": (1e-5, 48, 25, 0, "ce", "accuracy", 0.0, 24, 96, 512, -6.6268077, 5.358466, False, (0, 0)),
    "speech-commands": (2.5e-4, 128, 30, 0, "bce", "accuracy", 0.5, 48, 48, 128, -6.845978, 5.5654526, False, (0, 0)),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_values_are_the_originals(name):
    r = RECIPES[name]
    assert PUBLISHED[name] == (
        r.lr, r.batch, r.epochs, r.warmup_steps, r.loss, r.metric, r.mixup, r.freqm, r.timem, r.input_tdim, r.mean,
        r.std, r.balanced, r.average,
    )  # fmt: skip
    assert (r.betas, r.weight_decay, r.model_size, r.fstride, r.tstride) == ((0.95, 0.999), 5e-7, "base384", 10, 10)
    assert (r.noise, r.roll) == ((0.1, 10) if name == "speech-commands" else (0, 0))


@pytest.mark.parametrize("name", PAPER)
def test_every_value_of_the_papers_recipes_has_a_source(name):
    table = describe(name)
    assert [row[0] for row in table.rows if row[2] == "ours"] == []
    assert len(table.rows) == len(fields(Recipe)) - 1


def test_variants_say_what_they_change():
    changed = {row[0]: row[2] for row in describe("speech-commands-script").rows if "this variant" in row[2]}
    assert set(changed) == {"mixup", "decay_until"} and "has 0.5" in changed["mixup"]
    with pytest.raises(ValueError, match="no recipe 'esc-50'. Did you mean esc50"):
        describe("esc-50")


def test_recipes_of_our_own_say_what_each_value_does():
    table = describe("own-sounds")
    assert table.header[2] == "what it does" and [row[0] for row in table.rows] == list(meanings())[1:]
    assert meanings()["lr"] == "Adam's learning rate before any decay"
    assert all(len(words) > 10 and words != "ours" for words in meanings().values())


def test_a_record_has_younger_fields_only_where_they_are_used():
    """So the id of a run that was recorded before there was such a field stays what it is."""
    old, new = RECIPES["esc50"].parameters(), RECIPES["esc50"].replace(windows=True).parameters()
    assert not set(YOUNGER) & set(old) and set(new) - set(old) == {"windows"}
    assert Recipe(**old) == RECIPES["esc50"] and old["betas"] == [0.95, 0.999]


def test_data_sets_of_all_recipes_exist():
    assert {recipe.dataset for recipe in RECIPES.values()} <= set(DATASETS)


@pytest.mark.parametrize(
    "change",
    [
        {"loss": "mse"},
        {"metric": "f1"},
        {"selection": "luck"},
        {"epochs": 0},
        {"epochs": 2.0},
        {"lr": 0},
        {"lr": "1"},
        {"betas": 0.9},
        {"balanced": 1},
        {"average": (3, 2)},
        {"average": (20, 26)},
        {"selection": "average"},
        {"average": (1.5, 2.5)},
        {"patch": ("16", 16)},
        {"patch": 16},
        {"betas": (0.9, "a")},
        {"betas": (0.9, None)},
        {"betas": (0.9, 0.9, 0.9)},
        {"mean": math.nan},
        {"lr": math.inf},
        {"lr": 10**400},
        {"decay": math.inf},
        {"mixup": 3},
        {"freqm": -1},
        {"seed": -1},
        {"decay_every": 0},
        {"position": "guess"},
    ],
)
def test_values_that_make_no_sense_are_refused(change):
    with pytest.raises(ValueError, match="found|needs"):
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
