"""Shared settings: tests never download, and use real files from a folder beside the checkout."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

os.environ.setdefault("RVAE_STEM_OFFLINE", "1")
if (ROOT / "../shared/data").is_dir():
    os.environ.setdefault("RVAE_STEM_DATA", str((ROOT / "../shared/data").resolve()))


@pytest.fixture(autouse=True)
def close_figures():
    """No test sees the figures of another."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture
def real_file():
    """A function that returns the path of a registered real file, or skips the test without it."""
    from helpers import fetch

    def path_of(name: str) -> Path:
        try:
            return fetch(name)
        except FileNotFoundError:
            pytest.skip(f"real file absent: {name}")

    return path_of
