"""Answers of chapter 07: the first loss, what a warm-up is worth, a lucky epoch, and a loop that overfits one batch.

A training loop is tried on a small network that is watched: which clips it is given and in which mode, what lies in the
gradients after every backward pass, and what the weights do. So a fault is recognised by its effect.

Chapter: notebooks/07_the_training_loop.ipynb
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..recipes import RECIPES
from .exercises import Choice, Exercise, Mistake, Number, Trial

CLIPS, INPUTS, CLASSES = 12, 6, 4
RATE, STEPS = 0.02, 60
Weights = list[Tensor]


def _small_network() -> nn.Module:
    """A network with logits of different size, so that its first loss differs from ln C and from other wrong ones."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head = nn.Linear(24, CLASSES)
        nn.init.normal_(head.weight)
        network = nn.Sequential(nn.Linear(INPUTS, 24), nn.Tanh(), head)
    return network.eval()


def _clips() -> tuple[Tensor, Tensor]:
    """Inputs `(CLIPS, INPUTS)` and targets `(CLIPS, CLASSES)`, 1 at the right class."""
    source = torch.Generator().manual_seed(0)
    return torch.randn(CLIPS, INPUTS, generator=source), torch.eye(CLASSES)[torch.arange(CLIPS) % CLASSES]


class _Watch:
    """Notes what happens to a network while it is trained."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.backwards = 0
        self.before: list[Weights] = []  # the weights at every forward pass
        self.modes: list[bool] = []
        self.counts: list[int] = []  # clips of every forward pass
        self.adds_up = False  # whether a gradient was added to an older one
        self._new = torch.zeros(())
        network.register_forward_pre_hook(self._forward)
        first: Any = next(network.parameters())
        first.register_hook(self._gradient)
        first.register_post_accumulate_grad_hook(self._backward)

    def weights(self) -> Weights:
        """Copies of the weights as they are now."""
        return [weight.detach().clone() for weight in self.network.parameters()]

    def _forward(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if torch.is_grad_enabled():
            self.before.append(self.weights())
            self.modes.append(module.training)
            self.counts.append(len(inputs[0]))

    def _gradient(self, gradient: Tensor) -> None:
        self._new = gradient.detach().clone()

    def _backward(self, weight: Tensor) -> None:
        self.backwards += 1
        if weight.grad is not None:
            self.adds_up |= not torch.allclose(weight.grad, self._new)


def _largest_move(old: Weights, new: Weights) -> float:
    return max((b - a).abs().max().item() for a, b in zip(old, new, strict=True))


def _smallest_move(old: Weights, new: Weights) -> float:
    """Of the last layer, where no gradient is zero."""
    return (new[-1] - old[-1]).abs().min().item()


def _test_loop(train: Callable[..., Any]) -> str | None:
    """What is wrong with a function that trains a network on one batch."""
    network = _small_network()
    mel, targets = _clips()
    watch = _Watch(network)
    with torch.no_grad():
        logits = network(mel)
    try:
        losses = train(network, mel.clone(), targets.clone(), RATE, STEPS)
    except RuntimeError as error:
        if "modified by an inplace operation" not in str(error):
            raise
        return (
            "Between the loss and its backward() the optimiser steps, so backward() finds other weights than those "
            "that the loss was computed with; torch stops there. What has to come first?"
        )
    return (
        _fault_of_losses(losses)
        or _fault_of_first(float(losses[0]), logits, targets)
        or _fault_of_steps(watch, network)
        or _fault_of_learning(watch, [float(loss) for loss in losses])
    )


def _fault_of_losses(losses: Any) -> str | None:
    if losses is None:
        return "It returns nothing so far. Collect the loss of every step in a list, and return the list."
    if not isinstance(losses, list | tuple):
        return "Return a list: the loss of every step."
    if len(losses) != STEPS:
        return f"{STEPS} steps were asked for, and you return {len(losses)} losses: one for each step."
    if any(isinstance(loss, Tensor) and loss.requires_grad for loss in losses):
        return (
            "Your list holds tensors, and with each of them the whole computation behind it stays in memory. Which "
            "method gives the plain number of a tensor?"
        )
    return None


def _fault_of_first(first: float, logits: Tensor, targets: Tensor) -> str | None:
    """The loss before any step says which loss it is."""
    right = F.cross_entropy(logits, targets).item()
    wrong = {
        F.cross_entropy(logits.softmax(dim=1), targets).item(): (
            "Your first loss is that of probabilities, not of logits: a softmax comes before cross-entropy, which has "
            "one inside. The network would learn, but slowly, and the loss could never come near 0."
        ),
        F.cross_entropy(logits.sigmoid(), targets).item(): (
            "A sigmoid comes before cross-entropy, which takes logits. The loss could never come near 0."
        ),
        CLIPS * right: (
            f"Your first loss is {CLIPS} times too large, and the batch has {CLIPS} clips: you take their sum. With "
            "another batch size the same learning rate would then mean another step."
        ),
        F.binary_cross_entropy_with_logits(logits, targets).item(): (
            "That is binary cross-entropy, a yes or no for each class. These clips have one class each."
        ),
        -right: "Your first loss is negative. Cross-entropy never is: where does the minus come from?",
    }
    if math.isclose(first, right, rel_tol=1e-3):
        return None
    for value, says in wrong.items():
        if math.isclose(first, value, rel_tol=1e-3):
            return says
    return f"The first loss should be that of the network as it was given, {right:.3f}. Yours is {first:.3f}."


def _fault_of_steps(watch: _Watch, network: nn.Module) -> str | None:
    """Faults in the order of the calls, and in the mode of the network."""
    weights = [*watch.before, watch.weights()]
    if any(count != CLIPS for count in watch.counts):
        return f"The network should see the whole batch, {CLIPS} clips, in every step. It saw {min(watch.counts)}."
    if len(weights) < 3:
        return f"The network was asked once. Each of the {STEPS} steps needs the logits of its own weights."
    moves = [_largest_move(old, new) for old, new in zip(weights, weights[1:], strict=False)]
    if max(moves) == 0 and not watch.backwards:
        return "The weights never change, and no gradient is ever computed. Which method of the loss does that?"
    if max(moves) == 0:
        return (
            "The weights never change: the loss of every step is the same. The optimiser has to step, and at that "
            "moment the gradients must be there: not cleared already, not still to come."
        )
    if watch.adds_up:
        return (
            "The gradients add up from step to step: each is the sum of all so far. What has to be cleared, and how "
            "often?"
        )
    if not all(watch.modes):
        return "The network is in evaluation mode while it learns; dropout, for one, would then be switched off."
    if network.training:
        return "The network is left in training mode. Whoever asks it next wants it in evaluation mode."
    return None


def _fault_of_learning(watch: _Watch, losses: list[float]) -> str | None:
    """Faults of the optimiser, seen from how far the weights move, and whether the loss falls."""
    if losses[1] > losses[0] and losses[-1] > losses[0]:
        return "The loss rises from the first step on: you step along the gradient, not against it."
    first, second, third = watch.before[:3]
    if math.isclose(_largest_move(first, second), 1e-3, rel_tol=0.01):
        return f"In the first step the weights move by 0.001, Adam's default. The learning rate asked for is {RATE}."
    if math.isclose(_smallest_move(second, third), RATE, rel_tol=0.01):
        return (
            "In every step all weights move by the same amount, as in Adam's first: it starts anew each time. When "
            "should the optimiser be made?"
        )
    if losses[-1] > 0.1 * losses[0]:
        return (
            f"The loss falls from {losses[0]:.3f} to {losses[-1]:.3f} only. Adam with a rate of {RATE} comes below a "
            f"tenth in {STEPS} steps."
        )
    return None


def _warm_up() -> float:
    """Steps at the full rate that AudioSet's warm-up is worth."""
    audioset = RECIPES["audioset"]
    return sum(audioset.learning_rate(1, step) for step in range(1000)) / audioset.lr


