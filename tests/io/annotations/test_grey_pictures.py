"""Grey pictures passed as label images are reported."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from bigkingxxl.io.annotations.label_images import read_label_image

SIZE = (300, 400)


def picture(blur: float) -> NDArray[np.uint8]:
    noise = ndimage.gaussian_filter(np.random.default_rng(3).normal(size=SIZE), blur)
    return np.asarray(np.clip(128 + 40 * noise / noise.std(), 0, 255), np.uint8)


def touching(width: int) -> NDArray[np.uint16]:
    """Cells of a given width without any background between them."""
    rows, cols = np.indices(SIZE) // width
    return np.asarray(1 + rows * (1 + cols.max()) + cols, np.uint16)


def told(values: NDArray[np.uint8] | NDArray[np.uint16], path: Path,
         caplog: pytest.LogCaptureFixture) -> bool:  # fmt: skip
    Image.fromarray(values).save(path)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        read = read_label_image(path)
    assert np.array_equal(read, values)
    return any(str(path) in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("blur", [0.5, 1, 2, 4])
def test_a_grey_picture_is_reported(
    blur: float, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert told(picture(blur), tmp_path / "x.png", caplog)


def test_a_picture_with_a_black_background_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    values = picture(1)
    values[:, :250] = 0
    assert told(values, tmp_path / "x.png", caplog)


@pytest.mark.parametrize("width", [2, 3, 10, 60])
def test_cells_that_touch_are_labels(
    width: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert not told(touching(width), tmp_path / "x.png", caplog)


def test_points_on_background_are_labels(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    values = np.zeros(SIZE, np.uint16)
    values[::3, ::3] = np.arange(1, 1 + values[::3, ::3].size).reshape(values[::3, ::3].shape)
    assert not told(values, tmp_path / "x.png", caplog)
