"""Random views of an annotated image: crops, zooms, turns, flips, light and blur."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bigkingxxl.geometry import Affine, resize, scaled_size
from bigkingxxl.settings import Settings

Float32 = NDArray[np.float32]
BLURRED = 0.3  # share of crops that are blurred


class AugmentSettings(Settings):
    """What may happen to a training crop.

    Attributes:
        size: side of the crop the network sees, in pixels.
        zoom: smallest and largest enlargement of the image.
        diameter: enlarge each image before, so that the median cell of its type is so large, in
            pixels of the network; None takes images as they are.
        rotate, flip: any angle, mirror images.
        stretch: largest ratio of the zooms along the two axes.
        contrast, brightness: largest relative and absolute change of normalised intensities.
        gamma: largest exponent (or its inverse) on intensities.
        noise: largest standard deviation of added noise, normalised.
        blur: largest standard deviation of a Gaussian blur, in pixels.
        invert: share of crops whose intensities are turned (bright for dark).
        on_cell: share of crops centred near a cell; the rest lies anywhere.
    """

    size: int = Field(256, ge=16)
    zoom: tuple[float, float] = (1.0, 2.0)
    diameter: float | None = Field(None, gt=0)
    rotate: bool = True
    flip: bool = True
    stretch: float = Field(1.1, ge=1)
    contrast: float = Field(0.25, ge=0, lt=1)
    brightness: float = Field(0.2, ge=0)
    gamma: float = Field(1.2, ge=1)
    noise: float = Field(0.06, ge=0)
    blur: float = Field(0.7, ge=0)
    invert: float = Field(0.0, ge=0, le=1)
    on_cell: float = Field(0.8, ge=0, le=1)


@dataclass(frozen=True, eq=False)
class AnnotatedPixels:
    """An image ready for cropping.

    Attributes:
        image: float32[C, H, W] normalised.
        planes: int32[L, H, W] label planes.
        boxes: int32[N, 4] of the cells; cell_type: int16[N].
    """

    image: Float32
    planes: NDArray[np.int32]
    boxes: NDArray[np.int32]
    cell_type: NDArray[np.int16]

    def shrunk(self, factor: float) -> AnnotatedPixels:
        """The same with sides times `factor` below 1, averaged so that nothing aliases."""
        old = self.image.shape[1:]
        new = scaled_size((old[0], old[1]), factor)
        row, col = (before / after for before, after in zip(old, new, strict=True))
        view = Affine(((row, 0.0), (0.0, col)), ((row - 1) / 2, (col - 1) / 2))
        boxes = np.floor(self.boxes / np.array([row, col, row, col])).astype(np.int32)
        planes = view.warp_labels(self.planes, new)
        return AnnotatedPixels(resize(self.image, new), planes, boxes, self.cell_type)


def random_view(
    source: AnnotatedPixels, settings: AugmentSettings, rng: np.random.Generator
) -> tuple[Float32, NDArray[np.int32]]:
    """A random crop: image float32[C, size, size] and label planes int32[L, size, size]."""
    size = (settings.size, settings.size)
    view = random_affine(source.image.shape[1:], source.boxes, settings, rng)
    window = view.footprint(size).clipped(source.image.shape[1:])
    if view.footprint(size) == window:
        rows, cols = window.slices
        view, image = view.moved(window), source.image[:, rows, cols]
        planes = source.planes[:, rows, cols]
    else:
        image, planes = source.image, source.planes
    planes = planes[[0, *(i for i in range(1, len(planes)) if planes[i].any())]]
    light = Light.drawn(settings, rng)
    return light.apply(view.warp(image, size), rng), view.warp_labels(planes, size)


def random_affine(
    shape: tuple[int, ...],
    boxes: NDArray[np.int32],
    settings: AugmentSettings,
    rng: np.random.Generator,
) -> Affine:
    """Where a random crop of an image of (H, W) lies; boxes: int32[N, 4] of its cells."""
    height, width = shape
    zoom = float(np.exp(rng.uniform(*np.log(settings.zoom))))
    stretch = float(np.exp(rng.uniform(-1, 1) * np.log(settings.stretch)))
    angle = float(rng.uniform(0, 2 * np.pi)) if settings.rotate else 0.0
    flip = bool(settings.flip and rng.random() < 0.5)
    centre = rng.uniform((0, 0), (height, width))
    if len(boxes) and rng.random() < settings.on_cell:
        box = boxes[rng.integers(len(boxes))]
        # Jittered, so that no cell is always in the middle.
        centre = (box[:2] + box[2:]) / 2 + rng.uniform(-0.4, 0.4, 2) * settings.size / zoom
    # Views stay inside where the image is large enough: mirrored cells teach nothing.
    reach = settings.size / zoom / 2
    if settings.rotate:
        reach *= abs(np.sin(angle)) + abs(np.cos(angle))
    reach += 2
    limits = [min(reach, side / 2) for side in (height, width)]
    low, high = np.array(limits), np.array((height, width)) - limits
    row, col = np.clip(centre, low, high)
    return Affine.around((float(row), float(col)), (settings.size, settings.size), zoom=zoom,
                         angle=angle, flip=flip, stretch=stretch)  # fmt: skip


@dataclass(frozen=True)
class Light:
    """How intensities of a crop are changed, in this order.

    Attributes:
        invert: bright for dark; exponent: on their absolute values; blur: its standard deviation in
            pixels, or 0; contrast: a factor; brightness: added; noise: standard deviation.
    """

    invert: bool
    exponent: float
    blur: float
    contrast: float
    brightness: float
    noise: float

    @classmethod
    def drawn(cls, settings: AugmentSettings, rng: np.random.Generator) -> Light:
        """At random, as the settings allow."""
        invert = bool(rng.random() < settings.invert)
        exponent, blur, noise = 1.0, 0.0, 0.0
        if settings.gamma > 1:
            exponent = float(np.exp(rng.uniform(-1, 1) * np.log(settings.gamma)))
        if settings.blur > 0 and rng.random() < BLURRED:
            blur = float(rng.uniform(0, settings.blur))
        contrast = 1 + float(rng.uniform(-1, 1)) * settings.contrast
        brightness = float(rng.uniform(-1, 1)) * settings.brightness
        if settings.noise > 0:
            noise = float(rng.uniform(0, settings.noise))
        return cls(invert, exponent, blur, contrast, brightness, noise)

    def apply(self, image: Float32, rng: np.random.Generator) -> Float32:
        """float32[C, h, w] in this light; the generator makes the noise."""
        from scipy import ndimage

        if self.invert:
            image = -image
        if self.exponent != 1:
            image = np.sign(image) * np.abs(image) ** np.float32(self.exponent)
        if self.blur > 0:
            image = np.stack([ndimage.gaussian_filter(layer, self.blur) for layer in image])
        image = image * np.float32(self.contrast) + np.float32(self.brightness)
        if self.noise > 0:
            grain = rng.standard_normal(image.shape, dtype=np.float32)
            image = image + np.float32(self.noise) * grain
        return np.ascontiguousarray(image, np.float32)
