"""What several test modules share."""

from pathlib import Path

import pytest

from astlib import data


@pytest.fixture(scope="session")
def esc50_root() -> Path:
    """Folder of the real ESC-50."""
    root = data.find("esc50")
    if root is None:
        pytest.skip("ESC-50 not found: set ASTLIB_DATA")
    return root
