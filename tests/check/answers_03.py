"""Answers to the exercises of chapter 03, as readers might hand them in, written apart from the checker's own list.

WRONG: label -> (answer, part of the sentence that the checker must answer with). RIGHT: label -> answers that differ
from the published solution and are right all the same.
"""

import math

import torch


def parts(x, weight, bias, heads):
    """(B, heads, n, d) three times, the right way, one slice at a time."""
    dim = x.shape[2]
    made = []
    for i in range(3):
        one = torch.einsum("bnc,dc->bnd", x, weight[i * dim : (i + 1) * dim]) + bias[i * dim : (i + 1) * dim]
        made.append(torch.stack(one.chunk(heads, dim=2), dim=1))
    return made


def by_loops(x, qkv_weight, qkv_bias, proj_weight, proj_bias, heads):
    out = torch.zeros_like(x)
    d = x.shape[2] // heads
    q, k, v = parts(x, qkv_weight, qkv_bias, heads)
    for b in range(x.shape[0]):
        for h in range(heads):
            fits = torch.exp(q[b, h] @ k[b, h].T / math.sqrt(d))
            out[b, :, h * d : (h + 1) * d] = (fits / fits.sum(dim=1, keepdim=True)) @ v[b, h]
    return out @ proj_weight.T + proj_bias


def by_torch(x, qkv_weight, qkv_bias, proj_weight, proj_bias, heads):
    layer = torch.nn.MultiheadAttention(x.shape[2], heads, batch_first=True).requires_grad_(False)
    layer.in_proj_weight[:] = qkv_weight
    layer.in_proj_bias[:] = qkv_bias
    layer.out_proj.weight[:] = proj_weight
    layer.out_proj.bias[:] = proj_bias
    return layer(x, x, x)[0]


def attention_with(weights, order=(0, 1, 2), join=None, project=True, qkv_bias_too=True, proj_bias_too=True):
    def attention(x, qkv_weight, qkv_bias, proj_weight, proj_bias, heads):
        made = parts(x, qkv_weight, qkv_bias if qkv_bias_too else 0 * qkv_bias, heads)
        q, k, v = (made[i] for i in order)
        found = weights(torch.einsum("bhid,bhjd->bhij", q, k), q.shape[-1], x.shape[-1]) @ v  # (B, heads, n, d)
        found = torch.cat(found.unbind(1), dim=-1) if join is None else join(found, x)
        if not project:
            return found
        return found @ proj_weight.T + (proj_bias if proj_bias_too else 0)

    return attention


def usual(scores, d, _):
    return torch.softmax(scores / math.sqrt(d), dim=3)


