"""Find out on held-out clips what a network's outputs are worth, and put it into a `Decision`.

Does it hold that of the answers with 90 % nine in ten are right? From which probability on are the answers of a class
right often enough? And which score tells that a sound belongs to none of the classes? `calibrate` answers all three.

The clips must be ones that the network was not trained on, and the result has to be measured on others again.

Chapter: notebooks/08_measuring.ipynb
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from .decisions import DEFAULT_THRESHOLD, Decision, NoneScore, known_score
from .errors import InvalidInput
from .metrics import auc

Array = NDArray[np.float64]
COLDEST, HOTTEST = 0.05, 20.0  # temperatures to search between; an answer at the edge says that there is no best one
LIKELIHOOD_RATIO = 3.84  # 95 % of chi-squared with one degree of freedom
SCORES: tuple[NoneScore, ...] = tuple(kind for kind in get_args(NoneScore) if kind)
INVERSE_PENALTY = 0.1  # C of the logistic regression behind the score "background", on standardised logits
PARTS = 5  # of its cross-validation


class Reliability(NamedTuple):
    """Answers sorted into bins by their probability.

    Attributes:
        edges: `(bins + 1,)`; a bin holds the probabilities above its lower edge, up to and with its upper one.
        answers: `(bins,)` how many answers are in each.
        confidence: `(bins,)` their mean probability; nan in an empty bin.
        accuracy: `(bins,)` the fraction of them that is right; nan in an empty bin.
    """

    edges: Array
    answers: NDArray[np.int_]
    confidence: Array
    accuracy: Array


class CalibrationError(NamedTuple):
    """An expected calibration error, and what is needed to read it.

    Attributes:
        value: as measured. It is too high, above all with few clips: what chance moves counts as error in every bin.
        low: lower end of its interval.
        high: upper end.
        by_chance: the mean value for a network with the same probabilities that are all exactly true.
    """

    value: float
    low: float
    high: float
    by_chance: float


class Thresholds(NamedTuple):
    """For each class the probability from which on its answers are right often enough.

    Attributes:
        values: one per class.
        own: whether the class had clips enough for a threshold of its own; the others use `shared`.
        shared: the threshold for the answers of all classes together.
        reached: whether the wanted precision was reached by `shared`; if not, that is 0.5.
    """

    values: tuple[float, ...]
    own: tuple[bool, ...]
    shared: float
    reached: bool


class Background(NamedTuple):
    """A linear function of the logits that is high for known sounds and low for others.

    Attributes:
        weights: one per class; None for no function at all.
        intercept: what is added to the weighted sum; above 0 a sound is more likely a known one.
    """

    weights: tuple[float, ...] | None
    intercept: float


class Rejection(NamedTuple):
    """How well a score tells known sounds from others, at the threshold that lets few others pass.

    Attributes:
        kind: of the score, see `astlib.decisions.known_score`.
        auroc: how often a known sound has a higher score than another one.
        threshold: a sound below it belongs to none of the classes.
        false_alarms: fraction of the other sounds that pass.
        kept: fraction of the rightly named known sounds that pass.
        weights: of the classes for "background", else None.
        intercept: of "background". A decision's score comes without it, and so does `threshold`.
    """

    kind: NoneScore
    auroc: float
    threshold: float
    false_alarms: float
    kept: float
    weights: tuple[float, ...] | None = None
    intercept: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What `calibrate` found. Everything in it was measured on the clips that it was chosen by.

    Attributes:
        decision: for the folder of the model.
        before: the calibration error at temperature 1.
        after: the same at the chosen temperature.
        best_temperature: the most likely one. The decision has 1 instead if chance explains what it gains.
        log_losses: mean negative log-likelihood before and after.
        thresholds: see `Thresholds`.
        rejections: one for each score that was tried, the best first; empty without sounds of none of the classes.
    """

    decision: Decision
    before: CalibrationError
    after: CalibrationError
    best_temperature: float
    log_losses: tuple[float, float]
    thresholds: Thresholds
    rejections: tuple[Rejection, ...] = ()


# --- does 90 % mean 90 %?


