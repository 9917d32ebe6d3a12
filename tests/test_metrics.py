"""The metrics against scikit-learn, ties and empty classes included."""

import math
from statistics import NormalDist

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import accuracy_score, average_precision_score, roc_auc_score

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
    assert metrics.evaluate(targets, other) == pytest.approx(metrics.evaluate(targets, scores), nan_ok=True)


def test_many_clips_and_classes_at_once():
    rng = np.random.default_rng(0)
    targets = (rng.random((3000, 60)) < 0.05).astype(float)
    scores = (targets + rng.standard_normal(targets.shape)).astype(np.float32)
    found = metrics.evaluate(targets, scores)
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
    found = metrics.evaluate(targets, scores)
    assert found["classes_without_positives"] == 1
    assert found["mAUC"] == 0.75 and found["mAP"] == pytest.approx((1 + 1 + 5 / 6) / 3)


def test_nothing_to_measure_is_nan_without_a_warning(recwarn):
    found = metrics.evaluate(np.zeros((3, 2)), np.random.default_rng(0).random((3, 2)))
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
    expected = metrics.evaluate(targets.numpy(), scores.detach().numpy())
    assert metrics.evaluate(targets, scores) == expected
    assert metrics.evaluate(targets.bfloat16(), scores.double()) == expected
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
    for function in (metrics.evaluate, metrics.mean_average_precision, metrics.accuracy):
        with pytest.raises(ValueError, match=message):
            function(targets, scores)
