"""Check the reader's answers to the exercises: a wrong answer is told what is wrong with it. Offline, no account.

    check("ex-01-frames", 164_080)
    check("ex-01-logmel", my_log_mel)

The answers, and the usual mistakes with what to say to each, are in one module a chapter (`_ch01`, `_ch02`, …), as
lists of the classes of `astlib.check.exercises`.

Chapters: all; the first is notebooks/01_sound_to_spectrogram.ipynb.
"""

import difflib
import importlib
import importlib.util
import re

from ..errors import InvalidInput
from .exercises import Exercise, Verdict

__all__ = ["Verdict", "check", "exercises_of"]


def exercises_of(chapter: int) -> dict[str, Exercise]:
    """Give the exercises of one chapter that can be checked.

    Args:
        chapter: its number, 1 for `01_sound_to_spectrogram`.

    Returns:
        The exercises by label, empty for a chapter that has none.
    """
    name = f"{__name__}._ch{chapter:02}"
    if importlib.util.find_spec(name) is None:
        return {}
    return {exercise.label: exercise for exercise in importlib.import_module(name).EXERCISES}


def check(label: str, answer: object = ...) -> Verdict:
    """Check an answer to an exercise.

    Args:
        label: of the exercise, `ex-01-frames`.
        answer: a number, a choice or a function, as the exercise asks; `...` if there is none yet.

    Returns:
        What to show at the end of a cell: whether the answer is right, and if not, why. It is true if it is right.

    Raises:
        InvalidInput: no exercise has this label.
    """
    number = re.match(r"ex-(\d\d)-", label)
    exercises = exercises_of(int(number[1])) if number else {}
    if label not in exercises:
        near = difflib.get_close_matches(label, exercises, n=1, cutoff=0) or ["ex-01-frames"]
        raise InvalidInput(f"expected the label of an exercise, such as {near[0]!r}, found {label!r}")
    return exercises[label].check(answer)
