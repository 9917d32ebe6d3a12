"""CNNs beside the AST: a plain one with an MLP on top, and PSLA's EfficientNet with attention pooling.

A convolution looks at a small neighbourhood, with the same weights everywhere; pooling makes one answer of many places.
Both networks read what an AST reads, `(batch, frames, mels)` normalised, and return logits, so that training,
averaging, measuring and predicting are the same code for all three.

There is no dropout and no stochastic depth here, which would be the only random numbers that a checkpoint does not
know. Batch norm makes a clip's result depend, in training, on the clips that share its step: with micro-batches or
several processes each part is normalised by itself. Averaged weights keep averaged statistics, as PSLA's own do.

References:
1. Gemmeke et al., "Audio Set", and Hershey et al., "CNN Architectures for Large-Scale Audio Classification", both
   ICASSP 2017: convolutions, pooling, an MLP. `CNNMLP` is in their spirit, and small.
2. Gong, Chung, Glass, "PSLA", IEEE/ACM TASLP 2021, and its code (github.com/YuanGongND/psla at ad3ea6f).

Chapter: notebooks/13_cnns_beside_it.ipynb
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from .model import AST, ASTConfig, check_labels_and_fill, find_model, read_config, read_weights
from .transfer import to_one_channel

WIDTHS, HIDDEN = (16, 32, 64, 128, 256), 512  # of CNNMLP: channels after each block, and its MLP
EFFICIENTNET = "efficientnet_b2"  # timm's name of PSLA's body
EPSILON = 1e-7  # PSLA keeps shares and probabilities this far from 0 and 1 (HigherModels.py, traintest.py)


@dataclass(frozen=True)
class CNNConfig:
    """Everything that defines one of the two CNNs, and what one must know to feed it with sound.

    network: "cnn-mlp" or "psla". The other names mean what they do in `astlib.ASTConfig`. input_tdim is what clips are
    padded or cut to; the networks themselves take any number of frames from 32 on.
    """

    network: str = "psla"
    label_dim: int = 527
    input_fdim: int = 128
    input_tdim: int = 1024
    mean: float = -4.2677393
    std: float = 4.5689974
    fill: str = "zero"
    multi_label: bool = True
    labels: tuple[str, ...] | None = None

    def __post_init__(self):
        if self.network not in NETWORKS:
            raise ValueError(f"network must be one of {', '.join(NETWORKS)}; found {self.network!r}")
        check_labels_and_fill(self)
        if self.label_dim < 1 or min(self.input_fdim, self.input_tdim) < 32:
            raise ValueError(
                "a CNN needs 1 class or more and 32 mel bins and frames or more, as it halves both five times; found "
                f"{self.label_dim} classes, {self.input_fdim} mel bins and {self.input_tdim} frames"
            )

    def replace(self, **changes) -> "CNNConfig":
        return replace(self, **changes)


class CNN(nn.Module):
    """What both networks share: the check of the input, and the files."""

    head: str  # what the names of the parameters begin with that belong to the classes

    def __init__(self, cfg: CNNConfig):
        super().__init__()
        self.cfg = cfg

    def image(self, mel: torch.Tensor) -> torch.Tensor:
        """`(batch, frames, mels)` -> `(batch, 1, mels, frames)`: frequency is the picture's height.

        Raises ValueError for another number of mels, fewer than 32 frames, or whole numbers.
        """
        if mel.ndim != 3 or mel.shape[2] != self.cfg.input_fdim or mel.shape[1] < 32 or not mel.is_floating_point():
            raise ValueError(
                f"expected a normalised log-mel spectrogram of shape (batch, 32 or more frames, {self.cfg.input_fdim} "
                f"mels), floating point; found {tuple(mel.shape)}, {mel.dtype}"
            )
        return mel.transpose(1, 2).unsqueeze(1)

    save_pretrained = AST.save_pretrained  # the same two files; the "network" in config.json tells them apart

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "CNN":
        """Load a folder written by `save_pretrained`. Raises FileNotFoundError or ValueError with what is missing."""
        folder = find_model(folder)
        return read_weights(build(read_config(folder, CNNConfig)), folder)


class CNNMLP(CNN):
    """Five blocks of convolution, batch norm and ReLU, each halving the picture; the mean over all places; an MLP."""

    head = "mlp."

    def __init__(self, cfg: CNNConfig):
        super().__init__(cfg)
        self.blocks = nn.Sequential()
        for narrow, wide in zip((1, *WIDTHS), WIDTHS, strict=False):
            convolution = nn.Conv2d(narrow, wide, kernel_size=3, padding=1, bias=False)
            self.blocks.append(nn.Sequential(convolution, nn.BatchNorm2d(wide), nn.ReLU(), nn.AvgPool2d(2)))
        self.mlp = nn.Sequential(nn.Linear(WIDTHS[-1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, cfg.label_dim))

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        """Normalised log-mel `(batch, frames, mels)` -> logits `(batch, label_dim)`. Raises ValueError, see `image`."""
        maps = self.blocks(self.image(mel))  # (batch, 256, mels / 32, frames / 32)
        return self.mlp(maps.mean(dim=(2, 3)))


class AttentionPooling(nn.Module):
    """One probability a class from many steps in time: every class decides for itself which steps count.

    Each head has, for each class, a weight and a probability at every step; its answer is the weighted mean, and the
    answers are added with one learned weight a head. Source: psla src/models/HigherModels.py, MHeadAttention.
    """

    def __init__(self, dim: int, classes: int, heads: int = 4):
        super().__init__()
        self.shape = (heads, classes)
        self.attend = nn.Linear(dim, heads * classes)
        self.classify = nn.Linear(dim, heads * classes)
        self.head_weight = nn.Parameter(torch.full((heads,), 1 / heads))

    def shares(self, x: torch.Tensor) -> torch.Tensor:
        """`(batch, steps, dim)` -> `(batch, steps, heads, classes)`, float32; over the steps they sum to one."""
        weights = self.attend(x).float().sigmoid().clamp(EPSILON, 1 - EPSILON).unflatten(-1, self.shape)
        return weights / weights.sum(dim=1, keepdim=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(batch, steps, dim)` -> probabilities `(batch, classes)`, float32."""
        found = self.classify(x).float().sigmoid().unflatten(-1, self.shape)
        each = (self.shares(x) * found).sum(dim=1)  # (batch, heads, classes)
        return (each * self.head_weight[:, None]).sum(dim=1)