def _lucky() -> float:
    """Percentage points by which the best of ten independent measurements on 400 clips is above the truth, 80 %."""
    below = [sum(math.comb(400, k) * 0.8**k * 0.2 ** (400 - k) for k in range(n)) for n in range(401)]
    best = sum(1 - chance**10 for chance in below[1:])  # the mean of a whole number is the sum of P(best >= n)
    return 100 * (best / 400 - 0.8)


EXERCISES: list[Exercise] = [
    Trial(
        label="ex-07-loop",
        asks="your function overfit(network, mel, targets, lr, steps)",
        test=_test_loop,
        remark="Loss, gradients, step, in this order. Now give it a batch of sounds.",
    ),
    Number(
        label="ex-07-first",
        right=lambda: math.log(50),
        unit="the first loss",
        rtol=0.005,
        remark="It is the first number to look at in any run.",
        mistakes=[
            Mistake(math.log2(50), "You took the logarithm to base 2. torch's losses use the natural one."),
            Mistake(math.log10(50), "You took the logarithm to base 10. torch's losses use the natural one."),
            Mistake(math.log(2), "That is binary cross-entropy at logits of 0. ESC-50 has one class a clip."),
            Mistake(math.log(6), "That is for the six classes of this page. ESC-50 has more."),
            Mistake(math.log(527), "That is for AudioSet's 527 classes."),
            Mistake(1 / 50, "That is the probability of the right class. What is its loss?"),
            Mistake(math.log(1 / 50), "The sign is wrong: a loss is the negative logarithm."),
        ],
    ),
    Number(
        label="ex-07-warm",
        right=_warm_up,
        unit="steps at the full rate",
        rtol=0.005,
        remark="Less than half of the thousand.",
        mistakes=[
            Mistake(
                500, "That is a straight line from 0 to the full rate. The rate climbs stairs, and it starts at 0."
            ),
            Mistake(525, "You let the first 50 steps run at 1/20 of the rate. They run at 0."),
            Mistake(950, "950 steps run at a rate above 0, but not at the full one."),
            Mistake(1000, "That is how many steps the warm-up lasts. Most of them run at a part of the rate."),
            Mistake(9.5, "The stairs add up to that; each of them lasts 50 steps."),
        ],
    ),
    Number(
        label="ex-07-lucky",
        right=_lucky,
        unit="percentage points",
        rtol=0.05,
        remark="In a real run it is less, since the ten measurements rise and fall together.",
        mistakes=[
            Mistake(2.0, "That is the standard deviation of one measurement. The best of ten lies further out."),
            Mistake(lambda: 80 + _lucky(), "That is the best measurement itself. By how much is it above the truth?"),
            Mistake(lambda: _lucky() / 100, "The number is right as a fraction. Give it in percentage points."),
            Mistake(lambda: 4 * _lucky(), "You counted clips: 400 clips are 100 %."),
            Mistake(0.0, "The mean of ten measurements is not flattered. The best of them is."),
        ],
    ),
    Choice(
        label="ex-07-memory",
        right="B",
        wrong={
            "A": "That is another recipe: twice as many steps, each with a noisier gradient, at a rate meant for 48.",
            "C": "That is another recipe, too. Adam divides by the size of the gradients: half the rate is no cure.",
            "D": "Two means of 24, added up, are twice the mean over 48. What should each clip's loss be divided by?",
        },
        remark="The clips of a step are the same, and so is the sum of their gradients.",
    ),
]
