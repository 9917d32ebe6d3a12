"""Sound as the network sees it: the log-mel filter bank, frame by frame as Kaldi computes it.

A waveform is cut into windows of 25 ms, one every 10 ms. The mean of each window is subtracted, and the window is
pre-emphasised, tapered and Fourier transformed. Its power spectrum is summed under triangles that are evenly spaced on
the mel scale; the natural logarithm of the sums is one row of the spectrogram.

The numbers are those of Kaldi's `compute-fbank-feats` in the original's setting (original: src/dataloader.py:129). Two
properties of that setting are worth knowing:

- Waveforms are in [-1, 1]. Kaldi's own tools feed 16-bit integers, which adds 2 ln 32768 = 20.79.
- With 128 mels at 16 kHz the lowest triangles are narrower than the distance between two FFT bins. Filter index 3
  contains no bin at all: its output is ln(eps) = -15.942 in every frame of every sound.

Chapter: notebooks/01_sound_to_spectrogram.ipynb
"""

import math
from collections.abc import Callable
from typing import Literal, Protocol, Self, get_args, overload

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .errors import InvalidInput

FRAME_MS = 25
HOP_MS = 10
PREEMPHASIS = 0.97
LOW_HZ = 20.0
FLOOR = torch.finfo(torch.float32).eps  # power below it counts as silence: ln(eps) = -15.942
CPU_SAMPLES = 320_000  # processed at a time on a CPU
Fill = Literal["zero", "silence", "mean"]
FILLS: tuple[Fill, ...] = get_args(Fill)
WINDOWS = {"hann": torch.hann_window, "hamming": torch.hamming_window}


class SoundConfig(Protocol):
    """What `Features` reads of a network's configuration, see `astlib.saved.NetworkConfig`."""

    @property
    def input_fdim(self) -> int:
        """Number of mel bins."""

    @property
    def input_tdim(self) -> int:
        """Number of frames."""

    @property
    def mean(self) -> float:
        """Mean of the log-mel values of the training data."""

    @property
    def std(self) -> float:
        """Standard deviation of the log-mel values of the training data."""

    @property
    def fill(self) -> Fill:
        """What padding consists of, see `fill_value`."""


def hz_to_mel(hz: Tensor) -> Tensor:
    """Convert frequencies to the mel scale by HTK's formula, 1127 ln(1 + hz / 700).

    Args:
        hz: frequencies in Hz, of any shape, floating point.

    Returns:
        The frequencies in mel, of the same shape and dtype.
    """
    return 1127.0 * torch.log1p(hz / 700.0)


def mel_filters(n_mels: int = 128, n_fft: int = 512, sample_rate: int = 16_000) -> Tensor:
    """Kaldi's triangular filters from 20 Hz to half the sample rate; their sides are straight on the mel scale.

    Args:
        n_mels: number of filters.
        n_fft: length of the FFT in samples.
        sample_rate: in Hz.

    Returns:
        `(n_fft // 2 + 1, n_mels)` float64: the weight of each FFT bin in each filter. The bin at half the sample rate
        has weight 0 everywhere, as in Kaldi. With the default arguments filter index 3 is empty.
    """
    edges = hz_to_mel(torch.tensor([LOW_HZ, sample_rate / 2], dtype=torch.float64))
    corners = torch.linspace(edges[0], edges[1], n_mels + 2, dtype=torch.float64)
    left, centre, right = corners[:-2], corners[1:-1], corners[2:]  # (n_mels,) each
    bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64) * sample_rate / n_fft
    mel = hz_to_mel(bins)[:, None]  # (bins, 1)
    triangles = torch.minimum((mel - left) / (centre - left), (right - mel) / (right - centre)).clamp(min=0)
    triangles[-1] = 0
    return triangles


