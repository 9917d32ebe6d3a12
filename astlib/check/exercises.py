"""The kinds of exercises: a number, a choice, a function, or anything that takes a test of its own.

A mistake is written as what somebody who makes it would hand in: a number, or a function. So one comparison finds the
right answers, and finds out which mistake a wrong one is.

Chapters: all; the first is notebooks/01_sound_to_spectrogram.ipynb.
"""

from __future__ import annotations

import copy
import dis
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..errors import AstlibError

Arguments = tuple[Any, ...]


@dataclass(frozen=True)
class Verdict:
    """What `check` found: a sentence to read, and true or false.

    Args:
        right: whether the answer is right.
        text: what is right or wrong about it.
    """

    right: bool
    text: str

    def __bool__(self) -> bool:
        return self.right

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Mistake:
    """A usual wrong answer.

    Args:
        answer: what is handed in by somebody who makes this mistake: a value, or a function.
        says: what is said about it. It names the mistake and asks or hints, and does not give the solution away.
    """

    answer: Any
    says: str


@dataclass(frozen=True, kw_only=True)
class Exercise(ABC):
    """An exercise whose answer can be checked.

    Args:
        label: as in the chapter, `ex-01-frames`.
        remark: one sentence for a right answer: what it is good for, or what to try next.
    """

    label: str
    remark: str = ""

    @property
    @abstractmethod
    def expects(self) -> str:
        """What an answer is, in a few words: "a number of samples"."""

    @abstractmethod
    def fault(self, answer: Any) -> str | None:
        """Say what is wrong with an answer.

        Args:
            answer: as handed in.

        Returns:
            The sentence, or None if the answer is right.
        """

    def check(self, answer: Any) -> Verdict:
        """Check an answer.

        Args:
            answer: as handed in; `...` stands for none yet.

        Returns:
            Whether it is right, and the sentence to show.
        """
        if answer is ...:
            return Verdict(False, f"No answer yet. Put {self.expects} in place of the three dots.")
        fault = self.fault(answer)
        if fault is None:
            return Verdict(True, f"Right. {self.remark}".strip())
        return Verdict(False, f"Not yet. {fault}")


@dataclass(frozen=True, kw_only=True)
class Number(Exercise):
    """An exercise that is answered by one number.

    Args:
        right: the number, or a function that computes it.
        unit: what it counts or measures: "samples", "Hz", "percent".
        mistakes: numbers that people arrive at, and what they did.
        rtol: how far off an answer may be, relative to the right one: 0 for a count.
    """

    right: float | Callable[[], float]
    unit: str = ""
    mistakes: Sequence[Mistake] = ()
    rtol: float = 0.0

    @property
    def expects(self) -> str:
        """A number of its unit."""
        return f"a number ({self.unit})" if self.unit else "a number"

    def fault(self, answer: Any) -> str | None:
        """Compare with the right number, and then with the known mistakes; see `Exercise.fault`."""
        found = _number(answer)
        if found is None:
            return f"Expected {self.expects}, found {_short(answer)}."
        right = float(self.right() if callable(self.right) else self.right)
        if self._close(found, right):
            return None
        for mistake in self.mistakes:
            value = mistake.answer() if callable(mistake.answer) else mistake.answer
            if self._close(found, float(value)):
                return mistake.says
        if right != 0 and self._close(found, -right):
            return "The sign is wrong."
        return f"{found:,.6g} is too {'small' if found < right else 'large'}."

    def _close(self, found: float, wanted: float) -> bool:
        return math.isclose(found, wanted, rel_tol=max(self.rtol, 1e-9), abs_tol=1e-12)


