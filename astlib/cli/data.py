"""The commands `astlib data list`, `fetch`, `check` and `hash`.

Chapter: book/how_to_run.md
"""

import json
import math
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InvalidInput, NotFound
from ..table import Table
from .options import where

if TYPE_CHECKING:
    from ..data import Folder
    from ..data.base import AudioDataset

# The command `astlib data` with its subcommands
data_app = typer.Typer(no_args_is_help=True, help="Which data sets are here, and whether they are whole.")

Name = Annotated[str, typer.Argument(help="A data set (`astlib data list` shows them), or a folder of your own.")]
Place = Annotated[str | None, typer.Option("--data", help="Its folder; by default where ASTLIB_DATA says.")]
OldPlace = Annotated[str | None, typer.Option("--root", hidden=True)]  # what --data was called before
ROWS = 30  # classes in the table of folds


@data_app.command("list")
def data_list() -> None:
    """List the data sets that astlib can read, where they were found, or how to get them."""
    from ..data import DATASETS

    for name, source in DATASETS.items():
        place = source.place()
        typer.echo(f"{name:18} {source.what}")
        typer.echo(f"{'':18} {source.get if place is None else f'found in {place}'}")


@data_app.command("fetch")
def data_fetch(
    name: Annotated[str, typer.Argument(help="A data set (`astlib data list` shows them), or efficientat-mn04.")],
) -> None:
    """Download a data set, or the weights of a teacher, into the user's cache, and verify it.

    The same command continues an interrupted download.
    """
    from ..data.fetch import DOWNLOADS, fetch
    from ..efficientat import NAME, fetch_efficientat
    from ..paths import cache

    if name == NAME:
        typer.echo(f"{name}: 4 MB, MIT licence")
    elif name in DOWNLOADS:
        typer.echo(f"{name}: {DOWNLOADS[name].size}, {DOWNLOADS[name].licence}")
    place = fetch_efficientat() if name == NAME else fetch(name)
    typer.echo(f"{name} is in {place}")
    if cache() not in place.parents:
        typer.echo("It was there before. To download it all the same, unset ASTLIB_DATA and ASTLIB_WEIGHTS")


@data_app.command("check")
def data_check(
    name: Name,
    place: Place = None,
    old_place: OldPlace = None,
    fold: Annotated[int | None, typer.Option(min=1, help="Only the clips of one fold.")] = None,
    group: Annotated[
        str, typer.Option(help="Of your own sounds: a column, or a regular expression; its clips share a fold.")
    ] = "",
    folds: Annotated[int, typer.Option(min=2, help="Of your own sounds: how many folds to deal.")] = 5,
    stats: Annotated[bool, typer.Option("--stats", help="Also mean and std of the log-mels, for a recipe.")] = False,
    frames: Annotated[int | None, typer.Option(min=1, help="Length of the log-mels for --stats, in frames.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Loader processes.")] = 0,
    report: Annotated[Path | None, typer.Option(help="Write the clips that cannot be used to this CSV file.")] = None,
) -> None:
    """Decode every clip of a data set; report unusable clips, classes, folds and durations.

    The exit status is 1 if any clip cannot be used.
    """
    from .. import data

    name, root = where(name, place or old_place)
    if report is not None:  # before hours of decoding, not after them
        _check_place(report)
    whole, length = data.Report(name, 0), frames or data.data_source(name).frames
    parts = data.everything(name, fold, root, group, folds)
    for part in parts:
        report_of_part = part.check(workers=workers)
        whole.expected += report_of_part.expected
        whole.problems |= report_of_part.problems
        typer.echo(report_of_part)
        for problem in list(report_of_part.problems.values())[:10]:
            typer.echo(f"  {problem.reason}")
        if len(report_of_part.problems) > 10 and report is None:
            typer.echo(f"  ... and {len(report_of_part.problems) - 10:,} more: --report FILE.csv lists them")
        good = [i for i, clip in enumerate(part.names) if str(clip) not in report_of_part.problems]
        if good:
            _describe(part.select(rows=good), length, stats, workers)
    testable = all(_describe_own(part, root, fold, group, folds) for part in parts if isinstance(part, data.Folder))
    if report is not None:
        typer.echo(f"the list is in {whole.save(report)}")
    raise typer.Exit(1 if whole.problems or not testable else 0)


def _check_place(report: Path) -> None:
    if not report.parent.is_dir():
        raise NotFound(f"there is no folder {report.parent} for the report. Make it, or give another path")
    if report.is_dir():
        raise InvalidInput(f"{report} is a folder, and the report is a file: give a path such as {report}/unusable.csv")


