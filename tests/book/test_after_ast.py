"""The systems after AST: every number has a source and a link, and what was run again is told as it was found."""

import json

import pytest

from astlib import paths

AFTER = json.loads((paths.results() / "after_ast.json").read_text(encoding="utf-8"))


def test_every_system_has_a_year_a_link_and_a_source():
    for row in AFTER["rows"]:
        assert 2017 <= row["year"] <= 2026 and row["link"].startswith("https://") and row["source"], row["system"]
        assert row["kind"] in AFTER["kinds"]
        assert any(row[column] for column in ("as20k", "as2m", "esc50"))
    names = [row["system"] for row in AFTER["rows"]]
    assert len(set(names)) == len(names)


def test_parameters_and_scores_are_of_the_same_network():
    """The 43.9 that some tables give for PANNs is that of Wavegram-Logmel-CNN14."""
    rows = {row["system"]: row for row in AFTER["rows"]}
    assert rows["PANNs CNN14"]["as2m"] == 43.1


@pytest.mark.parametrize("row", AFTER["reruns"], ids=lambda row: row["what"])
def test_a_rerun_agrees_if_it_found_the_number_within_half_a_point(row):
    assert row["link"].startswith("https://")
    if row["found"] is None:
        assert row["agrees"] and row["remark"], "without a number the remark says what was found"
    else:
        assert row["agrees"] is (abs(row["found"] - row["reported"]) <= 0.5)
