"""The commands `astlib predict`, `train`, `recipes`, `evaluate`, `reproduce` and `results`.

Every command is a thin layer over one function of the library. A user's mistake ends in one line; only a bug in astlib
ends in a traceback.

Chapter: book/how_to_run.md
"""

import ast
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_args

import torch
import typer
from torch import Tensor

from ..data.base import AudioDataset
from ..data.report import ENOUGH
from ..devices import Precision
from ..errors import AstlibError, AudioError, Interrupted, InvalidInput
from .data import data_app

# The command `astlib` with its subcommands
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Audio Spectrogram Transformer.",
)
app.add_typer(data_app, name="data")
EMBEDDED = "ast-tiny-esc50"
ISSUES = "https://github.com/ast-book/ast-book/issues"
MODEL_HELP = "Folder of a saved model, name of an embedded one, .pth of the original, or Hugging Face name."
Model = Annotated[str, typer.Option(help=MODEL_HELP)]


@app.command()
def predict(
    files: Annotated[list[Path], typer.Argument(help="Sound files: wav, flac, ogg or mp3, any rate.")],
    model: Model = EMBEDDED,
    top: Annotated[int, typer.Option(min=1, help="How many classes to print.")] = 5,
    windows: Annotated[bool, typer.Option("--windows", help="Also the classes of each window, to say when.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line per file.")] = False,
) -> None:
    """Name the sounds in files. If a file cannot be read, the others are still done, and the exit status is 1."""
    from ..audio import load
    from ..networks import open_model
    from ..predict import best, timeline

    def as_rows(probabilities: Tensor) -> list[dict[str, object]]:  # of the most probable classes; (classes,)
        top_classes = best(network, probabilities, top)
        return [{"label": label, "probability": round(value, 6)} for label, value in top_classes]

    network = open_model(model)
    failed = 0
    for file in files:
        try:
            spans, probabilities = timeline(network, load(file))  # (windows, 2) in seconds, (windows, classes)
        except InvalidInput as error:
            failed += 1
            text = str(error) if isinstance(error, AudioError) else f"{file}: {error}"
            typer.echo(json.dumps({"file": str(file), "error": text}) if as_json else text, err=not as_json)
            continue
        heard: list[dict[str, object]] = []
        if windows:
            heard = [
                {"begin_s": round(begin, 3), "end_s": round(end, 3), "classes": as_rows(row)}
                for (begin, end), row in zip(spans.tolist(), probabilities, strict=True)
            ]
        classes = as_rows(probabilities.mean(dim=0))
        if as_json:
            more = {"windows": heard} if windows else {}
            typer.echo(json.dumps({"file": str(file), "classes": classes, **more}))
        else:
            _print_prediction(file, classes, heard)
    raise typer.Exit(1 if failed else 0)


def _print_prediction(file: Path, classes: list[dict[str, Any]], windows: list[dict[str, Any]]) -> None:
    typer.echo(f"{file}")
    for row in classes:
        typer.echo(f"  {100 * row['probability']:5.1f} %  {row['label']}")
    for window in windows:
        heard = ", ".join(f"{row['label']} {row['probability']:.0%}" for row in window["classes"])
        typer.echo(f"  {window['begin_s']:8.2f} to {window['end_s']:8.2f} s  {heard}")


@app.command()
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


@app.command()
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


