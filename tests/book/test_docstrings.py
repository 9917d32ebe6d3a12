"""Every public name of astlib says what it is, what it takes, what it gives and what it raises.

    python tests/book/test_docstrings.py               # the list of what is missing
    python tests/book/test_docstrings.py astlib/data   # of these files and folders only

Docstrings follow Google's style. ruff checks their form; the rest is read from the source with griffe, because ruff
asks for `Args:` only where there is such a section, does not know the fields of a dataclass, does not look into base
classes, and cannot tell a public exception from a private helper.
"""

import ast
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import griffe
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "ci"))  # when this file is run as a program

import library
from astlib.cli import app
from common import ROOT
from library import fields, has_fields, is_property, tree

# The commands that astlib.cli.main makes of functions of other modules.
COMMANDS = {f"{command.callback.__module__}.{command.callback.__name__}" for command in app.registered_commands}
# pyproject.toml has the rules for the form; these three, which ruff still calls preview, find what is described and
# is not there. What is missing is looked for below, where exemptions can be told apart.
PREVIEW, MISSING = "DOC102,DOC202,DOC403", ("D101", "D102", "D103", "D417")
RUFF = ("ruff", "check", "--no-cache", "--preview", "--config", "lint.explicit-preview-rules=true",
        "--extend-select", PREVIEW, "--output-format", "json")  # fmt: skip
SECTION = griffe.DocstringSectionKind
NO_CHAPTER = "the docstring names no chapter (`Chapter: notebooks/NN_name.ipynb` or `Chapter: book/name.md`)"
Finding = tuple[str, int, str]  # file, line, "name: what is missing"


def sections(thing: griffe.Object, kind: griffe.DocstringSectionKind) -> list:
    """The items of all sections of a kind in a docstring; without such a section, an empty list."""
    parsed = thing.docstring.parsed if thing.docstring else []
    return [item for section in parsed if section.kind is kind for item in section.value]


def described(thing: griffe.Object, *kinds: griffe.DocstringSectionKind) -> set[str]:
    """The names that the sections of these kinds describe, `**changes` as "changes"."""
    return {item.name.lstrip("*") for kind in kinds for item in sections(thing, kind) if item.description.strip()}


