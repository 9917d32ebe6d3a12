"""LogMel against three filter banks that we did not write, and against what must hold for any filter bank."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchaudio.compliance import kaldi

from astlib import audio
from astlib.data import Synthetic
from astlib.frontend import LogMel, hz_to_mel, mel_filters, normalise, pad_or_cut

EPS = torch.finfo(torch.float32).eps
SILENCE = math.log(EPS)


def original(waveform, window="hanning", n_mels=128, sample_rate=16_000):
    """The call of the original (src/dataloader.py:129-130)."""
    return kaldi.fbank(
        waveform[None],
        htk_compat=True,
        sample_frequency=sample_rate,
        use_energy=False,
        window_type=window,
        num_mel_bins=n_mels,
        dither=0.0,
        frame_shift=10,
    )


def in_double_precision(waveform):
    """The same steps in float64: what both would give if they never rounded."""
    frames = waveform.double().unfold(-1, 400, 160)
    frames = frames - frames.mean(-1, keepdim=True)
    frames = frames - 0.97 * torch.cat([frames[:, :1], frames[:, :-1]], -1)
    window = torch.hann_window(400, periodic=False, dtype=torch.float64)
    return (torch.fft.rfft(frames * window, n=512).abs() ** 2 @ mel_filters()).clamp(min=EPS).log()


def noise(*shape, seed=0):
    return 0.2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def clips():
    """One made sound of each class."""
    data = Synthetic(split="test").select(limit_per_class=1)
    return torch.stack([data.waveform(i) for i in range(len(data))])


# --- parity --------------------------------------------------------------------------------------------


def test_kaldi_on_real_clips(esc50_root, record_property):
    front, means, largest = LogMel(), [], []
    for path in sorted((esc50_root / "audio").iterdir())[::80]:
        waveform = audio.load(path)
        ours, theirs = front(waveform)[0], original(waveform)
        assert ours.shape == theirs.shape
        difference = (ours - theirs).abs()
        means.append(difference.mean().item())
        largest.append(difference.max().item())
    report = f"{len(means)} clips: mean |difference| at most {max(means):.1e}, largest {max(largest):.1e}"
    record_property("figures", f"Kaldi parity, {report}")
    assert max(means) < 1e-4 and np.median(largest) < 1e-3


def test_kaldi_on_made_clips(clips):
    ours = LogMel()(clips)
    for mel, waveform in zip(ours, clips, strict=True):
        assert (mel - original(waveform)).abs().mean() < 1e-4


def test_as_close_to_exact_arithmetic_as_kaldi(clips):
    ours, theirs = [], []
    for waveform in clips:
        exact = in_double_precision(waveform)
        ours.append((LogMel()(waveform)[0] - exact).abs().mean())
        theirs.append((original(waveform) - exact).abs().mean())
    assert sum(ours) < 1.5 * sum(theirs)


@settings(deadline=None, max_examples=40)
@given(
    samples=st.integers(1600, 9000),
    n_mels=st.sampled_from([23, 40, 64, 80, 128]),
    sample_rate=st.sampled_from([8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000]),
    window=st.sampled_from(["hann", "hamming"]),
    seed=st.integers(0, 100),
)
def test_kaldi_in_other_settings(samples, n_mels, sample_rate, window, seed):
    waveform = noise(samples, seed=seed)
    front = LogMel(n_mels, sample_rate, window)
    theirs = original(waveform, {"hann": "hanning", "hamming": "hamming"}[window], n_mels, sample_rate)
    ours = front(waveform)[0]
    assert ours.shape == theirs.shape == (front.frame_count(samples), n_mels)
    assert (ours - theirs).abs().mean() < 1e-4


@pytest.mark.parametrize("n_mels", [64, 80])
def test_kaldi_without_torch(clips, n_mels):
    knf = pytest.importorskip("kaldi_native_fbank", reason="kaldi-native-fbank is not installed")
    options = knf.FbankOptions()
    options.frame_opts.dither, options.frame_opts.window_type = 0.0, "hanning"
    options.mel_opts.num_bins = n_mels
    options.use_energy = False
    for waveform in clips[::3]:
        bank = knf.OnlineFbank(options)
        bank.accept_waveform(16_000, waveform.tolist())
        bank.input_finished()
        theirs = np.stack([bank.get_frame(i) for i in range(bank.num_frames_ready)])
        ours = LogMel(n_mels)(waveform)[0].numpy()
        assert ours.shape == theirs.shape and np.abs(ours - theirs).mean() < 1e-4


def test_transformers_feature_extractor(clips):
    """Filter bank, padding and normalisation together, in AudioSet's setting."""
    from transformers import ASTFeatureExtractor

    extractor = ASTFeatureExtractor()
    theirs = extractor(clips[0].numpy(), sampling_rate=16_000, return_tensors="pt").input_values
    ours = normalise(pad_or_cut(LogMel()(clips[0]), 1024), extractor.mean, extractor.std)
    assert ours.shape == theirs.shape == (1, 1024, 128)
    assert (ours - theirs).abs().mean() < 1e-5


