"""A report as one page of HTML, without scripts and without anything to load, in light and dark.

Chapter: book/how_to_run.md
"""

import math
import os
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from .result import ClipRow, Confused, Estimate, Report, percent
from .words import results

STYLE = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
MOST_CLASSES = 40  # of a matrix that one can read; of more, those with the most mistakes are shown
MOST_PAIRS, MOST_CLIPS, MOST_GROUPS = 20, 8, 100  # pairs of confused classes, clips of a pair, groups
SHADES = 6  # of a cell of the matrix
BAR = 120  # width of a bar, in pixels

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{body}
</main>
</body>
</html>
"""
HOW = """<h2>How to read it</h2>
<p>An interval contains the true value in about 95 of 100 such tests, as far as the clips are independent; clips of one
recording or of one speaker are not. The simple baseline is logistic regression on the mean and the standard deviation
of the 128 log-mels of a clip. Recall is the share of a class's clips that were recognised, precision the share of the
clips that were given a class and do have it. The files beside this page hold everything as tables:
<a href="classes.csv">classes.csv</a>, <a href="clips.csv">clips.csv</a>{confusion} and
<a href="report.json">report.json</a>.</p>"""


def page(found: Report, folder: str | Path) -> str:
    """Write a report as HTML.

    Args:
        found: the report.
        folder: where the page will lie, for the links to the clips.

    Returns:
        The whole page.
    """
    files = ', <a href="confusion.csv">confusion.csv</a>' if found.confusion is not None else ""
    sections = [
        _warnings(found),
        _results(found),
        _classes(found),
        _matrix(found),
        _confused(found, Path(folder)),
        _groups(found),
        _unusable(found),
        HOW.format(confusion=files),
    ]
    return PAGE.format(title=escape(found.title), style=STYLE, body="\n".join(filter(None, sections)))


def _warnings(found: Report) -> str:
    items = "".join(f"<li>{escape(_sentence(warning))}</li>" for warning in found.warnings)
    return f'<div class="note" role="note" aria-label="Careful"><ul>{items}</ul></div>' if items else ""


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _results(found: Report) -> str:
    rows = [[_head(name), _cell(value, text=True)] for name, value in results(found)]
    return _table(f"{found.clips:,} clips, {len(found.labels)} classes. In brackets: 95 % intervals", [], rows)


def _classes(found: Report) -> str:
    """The classes, those with the lowest recall first, and those without a test clip at the end."""
    order = sorted(found.classes, key=lambda row: (row.recall is None, row.recall.value if row.recall else 0.0))
    header = ["class", "", "recall", "precision", "F1", "AP", "test clips", "given"]
    header += ["threshold"] * found.multi_label + ["training clips"] * (found.classes[0].trained is not None)
    rows = []
    for row in order:
        cells = [_head(row.label), f"<td>{_bar(row.recall)}</td>"]
        cells += [_cell(estimate or "–") for estimate in (row.recall, row.precision)]
        cells += [_cell("–" if value is None else percent(value)) for value in (row.f1, row.average_precision)]
        cells += [_cell(row.clips), _cell(row.given)]
        if found.multi_label:
            cells.append(_cell("–" if row.threshold is None else f"{row.threshold:.2f}"))
        if row.trained is not None:
            cells.append(_cell(row.trained))
        rows.append(cells)
    caption = "The classes with the lowest recall come first. In brackets: 95 % intervals"
    return f"<h2>Classes</h2>\n{_table(caption, header, rows)}"


def _bar(estimate: Estimate | None) -> str:
    """A bar of a fraction with a line for its interval; the numbers stand beside it."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return ""
    value, low, high = (round(BAR * number, 1) for number in (estimate.value, estimate.low, estimate.high))
    return (
        f'<svg width="{BAR}" height="12" aria-hidden="true"><rect class="ground" width="{BAR}" height="8" y="2"/>'
        f'<rect width="{value}" height="8" y="2"/><line x1="{low}" x2="{high}" y1="6" y2="6"/></svg>'
    )


