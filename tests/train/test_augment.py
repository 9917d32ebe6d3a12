"""mixup, SpecAugment, noise and roll: what the numbers drawn mean, and that other people's code does the same."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare, ks_2samp
from torchaudio.functional import mask_along_axis_iid

from astlib.frontend import LogMel
from astlib.train.augment import mixup, noise_and_roll, spec_augment

ALMOST_ONE = 1 - 2**-24  # the largest number that torch.rand gives


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def uniform(*shape, seed=0):
    return torch.rand(*shape, generator=seeded(seed))


def clips(size, samples=50, classes=None, seed=0):
    """Random clips of random lengths, clip i of class i."""
    lengths = torch.randint(1, samples + 1, (size,), generator=seeded(seed))
    waveforms = uniform(size, samples, seed=seed) + 1
    waveforms = waveforms * (torch.arange(samples) < lengths[:, None])
    return waveforms, lengths, torch.eye(classes or size)[torch.arange(size) % (classes or size)]


# --- mixup ---------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=80)
@given(
    size=st.integers(1, 6),
    samples=st.integers(1, 40),
    other_samples=st.integers(1, 40),
    seed=st.integers(0, 1000),
)
def test_sound_and_targets_are_the_weighted_sum_clip_by_clip(size, samples, other_samples, seed):
    own = clips(size, samples, classes=7, seed=seed)
    others = clips(size, other_samples, classes=7, seed=seed + 1)
    lam = uniform(size, seed=seed)
    before = [tensor.clone() for tensor in (*own, *others)]
    mixed, lengths, soft = mixup(*own, others, lam)
    assert all(torch.equal(a, b) for a, b in zip((*own, *others), before, strict=True)), "its input was written to"
    assert torch.equal(lengths, own[1]) and mixed.dtype == soft.dtype == torch.float32
    for i in range(size):  # the original's order of steps: cut or pad the partner, then add
        mine, partner = own[0][i, : own[1][i]].double().numpy(), others[0][i, : others[1][i]].double().numpy()
        fitted = np.zeros_like(mine)
        fitted[: len(partner)] = partner[: len(mine)]
        m = float(lam[i])
        np.testing.assert_allclose(mixed[i, : len(mine)], m * mine + (1 - m) * fitted, atol=1e-6)
        assert not mixed[i, len(mine) :].any(), "sound past the clip's own end"
        np.testing.assert_allclose(soft[i], m * own[2][i] + (1 - m) * others[2][i], atol=1e-6)


def test_unmixed_clips_stay_bit_for_bit():
    waveforms, lengths, targets = clips(64)
    lam = torch.where(torch.arange(64) % 3 == 0, 0.5, 1.0)
    order = torch.arange(64).roll(1)
    mixed, _, soft = mixup(waveforms, lengths, targets, (waveforms[order], lengths[order], targets[order]), lam)
    alone = lam == 1
    assert torch.equal(mixed[alone], waveforms[alone]) and torch.equal(soft[alone], targets[alone])
    assert not (mixed[~alone] == waveforms[~alone]).all(1).any()


def test_what_lies_past_the_partners_end_is_not_mixed_in():
    """Batches come padded with zeros; should something else lie there, it must not be heard."""
    waveforms, targets = torch.ones(1, 10), torch.ones(1, 2)
    partners = torch.full((1, 10), 7.0), torch.tensor([4]), torch.ones(1, 2)
    mixed, *_ = mixup(waveforms, torch.tensor([8]), targets, partners, torch.tensor([0.5]))
    assert mixed[0].tolist() == [4.0] * 4 + [0.5] * 6


def test_labels_of_both_clips_count_fully():
    waveforms, lengths, _ = clips(4)
    mine, theirs = torch.tensor([[1.0, 0, 1]] * 4), torch.tensor([[1.0, 1, 0]] * 4)
    lam = torch.tensor([0.0, 0.3, 0.5, 1.0])
    soft = mixup(waveforms, lengths, mine, (waveforms, lengths, theirs), lam)[2]
    assert torch.allclose(soft, torch.stack([torch.ones(4), 1 - lam, lam], dim=1))


def test_the_originals_trap():
    """Whole-numbered targets send every mixed pair to class 0; torch's loss takes the soft ones."""
    waveforms, lengths, targets = clips(6)
    order = torch.arange(6).roll(1)
    partners = waveforms[order], lengths[order], targets[order]
    soft = mixup(waveforms, lengths, targets, partners, torch.full((6,), 0.6))[2]
    assert (soft.long().argmax(1) == 0).all()
    logits = torch.randn(6, 6, generator=seeded())
    expected = -(soft * logits.log_softmax(1)).sum(1).mean()
    assert torch.allclose(torch.nn.functional.cross_entropy(logits, soft), expected)


