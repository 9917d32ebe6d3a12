"""A network that has heard AudioSet: EfficientAT mn04, a small CNN that serves as teacher and as encoder.

F. Schmid, K. Koutini, G. Widmer, "Efficient Large-Scale Audio Tagging via Transformer-to-CNN Knowledge Distillation",
ICASSP 2023, arXiv:2211.04772; weights under the MIT licence, release v0.0.1 of github.com/fschmid56/EfficientAT. It is
a MobileNetV3-Large of width 0.4, itself taught by an ensemble of Transformers, and reaches 0.432 mAP on AudioSet.
The weights do not come with astlib: `load_efficientat` says where to get them, and checks that they are the right ones.

Chapter: notebooks/18_a_larger_ear.ipynb
"""

import pickle
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .audio import resample
from .data.fetch import download
from .errors import ConnectionLost, FetchError, InvalidInput, MissingPackage, WeightsNotFound
from .paths import cache, weight_folders
from .saved import weights_hash

NAME = "efficientat-mn04"
# The same weights under two names: as safetensors, and as their authors published them.
FILES = ("efficientat_mn04_as.safetensors", "mn04_as_mAP_432.pt")
ADDRESS = "https://github.com/fschmid56/EfficientAT/releases/download/v0.0.1/mn04_as_mAP_432.pt"
WEIGHTS_HASH = "sha256:e434f3eec221b3ab44ab0bd09a4808c7555f5f85922881ab7c35b74e0b9af756"

RATE = 32_000  # Hz
FFT, WINDOW, HOP = 1024, 800, 320  # samples at 32 kHz: 32 ms, 25 ms and 10 ms
MELS, HIGHEST = 128, 15_000.0  # mel bins, Hz
PREEMPHASIS, FLOOR = 0.97, 1e-5
SHIFT, SCALE = 4.5, 5.0  # the input is (ln(power) + 4.5) / 5
DIM, CLASSES = 384, 527
SHORTEST = 400  # samples at 16 kHz; the reflection at the borders needs 257 samples at 16 kHz

# The rows of MobileNetV3-Large (Howard et al. 2019, table 1): input channels, kernel, expanded channels, output
# channels, squeeze-and-excitation, activation, stride.
LARGE = (
    (16, 3, 16, 16, False, "RE", 1),
    (16, 3, 64, 24, False, "RE", 2),
    (24, 3, 72, 24, False, "RE", 1),
    (24, 5, 72, 40, True, "RE", 2),
    (40, 5, 120, 40, True, "RE", 1),
    (40, 5, 120, 40, True, "RE", 1),
    (40, 3, 240, 80, False, "HS", 2),
    (80, 3, 200, 80, False, "HS", 1),
    (80, 3, 184, 80, False, "HS", 1),
    (80, 3, 184, 80, False, "HS", 1),
    (80, 3, 480, 112, True, "HS", 1),
    (112, 3, 672, 112, True, "HS", 1),
    (112, 5, 672, 160, True, "HS", 2),
    (160, 5, 960, 160, True, "HS", 1),
    (160, 5, 960, 160, True, "HS", 1),
)
WIDTH, LAST_CHANNEL = 0.4, 512


class Answers(NamedTuple):
    """What the teacher says of a batch of sounds.

    Attributes:
        features: `(batch, 384)` float32, the mean of the last feature map over time and frequency.
        logits: `(batch, 527)` float32, one for each class of AudioSet; their sigmoid is a probability.
    """

    features: Tensor
    logits: Tensor


class TeacherMel(nn.Module):
    """The log-mel spectrogram that EfficientAT was trained on. Not AST's: 32 kHz, centred frames, up to 15 kHz."""

    window: Tensor
    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(WINDOW, periodic=False), persistent=False)  # (WINDOW,)
        self.register_buffer("filters", mel_filters(), persistent=False)  # (MELS, FFT // 2 + 1)

    def forward(self, waveforms: Tensor) -> Tensor:
        """Compute the normalised log-mel spectrogram.

        Args:
            waveforms: `(batch, samples)` at 32 kHz in [-1, 1].

        Returns:
            `(batch, 1, 128, frames)` float32; a frame begins every 10 ms.
        """
        emphasised = waveforms[:, 1:] - PREEMPHASIS * waveforms[:, :-1]
        spectrum = torch.stft(
            emphasised, FFT, HOP, WINDOW, self.window, center=True, pad_mode="reflect", return_complex=True
        )  # (batch, FFT // 2 + 1, frames)
        power = spectrum.real.square() + spectrum.imag.square()
        mel = (self.filters @ power + FLOOR).log()  # (batch, 128, frames), natural log
        return ((mel + SHIFT) / SCALE).unsqueeze(1)


