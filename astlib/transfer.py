"""From pictures to sound: give an AST the weights of a Vision Transformer, or of an AST with another grid.

Three things stand between an ImageNet ViT and a spectrogram: the picture has three colours and the spectrogram one
channel; the position embedding knows a square grid and the spectrogram is long; the head knows 1,000 objects. All else
is copied one to one (paper section 2.2; original src/models/ast_models.py:84-154).

Chapter: notebooks/05_pictures_to_sound.ipynb
"""

import os
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from .data.base import cache_folder
from .model import AST, ASTConfig, token_grid

CHANNELS = ("sum", "mean")
POSITIONS = ("bilinear", "nearest", "reinit", "none")
VIT_NAMES = {  # model_size -> timm names of ImageNet weights that fit, the paper's choice (distilled DeiT) first
    "tiny224": ("deit_tiny_distilled_patch16_224", "vit_tiny_patch16_224"),
    "small224": ("deit_small_distilled_patch16_224", "vit_small_patch16_224"),
    "base224": ("deit_base_distilled_patch16_224", "vit_base_patch16_224"),
    "base384": ("deit_base_distilled_patch16_384", "vit_base_patch16_384"),
    "large384": ("vit_large_patch16_384",),
}


class WeightsNotFound(FileNotFoundError):
    """Pretrained weights are neither on this machine nor to be had from the hub."""


