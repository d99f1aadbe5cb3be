"""The optical phase of all cells of a field: their bodies and contents.

The phase is 2 pi / wavelength x (difference of refractive index to the medium) x thickness, in
radians, float32[H, W]. Cells are painted from one owner map with a table of values per cell, so
that the cost does not depend on the number of cells.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from bigkingxxl.simulate.cell_types import CellTypeProfile, PhaseRanges
from bigkingxxl.simulate.placement import Layout
from bigkingxxl.simulate.randomness import FloatMap, band_noise, smooth_noise
from bigkingxxl.simulate.stamps import soft_lines, spheres, wandering_paths

# Annotators outline a cell along the crest of its halo, 1.5 to 2 pixels outside the steepest edge.
OUTLINE_MARGIN = (0.3, 3.2)
OUTLINE_WOBBLE = 0.5
# Touching cells are separated by a thinner seam.
SEAM_MARGIN = (0.3, 1.4)


def true_depth(rng: np.random.Generator, layout: Layout) -> FloatMap:
    """Compute the distance from the true edges of cells inwards, float32[H, W] in pixels."""
    owner = layout.owner
    covered = owner > 0
    parted = np.ones_like(covered)
    parted[:, :-1] &= (owner[:, :-1] == owner[:, 1:]) | ~covered[:, 1:]
    parted[:-1, :] &= (owner[:-1, :] == owner[1:, :]) | ~covered[1:, :]
    margin = rng.uniform(*OUTLINE_MARGIN, len(layout.cells) + 1).astype(np.float32)[owner]
    margin += np.float32(OUTLINE_WOBBLE) * smooth_noise(rng, owner.shape, 8.0)
    depth = ndimage.distance_transform_edt(covered) - np.clip(margin, 0.0, None)
    if not (parted | ~covered).all():
        seam = float(rng.uniform(*SEAM_MARGIN))
        depth = np.minimum(depth, ndimage.distance_transform_edt(parted) - seam)
    return np.asarray(np.clip(depth, 0.0, None), dtype=np.float32)


def cell_phase(
    rng: np.random.Generator, profile: CellTypeProfile, layout: Layout, depth: FloatMap
) -> FloatMap:
    """Compute the phase of cells with granules, nuclei and fibres, float32[H, W] in radians.

    Args:
        rng: The random generator.
        profile: The cell type.
        layout: The cells.
        depth: float32[H, W] from `true_depth`.
    """
    ranges = profile.phase
    height = _per_cell(rng, layout, ranges.height, ranges.height_spread)
    height[1:] *= _spread_out(profile, layout)
    height[1:] = np.maximum(height[1:], np.float32(0.35 * ranges.height))
    edge = np.ones(len(layout.cells) + 1, np.float32)
    edge[1:] = rng.uniform(*ranges.edge, len(layout.cells))
    rise = 1.0 - np.exp(-depth / edge[layout.owner])
    relief = 1.0 + 0.25 * smooth_noise(rng, layout.owner.shape, 5.0)
    body = height[layout.owner] * rise * np.clip(relief, 0.2, None)
    body = ndimage.gaussian_filter(np.asarray(body, dtype=np.float32), 0.35)
    inner = np.asarray(1.0 - np.exp(-depth / 2.5), dtype=np.float32)
    return np.asarray(body + inner * _contents(rng, ranges, layout, height), dtype=np.float32)


def _spread_out(profile: CellTypeProfile, layout: Layout) -> FloatMap:
    """Return the relative thickness of cells, float32[N]: spread cells are thinner."""
    areas = np.array([cell.mask.sum() for cell in layout.cells], dtype=np.float32)
    return np.asarray(np.clip(areas / profile.shape.area, 0.25, 8.0) ** -0.45, dtype=np.float32)


def _per_cell(rng: np.random.Generator, layout: Layout, typical: float, spread: float) -> FloatMap:
    """Draw log-normal values, one per cell, after a zero for the background: float32[N + 1]."""
    drawn = typical * np.exp(spread * rng.standard_normal(len(layout.cells)))
    return np.concatenate([[0.0], drawn]).astype(np.float32)


def _contents(
    rng: np.random.Generator, ranges: PhaseRanges, layout: Layout, height: FloatMap
) -> FloatMap:
    amount = _per_cell(rng, layout, ranges.granules, ranges.granule_spread)
    # Organelles are crowded in thick cells and sparse in flat ones.
    amount *= np.sqrt(height / np.float32(ranges.height))
    grains = band_noise(rng, layout.owner.shape, float(rng.uniform(0.55, 0.8)))
    # Only the peaks of the noise become strong granules: few and sparse, like organelles.
    sparse = 0.35 * grains + 1.6 * np.clip(grains - 1.6, 0.0, 2.0)
    total = amount[layout.owner] * sparse
    total += _nuclei(rng, ranges, layout)
    if ranges.fibres > 0:
        total += _fibres(rng, ranges, layout)
    return np.asarray(total, dtype=np.float32)


def _nuclei(rng: np.random.Generator, ranges: PhaseRanges, layout: Layout) -> FloatMap:
    centres = np.array([cell.centre for cell in layout.cells]).reshape(-1, 2)
    areas = np.array([cell.mask.sum() for cell in layout.cells], dtype=np.float64)
    radii = np.clip(0.45 * np.sqrt(areas / np.pi), 2.0, 9.0)
    phases = ranges.nucleus * rng.uniform(-0.6, 1.4, len(centres))
    nuclei = spheres(layout.owner.shape, centres, radii, phases)
    spots = (
        np.repeat(centres, 2, axis=0)
        + rng.normal(0, 1, (2 * len(centres), 2)) * np.repeat(radii / 2.5, 2)[:, None]
    )
    sizes = rng.uniform(0.9, 1.6, len(spots))
    dense = ranges.nucleus * rng.uniform(1, 5, len(spots))
    nuclei += spheres(layout.owner.shape, spots, sizes, dense)
    return np.asarray(ndimage.gaussian_filter(nuclei, 0.6), dtype=np.float32)


def _fibres(rng: np.random.Generator, ranges: PhaseRanges, layout: Layout) -> FloatMap:
    """Draw stress fibres: faint lines along the long axes of cells."""
    size = layout.owner.shape
    count = max(1, int((layout.owner > 0).sum() / 130))
    rows, cols = rng.uniform(0, size[0], count), rng.uniform(0, size[1], count)
    at = layout.owner[rows.astype(int), cols.astype(int)]
    angles = np.array([0.0, *(cell.angle for cell in layout.cells)])[at]
    points, valid = wandering_paths(
        rng, np.stack([rows, cols], 1), angles, rng.uniform(8, 45, count), 0.03
    )
    phases = ranges.fibres * np.exp(0.6 * rng.standard_normal(count)) * rng.choice([-0.6, 1], count)
    weights = np.broadcast_to(phases[:, None], valid.shape)[valid]
    return soft_lines(size, points[valid], weights, 0.8)
