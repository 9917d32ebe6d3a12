"""Answers to the exercises of chapter 17, as readers might hand them in, written apart from the checker's own list."""

import torch


def right_rows(weights):
    q, scales = torch.zeros_like(weights), torch.ones(len(weights))
    for i, row in enumerate(weights):
        largest = float(row.abs().max())
        if largest:
            scales[i] = largest / 127
            q[i] = torch.round(row / scales[i])
    return q, scales


def as_int8(weights):
    q, scales = right_rows(weights)
    return q.to(torch.int8), scales


def guarded(largest, steps):
    return torch.where(largest == 0, torch.tensor(1.0), largest / steps)


def one_scale(weights):
    scale = weights.abs().max() / 127
    return torch.round(weights / scale), scale.repeat(len(weights))


def unguarded(weights):
    scale = weights.abs().max(dim=1).values / 127
    return torch.round(weights / scale[:, None]), scale


def no_magnitude(weights):
    scale = guarded(weights.max(dim=1).values.clamp(min=0), 127)
    return torch.round(weights / scale[:, None]), scale


def by_128(weights):
    scale = guarded(weights.abs().max(dim=1).values, 128)
    return torch.round(weights / scale[:, None]), scale


def by_128_clipped(weights):
    q, scale = by_128(weights)
    return q.clip(-128, 127), scale


def truncated(weights):
    scale = guarded(weights.abs().max(dim=1).values, 127)
    return (weights / scale[:, None]).to(torch.int8), scale


def restored(weights):
    q, scale = right_rows(weights)
    return q * scale[:, None], scale


WRONG = {
    "ex-17-long": [(6, "do not overlap"), (5, "nothing is left out"), (10, "end before"), (12, "a window are left")],
    "ex-17-one": [("onnx", "about class tokens"), ("both", "does not care"), ("neither", "port of AST")],
    "ex-17-night": [("stop", "would be lost"), ("ignore", "ever know"), ("repeat", "still broken")],
    "ex-17-int8": [
        (one_scale, "one scale for the whole matrix"),
        (unguarded, "you divide by it"),
        (no_magnitude, "larger in magnitude"),
        (by_128, "8 bits do not have"),
        (by_128_clipped, "are cut"),
        (truncated, "cut off the decimals"),
        (restored, "restored weights"),
    ],
}
RIGHT = {"ex-17-int8": [right_rows, as_int8]}
