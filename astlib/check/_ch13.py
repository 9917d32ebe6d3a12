"""Answers of chapter 13.

Chapter: notebooks/13_cnns_beside_it.ipynb
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from .exercises import Case, Choice, Exercise, Function, Mistake, Number

Normalise = Callable[[Tensor], Tensor]


def _over_time(gate: Tensor) -> Tensor:
    return gate / gate.sum(dim=1, keepdim=True)


def _pooled(
    x: Tensor,
    u: Tensor,
    a: Tensor,
    v: Tensor,
    b: Tensor,
    w: Tensor,
    gate: Normalise = torch.sigmoid,
    weigh: Normalise = _over_time,
    answer: Normalise = torch.sigmoid,
    turned: bool = False,
) -> Tensor:
    """Attention pooling; the keywords are what the usual mistakes change."""
    attend = torch.einsum("btd,hcd->bthc", x, u) + a  # (batch, steps, heads, classes)
    classify = torch.einsum("btd,hcd->bthc", x, v) + b
    if turned:
        attend, classify = classify, attend
    return torch.einsum("h,bthc->bc", w, weigh(gate(attend)) * answer(classify))


def _no_bias(x: Tensor, u: Tensor, a: Tensor, v: Tensor, b: Tensor, w: Tensor) -> Tensor:
    return _pooled(x, u, torch.zeros_like(a), v, torch.zeros_like(b), w)


def _mean_of_heads(x: Tensor, u: Tensor, a: Tensor, v: Tensor, b: Tensor, w: Tensor) -> Tensor:
    return _pooled(x, u, a, v, b, torch.full_like(w, 1 / len(w)))


def _sum_of_heads(x: Tensor, u: Tensor, a: Tensor, v: Tensor, b: Tensor, w: Tensor) -> Tensor:
    return _pooled(x, u, a, v, b, torch.ones_like(w))


def _mean_of_steps(x: Tensor, u: Tensor, a: Tensor, v: Tensor, b: Tensor, w: Tensor) -> Tensor:
    return _pooled(x, u, a, v, b, w, weigh=lambda gate: torch.full_like(gate, 1 / gate.shape[1]))


def _sigmoid_at_the_end(x: Tensor, u: Tensor, a: Tensor, v: Tensor, b: Tensor, w: Tensor) -> Tensor:
    return _pooled(x, u, a, v, b, w, answer=lambda logits: logits).sigmoid()


def _batches() -> list[Case]:
    generator = torch.Generator().manual_seed(13)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    return [
        Case(
            f"{clips} clips, {steps} steps, {heads} heads and {classes} classes",
            (
                draw(clips, steps, 5),
                draw(heads, classes, 5),
                draw(heads, classes),
                draw(heads, classes, 5),
                draw(heads, classes),
                draw(heads).abs() / heads,
            ),
        )
        for clips, steps, heads, classes in ((2, 7, 4, 3), (3, 6, 2, 4))
    ]


EXERCISES: list[Exercise] = [
    Function(
        label="ex-13-pooling",
        signature="pooled(x, u, a, v, b, w)",
        right=_pooled,
        cases=_batches,
        remark="Any number of steps makes one answer, so a clip may have any length.",
        mistakes=[
            Mistake(
                partial(_pooled, gate=lambda logits: logits, weigh=lambda g: g.softmax(dim=1)),
                "Your gate is a softmax over the steps. PSLA's is a sigmoid, divided by its sum over the steps.",
            ),
            Mistake(
                partial(_pooled, weigh=lambda gate: gate),
                "Your gates are not divided by their sum, so the weights do not add up to 1.",
            ),
            Mistake(
                partial(_pooled, weigh=lambda gate: gate / gate.sum(dim=3, keepdim=True)),
                "Your weights add up to 1 over the classes. Over which axis is the answer a mean?",
            ),
            Mistake(
                partial(_pooled, weigh=lambda gate: gate / gate.sum(dim=2, keepdim=True)),
                "Your weights add up to 1 over the heads. Over which axis is the answer a mean?",
            ),
            Mistake(
                partial(_pooled, answer=lambda logits: logits),
                "You weigh the logits of the classes. Their sigmoids are weighed.",
            ),
            Mistake(_sigmoid_at_the_end, "You weigh logits and take the sigmoid of the result: take it step by step."),
            Mistake(
                partial(_pooled, answer=lambda logits: logits.softmax(dim=3)),
                "You took a softmax over the classes. Several sounds can be in one clip: each class has its sigmoid.",
            ),
            Mistake(_mean_of_heads, "You took the plain mean of the heads. They have weights, w."),
            Mistake(_sum_of_heads, "You added the heads up without their weights, w."),
            Mistake(_mean_of_steps, "That is the plain mean over the steps. Where did the gate go?"),
            Mistake(_no_bias, "You left out the biases, a and b."),
            Mistake(
                partial(_pooled, turned=True),
                "You turned the two around: u and a make the gate, v and b the answer of a class.",
            ),
        ],
    ),
    Number(
        label="ex-13-field",
        right=46,
        unit="frames",
        remark="A fifth block doubles it, and two more: the field grows about as fast as the step.",
        mistakes=[
            Mistake(13, "You let every window move by one frame. Behind a pooling, a step is twice as wide."),
            Mistake(94, "That is the field behind five blocks."),
            Mistake(22, "That is the field behind three blocks."),
            Mistake(31, "You left out the windows of the pooling: each adds one step."),
            Mistake(16, "That is the step behind four blocks, j, or the windows of the pooling alone."),
            Mistake(45, "How many frames does the input's own row see, before any layer?"),
        ],
    ),
    Number(
        label="ex-13-heads",
        right=2 * 4 * 527 * 1409 + 4,
        unit="parameters",
        remark="That is nearly half of the whole network, for 527 classes.",
        mistakes=[
            Mistake(2 * 4 * 527 * 1409, "The heads themselves have weights, too."),
            Mistake(2 * 4 * 527 * 1408 + 4, "You left out the biases: one for each head and class, in both layers."),
            Mistake(2 * 4 * 527 * 1408, "You left out the biases and the weights of the heads."),
            Mistake(4 * 527 * 1409 + 4, "There are two layers: one for the gate, one for the class."),
            Mistake(4 * 527 * 1409, "There are two layers: one for the gate, one for the class."),
            Mistake(2 * 527 * 1409 + 4, "Each of the four heads has its own two layers."),
            Mistake(2 * 4 * 50 * 1409 + 4, "That is the number for the 50 classes of ESC-50."),
        ],
    ),
    Choice(
        label="ex-13-scale",
        right="CNNs",
        wrong={
            "all": "What stands in the AST between the input and the position embedding that could undo a factor?",
            "AST-Tiny": "The AST's layer norms come after the position embedding, which has kept its size.",
            "none": "What does batch norm divide by, right after the first convolution, which has no bias?",
        },
        remark="For an AST the scale of its input is a choice; for these CNNs it is none.",
    ),
    Number(
        label="ex-13-average",
        right=2 / 16,
        rtol=0.001,
        remark="Each of the other fourteen epochs has 1/16.",
        mistakes=[
            Mistake(1 / 15, "That would be right if the epoch were added once. How often is it in the sum?"),
            Mistake(1 / 16, "That is the share of each of the others. Epoch 16 is loaded, and then added."),
            Mistake(2 / 15, "How many additions are there, and what is the sum divided by?"),
            Mistake(2 / 17, "There are fifteen additions, and one is added to that number."),
            Mistake(2.0, "That is how often it is in the sum. Its share is that, divided by the divisor."),
        ],
    ),
]
