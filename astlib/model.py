"""The Audio Spectrogram Transformer: a Vision Transformer that reads a log-mel spectrogram.

A spectrogram is cut into overlapping patches of 16 x 16, each patch becomes a token, one or two class tokens are put in
front, twelve identical blocks let all tokens attend to each other, and a linear head reads the class tokens' outputs.

References:
1. Gong, Chung, Glass, "AST: Audio Spectrogram Transformer", Interspeech 2021 (arXiv 2104.01778), and its code.
2. Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021: the encoder, unchanged.
3. timm: the names of the parameters, so that ImageNet weights load one to one.

Chapters: notebooks/02_spectrogram_to_tokens.ipynb and notebooks/04_the_whole_ast.ipynb
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .errors import InvalidInput
from .saved import MOST_FRAMES, NetworkConfig, SavedNetwork
from .typed import check_ranges, shown

# name: (width, heads, blocks); base224 and base384 differ in the ImageNet weights that fit them, not in shape
SIZES = {
    "tiny224": (192, 3, 12),
    "small224": (384, 6, 12),
    "base224": (768, 12, 12),
    "base384": (768, 12, 12),
    "large384": (1024, 16, 24),  # the paper's table 3 alone
}
MLP_RATIO = 4
MOST_TOKENS = 100_000  # the paper has 1,212; attention over more than this would take a terabyte without fusing


@dataclass(frozen=True, kw_only=True)
class ASTConfig(NetworkConfig):
    """Everything that defines an AST, and how sound is prepared for it. The names are the original's.

    The other fields are those of `astlib.saved.NetworkConfig`, which all networks share.

    Attributes:
        fstride: hop of the patches in mel bins; 16 means no overlap, the paper uses 10.
        tstride: hop of the patches in frames.
        model_size: "tiny224", "small224", "base224", "base384" (the paper's) or "large384".
        prefix_tokens: 2 (class and distillation token, as in DeiT and the paper) or 1 (as in a plain ViT).
        patch: height and width of a patch, in mel bins and frames. Only (16, 16) can use ImageNet weights.
        layer_norm_eps: epsilon of the norms in the encoder (timm's value; the head's norm keeps torch's 1e-5).

    Raises:
        InvalidInput: a value that is out of range or unknown, or an input smaller than one patch.
    """

    fstride: int = 10
    tstride: int = 10
    model_size: str = "base384"
    prefix_tokens: int = 2
    patch: tuple[int, int] = (16, 16)
    layer_norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.model_size not in SIZES:
            raise InvalidInput(f"model_size must be one of {', '.join(SIZES)}; found {shown(self.model_size)}")
        if self.prefix_tokens not in (1, 2):
            raise InvalidInput(f"prefix_tokens must be 1 (ViT) or 2 (DeiT, AST); found {shown(self.prefix_tokens)}")
        check_ranges(self, {"fstride": (1, MOST_FRAMES), "tstride": (1, MOST_FRAMES)})
        if min(self.patch) < 1:
            raise InvalidInput(f"height and width of a patch must be 1 or more; found {shown(self.patch)}")
        if not 0 < self.layer_norm_eps < 1:
            raise InvalidInput(f"layer_norm_eps must be between 0 and 1; found {self.layer_norm_eps:g}")
        if self.input_fdim < self.patch[0] or self.input_tdim < self.patch[1]:
            raise InvalidInput(
                f"the input of {self.input_fdim} mel bins x {self.input_tdim} frames is smaller than one patch of "
                f"{self.patch[0]} x {self.patch[1]}: not a single token would come out"
            )
        f, t = token_grid(self)
        if f * t > MOST_TOKENS:
            raise InvalidInput(
                f"an input of {self.input_fdim} mel bins x {self.input_tdim} frames has {f * t:,} patches, at most "
                f"{MOST_TOKENS:,} are possible. Give a shorter input_tdim or larger strides"
            )

    @property
    def dim(self) -> int:
        """Width of a token."""
        return SIZES[self.model_size][0]

    @property
    def heads(self) -> int:
        """Number of attention heads in each block."""
        return SIZES[self.model_size][1]

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return SIZES[self.model_size][2]


def token_grid(cfg: ASTConfig) -> tuple[int, int]:
    """Count the patches along frequency and time.

    On each axis there are floor((size - patch) / stride) + 1, the output size of a convolution without padding. Source:
    original src/models/ast_models.py, get_shape.

    Args:
        cfg: the configuration of an AST.

    Returns:
        `(f, t)`. The paper's setting gives (12, 101), so 1,212 patch tokens.
    """
    f = (cfg.input_fdim - cfg.patch[0]) // cfg.fstride + 1
    t = (cfg.input_tdim - cfg.patch[1]) // cfg.tstride + 1
    return f, t


class PatchEmbed(nn.Module):
    """Cut a spectrogram into patches and project each to a token: one strided convolution does both.

    Args:
        cfg: the configuration of the AST.
    """

    def __init__(self, cfg: ASTConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, cfg.dim, kernel_size=cfg.patch, stride=(cfg.fstride, cfg.tstride))

    def forward(self, mel: Tensor) -> Tensor:
        """Turn spectrograms into patch tokens.

        Args:
            mel: normalised log-mel `(batch, frames, mels)`.

        Returns:
            `(batch, f * t, dim)`: row by row of the grid, time changes fastest.
        """
        image = mel.transpose(1, 2).unsqueeze(1)  # (batch, 1, mels, frames): frequency is the height of the image
        patches: Tensor = self.proj(image)  # (batch, dim, f, t)
        return patches.flatten(2).transpose(1, 2)  # (batch, f * t, dim), frequency outer, time inner


class Attention(nn.Module):
    """Multi-head self-attention: the query of each token is compared with the keys of all, and weighs their values.

    Args:
        dim: width of a token.
        heads: number of heads; `dim` is a multiple of it.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)  # queries, keys and values in one matrix
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Let every token attend to every token.

        Args:
            x: normed tokens `(batch, tokens, dim)`.

        Returns:
            `(batch, tokens, dim)`.
        """
        batch, tokens, dim = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (batch, heads, tokens, dim / heads) each
        x = F.scaled_dot_product_attention(q, k, v)  # (batch, heads, tokens, dim / heads), fused where possible
        mixed: Tensor = self.proj(x.transpose(1, 2).reshape(batch, tokens, dim))
        return mixed


class Mlp(nn.Module):
    """Two linear layers with a GELU between them, applied to each token by itself.

    Args:
        dim: width of a token; the hidden layer is `MLP_RATIO` times as wide.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, MLP_RATIO * dim)
        self.fc2 = nn.Linear(MLP_RATIO * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Transform every token by itself.

        Args:
            x: normed tokens `(batch, tokens, dim)`.

        Returns:
            `(batch, tokens, dim)`.
        """
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))  # the exact GELU, not the tanh approximation
        return out


class Block(nn.Module):
    """One pre-norm encoder block: attention across tokens, then an MLP on each token, each with a residual connection.

    Args:
        dim: width of a token.
        heads: number of attention heads.
        eps: epsilon of the two norms.
    """

    def __init__(self, dim: int, heads: int, eps: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        self.mlp = Mlp(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block.

        Args:
            x: tokens `(batch, tokens, dim)`.

        Returns:
            `(batch, tokens, dim)`.
        """
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class AST(SavedNetwork):
    """The whole network, with random weights. `astlib.transfer` gives it ImageNet's, or those of another AST.

    Args:
        cfg: the configuration.
    """

    config = ASTConfig
    head = "mlp_head."
    cfg: ASTConfig

    def __init__(self, cfg: ASTConfig) -> None:
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

    def class_tokens(self) -> list[nn.Parameter]:
        """The tokens in front of the patches.

        Returns:
            The class token and, if there are two, the distillation token, `(1, 1, dim)` each.
        """
        return [self.cls_token, self.dist_token] if self.cfg.prefix_tokens == 2 else [self.cls_token]

    def init_weights(self) -> None:
        """Draw new weights: truncated normal with std 0.02 in the encoder, as in timm.

        The patch projection and the head keep torch's default. Source: original src/models/ast_models.py:84 and
        :108-113, timm 0.4.5 vision_transformer.py.
        """
        for parameter in [self.pos_embed, *self.class_tokens()]:
            nn.init.trunc_normal_(parameter, std=0.02)
        for module in self.blocks.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def check_input(self, mel: Tensor) -> None:
        """Check the shape and dtype of an input.

        Args:
            mel: normalised log-mel `(batch, frames, mels)`.

        Raises:
            InvalidInput: another shape, or integers; the message says how to change it.
        """
        expected = (self.cfg.input_tdim, self.cfg.input_fdim)
        if mel.ndim != 3 or tuple(mel.shape[1:]) != expected:
            if mel.ndim != 3:
                hint = "three axes are needed; mel.unsqueeze(0) makes one clip a batch of one"
            elif tuple(mel.shape[:0:-1]) == expected:  # the last two axes, in reverse order
                hint = "is it transposed? frames come before mels"
            else:
                hint = (
                    "pad or cut the spectrogram with astlib.frontend.pad_or_cut, "
                    "or give the model another grid with astlib.transfer.adapt"
                )
            raise InvalidInput(
                f"expected a normalised log-mel spectrogram of shape (batch, {expected[0]} frames, "
                f"{expected[1]} mels), found {tuple(mel.shape)}: {hint}"
            )
        if not mel.is_floating_point():
            raise InvalidInput(f"expected floating-point log-mel values, found {mel.dtype}")

    def embed_tokens(self, mel: Tensor) -> Tensor:
        """Compute the input of the encoder: class tokens and patch tokens with their positions added.

        Args:
            mel: normalised log-mel `(batch, frames, mels)`.

        Returns:
            `(batch, prefix + f * t, dim)`.

        Raises:
            InvalidInput: as in `check_input`.
        """
        self.check_input(mel)
        patches = self.patch_embed(mel)  # (batch, f * t, dim)
        # shape[0] and not len: a trace records a shape as something that varies, and a length as a constant
        prefix = [token.expand(mel.shape[0], -1, -1) for token in self.class_tokens()]  # (batch, 1, dim) each
        return torch.cat([*prefix, patches], dim=1) + self.pos_embed

    def tokens(self, mel: Tensor, kept: Tensor | None = None) -> Tensor:
        """Compute the output of the encoder: all tokens after the last norm.

        Args:
            mel: normalised log-mel `(batch, frames, mels)`.
            kept: numbers of the patches that stay, `(batch, patches)` int64; the encoder does not see the others. A
                step of training gets cheaper by it, and it is an augmentation: patch-out (K. Koutini et al., "Efficient
                Training of Audio Transformers with Patchout", Interspeech 2022). None keeps all.

        Returns:
            `(batch, prefix + patches, dim)`.

        Raises:
            InvalidInput: as in `check_input`.
        """
        x = self.embed_tokens(mel)  # (batch, prefix + f * t, dim)
        if kept is not None:  # the positions were added before, so that every patch still knows its place
            prefix = self.cfg.prefix_tokens
            rows = (kept + prefix)[:, :, None].expand(-1, -1, x.shape[2])  # (batch, patches, dim)
            x = torch.cat([x[:, :prefix], x.gather(1, rows)], dim=1)
        for block in self.blocks:
            x = block(x)
        normed: Tensor = self.norm(x)
        return normed

    def embed(self, mel: Tensor, kept: Tensor | None = None) -> Tensor:
        """Compute one vector per clip, the mean of the class tokens' outputs.

        Both tokens go through all blocks, and their outputs are averaged (original src/models/ast_models.py:183; the
        paper's section 2.2 can be read as if there were one token).

        Args:
            mel: normalised log-mel `(batch, frames, mels)`.
            kept: as for `tokens`.

        Returns:
            `(batch, dim)`.

        Raises:
            InvalidInput: as in `check_input`.
        """
        return self.tokens(mel, kept)[:, : self.cfg.prefix_tokens].mean(dim=1)

    def forward(self, mel: Tensor, kept: Tensor | None = None) -> Tensor:
        """Compute the logits of every class, without sigmoid or softmax: the loss functions take logits.

        Args:
            mel: normalised log-mel `(batch, frames, mels)`, floating point.
            kept: as for `tokens`; only training drops patches.

        Returns:
            `(batch, label_dim)`.

        Raises:
            InvalidInput: as in `check_input`.
        """
        logits: Tensor = self.mlp_head(self.embed(mel, kept))
        return logits
