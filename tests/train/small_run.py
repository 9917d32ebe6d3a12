"""The short run that most tests of training are about, and how its weights are compared."""

from pathlib import Path

import torch
from torch import Tensor

from astlib.data import Synthetic
from astlib.model import AST
from astlib.recipes import RECIPES

LABELS = Synthetic(split="train").labels[:3]
RECIPE = RECIPES["synthetic"].replace(
    init="scratch", epochs=2, batch=8, input_tdim=128, timem=24, fstride=16, tstride=16, prefix_tokens=1, mixup=0.5
)  # 18 clips: three steps per epoch, the last of two clips


def weights(folder: Path) -> dict[str, Tensor]:
    return AST.from_pretrained(folder).state_dict()


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Whether two networks have the same weights, bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
