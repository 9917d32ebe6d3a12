"""Drawings of training: what a network answers after every step, learning rates, two curves, the bits of a number.

Also the small network that the chapter trains, and its loop with a record of every step: a drawing of learning needs a
network that learns in seconds.

Chapter: notebooks/07_the_training_loop.ipynb
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from torch import Tensor, nn
from torch.nn import functional as F

from .. import plots
from ..model import Block
from ..plots import BLUE, GREEN, GRID, INK, LINES, ORANGE, SKY, VERMILION, Values, array

SLICE = 4  # frames of a token
WIDTH, HEADS, BLOCKS = 48, 4, 2


class SmallAST(nn.Module):
    """An AST in small. As in table 6 of the paper, every token is a slice: all mel bins of a few frames.

    Args:
        classes: how many it tells apart.
        frames: of its input, a multiple of 4.
        mels: of its input.
        seed: of its random weights.
    """

    def __init__(self, classes: int, frames: int = 124, mels: int = 64, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.patch_embed = nn.Conv1d(mels, WIDTH, kernel_size=SLICE, stride=SLICE)
            self.cls_token = nn.Parameter(torch.zeros(1, 1, WIDTH))
            self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 1 + frames // SLICE, WIDTH))
            self.blocks = nn.Sequential(*[Block(WIDTH, HEADS, 1e-6) for _ in range(BLOCKS)])
            self.norm = nn.LayerNorm(WIDTH)
            self.head = nn.Linear(WIDTH, classes)
            nn.init.normal_(self.head.weight, std=0.02)
            nn.init.zeros_(self.head.bias)

    def forward(self, mel: Tensor) -> Tensor:
        """Compute the logits.

        Args:
            mel: normalised `(batch, frames, mels)`.

        Returns:
            `(batch, classes)`.
        """
        tokens = self.patch_embed(mel.transpose(1, 2)).transpose(1, 2)  # (batch, frames / 4, width)
        first = self.cls_token.expand(len(mel), -1, -1)  # (batch, 1, width)
        tokens = torch.cat([first, tokens], dim=1) + self.pos_embed
        logits: Tensor = self.head(self.norm(self.blocks(tokens))[:, 0])
        return logits


@dataclass
class History:
    """What was noted while a network learned.

    Attributes:
        losses: of every step.
        answers: probabilities of the watched clip before the first step and after each, `(classes,)` each.
        train: mean loss of the steps of every epoch.
        validation: loss on the validation clips after every epoch.
        accuracy: on the validation clips after every epoch.
    """

    losses: list[float] = field(default_factory=list)
    answers: list[Tensor] = field(default_factory=list)
    train: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)


def learn(
    network: nn.Module,
    clips: tuple[Tensor, Tensor],
    lr: float,
    epochs: int,
    batch: int = 16,
    validation: tuple[Tensor, Tensor] | None = None,
    watched: Tensor | None = None,
) -> History:
    """Train a network with Adam and cross-entropy, as the chapter's loop does, and note how it goes.

    Args:
        network: changed in place, and left in evaluation mode.
        clips: spectrograms `(clips, frames, mels)` and targets `(clips, classes)`.
        lr: learning rate.
        epochs: passes over the clips; the order of epoch e is drawn with the seed e.
        batch: clips of a step.
        validation: further clips, measured after every epoch.
        watched: one spectrogram `(1, frames, mels)`, asked for after every step.

    Returns:
        The history.
    """
    mel, targets = clips
    history, optimizer = History(), torch.optim.Adam(network.parameters(), lr=lr)

    def look() -> None:
        if watched is not None:
            with torch.no_grad():
                history.answers.append(network(watched).softmax(dim=1)[0])

    look()
    for epoch in range(1, epochs + 1):
        network.train()
        order = torch.randperm(len(mel), generator=torch.Generator().manual_seed(epoch))
        for rows in torch.split(order, batch):
            loss = F.cross_entropy(network(mel[rows]), targets[rows])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            history.losses.append(loss.item())
            look()
        network.eval()
        steps = -(-len(mel) // batch)
        history.train.append(float(np.mean(history.losses[-steps:])))
        if validation is not None:
            with torch.no_grad():
                logits = network(validation[0])
            history.validation.append(F.cross_entropy(logits, validation[1]).item())
            right = logits.argmax(dim=1) == validation[1].argmax(dim=1)
            history.accuracy.append(right.float().mean().item())
    return history


def learning(mel: Values, answers: Values, losses: Sequence[float], labels: Sequence[str], truth: str) -> Figure:
    """Draw one clip, the network's answer to it after every step of training, and the loss of the steps.

    Args:
        mel: `(frames, mels)` of the clip, 10 ms a frame.
        answers: `(steps + 1, classes)` probabilities.
        losses: of the steps.
        labels: of the classes.
        truth: the right one of them.

    Returns:
        The figure.
    """
    answers, count = array(answers), len(labels)
    fig, axes = plots.figure(7.4, 3, 1, height_ratios=[1.2, 1.9, 1.3])
    plots.mel(mel, ax=axes[0], colorbar=False, title=f"a {truth} that the network is not trained on")
    right = list(labels).index(truth)
    order = [right, *(i for i in range(count) if i != right)]
    others = [SKY, ORANGE, GREEN, plots.PURPLE, plots.YELLOW, GRID, VERMILION, INK]
    colours = [BLUE, *others[: count - 1]]
    axes[1].stackplot(np.arange(len(answers)), answers[:, order].T, colors=colours, edgecolor="white", linewidth=0.4)
    heights = np.cumsum(np.concatenate([[0.0], answers[0, order]]))
    for place, name in enumerate(order):
        middle = (heights[place] + heights[place + 1]) / 2
        text = axes[1].text(len(answers) * 0.01, middle, labels[name], color=INK, va="center", fontsize=11)
        text.set_path_effects([withStroke(linewidth=3, foreground="white")])
    axes[1].set(ylabel="probability", xlim=(0, len(losses)), ylim=(0, 1), title="what it answers after every step")
    axes[2].plot(np.arange(len(losses)) + 0.5, losses, color=INK, linewidth=1.2)
    axes[2].axhline(np.log(count), color=VERMILION, linestyle="--", linewidth=1.5)
    axes[2].text(len(losses), np.log(count), f"ln {count}", color=VERMILION, ha="right", va="bottom")
    axes[2].set(xlabel="step", ylabel="loss", xlim=(0, len(losses)), ylim=(0, None), title="loss on the training clips")
    return fig


def descents(paths: Mapping[float, Sequence[float]]) -> Figure:
    """Draw steps down the parabola theta squared, one panel a learning rate.

    Args:
        paths: learning rate to the weight before the first step and after each.

    Returns:
        The figure.
    """
    fig, axes = plots.figure(2.8, 1, len(paths), sharey=True)
    at = np.linspace(-1.9, 1.9, 200)
    for ax, (rate, path) in zip(axes, paths.items(), strict=True):
        places = np.asarray(path)
        ax.plot(at, at**2, color=SKY)
        ax.plot(places, places**2, ".-", color=VERMILION, linewidth=1, markersize=7)
        ax.plot(places[0], places[0] ** 2, "o", color=INK, markersize=8)
        ax.set(title=f"η = {rate:g}", xlabel="weight θ", xlim=(-1.9, 1.9), ylim=(-0.1, 3.2))
    axes[0].set_ylabel("loss θ²")
    return fig


def rate_page(curves: Mapping[float, Sequence[float]], chosen: float, first: float) -> Figure:
    """Draw the loss of runs with several learning rates, one of them in front, and where each of them ends.

    Args:
        curves: learning rate to the loss of every epoch.
        chosen: the rate in front.
        first: the loss of the untrained network.

    Returns:
        The figure.
    """
    fig, (left, right) = plots.figure(3.3, 1, 2, width_ratios=[1.4, 1])
    top = 2 * first
    for rate, losses in curves.items():
        front = rate == chosen
        values = [first, *np.minimum(losses, top)]
        colour, width = (VERMILION, 2.6) if front else (GRID, 1.4)
        left.plot(range(len(values)), values, color=colour, linewidth=width, zorder=3 if front else 2)
    left.axhline(first, color=INK, linestyle=":", linewidth=1)
    left.set(xlabel="epoch", ylabel="training loss", ylim=(0, top), title=f"learning rate {chosen:g}")
    ends = np.minimum([losses[-1] for losses in curves.values()], top)
    right.plot(list(curves), ends, ".-", color=INK, markersize=9)
    right.plot(chosen, min(curves[chosen][-1], top), "o", color=VERMILION, markersize=11, zorder=3)
    right.set(xscale="log", xlabel="learning rate", ylim=(0, top), title="loss at the end")
    right.axhline(first, color=INK, linestyle=":", linewidth=1)
    return fig


def two_curves(histories: Mapping[str, History], first: float) -> Figure:
    """Draw training and validation loss for several runs, with the lowest validation loss, and the accuracy below.

    Args:
        histories: title to the history of a run.
        first: the loss of the untrained network.

    Returns:
        The figure.
    """
    fig, axes = plots.figure(5.0, 2, len(histories), sharex="col", sharey="row", height_ratios=[1.6, 1])
    for (above, below), (title, history) in zip(axes.T, histories.items(), strict=True):
        epochs = np.arange(1, len(history.train) + 1)
        above.plot(epochs, history.train, color=BLUE, linestyle="--", label="training")
        above.plot(epochs, history.validation, color=VERMILION, label="validation")
        best = int(np.argmin(history.validation))
        above.plot(epochs[best], history.validation[best], "o", color=VERMILION)
        above.axhline(first, color=INK, linestyle=":", linewidth=1)
        above.set(title=title, ylim=(0, 1.5 * first))
        below.plot(epochs, np.multiply(100, history.accuracy), color=GREEN)
        below.axvline(epochs[best], color=VERMILION, linewidth=1, linestyle=":")
        below.set(xlabel="epoch", ylim=(0, 100))
    axes[0, 0].set_ylabel("loss")
    axes[1, 0].set_ylabel("accuracy on\nvalidation (%)")
    axes[0, -1].legend(loc="upper right", borderaxespad=0)
    return fig


FORMATS = {"float32": (8, 23), "bfloat16": (8, 7), "float16": (5, 10)}  # bits of exponent and fraction


def bits_of(value: float, name: str) -> str:
    """Give the bits of a number.

    Args:
        value: the number.
        name: "float32", "bfloat16" or "float16".

    Returns:
        The bits as text, the sign first.
    """
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]
    rounded = torch.tensor(value).to(dtype)
    if name == "float16":
        return f"{int(rounded.view(torch.int16)) & 0xFFFF:016b}"
    whole = f"{struct.unpack('>I', struct.pack('>f', rounded.float().item()))[0]:032b}"
    return whole if name == "float32" else whole[:16]


def bits(value: float) -> Figure:
    """Draw the bits of one number in the three formats, sign, exponent and fraction in colours of their own.

    Args:
        value: the number.

    Returns:
        The figure.
    """
    fig, ax = plots.figure(2.7)
    for row, (name, (exponent, fraction)) in enumerate(FORMATS.items()):
        for place, bit in enumerate(bits_of(value, name)):
            colour = VERMILION if place == 0 else ORANGE if place <= exponent else SKY
            ax.add_patch(Rectangle((place, -row), 0.92, 0.72, facecolor=colour, edgecolor="none", alpha=0.75))
            ax.text(place + 0.46, 0.36 - row, bit, ha="center", va="center", fontsize=9)
        kept = torch.tensor(value).to(getattr(torch, name)).item()
        if name != "float32":
            ax.text(17, 0.36 - row, f"{name}: {exponent} + {fraction} bits, keeps {kept:.7g}", va="center", fontsize=10)
    ax.text(0, 0.95, f"float32: {8} + {23} bits, keeps {torch.tensor(value).item():.7g}", fontsize=10)
    _legend(ax)
    ax.set(xlim=(0, 36), ylim=(-2.9, 1.4))
    ax.axis("off")
    return fig


def _legend(ax: Axes) -> None:
    """Say what the colours of the bits mean."""
    names = {"sign": VERMILION, "exponent: range": ORANGE, "fraction: digits": SKY}
    for place, (name, colour) in zip((0, 5.5, 17), names.items(), strict=True):
        ax.add_patch(Rectangle((place, -2.75), 0.92, 0.5, facecolor=colour, edgecolor="none", alpha=0.75))
        ax.text(place + 1.3, -2.5, name, va="center", fontsize=11)


def faults(curves: Mapping[str, Sequence[float]], first: float) -> Figure:
    """Draw the losses of several runs that went wrong, one panel each.

    Args:
        curves: title to the loss of every step.
        first: what the first loss should be.

    Returns:
        The figure.
    """
    fig, axes = plots.figure(3.0, 1, len(curves), sharey=True)
    for ax, colour, (title, losses) in zip(axes, LINES, curves.items(), strict=False):
        ax.plot(np.arange(len(losses)) + 1, losses, color=colour)
        ax.axhline(first, color=INK, linestyle=":", linewidth=1)
        ax.set(title=title, xlabel="step")
    axes[0].set_ylabel("loss")
    return fig
