"""Values from outside, in the types and the ranges that the fields of a dataclass declare.

A configuration, a recipe or a record may come from a file that somebody else wrote. JSON has lists for pairs, people
write 1 for 1.0 and "16" for 16, and a number may be so large that the first tensor of that size takes all memory. So
every value is checked before anything is built from it.

Chapter: book/how_to_run.md
"""

import json
import math
import numbers
from collections.abc import Hashable, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from .errors import InvalidInput

WORDS = {int: "a whole number", float: "a finite number", str: "a text", bool: "True or False", NoneType: "nothing"}
SHOWN = 60  # characters of a value in a message


def check_types(made: Any) -> None:
    """Give every field of a dataclass the type that it declares; lists become tuples, whole numbers floats.

    Args:
        made: an instance, which may be frozen; for its `__post_init__`.

    Raises:
        InvalidInput: a value that is not of its type. The message names the field.
    """
    for name, hint in _hints(cast(Hashable, type(made))).items():
        object.__setattr__(made, name, typed(name, hint, getattr(made, name)))


def check_ranges(made: object, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Check that fields are in their ranges.

    Args:
        made: any object.
        ranges: lowest and highest value by the name of the field, both included.

    Raises:
        InvalidInput: a value out of its range. The message names the field.
    """
    for name, (least, most) in ranges.items():
        value = getattr(made, name)
        if not least <= value <= most:
            wanted = f"{least} or more" if value < least else f"at most {most}"
            raise InvalidInput(f"{name} must be {wanted}; found {shown(value)}")


def typed(name: str, hint: Any, value: Any) -> Any:
    """Give a value the type of a field.

    Args:
        name: of the field, for the message.
        hint: its type: int, float, str, bool, Literal, a tuple of these, or one of these or None.
        value: from wherever.

    Returns:
        The value. A list is now a tuple, a number of NumPy one of Python.

    Raises:
        InvalidInput: it is not of that type, or a float that is not finite.
    """
    kind, inside = get_origin(hint), get_args(hint)
    if kind in (Union, UnionType):  # X | None
        return None if value is None else typed(name, next(part for part in inside if part is not NoneType), value)
    if kind is Literal:
        if not any(value is choice or (type(value) is type(choice) and value == choice) for choice in inside):
            raise InvalidInput(f"{name} must be one of {', '.join(map(str, inside))}; found {shown(value)}")
        return value
    if kind is tuple:
        return _tuple(name, inside, value)
    if str(getattr(value, "dtype", "")) == "bool" and getattr(value, "shape", None) == ():  # a bool of NumPy
        value = bool(value)
    if hint is str and isinstance(value, str):  # NumPy has a kind of its own
        return str(value)
    if isinstance(value, bool):
        if hint is not bool:
            raise InvalidInput(f"{name} must be {WORDS[hint]}; found {value}")
        return value
    if hint is int and isinstance(value, numbers.Integral):
        return int(value)
    if hint is float and isinstance(value, numbers.Real):
        try:
            value = float(value)
        except OverflowError:  # an integer of hundreds of digits; it stays one and is refused
            value = int(value)
    if type(value) is not hint or (hint is float and not math.isfinite(value)):
        raise InvalidInput(f"{name} must be {WORDS[hint]}; found {shown(value)}")
    return value


def _tuple(name: str, inside: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    """A tuple of any length, `(str, ...)`, or of a type for each place."""
    if not isinstance(value, list | tuple):
        wanted = "a list" if inside[-1] is Ellipsis else "a pair"
        raise InvalidInput(f"{name} must be {wanted}; found {shown(value)}")
    kinds = (inside[0],) * len(value) if inside[-1] is Ellipsis else inside
    if len(kinds) != len(value):
        raise InvalidInput(f"{name} must be a pair; found {shown(value)}")
    return tuple(typed(f"each value of {name}", kind, part) for kind, part in zip(kinds, value, strict=True))


def shown(value: object) -> str:
    """Write a value for a message, however long it is.

    Args:
        value: anything.

    Returns:
        Its first characters.
    """
    if isinstance(value, int) and value.bit_length() > 200:  # Python refuses to write thousands of digits
        return f"a whole number of about {round(value.bit_length() * math.log10(2))} digits"
    if isinstance(value, str | list | tuple) and len(value) > SHOWN:
        value = value[:SHOWN]
    return f"{value!r:.{SHOWN}}"


def read_json(text: str | bytes) -> Any:
    """Read JSON that somebody else wrote.

    Args:
        text: UTF-8 if it is bytes.

    Returns:
        What it says.

    Raises:
        ValueError: it is no JSON, or no UTF-8.
        InvalidInput: it is nested so deeply that reading it would break the interpreter.
    """
    try:
        return json.loads(text if isinstance(text, str) else text.decode("utf-8"))
    except RecursionError:
        raise InvalidInput("it is nested too deeply") from None


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that must hold an object.

    Args:
        path: the file.

    Returns:
        Its content.

    Raises:
        InvalidInput: it holds something else. The message names the file.
        OSError: it cannot be read.
    """
    try:
        content = read_json(path.read_bytes())
    except ValueError as error:
        raise InvalidInput(f"{path} is damaged: {error}. Copy it again") from error
    if not isinstance(content, dict):
        raise InvalidInput(f"{path} is damaged: expected an object, found {type(content).__name__}. Copy it again")
    return content


@cache
def _hints(kind: Any) -> dict[str, Any]:
    """The types of the fields of a dataclass."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}
