"""The promises of SECURITY.md: each names tests that exist; and what no file of the project may do."""

import ast
import json
import re

import pytest
from test_fault_table import collected

from astlib.data.fetch import DOWNLOADS, Archive, HubFiles, verify_esc50
from common import ROOT

SECURITY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
CHAPTERS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SCRIPTS = [path for folder in ("astlib", "ci") for path in sorted((ROOT / folder).rglob("*.py"))]
FORBIDDEN = {"pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.loads", "shelve.open", "yaml.load",
             "joblib.load", "eval", "exec", "os.system", "torch.hub.load"}  # fmt: skip


def source(path):
    """The code of a script, or of all cells of a chapter without lines for IPython."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return text
    cells = ["".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    return re.sub(r"(?m)^( *)[%!].*$", r"\1pass", "\n".join(cells))


def wrong_calls(text):
    """Calls that could run what a file holds."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call):
            continue
        name, given = ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}
        if name in FORBIDDEN:
            yield name
        if name.endswith("torch.load") and given.get("weights_only") != "True":
            yield f"{name} without weights_only=True"
        if given.get("allow_pickle") == "True" or given.get("trust_remote_code") == "True":
            yield f"{name} with pickles or code from elsewhere"
        if given.get("shell") == "True":
            yield f"{name} with a shell"


@pytest.mark.parametrize("path", [*SCRIPTS, *CHAPTERS], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_code_reads_a_pickle_that_could_run(path):
    assert list(wrong_calls(source(path))) == []


@pytest.mark.parametrize("text", [
    "torch.load(path)", "torch.load(path, weights_only=False)", "pickle.load(file)", "np.load(path, allow_pickle=True)",
    "eval(text)", "yaml.load(text)", "AutoModel.from_pretrained(name, trust_remote_code=True)", "run(text, shell=True)",
])  # fmt: skip
def test_what_could_run_is_found(text):
    assert list(wrong_calls(text))


def test_every_download_is_verified():
    for name, source in DOWNLOADS.items():
        if isinstance(source, HubFiles):
            continue  # every file has a hash, which the hub announces; another test shows that it is compared
        assert isinstance(source, Archive), f"{name} is a new kind of download: how is it verified?"
        assert re.fullmatch("[0-9a-f]{64}", source.sha256 or "") or source.verify is verify_esc50, name
        assert source.url.startswith("https://"), name


def test_every_promise_names_tests_that_exist():
    promised, _, rest = SECURITY.partition("## What is not promised")
    promises = promised.split("\n- **")[1:]
    assert len(promises) >= 6 and "How to report" in rest
    for promise in promises:
        tests = re.findall(r"`(tests/[\w/.]+)::(\w+)`", promise)
        assert tests, promise
        for file, name in tests:
            assert name in collected(file), f"{file}::{name}"
