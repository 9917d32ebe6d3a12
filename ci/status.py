"""The tables of the book's status page: every table of the paper beside our runs, and every record of the ledger.

With a folder as its argument (`python ci/status.py FOLDER`) it also draws every figure of the tables there, as SVG.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import torch

from astlib.ledger import Ledger
from astlib.ledger.provenance import hardware
from astlib.reproduce import TABLES, compare
from astlib.reproduce.cells import select
from astlib.table import Table, duration
from common import MEMORY, SOURCE, TIMES, fail

PAGE = SOURCE / "book" / "status_tables.txt"  # included by book/status.md; no page of its own
SCALES = {"paper": "At the paper's scale", "tiny": "At the tiny scale"}


def scrolling(table: Table, name: str) -> str:
    """A wide table that scrolls by itself, by touch and by keyboard, so that the page stays as wide as the screen."""
    start = f'<div class="output text_html wide" role="region" tabindex="0" aria-label="{name}">'
    return f"{start}\n{table._repr_html_()}\n</div>\n"


def sections(ledger: Ledger) -> Iterator[str]:
    cells = [(scale, cell) for scale in SCALES for cell in select("all", scale=scale)]
    done = sum(bool(compare.obtained(cell, ledger).values) for scale, cell in cells)
    yield (
        f"{len(ledger.records)} records count. {done} of {len(cells)} cells have at least one run. Where several runs "
        "shared one machine, each of them took longer than alone; the speeds of costs are those of the fastest.\n"
    )
    for scale, title in SCALES.items():
        yield f"## {title}\n"
        for name in dict.fromkeys(cell.table for cell in select("all", scale=scale)):
            about = TABLES[name]
            yield f"### {about.title} ({about.source})\n" if scale == "paper" else f"### {about.title}, tiny\n"
            yield scrolling(compare.side_by_side(name, scale, ledger), f"{about.title}, {scale} scale")
    yield "## What a chapter takes\n"
    yield scrolling(takes(ledger), "What a chapter takes")
    yield "## Every run\n"
    yield scrolling(every_run(ledger), "Every run")
    if ledger.refused:
        yield "## Refused\n"
        yield scrolling(Table(["record", "why"], [[i, "; ".join(why)] for i, why in ledger.refused.items()]), "Refused")


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
    for scale in SCALES:
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
    return Table(
        ["chapter", "what", "machine", "time", "memory, at most"],
        [row for chapter in sorted(rows) for row in rows[chapter]],
    )


def every_run(ledger: Ledger) -> Table:
    rows = []
    for record in sorted(ledger.records, key=lambda record: record.started):
        p, machine, versions = record.parameters, record.hardware, record.versions
        metric = p["metric"]
        value = record.metrics[metric]
        rows.append(
            [
                record.started[:10],
                record.id,
                f"fold {p['fold']}, seed {p['seed']}",
                f"{metric} {100 * value:.1f} %" if metric == "accuracy" else f"{metric} {value:.3f}",
                record.metrics["rule"],
                duration(record.wall_seconds),
                f"{record.peak_memory / 1e9:.1f} GB",
                f"{record.throughput:.0f} clips/s",
                f"{machine['count']} x {machine['name']}, {machine['precision']}",
                ", ".join(f"{name} {versions[name]}" for name in ("python", "torch") if versions.get(name)),
                (record.commit or "")[:8],
            ]
        )
    head = ["day", "run", "part", "result", "counts", "time", "memory", "speed", "hardware", "versions", "commit"]
    return Table(head, rows)


def write(ledger: Ledger | None = None) -> None:
    """Write the tables of the status page. Without a ledger it is read."""
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text("\n".join(sections(Ledger() if ledger is None else ledger)), encoding="utf-8")


def figures(folder: Path, ledger: Ledger) -> list[Path]:
    """Draw every table of both scales that has a run, and return the files."""
    from astlib import plots

    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for scale in SCALES:
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
