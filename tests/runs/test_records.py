"""Stamps of images that are stored in several files."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from bigkingxxl.candidates import Candidates
from bigkingxxl.images import ImageSource
from bigkingxxl.runs.records import FileState, Stamp
from bigkingxxl.runs.store import RunStore
from tests.io.images.test_tiff_oddities import write_series
from tests.threshold import Threshold, pixels, run

IDS = ["f0_t000", "f0_t001", "f0_t002"]


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    """A time-lapse of three files; the last file beside it is another version of the second."""
    (tmp_path / "other").mkdir()
    counts = np.stack([pixels(count) for count in (4, 7, 2)])
    other = write_series(tmp_path / "other", counts[::-1])
    (tmp_path / "images").mkdir()
    return [*write_series(tmp_path / "images", counts), other[2]]


def replace_second(parts: list[Path]) -> None:
    """Replace the second file by one of the same size that is older."""
    size = parts[1].stat().st_size
    shutil.copy(parts[3], parts[1])
    os.utime(parts[1], ns=(10**18, 10**18))
    assert parts[1].stat().st_size == size


def test_every_file_of_a_series_counts(parts: list[Path]) -> None:
    before, state = Stamp.of(parts[0]), FileState.of(parts[0])
    assert Stamp.of(parts[0], before) is before
    assert state == (before.size, before.modified)
    replace_second(parts)
    after = Stamp.of(parts[0], before)
    assert after.sha256 != before.sha256
    assert FileState.of(parts[0]) == (after.size, after.modified) != state
    parts[2].unlink()
    assert Stamp.of(parts[0], after).sha256 not in (before.sha256, after.sha256)
    assert Stamp.of(parts[0]).size == parts[0].stat().st_size + parts[1].stat().st_size


def test_a_file_alone_has_the_hash_of_its_content(tmp_path: Path, parts: list[Path]) -> None:
    (tmp_path / "alone").mkdir()
    copy = Path(shutil.copy(parts[0], tmp_path / "alone" / "x.tif"))
    stamp = RunStore(tmp_path / "out").stamp(copy)
    assert stamp.sha256 == hashlib.sha256(parts[0].read_bytes()).hexdigest()


def test_an_image_is_done_again_if_another_file_of_it_changed(
    tmp_path: Path, parts: list[Path]
) -> None:
    assert run(parts[:1], tmp_path / "out").cells == dict(zip(IDS, (4, 7, 2), strict=True))
    assert run(parts[:1], tmp_path / "out").skipped == 3
    replace_second(parts)
    again = run(parts[:1], tmp_path / "out")
    assert (again.skipped, again.cells["f0_t001"]) == (0, 4)


def test_a_file_that_is_replaced_while_the_image_is_read(tmp_path: Path, parts: list[Path]) -> None:
    class Meddles(Threshold):
        def candidates(self, source: ImageSource) -> Candidates:
            if source.name == "f0_t001":
                replace_second(parts)
            return super().candidates(source)

    result = run(parts[:1], tmp_path / "out", predictor=Meddles(), ahead=1)
    assert "f0_t001" in result.failed
    assert run(parts[:1], tmp_path / "out").cells == dict(zip(IDS, (4, 4, 2), strict=True))