def _matrix(found: Report) -> str:
    """The confusion matrix; of many classes those with the most mistakes."""
    if found.confusion is None:
        return ""
    shown = shown_classes(found.confusion)
    counts, labels = found.confusion[np.ix_(shown, shown)], [found.labels[i] for i in shown]
    share = counts / np.maximum(found.confusion[shown].sum(axis=1, keepdims=True), 1)  # of all clips of the class
    head = "<td></td>" + "".join(f'<th scope="col">{escape(label)}</th>' for label in labels)
    rows = []
    for i, label in enumerate(labels):
        cells = "".join(_heat(int(counts[i, j]), share[i, j], i == j) for j in range(len(labels)))
        rows.append(f'<tr><th scope="row">{escape(label)}</th>{cells}</tr>')
    some = "" if len(shown) == len(found.labels) else f"The {len(shown)} classes with the most mistakes. "
    caption = (
        f"{some}A row has the clips of a class, a column those that were given it. Right answers are blue, mistakes "
        "orange; the stronger the shade, the larger the share of the row"
    )
    return (
        "<h2>What was taken for what</h2>\n"
        '<div class="wide tall" tabindex="0" role="region" aria-label="Confusion matrix">'
        f'<table class="heat"><caption>{caption}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def shown_classes(counts: NDArray[np.int64]) -> list[int]:
    """Choose the classes of a confusion matrix that are shown: all of them, or those with the most mistakes.

    Args:
        counts: `(classes, classes)`.

    Returns:
        Their numbers, ascending.
    """
    mistakes = counts.sum(axis=0) + counts.sum(axis=1) - 2 * np.diag(counts)
    return sorted(np.argsort(-mistakes, kind="stable")[:MOST_CLASSES].tolist())


def _heat(count: int, share: float, right: bool) -> str:
    shade = f' class="{"r" if right else "w"}{math.ceil(share * SHADES) - 1}"' if count else ""
    return f"<td{shade}>{count or ''}</td>"


def _confused(found: Report, folder: Path) -> str:
    pairs = found.confused[:MOST_PAIRS]
    if not pairs:
        return ""
    rows = [
        [_head(pair.truth), _cell(pair.given, text=True), _cell(len(pair.clips)), _links(pair, folder)]
        for pair in pairs
    ]
    more = f"; {len(found.confused) - len(pairs)} more pairs are in clips.csv" * (len(found.confused) > len(pairs))
    header = ["class", "taken for", "clips", "listen to them"]
    return f"<h2>The most frequent mistakes</h2>\n{_table(f'The most certain mistakes come first{more}', header, rows)}"


def _links(pair: Confused, folder: Path) -> str:
    links = [_link(clip, folder) for clip in pair.clips[:MOST_CLIPS]]
    more = f" and {len(pair.clips) - MOST_CLIPS} more" * (len(pair.clips) > MOST_CLIPS)
    return f'<td class="text">{", ".join(links)}{more}</td>'


def _link(clip: ClipRow, folder: Path) -> str:
    """The name of a clip; a link if it is a file, by a path from the page where there is one."""
    if clip.file is None:
        return escape(clip.name)
    file = Path(clip.file).absolute()
    try:
        address = quote(Path(os.path.relpath(file, folder.absolute())).as_posix(), errors="surrogateescape")
    except ValueError:  # on another drive of Windows
        address = file.as_uri()
    return f'<a href="{escape(address)}">{escape(clip.name)}</a>'


def _groups(found: Report) -> str:
    if not found.groups:
        return ""
    rows = [[_head(row.group), _cell(row.clips), _cell(row.right)] for row in found.groups[:MOST_GROUPS]]
    some = f", the {MOST_GROUPS} worst of {len(found.groups)}" * (len(found.groups) > MOST_GROUPS)
    header = ["group", "clips", "right"]
    return f"<h2>Groups</h2>\n{_table(f'Clips that belong together, such as those of a speaker{some}', header, rows)}"


def _unusable(found: Report) -> str:
    if not found.unusable:
        return ""
    rows = [[_head(problem.clip), _cell(problem.reason, text=True)] for problem in found.unusable]
    table = _table("They count in none of the numbers", ["clip", "why"], rows)
    return f"<h2>Clips that could not be used</h2>\n{table}"


def _head(text: str) -> str:
    return f'<th scope="row">{escape(text)}</th>'


def _cell(value: object, text: bool = False) -> str:
    kind = ' class="text"' if text else ""
    return f"<td{kind}>{escape(str(value))}</td>"


def _table(caption: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are HTML already, in a box that scrolls by itself where it is too wide."""
    words = {"taken for", "listen to them", "why"}
    titles = "".join(
        f'<th scope="col"{" class=text" if title in words else ""}>{escape(title)}</th>' if title else "<td></td>"
        for title in header
    )
    head = f"<thead><tr>{titles}</tr></thead>" if header else ""
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption>{head}<tbody>{body}</tbody></table></div>"
    )
