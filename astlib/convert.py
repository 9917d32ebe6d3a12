"""The same network in other formats: the original's checkpoints, and Hugging Face's port in both directions.

Both agree with astlib on every operation. They differ in the names of the parameters, in whether query, key and value
are one matrix or three, and in the epsilon of the norms: the original has 1e-6 in the encoder and 1e-5 in the head,
Hugging Face one value for all norms, by default 1e-12. In astlib the head keeps its 1e-5, which changes logits by parts
in 100,000. `astlib.export` writes ONNX.

Chapters: notebooks/04_the_whole_ast.ipynb and notebooks/17_out_into_the_world.ipynb
"""

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .decisions import Decision
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

# Of transformers' ASTConfig: what must be a whole number, up to which, and what astlib's AST has in one way only.
_HF_WHOLE_NUMBERS = (
    "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "patch_size", "frequency_stride",
    "time_stride", "max_length", "num_mel_bins",
)  # fmt: skip
_HF_LARGEST = 100_000
_HF_CHOICES: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("gelu",),
    "qkv_bias": (True,),
    "problem_type": (None, "single_label_classification", "multi_label_classification"),
}
AUDIOSET_CLASSES = 527
SAMPLE_RATE = 16_000  # Hz, of astlib's front-end


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

    It holds the network and the front-end: `config.json`, `model.safetensors` (float32), `preprocessor_config.json`;
    and `decision.json`, which transformers does not read, if the model has a decision. So the pipeline's probabilities
    are those of the temperature 1.

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
        if model.decision != Decision():
            model.decision.save(unfinished)
    return Path(folder)


def from_huggingface(path_or_model: "str | Path | ASTForAudioClassification") -> AST:
    """Convert a Hugging Face AST.

    Mean and std come from its configuration if `to_huggingface` made it, otherwise from the `preprocessor_config.json`
    of the folder. Without either they are AudioSet's, as in transformers itself.

    Whether several classes may be present at once is its `problem_type`. Where that is not set, transformers' pipeline
    takes softmax, and so does astlib; except for AudioSet's 527 classes, whose published checkpoint leaves it unset and
    was trained with sigmoid.

    Args:
        path_or_model: a folder, a hub name ("MIT/ast-finetuned-audioset-10-10-0.4593"), or a model in memory.

    Returns:
        The same network in eval mode.

    Raises:
        InvalidInput: it is not an AST, a file is damaged, weights are missing, or its configuration has a value that
            astlib's AST does not have: another size, activation or problem.
        MissingPackage: transformers is not installed.
        OSError: there is no such folder, and the hub does not have it or cannot be reached.
    """
    if isinstance(path_or_model, str | Path):
        cfg, network = _open_huggingface(str(path_or_model))
    else:
        network = path_or_model
        cfg = _from_their_config(network.config.to_dict(), "the configuration")
    model = AST(cfg)
    model.load_state_dict(state_from_huggingface(network.state_dict()))
    return model.eval()


def _open_huggingface(name: str) -> tuple[ASTConfig, "ASTForAudioClassification"]:
    """Read a folder or a hub name. The configuration is checked before it decides how much memory is taken."""
    transformers = _transformers()
    try:
        values = transformers.PretrainedConfig.get_config_dict(name)[0]
        front_end = {} if "mean" in values and "std" in values else _front_end(name)
        cfg = _from_their_config({**transformers.ASTConfig().to_dict(), **front_end, **values}, name)
        network, report = transformers.ASTForAudioClassification.from_pretrained(name, output_loading_info=True)
    except (OSError, InvalidInput):
        raise
    except Exception as error:  # transformers, its validation and safetensors each have exceptions of their own
        why = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise InvalidInput(f"{name} cannot be opened as a Hugging Face AST ({why:.300})") from error
    if missing := sorted(report["missing_keys"]):
        raise InvalidInput(
            f"{name} has no weights for {_some(missing)}: transformers would draw them at random. "
            "An AST with a trained head has all of them"
        )
    return cfg, network


def _front_end(name: str) -> dict[str, Any]:
    """The constants of the front-end that is saved beside a network; none, with a warning, if there is no front-end."""
    try:
        extractor = _transformers().ASTFeatureExtractor.from_pretrained(name)
    except OSError as error:
        warnings.warn(f"{name} has no front-end ({error}): mean and std are AudioSet's", stacklevel=4)
        return {}
    if extractor.sampling_rate != SAMPLE_RATE:
        raise InvalidInput(f"{name} hears sound at {extractor.sampling_rate} Hz; astlib's front-end has {SAMPLE_RATE}")
    if not extractor.do_normalize:
        return {"mean": 0.0, "std": 0.5}  # (mel - mean) / (2 * std) is then the log-mel itself
    return {"mean": extractor.mean, "std": extractor.std}


