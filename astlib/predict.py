"""From sounds to the names of classes, with any saved network.

A network reads a fixed number of frames. A shorter sound is padded as in training; a longer one is cut into windows
that overlap by half, and the probabilities are averaged over them, or kept per window to say when a class was heard.
A sound may arrive in blocks, and a recording of ten hours is never in memory as a whole.

Chapters: notebooks/04_the_whole_ast.ipynb and notebooks/15_your_own_sounds.ipynb
"""

import contextlib
from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from .audio import PEAK_LIMIT
from .data.windows import starts as starts
from .errors import InvalidInput
from .frontend import LogMel
from .networks import Network

WINDOWS_AT_ONCE = {"cpu": 8, "cuda": 64}  # of how many windows the network reads the spectrograms together


class Heard(NamedTuple):
    """What a network says of one sound.

    Attributes:
        spans: `(windows, 2)` float64, begin and end of each window in seconds; the end is never later than that of the
            sound.
        logits: `(windows, label_dim)` float32.
        seconds: duration of the sound.
    """

    spans: Tensor
    logits: Tensor
    seconds: float


@contextlib.contextmanager
def evaluating(model: Network) -> Iterator[None]:
    """Put a network into eval mode for a while. In training mode, batch norm would use and change other statistics.

    Args:
        model: the network; afterwards each of its modules is in the mode that it was in.

    Yields:
        Nothing.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def choose_device(name: str = "auto") -> torch.device:
    """Find the device to compute on.

    Args:
        name: "auto" for the GPU if there is one, else the CPU; or a device of torch, such as "cpu" or "cuda:1".

    Returns:
        The device.

    Raises:
        InvalidInput: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InvalidInput(f"device must be auto, cpu or a GPU of this machine; found {name!r} ({reason})") from None
    return device


class Piece(NamedTuple):
    """The sound of one window.

    Attributes:
        begin: its first sample.
        samples: `(samples,)`; a window's worth, less if the whole sound is shorter.
    """

    begin: int
    samples: Tensor


def cut(blocks: Iterable[Tensor], log_mel: LogMel, frames: int, hop: int) -> Iterator[Piece]:
    """Cut a sound into windows while it arrives: the windows of `starts`, which need not know the length.

    Args:
        blocks: the sound, `(samples,)` at a time.
        log_mel: the filter bank, which knows how many samples make how many frames.
        frames: frames of a window.
        hop: frames from the beginning of one window to that of the next, at most `frames`.

    Yields:
        The windows in their order; the last one ends with the sound.

    Raises:
        InvalidInput: the whole sound is shorter than a frame.
    """
    length = log_mel.sample_count(frames)
    held, first, begin = torch.empty(0), 0, 0  # samples, the frame that they begin with, and the next window's
    for block in blocks:
        held = torch.cat([held, block]) if len(held) else block
        while log_mel.frame_count(len(held)) > begin - first + frames:
            at = (begin - first) * log_mel.hop_samples
            yield Piece(begin * log_mel.hop_samples, held[at : at + length])
            begin += hop
            keep = begin - hop - first  # the last window may begin before the next one would
            held, first = held[keep * log_mel.hop_samples :], first + keep
    total = log_mel.frame_count(len(held))
    if total < 1:
        raise InvalidInput(f"expected a sound of 25 ms or more; found {len(held)} samples at {log_mel.sample_rate} Hz")
    at = max(0, total - frames) * log_mel.hop_samples
    yield Piece(first * log_mel.hop_samples + at, held[at : at + length])


@dataclass
class _Sound:
    """One sound on its way through the network."""

    begins: "array[int]" = field(default_factory=lambda: array("q"))
    logits: "array[float]" = field(default_factory=lambda: array("f"))  # label_dim of each window; one block of memory
    answered: int = 0
    samples: int = 0
    ended: bool = False
    error: InvalidInput | None = None

    @property
    def done(self) -> bool:
        return self.error is not None or (self.ended and self.answered == len(self.begins))

    def blocks(self, sound: Iterable[Tensor]) -> Iterator[Tensor]:
        """The blocks of the sound, counted."""
        for block in sound:
            self.samples += len(block)
            yield block

    def answer(self, logits: Tensor) -> None:
        """Keep the logits of the next window, `(label_dim,)` float32."""
        self.logits.frombytes(logits.numpy().tobytes())
        self.answered += 1

    def result(self, length: int, rate: int) -> Heard | InvalidInput:
        if self.error is not None:
            return self.error
        spans = [(begin, min(begin + length, self.samples)) for begin in self.begins]
        logits = torch.frombuffer(self.logits, dtype=torch.float32).clone().reshape(len(spans), -1)
        return Heard(torch.tensor(spans, dtype=torch.float64) / rate, logits, self.samples / rate)


