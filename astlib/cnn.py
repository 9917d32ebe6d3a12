"""CNNs beside the AST: a plain one with an MLP on top, and PSLA's EfficientNet with attention pooling.

A convolution sees a small neighbourhood, with the same weights everywhere; pooling combines the results of all places.
Both networks read what an AST reads, `(batch, frames, mels)` normalised, and return logits, so that training,
averaging, measuring and predicting are the same code for all three.

There is no dropout and no stochastic depth here: they would draw the only random numbers that a checkpoint does not
determine. Because of batch norm, a clip's result in training depends on the clips that share its step; with
micro-batches or several processes each part is normalised by itself. Averaging weights averages the running statistics
of batch norm as well, as in PSLA's code.

`PSLA` has the original's architecture and its pooling, and the rest of timm's EfficientNet-B2. The original drops whole
blocks in training (rate 0.2), moves its batch norm statistics by a hundredth a step (here a tenth) with an epsilon of
1e-3 (1e-5), pads as TensorFlow does, and starts from other ImageNet weights. So our numbers are not those of its paper.

References:
1. Gemmeke et al., "Audio Set", and Hershey et al., "CNN Architectures for Large-Scale Audio Classification", both
   ICASSP 2017: convolutions, pooling, an MLP. `CNNMLP` is in their spirit, and small.
2. Gong, Chung, Glass, "PSLA", IEEE/ACM TASLP 2021, and its code (github.com/YuanGongND/psla at ad3ea6f).

Chapter: notebooks/13_cnns_beside_it.ipynb
"""

from dataclasses import dataclass
from typing import Self, cast

import torch
from torch import Tensor, nn

from .errors import InvalidInput, MissingPackage
from .saved import NetworkConfig, SavedNetwork
from .typed import shown

WIDTHS = (16, 32, 64, 128, 256)  # channels after each block of CNNMLP
HIDDEN = 512  # width of the hidden layer of its MLP
EFFICIENTNET = "efficientnet_b2"  # timm's name of PSLA's body
EPSILON = 1e-7  # PSLA keeps weights and probabilities this far from 0 and 1 (HigherModels.py, traintest.py)


@dataclass(frozen=True)
class CNNConfig(NetworkConfig):
    """Everything that defines one of the two CNNs, and how sound is prepared for it.

    The other fields are those of `astlib.saved.NetworkConfig`, given by name. `input_tdim` is the length to which clips
    are padded or cut; the networks themselves take any number of frames from 32 on.

    Attributes:
        network: "cnn-mlp" or "psla".

    Raises:
        InvalidInput: an unknown network, or a value that is out of range.
    """

    network: str = "psla"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.network not in NETWORKS:
            raise InvalidInput(f"network must be one of {', '.join(NETWORKS)}; found {shown(self.network)}")
        if min(self.input_fdim, self.input_tdim) < 32:
            raise InvalidInput(
                "a CNN needs 32 mel bins and frames or more, as it halves both five times; found "
                f"{self.input_fdim} mel bins and {self.input_tdim} frames"
            )


class CNN(SavedNetwork):
    """Base of both networks: the check of the input, and the files.

    Args:
        cfg: the configuration.
    """

    config = CNNConfig
    cfg: CNNConfig

    def __init__(self, cfg: CNNConfig) -> None:
        super().__init__()
        self.cfg = cfg

    @classmethod
    def from_config(cls, cfg: CNNConfig) -> Self:
        """Build the CNN that a configuration names, with random weights.

        Args:
            cfg: the configuration.

        Returns:
            The network.

        Raises:
            InvalidInput: the configuration names another CNN than this class.
            MissingPackage: PSLA needs timm.
        """
        network = NETWORKS[cfg.network](cfg)
        if not isinstance(network, cls):
            raise InvalidInput(f"the configuration is that of {cfg.network}, not of {cls.__name__}")
        return network

    def image(self, mel: Tensor) -> Tensor:
        """Check spectrograms and turn them into images whose height is the frequency.

        Args:
            mel: normalised log-mel `(batch, frames, mels)`, floating point, 32 frames or more.

        Returns:
            `(batch, 1, mels, frames)`.

        Raises:
            InvalidInput: another number of mels, fewer than 32 frames, or integers.
        """
        if mel.ndim != 3 or mel.shape[2] != self.cfg.input_fdim or mel.shape[1] < 32 or not mel.is_floating_point():
            raise InvalidInput(
                f"expected a normalised log-mel spectrogram of shape (batch, 32 or more frames, {self.cfg.input_fdim} "
                f"mels), floating point; found {tuple(mel.shape)}, {mel.dtype}"
            )
        return mel.transpose(1, 2).unsqueeze(1)


