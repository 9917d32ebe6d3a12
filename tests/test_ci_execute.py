"""How chapters are executed: parameters are checked, failures leave their traceback, what did not change stays."""

import subprocess
import sys

import nbformat
import pytest

import execute
import outputs

PARAMETERS = '''profile: str = "quick"  # the profile
seed: int = 0  # a seed
rate: float = 0.5  # a rate
fast: bool = True  # a switch'''


def notebook(path, *sources):
    """A notebook with a cell of parameters and these code cells."""
    cells = [nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})]
    cells += [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": outputs.KERNEL}), path)
    return path


@pytest.fixture
def chapter(tmp_path):
    return notebook(tmp_path / "01_toy.ipynb", "print(seed)")


def test_parameters_get_the_chapters_types(chapter):
    given = ["seed=3", "rate=1", "fast=no"]
    assert execute.assign([chapter], given, "full") == {
        chapter: {"profile": "full", "seed": 3, "rate": 1.0, "fast": False}
    }


def test_defaults_are_not_passed_on(chapter):
    assert execute.assign([chapter], ["seed=0"], "quick") == {chapter: {}}


@pytest.mark.parametrize("given, words", [
    ("sed=3", "unknown parameter sed; the chosen chapters know fast, profile, rate, seed"),
    ("seed=three", "seed is of type int, and 'three' is none"),
    ("fast=maybe", "fast is of type bool"),
    ("seed", "takes NAME=VALUE"),
    ("profile=full", "--profile"),
])  # fmt: skip
def test_wrong_parameters_are_refused(chapter, given, words):
    with pytest.raises(SystemExit, match=words):
        execute.assign([chapter], [given], "quick")


def test_a_chapter_that_is_not_there_is_refused():
    with pytest.raises(SystemExit, match="no chapter 99; there are 01"):
        execute.select(["01", "99"])


def test_failure_is_told_and_leaves_the_traceback(tmp_path, monkeypatch):
    monkeypatch.setattr(execute, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notebooks").mkdir()
    source = notebook(tmp_path / "notebooks" / "01_toy.ipynb", "raise ValueError('no sound')")
    problem = execute.run(source, tmp_path / "out.ipynb", {}, "quick")
    assert "ValueError: no sound" in problem
    assert "Traceback" in (tmp_path / "out.ipynb").read_text()


def test_digest_depends_on_what_matters(chapter):
    digests = {
        execute.digest_of(chapter, "common", "quick", {}),
        execute.digest_of(chapter, "other", "quick", {}),
        execute.digest_of(chapter, "common", "full", {}),
        execute.digest_of(chapter, "common", "quick", {"seed": 1}),
        execute.digest_of(notebook(chapter, "print(2)"), "common", "quick", {}),
    }
    assert len(digests) == 5


def test_digest_sees_data_that_appears(tmp_path, monkeypatch):
    monkeypatch.setenv("ASTLIB_DATA", str(tmp_path))
    before = execute.found_data()
    (tmp_path / "esc50" / "audio").mkdir(parents=True)
    assert execute.found_data() != before


def test_outputs_keeps_the_checked_text_only():
    new = nbformat.v4
    picture = new.new_output("display_data", data={"image/png": "abcd", "text/plain": "<Figure>"})
    printed = [new.new_output("stream", name="stdout", text="a\n"), new.new_output("stream", name="stdout", text="b\n")]
    told = new.new_output("stream", name="stderr", text="a warning\n")
    checked = {"tags": ["nbval-check-output"], "papermill": {"duration": 1}}
    metadata = {"papermill": {}, "kernelspec": {"name": "mine", "display_name": "Mine"}}
    executed = new.new_notebook(metadata=metadata, cells=[
        new.new_code_cell("print()", id="a", metadata=checked, outputs=[*printed, told, picture], execution_count=3),
        new.new_code_cell("plot()", id="b", outputs=[picture], execution_count=4),
    ])  # fmt: skip
    source = nbformat.from_dict(executed)
    outputs.normalise(source, executed)
    first, second = source.cells
    assert [(output.name, output.text) for output in first.outputs] == [("stdout", "a\nb\n")]
    assert first.execution_count == 3 and dict(first.metadata) == {"tags": ["nbval-check-output"]}
    assert second.outputs == [] and second.execution_count is None
    assert source.metadata == {"kernelspec": outputs.KERNEL, "language_info": {"name": "python"}}


def test_unknown_profile_is_refused():
    done = subprocess.run([sys.executable, "ci/execute.py", "--profile", "fast"], cwd=execute.ROOT,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 2 and "quick" in done.stderr


def test_a_figure_beside_tables_gets_a_cell_of_its_own():
    new = nbformat.v4
    table = new.new_output("display_data", data={"text/html": "<table></table>"})
    picture = new.new_output("execute_result", data={"image/png": "abcd"}, execution_count=2)
    metadata = {"mystnb": {"figure": {"name": "fig-1", "caption": "A figure."}}, "tags": ["hide-input"]}
    cell = new.new_code_cell("show()", id="show", metadata=metadata, outputs=[table, picture], execution_count=2)
    first, second = execute.apart(nbformat.from_dict(cell))
    assert first.outputs == [table] and "mystnb" not in first.metadata and first.source == "show()"
    assert second.outputs == [picture] and second.metadata["mystnb"]["figure"]["name"] == "fig-1"
    assert second.metadata["tags"] == ["remove-input"] and second.id != first.id
    alone = new.new_code_cell("show()", id="show", metadata=metadata, outputs=[picture], execution_count=2)
    assert execute.apart(alone) == [alone]


def test_memory_is_that_of_the_processes_started_from_here():
    words = [sys.executable, "-c", "held = bytearray(200_000_000); import time; time.sleep(1)"]
    with execute.watched(every=0.05) as most:
        subprocess.run(words, check=True)
    assert 200e6 < most[0] < 400e6
    with execute.watched(every=0.05) as most:
        subprocess.run([sys.executable, "-c", "import time; time.sleep(0.5)"], check=True)
    assert 0 < most[0] < 100e6
