"""The metrics against scikit-learn, ties and empty classes included."""

import math
import warnings
from statistics import NormalDist

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    confusion_matrix,
    roc_auc_score,
)

from astlib import metrics

SHAPES = st.tuples(st.integers(1, 30), st.integers(1, 4))


@st.composite
def problems(draw):
    """Targets, and scores with few different values, so that ties are many."""
    shape = draw(SHAPES)
    targets = draw(arrays(np.float64, shape, elements=st.sampled_from([0.0, 1.0])))
    values = draw(st.sampled_from([[0.5], [0.0, 1.0], [-2.0, 0.0, 1e-9, 3.0], list(np.linspace(0, 1, 50))]))
    return targets, draw(arrays(np.float64, shape, elements=st.sampled_from(values)))


@settings(deadline=None, max_examples=150)
@given(problems())
def test_average_precision_is_scikit_learns(problem):
    targets, scores = problem
    ours = metrics.average_precision(targets, scores)
    for k, value in enumerate(ours):
        if targets[:, k].any():
            assert value == pytest.approx(average_precision_score(targets[:, k], scores[:, k]), abs=1e-9)
        else:
            assert math.isnan(value)


@settings(deadline=None, max_examples=150)
@given(problems())
def test_auc_is_scikit_learns(problem):
    targets, scores = problem
    ours = metrics.auc(targets, scores)
    for k, value in enumerate(ours):
        if 0 < targets[:, k].sum() < len(targets):
            assert value == pytest.approx(roc_auc_score(targets[:, k], scores[:, k]), abs=1e-9)
        else:
            assert math.isnan(value)


@settings(deadline=None, max_examples=50)
@given(problems())
def test_only_the_order_of_the_scores_counts(problem):
    targets, scores = problem
    assume(targets.any())
    other = np.exp(scores)  # another scale, the same order
    assert metrics.all_metrics(targets, other) == pytest.approx(metrics.all_metrics(targets, scores), nan_ok=True)


def test_many_clips_and_classes_at_once():
    rng = np.random.default_rng(0)
    targets = (rng.random((3000, 60)) < 0.05).astype(float)
    scores = (targets + rng.standard_normal(targets.shape)).astype(np.float32)
    found = metrics.all_metrics(targets, scores)
    assert found["mAP"] == pytest.approx(average_precision_score(targets, scores), abs=1e-6)
    assert found["mAUC"] == pytest.approx(roc_auc_score(targets, scores), abs=1e-6)
    assert found["d_prime"] == pytest.approx(math.sqrt(2) * NormalDist().inv_cdf(found["mAUC"]))


def test_accuracy_is_scikit_learns():
    rng = np.random.default_rng(0)
    truth, scores = rng.integers(0, 5, 200), rng.standard_normal((200, 5))
    assert metrics.accuracy(np.eye(5)[truth], scores) == accuracy_score(truth, scores.argmax(1))


def test_accuracy_with_several_labels():
    targets = np.array([[1, 1, 0], [0, 1, 1]])
    assert metrics.accuracy(targets, [[0, 1, 0], [1, 0, 0]]) == 0.5


def test_classes_that_cannot_be_measured_are_left_out_and_counted():
    targets = np.array([[1, 0, 1, 1], [0, 0, 1, 0], [0, 0, 1, 1]])
    scores = np.array([[0.9, 0.1, 0.2, 0.1], [0.2, 0.3, 0.3, 0.2], [0.1, 0.2, 0.1, 0.3]])
    assert np.isnan(metrics.average_precision(targets, scores)).tolist() == [False, True, False, False]
    assert np.isnan(metrics.auc(targets, scores)).tolist() == [False, True, True, False]
    found = metrics.all_metrics(targets, scores)
    assert found["classes_without_positives"] == 1
    assert found["mAUC"] == 0.75 and found["mAP"] == pytest.approx((1 + 1 + 5 / 6) / 3)


def test_nothing_to_measure_is_nan_without_a_warning(recwarn):
    found = metrics.all_metrics(np.zeros((3, 2)), np.random.default_rng(0).random((3, 2)))
    assert math.isnan(found["mAP"]) and math.isnan(found["mAUC"]) and math.isnan(found["d_prime"])
    assert found["classes_without_positives"] == 2 and not recwarn.list


