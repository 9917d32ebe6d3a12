"""Sphinx extension: makes the cells of a chapter compact, and its pages light.

- Folded cells that follow each other (installation, imports, parameters) become one. The line that opens a folded cell
  says what is in it, and stands below the picture that its code draws.
- The pictures of players and sliders become files beside those of the figures, so that they are loaded when they are
  seen. The script that `astlib.widgets` adds for Colab is left out: a page loads it once (_config.yml).
"""

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

SETUP, DRAWN, CODE = "Setup: installation, imports, parameters", "How this is drawn", "The code"
SCRIPT = re.compile(r'<script class="astlib-script">.*?</script>', re.DOTALL)
PICTURE = re.compile(r'(<img [^>]*)src="data:image/png;base64,([^"]+)"')


def is_cell(node: nodes.Node, mode: str) -> bool:
    """Whether a node is a code cell that is folded in this way: "all" (tag hide-cell) or "input" (hide-input)."""
    return isinstance(node, nodes.container) and node.get("nb_element") == "cell_code" and node.get("hide_mode") == mode


def is_drawing(cell: nodes.container) -> bool:
    """Whether a cell shows a picture, a slider or a player with a picture."""
    pages = (raw.astext() for raw in cell.findall(nodes.raw))
    return any(cell.findall(nodes.image)) or any("<img" in page for page in pages)


class CompactCells(SphinxPostTransform):
    """Join folded cells that follow each other, and name what is folded."""

    default_priority = 150  # before myst-nb wraps what is folded (199), after it has chosen what to show (4)
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        """Run the transform on one page."""
        first = None
        for cell in list(self.document.findall(lambda node: is_cell(node, "all"))):
            cell["prompt_show"] = cell["prompt_hide"] = SETUP if first is None else CODE
            if first is not None and self.before(cell) is first:
                first.extend(cell.children)
                cell.parent.remove(cell)
            else:
                first = cell
        for cell in self.document.findall(lambda node: is_cell(node, "input")):
            cell["prompt_show"] = cell["prompt_hide"] = DRAWN if is_drawing(cell) else CODE

    @staticmethod
    def before(cell: nodes.container) -> nodes.Node | None:
        """What stands directly before a cell."""
        place = cell.parent.index(cell)
        return cell.parent[place - 1] if place else None


class PictureFirst(SphinxPostTransform):
    """Put the line that opens the code of a picture below the picture."""

    default_priority = 201  # after myst-nb has wrapped what is folded
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        """Run the transform on one page."""
        for cell in list(self.document.findall(lambda node: is_cell(node, "input"))):
            if len(cell) == 2 and isinstance(cell[0], HideCodeCellNode):
                cell.append(cell.pop(0))


def lighten(app: Sphinx, doctree: nodes.document) -> None:
    """Take the script and the pictures out of the HTML of the outputs."""
    docname = app.env.docname
    up = "../" * docname.count("/")

    def to_file(found: re.Match) -> str:
        start, picture = found.group(1), base64.b64decode(found.group(2))
        name = f"{hashlib.sha256(picture).hexdigest()[:40]}.png"
        folder = Path(app.outdir) / "_images"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture)
        late = 'loading="lazy" ' if " hidden " in start else ""  # the other pages of a slider
        return f'{start}{late}src="{up}_images/{name}"'

    for raw in list(doctree.findall(nodes.raw)):
        page = raw.astext()
        if raw.get("format") == "html" and ('class="player"' in page or 'class="flipbook"' in page):
            raw.children = [nodes.Text(PICTURE.sub(to_file, SCRIPT.sub("", page)))]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the functions above with Sphinx."""
    app.add_post_transform(CompactCells)
    app.add_post_transform(PictureFirst)
    app.connect("doctree-read", lighten)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
