"""The commands `astlib train` and `recipes`.

Chapter: notebooks/07_the_training_loop.ipynb
"""

import ast
import os
from pathlib import Path
from typing import Annotated, get_args

import typer

from ..data.report import ENOUGH
from ..devices import Precision
from ..errors import InvalidInput


def train(
    recipe: Annotated[str, typer.Option(help="Name of a recipe; `astlib recipes` lists them.")],
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, model and record.")],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", help="Change a value of the recipe: --set epochs=5. Can be repeated."),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the data; by default where ASTLIB_DATA says.")] = None,
    resume: Annotated[bool, typer.Option(help="Continue an unfinished run in the folder.")] = True,
    workers: Annotated[int, typer.Option(min=0, help="Loader processes per device; 0 keeps all clips in memory.")] = 0,
    precision: Annotated[str, typer.Option(help="auto, no (float32), bf16 or fp16.")] = "auto",
    micro_batch: Annotated[
        int, typer.Option(min=0, help="Clips that a device takes at a time, to save memory; the batch stays the same.")
    ] = 0,
    save_minutes: Annotated[float, typer.Option(min=0, help="Minutes between checkpoints inside an epoch.")] = 10.0,
    require: Annotated[float, typer.Option(min=0, max=1, help="Fraction of the clips that must be usable.")] = ENOUGH,
    tracker: Annotated[str | None, typer.Option(help="tensorboard: write curves to OUT during training.")] = None,
    record: Annotated[bool, typer.Option(help="Copy the finished record into the ledger, results/runs/.")] = False,
) -> None:
    """Train by a recipe. The same command again continues an unfinished run.

    On several GPUs: `torchrun --nproc-per-node 4 -m astlib.cli train ...`, or `accelerate launch -m astlib.cli ...`.
    The devices share the recipe's batch, so every step is the same, however many there are.
    """
    from .. import paths
    from ..ledger import table
    from ..recipes import recipe as named
    from ..train import Options, fit

    if record and paths.checkout() is None:
        raise InvalidInput("--record writes into results/ of a checkout, and this astlib is an installed one")
    chosen = named(recipe).replace(**dict(parse(change) for change in changes or []))
    options = Options(
        workers=workers,
        precision=_precision(precision),
        micro_batch=micro_batch,
        save_minutes=save_minutes,
        require=require,
        tracker=tracker,
    )
    run = fit(chosen, out, root=data, resume=resume, options=options)
    if os.environ.get("RANK", "0") != "0":
        return  # torchrun and accelerate start this command once per device; the first one reports
    typer.echo(table([run]))
    typer.echo(f"model: {out / 'model'}   record: {out / 'run.json'}")
    typer.echo(f"to use it: astlib predict FILE --model {out / 'model'}")
    if record:
        typer.echo(f"in the ledger: {run.save(paths.results() / 'runs')}")


def _precision(text: str) -> Precision:
    known: tuple[Precision, ...] = get_args(Precision)
    for name in known:
        if name == text:
            return name
    others = ", ".join(name for name in known if name != "auto")
    raise InvalidInput(f"--precision must be auto or one of {others}; found {text!r}")


def recipes(name: Annotated[str | None, typer.Argument(help="A recipe to show value by value.")] = None) -> None:
    """List the recipes that `astlib train` knows; with a name, show every value of one and where it comes from."""
    from ..recipes import RECIPES
    from ..sources import describe
    from ..table import Table

    if name is not None:
        typer.echo(describe(name))
        return
    header = ["recipe", "data", "model", "start", "stride", "batch", "epochs", "loss", "counts"]
    rows = [
        [r.name, r.dataset, r.model_size, r.init, f"{r.fstride}x{r.tstride}", r.batch, r.epochs, r.loss, r.selection]
        for r in RECIPES.values()
    ]
    typer.echo(Table(header, rows))


def parse(change: str) -> tuple[str, object]:
    """Read a change to a recipe: "lr=1e-4" gives `("lr", 1e-4)`.

    Args:
        change: "name=value". The value is a Python literal, or else a string.

    Returns:
        The name and the value.

    Raises:
        InvalidInput: there is no "=".
    """
    name, equals, text = change.partition("=")
    if not equals:
        raise InvalidInput(f"--set wants name=value, found {change!r}")
    try:
        return name, ast.literal_eval(text)
    except (ValueError, SyntaxError):  # a bare word: imagenet, scratch, a path
        return name, text