def listen(
    model: Network, sounds: Iterable[Iterable[Tensor]], hop: float | None = None
) -> Iterator[Heard | InvalidInput]:
    """Let a network hear any number of sounds. Windows of several short sounds go through it together.

    Args:
        model: the network, on any device and in any floating-point type; its mode and its statistics stay as they are.
        sounds: each is the blocks of one mono sound, `(samples,)` at 16 kHz in [-1, 1], such as `audio.stream` gives.
            They are asked for one after the other.
        hop: seconds from the beginning of one window to that of the next; None for half a window.

    Yields:
        For each sound in its turn what was heard, on the CPU; or the error that it ended with.

    Raises:
        InvalidInput: a hop of less than a frame or of more than a window.
    """
    cfg, parameter = model.cfg, next(model.parameters())
    features = model.front_end().to(parameter.device)
    log_mel = features.log_mel
    length, step = log_mel.sample_count(cfg.input_tdim), _hop_frames(hop, cfg.input_tdim)
    at_once = WINDOWS_AT_ONCE.get(parameter.device.type, 8)
    pieces: list[tuple[_Sound, Tensor]] = []
    waiting: deque[_Sound] = deque()

    def answer() -> None:
        samples = [piece for _, piece in pieces]
        lengths = None if len({len(piece) for piece in samples}) == 1 else torch.tensor([len(p) for p in samples])
        with torch.inference_mode(), evaluating(model):
            waveforms = pad_sequence(samples, batch_first=True).to(parameter.device)  # (n, samples)
            mel = features(waveforms, lengths).to(parameter.dtype)  # (n, input_tdim, input_fdim)
            logits = model(mel).float().cpu()  # (n, label_dim)
        for (sound, _), row in zip(pieces, logits, strict=True):
            sound.answer(row)
        pieces.clear()

    for blocks in sounds:
        sound = _Sound()
        waiting.append(sound)
        try:
            for piece in cut(sound.blocks(blocks), log_mel, cfg.input_tdim, step):
                sound.begins.append(piece.begin)
                pieces.append((sound, piece.samples))
                if len(pieces) == at_once:
                    answer()
            sound.ended = True
        except InvalidInput as error:
            sound.error = error
        while waiting and waiting[0].done:
            yield waiting.popleft().result(length, log_mel.sample_rate)
    if pieces:
        answer()
    for sound in waiting:
        yield sound.result(length, log_mel.sample_rate)


