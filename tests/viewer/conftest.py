"""A small run to be viewed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.threshold import run, save_images
from tests.viewer.window import Server

COUNTS = (3, 12, 0)


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A run over three images of bright squares, each of which is a cell."""
    run(save_images(tmp_path / "images", COUNTS), tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def server(run_folder: Path) -> Iterator[Server]:
    """A server of this run."""
    with Server(run_folder) as found:
        yield found
