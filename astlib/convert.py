"""The other formats of the same network: the original's checkpoints, Hugging Face's port both ways, and ONNX.

The first two agree with astlib on every operation. They differ in names, in whether query, key and value are one
matrix or three, and in the epsilon of the norms: the original has 1e-6 in the encoder and 1e-5 in the head, Hugging
Face one value for all, by default 1e-12. The head keeps its 1e-5 here, which moves logits by parts in 100,000.

Chapters: notebooks/04_the_whole_ast.ipynb and notebooks/17_out_into_the_world.ipynb
"""

import json
import os
import re
import tempfile
import warnings
from pathlib import Path
from pickle import UnpicklingError

import torch

from .cnn import Network, open_saved
from .export import to_onnx as to_onnx
from .model import AST, MLP_RATIO, SIZES, ASTConfig, find_model
from .transfer import weight_folders

# The released models that the paper's two AudioSet ensembles are made of, by hub name: mAP 0.475 and 0.485.
ENSEMBLE_S = tuple(f"MIT/ast-finetuned-audioset-10-10-{v}" for v in ("0.450", "0.448", "0.448-v2"))
ENSEMBLE_M = (
    *ENSEMBLE_S,
    *(f"MIT/ast-finetuned-audioset-{v}" for v in ("12-12-0.447", "14-14-0.443", "16-16-0.442")),
)

# Patches of the original's released checkpoints -> what else they tell: strides, frames, normalisation.
RELEASED = {
    850: {"fstride": 12, "tstride": 12},
    657: {"fstride": 14, "tstride": 14},
    512: {"fstride": 16, "tstride": 16},
    144: {"input_tdim": 128, "mean": -6.845978, "std": 5.5654526},
}

# astlib's name -> the name inside the files that transformers writes. transformers 5 calls the modules differently in
# memory, but saves and loads these; `_in_memory` below translates.
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
_MODERN = [  # (in memory since transformers 5, in files)
    (r"(^|\.)layers\.(\d+)\.", r"\1encoder.layer.\2."),
    (r"\.attention\.q_proj\.", ".attention.attention.query."),
    (r"\.attention\.k_proj\.", ".attention.attention.key."),
    (r"\.attention\.v_proj\.", ".attention.attention.value."),
    (r"\.attention\.o_proj\.", ".attention.output.dense."),
    (r"\.mlp\.fc1\.", ".intermediate.dense."),
    (r"\.mlp\.fc2\.", ".output.dense."),
]


def _file_name(key: str) -> str:
    """A key of a transformers model in memory -> the key that its files use (the same for transformers 4)."""
    for pattern, replacement in _MODERN:
        key = re.sub(pattern, replacement, key)
    return key


def state_to_huggingface(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """astlib's state dict -> keys of a Hugging Face AST file."""
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


def state_from_huggingface(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Keys of a Hugging Face AST, as in its files or as in memory -> astlib's state dict."""
    state = {_file_name(key): value for key, value in state.items()}
    depth = len({key.split(".layer.")[1].split(".")[0] for key in state if ".encoder.layer." in key})
    if not depth:
        raise ValueError("not a Hugging Face AST: it has no layers")
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
                raise ValueError(f"not a whole Hugging Face AST: {missing[0]} is missing")
            out[f"blocks.{layer}.attn.qkv.{kind}"] = torch.cat([state.pop(part) for part in parts])
    for key, value in state.items():
        stem, _, kind = key.rpartition(".")
        ours = names.get(key) or (names.get(stem) and f"{names[stem]}.{kind}")
        if ours is None:
            raise ValueError(f"not a Hugging Face AST that astlib knows: unexpected parameter {key}")
        out[ours] = value
    return out


def to_huggingface(model: AST):
    """The same network as `transformers.ASTForAudioClassification`, float32, in eval mode.

    Its configuration carries the labels, the grid, the norm's epsilon, mean and std, and whether it is multi-label, so
    that transformers' pipeline takes sigmoid or softmax as it should. `save_huggingface` writes it to a folder.
    Raises ValueError for a one-token AST: Hugging Face's port always has a class and a distillation token.
    """
    from transformers import ASTConfig as HFConfig
    from transformers import ASTForAudioClassification

    cfg = model.cfg
    if cfg.prefix_tokens != 2 or cfg.patch[0] != cfg.patch[1]:
        raise ValueError(
            "Hugging Face's AST always has two prefix tokens and square patches; this one has "
            f"{cfg.prefix_tokens} and {cfg.patch[0]}x{cfg.patch[1]}. "
            "astlib.transfer.adapt(model, cfg.replace(prefix_tokens=2)) adds a token, which then needs training"
        )
    if cfg.fill != "zero":
        warnings.warn(
            f'this AST was trained with fill="{cfg.fill}"; Hugging Face\'s front-end pads short clips with zeros, so '
            "their scores will differ a little",
            stacklevel=2,
        )
    labels = cfg.labels or tuple(f"LABEL_{i}" for i in range(cfg.label_dim))
    config = HFConfig(
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
        mean=cfg.mean,  # not transformers' own keys: they keep the constants with the weights
        std=cfg.std,
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
        problem_type="multi_label_classification" if cfg.multi_label else "single_label_classification",
    )
    hf = ASTForAudioClassification(config)
    theirs = state_to_huggingface(model.state_dict())
    keys = {_file_name(key): key for key in hf.state_dict()}
    hf.load_state_dict({keys[key]: value.detach().float().cpu() for key, value in theirs.items()})
    return hf.eval()


def feature_extractor(cfg: ASTConfig):
    """transformers' front-end with this model's constants. It cuts a long sound after `input_tdim` frames."""
    from transformers import ASTFeatureExtractor

    return ASTFeatureExtractor(num_mel_bins=cfg.input_fdim, max_length=cfg.input_tdim, mean=cfg.mean, std=cfg.std)


def save_huggingface(model: AST, folder: str | Path) -> Path:
    """Write a folder that transformers' audio-classification pipeline loads; returns it.

    It holds the network and the front-end: `config.json`, `model.safetensors` (float32), `preprocessor_config.json`.
    Raises ValueError for a one-token AST, as `to_huggingface` does, and OSError if the folder cannot be written.
    """
    parts = [to_huggingface(model), feature_extractor(model.cfg)]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".unfinished-") as temporary:
        for part in parts:
            part.save_pretrained(temporary)
        for path in Path(temporary).iterdir():  # a kill never leaves half a file under its real name
            os.replace(path, folder / path.name)
    return folder


def from_huggingface(path_or_model) -> AST:
    """A Hugging Face AST: a folder, a hub name ("MIT/ast-finetuned-audioset-10-10-0.4593"), or a model in memory.

    mean and std come from its configuration if `to_huggingface` made it, else from the folder's
    preprocessor_config.json; without either they are AudioSet's, as in transformers itself.
    Raises ValueError if it is not one of the known sizes or its parameters are not those of an AST.
    """
    from transformers import ASTFeatureExtractor, ASTForAudioClassification

    hf, extra = path_or_model, {}
    if isinstance(path_or_model, str | Path):
        hf = ASTForAudioClassification.from_pretrained(path_or_model)
    if hasattr(hf.config, "mean") and hasattr(hf.config, "std"):
        extra = {"mean": hf.config.mean, "std": hf.config.std}
    elif isinstance(path_or_model, str | Path):
        try:
            extractor = ASTFeatureExtractor.from_pretrained(path_or_model)
            extra = {"mean": extractor.mean, "std": extractor.std}
        except OSError as error:
            warnings.warn(f"{path_or_model} has no front-end ({error}): mean and std are AudioSet's", stacklevel=2)
    theirs = hf.config
    shape = (theirs.hidden_size, theirs.num_attention_heads, theirs.num_hidden_layers)
    size = {value: name for name, value in SIZES.items()}.get(shape)  # base224 and base384 are one shape: base384
    if size is None:
        raise ValueError(f"astlib knows the widths, heads and layers {sorted(set(SIZES.values()))}; found {shape}")
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
        **extra,
    )
    model = AST(cfg)
    model.load_state_dict(state_from_huggingface(hf.state_dict()))
    return model.eval()


