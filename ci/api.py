"""The API reference of the book, written from the docstrings of astlib, and each chapter's way to it.

    python ci/api.py

`write` makes one text for each page of book/api/ and one for book/api.md, which include them. Modules are found by
themselves; docstrings are Markdown in Google's style, and a name in backticks becomes a link. `link_chapters` ends each
executed chapter with "In the library": the modules whose docstring names it (`Chapter: notebooks/01_x.ipynb`).
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import griffe
import nbformat

from address import address
from common import ROOT, SOURCE, chapters
from library import (
    NAMED,
    PACKAGE,
    address_of,
    addresses,
    endings,
    explained_in,
    fields,
    has_fields,
    is_property,
    load,
    members,
    modules,
    remark,
    resolve,
    shown,
    tree,
)

FOLDER = SOURCE / "book" / "api"  # the texts that the pages of book/api/ include; no pages of their own
INDEX = FOLDER / "index.txt"  # included by book/api.md
CELL = "in-the-library"  # id of the cell that ends a chapter
# Page of book/api/ -> what of the package is on it, in this order; a package comes with all its modules. What no page
# names, such as a new module, is on the last page.
PAGES = {
    "network": ("audio", "containers", "frontend", "model", "cnn", "networks"),
    "weights": ("saved", "transfer", "convert", "export", "efficientat", "tagger"),
    "use": (
        "predict",
        "answers",
        "events",
        "outputs",
        "decisions",
        "calibrate",
        "explain",
        "measure",
        "metrics",
        "scores",
        "reports",
    ),
    "find": ("encoders", "embeddings", "search", "few", "labelling"),
    "recipes": ("recipes", "own_sounds", "sources"),
    "data": ("data",),
    "train": ("train",),
    "ledger": ("ledger",),
    "reproduce": ("reproduce",),
    "cli": ("cli",),
    "helpers": ("check", "quiz", "widgets", "notebooks", "table", "plots", "drawings"),
}
LONGEST_VALUE = 80  # characters; a longer value of a constant is not shown
SECTIONS = griffe.DocstringSectionKind
TITLES = {
    SECTIONS.parameters: "Args",
    SECTIONS.other_parameters: "Keyword args",
    SECTIONS.attributes: "Attributes",
    SECTIONS.returns: "Returns",
    SECTIONS.yields: "Yields",
    SECTIONS.raises: "Raises",
}
CODE = re.compile(r"(`+)(.+?)\1", re.DOTALL)


# From docstrings to Markdown.


def link(place: str, text: str) -> str:
    """A link to an entry or to a module's part of a page. A field has no entry of its own: it stands in its class's."""
    thing = shown()[place]
    if thing.is_module:
        return f"[`{text}`](#module-{place})"
    return f"{{py:obj}}`{text} <{address_of(thing.parent) if is_field(thing) else place}>`"


def markdown(text: str, inside: griffe.Object) -> str:
    """A docstring's text: names in backticks become links, and nothing else is taken for markup but lists and code."""
    done, position = "", 0
    for found in CODE.finditer(text):
        done += escaped(text[position : found.start()])
        target = resolve(found[2], inside)
        done += link(target, found[2]) if target and target != address_of(inside) else found[0]
        position = found.end()
    return done + escaped(text[position:])


def escaped(text: str) -> str:
    """Text without markup but lists, addresses of pages, and lines of code that stand four blanks further in."""
    if code := re.search(r"(?:\A|(?<=\n\n))(?: {4}.*(?:\n|\Z))+", text):
        return escaped(text[: code.start()]) + code[0] + escaped(text[code.end() :])
    *words, last = re.split(r"(https?://[^\s()]+[^\s().,;:])", text)  # every second one is an address
    plain = [re.sub(r"([\\*_$~\[\]{}<>|])", r"\\\1", word) for word in (*words[::2], last)]
    plain = [re.sub(r"(?<![\w-])--[a-z][a-z-]*", r"`\g<0>`", word) for word in plain]  # options keep their dashes
    return plain[0] + "".join(f"<{found}>{after}" for found, after in zip(words[1::2], plain[1:], strict=True))


def indented(text: str, by: str = "  ") -> str:
    """A text whose lines after the first stand below its beginning."""
    return text.strip().replace("\n", f"\n{by}")


