"""Data sets with one interface: clips, targets, folds.

Chapter: notebooks/06_data_and_augmentation.ipynb
"""

from . import fetch as fetch
from . import hours as hours
from . import joined as joined
from . import windows as windows
from .audioset import AudioSet, AudioStream
from .base import AudioDataset, Loadable, duration_stats
from .batch import Batch, Item, collate
from .esc50 import ESC50
from .folder import Folder
from .mixture import Mixture
from .notes import Note, notes_of
from .registry import DATASETS, DataSource, Parts, data_source, esc50_or_synthetic, everything, parts
from .report import Problem, Report
from .speech_commands import SpeechCommands
from .synthetic import Synthetic
from .targets import Targets

__all__ = [
    "DATASETS",
    "ESC50",
    "AudioDataset",
    "AudioSet",
    "AudioStream",
    "Batch",
    "DataSource",
    "Folder",
    "Item",
    "Loadable",
    "Mixture",
    "Note",
    "Parts",
    "Problem",
    "Report",
    "SpeechCommands",
    "Synthetic",
    "Targets",
    "collate",
    "data_source",
    "duration_stats",
    "esc50_or_synthetic",
    "everything",
    "notes_of",
    "parts",
]
