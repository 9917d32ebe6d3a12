"""A few labels: which windows to ask about next, and a head that is trained on the answers in a second.

The vectors stay as they are; only a head is trained on them, by logistic regression. It is the head of chapter 04, a
norm and a linear layer. So it can be put on the network that made the vectors, and `astlib predict` opens the result.

Chapter: notebooks/19_a_thousand_hours.ipynb
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from torch import nn

from .calibrate import choose_thresholds
from .decisions import DEFAULT_THRESHOLD, Decision
from .embeddings import Embeddings, Floats, one_core
from .encoders import ASTEncoder, TeacherEncoder, encoder_of, open_encoder
from .errors import InvalidInput
from .events import Event, Merging, merge
from .metrics import wilson
from .model import AST
from .predict import names_of
from .tagger import Tagger, TaggerConfig

How = Literal["random", "uncertain", "margin", "likely"]
BACKGROUND = "background"  # the class of everything else
UNKNOWN = -1  # in place of a class
INVERSE_PENALTY = 1.0  # C of the logistic regression; over three powers of ten the accuracy hardly depends on it
PARTS = 10  # of cross-validation, at most
WIDER = 8  # times as many windows as wanted are looked at, so that those chosen differ
NEVER = -1e4  # logit of a class without an example
BLOCK_ROWS = 4096  # through a head at a time

Ints = NDArray[np.intp]


# Heads.


def fit_head(vectors: Floats, classes: Ints, count: int, inverse_penalty: float = INVERSE_PENALTY) -> nn.Sequential:
    """Train a head by logistic regression: a norm without parameters of its own, and a linear layer.

    Args:
        vectors: `(n, dim)`.
        classes: `(n,)`, the class of each, 0 to `count` - 1.
        count: number of classes. One that has no example is never answered.
        inverse_penalty: of large weights; smaller is smoother.

    Returns:
        LayerNorm and Linear, `(n, dim)` to `(n, count)` logits.

    Raises:
        InvalidInput: examples of fewer than two classes.
    """
    from sklearn.linear_model import LogisticRegression  # takes seconds, and using a head does not need it

    found = np.unique(classes)
    if len(found) < 2:
        raise InvalidInput(
            f"a head needs examples of two classes or more; found {len(found)}. Also label some windows in which there "
            f'is nothing of interest: "{BACKGROUND}"'
        )
    normed = F.layer_norm(torch.from_numpy(vectors).double(), vectors.shape[1:]).numpy()
    with one_core():
        fitted = LogisticRegression(C=inverse_penalty, max_iter=1000).fit(normed, classes)
    weight, bias = fitted.coef_, fitted.intercept_
    if len(found) == 2:  # scikit-learn has one row of weights then: the log-odds of the second class
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    linear = nn.Linear(vectors.shape[1], count)
    with torch.no_grad():
        linear.weight.zero_()
        linear.bias.fill_(NEVER)
        linear.weight[found] = torch.from_numpy(weight).float()
        linear.bias[found] = torch.from_numpy(bias).float()
    return nn.Sequential(nn.LayerNorm(vectors.shape[1]), linear).eval()


@torch.inference_mode()
def probabilities(head: nn.Module, vectors: Floats | NDArray[np.float16]) -> Floats:
    """Compute the probability of every class for any number of vectors, in bounded memory.

    Args:
        head: LayerNorm and Linear.
        vectors: `(n, dim)`, also a memory map.

    Returns:
        `(n, classes)` float32.
    """
    blocks = [vectors[first : first + BLOCK_ROWS] for first in range(0, len(vectors), BLOCK_ROWS)]
    rows = [head(torch.from_numpy(np.array(block)).float()).softmax(dim=1) for block in blocks]
    found: Floats = torch.cat(rows).numpy()
    return found


class CrossValidation(NamedTuple):
    """Answers for labelled windows, each of a head that had not seen it.

    Args:
        probabilities: `(n, classes)` float32.
        is_grouped: whether the head had not seen any other window of the same recording either.
    """

    probabilities: Floats
    is_grouped: bool


def cross_validate(vectors: Floats, classes: Ints, groups: Ints, count: int) -> CrossValidation:
    """Test a head on its own labels: train on a part of them and answer for the rest, in turn.

    Windows of one recording stay together if each class has examples in two recordings or more.

    Args:
        vectors: `(n, dim)`.
        classes: `(n,)`, the class of each.
        groups: `(n,)`, the recording of each.
        count: number of classes.

    Returns:
        The answers.

    Raises:
        InvalidInput: a class has one example only, or there are fewer than two classes.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    for c in np.unique(classes):
        if (classes == c).sum() < 2:
            raise InvalidInput(f"class {c} has one example; two or more are needed to test a head")
    is_grouped = all(len(np.unique(groups[classes == c])) > 1 for c in np.unique(classes))
    groups = groups if is_grouped else np.arange(len(classes))
    parts = StratifiedGroupKFold(min(PARTS, len(np.unique(groups)), np.bincount(classes).max()))
    found = np.zeros((len(classes), count), np.float32)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")  # it is then missing in some parts
        divisions = list(parts.split(vectors, classes, groups))
    for train, test in divisions:
        if len(np.unique(classes[train])) == 1:
            found[test, classes[train][0]] = 1
        else:
            found[test] = probabilities(fit_head(vectors[train], classes[train], count), vectors[test])
    return CrossValidation(found, is_grouped)