def definitions(title: str, items: list[tuple[str, str]]) -> str:
    """A heading, and below it each name with what it means."""
    if not items:
        return ""
    listed = "\n\n".join(f"{name}\n: {indented(text) or '…'}" for name, text in items)
    return f":::{{rubric}} {title}\n:::\n\n{listed}\n"


def section(part: griffe.DocstringSection, inside: griffe.Object) -> str:
    """One section of a docstring."""
    kind = part.kind
    if kind is SECTIONS.text:
        return markdown(part.value, inside)
    if kind in (SECTIONS.parameters, SECTIONS.other_parameters, SECTIONS.attributes):
        items = [(f"`{item.name}`", markdown(item.description, inside)) for item in part.value]
        return definitions(TITLES[kind], items)
    if kind is SECTIONS.raises:
        items = [(markdown(f"`{item.annotation}`", inside), markdown(item.description, inside)) for item in part.value]
        return definitions(TITLES[kind], items)
    if kind in (SECTIONS.returns, SECTIONS.yields):
        text = "\n".join(f"{item.name}: {item.description}" if item.name else item.description for item in part.value)
        return f":::{{rubric}} {TITLES[kind]}\n:::\n\n{markdown(text, inside)}\n"
    if kind is SECTIONS.examples:
        return "\n\n".join(
            markdown(text, inside) if of is SECTIONS.text else f"```python\n{text}\n```" for of, text in part.value
        )
    if kind is SECTIONS.admonition:
        return f"**{part.title or part.value.kind}.** {markdown(part.value.description, inside)}"
    raise ValueError(f"{inside.path}: sections of the kind {kind.value!r} are not shown yet, see ci/api.py")


def description(thing: griffe.Object) -> str:
    """All that a docstring says, a module's without the chapters. The fields of a class come with type and default."""
    parts = thing.docstring.parsed if thing.docstring else []
    texts = [section(part, thing) for part in parts]
    if thing.is_class and has_fields(thing):
        of_fields = [part for part in parts if part.kind in (SECTIONS.parameters, SECTIONS.attributes)]
        texts = [section(part, thing) for part in parts if part not in of_fields]
        said = {item.name: item.description for part in of_fields for item in part.value}
        texts.insert(1, field_list(thing, said))
    if thing.is_function:
        texts.append(option_list(thing))
    return "\n\n".join(text for text in texts if text)


def field_list(cls: griffe.Class, said: dict[str, str]) -> str:
    """The fields of a class; those that its docstring describes and a base class holds come last."""
    items = []
    for field in fields(cls):
        default = "" if field.value is None else f" = {field.value}"
        text = said.pop(field.name, "") or remark(field)
        items.append((f"`{field.name}: {field.annotation}{default}`", markdown(text, cls)))
    items += [(f"`{name}`", markdown(text, cls)) for name, text in said.items()]
    return definitions("Fields", items)


def summary(thing: griffe.Object) -> str:
    """The first paragraph of a docstring, on one line."""
    text = thing.docstring.value.split("\n\n")[0] if thing.docstring else ""
    return " ".join(markdown(text, thing).split())


# From code to entries.


def annotation(expression: griffe.Expr | str | None) -> str:
    """A type as the source has it, with the public address of what is ours, so that it becomes a link.

    Somebody else's class that is called like one of ours gets its full name, so that it does not.
    """
    if isinstance(expression, str) or expression is None:
        return expression or ""
    if is_annotated(expression):
        return annotation(expression.slice.elements[0])
    if not isinstance(expression, griffe.ExprName | griffe.ExprAttribute):
        return "".join(map(annotation, expression.iterate(flat=False)))
    path, known = expression.canonical_path, shown().get(expression.canonical_path)
    if known is not None and known.is_class:
        return address_of(known)
    is_mistakable = path.rpartition(".")[2] in endings() and not path.startswith(f"{PACKAGE}.")
    return path if is_mistakable else str(expression)


def is_annotated(expression: griffe.Expr | str | None) -> bool:
    """Whether a type is `Annotated`, as the options of the command line are."""
    return isinstance(expression, griffe.ExprSubscript) and str(expression.left).endswith("Annotated")


