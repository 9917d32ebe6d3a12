"""Answers of chapter 03.

Chapter: notebooks/03_attention_and_the_encoder.ipynb
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .exercises import Case, Choice, Exercise, Function, Mistake, Number, Trial


def _by_hand(*scores: float) -> float:
    """The first weight of a softmax, in per cent."""
    return 100 * math.exp(scores[0]) / sum(math.exp(score) for score in scores)


def _attention(
    scale: Callable[[int, int], float] = lambda d, _: d**0.5,
    axis: int = -1,
    split: Callable[[Tensor, int], Sequence[Tensor] | Tensor] | None = None,
    merge: Callable[[Tensor], Tensor] = lambda found: found.transpose(1, 2).flatten(2),
    biases: tuple[bool, bool] = (True, True),
    has_proj: bool = True,
    one_head: bool = False,
    transposed: bool = False,
) -> Callable[..., Tensor]:
    """Make a function for attention with several heads, the right one or one with mistakes."""

    def attention(
        x: Tensor, qkv_weight: Tensor, qkv_bias: Tensor, proj_weight: Tensor, proj_bias: Tensor, heads: int
    ) -> Tensor:
        heads = 1 if one_head else heads
        dim = x.shape[2]
        qkv = x @ (qkv_weight if transposed else qkv_weight.T) + (qkv_bias if biases[0] else 0)
        q, k, v = (split or _split)(qkv, heads)  # (batch, heads, tokens, d) each
        found = (q @ k.mT / scale(dim // heads, dim)).softmax(dim=axis) @ v
        merged = merge(found).reshape(x.shape)
        if not has_proj:
            return merged
        return merged @ (proj_weight if transposed else proj_weight.T) + (proj_bias if biases[1] else 0)

    return attention


def _split(qkv: Tensor, heads: int, order: str = "qkv") -> list[Tensor]:
    """Cut `(batch, tokens, 3 dim)` into queries, keys and values, `(batch, heads, tokens, d)` each, in this order."""
    parts = qkv.reshape(*qkv.shape[:2], 3, heads, -1).permute(2, 0, 3, 1, 4)
    return [parts["qkv".index(name)] for name in order]


def _heads_first(qkv: Tensor, heads: int) -> Tensor:
    """The same as if each head's q, k and v lay next to each other."""
    return qkv.reshape(*qkv.shape[:2], heads, 3, -1).permute(3, 0, 2, 1, 4)


def _heads_fastest(qkv: Tensor, heads: int) -> Tensor:
    """The same as if the numbers of the heads took turns."""
    return qkv.reshape(*qkv.shape[:2], 3, -1, heads).permute(2, 0, 4, 1, 3)


def _without_transpose(qkv: Tensor, heads: int) -> Tensor:
    """Reshaped at once to (batch, heads, tokens, d), so that numbers of several tokens get into one head."""
    batch, tokens, _ = qkv.shape
    return torch.stack([part.reshape(batch, heads, tokens, -1) for part in qkv.chunk(3, dim=2)])


def _attention_cases() -> list[Case]:
    generator = torch.Generator().manual_seed(3)

    def inputs(batch: int, tokens: int, dim: int, heads: int) -> tuple[Any, ...]:
        shapes = ((batch, tokens, dim), (3 * dim, dim), (3 * dim,), (dim, dim), (dim,))
        x, qkv_weight, qkv_bias, proj_weight, proj_bias = (torch.randn(shape, generator=generator) for shape in shapes)
        return x, 0.4 * qkv_weight, qkv_bias, 0.4 * proj_weight, proj_bias, heads

    return [
        Case("one clip of 5 tokens with 12 numbers, 3 heads", inputs(1, 5, 12, 3)),
        Case("2 clips of 7 tokens with 8 numbers, 2 heads", inputs(2, 7, 8, 2)),
    ]


