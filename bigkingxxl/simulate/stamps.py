"""Draw many small objects at once: spheres (debris, granules, nuclei) and thin paths (neurites).

Both add optical phase to a map float32[H, W]; parts outside of the map are dropped.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bigkingxxl.simulate.randomness import FloatMap

FloatArray = NDArray[np.float64]


def spheres(
    size: tuple[int, int], centres: FloatArray, radii: FloatArray, phases: FloatArray
) -> FloatMap:
    """Add spheres.

    Args:
        size: (H, W).
        centres: float64[N, 2] (row, column).
        radii: float64[N] in pixels.
        phases: float64[N], the phase at the thickest point; edges are softened over one pixel.
    """
    if len(centres) == 0:
        return np.zeros(size, np.float32)
    reach = int(np.ceil(float(radii.max()))) + 1
    offsets = np.arange(-reach, reach + 1)
    corner = np.floor(centres).astype(np.int64)
    rest = centres - corner
    rows = offsets[None, :, None] - rest[:, 0, None, None]
    cols = offsets[None, None, :] - rest[:, 1, None, None]
    inside = 1.0 - (rows**2 + cols**2) / radii[:, None, None] ** 2
    thickness = phases[:, None, None] * np.sqrt(np.clip(inside, 0.0, None))
    where_rows = np.broadcast_to(corner[:, 0, None, None] + offsets[:, None], inside.shape)
    where_cols = np.broadcast_to(corner[:, 1, None, None] + offsets[None, :], inside.shape)
    return _scatter(size, where_rows.ravel(), where_cols.ravel(), thickness.ravel())


def wandering_paths(
    rng: np.random.Generator,
    starts: FloatArray,
    headings: FloatArray,
    lengths: FloatArray,
    wander: float,
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Draw persistent random walks in steps of half a pixel.

    Args:
        rng: The random generator.
        starts: float64[N, 2] (row, column).
        headings: float64[N] in radians.
        lengths: float64[N] in pixels.
        wander: The turn in radians per square root of a pixel.

    Returns:
        The points, float64[N, S, 2], and which of them belong to the path, bool[N, S].
    """
    steps = int(np.ceil(2 * float(lengths.max(initial=1.0)))) + 1
    # Turns are drawn every 8 steps, which gives smooth curves without jitter.
    coarse = rng.standard_normal((len(starts), steps // 8 + 2)) * wander * 2.0
    turns = np.cumsum(np.repeat(coarse, 8, axis=1)[:, :steps] / 8.0, axis=1)
    angle = headings[:, None] + turns
    moves = 0.5 * np.stack([np.sin(angle), np.cos(angle)], axis=-1)
    points = starts[:, None, :] + np.cumsum(moves, axis=1)
    return points, np.arange(steps)[None, :] < 2 * lengths[:, None]


def soft_lines(
    size: tuple[int, int], points: FloatArray, phases: FloatArray, width: float
) -> FloatMap:
    """Draw points float64[P, 2], half a pixel apart, as lines with a Gaussian profile.

    Args:
        size: (H, W).
        points: float64[P, 2].
        phases: float64[P], the phase at the centre of the line.
        width: The standard deviation of the profile in pixels.
    """
    corner = np.floor(points).astype(np.int64)
    rest = points - corner
    sparse = np.zeros(size, np.float32)
    for down in (0, 1):
        for right in (0, 1):
            share = np.abs(1 - down - rest[:, 0]) * np.abs(1 - right - rest[:, 1])
            sparse += _scatter(size, corner[:, 0] + down, corner[:, 1] + right, share * phases)
    # A unit line with two points per pixel has the height 2 / (width * sqrt(2 pi)) after blurring.
    level = np.float32(width * np.sqrt(2 * np.pi) / 2.0)
    return np.asarray(level * ndimage.gaussian_filter(sparse, width), dtype=np.float32)


def _scatter(
    size: tuple[int, int], rows: NDArray[np.int64], cols: NDArray[np.int64], values: FloatArray
) -> FloatMap:
    inside = (rows >= 0) & (rows < size[0]) & (cols >= 0) & (cols < size[1]) & (values != 0)
    flat = rows[inside] * size[1] + cols[inside]
    total = np.bincount(flat, weights=values[inside], minlength=size[0] * size[1])
    return total.reshape(size).astype(np.float32)