def option_list(function: griffe.Function) -> str:
    """The parameters of a command, each with the help that the command line shows, if that is written out there."""
    items = []
    is_command = any(is_annotated(parameter.annotation) for parameter in function.parameters)
    for parameter in tree(function).args.args if is_command else ():
        said = [node.value.value for node in ast.walk(parameter) if isinstance(node, ast.keyword)
                and node.arg == "help" and isinstance(node.value, ast.Constant)]  # fmt: skip
        items.append((f"`{parameter.arg}`", markdown(" ".join(said), function)))
    return definitions("Args", items)


def signature(function: griffe.Function, returns: bool = True) -> str:
    """The parameters with types and defaults, and what is returned."""
    kinds, parts, star = griffe.ParameterKind, [], False
    given = [parameter for parameter in function.parameters if parameter.name not in ("self", "cls")]
    for parameter in given:
        if parameter.kind is kinds.keyword_only and not star:
            parts.append("*")
        star = star or parameter.kind in (kinds.keyword_only, kinds.var_positional)
        text = {kinds.var_positional: "*", kinds.var_keyword: "**"}.get(parameter.kind, "") + parameter.name
        if parameter.annotation is not None:
            text += f": {annotation(parameter.annotation)}"
        if parameter.default is not None and parameter.kind not in (kinds.var_positional, kinds.var_keyword):
            text += f" = {parameter.default}" if parameter.annotation is not None else f"={parameter.default}"
        parts.append(text)
    gives = f" -> {annotation(function.returns)}" if returns and function.returns is not None else ""
    return f"({', '.join(parts)}){gives}"


def options(thing: griffe.Object) -> Iterator[str]:
    """The options of the directive that describes something."""
    place = thing if isinstance(thing.parent, griffe.Module) else thing.parent
    yield f":module: {address_of(place).rpartition('.')[0]}"
    if address_of(thing) != thing.path:
        yield f":canonical: {thing.path}"
    yield from (f":{label}:" for label in ("classmethod", "staticmethod") if label in thing.labels)
    if thing.is_attribute and thing.annotation is not None:
        yield f":type: {annotation(thing.annotation)}"
    value = str(thing.value or "") if thing.is_attribute and not is_property(thing) else ""
    if value and "\n" not in value and len(value) <= LONGEST_VALUE:
        yield f":value: {value}"


def kind(thing: griffe.Object) -> str:
    """Sphinx's name for what something is."""
    in_class = isinstance(thing.parent, griffe.Class)
    if thing.is_class:
        return "exception" if any(is_error(base) for base in (thing, *thing.resolved_bases)) else "class"
    if thing.is_function:
        return "method" if in_class else "function"
    return "property" if is_property(thing) else "attribute" if in_class else "data"


def is_error(cls: griffe.Class) -> bool:
    names = [str(base).rpartition(".")[2] for base in cls.bases] + [cls.name]
    return any(name.endswith(("Error", "Exception")) for name in names) or any(map(is_error, cls.resolved_bases))


def head(thing: griffe.Object) -> str:
    """The line that an entry begins with, behind the name of its kind."""
    if thing.is_function:
        return thing.name + signature(thing)
    made = thing.members.get("__init__") if thing.is_class and not has_fields(thing) else None
    return thing.name + (signature(made, returns=False) if made is not None and made.is_function else "")


def source(thing: griffe.Object) -> str:
    """The address of the lines that define something."""
    repository, tag = address()
    lines = "" if thing.is_module else f"#L{thing.lineno}-L{thing.endlineno}"
    return f"https://github.com/{repository}/blob/{tag}/{thing.filepath.relative_to(ROOT).as_posix()}{lines}"


def explanations(module: griffe.Module) -> str:
    """Links to the chapters and pages that explain a module."""
    links = []
    for path in explained_in(module):
        number = Path(path).name[:2]
        title = f"chapter {int(number)}" if number.isdigit() else title_of(ROOT / path)
        links.append(f"[{title}](/{path})")  # "/": from the root of the book
    return ", ".join(links)


def title_of(page: Path) -> str:
    """The title of a page in Markdown."""
    return page.read_text(encoding="utf-8").split("\n")[0].removeprefix("# ")


