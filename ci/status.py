"""The status page's tables: every table of the paper beside our runs, and every record of the ledger.

It also writes what a reader can download, `results.csv` (one line a run of a cell) and `results.json` (one entry a
cell, with its comparison), the claims of the reproducibility report (`ci/claims.py`) and the text of the protocol.

With a folder as its argument (`python ci/status.py FOLDER`) it also draws every figure of the tables there, as SVG.
"""

import csv
import html
import io
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

import claims
import torch

from address import address
from astlib.ledger import Ledger, Record, protocol
from astlib.ledger.provenance import hardware
from astlib.recipes import RECIPES
from astlib.reproduce import SCALES, TABLES, Cell, compare
from astlib.reproduce.cells import REFERENCE, AnyCell, select
from astlib.reproduce.compare import Row
from astlib.table import Table, decimal, duration
from common import MEMORY, SOURCE, TIMES, fail

PAGE = SOURCE / "book" / "status_tables.txt"  # included by book/status.md; no page of its own
PROTOCOL = SOURCE / "book" / "protocol_text.txt"  # by book/protocol.md
CLAIMS = SOURCE / "book" / "report_claims.txt"  # likewise by book/report.md
DOWNLOADS = SOURCE / "book" / "_static" / "results"
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


# A field that hides the rows of the table behind it that lack one of its words. Without JavaScript all rows are there.
FILTER = """<p class="filter"><label>Only rows with the words <input type="search"></label></p>
<script>
document.querySelector(".filter input").addEventListener("input", (event) => {
  const words = event.target.value.toLowerCase().split(/\\s+/);
  for (const row of event.target.closest("details").querySelectorAll("tbody tr"))
    row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
});
</script>
"""


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


def drawn_interval(row: Row, reach: float) -> str:
    """The 95 % interval of a difference as a small picture: a line around a dot, and a dashed line at zero."""
    pair = row.paired
    if pair is None or pair.half is None:
        return ""
    low, middle, high = (60 + 56 * value / reach for value in (*_ends(row), pair.difference))
    low, middle, high = sorted((low, middle, high))
    said = f"95 % interval {compare.interval_text(pair, row.cell.metric)}"
    return (
        f'<svg class="interval" viewBox="0 0 120 14" role="img" aria-label="{html.escape(said, quote=True)}">'
        '<path d="M60 0V14" stroke="currentColor" stroke-dasharray="2 2" stroke-width="1"/>'
        f'<path d="M{low:.1f} 7H{high:.1f}" stroke="currentColor" stroke-width="2"/>'
        f'<circle cx="{middle:.1f}" cy="7" r="4" stroke="currentColor" stroke-width="1.5" '
        f'fill="{"currentColor" if row.settled else "none"}"/></svg>'
    )


def _ends(row: Row) -> tuple[float, float]:
    assert row.paired is not None and row.paired.half is not None
    return row.paired.difference - row.paired.half, row.paired.difference + row.paired.half


def drawn_curves(row: Row) -> str:
    """The metric after every epoch as a small picture: thin each run, thick their mean; from 0 to 1."""
    cell, records = row.cell, row.found.records
    runs = [[entry[cell.metric] or 0.0 for entry in record.epochs] for record in records if record.epochs]
    if not isinstance(cell, Cell) or not runs:
        return ""
    epochs = min(map(len, runs))
    mean = [sum(run[i] for run in runs) / len(runs) for i in range(epochs)]
    lines = [_line(run[:epochs], 0.7, 0.5) for run in runs] if len(runs) > 1 else []
    said = f"{cell.metric} after each of {epochs} epochs, mean from {mean[0]:.2f} to {mean[-1]:.2f}"
    return (
        f'<svg class="curves" viewBox="0 0 100 44" role="img" aria-label="{said}">'
        '<path d="M2 42H98" stroke="currentColor" stroke-width="0.5"/>'
        f"{''.join(lines)}{_line(mean, 2, 1)}</svg>"
    )


def _line(values: Sequence[float], width: float, opacity: float) -> str:
    step = 96 / max(1, len(values) - 1)
    points = " ".join(f"{2 + i * step:.1f},{42 - 40 * value:.1f}" for i, value in enumerate(values))
    return f'<polyline points="{points}" fill="none" stroke="currentColor" stroke-width="{width}" opacity="{opacity}"/>'


def lines_of(table: str, ledger: Ledger) -> list[tuple[Row | None, Row | None]]:
    """The settings of a table at both scales: the paper's cell and the tiny one with the same published number."""
    rows = {
        scale: compare.rows_of(table, scale, ledger) if any(c.table == table for c in select(scale=scale)) else []
        for scale in SHOWN
    }
    tiny = list(rows["tiny"])
    lines: list[tuple[Row | None, Row | None]] = []
    for paper in rows["paper"]:
        short = paper.cell.name.removesuffix("-balanced")
        there = [row for row in tiny if row.cell.name in (paper.cell.name, short)]
        lines.append((paper, there[0] if there else None))
        tiny = [row for row in tiny if row not in there]
    return lines + [(None, row) for row in tiny]