def mel_filters() -> Tensor:
    """Compute Kaldi's mel filters for the teacher: triangles with straight sides on the scale 1127 ln(1 + f / 700).

    Returns:
        `(128, 513)` float32: the weight of every frequency of the Fourier transform in every mel bin; the highest
        frequency, 16 kHz, has none.
    """
    hertz = np.arange(FFT // 2) * RATE / FFT
    scale = 1127 * np.log1p(hertz / 700)  # (512,)
    borders = np.linspace(0, 1127 * np.log1p(HIGHEST / 700), MELS + 2)[:, None]
    low, centre, high = borders[:-2], borders[1:-1], borders[2:]  # (128, 1) each
    weights = np.minimum((scale - low) / (centre - low), (high - scale) / (high - centre)).clip(min=0)
    return torch.from_numpy(np.pad(weights, ((0, 0), (0, 1))).astype(np.float32))


class EfficientAT(nn.Module):
    """The tagger: MobileNetV3-Large at width 0.4, built by torchvision, with one input channel and 527 classes.

    Raises:
        MissingPackage: torchvision is not installed.
    """

    def __init__(self) -> None:
        try:
            from torchvision.models.mobilenetv3 import InvertedResidual, InvertedResidualConfig, MobileNetV3
            from torchvision.ops.misc import SqueezeExcitation
        except ImportError as error:
            raise MissingPackage("EfficientAT needs torchvision: pip install torchvision") from error
        super().__init__()
        rows = [InvertedResidualConfig(*row, dilation=1, width_mult=WIDTH) for row in LARGE]
        squeeze = partial(SqueezeExcitation, scale_activation=nn.Sigmoid)  # torchvision's own default is Hardsigmoid
        network = MobileNetV3(
            rows,
            LAST_CHANNEL,
            num_classes=CLASSES,
            block=partial(InvertedResidual, se_layer=squeeze),
            norm_layer=partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01),
        )
        network.features[0][0] = nn.Conv2d(1, rows[0].input_channels, 3, stride=2, padding=1, bias=False)
        self.mel, self.features, self.classifier = TeacherMel(), network.features, network.classifier

    @torch.no_grad()
    def forward(self, waveforms: Tensor) -> Answers:
        """Listen to a batch of sounds.

        Args:
            waveforms: `(batch, samples)` at 16 kHz in [-1, 1], 25 ms or more; they are converted to 32 kHz, so that
                the teacher hears nothing above 8 kHz.

        Returns:
            Features and logits.

        Raises:
            InvalidInput: another shape, or shorter sounds.
        """
        if waveforms.ndim != 2 or waveforms.shape[1] < SHORTEST:
            raise InvalidInput(
                f"expected sounds of 25 ms or more, (batch, samples) at 16 kHz; found shape {tuple(waveforms.shape)}"
            )
        mel = self.mel(resample(waveforms, 16_000, RATE))  # (batch, 1, 128, frames)
        features = self.features(mel).mean(dim=(2, 3))  # (batch, 384)
        return Answers(features, self.classifier(features))

    def embed(self, waveforms: Tensor) -> Tensor:
        """Compute one vector for each sound.

        Args:
            waveforms: as for `forward`.

        Returns:
            `(batch, 384)` float32.

        Raises:
            InvalidInput: as in `forward`.
        """
        answers: Answers = self(waveforms)
        return answers.features


def find_efficientat() -> Path | None:
    """Find the teacher's weights on this machine. The network is never used.

    Returns:
        The file, or None.
    """
    return next((path for folder in weight_folders() for name in FILES if (path := folder / name).is_file()), None)


def load_efficientat() -> EfficientAT:
    """Load the teacher from a folder of weights.

    Returns:
        The network in eval mode, float32. It is not meant to be trained further.

    Raises:
        WeightsNotFound: the weights are not here; the message says where to get them and where to put them.
        InvalidInput: the file is damaged, or holds other weights.
        MissingPackage: torchvision is not installed.
    """
    path = find_efficientat()
    if path is None:
        raise WeightsNotFound(
            f"the weights of EfficientAT mn04 are not here (looked for {' and '.join(FILES)} in "
            f"{', '.join(map(str, weight_folders()))}). `astlib data fetch {NAME}` gets them from their authors, under "
            f"the MIT licence, 4 MB. Or download {ADDRESS} yourself and put the file into {weight_folders()[-1]}"
        )
    state = read_efficientat(path)
    network = EfficientAT()
    own, renamed = network.state_dict(), {_torchvision_name(key): value for key, value in state.items()}
    # The squeeze-and-excitation layers are linear in EfficientAT and convolutions of size 1 in torchvision.
    network.load_state_dict({key: value.reshape(own[key].shape) for key, value in renamed.items()})
    return network.requires_grad_(False).eval()


def fetch_efficientat(progress: bool = True) -> Path:
    """Download the teacher's weights into the user's cache and check them, unless they are on this machine already.

    Args:
        progress: show a progress bar.

    Returns:
        Their file.

    Raises:
        FetchError: they did not arrive, are not the published ones, or cannot be stored. What has arrived is kept, and
            the next call continues from there.
    """
    if (here := find_efficientat()) is not None:
        return here
    final = cache() / "weights" / FILES[1]
    part = final.with_name(f"{final.name}.part")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        download(ADDRESS, part, progress)
        read_efficientat(part)
        part.replace(final)
    except ConnectionLost as error:
        raise FetchError(f"{error}. Or put it there by hand as {final}") from None
    except InvalidInput as error:
        part.unlink()
        raise FetchError(f"{error}. It was thrown away") from None
    except OSError as error:
        raise FetchError(f"{NAME} could not be stored in {final.parent}: {error.strerror or error}") from error
    return final


def read_efficientat(path: Path) -> dict[str, Tensor]:
    """Read the teacher's weights, and check by their hash that they are the published ones.

    Args:
        path: a file with one of the names in FILES. A pickle is read without executing anything in it.

    Returns:
        Name to tensor, by the names of its authors.

    Raises:
        InvalidInput: the file is damaged, or holds other weights.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state: dict[str, Tensor] = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except (SafetensorError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise InvalidInput(f"{path} is damaged: {error}. Download {ADDRESS} again") from error
    if (found := weights_hash(state)) != WEIGHTS_HASH:
        raise InvalidInput(
            f"{path} holds other weights than EfficientAT's mn04_as_mAP_432.pt: their hash is {found}, expected "
            f"{WEIGHTS_HASH}. Download {ADDRESS} again"
        )
    return state


def _torchvision_name(key: str) -> str:
    for theirs, ours in (
        ("conc_se_layers.0.", ""),
        ("classifier.2.", "classifier.0."),
        ("classifier.5.", "classifier.3."),
    ):
        key = key.replace(theirs, ours)
    return key
