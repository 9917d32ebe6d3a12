"""Answers of chapter 16.

Chapter: notebooks/16_faster_and_beyond.ipynb
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from .exercises import Case, Choice, Exercise, Function, Mistake, Number

D, TOKENS = 768, 1214
LINEAR, PRODUCTS = 12 * TOKENS * D**2, 2 * TOKENS**2 * D  # multiply-adds of one block
SHARE = PRODUCTS / (LINEAR + PRODUCTS)


def _flops(tokens: int, inputs: int, outputs: int) -> float:
    return 2.0 * tokens * inputs * outputs


def _bytes(tokens: int, inputs: int, outputs: int) -> float:
    return 4.0 * (tokens * inputs + inputs * outputs + tokens * outputs)


def least_time(tokens: int, inputs: int, outputs: int, peak: float, bandwidth: float) -> float:
    """Bound the time of a linear layer in float32 by the roofline.

    Args:
        tokens: rows of the input.
        inputs: width of the input.
        outputs: width of the output; there is no bias.
        peak: operations a second.
        bandwidth: bytes a second.

    Returns:
        Seconds.
    """
    return max(_flops(tokens, inputs, outputs) / peak, _bytes(tokens, inputs, outputs) / bandwidth)


def _sum(tokens: int, inputs: int, outputs: int, peak: float, bandwidth: float) -> float:
    return _flops(tokens, inputs, outputs) / peak + _bytes(tokens, inputs, outputs) / bandwidth


def _least(tokens: int, inputs: int, outputs: int, peak: float, bandwidth: float) -> float:
    return min(_flops(tokens, inputs, outputs) / peak, _bytes(tokens, inputs, outputs) / bandwidth)


def _multiply_adds(tokens: int, inputs: int, outputs: int, peak: float, bandwidth: float) -> float:
    return max(_flops(tokens, inputs, outputs) / 2 / peak, _bytes(tokens, inputs, outputs) / bandwidth)


def _numbers(tokens: int, inputs: int, outputs: int, peak: float, bandwidth: float) -> float:
    return max(_flops(tokens, inputs, outputs) / peak, _bytes(tokens, inputs, outputs) / 4 / bandwidth)


def _no_weights(tokens: int, inputs: int, outputs: int, peak: float, bandwidth: float) -> float:
    moved = _bytes(tokens, inputs, outputs) - 4 * inputs * outputs
    return max(_flops(tokens, inputs, outputs) / peak, moved / bandwidth)


def _read_only(tokens: int, inputs: int, outputs: int, peak: float, bandwidth: float) -> float:
    moved = _bytes(tokens, inputs, outputs) - 4 * tokens * outputs
    return max(_flops(tokens, inputs, outputs) / peak, moved / bandwidth)


def _arithmetic(tokens: int, inputs: int, outputs: int, peak: float, bandwidth: float) -> float:
    return _flops(tokens, inputs, outputs) / peak


def _memory(tokens: int, inputs: int, outputs: int, peak: float, bandwidth: float) -> float:
    return _bytes(tokens, inputs, outputs) / bandwidth


def _layers() -> Sequence[Case]:
    slow, fast = 1e11, 2e10  # operations and bytes a second
    return [
        Case("1,214 tokens from 768 to 3,072 numbers", (1214, 768, 3072, slow, fast)),
        Case("one token from 768 to 768 numbers", (1, 768, 768, slow, fast)),
        Case("4,000 tokens from 8 to 8 numbers", (4000, 8, 8, slow, fast)),
        Case("3,000 tokens from 4 to 600 numbers", (3000, 4, 600, slow, fast)),
    ]


def seen(columns: Tensor, grid: tuple[int, int]) -> Tensor:
    """Say which tokens of padded clips may be attended to.

    Args:
        columns: how many columns of patches of each clip are real, `(batch,)`.
        grid: patches along frequency and along time; time changes fastest, and two class tokens come first.

    Returns:
        True where a token is real: `(batch, 2 + f * t)`.
    """
    real = torch.arange(grid[1]) < columns[:, None]  # (batch, t)
    return torch.nn.functional.pad(real.repeat(1, grid[0]), (2, 0), value=True)


def _time_outer(columns: Tensor, grid: tuple[int, int]) -> Tensor:
    real = torch.arange(grid[1]) < columns[:, None]
    return torch.nn.functional.pad(real.repeat_interleave(grid[0], dim=1), (2, 0), value=True)


def _hidden_prefix(columns: Tensor, grid: tuple[int, int]) -> Tensor:
    mask = seen(columns, grid)
    mask[:, :2] = False
    return mask


def _no_prefix(columns: Tensor, grid: tuple[int, int]) -> Tensor:
    return seen(columns, grid)[:, 2:]


def _inverted(columns: Tensor, grid: tuple[int, int]) -> Tensor:
    return ~seen(columns, grid)


def _one_more(columns: Tensor, grid: tuple[int, int]) -> Tensor:
    return seen(columns + 1, grid)


def _padded() -> Sequence[Case]:
    return [Case("three clips on a grid of 3 x 5", (torch.tensor([5, 2, 1]), (3, 5)))]


EXERCISES: list[Exercise] = [
    Number(
        label="ex-16-count",
        right=1 / (1 - SHARE),
        unit="times",
        rtol=0.005,
        remark="Whatever you speed up, the rest stays: Amdahl's law.",
        mistakes=[
            Mistake(SHARE, "That is attention's share of the operations. What is left, and how much shorter is it?"),
            Mistake(1 + SHARE, "You added the share. The time becomes 1 - share; how many times as fast is that?"),
            Mistake(1 / (1 - PRODUCTS / 2 / (LINEAR + PRODUCTS / 2)), "You counted one of attention's two products."),
            Mistake(
                1 + PRODUCTS / (4 * TOKENS * D**2),
                "The MLP is missing from the rest: a block has 12 n D^2 multiply-adds in its linear layers.",
            ),
        ],
    ),
    Choice(
        label="ex-16-order",
        right="same",
        wrong={
            "other": "What does a block know about the place of a token in the list?",
            "structured": "How the patches were chosen makes no difference here. When are positions added?",
            "slower": "The number of tokens is the same, and so is the work.",
        },
    ),
    Function(
        label="ex-16-roofline",
        signature="least_time(tokens, inputs, outputs, peak, bandwidth)",
        right=least_time,
        cases=_layers,
        atol=0.0,
        rtol=1e-6,
        remark="Now compare it with the measured times of the linear layers in the table above.",
        mistakes=[
            Mistake(_sum, "You added both times. Arithmetic and transport go on at once: the longer one counts."),
            Mistake(_least, "You took the shorter time. A step is done when both are."),
            Mistake(_multiply_adds, "A multiplication and an addition are two operations, and the peak counts both."),
            Mistake(_numbers, "You counted numbers, not bytes: a float32 has four."),
            Mistake(_no_weights, "The weights have to be read too."),
            Mistake(_read_only, "The output has to be written too."),
            Mistake(_arithmetic, "That is the time of the arithmetic alone. Which cases wait for memory?"),
            Mistake(_memory, "That is the time of the transport alone. Which cases wait for arithmetic?"),
        ],
    ),
    Function(
        label="ex-16-mask",
        signature="seen(columns, grid)",
        right=seen,
        cases=_padded,
        remark="Give it to `attn_mask` with two axes of length 1: (batch, 1, 1, tokens).",
        mistakes=[
            Mistake(_time_outer, "You let frequency change fastest. Tokens stand row by row: time changes fastest."),
            Mistake(_hidden_prefix, "The two class tokens are hidden. Nobody could read them."),
            Mistake(_no_prefix, "The two class tokens are missing in front."),
            Mistake(_inverted, "Your mask is true where padding is. For `attn_mask`, true means: may be seen."),
            Mistake(_one_more, "One column too many is seen: columns count from 0."),
        ],
    ),
]
