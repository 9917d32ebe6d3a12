"""The Audio Spectrogram Transformer: a Vision Transformer that reads a log-mel spectrogram.

A spectrogram is cut into overlapping 16x16 patches, each becomes a token, one or two class tokens are put in front,
twelve identical blocks let all tokens look at each other, and a linear head reads the class tokens' outputs.

References:
1. Gong, Chung, Glass, "AST: Audio Spectrogram Transformer", Interspeech 2021 (arXiv 2104.01778), and its code.
2. Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021: the encoder, without a change.
3. timm: the names of the parameters, so that ImageNet weights load one to one.

Chapters: notebooks/02_spectrogram_to_tokens.ipynb and notebooks/04_the_whole_ast.ipynb
"""

import json
import os
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from .frontend import FILLS

# name: (width, heads, blocks); base224 and base384 differ in the ImageNet weights that fit them, not in shape
SIZES = {
    "tiny224": (192, 3, 12),
    "small224": (384, 6, 12),
    "base224": (768, 12, 12),
    "base384": (768, 12, 12),
    "large384": (1024, 16, 24),  # the paper's table 3 alone
}
MLP_RATIO = 4


def check_labels_and_fill(cfg) -> None:
    """What every network's configuration has to get right. Raises ValueError; makes the labels a tuple."""
    if cfg.labels is not None:
        object.__setattr__(cfg, "labels", tuple(cfg.labels))  # JSON gives lists
        if len(cfg.labels) != cfg.label_dim:
            raise ValueError(f"label_dim is {cfg.label_dim}, but {len(cfg.labels)} labels were given")
    if cfg.fill not in FILLS:
        raise ValueError(f"fill must be one of {', '.join(FILLS)}; found {cfg.fill!r}")


@dataclass(frozen=True)
class ASTConfig:
    """Everything that defines an AST, and what one must know to feed it with sound. Names as in the original.

    label_dim: number of classes.
    fstride, tstride: hop of the patches in mel bins and in frames; 16 means no overlap, the paper uses 10.
    input_fdim, input_tdim: size of the spectrogram in mel bins and in frames of 10 ms.
    model_size: "tiny224", "small224", "base224", "base384" (the paper's) or "large384".
    prefix_tokens: 2 (class and distillation token, as in DeiT and the paper) or 1 (as in a plain ViT).
    patch: height and width of a patch, in mel bins and frames. Only (16, 16) can use ImageNet weights.
    layer_norm_eps: epsilon of the norms in the encoder (timm's value; the head's norm keeps torch's 1e-5).
    mean, std: of the log-mel values of the training data, natural log; the input is (mel - mean) / (2 * std).
    fill: what stands behind the end of a short clip: "zero" in the log-mel (the original's), "silence" or "mean".
    multi_label: True if several classes may be present at once (AudioSet: sigmoid), False for one of many (softmax).
    labels: the names of the classes, in the order of the logits, or None.
    """

    label_dim: int = 527
    fstride: int = 10
    tstride: int = 10
    input_fdim: int = 128
    input_tdim: int = 1024
    model_size: str = "base384"
    prefix_tokens: int = 2
    patch: tuple[int, int] = (16, 16)
    layer_norm_eps: float = 1e-6
    mean: float = -4.2677393
    std: float = 4.5689974
    fill: str = "zero"
    multi_label: bool = True
    labels: tuple[str, ...] | None = None

    def __post_init__(self):
        object.__setattr__(self, "patch", tuple(self.patch))  # JSON gives lists
        check_labels_and_fill(self)
        if self.model_size not in SIZES:
            raise ValueError(f"model_size must be one of {', '.join(SIZES)}; found {self.model_size!r}")
        if self.prefix_tokens not in (1, 2):
            raise ValueError(f"prefix_tokens must be 1 (ViT) or 2 (DeiT, AST); found {self.prefix_tokens}")
        if min(self.label_dim, self.fstride, self.tstride, *self.patch) < 1:
            raise ValueError(f"label_dim, fstride, tstride and patch must be 1 or more; found {self}")
        if self.input_fdim < self.patch[0] or self.input_tdim < self.patch[1]:
            raise ValueError(
                f"the input of {self.input_fdim} mel bins x {self.input_tdim} frames is smaller than one patch of "
                f"{self.patch[0]} x {self.patch[1]}: not a single token would come out"
            )

    @property
    def dim(self) -> int:
        return SIZES[self.model_size][0]

    @property
    def heads(self) -> int:
        return SIZES[self.model_size][1]

    @property
    def depth(self) -> int:
        return SIZES[self.model_size][2]

    def replace(self, **changes) -> "ASTConfig":
        return replace(self, **changes)


