"""Augment the intensities of a crop: contrast, background, halo, blur, noise and debris."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from bigkingxxl.data.augment_settings import AugmentSettings

Float32 = NDArray[np.float32]
BLURRED = 0.3  # fraction of crops that are blurred
HALOED = 0.3  # fraction of crops whose halo is changed
HALO_WIDTH = (2.0, 12.0)  # pixels
SPECK_RADIUS = (0.7, 4.0)  # pixels
SPECK_HEIGHT = (0.3, 2.0)  # normalised intensity
REACH = 3  # radii beyond which a speck is invisible


@dataclass(frozen=True)
class IntensityChange:
    """A change of the intensities of a crop, in this order; the default changes nothing.

    Attributes:
        invert: Whether bright and dark are exchanged.
        exponent: The exponent of absolute values.
        halo: The weight of the difference to the local mean that is added: a positive one adds a
            halo to edges, a negative one removes it.
        halo_width: The standard deviation of that mean in pixels.
        blur: The standard deviation of the blur in pixels, or 0.
        contrast: A factor.
        brightness: A summand.
        slope_row: The slope of the background along rows, from -1 to 1 across the crop.
        slope_col: The slope of the background along columns.
        bowl: The curvature of the background.
        specks: The number of specks of debris.
        noise: The standard deviation of the noise.
    """

    invert: bool = False
    exponent: float = 1.0
    halo: float = 0.0
    halo_width: float = 1.0
    blur: float = 0.0
    contrast: float = 1.0
    brightness: float = 0.0
    slope_row: float = 0.0
    slope_col: float = 0.0
    bowl: float = 0.0
    specks: int = 0
    noise: float = 0.0

    @classmethod
    def drawn(cls, settings: AugmentSettings, rng: np.random.Generator) -> IntensityChange:
        """Draw a random change within the settings."""
        invert = bool(rng.random() < settings.invert)
        exponent, blur, noise, specks = 1.0, 0.0, 0.0, 0
        if settings.gamma > 1:
            exponent = float(np.exp(rng.uniform(-1, 1) * np.log(settings.gamma)))
        if settings.blur > 0 and rng.random() < BLURRED:
            blur = float(rng.uniform(0, settings.blur))
        contrast = 1 + float(rng.uniform(-1, 1)) * settings.contrast
        brightness = float(rng.uniform(-1, 1)) * settings.brightness
        if settings.noise > 0:
            noise = float(rng.uniform(0, settings.noise))
        halo, halo_width = 0.0, 1.0
        if settings.halo > 0 and rng.random() < HALOED:
            halo = float(rng.uniform(-0.5, 1)) * settings.halo
            halo_width = float(np.exp(rng.uniform(*np.log(HALO_WIDTH))))
        slope_row = slope_col = bowl = 0.0
        if settings.uneven > 0:
            slope_row, slope_col, bowl = (rng.uniform(-1, 1, 3) * settings.uneven / 3).tolist()
        if settings.debris > 0:
            specks = int(rng.integers(settings.debris + 1))
        return cls(invert, exponent, halo, halo_width, blur, contrast, brightness, slope_row,
                   slope_col, bowl, specks, noise)  # fmt: skip

    def apply(self, image: Float32, rng: np.random.Generator) -> Float32:
        """Change the intensities of float32[C, h, w]; `rng` places specks and draws the noise."""
        if self.invert:
            image = -image
        if self.exponent != 1:
            image = np.sign(image) * np.abs(image) ** np.float32(self.exponent)
        if self.halo != 0:
            image = image + np.float32(self.halo) * (image - _blurred(image, self.halo_width))
        if self.specks:
            image = _with_specks(image, self.specks, rng)
        if self.blur > 0:
            image = _blurred(image, self.blur)
        image = image * np.float32(self.contrast) + np.float32(self.brightness)
        if self.slope_row or self.slope_col or self.bowl:
            image = image + self.background(image.shape[1:])
        if self.noise > 0:
            grain = rng.standard_normal(image.shape, dtype=np.float32)
            image = image + np.float32(self.noise) * grain
        return np.ascontiguousarray(image, np.float32)

    def background(self, size: tuple[int, ...]) -> Float32:
        """Return the uneven background, float32[h, w]."""
        row, col = (np.linspace(-1, 1, length, dtype=np.float32) for length in size)
        plane = np.float32(self.slope_row) * row[:, None] + np.float32(self.slope_col) * col
        bowl = np.float32(self.bowl) * (row[:, None] ** 2 + col**2 - np.float32(2 / 3))
        result: Float32 = plane + bowl
        return result


def _blurred(image: Float32, sigma: float) -> Float32:
    from scipy import ndimage

    return np.stack([ndimage.gaussian_filter(layer, sigma, truncate=2.5) for layer in image])


def _with_specks(image: Float32, count: int, rng: np.random.Generator) -> Float32:
    """Add small bright or dark blobs, some of them with a ring of the opposite sign."""
    result = image.copy()
    height, width = image.shape[1:]
    for _ in range(count):
        row, col = rng.uniform(0, height), rng.uniform(0, width)
        radius = float(np.exp(rng.uniform(*np.log(SPECK_RADIUS))))
        strength = float(rng.uniform(*SPECK_HEIGHT) * rng.choice((-1, 1)))
        ring = float(rng.choice((0.0, rng.uniform(0.2, 0.8))))
        reach = int(np.ceil(REACH * radius))
        rows = np.arange(max(int(row) - reach, 0), min(int(row) + reach + 1, height))
        cols = np.arange(max(int(col) - reach, 0), min(int(col) + reach + 1, width))
        square = ((rows[:, None] - row) ** 2 + (cols - col) ** 2) / radius**2
        blob = np.exp(-square / 2) * (1 - ring * square / 2)
        result[:, rows[:, None], cols] += (strength * blob).astype(np.float32)
    return result
