"""Simulated images of any size: one repeated field, made and written in strips."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.simulate import simulate_field

FIELD = 1500  # pixels; the seams between blocks lie at another place in every copy
TILE = 512


def field(cell_type: str = "cort", side: int = FIELD, seed: int = 3) -> NDArray[np.uint8]:
    """uint8[side, side]: one simulated field."""
    return np.asarray(simulate_field(cell_type, size=(side, side), seed=seed).image, np.uint8)


def write_mosaic(
    path: Path, side: int, pixels: NDArray[np.uint8], compression: str | None = "deflate"
) -> None:
    """Write side x side pixels as a tiled BigTIFF, with one tile in memory at a time."""
    import tifffile

    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(
        path, _tiles(side, pixels), shape=(side, side), dtype=np.uint8, tile=(TILE, TILE),
        compression=compression, photometric="minisblack", bigtiff=True, metadata=None,
    )  # fmt: skip


def _tiles(side: int, pixels: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    period = len(pixels)
    for top in range(0, side, TILE):
        rows = np.arange(top, top + TILE) % period
        for left in range(0, side, TILE):
            yield pixels[rows[:, None], np.arange(left, left + TILE) % period]
