"""Training: carries out a recipe on any number of processes, and can be stopped and resumed at any moment.

Chapter: notebooks/07_the_training_loop.ipynb
"""

from . import normalisation as normalisation
from .fit import fit
from .loop import Training
from .options import Options
from .start import build_model

__all__ = ["Options", "Training", "build_model", "fit"]
