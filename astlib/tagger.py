"""Classes of one's own on EfficientAT, which has heard AudioSet: a network whose only weights are those of its head.

A saved folder holds the head and the hash of the tagger's weights. The weights themselves do not come with it: they are
looked for in the folders of weights, as `astlib.efficientat` does.

Chapter: notebooks/19_a_thousand_hours.ipynb
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from .efficientat import DIM, NAME, WEIGHTS_HASH, EfficientAT, load_efficientat
from .errors import InvalidInput
from .frontend import Features
from .saved import NetworkConfig, SavedNetwork

FRAMES = 498  # of a window, 4.995 s; the tagger itself takes any length


@dataclass(frozen=True, kw_only=True)
class TaggerConfig(NetworkConfig):
    """Configuration of a head on a tagger. The normalisation belongs to the tagger, and the values here are not used.

    Fields are given by name.

    Attributes:
        input_tdim: length of a window in frames of 10 ms; the tagger itself takes any length.
        tagger: its name.
        tagger_hash: of its weights.

    Raises:
        InvalidInput: another tagger, other weights, or a value that `NetworkConfig` refuses.
    """

    input_tdim: int = FRAMES
    tagger: str = NAME
    tagger_hash: str = WEIGHTS_HASH

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.tagger, self.tagger_hash) != (NAME, WEIGHTS_HASH):
            raise InvalidInput(
                f"expected a head on {NAME} ({WEIGHTS_HASH[:15]}); found one on {self.tagger} ({self.tagger_hash[:15]})"
            )


class Tagger(SavedNetwork):
    """EfficientAT with a head of one's own. It takes waveforms, because the tagger has a front-end of its own.

    Args:
        cfg: the configuration.
        tagger: the network below the head; None to load it.

    Raises:
        WeightsNotFound: the weights of the tagger are not on this machine; the message says where to get them.
    """

    config = TaggerConfig
    head = "mlp_head."
    cfg: TaggerConfig

    def __init__(self, cfg: TaggerConfig, tagger: EfficientAT | None = None) -> None:
        super().__init__()
        self.cfg = cfg
        self._below = (tagger or load_efficientat(),)  # in a tuple it is no part of the state dict
        self.mlp_head = nn.Sequential(nn.LayerNorm(DIM), nn.Linear(DIM, cfg.label_dim))

    @classmethod
    def skeleton(cls, cfg: TaggerConfig) -> Self:
        """Build the head without memory for its weights, see `SavedNetwork.skeleton`; the tagger is not loaded."""
        with torch.device("meta"):
            return cls(cfg, EfficientAT())

    @property
    def tagger(self) -> EfficientAT:
        """The network below the head."""
        return self._below[0]

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        self.tagger._apply(fn)  # type: ignore[no-untyped-call] # as torch has it; the tagger follows to the device
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call] # as torch has it
        return self

    def front_end(self) -> Features:
        """Return what prepares sound for this network, see `SavedNetwork.front_end`."""
        return Waveforms(self.cfg)

    def embed(self, waveforms: Tensor) -> Tensor:
        """Compute one vector per clip.

        Args:
            waveforms: `(batch, samples)` at 16 kHz in [-1, 1].

        Returns:
            `(batch, 384)`.
        """
        return self.tagger.embed(waveforms.float())

    def forward(self, waveforms: Tensor) -> Tensor:
        """Compute the logits of every class.

        Args:
            waveforms: `(batch, samples)` at 16 kHz in [-1, 1].

        Returns:
            `(batch, label_dim)`.
        """
        logits: Tensor = self.mlp_head(self.embed(waveforms))
        return logits


class Waveforms(Features):
    """The front-end of a network that has one of its own: waveforms stay as they are."""

    def forward(self, waveforms: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return the waveforms.

        Args:
            waveforms: `(batch, samples)`.
            lengths: `(batch,)`, not used: short sounds stay padded with silence.

        Returns:
            The same.
        """
        return waveforms
