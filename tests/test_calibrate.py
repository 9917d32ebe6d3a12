"""Calibration against cases by hand, scikit-learn, simulations whose truth is known, and properties."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_auc_score

from astlib import calibrate as cal
from astlib.decisions import Decision
from astlib.errors import InvalidInput


def drawn(clips, scale=1.0, classes=5, seed=0, multi_label=False):
    """Logits whose probabilities are exactly true at temperature `scale`, and the targets drawn from them."""
    generator = torch.Generator().manual_seed(seed)
    true = 2 * torch.randn(clips, classes, generator=generator, dtype=torch.float64)
    if multi_label:
        targets = torch.bernoulli((true - 1).sigmoid(), generator=generator)
        return scale * (true - 1), targets
    answers = torch.multinomial(true.softmax(dim=1), 1, generator=generator)[:, 0]
    return scale * true, torch.eye(classes, dtype=torch.float64)[answers]


# --- reliability and its error


def test_four_answers_by_hand():
    confidence, right = [0.9, 0.9, 0.6, 0.6], [1, 0, 1, 1]
    found = cal.reliability(confidence, right, bins=5)
    assert found.answers.tolist() == [0, 0, 2, 0, 2] and found.accuracy[[2, 4]].tolist() == [1, 0.5]
    assert cal.expected_calibration_error(confidence, right, bins=5) == pytest.approx((0.4 + 0.4) / 2)
    assert cal.expected_calibration_error(confidence, right, bins=1) == 0  # one bin hides everything
    assert cal.reliability([0.2, 0.4], [0, 1], bins=5).answers.tolist() == [1, 1, 0, 0, 0]  # an edge belongs below


@pytest.mark.parametrize("adaptive", [False, True])
def test_bins_are_those_of_scikit_learn(adaptive):
    rng = np.random.default_rng(0)
    p = rng.beta(3, 1, 2000)
    right = (rng.random(2000) < p**2).astype(float)
    found = cal.reliability(p, right, bins=12, adaptive=adaptive)
    accuracy, confidence = calibration_curve(right, p, n_bins=12, strategy="quantile" if adaptive else "uniform")
    there = found.answers > 0
    assert np.allclose(found.accuracy[there], accuracy) and np.allclose(found.confidence[there], confidence)
    if adaptive:
        assert np.ptp(found.answers) <= 1


def test_a_hundred_thousand_draws_give_the_error_that_can_be_calculated():
    """Right with probability p squared, p uniform: the mean of p - p^2 is 1/2 - 1/3."""
    rng = np.random.default_rng(1)
    p = rng.random(100_000)
    right = rng.random(100_000) < p**2
    for adaptive in (False, True):
        assert cal.expected_calibration_error(p, right, adaptive=adaptive) == pytest.approx(1 / 6, abs=0.004)


def test_chance_alone_makes_an_error_and_the_interval_says_so():
    rng = np.random.default_rng(2)
    p = rng.beta(3, 1, 300)
    perfect = cal.calibration_error(p, rng.random(300) < p, draws=200)
    assert perfect.by_chance > 0.03 and perfect.value == pytest.approx(perfect.by_chance, abs=0.03)
    assert perfect.low < 0.02
    wrong = cal.calibration_error(p, rng.random(300) < p - 0.3 * (p > 0.4), draws=200)
    assert wrong.low > wrong.by_chance and wrong.low < wrong.value < wrong.high + 0.05


def test_the_interval_holds_the_true_error_about_nine_times_in_ten():
    """The truth is the error of a million clips in the same bins."""
    rng = np.random.default_rng(3)
    many = rng.beta(3, 1, 10**6)
    truth = cal.expected_calibration_error(many, rng.random(10**6) < many**1.5)
    held = 0
    for trial in range(60):
        p = rng.beta(3, 1, 400)
        found = cal.calibration_error(p, rng.random(400) < p**1.5, draws=150, seed=trial)
        held += found.low <= truth <= found.high
    assert held >= 0.78 * 60


@pytest.mark.parametrize(
    ("confidence", "right"),
    [([], []), ([0.5], [1, 0]), ([1.5], [1]), ([0.5], [0.5]), ([float("nan")], [1])],
)
def test_what_is_no_probability_is_refused(confidence, right):
    with pytest.raises(InvalidInput):
        cal.expected_calibration_error(confidence, right)
    with pytest.raises(InvalidInput, match="at least one bin"):
        cal.reliability([0.5], [1], bins=0)


# --- temperature


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("scale", [0.4, 1.0, 3.0])
def test_the_temperature_that_was_put_in_is_found(scale, multi_label):
    logits, targets = drawn(8000, scale, multi_label=multi_label)
    found = cal.fit_temperature(logits, targets, multi_label)
    assert found == pytest.approx(scale, rel=0.06)
    before, after = (cal.log_loss(logits, targets, multi_label, t) for t in (1.0, found))
    assert after <= before
    near = [cal.log_loss(logits, targets, multi_label, found * factor) for factor in (0.98, 1.02)]
    assert min(near) >= after


def test_a_temperature_without_a_best_one_ends_at_the_edge():
    targets = torch.eye(3)
    assert cal.fit_temperature(10 * targets, targets, False) == pytest.approx(cal.COLDEST, rel=0.01)
    assert cal.fit_temperature(-10 * targets, targets, False) == pytest.approx(cal.HOTTEST, rel=0.01)


# --- thresholds


def test_the_bound_is_below_what_is_seen_and_needs_fifteen_clips_for_nine_in_ten():
    assert cal.lower_bound(14, 14) < 0.9 <= cal.lower_bound(15, 15)
    assert cal.lower_bound(90, 100) < 0.9 and cal.lower_bound(0, 5) == 0


@given(seed=st.integers(0, 200), precision=st.sampled_from([0.5, 0.8, 0.9]))
@settings(max_examples=25, deadline=None)
def test_on_its_own_clips_a_threshold_has_the_wanted_precision(seed, precision):
    logits, targets = drawn(150, seed=seed)
    p = logits.softmax(dim=1)
    found = cal.choose_thresholds(p, targets, precision)
    assert len(found.values) == len(found.own) == 5
    for c, (value, own) in enumerate(zip(found.values, found.own, strict=True)):
        passing = p[:, c] >= value
        if own:
            assert targets[passing, c].mean() >= precision
        else:
            assert value == found.shared
    if found.reached:
        assert targets[p >= found.shared].mean() >= precision
    else:
        assert found.shared == 0.5


def test_on_other_clips_it_mostly_has_it_too():
    """The threshold is the lowest of many that pass, so a little more than one in ten may miss."""
    met = []
    for seed in range(50):
        logits, targets = drawn(300, seed=seed)
        found = cal.choose_thresholds(logits.softmax(dim=1), targets, 0.9)
        more, truths = drawn(5000, seed=1000 + seed)
        if found.reached:
            met.append(truths[more.softmax(dim=1) >= found.shared].mean() >= 0.9)
    assert len(met) >= 30 and sum(met) >= 0.8 * len(met)


def test_a_class_with_few_clips_uses_the_threshold_of_all_and_the_others_their_own():
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], [200, 200, 5])
    p = torch.tensor(0.8 * np.eye(3)[truth] + 0.1 * rng.random((405, 3)))
    found = cal.choose_thresholds(p, torch.tensor(np.eye(3)[truth]))
    assert found.own == (True, True, False) and found.values[2] == found.shared and found.reached


def test_equal_scores_pass_together():
    p, targets = torch.full((40, 1), 0.7), torch.zeros(40, 1)
    targets[:30] = 1
    assert cal.choose_thresholds(p, targets, 0.9) == cal.Thresholds((0.5,), (False,), 0.5, False)


@pytest.mark.parametrize("precision", [0, 1, 90])
def test_a_precision_is_a_fraction(precision):
    with pytest.raises(InvalidInput, match="between 0 and 1"):
        cal.choose_thresholds(torch.rand(4, 2), torch.zeros(4, 2), precision)


# --- none of these


def clusters(seed=0, apart=5.0):
    """Logits of known sounds, one high each; and of others, which have a pattern of their own and the same maximum."""
    generator = torch.Generator().manual_seed(seed)
    answer = torch.randint(4, (200,), generator=generator)
    known = torch.randn(200, 4, generator=generator) + apart * torch.eye(4)[answer]
    none = torch.randn(150, 4, generator=generator) + torch.tensor([apart, apart - 1, 0.0, 0.0])
    return known, torch.eye(4)[answer], none


def test_areas_are_those_of_scikit_learn_and_shares_are_those_at_the_threshold():
    known, targets, none = clusters()
    right = known.argmax(dim=1) == targets.argmax(dim=1)
    for found in cal.compare_scores(known, right, none):
        if found.kind == "background":
            inside, outside = cal.held_out_background(known, none)
        else:
            decision = Decision(none_score=found.kind, none_threshold=found.threshold)
            assert found.false_alarms == pytest.approx((~decision.is_none(none)).float().mean())
            assert found.kept == pytest.approx((~decision.is_none(known))[right].float().mean())
            inside, outside = (cal.known_score(one, found.kind) for one in (known, none))
        area = roc_auc_score(np.arange(350) < 200, np.concatenate([inside, outside]))
        assert found.auroc == pytest.approx(area)
        assert found.false_alarms <= 0.05


def test_a_pattern_of_its_own_is_found_by_the_background_alone_and_holds_on_new_sounds():
    known, targets, none = clusters()
    found = cal.calibrate(known, targets, False, none)
    assert found.rejections[0].kind == found.decision.none_score == "background"
    assert all(one.kept < 0.8 for one in found.rejections[1:])
    more, _, others = clusters(seed=1)
    assert (~found.decision.is_none(others)).float().mean() <= 0.1
    assert (~found.decision.is_none(more)).float().mean() >= 0.9


def test_a_score_that_cannot_do_both_stays_out_of_the_decision():
    known, targets, _ = clusters()
    found = cal.calibrate(known, targets, False, none=known.flip(0) + 0.01)  # the very same sounds
    assert len(found.rejections) == 4 and found.rejections[0].kept < 0.9
    assert found.decision.none_score == "" and found.decision.none_threshold is None


@pytest.mark.parametrize("alarms", [0.05, 0.2])
def test_how_many_others_are_needed_is_said(alarms):
    known, targets, none = clusters()
    with pytest.raises(InvalidInput, match="give (32|7) or more"):
        cal.calibrate(known, targets, False, none[:6], false_alarms=alarms)
    enough = {0.05: 32, 0.2: 7}[alarms]
    cal.calibrate(known, targets, False, none[:enough], false_alarms=alarms)


# --- everything together


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_decision_is_what_was_found(multi_label):
    logits, targets = drawn(800, 2.0, multi_label=multi_label)
    found = cal.calibrate(logits, targets, multi_label)
    assert found.decision.temperature == pytest.approx(2, rel=0.15)
    assert found.after.value < found.before.value and found.log_losses[1] < found.log_losses[0]
    assert found.decision.thresholds == found.thresholds.values and found.rejections == ()
    passing = found.decision.passes(found.decision.probabilities(logits, multi_label))
    assert targets[passing].mean() >= 0.9


def test_a_temperature_that_gains_no_more_than_chance_is_left_alone():
    used = []
    for seed in range(20):
        logits, targets = drawn(150, seed=seed)  # true probabilities: 1 is right
        found = cal.calibrate(logits, targets, False)
        used.append(found.decision.temperature != 1)
        assert found.best_temperature != 1 and (used[-1] or found.log_losses[0] == found.log_losses[1])
    assert sum(used) <= 4, "about one in twenty"


@pytest.mark.parametrize("shape", [(0, 3), (4,), (4, 2)])
def test_shapes_that_do_not_belong_together_are_refused(shape):
    with pytest.raises(InvalidInput, match="logits and targets"):
        cal.calibrate(torch.zeros(shape), torch.zeros(4, 3), False)
