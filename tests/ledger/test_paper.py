"""The published numbers: complete for the paper's tables, plausible, in agreement with each other and the logs."""

import math
from statistics import NormalDist, mean, stdev

import pytest

from astlib import token_grid
from astlib.ledger import original_logs, paper
from astlib.reproduce import SCALES, TABLES, Cell

ROWS = {row["id"]: row for row in paper()["rows"]}
LOGS = original_logs()
KEYS = {"id", "table", "system", "data", "metric", "value", "spread", "unit", "source", "confidence"}
FURTHER = {
    "mAUC": (0.9, 1),
    "d_prime": (2, 5),
    "patches": (1, 2000),
    "params_millions": (50, 400),
    "imagenet_top1": (0.8, 0.9),
}
PUBLISHED = ("audioset", "pretraining", "weights", "position", "overlap", "patch", "esc50", "speech-commands")
PAPER_CELLS = [cell for cell in SCALES["paper"].values() if cell.published]


def numbers(row: dict) -> tuple:
    return tuple(row.get(name) for name in ("value", "mAUC", "d_prime"))


def test_ids_are_unique_and_rows_complete():
    rows = paper()["rows"]
    assert len(ROWS) == len(rows)
    assert {row["table"] for row in rows} == {*PUBLISHED, "logs", "released"}
    for row in rows:
        assert set(row) >= KEYS and set(row) - KEYS <= set(FURTHER), row["id"]
        assert all(isinstance(row[key], str) and row[key] for key in KEYS - {"value", "spread"}), row["id"]
        known = ("confirmed in ", "two independent transcriptions", "read from the ")
        assert row["confidence"].startswith(known), row["id"]


def test_every_published_number_names_its_source():
    rows = paper()["rows"]
    assert all(row["source"] and row["unit"] and math.isfinite(row["value"]) for row in rows)


def test_the_best_before_has_a_name():
    names = {"esc50-sota-s": "Sailor", "esc50-sota-p": "PANNs", "sc-sota-s": "MatchboxNet", "sc-sota-p": "Lin et al."}
    assert all(name in ROWS[row]["system"] for row, name in names.items())
    assert [ROWS[row]["value"] for row in names] == [86.5, 94.7, 97.4, 97.7]


def test_the_number_of_seeds_is_called_unverified():
    assert "over 3 seeds is unverified" in paper()["about"]


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_values_are_plausible_for_their_unit(row):
    metric, unit, low, high, spread = (
        ("mAP", "mAP", 0.1, 0.5, 0.01) if row["unit"] == "mAP" else ("accuracy", "%", 80, 100, 1)
    )
    assert (row["metric"], row["unit"]) == (metric, unit)
    assert math.isfinite(row["value"]) and low < row["value"] < high
    assert row["spread"] is None or 0 <= row["spread"] < spread
    for name, (least, most) in FURTHER.items():
        assert name not in row or least <= row[name] <= most


@pytest.mark.parametrize("scale", SCALES)
def test_every_cell_finds_its_published_row(scale):
    missing = {cell.name: cell.published for cell in SCALES[scale].values() if cell.published not in {"", *ROWS}}
    assert not missing


@pytest.mark.parametrize("cell", PAPER_CELLS, ids=lambda cell: cell.name)
def test_row_is_about_what_the_cell_runs(cell):
    row = ROWS[cell.published]
    assert row["table"] == {"cnns": "audioset"}.get(cell.table, cell.table)  # PSLA stands in the main table
    if row["metric"] == "mAP":
        assert row["source"].endswith(TABLES[cell.table].source)
    if isinstance(cell, Cell):
        assert row["metric"] == cell.recipe.metric
        assert ("balanced" in row["data"]) == (cell.recipe.dataset == "audioset-balanced")


def test_patches_are_those_of_the_cells_recipe():
    counted = {
        cell.published: math.prod(token_grid(cell.recipe.model_config(["any"])))
        for cell in PAPER_CELLS
        if "patches" in ROWS[cell.published]
    }
    assert counted == {name: row["patches"] for name, row in ROWS.items() if "patches" in row}
    assert len(counted) == 12 and {"overlap", "patch"} == {ROWS[name]["table"] for name in counted}


