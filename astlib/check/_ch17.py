"""Answers of chapter 17.

Chapter: notebooks/17_out_into_the_world.ipynb
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from .exercises import Case, Choice, Exercise, Function, Mistake, Number

Quantised = tuple[Tensor, Tensor]


def _scales(largest: Tensor, steps: float = 127.0) -> Tensor:
    """The scale for the largest magnitude; 1 where everything is zero."""
    return torch.where(largest > 0, largest / steps, torch.ones_like(largest))


def quantise(weights: Tensor) -> Quantised:
    """Store each row of a weight matrix in 8 bits, symmetric, with a scale of its own.

    Args:
        weights: `(outputs, inputs)`.

    Returns:
        Integers from -127 to 127 `(outputs, inputs)`, and the scales `(outputs,)`.
    """
    scale = _scales(weights.abs().amax(dim=1))
    return (weights / scale[:, None]).round(), scale


def _per_tensor(weights: Tensor) -> Quantised:
    scale = _scales(weights.abs().max()).expand(len(weights))
    return (weights / scale[:, None]).round(), scale


def _per_column(weights: Tensor) -> Quantised:
    scale = _scales(weights.abs().amax(dim=0))
    return (weights / scale).round(), scale


def _signed_maximum(weights: Tensor) -> Quantised:
    scale = _scales(weights.amax(dim=1))
    return (weights / scale[:, None]).round(), scale


def _signed_clipped(weights: Tensor) -> Quantised:
    q, scale = _signed_maximum(weights)
    return q.clamp(-127, 127), scale


def _by_128(weights: Tensor) -> Quantised:
    scale = _scales(weights.abs().amax(dim=1), 128.0)
    return (weights / scale[:, None]).round(), scale


def _by_128_clipped(weights: Tensor) -> Quantised:
    q, scale = _by_128(weights)
    return q.clamp(-128, 127), scale


def _by_255(weights: Tensor) -> Quantised:
    scale = _scales(weights.amax(dim=1) - weights.amin(dim=1), 255.0)
    return (weights / scale[:, None]).round(), scale


def _cut_off(weights: Tensor) -> Quantised:
    scale = _scales(weights.abs().amax(dim=1))
    return (weights / scale[:, None]).trunc(), scale


def _floored(weights: Tensor) -> Quantised:
    scale = _scales(weights.abs().amax(dim=1))
    return (weights / scale[:, None]).floor(), scale


def _not_rounded(weights: Tensor) -> Quantised:
    scale = _scales(weights.abs().amax(dim=1))
    return weights / scale[:, None], scale


def _zero_point(weights: Tensor) -> Quantised:
    low, high = weights.amin(dim=1), weights.amax(dim=1)
    scale = _scales(high - low, 255.0)
    return ((weights - low[:, None]) / scale[:, None]).round() - 128, scale


def _zeros_divided(weights: Tensor) -> Quantised:
    scale = weights.abs().amax(dim=1) / 127
    return (weights / scale[:, None]).round(), scale


def _restored(weights: Tensor) -> Quantised:
    q, scale = quantise(weights)
    return q * scale[:, None], scale


def _matrices() -> Sequence[Case]:
    rows = torch.randn(5, 5, generator=torch.Generator().manual_seed(17))
    rows = rows * torch.tensor([1.0, 0.01, 30.0, 0.3, 2.0])[:, None]
    zeros = torch.tensor([[0.5, -1.0, 0.26], [0.0, 0.0, 0.0], [-3.0, -2.0, -1.1]])
    return [Case("five rows of different sizes", (rows,)), Case("a matrix with a row of zeros", (zeros,))]


EXERCISES: list[Exercise] = [
    Number(
        label="ex-17-long",
        right=11,
        unit="windows",
        remark="The last window ends with the sound, so it overlaps its neighbour by more than half.",
        mistakes=[
            Mistake(6, "Six windows side by side do not overlap. These overlap by half."),
            Mistake(5, "Five whole windows fit side by side. These overlap by half, and nothing is left out."),
            Mistake(10, "Ten windows half a window apart end before the sound does."),
            Mistake(12, "A twelfth would begin where fewer frames than a window are left. Where does the last begin?"),
        ],
    ),
    Choice(
        label="ex-17-one",
        right="transformers",
        wrong={
            "onnx": "A graph stores whatever operators the network runs. What would it know about class tokens?",
            "both": "One of the two does not care what a token is.",
            "neither": "How many class tokens does the port of AST have in its code?",
        },
    ),
    Choice(
        label="ex-17-night",
        right="go on",
        wrong={
            "stop": "The answers for the other files are good. What would be lost?",
            "ignore": "Some files have no answer. Who would ever know?",
            "repeat": "A broken file is still broken the second time.",
        },
    ),
    Function(
        label="ex-17-int8",
        signature="quantise(weights)",
        right=quantise,
        cases=_matrices,
        remark="Now see what one scale for the whole matrix would have cost.",
        mistakes=[
            Mistake(_zeros_divided, "A row of zeros has a largest magnitude of 0, and you divide by it."),
            Mistake(_per_tensor, "You used one scale for the whole matrix. A small row then has few different values."),
            Mistake(_per_column, "You took the largest of each column. A row holds the weights of one output."),
            Mistake(_signed_maximum, "You took the largest value. A negative weight may be larger in magnitude."),
            Mistake(_signed_clipped, "You took the largest value, and then clipped the larger negative ones away."),
            Mistake(_by_128, "You divided by 128. Then the largest weight becomes 128, which 8 bits do not have."),
            Mistake(_by_128_clipped, "You divided by 128 and clipped: the largest weights are cut."),
            Mistake(_zero_point, "You used a zero point. The exercise asks for the symmetric kind: 0 stays 0."),
            Mistake(_by_255, "You spread the range from smallest to largest; without a zero point it does not fit."),
            Mistake(_cut_off, "You cut off the decimals. Round to the nearest integer."),
            Mistake(_floored, "You rounded down. Round to the nearest integer."),
            Mistake(_not_rounded, "Your values are not integers: round them."),
            Mistake(_restored, "You returned the restored weights. Return the integers and the scales."),
        ],
    ),
]