def reliability(confidence: ArrayLike, right: ArrayLike, bins: int = 15, adaptive: bool = False) -> Reliability:
    """Sort answers into bins by their probability, and compare it with the fraction that is right.

    Args:
        confidence: `(answers,)` probabilities.
        right: `(answers,)`, 1 where the answer is right, else 0.
        bins: how many.
        adaptive: bins that hold equally many answers, where False makes bins of equal width.

    Returns:
        The bins.

    Raises:
        InvalidInput: no answers, different lengths, something that is no probability, or no bin.
    """
    p, hit = np.asarray(confidence, dtype=float), np.asarray(right, dtype=float)
    if p.ndim != 1 or p.shape != hit.shape or not len(p):
        raise InvalidInput(f"expected a probability and a 0 or 1 for every answer; found {p.shape} and {hit.shape}")
    if not ((p >= 0) & (p <= 1)).all() or not np.isin(hit, (0, 1)).all():
        raise InvalidInput("probabilities must be from 0 to 1, and whether an answer is right must be 0 or 1")
    if bins < 1:
        raise InvalidInput(f"there must be at least one bin; found {bins}")
    edges = np.linspace(0, 1, bins + 1)
    if adaptive:
        edges[1:-1] = np.quantile(p, edges[1:-1])
    place = np.searchsorted(edges[1:-1], p)  # (answers,)
    answers = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(place, weights=values, minlength=bins) / answers for values in (p, hit)]
    return Reliability(edges, answers, *means)


def expected_calibration_error(
    confidence: ArrayLike, right: ArrayLike, bins: int = 15, adaptive: bool = False
) -> float:
    """Average over the answers how far the probability of their bin is from the fraction that is right (ECE).

    Source: Naeini, Cooper, Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015;
    15 bins of equal width as in Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.

    Args:
        confidence: `(answers,)` probabilities.
        right: `(answers,)`, 1 where the answer is right, else 0.
        bins: how many.
        adaptive: bins that hold equally many answers.

    Returns:
        A number from 0 to 1.

    Raises:
        InvalidInput: as in `reliability`.
    """
    found = reliability(confidence, right, bins, adaptive)
    there = found.answers > 0
    gaps = np.abs(found.confidence - found.accuracy)[there]
    return float((found.answers[there] * gaps).sum() / found.answers.sum())


def calibration_error(
    confidence: ArrayLike, right: ArrayLike, bins: int = 15, draws: int = 1000, seed: int = 0
) -> CalibrationError:
    """Compute the expected calibration error with a 95 % interval and with the value that chance alone gives.

    The estimate is biased upwards, and resampled it is biased twice. So the interval is the reflected ("basic")
    bootstrap, which moves it down again; in simulations with 200 to 2,000 clips it held the true value in about nine
    cases of ten. Where the true error is 0 no interval of this kind does: compare the value with `by_chance`.

    Args:
        confidence: `(answers,)` probabilities.
        right: `(answers,)`, 1 where the answer is right, else 0.
        bins: of equal width.
        draws: of the bootstrap, and of networks that are right by chance alone.
        seed: of the draws.

    Returns:
        The error with its interval.

    Raises:
        InvalidInput: as in `reliability`.
    """
    value = expected_calibration_error(confidence, right, bins)
    p, hit, rng = np.asarray(confidence, dtype=float), np.asarray(right, dtype=float), np.random.default_rng(seed)
    place = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], p)

    def error(rows: NDArray[np.intp], hits: Array) -> float:  # the gap of a bin times its answers is a plain sum
        return float(np.abs(np.bincount(place[rows], weights=p[rows] - hits, minlength=bins)).sum() / len(rows))

    everyone = np.arange(len(p))
    lucky = [error(everyone, (rng.random(len(p)) < p).astype(float)) for _ in range(draws)]
    drawn = [error(rows, hit[rows]) for rows in rng.integers(len(p), size=(draws, len(p)))]
    low, high = (float(max(0.0, 2 * value - end)) for end in np.quantile(drawn, [0.975, 0.025]))
    return CalibrationError(value, low, high, float(np.mean(lucky)))


def answers_of(probabilities: Tensor, targets: Tensor, multi_label: bool) -> tuple[Array, Array]:
    """List the answers of a network, and which of them are right.

    Args:
        probabilities: `(clips, classes)`.
        targets: `(clips, classes)`, 0 or 1.
        multi_label: True: each class of each clip is an answer, and it is right where the class is there. False: the
            most probable class of a clip is its answer.

    Returns:
        Probability of each answer, and 1 where it is right, else 0.
    """
    if multi_label:
        return probabilities.flatten().double().numpy(), targets.flatten().double().numpy()
    confidence, answer = probabilities.max(dim=1)
    return confidence.double().numpy(), targets.gather(1, answer[:, None])[:, 0].double().numpy()


