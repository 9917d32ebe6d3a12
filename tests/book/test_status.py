"""The tables of the status page."""

import subprocess

from made_records import FIVE, RECORDS, tampered

import status
from astlib.ledger import Ledger


def test_the_tables_come_from_the_ledger_that_is_given(monkeypatch):
    ledger = Ledger([*RECORDS, tampered(FIVE[0], "changes")])

    def not_again(*_, **__):
        raise AssertionError("the records were read again, or git was asked again")

    monkeypatch.setattr(Ledger, "__init__", not_again)
    monkeypatch.setattr(subprocess, "run", not_again)
    page = "\n".join(status.sections(ledger))
    assert page.startswith(f"{len(ledger.records)} records count. ")
    assert all(f"## {title}\n" in page for title in status.SCALES.values())
    every_run = page.partition("## Every run")[2].partition("## Refused")
    assert all(record.id in every_run[0] for record in ledger.records)
    assert FIVE[0].id not in every_run[0] and "the code had changes on top of" in every_run[2]
    assert page.count('role="region" tabindex="0" aria-label=') == page.count("<table")
