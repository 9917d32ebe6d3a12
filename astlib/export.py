"""The network as one ONNX file: a graph of operators with the weights inside, for programs that have no torch.

Tracing runs the network once and records its operators. Whatever Python decides on the way, such as whether a sound is
too short, is decided once and for all; so the graph holds no checks, and sizes that may vary have to be declared.

Chapter: notebooks/17_out_into_the_world.ipynb
"""

import copy
import json
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .decisions import Decision
from .errors import InvalidInput, MissingPackage
from .files import write_whole
from .frontend import Features
from .model import AST

if TYPE_CHECKING:
    from onnx import GraphProto

OPSET = 20  # the first with Gelu as an operator of its own


class FromWaveform(nn.Module):
    """Front-end and network in one, without the checks that a graph cannot hold.

    Args:
        model: the network.
    """

    def __init__(self, model: AST) -> None:
        super().__init__()
        self.model, self.features = model, Features(model.cfg)

    def forward(self, waveform: Tensor) -> Tensor:
        """Compute the logits of every class from sound.

        Args:
            waveform: `(batch, samples)` at 16 kHz in [-1, 1], 400 samples or more.

        Returns:
            `(batch, label_dim)`.
        """
        cfg, mel = self.model.cfg, self.features.log_mel.compute(waveform)  # (batch, frames, mels)
        # Whether to pad or to cut would be a decision, which a graph cannot take: pad by a whole input, then cut.
        padding = mel.new_full((1, 1, 1), self.features.fill).expand(mel.shape[0], cfg.input_tdim, cfg.input_fdim)
        mel = torch.cat([mel, padding], dim=1)[:, : cfg.input_tdim]
        logits: Tensor = self.model(self.features.normalise(mel))
        return logits


def to_onnx(model: AST, path: str | Path, waveform: bool = False, dtype: torch.dtype = torch.float32) -> Path:
    """Write a network as one ONNX file, with the weights inside, for any batch size.

    The input is "mel" `(batch, input_tdim, input_fdim)`, normalised; or, with the front-end in the file, "waveform"
    `(batch, samples)` at 16 kHz, 400 samples or more: shorter sounds are then padded as in training, longer ones cut.
    The output is "logits" `(batch, label_dim)`. Inputs, outputs and arithmetic are float32. The metadata of the file
    have the configuration with the labels, as JSON, under "astlib_config", and under "astlib_decision" the model's
    decision, if it has one that is not the default.

    Args:
        model: the network; it is left as it is.
        path: the file; its folder is created if it does not exist.
        waveform: whether the front-end is part of the file.
        dtype: the dtype to store the weights in, `torch.float32` or `torch.float16`, which halves the file.

    Returns:
        The path.

    Raises:
        InvalidInput: another dtype.
        MissingPackage: onnx or onnxscript is not installed.
        OSError: the file cannot be written. It is then absent, or still the earlier one.
    """
    if dtype not in (torch.float32, torch.float16):
        raise InvalidInput(f"the weights of an ONNX file are stored as torch.float32 or torch.float16; found {dtype}")
    try:
        import onnx
        import onnxscript  # noqa: F401  (torch's exporter imports it, and its own error would not say what to install)
    except ImportError as error:
        raise MissingPackage('an ONNX file needs two more packages: pip install "astlib[onnx]"') from error
    cfg = model.cfg
    rounded = copy.deepcopy(model).cpu().to(dtype).float().eval()
    network: nn.Module = FromWaveform(rounded).eval() if waveform else rounded
    example = torch.zeros(2, 16_000) if waveform else torch.zeros(2, cfg.input_tdim, cfg.input_fdim)
    axes = {0: "batch", 1: "samples"} if waveform else {0: "batch"}  # as text: a torch.export.Dim is silently fixed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch 2.11, about its own copying
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            dynamic_shapes=(axes,),
            opset_version=OPSET,
            verbose=False,
            input_names=["waveform" if waveform else "mel"],
            output_names=["logits"],
        )
    assert program is not None  # noqa: S101  (with dynamo=True and no file name, the exporter always returns one)
    proto = program.model_proto
    for node in proto.graph.node:
        node.ClearField("metadata_props")  # the line of which file on this machine each operator came from
    if dtype == torch.float16:
        _store_in_half(proto.graph)
    properties = {"astlib_config": json.dumps(asdict(cfg))}
    if model.decision != Decision():
        properties["astlib_decision"] = json.dumps(asdict(model.decision))
    onnx.helper.set_model_props(proto, properties)
    return write_whole(path, proto.SerializeToString())


def _store_in_half(graph: "GraphProto") -> None:
    """Store as float16 every float32 constant that float16 represents exactly; the graph begins by casting it back.

    The weights were rounded before and are exact; the constants of the front-end are not, and stay float32.
    """
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        name, values = tensor.name, numpy_helper.to_array(tensor)
        half = values.astype("float16")
        if (half == values).all():
            tensor.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
            casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
