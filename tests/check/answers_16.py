"""Answers to the exercises of chapter 16, as readers might hand them in, written apart from the checker's own list."""

import torch


def right_time(tokens, inputs, outputs, peak, bandwidth):
    arithmetic = 2 * tokens * inputs * outputs / peak
    numbers = tokens * (inputs + outputs) + inputs * outputs
    transport = 4 * numbers / bandwidth
    return arithmetic if arithmetic > transport else transport


def as_tensor(tokens, inputs, outputs, peak, bandwidth):
    return torch.tensor(right_time(tokens, inputs, outputs, peak, bandwidth), dtype=torch.float64)


def both_added(n, i, o, peak, bandwidth):
    return 2 * n * i * o / peak + 4 * (n * i + i * o + n * o) / bandwidth


def shorter(n, i, o, peak, bandwidth):
    return min(2 * n * i * o / peak, 4 * (n * i + i * o + n * o) / bandwidth)


def one_operation(n, i, o, peak, bandwidth):
    return max(n * i * o / peak, 4 * (n * i + i * o + n * o) / bandwidth)


def one_byte(n, i, o, peak, bandwidth):
    return max(2 * n * i * o / peak, (n * i + i * o + n * o) / bandwidth)


def without_weights(n, i, o, peak, bandwidth):
    return max(2 * n * i * o / peak, 4 * n * (i + o) / bandwidth)


def without_output(n, i, o, peak, bandwidth):
    return max(2 * n * i * o / peak, 4 * i * (n + o) / bandwidth)


def right_mask(columns, grid):
    f, t = grid
    mask = torch.zeros(len(columns), 2 + f * t, dtype=torch.bool)
    mask[:, :2] = True
    for clip, real in enumerate(columns.tolist()):
        for row in range(f):
            mask[clip, 2 + row * t : 2 + row * t + real] = True
    return mask


def by_columns(columns, grid):
    f, t = grid
    mask = torch.zeros(len(columns), 2 + f * t, dtype=torch.bool)
    mask[:, :2] = True
    for clip, real in enumerate(columns.tolist()):
        for column in range(real):
            mask[clip, 2 + column * f : 2 + column * f + f] = True
    return mask


def head_of_the_list(columns, grid):
    width = 2 + grid[0] * grid[1]
    return torch.stack([torch.arange(width) < 2 + grid[0] * c for c in columns])


WRONG = {
    "ex-16-count": [
        (0.2085, "share of the operations"),
        (1.2085, "You added the share"),
        (1.1317, "one of attention's two products"),
        (1.79, "The MLP is missing"),
        (3, "too large"),
    ],
    "ex-16-order": [("other", "place of a token"), ("structured", "positions added"), ("slower", "same, and so")],
    "ex-16-roofline": [
        (both_added, "the longer one counts"),
        (shorter, "the shorter time"),
        (one_operation, "two operations"),
        (one_byte, "a float32 has four"),
        (without_weights, "weights have to be read"),
        (without_output, "output has to be written"),
    ],
    "ex-16-mask": [
        (lambda columns, grid: ~right_mask(columns, grid), "may be seen"),
        (lambda columns, grid: right_mask(columns, grid)[:, 2:], "missing in front"),
        (lambda columns, grid: right_mask((columns + 1).clamp(max=grid[1]), grid), "One column too many"),
        (by_columns, "time changes fastest"),
        (head_of_the_list, "time changes fastest"),
    ],
}
RIGHT = {"ex-16-roofline": [right_time, as_tensor], "ex-16-mask": [right_mask], "ex-16-count": [1.2634]}
