"""What astlib holds, read from its source by griffe, so nothing is imported: modules, names, addresses, chapters."""

import ast
import io
import logging
import re
import textwrap
import tokenize
from collections.abc import Iterator
from functools import cache

import griffe

from common import ROOT

PACKAGE = "astlib"
# A section "Returns:" holds one thing, whose description may run over several lines.
PARSER = {"returns_multiple_items": False, "warnings": False}
NAMED = re.compile(r"^Chapters?:(?P<text>.+?)(?:\n\s*\n|\Z)", re.MULTILINE | re.DOTALL)
PATH = re.compile(r"\b(?:notebooks/\d\d_\w+\.ipynb|book/\w+\.md)")


@cache
def load() -> griffe.Module:
    """The package as griffe reads it from the source; nothing is imported or run."""
    logging.getLogger("griffe").setLevel(logging.ERROR)
    return griffe.load(
        PACKAGE,
        search_paths=[ROOT],
        allow_inspection=False,
        submodules=True,
        docstring_parser="google",
        docstring_options=PARSER,
    )


def is_public(thing: griffe.Object) -> bool:
    return not thing.is_alias and not thing.name.startswith("_")


def modules(module: griffe.Module) -> Iterator[griffe.Module]:
    """A module and, if it is a package, everything in it, by name."""
    yield module
    for _, inner in sorted(module.modules.items()):
        if is_public(inner):
            yield from modules(inner)


def members(thing: griffe.Object) -> list[griffe.Object]:
    """What there is to show of a module or a class: constants only if they are explained, and a module's come last."""
    found = [member for member in thing.members.values() if is_public(member) and not member.is_module]
    found = [member for member in found if not member.is_attribute or is_property(member) or remark(member)]
    return sorted(found, key=lambda member: thing.is_module and member.is_attribute)


def is_property(thing: griffe.Object) -> bool:
    return "property" in thing.labels


def has_fields(cls: griffe.Class) -> bool:
    """Whether a class is made of its annotated fields: a dataclass, a named tuple, a typed dictionary."""
    bases = {str(base).rpartition(".")[2] for base in cls.bases}
    return "dataclass" in cls.labels or bool(bases & {"NamedTuple", "TypedDict"})


def fields(cls: griffe.Class) -> list[griffe.Attribute]:
    """The public fields of such a class."""
    found = [member for member in cls.members.values() if member.is_attribute and not is_property(member)]
    return [member for member in found if is_public(member) and member.annotation is not None]


def tree(function: griffe.Function) -> ast.FunctionDef:
    """The syntax tree of a function."""
    return ast.parse(textwrap.dedent(function.source)).body[0]


@cache
def remark(constant: griffe.Attribute) -> str:
    """What is said of a constant: the docstring below it, the comment behind it, or the comment above it."""
    if constant.has_docstring:
        return constant.docstring.value
    source = constant.filepath.read_text(encoding="utf-8").splitlines()
    if behind := comment(source[constant.lineno - 1]):
        return sentence(behind)
    above = []
    for line in reversed(source[: constant.lineno - 1]):
        if not line.strip().startswith("#"):
            break
        above.insert(0, line.strip().lstrip("# "))
    return sentence(" ".join(above))


def sentence(text: str) -> str:
    """A comment as a sentence of its own."""
    word = text.split(" ")[0]
    text = text[0].upper() + text[1:] if word.isalpha() and word.islower() else text
    return f"{text}." if text and text[-1] not in ".!?:" else text


def comment(line: str) -> str:
    """The comment at the end of a line of code."""
    try:
        for token in tokenize.generate_tokens(io.StringIO(line).readline):
            if token.type == tokenize.COMMENT and not token.string.startswith("# fmt:"):
                return token.string.lstrip("#: ")
    except tokenize.TokenError:  # the line ends within brackets, after its comment
        pass
    return ""


@cache
def addresses() -> dict[str, str]:
    """Where something is defined -> where it is to be imported from: the shortest address that a package gives it."""
    found = {}
    for module in modules(load()):
        defined = [member for member in module.members.values() if is_public(member) and not member.is_module]
        found |= {thing.path: thing.path for thing in defined}
    given = {
        f"{package.path}.{name}": path
        for package in modules(load())
        if package.is_init_module
        for name, path in package.imports.items()
        if not name.startswith("_")
    }
    for address, path in given.items():
        for _ in given:  # a package may take it from another package; a circle ends too
            path = given[path] if path not in found and path in given else path
        if path in found:
            found[path] = min(found[path], address, key=len)
    return found


def address_of(thing: griffe.Object) -> str:
    """The public address of a module, a class, a function, a constant or of a member of a class."""
    if isinstance(thing.parent, griffe.Class):
        return f"{address_of(thing.parent)}.{thing.name}"
    return addresses().get(thing.path, thing.path)


@cache
def shown() -> dict[str, griffe.Object]:
    """Everything that has an entry, by its public address and by the place where it is defined; and the modules.

    `astlib.train.fit` is the function, not the module of that name: the package gives the function this address.
    """
    found = {module.path: module for module in modules(load())}

    def add(thing: griffe.Object) -> None:
        found[address_of(thing)] = found[thing.path] = thing
        for member in members(thing) if thing.is_class else ():
            add(member)

    for module in modules(load()):
        for member in members(module):
            add(member)
    return found


@cache
def endings() -> dict[str, set[str]]:
    """How an address can be cut short -> the addresses meant: "adapt" and "transfer.adapt"."""
    found: dict[str, set[str]] = {}
    for path, thing in shown().items():
        parts = path.split(".")
        for first in range(1, len(parts)):
            found.setdefault(".".join(parts[first:]), set()).add(address_of(thing))
    return found


def explained_in(module: griffe.Module) -> list[str]:
    """The chapters and pages that a module's docstring names in its paragraph `Chapter:` or `Chapters:`."""
    found = NAMED.search(module.docstring.value if module.docstring else "")
    return list(dict.fromkeys(PATH.findall(found["text"]))) if found else []


def resolve(name: str, inside: griffe.Object) -> str | None:
    """The address that a name in a docstring means, or None if that is not certain."""
    name = name.removesuffix("()")
    if name in shown():
        return address_of(shown()[name])
    if inside.is_function and name in [parameter.name for parameter in inside.parameters]:
        return None
    scope = inside
    while scope is not None:  # a member of the same class, a name of the same module
        if found := shown().get(f"{scope.path}.{name}"):
            return None if found.is_attribute and name.islower() else address_of(found)
        scope = None if scope.is_module else scope.parent
    is_distinct = "." in name or re.search(r"[A-Z]", name)  # a word in lower case is seldom meant as a name
    meant = endings().get(name, set()) if is_distinct else set()
    return meant.copy().pop() if len(meant) == 1 else None
