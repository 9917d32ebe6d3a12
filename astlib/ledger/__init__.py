"""The ledger: what was run, on what, with what result, and what the paper says beside it.

Chapter: notebooks/09_esc50.ipynb
"""

from .ledger import Ledger, best_epoch_over, families, table
from .published import original_logs, paper, protocol
from .record import Epoch, Metrics, Record, seal

__all__ = [
    "Epoch",
    "Ledger",
    "Metrics",
    "Record",
    "best_epoch_over",
    "families",
    "original_logs",
    "paper",
    "protocol",
    "seal",
    "table",
]
