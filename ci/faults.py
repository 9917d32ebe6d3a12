"""Write the tables of the page of faults from tests/faults/table.yml: what goes wrong, what is promised, which test.

python ci/faults.py
"""

import html
from collections.abc import Iterator
from typing import NamedTuple

import yaml

from address import address
from common import ROOT, SOURCE

TABLE = ROOT / "tests" / "faults" / "table.yml"
PAGE = SOURCE / "book" / "faults_table.txt"  # included by book/faults.md; no page of its own


class Fault(NamedTuple):
    """A row: what goes wrong, what is promised then, and the tests that show it, as `tests/test_x.py::test_y`."""

    kind: str
    fault: str
    promise: str
    tests: tuple[str, ...]


def read() -> list[Fault]:
    """Every row of the table, in its order."""
    content = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return [
        Fault(kind, row["fault"], row["promise"], tuple(row["tests"])) for kind, rows in content.items() for row in rows
    ]


def link(test: str) -> str:
    """A test's name, leading to its file in the repository."""
    repository, tag = address()
    file, _, name = test.partition("::")
    words = name.removeprefix("test_").replace("_", " ")
    return f'<a href="https://github.com/{repository}/blob/{tag}/{file}">{html.escape(words)}</a>'


def lines() -> Iterator[str]:
    """Yield the page's text: the counts, and a table for each kind."""
    faults = read()
    kinds = list(dict.fromkeys(fault.kind for fault in faults))
    of_kind = {kind: [fault for fault in faults if fault.kind == kind] for kind in kinds}
    tests = {test for fault in faults for test in fault.tests}
    counts = ", ".join(f"{kind} {len(of_kind[kind])}" for kind in kinds)
    yield f"**{len(faults)} faults, shown by {len(tests)} tests:** {counts}.\n"
    for kind in kinds:
        yield f"## {kind[0].upper()}{kind[1:]}\n"
        head = "".join(f"<th scope='col'>{title}</th>" for title in ("what goes wrong", "what is promised", "shown by"))
        body = "".join(
            f"<tr><td>{html.escape(fault.fault)}</td><td>{html.escape(fault.promise)}</td>"
            f"<td>{'<br>'.join(map(link, fault.tests))}</td></tr>"
            for fault in of_kind[kind]
        )
        table = f"<table class='runs'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        yield f'<div class="output text_html wide" role="region" tabindex="0" aria-label="{kind}">\n{table}\n</div>\n'


def write() -> None:
    """Write the tables beside the pages of the staged book."""
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text("\n".join(lines()), encoding="utf-8")


if __name__ == "__main__":
    write()
    print(f"the table of faults: {PAGE}")