def own(function: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function's body, without the functions and classes defined in it."""
    for node in ast.iter_child_nodes(function):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            yield node
            yield from own(node)


def raised(function: griffe.Function) -> list[str]:
    """The public exceptions that a function raises by name, in the order of the code."""
    names = []
    for node in own(tree(function)):
        if isinstance(node, ast.Raise) and node.exc is not None:
            error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            name = ast.unparse(error).rpartition(".")[2]
            if name[0].isupper() and name != "NotImplementedError":  # else a helper, or an error that is raised again
                names.append(name)
    return list(dict.fromkeys(names))


def gives(function: griffe.Function) -> str | None:
    """Which section a function needs for what it gives: "Returns", "Yields", or None."""
    annotation = str(function.returns) if function.returns is not None else None
    body = list(own(tree(function)))
    if any(isinstance(node, ast.Yield | ast.YieldFrom) for node in body):
        return "Yields"
    if annotation is None:
        return "Returns" if any(isinstance(node, ast.Return) and node.value is not None for node in body) else None
    return None if annotation in ("None", "NoReturn", "Never") else "Returns"


def is_command(function: griffe.Function) -> bool:
    """Whether typer makes a command of it. Then its options carry their help themselves, and nobody calls it."""
    decorators = [str(decorator.value) for decorator in function.decorators]
    named = any(".command" in text or ".callback" in text for text in decorators)
    return ".cli." in function.path and (named or function.path in COMMANDS)


def documented_above(function: griffe.Function) -> bool:
    """Whether a public class of astlib, whose docstrings are checked too, has this method, with the same parameters."""
    waiting = list(function.parent.resolved_bases) if isinstance(function.parent, griffe.Class) else []
    while waiting:
        base = waiting.pop(0)
        method = base.members.get(function.name)
        if method is not None and method.is_function and library.is_public(base):
            return [one.name for one in function.parameters] == [one.name for one in method.parameters]
        waiting += base.resolved_bases
    return False


def missing_raises(function: griffe.Function, described_in: griffe.Object) -> Iterator[str]:
    written = {str(item.annotation).rpartition(".")[2] for item in sections(described_in, SECTION.raises)
               if item.description.strip()}  # fmt: skip
    if names := [name for name in raised(function) if name not in written]:
        yield f"Raises: does not describe {', '.join(names)}"


def undescribed(what: str, names: Iterable[str], written: set[str]) -> Iterator[str]:
    if names := [name for name in names if name not in ("self", "cls") and name not in written]:
        yield f"Args: does not describe {what}{', '.join(names)}"


def missing_in_function(function: griffe.Function) -> Iterator[str]:
    if not function.has_docstring:
        yield "has no docstring"
        return
    if is_command(function):
        return
    written = described(function, SECTION.parameters, SECTION.other_parameters)
    yield from undescribed("", (parameter.name for parameter in function.parameters), written)
    if (section := gives(function)) is not None:
        wanted = (SECTION.returns, SECTION.yields) if section == "Yields" else (SECTION.returns,)
        if not any(item.description.strip() for kind in wanted for item in sections(function, kind)):
            yield f"{section}: is missing"
    yield from missing_raises(function, function)


def missing_in_class(cls: griffe.Class) -> Iterator[str]:
    if not cls.has_docstring:
        yield "has no docstring"
        return
    written = described(cls, SECTION.parameters, SECTION.attributes)
    if has_fields(cls):
        written |= {field.name for field in fields(cls) if field.has_docstring}
        yield from undescribed("the fields ", (field.name for field in fields(cls)), written)
    made = "__post_init__" if has_fields(cls) else "__init__"  # griffe invents the other one for a dataclass
    function = cls.members.get(made)
    if function is None or not function.is_function:
        return
    if made == "__init__":
        written |= described(function, SECTION.parameters)
        yield from undescribed("", (parameter.name for parameter in function.parameters), written)
    yield from missing_raises(function, function if function.has_docstring else cls)


def missing_in_module(module: griffe.Module) -> Iterator[str]:
    if not module.has_docstring:
        yield "has no docstring"
        return
    own = [member for name, member in module.members.items() if not member.is_alias and not name.startswith("__")]
    if module.is_init_module and not any(member.is_class or member.is_function for member in own):
        return  # it only names what its modules hold
    named = library.explained_in(module)
    if not named:
        yield NO_CHAPTER
    for path in named:
        if not (ROOT / path).exists():
            yield f"the docstring names {path}, which does not exist"


def public(thing: griffe.Object) -> Iterator[griffe.Object]:
    """A module or class and everything public that is defined in it."""
    yield thing
    for member in thing.members.values():
        if member.is_alias or member.name.startswith("_"):
            continue
        is_exported = thing.is_module and library.address_of(member) != member.path  # its constants count too
        if member.is_module or member.is_class:
            yield from public(member)
        elif member.is_function or is_property(member) or is_exported:
            yield member


def missing(thing: griffe.Object) -> Iterator[str]:
    """What the docstring of one public name lacks."""
    if thing.is_module:
        yield from missing_in_module(thing)
    elif thing.is_class:
        yield from missing_in_class(thing)
    elif is_property(thing):  # its summary says what it gives
        if not thing.has_docstring:
            yield "has no docstring"
    elif thing.is_attribute:  # a constant that a package gives an address
        if not library.remark(thing):
            yield "has neither a docstring nor a comment that says what it is"
    elif not documented_above(thing):
        yield from missing_in_function(thing)


def ill_formed() -> Iterator[Finding]:
    """What ruff says about the form of docstrings."""
    done = subprocess.run([sys.executable, "-m", *RUFF, library.PACKAGE], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    for found in json.loads(done.stdout):
        if not found["code"].startswith("D") or found["code"] in MISSING:
            continue
        path = Path(found["filename"]).relative_to(ROOT).as_posix()
        yield path, found["location"]["row"], f"{found['code']} {found['message']}"


def findings(*below: str) -> list[str]:
    """Everything that is missing in these files and folders, or in all of astlib: `file:line name: what is missing`."""
    found = list(ill_formed())
    for thing in public(library.load()):
        path = thing.filepath.relative_to(ROOT).as_posix()
        name = thing.path.removeprefix(f"{thing.module.path}.")
        found += [(path, thing.lineno or 1, f"{name}: {what}") for what in missing(thing)]
    chosen = [Path(path).resolve() for path in below] or [ROOT]
    return [f"{path}:{line} {what}" for path, line, what in sorted(found)
            if any((ROOT / path).is_relative_to(place) for place in chosen)]  # fmt: skip


def test_every_file_is_read():
    """A folder without an `__init__.py` would be passed over in silence."""
    read = {thing.filepath for thing in public(library.load()) if thing.is_module}
    files = {path for path in (ROOT / library.PACKAGE).rglob("*.py") if not path.name.startswith("_")}
    assert files <= read, f"not read as modules: {sorted(str(path.relative_to(ROOT)) for path in files - read)}"


def test_everything_public_is_documented():
    found = findings()
    assert not found, f"{len(found)} findings\n" + "\n".join(found)


TOY = '''
"""A module."""
import typer
from dataclasses import dataclass

app = typer.Typer()

class Base:
    """A base."""

    def read(self, at: int) -> int:
        """Read.

        Args:
            at: where.

        Returns:
            What is there.
        """

class Inner(Base):
    """Made of others.

    Args:
        size: how large.

    Raises:
        ValueError: too large.
    """

    def __init__(self, size: int, {extra}):
        if size > 3:
            raise ValueError(size)

    def read(self, at: int) -> int:
        return at

@dataclass
class Fields:
    """Some fields.

    Args:
        first: described here.
    """

    first: int
    second: int = 2
    {second}

def good(a: int, *rest: int, **more: int) -> int:
    """Do it.

    Args:
        a: a number.
        rest: more numbers.
        **more: others.

    Returns:
        A sum: of all.

    Raises:
        {error}: never.
    """
    if a:
        raise KeyError(a)
    try:
        return a
    except OSError as error:
        raise error
    raise NotImplementedError

def each():
    """Give them one by one.

    {yields}:
        One after the other.
    """
    yield 1
'''
WHOLE = {"extra": "", "second": '"""Described below."""', "error": "KeyError", "yields": "Yields"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"extra": "shape: int"}, ["Args: does not describe shape"]),
        ({"second": ""}, ["Args: does not describe the fields second"]),
        ({"error": "OSError"}, ["Raises: does not describe KeyError"]),
        ({"yields": "Note"}, ["Yields: is missing"]),
    ],
)
def test_what_is_missing_is_found(change, expected):
    with griffe.temporary_visited_module(TOY.format(**WHOLE | change), docstring_parser="google",
                                         docstring_options=library.PARSER) as toy:  # fmt: skip
        assert [what for thing in public(toy) if thing is not toy for what in missing(thing)] == expected
        assert list(missing(toy)) == [NO_CHAPTER]


if __name__ == "__main__":
    listed = findings(*sys.argv[1:])
    print("\n".join(listed) or "nothing is missing")
    sys.exit(1 if listed else 0)
