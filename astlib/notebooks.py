"""Chapters as programs: typed parameters in, an executed notebook out.

A chapter declares its parameters in the cell tagged `parameters`, with annotations: `fold: int = 1`. papermill adds a
cell with other values behind it. A name that the chapter does not declare, or a value of another type, is refused
before anything runs.

Chapter: book/how_to_run.md
"""

import ast
import math
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import paths
from .errors import InvalidInput, MissingPackage, NotFound

Value = str | int | float | bool  # of a parameter
TYPES: dict[str, type[Value]] = {"str": str, "int": int, "float": float, "bool": bool}  # as an annotation names them
BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}  # on a command line

DRIVE = Path("/content/drive")  # where Colab shows Google Drive


def at_most(difference: float) -> str:
    """Round a difference up to a power of ten, so that two machines print the same.

    Args:
        difference: found by a check, 0 or above.

    Returns:
        The power of ten as text, "1e-05" for 0.000003; "0" for none at all.

    Raises:
        InvalidInput: negative, infinite or nan.
    """
    if not 0 <= difference < math.inf:
        raise InvalidInput(f"expected a difference of 0 or above, found {difference}")
    if difference == 0:
        return "0"
    return f"1e{math.ceil(math.log10(difference) - 1e-9):+03d}"


def results(out: str) -> Path:
    """Return the folder for the files that a chapter makes, and create it if it does not exist.

    In Colab everything is lost with the runtime, except the files in /content/drive. Only a folder there makes Colab
    ask for access to Google Drive.

    Args:
        out: the folder; "" makes a temporary one.

    Returns:
        The folder.
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
    """Return the folder of the chapters, in the checkout that astlib runs from.

    Returns:
        The folder.

    Raises:
        NotFound: this astlib is an installed one, which has no chapters.
    """
    root = paths.checkout()
    chapters = None if root is None else root / "notebooks"
    if chapters is None or not chapters.is_dir():
        raise NotFound(
            "the chapters are not here: this astlib is an installed one. Clone the repository and run it there"
        )
    return chapters


def declared(notebook: str | Path) -> dict[str, tuple[type[Value], Value]]:
    """Read which parameters a chapter declares.

    Args:
        notebook: the chapter.

    Returns:
        Name to type and default of every parameter.

    Raises:
        InvalidInput: a parameter has no annotation, or one that is not in `TYPES`.
        MissingPackage: papermill is not installed.
    """
    parameters: dict[str, tuple[type[Value], Value]] = {}
    for name, about in _papermill().inspect_notebook(str(notebook)).items():
        kind = about["inferred_type_name"]
        if kind not in TYPES:
            raise InvalidInput(
                f"{Path(notebook).name}: parameter {name} has the type {kind}; known: {', '.join(TYPES)}"
            )
        parameters[name] = TYPES[kind], ast.literal_eval(about["default"])
    return parameters


def checked(notebook: str | Path, given: Mapping[str, object]) -> dict[str, Value]:
    """Convert parameters to the types that a chapter declares. Text, as a command line has it, is converted too.

    Args:
        notebook: the chapter.
        given: name to value.

    Returns:
        Name to value, without those that equal the chapter's defaults.

    Raises:
        InvalidInput: the chapter has no parameter of that name, or the value is not of its type.
        MissingPackage: papermill is not installed.
    """
    known = declared(notebook)
    values: dict[str, Value] = {}
    if unknown := [name for name in given if name not in known]:
        raise InvalidInput(f"unknown parameter {', '.join(unknown)}; {Path(notebook).stem} knows {', '.join(known)}")
    for name, found in given.items():
        kind, default = known[name]
        value = _typed(name, found, kind)
        if value != default:  # for a default, papermill would add a cell that changes nothing
            values[name] = value
    return values


def _typed(name: str, value: object, kind: type[Value]) -> Value:
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is kind:
        return value
    try:
        if not isinstance(value, str):
            raise ValueError
        return BOOLEANS[value.lower()] if kind is bool else kind(value)
    except (KeyError, ValueError):
        raise InvalidInput(f"parameter {name} is of type {kind.__name__}, and {value!r} is none") from None


def execute(
    notebook: str | Path, output: str | Path, parameters: Mapping[str, Value], cell_seconds: int | None = None
) -> None:
    """Execute a chapter in a kernel of this interpreter.

    Args:
        notebook: the chapter.
        output: the executed notebook. If a cell fails, it is written all the same, with the traceback in it.
        parameters: as `checked` returns them.
        cell_seconds: how long a cell may take; None for no limit.

    Raises:
        MissingPackage: papermill is not installed.
        papermill.exceptions.PapermillExecutionError: a cell failed.
        nbclient.exceptions.CellTimeoutError: a cell took longer than `cell_seconds`.
        nbclient.exceptions.DeadKernelError: the kernel died.
    """
    _papermill().execute_notebook(
        str(notebook),
        str(output),
        parameters=dict(parameters),
        kernel_name="python3",
        cwd=str(Path(notebook).parent),
        progress_bar=sys.stderr.isatty(),
        execution_timeout=cell_seconds,
        start_timeout=120,
        extra_arguments=["--IPKernelApp.log_level=50"],  # without it each kernel warns that TCP is not encrypted
    )


def _papermill() -> Any:
    """The package papermill, which has no type information."""
    try:
        import papermill
    except ImportError as error:
        raise MissingPackage('chapters are executed with papermill: pip install "astlib[reproduce]"') from error
    return papermill
