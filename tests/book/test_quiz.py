"""Questions: what is refused, what the HTML holds, and that the cards are made from it."""

import json
import re

import nbformat
import pytest

import questions
from astlib.errors import InvalidInput
from astlib.quiz import ask, quiz, right, wrong

CHOICES = (wrong(2, "Too <few>."), right("`three`", "As many as there are."), wrong(4, "One too many."))


def three():
    return [ask(f"q-01-{name}", "How many <b> are `there`?", *CHOICES) for name in ("one", "two", "three")]


@pytest.mark.parametrize(
    ("label", "choices", "says"),
    [
        ("frames", CHOICES, "label"),
        ("q-01-x", CHOICES[:1], "two to five"),
        ("q-01-x", (CHOICES[0], CHOICES[2]), "exactly one"),
        ("q-01-x", (CHOICES[1], CHOICES[1]), "exactly one"),
        ("q-01-x", (CHOICES[1], wrong(2, " ")), "reason"),
        ("q-01-x", (right(2, "so"), wrong(2, "so")), "the same"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused(label, choices, says):
    with pytest.raises(InvalidInput, match=says):
        ask(label, "?", *choices)


def test_three_to_five_questions_with_labels_of_their_own():
    for asked in (three()[:2], three() * 2, [three()[0]] * 3):
        with pytest.raises(InvalidInput, match="three to five"):
            quiz(*asked)


def test_the_html_is_escaped_and_marks_the_right_choice():
    shown = quiz(*three())
    assert repr(shown) == "<3 questions>"
    assert "<code>there</code>" in shown.source and "&lt;b&gt;" in shown.source and "<b>" not in shown.source
    assert re.findall(r'data-right="(\w+)"', shown.source) == ["false", "true", "false"] * 3
    assert shown.source.count("<summary>") == 9


@pytest.fixture
def staged(tmp_path, monkeypatch):
    """A staged book with one executed chapter that asks three questions."""
    output = nbformat.v4.new_output("execute_result", data={"text/html": quiz(*three()).source}, execution_count=1)
    cells = [nbformat.v4.new_markdown_cell("# 01 A chapter"), nbformat.v4.new_code_cell("", outputs=[output])]
    (tmp_path / "notebooks").mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "notebooks" / "01_a.ipynb")
    monkeypatch.setattr(questions, "SOURCE", tmp_path)
    monkeypatch.setattr(questions, "STATIC", tmp_path / "static")
    monkeypatch.setattr(questions, "chapters", lambda: [tmp_path / "notebooks" / "01_a.ipynb"])
    return tmp_path / "static"


def test_questions_and_cards_are_written_from_the_executed_chapters(staged):
    questions.write()
    text = (staged / "questions.js").read_text(encoding="utf-8")
    data = json.loads(text.removeprefix("window.bookQuestions = ").rstrip(";\n"))
    assert list(data) == ["q-01-one", "q-01-two", "q-01-three"]
    assert data["q-01-one"]["title"] == "1. A chapter" and data["q-01-one"]["html"].endswith("</div>")
    lines = (staged / "cards.txt").read_text(encoding="utf-8").splitlines()
    assert lines[:2] == ["#separator:tab", "#html:true"]
    assert all(line.count("\t") == 1 for line in lines[2:])
    assert "<strong><code>three</code></strong>" in lines[2] and "<li>2</li>" in lines[2]
    assert len(lines) - 2 - 3 == len(list(questions.glossary())) > 50


def test_a_term_is_plain_text():
    for term, text in questions.glossary():
        assert term.strip() and len(text) > 20
        assert not re.search(r"\{\w+\}|`", text), text