def test_filters_are_kaldis():
    theirs, _ = kaldi.get_mel_banks(128, 512, 16_000.0, 20.0, 0.0, 100.0, -500.0, 1.0)
    assert (mel_filters()[:256].T - theirs).abs().max() < 1e-4


# --- what must hold ------------------------------------------------------------------------------------


def test_one_filter_is_empty():
    empty = (mel_filters(128) == 0).all(0)
    assert empty.nonzero().flatten().tolist() == [3]
    assert not (mel_filters(64) == 0).all(0).any() and not (mel_filters(80) == 0).all(0).any()
    constant = (LogMel()(noise(16_000))[0] - SILENCE).abs().max(0).values < 1e-5
    assert constant.nonzero().flatten().tolist() == [3]


def test_digital_silence_is_the_floor():
    mel = LogMel()(torch.zeros(2, 16_000))
    assert torch.allclose(mel, torch.tensor(SILENCE)) and round(SILENCE, 3) == -15.942


@pytest.mark.parametrize("hz", [300, 1000, 3000, 7000])
def test_a_tone_is_loudest_in_its_filter(hz):
    tone = 0.5 * torch.sin(2 * math.pi * hz * torch.arange(16_000) / 16_000)
    edges = hz_to_mel(torch.tensor([20.0, 8000.0, hz]))
    expected = ((edges[2] - edges[0]) / (edges[1] - edges[0]) * 129 - 1).item()
    assert abs(LogMel()(tone)[0].mean(0).argmax() - expected) < 1.5  # an FFT bin is wider than a low filter


@settings(deadline=None, max_examples=25)
@given(gain=st.floats(0.1, 4), shift=st.floats(-1, 1), seed=st.integers(0, 100))
def test_gain_adds_and_shift_vanishes(gain, shift, seed):
    waveform, front = noise(4000, seed=seed), LogMel(64)
    mel = front(waveform)
    assert torch.allclose(front(gain * waveform), mel + 2 * math.log(gain), atol=1e-3)
    assert (front(waveform + shift) - mel).abs().mean() < 1e-3


@settings(deadline=None, max_examples=25)
@given(lengths=st.lists(st.integers(400, 5000), min_size=1, max_size=5), extra=st.integers(0, 700))
def test_a_batch_is_its_clips_padded_after_the_logarithm(lengths, extra):
    front = LogMel()
    waveforms = [noise(length, seed=i) for i, length in enumerate(lengths)]
    batch = torch.zeros(len(lengths), max(lengths) + extra)
    for row, waveform in zip(batch, waveforms, strict=True):
        row[: len(waveform)] = waveform
    together = front(batch, torch.tensor(lengths))
    assert together.shape == (len(lengths), front.frame_count(batch.shape[1]), 128)
    for mel, waveform in zip(together, waveforms, strict=True):
        alone = pad_or_cut(front(waveform), len(mel))[0]
        assert torch.allclose(mel, alone, atol=1e-4) and torch.equal(mel == 0, alone == 0)


def test_what_lies_behind_a_clips_end_does_not_matter():
    clean, dirty = torch.zeros(1, 3000), torch.ones(1, 3000)
    clean[:, :2000] = dirty[:, :2000] = noise(1, 2000)
    lengths = torch.tensor([2000])
    assert torch.equal(LogMel()(clean, lengths), LogMel()(dirty, lengths))


@pytest.mark.parametrize(
    ("samples", "frames"),
    [(0, 0), (399, 0), (400, 1), (559, 1), (560, 2), (16_000, 98), (80_000, 498), (160_000, 998)],
)
def test_frame_count(samples, frames):
    front = LogMel()
    assert front.frame_count(samples) == frames and isinstance(front.frame_count(samples), int)
    counted = front.frame_count(torch.tensor([samples, samples]))
    assert counted.tolist() == [frames, frames] and counted.dtype == torch.int64
    if frames:
        assert front(torch.zeros(samples)).shape == (1, frames, 128)


