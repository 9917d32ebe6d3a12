"""Balanced sampling and the plan of an epoch: the original's weights, torch's frequencies, and no state."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binomtest, chi2_contingency, chisquare, kstest
from torch.utils.data import WeightedRandomSampler

from astlib.data import Mixture, Synthetic
from astlib.data.targets import Targets
from astlib.train.sampling import Plan, balanced_weights, draw, plan_epoch

sizes = {"length": st.integers(1, 200), "batch": st.integers(1, 50), "seed": st.integers(0, 2**32)}


def same(a: Plan, b: Plan) -> bool:
    return a.batch == b.batch and all(
        np.array_equal(getattr(a, name), getattr(b, name)) for name in ("clips", "partners", "lam")
    )


# --- weights -------------------------------------------------------------------------------------------


def test_weights_on_numbers_one_can_check_by_hand():
    """Class 0 has three clips, 1 and 2 one each, 3 none; one clip has two labels and one has none."""
    weights = balanced_weights(Targets.from_lists([[0], [0], [0, 1], [2], []], 4))
    common, rare = 1000 / 3.01, 1000 / 1.01
    np.testing.assert_allclose(weights, [common, common, common + rare, rare, 0])


@settings(deadline=None, max_examples=60)
@given(lists=st.lists(st.lists(st.integers(0, 8), max_size=4, unique=True), min_size=1, max_size=30))
def test_weights_are_the_originals_summed_clip_by_clip(lists):
    """As egs/audioset/gen_weight_file.py goes about it: count, invert, sum over the labels of each clip."""
    count = Counter(label for row in lists for label in row)
    expected = [sum(1000.0 / (count[label] + 0.01) for label in row) for row in lists]
    np.testing.assert_allclose(balanced_weights(Targets.from_lists(lists, 9)), expected)


def test_a_class_as_rare_as_can_be_and_one_that_every_clip_has():
    classes = Targets.from_lists([[0]] * 9_999 + [[0, 1]], 2)
    weights = balanced_weights(classes)
    assert weights[-1] / weights[0] == pytest.approx(1 + 10_000.01 / 1.01)


def test_weights_take_two_million_clips_without_a_dense_table():
    """In float32 that table would be 4.2 GB, which Targets.dense refuses."""
    columns = (np.arange(2_000_000) % 527).astype(np.int32)
    weights = balanced_weights(Targets(np.arange(2_000_001), columns, 527))
    assert weights.shape == (2_000_000,)
    np.testing.assert_allclose(weights[:527], 1000 / (np.bincount(columns) + 0.01))


# --- draws ---------------------------------------------------------------------------------------------


def test_drawn_as_often_as_torchs_sampler_draws():
    weights = np.random.default_rng(0).gamma(2.0, size=25)
    ours = np.bincount(draw(weights, 40_000, seed=0, epoch=1), minlength=25)
    sampler = WeightedRandomSampler(weights, 40_000, replacement=True, generator=torch.Generator().manual_seed(0))
    theirs = np.bincount(list(sampler), minlength=25)
    assert chi2_contingency([ours, theirs]).pvalue > 0.01
    assert chisquare(ours, 40_000 * weights / weights.sum()).pvalue > 0.01


@settings(deadline=None, max_examples=60)
@given(
    weights=st.lists(st.sampled_from([0.0, 1e-9, 1.0, 1e9]), min_size=1, max_size=20).filter(any),
    seed=st.integers(0, 1000),
)
def test_a_clip_without_weight_is_never_drawn(weights, seed):
    drawn = draw(np.array(weights), 200, seed, epoch=1)
    assert drawn.shape == (200,) and drawn.dtype == np.int64
    assert (np.array(weights)[drawn] > 0).all()


def test_no_weight_at_all_is_an_error_for_people():
    with pytest.raises(ValueError, match="no clip has a weight above 0"):
        draw(balanced_weights(Targets.from_lists([[], []], 3)), 2, seed=0, epoch=1)


def test_rare_classes_come_up_and_every_class_brings_its_company():
    """With several labels a clip, classes do not become equal. A class is drawn once in its own turn and along with
    every other class c in P(it | c) of c's turns, so that its clips are length / classes * (1 + the sum of these)."""
    classes = Mixture(Synthetic(split="all"), 2000, parts=(1, 2), skew=2.0).classes
    counts, weights = classes.counts(), balanced_weights(classes)
    drawn = np.mean([classes.take(draw(weights, 2000, seed=0, epoch=e)).counts() for e in range(30)], axis=0)
    assert counts.max() / counts.min() > 50 and drawn.max() / drawn.min() < 7
    table = classes.dense().numpy()
    together = table.T @ table / counts  # [a, b]: the share of b's clips that also have a
    np.testing.assert_allclose(drawn, 2000 / 10 * together.sum(axis=1), rtol=0.03)


