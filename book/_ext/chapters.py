"""Sphinx extension: what the book makes of a chapter's file name and opening.

A notebook has to read well by itself, in Colab too: it is called "04 The whole AST" there and carries Colab's
badge. In the book the number of the file becomes the number of the chapter, so that figures, equations and
exercises of chapter 04 are 4.1, 4.2 … even while chapter 03 is not written, and the badge is a local picture, so
that a built book asks no other host for anything.
"""

import re
from pathlib import PurePosixPath

from docutils import nodes
from sphinx_external_toc.collectors import TocTreeCollectorWithStyles

BADGE = "https://colab.research.google.com/assets/colab-badge.svg"
LOCAL_BADGE = "/book/_static/colab-badge.svg"


def chapter_number(docname: str) -> int | None:
    """The number a chapter's file name begins with: 4 for "notebooks/04_the_whole_ast", None for other pages."""
    match = re.match(r"(\d\d)_", PurePosixPath(docname).name)
    return int(match.group(1)) if match else None


def prepare_opening(app, doctree):
    """Drop the number from the title (the book writes its own) and point the badge at the book's copy."""
    if chapter_number(app.env.docname) is None:
        return
    for title in doctree.findall(nodes.title):
        text = title.next_node(nodes.Text)
        text.parent.replace(text, nodes.Text(re.sub(r"^\d\d\s+", "", text.astext())))
        break
    for image in doctree.findall(nodes.image):
        if image["uri"] == BADGE:
            image["uri"] = LOCAL_BADGE


count_in_order = TocTreeCollectorWithStyles.assign_section_numbers


def assign_section_numbers(self, env):
    """Jupyter Book's numbering, with the number of the file in place of the position in the table of contents."""
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


def drop_thebe(app, pagename, templatename, context, doctree):
    """Leave out the scripts of live code, which this book does not offer: they end with an error on every page."""
    context["script_files"] = [script for script in context["script_files"]
                               if "thebe" not in f"{script.filename} {script.attributes.get('body', '')}".lower()]


def setup(app):
    TocTreeCollectorWithStyles.assign_section_numbers = assign_section_numbers
    app.connect("doctree-read", prepare_opening, priority=100)  # before Sphinx collects titles and images
    app.connect("html-page-context", drop_thebe, priority=900)  # after they have been added
    return {"parallel_read_safe": True, "parallel_write_safe": True}