class PSLA(CNN):
    """EfficientNet-B2, the mean over frequency, and four-head attention pooling over time: 13.6 M parameters.

    PSLA's network ends in probabilities. Here they are turned back into logits, as everything else wants them: their
    sigmoid is PSLA's output. Raises ImportError without timm.
    """

    head = "pool."

    def __init__(self, cfg: CNNConfig):
        super().__init__(cfg)
        try:
            import timm
        except ImportError as error:
            raise ImportError('PSLA\'s EfficientNet comes with timm: pip install "astlib[vit]"') from error
        self.body = timm.create_model(EFFICIENTNET, in_chans=1, num_classes=0, global_pool="")
        self.pool = AttentionPooling(self.body.num_features, cfg.label_dim)

    def steps(self, mel: torch.Tensor) -> torch.Tensor:
        """`(batch, frames, mels)` -> `(batch, frames / 32, 1408)`: what the convolutions found, one vector a step."""
        return self.body(self.image(mel)).mean(dim=2).transpose(1, 2)

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        """Normalised log-mel `(batch, frames, mels)` -> logits `(batch, label_dim)`. Raises ValueError, see `image`."""
        return self.pool(self.steps(mel)).clamp(EPSILON, 1 - EPSILON).logit()


NETWORKS = {"cnn-mlp": CNNMLP, "psla": PSLA}
Network = AST | CNN  # what can be trained, averaged, measured and asked


def build(cfg: ASTConfig | CNNConfig) -> Network:
    """The network of a configuration, with random weights."""
    return AST(cfg) if isinstance(cfg, ASTConfig) else NETWORKS[cfg.network](cfg)


def open_saved(folder: str | Path) -> Network:
    """The network in a folder that `save_pretrained` wrote, whichever it is, or one that comes with astlib.

    Raises FileNotFoundError or ValueError with what is missing.
    """
    folder = find_model(folder)
    try:
        is_cnn = "network" in json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (ValueError, TypeError):
        is_cnn = False  # damaged: the AST's reader says how
    return (CNN if is_cnn else AST).from_pretrained(folder)


def from_efficientnet(state: dict[str, torch.Tensor], cfg: CNNConfig, channels: str = "sum") -> PSLA:
    """PSLA with ImageNet weights of timm's EfficientNet-B2 (a state dict); the pooling is new.

    channels: how RGB becomes one channel, see `astlib.transfer.to_one_channel`. Raises ValueError if they do not fit.
    """
    state = {key: value.detach() for key, value in state.items() if not key.startswith("classifier.")}
    model = PSLA(cfg)
    try:
        state["conv_stem.weight"] = to_one_channel(state["conv_stem.weight"].float(), channels)
        model.body.load_state_dict(state)
    except (KeyError, RuntimeError) as error:
        raise ValueError(f"these are not the weights of timm's {EFFICIENTNET}: {error}") from error
    return model


def adapt(model: CNN, cfg: CNNConfig) -> CNN:
    """The same network for other clips or classes: the body is copied, the head only if the classes are the same.

    Raises ValueError if cfg asks for the other network.
    """
    if model.cfg.network != cfg.network:
        raise ValueError(f"cannot turn {model.cfg.network} into {cfg.network}: their weights have other shapes")
    new, state = build(cfg), model.state_dict()
    if (model.cfg.label_dim, model.cfg.labels) != (cfg.label_dim, cfg.labels):
        state = {key: value for key, value in state.items() if not key.startswith(model.head)}
    new.load_state_dict(state, strict=False)
    return new
