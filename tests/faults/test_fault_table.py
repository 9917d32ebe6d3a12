"""The table of faults: every row is about something of its own, and every test that it names exists."""

import ast
from collections import Counter
from functools import cache

import faults
from common import ROOT

FAULTS = faults.read()
KINDS = [
    "audio", "labels and folders", "recipes", "models and checkpoints", "downloads", "processes", "ledger",
]  # fmt: skip


@cache
def collected(file):
    """The names of the tests at the top of a file, which pytest collects."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_every_kind_is_there_and_there_are_enough():
    assert list(dict.fromkeys(fault.kind for fault in FAULTS)) == KINDS
    assert len(FAULTS) >= 150 and min(Counter(fault.kind for fault in FAULTS).values()) >= 20


def test_every_test_exists():
    named = sorted({test for fault in FAULTS for test in fault.tests})
    missing = [test for test in named if test.partition("::")[2] not in collected(test.partition("::")[0])]
    assert missing == []
    assert all(fault.tests and fault.promise for fault in FAULTS)


def test_no_row_is_there_twice():
    counts = Counter(" ".join(fault.fault.casefold().split()) for fault in FAULTS)
    assert [text for text, count in counts.items() if count > 1] == []


def test_every_file_of_fault_tests_is_in_the_table():
    named = {test for fault in FAULTS for test in fault.tests}
    for path in sorted((ROOT / "tests" / "faults").glob("test_fault_*.py")):
        file = path.relative_to(ROOT).as_posix()
        assert path.name == "test_fault_table.py" or any(test.startswith(f"{file}::") for test in named), file


def test_the_page_has_every_row_and_the_counts():
    text = "\n".join(faults.lines())
    assert text.startswith(f"**{len(FAULTS)} faults, shown by ")
    assert text.count("<tr><td>") == len(FAULTS) and text.count("## ") == len(KINDS)