def cut_or_stretch(pos: torch.Tensor, size: int, axis: int, mode: str) -> torch.Tensor:
    """One axis of `(1, dim, f, t)` to `size`: the centre is cut out if it is long enough, else it is interpolated."""
    have = pos.shape[axis]
    if size <= have:
        return pos.narrow(axis, have // 2 - size // 2, size)
    target = [size if a == axis else pos.shape[a] for a in (2, 3)]
    return F.interpolate(pos, size=target, mode=mode)  # align_corners and antialias off, as in the original


def adapt_position_embedding(
    pos_embed: torch.Tensor,
    source_grid: tuple[int, int],
    target_grid: tuple[int, int],
    prefix_tokens: int,
    mode: str = "bilinear",
) -> torch.Tensor:
    """Fit a position embedding to another grid of patches.

    pos_embed: `(1, prefix_tokens + f*t, dim)` on `source_grid` = `(f, t)`; returns the same on `target_grid`, float32.
    Time comes first, then frequency; on each axis a smaller target takes the centre of the source and a larger one is
    interpolated ("bilinear", or "nearest"). The prefix rows are kept. "reinit" draws all rows anew (truncated normal,
    std 0.02: the paper's table 4, "reinitialize"); "none" gives zeros: no position at all.
    Raises ValueError if pos_embed and source_grid do not match. Source: original src/models/ast_models.py:91-107.
    """
    if mode not in POSITIONS:
        raise ValueError(f"mode must be one of {', '.join(POSITIONS)}; found {mode!r}")
    dim, expected = pos_embed.shape[-1], prefix_tokens + source_grid[0] * source_grid[1]
    if pos_embed.ndim != 3 or pos_embed.shape[:2] != (1, expected):
        raise ValueError(
            f"a grid of {source_grid[0]} x {source_grid[1]} with {prefix_tokens} prefix tokens needs a position "
            f"embedding of shape (1, {expected}, dim); found {tuple(pos_embed.shape)}"
        )
    if mode in ("reinit", "none"):
        new = torch.zeros(1, prefix_tokens + target_grid[0] * target_grid[1], dim)
        return nn.init.trunc_normal_(new, std=0.02) if mode == "reinit" else new
    pos_embed = pos_embed.detach().float()
    prefix, pos = pos_embed[:, :prefix_tokens], pos_embed[:, prefix_tokens:]
    pos = pos.transpose(1, 2).reshape(1, dim, *source_grid)
    pos = cut_or_stretch(pos, target_grid[1], axis=3, mode=mode)
    pos = cut_or_stretch(pos, target_grid[0], axis=2, mode=mode)
    return torch.cat([prefix, pos.flatten(2).transpose(1, 2)], dim=1)


def to_one_channel(kernels: torch.Tensor, channels: str = "sum") -> torch.Tensor:
    """RGB patch kernels `(dim, 3, h, w)` -> `(dim, 1, h, w)`.

    "sum" (default) equals showing the picture network the spectrogram as a grey image: the same value in R, G and B.
    "mean" is what the paper's text says; its output is a third of that, so only "sum" keeps the activations that the
    pretrained blocks expect. The original's code sums (src/models/ast_models.py:86), and so does timm.
    """
    if channels not in CHANNELS:
        raise ValueError(f"channels must be one of {', '.join(CHANNELS)}; found {channels!r}")
    return getattr(torch, channels)(kernels, dim=1, keepdim=True)


def from_vit(
    vit: nn.Module | dict[str, torch.Tensor],
    cfg: ASTConfig,
    channels: str = "sum",
    position: str = "bilinear",
) -> AST:
    """An AST with the weights of a timm ViT or DeiT (the model or its state dict); the head is new.

    A plain ViT has one prefix token. If cfg asks for two, the distillation token starts as a copy of the class token
    plus noise (std 0.02): an exact copy would get the same gradient for ever and be a wasted token.
    With `position="none"` the position embedding is zero and is not trained.
    Raises ValueError if the weights are not a 16x16 ViT of the width and depth that cfg asks for.
    """
    state = dict(vit.state_dict() if isinstance(vit, nn.Module) else vit)
    missing = [key for key in ("cls_token", "pos_embed", "patch_embed.proj.weight", "norm.weight") if key not in state]
    if missing:
        raise ValueError(f"these are not the weights of a timm ViT or DeiT: {', '.join(missing)} missing")
    kernels = state["patch_embed.proj.weight"]
    wanted = (cfg.dim, 3, *cfg.patch)
    if tuple(kernels.shape) != wanted:
        if kernels.shape[1] == 1:
            raise ValueError("these weights have one input channel: this is an AST already, use astlib.transfer.adapt")
        raise ValueError(
            f"{cfg.model_size} with patches of {cfg.patch[0]}x{cfg.patch[1]} needs patch kernels of shape {wanted}; "
            f"found {tuple(kernels.shape)}. Other patch shapes train from scratch (paper, table 6)"
        )
    model = AST(cfg)
    source_prefix = 2 if "dist_token" in state else 1
    side = round((state["pos_embed"].shape[1] - source_prefix) ** 0.5)

    state = {key: value.detach().float() for key, value in state.items() if not key.startswith(("head", "pre_logits"))}
    state["patch_embed.proj.weight"] = to_one_channel(kernels.detach().float(), channels)
    state["pos_embed"] = adapt_position_embedding(
        state["pos_embed"], (side, side), token_grid(cfg), source_prefix, mode=position
    )
    _match_prefix(state, source_prefix, cfg.prefix_tokens)
    result = model.load_state_dict(state, strict=False)
    wrong = [key for key in result.missing_keys if not key.startswith("mlp_head")] + list(result.unexpected_keys)
    if wrong:
        raise ValueError(f"the ViT's weights do not fit a {cfg.model_size} AST: {', '.join(wrong[:5])} …")
    model.pos_embed.requires_grad_(position != "none")
    return model


def _match_prefix(state: dict[str, torch.Tensor], source: int, target: int) -> None:
    """Make `source` prefix tokens `target`: drop the distillation token, or make one from the class token."""
    pos = state["pos_embed"]
    if source == 2 and target == 1:
        del state["dist_token"]
        state["pos_embed"] = torch.cat([pos[:, :1], pos[:, 2:]], dim=1)
    if source == 1 and target == 2:
        cls = state["cls_token"]
        state["dist_token"] = cls + nn.init.trunc_normal_(torch.empty_like(cls), std=0.02)
        state["pos_embed"] = torch.cat([pos[:, :1], pos], dim=1)


def adapt(model: AST, cfg: ASTConfig, position: str = "bilinear") -> AST:
    """An AST with another grid: other length, mel count or strides (the original cannot change strides).

    All weights are copied, the position embedding is adapted as from a ViT (a longer axis stretches it, a shorter one
    takes its centre), and the head is kept if `label_dim` and `labels` are the same, else it is new.
    Raises ValueError if size or patch shape differ.
    """
    if (model.cfg.model_size, model.cfg.patch) != (cfg.model_size, cfg.patch):
        raise ValueError(
            f"cannot turn a {model.cfg.model_size} AST with patches {model.cfg.patch} into a {cfg.model_size} one with "
            f"patches {cfg.patch}: the weights have other shapes. Only the grid, prefix tokens and head may change"
        )
    state = {key: value.detach().float() for key, value in model.state_dict().items()}
    if (model.cfg.label_dim, model.cfg.labels) != (cfg.label_dim, cfg.labels):
        state = {key: value for key, value in state.items() if not key.startswith("mlp_head")}
    state["pos_embed"] = adapt_position_embedding(
        state["pos_embed"], token_grid(model.cfg), token_grid(cfg), model.cfg.prefix_tokens, mode=position
    )
    _match_prefix(state, model.cfg.prefix_tokens, cfg.prefix_tokens)
    new = AST(cfg)
    new.load_state_dict(state, strict=False)
    new.pos_embed.requires_grad_(position != "none")
    return new


def weight_folders() -> list[Path]:
    """Where weights are looked for, in this order: $ASTLIB_WEIGHTS, then the user's cache."""
    chosen = os.environ.get("ASTLIB_WEIGHTS")
    return [*([Path(chosen).expanduser()] if chosen else []), cache_folder().parent / "weights"]


def find_vit(name: str) -> Path | None:
    """The file of ImageNet weights on this machine, or None. Never touches the network.

    name: a model size ("tiny224": any of its `VIT_NAMES`), a timm name, or a `.safetensors` file.
    """
    if name.endswith(".safetensors"):
        return Path(name) if Path(name).is_file() else None
    for folder in weight_folders():
        for stem in VIT_NAMES.get(name, (name,)) if folder.is_dir() else ():
            # the plain name, then ImageNet-1k, then timm's tags: never another training that begins alike (dino, in21k)
            for found in (f"{stem}.safetensors", f"{stem}_in1k.safetensors", f"{stem}.*.safetensors"):
                for path in sorted(path for path in folder.iterdir() if path.match(found)):
                    return path
    return None


def load_vit(name_or_path: str | Path) -> dict[str, torch.Tensor]:
    """ImageNet weights as a timm state dict: from a `.safetensors` file, a model size ("tiny224"), or a timm name.

    A size or name is looked for in the weight folders first and then asked from the hub by timm.
    Raises WeightsNotFound, with the places that were tried, if that is impossible.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = find_vit(str(name_or_path))
    if path is not None:
        try:
            return load_file(path)
        except SafetensorError as error:
            raise WeightsNotFound(f"{path} is damaged: {error}. Copy or download it again") from error
    if Path(name_or_path).suffix in (".safetensors", ".pth", ".pt", ".bin"):
        raise WeightsNotFound(f"no weights at {name_or_path}: expected a .safetensors file that exists")
    name = VIT_NAMES.get(str(name_or_path), (str(name_or_path),))[0]
    nowhere = f"no {name} weights in {', '.join(str(folder) for folder in weight_folders())}"
    try:
        import timm
    except ImportError as error:
        raise WeightsNotFound(f"{nowhere}; `pip install timm` lets astlib fetch them") from error
    try:
        return timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # timm, huggingface_hub and requests each raise their own kinds when offline
        raise WeightsNotFound(
            f"{nowhere}, and the hub did not give them ({type(error).__name__}: {error}). "
            "Put the .safetensors file into the folder that ASTLIB_WEIGHTS names"
        ) from error
