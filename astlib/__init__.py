"""astlib: the Audio Spectrogram Transformer (Gong, Chung and Glass, Interspeech 2021), small enough to read.

Each module holds one idea of the book and names the chapter that explains it. Importing astlib needs torch, numpy and
safetensors; every other dependency is imported by the module that uses it, when it is used.

Chapter: book/how_to_run.md
"""

import importlib
import pkgutil
from types import ModuleType

from .frontend import Features, LogMel
from .model import AST, ASTConfig, token_grid

__version__ = "0.1.0"
__all__ = ["AST", "ASTConfig", "Features", "LogMel", "__version__", "token_grid"]


def __getattr__(name: str) -> ModuleType:
    """Load a module at its first use, so that `import astlib` stays as quick as `import torch`."""
    if name in _modules():
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module 'astlib' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_modules()])


def _modules() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(__path__)]