def _from_their_config(values: Mapping[str, Any], name: str) -> ASTConfig:
    """The configuration of the same network here; `values` are those of transformers' ASTConfig."""
    if values["model_type"] != "audio-spectrogram-transformer":
        raise InvalidInput(f"{name} is no AST: its model_type is {values['model_type']!r:.60}")
    for key in _HF_WHOLE_NUMBERS:
        if type(values[key]) is not int or not 1 <= values[key] <= _HF_LARGEST:
            raise InvalidInput(
                f"{name}: {key} must be a whole number from 1 to {_HF_LARGEST}; found {values[key]!r:.40}"
            )
    for key, known in _HF_CHOICES.items():
        if values[key] not in known:
            choices = " or ".join(str(choice) for choice in known)
            raise InvalidInput(f"{name}: astlib's AST has {key} {choices}; found {values[key]!r:.60}")
    dim, heads, depth = (values[key] for key in ("hidden_size", "num_attention_heads", "num_hidden_layers"))
    size = {shape: name for name, shape in SIZES.items()}.get((dim, heads, depth))  # base224 and base384 have one shape
    if size is None or values["intermediate_size"] != MLP_RATIO * dim:
        found = f"{(dim, heads, depth)} with an MLP of {values['intermediate_size']}"
        raise InvalidInput(
            f"astlib knows the widths, heads and layers {sorted(set(SIZES.values()))} with an MLP of {MLP_RATIO} times "
            f"the width; found {found}"
        )
    labels = _labels(values, name)
    several = values["problem_type"] == "multi_label_classification"
    try:
        return ASTConfig(
            label_dim=len(labels),
            fstride=values["frequency_stride"],
            tstride=values["time_stride"],
            input_fdim=values["num_mel_bins"],
            input_tdim=values["max_length"],
            model_size=size,
            patch=(values["patch_size"], values["patch_size"]),
            layer_norm_eps=values["layer_norm_eps"],
            multi_label=several or (values["problem_type"] is None and len(labels) == AUDIOSET_CLASSES),
            labels=labels,
            **{key: values[key] for key in ("mean", "std") if key in values},
        )
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{name}: {error}") from error


