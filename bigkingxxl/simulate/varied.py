"""Cells of many shapes, sizes and appearances, for networks that must generalise to any laboratory.

The values were not measured. The ranges are wide on purpose, because a network relies on whatever
does not vary in its training images.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bigkingxxl.simulate.cell_types import (
    CORT,
    COUNT_QUANTILES,
    REFERENCE_AREA,
    CellTypeProfile,
    PhaseRanges,
    Range,
    ShapeRanges,
)
from bigkingxxl.simulate.colony import Colony
from bigkingxxl.simulate.randomness import log_uniform

VARIED = "varied"


@dataclass(frozen=True)
class Outline:
    """A family of outlines, in the terms of `ShapeRanges`, and the arrangement of its cells."""

    aspect: Range
    limbs: tuple[int, int]
    roughness: Range
    cover: Range
    alignment: Range


OUTLINES = (
    Outline((1.0, 1.25), (0, 0), (0.0, 0.02), (0.03, 0.55), (0.0, 0.0)),  # round
    Outline((1.2, 2.0), (0, 0), (0.02, 0.08), (0.45, 0.95), (0.0, 0.5)),  # cobblestones
    Outline((2.5, 7.0), (0, 0), (0.0, 0.02), (0.05, 0.7), (0.2, 0.95)),  # rods
    Outline((1.8, 4.5), (1, 2), (0.02, 0.06), (0.1, 0.6), (0.2, 0.9)),  # spindles
    Outline((1.0, 2.5), (2, 5), (0.03, 0.10), (0.05, 0.5), (0.0, 0.5)),  # stars
    Outline((1.0, 3.0), (0, 3), (0.05, 0.15), (0.1, 0.6), (0.0, 0.5)),  # anything
)


def varied_profile(rng: np.random.Generator) -> CellTypeProfile:
    """Draw a random cell type."""
    outline = OUTLINES[int(rng.integers(len(OUTLINES)))]
    area = log_uniform(rng, 90.0, 1500.0)
    count = max(1.0, float(rng.uniform(*outline.cover)) * REFERENCE_AREA / area)
    halo = log_uniform(rng, 0.7, 6.0)
    cutoff = float(rng.uniform(0.2, 0.6))
    return CellTypeProfile(
        name=VARIED,
        counts=(count,) * len(COUNT_QUANTILES),
        shape=_shape(rng, outline, area),
        phase=_phase(rng),
        around=replace(
            CORT.around,
            neurites_per_cell=(0.0, 0.3),
            loose_neurites=(0.0, log_uniform(rng, 1.0, 30.0)),
            beads=(0.0, log_uniform(rng, 1.0, 60.0)),
            clumps=(0.0, log_uniform(rng, 1.0, 8.0)),
            dots=(0.0, log_uniform(rng, 1.0, 300.0)),
            medium=(0.001, log_uniform(rng, 0.002, 0.05)),
        ),
        clustering=float(rng.uniform(0.0, 2.5)),
        alignment=float(rng.uniform(*outline.alignment)),
        crowding=float(rng.uniform(0.1, 0.5)),
        contrast_spread=0.3,
        halo=(halo, 1.2 * halo),
        cutoff=(cutoff, cutoff),
        defocus=log_uniform(rng, 0.3, 8.0),
        flattening=log_uniform(rng, 15.0, 100.0),
    )


def colony_profile(rng: np.random.Generator, colony: Colony) -> CellTypeProfile:
    """Return the appearance of a colony's rods, mostly dark and smooth with a halo."""
    profile = varied_profile(rng)
    height = log_uniform(rng, 0.3, 1.5)
    edge = colony.width * float(rng.uniform(0.1, 0.4))
    grain = height * log_uniform(rng, 0.001, 0.2)
    return replace(
        profile,
        phase=replace(
            profile.phase, height=height, height_spread=float(rng.uniform(0.02, 0.3)),
            edge=(edge, 1.2 * edge), granules=grain, nucleus=grain, fibres=0.0,
        ),
        around=replace(
            profile.around, beads=(0.0, 1.0), clumps=(0.0, 1.0), neurites_per_cell=(0.0, 0.0),
            dots=(0.0, log_uniform(rng, 1.0, 50.0)),
        ),
        halo=(0.4 * colony.width, 2.5 * colony.width),
        flattening=log_uniform(rng, 30.0, 300.0),
    )  # fmt: skip


def _shape(rng: np.random.Generator, outline: Outline, area: float) -> ShapeRanges:
    return ShapeRanges(
        area=area,
        area_spread=float(rng.uniform(0.05, 0.6)),
        aspect=outline.aspect,
        limbs=outline.limbs,
        limb_length=(1.2, float(rng.uniform(1.6, 3.5))),
        limb_width=(0.2, float(rng.uniform(0.4, 0.8))),
        limb_scatter=float(rng.uniform(0.3, 3.0)),
        roughness=float(rng.uniform(*outline.roughness)),
        bend=float(rng.uniform(0.0, 0.15)),
        opening=(0.0, float(rng.uniform(0.5, 3.0))),
        smallest=max(20, int(area / 5)),
    )


def _phase(rng: np.random.Generator) -> PhaseRanges:
    height = log_uniform(rng, 0.12, 1.2)
    return PhaseRanges(
        height=height,
        height_spread=float(rng.uniform(0.1, 0.6)),
        edge=(0.3, log_uniform(rng, 0.6, 8.0)),  # from slabs to domes
        granules=height * log_uniform(rng, 0.03, 0.8),
        granule_spread=float(rng.uniform(0.2, 0.8)),
        nucleus=height * log_uniform(rng, 0.05, 1.2),
        fibres=height * float(rng.choice([0.0, 0.0, 0.2])),
    )
