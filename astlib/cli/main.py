"""The command `astlib`: its subcommands, and what a person sees when one of them fails.

Every command is a thin layer over one function of the library. A user's mistake ends in one line; only a bug in astlib
ends in a traceback.

Chapter: book/how_to_run.md
"""

import io
import os
import sys
import warnings
from typing import TextIO

import typer

from ..errors import AstlibError, Interrupted
from .calibrating import calibrate
from .data import data_app
from .exporting import export
from .finding import embed, find, head, label
from .ledger import reproduce, results
from .listening import predict
from .measuring import evaluate
from .training import recipes, train

# The command `astlib` with its subcommands
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Audio Spectrogram Transformer.",
)
for command in (predict, train, recipes, evaluate, calibrate, embed, find, label, head, export, reproduce, results):
    app.command()(command)
app.add_typer(data_app, name="data")
ISSUES = "https://github.com/ast-book/ast-book/issues"


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show a warning to a person, without the line of code that it comes from."""
    print(f"careful: {message}", file=file or sys.stderr)


def _sentence(error: Exception) -> str:
    """What an error says to a person: the system's own errors have the file in front, and no number."""
    if isinstance(error, OSError) and not isinstance(error, AstlibError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def main() -> None:
    """Run the command line.

    Raises:
        SystemExit: with status 2 and one line for a mistake or a missing file, with 130 for a run that was stopped.
        Exception: a bug in astlib, with its traceback.
    """
    for stream in (sys.stdout, sys.stderr):  # on Windows they may lack the letters of a file's name
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    warnings.showwarning = _show_warning
    try:
        app()
    except Interrupted as stopped:
        if os.environ.get("RANK", "0") == "0":  # all processes of a run stop together
            print(f"\nastlib: {stopped}", file=sys.stderr)
        raise SystemExit(130) from None
    except (AstlibError, OSError) as error:
        print(f"astlib: {_sentence(error)}", file=sys.stderr)
        raise SystemExit(2) from None
    except MemoryError:
        print("astlib: the memory is full. Give fewer or shorter sounds, or a smaller batch", file=sys.stderr)
        raise SystemExit(2) from None
    except Exception:
        print(f"astlib: this is a bug in astlib. Please report it, with what follows, at {ISSUES}\n", file=sys.stderr)
        raise