def _hop_frames(hop: float | None, frames: int) -> int:
    """Seconds from window to window in frames."""
    if hop is None:
        return max(1, frames // 2)
    found = round(hop * 100)
    if not 1 <= found <= frames:
        raise InvalidInput(
            f"windows of {frames / 100:.2f} s may begin 0.01 to {frames / 100:.2f} s after each other, or something "
            f"would not be heard; found a hop of {hop:g} s"
        )
    return found


def _one_sound(waveform: object) -> Tensor:
    """A waveform as `(samples,)`, or an error that says what it should be."""
    sound = torch.as_tensor(waveform)
    if sound.ndim == 2 and len(sound) == 1:
        sound = sound[0]  # torchaudio and others return (channels, samples)
    shape = tuple(sound.shape)
    if sound.ndim != 1 or LogMel().frame_count(len(sound)) < 1:
        hint = "Average the channels of one sound with waveform.mean(0); give several sounds to astlib.predict.listen, "
        hint += "or one at a time"
        wrong = f"expected one mono sound of 25 ms or more, (samples,) at 16 kHz; found shape {shape}"
        raise InvalidInput(f"{wrong}. {hint}" if sound.ndim > 1 else wrong)
    if not sound.is_floating_point():
        raise InvalidInput(
            f"expected a floating-point sound in [-1, 1]; found {sound.dtype}. Divide 16-bit integers by 32768"
        )
    if not torch.isfinite(sound).all():
        raise InvalidInput("expected finite samples; found NaN or infinite ones. Clean the sound first")
    if (peak := sound.abs().max().item()) > PEAK_LIMIT:
        raise InvalidInput(
            f"expected a sound in [-1, 1]; found samples up to {peak:g}. If they were 16-bit integers once, divide "
            "them by 32768"
        )
    return sound.float()


def heard(model: Network, waveform: Tensor, hop: float | None = None) -> Heard:
    """Let a network hear one sound.

    Args:
        model: the network; its mode and its statistics stay as they are.
        waveform: one mono sound `(samples,)` or `(1, samples)` at 16 kHz in [-1, 1], floating point, 25 ms or more.
        hop: seconds from the beginning of one window to that of the next; None for half a window.

    Returns:
        Its windows and the logits of each.

    Raises:
        InvalidInput: another shape or type, samples far outside [-1, 1], or too short a sound.
    """
    (found,) = listen(model, [[_one_sound(waveform)]], hop)
    if isinstance(found, InvalidInput):
        raise found
    return found


def timeline(model: Network, waveform: Tensor, hop: float | None = None) -> tuple[Tensor, Tensor]:
    """Compute the probabilities of every class for each window of a sound.

    Args:
        model: the network; its mode and its statistics stay as they are.
        waveform: one mono sound `(samples,)` or `(1, samples)` at 16 kHz in [-1, 1], floating point, 25 ms or more.
        hop: seconds from the beginning of one window to that of the next; None for half a window.

    Returns:
        Begin and end of each window in seconds, `(windows, 2)`; the end is never later than that of the sound. And the
        probabilities `(windows, label_dim)`: sigmoid for a multi-label model (AudioSet), softmax for one of many
        (ESC-50), at the temperature of `model.decision`. Both are float32, on the CPU.

    Raises:
        InvalidInput: another shape or type, samples far outside [-1, 1], or too short a sound.
    """
    found = heard(model, waveform, hop)
    return found.spans.float(), model.decision.probabilities(found.logits, model.cfg.multi_label)


def probabilities(model: Network, waveform: Tensor) -> Tensor:
    """Compute the probabilities of every class for a sound, the mean over its windows.

    Args:
        model: the network; its mode and its statistics stay as they are.
        waveform: one mono sound `(samples,)` or `(1, samples)` at 16 kHz in [-1, 1], floating point, 25 ms or more.

    Returns:
        `(label_dim,)` float32, on the CPU.

    Raises:
        InvalidInput: as in `timeline`.
    """
    return timeline(model, waveform)[1].mean(dim=0)


def names_of(model: Network) -> tuple[str, ...]:
    """Name all classes of a network.

    Args:
        model: the network.

    Returns:
        Their names in the order of the logits; "class 0" and so on if it does not know them.
    """
    return model.cfg.labels or tuple(f"class {i}" for i in range(model.cfg.label_dim))


def best(model: Network, probabilities: Tensor, top: int = 5) -> list[tuple[str, float]]:
    """Name the most probable classes.

    Args:
        model: the network, which knows the names of the classes.
        probabilities: `(label_dim,)`.
        top: how many classes to name.

    Returns:
        (label, probability) of each, the most probable first.

    Raises:
        InvalidInput: `top` is less than 1.
    """
    if top < 1:
        raise InvalidInput(f"top must be 1 or more; found {top}")
    values, order = probabilities.sort(descending=True)
    labels = names_of(model)
    return [(labels[i], value) for value, i in zip(values[:top].tolist(), order[:top].tolist(), strict=True)]


def predict(model: Network, waveform: Tensor, top: int = 5) -> list[tuple[str, float]]:
    """Name the most probable classes of a sound.

    Args:
        model: the network; its mode and its statistics stay as they are.
        waveform: one mono sound `(samples,)` or `(1, samples)` at 16 kHz in [-1, 1], floating point, 25 ms or more.
        top: how many classes to name.

    Returns:
        (label, probability) of each, the most probable first.

    Raises:
        InvalidInput: as in `timeline`, or `top` is less than 1.
    """
    return best(model, probabilities(model, waveform), top)
