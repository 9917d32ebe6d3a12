"""Answers of chapter 18.

Chapter: notebooks/18_a_larger_ear.ipynb
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .exercises import Case, Choice, Exercise, Function, Mistake, Number

SOFT = (0.7, 0.2, 0.1)  # the soft target of ex-18-entropy
ENTROPY = -sum(p * math.log(p) for p in SOFT)  # nats


def soften(logits: Tensor, temperature: float) -> Tensor:
    """Compute probabilities at a temperature.

    Args:
        logits: `(batch, classes)`.
        temperature: above 0; 1 changes nothing.

    Returns:
        `(batch, classes)`.
    """
    return (logits / temperature).softmax(dim=1)


def _multiplied(logits: Tensor, temperature: float) -> Tensor:
    return (logits * temperature).softmax(dim=1)


def _divided_afterwards(logits: Tensor, temperature: float) -> Tensor:
    return logits.softmax(dim=1) / temperature


def _softmax_twice(logits: Tensor, temperature: float) -> Tensor:
    return (logits.softmax(dim=1) / temperature).softmax(dim=1)


def _power_alone(logits: Tensor, temperature: float) -> Tensor:
    return logits.softmax(dim=1) ** (1 / temperature)


def _over_the_batch(logits: Tensor, temperature: float) -> Tensor:
    return (logits / temperature).softmax(dim=0)


def _no_temperature(logits: Tensor, temperature: float) -> Tensor:
    return logits.softmax(dim=1)


def _logits() -> Sequence[Case]:
    random = torch.Generator().manual_seed(18)
    three = 2 * torch.randn(4, 3, generator=random)
    return [Case("four clips, T = 2", (three, 2.0)), Case("four clips, T = 0.5", (three, 0.5))]


def taught_loss(
    vectors: Tensor, logits: Tensor, targets: Tensor, classes: Tensor, directions: Tensor, alpha: float, beta: float
) -> Tensor:
    """Compute the loss of a taught student for each clip.

    Args:
        vectors: the student's `(batch, dim)`.
        logits: the student's `(batch, classes)`.
        targets: the labels `(batch, classes)`; a mixture has two ones.
        classes: the teacher's probabilities `(batch, classes)`.
        directions: the teacher's unit vectors `(batch, dim)`.
        alpha: weight of the teacher's classes.
        beta: weight of the directions.

    Returns:
        `(batch,)`.
    """
    return _of_parts(*_parts(vectors, logits, targets, classes, directions), alpha, beta)


def _parts(
    vectors: Tensor, logits: Tensor, targets: Tensor, classes: Tensor, directions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The three parts `(batch,)`: labels, the teacher's classes, direction."""
    labels = targets / targets.sum(dim=1, keepdim=True)
    return (
        F.cross_entropy(logits, labels, reduction="none"),
        F.cross_entropy(logits, classes, reduction="none"),
        1 - F.cosine_similarity(vectors, directions),
    )


def _of_parts(labels: Tensor, classes: Tensor, directions: Tensor, alpha: float, beta: float) -> Tensor:
    return labels + alpha * classes + beta * directions


Loss = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, float, float], Tensor]


def _with_labels(label_loss: Callable[[Tensor, Tensor], Tensor]) -> Loss:
    """The loss with another part for the labels, a function of logits and targets."""

    def loss(v: Tensor, z: Tensor, y: Tensor, q: Tensor, d: Tensor, alpha: float, beta: float) -> Tensor:
        _, classes, directions = _parts(v, z, y, q, d)
        return _of_parts(label_loss(z, y), classes, directions, alpha, beta)

    return loss


def _with_classes(class_loss: Callable[[Tensor, Tensor], Tensor]) -> Loss:
    """The loss with another part for the teacher's classes, a function of logits and probabilities."""

    def loss(v: Tensor, z: Tensor, y: Tensor, q: Tensor, d: Tensor, alpha: float, beta: float) -> Tensor:
        labels, _, directions = _parts(v, z, y, q, d)
        return _of_parts(labels, class_loss(z, q), directions, alpha, beta)

    return loss


def _with_directions(direction_loss: Callable[[Tensor, Tensor], Tensor]) -> Loss:
    """The loss with another part for the directions, a function of the two vectors."""

    def loss(v: Tensor, z: Tensor, y: Tensor, q: Tensor, d: Tensor, alpha: float, beta: float) -> Tensor:
        labels, classes, _ = _parts(v, z, y, q, d)
        return _of_parts(labels, classes, direction_loss(v, d), alpha, beta)

    return loss


_summed_labels = _with_labels(lambda z, y: F.cross_entropy(z, y, reduction="none"))
_first_label = _with_labels(lambda z, y: F.cross_entropy(z, y.argmax(dim=1), reduction="none"))
_hardened = _with_classes(lambda z, q: F.cross_entropy(z, q.argmax(dim=1), reduction="none"))
_turned_round = _with_classes(lambda z, q: -(z.softmax(dim=1) * q.clamp(min=1e-9).log()).sum(dim=1))
_softmax_before = _with_classes(lambda z, q: F.cross_entropy(z.softmax(dim=1), q, reduction="none"))
_cosine = _with_directions(lambda v, d: F.cosine_similarity(v, d))
_minus_dot = _with_directions(lambda v, d: 1 - (v * d).sum(dim=1))
_squares = _with_directions(lambda v, d: (v - d).square().sum(dim=1))
_mean_squares = _with_directions(lambda v, d: (v - d).square().mean(dim=1))


