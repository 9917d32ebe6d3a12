"""mixup and SpecAugment: the right formulas, the right distributions, the same draws for the same seed."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, ks_2samp, kstest
from torchaudio.functional import mask_along_axis_iid

from astlib.augment import mixup, spec_augment


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(size, samples=50, classes=None, seed=0):
    """Random clips of random lengths, clip i of class i."""
    lengths = torch.randint(1, samples + 1, (size,), generator=seeded(seed))
    waveforms = torch.rand(size, samples, generator=seeded(seed)) + 1
    waveforms = waveforms * (torch.arange(samples) < lengths[:, None])
    return waveforms, lengths, torch.eye(classes or size)[torch.arange(size) % (classes or size)]


# --- mixup ---------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=50)
@given(size=st.integers(2, 9), rate=st.floats(0.01, 1), seed=st.integers(0, 1000))
def test_targets_tell_exactly_how_the_sound_was_mixed(size, rate, seed):
    waveforms, lengths, targets = batch(size, seed=seed)
    mixed, same_lengths, soft = mixup(waveforms, lengths, targets, rate, seeded(seed))
    assert torch.equal(same_lengths, lengths) and mixed.dtype == soft.dtype == torch.float32
    assert torch.allclose(soft.sum(1), torch.ones(size))
    for i in range(size):
        assert (soft[i] > 0).sum() <= 2 and soft[i, i] > 0
        expected = torch.zeros(50)
        for j in soft[i].nonzero().flatten():
            expected += soft[i, j] * waveforms[j]  # shorter partners end in zeros ...
        expected[lengths[i] :] = 0  # ... and longer ones are cut
        assert torch.allclose(mixed[i], expected, atol=1e-6)


def test_unmixed_clips_stay_bit_for_bit():
    waveforms, lengths, targets = batch(64)
    mixed, _, soft = mixup(waveforms, lengths, targets, 0.3, seeded())
    untouched = (soft == targets).all(1)
    assert 0 < untouched.sum() < 64 and torch.equal(mixed[untouched], waveforms[untouched])


def test_rate_zero_and_a_single_clip_change_nothing():
    for size, rate in ((5, 0.0), (1, 1.0)):
        before = batch(size)
        assert all(torch.equal(a, b) for a, b in zip(mixup(*before, rate, seeded()), before, strict=True))


def test_labels_of_both_clips_count_fully():
    waveforms, lengths, _ = batch(4)
    targets = torch.tensor([[1.0, 0, 1]] * 4)
    assert torch.allclose(mixup(waveforms, lengths, targets, 1.0, seeded())[2], targets)


@pytest.mark.parametrize("rate", [0.2, 0.5, 1.0])
def test_the_share_of_mixed_clips_is_the_rate(rate):
    waveforms, lengths, targets = batch(2000, samples=2, classes=1000)
    soft = mixup(waveforms, lengths, targets, rate, seeded())[2]
    assert (soft.max(1).values < 1).float().mean() == pytest.approx(rate, abs=0.04)


@pytest.mark.parametrize("alpha", [1.0, 10.0])
def test_shares_follow_the_beta_distribution(alpha):
    waveforms, lengths, targets = batch(1500, samples=2)
    soft = mixup(waveforms, lengths, targets, 1.0, seeded(), alpha=alpha)[2]
    assert kstest(soft.diagonal().numpy(), beta(alpha, alpha).cdf).pvalue > 0.01


def test_every_other_clip_is_as_likely_a_partner():
    waveforms, lengths, targets = batch(4, samples=2)
    counts = torch.zeros(4, 4)
    generator = seeded()
    for _ in range(1500):
        counts += mixup(waveforms, lengths, targets, 1.0, generator)[2] > 0
    assert (counts.diagonal() == 1500).all()
    others = counts[~torch.eye(4, dtype=torch.bool)]
    assert (others - 500).abs().max() < 5 * (1500 * 2 / 9) ** 0.5


def test_only_the_generator_decides():
    before = torch.get_rng_state()
    first, again, other = (mixup(*batch(8), 0.5, seeded(s)) for s in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[2], other[2])
    assert torch.equal(before, torch.get_rng_state())


def test_the_originals_trap():
    """Whole-numbered targets send every mixed pair to class 0; torch's loss takes the soft ones."""
    waveforms, lengths, targets = batch(6)
    soft = mixup(waveforms, lengths, targets, 1.0, seeded())[2]
    assert (soft.long().argmax(1) == 0).all()
    logits = torch.randn(6, 6, generator=seeded())
    expected = -(soft * logits.log_softmax(1)).sum(1).mean()
    assert torch.allclose(torch.nn.functional.cross_entropy(logits, soft), expected)


