"""Answers to the exercises of chapter 05, as readers might hand them in, written apart from the checker's own list."""

import torch
import torch.nn.functional as F


def fitted(pos, old, new, cut=None, mode="bilinear", prefix=True, **more):
    """One way to write it, with a switch for each slip."""
    rows, columns = old
    token, patches = pos[:, :1], pos[:, 1:]
    grid = patches.reshape(1, rows, columns, -1).permute(0, 3, 1, 2)  # (1, dim, rows, columns)
    if new[1] > columns or cut == "never":
        grid = F.interpolate(grid, (rows, new[1]), mode=mode, **more)
    else:
        begin = begin_of(columns, new[1], cut)
        grid = grid[:, :, :, begin : begin + new[1]]
    if new[0] > rows or cut == "never":
        grid = F.interpolate(grid, (new[0], new[1]), mode=mode, **more)
    else:
        begin = begin_of(rows, new[0], cut)
        grid = grid[:, :, begin : begin + new[0]]
    flat = grid.permute(0, 2, 3, 1).reshape(1, new[0] * new[1], -1)
    return torch.cat([token, flat], 1) if prefix else flat


def begin_of(have, want, cut):
    if cut == "corner":
        return 0
    if cut == "end":
        return have - want
    if cut == "rounded":
        return int((have - want) / 2)
    return have // 2 - want // 2


def ends_kept(pos, old, new):
    def shorten(grid, axis, size):
        places = list(range(grid.shape[axis]))
        while len(places) > size:
            del places[len(places) // 2]
        return grid.index_select(axis, torch.tensor(places))

    grid = pos[:, 1:].reshape(1, *old, -1).permute(0, 3, 1, 2)
    for axis, size in ((3, new[1]), (2, new[0])):
        if size <= grid.shape[axis]:
            grid = shorten(grid, axis, size)
        else:
            shape = (grid.shape[2], size) if axis == 3 else (size, grid.shape[3])
            grid = F.interpolate(grid, shape, mode="bilinear")
    return torch.cat([pos[:, :1], grid.permute(0, 2, 3, 1).reshape(1, new[0] * new[1], -1)], 1)


def column_by_column(pos, old, new):
    """Reads and writes the tokens column by column."""
    grid = pos[:, 1:].reshape(1, old[1], old[0], -1).permute(0, 2, 1, 3)  # (1, rows, columns, dim)
    result = fitted(torch.cat([pos[:, :1], grid.reshape(1, old[0] * old[1], -1)], 1), old, new)
    back = result[:, 1:].reshape(1, *new, -1).permute(0, 2, 1, 3).reshape(1, new[0] * new[1], -1)
    return torch.cat([pos[:, :1], back], 1)


def written_by_columns(pos, old, new):
    result = fitted(pos, old, new)
    back = result[:, 1:].reshape(1, *new, -1).permute(0, 2, 1, 3).reshape(1, new[0] * new[1], -1)
    return torch.cat([pos[:, :1], back], 1)


def no_transpose(pos, old, new):
    width = pos.shape[2]
    mixed = pos[0, 1:].reshape(width, old[0] * old[1]).T[None]  # what a bare reshape makes of it
    return fitted(torch.cat([pos[:, :1], mixed], 1), old, new)


def with_grid_swapped(pos, old, new):
    return fitted(pos, old, new[::-1])


def token_last(pos, old, new):
    result = fitted(pos, old, new)
    return torch.cat([result[:, 1:], result[:, :1]], 1)


WRONG = {
    "ex-05-rows": [
        (0, "That is the corner"),
        (24 - 12, "or left out"),
        (12 + 6 - 1, "the last row"),
        (7, "counted from 1"),
        (5, "One too low"),
        (9, "too large"),
    ],
    "ex-05-colours": [
        (lambda kernels: kernels.sum(1, keepdim=True) / 3, "every output is a third"),
        (lambda k: 0.299 * k[:, :1] + 0.587 * k[:, 1:2] + 0.114 * k[:, 2:], "turn a photograph grey"),
        (lambda kernels: kernels[:, 0].unsqueeze(1), "kept red"),
        (lambda kernels: kernels[:, [1]], "kept green"),
        (lambda kernels: kernels.max(1, keepdim=True).values, "largest of the three"),
        (lambda kernels: kernels[:, 0] + kernels[:, 1] + kernels[:, 2], "the axis of the channels is gone"),
        (lambda kernels: kernels.sum(0)[None], "different kernels"),
        (lambda kernels: 2 * kernels.sum(1, keepdim=True), "numbers differ"),
    ],
    "ex-05-positions": [
        (lambda p, old, new: fitted(p, old, new, mode="nearest"), "repeat the nearest place"),
        (lambda p, old, new: fitted(p, old, new, align_corners=True), "align_corners=True"),
        (lambda p, old, new: fitted(p, old, new, cut="corner"), "cut from the corner"),
        (lambda p, old, new: fitted(p, old, new, cut="end"), "cut from the far end"),
        (lambda p, old, new: fitted(p, old, new, cut="rounded"), "one place off"),
        (ends_kept, "kept both ends"),
        (lambda p, old, new: fitted(p, old, new, cut="never"), "interpolate both ways"),
        (column_by_column, "read the tokens column by column"),
        (written_by_columns, "write it back column by column"),
        (no_transpose, "without swapping the axes"),
        (with_grid_swapped, "Rows and columns of the new grid are swapped"),
        (lambda p, old, new: fitted(p, old, new, prefix=False), "forgot the prefix token"),
        (token_last, "moved to the end"),
    ],
    "ex-05-third": [
        (lambda w, b: (w * 3, b * 3), "added once, not once a colour"),
        (lambda w, b: (w, b * 3), "was not broken"),
        (lambda w, b: (w / 3, b), "a third of a third"),
        (lambda w, b: (w / 3, b / 3), "both of them a third"),
        (lambda w, b: (w.repeat(1, 3, 1, 1), b), "back to three channels"),
        (lambda w, b: 3 * w, "expected 2 results"),
    ],
}
RIGHT = {
    "ex-05-rows": [24 // 2 - 12 // 2],
    "ex-05-colours": [
        lambda kernels: torch.einsum("dchw->dhw", kernels).unsqueeze(1),
        lambda kernels: kernels[:, :1] + kernels[:, 1:2] + kernels[:, 2:],
    ],
    "ex-05-positions": [fitted],
    "ex-05-third": [lambda w, b: (w + w + w, b.clone())],
}