def _mean_of_batch(
    v: Tensor, z: Tensor, y: Tensor, q: Tensor, d: Tensor, alpha: float, beta: float
) -> Tensor:  # the same for all clips
    return taught_loss(v, z, y, q, d, alpha, beta).mean()


def _no_weights(v: Tensor, z: Tensor, y: Tensor, q: Tensor, d: Tensor, alpha: float, beta: float) -> Tensor:
    return taught_loss(v, z, y, q, d, 1.0, 1.0)


def _swapped_weights(v: Tensor, z: Tensor, y: Tensor, q: Tensor, d: Tensor, alpha: float, beta: float) -> Tensor:
    return taught_loss(v, z, y, q, d, beta, alpha)


def _batches() -> Sequence[Case]:
    random = torch.Generator().manual_seed(8)
    vectors, logits = torch.randn(5, 6, generator=random), torch.randn(5, 4, generator=random)
    targets = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1], [0, 1, 0, 1], [0, 0, 0, 1]])
    classes = (2 * torch.randn(5, 4, generator=random)).softmax(dim=1)
    directions = F.normalize(torch.randn(5, 6, generator=random), dim=1)
    return [Case("a batch of three clips and two mixtures", (vectors, logits, targets, classes, directions, 2.0, 0.5))]


_LENGTH = "Squared distances also ask for the length of the vector. Compare directions alone."

EXERCISES: list[Exercise] = [
    Number(
        label="ex-18-entropy",
        right=ENTROPY,
        unit="nats",
        rtol=2e-3,
        remark="It is the entropy of the target. What is above it can be learned away; the entropy itself cannot.",
        mistakes=[
            Mistake(ENTROPY / math.log(2), "That is in bits. torch's cross-entropy uses the natural logarithm."),
            Mistake(-math.log(SOFT[0]), "That is the loss for the first class alone. The others count by their share."),
            Mistake(0.0, "A hard target can be met with a loss of 0. Which probabilities are best for a soft one?"),
            Mistake(math.log(3), "That is what a student pays that knows nothing and answers one third each."),
            Mistake(-ENTROPY, "The logarithm of a probability is negative, and so the sum needs a minus sign."),
        ],
    ),
    Function(
        label="ex-18-soften",
        signature="soften(logits, temperature)",
        right=soften,
        cases=_logits,
        remark="The order of the classes stays; only the distances between them change.",
        mistakes=[
            Mistake(_no_temperature, "That is the softmax alone. Where does the temperature come in?"),
            Mistake(_multiplied, "You multiplied. A high temperature makes a target softer, so it must shrink logits."),
            Mistake(_divided_afterwards, "Divided after the softmax, the probabilities no longer sum to 1."),
            Mistake(_softmax_twice, "That takes a softmax of a softmax. Divide the logits, not the probabilities."),
            Mistake(_power_alone, "The powers are right, but they no longer sum to 1. What brings them back?"),
            Mistake(_over_the_batch, "Your softmax runs over the clips. Each clip has a distribution of its own."),
        ],
    ),
    Number(
        label="ex-18-epoch",
        right=7600 * 66 / (1600 * 258),
        unit="times",
        rtol=5e-3,
        remark="Attention itself gets cheaper by more than that: its cost goes with the square of the tokens.",
        mistakes=[
            Mistake(7600 / 1600, "That is how many times more clips there are. Each of them has fewer tokens."),
            Mistake(7600 * 64 / (1600 * 256), "The class tokens are never dropped: 66 of 258, not 64 of 256."),
            Mistake(66 / 258, "That is the cost of one clip. How many more clips are there?"),
            Mistake(1600 * 258 / (7600 * 66), "That is the plain epoch measured in taught ones: turn it round."),
            Mistake(7600 * 66**2 / (1600 * 258**2), "Squares are for attention. Linear layers cost the same a token."),
        ],
    ),
    Choice(
        label="ex-18-leak",
        right="C",
        wrong={
            "A": "No test clip is in these sounds. What does the student get to know of one?",
            "B": "Only the labels of the training folds are used in it. Is there another step that sees test clips?",
            "D": "Testing the student on a fold is what the fold is for. Nothing flows back into training.",
        },
    ),
    Function(
        label="ex-18-loss",
        signature="taught_loss(vectors, logits, targets, classes, directions, alpha, beta)",
        right=taught_loss,
        cases=_batches,
        remark="`astlib.train.distillation.taught_loss` does the same.",
        mistakes=[
            Mistake(_mean_of_batch, "You averaged over the batch. Return one number for each clip."),
            Mistake(_summed_labels, "A mixture has two labels, and so it counts twice. Divide them by their sum."),
            Mistake(_first_label, "`argmax` keeps one of the two labels of a mixture. Use both, a half each."),
            Mistake(_hardened, "You took the teacher's best class. All that a soft target knows is in the other ones."),
            Mistake(_turned_round, "The two distributions are the wrong way round: the logarithm is of the student's."),
            Mistake(_softmax_before, "`cross_entropy` takes logits. Given probabilities, it does the softmax twice."),
            Mistake(_cosine, "This rewards vectors that point the other way. The loss must fall as the cosine rises."),
            Mistake(_minus_dot, "That is a dot product: a long vector wins. Only the direction should count."),
            Mistake(_squares, _LENGTH),
            Mistake(_mean_squares, _LENGTH),
            Mistake(_no_weights, "The weights alpha and beta are missing."),
            Mistake(_swapped_weights, "alpha and beta are swapped: alpha is for the classes, beta for the directions."),
        ],
    ),
]
