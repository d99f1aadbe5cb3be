"""Phase correlation: find images of the same place, possibly shifted or at different times.

Only the phase of each frequency is used, so that the texture of the plate counts more than cells,
lamp and contrast. Source: Kuglin and Hines, The phase correlation image alignment method (1975).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Complex64 = NDArray[np.complex64]

GRID = 64  # the side of a folded image, in pixels
# The least peaks of a match, of folded and of complete images, in standard deviations of chance:
# tests/data/quality/test_field_matching.py holds them against the fields of the challenge
# (fields.csv) and against images that have nothing in common.
FOLDED_DEVIATIONS = 7.0
LEAST_DEVIATIONS = 15.0
COMMON_FROM = 10  # with fewer images, the mean is not what all have in common
AT_ONCE = 256  # pairs transformed together


def folded_phases(image: Float32) -> Complex64:
    """Compute the phases of an image folded to 64 x 64, complex64[64, 33], for `similar`.

    Folding keeps some frequencies of every band. Shifts are found modulo 64 pixels, with less
    certainty but 80 times faster. The input is float32[H, W] with sides of at least 64.
    """
    height, width = (side - side % GRID for side in image.shape)
    tiles = image[:height, :width].reshape(height // GRID, GRID, width // GRID, GRID)
    return _phases(tiles.sum(axis=(0, 2)))


def similar(phases: Complex64, first: int) -> list[int]:
    """Return the images after `first` that may show the same place.

    Args:
        phases: complex64[N, 64, 33]; see `folded_phases` and `without_common`.
        first: The index of the image.
    """
    found: list[int] = []
    for start in range(first + 1, len(phases), AT_ONCE):
        others = phases[start : start + AT_ONCE]
        height = _peaks(phases[first], others, GRID)
        found += (np.flatnonzero(height > FOLDED_DEVIATIONS) + start).tolist()
    return found


def without_common(phases: Complex64) -> Complex64:
    """Subtract what all images share: the pattern of the camera is not a place."""
    return phases - phases.mean(axis=0) if len(phases) >= COMMON_FROM else phases


def is_same_place(first: Float32, second: Float32) -> bool:
    """Return whether two images, float32[H, W] of one size, show the same place with any shift."""
    phases = _phases(first)
    return float(_peaks(phases, _phases(second)[None], first.shape[1])[0]) > LEAST_DEVIATIONS


def _phases(image: Float32) -> Complex64:
    """Compute phases, complex64[H, W // 2 + 1]; 0 on the axes and for absent frequencies."""
    from scipy.fft import rfft2

    spectrum = rfft2(image.astype(np.float32))
    strength = np.abs(spectrum)
    # The axes contain the discontinuity between opposite borders.
    strength[0], strength[:, 0] = 0, 0
    present = strength > 1e-6 * max(float(strength.max()), 1e-30)
    return np.where(present, spectrum / np.where(present, strength, 1), 0).astype(np.complex64)


def _peaks(one: Complex64, others: Complex64, width: int) -> Any:
    """Return the peak of the correlation in standard deviations of chance, float32[N]."""
    from scipy.fft import irfft2

    cross = one.conj() * others
    shape = (one.shape[0], width)
    correlation = irfft2(cross, s=shape)
    # By Parseval; a half spectrum contains every frequency off the axes once, without its mirror.
    power = 2 * (np.abs(cross) ** 2).sum(axis=(1, 2))
    deviation = np.sqrt(np.maximum(power, 1e-12)) / (shape[0] * shape[1])
    return correlation.max(axis=(1, 2)) / deviation
