"""Drawn explanations for the chapters: diagrams whose boxes hold real numbers, one module a subject.

`astlib.plots` draws data; this package draws ideas, and takes the chapter's numbers to do it.

Chapters: all; the first is notebooks/01_sound_to_spectrogram.ipynb.
"""

import importlib
import pkgutil
from types import ModuleType


def __getattr__(name: str) -> ModuleType:
    """Load a module at its first use: a chapter needs one or two of them."""
    if name in {module.name for module in pkgutil.iter_modules(__path__)}:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
