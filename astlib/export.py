"""The network as an ONNX file: a graph of operators with the weights inside, for programs that have no torch.

Tracing runs the network once and records its operators. Whatever Python decides on the way, such as whether a sound is
too short, is decided once and for all; so the graph holds no checks, and sizes that may vary have to be declared.

Chapter: notebooks/17_out_into_the_world.ipynb
"""

import copy
import json
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor, nn

from .decisions import Decision
from .errors import InvalidInput, MissingPackage
from .explain import attention_weights, rollout
from .files import write_whole
from .frontend import Features
from .model import AST, ASTConfig, Block

if TYPE_CHECKING:
    from onnx import GraphProto

OPSET = 20  # the first with Gelu as an operator of its own


class Input(NamedTuple):
    """The one input of a graph.

    Args:
        name: of the input.
        example: what the network is traced with.
        axes: those whose size may vary, and what they are called.
    """

    name: str
    example: Tensor
    axes: dict[int, str]  # as text: a torch.export.Dim is silently fixed


WAVEFORM = Input("waveform", torch.zeros(2, 16_000), {0: "batch", 1: "samples"})


class FrontEnd(nn.Module):
    """The audio front-end without the checks that a graph cannot hold.

    Args:
        cfg: the configuration of the network.
    """

    def __init__(self, cfg: ASTConfig) -> None:
        super().__init__()
        self.features = Features(cfg)

    def forward(self, waveform: Tensor) -> Tensor:
        """Compute log-mel spectrograms of the length that the network reads, not normalised.

        Args:
            waveform: `(batch, samples)` at 16 kHz in [-1, 1], 400 samples or more.

        Returns:
            `(batch, input_tdim, input_fdim)`.
        """
        cfg, mel = self.features.cfg, self.features.log_mel.compute(waveform)  # (batch, frames, mels)
        # Whether to pad or to cut would be a decision, which a graph cannot take: pad by a whole input, then cut.
        padding = mel.new_full((1, 1, 1), self.features.fill).expand(mel.shape[0], cfg.input_tdim, cfg.input_fdim)
        return torch.cat([mel, padding], dim=1)[:, : cfg.input_tdim]


class FromWaveform(nn.Module):
    """Front-end and network in one.

    Args:
        model: the network.
    """

    def __init__(self, model: AST) -> None:
        super().__init__()
        self.model, self.front_end = model, FrontEnd(model.cfg)

    def forward(self, waveform: Tensor) -> Tensor:
        """Compute the logits of every class from sound.

        Args:
            waveform: `(batch, samples)` at 16 kHz in [-1, 1], 400 samples or more.

        Returns:
            `(batch, label_dim)`.
        """
        logits: Tensor = self.model(self.front_end.features.normalise(self.front_end(waveform)))
        return logits


class Inside(NamedTuple):
    """What `FromMel` computes, which becomes the outputs of the graph, by these names.

    Attributes:
        tokens: what goes into each block, and what comes out of the last one, `(batch, layers + 1, tokens, dim)`.
        queries: `(batch, layers, heads, tokens, dim / heads)`.
        keys: of the same shape.
        attention: the attention weights, see `astlib.explain.attention_maps`.
        rollout: see `astlib.explain.rollout`, `(batch, tokens, tokens)`.
        features: one vector per clip, see `AST.embed`, `(batch, dim)`.
        logits: `(batch, label_dim)`.
    """

    tokens: Tensor
    queries: Tensor
    keys: Tensor
    attention: Tensor
    rollout: Tensor
    features: Tensor
    logits: Tensor