@pytest.mark.parametrize(("scores", "expected"), [([0, 1], math.inf), ([1, 0], -math.inf), ([1, 1], 0.0)])
def test_d_prime_at_its_ends(scores, expected):
    assert metrics.d_prime(np.array([[0], [1]]), np.array(scores)[:, None]) == expected


def test_the_originals_d_prime():
    """The log of its 0.4495 model has a mean AUC of 0.974766 and a d' of 2.766179."""
    scores, targets = np.arange(500_001.0)[:, None], np.zeros((500_001, 1))
    targets[487_383] = 1  # scores higher than 0.974766 of all others
    assert metrics.mean_auc(targets, scores) == 0.974766
    assert metrics.d_prime(targets, scores) == pytest.approx(2.766179, abs=2e-5)


def test_tensors_of_any_kind_give_plain_numbers():
    targets = torch.eye(4)[[0, 1, 2, 3, 0]]
    scores = torch.randn(5, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    expected = metrics.all_metrics(targets.numpy(), scores.detach().numpy())
    assert metrics.all_metrics(targets, scores) == expected
    assert metrics.all_metrics(targets.bfloat16(), scores.double()) == expected
    assert {type(value) for value in expected.values()} <= {float, int}
    assert metrics.mean_average_precision(targets, scores) == expected["mAP"]
    assert metrics.mean_auc(targets, scores) == expected["mAUC"]
    assert metrics.d_prime(targets, scores) == expected["d_prime"]
    assert metrics.accuracy(targets, scores) == expected["accuracy"]


@pytest.mark.parametrize(
    ("targets", "scores", "message"),
    [
        (np.zeros((3, 2)), np.zeros((3, 4)), r"\(3, 2\) and \(3, 4\)"),
        (np.zeros(3), np.zeros(3), r"must both be \(clips, classes\)"),
        (np.zeros((0, 2)), np.zeros((0, 2)), "at least one"),
        (np.full((3, 2), 0.4), np.zeros((3, 2)), "soft targets"),
        (np.zeros((3, 2)), np.array([[0, 0], [0, np.nan], [0, 0]]), "1 clips have NaN scores, first clip 1"),
    ],
)
def test_errors_explain(targets, scores, message):
    for function in (metrics.all_metrics, metrics.mean_average_precision, metrics.accuracy):
        with pytest.raises(ValueError, match=message):
            function(targets, scores)


def classified(clips, accuracy, groups=1, seed=0):
    """Targets and scores of one class out of three a clip, right with that chance; `groups` clips share their fate."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, clips)
    right = np.repeat(rng.random(-(-clips // groups)) < accuracy, groups)[:clips]
    return np.eye(3)[truth], np.eye(3)[np.where(right, truth, (truth + 1) % 3)]


def ranked(clips, classes, apart, seed=0):
    rng = np.random.default_rng(seed)
    targets = np.eye(classes)[rng.integers(0, classes, clips)]
    return targets, apart * targets + rng.standard_normal(targets.shape)


@given(st.integers(1, 5000), st.data())
def test_wilson_is_scipys(clips, data):
    right = data.draw(st.integers(0, clips))
    expected = scipy.stats.binomtest(right, clips).proportion_ci(method="wilson")
    assert metrics.wilson(right / clips, clips) == pytest.approx(tuple(expected), abs=1e-12)


@pytest.mark.parametrize(("fraction", "clips"), [(81.5, 400), (-0.1, 400), (0.5, 0), (math.nan, 400)])
def test_wilson_wants_a_fraction(fraction, clips):
    with pytest.raises(ValueError, match="expected a fraction from 0 to 1"):
        metrics.wilson(fraction, clips)


@pytest.mark.parametrize("name", ["accuracy", "mean_average_precision", "mean_auc"])
def test_bootstrap_is_scipys(name):
    """Other draws, so the ends agree up to the noise of 2,000 draws: a tenth of the interval is four times that."""
    targets, scores = ranked(200, 4, 1.5)
    metric = getattr(metrics, name)
    ours = metrics.bootstrap(targets, scores, metric, n=2000)
    theirs = scipy.stats.bootstrap(
        (np.arange(200),), lambda clips: metric(targets[clips], scores[clips]), n_resamples=2000,
        method="percentile", vectorized=False, rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    assert ours == pytest.approx(tuple(theirs), abs=(theirs[1] - theirs[0]) / 10)


def coverage(groups, by_group):
    """How often the interval holds the true accuracy of 0.8, in 200 test sets of 160 clips."""
    names, held = np.arange(160) // groups, 0
    for seed in range(200):
        targets, scores = classified(160, 0.8, groups, seed)
        low, high = metrics.bootstrap(targets, scores, metrics.accuracy, 200, names if by_group else None, seed)
        held += low <= 0.8 <= high
    return held / 200


def test_a_95_percent_interval_holds_the_truth_about_so_often():
    """Of 200 intervals that hold it with chance 0.95 (0.93 for draws of 160), fewer than 0.88 do about once in 500."""
    assert 0.88 <= coverage(groups=1, by_group=False) <= 0.99


def test_clips_of_one_recording_make_it_too_narrow_unless_recordings_are_drawn():
    assert coverage(groups=4, by_group=False) < 0.8
    assert 0.86 <= coverage(groups=4, by_group=True) <= 0.99


def test_bootstrap_of_map_with_few_positives_covers_as_documented():
    targets, scores = ranked(50_000, 20, 3.0, seed=1)
    truth, held = metrics.mean_average_precision(targets, scores), 0
    for seed in range(100):
        low, high = metrics.bootstrap(*ranked(160, 20, 3.0, seed), metrics.mean_average_precision, n=100)
        held += low <= truth <= high
    assert 0.78 <= held / 100 <= 0.98


def test_bootstrap_follows_its_seed_and_takes_tensors():
    targets, scores = ranked(60, 3, 1.0)
    first = metrics.bootstrap(targets, scores, metrics.mean_auc, n=50)
    assert metrics.bootstrap(torch.tensor(targets), torch.tensor(scores), metrics.mean_auc, n=50) == first
    assert metrics.bootstrap(targets, scores, metrics.mean_auc, n=50, groups=range(60)) == first
    assert metrics.bootstrap(targets, scores, metrics.mean_auc, n=50, seed=1) != first


def test_groups_are_drawn_whole():
    """Two recordings, one all right and one all wrong: a draw is one, the other or both."""
    targets, scores = np.eye(2)[[0] * 6], np.eye(2)[[0, 1, 0, 1, 0, 0]]
    groups, seen = ["a", "b", "a", "b", "a", "a"], []

    def metric(targets, scores):
        seen.append(metrics.accuracy(targets, scores))
        return seen[-1]

    assert metrics.bootstrap(targets, scores, metric, n=200, groups=groups) == (0.0, 1.0)
    assert set(seen) == {0.0, 4 / 6, 1.0}


def test_bootstrap_of_d_prime_may_end_at_infinity():
    targets, scores = np.array([[1.0], [1], [0], [0], [0]]), np.array([[3.0], [1], [2], [0], [0]])
    low, high = metrics.bootstrap(targets, scores, metrics.d_prime, n=200)
    assert math.isfinite(low) and high == math.inf


def test_paired_bootstrap_cancels_what_is_hard_for_both():
    targets, scores = ranked(300, 5, 1.5)
    others = scores + 0.3 * targets  # always a little better
    low, high = metrics.paired_bootstrap(targets, scores, others, metrics.accuracy)
    first, second = (metrics.bootstrap(targets, s, metrics.accuracy) for s in (scores, others))
    assert first[1] > second[0], "the separate intervals overlap"
    unpaired = math.hypot(first[1] - first[0], second[1] - second[0])  # width of a difference over separate clips
    assert 0 < low < high and high - low < unpaired / 2
    back = metrics.paired_bootstrap(targets, others, scores, metrics.accuracy)
    assert back == pytest.approx((-high, -low), abs=1e-12)
    assert metrics.paired_bootstrap(targets, scores, scores.copy(), metrics.mean_auc, n=50) == (0.0, 0.0)


def test_paired_bootstrap_is_scipys_on_the_differences():
    targets, scores = ranked(200, 4, 1.5)
    others = ranked(200, 4, 1.5, seed=1)[1]
    right = [(np.take_along_axis(targets, s.argmax(1)[:, None], 1))[:, 0] for s in (scores, others)]
    theirs = scipy.stats.bootstrap(
        (right[1] - right[0],), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    ours = metrics.paired_bootstrap(targets, scores, others, metrics.accuracy, n=4000)
    assert ours == pytest.approx(tuple(theirs), abs=(theirs[1] - theirs[0]) / 10)


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 20))
def test_mcnemar_is_scipys_binomial_test(one, other, both):
    hit, miss = [1.0, 0.0], [0.0, 1.0]
    scores = np.array([hit] * one + [miss] * other + [hit] * both + [miss])
    others = np.array([miss] * one + [hit] * other + [hit] * both + [miss])
    targets = np.array([[1, 0]] * len(scores))
    expected = scipy.stats.binomtest(one, one + other).pvalue if one + other else 1.0
    assert metrics.mcnemar(targets, scores, others) == (one, other, pytest.approx(expected, abs=1e-12))


def test_mcnemar_of_thousands_of_clips_does_not_overflow():
    rng = np.random.default_rng(0)
    targets, scores, others = np.eye(2)[[0] * 11_005], rng.random((11_005, 2)), rng.random((11_005, 2))
    one, other, p = metrics.mcnemar(targets, scores, others)
    assert p == pytest.approx(scipy.stats.binomtest(one, one + other).pvalue, rel=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": [0] * 4}, "two different ones or more; found 4 clips in 1 groups"),
        ({"groups": [0, 1]}, "a group for each of 4 clips"),
        ({"n": 0}, "n must be 1 or more"),
        ({"targets": np.zeros((4, 2)), "metric": metrics.mean_auc}, "nothing to put an interval around"),
        ({"scores": np.full((4, 2), np.nan)}, "4 clips have NaN scores"),
    ],
)
def test_bootstrap_errors_explain(change, message):
    arguments = {"targets": np.eye(2)[[0, 1, 0, 1]], "scores": np.eye(2)[[0, 1, 1, 1]], "metric": metrics.accuracy}
    with pytest.raises(ValueError, match=message):
        metrics.bootstrap(**arguments | change)


def test_two_models_must_have_scored_the_same_clips():
    targets = np.eye(2)[[0, 1, 0]]
    for function in (metrics.mcnemar, lambda *scores: metrics.paired_bootstrap(*scores, metrics.accuracy)):
        with pytest.raises(ValueError, match=r"found \(3, 2\) and \(2, 2\)"):
            function(targets, targets, targets[:2])


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 5), st.data())
def test_confusion_and_balanced_accuracy_are_scikit_learns(classes, data):
    labels = st.lists(st.integers(0, classes - 1), min_size=1, max_size=30)
    truth = np.array(data.draw(labels))
    scores = data.draw(arrays(np.float64, (len(truth), classes), elements=st.sampled_from([0.0, 0.5, 1.0])))
    targets, given_class = np.eye(classes)[truth], scores.argmax(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of classes without clips, and of a single class
        matrix = confusion_matrix(truth, given_class, labels=range(classes))
        expected = balanced_accuracy_score(truth, given_class)
    assert (metrics.confusion(targets, scores) == matrix).all()
    assert metrics.balanced_accuracy(targets, scores) == pytest.approx(expected)


def test_a_confusion_matrix_needs_one_label_per_clip():
    for row in ([0, 0], [1, 1]):
        with pytest.raises(ValueError, match="exactly one label"):
            metrics.confusion([[1, 0], row], np.zeros((2, 2)))


@pytest.mark.parametrize(
    ("recalls", "clips"),
    [([0.9, 0.5, 0.8, 0.99, 0.3], [10, 10, 8, 5, 20]), ([0.95] * 50, [8] * 50), ([0.78, 0.02, 0.02], [77, 6, 5])],
)
def test_the_interval_of_a_mean_contains_the_true_value(recalls, clips):
    """In 1,000 draws; 95 % is wanted, and 92 % is four standard errors below it."""
    rng = np.random.default_rng(0)
    found = [metrics.mean_interval(rng.binomial(clips, recalls) / clips, clips) for _ in range(1000)]
    assert np.mean([low <= np.mean(recalls) <= high for low, high in found]) > 0.92


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 40)), min_size=1, max_size=30))
def test_the_interval_of_a_mean_contains_the_mean_and_is_no_point(counts):
    clips = [most for _, most in counts]
    fractions = [min(right, most) / most for right, most in counts]
    low, high = metrics.mean_interval(fractions, clips)
    assert 0 <= low <= np.mean(fractions) + 1e-12 and np.mean(fractions) - 1e-12 <= high <= 1 and low < high


@pytest.mark.parametrize(("fractions", "clips"), [([], []), ([1.2], [3]), ([0.5, math.nan], [2, 2]), ([0.5], [0])])
def test_the_interval_of_a_mean_wants_fractions(fractions, clips):
    with pytest.raises(ValueError, match="expected fractions from 0 to 1"):
        metrics.mean_interval(fractions, clips)
