"""Answers to the exercises of chapter 02, as readers might hand them in, written apart from the checker's own list.

WRONG: label -> (answer, part of the sentence that the checker must answer with). RIGHT: label -> answers that differ
from the published solution and are right all the same.
"""

import torch
from torch.nn import functional as F


def grid(image, stride):
    return image.unfold(0, 16, stride).unfold(1, 16, stride)  # (n_f, n_t, 16, 16)


def cut(image, stride):
    return grid(image, stride).reshape(-1, 256)


def by_unfold(image, stride):
    return F.unfold(image[None, None], 16, stride=stride)[0].T


def by_convolution(image, stride):
    kernels = torch.eye(256).reshape(256, 1, 16, 16)
    return F.conv2d(image[None, None], kernels, stride=stride)[0].flatten(1).T


def too_few(image, stride):
    rows, columns = image.shape
    parts = [image[f : f + 16, t : t + 16] for f in range(0, rows - 16, stride) for t in range(0, columns - 16, stride)]
    return torch.stack(parts).reshape(-1, 256)


def hanging_over(image, stride):
    rows, columns = image.shape
    larger = torch.zeros(rows + 16, columns + 16)
    larger[:rows, :columns] = image
    parts = [larger[f : f + 16, t : t + 16] for f in range(0, rows, stride) for t in range(0, columns, stride)]
    return torch.stack(parts).reshape(-1, 256)


def summed(patches, bins, frames, stride):
    return F.fold(patches.T[None], (bins, frames), 16, stride=stride)[0, 0]


def counted(patches, bins, frames, stride):
    return summed(torch.ones_like(patches), bins, frames, stride)


def averaged(patches, bins, frames, stride):
    count = counted(patches, bins, frames, stride)
    return torch.where(count > 0, summed(patches, bins, frames, stride) / count, torch.zeros(()))


def overwritten(patches, bins, frames, stride, backwards=False):
    picture = torch.zeros(bins, frames)
    across = (frames - 16) // stride + 1
    numbers = range(len(patches))
    for number in reversed(numbers) if backwards else numbers:
        f, t = number // across * stride, number % across * stride
        picture[f : f + 16, t : t + 16] = patches[number].reshape(16, 16)
    return picture


def time_by_time(patches, bins, frames, stride):
    n_f, n_t = (bins - 16) // stride + 1, (frames - 16) // stride + 1
    return averaged(patches.reshape(n_t, n_f, 256).transpose(0, 1).reshape(-1, 256), bins, frames, stride)


WRONG = {
    "ex-02-thirty": [
        (3636, "Three times the patches"),
        (3564, "Three times 12"),
        (299, "several rows"),
        (3600, "when does the last one start"),
        (3887, "top row does not fit"),
        (3576, "One column is missing"),
        (1496, "stride 16"),
        (5000, "too large"),
    ],
    "ex-02-edge": [
        ([1, 2, 4, 8, 16], "once the first patch"),
        ([1, 2, 3, 4, 6, 7, 8, 9, 12, 14, 16], "Look at the mel bins"),
        ([1, 2, 4, 7, 8, 14], "side by side"),
        ([2, 4, 7, 8, 14, 16], "smallest stride"),
        ([10], "Stride 10 leaves"),
        ([14, 16], "there are more"),
        (14, "Expected a list"),
    ],
    "ex-02-find": [
        (31, "time by time"),
        (228, "Count from 0"),
        (229, "two tokens in front"),
        (353, "at stride 16"),
        (103, "exchanged"),
        (59, "8 rows"),
        (0, "too small"),
    ],
    "ex-02-patches": [
        (lambda x, s: grid(x, s).transpose(0, 1).reshape(-1, 256), "wrong order"),
        (lambda x, s: grid(x, s).transpose(2, 3).reshape(-1, 256), "inside each patch"),
        (lambda x, s: cut(x.T.contiguous(), s), "turned over"),
        (lambda x, s: F.unfold(x[None, None], 16, stride=s)[0], "one ROW"),
        (lambda x, s: grid(x, s).flatten(0, 1), "one row of 256"),
        (grid, "still in their grid"),
        (lambda x, s: grid(x, s).reshape(*grid(x, s).shape[:2], 256), "still stand in their grid"),
        (lambda x, s: cut(x, 16), "never overlap"),
        (too_few, "does fit"),
        (hanging_over, "hang over"),
        (lambda x, s: cut(x, s)[1:], "expected the shape"),
    ],
    "ex-02-back": [
        (summed, "too strong"),
        (overwritten, "wiped out"),
        (lambda p, b, f, s: overwritten(p, b, f, s, backwards=True), "kept the first"),
        (lambda p, b, f, s: summed(p, b, f, s) / counted(p, b, f, s), "0 by 0"),
        (lambda p, b, f, s: summed(p, b, f, s) / len(p), "number of all patches"),
        (lambda p, b, f, s: summed(p, b, f, s) / counted(p, b, f, s).max(), "largest count"),
        (time_by_time, "frequency by frequency"),
        (lambda p, b, f, s: averaged(p, b, f, s).T, "Turn it around"),
        (lambda p, b, f, s: averaged(p, b, f, s)[:-1], "expected the shape"),
    ],
}
RIGHT = {
    "ex-02-thirty": [((480_000 - 400) // 160 + 1 - 16) // 10 * 12 + 12],
    "ex-02-edge": [(16, 14, 8, 7, 4, 2, 1), {1, 2, 4, 7, 8, 14, 16}, torch.tensor([1, 2, 4, 7, 8, 14, 16])],
    "ex-02-find": [227],
    "ex-02-patches": [cut, by_unfold, by_convolution],
    "ex-02-back": [averaged],
}
