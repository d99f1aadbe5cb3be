"""`simulate_field`: a phase-contrast image with its true cells, from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import InputError
from bigkingxxl.simulate.camera import Camera, record
from bigkingxxl.simulate.cell_types import CELL_TYPES, CellTypeProfile, profile_of
from bigkingxxl.simulate.colony import draw_colony, place_colony, rod_depth
from bigkingxxl.simulate.modalities import fluorescence, softened
from bigkingxxl.simulate.optics import PhaseContrast, intensity
from bigkingxxl.simulate.placement import Layout, draw_count, place_cells
from bigkingxxl.simulate.randomness import FloatMap, log_uniform
from bigkingxxl.simulate.surroundings import surrounding_phase
from bigkingxxl.simulate.thickness import cell_phase, true_depth
from bigkingxxl.simulate.varied import VARIED, colony_profile, varied_profile

SMALLEST_SIDE = 32
# Fractions of varied fields.
COLONIES, FLUORESCENT, SOFT, INVERTED = 0.35, 0.3, 0.5, 0.25


@dataclass(frozen=True)
class SimulatedCell:
    """An annotated cell: its non-empty mask bool[h, w] and the image position (row0, col0)."""

    row0: int
    col0: int
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class SimulatedField:
    """An image uint8[H, W] with its cells, which may touch and slightly overlap."""

    image: NDArray[np.uint8]
    cells: tuple[SimulatedCell, ...]
    cell_type: str


def simulate_field(
    cell_type: str,
    *,
    size: tuple[int, int] = (520, 704),
    seed: int,
    cell_count: int | None = None,
) -> SimulatedField:
    """Simulate a phase-contrast field of cells with truth.

    Contrast, focus, density, debris and shapes vary with the seed.

    >>> simulate_field("cort", size=(128, 160), seed=1).image.shape
    (128, 160)

    Args:
        cell_type: "astro", "cort", "shsy5y", or "varied" for a new kind of cell with each seed.
        size: (H, W) in pixels; the density is that of a 520 x 704 image of the type.
        seed: The random seed, which determines every byte of the result.
        cell_count: The number of cells to place instead of a random one; a full field holds fewer.

    Raises:
        InputError: The cell type is unknown, a side is below 32 pixels, or the count is negative.
    """
    _check(size, seed, cell_count)
    if cell_type == VARIED:
        return _varied_field(size, seed, cell_count)
    profile = profile_of(cell_type)
    rng = np.random.default_rng([CELL_TYPES.index(cell_type), seed])
    return field_of(profile, rng, size, cell_count)


def _varied_field(size: tuple[int, int], seed: int, cell_count: int | None) -> SimulatedField:
    """Simulate cells of any kind with any kind of microscope."""
    rng = np.random.default_rng([len(CELL_TYPES), seed])
    if cell_count is None and rng.random() < COLONIES:
        colony = draw_colony(rng)
        profile, layout = colony_profile(rng, colony), place_colony(rng, colony, size)
        depth = rod_depth(layout)
    else:
        profile = varied_profile(rng)
        layout = _placed(profile, rng, size, cell_count)
        depth = true_depth(rng, layout)
    if rng.random() < FLUORESCENT:
        image = fluorescence(rng, layout, depth)
    else:
        image = _phase_contrast(profile, rng, layout, depth)
        image = softened(rng, image) if rng.random() < SOFT else image
    # Other microscopes show bright cells on a dark background, or the opposite.
    image = 255 - image if rng.random() < INVERTED else image
    return _field(image, layout, profile)


def field_of(
    profile: CellTypeProfile,
    rng: np.random.Generator,
    size: tuple[int, int],
    cell_count: int | None = None,
) -> SimulatedField:
    """Simulate a field of cells of any profile; see `simulate_field`."""
    layout = _placed(profile, rng, size, cell_count)
    contrast = float(np.exp(profile.contrast_spread * rng.standard_normal()))
    depth = true_depth(rng, layout)
    return _field(_phase_contrast(profile, rng, layout, depth, contrast), layout, profile)


def _placed(
    profile: CellTypeProfile, rng: np.random.Generator, size: tuple[int, int], count: int | None
) -> Layout:
    count = draw_count(rng, profile, size) if count is None else count
    return place_cells(rng, profile, size, count)


def _phase_contrast(
    profile: CellTypeProfile,
    rng: np.random.Generator,
    layout: Layout,
    depth: FloatMap,
    contrast: float = 1.0,
) -> NDArray[np.uint8]:
    phase = cell_phase(rng, profile, layout, depth)
    phase += surrounding_phase(rng, profile, layout, depth)
    seen = intensity(np.float32(contrast) * phase, _draw_optics(rng, profile))
    return record(rng, seen, _draw_camera(rng, profile))


def _field(image: NDArray[np.uint8], layout: Layout, profile: CellTypeProfile) -> SimulatedField:
    cells = tuple(SimulatedCell(cell.row0, cell.col0, cell.mask) for cell in layout.cells)
    return SimulatedField(image, cells, profile.name)


def _check(size: tuple[int, int], seed: int, cell_count: int | None) -> None:
    if min(size) < SMALLEST_SIDE:
        raise InputError(
            f"The field size is {size}; each side needs {SMALLEST_SIDE} px or more.",
            key="size",
            found=size,
            expected=SMALLEST_SIDE,
        )
    if seed < 0:
        raise InputError(f"The seed is {seed}; it must be zero or more.", key="seed", found=seed)
    if cell_count is not None and cell_count < 0:
        raise InputError(
            f"The cell count is {cell_count}; it must be zero or more.",
            key="cell_count",
            found=cell_count,
        )


def _draw_optics(rng: np.random.Generator, profile: CellTypeProfile) -> PhaseContrast:
    return PhaseContrast(
        halo=log_uniform(rng, *profile.halo),
        transmission=float(rng.uniform(0.55, 0.75)),
        cutoff=float(rng.uniform(*profile.cutoff)),
        defocus=float(np.clip(profile.defocus * rng.standard_normal(), -6.0, 6.0)),
    )


def _draw_camera(rng: np.random.Generator, profile: CellTypeProfile) -> Camera:
    return Camera(
        gain=float(rng.uniform(110.0, 140.0)),
        unevenness=float(rng.uniform(0.2, 1.2)),
        fringes=log_uniform(rng, *profile.around.fringes),
        read_noise=float(rng.uniform(0.3, 1.0)),
        full_well=log_uniform(rng, 12000.0, 50000.0),
        flattening=profile.flattening,
    )