# What to ask about next.


def choose(
    vectors: Floats,
    classes: Ints,
    n: int,
    how: How = "margin",
    seed: int = 0,
    target: int = 0,
    head: nn.Module | None = None,
) -> Ints:
    """Choose windows to ask about: those from whose labels a head learns most, and that differ from one another.

    Args:
        vectors: `(windows, dim)`.
        classes: `(windows,)`, -1 where a window has no label yet.
        n: how many to choose.
        how: "random"; "uncertain", where the most probable class is least probable; "margin", where the two most
            probable classes are closest; "likely", where class `target` is most probable.
        seed: of "random".
        target: the class for "likely".
        head: trained on these labels; None to train one.

    Returns:
        Numbers of windows without a label, `(n,)`, or as many as there are.

    Raises:
        InvalidInput: an unknown way, or labels of fewer than two classes (except for "random").
    """
    how = how_named(how)
    open_ones = np.flatnonzero(classes == UNKNOWN)
    n = min(n, len(open_ones))
    if how == "random":
        return np.sort(np.random.default_rng(seed).choice(open_ones, n, replace=False))
    known = np.flatnonzero(classes != UNKNOWN)
    head = head or fit_head(vectors[known], classes[known], int(classes.max()) + 1)
    with one_core():
        answers = probabilities(head, vectors[open_ones])  # (open, classes)
        best = np.argsort(-interest(answers, how, target), kind="stable")[: WIDER * n]
        return open_ones[best[unlike(vectors[open_ones[best]], n)]]


def how_named(text: str) -> How:
    """Check the name of a way to choose.

    Args:
        text: the name.

    Returns:
        The same.

    Raises:
        InvalidInput: there is no such way.
    """
    known: tuple[How, ...] = get_args(How)
    for name in known:
        if name == text:
            return name
    raise InvalidInput(f"how must be one of {', '.join(known)}; found {text!r}")


def interest(answers: Floats, how: How, target: int = 0) -> Floats:
    """Say how much would be learned from the label of each window.

    Args:
        answers: `(n, classes)` probabilities.
        how: "uncertain", "margin" or "likely", as for `choose`.
        target: the class for "likely".

    Returns:
        `(n,)`, the higher, the more.
    """
    if how == "likely":
        return answers[:, target]
    ordered = np.sort(answers, axis=1)
    return -ordered[:, -1] if how == "uncertain" else ordered[:, -2] - ordered[:, -1]


