"""The face of the library: what `import astlib` gives, that it is quick, and that every module can come first."""

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import astlib
from astlib import errors

PACKAGE = Path(astlib.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if path.name != "__main__.py" and path != PACKAGE / "__init__.py"
)


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_every_module_is_an_attribute():
    """In a fresh process, with nothing else imported: `import astlib; astlib.ledger`, as in a notebook."""
    names = [module.name for module in pkgutil.iter_modules(astlib.__path__)]
    assert set(names) == {name for name in MODULES if "." not in name} and len(names) > 25
    found = run(
        "import astlib\n"
        f"for name in {names}:\n"
        "    assert getattr(astlib, name).__name__ == f'astlib.{name}', name\n"
        "    assert name in dir(astlib)\n"
        "print('all of them')\n"
    )
    assert found == "all of them\n"


def test_every_module_of_a_package_is_an_attribute_too():
    """`import astlib; astlib.train.sampling`, or the function that the package gives this address, as `train.fit`."""
    found = run(
        "import astlib\n"
        f"for name in {[name for name in MODULES if '.' in name and '._' not in name]}:\n"
        "    thing = astlib\n"
        "    for part in name.split('.'):\n"
        "        thing = getattr(thing, part)\n"
        "print('all of them')\n"
    )
    assert found == "all of them\n"


def test_chapters_call_these_by_their_address():
    assert astlib.train.fit.__module__ == "astlib.train.fit" and astlib.reproduce.job("position/nearest", fold=2)
    assert astlib.ledger.paper()["rows"]


@pytest.fixture
def afresh(monkeypatch):
    """Forget every module of astlib, so that the next import is the first; afterwards all is as before."""
    kept = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "astlib"}
    for name in kept:
        monkeypatch.delitem(sys.modules, name)
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "astlib"]:
        del sys.modules[name]


@pytest.mark.parametrize("name", MODULES)
def test_every_module_can_be_the_first_to_be_imported(afresh, name):
    """No module meets another one half loaded, whichever comes first."""
    module = importlib.import_module(f"astlib.{name}")
    assert module.__name__ == f"astlib.{name}"


def test_the_main_names_are_there():
    assert astlib.Features is astlib.frontend.Features and astlib.LogMel is astlib.frontend.LogMel
    assert astlib.AST is astlib.model.AST and astlib.ASTConfig is astlib.model.ASTConfig
    assert astlib.token_grid is astlib.model.token_grid
    assert set(astlib.__all__) == {"AST", "ASTConfig", "Features", "LogMel", "__version__", "token_grid"}
    assert set(astlib.__all__) <= set(dir(astlib))


def test_what_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'astlib' has no attribute 'nothing'"):
        _ = astlib.nothing
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        from astlib import nothing  # noqa: F401


def test_importing_it_loads_only_what_every_part_needs():
    """The others come with the module that uses them, so that `import astlib` is as quick as `import torch`."""
    heavy = ["accelerate", "datasets", "ipywidgets", "matplotlib", "onnx", "scipy", "sklearn", "soundfile", "timm",
             "tqdm", "transformers", "typer"]  # fmt: skip
    loaded = run("import torch, sys\nbefore = set(sys.modules)\nimport astlib\nprint(*(set(sys.modules) - before))")
    assert not {name.split(".")[0] for name in loaded.split()} & set(heavy)


# --- errors


def test_every_error_is_one_of_astlibs_and_of_pythons():
    """`except ValueError` keeps working, and the command line can tell its own errors from bugs."""
    wanted = {
        "InvalidInput": ValueError, "AudioError": ValueError, "NotFound": FileNotFoundError,
        "DataNotFound": FileNotFoundError, "DataIncomplete": FileNotFoundError, "WeightsNotFound": FileNotFoundError,
        "MissingPackage": ImportError, "FetchError": RuntimeError, "ConnectionLost": RuntimeError,
        "CheckpointError": RuntimeError, "Diverged": FloatingPointError, "TrainingStopped": RuntimeError,
        "Interrupted": RuntimeError, "FolderInUse": RuntimeError,
    }  # fmt: skip
    classes = {
        name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and not issubclass(kind, Warning)
    }
    assert set(classes) - {"AstlibError"} == set(wanted)
    for name, kind in wanted.items():
        assert issubclass(classes[name], errors.AstlibError) and issubclass(classes[name], kind), name
    assert issubclass(errors.Interrupted, errors.TrainingStopped)


def test_errors_survive_the_way_out_of_a_worker():
    import pickle

    for error in (errors.AudioError("a.wav is empty", "empty"), errors.DataIncomplete("12 of 40"),
                  errors.InvalidInput("lr must be"), errors.MissingPackage("pip install x")):  # fmt: skip
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error) and str(again) == str(error)
        assert getattr(again, "kind", None) == getattr(error, "kind", None)