def test_a_rate_is_a_share():
    with pytest.raises(ValueError, match="0 to 1, got 8"):  # 8 was tried in the original's issue 17
        mixup(*batch(3), 8, seeded())


# --- SpecAugment ---------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(
    frames=st.integers(1, 40),
    mels=st.integers(1, 20),
    time=st.integers(0, 60),
    freq=st.integers(0, 30),
    fill=st.sampled_from([0.0, -15.942]),
    seed=st.integers(0, 1000),
)
def test_one_stripe_on_each_axis(frames, mels, time, freq, fill, seed):
    mel = torch.rand(3, frames, mels, generator=seeded(seed)) + 1
    before = mel.clone()
    masked = spec_augment(mel, freq, time, seeded(seed), fill)
    assert torch.equal(mel, before)
    hidden = masked != mel
    assert (masked[hidden] == fill).all()
    for clip in hidden:
        rows, columns = clip.all(1), clip.all(0)  # whole frames, whole mels
        if not (rows.all() or columns.all()):
            assert torch.equal(clip, rows[:, None] | columns)
            for stripe, limit in ((rows, time), (columns, freq)):
                places = stripe.nonzero().flatten()
                assert len(places) <= max(0, limit - 1)
                assert not len(places) or places[-1] - places[0] + 1 == len(places)


def test_zero_hides_nothing():
    mel = torch.randn(2, 30, 10)
    assert torch.equal(spec_augment(mel, 0, 0, seeded()), mel)
    assert torch.equal(spec_augment(mel, 1, 1, seeded()), mel)  # widths stay below the number


@pytest.mark.parametrize("axis", [1, 2])
def test_widths_and_places_are_torchaudios(axis):
    mel = torch.ones(3000, 60, 60)
    freq, time = (0, 24) if axis == 1 else (24, 0)
    ours = spec_augment(mel, freq, time, seeded()).select(3 - axis, 0)
    torch.manual_seed(0)
    theirs = mask_along_axis_iid(mel[:, None], 24, 0.0, axis + 1)[:, 0].select(3 - axis, 0)
    for property in (lambda m: (m == 0).sum(1), lambda m: (m == 0).float().argmax(1)):
        a, b = property(ours), property(theirs)
        assert ks_2samp(a, b).pvalue > 0.01
    assert (ours == 0).sum(1).max() == 23


def test_each_clip_has_its_own_stripes_and_the_seed_decides():
    mel = torch.ones(20, 100, 64)
    first, again, other = (spec_augment(mel, 24, 48, seeded(s)) for s in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert len(np.unique(first.flatten(1).numpy(), axis=0)) > 15


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_same_draws_on_a_gpu():
    waveforms, lengths, targets = batch(6)
    here = mixup(waveforms, lengths, targets, 0.7, seeded())
    there = mixup(waveforms.cuda(), lengths.cuda(), targets.cuda(), 0.7, seeded())
    assert all(torch.allclose(a, b.cpu(), atol=1e-6) for a, b in zip(here, there, strict=True))
    mel = torch.randn(4, 50, 20)
    assert torch.equal(spec_augment(mel, 9, 9, seeded()), spec_augment(mel.cuda(), 9, 9, seeded()).cpu())
