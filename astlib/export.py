"""The network as one ONNX file: a graph of operators with the weights inside, for programs that have no torch.

Tracing runs the network once and writes down what happens. What is decided in Python on the way, such as whether a
sound is too short, is decided once and for all, so a graph holds no checks, and sizes that may vary must be named.

Chapter: notebooks/17_out_into_the_world.ipynb
"""

import copy
import json
import warnings
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from .files import write_whole
from .frontend import Features
from .model import AST

OPSET = 20  # the first with Gelu as an operator of its own


class FromWaveform(nn.Module):
    """Front-end and network in one, `(batch, samples)` at 16 kHz -> logits, without checks, which no graph can hold."""

    def __init__(self, model: AST):
        super().__init__()
        self.model, self.features = model, Features(model.cfg)

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        cfg, mel = self.model.cfg, self.features.log_mel._log_mel(waveform)
        # To pad or to cut would be a decision, and a graph takes none: always pad by a whole input, then always cut.
        padding = mel.new_full((1, 1, 1), self.features.fill).expand(mel.shape[0], cfg.input_tdim, cfg.input_fdim)
        mel = torch.cat([mel, padding], dim=1)[:, : cfg.input_tdim]
        return self.model(self.features.normalise(mel))


def to_onnx(model: AST, path: str | Path, waveform: bool = False, dtype: torch.dtype = torch.float32) -> Path:
    """Write the network as one ONNX file, weights inside, for any batch size; returns its path.

    The input is "mel" `(batch, input_tdim, input_fdim)`, normalised; or with waveform=True "waveform"
    `(batch, samples)` at 16 kHz, 400 samples or more: the front-end is then part of the file, and a sound that is too
    short is filled as in training, one that is too long is cut. The output is "logits" `(batch, label_dim)`. Both are
    float32, and so is the arithmetic; dtype=torch.float16 only stores the weights in half the space.
    The configuration, with the labels, is in the file's metadata under "astlib_config", as JSON.

    Raises ImportError without the packages onnx and onnxscript, ValueError for another dtype, and OSError if the file
    cannot be written: it is then not there, or still the earlier one.
    """
    if dtype not in (torch.float32, torch.float16):
        raise ValueError(f"the weights of an ONNX file are stored as torch.float32 or torch.float16; found {dtype}")
    try:
        import onnx
        import onnxscript  # noqa: F401  (torch's exporter asks for it deep inside)
    except ImportError as error:
        raise ImportError('an ONNX file needs two more packages: pip install "astlib[onnx]"') from error
    cfg = model.cfg
    network = copy.deepcopy(model).cpu().to(dtype).float().eval()
    example = torch.zeros(2, cfg.input_tdim, cfg.input_fdim)
    if waveform:
        network, example = FromWaveform(network).eval(), torch.zeros(2, 16_000)
    axes = {0: "batch", 1: "samples"} if waveform else {0: "batch"}  # as text: a torch.export.Dim is fixed in silence
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch 2.11, about its own copying
        proto = torch.onnx.export(
            network, (example,), dynamo=True, dynamic_shapes=(axes,), opset_version=OPSET, verbose=False,
            input_names=["waveform" if waveform else "mel"], output_names=["logits"],
        ).model_proto  # fmt: skip
    for node in proto.graph.node:
        node.ClearField("metadata_props")  # where in which file of this machine each step stood
    if dtype == torch.float16:
        _store_in_half(proto.graph)
    onnx.helper.set_model_props(proto, {"astlib_config": json.dumps(asdict(cfg))})
    return write_whole(path, proto.SerializeToString())


def _store_in_half(graph) -> None:
    """Store every float32 constant that float16 holds exactly in it, and cast it back at the start of the graph.

    The weights were rounded before, so they are exact; the front-end's constants are not and stay as they are.
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
