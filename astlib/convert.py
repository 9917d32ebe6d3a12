"""The same network in other formats: the original's checkpoints, and Hugging Face's port in both directions.

Both agree with astlib on every operation. They differ in the names of the parameters, in whether query, key and value
are one matrix or three, and in the epsilon of the norms: the original has 1e-6 in the encoder and 1e-5 in the head,
Hugging Face one value for all norms, by default 1e-12. In astlib the head keeps its 1e-5, which changes logits by parts
in 100,000. `astlib.export` writes ONNX.

Chapters: notebooks/04_the_whole_ast.ipynb and notebooks/17_out_into_the_world.ipynb
"""

import re
import warnings
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .errors import InvalidInput, MissingPackage, NotFound
from .files import whole_folder
from .model import AST, MLP_RATIO, SIZES, ASTConfig, token_grid

if TYPE_CHECKING:
    from transformers import ASTFeatureExtractor, ASTForAudioClassification

# Number of patches of the original's released checkpoints: the strides, length and normalisation that go with it.
RELEASED_GRIDS: dict[int, dict[str, Any]] = {
    850: {"fstride": 12, "tstride": 12},
    657: {"fstride": 14, "tstride": 14},
    512: {"fstride": 16, "tstride": 16},
    144: {"input_tdim": 128, "mean": -6.845978, "std": 5.5654526},
}

