"""The optical phase of structures between and on cells: neurites, debris and a rough medium.

None of it is annotated in the real images, so a network must learn to ignore it.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from bigkingxxl.simulate.cell_types import REFERENCE_AREA, CellTypeProfile, Range
from bigkingxxl.simulate.placement import Layout
from bigkingxxl.simulate.randomness import FloatMap, band_noise, log_uniform, log_uniforms
from bigkingxxl.simulate.stamps import FloatArray, soft_lines, spheres, wandering_paths


def surrounding_phase(
    rng: np.random.Generator, profile: CellTypeProfile, layout: Layout, depth: FloatMap
) -> FloatMap:
    """Compute the phase of neurites, debris and the medium, float32[H, W] in radians.

    Args:
        rng: The random generator.
        profile: The cell type.
        layout: The cells.
        depth: float32[H, W] from `true_depth`.
    """
    around, size = profile.around, layout.owner.shape
    share = size[0] * size[1] / REFERENCE_AREA
    # A neurite widens into the body of its cell, so that little of the line remains inside.
    total = _neurites(rng, profile, layout, share) * (0.15 + 0.85 * np.exp(-depth / 1.5))
    total += _beads(rng, size, _number(rng, around.beads, share), profile)
    total += _clumps(rng, layout, _number(rng, around.clumps, share), profile)
    total += _dots(rng, size, _number(rng, around.dots, share))
    total += _rounded_cells(rng, size, _number(rng, around.rounded, share))
    grains = band_noise(rng, size, float(rng.uniform(0.5, 1.2)))
    return np.asarray(total + log_uniform(rng, *around.medium) * grains, dtype=np.float32)


def _number(rng: np.random.Generator, span: Range, share: float) -> int:
    return int(rng.poisson(log_uniform(rng, *span) * share))


def _neurites(
    rng: np.random.Generator, profile: CellTypeProfile, layout: Layout, share: float
) -> FloatMap:
    size, around = layout.owner.shape, profile.around
    starts, headings, lengths = _neurite_starts(rng, profile, layout, share)
    if len(starts) == 0:
        return np.zeros(size, np.float32)
    points, valid = wandering_paths(rng, starts, headings, lengths, float(rng.uniform(0.04, 0.12)))
    phases = log_uniforms(rng, around.neurite_phase, len(starts))
    taper = 1.0 - 0.85 * np.arange(valid.shape[1])[None, :] / (2 * lengths[:, None])
    weights = phases[:, None] * taper
    if rng.uniform() < around.beaded:
        weights = weights * _beading(rng, valid.shape)
    thick = rng.uniform(size=len(starts)) < 0.15
    total = np.zeros(size, np.float32)
    for chosen, width in ((thick, 0.95), (~thick, 0.45)):
        pick = valid & chosen[:, None]
        total += soft_lines(size, points[pick], weights[pick], width)
    return total


def _neurite_starts(
    rng: np.random.Generator, profile: CellTypeProfile, layout: Layout, share: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the starts float64[N, 2], headings float64[N] and lengths float64[N] of neurites."""
    around = profile.around
    own = _cell_neurites(rng, profile, layout)
    loose = _number(rng, around.loose_neurites, share)
    low, high = np.full(2, -30.0), np.array(layout.owner.shape) + 30.0
    starts = np.concatenate([own[0], rng.uniform(low, high, (loose, 2))])
    headings = np.concatenate([own[1], rng.uniform(0, 2 * np.pi, loose)])
    free = log_uniforms(rng, around.neurite_length, len(starts))
    lengths = np.concatenate([own[2], np.full(loose, np.nan)])
    return starts, headings, np.where(np.isnan(lengths), free, lengths)


