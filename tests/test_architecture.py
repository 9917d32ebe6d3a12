"""The shape of the library: which module may import which, no circles, short chains, definitions that fit on a screen.

Read from the source, nothing is imported: an import that Python happens to survive is found as well.
"""

import ast
from collections.abc import Iterator, Mapping
from functools import cache

import pytest

from common import ROOT

# From the bottom up. A module may import from lower layers only, and a package counts as one module (inside a package
# the test for circles holds). A new module needs a place here.
LAYERS = [
    {"containers", "errors", "files", "paths", "table"},  # nothing about waveforms or networks
    {"typed"},  # values from outside, for everything above that has a configuration
    {
        "audio",
        "decisions",
        "devices",
        "events",
        "frontend",
        "locks",
        "metrics",
        "notebooks",
    },  # one idea each, on nothing but the layer below
    {"data", "plots", "saved"},
    {"calibrate", "cnn", "efficientat", "model", "widgets"},
    {"convert", "explain", "quiz", "scores", "tagger", "transfer"},
    {"export", "networks", "recipes"},  # other formats, any network, everything that defines a run
    {"drawings", "encoders", "measure", "own_sounds", "predict", "reports", "sources"},
    {"answers", "ledger"},
    {"embeddings", "outputs", "train"},
    {"few", "reproduce", "search"},
    {"check", "labelling"},
    {"cli"},
]

# How many modules of astlib one module imports when it is loaded. Most import five or fewer. `train.loop` imports the
# most, because it is the one place where data, network, measuring, ledger and disk come together, and 18 is what it
# needs. A module that needs more does two jobs, and every change anywhere would reach it. Imports inside functions are
# listed apart: the commands of the command line import when they run, so that `--help` is quick.
MOST_IMPORTS = 18
# Lines of one function without its docstring: what fits on a screen (50), and some room for calls with one argument per
# line.
MOST_LINES = 60
# Lists with one entry per cell of the paper's tables: data written as calls, without any logic to follow.
LISTS = {"reproduce.cells._paper", "reproduce.cells._tiny"}
# Longest chain of imports, from a module that imports nothing to the command line.
MOST_LEVELS = 11  # with each package as one module
MOST_MODULE_LEVELS = 16

Graph = Mapping[str, frozenset[str]]


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of astlib by its name without the leading "astlib.", packages as `data.__init__`, parsed."""
    found = {}
    for path in sorted((ROOT / "astlib").rglob("*.py")):
        parts = path.relative_to(ROOT / "astlib").with_suffix("").parts
        found[".".join(parts)] = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    return found


def known(name: str) -> str | None:
    """The module of a dotted name without "astlib."; for "data" that is `data.__init__`. None if there is none."""
    return next((found for found in (name, f"{name}.__init__".lstrip(".")) if found in modules()), None)


def imported(module: str, tree: ast.AST, inside: bool = False) -> Iterator[tuple[str, bool]]:
    """What a module imports from astlib, and whether it does so inside a function."""
    for node in ast.iter_child_nodes(tree):
        for name in names(module, node):
            yield name, inside
        yield from imported(module, node, inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def names(module: str, node: ast.AST) -> Iterator[str]:
    """The modules of astlib that one statement imports."""
    if isinstance(node, ast.Import):
        absolute = [alias.name for alias in node.names if alias.name.split(".")[0] == "astlib"]
        dotted = [(name.partition(".")[2], "") for name in absolute]
    elif isinstance(node, ast.ImportFrom):
        base = (node.module or "").split(".") if node.module else []
        if node.level:
            above = module.split(".")[: -node.level]
            if node.level > module.count(".") + 1:
                raise AssertionError(f"{module}:{node.lineno} imports from outside astlib")
            base = [*above, *base]
        elif base[:1] != ["astlib"]:
            return
        else:
            base = base[1:]
        dotted = [(".".join(base), alias.name) for alias in node.names]
    else:
        return
    for package, name in dotted:
        found = known(f"{package}.{name}".strip(".")) or known(package)
        if found is None:
            raise AssertionError(f"{module}:{node.lineno} imports {package}.{name}, which is no module of astlib")
        yield found


@cache
def graph(inside: bool = False) -> Graph:
    """Module to the modules that it imports, when it is loaded or (`inside`) also later, inside functions."""
    return {
        name: frozenset(other for other, later in imported(name, tree) if other != name and (inside or not later))
        for name, tree in modules().items()
    }


def package_of(module: str) -> str:
    """The package of a module, or the module itself: `train.loop` -> `train`, `model` -> `model`."""
    return module.partition(".")[0]


def as_packages(edges: Graph) -> Graph:
    """The same graph with each package as one node; astlib's own `__init__` is left out, as nothing stands on it."""
    packages: dict[str, set[str]] = {}
    for name, others in edges.items():
        if name != "__init__":
            packages.setdefault(package_of(name), set()).update(package_of(other) for other in others)
    return {name: frozenset(others - {name}) for name, others in packages.items()}


