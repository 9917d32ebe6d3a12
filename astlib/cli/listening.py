"""The command `astlib predict`: name the sounds in files.

Chapter: notebooks/17_out_into_the_world.ipynb
"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from torch import Tensor

from ..errors import AudioError, InvalidInput
from .options import EMBEDDED, Model


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
