"""Answers of chapter 04.

Chapter: notebooks/04_the_whole_ast.ipynb
"""

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..model import AST, Block
from .exercises import Exercise, Mistake, Number, Trial

BLOCK = 12 * 1024**2 + 13 * 1024  # parameters of one block of ViT-Large


@cache
def _trained() -> AST:
    """The trained network with other class tokens: its own are so alike that nobody sees which of them is read."""
    model = AST.from_pretrained("ast-tiny-esc50").eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(5)
    for numbers in (model.dist_token, model.pos_embed[:, :2]):
        numbers += 0.5 * torch.randn(numbers.shape, generator=generator)
    return model


def _block(block: Block, x: Tensor, change: str) -> Tensor:
    """One block, the right one or with one mistake."""
    read = x if change == "norm1" else block.norm1(x)
    batch, tokens, dim = x.shape
    heads = block.attn.heads
    qkv = block.attn.qkv(read).reshape(batch, tokens, 3, heads, dim // heads)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    scale = {"scale": 1.0, "width": dim**-0.5}.get(change, (dim // heads) ** -0.5)
    found = F.scaled_dot_product_attention(q, k, v, scale=scale)
    found = found.reshape(batch, tokens, dim) if change == "merge" else found.transpose(1, 2).flatten(2)
    added = block.attn.proj(found)
    if change == "post":
        x = block.norm1(x + block.attn(x))
        normed: Tensor = block.norm2(x + block.mlp(x))
        return normed
    x = added if change == "stream" else x + added
    hidden = block.mlp.fc1({"norm2": x, "norms": block.norm1(x)}.get(change, block.norm2(x)))
    active = {"relu": F.relu(hidden), "tanh": F.gelu(hidden, approximate="tanh")}.get(change, F.gelu(hidden))
    out: Tensor = block.mlp.fc2(active)
    return out if change == "stream" else x + out


def _encode(model: AST, mel: Tensor, change: str = "", reads: str = "") -> Tensor:
    """Tokens after the last block, before the last norm, of the right network or of one with one mistake.

    Args:
        model: the trained network.
        mel: `(batch, frames, mels)`.
        change: of the blocks, as in `_block`.
        reads: how the tokens are made otherwise.

    Returns:
        Tokens `(batch, tokens, dim)`.
    """
    image = (mel if reads == "turned" else mel.mT)[:, None]
    patches = model.patch_embed.proj(image)
    patches = (patches.mT if reads == "columns" else patches).flatten(2).mT
    prefix = torch.cat([model.cls_token, model.dist_token], dim=1).expand(len(mel), -1, -1)
    if reads == "exchanged":
        prefix = prefix.flip(1)
    x = torch.cat([patches, prefix] if reads == "behind" else [prefix, patches], dim=1)
    x = x if reads == "unplaced" else x + model.pos_embed
    for block in model.blocks[: 1 if change == "once" else None]:
        assert isinstance(block, Block)  # noqa: S101  a list of modules does not know the type of its items
        x = _block(block, x, change)
    return x


def _read(model: AST, x: Tensor, head: str = "") -> Tensor:
    """Logits `(batch, classes)` from the tokens after the last block, the right way or with one mistake."""
    x = x if head in ("unnormed", "early") else model.norm(x)
    pooled = {"cls": x[:, 0], "dist": x[:, 1], "all": x.mean(dim=1), "patches": x[:, 2:].mean(dim=1)}
    out = pooled.get(head, x[:, :2].mean(dim=1))
    out = model.norm(out) if head == "early" else out
    logits: Tensor = model.mlp_head[1](out) if head == "bare" else model.mlp_head(out)
    return {"softmax": logits.softmax(dim=1), "sigmoid": logits.sigmoid()}.get(head, logits)


WRONG_HEADS = {  # what is wrong behind the last block
    "softmax": "Your network ends with a softmax. It should return logits.",
    "sigmoid": "Your network ends with a sigmoid. It should return logits.",
    "unnormed": "The norm after the last block has its weights, and `forward` never calls it.",
    "early": "You take the mean of the two tokens first and norm it then. Each token is normed by itself.",
    "cls": "You read the first class token only. The head reads the mean of both.",
    "dist": "You read the distillation token only. The head reads the mean of both.",
    "all": "You take the mean of all tokens. The head reads the two class tokens.",
    "patches": "You take the mean of the patches. The head reads the two class tokens.",
    "bare": "The head begins with a norm of its own, and `forward` leaves it out.",
}
WRONG_TOKENS = {  # before the first block
    "unplaced": "The positions are not added to the tokens.",
    "turned": "Time is the height of your picture. Transpose the spectrogram: frequency is the height.",
    "columns": "Your patches come column by column. The positions are stored row by row of the grid.",
    "behind": "Your class tokens stand behind the patches. They come first.",
    "exchanged": "The class token and the distillation token are exchanged: `cls_token` comes first.",
}
WRONG_BLOCKS = {
    "post": "Your norms stand after the sums (post-norm). Here they stand before each layer (pre-norm).",
    "norm1": "The first norm of the block is not used: what does `qkv` read?",
    "norm2": "The second norm of the block is not used: what does the MLP read?",
    "norms": "You use the first norm of the block twice. The MLP has a norm of its own.",
    "stream": "Your blocks replace the tokens. What attention and the MLP compute is added to them.",
    "width": "You divided the scores by the square root of D, not of d.",
    "scale": "The attention scores are not divided by the square root of d.",
    "merge": "The heads are merged in the wrong order: transpose before you reshape.",
    "relu": "The MLP uses a ReLU. This network was trained with a GELU.",
    "tanh": "The MLP uses the tanh approximation of the GELU. The network was trained with the exact one.",
    "once": "Your tokens pass one block. There are twelve.",
}


def _names(own: set[str], wanted: set[str]) -> str | None:
    """Say which names a dictionary of weights lacks or has too many."""
    missing, extra = sorted(wanted - own), sorted(own - wanted)
    if not missing and not extra:
        return None
    ends = {name.partition(".")[2].partition(".")[2] for name in missing if name.startswith("blocks.")}
    if set(missing) == {"norm.weight", "norm.bias"} and not extra:
        return "The norm after the last block is missing (`norm`)."
    if missing == ["dist_token"] and not extra:
        return "The distillation token is missing (`dist_token`). This network has two class tokens."
    if missing == ["pos_embed"]:
        return "The position embedding is missing (`pos_embed`). Is it an `nn.Parameter`, so that it can be loaded?"
    if "mlp_head.1.weight" in missing and {"mlp_head.weight", "mlp_head.0.weight"} & own:
        return "The head is a norm and a linear layer, `mlp_head.0` and `mlp_head.1`. Yours has only one of them."
    if not extra and ends and all(name.endswith(".bias") for name in missing):
        return f"Linear layers without a bias: {', '.join(missing[:3])}{' and more' * (len(missing) > 3)} are missing."
    parts = [f"{len(missing)} names are missing, the first is {missing[0]!r}"] if missing else []
    parts += [f"{len(extra)} are too many, the first is {extra[0]!r}"] if extra else []
    return "; ".join(parts) + "."


def _loaded(answer: Any) -> tuple[nn.Module | None, str]:
    """Make the reader's network and load the trained weights, or say what prevents it."""
    if not isinstance(answer, type):
        what = "the class itself, without calling it" if isinstance(answer, nn.Module) else "a class"
        return None, f"Expected {what}; found {type(answer).__name__}."
    model = answer()
    if not isinstance(model, nn.Module):
        return None, "`AST` should be a subclass of `torch.nn.Module`, so that it can load weights."
    own, wanted = model.state_dict(), _trained().state_dict()
    if not own:
        return None, "Your network has no parameters yet. Begin with `__init__`."
    if problem := _names(set(own), set(wanted)):
        return None, problem
    for name, tensor in wanted.items():
        found = tuple(own[name].shape)
        if found == tuple(tensor.shape):
            continue
        if name == "pos_embed" and found[-2:] == (tensor.shape[1] - 2, tensor.shape[2]):
            return (
                None,
                f"`pos_embed` has {found[1]} rows, one for each patch. The two class tokens have positions too.",
            )
        return None, f"{name!r} has the shape {found}; the trained one has {tuple(tensor.shape)}."
    model.load_state_dict(wanted, strict=True)
    return model.eval(), ""


@cache
def _spectrograms() -> Tensor:
    """Two normalised log-mel spectrograms `(2, 512, 128)` of noise."""
    return 0.5 * torch.randn(2, 512, 128, generator=torch.Generator().manual_seed(4))


@cache
def _mistakes() -> list[tuple[Tensor, str]]:
    """The logits of every wrong network for the first spectrogram, and what to say about it."""
    model, mel = _trained(), _spectrograms()[:1]
    tokens = _encode(model, mel)
    found = [(_read(model, tokens, head), says) for head, says in WRONG_HEADS.items()]
    found += [(_read(model, _encode(model, mel, reads=reads)), says) for reads, says in WRONG_TOKENS.items()]
    found += [(_read(model, _encode(model, mel, change)), says) for change, says in WRONG_BLOCKS.items()]
    return found


def _outcome(model: nn.Module) -> str | None:
    """Run the reader's network, with the trained weights in it, beside the trained one."""
    mel = _spectrograms()
    right, found = _trained()(mel), model(mel[:1])
    if not isinstance(found, Tensor):
        return f"`forward` should return logits; found {type(found).__name__}. Does it end with `return`?"
    if found.shape != right[:1].shape:
        hint = " Which tokens does the head read?" if found.ndim == 3 else ""
        return f"For one spectrogram expected logits of shape (1, 50), found {tuple(found.shape)}.{hint}"
    if not _close(found, right[:1]):
        apart = ((found - right[:1]).abs().max() / right.abs().max()).item()
        unknown = f"All weights are loaded, but the logits differ by {apart:.0%} of the largest. Compare step by step."
        return next((says for logits, says in _mistakes() if _close(found, logits)), unknown)
    return None if _close(model(mel), right) else "One clip is right, but two clips in a batch are not."


@torch.no_grad()
def _test(answer: Any) -> str | None:
    """Load the trained weights into the reader's network, run it, and find the mistake that gives the same logits."""
    model, problem = _loaded(answer)
    if model is None:
        return problem
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # faster for matrices this small, and far faster while other programs run
    try:
        return _outcome(model)
    finally:
        torch.set_num_threads(threads)


def _close(found: Tensor, wanted: Tensor) -> bool:
    """Whether logits agree up to rounding; the tanh approximation of the GELU is further away than this."""
    return bool((found - wanted).abs().max() <= 1e-4 * wanted.abs().max())


EXERCISES: list[Exercise] = [
    Trial(
        label="ex-04-ast",
        asks="your class AST",
        test=_test,
        remark="It loads all 155 tensors strictly and gives the logits of the trained network. Let it name the clip.",
    ),
    Number(
        label="ex-04-large",
        right=24 * BLOCK,
        unit="parameters",
        remark="Blocks are nearly all of it.",
        mistakes=[
            Mistake(12 * BLOCK, "That is 12 blocks. ViT-Large has 24."),
            Mistake(BLOCK, "That is one block."),
            Mistake(24 * 12 * 1024**2, "The biases and the norms are missing: 13 D in each block."),
            Mistake(24 * (12 * 1024**2 + 9 * 1024), "The norms are missing: each of the two has 2 D parameters."),
            Mistake(24 * (12 * 768**2 + 13 * 768), "You used the width of the base network."),
            Mistake(24 * (4 * 1024**2 + 4 * 1024), "That is attention alone. The MLP has twice as many."),
        ],
    ),
    Number(
        label="ex-04-memory",
        right=12 * 12 * 1214**2 * 4,
        unit="bytes",
        remark="A batch of 12 clips takes ten billion bytes for this alone.",
        mistakes=[
            Mistake(12 * 12 * 1212**2 * 4, "You left out the two class tokens. They attend and are attended to."),
            Mistake(12 * 12 * 1214**2, "That is how many numbers there are. A 32-bit number has four bytes."),
            Mistake(12 * 12 * 1214**2 * 32, "You counted bits."),
            Mistake(12 * 1214**2 * 4, "You counted 12 once. There are 12 blocks, and 12 heads in each."),
            Mistake(12 * 12 * 1214 * 4, "You counted tokens. An attention weight belongs to a pair of tokens."),
            Mistake(12 * 12 * 1214**2 * 2, "That is for 16-bit numbers."),
            Mistake(12 * 3 * 1214**2 * 4, "The tiny network has 3 heads. The paper's has 12."),
        ],
    ),
    Number(
        label="ex-04-crossing",
        right=6 * 768 - 2,
        unit="patches",
        remark="With the paper's stride this is a clip of more than half a minute.",
        mistakes=[
            Mistake(6 * 768, "That is the number of tokens. Two of them are no patches."),
            Mistake(6 * 192 - 2, "That is for the tiny network, with D = 192."),
            Mistake(12 * 768 - 2, "There are two products of token pairs: queries with keys, and weights with values."),
            Mistake(3 * 768 - 2, "Check the linear layers: 12 D² multiply-adds for each token, not 6 D²."),
            Mistake(6 * 768 + 2, "The class tokens are among the tokens: which sign do they have in N + 2 = …?"),
            Mistake(4 * 768 - 2, "You counted the MLP alone. `qkv` and `proj` are linear layers too."),
        ],
    ),
    Number(
        label="ex-04-one",
        right=2 * 192,
        unit="parameters",
        remark="They are the token itself and its row in the table of positions.",
        mistakes=[
            Mistake(192, "The token has a row in the table of positions too."),
            Mistake(2 * 768, "That is for the base network. This chapter's has a width of 192."),
            Mistake(192 + 192 * 50 + 50, "Both tokens share one head: their mean goes into it."),
            Mistake(1, "One token fewer; but how many numbers is a token?"),
            Mistake(0, "The distillation token is learned, so it has parameters."),
        ],
    ),
]