def one_table(name: str, ledger: Ledger) -> str:
    """A table of the paper or of ours: published, base network and tiny one side by side, with links to the records."""
    about, lines = TABLES[name], lines_of(name, ledger)
    small = [row for _, row in lines if row is not None]
    ends = [abs(end) for row in small if row.paired and row.paired.half is not None for end in _ends(row)]
    reach = max(ends, default=1.0)
    body = []
    for paper, tiny in lines:
        row = tiny or paper
        assert row is not None
        body.append(
            [_setting(row.cell), *_numbers(paper, tiny), _difference(tiny, reach), _curves(tiny), _runs(paper, tiny)]
        )
    header = ["setting", "published", "base network", "tiny network", "tiny: difference (95 %)", "tiny: curves", "runs"]
    words = compare.note(small)
    drawn = (
        f" The pictures of the differences reach from {_reach(-reach, small)} to {_reach(reach, small)}."
        if ends
        else ""
    )
    title = f"{about.title}, {about.source}"
    return f"{words}{drawn}\n\n{region(as_html(header, body), title)}"


def _reach(value: float, rows: Sequence[Row]) -> str:
    metric = rows[0].cell.metric
    return f"{compare.number(value, metric, '+')}{' points' if metric == 'accuracy' else ' mAP'}"


def _setting(cell: AnyCell) -> str:
    return f"{html.escape(cell.what)}<br><code>{html.escape(cell.name.partition('/')[2])}</code>"


def _numbers(paper: Row | None, tiny: Row | None) -> list[str]:
    published = next((row.published for row in (paper, tiny) if row is not None and row.published), None)
    theirs = ""
    if published is not None:
        spread = "" if published["spread"] is None else f" ± {published['spread']:g}"
        theirs = f"{published['value']:g}{spread}{' %' if published['unit'] == '%' else ''}"
    ours = ["" if row is None else row.found.text for row in (paper, tiny)]
    return [html.escape(text).replace(" ", "&nbsp;") for text in (theirs, *ours)]


def _difference(row: Row | None, reach: float) -> str:
    if row is None or not row.found.records:
        return ""
    if row.paired is None:
        return "reference" if isinstance(row.cell, Cell) else ""
    said = [compare.interval_text(row.paired, row.cell.metric)]
    if row.p_holm is not None:
        p = compare.p_text(row.p_holm)
        said.append(f"p {p if '<' in p else f'= {p}'}, {row.finding}")
    return f"{html.escape(said[0])}{drawn_interval(row, reach)}{html.escape('; '.join(said[1:]))}"


def _curves(row: Row | None) -> str:
    return "" if row is None else drawn_curves(row)


def _runs(paper: Row | None, tiny: Row | None) -> str:
    """How many of a setting's runs were done, and a link to the record of each: fold, and seed if it is not 0."""
    parts = []
    for row in (paper, tiny):
        if row is None or not row.found.records:
            continue
        links = [
            link(one, f"{one.parameters['fold']}" + (f".{one.seed}" if one.seed else "")) for one in row.found.records
        ]
        parts.append(f"{len(links)} of {row.found.wanted}: {' '.join(links)}")
    asked = " and ".join(f"{row.found.wanted}" for row in (paper, tiny) if row is not None and not row.found.records)
    return "<br>".join(parts) if parts else f"0 of {asked}"


def tables(ledger: Ledger) -> Iterator[str]:
    names = dict.fromkeys(cell.table for scale in ("paper", "tiny") for cell in select("all", scale=scale))
    for name in sorted(names, key=list(TABLES).index):
        about = TABLES[name]
        yield f"### {about.title} ({about.source.partition(':')[0]})\n"
        yield one_table(name, ledger)


def sections(ledger: Ledger) -> Iterator[str]:
    """The parts of the page, as Markdown."""
    cells = served(ledger)
    yield headline(ledger)
    idle = [record for record in ledger.records if record.id not in cells]
    trials = sum(len(record.epochs) <= 2 for record in idle)
    other_seeds = sum(record.seed != 0 for record in ledger.records)
    yield (
        f"{len(ledger.records)} records count, {other_seeds} of them with another seed than 0; {len(idle)} serve no "
        f"cell, and {trials} of these are trials of one or two epochs. What is planned, and by which rule it will be "
        "judged, was [written down before](protocol.md).\n"
    )
    yield "## The tables\n"
    yield from tables(ledger)
    yield "## What a chapter takes\n"
    times = takes(ledger)
    inside = as_html(times.header, ([html.escape(text) for text in row] for row in times.rows))
    yield folded("Time and memory of each chapter, and of the runs behind it", region(inside, "Times"))
    yield "## Every run\n"
    yield folded(f"All {len(ledger.records)} runs", FILTER + region(every_run(ledger, cells), "Every run"))
    if ledger.refused:
        yield "## Refused\n"
        rows = [[html.escape(i), html.escape("; ".join(why))] for i, why in ledger.refused.items()]
        yield region(as_html(["record", "why"], rows), "Refused")


