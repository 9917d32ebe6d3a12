"""Answers of chapter 05.

Chapter: notebooks/05_pictures_to_sound.ipynb
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from .exercises import Case, Exercise, Function, Mistake, Number

Grid = tuple[int, int]
Axis = Callable[[Tensor, int, int], Tensor]  # a grid, an axis, its new length -> the grid with that length


def _stretched(grid: Tensor, axis: int, size: int, mode: str = "bilinear", corners: bool | None = None) -> Tensor:
    target = [size if a == axis else grid.shape[a] for a in (2, 3)]
    return F.interpolate(grid, size=target, mode=mode, align_corners=corners)


def _cut(grid: Tensor, axis: int, size: int, stretch: Axis = _stretched, start: str = "middle") -> Tensor:
    """Keep the middle of an axis that gets shorter, or what a mistake keeps; stretch one that gets longer."""
    have = grid.shape[axis]
    if size > have:
        return stretch(grid, axis, size)
    if start == "ends":
        first = grid.narrow(axis, 0, size - size // 2)
        return torch.cat([first, grid.narrow(axis, have - size // 2, size // 2)], dim=axis)
    begins = {"middle": have // 2 - size // 2, "corner": 0, "far": have - size, "half": (have - size) // 2}
    return grid.narrow(axis, begins[start], size)


def _fit(pos: Tensor, old: Grid, new: Grid, one_axis: Axis = _cut, order: str = "rows") -> Tensor:
    """Fit a position embedding; `order` says how the tokens are read into a grid."""
    grid = pos[:, 1:].transpose(1, 2).reshape(1, -1, *old)
    if order == "columns":
        grid = pos[:, 1:].transpose(1, 2).reshape(1, -1, old[1], old[0]).transpose(2, 3)
    if order == "scrambled":
        grid = pos[:, 1:].reshape(1, -1, *old)
    grid = one_axis(one_axis(grid, 3, new[1]), 2, new[0])
    if order in ("columns", "columns back"):
        grid = grid.transpose(2, 3)
    return torch.cat([pos[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)


def _swapped(pos: Tensor, old: Grid, new: Grid) -> Tensor:
    return _fit(pos, old, (new[1], new[0]))


def _without_prefix(pos: Tensor, old: Grid, new: Grid) -> Tensor:
    return _fit(pos, old, new)[:, 1:]


def _prefix_last(pos: Tensor, old: Grid, new: Grid) -> Tensor:
    return _fit(pos, old, new).roll(-1, dims=1)


def _positions() -> list[Case]:
    cases = []
    for number, (old, new) in enumerate([((6, 6), (3, 8)), ((5, 7), (3, 7)), ((4, 7), (6, 4)), ((4, 4), (4, 9))]):
        drawn = torch.Generator().manual_seed(number)
        pos = torch.randn(1, 1 + old[0] * old[1], 4, generator=drawn)
        name = f"{old[0]} rows x {old[1]} columns fitted to {new[0]} x {new[1]}"
        cases.append(Case(name, (pos, old, new)))
    return cases


def _kernels() -> list[Case]:
    drawn = torch.Generator().manual_seed(0)
    return [
        Case("four kernels of 2 x 2", (torch.randn(4, 3, 2, 2, generator=drawn),)),
        Case("192 kernels of 16 x 16", (torch.randn(192, 3, 16, 16, generator=drawn),)),
    ]


def _checkpoint() -> list[Case]:
    drawn = torch.Generator().manual_seed(1)
    return [Case("a small checkpoint", (torch.randn(4, 1, 2, 2, generator=drawn), torch.randn(4, generator=drawn)))]


def _grey_photograph(kernels: Tensor) -> Tensor:
    return (kernels * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(dim=1, keepdim=True)


EXERCISES: list[Exercise] = [
    Number(
        label="ex-05-rows",
        right=6,
        unit="number of a row",
        remark="Rows 6 to 17 stay; the columns are stretched from 24 to 101.",
        mistakes=[
            Mistake(0, "That is the corner. Which part of the axis is kept?"),
            Mistake(12, "That many rows are kept, or left out. With which one do the kept ones begin?"),
            Mistake(17, "That is the last row that is kept. Which is the first?"),
            Mistake(7, "Rows are counted from 0: you counted from 1."),
            Mistake(5, "One too low. Halve both lengths, and take the difference."),
        ],
    ),
    Function(
        label="ex-05-colours",
        signature="one_channel(kernels)",
        right=lambda kernels: kernels.sum(dim=1, keepdim=True),
        cases=_kernels,
        remark="A grey picture through three kernels and the spectrogram through yours give the same numbers.",
        mistakes=[
            Mistake(
                lambda kernels: kernels.mean(dim=1, keepdim=True),
                "You averaged the RGB kernels: every output is a third of what the network expects.",
            ),
            Mistake(
                _grey_photograph,
                "You weighted the colours as one does to turn a photograph grey. The picture is grey already: each of "
                "its three channels goes through a kernel of its own.",
            ),
            Mistake(lambda kernels: kernels[:, :1], "You kept red and dropped green and blue."),
            Mistake(lambda kernels: kernels[:, 1:2], "You kept green and dropped red and blue."),
            Mistake(
                lambda kernels: kernels.amax(dim=1, keepdim=True),
                "You took the largest of the three colours. A convolution is linear; the largest of three is not.",
            ),
            Mistake(
                lambda kernels: kernels.sum(dim=1),
                "The numbers are right, but the axis of the channels is gone. A convolution needs it, with length 1.",
            ),
            Mistake(
                lambda kernels: kernels.sum(dim=0, keepdim=True),
                "You added up different kernels. Which axis counts the colours?",
            ),
        ],
    ),
    Function(
        label="ex-05-positions",
        signature="fit_positions(pos, old, new)",
        right=_fit,
        cases=_positions,
        remark="The same function fits a trained AST to clips of another length.",
        mistakes=[
            Mistake(
                partial(_fit, one_axis=partial(_cut, stretch=partial(_stretched, mode="nearest"))),
                "You repeat the nearest place. A longer axis is interpolated linearly.",
            ),
            Mistake(
                partial(_fit, one_axis=partial(_cut, stretch=partial(_stretched, corners=True))),
                "You stretch so that the first and the last place stay at the ends (`align_corners=True`). The "
                "original leaves that off.",
            ),
            Mistake(
                partial(_fit, one_axis=partial(_cut, start="corner")),
                "You cut from the corner: the first places are kept, not the middle ones.",
            ),
            Mistake(
                partial(_fit, one_axis=partial(_cut, start="far")),
                "You cut from the far end: the last places are kept, not the middle ones.",
            ),
            Mistake(
                partial(_fit, one_axis=partial(_cut, start="half")),
                "Nearly the middle: for an even and an odd length you are one place off. Halve each length before you "
                "take the difference.",
            ),
            Mistake(
                partial(_fit, one_axis=partial(_cut, start="ends")),
                "You removed the middle and kept both ends. It is the other way round.",
            ),
            Mistake(
                partial(_fit, one_axis=_stretched),
                "You interpolate both ways. An axis that gets shorter is cut, not squeezed.",
            ),
            Mistake(
                partial(_fit, order="columns"),
                "You read the tokens column by column. They come row by row: all columns of row 0, then those of "
                "row 1.",
            ),
            Mistake(
                partial(_fit, order="columns back"),
                "The grid is right, but you write it back column by column.",
            ),
            Mistake(
                partial(_fit, order="scrambled"),
                "You reshape (tokens, width) to (width, rows, columns) without swapping the axes first: the numbers of "
                "one token end up in different places.",
            ),
            Mistake(_swapped, "Rows and columns of the new grid are swapped: `new` is (rows, columns)."),
            Mistake(
                _without_prefix,
                "You forgot the prefix token. Its vector is kept as it is, in front of the patches.",
            ),
            Mistake(_prefix_last, "The prefix token has moved to the end. It stays in front."),
        ],
    ),
    Function(
        label="ex-05-third",
        signature="repair(weight, bias)",
        right=lambda weight, bias: (3 * weight, bias),
        cases=_checkpoint,
        remark="The bias was added once, whatever happened to the colours.",
        mistakes=[
            Mistake(
                lambda weight, bias: (3 * weight, 3 * bias),
                "The kernels are right. But the bias was never averaged: it is added once, not once a colour.",
            ),
            Mistake(lambda weight, bias: (weight, 3 * bias), "You repaired the one that was not broken."),
            Mistake(
                lambda weight, bias: (weight / 3, bias / 3),
                "You made both of them a third once more.",
            ),
            Mistake(lambda weight, bias: (weight / 3, bias), "You made a third of a third."),
            Mistake(
                lambda weight, bias: (weight.expand(-1, 3, -1, -1), bias),
                "You went back to three channels. The spectrogram has one.",
            ),
        ],
    ),
]