def log_loss(logits: Tensor, targets: Tensor, multi_label: bool, temperature: float = 1.0) -> float:
    """Compute the mean negative log-likelihood of the right answers, in nats.

    Args:
        logits: `(clips, classes)`.
        targets: `(clips, classes)`, 0 or 1.
        multi_label: sigmoid and binary cross-entropy, where False is softmax and cross-entropy.
        temperature: the logits are divided by it.

    Returns:
        The mean over clips, and for a multi-label network over classes.
    """
    scaled, wanted = logits.double() / temperature, targets.double()
    if multi_label:
        return F.binary_cross_entropy_with_logits(scaled, wanted).item()
    return F.cross_entropy(scaled, wanted / wanted.sum(dim=1, keepdim=True)).item()


def fit_temperature(logits: Tensor, targets: Tensor, multi_label: bool) -> float:
    """Find the temperature at which the right answers of held-out clips are most likely (Guo et al., ICML 2017).

    The log-likelihood has one maximum over the inverse temperature, so halving an interval finds it.

    Args:
        logits: `(clips, classes)`.
        targets: `(clips, classes)`, 0 or 1.
        multi_label: as in `log_loss`.

    Returns:
        The temperature, from 0.05 to 20. Above 1 the network was too sure of itself, below 1 not sure enough.
    """
    low, high = math.log(COLDEST), math.log(HOTTEST)
    golden = (math.sqrt(5) - 1) / 2
    while high - low > 1e-4:
        left, right = high - golden * (high - low), low + golden * (high - low)
        losses = [log_loss(logits, targets, multi_label, math.exp(place)) for place in (left, right)]
        low, high = (low, right) if losses[0] <= losses[1] else (left, high)
    return math.exp((low + high) / 2)


# --- from which probability on?


def lower_bound(right: ArrayLike, answers: ArrayLike, confidence: float = 0.9) -> Array:
    """Compute the fraction that is right at least, one-sided (Wilson, JASA 1927).

    Args:
        right: how many answers are right; numbers of any shape.
        answers: how many there are, 1 or more.
        confidence: that the true fraction is not below the bound.

    Returns:
        The bound for each, at most the observed fraction.
    """
    n = np.asarray(answers, dtype=float)
    fraction, z = np.asarray(right, dtype=float) / n, NormalDist().inv_cdf(confidence)
    half = np.sqrt(fraction * (1 - fraction) / n + (z / (2 * n)) ** 2)
    bound = (fraction + z**2 / (2 * n) - z * half) / (1 + z**2 / n)
    return np.asarray(np.minimum(fraction, bound.clip(0, 1)))


def clips_without_a_mistake(precision: float) -> int:
    """Count the right answers without a wrong one that it takes to show a precision.

    Args:
        precision: between 0 and 1.

    Returns:
        The smallest number whose `lower_bound` reaches the precision.
    """
    return next(n for n in range(1, 10**6) if lower_bound(n, n) >= precision)


def choose_thresholds(probabilities: Tensor, targets: Tensor, precision: float = 0.9) -> Thresholds:
    """Choose for each class the lowest threshold at which its precision is very likely what is wanted.

    Very likely means that the one-sided 90 % bound (`lower_bound`) reaches it: 15 clips without a mistake are needed
    for a precision of 90 %. A class that does not get there uses the threshold of all classes together.

    Args:
        probabilities: `(clips, classes)` of clips that the network was not trained on.
        targets: `(clips, classes)`, 0 or 1.
        precision: the wanted fraction of right answers among those at or above the threshold, between 0 and 1.

    Returns:
        The thresholds.

    Raises:
        InvalidInput: other shapes, or a precision out of range.
    """
    if probabilities.ndim != 2 or probabilities.shape != targets.shape or not 0 < precision < 1:
        raise InvalidInput(
            "expected probabilities and targets, both (clips, classes), and a precision between 0 and 1; found "
            f"{tuple(probabilities.shape)}, {tuple(targets.shape)} and {precision}"
        )
    scores, hits = probabilities.double().numpy(), targets.double().numpy()
    together = _lowest(scores.ravel(), hits.ravel(), precision)
    shared = DEFAULT_THRESHOLD if together is None else together
    each = [_lowest(scores[:, c], hits[:, c], precision) for c in range(scores.shape[1])]
    values = tuple(shared if value is None else value for value in each)
    return Thresholds(values, tuple(value is not None for value in each), shared, together is not None)