@pytest.mark.parametrize(
    "same",
    [
        (
            "audioset-balanced",
            "pretraining-imagenet-balanced",
            "weights-deit-distilled",
            "position-bilinear",
            "overlap-6-balanced",
        ),
        ("audioset-full", "pretraining-imagenet-full", "overlap-6-full"),
        ("overlap-0-balanced", "patch-16x16-imagenet"),
    ],
    ids=lambda same: same[0],
)
def test_one_model_has_one_number_in_all_tables(same):
    assert len({ROWS[name]["value"] for name in same}) == 1


@pytest.mark.parametrize("name", ["audioset-full", "audioset-balanced"])
def test_audioset_rows_equal_the_log(name):
    log = LOGS["runs"]["audioset" if name == "audioset-full" else name]
    averaged = log["weights_averaged"]
    assert numbers(ROWS[f"{name}-log"]) == (averaged["mAP"], averaged["mAUC"], averaged["d_prime"])
    assert numbers(ROWS[f"{name}-log-last"]) == (log["value"][-1], log["mAUC"][-1], log["d_prime"][-1])
    assert ROWS[f"{name}-log-checkpoint-ensemble"]["value"] == log["checkpoint_ensemble"][-1]


def test_esc50_rows_equal_the_log():
    means = [100 * mean(epoch) for epoch in zip(*LOGS["runs"]["esc50-p"]["folds"].values(), strict=True)]
    best = max(range(len(means)), key=means.__getitem__)
    assert ROWS["esc50-ast-p-log"]["value"] == pytest.approx(means[best])
    assert f"epoch {best + 1} of {len(means)}" in ROWS["esc50-ast-p-log"]["system"]
    assert ROWS["esc50-ast-p-log-last"]["value"] == pytest.approx(means[-1])


def test_speech_commands_rows_equal_the_log():
    log = LOGS["runs"]["speech-commands"]
    final, test, validation = log["final"], ROWS["sc-ast-s-log"], ROWS["sc-ast-s-log-validation"]
    assert (test["value"], test["mAUC"]) == (round(100 * final["test_acc"], 3), final["test_mAUC"])
    assert (validation["value"], validation["mAUC"]) == (round(100 * final["val_acc"], 3), final["val_mAUC"])
    best = max(range(len(log["value"])), key=log["value"].__getitem__)
    assert log["value"][best] == final["val_acc"] and f"epoch {best + 1} of " in validation["system"]


@pytest.mark.parametrize("letter, members", [("s", 3), ("m", 6)])
def test_released_models_equal_the_ensemble_logs(letter, members):
    log = LOGS["ensembles"][letter]
    singles = [
        row
        for row in ROWS.values()
        if row["table"] == "released" and row["confidence"] == "read from the log" and "ensemble" not in row["id"]
    ][:members]
    assert [numbers(row) for row in singles] == [(m["mAP"], m["mAUC"], m["d_prime"]) for m in log["models"]]
    for row, model in zip(singles, log["models"], strict=True):
        assert row["system"].startswith(model["file"].removesuffix(".pth"))
        assert row["id"].endswith(f"-{row['value']:.4f}") and f"{row['value']:.4f}.pth" in row["system"]
    joined = ROWS[f"released-ensemble-{letter}"]
    assert log["ensemble"]["n"] == members
    assert numbers(joined) == tuple(log["ensemble"][name] for name in ("mAP", "mAUC", "d_prime"))
    assert round(joined["value"], 3) == ROWS[f"audioset-full-ensemble-{letter}"]["value"]


def test_three_released_models_have_the_papers_mean_and_spread():
    singles = [ROWS[f"released-10-10-{name}"]["value"] for name in ("0.4495", "0.4483", "0.4475")]
    row = ROWS["audioset-full-last-epoch"]
    assert (round(mean(singles), 3), round(stdev(singles), 3)) == (row["value"], row["spread"]) == (0.448, 0.001)


def test_d_prime_is_that_of_the_mean_area():
    both = [row for row in ROWS.values() if "d_prime" in row]
    assert len(both) == 12
    for row in both:
        assert row["d_prime"] == pytest.approx(math.sqrt(2) * NormalDist().inv_cdf(row["mAUC"]), abs=1e-4), row["id"]


@pytest.mark.parametrize(
    "name", ["released-10-10-0.4593", "released-balanced-10-10-0.3499", "released-speech-commands-0.9812"]
)
def test_a_row_without_a_log_has_the_number_of_its_file(name):
    row = ROWS[name]
    share = row["value"] / 100 if row["unit"] == "%" else row["value"]
    assert row["confidence"].startswith("read from the file's name")
    assert name.endswith(f"-{share:.4f}") and f"_{share:.4f}.pth" in row["system"]
