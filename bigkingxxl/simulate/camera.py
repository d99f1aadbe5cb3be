"""From intensity to an 8-bit image: uneven light, fringes, noise, gain, rounding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bigkingxxl.simulate.randomness import FloatMap, smooth_noise

BACKGROUND = 128.0
# The instrument's own software clips to this range; the real images hold nothing below 3.
LOWEST, HIGHEST = 3, 255


@dataclass(frozen=True)
class Camera:
    """gain: gray values per unit of relative intensity; unevenness, fringes, read_noise: gray
    values; full_well: electrons at the background level, which sets the shot noise; flattening: the
    instrument takes out what varies over this distance (Gaussian deviation, px), cells or light.
    """

    gain: float
    unevenness: float
    fringes: float
    read_noise: float
    full_well: float
    flattening: float


def record(rng: np.random.Generator, intensity: FloatMap, camera: Camera) -> NDArray[np.uint8]:
    """Record a relative intensity float32[H, W] (1 = background) as uint8[H, W].

    The background lies at 128: the instrument flattens its images to that level.
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
    """Interference stripes of the coherent light, slightly bent: float32[H, W], deviation 1."""
    heading, period = rng.uniform(0, np.pi), rng.uniform(5.0, 12.0)
    rows = np.arange(size[0], dtype=np.float32)[:, None]
    cols = np.arange(size[1], dtype=np.float32)[None, :]
    along = rows * np.sin(heading) + cols * np.cos(heading)
    phase = 2 * np.pi * along / period + 1.5 * smooth_noise(rng, size, 60.0)
    return np.asarray(np.sqrt(2.0) * np.sin(phase), dtype=np.float32)
