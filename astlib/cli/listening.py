"""The command `astlib predict`: name the sounds in files.

Chapter: notebooks/17_out_into_the_world.ipynb
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import EMBEDDED, Model

if TYPE_CHECKING:
    from ..answers import Answer, Failure, Window

LONG, WHERE = "Long recordings", "Where the answers go"  # panels of --help

Sounds = Annotated[list[Path], typer.Argument(help="Sound files, folders of them, or - for standard input.")]
Top = Annotated[int, typer.Option(min=1, help="How many classes to name.")]
Threshold = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Name only classes of this probability or more; events have the model's own."),
]
Device = Annotated[str, typer.Option(help="auto (the GPU if there is one), cpu or cuda.")]
MultiLabel = Annotated[
    bool | None,
    typer.Option(
        "--multi-label/--single-label", help="Whether several classes may be heard at once, if the model errs."
    ),
]
Windows = Annotated[bool, typer.Option("--windows", help="Also the classes of each window.", rich_help_panel=LONG)]
Events = Annotated[
    bool, typer.Option("--events", help="Also from when to when each class is heard.", rich_help_panel=LONG)
]
Hop = Annotated[
    float | None, typer.Option(help="Seconds from window to window; half a window if not given.", rich_help_panel=LONG)
]
Gap = Annotated[float, typer.Option(min=0, help="Events so many seconds apart are one.", rich_help_panel=LONG)]
Least = Annotated[float, typer.Option(min=0, help="Leave out shorter events (seconds).", rich_help_panel=LONG)]
Release = Annotated[
    float, typer.Option(min=0, max=1, help="An event lasts down to this part of the threshold.", rich_help_panel=LONG)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON line per file.", rich_help_panel=WHERE)]
JsonLines = Annotated[
    Path | None,
    typer.Option(help="File of JSON lines; the same command goes on where it was stopped.", rich_help_panel=WHERE),
]
Csv = Annotated[Path | None, typer.Option(help="One table of all files.", rich_help_panel=WHERE)]
Audacity = Annotated[
    Path | None, typer.Option(help="Label track (.txt); for many files a folder.", rich_help_panel=WHERE)
]
Raven = Annotated[
    Path | None, typer.Option(help="Selection table (.txt); for many files a folder.", rich_help_panel=WHERE)
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.", rich_help_panel=WHERE)]


def predict(
    files: Sounds,
    model: Model = EMBEDDED,
    top: Top = 5,
    threshold: Threshold = None,
    device: Device = "auto",
    multi_label: MultiLabel = None,
    windows: Windows = False,
    events: Events = False,
    hop: Hop = None,
    gap: Gap = 0.0,
    least: Least = 0.0,
    release: Release = 1.0,
    as_json: AsJson = False,
    jsonl: JsonLines = None,
    csv: Csv = None,
    audacity: Audacity = None,
    raven: Raven = None,
    overwrite: Overwrite = False,
) -> None:
    """Name the sounds in files. If a file cannot be read, the others are still done, and the exit status is 1."""
    from ..answers import Request, find_sounds, left_out_warning
    from ..events import Merging
    from ..networks import open_model
    from ..outputs import Places, answer_all
    from ..predict import choose_device

    found = find_sounds(files)
    if found.left_out:
        typer.echo(f"careful: {left_out_warning(found.left_out)}", err=True)
    events = events or (not windows and (audacity is not None or raven is not None))
    merging = Merging(gap_s=gap, least_s=least, release=release) if events else None
    request = Request(top=top, threshold=threshold, hop_s=hop, windows=windows, merging=merging)
    places = Places(jsonl=jsonl, csv=csv, audacity=audacity, raven=raven, overwrite=overwrite)
    network = open_model(model).to(choose_device(device))
    if multi_label is not None:
        network.cfg = network.cfg.replace(multi_label=multi_label)
    show = _print_json if as_json else _print_failure if places.given() else _print_answer
    summary = answer_all(network, found.files, request, places, model, show)
    if len(found.files) > 1 or places.given():
        typer.echo(str(summary), err=True)
    for place in places.given():
        typer.echo(f"written: {place}", err=True)
    raise typer.Exit(1 if summary.failures else 0)


def _print_json(found: Answer | Failure) -> None:
    typer.echo(json.dumps(found.as_json()))


def _print_failure(found: Answer | Failure) -> None:
    from ..answers import Failure

    if isinstance(found, Failure):
        typer.echo(found.error, err=True)


def _print_answer(found: Answer | Failure) -> None:
    from ..answers import Failure, Window

    if isinstance(found, Failure):
        typer.echo(found.error, err=True)
        return
    typer.echo(found.file)
    if found.none:
        typer.echo(f"  none of the model's classes; nearest: {_in_line(Window(0, 0, found.classes))}")
    else:
        for named in found.classes:
            typer.echo(f"  {100 * named.probability:5.1f} %  {named.label}")
    if not found.classes:
        typer.echo("  no class reaches the threshold")
    for note in found.notes:
        typer.echo(f"  note: {note}")
    for window in found.windows or ():
        typer.echo(f"  {window.begin_s:8.2f} to {window.end_s:8.2f} s  {_in_line(window)}")
    for event in found.events or ():
        typer.echo(f"  {event.begin_s:8.2f} to {event.end_s:8.2f} s  event: {event.label} {event.score:.0%}")


def _in_line(window: Window) -> str:
    classes = ", ".join(f"{named.label} {named.probability:.0%}" for named in window.classes)
    return f"none of the classes ({classes})" if window.none else classes or "nothing above the threshold"
