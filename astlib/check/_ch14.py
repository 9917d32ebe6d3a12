"""Answers of chapter 14.

Chapter: notebooks/14_looking_inside.ipynb
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .exercises import Case, Choice, Exercise, Function, Mistake, Number

Score = Callable[[Tensor], Tensor]


def _mixed(maps: Tensor) -> Tensor:
    """Maps `(layers, heads, tokens, tokens)` -> mean of the heads, half attention and half shortcut."""
    mean = maps.mean(dim=1)
    return (mean + torch.eye(mean.shape[-1])) / 2


def _product(steps: Tensor) -> Tensor:
    result = steps[0]
    for step in steps[1:]:
        result = step @ result
    return result


def _of_class_tokens(rolled: Tensor) -> Tensor:
    return rolled[:2, 2:].mean(dim=0)


def rollout_map(maps: Tensor) -> Tensor:
    """Compute what the two class tokens are made of, by rollout.

    Args:
        maps: attention maps of one clip `(layers, heads, tokens, tokens)`.

    Returns:
        One number for each patch `(patches,)`.
    """
    return _of_class_tokens(_product(_mixed(maps)))


def _no_identity(maps: Tensor) -> Tensor:
    return _of_class_tokens(_product(maps.mean(dim=1)))


def _not_halved(maps: Tensor) -> Tensor:
    return _of_class_tokens(_product(2 * _mixed(maps)))


def _wrong_order(maps: Tensor) -> Tensor:
    return _of_class_tokens(_product(_mixed(maps).flip(0)))


def _columns(maps: Tensor) -> Tensor:
    return _product(_mixed(maps))[2:, :2].mean(dim=1)


def _one_class_token(maps: Tensor) -> Tensor:
    return _product(_mixed(maps))[0, 2:]


def _last_block(maps: Tensor) -> Tensor:
    return _of_class_tokens(_mixed(maps)[-1])


def _first_head(maps: Tensor) -> Tensor:
    return rollout_map(maps[:, :1])


def _summed_heads(maps: Tensor) -> Tensor:
    summed = maps.sum(dim=1) + torch.eye(maps.shape[-1])
    return _of_class_tokens(_product(summed / 2))


def _all_tokens(maps: Tensor) -> Tensor:
    return _product(_mixed(maps))[:2].mean(dim=0)


def _maps() -> Sequence[Case]:
    random = torch.Generator().manual_seed(14)
    several = torch.randn(4, 3, 9, 9, generator=random).mul(2).softmax(dim=-1)
    two = torch.randn(2, 2, 6, 6, generator=random).mul(2).softmax(dim=-1)
    return [Case("maps of 4 blocks, 3 heads and 7 patches", (several,)), Case("maps of 2 blocks", (two,))]


def first_order(score: Score, mel: Tensor, fill: float) -> Tensor:
    """Estimate by one gradient how far a score would fall if each cell were covered.

    Args:
        score: maps `(batch, frames, mels)` to `(batch,)`.
        mel: `(batch, frames, mels)`.
        fill: what a covered cell holds.

    Returns:
        `(batch, frames, mels)`.
    """
    return -_gradient(score, mel) * (fill - mel)


def _gradient(score: Score, mel: Tensor) -> Tensor:
    mel = mel.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(score(mel).sum(), mel)
    return gradient


def _rise(score: Score, mel: Tensor, fill: float) -> Tensor:
    return _gradient(score, mel) * (fill - mel)


def _times_input(score: Score, mel: Tensor, fill: float) -> Tensor:
    return _gradient(score, mel) * mel


def _gradient_alone(score: Score, mel: Tensor, fill: float) -> Tensor:
    return _gradient(score, mel)


def _magnitude(score: Score, mel: Tensor, fill: float) -> Tensor:
    return (_gradient(score, mel) * (fill - mel)).abs()


def curved(mel: Tensor) -> Tensor:
    """Give a score that is no straight line, for the cases: `(batch, frames, mels)` -> `(batch,)`."""
    return (mel.sin() + 0.3 * mel.square()).sum(dim=(1, 2))


def _cells() -> Sequence[Case]:
    mel = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(7))
    return [Case("two small spectrograms, filled with 0.6", (curved, mel, 0.6))]


EXERCISES: list[Exercise] = [
    Choice(
        label="ex-14-class",
        right="none",
        wrong={
            "qkv": "Which of the numbers in that line depends on the class that you ask about?",
            "softmax": "The softmax runs over the tokens, not over the classes. Where does a class first appear?",
            "block": "The tokens that a block returns are made before any class is known. Where is the head?",
        },
    ),
    Number(
        label="ex-14-even",
        right=0.5**12,
        unit="fraction",
        rtol=1e-3,
        remark="The shortcut alone keeps a token in place, and each block halves it.",
        mistakes=[
            Mistake(0.5, "That is what is left after one block. There are twelve."),
            Mistake(1 / 24, "You added the blocks up: 2 for each of 12. Each block halves what the last one left."),
            Mistake(1 - 0.5**12, "That is the part that has been spread evenly. The question is what stayed."),
            Mistake(0.0, "Even attention alone would leave nothing. What does the shortcut do?"),
        ],
    ),
    Number(
        label="ex-14-cover",
        right=2 * 1024 + 126 * 8,
        unit="cells",
        remark="`over_spectrogram` marks them as NaN.",
        mistakes=[
            Mistake(2 * 1024, "Those are the two highest bins. What is left over at the end of the time axis?"),
            Mistake(128 * 8, "Those are the last eight frames. What is left over on the frequency axis?"),
            Mistake(2 * 1024 + 128 * 8, "The corner belongs to both strips, and you counted its cells twice."),
            Mistake(0, "The last patch in time begins at frame 1,000. Where does it end?"),
        ],
    ),
    Function(
        label="ex-14-rollout",
        signature="rollout_map(maps)",
        right=rollout_map,
        cases=_maps,
        remark="Now lay your map over a sound, next to that of the last block.",
        mistakes=[
            Mistake(_no_identity, "You multiplied the attention alone. Each block also has a shortcut: the identity."),
            Mistake(_not_halved, "Rows of attention plus identity sum to 2. Then twelve blocks make 4,096 of one."),
            Mistake(_summed_heads, "You added up the heads. Their mean weighs as much as the shortcut, not their sum."),
            Mistake(_wrong_order, "The blocks are in the wrong order: a later block multiplies from the left."),
            Mistake(_columns, "You took the columns of the class tokens: what they give. Rows say what they take."),
            Mistake(_one_class_token, "You took the first class token alone. The head reads the mean of both."),
            Mistake(_all_tokens, "The class tokens' own columns are still in it. They have no place in the picture."),
            Mistake(_last_block, "That is the last block alone. Which matrices come before it?"),
            Mistake(_first_head, "You took one head. Rollout takes the mean of the heads."),
        ],
    ),
    Function(
        label="ex-14-gradient",
        signature="first_order(score, mel, fill)",
        right=first_order,
        cases=_cells,
        mistakes=[
            Mistake(_magnitude, "You took the magnitude. A cell may also stand against the class: keep the sign."),
            Mistake(_rise, "The sign is wrong: this is how far the score would rise."),
            Mistake(_times_input, "You multiplied by the cell. Covering changes it to `fill`: by how much is that?"),
            Mistake(_gradient_alone, "A gradient is the change for each unit. How many units does covering take?"),
        ],
    ),
]
