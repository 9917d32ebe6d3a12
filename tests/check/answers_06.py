"""Answers to the exercises of chapter 06, as readers might hand them in, written apart from the checker's own list."""

import torch
import torchaudio

import astlib

LOG_MEL = astlib.LogMel()


def mixer(sounds, labels):
    """A reader's function: how sounds are mixed, and how labels are."""

    def mix(waveforms, targets, partners, lam):
        return sounds(waveforms, partners, lam), labels(targets, partners, lam)

    return mix


def add(x, partners, lam):
    return torch.stack([lam[i] * x[i] + (1 - lam[i]) * x[j] for i, j in enumerate(partners)])


def mels(x, partners, lam):
    return LOG_MEL(add(x, partners, lam))


def back(x, partners, lam):
    return add(x, partners, 1 - lam)


def cells(mel, time, freq, draws, fill=0.0, swap=False, order=(0, 1, 2, 3), whole=False, both=False, early=False):
    """A reader's SpecAugment, clip by clip with Python's own integers."""
    out = mel.clone()
    for clip, row in zip(out, draws, strict=True):
        u, v, w, z = (row[i].item() for i in order)
        axes = (1, 0) if swap else (0, 1)
        spans = []
        for axis, limit, a, b in ((axes[0], time, u, v), (axes[1], freq, w, z)):
            size = clip.shape[axis]
            width = int(a * limit) if early else a * limit
            start = int(b * size) if whole else int(b * (size - width))
            spans.append((axis, start, start + int(width)))
        if both:
            (_, first, last), (_, low, high) = spans
            clip[first:last, low:high] = fill
        else:
            for axis, first, last in spans:
                clip.narrow(axis, first, min(last, clip.shape[axis]) - first).fill_(fill)
    return out


def with_torchaudio(mel, time, freq, draws):
    """The other library's masks, with our numbers where it draws its own."""
    out, rand = [], torch.rand
    for clip, row in zip(mel, draws, strict=True):
        numbers = list(row)
        torch.rand = lambda *_, left=numbers, **__: left.pop(0)
        try:
            clip = torchaudio.functional.mask_along_axis(clip[None], time, 0.0, 1)
            out.append(torchaudio.functional.mask_along_axis(clip, freq, 0.0, 2)[0])
        finally:
            torch.rand = rand
    return torch.stack(out)


def writes_into_its_input(mel, time, freq, draws):
    mel[:, :5] = 0
    return mel


WRONG = {
    "ex-06-mixup": [
        (mixer(lambda x, p, m: LOG_MEL(back(x, p, m)), back), "wrong way round, in sounds and targets"),
        (mixer(mels, back), "In the targets lambda is the wrong way round"),
        (mixer(lambda x, p, m: LOG_MEL(back(x, p, m)), add), "In the sounds lambda is the wrong way round"),
        (mixer(lambda x, p, m: add(LOG_MEL(x), p, m), add), "You mixed the log-mel spectrograms"),
        (mixer(lambda x, p, m: add(LOG_MEL(x).exp(), p, m).log(), add), "energies"),
        (mixer(mels, lambda y, p, m: torch.maximum(y, y[p])), "however quiet"),
        (mixer(mels, lambda y, p, m: y + y[p]), "without their weights"),
        (mixer(mels, lambda y, p, m: torch.stack([y[i] if m[i] >= 0.5 else y[p[i]] for i in range(len(y))])), "louder"),
        (mixer(mels, lambda y, p, m: y), "before they were mixed"),
        (
            mixer(lambda x, p, m: LOG_MEL(m[0] * x + (1 - m[0]) * x[p]), lambda y, p, m: m[0] * y + (1 - m[0]) * y[p]),
            "first",
        ),
        (
            mixer(
                lambda x, p, m: mels(x, torch.arange(len(x)) - 1, m),
                lambda y, p, m: add(y, torch.arange(len(y)) - 1, m),
            ),
            "neighbour",
        ),
        (mixer(add, add), "should be the log-mel"),
        (lambda waveforms, targets, partners, lam: mels(waveforms, partners, lam), "expected 2 results"),
    ],
    "ex-06-masks": [
        (lambda *given: cells(*given, swap=True), "axes are swapped"),
        (lambda mel, *rest: cells(mel, *rest, fill=mel.mean()), "mean of the batch"),
        (
            lambda mel, *rest: torch.cat(
                [cells(m[None], *rest[:2], d[None], fill=m.mean()) for m, d in zip(mel, rest[2], strict=True)]
            ),
            "mean of each clip",
        ),
        (lambda mel, *rest: cells(mel, *rest, fill=mel.min()), "lowest value of the batch"),
        (lambda mel, time, freq, draws: cells(mel, time, freq, draws[0].repeat(len(mel), 1)), "masks of the first one"),
        (lambda *given: cells(*given, order=(2, 3, 0, 1)), "each other's draws"),
        (lambda *given: cells(*given, order=(0, 1, 0, 1)), "move together"),
        (lambda *given: cells(*given, order=(1, 0, 3, 2)), "Width and place are swapped"),
        (lambda *given: cells(*given, whole=True), "run over its end"),
        (lambda *given: cells(*given, early=True), "before you compute the start"),
        (
            lambda mel, time, freq, draws: cells(
                mel, time, freq, torch.where(torch.tensor([True, False, True, False]), 1.0, draws)
            ),
            "as wide as the limit",
        ),
        (lambda *given: cells(*given, both=True), "where both masks meet"),
        (lambda mel, time, freq, draws: cells(mel, time + 1, freq + 1, draws), "never reaches it"),
        (writes_into_its_input, "changes its input"),
        (lambda mel, time, freq, draws: mel, "numbers differ"),
    ],
    "ex-06-hidden": [
        (0.4917, "widest masks"),
        (24 / 128 + 96 / 1024, "twice"),
        (24 / 128 * 96 / 1024, "rectangle"),
        (0.74, "still be seen"),
        (26, "percentage"),
        (0.1, "too small"),
    ],
    "ex-06-nearly": [(0.5, "Is every clip mixed"), (0.75, "the clip itself"), (25, "percentage"), (1, "too large")],
    "ex-06-syllable": [
        (88, "before the padding"),
        (10, "roll of +10"),
        (-10, "no frame -10"),
        (127, "roll of -1"),
        (117, "too small"),
    ],
    "ex-06-cannot": [
        (1, "without weights"),
        (9_999, "what do they weigh together"),
        (990, "That is its weight"),
        (0.5, "one draw"),
        (100, "too small"),
    ],
}
RIGHT = {
    "ex-06-mixup": [mixer(mels, add)],
    "ex-06-masks": [cells, with_torchaudio, lambda mel, time, freq, draws: mel * (cells(mel, time, freq, draws) != 0)],
    "ex-06-hidden": [0.26, torch.tensor(0.2637)],
    "ex-06-nearly": [1 / 4],
    "ex-06-syllable": [118.0],
    "ex-06-cannot": [5_000, 4_976],
}
