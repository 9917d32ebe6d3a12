"""The command line: `astlib predict · train · evaluate · reproduce · data · results`.

Every command is a thin layer over one function of the library; what a person did wrong ends in one line, not in a
traceback.

Chapter: book/how_to_run.md
"""

import ast
import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from .audio import AudioError
from .checkpoint import CheckpointError, Interrupted, TrainingStopped
from .cli_data import data_app
from .data.fetch import FetchError
from .data.report import ENOUGH

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Audio Spectrogram Transformer.",
)
app.add_typer(data_app, name="data")
EMBEDDED = "ast-tiny-esc50"
MODEL_HELP = "Folder of a saved model, name of an embedded one, .pth of the original, or Hugging Face name."
Model = Annotated[str, typer.Option(help=MODEL_HELP)]


@app.command()
def predict(
    files: Annotated[list[Path], typer.Argument(help="Sound files: wav, flac, ogg or mp3, any rate.")],
    model: Model = EMBEDDED,
    top: Annotated[int, typer.Option(min=1, help="How many classes to print.")] = 5,
    windows: Annotated[bool, typer.Option("--windows", help="Also say when: each window of a long sound.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line a file.")] = False,
) -> None:
    """Name the sounds in files. A file that cannot be read is reported, the others go on, and the exit status is 1."""
    from .audio import load
    from .convert import open_model
    from .predict import best, timeline

    def as_rows(shares):
        return [{"label": label, "probability": round(value, 6)} for label, value in best(network, shares, top)]

    network = open_model(model).eval()
    failed = 0
    for file in files:
        try:
            spans, shares = timeline(network, load(file))
        except (AudioError, ValueError) as error:
            failed += 1
            text = str(error) if isinstance(error, AudioError) else f"{file}: {error}"
            typer.echo(json.dumps({"file": str(file), "error": text}) if as_json else text, err=not as_json)
            continue
        found = {"file": str(file), "classes": as_rows(shares.mean(dim=0))}
        if windows:
            found["windows"] = [
                {"begin_s": round(begin, 3), "end_s": round(end, 3), "classes": as_rows(row)}
                for (begin, end), row in zip(spans.tolist(), shares, strict=True)
            ]
        if as_json:
            typer.echo(json.dumps(found))
            continue
        typer.echo(f"{file}")
        for row in found["classes"]:
            typer.echo(f"  {100 * row['probability']:5.1f} %  {row['label']}")
        for window in found.get("windows", []):
            heard = ", ".join(f"{row['label']} {row['probability']:.0%}" for row in window["classes"])
            typer.echo(f"  {window['begin_s']:8.2f} to {window['end_s']:8.2f} s  {heard}")
    raise typer.Exit(1 if failed else 0)


@app.command()
def train(
    recipe: Annotated[str, typer.Option(help="Name of a recipe; `astlib recipes` lists them.")],
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, model and record.")],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", help="Change a value of the recipe: --set epochs=5 (repeatable)."),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the data; by default where ASTLIB_DATA says.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on with an unfinished run in the folder.")] = True,
    workers: Annotated[int, typer.Option(min=0, help="Loader processes a device; 0 keeps all clips in memory.")] = 0,
    precision: Annotated[str, typer.Option(help="auto, no (float32), bf16 or fp16.")] = "auto",
    micro_batch: Annotated[
        int, typer.Option(min=0, help="Clips a device takes at a time, if memory is short; the batch stays.")
    ] = 0,
    save_minutes: Annotated[float, typer.Option(min=0, help="Between checkpoints inside an epoch.")] = 10.0,
    require: Annotated[float, typer.Option(min=0, max=1, help="Share of the clips that must be usable.")] = ENOUGH,
    tracker: Annotated[str | None, typer.Option(help="tensorboard: write curves to OUT while it trains.")] = None,
    record: Annotated[bool, typer.Option(help="Copy the finished record into the ledger, results/runs/.")] = False,
) -> None:
    """Train by a recipe. The same command again continues an unfinished run.

    On several GPUs: `torchrun --nproc-per-node 4 -m astlib.cli train ...`, or `accelerate launch -m astlib.cli ...`.
    A step stays the recipe's batch, however many devices share it.
    """
    from .ledger import results_folder, table
    from .recipes import recipe as named
    from .train import fit

    if record and results_folder().name != "results":
        raise ValueError("--record writes into results/ of a checkout, and this astlib is an installed one")
    chosen = named(recipe).replace(**dict(parse(change) for change in changes or []))
    run = fit(
        chosen, out, root=data, resume=resume, workers=workers, precision=precision, micro_batch=micro_batch,
        save_minutes=save_minutes, require=require, tracker=tracker,
    )  # fmt: skip
    if os.environ.get("RANK", "0") != "0":
        return  # torchrun and accelerate start this command once a device; the first one reports
    typer.echo(table([run]))
    typer.echo(f"model: {out / 'model'}   record: {out / 'run.json'}")
    typer.echo(f"to use it: astlib predict FILE --model {out / 'model'}")
    if record:
        typer.echo(f"in the ledger: {run.save(results_folder() / 'runs')}")


@app.command()
def recipes(name: Annotated[str | None, typer.Argument(help="One recipe, value by value.")] = None) -> None:
    """The recipes that `astlib train` knows; with a name, every value of one and where it comes from."""
    from .ledger import Table
    from .recipes import RECIPES, describe

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
    """`"lr=1e-4"` -> `("lr", 1e-4)`; what is not a Python literal is a string."""
    name, equals, text = change.partition("=")
    if not equals:
        raise ValueError(f"--set wants name=value, found {change!r}")
    try:
        return name, ast.literal_eval(text)
    except (ValueError, SyntaxError):  # a bare word: imagenet, scratch, a path
        return name, text


