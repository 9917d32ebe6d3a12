"""Records that somebody else wrote, with an id and a seal of their own: refused with a reason, and the others count."""

import copy
import json
import math
import shutil
from dataclasses import asdict

import pytest
from made_records import FILES, FIVE

from astlib import paths
from astlib.errors import InvalidInput
from astlib.ledger import Ledger, Record, audit, ledger, seal
from astlib.ledger.record import record_id

ODD = (None, 5.5, [], [1], {}, {"a": 1}, True, 10**400)
LOOKED_UP = sorted({(part, key) for part, key, _ in audit.INSIDE})


@pytest.fixture(scope="module")
def reference():
    return audit.Reference.read()


def resealed(record):
    """Whoever lies, lies thoroughly."""
    record.id = record_id(record.parameters, record.data, record.weights)
    record.seal = seal(record)
    return record


@pytest.mark.parametrize(("part", "key"), LOOKED_UP, ids=lambda word: word)
def test_what_every_table_looks_up_has_its_type(reference, part, key):
    for value in ODD:
        record = copy.deepcopy(FIVE[0])
        if type(getattr(record, part)[key]) is type(value):
            continue
        getattr(record, part)[key] = value
        record.seal = seal(record)
        problems = audit.problems(record, reference=reference)
        assert any(problem.startswith(f"it is not built like a record: {key} of its {part}") for problem in problems)
    record = copy.deepcopy(FIVE[0])
    del getattr(record, part)[key]
    assert "not built like a record" in audit.problems(record, reference=reference)[0]


@pytest.mark.parametrize("field", ["wall_seconds", "throughput", "peak_memory", "commit", "dirty", "seed", "versions"])
def test_a_field_of_another_type_never_ends_in_a_traceback(reference, field):
    for value in ODD:
        record = resealed(Record(**{**asdict(FIVE[0]), field: value}))
        problems = audit.problems(record, reference=reference)
        assert all(isinstance(problem, str) for problem in problems)
        if not problems:
            assert str(ledger.table([record]))


@pytest.mark.parametrize("key", ["epoch", "learning_rate", "seconds", "accuracy", "right"])
def test_a_number_of_an_epoch_that_no_float_holds(reference, key):
    for value in (10**400, math.nan, "x", []):
        record = copy.deepcopy(FIVE[0])
        record.epochs[0][key] = value
        assert audit.problems(resealed(record), reference=reference)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "\x00", "null", '"x"', "{}", ""],
                         ids=["brackets", "objects", "zero", "null", "text", "nothing", "empty"])  # fmt: skip
def test_one_bad_file_hides_no_good_record(tmp_path, monkeypatch, text):
    (tmp_path / "runs").mkdir()
    for name in ("data.json", "paper.json"):
        shutil.copy(paths.results() / name, tmp_path)
    shutil.copy(FILES[0], tmp_path / "runs")
    (tmp_path / "runs" / "bad.json").write_text(text)
    monkeypatch.setattr(paths, "results", lambda: tmp_path)
    monkeypatch.setattr(paths, "runs", lambda: tmp_path / "none")
    found = Ledger()
    assert [record.id for record in found.records] == [FILES[0].stem]
    assert "bad.json is not a run record" in found.refused["bad"][0]


def test_half_a_record_at_every_tenth(tmp_path):
    whole = FILES[0].read_bytes()
    for tenth in range(10):
        (tmp_path / "half.json").write_bytes(whole[: tenth * len(whole) // 10])
        with pytest.raises(InvalidInput, match="half.json is not a run record"):
            Record.load(tmp_path / "half.json")


def test_a_record_with_a_path_for_a_name(tmp_path, reference):
    """Its file would be written elsewhere; the audit refuses it, because no recipe has such a name."""
    record = copy.deepcopy(FIVE[0])
    record.parameters["name"] = "../../elsewhere"
    assert any("are no recipe" in problem for problem in audit.problems(resealed(record), reference=reference))
    assert json.loads(json.dumps(asdict(record)))["id"].startswith("../../elsewhere")
