"""Answers of chapter 01.

Chapter: notebooks/01_sound_to_spectrogram.ipynb
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .exercises import Case, Exercise, Function, Mistake, Number, Trial

FLOOR = torch.finfo(torch.float32).eps


def _frames(waveform: Tensor, hop: int = 160) -> Tensor:
    return waveform.unfold(0, 400, hop)


def _prepared(
    waveform: Tensor,
    hop: int = 160,
    mean: str = "frame",
    factor: float = 0.97,
    first: str = "itself",
    emphasis: str = "frame",
) -> Tensor:
    """Frames without their mean and with pre-emphasis, or with one of the usual mistakes.

    Args:
        waveform: `(samples,)`.
        hop: between frames, in samples.
        mean: "frame" removes each frame's own mean, "sound" that of the whole sound, "none" nothing.
        factor: of the sample before.
        first: what the first sample of a frame subtracts: "itself", "nothing", "last" (the frame's last sample), or
            "next", where every sample subtracts the one after it.
        emphasis: "frame" after cutting, "sound" before it, "mean after" with the mean removed at the end.
    """
    if mean == "sound":
        waveform = waveform - waveform.mean()
    if emphasis == "sound":
        waveform = torch.cat([waveform[:1] * (1 - factor), waveform[1:] - factor * waveform[:-1]])
    frames = _frames(waveform, hop)
    if mean == "frame" and emphasis != "mean after":
        frames = frames - frames.mean(dim=1, keepdim=True)
    if emphasis == "sound" or factor == 0:
        return frames
    start = {"itself": frames[:, :1], "nothing": torch.zeros_like(frames[:, :1]), "last": frames[:, -1:]}
    if first == "next":
        other = torch.cat([frames[:, 1:], frames[:, -1:]], dim=1)
    else:
        other = torch.cat([start[first], frames[:, :-1]], dim=1)
    frames = frames - factor * other
    return frames - frames.mean(dim=1, keepdim=True) if emphasis == "mean after" else frames


def _sounds() -> list[Case]:
    """A click, noise, a slow wave with an offset, and silence: 2,000 samples each, so 11 frames."""
    generator = torch.Generator().manual_seed(0)
    click, time = torch.zeros(2000), torch.arange(2000) / 16_000
    click[1000] = 0.5
    noise = 0.1 * torch.randn(2000, generator=generator)
    slow = 0.2 + 0.1 * torch.sin(2 * math.pi * 15 * time) + 0.01 * torch.randn(2000, generator=generator)
    return [
        Case("a click at sample 1,000", (click,)),
        Case("noise", (noise,)),
        Case("a slow wave with an offset", (slow,)),
        Case("digital silence", (torch.zeros(2000),)),
    ]


def _window(name: str) -> Tensor:
    make = torch.hamming_window if name == "hamming" else torch.hann_window
    return torch.ones(400) if name == "none" else make(400, periodic=name == "periodic")


def _log_mel(
    waveform: Tensor,
    prepare: Callable[[Tensor], Tensor] = _prepared,
    window: str = "hann",
    n_fft: int = 512,
    power: float = 2,
    filters: str = "mel",
    end: Callable[[Tensor], Tensor] = lambda energy: energy.clamp(min=FLOOR).log(),
) -> Tensor:
    """The log-mel spectrogram, or one with a usual mistake in one of the steps."""
    spectrum = torch.fft.rfft(prepare(waveform) * _window(window), n=n_fft).abs() ** power  # (frames, bins)
    return end(spectrum @ _bank(filters, n_fft))


@functools.cache
def _bank(kind: str, n_fft: int) -> Tensor:
    """`(bins, 128)`: the filters; "hertz": evenly spaced in Hz; "sides": sides that are straight in Hz."""
    from ..frontend import hz_to_mel, mel_filters

    if kind == "mel":
        return mel_filters(n_fft=n_fft).float()
    bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64)[:, None] * 16_000 / n_fft
    corners = torch.linspace(20, 8000, 130, dtype=torch.float64)
    if kind == "sides":
        low, high = hz_to_mel(torch.tensor([20.0, 8000.0], dtype=torch.float64))
        corners = 700 * torch.expm1(torch.linspace(low, high, 130, dtype=torch.float64) / 1127)
    left, middle, right = corners[:-2], corners[1:-1], corners[2:]
    rising, falling = (bins - left) / (middle - left), (right - bins) / (right - middle)
    return torch.minimum(rising, falling).clamp(min=0).float()


def _right_log_mel(waveform: Tensor) -> Tensor:
    from ..frontend import LogMel

    mel: Tensor = LogMel()(waveform)[0]
    return mel


def _padded_stft(waveform: Tensor) -> Tensor:
    """What torch.stft gives, which pads both ends unless told otherwise, in place of frames that fit."""
    padded = torch.nn.functional.pad(waveform, (256, 256))
    return _log_mel(padded)


PREPARE = [
    Mistake(
        lambda x: _prepared(x, first="nothing"),
        "Every frame differs in its first sample, by 0.97 of it. You left it as it was. What does the rule of this "
        "chapter subtract from it?",
    ),
    Mistake(
        lambda x: _prepared(x, first="last"),
        "The first sample of each frame has lost 0.97 of the LAST sample. Did you use `torch.roll`, which goes round?",
    ),
    Mistake(
        lambda x: torch.nn.functional.pad(_prepared(x)[:, 1:], (1, 0)),
        "Every frame begins with 0. The first sample is its own predecessor, so a little of it is left.",
    ),
    Mistake(
        lambda x: _prepared(x)[:, 1:],
        "Your frames have 399 samples: the first one got lost, since it has no predecessor. It must stay.",
    ),
    Mistake(lambda x: _prepared(x, first="next"), "You subtracted 0.97 of the NEXT sample, not of the one before."),
    Mistake(lambda x: _prepared(x, factor=-0.97), "You added 0.97 of the sample before. It is subtracted."),
    Mistake(lambda x: _prepared(x, factor=1.0), "You subtracted all of the sample before, not 0.97 of it."),
    Mistake(lambda x: _prepared(x, factor=0.0), "The mean is gone. What is missing is the pre-emphasis."),
    Mistake(
        lambda x: _prepared(x, mean="none", factor=0.0),
        "You cut the frames, and nothing more. Each has to lose its mean and to be pre-emphasised.",
    ),
    Mistake(
        lambda x: _prepared(x, mean="none"), "The pre-emphasis is right, but the mean of each frame is still in it."
    ),
    Mistake(
        lambda x: _prepared(x, mean="sound"),
        "You removed the mean of the whole sound. Every frame loses a mean of its own.",
    ),
    Mistake(
        lambda x: _prepared(x, emphasis="sound"),
        "You pre-emphasised the whole sound and cut it afterwards. Cut first: the predecessor of a frame's first "
        "sample is not in the frame.",
    ),
    Mistake(
        lambda x: _prepared(x, emphasis="mean after"),
        "Both steps are there, in the other order: the mean goes before the pre-emphasis.",
    ),
    Mistake(lambda x: _prepared(x, hop=400), "Your frames lie end to end. A new one begins every 160 samples."),
    Mistake(
        lambda x: _prepared(x) * _window("hann"),
        "These frames are windowed already. The window belongs to the next exercise.",
    ),
]

LOG_MEL = [
    Mistake(
        lambda x: _log_mel(x, window="hamming"), "This is a Hamming window, as in the paper. The code runs another."
    ),
    Mistake(
        lambda x: _log_mel(x, window="periodic"),
        "Your window repeats after 400 samples instead of ending at 0: `torch.hann_window` does so unless you say "
        "`periodic=False`.",
    ),
    Mistake(lambda x: _log_mel(x, window="none"), "The frames have hard edges: what fades them out?"),
    Mistake(
        lambda x: _log_mel(x, prepare=lambda y: _prepared(y, factor=0.0)),
        "Low frequencies are too strong and high ones too weak: you forgot the pre-emphasis.",
    ),
    Mistake(
        lambda x: _log_mel(x, prepare=lambda y: _prepared(y, mean="none")),
        "All is right but for a sound with an offset: you forgot the mean of each frame.",
    ),
    Mistake(
        lambda x: _log_mel(x, prepare=lambda y: _prepared(y, mean="sound")),
        "You removed the mean of the whole sound. Every frame loses a mean of its own.",
    ),
    Mistake(
        lambda x: _log_mel(x, prepare=lambda y: _prepared(y, mean="none", factor=0.0)),
        "You transformed the frames as they were cut out. Two of the three steps of the preparation are missing.",
    ),
    Mistake(lambda x: _log_mel(x, power=1), "You summed magnitudes. The power is the square of the absolute value."),
    Mistake(lambda x: _log_mel(x, end=torch.log), "On silence you took the logarithm of 0: you forgot the floor."),
    Mistake(
        lambda x: _log_mel(x, end=lambda energy: (energy + FLOOR).log()),
        "You added the floor to every value. The chapter lifts only the values that lie below it.",
    ),
    Mistake(
        lambda x: _log_mel(x, end=lambda energy: energy.clamp(min=1e-10).log()), "Your floor is 1e-10, not 2 ** -23."
    ),
    Mistake(
        lambda x: _log_mel(x, end=lambda energy: energy.clamp(min=FLOOR).log10()),
        "You took the logarithm to base 10. The book uses the natural one.",
    ),
    Mistake(
        lambda x: _log_mel(x, end=lambda energy: 10 * energy.clamp(min=FLOOR).log10()),
        "These are decibels. The network reads natural logarithms.",
    ),
    Mistake(
        lambda x: _log_mel(x, end=lambda energy: energy.clamp(min=FLOOR)),
        "These are the sums under the triangles. What is missing is the logarithm.",
    ),
    Mistake(
        lambda x: _log_mel(x, n_fft=400),
        "You transformed 400 points. A frame is filled up with zeros to 512 first.",
    ),
    Mistake(lambda x: _log_mel(x, filters="hertz"), "Your triangles are evenly spaced in Hz, not in mel."),
    Mistake(
        lambda x: _log_mel(x, filters="sides"),
        "Your triangles have the right corners, but their sides are straight in Hz. Here they are straight in mel.",
    ),
    Mistake(
        lambda x: _log_mel(x * 32768),
        "Every value above the floor is 20.79 too large. Did you scale the samples to 16-bit integers?",
    ),
    Mistake(
        lambda x: _log_mel(x, prepare=lambda y: _prepared(y, hop=400)), "Your frames lie end to end: check the hop."
    ),
    Mistake(lambda x: _log_mel(x).T, "Turn it around: a row for each frame, a column for each mel bin."),
    Mistake(
        _padded_stft,
        "You have frames that reach over the ends of the sound, as `torch.stft` makes them. Only whole frames count.",
    ),
    Mistake(
        lambda x: (_log_mel(x) + 6.6268077) / (2 * 5.358466),
        "You normalised it, too. The function ends with the logarithm.",
    ),
]


def _heard(change: Any) -> str | None:
    """What a spectrogram shows of a change to the samples. Several changes are right: nothing to compare with."""
    if not callable(change):
        return "Expected your function change(samples) itself, without calling it."
    sound = 0.1 * torch.randn(8000, generator=torch.Generator().manual_seed(1))
    changed = change(sound.clone())
    if not isinstance(changed, Tensor) or changed.shape != sound.shape:
        return "Return a tensor with as many samples as it got."
    if same := int((changed == sound).sum()):
        return f"{same:,} of {len(sound):,} samples are what they were. Every one has to change."
    shift = float((_right_log_mel(changed) - _right_log_mel(sound)).abs().max())
    return None if shift < 0.01 else _noticed(sound, changed, shift)


def _noticed(sound: Tensor, changed: Tensor, shift: float) -> str:
    """What the spectrogram shows of a change."""
    if torch.equal(changed, sound.flip(0)):
        return "Played backwards, the frames come in another order: the spectrogram is nearly its own mirror image."
    ratio = float((changed / sound).median())
    if torch.allclose(changed, ratio * sound, rtol=1e-3):
        return (
            f"You multiplied by {ratio:.3g}. The logarithm of the power then changes by "
            f"{2 * math.log(abs(ratio)):+.2f} everywhere. Which factor leaves the power alone?"
        )
    if any(torch.allclose(changed, sound.roll(by), atol=1e-6) for by in range(-200, 201)):
        return "You moved the sound in time. The frames then cut it at other places."
    return f"The spectrogram shows it: the largest difference is {shift:.2g}. What does a square not see?"


EXERCISES: list[Exercise] = [
    Number(
        label="ex-01-frames",
        right=164_080,
        unit="samples",
        rtol=1e-6,  # less than one sample
        remark="AudioSet's clips of 10 s have 998 frames, so 26 of the 1,024 are always padding.",
        mistakes=[
            Mistake(163_840, "1,024 hops are not 1,024 frames: how long is the last frame?"),
            Mistake(164_240, "You counted 1,024 hops and a frame. How many hops lie between the first and the last?"),
            Mistake(409_600, "Frames overlap: a new one begins every 160 samples, not every 400."),
            Mistake(164_080 / 16_000, "These are the seconds. The question is how many samples they are."),
            Mistake(160_000, "This is 10 s of sound, which has 998 frames. How many hops are missing?"),
        ],
    ),
    Number(
        label="ex-01-scale",
        right=lambda: 2 * math.log(32768),
        unit="natural logarithm",
        rtol=1e-3,
        remark="It is the same everywhere but at the floor: filter 3 stays where it is.",
        mistakes=[
            Mistake(lambda: math.log(32768), "The samples grow by 32,768. By how much does the power grow?"),
            Mistake(lambda: 20 * math.log10(32768), "These are decibels. The log-mel is a natural logarithm."),
            Mistake(lambda: 2 * math.log10(32768), "You took the logarithm to base 10. The book uses the natural one."),
            Mistake(lambda: 2 * math.log2(32768), "You took the logarithm to base 2. The book uses the natural one."),
            Mistake(32768, "A factor becomes a sum: take the logarithm."),
            Mistake(32768**2, "This is the factor of the power. What does the logarithm make of it?"),
        ],
    ),
    Number(
        label="ex-01-empty",
        right=126,
        unit="filters",
        remark="It is almost the number that the network uses.",
        mistakes=[
            Mistake(128, "With 128 filters number 3 is empty, as the chapter shows."),
            Mistake(127, "One of the 127 is empty. Look at `(mel_filters(127).sum(dim=0) > 0).all()`."),
            Mistake(125, "125 leave none empty, but there is a larger number that does so."),
            Mistake(257, "257 is the number of bins. Filters are triangles between points that are even in mel."),
            Mistake(256, "There are 256 bins that count, but two low filters can lie between the same two bins."),
        ],
    ),
    Trial(
        label="ex-01-sign",
        asks="your function change(samples)",
        test=_heard,
        remark="The power is a square: it does not know which way the air was pushed.",
    ),
    Function(
        label="ex-01-prepare",
        signature="prepare(waveform)",
        right=_prepared,
        cases=_sounds,
        mistakes=PREPARE,
        remark="Half of the way is done. Go on with the second half.",
    ),
    Function(
        label="ex-01-logmel",
        signature="log_mel(waveform)",
        right=_right_log_mel,
        cases=_sounds,
        mistakes=LOG_MEL,
        atol=5e-3,
        remark="These are Kaldi's numbers, and now they are yours.",
    ),
]
