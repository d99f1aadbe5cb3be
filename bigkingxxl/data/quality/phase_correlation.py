"""Do two images show one place, maybe shifted, maybe at another hour? Phase correlation.

Only the phase of each frequency is kept, so that cells, lamp and contrast count little and the
pattern of the plate's surface much. Source: Kuglin and Hines, The phase correlation image alignment
method (1975).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Complex64 = NDArray[np.complex64]

GRID = 64
FOLDED_DEVIATIONS = 7.0
LEAST_DEVIATIONS = 15.0
COMMON_FROM = 10  # images; of fewer, the mean is not what all have in common
AT_ONCE = 256  # pairs transformed together


def folded_phases(image: Float32) -> Complex64:
    """complex64[64, 33]: phases of an image folded to 64 x 64, as `similar` compares them.

    Folding keeps some frequencies of every band, so shifts are found modulo 64 pixels at the cost
    of some certainty and 80 times faster. float32[H, W] in; both sides at least 64.
    """
    height, width = (side - side % GRID for side in image.shape)
    tiles = image[:height, :width].reshape(height // GRID, GRID, width // GRID, GRID)
    return _phases(tiles.sum(axis=(0, 2)))


def similar(phases: Complex64, first: int) -> list[int]:
    """The images after `first` that may show the same place.

    Args:
        phases: complex64[N, 64, 33], see `folded_phases` and `without_common`.
    """
    found: list[int] = []
    for start in range(first + 1, len(phases), AT_ONCE):
        others = phases[start : start + AT_ONCE]
        height = _peaks(phases[first], others, GRID)
        found += (np.flatnonzero(height > FOLDED_DEVIATIONS) + start).tolist()
    return found


def without_common(phases: Complex64) -> Complex64:
    """Phases less what all images share: the camera's own pattern is not a place."""
    return phases - phases.mean(axis=0) if len(phases) >= COMMON_FROM else phases


def is_same_place(first: Float32, second: Float32) -> bool:
    """Whether two images, float32[H, W] of one size, show one place; shifts of any length."""
    phases = _phases(first)
    return float(_peaks(phases, _phases(second)[None], first.shape[1])[0]) > LEAST_DEVIATIONS


def _phases(image: Float32) -> Complex64:
    """complex64[H, W // 2 + 1]: the phases; 0 where a frequency lies on an axis or is absent."""
    from scipy.fft import rfft2

    spectrum = rfft2(image.astype(np.float32))
    strength = np.abs(spectrum)
    # The axes hold the jump from one border to the opposite one.
    strength[0], strength[:, 0] = 0, 0
    present = strength > 1e-6 * max(float(strength.max()), 1e-30)
    return np.where(present, spectrum / np.where(present, strength, 1), 0).astype(np.complex64)


def _peaks(one: Complex64, others: Complex64, width: int) -> Any:
    """float32[N]: the correlation's peak in standard deviations of what chance gives."""
    from scipy.fft import irfft2

    cross = one.conj() * others
    shape = (one.shape[0], width)
    correlation = irfft2(cross, s=shape)
    # By Parseval; a half spectrum holds every frequency off the axes once, and so its mirror not.
    power = 2 * (np.abs(cross) ** 2).sum(axis=(1, 2))
    deviation = np.sqrt(np.maximum(power, 1e-12)) / (shape[0] * shape[1])
    return correlation.max(axis=(1, 2)) / deviation
