"""Answers of chapter 02.

Chapter: notebooks/02_spectrogram_to_tokens.ipynb
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .exercises import Case, Exercise, Function, Mistake, Number, Trial

SIDE = 16


def _starts(size: int, stride: int) -> range:
    return range(0, size - SIDE + 1, stride)


def _patches(
    image: Tensor,
    stride: int,
    starts: Callable[[int, int], range] = _starts,
    time_outside: bool = False,
    turned: bool = False,
) -> Tensor:
    """Patches of a picture `(bins, frames)` as rows, or with a usual mistake in order or orientation."""
    rows, columns = starts(image.shape[0], stride), starts(image.shape[1], stride)
    places = [(f, t) for t in columns for f in rows] if time_outside else [(f, t) for f in rows for t in columns]
    parts = [image[f : f + SIDE, t : t + SIDE] for f, t in places]
    return torch.stack([(part.T if turned else part).reshape(-1) for part in parts])


def _pictures() -> list[Case]:
    generator = torch.Generator().manual_seed(0)
    wide, exact = torch.randn(40, 70, generator=generator), torch.randn(32, 48, generator=generator)
    return [
        Case("a picture of 40 × 70 with stride 10", (wide, 10)),
        Case("a picture of 32 × 48 with stride 16", (exact, 16)),
        Case("a picture of 40 × 70 with stride 7", (wide, 7)),
    ]


def _back(
    patches: Tensor, bins: int, frames: int, stride: int, time_outside: bool = False, divide: str = "count"
) -> Tensor:
    """The picture again, as the mean of the patches over each place, or with a usual mistake.

    Args:
        patches: `(N, 256)`.
        bins: height of the picture.
        frames: width of the picture.
        stride: of the patches.
        time_outside: whether the patches are read in the wrong order.
        divide: "count" by how many patches lie there, "nothing" not at all, "all" by the number of patches, "nan" by
            0 where there is none, "last" and "first" keep one patch, "four" divides by the largest count.
    """
    rows, columns = _starts(bins, stride), _starts(frames, stride)
    places = [(f, t) for t in columns for f in rows] if time_outside else [(f, t) for f in rows for t in columns]
    total, count = torch.zeros(bins, frames), torch.zeros(bins, frames)
    together = list(zip(places, patches, strict=True))
    for (f, t), patch in reversed(together) if divide == "first" else together:
        here = (slice(f, f + SIDE), slice(t, t + SIDE))
        square = patch.reshape(SIDE, SIDE)
        total[here] = square if divide in ("first", "last") else total[here] + square
        count[here] += 1
    if divide in ("first", "last", "nothing"):
        return total
    if divide == "nan":
        return total / count
    if divide == "all":
        return total / len(patches)
    return total / (count.max() if divide == "four" else count.clamp(min=1))


def _rows_of_patches() -> list[Case]:
    """Patches of a picture, and patches that never were one, which do not agree where they overlap."""
    generator = torch.Generator().manual_seed(1)
    picture = torch.randn(40, 70, generator=generator)
    loose = torch.randn(3 * 6, 256, generator=generator)
    return [
        Case("the patches of a picture of 40 × 70, stride 10", (_patches(picture, 10), 40, 70, 10)),
        Case("patches that do not agree where they overlap", (loose, 40, 70, 10)),
        Case("patches that do not overlap", (loose[:6], 32, 48, 16)),
    ]


def _edge(answer: Any) -> str | None:
    """Test a list of strides that leave nothing over."""
    try:
        found = sorted({int(stride) for stride in answer})
    except (TypeError, ValueError):
        return "Expected a list of strides, such as [1, 2, 3]."
    both = [s for s in range(1, 17) if (128 - SIDE) % s == 0 and (1024 - SIDE) % s == 0]
    if found == both:
        return None
    if found == [s for s in range(1, 17) if 128 % s == 0]:
        return "These divide 128 and 1,024. But what is left to walk over once the first patch lies there?"
    if found == [s for s in range(1, 17) if (1024 - SIDE) % s == 0]:
        return "With these nothing is left over in time. Look at the mel bins, too."
    if found == [s for s in both if s != SIDE]:
        return "These leave nothing over. One is missing: the patches may also lie side by side."
    if found == [s for s in both if s != 1]:
        return "These leave nothing over. One is missing: the smallest stride there is."
    wrong = [s for s in found if s not in both]
    if wrong:
        return f"Stride {wrong[0]} leaves something over. Where does its last patch end?"
    return f"These {len(found)} leave nothing over, but there are more such strides from 1 to 16."


PATCHES = [
    Mistake(
        lambda image, stride: _patches(image, stride, time_outside=True),
        "Your patches come in the wrong order, time by time. All patches of the lowest frequencies come first.",
    ),
    Mistake(
        lambda image, stride: _patches(image, stride, turned=True),
        "The order is right, but inside each patch you wrote time by time. Write its rows, one frequency each.",
    ),
    Mistake(
        lambda image, stride: _patches(image, stride, turned=True, time_outside=True),
        "You read the picture turned over: time is in the place of frequency, in the grid and in each patch.",
    ),
    Mistake(lambda image, stride: _patches(image, stride).T, "Turn it around: one ROW for each patch."),
    Mistake(
        lambda image, stride: _patches(image, stride).reshape(-1, SIDE, SIDE),
        "The patches are right. Write each of them as one row of 256 numbers.",
    ),
    Mistake(
        lambda image, stride: image.unfold(0, SIDE, stride).unfold(1, SIDE, stride),
        "The patches are still in their grid. Write them one below the other, each as a row of 256 numbers.",
    ),
    Mistake(
        lambda image, stride: image.unfold(0, SIDE, stride).unfold(1, SIDE, stride).flatten(2),
        "Each patch is a row of 256 numbers, but they still stand in their grid.",
    ),
    Mistake(
        lambda image, stride: _patches(image, SIDE),
        "Your patches never overlap: they start every 16, not every stride.",
    ),
    Mistake(
        lambda image, stride: _patches(image, stride, lambda size, by: range(0, size - SIDE, by)),
        "Patches are missing at the far edges: one that ends exactly at the edge does fit.",
    ),
    Mistake(
        lambda image, stride: _patches(
            torch.nn.functional.pad(image, (0, SIDE, 0, SIDE)), stride, lambda size, by: range(0, size - SIDE, by)
        ),
        "You padded the picture so that patches can hang over its edges. Only patches that fit count.",
    ),
]

BACK = [
    Mistake(
        lambda patches, bins, frames, stride: _back(patches, bins, frames, stride, divide="nothing"),
        "You added the patches up, and where they overlap the picture is too strong. Divide by how many lie there.",
    ),
    Mistake(
        lambda patches, bins, frames, stride: _back(patches, bins, frames, stride, divide="last"),
        "Every patch wiped out those below it. Where patches overlap, take their mean.",
    ),
    Mistake(
        lambda patches, bins, frames, stride: _back(patches, bins, frames, stride, divide="first"),
        "You kept the first patch at each place. Where patches overlap, take their mean.",
    ),
    Mistake(
        lambda patches, bins, frames, stride: _back(patches, bins, frames, stride, divide="nan"),
        "Where no patch lies you divided 0 by 0. Those places are 0.",
    ),
    Mistake(
        lambda patches, bins, frames, stride: _back(patches, bins, frames, stride, divide="all"),
        "You divided by the number of all patches. Divide by how many lie over each place.",
    ),
    Mistake(
        lambda patches, bins, frames, stride: _back(patches, bins, frames, stride, divide="four"),
        "You divided everywhere by the largest count. Near the edges fewer patches overlap.",
    ),
    Mistake(
        lambda patches, bins, frames, stride: _back(patches, bins, frames, stride, time_outside=True),
        "You put the patches back time by time. They come frequency by frequency.",
    ),
    Mistake(
        lambda patches, bins, frames, stride: _back(patches, bins, frames, stride).T,
        "Turn it around: frequency is the first axis of the picture.",
    ),
]


EXERCISES: list[Exercise] = [
    Number(
        label="ex-02-thirty",
        right=12 * 299,
        unit="patches",
        remark="Three times the sound makes nearly nine times the pairs.",
        mistakes=[
            Mistake(3 * 1212, "Three times the patches of 10 s. But 30 s are not three clips of 1,024 frames: count."),
            Mistake(3 * 1188, "Three times 12 × 99. Between the three parts patches lie that none of the parts has."),
            Mistake(299, "These are the patches along time. There are several rows of them."),
            Mistake(
                12 * 300, "You divided the frames by the stride. A patch is 16 wide: when does the last one start?"
            ),
            Mistake(13 * 299, "The top row does not fit: 128 mel bins hold fewer than 13 patches."),
            Mistake(12 * 298, "One column is missing: the first patch starts at 0."),
            Mistake(8 * 187, "This is stride 16. The question is about stride 10."),
        ],
    ),
    Trial(
        label="ex-02-edge",
        asks="a list of strides",
        test=_edge,
        remark="Stride 14 of the paper's table is one of them, and stride 10 is not.",
    ),
    Number(
        label="ex-02-find",
        right=7 * 32 + 3,
        unit="number of the token",
        remark="Without overlap exactly one token changes.",
        mistakes=[
            Mistake(3 * 8 + 7, "You counted time by time. The row of tokens goes frequency by frequency."),
            Mistake(7 * 32 + 3 + 1, "Count from 0, as the rows and columns do."),
            Mistake(7 * 32 + 3 + 2, "You counted two tokens in front. The patches alone begin at 0."),
            Mistake(7 * 50 + 3, "A row has 50 patches at stride 10. How many has it at stride 16?"),
            Mistake(3 * 32 + 7, "Row and column are exchanged: 7 is the row, in frequency."),
            Mistake(7 * 8 + 3, "There are 8 rows, but the number of patches in one row is what you need."),
        ],
    ),
    Function(
        label="ex-02-patches",
        signature="to_patches(image, stride)",
        right=_patches,
        cases=_pictures,
        mistakes=PATCHES,
        remark="Now put them back together.",
    ),
    Function(
        label="ex-02-back",
        signature="to_picture(patches, bins, frames, stride)",
        right=_back,
        cases=_rows_of_patches,
        mistakes=BACK,
        remark="Cutting loses nothing but the edge that no patch reaches.",
    ),
]