# --- SpecAugment ---------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(
    frames=st.integers(1, 40),
    mels=st.integers(1, 20),
    time=st.integers(0, 60),
    freq=st.integers(0, 30),
    fill=st.sampled_from([0.0, -15.942]),
    draws=st.lists(st.lists(st.floats(0, ALMOST_ONE, width=32), min_size=4, max_size=4), min_size=3, max_size=3),
)
def test_one_stripe_on_each_axis(frames, mels, time, freq, fill, draws):
    mel = uniform(3, frames, mels) + 1
    before = mel.clone()
    masked = spec_augment(mel, freq, time, torch.tensor(draws), fill)
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


@pytest.mark.parametrize("axis", [1, 2], ids=["time", "frequency"])
@pytest.mark.parametrize("seed", range(5))
def test_the_same_draws_hide_the_same_cells_as_torchaudio(axis, seed):
    mel = torch.randn(50, 70, 60, generator=seeded(seed))
    torch.manual_seed(seed)
    theirs = mask_along_axis_iid(mel[:, None], 24, 0.0, axis + 1)[:, 0]
    torch.manual_seed(seed)
    width, place = torch.rand(50, 1), torch.rand(50, 1)  # the order in which torchaudio draws
    draws = torch.zeros(50, 4)
    draws[:, 2 * (axis - 1) : 2 * axis] = torch.cat([width, place], dim=1)
    assert torch.equal(spec_augment(mel, 24 * (axis == 2), 24 * (axis == 1), draws), theirs)


@pytest.mark.parametrize("axis", [1, 2], ids=["time", "frequency"])
def test_widths_and_places_are_distributed_as_torchaudios(axis):
    mel = torch.ones(3000, 60, 60)
    freq, time = (0, 24) if axis == 1 else (24, 0)
    ours = spec_augment(mel, freq, time, uniform(3000, 4, seed=1)).select(3 - axis, 0)
    torch.manual_seed(0)
    theirs = mask_along_axis_iid(mel[:, None], 24, 0.0, axis + 1)[:, 0].select(3 - axis, 0)
    for property in (lambda m: (m == 0).sum(1), lambda m: (m == 0).float().argmax(1)):
        assert ks_2samp(property(ours), property(theirs)).pvalue > 0.01
    widths = (ours == 0).sum(1)
    assert chisquare(widths.bincount(minlength=24)).pvalue > 0.01 and widths.max() == 23


def test_zero_hides_nothing_and_widths_stay_below_the_number():
    mel, highest = torch.randn(2, 30, 10), torch.full((2, 4), ALMOST_ONE)
    assert torch.equal(spec_augment(mel, 0, 0, highest), mel)
    assert torch.equal(spec_augment(mel, 1, 1, highest), mel)
    hidden = spec_augment(torch.ones(2, 30, 10), 4, 7, highest) == 0
    assert (hidden.all(2).sum(1) == 6).all() and (hidden.all(1).sum(1) == 3).all()


def test_a_number_larger_than_the_axis_hides_at_most_the_axis():
    hidden = spec_augment(torch.ones(500, 12, 5), 0, 192, uniform(500, 4)) == 0
    assert hidden.any(2).sum(1).max() == 11


def test_torchaudio_hides_the_whole_axis_if_its_limit_is_larger():
    """The one case in which the two differ, as the docstring says."""
    mel = torch.ones(500, 12, 5)
    torch.manual_seed(0)
    theirs = (mask_along_axis_iid(mel[:, None], 48, 0.0, 2)[:, 0] == 0).all(2).sum(1)
    ours = (spec_augment(mel, 0, 48, uniform(500, 4)) == 0).all(2).sum(1)
    assert (theirs == 12).float().mean() == pytest.approx(36 / 48, abs=0.08) and ours.max() == 11