@app.command()
def evaluate(
    model: Annotated[list[str] | None, typer.Option(help=MODEL_HELP + " Several: their ensemble.")] = None,
    data: Annotated[str, typer.Option(help="A data set: `astlib data list` shows them.")] = "esc50",
    fold: Annotated[int, typer.Option(min=1, max=5, help="The fold to test on, where there are folds.")] = 1,
    root: Annotated[Path | None, typer.Option(help="Folder of the data; by default where ASTLIB_DATA says.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Loader processes.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure a saved model, or the ensemble of several, on the test part of a data set."""
    from .convert import open_model
    from .data import parts
    from .ledger import Run, finite
    from .measure import evaluate as measure
    from .measure import evaluate_scores
    from .model import find_model, to_probabilities

    models, scores = model or [EMBEDDED], []
    test = parts(data, fold, root=root)[2]
    for name in models:
        ast_model = open_model(name)
        if ast_model.cfg.labels and list(ast_model.cfg.labels) != test.labels:
            raise ValueError(
                f"{name} knows the classes {', '.join(ast_model.cfg.labels[:3])} …, {data} has "
                f"{', '.join(test.labels[:3])} …: a model can be measured only on the classes it was trained for"
            )
        record = (find_model(name) if name == EMBEDDED else Path(name)) / "run.json"
        held_out = Run.load(record).parameters["fold"] if record.is_file() else fold
        if held_out != fold:
            typer.echo(f"careful: {name} was trained on fold {fold}; fold {held_out} is what it never heard", err=True)
        result = measure(ast_model, test, workers=workers)
        report = result.pop("unusable")
        if report.problems:
            typer.echo(str(report), err=True)
        logits, names = result.pop("logits"), result.pop("names")
        scores.append(to_probabilities(logits, ast_model.cfg.multi_label))
    if len(models) > 1:
        result = evaluate_scores(sum(scores) / len(scores), names, test)
    result = finite(result)
    if as_json:
        typer.echo(json.dumps({"model": models, "data": data, "fold": fold, "clips": len(names), **result}))
        return
    place = f"fold {fold} of {data}" if test.folds is not None else data
    typer.echo(f"{' + '.join(models)} on {place}, {len(names)} clips")
    for name, value in result.items():
        typer.echo(f"  {name:26} {value:.4f}" if isinstance(value, float) else f"  {name:26} {value}")


@app.command()
def reproduce(
    table: Annotated[str, typer.Argument(help="A table of the paper, or all; --dry-run lists them.")] = "all",
    cell: Annotated[str, typer.Argument(help="One of its cells.")] = "",
    scale: Annotated[str, typer.Option(help="paper: its own recipes; tiny: AST-Tiny; try: minutes, no data.")] = "tiny",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the runs and what each costs; run nothing.")] = False,
    job: Annotated[int | None, typer.Option(min=0, help="Do this run of the list alone.")] = None,
    gpus_per_run: Annotated[int, typer.Option(min=1, help="GPUs that share one run.")] = 1,
    runs_per_gpu: Annotated[int, typer.Option(min=1, help="Runs that share one GPU, for tiny networks.")] = 1,
    slurm: Annotated[Path | None, typer.Option(help="Write the missing runs as a job array to this file.")] = None,
    card: Annotated[str, typer.Option(help="For the time limit of --slurm: T4, L4, A100, H100 or H200.")] = "A100",
) -> None:
    """Run what is missing behind a table of the paper, one notebook and one record a run. A second call goes on."""
    from . import compare, tables
    from . import reproduce as runs

    cells = tables.cells(table, cell, scale)
    for warning in runs.ready():
        typer.echo(f"careful: {warning}", err=True)
    if dry_run:
        typer.echo(runs.plan(cells, scale))
        return
    if slurm is not None:
        slurm.write_text(runs.slurm(table, cell, scale, card, gpus_per_run), encoding="utf-8")
        typer.echo(f"sbatch {slurm}")
        return
    if job is not None:
        todo = runs.jobs(cells, scale)
        if job >= len(todo):
            raise ValueError(f"there are the jobs 0 to {len(todo) - 1}; found {job}")
        typer.echo(f"{todo[job].name}: executed notebook in {runs.execute(todo[job])}")
        return
    failed = runs.run_missing(table, cell, scale, gpus_per_run, runs_per_gpu)
    for name in dict.fromkeys(found.table for found in cells):
        typer.echo(f"\n{tables.TABLES[name].title}, {tables.TABLES[name].source}\n{compare.table(name, scale)}")
    if failed:
        raise ValueError(f"{failed} runs failed; what they said is in the notebooks beside their records")


@app.command()
def results(as_json: Annotated[bool, typer.Option("--json", help="One JSON line a run.")] = False) -> None:
    """The ledger: every recorded run, and the paper's number beside it."""
    from .ledger import Table, load_runs, paper, table

    runs = load_runs()
    if as_json:
        for run in runs:
            typer.echo(json.dumps({"id": run.id, "recipe": run.recipe, "metrics": run.metrics, "commit": run.commit}))
        return
    typer.echo(table(runs) if runs else "no run is recorded here")
    rows = [[r["system"], r["data"], f"{r['value']} {r['unit']}", r["source"]] for r in paper()["rows"]]
    typer.echo(f"\npublished\n{Table(['system', 'data', 'result', 'source'], rows)}")


def main() -> None:
    """Entry point: a person's mistake or a missing file ends in one line and exit status 2, a stop in 130."""
    try:
        app()
    except Interrupted as stopped:
        print(f"\nastlib: {stopped}", file=sys.stderr)
        raise SystemExit(130) from None
    except (ValueError, OSError, ImportError, FetchError, CheckpointError, TrainingStopped) as error:
        print(f"astlib: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
