"""The comparisons of chapters 12 and 13 once more, from the JSON files alone, by code that is not astlib's."""

import json
from itertools import product
from statistics import mean

import numpy as np
import pytest
from made_records import ROOT
from scipy import stats

from astlib.ledger import Ledger
from astlib.reproduce import compare

FILES = sorted((ROOT / "results" / "runs").glob("*.json"))
RUNS = [json.loads(file.read_text(encoding="utf-8")) for file in FILES]
# The settings as their tables describe them: what differs from the reference of chapter 12, AST-Tiny at stride 10.
IMAGENET, SCRATCH = {}, {"init": "scratch"}
CHAPTER_12 = {
    "pretraining/none": SCRATCH,
    "position/reinit": {"position": "reinit"},
    "position/nearest": {"position": "nearest"},
    "overlap/0": {"fstride": 16, "tstride": 16},
    "overlap/2": {"fstride": 14, "tstride": 14},
    "overlap/4": {"fstride": 12, "tstride": 12},
    "channels/mean": {"channels": "mean"},
    "fill/silence": {"fill": "silence"},
    "fill/mean": {"fill": "mean"},
    "tokens/one": {"prefix_tokens": 1},
    "normalisation/audioset": {"mean": -4.2677393, "std": 4.5689974},
    "normalisation/none": {"mean": 0.0, "std": 0.5},
    "learning-rate/1e-4": {"lr": 1e-4},
    "learning-rate/1e-3": {"lr": 1e-3},
    "patch/128x2": {"init": "scratch", "patch": [128, 2], "fstride": 128, "tstride": 2},
    "patch/32x32": {"init": "scratch", "patch": [32, 32], "fstride": 32, "tstride": 32},
}
SQUARES = {"init": "scratch", "patch": [16, 16], "fstride": 16, "tstride": 16}
REFERENCES = {"patch": SQUARES}
CHAPTER_13 = {
    "cnns/cnn-mlp": {"name": "esc50-cnn-mlp", "network": "cnn-mlp", "lr": 1e-3, "fstride": 16, "tstride": 16},
    "cnns/psla": {"name": "esc50-psla", "network": "psla", "lr": 5e-4, "fstride": 16, "tstride": 16},
}
BASE = next(run for run in RUNS if run["id"].endswith("-ce1b0b27"))["parameters"]


def accuracies(changes: dict) -> dict[tuple[int, int], float]:
    """(fold, seed) -> accuracy after ten epochs, of the runs in bfloat16 with exactly these settings."""
    wanted = {key: value for key, value in {**BASE, **changes}.items() if key not in ("fold", "seed")}
    found = {}
    for run in RUNS:
        mine = {key: value for key, value in run["parameters"].items() if key in wanted}
        younger = set(run["parameters"]) - set(BASE)
        if mine == wanted and not younger and run["hardware"]["precision"] == "bfloat16 mixed":
            found[run["parameters"]["fold"], run["seed"]] = run["epochs"][9]["accuracy"]
    return found


def compared(one: dict, other: dict) -> tuple[list[float], float, float]:
    """Fold means of the paired differences, half the 95 % interval, and p, by Nadeau and Bengio's corrected t."""
    by_fold = [
        [one[fold, seed] - other[fold, seed] for seed in range(5) if (fold, seed) in one and (fold, seed) in other]
        for fold in range(1, 6)
    ]
    gaps = np.array([mean(gaps) for gaps in by_fold])
    factor = np.sqrt((1 / 5 + 400 / 1600) / (1 / 5))
    ordinary = stats.ttest_1samp(gaps, 0.0)
    low, high = ordinary.confidence_interval()
    return gaps.tolist(), factor * (high - low) / 2, 2 * stats.t.sf(abs(ordinary.statistic) / factor, df=4)


@pytest.mark.parametrize(
    ("chapter", "settings", "base"),
    [("12_the_ablations", CHAPTER_12, IMAGENET), ("13_cnns_beside_it", CHAPTER_13, SCRATCH)],
)
def test_every_comparison_comes_out_the_same(chapter, settings, base):
    ledger = Ledger()
    rows = {row.cell.name: row for row in compare.rows_of_chapter(chapter, "tiny", ledger) if row.p_holm is not None}
    assert set(rows) >= set(settings), "new comparisons may come, none may go"
    p_values = {}
    for name, row in rows.items():
        if name not in settings:
            p_values[name] = row.paired.p_folds  # its table is not written down here; it counts for Holm
            continue
        reference = REFERENCES.get(name.partition("/")[0], base)
        changes = settings[name] if chapter.startswith("12") else {**SCRATCH, **settings[name]}
        gaps, half, p_values[name] = compared(accuracies(changes), accuracies(reference))
        assert row.paired.gaps == pytest.approx(gaps), name
        assert (row.paired.half, row.paired.p_folds) == pytest.approx((half, p_values[name])), name
    order = sorted(p_values, key=p_values.get)
    holm = {
        name: min(1.0, max((len(order) - i) * p_values[order[i]] for i in range(order.index(name) + 1)))
        for name in order
    }
    assert {name: row.p_holm for name, row in rows.items()} == pytest.approx(holm)
    assert {name for name, row in rows.items() if row.settled} == {name for name in holm if holm[name] < 0.05}


def test_clips_are_counted_alike():
    """McNemar's test of two settings, from the bits in the files."""
    one, other = (
        {(run["parameters"]["fold"], run["seed"]): run for run in RUNS if key(run)} for key in (averaged, plain)
    )
    only = [0, 0]
    for fold, byte in product(range(1, 6), range(50)):
        a, b = (bytes.fromhex(runs[fold, 0]["epochs"][9]["right"])[byte] for runs in (one, other))
        only[0] += (a & ~b & 255).bit_count()
        only[1] += (b & ~a & 255).bit_count()
    row = next(row for row in compare.rows_of("channels", "tiny") if row.cell.name == "channels/mean")
    assert row.paired.p_clips == pytest.approx(stats.binomtest(only[0], sum(only)).pvalue)


def plain(run: dict) -> bool:
    return {**run["parameters"], "fold": 1, "seed": 0} == {**BASE, "fold": 1, "seed": 0}


def averaged(run: dict) -> bool:
    return {**run["parameters"], "fold": 1, "seed": 0} == {**BASE, "fold": 1, "seed": 0, "channels": "mean"}
