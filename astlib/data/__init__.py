"""Data sets with one interface: clips, targets, folds.

Chapter: notebooks/06_data_and_augmentation.ipynb
"""

from .base import AudioDataset, DataNotFound, cache_folder, collate, find
from .esc50 import ESC50
from .synthetic import Synthetic

__all__ = [
    "AudioDataset", "DataNotFound", "ESC50", "Synthetic",
    "cache_folder", "collate", "esc50_or_synthetic", "find",
]  # fmt: skip


def esc50_or_synthetic(fold: int = 1, split: str = "train") -> AudioDataset:
    """ESC-50 where it is on this machine, else the sounds made in code; `is_synthetic` tells which.

    A copy of ESC-50 that is there but incomplete is an error, not a reason to use the other.
    """
    return Synthetic(fold, split) if find("esc50") is None else ESC50(fold=fold, split=split)


def parts(name: str, fold: int = 1, validation: bool = False, root=None) -> tuple:
    """(train, validation or None, test) of a data set by its name."""
    kind = {"esc50": ESC50, "synthetic": Synthetic}[name]
    return kind(fold=fold, split="train"), None, kind(fold=fold, split="test")
