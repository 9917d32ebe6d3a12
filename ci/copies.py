"""Write notebooks/colab/: a copy of each chapter for Colab and Jupyter, which know nothing of the book's directives.

    python ci/copies.py           # every chapter
    python ci/copies.py 01 15     # these

The badge of a chapter opens its copy. Roles become text, boxes quotes, hints and solutions closed `<details>`,
figures have their captions below them, numbered as in the book, and links lead to other copies. The code is the
chapter's own; what the book folds is folded in Colab too, and the code of a solution as well.
"""

import html
import re
import sys
from functools import cache
from pathlib import Path

import nbformat
from pybtex.database import parse_file

import address
from common import ROOT, chapters
from execute import select

FOLDER = ROOT / "notebooks" / "colab"
BOX = re.compile(
    r"^(?P<fence>:::+)\{(?P<kind>[\w-]+)\}[ ]*(?P<title>[^\n]*)\n(?P<options>(?::\w+:[^\n]*\n)*)"
    r"(?P<body>.*?)^(?P=fence)[ ]*$",
    re.MULTILINE | re.DOTALL,
)
# A solution with code is three cells: the first begins with this, the last ends with that, and both may have text.
START = re.compile(
    r"^:::\{solution-start\} (?P<label>\S+)\n(?::\w+:[^\n]*\n)*:::\n?(?P<body>.*)\Z", re.MULTILINE | re.DOTALL
)
END = re.compile(r"\A(?P<body>.*?)^:::\{solution-end\}\n:::[ ]*(?:\n|\Z)", re.MULTILINE | re.DOTALL)
LABEL = re.compile(r"^:label: (\S+)$", re.MULTILINE)
EQUATION = re.compile(r"^\$\$\n(?P<formula>.*?)\n\$\$ \((?P<label>eq-[\w-]+)\)[ ]*$", re.MULTILINE | re.DOTALL)
ROLE = re.compile(r"\{(?P<name>[\w:]+)\}`(?P<text>[^`]+)`")
LINK = re.compile(r"\]\((?P<target>(?!https?:|#)[^)\s]+)\)")
FOLDED = {"hide-cell": "Preparation", "hide-input": "How this is made"}  # tag -> heading of the folded cell in Colab


@cache
def bibliography() -> dict[str, tuple[str, str]]:
    """Key to authors and year, as a sentence names them: ("Gong et al.", "2021")."""
    found = {}
    for key, entry in parse_file(str(ROOT / "book" / "references.bib")).entries.items():
        names = [" ".join([*person.prelast_names, *person.last_names]) for person in entry.persons.get("author", [])]
        names = [re.sub(r"[{}]", "", name) for name in names] or [re.sub(r"[{}]", "", entry.fields.get("key", key))]
        some = names[0] if len(names) == 1 else " and ".join(names) if len(names) == 2 else f"{names[0]} et al."
        found[key] = (some, entry.fields.get("year", "no year"))
    return found


def numbers_of(path: Path) -> dict[str, str]:
    """Label to number, as the book counts them, of the equations, figures and exercises of one chapter."""
    cells = nbformat.read(path, as_version=4).cells
    text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    figures = [cell.metadata.get("mystnb", {}).get("figure", {}).get("name") for cell in cells]
    boxes = [box for box in BOX.finditer(text) if box["kind"].startswith("exercise")]
    kinds = (
        [name for name in figures if name],
        [LABEL.search(box["options"])[1] for box in boxes],
        [found["label"] for found in EQUATION.finditer(text)],
    )
    chapter = int(path.name[:2])
    return {label: f"{chapter}.{count}" for labels in kinds for count, label in enumerate(labels, 1)}


@cache
def numbers() -> dict[str, str]:
    """The numbers of all chapters: one may refer to another's."""
    return {label: number for path in chapters() for label, number in numbers_of(path).items()}