# --- plans ---------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(**sizes, epoch=st.integers(0, 1000), mixup=st.floats(0, 1))
def test_every_clip_once_an_epoch_without_weights(length, batch, seed, epoch, mixup):
    epoch_plan = plan_epoch(length, batch, seed, epoch, mixup=mixup)
    assert sorted(epoch_plan.clips.tolist()) == list(range(length))
    assert epoch_plan.clips.dtype == epoch_plan.partners.dtype == np.int64 and epoch_plan.lam.dtype == np.float32


@settings(deadline=None, max_examples=100)
@given(**sizes, processes=st.integers(1, 12))
def test_the_places_of_all_processes_partition_each_step(length, batch, seed, processes):
    epoch_plan = plan_epoch(length, batch, seed, 1, mixup=0.5)
    everything = []
    for step in range(len(epoch_plan)):
        parts = [epoch_plan.places(step, process, processes) for process in range(processes)]
        whole = parts[0][0]
        assert all(part[0] == whole for part in parts) and whole.stop - whole.start <= batch
        places = [i for _, mine in parts for i in range(mine.start, mine.stop)]
        assert places == list(range(whole.start, whole.stop)), "a place twice, or none's"
        counts = [mine.stop - mine.start for _, mine in parts]
        assert max(counts) - min(counts) <= 1
        everything += places
    assert everything == list(range(length))


@settings(deadline=None, max_examples=60)
@given(**sizes, processes=st.integers(1, 12))
def test_a_process_loads_its_clips_and_the_partners_of_the_mixed_ones(length, batch, seed, processes):
    epoch_plan = plan_epoch(length, batch, seed, 1, mixup=0.5)
    for step in range(len(epoch_plan)):
        for process in range(processes):
            mine = range(length)[epoch_plan.places(step, process, processes)[1]]
            own = [int(epoch_plan.clips[i]) for i in mine]
            partners = [int(epoch_plan.partners[i]) for i in mine if epoch_plan.lam[i] < 1]
            loaded = epoch_plan.indices(step, process, processes)
            assert loaded == own + partners or not own and len(loaded) == 1
            assert all(type(i) is int and 0 <= i < length for i in loaded)


@settings(deadline=None, max_examples=40)
@given(**sizes, epoch=st.integers(0, 50), weighted=st.booleans())
def test_a_resumed_epoch_sees_the_same_draws(length, batch, seed, epoch, weighted):
    weights = np.arange(1.0, length + 1) if weighted else None
    straight = [plan_epoch(length, batch, seed, e, weights, 0.5) for e in range(epoch, epoch + 2)]
    np.random.seed(1)  # nothing that happened before may matter
    torch.manual_seed(1)
    assert same(straight[1], plan_epoch(length, batch, seed, epoch + 1, weights, 0.5))


def test_planning_leaves_the_global_generators_alone():
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    plan_epoch(100, 10, 0, 1, np.ones(100), 0.5)
    assert torch.equal(before[0], torch.get_rng_state()) and np.array_equal(before[1], np.random.get_state()[1])


@pytest.mark.parametrize("weights", [None, np.ones(500)], ids=["uniform", "weighted"])
def test_epochs_and_seeds_differ(weights):
    one, *others = (plan_epoch(500, 10, seed, epoch, weights, 0.5) for seed, epoch in ((0, 1), (0, 2), (1, 1), (1, 0)))
    for other in others:
        assert not np.array_equal(one.clips, other.clips) and not np.array_equal(one.partners, other.partners)
        assert not np.array_equal(one.lam, other.lam)


def test_lambda_follows_beta_10_10():
    lam = plan_epoch(20_000, 48, seed=0, epoch=1, mixup=0.5).lam
    mixed = lam[lam < 1]
    assert binomtest(len(mixed), 20_000, 0.5).pvalue > 0.01 and (lam[lam >= 1] == 1).all()
    assert kstest(mixed, beta(10, 10).cdf).pvalue > 0.01


@pytest.mark.parametrize("mixup, mixed", [(0.0, 0), (1.0, 300)])
def test_nothing_or_everything_is_mixed(mixup, mixed):
    assert (plan_epoch(300, 48, seed=0, epoch=1, mixup=mixup).lam < 1).sum() == mixed


@pytest.mark.parametrize("balanced", [False, True])
def test_partners_are_uniform_over_the_whole_set(balanced):
    weights = np.arange(50.0) ** 3 if balanced else None
    epochs = [plan_epoch(50, 10, seed=0, epoch=e, weights=weights, mixup=1.0) for e in range(200)]
    partners, clips = (np.bincount(np.concatenate([getattr(p, what) for p in epochs]), minlength=50)
                       for what in ("partners", "clips"))  # fmt: skip
    assert chisquare(partners).pvalue > 0.01
    assert (clips == 200).all() or balanced and chisquare(clips).pvalue < 1e-9


@pytest.mark.parametrize("mixup", [-0.1, 1.5, 8])
def test_a_rate_is_a_share(mixup):
    with pytest.raises(ValueError, match=f"0 to 1; found {mixup}"):  # 8 was tried in the original's issue 17
        plan_epoch(10, 2, seed=0, epoch=1, mixup=mixup)
