"""Sphinx extension: gives every page the definitions of the glossary's terms that it uses.

They stand at the end of the page as JSON; book/_static/terms.js shows one when its term is pointed at, touched or
reached by keyboard.
"""

import html
import json
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

GLOSSARY = "book/glossary"


def text(node: nodes.Node) -> str:
    """The content of a paragraph as HTML, without its links."""
    if isinstance(node, nodes.Text):
        return html.escape(node.astext())
    inner = "".join(text(child) for child in node.children)
    if isinstance(node, nodes.math):
        return f'<span class="math">\\({html.escape(node.astext())}\\)</span>'
    if isinstance(node, nodes.literal):
        return f"<code>{inner}</code>"
    return f"<em>{inner}</em>" if isinstance(node, nodes.emphasis) else inner


def definitions(doctree: nodes.document) -> dict[str, str]:
    """The first paragraph of each definition in the glossary, by the anchor of its term: "term-token"."""
    found = {}
    for item in doctree.findall(nodes.definition_list_item):
        paragraph = next(item.findall(nodes.paragraph), None)
        for term in item.findall(nodes.term):
            found |= {anchor: text(paragraph) for anchor in term["ids"] if paragraph is not None}
    return found


def add_definitions(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Write the definitions of a page's terms behind its text."""
    if doctree is None or pagename == GLOSSARY or GLOSSARY not in app.env.found_docs:
        return
    if not hasattr(app, "book_terms"):
        app.book_terms = definitions(app.env.get_doctree(GLOSSARY))
    anchors = {link.get("refuri", "").partition("#")[2] for link in doctree.findall(nodes.reference)}
    used = {anchor: app.book_terms[anchor] for anchor in sorted(anchors) if anchor in app.book_terms}
    if used:
        data = json.dumps(used, ensure_ascii=False).replace("</", "<\\/")
        context["body"] += f'\n<script type="application/json" id="book-terms">{data}</script>'


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the function above with Sphinx."""
    app.connect("html-page-context", add_definitions)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
