"""Every checker accepts right answers and tells each usual wrong answer, in its own words, what is wrong with it."""

import importlib
import inspect
import re

import pytest

from astlib.check import check, exercises_of
from common import chapters

NUMBERS = [int(path.name[:2]) for path in chapters()]
MODULES = {number: importlib.import_module(f"answers_{number:02}") for number in NUMBERS if exercises_of(number)}
LABELS = [label for number in NUMBERS for label in exercises_of(number)]
WRONG = {label: answers for module in MODULES.values() for label, answers in module.WRONG.items()}
RIGHT = {label: answers for module in MODULES.values() for label, answers in module.RIGHT.items()}


@pytest.mark.parametrize("label", LABELS)
def test_every_wrong_answer_gets_its_own_sentence(label):
    sentences = []
    for answer, part in WRONG[label]:
        verdict = check(label, answer)
        assert not verdict, f"accepted: {answer!r}"
        assert part in verdict.text, verdict.text
        sentences.append(verdict.text)
    assert len(set(sentences)) >= 3, "at least three mistakes are told apart"


@pytest.mark.parametrize("label", sorted(RIGHT))
def test_other_right_answers_are_accepted(label):
    for answer in RIGHT[label]:
        verdict = check(label, answer)
        assert verdict, verdict.text


@pytest.mark.parametrize("label", LABELS)
def test_an_empty_answer_is_told_kindly_what_to_put_there(label):
    text = str(check(label))
    assert text.startswith("No answer yet. Put ") and "Error" not in text


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("nonsense", [None, "no idea", object()], ids=["None", "words", "object"])
def test_nonsense_ends_in_a_sentence(label, nonsense):
    verdict = check(label, nonsense)
    assert not verdict and verdict.text.startswith("Not yet. ")


@pytest.mark.parametrize("label", LABELS)
def test_sentences_are_sentences(label):
    for _, part in WRONG[label]:
        assert part.strip(), "an empty part is found in any sentence"
    texts = [str(check(label, answer)) for answer, _ in WRONG[label]]
    assert all(re.search(r"[.?]$", text) for text in texts), texts


def test_no_answers_are_left_over():
    assert set(WRONG) | set(RIGHT) <= set(LABELS)
    assert all(inspect.ismodule(module) for module in MODULES.values())
