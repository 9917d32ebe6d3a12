"""Answers to the exercises of chapter 14, as readers might hand them in, written apart from the checker's own list."""

import torch


def right_rollout(maps):
    layers, heads, tokens, _ = maps.shape
    total = torch.eye(tokens)
    for layer in range(layers):
        average = sum(maps[layer, head] for head in range(heads)) / heads
        average = average + torch.eye(tokens)
        average = average / average.sum(dim=1, keepdim=True)
        total = average @ total
    return (total[0, 2:] + total[1, 2:]) / 2


def forgot_identity(maps):
    total = torch.eye(maps.shape[-1])
    for layer in maps:
        total = layer.mean(dim=0) @ total
    return total[:2, 2:].mean(dim=0)


def forgot_to_normalise(maps):
    eye = torch.eye(maps.shape[-1])
    total = eye
    for layer in maps:
        total = (layer.mean(dim=0) + eye) @ total
    return total[:2, 2:].mean(dim=0)


def multiplied_from_the_right(maps):
    eye = torch.eye(maps.shape[-1])
    total = eye
    for layer in maps:
        total = total @ ((layer.mean(dim=0) + eye) / 2)
    return total[:2, 2:].mean(dim=0)


def took_columns(maps):
    eye = torch.eye(maps.shape[-1])
    total = eye
    for layer in maps:
        total = (layer.mean(dim=0) + eye) / 2 @ total
    return total[2:, :2].mean(dim=1)


def kept_class_tokens(maps):
    eye = torch.eye(maps.shape[-1])
    total = eye
    for layer in maps:
        total = (layer.mean(dim=0) + eye) / 2 @ total
    return total[:2].mean(dim=0)


def first_token_only(maps):
    eye = torch.eye(maps.shape[-1])
    total = eye
    for layer in maps:
        total = (layer.mean(dim=0) + eye) / 2 @ total
    return total[0, 2:]


def gradient_of(score, mel):
    mel = mel.clone().requires_grad_()
    score(mel).sum().backward()
    return mel.grad


WRONG = {
    "ex-14-class": [("qkv", "depends on the class"), ("softmax", "over the tokens"), ("block", "Where is the head")],
    "ex-14-even": [
        (1 / 2, "after one block"),
        (1 / (2 * 12), "halves what"),
        (0, "What does the shortcut do"),
        (1 / 12, "too large"),
    ],
    "ex-14-cover": [
        (2048, "two highest bins"),
        (1024, "last eight frames"),
        (3072, "counted its cells twice"),
    ],
    "ex-14-rollout": [
        (forgot_identity, "the identity"),
        (forgot_to_normalise, "sum to 2"),
        (multiplied_from_the_right, "wrong order"),
        (took_columns, "columns of the class tokens"),
        (kept_class_tokens, "no place in the picture"),
        (first_token_only, "first class token alone"),
    ],
    "ex-14-gradient": [
        (lambda score, mel, fill: gradient_of(score, mel) * (fill - mel), "would rise"),
        (lambda score, mel, fill: gradient_of(score, mel) * mel, "Covering changes it"),
        (lambda score, mel, fill: gradient_of(score, mel), "for each unit"),
        (lambda score, mel, fill: (gradient_of(score, mel) * (mel - fill)).abs(), "keep the sign"),
    ],
}
RIGHT = {
    "ex-14-even": [2**-12],
    "ex-14-cover": [1024 * 128 - 1016 * 126],
    "ex-14-rollout": [right_rollout],
    "ex-14-gradient": [lambda score, mel, fill: gradient_of(score, mel) * (mel - fill)],
}