def entry(thing: griffe.Object) -> str:
    """A class, function, method or constant: what it looks like, what its docstring says, where it stands."""
    fence = ":" * (5 if isinstance(thing.parent, griffe.Class) else 6)
    where = f"[source]({source(thing)})"
    if isinstance(thing.parent, griffe.Module) and (chapter := explanations(thing.parent)):
        where += f" · {chapter}"
    bases = ", ".join(markdown(f"`{base}`", thing) for base in thing.bases) if thing.is_class else ""
    said = markdown(remark(thing), thing) if thing.is_attribute and not is_property(thing) else description(thing)
    body = [f"Based on {bases}." if bases else "", said, f":::{{div}} api-where\n{where}\n:::"]
    inner = [] if not thing.is_class else [member for member in members(thing) if not is_field(member)]
    body += [entry(member) for member in inner]
    opening = "\n".join([f"{fence}{{py:{kind(thing)}}} {head(thing)}", *options(thing)])
    return opening + "\n\n" + "\n\n".join(text for text in body if text) + f"\n{fence}\n"


def is_field(thing: griffe.Object) -> bool:
    of_class = isinstance(thing.parent, griffe.Class) and has_fields(thing.parent)
    return of_class and thing.name in [field.name for field in fields(thing.parent)]


# Pages.


def of_page(page: str) -> list[griffe.Module]:
    """The modules of a page of book/api/."""
    placed = {name for names in PAGES.values() for name in names}
    names = list(PAGES[page])
    if page == list(PAGES)[-1]:
        names += [name for name in sorted(load().modules) if name not in placed and not name.startswith("_")]
    return [inner for name in names if name in load().modules for inner in modules(load().modules[name])]


def names(module: griffe.Module) -> str:
    """Links to all that a module holds; for a package, to what can be imported from it."""
    here = [address_of(member) for member in members(module)]
    if module.is_init_module:
        here += sorted(place for place in addresses().values() if place.rpartition(".")[0] == module.path)
    return ", ".join(link(place, place.rpartition(".")[2]) for place in dict.fromkeys(here) if place in shown())


def section_of(module: griffe.Module) -> str:
    """A module's part of a page."""
    where = " · ".join(filter(None, [f"[source]({source(module)})", explanations(module)]))
    text = NAMED.sub("", description(module)).strip()
    parts = [f"(module-{module.path})=\n## {module.path}", text, f":::{{div}} api-where\n{where}\n:::"]
    if listed := names(module):
        parts.append(f"{'Import from here' if module.is_init_module else 'Names here'}: {listed}.")
    return "\n\n".join([part for part in parts if part] + [entry(member) for member in members(module)])


def overview() -> Iterator[str]:
    """The text of the first page: what the package itself gives, and every page with its modules."""
    yield section_of(load()) + "\n"
    for page in PAGES:
        yield f"## {title_of(ROOT / 'book' / 'api' / f'{page}.md')}\n"
        for module in of_page(page):
            chapter = explanations(module)
            yield f"- {link(module.path, module.path)}: {summary(module)}{f' ({chapter})' if chapter else ''}"
        yield ""


def write() -> None:
    """Write the texts where the staged book has its pages."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    INDEX.write_text("\n".join(overview()) + "\n", encoding="utf-8")
    for page in PAGES:
        text = "\n\n".join(section_of(module) for module in of_page(page))
        (FOLDER / f"{page}.txt").write_text(text + "\n", encoding="utf-8")


def in_the_library(chapter: Path) -> str:
    """The end of a chapter: the modules that name it. Empty if none does."""
    named = [module for module in modules(load()) if f"notebooks/{chapter.name}" in explained_in(module)]
    items = [f"- {link(module.path, module.path)}: {summary(module)}" for module in named]
    return "\n".join(["## In the library\n", "What this chapter explains, ready to import:\n", *items]) if items else ""


def link_chapters() -> None:
    """End every executed chapter with its way into the library, in place of what stood there."""
    for chapter in chapters():
        staged = SOURCE / "notebooks" / chapter.name
        if not staged.exists():
            continue
        notebook = nbformat.read(staged, as_version=4)
        notebook.cells = [cell for cell in notebook.cells if cell.get("id") != CELL]
        if text := in_the_library(chapter):
            notebook.cells.append(nbformat.v4.new_markdown_cell(text, id=CELL))
        nbformat.write(notebook, staged)


if __name__ == "__main__":
    write()
    print(f"the API reference: {FOLDER}")
