"""astlib: the Audio Spectrogram Transformer (Gong, Chung and Glass, Interspeech 2021), small enough to read.

Each module holds one idea of the book and names the chapter that explains it. Modules, and the names that astlib has
from two of them, are loaded at their first use, so that `astlib --help` need not wait for torch.

Chapter: book/how_to_run.md
"""

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .frontend import Features, LogMel
    from .model import AST, ASTConfig, token_grid

__version__ = "0.1.0"
__all__ = ["AST", "ASTConfig", "Features", "LogMel", "__version__", "token_grid"]


_HOME = {"AST": "model", "ASTConfig": "model", "token_grid": "model", "Features": "frontend", "LogMel": "frontend"}


def __getattr__(name: str) -> Any:
    """Load a module, or one of the names above, at its first use."""
    if name in _HOME:
        return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    if name in _modules():
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module 'astlib' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_modules()])


def _modules() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(__path__)]
