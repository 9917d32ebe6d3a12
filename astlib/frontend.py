"""Sound as the network sees it: the log-mel filter bank, frame by frame as Kaldi computes it.

Chapter: notebooks/01_sound_to_spectrogram.ipynb

A waveform is cut into windows of 25 ms, one every 10 ms. Each window loses its mean, is pre-emphasised,
tapered and Fourier transformed; its power spectrum is summed under triangles that stand evenly on the mel
scale; the natural logarithm of the sums is one row of the spectrogram.

The numbers are those of Kaldi's `compute-fbank-feats` in the original's setting (original:
src/dataloader.py:129). Two properties of that setting are worth knowing:

- Waveforms are in [-1, 1]. Kaldi's own tools feed 16-bit integers, which adds 2 ln 32768 = 20.79.
- With 128 mels at 16 kHz the lowest triangles are narrower than the distance between two FFT bins. Filter
  index 3 contains none at all: it is ln(eps) = -15.942 in every frame of every sound.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FRAME_MS = 25
HOP_MS = 10
PREEMPHASIS = 0.97
LOW_HZ = 20.0
FLOOR = torch.finfo(torch.float32).eps  # power below it counts as silence: ln(eps) = -15.942
CPU_SAMPLES = 320_000  # worked on at a time
FILLS = ("zero", "silence", "mean")
WINDOWS = {"hann": torch.hann_window, "hamming": torch.hamming_window}


def hz_to_mel(hz: Tensor) -> Tensor:
    """Frequency in Hz to mel, HTK's formula: 1127 ln(1 + hz / 700)."""
    return 1127.0 * torch.log1p(hz / 700.0)


def mel_filters(n_mels: int = 128, n_fft: int = 512, sample_rate: int = 16_000) -> Tensor:
    """Kaldi's triangles from 20 Hz to half the sample rate, their sides straight on the mel scale.

    Returns (n_fft // 2 + 1, n_mels) float64: weight of every FFT bin in every filter. The bin at half the
    sample rate has weight 0 everywhere, as in Kaldi. At (128, 512, 16 000) filter index 3 is empty.
    """
    edges = hz_to_mel(torch.tensor([LOW_HZ, sample_rate / 2], dtype=torch.float64))
    corners = torch.linspace(edges[0], edges[1], n_mels + 2, dtype=torch.float64)
    left, centre, right = corners[:-2], corners[1:-1], corners[2:]
    bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64) * sample_rate / n_fft
    mel = hz_to_mel(bins)[:, None]
    triangles = torch.minimum((mel - left) / (centre - left), (right - mel) / (right - centre)).clamp(min=0)
    triangles[-1] = 0
    return triangles


