"""The tables of the book's status page: every table of the paper beside our runs, and every record of the ledger.

With a folder as its argument (`python ci/status.py FOLDER`) it also draws every figure of the tables there, as SVG.
"""

import html
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

import torch

from address import address
from astlib.ledger import Ledger, Record
from astlib.ledger.provenance import hardware
from astlib.recipes import RECIPES
from astlib.reproduce import TABLES, compare
from astlib.reproduce.cells import REFERENCE, select
from astlib.table import Table, decimal, duration
from common import MEMORY, SOURCE, TIMES, fail

PAGE = SOURCE / "book" / "status_tables.txt"  # included by book/status.md; no page of its own
SHOWN = ("tiny", "paper")  # the scales, in the order of the page
QUIET = ("name", "dataset", "fold", "seed", "average")  # parameters whose difference says nothing about the setting


def region(inside: str, name: str) -> str:
    """A table that scrolls by itself on a phone, by touch and by keyboard, so that the page stays as wide as it is."""
    label = html.escape(name, quote=True)
    return f'<div class="output text_html wide" role="region" tabindex="0" aria-label="{label}">\n{inside}\n</div>\n'


def folded(summary: str, inside: str) -> str:
    return f"<details>\n<summary>{html.escape(summary)}</summary>\n\n{inside}\n</details>\n"


