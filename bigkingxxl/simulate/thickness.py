"""Optical phase of a whole field: cell bodies, what is inside them, and what lies around them.

The phase is 2 pi / wavelength x (refractive index difference to the medium) x thickness, in
radians, float32[H, W]. Cells are painted from one owner map with a table of per-cell numbers, so
the work does not grow with the number of cells.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bigkingxxl.simulate.cell_types import REFERENCE_AREA, CellTypeProfile, PhaseRanges, Range
from bigkingxxl.simulate.placement import Layout, PlacedCell
from bigkingxxl.simulate.randomness import FloatMap, band_noise, log_uniform, smooth_noise
from bigkingxxl.simulate.stamps import FloatArray, soft_lines, spheres, wandering_paths


def cell_phase(rng: np.random.Generator, profile: CellTypeProfile, layout: Layout) -> FloatMap:
    """Phase of the cells' bodies with granules, nuclei and fibres: float32[H, W], radians."""
    ranges = profile.phase
    depth = _depth(layout.owner)
    height = _per_cell(rng, layout, ranges.height, ranges.height_spread)
    edge = np.zeros(len(layout.cells) + 1, np.float32) + np.float32(1.0)
    edge[1:] = rng.uniform(*ranges.edge, len(layout.cells))
    rise = 1.0 - np.exp(-depth / edge[layout.owner])
    dome = np.minimum(depth, 9.0) / 9.0 * np.float32(ranges.dome / ranges.height)
    relief = 1.0 + 0.25 * smooth_noise(rng, layout.owner.shape, 5.0)
    body = height[layout.owner] * (rise + dome) * np.clip(relief, 0.2, None)
    body = ndimage.gaussian_filter(np.asarray(body, dtype=np.float32), 0.6)
    inner = np.asarray(1.0 - np.exp(-depth / 2.5), dtype=np.float32)
    return np.asarray(body + inner * _contents(rng, ranges, layout), dtype=np.float32)


def surrounding_phase(
    rng: np.random.Generator, profile: CellTypeProfile, layout: Layout
) -> FloatMap:
    """Phase of neurites, debris and the medium's roughness: float32[H, W], radians."""
    around, size = profile.around, layout.owner.shape
    share = size[0] * size[1] / REFERENCE_AREA
    total = _neurites(rng, profile, layout, share)
    total += _beads(rng, size, _number(rng, around.beads, share), profile)
    total += _clumps(rng, layout, _number(rng, around.clumps, share), profile)
    total += _dots(rng, layout, _number(rng, around.dots, share))
    total += _rounded_cells(rng, size, _number(rng, around.rounded, share))
    grains = band_noise(rng, size, float(rng.uniform(0.7, 1.6)))
    return np.asarray(total + log_uniform(rng, *around.medium) * grains, dtype=np.float32)


def _depth(owner: NDArray[np.int32]) -> FloatMap:
    """Distance to the cell's own edge; a line of one pixel parts cells that touch."""
    inside = owner > 0
    inside[:, :-1] &= owner[:, :-1] == owner[:, 1:]
    inside[:-1, :] &= owner[:-1, :] == owner[1:, :]
    return np.asarray(ndimage.distance_transform_edt(inside), dtype=np.float32)


def _per_cell(
    rng: np.random.Generator, layout: Layout, typical: float, spread: float
) -> FloatMap:
    """Log-normal numbers, one a cell, behind a zero for the background: float32[N + 1]."""
    drawn = typical * np.exp(spread * rng.standard_normal(len(layout.cells)))
    return np.concatenate([[0.0], drawn]).astype(np.float32)


def _contents(rng: np.random.Generator, ranges: PhaseRanges, layout: Layout) -> FloatMap:
    amount = _per_cell(rng, layout, ranges.granules, ranges.granule_spread)
    grains = band_noise(rng, layout.owner.shape, float(rng.uniform(0.7, 1.0)))
    # The cube makes few strong granules out of an even noise, as organelles are.
    sparse = 0.5 * grains + 0.13 * grains**3
    total = amount[layout.owner] * np.clip(sparse, -1.5, 4.0)
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
    spots = np.repeat(centres, 2, axis=0) + rng.normal(0, 1, (2 * len(centres), 2)) * np.repeat(
        radii / 2.5, 2
    )[:, None]
    sizes = rng.uniform(0.9, 1.6, len(spots))
    nuclei += spheres(layout.owner.shape, spots, sizes, ranges.nucleus * rng.uniform(1, 5, len(spots)))
    return np.asarray(ndimage.gaussian_filter(nuclei, 0.6), dtype=np.float32)


def _fibres(rng: np.random.Generator, ranges: PhaseRanges, layout: Layout) -> FloatMap:
    """Stress fibres: faint lines along the cells' long axes."""
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


def _number(rng: np.random.Generator, span: Range, share: float) -> int:
    return int(rng.poisson(log_uniform(rng, *span) * share))


