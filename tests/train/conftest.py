"""The data of a short run, and the run itself, carried out once per module."""

import pytest
from small_run import LABELS, RECIPE

from astlib.data import Synthetic
from astlib.train import fit


@pytest.fixture(scope="session")
def data():
    train = Synthetic(fold=1, split="train").select(labels=LABELS, limit_per_class=6)
    test = Synthetic(fold=1, split="test").select(labels=LABELS, limit_per_class=3)
    return train, test


@pytest.fixture(scope="session")
def finished(data, tmp_path_factory):
    """Its folder and its record. Tests only read them."""
    out = tmp_path_factory.mktemp("run")
    return out, fit(RECIPE, out, *data, progress=False)
