"""No number of ours stands in prose: what our runs gave comes from the ledger, by a cell or by the build."""

import json
import re
from pathlib import Path
from statistics import mean

from astlib import ledger

ROOT = Path(__file__).resolve().parents[2]
PERCENT, SHARE = r"(?<![\d.])(\d{1,2}\.\d{1,2})\s*%", r"(?<![\d.])(0\.\d{3,})"


def ours() -> set[str]:
    """Every result of a record, its best epoch, and the mean over a setting's folds, as one writes it: 82.3, 82.25."""
    found = set()
    for runs in ledger.families(ledger.Ledger().records):
        metric = runs[0].parameters["metric"]
        values = [run.metrics[metric] for run in runs]
        values += [mean(values), *(run.best("test")[metric] for run in runs)]
        for value in values:
            found |= {f"{100 * value:.1f}", f"{100 * value:.2f}"} if metric == "accuracy" else {f"{value:.3f}"}
    return found


def published() -> set[str]:
    """Numbers that others published, also epoch by epoch: they may stand in prose, with their source."""
    logs = json.dumps(ledger.original_logs())
    values = [row["value"] for row in ledger.paper()["rows"]] + [float(v) for v in re.findall(r"\d+\.\d+", logs)]
    return {
        text
        for v in values
        for text in (f"{v:g}", f"{v:.1f}", f"{v:.2f}", f"{v:.3f}", f"{100 * v:.1f}", f"{100 * v:.2f}")
    }


def prose() -> dict[str, str]:
    pages = {
        str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
        for path in (ROOT / "README.md", *(ROOT / "book").glob("*.md"))
    }
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        pages[path.name] = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return pages


def typed(text: str, numbers: set[str]) -> list[str]:
    """The numbers of ours in a text. A formula and an exercise may hold any number, as long as it is none of these."""
    return sorted({found for found in re.findall(PERCENT, text) + re.findall(SHARE, text) if found in numbers})


def test_no_number_of_ours_is_typed():
    numbers = ours() - published()
    assert len(numbers) > 10
    assert {page: found for page, text in prose().items() if (found := typed(text, numbers))} == {}


def test_a_typed_number_is_found():
    number = next(iter(ours() - published()))
    sentence = f"It reaches {number} % after ten epochs." if "." in number[:3] else f"It reaches {number}."
    assert typed(sentence, {number}) == [number]
    assert typed("It reaches 12.34 %.", {number} - {"12.34"}) == []