def split_heads_first(x, qkv_weight, qkv_bias, proj_weight, proj_bias, heads):
    B, n, D = x.shape
    qkv = (x @ qkv_weight.T + qkv_bias).view(B, n, heads, 3, D // heads)
    q, k, v = (qkv[:, :, :, i].transpose(1, 2) for i in range(3))
    A = usual(q @ k.transpose(2, 3), D // heads, D)
    return (A @ v).transpose(1, 2).reshape(B, n, D) @ proj_weight.T + proj_bias


def split_without_moving(x, qkv_weight, qkv_bias, proj_weight, proj_bias, heads):
    B, n, D = x.shape
    q, k, v = (x @ qkv_weight.T + qkv_bias).chunk(3, dim=-1)
    q, k, v = (one.reshape(B, heads, n, D // heads) for one in (q, k, v))
    A = usual(q @ k.transpose(2, 3), D // heads, D)
    return (A @ v).transpose(1, 2).reshape(B, n, D) @ proj_weight.T + proj_bias


def in_one_head(x, qkv_weight, qkv_bias, proj_weight, proj_bias, heads):
    return by_loops(x, qkv_weight, qkv_bias, proj_weight, proj_bias, 1)


def without_batch(x, qkv_weight, qkv_bias, proj_weight, proj_bias, heads):
    return by_loops(x, qkv_weight, qkv_bias, proj_weight, proj_bias, heads)[0]


def online(q, k, v, step=64, fix_total=True, fix_found=True, start_at=-math.inf):
    top = torch.full((q.shape[0],), start_at)
    total = torch.zeros(q.shape[0])
    found = torch.zeros(q.shape[0], v.shape[1])
    for i in range(0, k.shape[0], step):
        s = q @ k[i : i + step].T / math.sqrt(q.shape[1])
        higher = torch.maximum(top, s.max(dim=1).values)
        factor = torch.exp(top - higher)
        e = torch.exp(s - higher[:, None])
        total = (total * factor if fix_total else total) + e.sum(dim=1)
        found = (found * factor[:, None] if fix_found else found) + e @ v[i : i + step]
        top = higher
    return found / total[:, None]


def averaged(q, k, v):
    pieces = [torch.softmax(q @ k[i : i + 64].T / 4, dim=1) @ v[i : i + 64] for i in range(0, len(k), 64)]
    return sum(pieces) / len(pieces)


def overflowing(q, k, v):
    total, found = 0, 0
    for i in range(0, len(k), 64):
        e = (q @ k[i : i + 64].T / math.sqrt(q.shape[1])).exp()
        total, found = total + e.sum(dim=1, keepdim=True), found + e @ v[i : i + 64]
    return found / total


WRONG = {
    "ex-03-hand": [
        (73.4, "with the division by √2"),
        (61.0, "divided the scores by d"),
        (66.67, "takes exponentials first"),
        (88.08, "two scores of 0"),
        (0.853, "in per cent"),
        (25, "query of zeros"),
        (50, "too small"),
    ],
    "ex-03-bias": [
        ("query", "adds its product with each key"),
        ("value", "the weights sum to 1"),
        ("output", "Expected 'key' or 'query' or 'value'"),
    ],
    "ex-03-attention": [
        (attention_with(lambda s, d, D: torch.softmax(s / D**0.5, dim=-1)), "the square root of D, not of d"),
        (attention_with(lambda s, d, D: torch.softmax(s / d, dim=-1)), "divided by d itself"),
        (attention_with(lambda s, d, D: torch.softmax(s, dim=-1)), "not divided by anything"),
        (attention_with(lambda s, d, D: torch.softmax(s * d**0.5, dim=-1)), "multiplied the scores"),
        (attention_with(lambda s, d, D: torch.softmax(s / d**0.5, dim=2)), "runs over the queries"),
        (attention_with(lambda s, d, D: torch.softmax(s / d**0.5, dim=1)), "runs over the heads"),
        (attention_with(lambda s, d, D: torch.softmax(s / d**0.5, dim=0)), "runs over the clips"),
        (attention_with(usual, join=lambda found, x: found.contiguous().view(x.shape)), "merged in the wrong order"),
        (attention_with(usual, join=lambda f, x: f.permute(0, 2, 3, 1).reshape(x.shape)), "take turns"),
        (attention_with(usual, order=(0, 2, 1)), "Keys and values are exchanged"),
        (attention_with(usual, order=(1, 0, 2)), "Queries and keys are exchanged"),
        (split_heads_first, "split into heads first"),
        (split_without_moving, "reshaped straight"),
        (in_one_head, "one head of width D"),
        (attention_with(usual, project=False), "`proj`, is missing"),
        (attention_with(usual, qkv_bias_too=False), "The bias of `qkv` is missing"),
        (attention_with(usual, proj_bias_too=False), "The bias of `proj` is missing"),
        (attention_with(usual, qkv_bias_too=False, proj_bias_too=False), "Both biases are missing"),
        (without_batch, "expected the shape (1, 5, 12), found (5, 12)"),
    ],
    "ex-03-broken": [
        ("bcbb", "In block 1, line b is fine: it divides by the root"),
        ("acba", "3 of 4 are right. In block 4, line a is fine"),
        ("aaaa", "1 of 4 are right. In block 2, line a is fine: it reads the normed tokens"),
        ("accd", "In block 3, line c is fine: it puts the heads"),
        ("acb", "found 'acb'"),
        (["a", "c", "b", "b"], "found list"),
    ],
    "ex-03-pieces": [
        (lambda q, k, v: online(q, k, v, fix_found=False), "and not the sum of the values"),
        (lambda q, k, v: online(q, k, v, fix_total=False), "and not the sum of the exponentials"),
        (lambda q, k, v: online(q, k, v, fix_total=False, fix_found=False), "never corrected"),
        (averaged, "You average what each piece gives"),
        (lambda q, k, v: online(q, k[:64], v[:64]), "the first piece only"),
        (lambda q, k, v: online(q, k[:128], v[:128]), "fewer than 64 keys"),
        (overflowing, "overflow"),
        (lambda q, k, v: online(q * 4, k, v), "not divided by the square root of d"),
    ],
}
RIGHT = {
    "ex-03-hand": [85.3, 85.32, 85],
    "ex-03-bias": [" key "],
    "ex-03-attention": [by_loops, by_torch],
    "ex-03-broken": ["ACBB"],
    "ex-03-pieces": [online, lambda q, k, v: online(q, k, v, step=17)],
}