class CNNMLP(CNN):
    """Five blocks of convolution, batch norm and ReLU, each halving the image; global average pooling; an MLP.

    Args:
        cfg: the configuration.
    """

    head = "mlp."

    def __init__(self, cfg: CNNConfig) -> None:
        super().__init__(cfg)
        self.blocks = nn.Sequential()
        for narrow, wide in zip((1, *WIDTHS), WIDTHS, strict=False):
            convolution = nn.Conv2d(narrow, wide, kernel_size=3, padding=1, bias=False)
            self.blocks.append(nn.Sequential(convolution, nn.BatchNorm2d(wide), nn.ReLU(), nn.AvgPool2d(2)))
        self.mlp = nn.Sequential(nn.Linear(WIDTHS[-1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, cfg.label_dim))

    def forward(self, mel: Tensor) -> Tensor:
        """Compute the logits of every class.

        Args:
            mel: normalised log-mel `(batch, frames, mels)`, floating point, 32 frames or more.

        Returns:
            `(batch, label_dim)`.

        Raises:
            InvalidInput: as in `image`.
        """
        maps = self.blocks(self.image(mel))  # (batch, 256, mels / 32, frames / 32)
        logits: Tensor = self.mlp(maps.mean(dim=(2, 3)))
        return logits


class AttentionPooling(nn.Module):
    """One probability per class from many steps in time; each class has its own attention weights over the steps.

    At every step each head computes, for each class, a weight and a probability. Its result is the weighted mean, and
    the results are added with one learned weight per head. Source: psla src/models/HigherModels.py, MHeadAttention.

    Args:
        dim: length of the vector at each step.
        classes: number of classes.
        heads: number of heads.
    """

    def __init__(self, dim: int, classes: int, heads: int = 4) -> None:
        super().__init__()
        self.shape = (heads, classes)
        self.attend = nn.Linear(dim, heads * classes)
        self.classify = nn.Linear(dim, heads * classes)
        self.head_weight = nn.Parameter(torch.full((heads,), 1 / heads))

    def attention_weights(self, x: Tensor) -> Tensor:
        """Compute how much each step counts, for each head and class.

        Args:
            x: `(batch, steps, dim)`.

        Returns:
            `(batch, steps, heads, classes)` float32; they sum to 1 over the steps.
        """
        logits: Tensor = self.attend(x)  # (batch, steps, heads * classes)
        weights = torch.unflatten(logits.float().sigmoid().clamp(EPSILON, 1 - EPSILON), -1, self.shape)
        return weights / weights.sum(dim=1, keepdim=True)

    def forward(self, x: Tensor) -> Tensor:
        """Compute one probability per class.

        Args:
            x: `(batch, steps, dim)`.

        Returns:
            `(batch, classes)` float32.
        """
        logits: Tensor = self.classify(x)
        probabilities = torch.unflatten(logits.float().sigmoid(), -1, self.shape)  # (batch, steps, heads, classes)
        per_head = (self.attention_weights(x) * probabilities).sum(dim=1)  # (batch, heads, classes)
        return (per_head * self.head_weight[:, None]).sum(dim=1)


class PSLA(CNN):
    """EfficientNet-B2, the mean over frequency, and four-head attention pooling over time: 13.6 M parameters.

    PSLA's network returns probabilities. Here they are turned back into logits, which all of astlib uses; their sigmoid
    is PSLA's output.

    Args:
        cfg: the configuration.

    Raises:
        MissingPackage: timm is not installed.
    """

    head = "pool."

    def __init__(self, cfg: CNNConfig) -> None:
        super().__init__(cfg)
        try:
            import timm
        except ImportError as error:
            raise MissingPackage('PSLA\'s EfficientNet comes from timm: pip install "astlib[vit]"') from error
        self.body: nn.Module = timm.create_model(EFFICIENTNET, in_chans=1, num_classes=0, global_pool="")
        self.pool = AttentionPooling(cast(int, self.body.num_features), cfg.label_dim)

    def steps(self, mel: Tensor) -> Tensor:
        """Compute what the convolutions found, one vector per step in time.

        Args:
            mel: normalised log-mel `(batch, frames, mels)`, floating point, 32 frames or more.

        Returns:
            `(batch, frames / 32, 1408)`.

        Raises:
            InvalidInput: as in `image`.
        """
        maps: Tensor = self.body(self.image(mel))  # (batch, 1408, mels / 32, frames / 32)
        return maps.mean(dim=2).transpose(1, 2)

    def forward(self, mel: Tensor) -> Tensor:
        """Compute the logits of every class.

        Args:
            mel: normalised log-mel `(batch, frames, mels)`, floating point, 32 frames or more.

        Returns:
            `(batch, label_dim)`.

        Raises:
            InvalidInput: as in `image`.
        """
        probabilities: Tensor = self.pool(self.steps(mel))  # (batch, label_dim)
        return probabilities.clamp(EPSILON, 1 - EPSILON).logit()


NETWORKS: dict[str, type[CNN]] = {"cnn-mlp": CNNMLP, "psla": PSLA}
