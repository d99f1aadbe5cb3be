"""The same cells as other microscopes than phase contrast show them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bigkingxxl.simulate.placement import Layout
from bigkingxxl.simulate.randomness import FloatMap, log_uniform, smooth_noise


def fluorescence(rng: np.random.Generator, layout: Layout, depth: FloatMap) -> NDArray[np.uint8]:
    """Simulate bright, blurred cells of varying brightness on a dark background, uint8[H, W].

    Args:
        rng: The random generator.
        layout: The cells.
        depth: float32[H, W], the distance from the edges of cells inwards, in pixels.
    """
    size = layout.owner.shape
    spread = float(rng.uniform(0.1, 0.8))
    bright = np.exp(spread * rng.standard_normal(len(layout.cells) + 1)).astype(np.float32)
    bright[0] = 0.0
    edge = log_uniform(rng, 0.3, 6.0)
    texture = float(rng.uniform(0.0, 0.5)) * smooth_noise(rng, size, log_uniform(rng, 1.2, 8.0))
    light = bright[layout.owner] * (1.0 - np.exp(-depth / edge)) * np.clip(1.0 + texture, 0.1, None)
    haze = float(rng.uniform(0.0, 0.4)) * ndimage.gaussian_filter(light, rng.uniform(6.0, 25.0))
    light = ndimage.gaussian_filter(light, float(rng.uniform(0.4, 2.2))) + haze
    light += float(rng.uniform(0.0, 0.4)) + 0.03 * smooth_noise(rng, size, 60.0)
    photons = log_uniform(rng, 30.0, 5000.0)
    noise = np.sqrt(np.clip(light, 0.01, None) / photons)
    light += noise * rng.standard_normal(size, dtype=np.float32)
    low, high = np.percentile(light, [0.1, float(rng.choice([99.0, 99.9, 100.0]))])
    return grey((light - low) / max(float(high - low), 1e-6))


def softened(rng: np.random.Generator, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Blur the image, as an enlargement or a poor focus does, and add some noise: uint8[H, W]."""
    soft = ndimage.gaussian_filter(image.astype(np.float32), log_uniform(rng, 0.5, 2.0))
    soft += log_uniform(rng, 0.2, 3.0) * rng.standard_normal(image.shape, dtype=np.float32)
    return grey(soft / 255.0)


def grey(light: FloatMap) -> NDArray[np.uint8]:
    """Convert 0 .. 1 to 0 .. 255 and clip the rest."""
    return np.asarray(np.clip(np.rint(255.0 * light), 0, 255), dtype=np.uint8)
