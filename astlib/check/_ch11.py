"""Answers of chapter 11: the part of a clip by its speaker, the input of one second, the frames of two.

Chapter: notebooks/11_speech_commands.ipynb
"""

import hashlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .exercises import Case, Exercise, Function, Mistake, Number

MOST = 2**27 - 1
WORDS = ("zero", "up", "left")


def _part(percent: float) -> str:
    return "validation" if percent < 10 else "test" if percent < 20 else "train"


def _percent(text: str) -> float:
    """Per cent of the SHA-1 of a text, modulo 2**27, of the largest remainder."""
    number = int(hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(), 16)
    return 100 * (number % (MOST + 1)) / MOST


def _speaker(clip: str) -> str:
    return clip.split("/")[1].split("_nohash_")[0]


def _of(percent: Callable[[str], float], part: Callable[[float], str] = _part) -> Callable[[str], str]:
    """The rule with another number, or with other limits."""
    return lambda clip: part(percent(clip))


def _md5(clip: str) -> float:
    number = int(hashlib.md5(_speaker(clip).encode(), usedforsecurity=False).hexdigest(), 16)
    return 100 * (number % (MOST + 1)) / MOST


def _whole_hash(clip: str) -> float:
    number = int(hashlib.sha1(_speaker(clip).encode(), usedforsecurity=False).hexdigest(), 16)
    return 100 * number / 2**160


def _clips() -> list[Case]:
    clips = [f"{WORDS[i % 3]}/{0x1000_0000 + i * 0x0312_3457:08x}_nohash_{i % 4}" for i in range(48)]
    return [Case(repr(clip), (clip,)) for clip in clips]


def _input(log_mel: Tensor, frames: int, mean: float, std: float) -> Tensor:
    """`(n, mels)` -> `(frames, mels)`: filled up with 0 after its end, or cut there, and then normalised."""
    fitted = F.pad(log_mel, (0, 0, 0, max(0, frames - len(log_mel))))[:frames]
    return (fitted - mean) / (2 * std)


def _fitted(fit: Callable[[Tensor, int], Tensor]) -> Callable[..., Any]:
    """The same with another way to reach the length."""
    return lambda log_mel, frames, mean, std: (fit(log_mel, frames) - mean) / (2 * std)


def _before(log_mel: Tensor, frames: int, mean: float, std: float) -> Tensor:
    """Normalised first, then filled up with 0."""
    return F.pad((log_mel - mean) / (2 * std), (0, 0, 0, max(0, frames - len(log_mel))))[:frames]


def _in_front(x: Tensor, frames: int) -> Tensor:
    return F.pad(x, (0, 0, max(0, frames - len(x)), 0))[:frames]


def _around(x: Tensor, frames: int) -> Tensor:
    lack = max(0, frames - len(x))
    return F.pad(x, (0, 0, lack // 2, lack - lack // 2))[:frames]


def _repeated(x: Tensor, frames: int) -> Tensor:
    return x.repeat(-(-frames // len(x)), 1)[:frames]


def _keeps_the_end(x: Tensor, frames: int) -> Tensor:
    return F.pad(x, (0, 0, 0, max(0, frames - len(x))))[-frames:]


def _sounds() -> list[Case]:
    draw = torch.Generator().manual_seed(11)
    short, long = (torch.randn(n, 4, generator=draw) * 3 - 7 for n in (9, 15))
    return [Case("9 frames, 12 wanted", (short, 12, -6.8, 5.6)), Case("15 frames, 12 wanted", (long, 12, -6.8, 5.6))]


EXERCISES: list[Exercise] = [
    Function(
        label="ex-11-part",
        signature="part(clip)",
        right=_of(lambda clip: _percent(_speaker(clip))),
        cases=_clips,
        remark="Whatever is added to the data set later, every old clip stays where it is.",
        mistakes=[
            Mistake(
                _of(lambda clip: _percent(clip.split("/")[1])),
                "You hashed the take along with the speaker, so two takes of one voice can be in two parts. "
                "Hash what stands before `_nohash_`.",
            ),
            Mistake(
                _of(lambda clip: _percent(clip.split("_nohash_")[0])),
                "You hashed the word along with the speaker, so two words of one voice can be in two parts.",
            ),
            Mistake(_of(_percent), "You hashed the whole name. Which part of it stands for the voice?"),
            Mistake(
                _of(
                    lambda clip: _percent(_speaker(clip)),
                    lambda p: "test" if p < 10 else "validation" if p < 20 else "train",
                ),
                "Your validation and test parts are exchanged: the first tenth is for validation.",
            ),
            Mistake(
                _of(
                    lambda clip: _percent(_speaker(clip)),
                    lambda p: "train" if p < 80 else "validation" if p < 90 else "test",
                ),
                "You took the upper end for the held-out parts. The rule takes the lower one.",
            ),
            Mistake(
                _of(lambda clip: _percent(_speaker(clip)) / 100),
                "You compare a fraction from 0 to 1 with limits in per cent: everything lies below 10.",
            ),
            Mistake(_of(_whole_hash), "You took the whole hash as a fraction. The rule takes a remainder first."),
            Mistake(_of(_md5), "That is MD5. The rule uses SHA-1."),
            Mistake(
                _of(lambda clip: 100 * (int(_speaker(clip), 16) % (MOST + 1)) / MOST),
                "You used the speaker's code itself as the number. It has to be hashed first.",
            ),
        ],
    ),
    Function(
        label="ex-11-input",
        signature="network_input(log_mel, frames, mean, std)",
        right=_input,
        cases=_sounds,
        remark="With Speech Commands' constants the filled part becomes a bright block: 0 is far above the mean.",
        mistakes=[
            Mistake(
                _before, "You normalised first, so your padding is 0 *after* it, an average sound. Which comes first?"
            ),
            Mistake(
                lambda x, frames, mean, std: _input(x, frames, mean, std / 2),
                "You divided by the standard deviation. The recipe divides by twice as much.",
            ),
            Mistake(
                lambda x, frames, mean, std: _input(x, frames, 0.0, std),
                "The mean has to be subtracted before you divide.",
            ),
            Mistake(_fitted(_in_front), "You put the padding in front of the sound. It belongs after it."),
            Mistake(_fitted(_around), "You put half of the padding in front. All of it belongs after the sound."),
            Mistake(_fitted(_repeated), "You repeated the sound to fill the rest. The recipe fills it with 0."),
            Mistake(
                _fitted(_keeps_the_end), "Of a sound that is too long you kept the end. The recipe keeps the beginning."
            ),
        ],
    ),
    Number(
        label="ex-11-seconds",
        right=206,
        unit="frames",
        remark="That makes 20 columns of patches, fewer than the 24 of the picture, so time is still cut.",
        mistakes=[
            Mistake(198, "(198 - 16) / 10 is not whole: the last frames of the sound would be in no patch."),
            Mistake(196, "196 leaves none of its frames unused, but two frames of the sound are cut off."),
            Mistake(200, "Two seconds have 198 frames, and (200 - 16) / 10 is not whole."),
            Mistake(208, "A multiple of 16 suits patches that do not overlap. Here they start every 10 frames."),
            Mistake(216, "That fits as well, but it is one column more than is needed."),
            Mistake(256, "A power of two is not needed: how many columns do 198 frames need?"),
        ],
    ),
]