def _pieces(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores: Tensor = q @ k.T / q.shape[1] ** 0.5
    return scores.softmax(dim=1) @ v


def _pieces_alone(q: Tensor, k: Tensor, v: Tensor, corrected: str = "") -> Tensor:
    """In pieces of 64, with only one of the two sums corrected ("total" or "found"), or none."""
    largest = torch.full((len(q), 1), -torch.inf)
    total, found = torch.zeros(len(q), 1), torch.zeros(len(q), v.shape[1])
    for start in range(0, len(k), 64):
        scores = q @ k[start : start + 64].T / q.shape[1] ** 0.5
        new = scores.amax(dim=1, keepdim=True).maximum(largest)
        shrink, fits = (largest - new).exp(), (scores - new).exp()
        total = total * (shrink if corrected == "total" else 1) + fits.sum(dim=1, keepdim=True)
        found = found * (shrink if corrected == "found" else 1) + fits @ v[start : start + 64]
        largest = new
    return found / total


def _mean_of_pieces(q: Tensor, k: Tensor, v: Tensor, whole_only: bool = False) -> Tensor:
    """The mean of what each piece gives by itself, or what the first piece gives."""
    outputs = [_pieces(q, k[start : start + 64], v[start : start + 64]) for start in range(0, len(k), 64)]
    return outputs[0] if whole_only else torch.stack(outputs).mean(dim=0)


def _full_pieces(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    whole = len(k) // 64 * 64
    return _pieces(q, k[:whole], v[:whole])


def _not_shifted(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores: Tensor = q @ k.T / q.shape[1] ** 0.5
    fits = scores.exp()
    return fits @ v / fits.sum(dim=1, keepdim=True)


def _pieces_cases() -> list[Case]:
    generator = torch.Generator().manual_seed(4)
    q, k, v = (torch.randn(150, 16, generator=generator) for _ in range(3))
    k = k * torch.linspace(0.5, 2.5, 150)[:, None]  # later keys give larger scores
    return [
        Case("150 tokens with scores of usual size", (q, k, v)),
        Case("150 tokens with scores near 1,000", (300 * q, k, v)),
    ]


_RIGHT_LINES = {
    "a": "reads the normed tokens and makes q, k and v from them",
    "b": "divides by the root of the width of a head and applies the softmax to the keys",
    "c": "puts the heads of each token side by side and adds the result to the stream",
    "d": "adds what the MLP makes of the normed tokens",
}
_BROKEN = "acbb"  # the wrong line of each block


def _broken(answer: Any) -> str | None:
    """Compare four letters with the wrong lines, and say of the first wrong letter what its line does."""
    asked = "Expected four letters from a to d, one for each block, such as 'aaaa'"
    if not isinstance(answer, str):
        return f"{asked}; found {type(answer).__name__}."
    letters = answer.strip().lower()
    if len(letters) != 4 or set(letters) - set("abcd"):
        return f"{asked}; found {answer!r}."
    for number, (letter, wanted) in enumerate(zip(letters, _BROKEN, strict=True), 1):
        if letter != wanted:
            right = sum(one == other for one, other in zip(letters, _BROKEN, strict=True))
            return f"{right} of 4 are right. In block {number}, line {letter} is fine: it {_RIGHT_LINES[letter]}."
    return None


EXERCISES: list[Exercise] = [
    Number(
        label="ex-03-hand",
        right=lambda: _by_hand(4, 0, 2, 0),
        unit="per cent",
        rtol=0.006,
        remark="With the division the same weight is smaller: larger scores make a sharper softmax.",
        mistakes=[
            Mistake(lambda: _by_hand(8**0.5, 0, 2**0.5, 0), "That is the weight with the division by √2."),
            Mistake(lambda: _by_hand(2, 0, 1, 0), "You divided the scores by d. The exercise divides by nothing."),
            Mistake(100 * 4 / 6, "You divided the score by the sum of the scores. A softmax takes exponentials first."),
            Mistake(lambda: _by_hand(4, 2), "You left out the two scores of 0. What is the exponential of 0?"),
            Mistake(lambda: _by_hand(4, 0, 2, 0) / 100, "That is a fraction of 1. The answer is asked in per cent."),
            Mistake(lambda: _by_hand(4, 0, 0, -4), "You took the column of scores. The weights of a query are a row."),
            Mistake(25, "Equal weights belong to a query of zeros. This one has the scores 4, 0, 2 and 0."),
        ],
    ),
    Choice(
        label="ex-03-bias",
        right="key",
        wrong={
            "query": "A query bias adds its product with each key to the scores, and the keys differ. Does a softmax "
            "ignore that?",
            "value": "A value bias reaches the output: the weights sum to 1, so all of it is added to every token.",
        },
        remark="Some networks, Whisper for one, leave the key bias out altogether.",
    ),
    Function(
        label="ex-03-attention",
        signature="my_attention(x, qkv_weight, qkv_bias, proj_weight, proj_bias, heads)",
        right=_attention(),
        cases=_attention_cases,
        remark="It agrees for one clip and for a batch. The block of the network calls the same steps.",
        mistakes=[
            Mistake(_attention(scale=lambda d, dim: dim**0.5), "You divided by the square root of D, not of d."),
            Mistake(_attention(scale=lambda d, dim: d), "You divided by d itself. Which root keeps the spread at 1?"),
            Mistake(_attention(scale=lambda d, dim: 1), "The scores are not divided by anything."),
            Mistake(
                _attention(scale=lambda d, dim: d**-0.5),
                "You multiplied the scores by the square root of d. Should they become larger or smaller?",
            ),
            Mistake(
                _attention(axis=-2),
                "Your softmax runs over the queries: the columns sum to 1. Which axis holds the keys?",
            ),
            Mistake(_attention(axis=1), "Your softmax runs over the heads. Each query of each head has its own."),
            Mistake(_attention(axis=0), "Your softmax runs over the clips of the batch."),
            Mistake(
                _attention(merge=lambda found: found.flatten(1)),
                "The heads are merged in the wrong order: before `reshape`, heads and d must be the last two axes.",
            ),
            Mistake(
                _attention(merge=lambda found: found.permute(0, 2, 3, 1).flatten(2)),
                "After merging, the numbers of the heads take turns. They should lie side by side, head after head.",
            ),
            Mistake(
                _attention(split=lambda qkv, heads: _split(qkv, heads, "qvk")),
                "Keys and values are exchanged: the second third of `qkv` holds the keys.",
            ),
            Mistake(
                _attention(split=lambda qkv, heads: _split(qkv, heads, "kqv")),
                "Queries and keys are exchanged: row i of the scores belongs to query i.",
            ),
            Mistake(
                _attention(split=_heads_first),
                "You split into heads first and then into q, k and v. The rows of `qkv_weight` are all queries, then "
                "all keys, then all values.",
            ),
            Mistake(
                _attention(split=_heads_fastest),
                "You split the last axis as (3, d, heads). Head 1 has the first d numbers, not every third one.",
            ),
            Mistake(
                _attention(split=_without_transpose),
                "You reshaped straight to (B, heads, n, d). This mixes tokens: split the last axis first, then move "
                "the axes.",
            ),
            Mistake(_attention(one_head=True), "You used one head of width D. Where do `heads` come in?"),
            Mistake(_attention(has_proj=False), "The last linear layer, `proj`, is missing."),
            Mistake(_attention(biases=(False, True)), "The bias of `qkv` is missing."),
            Mistake(_attention(biases=(True, False)), "The bias of `proj` is missing."),
            Mistake(_attention(biases=(False, False)), "Both biases are missing."),
        ],
    ),
    Trial(
        label="ex-03-broken",
        asks="four letters, such as 'aaaa'",
        test=_broken,
        remark="None of the four stops with an error: only the numbers show the mistake.",
    ),
    Function(
        label="ex-03-pieces",
        signature="in_pieces(q, k, v)",
        right=_pieces,
        cases=_pieces_cases,
        remark="It never held more than a piece of the scores.",
        mistakes=[
            Mistake(
                lambda q, k, v: _pieces_alone(q, k, v, "total"),
                "You correct the sum of the exponentials when a larger score turns up, and not the sum of the values.",
            ),
            Mistake(
                lambda q, k, v: _pieces_alone(q, k, v, "found"),
                "You correct the sum of the values when a larger score turns up, and not the sum of the exponentials.",
            ),
            Mistake(
                _pieces_alone,
                "Each piece subtracts its own largest score, but what was summed before is never corrected for it.",
            ),
            Mistake(_mean_of_pieces, "You average what each piece gives. Pieces with large scores should count more."),
            Mistake(
                lambda q, k, v: _mean_of_pieces(q, k, v, whole_only=True), "Your function uses the first piece only."
            ),
            Mistake(_full_pieces, "The last piece has fewer than 64 keys, and your function leaves it out."),
            Mistake(
                _not_shifted,
                "Large scores overflow: the exponential of 1,000 is infinite. Subtract the largest score so far.",
            ),
            Mistake(
                lambda q, k, v: (q @ k.T).softmax(dim=1) @ v, "The scores are not divided by the square root of d."
            ),
        ],
    ),
]