def _neurites(
    rng: np.random.Generator, profile: CellTypeProfile, layout: Layout, share: float
) -> FloatMap:
    size, around = layout.owner.shape, profile.around
    starts, headings = _neurite_starts(rng, profile, layout, share)
    if len(starts) == 0:
        return np.zeros(size, np.float32)
    lengths = np.exp(rng.uniform(*np.log(around.neurite_length), len(starts)))
    points, valid = wandering_paths(rng, starts, headings, lengths, float(rng.uniform(0.04, 0.12)))
    phases = np.exp(rng.uniform(*np.log(around.neurite_phase), len(starts)))
    taper = 1.0 - 0.7 * np.arange(valid.shape[1])[None, :] / (2 * lengths[:, None])
    weights = phases[:, None] * taper
    if rng.uniform() < around.beaded:
        weights = weights * _beading(rng, valid.shape)
    thick = rng.uniform(size=len(starts)) < 0.3
    total = np.zeros(size, np.float32)
    for chosen, width in ((thick, 1.5), (~thick, 0.75)):
        pick = valid & chosen[:, None]
        total += soft_lines(size, points[pick], weights[pick], width)
    return total


def _neurite_starts(
    rng: np.random.Generator, profile: CellTypeProfile, layout: Layout, share: float
) -> tuple[FloatArray, FloatArray]:
    """Starts float64[N, 2] at the cells and anywhere, headings float64[N] away from them."""
    size = layout.owner.shape
    rate = log_uniform(rng, *profile.around.neurites_per_cell)
    counts = rng.poisson(rate, len(layout.cells))
    pairs = [_axis(cell) for cell in layout.cells]
    centres = np.repeat(np.array([pair[0] for pair in pairs]).reshape(-1, 2), counts, axis=0)
    axes = np.repeat(np.array([pair[1] for pair in pairs]), counts)
    radii = np.repeat(np.array([pair[2] for pair in pairs]), counts)
    free = 1.0 - profile.alignment
    axes = axes + np.pi * rng.integers(0, 2, len(axes)) + free * rng.uniform(-2, 2, len(axes))
    starts = centres + radii[:, None] * np.stack([np.sin(axes), np.cos(axes)], 1)
    loose = _number(rng, profile.around.loose_neurites, share)
    anywhere = rng.uniform(-30, 30, (loose, 2)) + rng.uniform(0, 1, (loose, 2)) * np.array(size)
    headings = np.concatenate([axes, rng.uniform(0, 2 * np.pi, loose)])
    return np.concatenate([starts, anywhere]), headings


def _axis(cell: PlacedCell) -> tuple[tuple[float, float], float, float]:
    return cell.centre, cell.angle, 0.8 * float(np.sqrt(cell.mask.sum() / np.pi))


def _beading(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    """Varicosities: neurites of dying or ripe neurons break into rows of beads."""
    coarse = rng.lognormal(-0.6, 1.0, (shape[0], shape[1] // 6 + 1))
    return np.repeat(coarse, 6, axis=1)[:, : shape[1]]


def _beads(
    rng: np.random.Generator, size: tuple[int, int], count: int, profile: CellTypeProfile
) -> FloatMap:
    """Single refractile balls: dead cell fragments, far thicker than their width suggests."""
    around = profile.around
    centres = rng.uniform(0, 1, (count, 2)) * np.array(size)
    # One in three has a companion: debris comes in pairs and small heaps.
    pair = centres[: count // 3] + rng.normal(0, 4.0, (count // 3, 2))
    centres = np.concatenate([centres, pair])
    radii = rng.uniform(*around.bead_radius, len(centres))
    phases = np.exp(rng.uniform(*np.log(around.bead_phase), len(centres)))
    return np.asarray(ndimage.gaussian_filter(spheres(size, centres, radii, phases), 0.5))


def _clumps(
    rng: np.random.Generator, layout: Layout, count: int, profile: CellTypeProfile
) -> FloatMap:
    """Heaps of beads on top of cells: blebs of apoptotic cells."""
    size = layout.owner.shape
    if not layout.cells or count == 0:
        return np.zeros(size, np.float32)
    hosts = rng.integers(0, len(layout.cells), count)
    members = rng.integers(2, 9, count)
    middle = np.array([layout.cells[host].centre for host in hosts]) + rng.normal(0, 4, (count, 2))
    spread = 1.6 * np.sqrt(members)
    offsets = rng.normal(0, 1, (int(members.sum()), 2)) * np.repeat(spread, members)[:, None]
    centres = np.repeat(middle, members, axis=0) + offsets
    radii = rng.uniform(1.3, 3.2, len(centres))
    phases = np.exp(rng.uniform(*np.log(profile.around.bead_phase), len(centres))) * 0.6
    return np.asarray(ndimage.gaussian_filter(spheres(size, centres, radii, phases), 0.5))


def _dots(rng: np.random.Generator, layout: Layout, count: int) -> FloatMap:
    """Specks of one to three pixels, anywhere."""
    size = layout.owner.shape
    centres = rng.uniform(0, 1, (count, 2)) * np.array(size)
    radii = rng.uniform(0.8, 1.8, count)
    phases = np.exp(rng.uniform(np.log(0.08), np.log(0.9), count))
    return np.asarray(ndimage.gaussian_filter(spheres(size, centres, radii, phases), 0.5))


def _rounded_cells(rng: np.random.Generator, size: tuple[int, int], count: int) -> FloatMap:
    """Loose, rounded-up cells: granular balls with a bright ring that nobody annotates."""
    centres = rng.uniform(0, 1, (count, 2)) * np.array(size)
    radii = rng.uniform(4.5, 8.0, count)
    balls = spheres(size, centres, radii, rng.uniform(0.5, 1.2, count))
    inside = balls > 0.1
    return np.asarray(
        ndimage.gaussian_filter(balls, 0.5) + 0.3 * inside * band_noise(rng, size, 0.9),
        dtype=np.float32,
    )
