"""Fixtures that all tests share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder with real data, or a skip where there is none."""
    folder = os.environ.get("TWOFOLD_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("TWOFOLD_DATA names no folder with real data")
    return Path(folder)
