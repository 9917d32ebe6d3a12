"""Reproduction of the paper's tables: the runs behind every cell, what they cost, how to run them, and their results.

Chapter: notebooks/12_the_ablations.ipynb
"""

from .cells import SCALES, TABLES, Cell, Ensemble
from .compare import claim, obtained, rows_of, side_by_side
from .jobs import Job, execute_job, job, jobs_of, train
from .schedule import missing, plan, ready, run_missing, slurm

__all__ = [
    "SCALES",
    "TABLES",
    "Cell",
    "Ensemble",
    "Job",
    "claim",
    "execute_job",
    "job",
    "jobs_of",
    "missing",
    "obtained",
    "plan",
    "ready",
    "rows_of",
    "run_missing",
    "side_by_side",
    "slurm",
    "train",
]
