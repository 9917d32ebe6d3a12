"""A record that lies is refused, and the reason says what does not agree."""

import copy

import pytest
from made_records import FIVE, RECORDS, tampered

from astlib import data
from astlib.ledger import Ledger, audit
from astlib.reproduce import SCALES, compare


def test_committed_records_hold_together():
    reference = audit.Reference.read()
    problems = {record.id: audit.problems(record, f"{record.id}.json", reference) for record in RECORDS}
    assert {name: found for name, found in problems.items() if found} == {}


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("parameter", "does not follow from its parameters"),
        ("data", "does not follow"),
        ("weights", "does not follow"),
        ("data and name", "no known copy of esc50"),
        ("commit", "not in this repository's history"),
        ("no commit", "names no commit"),
        ("changes", "had changes"),
        ("learning rate", "learning rate"),
        ("result", "metrics are not those"),
        ("better epoch", "metrics are not those"),
        ("epoch", "9 epochs"),
        ("time", "not the sum"),
        ("right answers", "list of right answers"),
        ("fewer answers", "and there are 400 clips"),
        ("data of another kind", "not built like a record"),
        ("no metrics", "not built like a record"),
    ],
)
def test_a_record_that_was_tampered_with_is_refused(what, words):
    record = tampered(FIVE[0], what)
    assert any(words in problem for problem in audit.problems(record)), audit.problems(record)
    there = Ledger([record])
    assert there.records == [] and record.id in there.refused
    assert compare.obtained(SCALES["tiny"]["esc50/ast-s"], there).text == "not run"


def test_a_broken_seal_and_a_wrong_file_name_are_refused():
    record = copy.deepcopy(FIVE[0])
    record.hardware["name"] = "a faster one"
    assert "its seal is broken: something in it was changed after the run" in audit.problems(record)
    assert "the file is named other" in audit.problems(FIVE[0], "other.json")[0]


def test_the_known_copies_are_what_the_data_here_gives(esc50_root):
    for folds in audit.known_data()["esc50"].values():
        for fold, known in enumerate(folds, start=1):
            train, _, test = data.parts("esc50", fold)
            if {"train": train.manifest_hash(), "test": test.manifest_hash()} != known:
                break
        else:
            return
    pytest.fail("the copy of ESC-50 that is here is none of results/data.json")
