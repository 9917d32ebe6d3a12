"""Training: carries out a recipe on any number of processes, and can be stopped and resumed at any moment.

Chapter: notebooks/07_the_training_loop.ipynb
"""

import importlib
from types import ModuleType

from . import normalisation as normalisation
from .fit import fit
from .loop import Training
from .options import Options
from .start import build_model

__all__ = ["Options", "Training", "build_model", "fit"]


def __getattr__(name: str) -> ModuleType:
    """Load `folds` at its first use: it stands on the reports, which training does not need."""
    if name == "folds":
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
