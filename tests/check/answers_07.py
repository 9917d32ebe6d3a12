"""Answers to the exercises of chapter 07, as readers might hand them in, written apart from the checker's own list."""

import math

import torch
from torch import nn


def loop(
    order="zero loss backward step",
    loss=nn.functional.cross_entropy,
    optimiser=torch.optim.Adam,
    sign=1,
    train=True,
    evaluate=True,
    number=torch.Tensor.item,
    rows=slice(None),
    fresh=False,
    rate=None,
):
    """A reader's loop, with its calls in some order and one or another thing done differently."""

    def overfit(network, mel, targets, lr, steps):
        def new():
            return optimiser(network.parameters(), **({"lr": sign * lr} if rate is None else rate))

        network.train(train)
        opt, losses = new(), []
        for _ in range(steps):
            if fresh:
                opt = new()
            for call in order.split():
                if call == "zero":
                    opt.zero_grad()
                elif call == "loss":
                    value = loss(network(mel[rows]), targets[rows])
                elif call == "backward":
                    value.backward()
                elif call == "step":
                    opt.step()
            losses.append(number(value))
        if evaluate:
            network.eval()
        return losses

    return overfit


def once(network, mel, targets, lr, steps):
    opt = torch.optim.Adam(network.parameters(), lr=lr)
    network.train()
    value = nn.functional.cross_entropy(network(mel), targets)
    losses = []
    for _ in range(steps):
        opt.zero_grad()
        value.backward(retain_graph=True)
        opt.step()
        losses.append(value.item())
        break
    return losses * steps


class Uphill(torch.optim.Adam):
    """A reader's sign error: the gradient is added."""

    def __init__(self, parameters, lr):
        super().__init__(parameters, lr=lr, maximize=True)


def by_hand(network, mel, targets, lr, steps):
    """No optimiser at all: plain steps against the gradient, a good deal larger."""
    losses = []
    network.train()
    for _ in range(steps):
        value = -(targets * network(mel).log_softmax(1)).sum(1).mean()
        for weight, slope in zip(
            network.parameters(), torch.autograd.grad(value, [*network.parameters()]), strict=True
        ):
            weight.data -= 50 * lr * slope
        losses.append(value.item())
    network.eval()
    return losses


def squashed(z, y):
    return nn.functional.cross_entropy(z.softmax(dim=1), y)


def summed(z, y):
    return nn.functional.cross_entropy(z, y, reduction="sum")


WRONG = {
    "ex-07-loop": [
        (loop("loss backward step"), "add up from step to step"),
        (loop("loss step zero backward"), "What has to come first"),
        (loop("zero loss step backward"), "never change"),
        (loop("loss backward zero step"), "never change"),
        (loop("zero loss backward"), "never change"),
        (loop("zero loss step"), "no gradient is ever computed"),
        (loop(train=False), "evaluation mode while it learns"),
        (loop(evaluate=False), "left in training mode"),
        (loop(loss=squashed), "a softmax comes before cross-entropy"),
        (loop(loss=lambda z, y: nn.functional.cross_entropy(z.sigmoid(), y)), "A sigmoid comes before"),
        (loop(loss=summed), "you take their sum"),
        (loop(loss=nn.functional.binary_cross_entropy_with_logits), "binary cross-entropy"),
        (loop(loss=lambda z, y: -nn.functional.cross_entropy(z, y)), "negative"),
        (loop(optimiser=Uphill), "along the gradient, not against it"),
        (loop(rate={}), "Adam's default"),
        (loop(fresh=True), "starts anew each time"),
        (loop(number=lambda value: value), "the whole computation behind it"),
        (loop(rows=slice(0, 6)), "The first loss should be"),
        (loop(rate={"lr": 1e-5}), "a tenth"),
        (once, "asked once"),
        (lambda network, mel, targets, lr, steps: 0.5, "Return a list"),
        (lambda network, mel, targets, lr, steps: [1.4], "60 steps were asked for"),
    ],
    "ex-07-first": [
        (math.log2(50), "base 2"),
        (1.699, "base 10"),
        (0.6931, "binary cross-entropy"),
        (0.02, "probability of the right class"),
        (-3.912, "sign is wrong"),
        (1.79, "six classes"),
        (5, "too large"),
    ],
    "ex-07-warm": [(500, "straight line"), (525, "first 50 steps"), (950, "not at the full one"), (1000, "lasts")],
    "ex-07-lucky": [
        (2, "standard deviation"),
        (83, "the best measurement itself"),
        (0.03, "as a fraction"),
        (12.1, "counted clips"),
        (1, "too small"),
    ],
    "ex-07-memory": [("A", "another recipe: twice"), ("C", "Adam divides"), ("D", "twice the mean"), ("E", "Expected")],
}
RIGHT = {
    "ex-07-loop": [
        loop(),
        loop("loss zero backward step"),
        loop("loss backward step zero"),
        loop(optimiser=torch.optim.AdamW),
        loop(loss=lambda z, y: nn.functional.nll_loss(z.log_softmax(1), y.argmax(1))),
        loop(number=lambda value: value.detach()),
        by_hand,
    ],
    "ex-07-first": [3.912, math.log(50), torch.tensor(50.0).log()],
    "ex-07-warm": [475],
    "ex-07-lucky": [3.0, 3.04],
    "ex-07-memory": ["B", " B "],
}