class LogMel(nn.Module):
    """Waveforms to log-mel spectrograms: batched, on any device, always in float32.

    Args:
        n_mels: number of mel filters, 128 in the AST.
        sample_rate: in Hz. At any rate windows are 25 ms long and 10 ms apart, and the FFT has the next power of two
            (at 16 kHz: 400, 160 and 512 samples).
        window: "hann" is what the original's code uses, "hamming" what the paper says (section 2.1). Both are
            symmetric.

    Raises:
        InvalidInput: an unknown window, fewer than 4 mels, or a sample rate below 1000 Hz.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, n_mels: int = 128, sample_rate: int = 16_000, window: str = "hann") -> None:
        super().__init__()
        if window not in WINDOWS:
            raise InvalidInput(f"window must be one of {sorted(WINDOWS)}; found {window!r}")
        if n_mels < 4:
            raise InvalidInput(f"n_mels must be at least 4, as in Kaldi; found {n_mels}")
        if sample_rate < 1000:
            raise InvalidInput(f"sample_rate must be in Hz and at least 1000; found {sample_rate}")
        self.n_mels, self.sample_rate, self.window_name = n_mels, sample_rate, window
        self.frame_samples = sample_rate * FRAME_MS // 1000
        self.hop_samples = sample_rate * HOP_MS // 1000
        self.n_fft = 1 << (self.frame_samples - 1).bit_length()
        taper = WINDOWS[window](self.frame_samples, periodic=False, dtype=torch.float64)
        # Not persistent: both follow from the three arguments, and checkpoints hold what was learned.
        filters = mel_filters(n_mels, self.n_fft, sample_rate)
        self.register_buffer("window", taper.float(), persistent=False)
        self.register_buffer("filters", filters.float(), persistent=False)

    def forward(self, waveforms: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute log-mel spectrograms, the natural logarithm of power, not normalised.

        Args:
            waveforms: `(batch, samples)` in [-1, 1], or `(samples,)`, which counts as a batch of one.
            lengths: `(batch,)` integers, the number of samples of each clip before padding. Frames past the end of a
                clip become 0.0, as if the padding had been added after the logarithm. That is what the original does
                (src/dataloader.py:132-142), and 0.0 is neither silence nor the mean.

        Returns:
            `(batch, frames, n_mels)` float32, with as many frames as `frame_count` says. Differentiable. If TF32 matrix
            products are enabled, the last three digits are lost.

        Raises:
            InvalidInput: a wrong shape or dtype, NaN or infinite samples, or a clip shorter than one window.
        """
        waveforms = self._checked(waveforms)
        counts = None if lengths is None else self.frame_counts(waveforms, lengths)
        batch, samples = waveforms.shape
        # On a CPU a few clips at a time stay in its cache, and a whole batch would not.
        rows = max(1, CPU_SAMPLES // samples) if waveforms.device.type == "cpu" else batch
        with torch.autocast(waveforms.device.type, enabled=False):
            mel = torch.cat([self.compute(part) for part in torch.split(waveforms, rows)])
        return mel if counts is None else pad_or_cut(mel, mel.shape[1], counts)

    def compute(self, waveforms: Tensor) -> Tensor:
        """Compute log-mel spectrograms without any check, all clips at once: the arithmetic of `forward`.

        Args:
            waveforms: `(batch, samples)` float32.

        Returns:
            `(batch, frames, n_mels)` float32.
        """
        frames = waveforms.unfold(-1, self.frame_samples, self.hop_samples)  # (batch, frames, 400) at 16 kHz
        frames = frames - frames.mean(-1, keepdim=True)
        previous = torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)  # the first sample is its own predecessor
        frames = torch.sub(frames, previous, alpha=PREEMPHASIS) * self.window
        spectrum: Tensor = torch.fft.rfft(frames, n=self.n_fft)  # (batch, frames, 257)
        power = spectrum.real.square() + spectrum.imag.square()
        return (power @ self.filters).clamp(min=FLOOR).log()

    @overload
    def frame_count(self, samples: int) -> int: ...
    @overload
    def frame_count(self, samples: Tensor) -> Tensor: ...
    def frame_count(self, samples: int | Tensor) -> int | Tensor:
        """Count the frames that fit completely into a number of samples (Kaldi's snip_edges).

        Args:
            samples: one number, or an integer tensor of any shape.

        Returns:
            The number of frames, 0 for fewer samples than one window: an int for an int, an integer tensor for a
            tensor. At 16 kHz, 1 s has 98 frames, 5 s have 498 and 10 s have 998.
        """
        frames = 1 + (samples - self.frame_samples) // self.hop_samples
        return frames.clamp(min=0) if isinstance(frames, Tensor) else max(0, frames)

    def sample_count(self, frames: int) -> int:
        """Count the samples that a number of frames covers, from the first of the first to the last of the last.

        Args:
            frames: 1 or more.

        Returns:
            The smallest number of samples that has so many frames: 82,160 (5.135 s) for 512 at 16 kHz.
        """
        return (frames - 1) * self.hop_samples + self.frame_samples

    def _checked(self, waveforms: object) -> Tensor:
        """Check waveforms and return them as `(batch, samples)` float32."""
        if not isinstance(waveforms, Tensor) or not waveforms.is_floating_point():
            found = waveforms.dtype if isinstance(waveforms, Tensor) else type(waveforms).__name__
            raise InvalidInput(
                f"LogMel expects a floating-point tensor with samples in [-1, 1]; found {found}. Divide 16-bit "
                "integers by 32768; turn NumPy arrays into tensors with torch.from_numpy"
            )
        if waveforms.ndim not in (1, 2) or 0 in waveforms.shape[:-1]:
            raise InvalidInput(
                f"LogMel expects (batch, samples) or (samples,); found {tuple(waveforms.shape)}. "
                "Mix channels down first: waveform.mean(0)"
            )
        needed, given = self.frame_samples, waveforms.shape[-1]
        if given < needed:
            raise InvalidInput(
                f"LogMel needs at least {needed} samples (25 ms at {self.sample_rate} Hz); found {given}. "
                "Is time the last axis?"
            )
        if not torch.isfinite(waveforms).all():
            raise InvalidInput("LogMel expects finite samples; found NaN or infinite ones. Clean or drop such clips")
        return waveforms.float().reshape(-1, given)

    def frame_counts(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        """Count the frames of each clip of a batch, after validating `lengths`.

        Args:
            waveforms: `(batch, samples)`.
            lengths: `(batch,)` integers, the number of samples of each clip before padding.

        Returns:
            `(batch,)` integers on the device of the waveforms, see `frame_count`.

        Raises:
            InvalidInput: another number of lengths, not integers, more samples than there are, or fewer than one
                window.
        """
        batch, samples = waveforms.shape
        lengths = torch.as_tensor(lengths, device=waveforms.device)
        if lengths.shape != (batch,) or lengths.is_floating_point():
            raise InvalidInput(
                f"lengths must be {batch} integers, one per clip; found {lengths.dtype} {tuple(lengths.shape)}"
            )
        shortest, longest = lengths.min().item(), lengths.max().item()
        if longest > samples:
            raise InvalidInput(f"lengths says {longest} samples, but the batch has only {samples}")
        if shortest < self.frame_samples:
            raise InvalidInput(
                f"LogMel needs at least {self.frame_samples} samples per clip "
                f"(25 ms at {self.sample_rate} Hz), lengths says {shortest}"
            )
        return self.frame_count(lengths)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # Buffers follow the device but never the dtype: in half precision the logarithm would be noise.
        device = fn(self.window).device
        self.window, self.filters = self.window.to(device), self.filters.to(device)
        return self

    def extra_repr(self) -> str:
        """Show the settings in `repr`, as torch's own modules do.

        Returns:
            The three arguments.
        """
        return f"n_mels={self.n_mels}, sample_rate={self.sample_rate}, window={self.window_name!r}"


def pad_or_cut(mel: Tensor, target: int, frame_counts: Tensor | None = None, fill: float = 0.0) -> Tensor:
    """Bring spectrograms to a fixed number of frames: the beginning is kept, padding comes at the end.

    Args:
        mel: `(batch, frames, mels)`.
        target: number of frames of the result.
        frame_counts: `(batch,)`, the number of frames of each clip; those past its end are set to `fill`. None: all
            frames are part of the clip.
        fill: value of the padding; the original's is 0.0 in the log-mel (src/dataloader.py:132-142).

    Returns:
        `(batch, target, mels)`.
    """
    mel = F.pad(mel, (0, 0, 0, target - mel.shape[-2]), value=fill)  # a negative amount of padding cuts
    if frame_counts is None:
        return mel
    past = torch.arange(target, device=mel.device) >= frame_counts.to(mel.device)[:, None]
    return mel.masked_fill(past[..., None], fill)


def normalise(mel: Tensor, mean: float, std: float) -> Tensor:
    """Normalise to mean 0 and standard deviation 0.5, not 1: (mel - mean) / (2 std).

    The constants belong to a data set, and weights expect the pair that they were trained with. Source: original
    src/dataloader.py:202.

    Args:
        mel: log-mel of any shape.
        mean: mean of the log-mel values of the data set.
        std: their standard deviation.

    Returns:
        The normalised log-mel, of the same shape.
    """
    return (mel - mean) / (2 * std)


class Features(nn.Module):
    """Waveforms to the input of a network, as its configuration says: log-mel, padded or cut, normalised.

    The order is the original's (src/dataloader.py:129-209): pad, mask, then normalise, so that padding and masks have
    the same value.

    Args:
        cfg: the configuration of the network.

    Attributes:
        log_mel: the filter bank.
        fill: the log-mel value of padding and masks, before normalisation.
    """

    def __init__(self, cfg: SoundConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.log_mel = LogMel(n_mels=cfg.input_fdim)
        self.fill = fill_value(cfg.fill, cfg.mean)

    def mel(self, waveforms: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute log-mel spectrograms of the length that the network reads, not normalised.

        Args:
            waveforms: `(batch, samples)` in [-1, 1], or `(samples,)`.
            lengths: `(batch,)` integers, the number of samples of each clip before padding; None: all of them.

        Returns:
            `(batch, input_tdim, input_fdim)` float32.

        Raises:
            InvalidInput: as in `LogMel.forward`.
        """
        counts = None if lengths is None else self.log_mel.frame_counts(waveforms, lengths)
        return pad_or_cut(self.log_mel(waveforms), self.cfg.input_tdim, counts, self.fill)

    def normalise(self, mel: Tensor) -> Tensor:
        """Normalise with the constants of the configuration, see `normalise`.

        Args:
            mel: log-mel of any shape.

        Returns:
            The normalised log-mel, of the same shape.
        """
        return normalise(mel, self.cfg.mean, self.cfg.std)

    def forward(self, waveforms: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute the input of the network.

        Args:
            waveforms: `(batch, samples)` in [-1, 1], or `(samples,)`.
            lengths: `(batch,)` integers, the number of samples of each clip before padding; None: all of them.

        Returns:
            `(batch, input_tdim, input_fdim)` float32, normalised.

        Raises:
            InvalidInput: as in `LogMel.forward`.
        """
        return self.normalise(self.mel(waveforms, lengths))


def fill_value(fill: Fill, mean: float) -> float:
    """The log-mel value of padding and masks.

    0.0, the original's choice, is the value of a rather loud sound: normalised for AudioSet it is +0.467, while silence
    is -1.278 and the mean 0.

    Args:
        fill: "zero" for 0.0, "silence" for ln(eps), or "mean".
        mean: mean of the log-mel values of the training data.

    Returns:
        The value, before normalisation.
    """
    return {"zero": 0.0, "silence": math.log(FLOOR), "mean": mean}[fill]