def _cell_neurites(
    rng: np.random.Generator, profile: CellTypeProfile, layout: Layout
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return neurites that leave cells along the axis or towards a neighbour; NaN: any length."""
    around, count = profile.around, len(layout.cells)
    rate = log_uniform(rng, *around.neurites_per_cell)
    host = np.repeat(np.arange(count), rng.poisson(rate, count))
    centres = np.array([cell.centre for cell in layout.cells]).reshape(-1, 2)
    axes = np.array([cell.angle for cell in layout.cells])
    scatter = (1.0 - profile.alignment) * rng.uniform(-2, 2, len(host))
    headings = axes[host] + np.pi * rng.integers(0, 2, len(host)) + scatter
    lengths = np.full(len(host), np.nan)
    if count > 8 and len(host):
        distance, near = cKDTree(centres).query(centres[host], k=8)
        pick = (np.arange(len(host)), rng.integers(1, 8, len(host)))
        rows, cols = (centres[near[pick]] - centres[host]).T
        linked = (rng.uniform(size=len(host)) < around.linked) & (distance[pick] < 90)
        headings = np.where(linked, np.arctan2(rows, cols), headings)
        lengths = np.where(linked, distance[pick], lengths)
    return centres[host], headings, lengths


def _beading(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    """Return varicosities: the neurites of dying or mature neurons break up into rows of beads."""
    noise = ndimage.gaussian_filter1d(rng.standard_normal(shape), 2.0, axis=1)
    return np.asarray(np.exp(1.2 * noise / noise.std() - 0.6), dtype=np.float64)


def _beads(
    rng: np.random.Generator, size: tuple[int, int], count: int, profile: CellTypeProfile
) -> FloatMap:
    """Draw refractile balls: fragments of dead cells, far thicker than their width suggests."""
    around = profile.around
    centres = rng.uniform(0, 1, (count, 2)) * np.array(size)
    # One in three has a companion, because debris occurs in pairs and small clumps.
    pair = centres[: count // 3] + rng.normal(0, 4.0, (count // 3, 2))
    centres = np.concatenate([centres, pair])
    radii = rng.uniform(*around.bead_radius, len(centres))
    phases = log_uniforms(rng, around.bead_phase, len(centres))
    # Three shifted balls, because fragments are rarely round.
    shifts = rng.normal(0, 0.35, (3, len(centres), 2)) * radii[None, :, None]
    parts = (centres[None] + shifts).reshape(-1, 2)
    lumps = spheres(size, parts, np.tile(0.8 * radii, 3), np.tile(phases / 2, 3))
    return np.asarray(ndimage.gaussian_filter(lumps, 0.4), dtype=np.float32)


def _clumps(
    rng: np.random.Generator, layout: Layout, count: int, profile: CellTypeProfile
) -> FloatMap:
    """Draw clumps of beads on cells, like the blebs of apoptotic cells."""
    size = layout.owner.shape
    if not layout.cells or count == 0:
        return np.zeros(size, np.float32)
    hosts = rng.integers(0, len(layout.cells), count)
    members = rng.integers(2, 9, count)
    middle = np.array([layout.cells[host].centre for host in hosts]) + rng.normal(0, 4, (count, 2))
    spread = 1.6 * np.sqrt(members)
    offsets = rng.normal(0, 1, (int(members.sum()), 2)) * np.repeat(spread, members)[:, None]
    centres = np.repeat(middle, members, axis=0) + offsets
    radii = rng.uniform(1.1, 2.6, len(centres))
    phases = log_uniforms(rng, profile.around.bead_phase, len(centres)) * 0.6
    return np.asarray(ndimage.gaussian_filter(spheres(size, centres, radii, phases), 0.5))


def _dots(rng: np.random.Generator, size: tuple[int, int], count: int) -> FloatMap:
    """Draw specks of one to three pixels anywhere."""
    centres = rng.uniform(0, 1, (count, 2)) * np.array(size)
    radii = rng.uniform(0.8, 1.8, count)
    phases = log_uniforms(rng, (0.08, 0.9), count)
    return np.asarray(ndimage.gaussian_filter(spheres(size, centres, radii, phases), 0.5))


def _rounded_cells(rng: np.random.Generator, size: tuple[int, int], count: int) -> FloatMap:
    """Draw loose, rounded cells: granular balls with a bright ring that nobody annotates."""
    centres = rng.uniform(0, 1, (count, 2)) * np.array(size)
    radii = rng.uniform(4.5, 8.0, count)
    balls = spheres(size, centres, radii, rng.uniform(0.5, 1.2, count))
    inside = balls > 0.1
    return np.asarray(
        ndimage.gaussian_filter(balls, 0.5) + 0.3 * inside * band_noise(rng, size, 0.9),
        dtype=np.float32,
    )
