"""astlib: the Audio Spectrogram Transformer (Gong, Chung and Glass, Interspeech 2021), small enough to read.

Each module holds one idea of the book and names the chapter that explains it. Importing astlib needs torch,
numpy and soundfile; every other dependency is imported by the module that uses it, when it is used.
"""

import importlib

from .frontend import LogMel
from .model import AST, ASTConfig, token_grid

__version__ = "0.1.0"
__all__ = ["AST", "ASTConfig", "LogMel", "token_grid", "__version__"]

_MODULES = (
    "audio", "augment", "checkpoint", "cnn", "convert", "data", "devices", "explain", "export", "files", "frontend",
    "ledger", "loop", "measure", "metrics", "model", "plots", "predict", "recipes", "sampling", "start", "steps",
    "train", "transfer", "widgets",
)  # fmt: skip


def __getattr__(name: str):
    """Load a module at its first use, so that `import astlib` stays as quick as `import torch`."""
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module 'astlib' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES])
