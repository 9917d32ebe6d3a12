"""What several commands share: how a model is named, and which one is meant if none is.

Chapter: book/how_to_run.md
"""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InvalidInput

EMBEDDED = "ast-tiny-esc50"
MODEL_HELP = "Folder of a saved model, name of an embedded one, .pth of the original, or Hugging Face name."
Model = Annotated[str, typer.Option(help=MODEL_HELP)]


def where(name: str, place: str | None = None) -> tuple[str, str | None]:
    """Tell the name of a data set and its folder; a folder in place of the name is one of the user's own.

    Args:
        name: a data set, or a folder.
        place: folder of the data set, or None.

    Returns:
        The name, "folder" for the user's own, and the folder; None for the places where data sets are looked for.

    Raises:
        InvalidInput: both are folders.
    """
    from ..data import DATASETS

    if name in DATASETS or not Path(name).expanduser().exists():
        return name, place
    if place is not None:
        raise InvalidInput(f"{name} is a folder already, so --data {place} is one too many")
    return "folder", name
