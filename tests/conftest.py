"""What all tests share: reproducible property tests, and real data where it is at hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parents[1]
os.environ.setdefault("MPLBACKEND", "Agg")
# Test networks are tiny: two threads that wait for each other on a busy machine only lose time.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shared machine is slow now and then: that is no failure. CI draws the same examples every time.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("here"), derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "here")


@pytest.fixture(scope="session")
def sartorius() -> Path:
    """The challenge's data in Kaggle's layout; tests that need it are skipped without."""
    folder = Path(os.environ.get("BIGKINGXXL_DATA", ROOT.parent / "shared" / "sartorius"))
    if not (folder / "train.csv").is_file():
        pytest.skip(f"no real data: {folder} has no train.csv (BIGKINGXXL_DATA names the folder)")
    return folder