def test_an_offset_is_heard_only_around_the_end_of_a_shorter_partner():
    mine, partner = uniform(1, 16_000) - 0.5, uniform(1, 16_000, seed=1) - 0.5
    targets, lam = torch.ones(1, 1), torch.tensor([0.5])
    ends = torch.tensor([8_000])

    def log_mel(offset):
        others = (partner + offset, ends, targets)
        return LogMel()(mixup(mine, torch.tensor([16_000]), targets, others, lam)[0])[0]  # (98, 128)

    changed = (log_mel(0.05) - log_mel(0.0)).abs().amax(dim=1) > 1e-3  # (98,)
    around = torch.arange(98) * 160
    assert changed.any() and ((around[changed] <= 8_000) & (around[changed] + 400 > 8_000)).all()


def test_each_clip_has_its_own_stripes():
    masked = spec_augment(torch.ones(20, 100, 64), 24, 48, uniform(20, 4))
    assert len(np.unique(masked.flatten(1).numpy(), axis=0)) > 15


# --- noise and roll ------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(
    frames=st.integers(1, 30),
    level=st.floats(0, 1),
    roll=st.integers(0, 40),
    seed=st.integers(0, 1000),
)
def test_noise_and_roll_are_numpys(frames, level, roll, seed):
    mel, field = torch.randn(4, frames, 6, generator=seeded(seed)), uniform(4, frames, 6, seed=seed + 1)
    draws = uniform(4, 2, seed=seed + 2)
    before = mel.clone()
    found = noise_and_roll(mel, level, roll, draws, field)
    assert torch.equal(mel, before)
    for i in range(4):
        noisy = mel[i].numpy() + field[i].numpy() * np.float32(level) * draws[i, 0].item()
        turn = int(np.floor(draws[i, 1].item() * 2 * roll)) - roll
        np.testing.assert_allclose(found[i], np.roll(noisy, turn, axis=0), atol=1e-6)


def test_turns_are_those_of_randint():
    """The original draws np.random.randint(-10, 10): -10 to 9, each as likely as the next."""
    mel = torch.arange(50.0)[None, :, None].expand(4000, 50, 1)
    draws = torch.stack([torch.zeros(4000), (torch.arange(4000) + 0.5) / 4000], dim=1)
    turned = noise_and_roll(mel, 0.0, 10, draws, torch.zeros(4000, 50, 1))
    turns = 25 - turned[:, 25, 0].long()
    values, counts = turns.unique(return_counts=True)
    assert values.tolist() == list(range(-10, 10)) and (counts == 200).all()


def test_noise_is_as_loud_as_the_originals():
    """A clip's noise is even between 0 and a number that is even between 0 and 0.1 (src/dataloader.py:208)."""
    ours = noise_and_roll(torch.zeros(400, 30, 1), 0.1, 0, uniform(400, 2), uniform(400, 30, 1, seed=1))
    rng = np.random.default_rng(0)
    theirs = rng.random((400, 30)) * rng.random((400, 1)) / 10
    assert ks_2samp(ours.amax((1, 2)), theirs.max(1)).pvalue > 0.01
    assert ours.min() >= 0 and ours.max() < 0.1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_same_numbers_give_the_same_on_a_gpu():
    own, lam, draws = clips(6), uniform(6), uniform(6, 4)
    order = torch.arange(6).roll(1)
    here = mixup(*own, [tensor[order] for tensor in own], lam)
    there = [tensor.cuda() for tensor in own]
    there = mixup(*there, [tensor[order] for tensor in there], lam.cuda())
    assert all(torch.allclose(a, b.cpu(), atol=1e-6) for a, b in zip(here, there, strict=True))
    mel, field = torch.randn(6, 50, 20, generator=seeded()), uniform(6, 50, 20)
    assert torch.equal(spec_augment(mel, 9, 9, draws), spec_augment(mel.cuda(), 9, 9, draws).cpu())
    found = noise_and_roll(mel.cuda(), 0.1, 10, draws[:, :2], field).cpu()
    assert torch.allclose(noise_and_roll(mel, 0.1, 10, draws[:, :2], field), found, atol=1e-6)
