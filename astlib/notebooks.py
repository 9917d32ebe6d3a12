"""Chapters as programs: typed parameters in, an executed notebook out.

A chapter declares its parameters in the cell tagged `parameters`, with annotations: `fold: int = 1`. papermill puts
other values behind it. What the chapter does not declare, or a value of another type, is refused before anything runs.

Chapter: book/how_to_run.md
"""

import ast
import sys
import tempfile
from pathlib import Path

TYPES = {"str": str, "int": int, "float": float, "bool": bool}
BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}

DRIVE = Path("/content/drive")  # where Colab shows Google Drive


def results(out: str) -> Path:
    """The folder for what a chapter makes, made if need be: `out`, or a temporary one if that is empty.

    In Colab everything is gone with the runtime, except what lies in /content/drive. Only an `out` there asks for
    Google Drive.
    """
    if not out:
        return Path(tempfile.mkdtemp(prefix="astlib-"))
    path = Path(out).expanduser()
    if "google.colab" in sys.modules and path.is_relative_to(DRIVE):
        from google.colab import drive

        drive.mount(str(DRIVE))
    path.mkdir(parents=True, exist_ok=True)
    return path


def folder() -> Path:
    """The chapters of the checkout that astlib runs from. Raises FileNotFoundError for an installed astlib."""
    found = Path(__file__).resolve().parent.parent / "notebooks"
    if not found.is_dir():
        raise FileNotFoundError(
            "the chapters are not here: this astlib is an installed one. Clone the repository and run it there"
        )
    return found


def declared(notebook: str | Path) -> dict[str, tuple[type, object]]:
    """Name -> type and default of every parameter of a chapter. Raises ValueError for one without a known type."""
    import papermill

    found = {}
    for name, about in papermill.inspect_notebook(str(notebook)).items():
        kind = about["inferred_type_name"]
        if kind not in TYPES:
            raise ValueError(f"{Path(notebook).name}: parameter {name} has the type {kind}; known: {', '.join(TYPES)}")
        found[name] = TYPES[kind], ast.literal_eval(about["default"])
    return found


def checked(notebook: str | Path, given: dict) -> dict:
    """The given values in the types that the chapter declares, without those that equal its defaults.

    Text, as it comes from a command line, is converted. Raises ValueError for a name that the chapter does not know
    and for a value that is none of its type.
    """
    known, values = declared(notebook), {}
    if unknown := [name for name in given if name not in known]:
        raise ValueError(f"unknown parameter {', '.join(unknown)}; {Path(notebook).stem} knows {', '.join(known)}")
    for name, value in given.items():
        kind, default = known[name]
        value = _typed(name, value, kind)
        if value != default:  # papermill then adds no cell that says nothing
            values[name] = value
    return values


def _typed(name: str, value, kind: type):
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is kind:
        return value
    try:
        if type(value) is not str:
            raise ValueError
        return BOOLEANS[value.lower()] if kind is bool else kind(value)
    except (KeyError, ValueError):
        raise ValueError(f"parameter {name} is of type {kind.__name__}, and {value!r} is none") from None


def execute(notebook: str | Path, output: str | Path, parameters: dict, cell_seconds: int | None = None) -> None:
    """Run a chapter in a kernel of this interpreter; `output` is kept even if it fails, with the traceback in it.

    parameters: as `checked` returns them. cell_seconds: how long a cell may take, None for ever.
    Raises papermill's PapermillExecutionError, nbclient's CellTimeoutError or DeadKernelError.
    """
    import papermill

    papermill.execute_notebook(
        str(notebook), str(output), parameters=parameters, kernel_name="python3", cwd=str(Path(notebook).parent),
        progress_bar=sys.stderr.isatty(), execution_timeout=cell_seconds, start_timeout=120,
        extra_arguments=["--IPKernelApp.log_level=50"],  # else each kernel warns that TCP is not encrypted
    )  # fmt: skip
