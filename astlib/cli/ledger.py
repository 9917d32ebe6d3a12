"""The commands `astlib reproduce` and `results`: the missing runs of the paper's tables, and the records of all runs.

Chapter: book/how_to_run.md
"""

import json
from pathlib import Path
from typing import Annotated

import typer

from ..errors import AstlibError, InvalidInput


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
