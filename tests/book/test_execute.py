"""How chapters are executed: parameters are checked, failures leave their traceback, what did not change stays."""

import subprocess
import sys

import nbformat
import pytest

import execute
import outputs

PARAMETERS = """profile: str = "quick"  # the profile
seed: int = 0  # a seed
rate: float = 0.5  # a rate
fast: bool = True  # a switch"""


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


@pytest.mark.parametrize(
    "given, words",
    [
        ("sed=3", "unknown parameter sed; the chosen chapters know fast, profile, rate, seed"),
        ("seed=three", "seed is of type int, and 'three' is none"),
        ("fast=maybe", "fast is of type bool"),
        ("seed", "takes NAME=VALUE"),
        ("profile=full", "--profile"),
    ],
)
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
    outcome = execute.run(source, tmp_path / "out.ipynb", {})
    assert "ValueError: no sound" in outcome.problem and outcome.memory > 0
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
    executed = new.new_notebook(
        metadata=metadata,
        cells=[
            new.new_code_cell(
                "print()", id="a", metadata=checked, outputs=[*printed, told, picture], execution_count=3
            ),
            new.new_code_cell("plot()", id="b", outputs=[picture], execution_count=4),
        ],
    )
    source = nbformat.from_dict(executed)
    outputs.normalise(source, executed)
    first, second = source.cells
    assert [(output.name, output.text) for output in first.outputs] == [("stdout", "a\nb\n")]
    assert first.execution_count == 3 and dict(first.metadata) == {"tags": ["nbval-check-output"]}
    assert second.outputs == [] and second.execution_count is None
    assert source.metadata == {"kernelspec": outputs.KERNEL, "language_info": {"name": "python"}}


def test_unknown_profile_is_refused():
    done = subprocess.run(
        [sys.executable, "ci/execute.py", "--profile", "fast"], cwd=execute.ROOT, capture_output=True, text=True
    )
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
    slider = new.new_output("execute_result", data={"text/html": '<div class="flipbook"></div>'}, execution_count=2)
    cell = new.new_code_cell("show()", id="show", metadata=metadata, outputs=[table, slider], execution_count=2)
    assert execute.apart(nbformat.from_dict(cell))[1].outputs == [slider]


def test_what_a_cell_prints_and_shows_stands_in_its_order(tmp_path):
    new = nbformat.v4
    printed = [new.new_output("stream", name="stdout", text=f"{letter}\n") for letter in "abc"]
    told = new.new_output("stream", name="stderr", text="d\n")
    table = new.new_output("display_data", data={"text/html": "<table></table>"})
    cell = new.new_code_cell("show()", id="show", outputs=[*printed[:2], table, printed[2], told])
    cell.metadata = {"mystnb": {"image": {"alt": "a line", "class": "chart"}}, "papermill": {"duration": 1}}
    nbformat.write(new.new_notebook(cells=[cell]), tmp_path / "01.ipynb")
    execute.strip(tmp_path / "01.ipynb")
    (staged,) = nbformat.read(tmp_path / "01.ipynb", as_version=4).cells
    assert [output.get("text", "table") for output in staged.outputs] == ["a\nb\n", "table", "c\n", "d\n"]
    assert staged.metadata == {"mystnb": {"image": {"alt": "a line", "classes": "chart"}}}


def test_memory_is_that_of_the_processes_started_from_here():
    words = [sys.executable, "-c", "held = bytearray(200_000_000); import time; time.sleep(1)"]
    with execute.Watch(every=0.05) as watch:
        subprocess.run(words, check=True)
    assert 200e6 < watch.memory < 400e6
    with execute.Watch(every=0.05) as watch:
        subprocess.run([sys.executable, "-c", "import time; time.sleep(0.5)"], check=True)
    assert 0 < watch.memory < 100e6


def test_only_a_kernel_that_computes_nothing_is_stopped(monkeypatch):
    """One that sleeps is stopped; one that computes for longer than the limit is left alone."""
    monkeypatch.setattr(execute, "STALL_SECONDS", 1)
    with execute.Watch(every=0.05) as watch:
        done = subprocess.run([sys.executable, "-c", "import time; time.sleep(30)"])
    assert watch.stalled and done.returncode < 0
    busy = "import time; end = time.monotonic() + 3\nwhile time.monotonic() < end: pass"
    with execute.Watch(every=0.05) as watch:
        subprocess.run([sys.executable, "-c", busy], check=True)
    assert not watch.stalled


def test_a_stalled_chapter_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(execute, "STALL_SECONDS", 6)
    source = notebook(tmp_path / "01_toy.ipynb", "import time; time.sleep(300)")
    outcome = execute.run(source, tmp_path / "out.ipynb", {})
    assert "nothing was computed" in outcome.problem and outcome.seconds < 120


def test_a_chapter_that_runs_tells_how_far_it_is(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(execute, "REPORT_SECONDS", 1)
    source = notebook(tmp_path / "01_toy.ipynb", "import time; time.sleep(4)", "print(seed)")
    assert execute.run(source, tmp_path / "out.ipynb", {}).problem is None
    assert "out: 1 of 3 code cells, " in capsys.readouterr().out


def test_chapters_run_several_at_once_each_with_its_own_outcome(tmp_path, monkeypatch):
    good, bad = (
        notebook(tmp_path / name, source)
        for name, source in (("01_good.ipynb", "print(seed)"), ("02_bad.ipynb", "raise ValueError('no sound')"))
    )
    monkeypatch.setattr(execute, "SOURCE", tmp_path / "staged")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "staged" / "notebooks").mkdir(parents=True)
    found = dict(execute.execute({good: {}, bad: {}}, at_once=2))
    assert found[good].problem is None and "no sound" in found[bad].problem