@dataclass(frozen=True, kw_only=True)
class Choice(Exercise):
    """An exercise that is answered by naming one of several things: a letter, a line, a word.

    Args:
        right: the right one.
        wrong: every other one that can be named, and why it is wrong.
    """

    right: str
    wrong: Mapping[str, str]

    @property
    def expects(self) -> str:
        """One of the choices."""
        return " or ".join(repr(name) for name in sorted([self.right, *self.wrong]))

    def fault(self, answer: Any) -> str | None:
        """Say why a choice is wrong; see `Exercise.fault`."""
        if not isinstance(answer, str):
            return f"Expected {self.expects}, found {_short(answer)}."
        name = answer.strip()
        if name == self.right:
            return None
        return self.wrong.get(name, f"Expected {self.expects}, found {answer!r}.")


@dataclass(frozen=True)
class Case:
    """One call of the reader's function.

    Args:
        name: what is put in, for the message: "a click at sample 1,000".
        arguments: of the call. Every call gets its own copy.
    """

    name: str
    arguments: Arguments


@dataclass(frozen=True, kw_only=True)
class Function(Exercise):
    """An exercise that is answered by a function, which is run on several inputs beside the right one.

    Args:
        signature: how it is called, "log_mel(waveform)".
        right: a function that does it right.
        cases: makes the inputs. Choose them so that every mistake shows in at least one of them.
        mistakes: functions with one mistake each. A mistake is recognised if its results are those of the reader's
            function in all cases. Put the more special ones first.
        rtol: largest relative difference that counts as equal.
        atol: largest absolute difference that counts as equal.
    """

    signature: str
    right: Callable[..., Any]
    cases: Callable[[], Sequence[Case]]
    mistakes: Sequence[Mistake] = ()
    rtol: float = 1e-4
    atol: float = 1e-5

    @property
    def expects(self) -> str:
        """The function and its arguments."""
        return f"your function {self.signature}"

    def fault(self, answer: Any) -> str | None:
        """Run the function on every case, and find the mistake that has the same results; see `Exercise.fault`."""
        if not callable(answer):
            return f"Expected {self.expects} itself, without calling it; found {_short(answer)}."
        cases, results, first = self.cases(), [], None
        for case in cases:
            result, problem = _call(answer, case)
            if problem:
                return problem
            difference = _difference(result, self.right(*copy.deepcopy(case.arguments)), self.rtol, self.atol)
            if difference and first is None:
                first = f"On {case.name}: {difference}"
            results.append(result)
        if first is None:
            return None
        return next((m.says for m in self.mistakes if self._gives(m.answer, cases, results)), first)

    def _gives(self, mistake: Callable[..., Any], cases: Sequence[Case], results: Sequence[Any]) -> bool:
        """Whether a mistaken function gives these results. One that fails on a case gives nothing there."""
        for case, result in zip(cases, results, strict=True):
            try:
                given = mistake(*copy.deepcopy(case.arguments))
            except (ArithmeticError, IndexError, RuntimeError, TypeError, ValueError):
                return False
            if _difference(result, given, self.rtol, self.atol):
                return False
        return True


@dataclass(frozen=True, kw_only=True)
class Trial(Exercise):
    """An exercise with a test of its own: a class, a training loop, a function that draws random numbers.

    Args:
        asks: what is handed in, "your class AST".
        test: takes the answer and returns what is wrong with it, or None.
    """

    asks: str
    test: Callable[[Any], str | None]

    @property
    def expects(self) -> str:
        """What is handed in."""
        return self.asks

    def fault(self, answer: Any) -> str | None:
        """Run the test; what the answer itself raises is told in a sentence; see `Exercise.fault`."""
        if callable(answer) and _is_stub(answer):
            return _EMPTY
        try:
            return self.test(answer)
        except AstlibError as error:
            return f"astlib refused what it was given: {error}"
        except Exception as error:  # noqa: BLE001  whatever the reader's code raises
            return f"It stopped with {_told(error)}"


_EMPTY = "It returns nothing so far. Write its body, and end it with `return`."


