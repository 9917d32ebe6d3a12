"""Questions with choices, each with a reason, for the end of a chapter. They need no kernel, no script and no mouse.

A choice is a `<details>` element: opening it shows whether it is right and why. The built book adds a memory
(book/_static/review.js): what was answered comes back on its page "Review".

Chapters: all; the first is notebooks/01_sound_to_spectrogram.ipynb.
"""

import html
import re
from dataclasses import dataclass

from .errors import InvalidInput
from .widgets import Html

STYLE = (  # for Colab and Jupyter, where the book's own style is not there
    "<style>.quiz details{margin:.25rem 0;padding:.3rem .7rem;border:1px solid #8884;border-radius:4px}"
    ".quiz summary{cursor:pointer}.quiz p{margin:.4rem 0}.quiz-question{margin:1rem 0}</style>"
)


@dataclass(frozen=True)
class Choice:
    """One answer to choose.

    Args:
        text: the answer. Words between backticks are set as code.
        reason: why it is right or wrong.
        is_right: whether it is the right one.
    """

    text: str
    reason: str
    is_right: bool = False


@dataclass(frozen=True)
class Question:
    """A question and its choices.

    Args:
        label: `q-01-frames`: the chapter and a name. The reader's memory is kept under it, so it should not change.
        text: the question.
        choices: two to five, exactly one of them right, in the order in which they are shown.
    """

    label: str
    text: str
    choices: tuple[Choice, ...]


def right(text: object, reason: str) -> Choice:
    """Make the right choice of a question.

    Args:
        text: the answer; a number may be given as it is.
        reason: why it is right.

    Returns:
        The choice.
    """
    return Choice(str(text), reason, is_right=True)


def wrong(text: object, reason: str) -> Choice:
    """Make a wrong choice of a question.

    Args:
        text: the answer; a number may be given as it is.
        reason: what is wrong with it, for a reader who thought it was right.

    Returns:
        The choice.
    """
    return Choice(str(text), reason)


def ask(label: str, text: str, *choices: Choice) -> Question:
    """Make a question.

    Args:
        label: `q-01-frames`.
        text: the question. Words between backticks are set as code.
        choices: from `right` and `wrong`, in the order in which they are shown.

    Returns:
        The question.

    Raises:
        InvalidInput: not exactly one choice is right, a reason is missing, or the label has another form.
    """
    if not re.fullmatch(r"q-\d\d-[a-z0-9-]+", label):
        raise InvalidInput(f"expected a label such as 'q-01-frames', found {label!r}")
    if not 2 <= len(choices) <= 5 or sum(choice.is_right for choice in choices) != 1:
        raise InvalidInput(f"{label}: expected two to five choices, exactly one of them right")
    if len({choice.text for choice in choices}) < len(choices):
        raise InvalidInput(f"{label}: two choices are the same")
    if not all(choice.reason.strip() for choice in choices):
        raise InvalidInput(f"{label}: every choice needs a reason")
    return Question(label, text, choices)


def quiz(*questions: Question) -> Html:
    """Show questions at the end of a cell.

    Args:
        questions: three to five, from `ask`. Take their numbers from variables of the chapter.

    Returns:
        The questions as HTML.

    Raises:
        InvalidInput: another number of questions, or two with one label.
    """
    if not 3 <= len(questions) <= 5 or len({question.label for question in questions}) < len(questions):
        raise InvalidInput(f"expected three to five questions with labels of their own, found {len(questions)}")
    body = "".join(_question(question) for question in questions)
    return Html(f'{STYLE}<div class="quiz">{body}</div>', f"{len(questions)} questions")


def _question(question: Question) -> str:
    choices = "".join(
        f'<details class="quiz-choice" data-right="{str(choice.is_right).lower()}">'
        f"<summary>{_text(choice.text)}</summary>"
        f"<p><strong>{'Right.' if choice.is_right else 'No.'}</strong> {_text(choice.reason)}</p></details>"
        for choice in question.choices
    )
    return (
        f'<div class="quiz-question" id="{question.label}" role="group" aria-labelledby="{question.label}-text">'
        f'<p id="{question.label}-text">{_text(question.text)}</p>{choices}</div>'
    )


def _text(text: str) -> str:
    """Text as HTML; what stands between backticks is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))
