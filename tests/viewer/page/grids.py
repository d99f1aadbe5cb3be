"""Data sets of any number of cells: every cell is a disc on a jittered grid."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

PITCH = 22  # pixels from cell to cell
RADIUS = 8


def grid_labels(
    cells: int, size: tuple[int, int] | None = None, seed: int = 0
) -> NDArray[np.uint16]:
    """Labels uint16[H, W] of `count` discs; the default size is as large as they need."""
    across = math.ceil(math.sqrt(cells * 4 / 3))
    size = size or (math.ceil(cells / across) * PITCH, across * PITCH)
    labels = np.zeros(size, np.uint16)
    random = np.random.default_rng(seed)
    rows, cols = np.mgrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1]
    places = [(row, col) for row in range(PITCH // 2, size[0] - RADIUS, PITCH)
              for col in range(PITCH // 2, size[1] - RADIUS, PITCH)]  # fmt: skip
    chosen = np.linspace(0, len(places) - 1, cells).astype(int)
    for number, index in enumerate(chosen.tolist(), 1):
        row, col = (value + int(random.integers(-2, 3)) for value in places[index])
        disc = rows**2 + cols**2 <= (RADIUS - random.integers(0, 3)) ** 2
        part = labels[row - RADIUS : row + RADIUS + 1, col - RADIUS : col + RADIUS + 1]
        part[disc[: part.shape[0], : part.shape[1]] & (part == 0)] = number
    return labels


def grid_image(labels: NDArray[np.uint16], seed: int = 0) -> NDArray[np.uint8]:
    """A noisy picture of the labels."""
    random = np.random.default_rng(seed)
    noise = random.integers(0, 40, labels.shape, np.uint8)
    return np.where(labels > 0, 140 + noise, 90 + noise).astype(np.uint8)


def grid_dataset(
    folder: Path, cells: int, size: tuple[int, int] | None = None, name: str = "grid"
) -> NDArray[np.uint16]:
    """Write `folder/images/NAME.tif` and `folder/labels/NAME.tif`; return the labels."""
    labels = grid_labels(cells, size)
    for kind, pixels in (("images", grid_image(labels)), ("labels", labels)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(folder / kind / f"{name}.tif", pixels, compression="zlib", tile=(256, 256))
    return labels