def _lowest(score: Array, hit: Array, precision: float) -> float | None:
    """The lowest threshold whose bound reaches the precision; None if none does."""
    order = np.argsort(-score, kind="stable")
    score, above = score[order], np.arange(1, len(score) + 1)
    good = lower_bound(np.cumsum(hit[order]), above) >= precision
    good[:-1] &= score[:-1] != score[1:]  # clips with equal scores pass together
    return float(score[np.flatnonzero(good)[-1]]) if good.any() else None


# --- none of these


def fit_background(known: Tensor, none: Tensor) -> Background:
    """Learn to tell known sounds from others by a weighted sum of the logits, a logistic regression.

    Both groups count the same, however many sounds they have. The weights know the sounds they were learned from:
    words that were never heard will do, engines will not if all the others were words.

    Args:
        known: `(n, classes)` logits of sounds of the classes.
        none: `(m, classes)` logits of sounds that belong to none of them.

    Returns:
        Weights and intercept.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    x = torch.cat([known, none]).double().numpy()
    scaler = StandardScaler().fit(x)
    is_known = np.arange(len(x)) < len(known)
    line = LogisticRegression(C=INVERSE_PENALTY, class_weight="balanced", max_iter=2000)
    line.fit(scaler.transform(x), is_known)
    weights = line.coef_[0] / scaler.scale_
    return Background(tuple(weights.tolist()), float(line.intercept_[0] - weights @ scaler.mean_))


def held_out_background(known: Tensor, none: Tensor, seed: int = 0) -> tuple[Array, Array]:
    """Compute the score "background" of each sound with weights that were learned without it, in five parts.

    Args:
        known: `(n, classes)` logits, five sounds or more.
        none: `(m, classes)` logits, five sounds or more.
        seed: of the division.

    Returns:
        `(n,)` and `(m,)`, with the intercept.
    """
    rng, found = np.random.default_rng(seed), (np.empty(len(known)), np.empty(len(none)))
    parts = [rng.permutation(np.arange(len(group)) % PARTS) for group in (known, none)]
    for part in range(PARTS):
        line = fit_background(known[parts[0] != part], none[parts[1] != part])
        for group, mine, scores in zip((known, none), parts, found, strict=True):
            there = group[mine == part]
            scores[mine == part] = known_score(there, "background", line.weights).numpy() + line.intercept
    return found


def compare_scores(
    known: Tensor, right: ArrayLike, none: Tensor | Sequence[Tensor], false_alarms: float = 0.05, seed: int = 0
) -> tuple[Rejection, ...]:
    """Compare the scores by how many known sounds stay at a threshold that lets few others pass.

    The threshold is as low as it may be for the upper end of a one-sided 90 % interval of the false alarms to be at
    most `false_alarms`, for every kind of others.

    Args:
        known: `(n, classes)` logits of sounds of the classes.
        right: `(n,)`, 1 where the network names the sound rightly, else 0.
        none: `(m, classes)` logits of sounds that belong to none of them; several tensors for several kinds of sounds.
        false_alarms: the largest fraction of each kind that may pass.
        seed: of the cross-validation of "background".

    Returns:
        One for each score, the one that keeps most first.

    Raises:
        InvalidInput: too few sounds to tell.
    """
    kinds = [none] if isinstance(none, Tensor) else list(none)
    allowed = [_most_alarms(len(one), false_alarms) for one in kinds]
    none, ends = torch.cat(kinds), np.cumsum([len(one) for one in kinds])[:-1]
    named = np.asarray(right, dtype=bool)
    if len(known) < PARTS or len(none) < PARTS or not named.any():
        raise InvalidInput(
            f"at least {PARTS} known sounds, some of them named rightly, and {PARTS} others are needed; found "
            f"{len(known)} and {len(none)}"
        )
    found = []
    for kind in SCORES:
        line = Background(None, 0.0)
        if kind == "background":
            inside, outside = held_out_background(known, none, seed)
            line = fit_background(known, none)
        else:
            inside, outside = known_score(known, kind).numpy(), known_score(none, kind).numpy()
        edge = max(_above(inside, one, most) for one, most in zip(np.split(outside, ends), allowed, strict=True))
        is_known = (np.arange(len(inside) + len(outside)) < len(inside))[:, None]
        area = float(auc(is_known, np.concatenate([inside, outside])[:, None])[0])
        kept = float((inside >= edge)[named].mean())
        alarms = float((outside >= edge).mean())
        found.append(Rejection(kind, area, edge - line.intercept, alarms, kept, *line))
    return tuple(sorted(found, key=lambda one: -one.kept))


def _most_alarms(sounds: int, fraction: float) -> int:
    """How many of so many sounds may pass, so that the true fraction is very likely at most the given one."""
    if not 0 < fraction < 1:
        raise InvalidInput(f"the fraction of false alarms must be between 0 and 1; found {fraction}")
    passing = np.arange(sounds) if sounds else np.zeros(0)
    fine = np.flatnonzero(lower_bound(sounds - passing, max(sounds, 1)) >= 1 - fraction)
    if not len(fine):
        needed = clips_without_a_mistake(1 - fraction)
        raise InvalidInput(
            f"{sounds} sounds that belong to none of the classes cannot show that at most {fraction:.0%} of such "
            f"sounds pass: give {needed} or more"
        )
    return int(fine[-1])


def _above(inside: Array, outside: Array, allowed: int) -> float:
    """A threshold that `allowed` of the outside scores pass, in the middle between two scores."""
    first_refused = float(np.sort(outside)[::-1][allowed])
    both = np.concatenate([inside, outside])
    higher = both[both > first_refused]
    return (first_refused + float(higher.min())) / 2 if len(higher) else first_refused + 1.0


# --- everything together


def calibrate(
    logits: Tensor,
    targets: Tensor,
    multi_label: bool,
    none: Tensor | Sequence[Tensor] | None = None,
    precision: float = 0.9,
    false_alarms: float = 0.05,
    keep: float = 0.9,
    seed: int = 0,
) -> Calibration:
    """Choose temperature, thresholds and the score for "none of these" from the outputs on held-out clips.

    Args:
        logits: `(clips, classes)` of clips that the network was not trained on.
        targets: `(clips, classes)`, 0 or 1.
        multi_label: True if several classes may be present at once.
        none: `(sounds, classes)` logits of sounds that belong to none of the classes; several tensors for several
            kinds of sounds; None leaves the question out.
        precision: wanted of the answers at or above their threshold.
        false_alarms: the largest fraction of each kind of such sounds that may get a class.
        keep: the smallest fraction of the rightly named clips that must keep their name. A score that cannot do both
            does not get into the decision.
        seed: of all draws.

    Returns:
        The decision, and what it rests on.

    Raises:
        InvalidInput: shapes that do not belong together, or too few sounds.
    """
    if logits.ndim != 2 or logits.shape != targets.shape or not len(logits):
        raise InvalidInput(
            "expected logits and targets, both (clips, classes), of at least one clip; found "
            f"{tuple(logits.shape)} and {tuple(targets.shape)}"
        )
    best = fit_temperature(logits, targets, multi_label)
    gain = log_loss(logits, targets, multi_label) - log_loss(logits, targets, multi_label, best)
    counted = targets.numel() if multi_label else len(targets)
    temperature = best if 2 * counted * gain > LIKELIHOOD_RATIO else 1.0
    plain, tempered = Decision(), Decision(temperature=temperature)
    errors = [
        calibration_error(*answers_of(decision.probabilities(logits, multi_label), targets, multi_label), seed=seed)
        for decision in (plain, tempered)
    ]
    thresholds = choose_thresholds(tempered.probabilities(logits, multi_label), targets, precision)
    rejections: tuple[Rejection, ...] = ()
    score: NoneScore = ""
    if none is not None:
        _, right = answers_of(logits, targets, multi_label=False)
        rejections = compare_scores(logits, right, none, false_alarms, seed)
        score = rejections[0].kind if rejections[0].kept >= keep else ""
    decision = Decision(
        temperature=temperature,
        thresholds=thresholds.values if thresholds.reached or any(thresholds.own) else None,
        none_score=score,
        none_threshold=rejections[0].threshold if score else None,
        none_weights=rejections[0].weights if score else None,
    )
    losses = [log_loss(logits, targets, multi_label, t) for t in (1.0, temperature)]
    return Calibration(
        decision=decision,
        before=errors[0],
        after=errors[1],
        best_temperature=best,
        log_losses=(losses[0], losses[1]),
        thresholds=thresholds,
        rejections=rejections,
    )