class Copy:
    """One chapter on its way to a copy.

    Args:
        path: the chapter.
        numbers: label to number of every equation, figure and exercise.
    """

    def __init__(self, path: Path, numbers: dict[str, str]) -> None:
        self.name, self.numbers = path.name, numbers
        self.notebook = nbformat.read(path, as_version=4)

    def cells(self) -> list[nbformat.NotebookNode]:
        """The cells of the copy."""
        made, inside = [], False  # inside a solution that has code
        for cell in self.notebook.cells:
            if cell.cell_type == "markdown":
                inside = self._in_solution(cell.source, inside)
                text = self.text(cell.source)
                if text.strip():
                    made.append(self._cell(nbformat.v4.new_markdown_cell(text), cell.id))
            else:
                made.append(self._code(cell, inside))
                if caption := cell.metadata.get("mystnb", {}).get("figure", {}).get("caption"):
                    name = cell.metadata["mystnb"]["figure"].get("name")
                    text = f"*Figure {self.numbers[name]}: {self.inline(caption)}*" if name else self.inline(caption)
                    made.append(self._cell(nbformat.v4.new_markdown_cell(text), f"{cell.id}-caption"))
        return made

    def text(self, source: str) -> str:
        """The Markdown of one cell, without directives and roles."""
        source = END.sub(lambda found: details("What it shows", found["body"]) if found["body"].strip() else "", source)
        source = START.sub(self._solution, source)
        source = EQUATION.sub(
            lambda found: f"$$\n{found['formula']} \\tag{{{self.numbers[found['label']]}}}\n$$", source
        )
        return self.inline(BOX.sub(self._box, source)).strip()

    def inline(self, source: str) -> str:
        """Text without roles and with whole addresses."""
        return LINK.sub(lambda found: f"]({self._address(found['target'])})", ROLE.sub(self._role, source))

    def _box(self, found: re.Match[str]) -> str:
        kind, title, body = found["kind"], found["title"].strip(), found["body"].strip()
        if BOX.search(found["body"]):
            body = BOX.sub(self._box, found["body"]).strip()
        if kind == "solution":
            return details(f"Solution of exercise {self.numbers[title]}", body)
        if kind.startswith("exercise"):
            return f"### Exercise {self.numbers[LABEL.search(found['options'])[1]]}: {title}\n\n{body}"
        if "dropdown" in found["options"]:
            return details(title, body)
        return quote(f"**{title}**\n\n{body}" if title else body)

    def _solution(self, found: re.Match[str]) -> str:
        body = found["body"].strip() or "The code is in the folded cell below."
        return details(f"Solution of exercise {self.numbers[found['label']]}", body)

    def _role(self, found: re.Match[str]) -> str:
        name, text = found["name"], found["text"]
        if name == "eq":
            return f"({self.numbers[text]})"
        if name == "numref":
            return f"Figure {self.numbers[text]}"
        if name.startswith("cite"):
            cited = [bibliography()[key.strip()] for key in text.split(",")]
            if name == "cite:t":
                return ", ".join(f"{who} ({year})" for who, year in cited)
            return "(" + "; ".join(f"{who}, {year}" for who, year in cited) + ")"
        shown, _, target = text.partition(" <")
        if name == "term":
            return shown
        if name in ("doc", "ref"):
            return f"[{shown}]({self._address(f'../book/{target.rstrip(chr(62)) or shown}.md')})"
        raise ValueError(f"{self.name}: no text for the role {found[0]}")

    def _address(self, target: str) -> str:
        """The address of another chapter's copy, of a page or of a picture."""
        repository, tag = address.address()
        name, _, anchor = target.partition("#")
        if re.fullmatch(r"\d\d_\w+\.ipynb", name):
            return f"https://colab.research.google.com/github/{repository}/blob/{tag}/notebooks/colab/{name}"
        if name.endswith((".png", ".svg")):
            return f"https://raw.githubusercontent.com/{repository}/{tag}/{name.removeprefix('../')}"
        return f"https://github.com/{repository}/blob/{tag}/{name.removeprefix('../')}" + (anchor and f"#{anchor}")

    def _in_solution(self, source: str, inside: bool) -> bool:
        """Whether the code below a Markdown cell belongs to a solution."""
        marks = re.findall(r"^:::+\{solution-(start|end)\}", source, re.MULTILINE)
        return marks[-1] == "start" if marks else inside

    def _code(self, cell: nbformat.NotebookNode, solution: bool) -> nbformat.NotebookNode:
        """A code cell without output, folded in Colab and Jupyter where the book folds it."""
        tags = cell.metadata.get("tags", [])
        heading = next((FOLDED[tag] for tag in tags if tag in FOLDED), "Solution" if solution else None)
        if "parameters" in tags:
            heading = None  # to be changed
        source = cell.source if heading is None else f"# @title {heading}\n{cell.source}"
        made = self._cell(nbformat.v4.new_code_cell(source), cell.id)
        if heading:
            made.metadata["cellView"] = "form"
            made.metadata["jupyter"] = {"source_hidden": True}
        if "parameters" in tags:
            made.metadata["tags"] = ["parameters"]
        return made

    def _cell(self, cell: nbformat.NotebookNode, name: str) -> nbformat.NotebookNode:
        cell.id = name
        return cell


def details(title: str, body: str) -> str:
    return f"<details>\n<summary>{html.escape(title)}</summary>\n\n{body.strip()}\n\n</details>\n"


def quote(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.split("\n"))


def copy(path: Path) -> str:
    """The copy of a chapter, as the text of its file."""
    made = Copy(path, numbers())
    notebook = nbformat.v4.new_notebook(cells=made.cells())
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": made.notebook.metadata.kernelspec,
            "language_info": {"name": "python"},
            "colab": {"name": path.name, "toc_visible": True},
        }
    )
    notebook.nbformat_minor = 5
    return nbformat.writes(notebook) + "\n"


def write(paths: list[Path]) -> None:
    """Write the copies of some chapters."""
    FOLDER.mkdir(exist_ok=True)
    for path in paths:
        (FOLDER / path.name).write_text(copy(path), encoding="utf-8")


if __name__ == "__main__":
    write(select(sys.argv[1:] or None))
    print(f"the copies for Colab are in {FOLDER.relative_to(ROOT)}/")