def protocol_text(ledger: Ledger) -> str:
    """The protocol as Markdown, and how far its runs are."""
    file = protocol()
    margin = file["margin"]
    lines = [f"Written on {file['written']}. {file['known_before']}\n", "## Settings\n"]
    for setting in file["settings"]:
        found = [compare.obtained(SCALES["tiny"][name], ledger) for name in setting["cells"]]
        seeds, folds = (", ".join(map(str, setting[key])) for key in ("seeds", "folds"))
        whole = sum(len(one.records) == one.wanted for one in found)
        names = ", ".join(f"`{name}`" for name in setting["cells"])
        lines.append(f"- **{setting['what']}**: {names}. Folds {folds}; seeds {seeds}; {setting['metric']}.")
        lines.append(f"  Every run is there for {whole} of {len(found)} cells.")
    lines.append("\n## Rules\n")
    for title, key in (
        ("Epochs", "epochs"),
        ("Read-out", "read_out"),
        ("Comparison", "comparison"),
        ("Test", "test"),
        ("Correction", "correction"),
        ("Equivalence", "equivalence"),
        ("Learning rates", "learning_rates"),
    ):
        lines.append(f"- **{title}.** {file[key]}")
    lines.append(f"- **Level.** {file['level']}, for p after the correction.")
    lines.append(
        f"- **Margin.** {100 * margin['accuracy']:g} points of accuracy, {margin['mAP']:g} mAP. {margin['why']}"
    )
    return "\n".join(lines) + "\n"


def as_csv(ledger: Ledger) -> str:
    """One line for each run of each cell: which, what it gave, and the record that says so."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            "scale",
            "table",
            "cell",
            "setting",
            "fold",
            "seed",
            "metric",
            "value",
            "precision",
            "draws",
            "commit",
            "record",
        ]
    )
    for scale in SHOWN:
        for cell in select("all", scale=scale):
            for one in compare.obtained(cell, ledger).records:
                run = [one.parameters["fold"], one.seed, cell.metric, compare.value(one, cell)]
                made = [one.hardware["precision"], one.draws, one.commit, one.id]
                writer.writerow([scale, cell.table, cell.name, cell.what, *run, *made])
    return text.getvalue()


def as_json(ledger: Ledger) -> str:
    """One entry for each cell: published, obtained, the comparison with the reference of its table, and its records."""
    entries = []
    for scale in SHOWN:
        for chapter in dict.fromkeys(cell.chapter for cell in select("all", scale=scale)):
            entries += [_entry(row, scale) for row in compare.rows_of_chapter(chapter, scale, ledger)]
    return json.dumps({"cells": entries}, indent=1, ensure_ascii=False) + "\n"


def _entry(row: Row, scale: str) -> dict[str, object]:
    found, pair = row.found, row.paired
    entry: dict[str, object] = {
        "scale": scale,
        "cell": row.cell.name,
        "setting": row.cell.what,
        "metric": row.cell.metric,
        "published": None if row.published is None else {"id": row.published["id"], "value": row.published["value"]},
        "values": found.values,
        "mean": found.mean if found.values else None,
        "sd": found.sd if found.values else None,
        "runs": len(found.records),
        "runs_wanted": found.wanted,
        "records": [record.id for record in found.records],
    }
    if pair is not None:
        ends = (None, None) if pair.half is None else (pair.difference - pair.half, pair.difference + pair.half)
        entry["comparison"] = {
            "gaps": list(pair.gaps),
            "difference": pair.difference,
            "low_95": ends[0],
            "high_95": ends[1],
            "p": pair.p_folds,
            "p_holm": row.p_holm,
            "compared_with": row.family,
            "p_clips": pair.p_clips,
            "finding": row.finding,
        }
    return entry


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
    """Write the tables of the status page, the downloads and the claims of the report. Without a ledger it is read."""
    ledger = Ledger() if ledger is None else ledger
    DOWNLOADS.mkdir(parents=True, exist_ok=True)
    PAGE.write_text("\n".join(sections(ledger)), encoding="utf-8")
    CLAIMS.write_text(claims.as_markdown(ledger), encoding="utf-8")
    PROTOCOL.write_text(protocol_text(ledger), encoding="utf-8")
    (DOWNLOADS / "results.csv").write_text(as_csv(ledger), encoding="utf-8")
    (DOWNLOADS / "results.json").write_text(as_json(ledger), encoding="utf-8")


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
