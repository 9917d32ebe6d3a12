"""The study of chapter 05: its file is whole, its means and intervals can be recomputed, and its claims follow."""

import re
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transplant as script

from astlib import transfer
from astlib.drawings import transplant
from astlib.errors import InvalidInput

STUDY = transplant.study()
VALUES = transplant.accuracies(STUDY)
SINGLE = ["patch kernels only", "positions and class token only", "blocks only"]


def test_the_file_was_made_by_the_protocol_of_the_script():
    assert STUDY["protocol"] == script.PROTOCOL
    assert {row["row"]: row["imagenet"] for row in STUDY["rows"]} == script.ROWS
    assert [row["row"] for row in STUDY["rows"] if row["shuffled"]] == [script.SHUFFLED]


def test_every_row_has_every_seed_and_fold_with_as_many_clips():
    seeds, folds = len(script.SEEDS), len(script.FOLDS)
    per_fold = script.PER_CLASS * STUDY["data"]["classes"]
    for row in STUDY["rows"]:
        assert np.array(row["clips"]).tolist() == [[per_fold] * folds] * seeds, row["row"]
        right = np.array(row["right"])
        assert right.shape == (seeds, folds) and (right >= 0).all() and (right <= per_fold).all()
        assert np.allclose(row["accuracy"], 100 * right / np.array(row["clips"]))
    assert seeds >= 3 and per_fold * folds * seeds <= STUDY["data"]["clips"]


def test_where_it_came_from_is_written_down():
    assert re.fullmatch(r"[0-9a-f]{40}", STUDY["commit"]) and isinstance(STUDY["dirty"], bool)
    hashes = [STUDY["data"]["hash"], STUDY["weights"]["hash"], *STUDY["data"]["seeds"]]
    assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in hashes)
    assert len(set(STUDY["data"]["seeds"])) == len(script.SEEDS), "every seed has clips of its own"
    assert {"python", "torch", "numpy", "timm", "scikit-learn"} <= set(STUDY["versions"])
    assert {"device", "name", "cores"} <= set(STUDY["hardware"])
    assert STUDY["seconds"] == pytest.approx(sum(row["seconds"] for row in STUDY["rows"]), abs=1)


def test_means_and_intervals_can_be_recomputed():
    for name, values in VALUES.items():
        low, high = transplant.interval(values)
        rng = np.random.default_rng(1)  # another generator, one draw at a time
        means = []
        for _ in range(4000):
            seeds = rng.choice(len(values), len(values))
            means.append(np.mean([rng.choice(values[seed], values.shape[1]) for seed in seeds]))
        assert low < values.mean() < high, name
        assert np.allclose((low, high), np.percentile(means, [2.5, 97.5]), atol=0.6), name


def test_an_interval_of_one_number_has_no_width_and_pairs_cancel():
    assert transplant.interval(np.full((3, 5), 20.0)) == (20.0, 20.0)
    common = np.random.default_rng(0).normal(50, 10, (4, 5))
    content = {"rows": [{"row": "a", "accuracy": common + 2}, {"row": "b", "accuracy": common}]}
    assert transplant.difference(content, "a", "b") == pytest.approx((2, 2, 2))
    with pytest.raises(InvalidInput, match="at least two"):
        transplant.interval(np.ones((1, 5)))


def above(row: str, other: str) -> bool:
    return transplant.difference(STUDY, row, other)[1] > 0


def test_everything_is_above_every_other_row_and_a_new_network_below_plain_statistics():
    assert all(above("everything", row) for row in VALUES if row != "everything")
    assert above("mel statistics, no network", "nothing")


def test_no_part_helps_alone_and_together_they_do():
    gains = [transplant.difference(STUDY, row, "nothing") for row in SINGLE]
    assert all(low < 0 < high for _, low, high in gains)
    whole = transplant.difference(STUDY, "everything", "nothing")
    assert sum(gain for gain, _, _ in gains) < whole[1] / 4


def test_kernels_and_blocks_are_missed_most_then_positions():
    assert not above("all but the patch kernels", "nothing")
    assert above("all but the blocks", "nothing")
    for row in ("all but the blocks", "all but the patch kernels"):
        assert above("all but the positions and class token", row)
    assert transplant.difference(STUDY, "everything", "all but the positions and class token")[1] > 17


def test_the_size_of_the_values_is_a_small_part_of_it():
    assert above("all, values shuffled", "nothing") and above("everything", "all, values shuffled")
    share = transplant.difference(STUDY, "all, values shuffled", "nothing")[0]
    assert share < transplant.difference(STUDY, "everything", "nothing")[0] / 4


def test_the_figure_shows_every_row_with_its_mean_and_its_parts():
    boxes, bars = transplant.table(STUDY).axes
    means = [f"{values.mean():.1f}" for values in VALUES.values()]
    assert [text.get_text() for text in bars.texts] == means
    widths = [bar.get_width() for bar in bars.patches]
    assert np.allclose(widths, [values.mean() for values in VALUES.values()])
    assert len(boxes.patches) == 3 * (len(VALUES) - 1) and [text.get_text() for text in boxes.texts] == ["no network"]
    hatched = [patch for patch in boxes.patches if patch.get_hatch()]
    assert len(hatched) == 3


def test_seeds_take_other_clips_and_as_many_of_every_class_and_fold():
    classes, folds = np.meshgrid(np.repeat(np.arange(3), 8), np.arange(1, 6))
    data = SimpleNamespace(targets=torch.eye(3)[torch.from_numpy(classes.ravel())], labels=["a", "b", "c"])
    data.folds = folds.ravel().tolist()
    data = type("Clips", (), {"__len__": lambda self: len(self.folds), **vars(data)})()
    chosen = [script.chosen(data, seed) for seed in script.SEEDS]
    assert sorted(sum(chosen, [])) == list(range(len(data))), "every clip once"
    for rows in chosen:
        counts = Counter((data.folds[i], int(data.targets[i].argmax())) for i in rows)
        assert set(counts.values()) == {script.PER_CLASS} and len(counts) == 15


def test_a_row_has_the_tensors_that_it_names_and_nothing_else():
    torch.manual_seed(5)
    imagenet = {name: torch.randn_like(one) for name, one in script.network("nothing", 0, {}).state_dict().items()}
    new = script.network("nothing", 0, imagenet).state_dict()
    mixed = script.network("all but the patch kernels", 0, imagenet).state_dict()
    for name, tensor in mixed.items():
        wanted = new if name.startswith(("patch_embed.", "mlp_head.")) else imagenet
        assert torch.equal(tensor, wanted[name]), name
    shuffled = script.network(script.SHUFFLED, 0, imagenet).state_dict()
    matrix = "blocks.0.mlp.fc1.weight"
    assert torch.equal(shuffled[matrix].flatten().sort().values, imagenet[matrix].flatten().sort().values)
    assert not torch.equal(shuffled[matrix], imagenet[matrix])


def test_the_parts_are_all_of_an_ast_but_its_head():
    state = script.network("nothing", 0, {}).state_dict()
    begins = [start for starts in script.PARTS.values() for start in starts]
    for name in state:
        assert sum(name.startswith(start) for start in begins) == (not name.startswith("mlp_head")), name
    assert set(transplant.PARTS) == set(script.PARTS) and script.SOURCE in transfer.VIT_NAMES["tiny224"]
