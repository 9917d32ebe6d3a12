"""One record: whole on the disk or not at all, named by what decides its result, sealed."""

import json
import math
from dataclasses import asdict

import pytest
import torch
from made_records import FILES, FIVE, RECORDS, small_record

from astlib import scores
from astlib.ledger import Record, seal
from astlib.ledger.record import FIRST_DRAWS, finite, record_id
from astlib.recipes import RECIPES


def test_a_record_survives_the_disk(tmp_path):
    record = small_record()
    assert Record.load(record.save(tmp_path)) == record
    assert not list(tmp_path.glob(".*")), "no temporary file may stay"


@pytest.mark.parametrize("text", ["", "{", "[]", "5", "null", "{}", '{"id": "x"}', "\xff"])
def test_half_a_record_is_refused_by_name(tmp_path, text):
    (tmp_path / "broken.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match="broken.json is not a run record"):
        Record.load(tmp_path / "broken.json")


@pytest.mark.parametrize(
    ("name", "value"), [("id", ["x"]), ("parameters", None), ("epochs", {}), ("data", "esc50"), ("metrics", [])]
)
def test_a_field_of_another_kind_is_named(tmp_path, name, value):
    (tmp_path / "odd.json").write_text(json.dumps({**asdict(small_record()), name: value}))
    with pytest.raises(ValueError, match=f"odd.json is not a run record: {name} must be"):
        Record.load(tmp_path / "odd.json")


def test_equal_runs_have_equal_ids_and_any_change_another():
    parameters, data, weights = asdict(RECIPES["esc50-tiny"]), {"train": "sha256:1"}, {"hash": "sha256:2"}
    first = record_id(parameters, data, weights)
    assert first == record_id(dict(parameters), dict(data), dict(weights))
    others = [
        record_id({**parameters, "lr": 1e-3}, data, weights),
        record_id(parameters, {"train": "sha256:x"}, weights),
        record_id(parameters, data, {"hash": "sha256:x"}),
    ]
    assert len({first, *others}) == 4
    assert record_id(parameters, data, weights, draws=2) == record_id(parameters, data, weights, draws=1)
    assert record_id(parameters, data, weights, draws=3) != first, "the same seed means other draws"


def test_a_record_knows_the_version_of_its_draws():
    """New records name it; of those that do not, two are from before the draws were changed."""
    assert small_record(versions={"draws": "3"}).draws == 3 and small_record(commit=FIRST_DRAWS[0]).draws == 1
    assert {record.id.rsplit("-", 1)[1] for record in RECORDS if record.draws == 1} == {"ab796af5", "bd251b76"}
    assert {record.draws for record in RECORDS} >= {1, 2}


def test_committed_records_are_complete_and_named_by_their_id():
    for path, record in zip(FILES, RECORDS, strict=True):
        assert path.stem == record.id, "a record is named by its id"
        assert record.commit and record.dirty is False, f"{record.id} must come from a committed state of the code"
        assert record.data["train"]["hash"].startswith("sha256:")
        assert len(record.epochs) == record.parameters["epochs"]
        own = record_id(record.parameters, record.data, record.weights, record.draws)
        assert own == record.id, f"{record.id} does not fit its own parameters and hashes"
        averaged = record.parameters.get("selection") == "average"
        chosen = record.metrics["average"] if averaged else record.epochs[record.metrics["epoch"] - 1]
        assert all(record.metrics[name] == chosen[name] for name in ("accuracy", "mAP", "loss"))


def test_committed_records_come_back_byte_for_byte(tmp_path):
    """Ids and seals are those of the committed files, and writing a record again gives the same file."""
    assert len(FILES) >= 145
    for path, record in zip(FILES, RECORDS, strict=True):
        content = json.loads(path.read_text(encoding="utf-8"))
        assert list(asdict(record).items()) == list(content.items()), "the same fields in the same order"
        assert record_id(record.parameters, record.data, record.weights, record.draws) == content["id"]
        assert seal(record) == content["seal"]
        again = record.save(tmp_path)
        assert again.name == path.name and again.read_bytes() == path.read_bytes(), path.name


def test_every_value_of_a_record_is_sealed():
    record = FIVE[0]
    for name in asdict(record):
        changed = Record(**{**asdict(record), name: "another"})
        assert (seal(changed) == seal(record)) == (name == "seal"), name


def test_a_recipe_of_an_old_record_gets_todays_defaults():
    record = Record(**json.loads(json.dumps(asdict(FIVE[0]))))
    del record.parameters["warmup_every"]
    record.parameters["gone"] = 1
    assert record.as_recipe() == RECIPES["esc50-tiny"].replace(fold=record.parameters["fold"])


def test_a_resumed_run_remembers_other_code_and_other_machines():
    hardware = {"name": "one", "count": 1, "precision": "float32"}
    record = small_record(hardware={**hardware, "name": "two"}, epochs=[])
    history = asdict(small_record(hardware=hardware, peak_memory=7, started="2025-12-31T00:00:00+00:00"))
    record.resume(history)
    assert (record.epochs, record.peak_memory, record.started) == ([{}], 7, "2025-12-31T00:00:00+00:00")
    assert record.dirty is False and record.hardware["earlier"] == [{"name": "one", "count": 1}]
    record.resume({**history, "commit": "1" * 40})
    assert record.dirty is True, "two states of the code made it"


def test_numbers_that_json_cannot_hold_become_none():
    assert finite({"d_prime": math.inf, "mAP": 0.5, "loss": math.nan}) == {"d_prime": None, "mAP": 0.5, "loss": None}


@pytest.mark.parametrize("clips", [1, 8, 9, 400])
def test_right_answers_survive_packing(clips):
    right = torch.arange(clips) % 3 == 0
    assert (scores.unpack(scores.pack(right), clips) == right.numpy()).all()
    with pytest.raises(ValueError, match="bits"):
        scores.unpack(scores.pack(right), clips + 8)


def test_a_record_that_cannot_be_read_is_an_os_error(tmp_path):
    with pytest.raises(OSError, match=tmp_path.name):
        Record.load(tmp_path)