def load_original(path: str | Path, cfg: ASTConfig | None = None) -> AST:
    """A checkpoint of the original repository (`.pth`, saved from DataParallel), without its dead ImageNet heads.

    cfg: the grid; by default that of the released model with as many patches (strides 10 to 16 on AudioSet's 128 x
    1024, or Speech Commands'), with the file's classes.
    The file is read with `weights_only=True`: nothing in it is executed.
    Raises FileNotFoundError, or ValueError if it cannot be read, is not an AST's, or does not fit cfg.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, UnpicklingError) as error:  # cut short, no checkpoint, or with code inside
        raise ValueError(
            f"{path} cannot be read as a checkpoint: the download may be incomplete, or it holds more than tensors "
            f"({type(error).__name__})"
        ) from error
    if not isinstance(state, dict):
        raise ValueError(f"{path} is not a checkpoint of the original AST: it holds a {type(state).__name__}")
    state = {key.removeprefix("module.").removeprefix("v."): value for key, value in state.items()}
    state = {key: value for key, value in state.items() if not key.startswith(("head.", "head_dist."))}
    if not {"cls_token", "dist_token", "pos_embed", "mlp_head.1.weight"} <= set(state):
        raise ValueError(f"{path} is not a checkpoint of the original AST: it has {', '.join(list(state)[:4])} …")
    label_dim, dim = state["mlp_head.1.weight"].shape
    size = {width: name for name, (width, *_) in SIZES.items()}.get(dim)
    patches = state["pos_embed"].shape[1] - 2
    model = AST(cfg or ASTConfig(label_dim=label_dim, model_size=size, **RELEASED.get(patches, {})))
    if model.pos_embed.shape[1] != state["pos_embed"].shape[1]:
        raise ValueError(
            f"{path} has {state['pos_embed'].shape[1] - 2} patch tokens, the configuration "
            f"{model.pos_embed.shape[1] - 2}: give the strides and frames it was trained with, "
            "then change the grid with astlib.transfer.adapt"
        )
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(
            f"{path} does not fit a {model.cfg.model_size} AST of {model.cfg.label_dim} classes: {error}"
        ) from error
    return model.eval()


def open_model(source: str | Path) -> Network:
    """A network from wherever it is: a folder or name that astlib knows (an AST, or one of `astlib.cnn`), a checkpoint
    of the original (.pth), or a Hugging Face folder or hub name.

    Raises FileNotFoundError or ValueError that says what was tried.
    """
    text = str(source)
    if text.endswith((".pth", ".pt")):
        places = [Path(text), *(folder / text for folder in weight_folders())]
        return load_original(next((path for path in places if path.is_file()), Path(text)))
    try:
        folder = find_model(source)
    except FileNotFoundError:
        if "/" not in text or Path(text).is_absolute() or text.startswith("."):
            raise
        folder = Path(text)
    config = folder / "config.json"
    if config.is_file() and "model_type" not in json.loads(config.read_text(encoding="utf-8")):
        return open_saved(folder)
    try:
        return from_huggingface(text if not config.is_file() else folder)
    except OSError as error:
        raise FileNotFoundError(
            f"{text} is no folder with a saved AST here, and the Hugging Face hub did not give it "
            f"({str(error).splitlines()[0]}). "
            "Download it elsewhere and give the folder"
        ) from error