def unlike(vectors: Floats, n: int) -> Ints:
    """Choose vectors that point in different directions: the first, then always the one farthest from all chosen.

    Args:
        vectors: `(m, dim)`, the most wanted first.
        n: how many, at most `m`.

    Returns:
        Their numbers, in the order in which they were chosen.
    """
    units = F.normalize(torch.from_numpy(np.asarray(vectors, np.float32)), dim=1)
    chosen, nearest = [0], units @ units[0]  # (m,), similarity to the nearest chosen one
    while len(chosen) < n:
        nearest[chosen] = torch.inf
        chosen.append(int(nearest.argmin()))
        nearest = torch.maximum(nearest, units @ units[chosen[-1]])
    return np.array(chosen[:n])


# From labels to a saved model.


class ClassResult(NamedTuple):
    """How well one class is recognised, on labels that the head had not seen.

    Args:
        label: the class.
        labels: number of labelled windows.
        found: how many of them are recognised.
        answered: for how many windows this class is the answer.
    """

    label: str
    labels: int
    found: int
    answered: int


@dataclass(frozen=True)
class Trained:
    """A head, and how good it is.

    Args:
        head: LayerNorm and Linear.
        labels: names of the classes.
        decision: thresholds, if a precision was wanted.
        accuracy: on labels that the head had not seen; nan if that could not be tested.
        interval: of the accuracy, 95 %.
        classes: how well each class is recognised.
        notes: what to know about these numbers.
    """

    head: nn.Sequential
    labels: tuple[str, ...]
    decision: Decision
    accuracy: float
    interval: tuple[float, float]
    classes: tuple[ClassResult, ...]
    notes: tuple[str, ...]


def train_head(vectors: Floats, names: Sequence[str], groups: ArrayLike, precision: float | None = None) -> Trained:
    """Train a head on labelled windows, and test it by cross-validation.

    Args:
        vectors: `(n, dim)`.
        names: `(n,)`, the label of each.
        groups: `(n,)`, the recording of each.
        precision: the fraction of answers that should be right; each class then gets a threshold for it.

    Returns:
        The head, trained on all labels, and its test.

    Raises:
        InvalidInput: fewer than two classes.
    """
    labels = tuple(sorted(set(names), key=lambda name: (name == BACKGROUND, name)))
    classes, group = np.array([labels.index(name) for name in names]), np.asarray(groups)
    head = fit_head(vectors, classes, len(labels))
    notes = (
        []
        if BACKGROUND in labels
        else [f'no window is labelled "{BACKGROUND}": this head gives one of its classes to every sound']
    )
    lonely = [labels[c] for c in range(len(labels)) if (classes == c).sum() < 2]
    if lonely:
        notes.append(f"not tested: {', '.join(lonely)} has one label only")
        return Trained(head, labels, Decision(), float("nan"), (0.0, 1.0), (), tuple(notes))
    tested = cross_validate(vectors, classes, group, len(labels))
    if not tested.is_grouped:
        notes.append("some class has labels in one recording only, so that head and test share recordings: optimistic")
    answers = tested.probabilities.argmax(axis=1)
    found = classes[answers == classes]  # the classes of the windows that were recognised
    results = tuple(
        ClassResult(label, np.sum(classes == c).item(), np.sum(found == c).item(), np.sum(answers == c).item())
        for c, label in enumerate(labels)
    )
    decision = Decision()
    if precision is not None:
        targets = F.one_hot(torch.from_numpy(classes), len(labels)).float()
        chosen = choose_thresholds(torch.from_numpy(tested.probabilities), targets, precision)
        decision = Decision(thresholds=chosen.values, note=f"precision {precision:g} on {len(names)} labels")
        if not chosen.reached:
            notes.append(f"{len(names)} labels do not show a precision of {precision:.0%}: the thresholds stay at 0.5")
    accuracy = float((answers == classes).mean())
    return Trained(head, labels, decision, accuracy, wilson(accuracy, len(names)), results, tuple(notes))


