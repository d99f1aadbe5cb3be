"""Random draws that several parts of the simulator share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

FloatMap = NDArray[np.float32]


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a value that is uniform in its logarithm."""
    floor = max(low, 1e-3)
    return float(np.exp(rng.uniform(np.log(floor), np.log(max(high, floor)))))


def log_uniforms(
    rng: np.random.Generator, span: tuple[float, float], count: int
) -> NDArray[np.float64]:
    """Draw `count` values, float64[count], uniform in their logarithm over the positive `span`."""
    return np.exp(rng.uniform(np.log(span[0]), np.log(span[1]), count))


def smooth_noise(rng: np.random.Generator, size: tuple[int, int], length: float) -> FloatMap:
    """Draw a Gaussian random field, float32[H, W], with mean 0, deviation 1 and given correlation.

    It is drawn on a coarse grid and interpolated, so that long correlation lengths are cheap.
    """
    stride = max(1.0, length / 2.0)
    coarse = (int(size[0] / stride) + 4, int(size[1] / stride) + 4)
    grid = ndimage.gaussian_filter(rng.standard_normal(coarse, dtype=np.float32), length / stride)
    rows = np.linspace(1, coarse[0] - 2, size[0], dtype=np.float32)
    cols = np.linspace(1, coarse[1] - 2, size[1], dtype=np.float32)
    where = np.meshgrid(rows, cols, indexing="ij")
    noise = ndimage.map_coordinates(grid, where, order=1, mode="nearest")
    noise -= noise.mean()
    return np.asarray(noise / max(float(noise.std()), 1e-6), dtype=np.float32)


def band_noise(rng: np.random.Generator, size: tuple[int, int], fine: float) -> FloatMap:
    """Draw a Gaussian random field, float32[H, W], with grains of about `fine` pixels.

    As a difference of two blurs, it has grains of a certain size and no slow variation.
    """
    white = rng.standard_normal(size, dtype=np.float32)
    band = ndimage.gaussian_filter(white, fine) - ndimage.gaussian_filter(white, 2.0 * fine)
    return np.asarray(band / max(float(band.std()), 1e-6), dtype=np.float32)