@app.command()
def evaluate(
    model: Annotated[list[str] | None, typer.Option(help=f"{MODEL_HELP} Several are an ensemble.")] = None,
    data: Annotated[str, typer.Option(help="A data set: `astlib data list` shows them.")] = "esc50",
    fold: Annotated[int, typer.Option(min=1, max=5, help="The fold to test on, where there are folds.")] = 1,
    root: Annotated[Path | None, typer.Option(help="Folder of the data; by default where ASTLIB_DATA says.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Loader processes.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure a saved model, or the ensemble of several, on the test part of a data set."""
    from ..data import parts
    from ..ledger.record import finite
    from ..scores import evaluate_scores

    models = model or [EMBEDDED]
    test = parts(data, fold, root=root).test
    measured = [_measure(name, data, fold, test, workers) for name in models]
    names, metrics = measured[0].names, measured[0].metrics
    if len(models) > 1:
        together = torch.stack([found.probabilities for found in measured]).mean(dim=0)  # (clips, classes)
        metrics = evaluate_scores(together, names, test)
    result = finite(metrics)
    if as_json:
        typer.echo(json.dumps({"model": models, "data": data, "fold": fold, "clips": len(names), **result}))
        return
    place = f"fold {fold} of {data}" if test.folds is not None else data
    typer.echo(f"{' + '.join(models)} on {place}, {len(names)} clips")
    for name, value in result.items():
        typer.echo(f"  {name:26} {value:.4f}" if isinstance(value, float) else f"  {name:26} {value}")


class _Measured(NamedTuple):
    names: Sequence[str]
    metrics: Mapping[str, float]
    probabilities: Tensor  # (clips, classes)


def _measure(model: str, data: str, fold: int, test: AudioDataset, workers: int) -> _Measured:
    """Measure one model on the test part of a data set, and warn of what makes the result doubtful."""
    from ..ledger import Record
    from ..measure import evaluate as measure
    from ..model import to_probabilities
    from ..networks import open_model
    from ..saved import find_model

    network = open_model(model)
    if network.cfg.labels and list(network.cfg.labels) != test.labels:
        raise InvalidInput(
            f"{model} knows the classes {', '.join(network.cfg.labels[:3])} …, {data} has "
            f"{', '.join(test.labels[:3])} …: a model can be measured only on the classes it was trained for"
        )
    record = (find_model(model) if model == EMBEDDED else Path(model)) / "run.json"
    held_out = Record.load(record).parameters["fold"] if record.is_file() else fold
    if held_out != fold:
        typer.echo(f"careful: {model} was trained on fold {fold}; fold {held_out} is what it never heard", err=True)
    found = measure(network, test, workers=workers)
    if found.unusable.problems:
        typer.echo(str(found.unusable), err=True)
    return _Measured(found.names, found.metrics, to_probabilities(found.logits, network.cfg.multi_label))


@app.command()
def reproduce(
    table: Annotated[str, typer.Argument(help="A table of the paper, or all; --dry-run lists the cells.")] = "all",
    cell: Annotated[str, typer.Argument(help="One of its cells.")] = "",
    scale: Annotated[str, typer.Option(help="paper: its own recipes; tiny: AST-Tiny; try: minutes, no data.")] = "tiny",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the runs and their costs; run nothing.")] = False,
    job: Annotated[int | None, typer.Option(min=0, help="Carry out only this run of the list.")] = None,
    gpus_per_run: Annotated[int, typer.Option(min=1, help="Number of GPUs that share one run.")] = 1,
    runs_per_gpu: Annotated[int, typer.Option(min=1, help="Number of runs that share one GPU.")] = 1,
    slurm: Annotated[Path | None, typer.Option(help="Write the missing runs as a job array to this file.")] = None,
    card: Annotated[str, typer.Option(help="For the time limit of --slurm: T4, L4, A100, H100 or H200.")] = "A100",
) -> None:
    """Carry out a table's missing runs. Each leaves a notebook and a record; the same command continues."""
    from .. import reproduce as runs
    from ..ledger import Ledger
    from ..reproduce.cells import TABLES, select

    cells = select(table, cell, scale)
    for warning in runs.ready():
        typer.echo(f"careful: {warning}", err=True)
    if dry_run:
        typer.echo(runs.plan(cells))
        return
    if slurm is not None:
        slurm.write_text(runs.slurm(table, cell, cells, card, gpus_per_run), encoding="utf-8")
        typer.echo(f"sbatch {slurm}")
        return
    if job is not None:
        todo = runs.jobs_of(cells)
        if job >= len(todo):
            raise InvalidInput(f"there are the jobs 0 to {len(todo) - 1}; found {job}")
        typer.echo(f"{todo[job].name}: executed notebook in {runs.execute_job(todo[job])}")
        return
    failed = runs.run_missing(cells, gpus_per_run, runs_per_gpu)
    ledger = Ledger()  # read after the runs, and once for all tables
    for name in dict.fromkeys(found.table for found in cells):
        typer.echo(f"\n{TABLES[name].title}, {TABLES[name].source}\n{runs.side_by_side(name, scale, ledger)}")
    if failed:
        raise AstlibError(f"{failed} runs failed; their messages are above, and in the notebooks in their folders")


@app.command()
def results(as_json: Annotated[bool, typer.Option("--json", help="One JSON line per run.")] = False) -> None:
    """List every record that passes the audit, and the published numbers. Refused records are named with the reason."""
    from ..ledger import Ledger, paper, table
    from ..table import Table

    ledger = Ledger()
    for name, why in ledger.refused.items():
        typer.echo(f"refused: {name}: {'; '.join(why)}", err=True)
    if as_json:
        for record in ledger.records:
            about = {"id": record.id, "recipe": record.recipe, "metrics": record.metrics, "commit": record.commit}
            typer.echo(json.dumps(about))
        return
    typer.echo(table(ledger.records) if ledger.records else "no run is recorded here")
    rows = [[r["system"], r["data"], f"{r['value']} {r['unit']}", r["source"]] for r in paper()["rows"]]
    typer.echo(f"\npublished\n{Table(['system', 'data', 'result', 'source'], rows)}")


def main() -> None:
    """Run the command line.

    Raises:
        SystemExit: with status 2 and one line for a mistake or a missing file, with 130 for a run that was stopped.
        Exception: a bug in astlib, with its traceback.
    """
    try:
        app()
    except Interrupted as stopped:
        print(f"\nastlib: {stopped}", file=sys.stderr)
        raise SystemExit(130) from None
    except (AstlibError, OSError) as error:
        print(f"astlib: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except Exception:
        print(f"astlib: this is a bug in astlib. Please report it, with what follows, at {ISSUES}\n", file=sys.stderr)
        raise
