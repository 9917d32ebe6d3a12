"""The command `astlib export`: a saved model for programs without astlib.

Chapter: notebooks/17_out_into_the_world.ipynb
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InvalidInput
from .options import MODEL_HELP


class Format(StrEnum):
    """What `astlib export` can write."""

    ONNX = "onnx"
    HUGGINGFACE = "huggingface"


def export(
    model: Annotated[str, typer.Argument(help=f"{MODEL_HELP} Of a run, the folder that train wrote.")],
    out: Annotated[Path, typer.Argument(help="The .onnx file, or the folder for Hugging Face.")],
    to: Annotated[
        Format | None, typer.Option(help="By default onnx if OUT ends in .onnx, else huggingface.", show_default=False)
    ] = None,
    mel: Annotated[
        bool, typer.Option("--mel", help="ONNX: the input is a normalised log-mel; without this, sound.")
    ] = False,
    half: Annotated[bool, typer.Option("--half", help="ONNX: store the weights in float16, half the size.")] = False,
) -> None:
    """Write a saved AST as an ONNX file, or as a folder for Hugging Face's transformers.

    A decision that `astlib calibrate` made goes with it: in the metadata of the ONNX file, or as decision.json.
    """
    import torch

    from ..convert import save_huggingface
    from ..export import to_onnx
    from ..model import AST
    from ..networks import open_model

    kind = to or (Format.ONNX if out.suffix == ".onnx" else Format.HUGGINGFACE)
    if kind is Format.HUGGINGFACE and (mel or half):
        raise InvalidInput("--mel and --half are for ONNX files; a Hugging Face folder has float32 weights")
    if kind is Format.ONNX and out.is_dir():
        raise InvalidInput(
            f"{out} is a folder, and an ONNX file is asked for: give a path such as {out / 'model.onnx'}"
        )
    if kind is Format.HUGGINGFACE and out.is_file():
        raise InvalidInput(f"{out} is a file, and Hugging Face's format is a folder: give another path")
    network = open_model(model)
    if not isinstance(network, AST):
        raise InvalidInput(f"only ASTs can be exported, and {model} is a {type(network).__name__}")
    if kind is Format.HUGGINGFACE:
        save_huggingface(network, out)
        typer.echo(f'{out}: for transformers, pipeline("audio-classification", "{out}")')
        return
    to_onnx(network, out, waveform=not mel, dtype=torch.float16 if half else torch.float32)
    cfg = network.cfg
    shape = f"mel (batch, {cfg.input_tdim}, {cfg.input_fdim})" if mel else "waveform (batch, samples) at 16 kHz"
    size = out.stat().st_size / 1e6
    typer.echo(f"{out}: {size:.1f} MB, input {shape}, output logits (batch, {cfg.label_dim})")
