"""Tables and times as text: plain in a terminal, HTML in a notebook.

Chapter: notebooks/09_esc50.ipynb
"""

import html
from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_UP, Decimal


class Table:
    """Rows of text with a header. It prints in columns, and shows as an HTML table at the end of a notebook cell.

    Args:
        header: the title of each column.
        rows: one sequence of cells per row, as long as the header. Cells are shown as `str` does; None is empty.
    """

    def __init__(self, header: list[str], rows: Iterable[Sequence[object]]) -> None:
        self.header = header
        self.rows = [["" if cell is None else str(cell) for cell in row] for row in rows]

    def __repr__(self) -> str:
        lines = [self.header, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.header))]
        text = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        ]
        return "\n".join([text[0], "-" * (sum(widths) + 2 * len(widths) - 2), *text[1:]])

    def _repr_html_(self) -> str:
        head = "".join(f"<th scope='col'>{html.escape(cell)}</th>" for cell in self.header)
        body = "".join(
            "<tr>" + "".join(f"<td{' class=long' * (len(c) > 28)}>{html.escape(c)}</td>" for c in row) + "</tr>"
            for row in self.rows
        )
        return f"<table class='ledger'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def duration(seconds: float) -> str:
    """Write a measured time in the unit that people would use: "45 s", "12 min", "3.4 h".

    Args:
        seconds: the time in seconds.

    Returns:
        The number and its unit.
    """
    for limit, scale, unit in ((90, 1, "s"), (5400, 60, "min")):
        if seconds < limit:
            return f"{seconds / scale:.0f} {unit}"
    return f"{seconds / 3600:.1f} h"


def decimal(value: float, digits: int, sign: str = "") -> str:
    """Round a number as one does by hand, 83.85 to 83.9: the one rule for tables, figures and sentences.

    A binary float of 83.85 lies a little above or below it, so `format` rounds it up or down by chance.

    Args:
        value: the number.
        digits: decimals that are kept.
        sign: "+" writes the sign of positive numbers as well.

    Returns:
        The number with all its decimals. A half is rounded away from zero, and zero has no minus.
    """
    rounded = Decimal(f"{value:.9f}").quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    return f"{rounded if rounded else abs(rounded):{sign}}"