def save_head(trained: Trained, embeddings: Embeddings, out: str | Path) -> Path:
    """Put a head on the network that made the vectors, and save both, for `astlib predict --model`.

    Args:
        trained: the head.
        embeddings: the windows that it was trained on; they know their encoder.
        out: the folder to save to.

    Returns:
        The folder.

    Raises:
        InvalidInput: the encoder of that name is not the one that made these vectors.
        NotFound: it is not there any more.
    """
    plan = embeddings.plan
    encoder = open_encoder(plan.encoder)
    if encoder.digest != plan.digest:
        raise InvalidInput(
            f"{embeddings.folder} was made by {plan.encoder} ({plan.digest[:8]}), and the network of that name is now "
            f"another one ({encoder.digest[:8]}). Embed the sounds again, into another folder"
        )
    with_head(encoder, trained.head, trained.labels, trained.decision).save_pretrained(out)
    return Path(out)


def with_head(
    encoder: ASTEncoder | TeacherEncoder, head: nn.Sequential, labels: Sequence[str], decision: Decision | None = None
) -> AST | Tagger:
    """Build the network that consists of an encoder and a head.

    Args:
        encoder: the encoder.
        head: LayerNorm and Linear, as `fit_head` returns it.
        labels: names of the classes.
        decision: how its logits are to be read; None for `Decision()`.

    Returns:
        The network in eval mode, on the CPU.
    """
    network: AST | Tagger
    if isinstance(encoder, TeacherEncoder):
        network = Tagger(TaggerConfig(label_dim=len(labels), labels=tuple(labels), multi_label=False), encoder.model)
    else:
        body = {name: value for name, value in encoder.model.state_dict().items() if not name.startswith(AST.head)}
        network = AST(encoder.model.cfg.replace(label_dim=len(labels), labels=tuple(labels), multi_label=False))
        network.load_state_dict(body, strict=False)
    network.mlp_head = head
    network.decision = decision or Decision()
    return network.cpu().eval()


@torch.inference_mode()
def calls(model: AST | Tagger, embeddings: Embeddings, merging: Merging | None = None) -> list[Event]:
    """Find all events in recordings that were embedded before, without listening again: only the head is applied.

    Args:
        model: a network with the encoder that made the vectors, as `save_head` saves it.
        embeddings: the windows.
        merging: how windows become events; None for `Merging()`.

    Returns:
        The events of all classes but "background", by file and time: what reaches the thresholds of `model.decision`,
        or 0.5 if it has none.

    Raises:
        InvalidInput: the vectors are those of another encoder.
    """
    if encoder_of(model, "").digest != embeddings.plan.digest:
        made_by = embeddings.plan.encoder
        raise InvalidInput(f"{embeddings.folder} was made by {made_by}, and this model has another encoder")
    decision, names = model.decision, names_of(model)
    wanted = [c for c, name in enumerate(names) if name != BACKGROUND]
    thresholds = decision.thresholds or [DEFAULT_THRESHOLD] * len(names)
    found: list[Event] = []
    for number, file in enumerate(embeddings.files):
        rows = np.flatnonzero(embeddings.file_of == number)
        rows = rows[np.argsort(embeddings.begin_s[rows], kind="stable")]
        logits = model.mlp_head.cpu()(torch.from_numpy(embeddings.vectors(rows)))  # (windows, classes)
        answers = decision.probabilities(logits, model.cfg.multi_label)[:, wanted]
        spans = torch.from_numpy(np.stack([embeddings.begin_s[rows], embeddings.end_s[rows]], axis=1).astype(float))
        heard = ~decision.is_none(logits)
        labels, limits = [names[c] for c in wanted], [thresholds[c] for c in wanted]
        found += merge(file, spans, answers, labels, limits, merging, heard)
    return found
