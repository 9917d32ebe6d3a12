"""Answers to the exercises of chapter 01, as readers might hand them in, written apart from the checker's own list.

WRONG: label -> (answer, part of the sentence that the checker must answer with). RIGHT: label -> answers that differ
from the published solution and are right all the same.
"""

import math

import torch
import torchaudio
from torchaudio.compliance import kaldi

from astlib.frontend import mel_filters


def cut(waveform):
    starts = range(0, len(waveform) - 399, 160)
    return torch.stack([waveform[start : start + 400] for start in starts])


def centre(frames):
    return frames - frames.mean(dim=1)[:, None]


def emphasise(frames):
    out = frames.clone()
    out[:, 1:] = frames[:, 1:] - 0.97 * frames[:, :-1]
    out[:, 0] = 0.03 * frames[:, 0]
    return out


def prepare(waveform):
    return emphasise(centre(cut(waveform)))


def first_left_alone(waveform):
    frames = centre(cut(waveform))
    out = frames.clone()
    out[:, 1:] -= 0.97 * frames[:, :-1]
    return out


def rolled(waveform):
    frames = centre(cut(waveform))
    return frames - 0.97 * frames.roll(1, dims=1)


def rolled_the_other_way(waveform):
    frames = centre(cut(waveform))
    shifted = frames.roll(-1, dims=1)
    shifted[:, -1] = frames[:, -1]
    return frames - 0.97 * shifted


def shorter(waveform):
    frames = centre(cut(waveform))
    return frames[:, 1:] - 0.97 * frames[:, :-1]


def first_is_zero(waveform):
    return torch.cat([torch.zeros(len(cut(waveform)), 1), shorter(waveform)], dim=1)


def plus(waveform):
    frames = centre(cut(waveform))
    out = 1.97 * frames
    out[:, 1:] = frames[:, 1:] + 0.97 * frames[:, :-1]
    return out


def difference(waveform):
    frames = centre(cut(waveform))
    return torch.diff(frames, dim=1, prepend=frames[:, :1])


def whole_first(waveform):
    emphasised = waveform.clone()
    emphasised[1:] = waveform[1:] - 0.97 * waveform[:-1]
    emphasised[0] = 0.03 * waveform[0]
    return centre(cut(emphasised))


def end_to_end(waveform):
    count = len(waveform) // 400
    return emphasise(centre(waveform[: 400 * count].reshape(count, 400)))


HANN = torch.tensor([0.5 - 0.5 * math.cos(2 * math.pi * n / 399) for n in range(400)])
HAMMING = torch.tensor([0.54 - 0.46 * math.cos(2 * math.pi * n / 399) for n in range(400)])


def energies(frames, window=HANN, n=512, exponent=2):
    spectrum = torch.fft.rfft(frames * window, n=n)
    return (spectrum.real**2 + spectrum.imag**2) ** (exponent / 2) @ mel_filters(n_fft=n).float()


def floored(energy):
    return torch.log(torch.maximum(energy, torch.tensor(2.0**-23)))


def log_mel(waveform):
    return floored(energies(prepare(waveform)))


def by_kaldi(waveform):
    return kaldi.fbank(
        waveform[None],
        htk_compat=True,
        sample_frequency=16_000,
        use_energy=False,
        window_type="hanning",
        num_mel_bins=128,
        dither=0.0,
        frame_shift=10,
    )


def by_stft(waveform):
    """A few lines of librosa's kind: emphasis over the whole sound and frames around their centres."""
    padded = torch.cat([torch.zeros(256), waveform, torch.zeros(256)])
    return floored(energies(prepare(padded)))


def straight_in_hertz(waveform):
    bank = torchaudio.functional.melscale_fbanks(257, 20.0, 8000.0, 128, 16_000, norm=None, mel_scale="htk")
    power = torch.fft.rfft(prepare(waveform) * HANN, n=512).abs() ** 2
    return floored(power @ bank)