def _labels(values: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """The names of the classes, which transformers keeps by number."""
    names: Any = values.get("id2label")
    count = values.get("num_labels")
    if isinstance(count, int) and 1 <= count <= _HF_LARGEST and not (isinstance(names, dict) and len(names) == count):
        return tuple(f"LABEL_{i}" for i in range(count))  # a file without names
    try:
        by_number = {int(number): label for number, label in names.items()}  # JSON has texts for numbers
        labels = tuple(by_number[i] for i in range(len(by_number)))
    except (AttributeError, TypeError, ValueError, KeyError):
        labels = ()
    if not labels or not all(isinstance(label, str) for label in labels):
        raise InvalidInput(f"{name}: id2label must name each class, by its number from 0; found {names!r:.60}")
    return labels


def load_original(path: str | Path, cfg: ASTConfig | None = None) -> AST:
    """Load a checkpoint of the original repository, without its two unused ImageNet heads.

    The file is read with `weights_only=True`: nothing in it is executed. The parameters may be all that it holds, as in
    the original's files, or one of several entries (`model`, `state_dict`) beside an epoch, a metric or an optimizer;
    and there may be something in front of their names (`module.` of DataParallel, `model.` of Lightning).

    Args:
        path: a `.pth`, `.pt` or `.ckpt` file.
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
    state = _parameters(path)
    patches = state["pos_embed"].shape[1] - 2
    cfg = cfg or _released_config(path, state, patches)
    f, t = token_grid(cfg)
    if f * t != patches:
        raise InvalidInput(
            f"{path} has {patches} patch tokens, the configuration {f * t}: give the strides and frames it was trained "
            "with, then change the grid with astlib.transfer.adapt"
        )
    with torch.device("meta"):  # shapes without memory
        expected = {key: value.shape for key, value in AST(cfg).state_dict().items()}
    found = {key: value.shape for key, value in state.items()}
    if wrong := sorted({key for key, _ in expected.items() ^ found.items()}):
        raise InvalidInput(
            f"{path} does not fit a {cfg.model_size} AST of {cfg.label_dim} classes: missing, left over or of another "
            f"shape are {_some(wrong)}"
        )
    model = AST(cfg)
    model.load_state_dict(state)
    return model.eval()


def _released_config(path: Path, state: Mapping[str, Tensor], patches: int) -> ASTConfig:
    """The configuration of the released model with as many patches, for the classes of the file."""
    label_dim, dim = state["mlp_head.1.weight"].shape
    size = {width: name for name, (width, *_) in SIZES.items()}.get(dim)  # 768 is base384
    if size is None:
        raise InvalidInput(f"{path} has tokens of width {dim}; astlib knows {sorted({w for w, *_ in SIZES.values()})}")
    return ASTConfig(label_dim=label_dim, model_size=size, **RELEASED_GRIDS.get(patches, {}))


def _parameters(path: Path) -> dict[str, Tensor]:
    """The parameters of the AST in a checkpoint, by their names in astlib; anything else in the file is left."""
    try:
        content = _load(path)
    except Exception as error:  # cut short, no checkpoint, with code inside: a damaged pickle can raise anything
        raise InvalidInput(
            f"{path} cannot be read as a checkpoint: the download may be incomplete, or it holds more than tensors and "
            f"numbers ({type(error).__name__}). If you trust where it comes from, save its state_dict in a file alone"
        ) from error
    if not isinstance(content, Mapping):
        raise InvalidInput(f"{path} is not a checkpoint of the original AST: it holds a {type(content).__name__}")
    states = [_named(entry) for entry in (content, *content.values()) if isinstance(entry, Mapping)]
    state = next((state for state in states if "cls_token" in state), {})
    if any(key.startswith(("mask_embed", "cpredlayer", "gpredlayer")) for key in state):
        raise InvalidInput(
            f"{path} is a checkpoint of SSAST (Gong et al. 2022), pretrained without labels: it has no head for "
            "classes, and its fine-tuning averages all tokens, which astlib's AST does not do"
        )
    if "cls_token" in state and "mlp_head.1.weight" not in state:
        raise InvalidInput(
            f"{path} has no mlp_head: this is a ViT or the body of an AST. astlib.transfer.from_vit builds an AST from "
            "a ViT of timm"
        )
    shapes = {"cls_token": 3, "dist_token": 3, "pos_embed": 3, "mlp_head.1.weight": 2}
    if not all(isinstance(state.get(key), Tensor) and state[key].ndim == ndim for key, ndim in shapes.items()):
        raise InvalidInput(f"{path} is not a checkpoint of the original AST: it has {_some(list(state or content))}")
    if odd := [key for key, value in state.items() if not (isinstance(value, Tensor) and value.is_floating_point())]:
        raise InvalidInput(f"{path} has something else than weights in {_some(odd)}")
    if sum(value.numel() * value.element_size() for value in state.values()) > path.stat().st_size:
        raise InvalidInput(f"{path} is damaged: its tensors claim to be larger than the file")
    return state


def _named(entry: Mapping[Any, Any]) -> dict[str, Any]:
    """A dictionary of parameters without what stands in front of their names, and without the dead ImageNet heads.

    Such as `module.v.cls_token`, of DataParallel: the encoder is `v`, the head is beside it (`module.mlp_head.0.bias`).
    """
    keys = [key for key in entry if isinstance(key, str)]
    front = next((key.removesuffix("cls_token").removesuffix("v.") for key in keys if key.endswith("cls_token")), "")
    names = {key.removeprefix(front).removeprefix("v."): key for key in keys if key.startswith(front)}
    return {name: entry[key] for name, key in names.items() if not name.startswith(("head.", "head_dist."))}


def _load(path: Path) -> Any:
    """Read a checkpoint without executing anything; numbers of NumPy, such as a best accuracy, may be in it."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError:
        scalar = np.float64(0).__reduce__()[0]  # the function that makes them; NumPy 1 and 2 have two names for it
        known: list[Any] = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
        codes = np.typecodes["AllInteger"] + np.typecodes["Float"] + "?"
        known += [np.dtype, *(type(np.dtype(code)) for code in codes)]
        with torch.serialization.safe_globals(known):  # torch 2.4 and 2.5 cannot
            return torch.load(path, map_location="cpu", weights_only=True)


def _some(names: Sequence[object], most: int = 4) -> str:
    """The first of many names, each of them cut, for a message."""
    return ", ".join(f"{name!s:.60}" for name in names[:most]) + (" …" if len(names) > most else "")