def circles(edges: Graph) -> list[list[str]]:
    """Groups of modules that import one another, by whatever way round."""

    def reachable(start: str) -> set[str]:
        seen, waiting = set(), [start]
        while waiting:
            for other in edges[waiting.pop()] - seen:
                seen.add(other)
                waiting.append(other)
        return seen

    reached = {name: reachable(name) for name in edges}
    groups = {frozenset(o for o in reached[name] if name in reached[o]) for name in edges if name in reached[name]}
    return sorted(sorted(group) for group in groups)


def longest_chain(edges: Graph) -> list[str]:
    """The longest chain of imports in a graph without circles, from the top down."""

    @cache
    def below(name: str) -> tuple[str, ...]:
        return (name, *max((below(other) for other in sorted(edges[name])), key=len, default=()))

    return list(max((below(name) for name in sorted(edges)), key=len))


def test_every_module_has_its_layer():
    placed = [name for layer in LAYERS for name in layer]
    assert len(placed) == len(set(placed))
    assert set(placed) == {package_of(name) for name in modules()} - {"__init__"}


@pytest.mark.parametrize("inside", [False, True], ids=["when loaded", "and inside functions"])
def test_nothing_imports_from_above(inside):
    layer = {name: number for number, names in enumerate(LAYERS) for name in names}
    wrong = [
        f"{name} (layer {layer[name]}) imports {other} (layer {layer[other]})"
        for name, others in as_packages(graph(inside)).items()
        for other in sorted(others)
        if layer[other] >= layer[name]
    ]
    assert not wrong, "\n".join(wrong)


def test_no_circles_and_short_chains(record_property):
    whole, packages = graph(), as_packages(graph())
    found = {"modules": circles(whole), "packages": circles(packages), "late": circles(graph(inside=True))}
    assert not any(found.values()), f"modules import one another: {found}"
    by_package, by_module = longest_chain(packages), longest_chain(whole)
    late = {name: sorted(others - whole[name]) for name, others in graph(inside=True).items() if others - whole[name]}
    record_property(
        "figures",
        f"imports of astlib: {len(whole)} modules, {len(packages)} with each package as one, no circle\n"
        f"  {len(by_package)} levels with each package as one: {' <- '.join(reversed(by_package))}\n"
        f"  {len(by_module)} levels by module: {' <- '.join(reversed(by_module))}\n"
        f"  inside functions: {sum(map(len, late.values()))} in {', '.join(sorted(late)) or 'none'}",
    )
    assert len(by_package) <= MOST_LEVELS, by_package
    assert len(by_module) <= MOST_MODULE_LEVELS, by_module


def test_no_module_imports_too_many(record_property):
    """A package's `__init__` only gives its modules' names another address, so it is not counted."""
    counts = {name: len(others) for name, others in graph().items() if not name.endswith("__init__")}
    most = max(counts, key=counts.get)
    record_property("figures", f"imports of astlib: {counts[most]} at most, in {most}")
    assert counts[most] <= MOST_IMPORTS, sorted(counts.items(), key=lambda item: -item[1])[:5]


def lines_of_code(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function, its docstring not counted."""
    lines = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is not None:
        docstring = function.body[0]
        lines -= docstring.end_lineno - docstring.lineno + 1
    return lines


def test_every_definition_fits_on_a_screen(record_property):
    lengths = {
        f"{module}.{node.name}": lines_of_code(node)
        for module, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    too_long = {name for name, length in lengths.items() if length > MOST_LINES}
    assert too_long <= LISTS, {name: lengths[name] for name in too_long - LISTS}
    longest = max(lengths.keys() - LISTS, key=lengths.get)
    record_property("figures", f"definitions of astlib: {lengths[longest]} lines of code at most, in {longest}")


# --- the measures themselves, on graphs and sources whose answer is plain


def test_a_circle_is_found():
    edges = {"a": frozenset("b"), "b": frozenset("c"), "c": frozenset("a"), "d": frozenset("a"), "e": frozenset()}
    assert circles(edges) == [["a", "b", "c"]]
    assert circles({**edges, "c": frozenset("e")}) == []
    assert longest_chain({**edges, "c": frozenset("e")}) == ["d", "a", "b", "c", "e"]


@pytest.mark.parametrize(
    ("module", "source", "expected"),
    [
        ("model", "from .saved import SavedNetwork", {("saved", False)}),
        ("model", "from . import paths, saved\nimport torch", {("paths", False), ("saved", False)}),
        ("train.loop", "from ..data import base", {("data.base", False)}),
        ("train.loop", "from .. import data\nfrom . import steps", {("data.__init__", False), ("train.steps", False)}),
        ("train.__init__", "from .fit import fit", {("train.fit", False)}),
        ("model", "import astlib.saved\nfrom astlib.data.base import AudioDataset",
         {("saved", False), ("data.base", False)}),
        ("model", "def f():\n    from .saved import SavedNetwork", {("saved", True)}),
        ("model", "import os\nfrom torch import nn", set()),
    ],
)  # fmt: skip
def test_imports_are_read(module, source, expected):
    assert set(imported(module, ast.parse(source))) == expected


def test_a_docstring_is_not_code():
    (function,) = ast.parse('def f():\n    """One.\n\n    Two.\n    """\n    return 1').body
    assert lines_of_code(function) == 2
