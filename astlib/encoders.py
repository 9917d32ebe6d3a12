"""What turns a window of sound into a vector: an AST, or a tagger that has heard AudioSet, behind one interface.

Sounds that are alike get vectors that point in the same direction. Such vectors are computed once, kept in a file
(`astlib.embeddings`), and then searched (`astlib.search`) and classified (`astlib.few`) without listening again.

Chapter: notebooks/19_a_thousand_hours.ipynb
"""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from .efficientat import DIM, EfficientAT, load_efficientat
from .efficientat import NAME as TEACHER
from .errors import InvalidInput
from .frontend import Features, LogMel
from .model import AST
from .networks import Network, open_model
from .saved import weights_hash
from .tagger import FRAMES, Tagger

RATE = 16_000  # Hz of every waveform here
SHORTEST = 400  # samples: 25 ms, one frame
OF_THE_HEAD = ("label_dim", "labels", "multi_label")  # parts of a configuration that do not change the vectors


class Encoder(Protocol):
    """Anything that turns windows of sound into vectors.

    Attributes:
        name: what `open_encoder` was asked for.
        digest: 64 hexadecimal digits; two encoders with the same digest give the same vectors.
        dim: length of a vector.
        seconds: length of the window in seconds.
    """

    @property
    def name(self) -> str:
        """What `open_encoder` was asked for."""

    @property
    def digest(self) -> str:
        """64 hexadecimal digits that depend on everything that the vectors depend on."""

    @property
    def dim(self) -> int:
        """Length of a vector."""

    @property
    def seconds(self) -> float:
        """Length of the window in seconds."""

    def embed(self, waveforms: Tensor) -> Tensor:
        """Compute one vector for each window.

        Args:
            waveforms: `(n, samples)` at 16 kHz in [-1, 1], at most `seconds` long; what is missing at the end is
                padded as the network was trained.

        Returns:
            `(n, dim)` float32, on the CPU.

        Raises:
            InvalidInput: another shape, or windows that are too long.
        """


class ASTEncoder:
    """An AST without its head: the mean of the class tokens.

    Args:
        model: the network. It is put into eval mode, and stays on its device.
        name: what to call it.

    Attributes:
        model: as given.
        name: as given.
        digest: of the weights and the configuration, without those of the head.
        dim: width of a token.
        seconds: length of the window in seconds.
    """

    def __init__(self, model: AST, name: str) -> None:
        self.model, self.name = model.eval(), name
        self.dim = model.cfg.dim
        self.features = Features(model.cfg).to(next(model.parameters()).device)
        log_mel = self.features.log_mel
        self.seconds = log_mel.sample_count(model.cfg.input_tdim) / RATE
        settings = {key: value for key, value in asdict(model.cfg).items() if key not in OF_THE_HEAD}
        self.digest = digest_of(model, settings, without=model.head)

    @torch.inference_mode()
    def embed(self, waveforms: Tensor) -> Tensor:
        """Compute one vector for each window.

        Args:
            waveforms: `(n, samples)` at 16 kHz in [-1, 1], at most `seconds` long.

        Returns:
            `(n, dim)` float32, on the CPU.

        Raises:
            InvalidInput: another shape, or windows that are too long.
        """
        windows = checked_windows(waveforms, self.seconds).to(next(self.model.parameters()).device)
        return self.model.embed(self.features(windows)).float().cpu()


class TeacherEncoder:
    """EfficientAT mn04, which has heard AudioSet: the mean of its last feature map.

    Args:
        model: the network, on any device.

    Attributes:
        model: as given.
        name: "efficientat-mn04".
        digest: of the weights.
        dim: 384.
        seconds: length of the window in seconds; the network itself takes any length.
    """

    name = TEACHER

    def __init__(self, model: EfficientAT) -> None:
        self.model = model.eval()
        self.dim, self.seconds = DIM, LogMel().sample_count(FRAMES) / RATE
        self.digest = digest_of(model, TEACHER)

    @torch.inference_mode()
    def embed(self, waveforms: Tensor) -> Tensor:
        """Compute one vector for each window.

        Args:
            waveforms: `(n, samples)` at 16 kHz in [-1, 1], at most `seconds` long.

        Returns:
            `(n, dim)` float32, on the CPU.

        Raises:
            InvalidInput: another shape, or windows that are too long.
        """
        windows = checked_windows(waveforms, self.seconds).to(next(self.model.parameters()).device)
        return self.model.embed(windows).float().cpu()


def checked_windows(waveforms: Tensor, seconds: float) -> Tensor:
    """Check the shape of windows, and pad those that are shorter than one frame.

    Args:
        waveforms: what should be `(n, samples)`.
        seconds: the longest that they may be.

    Returns:
        `(n, samples)`, 25 ms or more.

    Raises:
        InvalidInput: another shape, no samples, or windows that are too long.
    """
    if waveforms.ndim != 2 or not waveforms.shape[1]:
        raise InvalidInput(f"expected windows (n, samples) at 16 kHz; found {tuple(waveforms.shape)}")
    if waveforms.shape[1] > round(seconds * RATE):
        raise InvalidInput(
            f"expected windows of at most {seconds:.2f} s; found {waveforms.shape[1] / RATE:.2f} s. "
            "astlib.embeddings.windows cuts a longer sound"
        )
    return nn.functional.pad(waveforms, (0, max(0, SHORTEST - waveforms.shape[1])))


def digest_of(model: nn.Module, settings: object, without: str = "\0") -> str:
    """Compute a digest of a network's weights and settings.

    Args:
        model: the network.
        settings: what else the outputs depend on; anything that JSON can hold.
        without: parameters whose names begin with this do not count.

    Returns:
        64 hexadecimal digits (SHA-256).
    """
    state = {name: value for name, value in model.state_dict().items() if not name.startswith(without)}
    return hashlib.sha256(f"{json.dumps(settings, sort_keys=True)} {weights_hash(state)}".encode()).hexdigest()


def open_encoder(name: str | Path) -> ASTEncoder | TeacherEncoder:
    """Open an encoder.

    Args:
        name: "efficientat-mn04", or any AST that `astlib.networks.open_model` opens: the name of an embedded model, the
            folder of a saved one.

    Returns:
        The encoder, on the GPU if there is one.

    Raises:
        NotFound: there is no such model, or the weights of EfficientAT are not on this machine.
        InvalidInput: it is a network that has no vector for a window.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if str(name) == TEACHER:
        return TeacherEncoder(load_efficientat().to(device))
    return encoder_of(open_model(name).to(device), str(name))


def encoder_of(model: Network, name: str) -> ASTEncoder | TeacherEncoder:
    """Take what is below the head of a network as an encoder.

    Args:
        model: the network.
        name: what to call it.

    Returns:
        The encoder.

    Raises:
        InvalidInput: it is a network that has no vector for a window.
    """
    if isinstance(model, Tagger):
        return TeacherEncoder(model.tagger)
    if not isinstance(model, AST):
        raise InvalidInput(f"{name} is a {type(model).__name__}; expected an AST, whose class tokens are the vector")
    return ASTEncoder(model, name)
