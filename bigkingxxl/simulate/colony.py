"""Colonies of rods that are packed side by side and end to end, like bacteria.

No physics is simulated: the lanes of a curved coordinate system are cut into rods, in patches of
one direction each, and the corners are rounded, for all cells at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from bigkingxxl.simulate.cells import largest_part
from bigkingxxl.simulate.placement import Layout, PlacedCell, cropped
from bigkingxxl.simulate.randomness import FloatMap, log_uniform, smooth_noise

Int32 = NDArray[np.int32]

SMALLEST = 0.35  # fraction of the median area; smaller pieces at borders are not cells


@dataclass(frozen=True)
class Colony:
    """The parameters of a colony.

    Attributes:
        width: The width of a rod in pixels.
        length: The length of a rod in pixels.
        patch: The size of areas with parallel rods in pixels.
        bend: The deviation of a lane from a straight line in pixels.
        cover: The fraction of the field that colonies cover, 0 to 1.
        kept: The fraction of rods that are present.
        gap: The distance between neighbours in pixels.
        disorder: 0 if all patches have the same direction, up to 1.
    """

    width: float
    length: float
    patch: float
    bend: float
    cover: float
    kept: float
    gap: float
    disorder: float


def draw_colony(rng: np.random.Generator) -> Colony:
    """Draw a random colony: packed in most fields, single rods in the others."""
    width = log_uniform(rng, 4.5, 15.0)
    length = width * float(rng.uniform(1.6, 6.5))
    packed = rng.random() < 0.7
    return Colony(
        width=width,
        length=length,
        patch=length * log_uniform(rng, 1.0, 12.0),
        bend=width * float(rng.uniform(0.0, 4.0)),
        cover=float(rng.uniform(0.08, 0.9)),
        kept=float(rng.uniform(0.9, 1.0)) if packed else float(rng.uniform(0.05, 0.5)),
        gap=float(rng.uniform(0.2, 1.2)),
        disorder=float(rng.uniform(0.0, 1.0)),
    )


def place_colony(rng: np.random.Generator, colony: Colony, size: tuple[int, int]) -> Layout:
    """Place the rods of a field of `size` (H, W); there may be none."""
    pieces, angles = _lanes_cut(rng, colony, size)
    ground = smooth_noise(rng, size, max(1.5 * colony.length, 20.0))
    pieces[ground < np.quantile(ground, 1.0 - colony.cover)] = 0
    owner = _rounded(pieces, colony)
    areas = np.bincount(owner.ravel(), minlength=len(angles))
    there = rng.random(len(areas)) < colony.kept
    if (areas[1:] > 0).any():
        there &= areas >= SMALLEST * np.median(areas[1:][areas[1:] > 0])
    there[0] = False
    owner = np.where(there[owner], owner, 0)
    return _layout(owner, angles)


def _lanes_cut(
    rng: np.random.Generator, colony: Colony, size: tuple[int, int]
) -> tuple[Int32, NDArray[np.float64]]:
    """Return the rod of each pixel, int32[H, W] from 1 on, and the angle of each rod, [N + 1]."""
    rows, cols = np.mgrid[: size[0], : size[1]].astype(np.float32)
    patches = max(1, round(size[0] * size[1] / colony.patch**2))
    centres = rng.uniform(0, 1, (patches, 2)) * size
    patch = cKDTree(centres).query(np.stack([rows.ravel(), cols.ravel()], 1))[1].reshape(size)
    angle = rng.uniform(0, np.pi) + colony.disorder * rng.uniform(-np.pi / 2, np.pi / 2, patches)
    sine, cosine = np.sin(angle)[patch], np.cos(angle)[patch]
    bend = colony.bend * smooth_noise(rng, size, max(2.0 * colony.length, 30.0))
    across = cols * -sine + rows * cosine + bend
    along = cols * cosine + rows * sine
    lane = np.floor(across / colony.width).astype(np.int64)
    lane -= lane.min()
    # The rods of each lane of each patch have a length and a start of their own.
    lanes = (patches, int(lane.max()) + 1)
    length = colony.length * rng.uniform(0.65, 1.5, lanes)[patch, lane]
    part = np.floor(along / length + rng.uniform(0, 1, lanes)[patch, lane]).astype(np.int64)
    part -= part.min()
    key = (patch * lanes[1] + lane) * (int(part.max()) + 1) + part
    first, pieces = np.unique(key, return_index=True, return_inverse=True)[1:]
    return 1 + pieces.reshape(size).astype(np.int32), np.r_[0.0, angle[patch.ravel()[first]]]


def _rounded(pieces: Int32, colony: Colony) -> Int32:
    """Round the corners of all rods and separate them by an opening with a disc."""
    inner = pieces > 0
    for axis in (0, 1):
        same = np.diff(pieces, axis=axis) == 0
        ahead = [(0, 1) if each == axis else (0, 0) for each in (0, 1)]
        behind = [(1, 0) if each == axis else (0, 0) for each in (0, 1)]
        inner &= np.pad(same, ahead, constant_values=True)
        inner &= np.pad(same, behind, constant_values=True)
    reach = 0.42 * colony.width
    core = ndimage.distance_transform_edt(inner) >= reach
    if not core.any():
        return np.zeros_like(pieces)
    away, (row, col) = ndimage.distance_transform_edt(~core, return_indices=True)
    near = away <= reach + 1.0 - colony.gap
    return np.where(near, pieces[row, col], 0).astype(np.int32)


def _layout(owner: Int32, angles: NDArray[np.float64]) -> Layout:
    cells: list[PlacedCell] = []
    left = np.zeros_like(owner)
    for number, window in enumerate(ndimage.find_objects(owner), start=1):
        if window is None:
            continue
        corner = (window[0].start, window[1].start)
        cell = cropped(largest_part(owner[window] == number), corner, float(angles[number]))
        cells.append(cell)
        height, width = cell.mask.shape
        view = left[cell.row0 : cell.row0 + height, cell.col0 : cell.col0 + width]
        view[cell.mask] = len(cells)
    return Layout(tuple(cells), left)


def rod_depth(layout: Layout) -> FloatMap:
    """Compute the distance from the edges of rods inwards, float32[H, W] in pixels."""
    owner = layout.owner
    inner = owner > 0
    for axis in (0, 1):
        same = np.diff(owner, axis=axis) == 0
        inner &= np.pad(same, [(0, int(axis == each)) for each in (0, 1)], constant_values=True)
    return np.asarray(ndimage.distance_transform_edt(inner), dtype=np.float32)
