"""The status page of the book: every table of the paper beside our runs, and every run, written from the ledger.

    python ci/status.py [FOLDER]    # FOLDER: also every figure of the tables, as SVG
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import torch

from astlib import compare, tables
from astlib.ledger import Table, duration
from astlib.provenance import hardware
from astlib.reproduce import Ledger
from common import MEMORY, SOURCE, TIMES, fail

PAGE = SOURCE / "book" / "status_tables.txt"  # included by book/status.md; no page of its own
SCALES = {"paper": "At the paper's scale", "tiny": "At the tiny scale"}


def scrolling(table: Table, name: str) -> str:
    """A wide table that scrolls by itself, by touch and by keyboard, so that the page stays as wide as the screen."""
    start = f'<div class="output text_html wide" role="region" tabindex="0" aria-label="{name}">'
    return f"{start}\n{table._repr_html_()}\n</div>\n"


def sections(ledger: Ledger) -> Iterator[str]:
    cells = [(scale, cell) for scale in SCALES for cell in tables.cells("all", scale=scale)]
    done = sum(bool(compare.obtained(cell, scale, ledger).values) for scale, cell in cells)
    yield (f"{len(ledger.runs)} records count. {done} of {len(cells)} cells have at least one run. Where several runs "
           "shared one machine, each of them took longer than alone; the speeds of costs are those of the fastest.\n")
    for scale, title in SCALES.items():
        yield f"## {title}\n"
        for name in dict.fromkeys(cell.table for cell in tables.cells("all", scale=scale)):
            about = tables.TABLES[name]
            yield f"### {about.title} ({about.source})\n" if scale == "paper" else f"### {about.title}, tiny\n"
            yield scrolling(compare.table(name, scale, ledger), f"{about.title}, {scale} scale")
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
                rows[chapter] = [[chapter, "the page, as it is here", machine, duration(seconds),
                                  f"{held[chapter] / 1e9:.1f} GB"]]
    for scale in SCALES:
        for cell in tables.cells("all", scale=scale):
            for run in compare.obtained(cell, scale, ledger).runs:
                key = cell.chapter, run.recipe, run.parameters["fstride"], len(run.epochs), run.hardware["name"]
                runs.setdefault(key, {})[run.id] = run
    for (chapter, recipe, stride, epochs, name), found in runs.items():
        time = median(run.wall_seconds for run in found.values())
        most = max(run.peak_memory for run in found.values())
        rows.setdefault(chapter, []).append([chapter, f"one run of {recipe}, stride {stride}, {epochs} epochs", name,
                                             duration(time), f"{most / 1e9:.1f} GB"])
    return Table(["chapter", "what", "machine", "time", "memory, at most"],
                 [row for chapter in sorted(rows) for row in rows[chapter]])


def every_run(ledger: Ledger) -> Table:
    rows = []
    for run in sorted(ledger.runs, key=lambda run: run.started):
        metric, p = run.parameters["metric"], run.parameters
        found = f"{100 * run.metrics[metric]:.1f} %" if metric == "accuracy" else f"{run.metrics[metric]:.3f}"
        machine = f"{run.hardware['count']} x {run.hardware['name']}, {run.hardware['precision']}"
        versions = ", ".join(f"{name} {run.versions[name]}" for name in ("python", "torch") if run.versions.get(name))
        rows.append([run.started[:10], run.id, f"fold {p['fold']}, seed {p['seed']}", f"{metric} {found}",
                     run.metrics["rule"], duration(run.wall_seconds), f"{run.peak_memory / 1e9:.1f} GB",
                     f"{run.throughput:.0f} clips/s", machine,
                     versions, (run.commit or "")[:8]])
    head = ["day", "run", "part", "result", "counts", "time", "memory", "speed", "hardware", "versions", "commit"]
    return Table(head, rows)


def write() -> None:
    """Write the part of the status page that the ledger says."""
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text("\n".join(sections(Ledger())), encoding="utf-8")


def figures(folder: Path) -> list[Path]:
    """Draw every table of both scales that has a run, and return the files."""
    from astlib import plots

    folder.mkdir(parents=True, exist_ok=True)
    ledger, files = Ledger(), []
    for scale in SCALES:
        for name in dict.fromkeys(cell.table for cell in tables.cells("all", scale=scale)):
            rows = compare.rows_of(name, scale, ledger)
            if not any(row["found"].values for row in rows):
                continue
            accuracy = compare.metric_of(rows[0]["cell"]) == "accuracy"
            drawn = {row["cell"].what: ([value * (100 if accuracy else 1) for value in row["found"].values],
                                        row["published"]["value"] if row["published"] else None) for row in rows}
            units = {row["published"]["unit"] for row in rows if row["published"]}
            files.append(folder / f"{scale}-{name}.svg")
            figure = plots.ablation(drawn, "ours: accuracy (%)" if accuracy else "ours: mAP",
                                    f"published: {'accuracy (%)' if units == {'%'} else 'mAP'}")
            figure.savefig(files[-1])
    return files


if __name__ == "__main__":
    if len(sys.argv) > 2:
        fail("one folder at most")
    write()
    print(f"the page's tables: {PAGE}")
    for file in figures(Path(sys.argv[1])) if len(sys.argv) == 2 else []:
        print(file)
