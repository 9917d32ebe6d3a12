"""Sphinx extension: numbers the chapters by their file names and replaces the badge in their opening.

A notebook must also read well on its own, in Colab: there its title is "04 The whole AST", and it shows Colab's badge.
In the book, the number of the file becomes the number of the chapter, so that the figures, equations and exercises of
chapter 04 are 4.1, 4.2, … even if chapter 03 is not written yet. The badge becomes a local picture, so that a built
book loads nothing from another host.
"""

import re
from pathlib import PurePosixPath
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx_external_toc.collectors import TocTreeCollectorWithStyles

BADGE = "https://colab.research.google.com/assets/colab-badge.svg"
LOCAL_BADGE = "/book/_static/colab-badge.svg"


def chapter_number(docname: str) -> int | None:
    """The number that a chapter's file name begins with: 4 for "notebooks/04_the_whole_ast", None for other pages."""
    match = re.match(r"(\d\d)_", PurePosixPath(docname).name)
    return int(match.group(1)) if match else None


def prepare_opening(app: Sphinx, doctree: nodes.document) -> None:
    """Remove the number from the title (the book adds its own), point the badge at the book's copy, mark the needs."""
    if chapter_number(app.env.docname) is None:
        return
    for title in doctree.findall(nodes.title):
        text = title.next_node(nodes.Text)
        text.parent.replace(text, nodes.Text(re.sub(r"^\d\d\s+", "", text.astext())))
        break
    for image in doctree.findall(nodes.image):
        if image["uri"] == BADGE:
            image["uri"] = LOCAL_BADGE
            image.parent.parent["classes"].append("opening-badge")
    for strong in doctree.findall(nodes.strong):
        if strong.astext() == "Runs on":
            strong.parent["classes"].append("opening-needs")
            break


count_in_order = TocTreeCollectorWithStyles.assign_section_numbers


def assign_section_numbers(self: TocTreeCollectorWithStyles, env: BuildEnvironment) -> list[str]:
    """Number as Jupyter Book does, but by the number of the file instead of the position in the table of contents."""
    changed = count_in_order(self, env)
    for docname, sections in env.toc_secnumbers.items():
        chapter = chapter_number(docname)
        if chapter is None:
            continue
        for anchor, number in sections.items():
            if number:
                sections[anchor] = (chapter, *number[1:])
        titled = [env.titles[docname], *env.tocs[docname].findall(nodes.reference)]
        for node in titled:
            if node.get("secnumber"):
                node["secnumber"] = [chapter, *node["secnumber"][1:]]
    return changed


def drop_thebe(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Leave out the scripts for live code: this book has none, and the scripts cause an error on every page."""
    context["script_files"] = [
        script
        for script in context["script_files"]
        if "thebe" not in f"{script.filename} {script.attributes.get('body', '')}".lower()
    ]


def open_copies(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Let the rocket at the top of a page open the chapter's copy for Colab, as its badge does."""
    waiting = list(context.get("header_buttons", []))
    while waiting:
        button = waiting.pop()
        waiting += button.get("buttons", [])
        if "colab.research.google.com" in (button.get("url") or ""):
            button["url"] = re.sub(r"/notebooks/(?=\d\d_)", "/notebooks/colab/", button["url"])


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the functions above with Sphinx."""
    TocTreeCollectorWithStyles.assign_section_numbers = assign_section_numbers
    app.connect("doctree-read", prepare_opening, priority=100)  # before Sphinx collects titles and images
    app.connect("html-page-context", open_copies, priority=900)
    app.connect("html-page-context", drop_thebe, priority=900)  # after they have been added
    return {"parallel_read_safe": True, "parallel_write_safe": True}
