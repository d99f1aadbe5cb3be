"""Servers and windows for the tests of the page; `browser` is in `tests/conftest.py`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.viewer.page.browser import Viewer, Window
from tests.viewer.page.fields import simulated_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "long" in str(config.getoption("markexpr")):
        return
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="takes minutes: `make page-long`"))


@pytest.fixture(scope="module")
def viewer(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewer]:
    """A server of a run over two simulated fields."""
    found = Viewer(simulated_run(tmp_path_factory.mktemp("fields")))
    yield found
    found.stop()


@pytest.fixture
def window(browser: Browser, viewer: Viewer) -> Iterator[Window]:
    """A new window, 1,280 pixels wide, in which the page must not have failed."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    found = Window(context, viewer)
    yield found
    context.close()
    assert found.problems == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run of its own, for tests that leave traces."""
    return simulated_run(tmp_path)
