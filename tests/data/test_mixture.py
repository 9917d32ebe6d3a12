"""Mixtures: each is a function of its number, the labels are those of what was added, and skew is a power law."""

import itertools

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from astlib import data
from astlib.data import ESC50, Mixture, Synthetic, Targets
from astlib.data.base import AudioDataset, Loadable
from astlib.errors import AudioError


class Tones(AudioDataset):
    """Clip i is a constant of its own level and length, so that a sum can be taken apart."""

    name = "tones"

    def __init__(self, clips: int, classes: int, lengths=(1000,), level: float = 2**-6):
        self.lengths, self.level = lengths, level
        targets = torch.eye(classes)[torch.arange(clips) % classes]
        labels, names = [f"c{i}" for i in range(classes)], [f"t{i}" for i in range(clips)]
        super().__init__(labels, names, targets, None, range(clips))

    def read(self, source):
        return torch.full((self.lengths[source % len(self.lengths)],), self.level)

    def fingerprint(self, source):
        return repr((source, self.lengths, self.level)).encode()


def test_a_mixture_is_the_sum_of_its_clips_and_has_their_labels():
    base = Synthetic(split="test")
    mixture = Mixture(base, clips=60)
    assert mixture.multi_label and mixture.is_synthetic and mixture.name == "synthetic-mixture"
    assert mixture.labels == base.labels and len(mixture) == 60 and mixture.folds is None
    for i, (rows, gains, _) in enumerate(mixture.sources):
        assert len(rows) in (2, 3) and len(set(rows)) == len(rows)
        assert all(10**-0.25 <= gain <= 10**0.25 for gain in gains), "5 dB"
        total = sum(gain * base.waveform(row) for row, gain in zip(rows, gains, strict=True))
        loudest = max(1.0, total.abs().max().item())
        torch.testing.assert_close(mixture.waveform(i), total / loudest)
        assert torch.equal(mixture.targets[i], base.targets[list(rows)].amax(0))
    sizes = {len(rows) for rows, _, _ in mixture.sources}
    assert sizes == {2, 3}
    with pytest.raises(IndexError):
        mixture[60]


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**31),
    fewest=st.integers(1, 4),
    more=st.integers(0, 3),
    skew=st.floats(0, 3),
    seconds=st.one_of(st.none(), st.floats(0.025, 0.3)),
    level=st.sampled_from([2**-6, 0.3, 0.99]),
)
def test_any_mixture(seed, fewest, more, skew, seconds, level):
    base = Tones(40, 8, lengths=(1000, 3000, 2000), level=level)
    mixture = Mixture(base, 12, (fewest, fewest + more), seed, skew, seconds)
    for i, (rows, _, _) in enumerate(mixture.sources):
        sound = mixture.waveform(i)
        longest = max(len(base.waveform(row)) for row in rows)
        assert len(sound) == (longest if seconds is None else round(seconds * 16_000))
        assert len(sound) == pytest.approx(16_000 * mixture.seconds(mixture.sources[i]))
        assert 0 < sound.abs().max() <= 1
        assert fewest <= len(rows) <= fewest + more
        assert mixture.targets[i].sum() == len(rows), "each of another class"


def test_a_mixture_depends_on_its_number_alone():
    """Not on how many there are, on which were read before, or on what was preloaded."""
    base = Synthetic(split="test")
    few, many = Mixture(base, 5), Mixture(base, 9)
    assert few.sources == many.sources[:5] and torch.equal(few.waveform(4), many.waveform(4))
    again = Mixture(Synthetic(split="test"), 9).preload(progress=False)
    for i in (8, 0, 3):
        assert torch.equal(again.waveform(i), many.waveform(i))
    assert again._clips is None and again.base._clips is not None, "the clips are kept, not the sums"
    assert again.manifest_hash() == many.manifest_hash() != Mixture(base, 9, seed=1).manifest_hash()
    other_clips = Mixture(Synthetic(split="test", seed=1), 9)
    assert other_clips.sources == many.sources and other_clips.manifest_hash() != many.manifest_hash()
    assert many.manifest_hash() != Mixture(base, 9, seconds=4.0).manifest_hash()


def test_memory_is_that_of_the_clips_not_of_the_sums():
    base = Tones(4, 4, lengths=(1000, 3000))
    mixture = Mixture(base, 100)
    kept = sum(clip.nbytes for clip in mixture.preload(progress=False).base._clips)
    assert mixture.estimated_bytes() == kept == mixture.select(rows=[0]).estimated_bytes() == 4 * 8000


def test_seeds_give_other_mixtures():
    base = Tones(40, 8)
    drawn = [tuple(Mixture(base, 20, seed=seed).sources) for seed in range(5)]
    assert all(a != b for a, b in itertools.combinations(drawn, 2))
    assert len(set(itertools.chain(*drawn))) == 100


@pytest.mark.parametrize("skew", [0.0, 1.0, 2.0])
def test_classes_are_drawn_by_the_power_law(skew):
    """Chi-square of the first class of each mixture against rank ** -skew; ranks by frequency, as the law is steep."""
    base = Tones(60, 6)
    mixture = Mixture(base, 6000, skew=skew, seed=3)
    first = np.array([rows[0] % 6 for rows, _, _ in mixture.sources])
    counts = np.bincount(first, minlength=6)
    expected = np.arange(1.0, 7.0) ** -skew
    expected *= 6000 / expected.sum()
    counts = np.sort(counts)[::-1] if skew else counts
    assert stats.chisquare(counts, expected).pvalue > 1e-3
    if skew:  # a second rank is drawn as often as said too, given the first
        best = np.argsort(np.bincount(first, minlength=6))[::-1]
        after = np.array([rows[1] % 6 for rows, _, _ in mixture.sources if rows[0] % 6 == best[0]])
        odds = np.arange(2.0, 7.0) ** -skew
        assert stats.chisquare(np.bincount(after, minlength=6)[best[1:]], len(after) * odds / odds.sum()).pvalue > 1e-3


