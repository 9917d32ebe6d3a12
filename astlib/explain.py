"""Looking inside: what the tokens of an AST attend to, what its positions know, and which cells its answer rests on.

An attention map is a claim about a computation. So the maps here come from the model's own blocks and are made as the
blocks make them: first the norm, then queries and keys, then the softmax. `occlusion` is the check from outside: it
knows nothing of attention, hides one piece of the spectrogram after the other, and looks how the answer changes.

Chapter: notebooks/14_looking_inside.ipynb
"""

import torch
import torch.nn.functional as F

from .frontend import fill_value
from .model import AST, ASTConfig, Attention, token_grid


def shares(attention: Attention, x: torch.Tensor) -> torch.Tensor:
    """Normed tokens `(batch, tokens, dim)` -> `(batch, heads, tokens, tokens)`: row i is what token i takes from whom.

    Rows sum to 1. The fused kernel in `Attention.forward` works with the same numbers and never stores them.
    """
    batch, tokens, dim = x.shape
    q, k, _ = attention.qkv(x).reshape(batch, tokens, 3, attention.heads, dim // attention.heads).permute(2, 0, 3, 1, 4)
    return (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(dim=-1)


@torch.no_grad()
def attention_maps(model: AST, mel: torch.Tensor) -> torch.Tensor:
    """Normalised log-mel `(batch, frames, mels)` -> `(batch, layers, heads, tokens, tokens)`, rows sum to 1.

    Prefix tokens come first, then the patches, frequency outer and time inner. One clip takes 10 MB in the tiny network
    at 258 tokens and 850 MB in the paper's at 1,214.
    The norm before queries and keys belongs to it; the original's demonstration leaves it out (Inference_Demo.ipynb,
    get_att_map). Raises ValueError if the shape does not fit the model.
    """
    x, maps = model.embed_tokens(mel), []
    for block in model.blocks:
        maps.append(shares(block.attn, block.norm1(x)))
        x = block(x)
    return torch.stack(maps, dim=1)


def rollout(attentions: torch.Tensor) -> torch.Tensor:
    """Maps `(batch, layers, heads, tokens, tokens)` -> `(batch, tokens, tokens)`: attention followed down to the input.

    Heads are averaged, the shortcut around attention counts as much as attention itself, and the layers are multiplied
    (Abnar and Zuidema 2020, section 3). Row i says which input tokens output token i would be made of if values, MLPs
    and norms changed nothing. Rows sum to 1. Raises ValueError for maps of another shape.
    """
    if attentions.ndim != 5 or attentions.shape[-1] != attentions.shape[-2]:
        raise ValueError(
            "expected attention maps of shape (batch, layers, heads, tokens, tokens), as attention_maps gives them; "
            f"found {tuple(attentions.shape)}"
        )
    mixed = attentions.mean(dim=2)
    mixed = mixed + torch.eye(mixed.shape[-1], dtype=mixed.dtype, device=mixed.device)
    mixed = mixed / mixed.sum(dim=-1, keepdim=True)
    result = mixed[:, 0]
    for layer in range(1, mixed.shape[1]):
        result = mixed[:, layer] @ result
    return result


def over_spectrogram(weights: torch.Tensor, cfg: ASTConfig) -> torch.Tensor:
    """One number a patch, `(batch, f*t)` -> `(batch, frames, mels)`: a cell has the mean of the patches over it.

    A cell under no patch (at the end, where the stride does not come out even) is NaN: the network never saw it.
    Raises ValueError if there are not f*t numbers.
    """
    f, t = token_grid(cfg)
    if weights.ndim != 2 or weights.shape[1] != f * t:
        raise ValueError(
            f"expected one number for each of {f} x {t} patches, (batch, {f * t}); found {tuple(weights.shape)}. "
            f"The {cfg.prefix_tokens} prefix tokens have no place in the spectrogram: leave them out"
        )
    tiles = weights[:, None].expand(-1, cfg.patch[0] * cfg.patch[1], -1)  # every patch, painted in its number
    where = {"output_size": (cfg.input_fdim, cfg.input_tdim), "kernel_size": cfg.patch,
             "stride": (cfg.fstride, cfg.tstride)}  # fmt: skip
    mean = F.fold(tiles, **where) / F.fold(torch.ones_like(tiles), **where)  # 0 / 0 is NaN
    return mean[:, 0].transpose(1, 2)


def position_similarity(model: AST) -> torch.Tensor:
    """Cosine similarity of the position embeddings of every two places, `(f*t, f*t)`, frequency outer, time inner."""
    places = model.pos_embed.detach()[0, model.cfg.prefix_tokens :].float()
    places = F.normalize(places, dim=-1)
    return places @ places.T


@torch.no_grad()
def occlusion(model: AST, mel: torch.Tensor, label, size: tuple[int, int] = (32, 32)) -> torch.Tensor:
    """How far the log-probability of a class falls if a cell's tile is hidden: `(batch, frames, mels)`, in nats.

    Negative where hiding helps the class. A tile is filled as the model's padding is: in our recipes that is also what
    SpecAugment hid cells with, so a hidden tile is nothing new to the network.

    mel: normalised log-mel `(batch, frames, mels)`. label: number of the class, one for all clips or `(batch,)`.
    size: frames and mels of a tile; every tile costs one pass through the network.
    Raises ValueError if the shape does not fit the model, or for a class or a size that is not there.
    """
    cfg = model.cfg
    model.check_input(mel)
    labels = torch.as_tensor(label, device=mel.device).expand(len(mel))
    if not ((labels >= 0) & (labels < cfg.label_dim)).all():
        raise ValueError(f"label must be 0 to {cfg.label_dim - 1}, the number of a class; found {labels.tolist()}")
    if min(size) < 1:
        raise ValueError(f"size must be at least 1 frame and 1 mel; found {tuple(size)}")
    fill = (fill_value(cfg.fill, cfg.mean) - cfg.mean) / (2 * cfg.std)

    def log_probability(mel):  # (tiles, batch, frames, mels) -> (tiles, batch)
        logits = model(mel.flatten(0, 1)).unflatten(0, mel.shape[:2])
        log = F.logsigmoid(logits) if cfg.multi_label else logits.log_softmax(dim=-1)
        return log.gather(-1, labels.expand(len(mel), -1)[..., None])[..., 0]

    before, falls = log_probability(mel[None]), torch.empty_like(mel)
    tiles = [
        (slice(None), slice(frame, frame + size[0]), slice(low, low + size[1]))
        for frame in range(0, cfg.input_tdim, size[0])
        for low in range(0, cfg.input_fdim, size[1])
    ]
    for i in range(0, len(tiles), 8):  # a few at once: quicker than one by one, in little memory
        hidden = torch.stack([mel] * len(tiles[i : i + 8]))
        for copy, tile in zip(hidden, tiles[i : i + 8], strict=True):
            copy[tile] = fill
        for tile, fall in zip(tiles[i : i + 8], before - log_probability(hidden), strict=True):
            falls[tile] = fall[:, None, None]
    return falls
