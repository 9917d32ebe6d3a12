"""Answers of chapter 10: the AP of a guess, clips that are left, weights for balanced sampling.

Chapter: notebooks/10_audioset.ipynb
"""

from collections.abc import Callable

import torch
from torch import Tensor

from .exercises import Case, Exercise, Function, Mistake, Number

EVALUATION, AUTHORS, PARQUET, RAREST = 20_371, 19_185, 17_142, 59  # clips: Google's list, two copies, the rarest label


def _inverse(targets: Tensor) -> Tensor:
    """1 / clips of each label, 0 for a label without clips: `(labels,)`."""
    counts = targets.sum(dim=0)
    return torch.where(counts > 0, 1 / counts.clamp(min=1), 0)


def _weights(targets: Tensor) -> Tensor:
    """`(clips, labels)` of zeros and ones -> `(clips,)`: how likely a draw is to take each clip."""
    weights = (targets * _inverse(targets)).sum(dim=1)
    return weights / weights.sum()


def _instead(weigh: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The same with other weights, before they are scaled to a sum of 1."""

    def wrong(targets: Tensor) -> Tensor:
        weights = weigh(targets)
        return weights / weights.sum()

    return wrong


def _cases() -> list[Case]:
    some = torch.tensor([[1.0, 0, 0, 1], [1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 1], [0, 1, 1, 0]])
    empty = torch.tensor([[1.0, 0, 0], [1, 0, 0], [1, 0, 1], [1, 0, 1], [0, 0, 1]])
    return [
        Case("six clips with four labels", (some,)),
        Case("five clips, and a label that none of them has", (empty,)),
    ]


EXERCISES: list[Exercise] = [
    Number(
        label="ex-10-guess",
        right=RAREST / EVALUATION,
        rtol=5e-3,
        remark="A network that has an AP of 0.3 for such a label is a hundred times better than a guess.",
        mistakes=[
            Mistake(0.5, "That is the area under the ROC curve of a guesser. What share of the clips is right?"),
            Mistake(1 / 527, "The number of labels does not matter here: every label is measured by itself."),
            Mistake(1 / RAREST, "That is the share of one right clip among the right ones. Count all clips."),
            Mistake(100 * RAREST / EVALUATION, "That is in per cent. An AP goes from 0 to 1."),
            Mistake(RAREST / AUTHORS, "That is as if other clips were lost and none of this label."),
            Mistake(1 - RAREST / EVALUATION, "That is the share of the clips that do not have the label."),
        ],
    ),
    Number(
        label="ex-10-rare",
        right=RAREST * AUTHORS / EVALUATION,
        unit="clips",
        rtol=8e-3,
        remark="Each of them carries about 1/56 of the AP of this label.",
        mistakes=[
            Mistake(RAREST * (1 - AUTHORS / EVALUATION), "That many are lost. How many are left?"),
            Mistake(RAREST * PARQUET / EVALUATION, "That is for the public copy, with 17,142 clips."),
            Mistake(RAREST, "So many are on the list. Some of them are lost, as likely as any other clip."),
            Mistake(1 - AUTHORS / EVALUATION, "That is the share that is lost. Multiply what?"),
            Mistake(AUTHORS / EVALUATION, "That is the share that is left. Of how many clips?"),
        ],
    ),
    Function(
        label="ex-10-weights",
        signature="sampling_weights(targets)",
        right=_weights,
        cases=_cases,
        remark="`astlib.train.sampling` does this on sparse targets, for two million clips.",
        mistakes=[
            Mistake(
                lambda targets: (targets * _inverse(targets)).sum(dim=1),
                "Your weights are right up to a factor: scale them so that their sum is 1.",
            ),
            Mistake(
                _instead(lambda targets: (targets * _inverse(targets)).sum(dim=1) / targets.sum(dim=1)),
                "You took the mean over the labels of a clip. The original adds them up, so a second label only helps.",
            ),
            Mistake(
                _instead(lambda targets: (targets * _inverse(targets)).amax(dim=1)),
                "You took the rarest label of each clip alone. The others count, too.",
            ),
            Mistake(
                _instead(lambda targets: 1 / (targets * targets.sum(dim=0)).sum(dim=1)),
                "You added up the counts and inverted the sum. Invert each label's count first: otherwise one frequent "
                "label hides a rare one.",
            ),
            Mistake(
                _instead(lambda targets: (targets * targets.sum(dim=0)).sum(dim=1)),
                "That draws the frequent labels more often still. Which of two labels should weigh more?",
            ),
            Mistake(
                _instead(lambda targets: (targets / targets.sum(dim=0)).sum(dim=1)),
                "A label that no clip has gives 0 / 0, which is nan, and so is every sum with it.",
            ),
            Mistake(
                _instead(lambda targets: 1 / targets.sum(dim=1)),
                "You weigh by how many labels a clip has, not by how rare they are. Sum over the clips first.",
            ),
            Mistake(
                lambda targets: _inverse(targets) / _inverse(targets).sum(),
                "That is one weight for each label. Which of them does a clip add up?",
            ),
        ],
    ),
]
