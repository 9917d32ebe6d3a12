"""From pictures to sound: give an AST the weights of a Vision Transformer, or of an AST with another grid.

An ImageNet ViT differs from an AST in three places: its images have three colour channels, a spectrogram has one; its
position embedding is for a square grid, a spectrogram is long; its head knows 1,000 objects. Everything else is copied
one to one (paper section 2.2; original src/models/ast_models.py:84-154). PSLA starts from an EfficientNet, which
differs in the channels and the head only.

Chapter: notebooks/05_pictures_to_sound.ipynb
"""

from pathlib import Path
from typing import Literal, cast, get_args, overload

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .cnn import CNN, EFFICIENTNET, PSLA, CNNConfig
from .errors import InvalidInput, WeightsNotFound
from .model import AST, ASTConfig, token_grid
from .paths import weight_folders
from .saved import NetworkConfig

Channels = Literal["sum", "mean"]
Position = Literal["bilinear", "nearest", "reinit", "none"]
CHANNELS: tuple[Channels, ...] = get_args(Channels)
POSITIONS: tuple[Position, ...] = get_args(Position)
VIT_NAMES = {  # model_size: timm names of ImageNet weights that fit, the paper's choice (distilled DeiT) first
    "tiny224": ("deit_tiny_distilled_patch16_224", "vit_tiny_patch16_224"),
    "small224": ("deit_small_distilled_patch16_224", "vit_small_patch16_224"),
    "base224": ("deit_base_distilled_patch16_224", "vit_base_patch16_224"),
    "base384": ("deit_base_distilled_patch16_384", "vit_base_patch16_384"),
    "large384": ("vit_large_patch16_384",),
}


