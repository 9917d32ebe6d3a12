"""Windows over long clips: training hears all of a clip over the epochs, and measuring agrees with predicting."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from astlib.data import AudioDataset, Targets
from astlib.data.windows import EveryWindow, OneWindow, collate_windows, starts
from astlib.decisions import to_probabilities
from astlib.errors import AudioError
from astlib.frontend import LogMel
from astlib.measure import evaluate, over_windows
from astlib.model import AST, ASTConfig
from astlib.predict import probabilities
from astlib.train.sampling import plan_epoch

FRAMES = 32
LOG_MEL = LogMel()
WINDOW = LOG_MEL.sample_count(FRAMES)
# Samples: shorter than the input, exactly as long, one frame longer, and several windows long.
LENGTHS = (3_000, WINDOW, WINDOW + 160, 20_000, 31_237, 400)


class Noises(AudioDataset):
    """Clips of noise of these lengths; a clip of length 0 cannot be read."""

    name = "noises"

    def __init__(self, lengths=LENGTHS):
        classes = Targets.from_lists([[i % 2] for i in range(len(lengths))], 2)
        names = [f"clip {i}" for i in range(len(lengths))]
        super().__init__(["a", "b"], names, classes, None, list(enumerate(lengths)))

    def read(self, source):
        seed, length = source
        if not length:
            raise AudioError("is empty")
        noise = torch.rand(length, generator=torch.Generator().manual_seed(seed)) - 0.5
        return noise * torch.linspace(1, 0.001, length)  # so that its beginning differs from its end


NOISES = Noises()
ONE_WINDOW = OneWindow(NOISES, FRAMES)


@given(st.integers(1, 5000), st.integers(2, 1200), st.one_of(st.none(), st.integers(1, 600)))
def test_windows_reach_from_the_first_frame_to_the_last(total, frames, hop):
    begins = starts(total, frames, hop)
    assert begins[0] == 0 and begins == sorted(set(begins))
    assert begins == [0] if total <= frames else begins[-1] == total - frames
    assert max(np.diff(begins), default=0) <= (hop or frames // 2)


@settings(deadline=None)
@given(st.integers(0, len(LENGTHS) - 1), st.floats(0, 1, exclude_max=True))
def test_a_window_to_train_on_is_a_part_of_the_clip_at_a_whole_frame(clip, where):
    whole, part = NOISES.waveform(clip), ONE_WINDOW[clip, where]["waveform"]
    if len(whole) < WINDOW + 160:
        assert torch.equal(part, whole[:WINDOW]), "a clip that fits is heard whole"
        return
    first = int(where * (LOG_MEL.frame_count(len(whole)) - FRAMES + 1)) * 160
    assert torch.equal(part, whole[first : first + WINDOW]) and len(part) == WINDOW


def test_over_the_epochs_every_window_of_a_clip_is_heard():
    spare = LOG_MEL.frame_count(20_000) - FRAMES  # 91 frames
    plans = [plan_epoch(1, 1, seed=0, epoch=epoch) for epoch in range(1, 1001)]
    heard = np.bincount([int(where * (spare + 1)) for plan in plans for _, where in plan.windows(0)])
    assert len(heard) == spare + 1 and heard.min() > 0 and heard.max() < 30, "about 11 times each"


@pytest.mark.parametrize("mixup", [0.0, 0.5])
def test_processes_share_the_windows_of_a_step_and_a_repeated_clip_has_several(mixup):
    plan = plan_epoch(23, 8, seed=3, epoch=2, weights=np.r_[1.0, np.zeros(22)], mixup=mixup)
    for step in range(len(plan)):
        one = plan.windows(step)
        assert [clip for clip, _ in one] == plan.indices(step)
        own = len(plan.pairs(step)[1])
        assert len({where for _, where in one[:own]}) == own
        shared = [plan.windows(step, rank, 3) for rank in range(3)]
        counts = [len(plan.pairs(step, rank, 3)[1]) for rank in range(3)]
        assert [place for rank in range(3) for place in shared[rank][: counts[rank]]] == one[:own]
        partners = [place for rank in range(3) if counts[rank] for place in shared[rank][counts[rank] :]]
        assert partners == one[own:]


def test_clips_that_fit_give_the_batch_that_they_always_gave():
    data = Noises((3_000, 400, WINDOW))
    windows = EveryWindow(data, FRAMES)
    batch = collate_windows([windows[i] for i in range(3)])
    assert batch.index.tolist() == [0, 1, 2] and batch.lengths.tolist() == [3_000, 400, WINDOW]
    assert all(torch.equal(batch.waveforms[i, : batch.lengths[i]], data.waveform(i)) for i in range(3))


@pytest.fixture(scope="module", params=[False, True], ids=["one class", "several classes"])
def model(request):
    torch.manual_seed(0)
    network = AST(ASTConfig(label_dim=2, input_tdim=FRAMES, model_size="tiny224", multi_label=request.param))
    torch.nn.init.normal_(network.mlp_head[1].weight, std=0.1)  # far from 0.5
    return network.eval()


def test_measuring_agrees_with_predicting(model, record_property):
    data = Noises()
    found = to_probabilities(evaluate(model, data, batch=2, progress=False).logits, model.cfg.multi_label)
    predicted = torch.stack([probabilities(model, data.waveform(i)) for i in range(len(data))])
    gap = (found - predicted).abs().max().item()
    record_property("figures", f"evaluate against predict on clips of 1 to 6 windows: {gap:.1e}")
    assert gap < 1e-5 and (predicted - 0.5).abs().max() > 0.1
    first = to_probabilities(evaluate(model, data, progress=False, windows=False).logits, model.cfg.multi_label)
    longer = torch.tensor([length >= WINDOW + 160 for length in LENGTHS])
    torch.testing.assert_close(first[~longer], found[~longer], rtol=1e-5, atol=1e-6)
    assert ((first - found).abs().amax(dim=1) > 1e-4).tolist() == longer.tolist()


def test_a_clip_counts_once_however_many_windows_it_has_and_one_that_is_broken_counts_nowhere(model):
    data = Noises((20_000, 0, 31_237))
    found = evaluate(model, data, batch=2, progress=False)
    assert found.names == ["clip 0", "clip 2"] and list(found.unusable.problems) == ["clip 1"]
    assert found.metrics["accuracy"] == (found.logits.argmax(dim=1) == 0).float().mean().item()


@settings(deadline=None)
@given(st.integers(1, 6), st.booleans(), st.integers(0, 1000), st.sampled_from([1.0, 30.0]))
def test_the_mean_over_windows_is_that_of_probabilities(windows, multi_label, seed, size):
    logits = size * torch.randn(windows, 4, generator=torch.Generator().manual_seed(seed))
    mean = to_probabilities(logits.double(), multi_label).mean(dim=0)
    found = over_windows(logits, multi_label)
    assert found.dtype == torch.float32 and found.isfinite().all()
    torch.testing.assert_close(to_probabilities(found.double(), multi_label), mean, rtol=1e-4, atol=1e-7)