class LogMel(nn.Module):
    """Waveforms in, log-mel spectrograms out: batched, on any device, always in float32.

    Args:
        n_mels: number of mel filters, 128 in AST.
        sample_rate: in Hz. Windows are 25 ms every 10 ms at any rate, the FFT is the next power of two
            (16 kHz: 400, 160 and 512 samples).
        window: "hann" is what the original runs; "hamming" is what the paper prints (paper §2.1). Both are
            symmetric.

    Raises:
        ValueError: an unknown window, fewer than 4 mels, or a rate too low for 20 Hz and one FFT bin.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, n_mels: int = 128, sample_rate: int = 16_000, window: str = "hann"):
        super().__init__()
        if window not in WINDOWS:
            raise ValueError(f"window must be one of {sorted(WINDOWS)}, got {window!r}")
        if n_mels < 4:
            raise ValueError(f"n_mels must be at least 4, as in Kaldi, got {n_mels}")
        if sample_rate < 1000:
            raise ValueError(f"sample_rate must be in Hz and at least 1000, got {sample_rate}")
        self.n_mels, self.sample_rate, self.window_name = n_mels, sample_rate, window
        self.frame_samples = sample_rate * FRAME_MS // 1000
        self.hop_samples = sample_rate * HOP_MS // 1000
        self.n_fft = 1 << (self.frame_samples - 1).bit_length()
        taper = WINDOWS[window](self.frame_samples, periodic=False, dtype=torch.float64)
        # Not persistent: they follow from the three arguments, and checkpoints hold what was learned.
        filters = mel_filters(n_mels, self.n_fft, sample_rate)
        self.register_buffer("window", taper.float(), persistent=False)
        self.register_buffer("filters", filters.float(), persistent=False)

    def forward(self, waveforms: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Log-mel spectrograms in natural log of power, not normalised.

        Args:
            waveforms: (batch, samples) in [-1, 1], or (samples,), which counts as a batch of one.
            lengths: (batch,) integers, the samples that are really there in each row. Frames past a clip's
                own end become 0.0, as if the padding had been added after the logarithm. That is what the
                original does (src/dataloader.py:132-142), and 0.0 is neither silence nor the mean.

        Returns:
            (batch, frames, n_mels) float32, frames as in `frame_count`. Gradients flow through. Where TF32
            matrix products are switched on, the last three digits are lost.

        Raises:
            ValueError: a wrong shape or dtype, NaN or infinite samples, or a clip shorter than one window.
        """
        waveforms = self._checked(waveforms)
        counts = None if lengths is None else self.frame_counts(waveforms, lengths)
        batch, samples = waveforms.shape
        # On a CPU a few clips at a time stay in its cache; every step over a whole batch would leave it.
        rows = max(1, CPU_SAMPLES // samples) if waveforms.device.type == "cpu" else batch
        with torch.autocast(waveforms.device.type, enabled=False):
            mel = torch.cat([self._log_mel(part) for part in waveforms.split(rows)])
        return mel if counts is None else pad_or_cut(mel, mel.shape[1], counts)

    def _log_mel(self, waveforms: Tensor) -> Tensor:
        frames = waveforms.unfold(-1, self.frame_samples, self.hop_samples)
        frames = frames - frames.mean(-1, keepdim=True)
        previous = torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)  # the first sample is repeated
        frames = torch.sub(frames, previous, alpha=PREEMPHASIS) * self.window
        spectrum = torch.fft.rfft(frames, n=self.n_fft)
        power = spectrum.real.square() + spectrum.imag.square()
        return (power @ self.filters).clamp(min=FLOOR).log()

    def frame_count(self, samples):
        """Frames that fit wholly into so many samples, 0 if shorter than one window (Kaldi's snip_edges).

        An int gives an int, a tensor gives an integer tensor. At 16 kHz: 1 s 98, 5 s 498, 10 s 998 frames.
        """
        frames = 1 + (samples - self.frame_samples) // self.hop_samples
        return frames.clamp(min=0) if isinstance(frames, Tensor) else max(0, frames)

    def _checked(self, waveforms: Tensor) -> Tensor:
        if not isinstance(waveforms, Tensor) or not waveforms.is_floating_point():
            found = waveforms.dtype if isinstance(waveforms, Tensor) else type(waveforms).__name__
            raise ValueError(
                f"LogMel expects a float tensor with samples in [-1, 1], got {found}. Divide 16-bit integers "
                "by 32768; turn NumPy arrays into tensors with torch.from_numpy."
            )
        if waveforms.ndim not in (1, 2) or 0 in waveforms.shape[:-1]:
            raise ValueError(
                f"LogMel expects (batch, samples) or (samples,), got {tuple(waveforms.shape)}. "
                "Mix channels down first: waveform.mean(0)."
            )
        needed, given = self.frame_samples, waveforms.shape[-1]
        if given < needed:
            raise ValueError(
                f"LogMel needs at least {needed} samples (25 ms at {self.sample_rate} Hz), got {given}. "
                "Is time the last axis?"
            )
        if not torch.isfinite(waveforms).all():
            raise ValueError("LogMel got NaN or infinite samples; the log-mel of such a sound is undefined")
        return waveforms.float().reshape(-1, given)

    def frame_counts(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        """`frame_count` of every clip of a batch, after a look whether `lengths` can be true."""
        batch, samples = waveforms.shape
        lengths = torch.as_tensor(lengths, device=waveforms.device)
        if lengths.shape != (batch,) or lengths.is_floating_point():
            raise ValueError(
                f"lengths must be {batch} integers, one a clip, got {lengths.dtype} {tuple(lengths.shape)}"
            )
        shortest, longest = lengths.min().item(), lengths.max().item()
        if longest > samples:
            raise ValueError(f"lengths says {longest} samples, but the batch has only {samples}")
        if shortest < self.frame_samples:
            raise ValueError(
                f"LogMel needs at least {self.frame_samples} samples a clip "
                f"(25 ms at {self.sample_rate} Hz), lengths says {shortest}"
            )
        return self.frame_count(lengths)

    def _apply(self, fn, recurse=True):
        # Buffers follow the device but never the dtype: in half precision the logarithm would be noise.
        device = fn(self.window).device
        self.window, self.filters = self.window.to(device), self.filters.to(device)
        return self

    def extra_repr(self) -> str:
        return f"n_mels={self.n_mels}, sample_rate={self.sample_rate}, window={self.window_name!r}"


def pad_or_cut(mel: Tensor, target: int, frame_counts: Tensor | None = None, fill: float = 0.0) -> Tensor:
    """Bring spectrograms to a fixed number of frames: the head is kept, padding comes at the end.

    Args:
        mel: (batch, frames, mels).
        target: frames of the result.
        frame_counts: (batch,) frames that are really there; those past a clip's own end are set to `fill`.
        fill: the original's padding is 0.0 in the log-mel (src/dataloader.py:132-142).

    Returns:
        (batch, target, mels).
    """
    mel = F.pad(mel, (0, 0, 0, target - mel.shape[-2]), value=fill)  # a negative amount cuts
    if frame_counts is None:
        return mel
    past = torch.arange(target, device=mel.device) >= frame_counts.to(mel.device)[:, None]
    return mel.masked_fill(past[..., None], fill)


def normalise(mel: Tensor, mean: float, std: float) -> Tensor:
    """(mel - mean) / (2 std): mean 0 and standard deviation 0.5, not 1 (original: src/dataloader.py:202).

    The constants belong to a data set. Released weights expect the pair that they were trained with.
    """
    return (mel - mean) / (2 * std)


class Features(nn.Module):
    """Waveforms to what an AST reads, as its configuration says: log-mel, padded or cut, normalised.

    The order is the original's (src/dataloader.py:129-209): pad, mask, then normalise, so that padding and masks share
    one value. `fill` is that value before normalisation.
    """

    def __init__(self, cfg):
        super().__init__()
        self.cfg = cfg
        self.log_mel = LogMel(n_mels=cfg.input_fdim)
        self.fill = fill_value(cfg.fill, cfg.mean)

    def mel(self, waveforms: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Waveforms `(batch, samples)`, really `lengths` samples each -> `(batch, input_tdim, input_fdim)` log-mel."""
        counts = None if lengths is None else self.log_mel.frame_counts(waveforms, lengths)
        return pad_or_cut(self.log_mel(waveforms), self.cfg.input_tdim, counts, self.fill)

    def normalise(self, mel: Tensor) -> Tensor:
        return normalise(mel, self.cfg.mean, self.cfg.std)

    def forward(self, waveforms: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Waveforms `(batch, samples)` -> the network's input `(batch, input_tdim, input_fdim)`, float32."""
        return self.normalise(self.mel(waveforms, lengths))


def fill_value(fill: str, mean: float) -> float:
    """The log-mel value of padding and masks: "zero" (the original's 0.0), "silence" (ln eps) or "mean" (`mean`).

    0.0 is what a rather loud sound has: after AudioSet's normalisation it is +0.467, silence -1.278, the mean 0.
    """
    return {"zero": 0.0, "silence": math.log(FLOOR), "mean": mean}[fill]
