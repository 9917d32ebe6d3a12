"""The command line about data: `astlib data list · fetch · check · hash`.

Chapter: book/how_to_run.md
"""

import json
import math
from itertools import product
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

data_app = typer.Typer(no_args_is_help=True, help="Which data sets are here, and whether they are whole.")


@data_app.command("list")
def data_list() -> None:
    """What astlib can read, where it was found, and how to get it."""
    from .data import DATASETS

    for name, known in DATASETS.items():
        place = known.place()
        typer.echo(f"{name:18} {known.what}")
        typer.echo(f"{'':18} {known.get if place is None else f'found in {place}'}")


@data_app.command("fetch")
def data_fetch(name: Annotated[str, typer.Argument(help="A data set; `astlib data list` says which.")]) -> None:
    """Download a data set into the user's cache, verified. The same command goes on after a cut."""
    from .data import cache_folder
    from .data.fetch import SOURCES, fetch

    if name in SOURCES:
        typer.echo(f"{name}: {SOURCES[name].size}, {SOURCES[name].licence}")
    place = fetch(name)
    typer.echo(f"{name} is in {place}")
    if place.parent != cache_folder():
        typer.echo("It was there before. To download it all the same, unset ASTLIB_DATA")


@data_app.command("check")
def data_check(
    name: Annotated[str, typer.Argument(help="A data set; `astlib data list` shows them.")],
    root: Annotated[str | None, typer.Option(help="Its folder; by default where ASTLIB_DATA says.")] = None,
    fold: Annotated[int | None, typer.Option(min=1, max=5, help="The clips of one fold.")] = None,
    stats: Annotated[bool, typer.Option("--stats", help="Mean and std of the log-mels, for a recipe.")] = False,
    frames: Annotated[int | None, typer.Option(min=1, help="Length of the log-mels for --stats.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that decode.")] = 0,
    report: Annotated[Path | None, typer.Option(help="Write the clips that cannot be used to this CSV file.")] = None,
) -> None:
    """Decode every clip of a data set; report what is missing or broken, classes and durations.

    The exit status is 1 if any clip cannot be used.
    """
    from . import data

    known = data.known(name)
    whole = data.Report(name, 0)
    for part in known.everything(root, fold):
        found = part.check(workers=workers)
        whole.expected += found.expected
        whole.problems |= found.problems
        typer.echo(found)
        for _, reason in list(found.problems.values())[:10]:
            typer.echo(f"  {reason}")
        if len(found.problems) > 10 and report is None:
            typer.echo(f"  ... and {len(found.problems) - 10:,} more: --report FILE.csv lists them")
        good = [i for i, clip in enumerate(part.names) if str(clip) not in found.problems]
        if not good:
            continue
        part = part.select(rows=good)  # what follows is about what can be used
        counts = sorted(part.counts().items(), key=lambda item: item[1])
        rare = ", ".join(f"{label} {count}" for label, count in counts[:5])
        typer.echo(
            f"  clips of a class: {counts[0][1]:,} at least, median {median(dict(counts).values()):g}, "
            f"{counts[-1][1]:,} at most; {len(counts)} classes, the rarest: {rare}"
        )
        length = data.duration_stats(part)
        typer.echo(
            f"  seconds of a clip: {length['min']:.2f} at least, median {length['median']:.2f}, mean "
            f"{length['mean']:.2f}, {length['max']:.2f} at most; {length['total_hours']:.2f} hours in all"
        )
        if stats:
            columns = frames or known.frames or 100 * math.ceil(length["max"])
            mean, std = data.normalisation(part, columns, workers=workers)
            typer.echo(f"  log-mels of {columns} frames: mean {mean:.4f}, std {std:.4f}")
    if report is not None:
        typer.echo(f"the list is in {whole.save(report)}")
    raise typer.Exit(1 if whole.problems else 0)


@data_app.command("hash")
def data_hash(
    name: Annotated[str, typer.Argument(help="A data set; `astlib data list` shows them.")],
    root: Annotated[str | None, typer.Option(help="Its folder; by default where ASTLIB_DATA says.")] = None,
    add: Annotated[str | None, typer.Option(help="Add this copy to results/data.json, described so.")] = None,
) -> None:
    """The hashes of the copy that is here, for every fold. Records made on a copy that is not known are refused."""
    from .audit import known_data
    from .data import FOLDS, parts
    from .files import write_json
    from .ledger import results_folder

    folds = []
    for fold, validation in product(range(1, FOLDS + 1), (False, True)):
        try:
            there = zip(("train", "validation", "test"), parts(name, fold, validation, root), strict=True)
        except ValueError:
            if not folds:
                raise
            continue  # it has fewer folds, or nothing to hold out
        one = {part: clips.manifest_hash() for part, clips in there if clips is not None}
        if one in folds:
            break  # a set without folds gives the same parts again
        folds.append(one)
    typer.echo(json.dumps(folds, indent=1))
    if add:
        copies = known_data()
        copies.setdefault(name, {})[add] = folds
        write_json(results_folder() / "data.json", copies)