def test_hamming_is_the_papers_window():
    waveform = noise(16_000)
    hann, hamming = LogMel()(waveform), LogMel(window="hamming")(waveform)
    assert (hamming - original(waveform, "hamming")).abs().mean() < 1e-4
    assert (hann - hamming).abs().mean() > 0.05


# --- a module among others -----------------------------------------------------------------------------


def test_nothing_of_it_is_in_a_checkpoint():
    assert not LogMel().state_dict() and not list(LogMel().parameters())


def test_always_float32():
    waveforms = noise(2, 4000)
    expected = LogMel()(waveforms)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(LogMel()(waveforms), expected)
    for cast in (torch.nn.Module.half, torch.nn.Module.bfloat16, torch.nn.Module.double):
        assert torch.equal(cast(torch.nn.Sequential(LogMel()))(waveforms), expected)
    assert LogMel()(waveforms.double()).dtype == torch.float32


def test_gradients_flow():
    waveforms = noise(2, 4000).requires_grad_()
    LogMel()(waveforms).sum().backward()
    assert waveforms.grad.isfinite().all() and waveforms.grad.abs().max() > 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_same_on_a_gpu(clips):
    lengths = torch.full((len(clips),), 50_000)
    front = LogMel().cuda()
    assert (front(clips.cuda(), lengths).cpu() - LogMel()(clips, lengths)).abs().mean() < 1e-4


# --- errors --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("waveforms", "message"),
    [
        (torch.zeros(399), "at least 400 samples.*found 399"),
        (torch.zeros(16_000, 2), "found 2. Is time the last axis"),
        (torch.zeros(1, 2, 16_000), r"\(batch, samples\) or \(samples,\); found \(1, 2, 16000\)"),
        (torch.zeros(()), r"found \(\)"),
        (torch.zeros(0, 16_000), r"found \(0, 16000\)"),
        (torch.zeros(16_000, dtype=torch.int16), "torch.int16.*32768"),
        (torch.zeros(16_000, dtype=torch.complex64), "complex64"),
        (np.zeros(16_000, np.float32), "ndarray.*from_numpy"),
        (torch.full((16_000,), torch.nan), "NaN"),
        (torch.full((16_000,), torch.inf), "infinite"),
    ],
)
def test_wrong_waveforms(waveforms, message):
    with pytest.raises(ValueError, match=message):
        LogMel()(waveforms)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        (torch.tensor([4000]), r"2 integers, one per clip; found torch.int64 \(1,\)"),
        (torch.tensor([4000.0, 4000.0]), "integers.*float32"),
        (torch.tensor([4000, 4001]), "4001 samples, but the batch has only 4000"),
        (torch.tensor([4000, 399]), "at least 400 samples per clip.*says 399"),
    ],
)
def test_wrong_lengths(lengths, message):
    with pytest.raises(ValueError, match=message):
        LogMel()(torch.zeros(2, 4000), lengths)


@pytest.mark.parametrize("arguments", [{"window": "hanning"}, {"n_mels": 3}, {"sample_rate": 16}])
def test_wrong_settings(arguments):
    with pytest.raises(ValueError, match=f"{next(iter(arguments))} must be"):
        LogMel(**arguments)


# --- padding and normalisation -------------------------------------------------------------------------


@settings(deadline=None, max_examples=50)
@given(frames=st.integers(1, 30), target=st.integers(1, 40), data=st.data())
def test_pad_or_cut_keeps_the_head(frames, target, data):
    counts = torch.tensor(data.draw(st.lists(st.integers(1, frames), min_size=2, max_size=2)))
    mel = torch.randn(2, frames, 4) + 10
    plain, counted = pad_or_cut(mel, target), pad_or_cut(mel, target, counts, fill=-1.0)
    assert plain.shape == counted.shape == (2, target, 4)
    head = min(frames, target)
    assert torch.equal(plain[:, :head], mel[:, :head]) and (plain[:, head:] == 0).all()
    for i, count in enumerate(counts.clamp(max=target)):
        assert torch.equal(counted[i, :count], mel[i, :count]) and (counted[i, count:] == -1).all()


def test_normalise_gives_a_standard_deviation_of_one_half():
    mel = 3 * torch.randn(4, 500, 128) - 6
    normal = normalise(mel, -6.0, 3.0)
    assert abs(normal.mean()) < 0.01 and abs(normal.std() - 0.5) < 0.01
    assert normalise(torch.tensor(0.0), -4.2677393, 4.5689974).item() == pytest.approx(0.467, abs=1e-3)
