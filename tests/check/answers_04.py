"""Answers to the exercises of chapter 04, as readers might hand them in, written apart from the checker's own list.

WRONG: label -> (answer, part of the sentence that the checker must answer with). RIGHT: label -> answers that differ
from the published solution and are right all the same.
"""

import torch
from torch import nn
from torch.nn import functional as F


class Attention(nn.Module):
    divide_by = 8.0
    is_merged_wrongly = False

    def __init__(self):
        super().__init__()
        self.qkv, self.proj = nn.Linear(192, 576), nn.Linear(192, 192)

    def forward(self, x):
        q, k, v = (one.unflatten(2, (3, 64)).transpose(1, 2) for one in self.qkv(x).chunk(3, dim=2))
        found = (q @ k.transpose(2, 3) / self.divide_by).softmax(dim=-1) @ v
        if not self.is_merged_wrongly:
            found = found.transpose(1, 2)
        return self.proj(found.reshape(x.shape))


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(192, 768), nn.Linear(768, 192)

    def forward(self, x):
        return self.fc2(self.bend(self.fc1(x)))

    def bend(self, x):
        return F.gelu(x)


class Block(nn.Module):
    attention, mlp_class = Attention, MLP

    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(192, eps=1e-6), nn.LayerNorm(192, eps=1e-6)
        self.attn, self.mlp = self.attention(), self.mlp_class()

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Right(nn.Module):
    block, rows, has_final_norm = Block, 258, True

    def __init__(self):
        super().__init__()
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(1, 192, (16, 16), (16, 16))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 192))
        self.dist_token = nn.Parameter(torch.zeros(1, 1, 192))
        self.pos_embed = nn.Parameter(torch.zeros(1, self.rows, 192))
        self.blocks = nn.Sequential(*[self.block() for _ in range(12)])
        if self.has_final_norm:
            self.norm = nn.LayerNorm(192, eps=1e-6)
        self.mlp_head = nn.Sequential(nn.LayerNorm(192), nn.Linear(192, 50))

    def cut(self, mel):
        return self.patch_embed.proj(mel.transpose(1, 2).unsqueeze(1)).flatten(2).transpose(1, 2)

    def join(self, patches):
        B = len(patches)
        return torch.cat([self.cls_token.repeat(B, 1, 1), self.dist_token.repeat(B, 1, 1), patches], dim=1)

    def place(self, x):
        return x + self.pos_embed

    def pool(self, x):
        x = self.norm(x)
        return (x[:, 0] + x[:, 1]) / 2

    def forward(self, mel):
        return self.mlp_head(self.pool(self.blocks(self.place(self.join(self.cut(mel))))))


def network(**changes):
    return type("AST", (Right,), changes)


def with_block(**changes):
    return network(block=type("Block", (Block,), changes))


def with_attention(**changes):
    return with_block(attention=type("Attention", (Attention,), changes))


def with_activation(function):
    return with_block(mlp_class=type("MLP", (MLP,), {"bend": lambda self, x: function(x)}))


def post_norm(self, x):
    x = self.norm1(x + self.attn(x))
    return self.norm2(x + self.mlp(x))


def lacks(name):
    """The right network without one of its parts, as if it were forgotten in `__init__`."""

    class AST(Right):
        def __init__(self):
            super().__init__()
            delattr(self, name)

    return AST


class OtherNames(Right):
    def __init__(self):
        super().__init__()
        self.head = self.mlp_head
        del self.mlp_head


class PlainHead(Right):
    def __init__(self):
        super().__init__()
        self.mlp_head = nn.Linear(192, 50)


class NoBiases(Right):
    def __init__(self):
        super().__init__()
        for block in self.blocks:
            block.attn.qkv = nn.Linear(192, 576, bias=False)


class Wide(Right):
    def __init__(self):
        super().__init__()
        self.mlp_head = nn.Sequential(nn.LayerNorm(192), nn.Linear(192, 527))


class Unfinished(Right):
    def forward(self, mel):
        self.mlp_head(self.pool(self.blocks(self.place(self.join(self.cut(mel))))))


class NoModule:
    def __init__(self):
        self.cls_token = torch.zeros(1, 1, 192)


class Mixed(Right):
    """Right for one clip; in a batch all clips get the answer of the first."""

    def forward(self, mel):
        return super().forward(mel[:1]).expand(len(mel), -1)


