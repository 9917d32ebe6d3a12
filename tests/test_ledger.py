"""The ledger: whole records or none, provenance, and the published numbers."""

import json
import math
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from astlib import ledger, provenance
from astlib.ledger import Run, Table, families, load_runs, paper, run_id, table
from astlib.provenance import weights_hash
from astlib.recipes import RECIPES

ROOT = Path(__file__).resolve().parents[1]


def make_run(**changes) -> Run:
    recipe = RECIPES["esc50-tiny"]
    values = dict(
        id="r1", commit="0" * 40, dirty=False, recipe=recipe.name, parameters=json.loads(json.dumps(asdict(recipe))),
        data={"name": "esc50", "classes": 50}, weights={}, seed=0, hardware={"name": "cpu"}, versions={},
        started="2026-01-01T00:00:00+00:00",
        wall_seconds=60.0, epochs=[{}], metrics={"accuracy": 0.5, "rule": "last epoch"},
    )  # fmt: skip
    return Run(**{**values, **changes})


def test_a_record_survives_the_disk(tmp_path):
    run = make_run()
    assert Run.load(run.save(tmp_path)) == run
    assert not list(tmp_path.glob(".*")), "no temporary file may stay"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"id": "x"}'])
def test_half_a_record_is_refused_by_name(tmp_path, text):
    (tmp_path / "broken.json").write_text(text)
    with pytest.raises(ValueError, match="broken.json is not a run record"):
        load_runs(tmp_path)


def test_load_runs_filters_by_recipe_and_parameters(tmp_path):
    make_run(id="a").save(tmp_path)
    make_run(id="b", parameters={**make_run().parameters, "fold": 2}).save(tmp_path)
    assert [run.id for run in load_runs(tmp_path, recipe="esc50-tiny")] == ["a", "b"]
    assert [run.id for run in load_runs(tmp_path, fold=2)] == ["b"]
    assert load_runs(tmp_path, recipe="esc50") == []


def test_families_differ_in_nothing_but_the_fold():
    def run(precision="float32", **changes):
        hardware = {"name": "cpu", "precision": precision}
        return make_run(parameters={**make_run().parameters, **changes}, hardware=hardware)

    runs = [run(fold=1), run(fold=2), run(fold=1, lr=1e-5), run("bfloat16 mixed", fold=3)]
    assert families(runs) == [runs[:2], runs[2:3], runs[3:]] and families([]) == []


def test_equal_runs_have_equal_ids_and_any_change_another():
    parameters, data, weights = asdict(RECIPES["esc50-tiny"]), {"train": "sha256:1"}, {"hash": "sha256:2"}
    first = run_id(parameters, data, weights)
    assert first == run_id(dict(parameters), dict(data), dict(weights))
    others = [
        run_id({**parameters, "lr": 1e-3}, data, weights),
        run_id(parameters, {"train": "sha256:x"}, weights),
        run_id(parameters, data, {"hash": "sha256:x"}),
    ]
    assert len({first, *others}) == 4


def test_weights_hash_sees_names_and_values():
    state = {"a": torch.zeros(3), "b": torch.ones(3)}
    assert weights_hash(state) == weights_hash(dict(reversed(state.items())))
    assert weights_hash(state) != weights_hash({"a": torch.ones(3), "b": torch.zeros(3)})
    assert weights_hash(state) != weights_hash({"a": torch.zeros(3), "c": torch.ones(3)})


def test_table_escapes_and_aligns():
    rows = Table(["a", "bb"], [["<b>", 1], [None, "x"]])
    assert "&lt;b&gt;" in rows._repr_html_() and "<b>" not in rows._repr_html_()
    assert repr(rows).splitlines()[2].index("1") == repr(rows).splitlines()[0].index("bb")


def test_table_of_runs_says_when_the_code_had_changes():
    text = repr(table([make_run(), make_run(id="r2", dirty=True)]))
    assert text.count("with changes") == 1 and "accuracy 50.0 % (last epoch)" in text


def test_git_state_is_that_of_this_checkout():
    wanted = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    commit, dirty = provenance.git_state()
    assert commit == wanted.stdout.strip() and isinstance(dirty, bool)


def test_hardware_names_a_real_cpu():
    found = provenance.hardware(torch.device("cpu"))
    assert found["name"] and found["cores"] >= 1 and found["memory_gib"] >= 1


def test_every_published_number_names_its_source():
    rows = paper()["rows"]
    assert len({row["id"] for row in rows}) == len(rows)
    assert all(row["source"] and row["unit"] and math.isfinite(row["value"]) for row in rows)


def test_committed_records_are_complete_and_named_by_their_id():
    for path in sorted((ROOT / "results" / "runs").glob("*.json")):
        run = Run.load(path)
        assert path.stem == run.id, "a record is named by its id"
        assert run.commit and run.dirty is False, f"{run.id} must come from a committed state of the code"
        assert run.data["train"]["hash"].startswith("sha256:") and len(run.epochs) == run.parameters["epochs"]
        own = run_id(run.parameters, run.data, run.weights)
        assert own == run.id, f"{run.id} does not fit its own parameters and hashes"
        averaged = run.parameters.get("selection") == "average"
        chosen = run.metrics["average"] if averaged else run.epochs[run.metrics["epoch"] - 1]
        assert all(run.metrics[name] == chosen[name] for name in ("accuracy", "mAP", "loss"))


def test_importing_astlib_is_light():
    """No heavy package, no network and no cache folder: what `import astlib` may load beside torch."""
    code = (
        "import sys, torch; before = set(sys.modules); import astlib; "
        "new = {m.split('.')[0] for m in set(sys.modules) - before}; "
        "print(sorted(new & {'torchaudio', 'timm', 'transformers', 'accelerate', 'matplotlib', 'sklearn', 'scipy', "
        "'pandas', 'typer', 'huggingface_hub', 'requests', 'urllib3', 'IPython', 'ipywidgets'}))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("clips", [1, 8, 9, 400])
def test_right_answers_survive_packing(clips):
    right = torch.arange(clips) % 3 == 0
    assert (ledger.unpack(ledger.pack(right), clips) == right.numpy()).all()
    with pytest.raises(ValueError, match="bits"):
        ledger.unpack(ledger.pack(right), clips + 8)
