"""Write the page of traps: the trap boxes of all chapters, collected from the notebooks.

python ci/traps.py
"""

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
from docutils.nodes import make_id

from common import SOURCE, chapters

PAGE = SOURCE / "book" / "traps_list.txt"  # included by book/traps.md, so not a page of its own
BOX = r":::\{admonition\} (?:Trap: )?(?P<trap>.+)\n:class: .*\btrap\b.*\n+(?P<text>[^:\n].*)"
PIECES = re.compile(rf"^##+ (?P<section>.+)$|^{BOX}", re.MULTILINE)
ENOUGH = 80  # characters: a shorter first sentence seldom says what goes wrong, so the next one is added


def beginning(text: str) -> str:
    """Return the first sentence of a text, or the first two or three if it is short."""
    said = ""
    for sentence in re.split(r"(?<=[.!?])\s+", text):
        said = f"{said} {sentence}".strip()
        if len(said) >= ENOUGH:
            break
    return said


def boxes(chapter: Path) -> Iterator[tuple[str, str, str]]:
    """Yield title, beginning and section of each trap box of a chapter."""
    cells = nbformat.read(chapter, as_version=4).cells
    section = ""
    for found in PIECES.finditer("\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")):
        section = found["section"] or section
        if found["trap"]:
            yield found["trap"], beginning(found["text"]), section


def lines() -> Iterator[str]:
    """Yield the list as Markdown: a heading per chapter, an entry per box."""
    for chapter in chapters():
        title = nbformat.read(chapter, as_version=4).cells[0].source.split("\n")[0].removeprefix("# ")
        yield f"\n## {int(title[:2])}. {title[3:]}\n"
        for trap, text, section in boxes(chapter):
            text = re.sub(r"\]\((\d\d_)", r"](../notebooks/\1", text)  # links start from the notebook's folder
            anchor = make_id(section.replace("'", "’"))  # the book sets apostrophes so, and its anchors follow
            place = f'<a href="../notebooks/{chapter.stem}.html#{anchor}">{section}</a>'
            stop = "" if trap.endswith(("?", "!", ".")) else "."
            yield f"- **{trap[0].upper()}{trap[1:]}{stop}** {text} ({place})"


def write() -> None:
    """Write the list beside the pages of the staged book."""
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text("\n".join(lines()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
    print(f"the list of traps: {PAGE}")
