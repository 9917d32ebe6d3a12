"""The repository as a whole: one version, one address, clean style, no trace of somebody's machine."""

import re
import subprocess
import sys
import tomllib

import pytest
import yaml

import address
import astlib
from common import ROOT, pages

TEXT = (".py", ".md", ".ipynb", ".yml", ".yaml", ".toml", ".cff", ".txt", ".sh", ".css", ".js", ".bib", ".json")
FOLDERS = ("astlib", "book", "ci", "notebooks", "results", "models", "tests", ".github")


def texts():
    """(path, text) of every text file of ours."""
    found = [path for path in ROOT.iterdir() if path.is_file()]
    for folder in FOLDERS:
        found += [path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    for path in sorted(found):
        if path.suffix in TEXT or path.name in ("Makefile", "LICENSE"):
            yield path.relative_to(ROOT), path.read_text(encoding="utf-8")


def test_one_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == astlib.__version__
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]


def test_one_address():
    assert address.stale() == []


def test_a_stale_address_is_found(monkeypatch):
    monkeypatch.setattr(address, "address", lambda: ("somebody/else", "v9.9.9"))
    assert address.stale()


@pytest.mark.parametrize(
    "text",
    [
        "https://colab.research.google.com/github/a/b/blob/v1/notebooks/01_x.ipynb",
        'pip install "astlib @ git+https://github.com/a/b@v1" soundfile',
        "https://github.com/a/b/issues",
    ],
)
def test_move_replaces_each_kind_of_address(text):
    moved = address.move(text, "a/b", "c/d", "v2")
    assert "a/b" not in moved and "c/d" in moved and "v1" not in moved


def test_requirements_are_pinned_and_agree_with_the_lock():
    lock = dict(line.split("==") for line in (ROOT / "ci" / "constraints.txt").read_text().split() if "==" in line)
    lock = {name.lower().replace("_", "-"): version for name, version in lock.items()}
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        requirement = line.split("#")[0].strip()
        if requirement and not requirement.startswith("-c"):
            name, version = requirement.split("==")
            assert lock[name.lower().replace("_", "-")] == version, f"{requirement} differs from ci/constraints.txt"


def test_astlib_asks_for_lower_bounds_only():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + sum(project["optional-dependencies"].values(), [])
    assert all(re.fullmatch(r"[\w-]+(>=[\d.]+)?", requirement) for requirement in wanted), wanted


def test_one_range_of_python_versions():
    """What ci/setup.sh accepts is what the texts say, what the metadata say, and what the workflow tests."""
    setup = (ROOT / "ci" / "setup.sh").read_text()
    first, behind = (int(minor) for minor in re.search(r"\(3, (\d+)\) <= .* < \(3, (\d+)\)", setup).groups())
    versions = [f"3.{minor}" for minor in range(first, behind)]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == f">={versions[0]}"
    named = [name.rpartition(" ")[2] for name in project["classifiers"] if re.search(r"Python :: 3\.\d+$", name)]
    assert named == versions
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == versions
    for name in ("README.md", "CONTRIBUTING.md"):
        assert f"Python {versions[0]} to {versions[-1]}" in (ROOT / name).read_text(), name


def test_style():
    ruff = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--no-cache", "."], cwd=ROOT, capture_output=True, text=True
    )
    assert ruff.returncode == 0, ruff.stdout


def test_spelling():
    done = subprocess.run(
        [sys.executable, "-m", "codespell_lib", *FOLDERS, "README.md", "CONTRIBUTING.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_no_path_of_a_machine():
    path_of_machine = re.compile(r"(?<![\w.$~}])/(root|home/\w+|Users/\w+|work/\w+)/")
    for path, text in texts():
        if path.name not in ("test_repository.py", "test_notebooks.py"):
            assert not path_of_machine.search(text), f"{path}: {path_of_machine.search(text)[0]}"


def test_format():
    words = [sys.executable, "-m", "ruff", "format", "--no-cache", "--check", "."]
    ruff = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert ruff.returncode == 0, ruff.stdout


def test_types():
    """`mypy --strict` on astlib, and no ignored error that does not say why."""
    mypy = subprocess.run([sys.executable, "-m", "mypy"], cwd=ROOT, capture_output=True, text=True)
    assert mypy.returncode == 0, mypy.stdout
    ignored = re.compile(r"#\s*type:\s*ignore(?!\[[\w-]+\]\s+#\s*\S+)")
    for path in (ROOT / "astlib").rglob("*.py"):
        assert not ignored.search(path.read_text()), f"{path.name}: an ignored error without its reason"


def test_every_page_of_the_contents_exists():
    for page in pages():
        assert any((ROOT / f"{page}{ending}").exists() for ending in (".md", ".ipynb")), page
