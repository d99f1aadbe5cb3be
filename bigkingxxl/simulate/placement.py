"""The placement of cells: clustered, locally aligned, touching, with little overlap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bigkingxxl.simulate.cell_types import COUNT_QUANTILES, REFERENCE_AREA, CellTypeProfile
from bigkingxxl.simulate.cells import BoolMap, CellShape, draw_shape, largest_part
from bigkingxxl.simulate.randomness import smooth_noise

# The fraction of cells whose mask extends two pixels over a touching neighbour: it gives about 0.2
# % of pixels with two cells, as measured in real annotations.
OVERLAPPING_CELLS = 0.5
TRIES_PER_CELL = 40
# After this many failures another, smaller cell is drawn, so that gaps are filled.
TRIES_PER_SHAPE = 4
# Above this covered fraction of the field cells are drawn smaller, as in confluent cultures.
DENSEST_COVER = 0.62


@dataclass(frozen=True)
class PlacedCell:
    """A cell in its field: a mask bool[h, w] with its corner at (row0, col0) inside the image."""

    row0: int
    col0: int
    mask: BoolMap
    centre: tuple[float, float]
    angle: float


@dataclass(frozen=True)
class Layout:
    """All cells of a field; `owner` int32[H, W] holds 1 + the index of the topmost cell, or 0."""

    cells: tuple[PlacedCell, ...]
    owner: NDArray[np.int32]


def draw_count(rng: np.random.Generator, profile: CellTypeProfile, size: tuple[int, int]) -> int:
    """Draw the number of cells of a field of `size` (H, W) at the density of the type."""
    drawn = np.interp(rng.uniform(), COUNT_QUANTILES, profile.counts)
    return max(1, round(float(drawn) * size[0] * size[1] / REFERENCE_AREA))


def place_cells(
    rng: np.random.Generator, profile: CellTypeProfile, size: tuple[int, int], count: int
) -> Layout:
    """Place up to `count` cells in a field of `size` (H, W); fewer only if there is no room."""
    heading = np.asarray(np.pi * smooth_noise(rng, size, 70.0) / 2, dtype=np.float32)
    heading += np.float32(rng.uniform(0, np.pi))
    density = np.exp(profile.clustering * smooth_noise(rng, size, 28.0)).astype(np.float64)
    owner = np.zeros(size, np.int32)
    cells: list[PlacedCell] = []
    scale = _crowded_scale(profile, size, count) * float(np.exp(0.12 * rng.standard_normal()))
    shape: CellShape | None = None
    refused = 0
    for row, col in _draw_spots(rng, density, count * TRIES_PER_CELL):
        if len(cells) == count:
            break
        if owner[row, col]:
            continue
        if shape is None or refused % TRIES_PER_SHAPE == 0:
            turn = (1.0 - profile.alignment) * rng.uniform(-np.pi / 2, np.pi / 2)
            fit = scale * max(0.4, 0.93 ** (refused / TRIES_PER_SHAPE))
            shape = draw_shape(rng, profile, float(heading[row, col] + turn), fit)
        overlaps = bool(rng.uniform() < OVERLAPPING_CELLS)
        cell = _try_spot(profile, owner, shape, (int(row), int(col)), len(cells) + 1, overlaps)
        refused += cell is None
        if cell is not None:
            cells.append(cell)
            shape, refused = None, 0
    return Layout(tuple(cells), owner)


def _draw_spots(
    rng: np.random.Generator, density: NDArray[np.float64], count: int
) -> NDArray[np.int64]:
    """Draw centres int64[count, 2]: the first half clustered by `density`, the rest anywhere."""
    cumulative = np.cumsum(density.ravel())
    flat = np.searchsorted(cumulative, rng.uniform(0, cumulative[-1], count), side="right")
    flat[count // 2 :] = rng.integers(0, density.size, count - count // 2)
    rows, cols = np.unravel_index(np.minimum(flat, density.size - 1), density.shape)
    return np.stack([rows, cols], axis=1)


def _crowded_scale(profile: CellTypeProfile, size: tuple[int, int], count: int) -> float:
    mean_area = profile.shape.area * np.exp(profile.shape.area_spread**2 / 2)
    cover = count * mean_area / (size[0] * size[1])
    return float(np.sqrt(min(1.0, DENSEST_COVER / max(cover, 1e-9))))


def _try_spot(
    profile: CellTypeProfile,
    owner: NDArray[np.int32],
    shape: CellShape,
    spot: tuple[int, int],
    number: int,
    overlaps: bool,
) -> PlacedCell | None:
    """Place `shape` at `spot` and write it into `owner`; return None if it does not fit."""
    row0, col0 = spot[0] - shape.reach, spot[1] - shape.reach
    rows = slice(max(row0, 0), min(row0 + shape.visible.shape[0], owner.shape[0]))
    cols = slice(max(col0, 0), min(col0 + shape.visible.shape[1], owner.shape[1]))
    crop = (
        slice(rows.start - row0, rows.stop - row0),
        slice(cols.start - col0, cols.stop - col0),
    )
    taken = owner[rows, cols] > 0
    inside = shape.annotated[crop]
    free = largest_part(inside & ~taken)
    kept = int(free.sum())
    smallest = profile.shape.smallest
    if kept < smallest or kept < (1.0 - profile.crowding) * int(inside.sum()):
        return None
    mask = (ndimage.binary_dilation(free, iterations=2) & inside) if overlaps else free
    window = owner[rows, cols]
    window[shape.visible[crop] & ~taken] = number
    window[free] = number
    return cropped(mask, (rows.start, cols.start), shape.angle)


def cropped(mask: BoolMap, corner: tuple[int, int], angle: float) -> PlacedCell:
    """Crop a non-empty mask whose corner lies at `corner` in the field."""
    rows, cols = np.nonzero(mask)
    top, left = int(rows.min()), int(cols.min())
    tight = mask[top : int(rows.max()) + 1, left : int(cols.max()) + 1].copy()
    centre = (corner[0] + float(rows.mean()), corner[1] + float(cols.mean()))
    return PlacedCell(corner[0] + top, corner[1] + left, tight, centre, angle)
