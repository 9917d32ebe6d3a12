"""Answers to the exercises of chapter 18, as readers might hand them in, written apart from the checker's own list."""

import math

import torch


def log_probabilities(z):
    return z - z.exp().sum(dim=1, keepdim=True).log()


def direction(v, d):
    return 1 - (v * d).sum(dim=1) / (v.norm(dim=1) * d.norm(dim=1))


def right_loss(v, z, y, q, d, alpha, beta):
    logs = log_probabilities(z)
    half = y / y.sum(dim=1, keepdim=True)
    return -((half + alpha * q) * logs).sum(dim=1) + beta * direction(v, d)


def labels_not_halved(v, z, y, q, d, alpha, beta):
    logs = log_probabilities(z)
    return -((y + alpha * q) * logs).sum(dim=1) + beta * direction(v, d)


def one_number(v, z, y, q, d, alpha, beta):
    return right_loss(v, z, y, q, d, alpha, beta).mean()


def best_class_only(v, z, y, q, d, alpha, beta):
    hard = torch.eye(q.shape[1])[q.argmax(dim=1)]
    return right_loss(v, z, y, hard, d, alpha, beta)


def student_as_target(v, z, y, q, d, alpha, beta):
    half = y / y.sum(dim=1, keepdim=True)
    labels = -(half * log_probabilities(z)).sum(dim=1)
    return labels - alpha * (z.softmax(dim=1) * q.log()).sum(dim=1) + beta * direction(v, d)


def rewards_apart(v, z, y, q, d, alpha, beta):
    logs = log_probabilities(z)
    half = y / y.sum(dim=1, keepdim=True)
    return -((half + alpha * q) * logs).sum(dim=1) + beta * (1 - direction(v, d))


def distances(v, z, y, q, d, alpha, beta):
    logs = log_probabilities(z)
    half = y / y.sum(dim=1, keepdim=True)
    return -((half + alpha * q) * logs).sum(dim=1) + beta * ((v - d) ** 2).sum(dim=1)


def without_weights(v, z, y, q, d, alpha, beta):
    return right_loss(v, z, y, q, d, 1, 1)


WRONG = {
    "ex-18-entropy": [
        (-(0.7 * math.log2(0.7) + 0.2 * math.log2(0.2) + 0.1 * math.log2(0.1)), "in bits"),
        (-math.log(0.7), "first class alone"),
        (0, "hard target"),
        (1.0986, "one third each"),
        (2.0, "too large"),
    ],
    "ex-18-soften": [
        (lambda z, t: torch.softmax(t * z, dim=1), "You multiplied"),
        (lambda z, t: torch.softmax(z, dim=1) / t, "no longer sum to 1"),
        (lambda z, t: torch.softmax(z / t, dim=0), "over the clips"),
        (lambda z, t: torch.softmax(z, dim=1).pow(1 / t), "What brings them back"),
        (lambda z, t: torch.softmax(z, dim=1), "softmax alone"),
    ],
    "ex-18-epoch": [
        (4.75, "fewer tokens"),
        (4.75 / 4, "never dropped"),
        (66 / 258, "cost of one clip"),
        (4.75 * (66 / 258) ** 2, "Squares"),
        (1 / (4.75 * 66 / 258), "turn it round"),
    ],
    "ex-18-leak": [("A", "No test clip"), ("B", "training folds"), ("D", "flows back")],
    "ex-18-loss": [
        (labels_not_halved, "counts twice"),
        (one_number, "one number for each clip"),
        (best_class_only, "best class"),
        (student_as_target, "wrong way round"),
        (rewards_apart, "must fall"),
        (distances, "length of the vector"),
        (without_weights, "are missing"),
    ],
}
RIGHT = {
    "ex-18-entropy": [0.8018, 0.802],
    "ex-18-soften": [lambda z, t: (p := torch.softmax(z, dim=1) ** (1 / t)) / p.sum(dim=1, keepdim=True)],
    "ex-18-epoch": [1.215],
    "ex-18-loss": [right_loss],
}
