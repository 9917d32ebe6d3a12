"""The commands `astlib train` and `recipes`.

Chapter: notebooks/07_the_training_loop.ipynb
"""

import ast
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, get_args

import typer

from ..errors import InvalidInput
from ..typed import shown

if TYPE_CHECKING:
    from ..data import Parts
    from ..devices import Precision
    from ..ledger import Record
    from ..recipes import Recipe
    from ..train.options import Options


def train(
    recipe: Annotated[str, typer.Option(help="Name of a recipe; `astlib recipes` lists them.")],
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, model and record.")],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", help="Change a value of the recipe: --set epochs=5. Can be repeated."),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Folder of the data, such as your own sounds; by default where ASTLIB_DATA says.")
    ] = None,
    group: Annotated[
        str, typer.Option(help="Of your own sounds: a column, or a regular expression; its clips share a fold.")
    ] = "",
    folds: Annotated[
        str, typer.Option(help="all: a run for each fold, in a folder of its own in OUT; or some of them, as 1,3.")
    ] = "",
    resume: Annotated[bool, typer.Option(help="Continue an unfinished run in the folder.")] = True,
    workers: Annotated[int, typer.Option(min=0, help="Loader processes per device; 0 keeps all clips in memory.")] = 0,
    precision: Annotated[str, typer.Option(help="auto, no (float32), bf16 or fp16.")] = "auto",
    micro_batch: Annotated[
        int, typer.Option(min=0, help="Clips that a device takes at a time, to save memory; the batch stays the same.")
    ] = 0,
    save_minutes: Annotated[float, typer.Option(min=0, help="Minutes between checkpoints inside an epoch.")] = 10.0,
    require: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Fraction of the clips that must be usable; by default nearly all."),
    ] = None,
    tracker: Annotated[str | None, typer.Option(help="tensorboard: write curves to OUT during training.")] = None,
    record: Annotated[bool, typer.Option(help="Copy the finished record into the ledger, results/runs/.")] = False,
) -> None:
    """Train by a recipe. The same command again continues an unfinished run.

    With the recipe own-sounds, the length of the input, the epochs and the loss follow from your clips, but for what
    --set says. At the end there is a report on every class.

    On several GPUs: `torchrun --nproc-per-node 4 -m astlib.cli train ...`, or `accelerate launch -m astlib.cli ...`.
    The devices share the recipe's batch, so every step is the same, however many there are.
    """
    from .. import paths
    from ..data.report import ENOUGH
    from ..ledger import table
    from ..train.options import Options

    if record and paths.checkout() is None:
        raise InvalidInput("--record writes into results/ of a checkout, and this astlib is an installed one")
    enough = ENOUGH if require is None else require
    options = Options(workers, _precision(precision), micro_batch, save_minutes, enough, tracker)
    job = _job(recipe, dict(parse(change) for change in changes or []), data, group, folds)
    done = _carry_out(job, out, resume, options)
    if not _first_process():
        return  # torchrun and accelerate start this command once per device; the first one reports
    typer.echo(table([run for _, run in done]))
    for folder, _ in done:
        typer.echo(f"model: {folder / 'model'}   record: {folder / 'run.json'}")
    typer.echo(f"to use it: astlib predict FILE --model {done[0][0]}")
    if record:
        for _, run in done:
            typer.echo(f"in the ledger: {run.save(paths.results() / 'runs')}")


class _Job(NamedTuple):
    """What a command trains."""

    recipe: "Recipe"
    root: str | None  # folder of the data
    parts: "Parts | None"  # of sounds of one's own, which were looked at before the run
    folds: list[int]  # to be tested one after the other; none for a single run


def _job(name: str, changes: dict[str, object], data: str | None, group: str, folds: str) -> _Job:
    """Put the recipe together, look at the user's own sounds, and say what was found and chosen."""
    from ..data import DATASETS, parts
    from ..recipes import recipe as named
    from ..train.folds import fold_numbers

    if changes.get("fold") == "all":  # --set fold=all
        folds, changes = "all", {key: value for key, value in changes.items() if key != "fold"}
    if group:
        changes["group"] = group
    recipe, root = named(name).replace(**changes), data
    if data in DATASETS and not Path(data).exists():  # --data esc50
        recipe, root = recipe.replace(dataset=data), None
    if recipe.dataset != "folder" and not folds:
        return _Job(recipe, root, None, [])
    there = parts(recipe.dataset, recipe.fold, recipe.selection == "validation", root, recipe.group, recipe.folds)
    if recipe.dataset == "folder":
        recipe = _planned(recipe, there, name, changes)
    numbers = _numbers(folds, fold_numbers(there)) if folds else []
    return _Job(recipe, root, there if recipe.dataset == "folder" else None, numbers)


def _planned(recipe: "Recipe", parts: "Parts", name: str, changes: Collection[str]) -> "Recipe":
    """Fit the recipe `own-sounds` to the clips; of another recipe, say only where it does not fit them."""
    from ..data import notes_of
    from ..own_sounds import length_note, lengths, plan
    from ..recipes import RECIPES

    notes = [str(note) for note in notes_of(parts)]
    if RECIPES[name].dataset == "folder":
        planned = plan(recipe, parts, changes)
        recipe, notes = planned.recipe, [*notes, *planned.notes]
    elif note := length_note(recipe, lengths(parts.test)):
        notes.append(note)
    if _first_process():
        for note in notes:
            typer.echo(f"- {note}", err=True)
    return recipe


def _numbers(text: str, there: Sequence[int]) -> list[int]:
    """The folds that --folds names."""
    if text == "all":
        return list(there)
    try:
        wanted = [int(number) for number in text.split(",")]
    except ValueError:
        raise InvalidInput(f"--folds must be all, or numbers such as 1,3; found {text!r}") from None
    if unknown := [number for number in wanted if number not in there]:
        raise InvalidInput(f"there is no fold {unknown[0]}, only {', '.join(map(str, there))}")
    return wanted


def _carry_out(job: _Job, out: Path, resume: bool, options: "Options") -> list[tuple[Path, "Record"]]:
    """Do the run or the runs; return the folder and the record of each. Sounds of one's own get a report."""
    from ..reports import answers_of_run, pool, report, report_run, summary, write_report
    from ..train import fit
    from ..train.folds import fit_folds, over_folds

    if job.folds:
        done, answers = [], []
        for run in fit_folds(job.recipe, out, job.folds, job.root, resume, options):
            done.append((run.out, run.record))
            if job.parts is not None and _first_process():
                answers.append(answers_of_run(run.out, run.parts))
        if answers:
            found = report(pool(answers), f"{out.name}, {len(done)} folds together")
            typer.echo(f"{summary(found)}\nreport: {write_report(out / 'report', found)}")
        if _first_process():
            typer.echo(over_folds([found for _, found in done]))
        return done
    if job.parts is None:
        return [(out, fit(job.recipe, out, root=job.root, resume=resume, options=options))]
    train, validation, test = job.parts
    record = fit(job.recipe, out, train, test, validation, resume=resume, options=options)
    if _first_process():
        typer.echo(f"{summary(report_run(out, job.parts))}\nreport: {out / 'report' / 'report.html'}")
    return [(out, record)]


def _first_process() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _precision(text: str) -> "Precision":
    from ..devices import Precision

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
        raise InvalidInput(f"--set wants name=value, found {shown(change)}")
    try:
        return name, ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):  # a bare word, or a thousand brackets
        return name, text