WRONG = {
    "ex-01-frames": [
        (1024 * 160, "how long is the last frame"),
        (1024 * 160 + 400, "How many hops lie between"),
        (1024 * 400, "Frames overlap"),
        (164_079, "too small"),
        (164_080 / 16_000, "seconds"),
        (10 * 16_000, "998 frames"),
    ],
    "ex-01-scale": [
        (10.397, "By how much does the power grow"),
        (90.31, "decibels"),
        (9.03, "base 10"),
        (30, "base 2"),
        (2**15, "A factor becomes a sum"),
        (2**30, "factor of the power"),
        (-20.79, "The sign is wrong"),
    ],
    "ex-01-empty": [
        (128, "number 3 is empty"),
        (127, "One of the 127"),
        (125, "a larger number"),
        (257, "number of bins"),
        (256, "two low filters"),
        (100, "too small"),
    ],
    "ex-01-sign": [
        (lambda x: x, "Every one has to change"),
        (lambda x: 2 * x, "multiplied by 2"),
        (lambda x: x.flip(0), "Played backwards"),
        (lambda x: x.roll(1), "moved the sound in time"),
        (lambda x: x[1:], "as many samples"),
        (lambda x: None, "returns nothing"),
        (lambda x: x + 0.02 * torch.randn(len(x), generator=torch.Generator().manual_seed(5)), "What does a square"),
    ],
    "ex-01-prepare": [
        (first_left_alone, "What does the rule"),
        (rolled, "LAST sample"),
        (first_is_zero, "Every frame begins with 0"),
        (shorter, "399 samples"),
        (rolled_the_other_way, "NEXT sample"),
        (plus, "You added"),
        (difference, "not 0.97 of it"),
        (lambda x: centre(cut(x)), "the pre-emphasis"),
        (cut, "nothing more"),
        (lambda x: emphasise(cut(x)), "still in it"),
        (lambda x: emphasise(cut(x - x.mean())), "mean of its own"),
        (whole_first, "Cut first"),
        (lambda x: centre(emphasise(cut(x))), "in the other order"),
        (end_to_end, "end to end"),
        (lambda x: prepare(x) * HANN, "windowed already"),
        (lambda x: prepare(x)[:-1], "expected the shape"),
    ],
    "ex-01-logmel": [
        (lambda x: floored(energies(prepare(x), HAMMING)), "Hamming"),
        (lambda x: floored(energies(prepare(x), torch.hann_window(400))), "periodic=False"),
        (lambda x: floored(energies(prepare(x), 1.0)), "hard edges"),
        (lambda x: floored(energies(centre(cut(x)))), "forgot the pre-emphasis"),
        (lambda x: floored(energies(emphasise(cut(x)))), "forgot the mean"),
        (lambda x: floored(energies(emphasise(cut(x - x.mean())))), "mean of its own"),
        (lambda x: floored(energies(cut(x))), "as they were cut out"),
        (lambda x: floored(energies(prepare(x), exponent=1)), "magnitudes"),
        (lambda x: energies(prepare(x)).log(), "forgot the floor"),
        (lambda x: (energies(prepare(x)) + 2**-23).log(), "added the floor"),
        (lambda x: energies(prepare(x)).clamp(min=1e-10).log(), "Your floor is 1e-10"),
        (lambda x: energies(prepare(x)).clamp(min=2**-23).log10(), "base 10"),
        (lambda x: 10 * energies(prepare(x)).clamp(min=2**-23).log10(), "decibels"),
        (lambda x: energies(prepare(x)).clamp(min=2**-23), "missing is the logarithm"),
        (lambda x: floored(energies(prepare(x), n=400)), "400 points"),
        (straight_in_hertz, "straight in Hz"),
        (lambda x: log_mel(32768 * x), "16-bit integers"),
        (lambda x: floored(energies(end_to_end(x))), "check the hop"),
        (lambda x: log_mel(x).T, "Turn it around"),
        (by_stft, "torch.stft"),
        (lambda x: (log_mel(x) - -6.6268077) / (2 * 5.358466), "You normalised it"),
    ],
}
RIGHT = {
    "ex-01-frames": [400 + 1023 * 160],
    "ex-01-scale": [20.79, math.log(32768.0**2)],
    "ex-01-empty": [126.0],
    "ex-01-sign": [lambda x: -x, torch.neg, lambda x: x + 0.01],
    "ex-01-prepare": [prepare],
    "ex-01-logmel": [log_mel, by_kaldi, lambda x: floored(energies(whole_first(x) * 0 + prepare(x)))],
}
