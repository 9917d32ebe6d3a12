"""The page of traps: the trap boxes of every chapter, written from the notebooks.

    python ci/traps.py
"""

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
from docutils.nodes import make_id

from common import SOURCE, chapters

PAGE = SOURCE / "book" / "traps_list.txt"  # included by book/traps.md; no page of its own
BOX = r":::\{admonition\} (?:Trap: )?(?P<trap>.+)\n:class: .*\btrap\b.*\n+(?P<text>[^:\n].*)"
PIECES = re.compile(rf"^##+ (?P<section>.+)$|^{BOX}", re.MULTILINE)
ENOUGH = 80  # characters: a shorter first sentence seldom says what goes wrong, so the next one comes with it


def beginning(text: str) -> str:
    """The first sentence of a text, or the first two or three if it is short."""
    said = ""
    for sentence in re.split(r"(?<=[.!?])\s+", text):
        said = f"{said} {sentence}".strip()
        if len(said) >= ENOUGH:
            break
    return said


def boxes(chapter: Path) -> Iterator[tuple[str, str, str]]:
    """(title, beginning, section it stands in) of each trap box of a chapter."""
    cells = nbformat.read(chapter, as_version=4).cells
    section = ""
    for found in PIECES.finditer("\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")):
        section = found["section"] or section
        if found["trap"]:
            yield found["trap"], beginning(found["text"]), section


def lines() -> Iterator[str]:
    """The list as Markdown: a heading for each chapter, an entry for each box."""
    for chapter in chapters():
        title = nbformat.read(chapter, as_version=4).cells[0].source.split("\n")[0].removeprefix("# ")
        yield f"\n## {int(title[:2])}. {title[3:]}\n"
        for trap, text, section in boxes(chapter):
            text = re.sub(r"\]\((\d\d_)", r"](../notebooks/\1", text)  # links start from the notebook's folder
            place = f'<a href="../notebooks/{chapter.stem}.html#{make_id(section)}">{section}</a>'
            yield f"- **{trap[0].upper()}{trap[1:]}.** {text} ({place})"


def write() -> None:
    """Write the list where the staged book has its pages."""
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text("\n".join(lines()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
    print(f"the list of traps: {PAGE}")