# astlib's name: the name inside the files that transformers writes. transformers 5 has other names in memory, but saves
# and loads these; `_file_name` below translates.
_HF_PREFIX = "audio_spectrogram_transformer."
_HF_NAMES = {
    "cls_token": "embeddings.cls_token",
    "dist_token": "embeddings.distillation_token",
    "pos_embed": "embeddings.position_embeddings",
    "patch_embed.proj": "embeddings.patch_embeddings.projection",
    "norm": "layernorm",
}
_HF_BLOCK = {  # inside encoder.layer.N; attn.qkv is split in three
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "attn.proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
_HF_QKV = [f"attention.attention.{part}" for part in ("query", "key", "value")]
_HF_HEAD = {"mlp_head.0": "classifier.layernorm", "mlp_head.1": "classifier.dense"}
_IN_MEMORY = [  # (in memory since transformers 5, in files)
    (r"(^|\.)layers\.(\d+)\.", r"\1encoder.layer.\2."),
    (r"\.attention\.q_proj\.", ".attention.attention.query."),
    (r"\.attention\.k_proj\.", ".attention.attention.key."),
    (r"\.attention\.v_proj\.", ".attention.attention.value."),
    (r"\.attention\.o_proj\.", ".attention.output.dense."),
    (r"\.mlp\.fc1\.", ".intermediate.dense."),
    (r"\.mlp\.fc2\.", ".output.dense."),
]


def _transformers() -> Any:
    """The package transformers, which is optional."""
    try:
        import transformers
    except ImportError as error:
        raise MissingPackage('Hugging Face\'s AST comes from transformers: pip install "astlib[hf]"') from error
    return transformers


def _file_name(key: str) -> str:
    """The name that files have for a parameter of a transformers model in memory (the same in transformers 4)."""
    for pattern, replacement in _IN_MEMORY:
        key = re.sub(pattern, replacement, key)
    return key


def state_to_huggingface(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the parameters of an AST as in a file of Hugging Face's.

    Args:
        state: astlib's state dict.

    Returns:
        The same weights; query, key and value are three matrices.
    """
    out = {}
    for key, value in state.items():
        block = re.match(r"blocks\.(\d+)\.(.+)\.(weight|bias)$", key)
        if block:
            layer, name, kind = block.groups()
            stem = f"{_HF_PREFIX}encoder.layer.{layer}."
            if name == "attn.qkv":
                for part, third in zip(_HF_QKV, value.chunk(3), strict=True):
                    out[f"{stem}{part}.{kind}"] = third
            else:
                out[f"{stem}{_HF_BLOCK[name]}.{kind}"] = value
        elif key.startswith("mlp_head"):
            stem, kind = key.rsplit(".", 1)
            out[f"{_HF_HEAD[stem]}.{kind}"] = value
        elif key in _HF_NAMES:
            out[_HF_PREFIX + _HF_NAMES[key]] = value
        else:
            stem, kind = key.rsplit(".", 1)
            out[f"{_HF_PREFIX}{_HF_NAMES[stem]}.{kind}"] = value
    return out


def state_from_huggingface(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the parameters of a Hugging Face AST as in astlib.

    Args:
        state: the state dict of a Hugging Face AST, from one of its files or from a model in memory.

    Returns:
        astlib's state dict; query, key and value are one matrix.

    Raises:
        InvalidInput: a parameter is missing, or does not belong to an AST.
    """
    state = {_file_name(key): value for key, value in state.items()}
    depth = len({key.split(".layer.")[1].split(".")[0] for key in state if ".encoder.layer." in key})
    if not depth:
        raise InvalidInput("this is not a Hugging Face AST: it has no layers")
    names = {
        **{_HF_PREFIX + theirs: ours for ours, theirs in _HF_NAMES.items()},
        **{theirs: ours for ours, theirs in _HF_HEAD.items()},
        **{
            f"{_HF_PREFIX}encoder.layer.{layer}.{theirs}": f"blocks.{layer}.{ours}"
            for layer in range(depth)
            for ours, theirs in _HF_BLOCK.items()
        },
    }
    out = {}
    for layer in range(depth):
        for kind in ("weight", "bias"):
            parts = [f"{_HF_PREFIX}encoder.layer.{layer}.{part}.{kind}" for part in _HF_QKV]
            if missing := [part for part in parts if part not in state]:
                raise InvalidInput(f"this is not a complete Hugging Face AST: {missing[0]} is missing")
            out[f"blocks.{layer}.attn.qkv.{kind}"] = torch.cat([state.pop(part) for part in parts])
    for key, value in state.items():
        stem, _, kind = key.rpartition(".")
        ours = names.get(key) or (names.get(stem) and f"{names[stem]}.{kind}")
        if ours is None:
            raise InvalidInput(f"this is not a Hugging Face AST that astlib knows: unexpected parameter {key}")
        out[ours] = value
    return out


def to_huggingface(model: AST) -> "ASTForAudioClassification":
    """Convert a network to Hugging Face's. `save_huggingface` writes it to a folder.

    The configuration has the labels, the grid, the epsilon of the norms, mean and std, and says whether several classes
    may be present at once, so that transformers' pipeline chooses sigmoid or softmax accordingly.

    Args:
        model: an AST with two prefix tokens and square patches.

    Returns:
        The same network, float32, in eval mode.

    Raises:
        InvalidInput: one prefix token, or oblong patches: Hugging Face's port has neither.
        MissingPackage: transformers is not installed.
    """
    cfg = model.cfg
    if cfg.prefix_tokens != 2 or cfg.patch[0] != cfg.patch[1]:
        raise InvalidInput(
            "Hugging Face's AST always has two prefix tokens and square patches; this one has "
            f"{cfg.prefix_tokens} and {cfg.patch[0]}x{cfg.patch[1]}. "
            "astlib.transfer.adapt(model, cfg.replace(prefix_tokens=2)) adds a token, which then needs training"
        )
    if cfg.fill != "zero":
        warnings.warn(
            f'this AST was trained with fill="{cfg.fill}"; Hugging Face\'s front-end pads short clips with zeros, so '
            "their scores will differ slightly",
            stacklevel=2,
        )
    transformers = _transformers()
    labels = cfg.labels or tuple(f"LABEL_{i}" for i in range(cfg.label_dim))
    config = transformers.ASTConfig(
        hidden_size=cfg.dim,
        num_hidden_layers=cfg.depth,
        num_attention_heads=cfg.heads,
        intermediate_size=MLP_RATIO * cfg.dim,
        layer_norm_eps=cfg.layer_norm_eps,
        patch_size=cfg.patch[0],
        frequency_stride=cfg.fstride,
        time_stride=cfg.tstride,
        max_length=cfg.input_tdim,
        num_mel_bins=cfg.input_fdim,
        mean=cfg.mean,  # transformers has no such keys; they keep the constants with the weights
        std=cfg.std,
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
        problem_type="multi_label_classification" if cfg.multi_label else "single_label_classification",
    )
    network: ASTForAudioClassification = transformers.ASTForAudioClassification(config)
    theirs = state_to_huggingface(model.state_dict())
    keys = {_file_name(key): key for key in network.state_dict()}
    network.load_state_dict({keys[key]: value.detach().float().cpu() for key, value in theirs.items()})
    network.train(False)  # `eval`, which transformers leaves untyped
    return network


def feature_extractor(cfg: ASTConfig) -> "ASTFeatureExtractor":
    """Build transformers' front-end for a network. It cuts a long sound after `input_tdim` frames.

    Args:
        cfg: the configuration of the network.

    Returns:
        The front-end.

    Raises:
        MissingPackage: transformers is not installed.
    """
    made: ASTFeatureExtractor = _transformers().ASTFeatureExtractor(
        num_mel_bins=cfg.input_fdim, max_length=cfg.input_tdim, mean=cfg.mean, std=cfg.std
    )
    return made


def save_huggingface(model: AST, folder: str | Path) -> Path:
    """Write a folder that transformers' audio-classification pipeline loads.

    It holds the network and the front-end: `config.json`, `model.safetensors` (float32), `preprocessor_config.json`.

    Args:
        model: an AST with two prefix tokens and square patches.
        folder: it is created if it does not exist; other files in it stay.

    Returns:
        The folder.

    Raises:
        InvalidInput: as in `to_huggingface`.
        MissingPackage: transformers is not installed.
        OSError: the folder cannot be written.
    """
    parts: list[Any] = [to_huggingface(model), feature_extractor(model.cfg)]
    with whole_folder(folder) as unfinished:
        for part in parts:
            part.save_pretrained(unfinished)
    return Path(folder)


def from_huggingface(path_or_model: "str | Path | ASTForAudioClassification") -> AST:
    """Convert a Hugging Face AST.

    Mean and std come from its configuration if `to_huggingface` made it, otherwise from the `preprocessor_config.json`
    of the folder. Without either they are AudioSet's, as in transformers itself.

    Args:
        path_or_model: a folder, a hub name ("MIT/ast-finetuned-audioset-10-10-0.4593"), or a model in memory.

    Returns:
        The same network in eval mode.

    Raises:
        InvalidInput: it does not have one of the known sizes, or its parameters are not those of an AST.
        MissingPackage: transformers is not installed.
        OSError: there is no such folder, and the hub does not have it or cannot be reached.
    """
    transformers = _transformers()
    is_saved = isinstance(path_or_model, str | Path)
    network: Any = path_or_model  # Any: the type of a configuration's fields differs between versions of transformers
    if is_saved:
        network = transformers.ASTForAudioClassification.from_pretrained(path_or_model)
    theirs, constants = network.config, {}
    if hasattr(theirs, "mean") and hasattr(theirs, "std"):
        constants = {"mean": theirs.mean, "std": theirs.std}
    elif is_saved:
        try:
            extractor = transformers.ASTFeatureExtractor.from_pretrained(path_or_model)
            constants = {"mean": extractor.mean, "std": extractor.std}
        except OSError as error:
            warnings.warn(f"{path_or_model} has no front-end ({error}): mean and std are AudioSet's", stacklevel=2)
    shape = (theirs.hidden_size, theirs.num_attention_heads, theirs.num_hidden_layers)
    size = {value: name for name, value in SIZES.items()}.get(shape)  # base224 and base384 have one shape: base384
    if size is None:
        raise InvalidInput(f"astlib knows the widths, heads and layers {sorted(set(SIZES.values()))}; found {shape}")
    cfg = ASTConfig(
        label_dim=theirs.num_labels,
        fstride=theirs.frequency_stride,
        tstride=theirs.time_stride,
        input_fdim=theirs.num_mel_bins,
        input_tdim=theirs.max_length,
        model_size=size,
        patch=(theirs.patch_size, theirs.patch_size),
        layer_norm_eps=theirs.layer_norm_eps,
        multi_label=theirs.problem_type != "single_label_classification",
        labels=tuple(theirs.id2label[i] for i in range(theirs.num_labels)),
        **constants,
    )
    model = AST(cfg)
    model.load_state_dict(state_from_huggingface(network.state_dict()))
    return model.eval()


def load_original(path: str | Path, cfg: ASTConfig | None = None) -> AST:
    """Load a checkpoint of the original repository, without its two unused ImageNet heads.

    The file, saved from DataParallel, is read with `weights_only=True`: nothing in it is executed.

    Args:
        path: a `.pth` file.
        cfg: the configuration. None takes that of the released model with the same number of patches (strides of 10 to
            16 on AudioSet's 128 x 1024, or Speech Commands'), with the number of classes of the file.

    Returns:
        The network in eval mode.

    Raises:
        NotFound: there is no such file.
        InvalidInput: it cannot be read, is not a checkpoint of an AST, or does not fit `cfg`.
    """
    path = Path(path)
    if not path.is_file():
        raise NotFound(f"no checkpoint at {path}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, UnpicklingError) as error:  # cut short, no checkpoint, or with code inside
        raise InvalidInput(
            f"{path} cannot be read as a checkpoint: the download may be incomplete, or it holds more than tensors "
            f"({type(error).__name__})"
        ) from error
    if not isinstance(state, dict):
        raise InvalidInput(f"{path} is not a checkpoint of the original AST: it holds a {type(state).__name__}")
    state = {key.removeprefix("module.").removeprefix("v."): value for key, value in state.items()}
    state = {key: value for key, value in state.items() if not key.startswith(("head.", "head_dist."))}
    if not {"cls_token", "dist_token", "pos_embed", "mlp_head.1.weight"} <= set(state):
        raise InvalidInput(f"{path} is not a checkpoint of the original AST: it has {', '.join(list(state)[:4])} …")
    label_dim, dim = state["mlp_head.1.weight"].shape
    patches = state["pos_embed"].shape[1] - 2
    if cfg is None:
        size = {width: name for name, (width, *_) in SIZES.items()}.get(dim)  # 768 is base384
        if size is None:
            raise InvalidInput(
                f"{path} has tokens of width {dim}; astlib knows {sorted({w for w, *_ in SIZES.values()})}"
            )
        cfg = ASTConfig(label_dim=label_dim, model_size=size, **RELEASED_GRIDS.get(patches, {}))
    model = AST(cfg)
    if model.pos_embed.shape[1] != state["pos_embed"].shape[1]:
        f, t = token_grid(cfg)
        raise InvalidInput(
            f"{path} has {patches} patch tokens, the configuration {f * t}: give the strides and frames it was trained "
            "with, then change the grid with astlib.transfer.adapt"
        )
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise InvalidInput(
            f"{path} does not fit a {model.cfg.model_size} AST of {model.cfg.label_dim} classes: {error}"
        ) from error
    return model.eval()