def _describe(part: "AudioDataset", frames: int | None, stats: bool, workers: int) -> None:
    """Print the classes and durations of usable clips, and the statistics of their log-mels."""
    from .. import data
    from ..train.normalisation import normalisation

    counts = sorted(part.counts().items(), key=lambda item: item[1])
    rare = ", ".join(f"{label} {count}" for label, count in counts[:5])
    typer.echo(
        f"  clips of a class: {counts[0][1]:,} at least, median {median(dict(counts).values()):g}, "
        f"{counts[-1][1]:,} at most; {len(counts)} classes, the rarest: {rare}"
    )
    length = data.duration_stats(part)
    typer.echo(
        f"  seconds of a clip: {length['min']:.2f} at least, median {length['median']:.2f}, mean "
        f"{length['mean']:.2f}, 95 % up to {length['p95']:.2f}, {length['max']:.2f} at most; "
        f"{length['total_hours']:.2f} hours in all"
    )
    if stats:
        columns = frames or 100 * math.ceil(length["max"])  # 100 frames per second
        mean, std = normalisation(part, columns, workers=workers)
        typer.echo(f"  log-mels of {columns} frames: mean {mean:.4f}, std {std:.4f}")
        typer.echo(f"  to train with them: astlib train ... --set mean={mean:.4f} --set std={std:.4f}")


def _describe_own(sounds: "Folder", root: str | None, fold: int | None, group: str, folds: int) -> bool:
    """Print the groups, the folds and what to know of sounds of one's own; tell whether anything can be tested."""
    from .. import data
    from ..own_sounds import plan
    from ..recipes import RECIPES

    if sounds.grouping is not None:
        sizes = sounds.grouping.sizes
        some = ", ".join(f"{name.lstrip('/')} {count}" for name, count in list(sizes.items())[:5])
        typer.echo(f"  groups by {sounds.grouping.by}: {len(sizes):,}, the largest: {some}")
    if sounds.folds is not None and fold is None:
        for line in str(_fold_table(sounds, sounds.folds)).splitlines():
            typer.echo(f"  {line}")
    first = min((number for number in sounds.folds or [] if number), default=1)
    try:
        parts = data.parts("folder", fold or first, root=root, group=group, folds=folds)
    except InvalidInput as error:
        typer.echo(f"  ! {error}")
        return False
    read = set(sounds.report.notes)  # printed with the report
    for note in data.notes_of(parts):
        if note.text not in read:
            typer.echo(f"  ! {note.text}")
    for choice in plan(RECIPES["own-sounds"], parts).notes:
        typer.echo(f"  recipe own-sounds: {choice}")
    return True


def _fold_table(sounds: "AudioDataset", folds: Sequence[int]) -> Table:
    """Clips by class and fold, the rarest classes first; fold 0 is for training in every fold."""
    numbers = sorted(set(folds))
    counts = {number: sounds.select(folds=number).counts() for number in numbers}
    totals = sorted(sounds.counts().items(), key=lambda item: item[1])
    rows = [[label, *(counts[number][label] for number in numbers), total] for label, total in totals[:ROWS]]
    if len(totals) > ROWS:
        rows.append([f"and {len(totals) - ROWS} classes more", *[""] * len(numbers), ""])
    clips = [sum(1 for fold in folds if fold == number) for number in numbers]
    return Table(["clips", *(f"fold {number}" if number else "only training" for number in numbers), "all"],
                 [*rows, ["all", *clips, len(sounds)]])  # fmt: skip


@data_app.command("hash")
def data_hash(
    name: Name,
    place: Place = None,
    old_place: OldPlace = None,
    add: Annotated[str | None, typer.Option(help="Add this copy to results/data.json, with this description.")] = None,
) -> None:
    """Print the hashes of the copy that is here, for every fold. Records made on an unknown copy are refused."""
    from .. import paths
    from ..data import everything, parts
    from ..files import write_json
    from ..ledger.audit import known_data

    name, root = where(name, place or old_place)
    numbers = {fold for part in everything(name, None, root) for fold in part.folds or [1]} - {0}
    folds: list[dict[str, str]] = []
    for fold, validation in product(sorted(numbers), (False, True)):
        try:
            there = parts(name, fold, validation, root)._asdict().items()
        except InvalidInput:
            if not folds:
                raise
            continue  # it has no validation part
        one = {part: clips.manifest_hash() for part, clips in there if clips is not None}
        if one in folds:
            break  # a data set without folds gives the same parts again
        folds.append(one)
    typer.echo(json.dumps(folds, indent=1))
    if add:
        copies = known_data()
        copies.setdefault(name, {})[add] = folds
        write_json(paths.results() / "data.json", copies)
