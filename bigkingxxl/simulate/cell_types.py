"""The parameters of the three simulated cell types, measured or tuned by eye.

Counts and areas follow the training images of the Sartorius challenge (LIVECell's cameras). The
others were tuned until images and power spectra agreed (see the study `simulator_spectrum`).
Lengths are in pixels of a 704 x 520 image, phases in radians, grey values those of an 8-bit image.
"""

from __future__ import annotations

from dataclasses import dataclass

from bigkingxxl.errors import InputError

REFERENCE_AREA = 520 * 704
COUNT_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)

Range = tuple[float, float]


@dataclass(frozen=True)
class ShapeRanges:
    """Outlines: an elliptic body joined smoothly with tapered limbs.

    Lengths are in units of the body radius sqrt(area / pi).
    """

    area: float
    area_spread: float
    aspect: Range
    limbs: tuple[int, int]
    limb_length: Range
    limb_width: Range
    limb_scatter: float
    roughness: float
    bend: float
    opening: Range
    smallest: int


@dataclass(frozen=True)
class PhaseRanges:
    """The optical phase of a cell (radians) and the lengths over which its edge rises (pixels)."""

    height: float
    height_spread: float
    edge: Range
    granules: float
    granule_spread: float
    nucleus: float
    fibres: float


@dataclass(frozen=True)
class Surroundings:
    """Structures between cells that are not annotated: neurites, beads, dots and rough medium.

    Counts are per reference field unless stated per cell; each is drawn log-uniformly.
    """

    neurites_per_cell: Range
    neurite_length: Range
    neurite_phase: Range
    linked: float
    loose_neurites: Range
    beaded: float
    beads: Range
    bead_radius: Range
    bead_phase: Range
    clumps: Range
    dots: Range
    rounded: Range
    medium: Range
    fringes: Range


@dataclass(frozen=True)
class CellTypeProfile:
    """All parameters of a cell type that `simulate_field` uses."""

    name: str
    counts: tuple[float, ...]
    shape: ShapeRanges
    phase: PhaseRanges
    around: Surroundings
    clustering: float
    alignment: float
    crowding: float
    contrast_spread: float
    halo: Range
    cutoff: Range
    defocus: float
    flattening: float = 15.0  # pixels; see `camera.record`


ASTRO = CellTypeProfile(
    name="astro",
    counts=(5, 14, 48, 70, 98, 170, 594),
    shape=ShapeRanges(
        area=380.0,
        area_spread=0.75,
        aspect=(1.3, 3.4),
        limbs=(2, 5),
        limb_length=(1.4, 3.6),
        limb_width=(0.3, 0.65),
        limb_scatter=0.45,
        roughness=0.06,
        bend=0.12,
        opening=(0.0, 3.0),
        smallest=90,
    ),
    phase=PhaseRanges(
        height=0.15,
        height_spread=0.65,
        edge=(0.3, 1.2),
        granules=0.07,
        granule_spread=0.6,
        nucleus=0.06,
        fibres=0.05,
    ),
    around=Surroundings(
        neurites_per_cell=(0.2, 1.2),
        neurite_length=(15.0, 60.0),
        neurite_phase=(0.05, 0.25),
        linked=0.4,
        loose_neurites=(1.0, 20.0),
        beaded=0.1,
        beads=(2.0, 25.0),
        bead_radius=(2.0, 4.0),
        bead_phase=(0.6, 2.2),
        clumps=(1.0, 8.0),
        dots=(5.0, 120.0),
        rounded=(1.0, 14.0),
        medium=(0.002, 0.02),
        fringes=(0.0, 0.3),
    ),
    clustering=1.6,
    alignment=0.75,
    crowding=0.30,
    contrast_spread=0.2,
    halo=(1.1, 1.7),
    cutoff=(0.47, 0.60),
    defocus=1.5,
)
CORT = CellTypeProfile(
    name="cort",
    counts=(4, 14, 22, 30, 45, 71, 108),
    shape=ShapeRanges(
        area=175.0,
        area_spread=0.45,
        aspect=(1.0, 1.6),
        limbs=(0, 4),
        limb_length=(1.2, 2.2),
        limb_width=(0.25, 0.5),
        limb_scatter=3.0,
        roughness=0.05,
        bend=0.05,
        opening=(3.0, 4.2),
        smallest=50,
    ),
    phase=PhaseRanges(
        height=0.50,
        height_spread=0.45,
        edge=(0.3, 1.1),
        granules=0.13,
        granule_spread=0.5,
        nucleus=0.15,
        fibres=0.0,
    ),
    around=Surroundings(
        neurites_per_cell=(3.0, 14.0),
        neurite_length=(12.0, 240.0),
        neurite_phase=(0.08, 0.45),
        linked=0.1,
        loose_neurites=(20.0, 500.0),
        beaded=0.6,
        beads=(50.0, 220.0),
        bead_radius=(1.3, 3.4),
        bead_phase=(0.7, 2.2),
        clumps=(1.0, 12.0),
        dots=(100.0, 2500.0),
        rounded=(0.5, 3.0),
        medium=(0.006, 0.025),
        fringes=(0.0, 0.2),
    ),
    clustering=1.9,
    alignment=0.0,
    crowding=0.25,
    contrast_spread=0.2,
    halo=(1.1, 1.7),
    cutoff=(0.47, 0.60),
    defocus=1.5,
)
SHSY5Y = CellTypeProfile(
    name="shsy5y",
    counts=(53, 83, 227, 299, 422, 514, 782),
    shape=ShapeRanges(
        area=100.0,
        area_spread=0.5,
        aspect=(1.3, 2.8),
        limbs=(1, 4),
        limb_length=(1.4, 3.2),
        limb_width=(0.4, 0.75),
        limb_scatter=0.5,
        roughness=0.035,
        bend=0.12,
        opening=(2.2, 3.6),
        smallest=40,
    ),
    phase=PhaseRanges(
        height=0.42,
        height_spread=0.45,
        edge=(0.3, 1.1),
        granules=0.11,
        granule_spread=0.5,
        nucleus=0.06,
        fibres=0.0,
    ),
    around=Surroundings(
        neurites_per_cell=(0.7, 2.0),
        neurite_length=(12.0, 70.0),
        neurite_phase=(0.12, 0.5),
        linked=0.7,
        loose_neurites=(5.0, 60.0),
        beaded=0.1,
        beads=(5.0, 40.0),
        bead_radius=(1.5, 3.5),
        bead_phase=(0.6, 2.2),
        clumps=(12.0, 60.0),
        dots=(20.0, 150.0),
        rounded=(0.5, 5.0),
        medium=(0.002, 0.012),
        fringes=(0.1, 1.5),
    ),
    clustering=1.3,
    alignment=0.6,
    crowding=0.35,
    contrast_spread=0.2,
    halo=(1.1, 1.7),
    cutoff=(0.47, 0.60),
    defocus=1.5,
)

PROFILES = {profile.name: profile for profile in (ASTRO, CORT, SHSY5Y)}
CELL_TYPES: tuple[str, ...] = tuple(PROFILES)


def profile_of(cell_type: str) -> CellTypeProfile:
    """Return the parameters of a cell type.

    Raises:
        InputError: There is no such type.
    """
    if cell_type not in PROFILES:
        names = ", ".join(CELL_TYPES)
        raise InputError(
            f"No simulator for cell type {cell_type!r}; the cell types are {names}.",
            key="cell_type",
            found=cell_type,
            expected=names,
        )
    return PROFILES[cell_type]