class FromMel(nn.Module):
    """The network with what happens inside it, for a page that shows it.

    Args:
        model: the network.
    """

    def __init__(self, model: AST) -> None:
        super().__init__()
        self.model, self.features = model, Features(model.cfg)

    def forward(self, mel: Tensor) -> Inside:
        """Compute the logits, and what led to them.

        Args:
            mel: log-mel `(batch, input_tdim, input_fdim)`, not normalised.

        Returns:
            See `Inside`.
        """
        model, heads = self.model, self.model.cfg.heads
        tokens, projections, maps = [model.embed_tokens(self.features.normalise(mel))], [], []
        for module in model.blocks:
            block = cast(Block, module)
            normed = block.norm1(tokens[-1])  # (batch, tokens, dim)
            projections.append(block.attn.qkv(normed).unflatten(-1, (3, heads, -1)))
            maps.append(attention_weights(block.attn, normed))  # (batch, heads, tokens, tokens)
            tokens.append(block(tokens[-1]))
        queries, keys, _ = torch.stack(projections, dim=1).permute(3, 0, 1, 4, 2, 5).unbind()
        attention = torch.stack(maps, dim=1)
        features = model.norm(tokens[-1])[:, : model.cfg.prefix_tokens].mean(dim=1)  # as in AST.embed
        logits = model.mlp_head(features)
        return Inside(torch.stack(tokens, dim=1), queries, keys, attention, rollout(attention), features, logits)


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
    cfg, network = model.cfg, _rounded(model, dtype)
    if waveform:
        return _write(FromWaveform(network), WAVEFORM, ["logits"], path, model, dtype)
    example = torch.zeros(2, cfg.input_tdim, cfg.input_fdim)
    return _write(network, Input("mel", example, {0: "batch"}), ["logits"], path, model, dtype)


def inside_to_onnx(model: AST, folder: str | Path, dtype: torch.dtype = torch.float32) -> tuple[Path, Path]:
    """Write a network as two ONNX files that show what happens inside it, for any batch size.

    `front_end.onnx` turns "waveform" `(batch, samples)` into "mel" `(batch, input_tdim, input_fdim)`, the log-mel as
    `astlib.frontend.Features.mel` computes it, not normalised. `inside.onnx` turns such a "mel", which may have been
    changed in between, into the outputs that `Inside` lists. Otherwise both are as `to_onnx` says.

    Args:
        model: the network; it is left as it is.
        folder: where the files go; it is created if it does not exist.
        dtype: the dtype to store the weights in, `torch.float32` or `torch.float16`, which halves the file.

    Returns:
        The paths of the two files.

    Raises:
        InvalidInput: another dtype.
        MissingPackage: onnx or onnxscript is not installed.
        OSError: a file cannot be written.
    """
    cfg, network = model.cfg, _rounded(model, dtype)
    mel = Input("mel", torch.zeros(2, cfg.input_tdim, cfg.input_fdim), {0: "batch"})
    return (
        _write(FrontEnd(cfg), WAVEFORM, ["mel"], Path(folder) / "front_end.onnx", model, dtype),
        _write(FromMel(network), mel, list(Inside._fields), Path(folder) / "inside.onnx", model, dtype),
    )


def _rounded(model: AST, dtype: torch.dtype) -> AST:
    """A copy of a network whose weights were rounded to a dtype, for arithmetic in float32."""
    if dtype not in (torch.float32, torch.float16):
        raise InvalidInput(f"the weights of an ONNX file are stored as torch.float32 or torch.float16; found {dtype}")
    return copy.deepcopy(model).cpu().to(dtype).float().eval()


def _write(
    network: nn.Module, given: Input, outputs: list[str], path: str | Path, model: AST, dtype: torch.dtype
) -> Path:
    """Trace a network and write its graph, with what `model` says about itself in the metadata."""
    try:
        import onnx
        import onnxscript  # noqa: F401  (torch's exporter imports it, and its own error would not say what to install)
    except ImportError as error:
        raise MissingPackage('an ONNX file needs two more packages: pip install "astlib[onnx]"') from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch 2.11, about its own copying
        program = torch.onnx.export(
            network.eval(),
            (given.example,),
            dynamo=True,
            dynamic_shapes=(given.axes,),
            opset_version=OPSET,
            verbose=False,
            input_names=[given.name],
            output_names=outputs,
        )
    assert program is not None  # noqa: S101  (with dynamo=True and no file name, the exporter always returns one)
    proto = program.model_proto
    for node in proto.graph.node:
        node.ClearField("metadata_props")  # the line of which file on this machine each operator came from
    if dtype == torch.float16:
        _store_in_half(proto.graph)
    properties = {"astlib_config": json.dumps(asdict(model.cfg))}
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