WRONG = {
    "ex-04-ast": [
        (Right(), "the class itself, without calling it"),
        (NoModule, "subclass of `torch.nn.Module`"),
        (nn.Module, "no parameters yet"),
        (network(has_final_norm=False), "The norm after the last block is missing"),
        (lacks("dist_token"), "The distillation token is missing"),
        (lacks("pos_embed"), "The position embedding is missing"),
        (OtherNames, "4 names are missing, the first is 'mlp_head.0.bias'; 4 are too many"),
        (PlainHead, "The head is a norm and a linear layer"),
        (NoBiases, "without a bias: blocks.0.attn.qkv.bias"),
        (network(rows=256), "256 rows, one for each patch"),
        (network(rows=514), "'pos_embed' has the shape (1, 514, 192)"),
        (Wide, "'mlp_head.1.weight' has the shape (527, 192)"),
        (Unfinished, "found NoneType"),
        (network(pool=lambda self, x: self.norm(x)[:, :2]), "Which tokens does the head read"),
        (network(pool=lambda self, x: x[:, :2].mean(1)), "`forward` never calls it"),
        (network(pool=lambda self, x: self.norm(x[:, :2].mean(1))), "take the mean of the two tokens first"),
        (network(pool=lambda self, x: self.norm(x)[:, 0]), "the first class token only"),
        (network(pool=lambda self, x: self.norm(x)[:, 1]), "the distillation token only"),
        (network(pool=lambda self, x: self.norm(x).mean(1)), "the mean of all tokens"),
        (network(pool=lambda self, x: self.norm(x)[:, 2:].mean(1)), "the mean of the patches"),
        (network(place=lambda self, x: x), "positions are not added"),
        (
            network(cut=lambda self, mel: self.patch_embed.proj(mel.unsqueeze(1)).flatten(2).transpose(1, 2)),
            "Time is the height",
        ),
        (
            network(
                cut=lambda self, mel: self.patch_embed.proj(mel.mT[:, None]).permute(0, 3, 2, 1).reshape(-1, 256, 192)
            ),
            "column by column",
        ),
        (
            network(
                join=lambda self, p: torch.cat(
                    [p] + [t.repeat(len(p), 1, 1) for t in (self.cls_token, self.dist_token)], 1
                )
            ),
            "behind the patches",
        ),
        (
            network(
                join=lambda self, p: torch.cat(
                    [t.repeat(len(p), 1, 1) for t in (self.dist_token, self.cls_token)] + [p], 1
                )
            ),
            "are exchanged",
        ),
        (network(forward=lambda self, mel: Right.forward(self, mel).softmax(-1)), "ends with a softmax"),
        (network(forward=lambda self, mel: Right.forward(self, mel).sigmoid()), "ends with a sigmoid"),
        (
            network(
                forward=lambda self, m: self.mlp_head[1](self.pool(self.blocks(self.place(self.join(self.cut(m))))))
            ),
            "begins with a norm of its own",
        ),
        (with_block(forward=post_norm), "post-norm"),
        (
            with_block(forward=lambda self, x: (z := x + self.attn(x)) + self.mlp(self.norm2(z))),
            "first norm of the block is not used",
        ),
        (
            with_block(forward=lambda self, x: (z := x + self.attn(self.norm1(x))) + self.mlp(z)),
            "second norm of the block is not used",
        ),
        (
            with_block(forward=lambda self, x: (z := x + self.attn(self.norm1(x))) + self.mlp(self.norm1(z))),
            "the first norm of the block twice",
        ),
        (
            with_block(forward=lambda self, x: self.mlp(self.norm2(self.attn(self.norm1(x))))),
            "Your blocks replace the tokens",
        ),
        (with_attention(divide_by=192**0.5), "the square root of D, not of d"),
        (with_attention(divide_by=1.0), "not divided by the square root of d"),
        (with_attention(is_merged_wrongly=True), "merged in the wrong order"),
        (with_activation(torch.relu), "uses a ReLU"),
        (with_activation(lambda x: F.gelu(x, approximate="tanh")), "tanh approximation"),
        (with_activation(torch.tanh), "the logits differ by"),
        (
            network(
                forward=lambda self, m: self.mlp_head(self.pool(self.blocks[0](self.place(self.join(self.cut(m))))))
            ),
            "pass one block",
        ),
        (Mixed, "two clips in a batch are not"),
    ],
    "ex-04-large": [
        (12 * (12 * 1024**2 + 13 * 1024), "24"),
        (12 * 1024**2 + 13 * 1024, "one block"),
        (24 * 12 * 1024**2, "biases and the norms"),
        (85_054_464 * 2, "width of the base"),
        (307_000_000, "too large"),
    ],
    "ex-04-memory": [
        (144 * 1212 * 1212 * 4, "two class tokens"),
        (144 * 1214 * 1214, "four bytes"),
        (144 * 1214 * 1214 * 32, "bits"),
        (12 * 1214 * 1214 * 4, "12 once"),
        (144 * 1214 * 4, "pair of tokens"),
    ],
    "ex-04-crossing": [
        (4608, "no patches"),
        (1150, "tiny"),
        (9214, "two products"),
        (4610, "which sign"),
        (1212, "too small"),
    ],
    "ex-04-one": [
        (192, "table of positions"),
        (1536, "base network"),
        (0, "is learned"),
        (1, "how many numbers is a token"),
    ],
}
RIGHT = {"ex-04-ast": [Right], "ex-04-large": [302_309_376], "ex-04-crossing": [4606.0], "ex-04-one": [384]}
