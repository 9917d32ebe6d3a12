"""What several commands share: how a model is named, and which one is meant if none is.

Chapter: book/how_to_run.md
"""

from typing import Annotated

import typer

EMBEDDED = "ast-tiny-esc50"
MODEL_HELP = "Folder of a saved model, name of an embedded one, .pth of the original, or Hugging Face name."
Model = Annotated[str, typer.Option(help=MODEL_HELP)]