def token_grid(cfg: ASTConfig) -> tuple[int, int]:
    """Number of patches along frequency and time, `(f, t)`: floor((size - patch) / stride) + 1 on each axis.

    The paper's setting gives (12, 101), so 1,212 patch tokens. Source: original src/models/ast_models.py, get_shape.
    """
    f = (cfg.input_fdim - cfg.patch[0]) // cfg.fstride + 1
    t = (cfg.input_tdim - cfg.patch[1]) // cfg.tstride + 1
    return f, t


class PatchEmbed(nn.Module):
    """Cut a spectrogram into patches and project each to a token: one strided convolution does both."""

    def __init__(self, cfg: ASTConfig):
        super().__init__()
        self.proj = nn.Conv2d(1, cfg.dim, kernel_size=cfg.patch, stride=(cfg.fstride, cfg.tstride))

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        image = mel.transpose(1, 2).unsqueeze(1)  # (batch, 1, mels, frames): frequency is the picture's height
        patches = self.proj(image)  # (batch, dim, f, t)
        return patches.flatten(2).transpose(1, 2)  # (batch, f * t, dim), frequency outer, time inner


class Attention(nn.Module):
    """Every token asks (q), every token answers (k) with what it holds (v); several heads at once."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, tokens, dim = x.shape
        q, k, v = self.qkv(x).reshape(batch, tokens, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        x = F.scaled_dot_product_attention(q, k, v)  # (batch, heads, tokens, dim / heads), fused where possible
        return self.proj(x.transpose(1, 2).reshape(batch, tokens, dim))


class Mlp(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.fc1 = nn.Linear(dim, MLP_RATIO * dim)
        self.fc2 = nn.Linear(MLP_RATIO * dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """One encoder block, pre-norm: tokens exchange (attention), then each thinks alone (MLP)."""

    def __init__(self, dim: int, heads: int, eps: float):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        self.mlp = Mlp(dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class AST(nn.Module):
    """The whole network, with random weights. `astlib.transfer` gives it ImageNet's or another AST's."""

    def __init__(self, cfg: ASTConfig):
        super().__init__()
        self.cfg = cfg
        f, t = token_grid(cfg)
        self.patch_embed = PatchEmbed(cfg)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, cfg.dim))
        if cfg.prefix_tokens == 2:
            self.dist_token = nn.Parameter(torch.zeros(1, 1, cfg.dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, cfg.prefix_tokens + f * t, cfg.dim))
        self.blocks = nn.ModuleList(Block(cfg.dim, cfg.heads, cfg.layer_norm_eps) for _ in range(cfg.depth))
        self.norm = nn.LayerNorm(cfg.dim, eps=cfg.layer_norm_eps)
        self.mlp_head = nn.Sequential(nn.LayerNorm(cfg.dim), nn.Linear(cfg.dim, cfg.label_dim))
        self.init_weights()

    def init_weights(self) -> None:
        """Truncated normal of std 0.02 in the encoder (timm's); patch projection and head keep torch's default.

        Source: original src/models/ast_models.py:84 and :108-113, timm 0.4.5 vision_transformer.py.
        """
        prefix = [self.cls_token, *([self.dist_token] if self.cfg.prefix_tokens == 2 else [])]
        for parameter in [self.pos_embed, *prefix]:
            nn.init.trunc_normal_(parameter, std=0.02)
        for module in self.blocks.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def check_input(self, mel: torch.Tensor) -> None:
        expected = (self.cfg.input_tdim, self.cfg.input_fdim)
        if mel.ndim != 3 or tuple(mel.shape[1:]) != expected:
            if mel.ndim != 3:
                hint = "three axes are needed; mel.unsqueeze(0) makes one clip a batch of one"
            elif tuple(mel.shape[:0:-1]) == expected:
                hint = "is it transposed? frames come before mels"
            else:
                hint = (
                    "pad or cut the spectrogram with astlib.frontend.pad_or_cut, "
                    "or give the model another grid with astlib.transfer.adapt"
                )
            raise ValueError(
                f"expected a normalised log-mel spectrogram of shape (batch, {expected[0]} frames, "
                f"{expected[1]} mels), found {tuple(mel.shape)}: {hint}"
            )
        if not mel.is_floating_point():
            raise ValueError(f"expected floating-point log-mel values, found {mel.dtype}")

    def embed_tokens(self, mel: torch.Tensor) -> torch.Tensor:
        """`(batch, frames, mels)` -> `(batch, prefix + f*t, dim)`: the encoder's input, positions added."""
        self.check_input(mel)
        patches = self.patch_embed(mel)
        prefix = [self.cls_token, *([self.dist_token] if self.cfg.prefix_tokens == 2 else [])]
        prefix = [token.expand(len(mel), -1, -1) for token in prefix]
        return torch.cat([*prefix, patches], dim=1) + self.pos_embed

    def tokens(self, mel: torch.Tensor) -> torch.Tensor:
        """`(batch, frames, mels)` -> `(batch, prefix + f*t, dim)`: all tokens after the last norm."""
        x = self.embed_tokens(mel)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def embed(self, mel: torch.Tensor) -> torch.Tensor:
        """`(batch, frames, mels)` -> `(batch, dim)`: one vector a clip, the mean of the class tokens' outputs.

        Both tokens go through all blocks and their outputs are averaged (original src/models/ast_models.py:183;
        the paper's section 2.2 can be read as if there were one token).
        """
        return self.tokens(mel)[:, : self.cfg.prefix_tokens].mean(dim=1)

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        """Normalised log-mel `(batch, frames, mels)`, floating point -> logits `(batch, label_dim)`.

        No sigmoid and no softmax inside: the loss wants logits. Raises ValueError if the shape does not fit.
        """
        return self.mlp_head(self.embed(mel))

    def save_pretrained(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        """Write `config.json` and `model.safetensors`; `dtype=torch.float16` halves the file.

        Raises OSError if the folder cannot be written.
        """
        from safetensors.torch import save

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        state = {key: value.detach().to("cpu", dtype).contiguous() for key, value in self.state_dict().items()}
        files = {
            "model.safetensors": save(state, metadata={"format": "pt"}),  # as bytes: a full disk is then an OSError
            "config.json": (json.dumps(asdict(self.cfg), indent=2) + "\n").encode(),
        }
        for name, content in files.items():
            (folder / f".{name}.tmp").write_bytes(content)
        for name in files:  # a kill never leaves half a file under its real name
            os.replace(folder / f".{name}.tmp", folder / name)

    @classmethod
    def from_pretrained(cls, folder_or_name: str | Path) -> "AST":
        """Load a folder written by `save_pretrained`, or a model that comes with astlib ("ast-tiny-esc50").

        The weights are float32 whatever the file holds. Raises FileNotFoundError or ValueError with what is missing.
        """
        folder = find_model(folder_or_name)
        return read_weights(cls(read_config(folder, ASTConfig)), folder)


def to_probabilities(logits: torch.Tensor, multi_label: bool) -> torch.Tensor:
    """`(..., classes)` -> the same: sigmoid where several classes may be present at once, softmax for one of many."""
    return logits.sigmoid() if multi_label else logits.softmax(dim=-1)


def read_config(folder: Path, kind: type):
    """`config.json` of a saved model, as a configuration of this kind. Raises ValueError if it is none."""
    try:
        config = dict(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{folder / 'config.json'} is damaged: {error}") from error
    unknown = sorted(set(config) - {field.name for field in fields(kind)})
    if unknown:
        raise ValueError(
            f"{folder / 'config.json'} is not such an astlib configuration: unknown keys {', '.join(unknown)}. "
            "A Hugging Face folder is read with astlib.convert.from_huggingface, another network with open_model"
        )
    return kind(**config)


def read_weights(model: nn.Module, folder: Path) -> nn.Module:
    """Put `model.safetensors` of a folder into a model, as float32; returns it in eval mode.

    Raises ValueError if the file is damaged or holds other weights.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = load_file(folder / "model.safetensors")
        model.load_state_dict({key: value.float() for key, value in state.items()})
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"{folder / 'model.safetensors'} is damaged or not this model's: {error}") from error
    return model.eval()


def find_model(folder_or_name: str | Path) -> Path:
    """The folder of a saved model: a path, or the name of one that comes with astlib (in a wheel or a checkout)."""
    here = Path(__file__).resolve().parent
    embedded = [here / "_models", here.parent / "models"]
    for folder in [Path(folder_or_name), *(place / str(folder_or_name) for place in embedded)]:
        if (folder / "config.json").is_file() and (folder / "model.safetensors").is_file():
            return folder
    known = sorted({path.parent.name for place in embedded for path in place.glob("*/config.json")})
    raise FileNotFoundError(
        f"no model at {folder_or_name}: expected a folder with config.json and model.safetensors, "
        f"or one of the embedded models ({', '.join(known) or 'none here'})"
    )