def _is_stub(function: Callable[..., Any]) -> bool:
    """Whether a function's body is nothing but `...`, `pass` or a docstring: it only returns None."""
    code = getattr(function, "__code__", None)
    if code is None:
        return False
    steps = [step for step in dis.get_instructions(code) if step.opname not in ("RESUME", "NOP")]
    return {step.opname for step in steps} <= {"LOAD_CONST", "RETURN_VALUE", "RETURN_CONST"} and all(
        step.argval is None for step in steps
    )


def _call(function: Callable[..., Any], case: Case) -> tuple[Any, str | None]:
    """Call the reader's function with copies. Return its result, or what is wrong with the call."""
    arguments = copy.deepcopy(case.arguments)
    try:
        result = function(*arguments)
    except Exception as error:  # noqa: BLE001  whatever the reader's code raises
        return None, f"On {case.name} your function stopped with {_told(error)}"
    if result is None or result is ...:
        return None, _EMPTY
    if any(_difference(now, then, 0, 0) for now, then in zip(arguments, case.arguments, strict=True) if _is_data(then)):
        return None, f"On {case.name} your function changes its input. Work on a copy (`.clone()`)."
    return result, None


def _told(error: Exception) -> str:
    """The name and the text of an error, as the end of a sentence."""
    return f"{type(error).__name__}: {str(error).strip().rstrip('.')}."


def _is_data(value: Any) -> bool:
    return isinstance(value, torch.Tensor | np.ndarray)


def _difference(found: Any, wanted: Any, rtol: float, atol: float) -> str | None:
    """What is different between two results, for the reader; None if they agree within the tolerance."""
    if isinstance(wanted, tuple | list):
        if not isinstance(found, tuple | list) or len(found) != len(wanted):
            return f"expected {len(wanted)} results, found {_short(found)}."
        for place, (one, other) in enumerate(zip(found, wanted, strict=True), 1):
            if difference := _difference(one, other, rtol, atol):
                return f"result {place} of {len(wanted)}: {difference}"
        return None
    if isinstance(wanted, str | bool):
        return None if found == wanted else f"expected {wanted!r}, found {_short(found)}."
    right, ours = _tensor(wanted), _tensor(found)
    if right is None:
        raise TypeError(f"a right answer that cannot be compared: {type(wanted).__name__}")
    if ours is None:
        return f"expected numbers of shape {tuple(right.shape)}, found {_short(found)}."
    if ours.shape != right.shape:
        return f"expected the shape {tuple(right.shape)}, found {tuple(ours.shape)}."
    if torch.isnan(ours).any() and not torch.isnan(right).any():
        return f"{int(torch.isnan(ours).sum()):,} of {ours.numel():,} numbers are nan."
    apart = ~torch.isclose(ours, right, rtol=rtol, atol=atol, equal_nan=True)
    if not apart.any():
        return None
    if right.ndim == 0:
        return f"expected {right.item():.6g}, found {ours.item():.6g}."
    first = tuple(apart.nonzero()[0].tolist())
    return (
        f"{int(apart.sum()):,} of {right.numel():,} numbers differ. The first is at [{', '.join(map(str, first))}]: "
        f"expected {right[first].item():.6g}, found {ours[first].item():.6g}."
    )


def _tensor(value: Any) -> torch.Tensor | None:
    """Numbers as a tensor of float64, or None for anything else."""
    try:
        return torch.as_tensor(value, dtype=torch.float64).detach().cpu()
    except (TypeError, ValueError, RuntimeError):
        return None


def _number(value: Any) -> float | None:
    tensor = None if isinstance(value, str | bool) else _tensor(value)
    return tensor.item() if tensor is not None and tensor.numel() == 1 else None


def _short(value: Any) -> str:
    """A value in a few words, for a message."""
    if callable(value):
        return f"the function {getattr(value, '__name__', type(value).__name__)}"
    tensor = None if isinstance(value, str) else _tensor(value)
    if tensor is not None and tensor.ndim:
        return f"numbers of shape {tuple(tensor.shape)}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
