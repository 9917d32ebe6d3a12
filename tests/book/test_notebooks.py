"""The chapters in the repository follow the template of book/writing_a_chapter.md. Nothing is executed here."""

import ast
import re

import nbformat
import pytest

from astlib.check import exercises_of
from common import ROOT, chapters

CHECKED = "nbval-check-output"
TYPES = {"str": str, "int": int, "float": float, "bool": bool}
MACHINE_PATH = re.compile(r"(/home/|/root/|/tmp/|/work/|/Users/|/content/|[A-Z]:\\\\?Users|site-packages)")
CHAPTERS = chapters()


@pytest.fixture(params=CHAPTERS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=4)


def tags(cell) -> list[str]:
    return cell.metadata.get("tags", [])


def code_cells(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def prose(notebook) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def test_table_of_contents_and_folder_agree():
    there = {path.name for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert there == {path.name for path in CHAPTERS}


def test_is_valid_and_has_stable_cell_ids(notebook):
    nbformat.validate(notebook)
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)


def needs(notebook) -> str:
    """The line under the badge that says what the chapter runs on."""
    return re.search(r"^\*\*Runs on\*\* .+ · \*\*Time\*\* .+$", notebook.cells[0].source, re.MULTILINE)[0]


def test_opening(path, notebook):
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    assert re.match(rf"# {path.name[:2]} \S.*\n\n[^\n\[:|#]", first.source), "title `# NN name`, then the promise"
    assert "?" in first.source.split(needs(notebook))[1], "the opening asks a question"
    assert ":::{admonition} You will be able to\n:class: objectives\n" in prose(notebook)


def test_a_picture_comes_before_the_text(notebook):
    """Installation, imports and parameters are folded; then the best picture, then everything else."""
    until = next(i for i, cell in enumerate(notebook.cells[1:], 1) if cell.cell_type == "markdown")
    opening = notebook.cells[1:until]
    assert all({"hide-cell", "hide-input"} & set(tags(cell)) for cell in opening), "the opening's code is folded"
    assert any("figure" in cell.metadata.get("mystnb", {}) for cell in opening), "no picture with a caption"


def test_colab_badge(path, notebook):
    assert re.search(
        r"^\[!\[Open in Colab\]\(https://colab\.research\.google\.com/assets/colab-badge\.svg\)\]"
        r"\(https://colab\.research\.google\.com/github/[\w.-]+/[\w.-]+/blob/[\w.-]+/notebooks/colab/"
        rf"{re.escape(path.name)}\)$",
        notebook.cells[0].source,
        re.MULTILINE,
    )


def test_installs_only_in_colab_and_leaves_torch_alone(notebook):
    install = code_cells(notebook)[0].source
    assert 'if "google.colab" in sys.modules:\n    %pip install -q --no-deps "astlib @ git+https://' in install
    assert not re.search(r"\b(torch\w*|numpy)\b", install)
    assert ("nvidia-smi" in install) is ("GPU" in needs(notebook)), "where a GPU helps, Colab says whether there is one"
    assert not any("pip install" in cell.source for cell in code_cells(notebook)[1:])


def test_parameters_are_typed_commented_literals(notebook):
    cells = [cell for cell in notebook.cells if "parameters" in tags(cell)]
    assert len(cells) == 1, "exactly one cell is tagged `parameters`"
    lines = [line for line in cells[0].source.splitlines() if line.strip()]
    names = []
    for line in lines:
        assert re.search(r"\S  # \S", line), f"no comment: {line}"
        (statement,) = ast.parse(line).body
        assert isinstance(statement, ast.AnnAssign), f"no type: {line}"
        kind = TYPES.get(ast.unparse(statement.annotation))
        assert kind, f"the type is none of {', '.join(TYPES)}: {line}"
        assert type(ast.literal_eval(statement.value)) is kind, f"value and type differ: {line}"
        names.append(statement.target.id)
    assert names[0] == "profile"


def test_has_a_trap(notebook):
    assert re.search(r":::\{admonition\} \S.*\n:class: .*\btrap\b", prose(notebook))


def exercises(notebook) -> dict[str, tuple[str, str]]:
    """Label to title and body of every exercise."""
    found = re.finditer(
        r"^:::+\{exercise(?:-start)?\} (?P<title>[^\n]+)\n:label: (?P<label>\S+)\n\n(?P<body>.*?)^:::+(?:\n|$)",
        prose(notebook),
        re.MULTILINE | re.DOTALL,
    )
    return {each["label"]: (each["title"], each["body"]) for each in found}


def test_has_exercises_each_with_a_hidden_solution(path, notebook):
    text = prose(notebook)
    assert re.search(r"^## Exercises$", text, re.MULTILINE)
    labels = re.findall(r"^:::+\{exercise(?:-start)?\}.*\n:label: (\S+)", text, re.MULTILINE)
    solutions = re.findall(r":::\{solution(?:-start)?\} (\S+)\n:class: dropdown\n", text)
    assert 3 <= len(labels) <= 10
    assert sorted(labels) == sorted(solutions) == sorted(exercises(notebook))
    assert all(label.startswith(f"ex-{path.name[:2]}-") for label in labels)
    assert text.count("{solution-start}") == text.count("{solution-end}")


def test_every_exercise_says_how_hard_it_is(notebook):
    for label, (_, body) in exercises(notebook).items():
        assert re.match(r"\*(Easy|Medium|Hard), \d+ minutes\.\*\n", body), label


def test_has_something_to_build_with_two_hints(path, notebook):
    built = [label for label, (title, _) in exercises(notebook).items() if title.startswith("Build: ")]
    assert built, "one exercise begins with `Build: `"
    assert set(built) & set(exercises_of(int(path.name[:2]))), "a checker for it"
    for number in (1, 2):
        assert f":::{{admonition}} Hint {number}\n:class: dropdown hint\n" in prose(notebook)


def test_every_checker_has_a_stub_and_accepts_the_published_solution(path, notebook):
    """The stub comes first and says kindly that nothing is there yet; a later cell checks the solution."""
    checkers = exercises_of(int(path.name[:2]))
    assert set(checkers) <= set(exercises(notebook)), "a checker of an exercise that is not there"
    assert len(checkers) >= 3
    for label in checkers:
        cells = [cell for cell in code_cells(notebook) if f'check("{label}"' in cell.source]
        assert len(cells) >= 2, f"{label}: one cell for the reader and one that checks the solution"
        printed = ["".join(o.get("text", "") or o["data"]["text/plain"] for o in cell.outputs) for cell in cells]
        assert re.match("No answer yet|Not yet", printed[0]), f"{label}: {printed[0]!r}"
        assert "Right." in printed[-1], f"{label}: {printed[-1]!r}"


def test_has_questions_with_choices(path, notebook):
    cells = [cell for cell in code_cells(notebook) if re.search(r"^quiz\(", cell.source, re.MULTILINE)]
    assert len(cells) == 1 and "hide-input" in tags(cells[0])
    labels = re.findall(r"\"(q-\d\d-[a-z0-9-]+)\"", cells[0].source)
    assert 3 <= len(labels) <= 5
    assert all(label.startswith(f"q-{path.name[:2]}-") for label in labels)
    assert "{" in cells[0].source, "the numbers of the questions come from variables"


def test_ends_with_summary_reading_and_check(path, notebook):
    text = prose(notebook)
    summary = re.search(r"^## Summary\n(.*?)(?=^## )", text, re.MULTILINE | re.DOTALL)
    assert summary and len(re.findall(r"^[-*] ", summary[1], re.MULTILINE)) == 5
    assert re.search(r"^## Further reading\n+[-*] ", text, re.MULTILINE)
    last = code_cells(notebook)[-1]
    assert CHECKED in tags(last) and "assert" in last.source
    assert f"chapter {path.name[:2]}: all checks passed\n" in "".join(output.get("text", "") for output in last.outputs)


def test_checked_cells_have_text_to_compare_with(notebook):
    """nbval passes a cell without stored output in silence, so this must not happen."""
    checked = [cell for cell in code_cells(notebook) if CHECKED in tags(cell)]
    assert len(checked) >= 3
    for cell in checked:
        assert cell.execution_count, f"never run, run `make outputs`: {cell.source[:60]!r}"
        text = "".join(
            output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in cell.outputs
        )
        assert text.strip(), f"prints nothing: {cell.source[:60]!r}"


def test_only_checked_text_is_stored(notebook):
    """No picture, no player, no widget: nothing of a data set, and nothing that makes a review unreadable."""
    for cell in code_cells(notebook):
        if CHECKED not in tags(cell):
            assert not cell.outputs and cell.execution_count is None, f"run `make outputs`: {cell.source[:60]!r}"
        for output in cell.outputs:
            assert output.output_type in ("stream", "execute_result")
            assert set(output.get("data", {"text/plain": ""})) == {"text/plain"}
    assert "widgets" not in notebook.metadata
    assert not any(cell.get("attachments") for cell in notebook.cells)


def test_metadata_is_normalised(notebook):
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec.name == "python3"
    assert dict(notebook.metadata.language_info) == {"name": "python"}
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags", "mystnb"}


def test_no_path_of_a_machine(path):
    assert not MACHINE_PATH.search(path.read_text(encoding="utf-8"))


def test_code_cells_are_short(notebook):
    """What the page shows fits on a screen; what it folds, drawings mostly, may be longer."""
    for cell in code_cells(notebook):
        lines = [line for line in cell.source.splitlines() if line.strip()]
        folded = {"hide-input", "hide-cell", "whole"} & set(tags(cell))
        assert len(lines) <= (45 if folded else 30), f"{len(lines)} lines: {cell.source[:60]!r}"


def test_code_fits_the_page(notebook):
    """The page shows 90 characters in a line at 1,300 pixels; the line that installs astlib is folded away."""
    for cell in code_cells(notebook)[1:]:
        long = [line for line in cell.source.splitlines() if len(line) > 88]
        assert not long, f"{len(long[0])} characters: {long[0]}"


def test_alt_texts_say_something(notebook):
    """That every picture has one is checked on the built page; here, that those given are not empty words."""
    for cell in code_cells(notebook):
        if "mystnb" in cell.metadata:
            if "image" not in cell.metadata.mystnb and re.search("flipbook|player", cell.source):
                continue  # these give each of their pictures a text of its own
            alt = cell.metadata.mystnb.get("image", {}).get("alt", "")
            assert len(alt.split()) >= 4, f"alt text {alt!r} of {cell.source[:60]!r}"