def as_html(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells are HTML and may wrap: it is as wide as the page, and no wider."""
    head = "".join(f"<th scope='col'>{html.escape(title)}</th>" for title in header)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table class='runs'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def link(record: Record, text: str) -> str:
    """A link to the file of a record in the repository."""
    repository, tag = address()
    file = f"https://github.com/{repository}/blob/{tag}/results/runs/{record.id}.json"
    return f'<a href="{file}" title="{record.id}">{html.escape(text)}</a>'


def served(ledger: Ledger) -> dict[str, list[str]]:
    """Which cells of both scales each record serves: id of the record -> names of the cells."""
    cells: dict[str, list[str]] = {}
    for scale in SHOWN:
        for cell in select("all", scale=scale):
            name = cell.name if scale == "tiny" else f"{cell.name} (paper)"
            for record in compare.obtained(cell, ledger).records:
                cells.setdefault(record.id, []).append(name)
    return cells


def headline(ledger: Ledger) -> str:
    """How many cells were run at each scale, how many settings these are, and with how many seeds."""
    found = {scale: [compare.obtained(cell, ledger) for cell in select("all", scale=scale)] for scale in SHOWN}
    done = {scale: [one for one in cells if one.values] for scale, cells in found.items()}
    settings = {frozenset(record.id for record in one.records) for one in done["tiny"]}
    seeds = {record.seed for one in done["tiny"] for record in one.records}
    count = len(done["paper"])
    at_paper = "none" if count == 0 else str(count)
    verb = "have" if count > 1 else "has"
    several = "one seed" if len(seeds) == 1 else f"{len(seeds)} seeds"
    return (
        f"**At the paper's scale: {at_paper} of {len(found['paper'])} cells {verb} been run. At the tiny scale: "
        f"{len(done['tiny'])} of {len(found['tiny'])} cells, {len(settings)} different settings, {several}.**\n"
    )


def one_table(name: str, scale: str, ledger: Ledger) -> str:
    """A table of the paper or of ours, with a link to the record of every run behind a cell."""
    about, table = TABLES[name], compare.side_by_side(name, scale, ledger)
    rows = []
    for shown, row in zip(table.rows, compare.rows_of(name, scale, ledger), strict=True):
        runs = [link(record, str(record.parameters["fold"])) for record in row.found.records]
        last = f"{shown[-1]}: {' '.join(runs)}" if runs else shown[-1]
        rows.append([*(html.escape(text) for text in shown[:-1]), last])
    title = f"{about.title}, {about.source}, {scale} scale"
    note = f"{table.note}\n\n" if table.note else ""
    return note + region(as_html([*table.header[:-1], "runs: folds"], rows), title)


def tables(scale: str, ledger: Ledger) -> Iterator[str]:
    for name in dict.fromkeys(cell.table for cell in select("all", scale=scale)):
        about = TABLES[name]
        source = about.source.partition(":")[0]
        yield f"**{about.title}** ({source})\n" if scale == "paper" else f"### {about.title} ({source})\n"
        yield one_table(name, scale, ledger)


def sections(ledger: Ledger) -> Iterator[str]:
    """The parts of the page, as Markdown."""
    cells = served(ledger)
    yield headline(ledger)
    idle = [record for record in ledger.records if record.id not in cells]
    trials = sum(len(record.epochs) <= 2 for record in idle)
    yield (
        f"{len(ledger.records)} records count; {len(idle)} of them serve no cell, and {trials} of these are trials of "
        "one or two epochs. In a table, the numbers in the last column are the folds, and each leads to the record of "
        "that run.\n"
    )
    yield "## At the tiny scale\n"
    yield from tables("tiny", ledger)
    yield "## At the paper's scale\n"
    paper = select("all", scale="paper")
    run = sum(bool(compare.obtained(cell, ledger).values) for cell in paper)
    yield folded(f"{len(paper)} cells, {len(paper) - run} of them not run", "\n".join(tables("paper", ledger)))
    yield "## What a chapter takes\n"
    times = takes(ledger)
    inside = as_html(times.header, ([html.escape(text) for text in row] for row in times.rows))
    yield folded("Time and memory of each chapter, and of the runs behind it", region(inside, "Times"))
    yield "## Every run\n"
    yield folded(f"All {len(ledger.records)} runs", region(every_run(ledger, cells), "Every run"))
    if ledger.refused:
        yield "## Refused\n"
        rows = [[html.escape(i), html.escape("; ".join(why))] for i, why in ledger.refused.items()]
        yield region(as_html(["record", "why"], rows), "Refused")


def takes(ledger: Ledger) -> Table:
    """Time and memory of every chapter as it was executed for this book, and of the recorded runs behind it."""
    here = hardware(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    machine = f"{here['name']}, {here['cores']} cores"
    rows, runs = {}, {}
    if TIMES.exists() and MEMORY.exists():
        held = json.loads(MEMORY.read_text())
        for chapter, seconds in sorted(json.loads(TIMES.read_text()).items()):
            if chapter in held:
                rows[chapter] = [
                    [chapter, "the page, as it is here", machine, duration(seconds), f"{held[chapter] / 1e9:.1f} GB"]
                ]
    for scale in SHOWN:
        for cell in select("all", scale=scale):
            for record in compare.obtained(cell, ledger).records:
                stride, machine = record.parameters["fstride"], record.hardware["name"]
                key = cell.chapter, record.recipe, stride, len(record.epochs), machine
                runs.setdefault(key, {})[record.id] = record
    for (chapter, recipe, stride, epochs, machine), found in runs.items():
        what = f"one run of {recipe}, stride {stride}, {epochs} epochs"
        time = median(record.wall_seconds for record in found.values())
        most = max(record.peak_memory for record in found.values())
        rows.setdefault(chapter, []).append([chapter, what, machine, duration(time), f"{most / 1e9:.1f} GB"])
    header = ["chapter", "what", "machine", "time", "memory, at most"]
    return Table(header, [row for chapter in sorted(rows) for row in rows[chapter]])


def different(record: Record) -> str:
    """In what a run differs from the reference of the tables on ESC-50, or, on other data, from its own recipe."""
    recipe = REFERENCE if record.parameters["dataset"] == REFERENCE.dataset else RECIPES[record.recipe]
    wanted = json.loads(json.dumps(asdict(recipe)))
    values = {name: value for name, value in record.parameters.items() if name not in QUIET}
    phrases = [f"{name} {_short(value)}" for name, value in values.items() if wanted[name] != value]
    if record.hardware["precision"] == "float32":
        phrases.append("float32")
    return ", ".join(phrases) or "nothing"


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return " x ".join(map(str, value)) if isinstance(value, list) else str(value) or "(default)"


def every_run(ledger: Ledger, cells: dict[str, list[str]]) -> str:
    """Every record: the cells it serves, what is different in it, its epochs and result, and where it was made."""
    rows = []
    for record in sorted(ledger.records, key=lambda record: (record.id not in cells, record.started)):
        p, machine = record.parameters, record.hardware
        metric = p["metric"]
        value = record.metrics[metric]
        result = f"{decimal(100 * value, 1)} %" if metric == "accuracy" else f"{metric} {decimal(value, 3)}"
        rows.append(
            [
                link(record, f"{p['dataset']}, fold {p['fold']}, {record.id.rsplit('-', 1)[1]}"),
                html.escape(", ".join(cells[record.id])) if record.id in cells else "<strong>no cell</strong>",
                html.escape(different(record)),
                str(len(record.epochs)),
                result,
                html.escape(f"{machine['name']}, {duration(record.wall_seconds)}"),
                f"{record.started[:10]}, {(record.commit or '')[:8]}",
            ]
        )
    header = ["run", "serves", "differs from the reference in", "epochs", "result", "machine, time", "day, commit"]
    return as_html(header, rows)


def write(ledger: Ledger | None = None) -> None:
    """Write the tables of the status page. Without a ledger it is read."""
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text("\n".join(sections(Ledger() if ledger is None else ledger)), encoding="utf-8")


def figures(folder: Path, ledger: Ledger) -> list[Path]:
    """Draw every table of both scales that has a run, and return the files."""
    from astlib import plots

    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for scale in SHOWN:
        for name in dict.fromkeys(cell.table for cell in select("all", scale=scale)):
            rows = compare.rows_of(name, scale, ledger)
            if not any(row.found.values for row in rows):
                continue
            accuracy = rows[0].cell.metric == "accuracy"
            drawn = {
                row.cell.what: (
                    [value * (100 if accuracy else 1) for value in row.found.values],
                    row.published["value"] if row.published else None,
                )
                for row in rows
            }
            units = {row.published["unit"] for row in rows if row.published}
            files.append(folder / f"{scale}-{name}.svg")
            figure = plots.ablation(
                drawn,
                "ours: accuracy (%)" if accuracy else "ours: mAP",
                f"published: {'accuracy (%)' if units == {'%'} else 'mAP'}",
            )
            figure.savefig(files[-1])
    return files


if __name__ == "__main__":
    if len(sys.argv) > 2:
        fail("one folder at most")
    everything = Ledger()
    write(everything)
    print(f"the page's tables: {PAGE}")
    for file in figures(Path(sys.argv[1]), everything) if len(sys.argv) == 2 else []:
        print(file)
