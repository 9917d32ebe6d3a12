"""Answers of chapter 06: mixup and masks for a batch, and what they and balanced sampling do on average.

Chapter: notebooks/06_data_and_augmentation.ipynb
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..frontend import LogMel
from .exercises import Case, Exercise, Function, Mistake, Number

TIME, FREQUENCY = 40, 24  # limits of the masks that are tried


@functools.cache
def _front_end() -> LogMel:
    return LogMel()


def _log_mel(waveforms: Tensor) -> Tensor:
    mel: Tensor = _front_end()(waveforms)
    return mel


def _mix(values: Tensor, partners: Tensor, lam: Tensor) -> Tensor:
    """Weighted sums of the rows with those of their partners; every clip has its own weight."""
    weight = lam.reshape(-1, *[1] * (values.ndim - 1))
    return weight * values + (1 - weight) * values[partners]


def _mixup(waveforms: Tensor, targets: Tensor, partners: Tensor, lam: Tensor) -> tuple[Tensor, Tensor]:
    return _log_mel(_mix(waveforms, partners, lam)), _mix(targets, partners, lam)


def _louder(waveforms: Tensor, targets: Tensor, partners: Tensor, lam: Tensor) -> tuple[Tensor, Tensor]:
    mine = (lam >= 0.5)[:, None]
    return _log_mel(_mix(waveforms, partners, lam)), torch.where(mine, targets, targets[partners])


def _mixup_cases() -> Sequence[Case]:
    source = torch.Generator().manual_seed(0)
    waves = 0.2 * torch.randn(4, 2_000, generator=source)
    waves[1] *= 0.05
    waves[2] = 0.4 * torch.sin(torch.arange(2_000) * 0.4)
    targets = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1]])
    partners, lam = torch.tensor([2, 0, 1, 1]), torch.tensor([0.3, 0.8, 0.5, 1.0])
    return [
        Case("four clips", (waves, targets, partners, lam)),
        Case("two clips of one class", (waves[:2], targets[[0, 0]], torch.tensor([1, 0]), torch.tensor([0.25, 0.6]))),
    ]


def _stripe(size: int, limit: int, draws: Tensor) -> Tensor:
    """`(batch, size)` bool: which places the mask of every clip covers."""
    width = draws[:, :1] * limit
    start = (draws[:, 1:] * (size - width)).floor()
    place = torch.arange(size)
    return (place >= start) & (place < start + width.floor())


def _wrong_stripe(kind: str) -> Callable[[int, int, Tensor], Tensor]:
    """A stripe with one mistake."""

    def stripe(size: int, limit: int, draws: Tensor) -> Tensor:
        place = torch.arange(size)
        if kind == "order":
            return _stripe(size, limit, draws.flip(1))
        if kind == "to-the-end":
            start, width = (draws[:, 1:] * size).floor(), (draws[:, :1] * limit).floor()
        elif kind == "rounded-first":
            width = (draws[:, :1] * limit).floor()
            start = (draws[:, 1:] * (size - width)).floor()
        elif kind == "limit":
            width = torch.full((len(draws), 1), float(limit))
            start = (draws[:, 1:] * (size - width)).floor()
        else:  # "reached": as if widths went up to the limit
            exact = draws[:, :1] * (limit + 1)
            width, start = exact.floor(), (draws[:, 1:] * (size - exact)).floor()
        return (place >= start) & (place < start + width)

    return stripe


def _masks(
    mel: Tensor,
    time: int,
    freq: int,
    draws: Tensor,
    stripe: Callable[[int, int, Tensor], Tensor] = _stripe,
    fill: str = "zero",
    join: Callable[[Tensor, Tensor], Tensor] = torch.logical_or,
) -> Tensor:
    frames, mels = mel.shape[1:]
    hidden = join(stripe(frames, time, draws[:, :2])[:, :, None], stripe(mels, freq, draws[:, 2:])[:, None, :])
    values = {"zero": torch.zeros(()), "mean": mel.mean(), "silence": mel.min()}
    own = {"own mean": mel.mean(dim=(1, 2), keepdim=True), "own silence": mel.amin(dim=(1, 2), keepdim=True)}
    return torch.where(hidden, {**values, **own}[fill], mel)


def _with_mistake(**mistake: Any) -> Callable[..., Tensor]:
    return lambda mel, time, freq, draws: _masks(mel, time, freq, draws, **mistake)


def _axes_swapped(mel: Tensor, time: int, freq: int, draws: Tensor) -> Tensor:
    return _masks(mel.transpose(1, 2), time, freq, draws).transpose(1, 2)


def _spec_augment_cases() -> Sequence[Case]:
    source = torch.Generator().manual_seed(1)
    mel = 3 * torch.randn(6, 128, 128, generator=source) - 6
    draws = torch.rand(6, 4, generator=source)
    return [
        Case("six clips", (mel[:, :, :96].contiguous(), TIME, FREQUENCY, draws)),
        Case("a square spectrogram", (mel[:2], 96, 64, draws.flip(0)[:2])),
        Case("limits of 0", (mel[:1, :, :32].contiguous(), 0, 0, draws[:1])),
    ]


_HIDDEN = 1 - (1 - 23.5 / 128) * (1 - 95.5 / 1024)
_RARE, _COMMON = 1000 / 1.01 + 1000 / 10_000.01, 1000 / 10_000.01

EXERCISES: list[Exercise] = [
    Function(
        label="ex-06-mixup",
        signature="mix(waveforms, targets, partners, lam)",
        remark="Sounds are added as the air adds them, and every clip has a partner and a weight of its own.",
        right=_mixup,
        cases=_mixup_cases,
        rtol=1e-3,
        atol=1e-3,
        mistakes=[
            Mistake(
                lambda w, t, p, m: _mixup(w, t, p, 1 - m),
                "Lambda is the wrong way round, in sounds and targets alike: at 1 the clip itself should be left.",
            ),
            Mistake(
                lambda w, t, p, m: (_log_mel(_mix(w, p, m)), _mix(t, p, 1 - m)),
                "The sounds are right. In the targets lambda is the wrong way round: whose share is it?",
            ),
            Mistake(
                lambda w, t, p, m: (_log_mel(_mix(w, p, 1 - m)), _mix(t, p, m)),
                "The targets are right. In the sounds lambda is the wrong way round: whose share is it?",
            ),
            Mistake(
                lambda w, t, p, m: (_mix(_log_mel(w), p, m), _mix(t, p, m)),
                "You mixed the log-mel spectrograms. A mean of logarithms is no sum of sounds: what is it that adds "
                "up in the air?",
            ),
            Mistake(
                lambda w, t, p, m: (_mix(_log_mel(w).exp(), p, m).log(), _mix(t, p, m)),
                "You mixed the energies of the mel bins. Two sounds do not add up as energies, since their waves can "
                "also cancel: mix before the front-end.",
            ),
            Mistake(
                lambda w, t, p, m: (_log_mel(_mix(w, p, m)), (t + t[p]).clamp(max=1)),
                "The sounds are right. Your targets are 1 for both classes, however quiet one of them is.",
            ),
            Mistake(
                lambda w, t, p, m: (_log_mel(_mix(w, p, m)), t + t[p]),
                "The sounds are right. You added the targets without their weights.",
            ),
            Mistake(
                _louder,
                "The sounds are right. Your targets name only the louder clip; both should count, by their shares.",
            ),
            Mistake(
                lambda w, t, p, m: (_log_mel(_mix(w, p, m)), t),
                "The sounds are right, but the targets are still those of the clips before they were mixed.",
            ),
            Mistake(
                lambda w, t, p, m: _mixup(w, t, p, m[:1].expand(len(m))),
                "Every clip is mixed with the lambda of the first one.",
            ),
            Mistake(
                lambda w, t, p, m: _mixup(w, t, torch.arange(len(w)).roll(1), m),
                "You mix every clip with its neighbour in the batch. `partners` says which row each is mixed with.",
            ),
            Mistake(
                lambda w, t, p, m: (_mix(w, p, m), _mix(t, p, m)),
                "Sounds and targets are mixed rightly. The first result should be the log-mel spectrograms.",
            ),
        ],
    ),
    Function(
        label="ex-06-masks",
        signature="mask(mel, time, freq, draws)",
        remark="torchaudio's masks cover the same cells if they get the same draws.",
        right=_masks,
        cases=_spec_augment_cases,
        mistakes=[
            Mistake(
                _axes_swapped,
                "The axes are swapped: the mask in time hides mel bins. Which axis of `(batch, frames, mels)` is time?",
            ),
            Mistake(
                _with_mistake(fill="mean"),
                "The right cells, but filled with the mean of the batch. The original fills with 0 in the log-mel.",
            ),
            Mistake(
                _with_mistake(fill="own mean"),
                "The right cells, but filled with the mean of each clip. The original fills with 0 in the log-mel.",
            ),
            Mistake(
                _with_mistake(fill="silence"),
                "The right cells, but filled with the lowest value of the batch. The original fills with 0.",
            ),
            Mistake(
                _with_mistake(fill="own silence"),
                "The right cells, but filled with the lowest value of each clip. The original fills with 0.",
            ),
            Mistake(
                lambda mel, time, freq, draws: _masks(mel, time, freq, draws[:1].expand(len(mel), -1)),
                "All clips have the masks of the first one. Each row of `draws` belongs to one clip.",
            ),
            Mistake(
                lambda mel, time, freq, draws: _masks(mel, time, freq, draws[:, [2, 3, 0, 1]]),
                "The two masks use each other's draws: the first two numbers are for the mask in time.",
            ),
            Mistake(
                lambda mel, time, freq, draws: _masks(mel, time, freq, draws[:, [0, 1, 0, 1]]),
                "Both masks use the first two numbers of a row, so they move together.",
            ),
            Mistake(
                _with_mistake(stripe=_wrong_stripe("order")),
                "Width and place are swapped: the first number of each pair is for the width.",
            ),
            Mistake(
                _with_mistake(stripe=_wrong_stripe("to-the-end")),
                "The start is drawn from the whole axis, so some masks run over its end. How far may a mask of this "
                "width start?",
            ),
            Mistake(
                _with_mistake(stripe=_wrong_stripe("rounded-first")),
                "Nearly: some masks begin one place too late. You round the width before you compute the start.",
            ),
            Mistake(
                _with_mistake(stripe=_wrong_stripe("limit")),
                "Every mask is as wide as the limit. The width is drawn, too.",
            ),
            Mistake(
                _with_mistake(stripe=_wrong_stripe("reached")),
                "Your widths go up to the limit. The original never reaches it: the largest width is one below.",
            ),
            Mistake(
                _with_mistake(join=torch.logical_and),
                "You hide only the cells where both masks meet. A cell is hidden if it lies in one of them.",
            ),
        ],
    ),
    Number(
        label="ex-06-hidden",
        right=_HIDDEN,
        unit="fraction of the cells, from 0 to 1",
        rtol=0.02,
        remark="On average a quarter of the cells is hidden, other cells for each clip.",
        mistakes=[
            Mistake(
                1 - (1 - 47 / 128) * (1 - 191 / 1024), "That is for the widest masks. How wide are they on average?"
            ),
            Mistake(
                1 - (1 - 48 / 128) * (1 - 192 / 1024), "That is for the widest masks. How wide are they on average?"
            ),
            Mistake(23.5 / 128 + 95.5 / 1024, "You counted the cells where the two masks cross twice."),
            Mistake(24 / 128 + 96 / 1024, "You counted the cells where the two masks cross twice."),
            Mistake(
                23.5 / 128 * 95.5 / 1024, "That is the rectangle where both masks cross. A cell is hidden by either."
            ),
            Mistake(24 / 128 * 96 / 1024, "That is the rectangle where both masks cross. A cell is hidden by either."),
            Mistake(1 - _HIDDEN, "That is the part that can still be seen."),
            Mistake(100 * _HIDDEN, "The number is right as a percentage. Give it as a fraction."),
        ],
    ),
    Number(
        label="ex-06-nearly",
        right=0.25,
        unit="fraction of the clips, from 0 to 1",
        rtol=0.01,
        remark="And a clip that is mixed keeps 90 % or more in fewer than one case in 100,000.",
        mistakes=[
            Mistake(0.5, "That is true of the mixtures. Is every clip mixed?"),
            Mistake(0.75, "That is how often the clip itself is the louder one."),
            Mistake(25, "The number is right as a percentage. Give it as a fraction."),
            Mistake(0.0, "Beta(10, 10) is symmetric about one half: how much of it lies below one half?"),
        ],
    ),
    Number(
        label="ex-06-syllable",
        right=118,
        unit="frame",
        remark="The beginning of the word stands behind 30 frames of padding.",
        mistakes=[
            Mistake(
                88, "It would be there if the word were rolled before the padding. What is rolled is all 128 frames."
            ),
            Mistake(10, "That is a roll of +10. A roll of -10 moves the sound to the left."),
            Mistake(-10, "There is no frame -10: what leaves at one end comes back at the other."),
            Mistake(128, "The last frame is number 127. How far from the end does frame 0 come back?"),
            Mistake(127, "It would be there after a roll of -1."),
        ],
    ),
    Number(
        label="ex-06-cannot",
        right=10_000 * _RARE / (_RARE + 9_999 * _COMMON),
        unit="times in 10,000 draws",
        rtol=0.02,
        remark="Half of all draws show the network one and the same recording.",
        mistakes=[
            Mistake(1, "That is without weights. What does the clip weigh, and what do all others weigh together?"),
            Mistake(10_000, "The others weigh little each, but there are 9,999 of them: what do they weigh together?"),
            Mistake(
                10_000 * _RARE / (_RARE + _COMMON),
                "You compared its weight with that of one other clip. There are 9,999 of them.",
            ),
            Mistake(_RARE, "That is its weight. Divide by the weights of all clips, and count the draws."),
            Mistake(0.4976, "That is the probability of one draw. How many draws are there in an epoch?"),
        ],
    ),
]