def cut_or_stretch(pos: Tensor, size: int, axis: int, mode: str) -> Tensor:
    """Change the length of one axis: its centre is cut out if it is long enough, else it is interpolated.

    Args:
        pos: position embeddings as a grid, `(1, dim, f, t)`.
        size: the new length.
        axis: 2 for frequency, 3 for time.
        mode: "bilinear" or "nearest", as for `torch.nn.functional.interpolate`.

    Returns:
        The grid with the new length.
    """
    have = pos.shape[axis]
    if size <= have:
        return pos.narrow(axis, have // 2 - size // 2, size)
    target = [size if a == axis else pos.shape[a] for a in (2, 3)]
    return F.interpolate(pos, size=target, mode=mode)  # align_corners and antialias off, as in the original


def adapt_position_embedding(
    pos_embed: Tensor,
    source_grid: tuple[int, int],
    target_grid: tuple[int, int],
    prefix_tokens: int,
    mode: Position = "bilinear",
) -> Tensor:
    """Fit a position embedding to another grid of patches.

    Time is adapted first, then frequency: a smaller target takes the centre of the source, a larger one is
    interpolated. The rows of the prefix tokens are kept. Source: original src/models/ast_models.py:91-107.

    Args:
        pos_embed: `(1, prefix_tokens + f * t, dim)`.
        source_grid: its `(f, t)`.
        target_grid: the `(f, t)` of the result.
        prefix_tokens: number of tokens in front of the patches.
        mode: how to interpolate, "bilinear" or "nearest"; or "reinit" to re-initialise all rows (truncated normal, std
            0.02; "reinitialize" in the paper's table 4); or "none" for zeros, that is, no position at all.

    Returns:
        `(1, prefix_tokens + f * t, dim)` float32, on the target grid.

    Raises:
        InvalidInput: `pos_embed` and `source_grid` do not match, or an unknown mode.
    """
    if mode not in POSITIONS:
        raise InvalidInput(f"mode must be one of {', '.join(POSITIONS)}; found {mode!r}")
    dim, expected = pos_embed.shape[-1], prefix_tokens + source_grid[0] * source_grid[1]
    if pos_embed.ndim != 3 or pos_embed.shape[:2] != (1, expected):
        raise InvalidInput(
            f"a grid of {source_grid[0]} x {source_grid[1]} with {prefix_tokens} prefix tokens needs a position "
            f"embedding of shape (1, {expected}, dim); found {tuple(pos_embed.shape)}"
        )
    if mode in ("reinit", "none"):
        new = torch.zeros(1, prefix_tokens + target_grid[0] * target_grid[1], dim)
        return nn.init.trunc_normal_(new, std=0.02) if mode == "reinit" else new
    pos_embed = pos_embed.detach().float()
    prefix, pos = pos_embed[:, :prefix_tokens], pos_embed[:, prefix_tokens:]
    pos = pos.transpose(1, 2).reshape(1, dim, *source_grid)  # (1, dim, f, t)
    pos = cut_or_stretch(pos, target_grid[1], axis=3, mode=mode)
    pos = cut_or_stretch(pos, target_grid[0], axis=2, mode=mode)
    return torch.cat([prefix, pos.flatten(2).transpose(1, 2)], dim=1)


def to_one_channel(kernels: Tensor, channels: Channels = "sum") -> Tensor:
    """Turn the kernels of an RGB image network into kernels for one channel.

    The sum is equivalent to showing the image network a grey image, the same value in R, G and B. The mean is what the
    paper's text says; its output is a third of that, so that only the sum keeps the activations which the pretrained
    blocks expect. The original's code sums (src/models/ast_models.py:86), and so does timm.

    Args:
        kernels: `(dim, 3, height, width)`.
        channels: "sum" or "mean".

    Returns:
        `(dim, 1, height, width)`.

    Raises:
        InvalidInput: an unknown value of `channels`.
    """
    if channels not in CHANNELS:
        raise InvalidInput(f"channels must be one of {', '.join(CHANNELS)}; found {channels!r}")
    return kernels.sum(dim=1, keepdim=True) if channels == "sum" else kernels.mean(dim=1, keepdim=True)


def from_vit(
    vit: nn.Module | dict[str, Tensor],
    cfg: ASTConfig,
    channels: Channels = "sum",
    position: Position = "bilinear",
) -> AST:
    """Build an AST with the weights of a timm ViT or DeiT; the head is new.

    A plain ViT has one prefix token. If `cfg` asks for two, the distillation token starts as a copy of the class token
    plus noise (std 0.02): an exact copy would always receive the same gradient, and the second token would be wasted.

    Args:
        vit: the model, or its state dict.
        cfg: the AST to build.
        channels: how three colour channels become one, see `to_one_channel`.
        position: how the position embedding is adapted, see `adapt_position_embedding`. With "none" it is zero and is
            not trained.

    Returns:
        The network.

    Raises:
        InvalidInput: the weights are not those of a 16 x 16 ViT of the width and depth that `cfg` asks for.
    """
    state = dict(vit.state_dict() if isinstance(vit, nn.Module) else vit)
    missing = [key for key in ("cls_token", "pos_embed", "patch_embed.proj.weight", "norm.weight") if key not in state]
    if missing:
        raise InvalidInput(f"these are not the weights of a timm ViT or DeiT: {', '.join(missing)} missing")
    kernels = state["patch_embed.proj.weight"]  # (dim, 3, 16, 16)
    wanted = (cfg.dim, 3, *cfg.patch)
    if tuple(kernels.shape) != wanted:
        if kernels.shape[1] == 1:
            raise InvalidInput(
                "these weights have one input channel: this is an AST already, use astlib.transfer.adapt"
            )
        raise InvalidInput(
            f"{cfg.model_size} with patches of {cfg.patch[0]}x{cfg.patch[1]} needs patch kernels of shape {wanted}; "
            f"found {tuple(kernels.shape)}. Other patch shapes train from scratch (paper, table 6)"
        )
    model = AST(cfg)
    source_prefix = 2 if "dist_token" in state else 1
    side = round((state["pos_embed"].shape[1] - source_prefix) ** 0.5)  # the images are square
    state = {key: value.detach().float() for key, value in state.items() if not key.startswith(("head", "pre_logits"))}
    state["patch_embed.proj.weight"] = to_one_channel(kernels.detach().float(), channels)
    state["pos_embed"] = adapt_position_embedding(
        state["pos_embed"], (side, side), token_grid(cfg), source_prefix, mode=position
    )
    _match_prefix(state, source_prefix, cfg.prefix_tokens)
    result = model.load_state_dict(state, strict=False)
    wrong = [key for key in result.missing_keys if not key.startswith("mlp_head")] + list(result.unexpected_keys)
    if wrong:
        raise InvalidInput(f"the weights of the ViT do not fit a {cfg.model_size} AST: {', '.join(wrong[:5])} …")
    model.pos_embed.requires_grad_(position != "none")
    return model


def _match_prefix(state: dict[str, Tensor], source: int, target: int) -> None:
    """Change the number of prefix tokens: drop the distillation token, or make one from the class token."""
    pos = state["pos_embed"]
    if source == 2 and target == 1:
        del state["dist_token"]
        state["pos_embed"] = torch.cat([pos[:, :1], pos[:, 2:]], dim=1)
    if source == 1 and target == 2:
        cls = state["cls_token"]
        state["dist_token"] = cls + nn.init.trunc_normal_(torch.empty_like(cls), std=0.02)
        state["pos_embed"] = torch.cat([pos[:, :1], pos], dim=1)


def from_efficientnet(state: dict[str, Tensor], cfg: CNNConfig, channels: Channels = "sum") -> PSLA:
    """Build PSLA with the ImageNet weights of timm's EfficientNet-B2; the pooling is new.

    Args:
        state: timm's state dict.
        cfg: the configuration of PSLA.
        channels: how three colour channels become one, see `to_one_channel`.

    Returns:
        The network.

    Raises:
        InvalidInput: these are other weights.
        MissingPackage: timm is not installed.
    """
    state = {key: value.detach() for key, value in state.items() if not key.startswith("classifier.")}
    model = PSLA(cfg)
    try:
        state["conv_stem.weight"] = to_one_channel(state["conv_stem.weight"].float(), channels)
        model.body.load_state_dict(state)
    except (KeyError, RuntimeError) as error:
        raise InvalidInput(f"these are not the weights of timm's {EFFICIENTNET}: {error}") from error
    return model


def from_imagenet(
    state: dict[str, Tensor],
    cfg: ASTConfig | CNNConfig,
    channels: Channels = "sum",
    position: Position = "bilinear",
) -> AST | CNN:
    """Build a network with ImageNet weights: `from_vit` for an AST, `from_efficientnet` for PSLA.

    Args:
        state: timm's state dict, as `load_vit` returns it.
        cfg: the network to build.
        channels: how three colour channels become one, see `to_one_channel`.
        position: how the position embedding of an AST is adapted, see `adapt_position_embedding`.

    Returns:
        The network; its head is new.

    Raises:
        InvalidInput: the weights do not fit the configuration.
        MissingPackage: PSLA needs timm.
    """
    if isinstance(cfg, ASTConfig):
        return from_vit(state, cfg, channels, position)
    return from_efficientnet(state, cfg, channels)


@overload
def adapt(model: AST, cfg: ASTConfig, position: Position = "bilinear") -> AST: ...
@overload
def adapt(model: CNN, cfg: CNNConfig, position: Position = "bilinear") -> CNN: ...
@overload
def adapt(model: AST | CNN, cfg: ASTConfig | CNNConfig, position: Position = "bilinear") -> AST | CNN: ...
def adapt(model: AST | CNN, cfg: ASTConfig | CNNConfig, position: Position = "bilinear") -> AST | CNN:
    """Build the same network for other clips or classes: another length, mel count, stride or number of prefix tokens.

    All weights are copied. The position embedding of an AST is adapted as from a ViT: a longer axis stretches it, a
    shorter one takes its centre. (The original cannot change the strides of an AST.) The head is kept if `label_dim`
    and `labels` are the same, otherwise it is new.

    Args:
        model: the network to start from.
        cfg: the configuration of the new network.
        position: for an AST, see `adapt_position_embedding`.

    Returns:
        A new network of the same kind.

    Raises:
        InvalidInput: `cfg` asks for another kind of network, model size or patch shape, whose weights have other
            shapes.
    """
    if isinstance(model, AST) and isinstance(cfg, ASTConfig):
        return _adapt_ast(model, cfg, position)
    if isinstance(model, CNN) and isinstance(cfg, CNNConfig):
        return _adapt_cnn(model, cfg)
    raise InvalidInput(f"cannot turn {kind_of(model.cfg)} into {kind_of(cfg)}: their weights have other shapes")


def kind_of(cfg: NetworkConfig) -> str:
    """Name the kind of network that a configuration describes.

    Args:
        cfg: the configuration.

    Returns:
        "ast", "cnn-mlp" or "psla", as recipes have it.
    """
    return cfg.network if isinstance(cfg, CNNConfig) else "ast"


def _adapt_ast(model: AST, cfg: ASTConfig, position: Position) -> AST:
    """`adapt` for an AST."""
    if (model.cfg.model_size, model.cfg.patch) != (cfg.model_size, cfg.patch):
        raise InvalidInput(
            f"cannot turn a {model.cfg.model_size} AST with patches {model.cfg.patch} into a {cfg.model_size} AST with "
            f"patches {cfg.patch}: their weights have other shapes. Only the grid, prefix tokens and head may change"
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


def _adapt_cnn(model: CNN, cfg: CNNConfig) -> CNN:
    """`adapt` for a CNN."""
    if model.cfg.network != cfg.network:
        raise InvalidInput(f"cannot turn {model.cfg.network} into {cfg.network}: their weights have other shapes")
    new, state = CNN.from_config(cfg), model.state_dict()
    if (model.cfg.label_dim, model.cfg.labels) != (cfg.label_dim, cfg.labels):
        state = {key: value for key, value in state.items() if not key.startswith(model.head)}
    new.load_state_dict(state, strict=False)
    return new


def find_vit(name: str) -> Path | None:
    """Find a file of ImageNet weights on this machine. The network is never used.

    Args:
        name: a model size ("tiny224": any of its `VIT_NAMES`), a timm name, or a `.safetensors` file.

    Returns:
        The file, or None.
    """
    if name.endswith(".safetensors"):
        return Path(name) if Path(name).is_file() else None
    for folder in weight_folders():
        for stem in VIT_NAMES.get(name, (name,)) if folder.is_dir() else ():
            # The plain name, then timm's tags that end in ImageNet-1k ("augreg_in21k_ft_in1k" too). Another training of
            # such a name (dino, in21k) is found by its whole name only.
            for pattern in (f"{stem}.safetensors", f"{stem}_in1k.safetensors", f"{stem}.*in1k.safetensors"):
                for path in sorted(path for path in folder.iterdir() if path.match(pattern)):
                    return path
    return None


def load_vit(name_or_path: str | Path) -> dict[str, Tensor]:
    """Load ImageNet weights. They are searched for on this machine first; otherwise timm asks the hub for them.

    Args:
        name_or_path: a `.safetensors` file, a model size ("tiny224") or a timm name.

    Returns:
        timm's state dict.

    Raises:
        WeightsNotFound: they are in none of the folders of weights and the hub did not give them, or the file is
            missing or damaged. The message says which places were tried.
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
        raise WeightsNotFound(f'{nowhere}. With timm, astlib can fetch them: pip install "astlib[vit]"') from error
    try:
        return cast(dict[str, Tensor], timm.create_model(name, pretrained=True).state_dict())
    except Exception as error:  # offline, timm, huggingface_hub and requests each raise exceptions of their own
        raise WeightsNotFound(
            f"{nowhere}, and the hub did not give them ({type(error).__name__}: {error}). "
            "Put the .safetensors file into the folder that ASTLIB_WEIGHTS names"
        ) from error
