"""The commands `astlib embed`, `find`, `label` and `head`: from many hours to a few labels to a model.

Chapter: notebooks/19_a_thousand_hours.ipynb
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InvalidInput
from .options import EMBEDDED

if TYPE_CHECKING:
    from ..embeddings import Embeddings
    from ..events import Event

Features = Annotated[Path, typer.Argument(help="Folder of features that `astlib embed` wrote.")]


def embed(
    sounds: Annotated[Path, typer.Argument(help="Folder of sound files, with its subfolders.")],
    out: Annotated[Path, typer.Option(help="Folder for the features.")],
    encoder: Annotated[
        str, typer.Option(help="An AST: name or folder. Or efficientat-mn04, if its weights are here.")
    ] = EMBEDDED,
    hop: Annotated[
        float | None, typer.Option(help="Seconds from one window to the next; by default half a window.")
    ] = None,
) -> None:
    """Turn every window of a folder of sounds into a vector. The same command again does what is new or left to do.

    The exit status is 1 if a file could not be read; the others are done all the same.
    """
    from ..answers import find_sounds, left_out_warning
    from ..embeddings import embed as embed_all
    from ..encoders import open_encoder

    if left_out := find_sounds([sounds]).left_out:
        typer.echo(f"careful: {left_out_warning(left_out)}", err=True)
    found = embed_all(open_encoder(encoder), sounds, out, hop)
    for file, why in found.failed.items():
        typer.echo(why if file in why else f"{file}: {why}", err=True)
    if found.gone:
        gone = f"{len(found.gone)} files are no longer in {sounds}, such as {found.gone[0]}"
        typer.echo(f"{gone}. Their windows stay", err=True)
    typer.echo(
        f"{out}: {found.embedded} files embedded ({found.seconds / 3600:.2f} h, {found.windows} windows), "
        f"{found.unchanged} unchanged, {len(found.failed)} not readable"
    )
    typer.echo(f"to search them: astlib find EXAMPLE --in {out}")
    raise typer.Exit(1 if found.failed else 0)


def find(
    example: Annotated[
        str | None, typer.Argument(help="A short sound file; or night.wav@12.5, the sound around second 12.5.")
    ] = None,
    features: Annotated[Path, typer.Option("--in", help="Folder that `astlib embed` wrote.")] = Path("features"),
    model: Annotated[
        str | None, typer.Option(help="Instead of an example: a model of `astlib head`, to find its classes.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many to find, and of a model how many to print.")] = 20,
    apart: Annotated[
        float | None, typer.Option(min=0, help="Seconds between two in one file; by default a window.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Also write a table of all that was found.")] = None,
    audacity: Annotated[Path | None, typer.Option(help="Folder for label tracks, one for each recording.")] = None,
    raven: Annotated[Path | None, typer.Option(help="Folder for selection tables, one for each recording.")] = None,
) -> None:
    """Find the windows that sound like an example, or those in which a model hears one of its classes."""
    from ..embeddings import Embeddings

    if (example is None) == (model is None):
        raise InvalidInput("give an example to search for, or --model; one of the two")
    embeddings = Embeddings(features)
    events = _like(example, embeddings, top, apart) if example is not None else _heard(str(model), embeddings)
    typer.echo(f"{len(events)} found in {len(embeddings):,} windows of {len(embeddings.files):,} files")
    for event in sorted(events, key=lambda event: -event.score)[:top]:
        typer.echo(f"  {event.score:5.3f}  {event.begin_s:9.1f} s  {event.label:<20} {event.file}")
    _write(events, csv, audacity, raven)


def _like(example: str, embeddings: Embeddings, top: int, apart: float | None) -> list[Event]:
    """The windows that are like an example, named after it; the score is the similarity."""
    from .. import search
    from ..encoders import open_encoder
    from ..events import Event

    encoder = open_encoder(embeddings.plan.encoder)
    if encoder.digest != embeddings.plan.digest:
        raise InvalidInput(
            f"the features were made by another {encoder.name} than the one that is here now. Embed the sounds again, "
            "into another folder"
        )
    found = search.read_example(encoder, example)
    hits = search.find(embeddings, found, top, apart)
    return [Event(*hit.window, f"like {found.path.stem}", round(hit.similarity, 4)) for hit in hits]


def _heard(model: str, embeddings: Embeddings) -> list[Event]:
    """What a model hears in windows that are embedded already."""
    from ..cnn import CNN
    from ..few import calls
    from ..networks import open_model

    network = open_model(model)
    if isinstance(network, CNN):
        raise InvalidInput(f"{model} is a {type(network).__name__}; expected a model that `astlib head` saved")
    return calls(network, embeddings)


def _write(events: list[Event], csv: Path | None, audacity: Path | None, raven: Path | None) -> None:
    """Write all events to one table, and those of each recording to one file."""
    from ..events import to_audacity, to_csv, to_raven

    if csv is not None:
        typer.echo(f"written: {to_csv(events, csv)}", err=True)
    for file in sorted({event.file for event in events}):
        rows = [event for event in events if event.file == file]
        if audacity is not None:
            to_audacity(rows, audacity / f"{file}.txt")
        if raven is not None:
            to_raven(rows, raven / f"{file}.selections.txt")
    for folder in (audacity, raven):
        if folder is not None:
            typer.echo(f"written: {folder}", err=True)


def label(
    features: Features,
    out: Annotated[Path, typer.Option(help="The page, a file that ends in .html.")],
    classes: Annotated[list[str], typer.Option("--class", help="What to listen for. Can be repeated, up to 9 times.")],
    like: Annotated[
        list[str] | None, typer.Option(help="Ask about what is like this example (see `astlib find`). Can be repeated.")
    ] = None,
    labels: Annotated[
        list[Path] | None, typer.Option(help="Labels that there are already (labels.csv). Can be repeated.")
    ] = None,
    how: Annotated[
        str, typer.Option(help="With labels, ask about: margin, uncertain, likely (the first class) or random windows.")
    ] = "margin",
    count: Annotated[int, typer.Option("-n", min=1, help="How many windows to ask about.")] = 20,
    seed: Annotated[int, typer.Option(help="Of random windows.")] = 0,
) -> None:
    """Make a page on which windows are labelled by ear and keyboard. It works offline and writes labels.csv."""
    from ..embeddings import Embeddings
    from ..labelling import write_page

    embeddings = Embeddings(features)
    rows: list[int] = []
    for example in like or []:
        events = _like(example, embeddings, count, None)
        found = [embeddings.nearest(event.file, (event.begin_s + event.end_s) / 2) for event in events]
        rows += [row for row in found if row is not None]
    if not like:
        rows = _chosen(embeddings, labels or [], how, count, seed, classes[0])
    write_page(embeddings, dict.fromkeys(rows), classes, out)
    typer.echo(f"open {out} in a browser; it gives labels.csv. Then: astlib head {features} labels.csv --out my_model")


def _chosen(embeddings: Embeddings, tables: list[Path], how: str, count: int, seed: int, target: str) -> list[int]:
    """Windows to ask about, by what is known so far."""
    from ..few import choose, how_named
    from ..labelling import as_classes, place, read_labels

    way = how_named(how) if tables else "random"
    classes, names = as_classes(place(read_labels(tables), embeddings), embeddings)
    rows = embeddings.rows
    number = names.index(target) if target in names else 0
    chosen = choose(embeddings.vectors(rows), classes[rows], count, way, seed, number)
    return [int(row) for row in rows[chosen]]


def head(
    features: Features,
    labels: Annotated[list[Path], typer.Argument(help="Tables of labels (labels.csv).")],
    out: Annotated[Path, typer.Option(help="Folder for the model.")],
    precision: Annotated[
        float | None, typer.Option(help="Give each class a threshold at which so many of its answers are right: 0.9.")
    ] = None,
) -> None:
    """Train a head on labelled windows, in seconds, and save the model for `astlib predict --model`."""
    from ..embeddings import Embeddings
    from ..few import save_head, train_head
    from ..labelling import place, read_labels
    from ..table import Table

    embeddings = Embeddings(features)
    placed = place(read_labels(labels), embeddings)
    rows = list(placed)
    trained = train_head(embeddings.vectors(rows), list(placed.values()), embeddings.file_of[rows], precision)
    if trained.classes:
        typer.echo(Table(["class", "labels", "recognised", "answered"], [list(row) for row in trained.classes]))
        low, high = trained.interval
        typer.echo(f"{trained.accuracy:.1%} of {len(rows)} labels right when held out (95 %: {low:.0%} to {high:.0%})")
    for note in trained.notes:
        typer.echo(f"careful: {note}", err=True)
    save_head(trained, embeddings, out)
    typer.echo(f"model: {out}")
    typer.echo(f"to use it: astlib find --model {out} --in {features}, or astlib predict FILE --model {out}")
