"""Mean and deviation of log-mels against sums written out here, and durations."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from astlib.data import ESC50, AudioDataset, Synthetic, Targets, duration_stats
from astlib.errors import AudioError, DataIncomplete
from astlib.frontend import LogMel
from astlib.train import normalisation as module
from astlib.train import sampling
from astlib.train.normalisation import normalisation


class Noise(AudioDataset):
    """Clips given by (samples, level); a level of None cannot be read."""

    name = "noise"

    def __init__(self, clips):
        super().__init__(
            ["a"], [str(i) for i in range(len(clips))], Targets.from_lists([[0]] * len(clips), 1), None, clips
        )

    def read(self, source):
        samples, level = source
        if level is None:
            raise AudioError("is damaged")
        return level * torch.rand(samples, generator=torch.Generator().manual_seed(samples)) - level / 2


def cells(waveform, frames):
    """One padded or cut log-mel, float64."""
    mel = LogMel()(waveform)[0].double().numpy()[:frames]
    return np.vstack([mel, np.zeros((frames - len(mel), 128))])


@settings(deadline=None, max_examples=15)
@given(
    clips=st.lists(st.tuples(st.integers(400, 20_000), st.floats(0.01, 1)), min_size=1, max_size=60),
    frames=st.integers(1, 150),
)
def test_pooled_is_the_deviation_of_all_cells(clips, frames):
    dataset = Noise(clips)
    everything = np.concatenate([cells(dataset.waveform(i), frames) for i in range(len(dataset))])
    expected = pytest.approx((everything.mean(), everything.std()), rel=1e-5, abs=1e-5)
    assert normalisation(dataset, frames, progress=False) == expected


def test_it_does_not_matter_how_clips_are_loaded():
    dataset = Synthetic(split="test").select(limit_per_class=3)
    first = normalisation(dataset, 300, limit=20, seed=1, progress=False)
    assert normalisation(dataset, 300, limit=20, seed=1, progress=False, workers=2) == first
    assert normalisation(dataset.preload(progress=False), 300, limit=20, seed=1, progress=False) == first
    assert normalisation(dataset, 300, limit=20, seed=2, progress=False) != first
    assert normalisation(dataset, 300, limit=30, progress=False) == normalisation(dataset, 300, progress=False)


@pytest.mark.parametrize("batch", [25, 50])
def test_the_originals_way_written_out(monkeypatch, batch):
    monkeypatch.setattr(module, "ORIGINAL_BATCH", batch)
    rng = np.random.default_rng(0)
    dataset = Noise(
        [(int(n), float(level)) for n, level in zip(rng.integers(9_000, 30_000, 60), rng.random(60), strict=True)]
    )
    plan = sampling.plan_epoch(60, 25, 7, 0, mixup=0.5)
    draws = sampling.random(7, 0, 3).random((60, 4)).astype(np.float32)
    means, stds = [], []
    for start in range(0, 60, batch):
        inputs = []
        for place in range(start, min(60, start + batch)):
            waveform, other = dataset.waveform(plan.clips[place]), dataset.waveform(plan.partners[place])
            other = torch.nn.functional.pad(other, (0, len(waveform)))[: len(waveform)]
            lam = float(plan.lam[place])
            mel = cells(lam * waveform + (1 - lam) * other, 200)
            for axis, limit, size, (width, at) in ((0, 192, 200, draws[place, :2]), (1, 24, 128, draws[place, 2:])):
                first = int(at * (size - width * limit))
                np.moveaxis(mel, axis, 0)[first : int(np.ceil(first + int(width * limit)))] = 0
            inputs.append(mel)
        means.append(np.mean(inputs))
        stds.append(np.std(inputs))
    assert 0 < (plan.lam < 1).sum() < 60 and len(means) == -(-60 // batch)
    found = normalisation(dataset, 200, seed=7, method="original", progress=False)
    assert found == pytest.approx((np.mean(means), np.mean(stds)), rel=1e-4)


def test_the_originals_way_leaves_out_how_batches_differ(monkeypatch):
    """Batches that are loud and batches that are not: the mean of their deviations is less than that of all cells."""
    monkeypatch.setattr(module, "ORIGINAL_MIXUP", 0.0)
    monkeypatch.setattr(module, "ORIGINAL_FREQM", 0)
    monkeypatch.setattr(module, "ORIGINAL_TIMEM", 0)
    order = sampling.plan_epoch(50, 25, 0, 0).clips
    loud = np.isin(np.arange(50), order[:25])
    dataset = Noise([(16_000, 1.0 if loud[i] else 0.001) for i in range(50)])
    pooled = normalisation(dataset, 98, progress=False)
    assert normalisation(dataset, 98, method="original", progress=False) == pytest.approx(pooled)  # one batch
    monkeypatch.setattr(module, "ORIGINAL_BATCH", 25)
    mean, std = normalisation(dataset, 98, method="original", progress=False)
    assert mean == pytest.approx(pooled[0]) and std < 0.8 * pooled[1]


def test_bad_clips_are_left_out():
    good = [(16_000, 0.5), (18_000, 0.1)]
    for method in ("pooled", "original"):
        mean, std = normalisation(Noise([*good, (9, None), (399, 1.0)]), 100, method=method, progress=False)
        assert np.isfinite([mean, std]).all() and std > 1
    assert normalisation(Noise([*good, (9, None), (399, 1.0)]), 100, progress=False) == normalisation(
        Noise(good), 100, progress=False
    )
    with pytest.raises(DataIncomplete, match="no clip of noise can be used"):
        normalisation(Noise([(9, None), (399, 1.0)]), 100, progress=False)
    with pytest.raises(ValueError, match="pooled, original"):
        normalisation(Noise(good), 100, method="batch")


def test_real_clips_give_about_the_published_constants(esc50_root):
    """The original's pair for ESC-50 (egs/esc50/run_esc.sh) is -6.627 and 5.358; ours is of another copy."""
    mean, std = normalisation(ESC50(esc50_root), 512, limit=400, progress=False)
    assert mean == pytest.approx(-6.627, abs=0.35) and std == pytest.approx(5.358, abs=0.3)


def test_durations():
    dataset = Noise([(16_000, 1.0), (8_000, 1.0), (9, None), (80_000, 0.1), (48_000, 0.1)])
    assert np.array_equal(dataset.durations(), [1, 0.5, np.nan, 5, 3], equal_nan=True)
    for data in (dataset, dataset.preload(progress=False)):
        assert duration_stats(data) == {
            "count": 4, "total_hours": 9.5 / 3600, "min": 0.5, "median": 2, "mean": 2.375, "p95": 5, "max": 5,
        }  # fmt: skip
    with pytest.raises(DataIncomplete, match="no clip of noise can be read"):
        duration_stats(Noise([(9, None)]))


def test_durations_of_real_clips_come_from_their_headers(esc50_root, monkeypatch):
    dataset = ESC50(esc50_root, split="test")
    monkeypatch.setattr(ESC50, "read", lambda *_: pytest.fail("decoded"))
    assert duration_stats(dataset)["total_hours"] == pytest.approx(400 * 5 / 3600)