def test_another_seed_makes_other_classes_rare():
    common = {int(Mixture(Tones(60, 6), 500, seed=seed, skew=2).classes.counts().argmax()) for seed in range(12)}
    assert len(common) > 2


def test_clips_of_a_class_are_all_used():
    mixture = Mixture(Tones(60, 6), 1000, skew=0)
    used = np.bincount([row for rows, _, _ in mixture.sources for row in rows], minlength=60)
    assert stats.chisquare(used).pvalue > 1e-3


def test_short_clips_lie_anywhere_and_long_ones_are_cut_anywhere():
    starts = [
        int(Mixture(Tones(2, 2, lengths=(100,)), 40, (1, 1), seconds=0.1).waveform(i).nonzero()[0]) for i in range(40)
    ]
    assert min(starts) < 300 and max(starts) > 1200 and all(0 <= start <= 1500 for start in starts)

    class Ramp(Tones):
        def read(self, source):
            return torch.arange(16_000) / 16_000

    cuts = Mixture(Ramp(2, 2), 40, (1, 1), seconds=0.1)
    gains = [gain for _, (gain,), _ in cuts.sources]
    begins = [cuts.waveform(i)[0].item() / gain for i, gain in enumerate(gains)]
    assert min(begins) < 0.15 and max(begins) > 0.6


def test_classes_without_clips_are_never_drawn():
    base = Synthetic(split="test").select(rows=[0, 1, 2, 10, 11, 12])
    mixture = Mixture(base, 50)
    assert (mixture.classes.counts()[3:] == 0).all() and (mixture.classes.counts()[:3] > 0).all()
    assert mixture.targets.shape == (50, 10)


def test_a_base_with_several_labels_gives_all_of_them():
    base = Tones(4, 4)
    base.classes = Targets.from_lists([[0, 1], [1, 2], [3], [0, 3]], 4)
    mixture = Mixture(base, 40, (2, 2))
    for i, (rows, _, _) in enumerate(mixture.sources):
        assert torch.equal(mixture.targets[i], base.classes.take(rows).dense().amax(0))


def test_selection_keeps_the_sounds():
    mixture = Mixture(Synthetic(split="test"), 40)
    rare = mixture.select(labels=["siren", "engine"])
    for i, name in enumerate(rare.names):
        j = mixture.names.index(name)
        assert torch.equal(rare.waveform(i), mixture.waveform(j)) and rare.targets[i].sum() >= 1
    assert len(rare) < len(mixture)


def test_numbers_that_make_no_mixture_are_refused():
    base = Tones(6, 3)
    for wrong, message in [
        ({"parts": (2, 4)}, "from 1 to the 3 classes of tones; got"),
        ({"parts": (3, 2)}, "fewest, most"),
        ({"parts": (0, 2)}, "fewest, most"),
        ({"clips": 0}, "clips must be 1"),
        ({"skew": -1}, "skew 0 or more"),
        ({"seconds": 0.01}, "seconds 0.025"),
    ]:
        with pytest.raises(ValueError, match=message):
            Mixture(base, **wrong)


def test_a_broken_clip_breaks_its_mixtures_alone():
    class Broken(Tones):
        def read(self, source):
            if source == 0:
                raise AudioError("t0: is truncated")
            return super().read(source)

    mixture = Mixture(Broken(20, 4), 100, skew=0).preload(progress=False)
    loadable = Loadable(mixture)
    hit = [i for i, (rows, _, _) in enumerate(mixture.sources) if 0 in rows]
    assert hit and [i for i in range(100) if loadable[i]["problem"]] == hit
    assert mixture.check(progress=False).counts()["unreadable"] == len(hit)


def test_parts_of_esc50_mixture(esc50_root):
    """Every clip of a training mixture is of the training folds, by the original's list; the test part likewise."""
    for fold, validation in [(1, False), (5, True)]:
        train, val, test = data.parts("esc50-mixture", fold, validation)
        held_out = {fold} | ({fold % 5 + 1} if validation else set())
        for part, folds, clips in [(train, {1, 2, 3, 4, 5} - held_out, 2000), (test, {fold}, 500)]:
            used = {part.base.names[row] for rows, _, _ in part.sources for row in rows}
            assert {int(name[0]) for name in used} == folds and len(part) == clips, "names begin with the fold"
            assert part.name == "esc50-mixture" and part.multi_label and len(part.labels) == 50
        assert {int(name[0]) for name in val.base.names} == {fold % 5 + 1} if validation else val is None
        counts = np.sort(train.classes.counts())
        assert counts[-1] > 10 * max(counts[0], 1), "skew 1: the first is drawn up to 50 times as often as the last"
        assert test.classes.counts().min() > 5
    assert len({part.manifest_hash() for part in (test, data.parts("esc50-mixture", 5)[2])}) == 1


def test_real_clips_add_up(esc50_root):
    mixture = Mixture(ESC50(fold=1, split="test"), 20)
    for i, (rows, gains, _) in enumerate(mixture.sources):
        paths = [mixture.base.sources[row] for row in rows]
        read = [soundfile.read(path, dtype="float32") for path in paths]
        if all(rate == 16_000 for _, rate in read):
            clips = [torch.from_numpy(clip).clamp(-1, 1) for clip, _ in read]
            total = sum(gain * clip for clip, gain in zip(clips, gains, strict=True))
            torch.testing.assert_close(mixture.waveform(i), total / total.abs().max().clamp(min=1), atol=1e-4, rtol=0)
        assert len(mixture.waveform(i)) == 80_000
