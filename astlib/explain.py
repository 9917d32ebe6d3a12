"""Inside an AST: what its tokens attend to, what its position embedding has learned, and which cells its output needs.

An attention map is a claim about a computation. The maps here come from the blocks of the model itself, computed in the
same order: first the norm, then queries and keys, then the softmax. `occlusion` is the check from outside: it does not
use attention at all, but hides one tile of the spectrogram after the other and measures how the output changes.

Chapter: notebooks/14_looking_inside.ipynb
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import InvalidInput
from .frontend import fill_value
from .model import AST, ASTConfig, Attention, Block, token_grid

TILES_AT_ONCE = 8  # passes of `occlusion` in one batch: faster than one by one, in little memory


def attention_weights(attention: Attention, x: Tensor) -> Tensor:
    """Compute the attention weights of one block.

    The fused kernel in `Attention.forward` works with the same numbers and never stores them.

    Args:
        attention: the attention of the block.
        x: normed tokens `(batch, tokens, dim)`.

    Returns:
        `(batch, heads, tokens, tokens)`: entry (i, j) is the attention weight of query token i on key token j. Rows sum
        to 1.
    """
    batch, tokens, dim = x.shape
    qkv: Tensor = attention.qkv(x).reshape(batch, tokens, 3, attention.heads, dim // attention.heads)
    q, k, _ = qkv.permute(2, 0, 3, 1, 4)  # (batch, heads, tokens, dim / heads) each
    weights: Tensor = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(dim=-1)
    return weights


@torch.no_grad()
def attention_maps(model: AST, mel: Tensor) -> Tensor:
    """Compute the attention weights of all blocks.

    Prefix tokens come first, then the patches row by row, time changing fastest. One clip takes 10 MB in the tiny
    network at 258 tokens, and 850 MB in the paper's network at 1,214 tokens. Queries and keys are computed from normed
    tokens; the original's demonstration omits the norm (Inference_Demo.ipynb, get_att_map).

    Args:
        model: the network.
        mel: normalised log-mel `(batch, frames, mels)`.

    Returns:
        `(batch, layers, heads, tokens, tokens)`, see `attention_weights`.

    Raises:
        InvalidInput: the shape of `mel` does not fit the network.
    """
    x, maps = model.embed_tokens(mel), []
    for module in model.blocks:
        block = cast(Block, module)
        maps.append(attention_weights(block.attn, block.norm1(x)))  # (batch, heads, tokens, tokens)
        x = block(x)
    return torch.stack(maps, dim=1)


def rollout(attentions: Tensor) -> Tensor:
    """Follow attention through all layers down to the input (Abnar and Zuidema 2020, section 3).

    Heads are averaged, the residual connection counts as much as attention itself, and the layers are multiplied.

    Args:
        attentions: attention maps `(batch, layers, heads, tokens, tokens)`.

    Returns:
        `(batch, tokens, tokens)`: entry (i, j) is the fraction of output token i that would come from input token j if
        values, MLPs and norms changed nothing. Rows sum to 1.

    Raises:
        InvalidInput: maps of another shape.
    """
    if attentions.ndim != 5 or attentions.shape[-1] != attentions.shape[-2]:
        raise InvalidInput(
            "expected attention maps of shape (batch, layers, heads, tokens, tokens), as attention_maps returns; "
            f"found {tuple(attentions.shape)}"
        )
    mixed = attentions.mean(dim=2)  # (batch, layers, tokens, tokens)
    mixed = mixed + torch.eye(mixed.shape[-1], dtype=mixed.dtype, device=mixed.device)
    mixed = mixed / mixed.sum(dim=-1, keepdim=True)
    result = mixed[:, 0]
    for layer in range(1, mixed.shape[1]):
        result = mixed[:, layer] @ result
    return result


def over_spectrogram(weights: Tensor, cfg: ASTConfig) -> Tensor:
    """Spread one number per patch over the spectrogram: each cell gets the mean of the patches that cover it.

    Args:
        weights: one number per patch, `(batch, f * t)`.
        cfg: the configuration of the network.

    Returns:
        `(batch, frames, mels)`. Cells that no patch covers, at the end if the stride does not divide evenly, are NaN:
        the network does not see them.

    Raises:
        InvalidInput: another shape.
    """
    f, t = token_grid(cfg)
    if weights.ndim != 2 or weights.shape[1] != f * t:
        raise InvalidInput(
            f"expected one number for each of {f} x {t} patches, (batch, {f * t}); found {tuple(weights.shape)}. "
            f"The {cfg.prefix_tokens} prefix tokens have no place in the spectrogram: leave them out"
        )
    tiles = weights[:, None].expand(-1, cfg.patch[0] * cfg.patch[1], -1)  # (batch, cells of a patch, f * t)

    def add_up(patches: Tensor) -> Tensor:  # (batch, cells of a patch, f * t) -> (batch, 1, mels, frames)
        return F.fold(patches, (cfg.input_fdim, cfg.input_tdim), cfg.patch, stride=(cfg.fstride, cfg.tstride))

    mean = add_up(tiles) / add_up(torch.ones_like(tiles))  # 0 / 0 is NaN
    return mean[:, 0].transpose(1, 2)


def position_similarity(model: AST) -> Tensor:
    """Compare the position embeddings of every two patches.

    Args:
        model: the network.

    Returns:
        Their cosine similarities `(f * t, f * t)`, row by row of the grid, time changing fastest.
    """
    places = model.pos_embed.detach()[0, model.cfg.prefix_tokens :].float()  # (f * t, dim)
    places = F.normalize(places, dim=-1)
    return places @ places.T


@torch.no_grad()
def occlusion(model: AST, mel: Tensor, label: int | Tensor, size: tuple[int, int] = (32, 32)) -> Tensor:
    """Measure how much the log-probability of a class falls when a tile of the spectrogram is hidden.

    A hidden tile has the value of the model's padding. In this book's recipes SpecAugment masks with the same value, so
    that a hidden tile is nothing new to the network.

    Args:
        model: the network.
        mel: normalised log-mel `(batch, frames, mels)`.
        label: number of the class, one for all clips or `(batch,)`.
        size: frames and mels of a tile; each tile costs one pass through the network.

    Returns:
        `(batch, frames, mels)`: the fall when the tile of this cell is hidden, in nats; negative where hiding it helps
        the class.

    Raises:
        InvalidInput: the shape of `mel` does not fit the network, there is no such class, or a tile is empty.
    """
    cfg = model.cfg
    model.check_input(mel)
    labels = torch.as_tensor(label, device=mel.device).expand(len(mel))
    if not ((labels >= 0) & (labels < cfg.label_dim)).all():
        raise InvalidInput(f"label must be 0 to {cfg.label_dim - 1}, the number of a class; found {labels.tolist()}")
    if min(size) < 1:
        raise InvalidInput(f"size must be at least 1 frame and 1 mel; found {tuple(size)}")
    fill = (fill_value(cfg.fill, cfg.mean) - cfg.mean) / (2 * cfg.std)

    def log_probability(mel: Tensor) -> Tensor:  # (tiles, batch, frames, mels) -> (tiles, batch)
        logits: Tensor = model(mel.flatten(0, 1)).unflatten(0, mel.shape[:2])  # (tiles, batch, label_dim)
        log = F.logsigmoid(logits) if cfg.multi_label else logits.log_softmax(dim=-1)
        return log.gather(-1, labels.expand(len(mel), -1)[..., None])[..., 0]

    before, falls = log_probability(mel[None]), torch.empty_like(mel)
    tiles = [
        (slice(None), slice(frame, frame + size[0]), slice(low, low + size[1]))
        for frame in range(0, cfg.input_tdim, size[0])
        for low in range(0, cfg.input_fdim, size[1])
    ]
    for i in range(0, len(tiles), TILES_AT_ONCE):
        some = tiles[i : i + TILES_AT_ONCE]
        hidden = torch.stack([mel] * len(some))  # (tiles, batch, frames, mels)
        for copy, tile in zip(hidden, some, strict=True):
            copy[tile] = fill
        for tile, fall in zip(some, before - log_probability(hidden), strict=True):
            falls[tile] = fall[:, None, None]
    return falls
