"""What all tests share: reproducible property tests, and real data where available."""

from __future__ import annotations

import importlib.util
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# If a shell starts the tests in the background, they and the programs they start ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parents[1]
os.environ.setdefault("MPLBACKEND", "Agg")
# Test networks are tiny: two threads that wait for each other on a busy machine only lose time.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shared machine is slow at times, which is no failure. `make test` draws the same examples every
# time; `make fuzz` searches freely, and each failure it finds becomes an `@example` of the test.
settings.register_profile(
    "same", deadline=None, suppress_health_check=[HealthCheck.too_slow],
    derandomize=True, database=None,
)  # fmt: skip
settings.register_profile("fuzz", settings.get_profile("same"), derandomize=False,
                          max_examples=2000, print_blob=True)  # fmt: skip
settings.load_profile(os.environ.get("BIGKINGXXL_EXAMPLES", "same"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests that start a cluster, unless they are asked for."""
    if "cluster" in config.getoption("-m"):
        return
    for item in items:
        if item.get_closest_marker("cluster"):
            item.add_marker(pytest.mark.skip(reason="starts a cluster: make cluster"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests of a process; without it they are skipped with that reason."""
    from tests.viewer.page.browser import CHROMIUM, chromium

    if CHROMIUM is None:
        pytest.skip("no Chromium or Chrome on this machine (Debian: apt install chromium)")
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("playwright is not installed (the extra `dev` brings it)")
    with chromium() as found:
        yield found


@pytest.fixture(scope="session")
def sartorius() -> Path:
    """The challenge's data in Kaggle's layout; without it, tests that need it are skipped."""
    folder = Path(os.environ.get("BIGKINGXXL_DATA", ROOT.parent / "shared" / "sartorius"))
    if not (folder / "train.csv").is_file():
        pytest.skip(f"no real data: {folder} has no train.csv (BIGKINGXXL_DATA names the folder)")
    return folder
