"""The ledger: what counts and what is refused, found by what was run."""

import copy
import json
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
from made_records import FILES, FIVE, RECORDS, ROOT, small_record, tampered

from astlib import paths
from astlib.ledger import Ledger, audit, best_epoch_over, families, table
from astlib.recipes import RECIPES
from astlib.reproduce import SCALES, compare
from astlib.table import Table, duration


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A ledger of its own: `results` with the files that a ledger needs, and no record yet."""
    for name in ("data.json", "paper.json"):
        (tmp_path / "results").mkdir(exist_ok=True)
        shutil.copy(ROOT / "results" / name, tmp_path / "results")
    (tmp_path / "results" / "runs").mkdir()
    monkeypatch.setattr(paths, "results", lambda: tmp_path / "results")
    monkeypatch.setenv("ASTLIB_RUNS", str(tmp_path / "runs"))
    return tmp_path / "results" / "runs"


def test_every_committed_record_counts(monkeypatch, tmp_path):
    monkeypatch.setenv("ASTLIB_RUNS", str(tmp_path))
    ledger = Ledger()
    assert ledger.refused == {} and len(ledger.records) == len(RECORDS) >= 145
    assert [record.id for record in ledger.records] == [file.stem for file in FILES]


def test_select_filters_by_recipe_and_parameters(monkeypatch):
    monkeypatch.setattr(audit, "problems", lambda *_, **__: [])
    ledger = Ledger([small_record(id="b", parameters={**small_record().parameters, "fold": 2}), small_record(id="a")])
    assert [record.id for record in ledger.select(recipe="esc50-tiny")] == ["a", "b"]
    assert [record.id for record in ledger.select(fold=2)] == ["b"]
    assert ledger.select(recipe="esc50") == []


def test_what_is_no_record_is_refused_with_a_reason_and_the_rest_counts(folder):
    good = FIVE[0].save(folder)
    (folder / "empty.json").touch()
    (folder / "folder.json").mkdir()
    (folder / "bytes.json").write_bytes(b"\xff\xfe")
    (folder / "half.json").write_text(good.read_text()[:1000])
    odd = json.loads(good.read_text()) | {"id": ["a", "list"]}
    (folder / "odd.json").write_text(json.dumps(odd))
    tampered(FIVE[1], "data of another kind").save(folder)
    run = folder.parent.parent / "runs" / "tiny" / "esc50-ast-s-fold1-seed0"
    run.mkdir(parents=True)
    (run / "run.json").write_text("{}")
    ledger = Ledger()
    assert [record.id for record in ledger.records] == [FIVE[0].id]
    assert set(ledger.refused) == {"empty", "folder", "bytes", "half", "odd", FIVE[1].id, run.name}
    for name in ("empty", "bytes", "half", "odd"):
        assert f"{name}.json is not a run record" in ledger.refused[name][0]
    assert "is not a run record: it lacks id" in ledger.refused[run.name][0]


def test_a_record_under_another_name_is_refused(folder):
    shutil.copy(FIVE[0].save(folder), folder / "another.json")
    ledger = Ledger()
    assert [record.id for record in ledger.records] == [FIVE[0].id]
    assert ledger.refused == {"another": [f"the file is named another, the record {FIVE[0].id}"]}


def test_a_ledger_asks_git_a_few_times_however_many_records_there_are(monkeypatch, folder):
    asked = []
    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda words, **options: asked.append(words) or run(words, **options))
    counts = []
    for records in (FIVE[:1], RECORDS):
        asked.clear()
        assert len(Ledger(records).records) == len(records)
        counts.append(len(asked))
    assert counts[0] == counts[1] <= 5 and all(words[0] == "git" for words in asked)
    for record in RECORDS:
        record.save(folder)
    asked.clear()
    assert len(Ledger().records) == len(RECORDS) and len(asked) == counts[0], "and when it reads the files itself"


def test_what_was_run_is_found_again():
    record, recipe = FIVE[0], RECIPES["esc50-tiny"].replace(fold=FIVE[0].parameters["fold"])
    ledger = Ledger([record])

    def serves(**changes) -> bool:
        wanted = recipe.replace(**changes)
        assert ledger.serving(wanted) in ([], [record]) and (ledger.find(wanted) is None) == (
            not ledger.serving(wanted)
        )
        return ledger.find(wanted) is record

    assert serves() and serves(epochs=2), "a longer run begins with the shorter one"
    assert not serves(epochs=11) and not serves(lr=1e-3)
    assert not serves(epochs=3, average=(1, 3), selection="average")
    assert serves(weights="vit_tiny_patch16_224")
    assert not serves(weights="deit_tiny_patch16_224")
    shorter = replace(SCALES["tiny"]["esc50/ast-s"], recipe=recipe.replace(epochs=2))
    assert compare.value(record, shorter) == record.epochs[1]["accuracy"] != record.metrics["accuracy"]


def test_of_several_records_the_preferred_precision_counts():
    fold = RECIPES["esc50-tiny"].replace(fold=1)
    ledger = Ledger(RECORDS)
    there = {record.hardware["precision"]: record for record in ledger.serving(fold)}
    assert len(there) > 1, "this test needs a fold that was run in two precisions"
    for precision, record in there.items():
        assert ledger.find(fold, prefer={precision: 1}).hardware["precision"] == record.hardware["precision"]


def test_of_several_versions_of_the_draws_the_latest_counts_or_the_one_that_is_asked_for():
    fold = RECIPES["esc50-tiny"].replace(fold=1)
    ledger = Ledger(RECORDS)
    assert {record.draws for record in ledger.serving(fold)} == {1, 2}
    assert ledger.find(fold).draws == 2 and ledger.find(fold, draws=1).draws == 1
    assert ledger.find(fold, draws=3) is None


def test_refused_records_of_a_recipe_are_found():
    record = tampered(FIVE[0], "changes")
    ledger = Ledger([record, *FIVE[1:]])
    fold = RECIPES["esc50-tiny"].replace(fold=record.parameters["fold"])
    assert ledger.refusals(fold) == {record.id: ledger.refused[record.id]}
    assert ledger.refusals(fold.replace(lr=1.0)) == {}


def test_families_differ_in_nothing_but_the_fold():
    def record(precision="float32", **changes):
        hardware = {"name": "cpu", "precision": precision}
        return small_record(parameters={**small_record().parameters, **changes}, hardware=hardware)

    records = [record(fold=1), record(fold=2), record(fold=1, lr=1e-5), record("bfloat16 mixed", fold=3)]
    assert families(records) == [records[:2], records[2:3], records[3:]] and families([]) == []


def test_the_best_epoch_over_folds_is_that_of_the_mean():
    records = [copy.deepcopy(record) for record in FIVE]
    for record in records:
        for entry in record.epochs:
            entry["accuracy"] = 0.1
    records[0].epochs[1]["accuracy"] = 0.9  # best of its fold, and not on the mean
    for record in records[1:]:
        record.epochs[4]["accuracy"] = 0.5
    epoch, entries = best_epoch_over(records)
    assert epoch == 5 and entries == [record.epochs[4] for record in records]
    for odd in ([], [records[0], replace(records[1], epochs=records[1].epochs[:3])]):
        with pytest.raises(ValueError, match="same number of epochs"):
            best_epoch_over(odd)


def test_table_escapes_and_aligns():
    rows = Table(["a", "bb"], [["<b>", 1], [None, "x"]])
    assert "&lt;b&gt;" in rows._repr_html_() and "<b>" not in rows._repr_html_()
    assert repr(rows).splitlines()[2].index("1") == repr(rows).splitlines()[0].index("bb")


def test_table_of_records_says_when_the_code_had_changes():
    text = repr(table([small_record(), small_record(id="r2", dirty=True)]))
    assert text.count("with changes") == 1 and "accuracy 50.0 % (last epoch)" in text


def test_measured_times_in_words():
    words = [duration(seconds) for seconds in (44.6, 89, 200, 5399, 12_240)]
    assert words == ["45 s", "89 s", "3 min", "90 min", "3.4 h"]


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
