"""The camera: converts intensity to an 8-bit image with uneven light, fringes and noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bigkingxxl.simulate.randomness import FloatMap, smooth_noise

BACKGROUND = 128.0
# The software of the instrument clips to this range; real images contain nothing below 3.
LOWEST, HIGHEST = 3, 255


@dataclass(frozen=True)
class Camera:
    """The properties of a camera.

    Attributes:
        gain: Grey values per unit of relative intensity.
        unevenness: The unevenness of the light in grey values.
        fringes: The amplitude of the fringes in grey values.
        read_noise: The read noise in grey values.
        full_well: Electrons at the background level, which determine the shot noise.
        flattening: The instrument removes variations, of cells or light, over this distance
            (standard deviation of a Gaussian in pixels).
    """

    gain: float
    unevenness: float
    fringes: float
    read_noise: float
    full_well: float
    flattening: float


def record(rng: np.random.Generator, intensity: FloatMap, camera: Camera) -> NDArray[np.uint8]:
    """Record a relative intensity float32[H, W] (1 = background) as uint8[H, W].

    The background is 128, to which the instrument flattens its images.
    """
    size = intensity.shape
    gray = BACKGROUND + camera.gain * (intensity - 1.0)
    gray += camera.unevenness * smooth_noise(rng, size, 40.0)
    gray += camera.fringes * fringe_pattern(rng, size)
    shot = np.sqrt(np.clip(intensity, 0.0, None) / camera.full_well) * camera.gain
    deviation = np.hypot(shot, camera.read_noise)
    gray += deviation * rng.standard_normal(size, dtype=np.float32)
    gray += BACKGROUND - ndimage.gaussian_filter(gray, camera.flattening, mode="reflect")
    return np.asarray(np.clip(np.rint(gray), LOWEST, HIGHEST), dtype=np.uint8)


def fringe_pattern(rng: np.random.Generator, size: tuple[int, int]) -> FloatMap:
    """Return slightly curved interference fringes, float32[H, W], with standard deviation 1."""
    heading, period = rng.uniform(0, np.pi), rng.uniform(5.0, 12.0)
    rows = np.arange(size[0], dtype=np.float32)[:, None]
    cols = np.arange(size[1], dtype=np.float32)[None, :]
    along = rows * np.sin(heading) + cols * np.cos(heading)
    phase = 2 * np.pi * along / period + 1.5 * smooth_noise(rng, size, 60.0)
    return np.asarray(np.sqrt(2.0) * np.sin(phase), dtype=np.float32)
