"""Collect the questions of the executed chapters for the page "Review", and write them and the glossary as cards.

python ci/questions.py

The files lie beside the pages of the staged book: book/_static/questions.js, which book/_static/review.js reads (a
script, because a page opened from a disk may not fetch data), and book/_static/cards.txt, which Anki imports.
"""

import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import nbformat

from common import ROOT, SOURCE, chapters

STATIC = SOURCE / "book" / "_static"
QUESTION = re.compile(r'<div class="quiz-question" id="(?P<label>q-[\w-]+)".*?</div>', re.DOTALL)
TEXT = re.compile(r'<p id="[\w-]+-text">(.*?)</p>', re.DOTALL)
CHOICE = re.compile(
    r'<details class="quiz-choice" data-right="(?P<right>\w+)"><summary>(?P<text>.*?)</summary>'
    r"<p><strong>.*?</strong> (?P<reason>.*?)</p></details>",
    re.DOTALL,
)
ENTRY = re.compile(r"^(?P<term>\S.*)\n(?P<text>(?:  .*\n?)+)", re.MULTILINE)
ROLE = re.compile(r"\{\w+\}`([^`<]+?)(?: <[^>]+>)?`")


@dataclass(frozen=True)
class Found:
    """A question on a chapter's page: its HTML, and where it stands."""

    label: str
    source: str
    chapter: str
    title: str


def questions() -> Iterator[Found]:
    """Yield the questions in the order of the book, from the outputs of the executed chapters."""
    for path in chapters():
        executed = SOURCE / "notebooks" / path.name
        cells = nbformat.read(executed, as_version=4).cells
        title = cells[0].source.split("\n")[0].removeprefix("# ")
        for output in (output for cell in cells for output in cell.get("outputs", [])):
            for found in QUESTION.finditer(output.get("data", {}).get("text/html", "")):
                yield Found(found["label"], found[0], path.stem, f"{int(title[:2])}. {title[3:]}")


def glossary() -> Iterator[tuple[str, str]]:
    """Yield each term and its definition as plain text; citations are left out."""
    text = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8")
    for entry in ENTRY.finditer(text[text.index(":::{glossary}\n") :].partition("\n")[2]):
        said = " ".join(entry["text"].split())
        said = re.sub(r"\s*\{cite\w*(?::\w+)?\}`[^`]+`", "", said)
        yield entry["term"], ROLE.sub(r"\1", said).replace("`", "")


def cards(found: list[Found]) -> Iterator[tuple[str, str]]:
    """Yield the front and the back of each card: the questions first, then the terms."""
    for question in found:
        choices = list(CHOICE.finditer(question.source))
        answers = "".join(f"<li>{choice['text']}</li>" for choice in choices)
        (right,) = [choice for choice in choices if choice["right"] == "true"]
        front = f"{TEXT.search(question.source)[1]}<ul>{answers}</ul>"
        yield front, f"<strong>{right['text']}</strong><br>{right['reason']}<br><small>{question.title}</small>"
    for term, text in glossary():
        yield html.escape(term), html.escape(text)


def write() -> None:
    """Write both files."""
    found = list(questions())
    STATIC.mkdir(parents=True, exist_ok=True)
    data = {each.label: {"html": each.source, "chapter": each.chapter, "title": each.title} for each in found}
    if len(data) < len(found):
        raise ValueError("two questions have one label")
    text = json.dumps(data, ensure_ascii=False, indent=0).replace("</", "<\\/")
    (STATIC / "questions.js").write_text(f"window.bookQuestions = {text};\n", encoding="utf-8")
    rows = [f"{front}\t{back}".replace("\n", " ") for front, back in cards(found)]
    (STATIC / "cards.txt").write_text("\n".join(["#separator:tab", "#html:true", *rows, ""]), encoding="utf-8")


if __name__ == "__main__":
    write()
    print(f"questions and cards: {STATIC}")
