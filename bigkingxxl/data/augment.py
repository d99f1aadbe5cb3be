"""Random views of an annotated image: crops, zooms, rotations and flips."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.data.augment_settings import AugmentSettings
from bigkingxxl.data.intensity import IntensityChange
from bigkingxxl.geometry import Affine, resize, scaled_size

Float32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class AnnotatedPixels:
    """An image that is prepared for cropping.

    Attributes:
        image: float[C, H, W], normalised.
        planes: int[L, H, W], label planes.
        boxes: int32[N, 4], the boxes of the cells.
        cell_type: int16[N].
        diameter: float32[N], the diameter of a disc of each cell's area, in pixels.
        width: float32[N], the width of each cell (see `bigkingxxl.cell_widths`), or None if it is
            not needed.
        ignored: bool[H, W], the pixels that are not annotated; None if all are.
    """

    image: NDArray[np.floating]
    planes: NDArray[np.integer]
    boxes: NDArray[np.int32]
    cell_type: NDArray[np.int16]
    diameter: Float32 = field(default_factory=lambda: np.zeros(0, np.float32))
    ignored: NDArray[np.bool_] | None = None
    width: Float32 | None = None
    _halves: list[AnnotatedPixels] = field(default_factory=list, init=False, repr=False)

    @property
    def nbytes(self) -> int:
        """The memory of its pixels in bytes, including shrunk versions."""
        own = self.image.nbytes + self.planes.nbytes
        own += 0 if self.ignored is None else self.ignored.nbytes
        return own + sum(half.nbytes for half in self._halves)

    def shrunk(self, factor: float) -> AnnotatedPixels:
        """Shrink the image by a factor below 1 without aliasing."""
        old = self.image.shape[1:]
        new = scaled_size((old[0], old[1]), factor)
        row, col = (before / after for before, after in zip(old, new, strict=True))
        view = Affine(((row, 0.0), (0.0, col)), ((row - 1) / 2, (col - 1) / 2))
        boxes = np.floor(self.boxes / np.array([row, col, row, col])).astype(np.int32)
        planes = view.warp_labels(self.planes, new).astype(self.planes.dtype)
        image = resize(self.image.astype(np.float32), new).astype(self.image.dtype)
        shrink = np.float32(1 / np.sqrt(row * col))
        width = None if self.width is None else self.width * shrink
        ignored = None
        if self.ignored is not None:
            ignored = view.warp_labels(self.ignored[None].astype(np.uint8), new)[0] > 0
        diameter = self.diameter * shrink
        return AnnotatedPixels(image, planes, boxes, self.cell_type, diameter, ignored, width)

    def at(self, zoom: float) -> tuple[AnnotatedPixels, float]:
        """Return a version that can be sampled at `zoom` without aliasing, and the remaining zoom.

        The sides are halved repeatedly until the remaining zoom hardly shrinks the image.
        """
        level, side = self, min(self.image.shape[1:])
        for _ in range(max(0, round(-np.log2(zoom)))):
            if side < 4:
                break
            if not level._halves:
                level._halves.append(level.shrunk(0.5))
            level, zoom, side = level._halves[0], 2 * zoom, side // 2
        return level, zoom


class RandomView(NamedTuple):
    """A random crop of an annotated image.

    Attributes:
        image: float32[C, size, size].
        planes: int32[L, size, size], label planes.
        diameter: float32[N], the diameter of every cell of the image in pixels of the crop.
        width: float32[N], the width of every cell in pixels of the crop, or None if it is not
            needed.
        ignored: bool[size, size], or None if every pixel is annotated.
        is_wide: Whether the zoom was drawn from `AugmentSettings.wide_zoom`.
        clean: float32[C, size, size], the crop without changes of intensity.
    """

    image: Float32
    planes: NDArray[np.int32]
    diameter: Float32
    ignored: NDArray[np.bool_] | None
    is_wide: bool
    width: Float32 | None
    clean: Float32


def random_view(
    source: AnnotatedPixels, settings: AugmentSettings, rng: np.random.Generator
) -> RandomView:
    """Draw a random crop with random intensities."""
    size = (settings.size, settings.size)
    is_wide = bool(settings.wide_share > 0 and rng.random() < settings.wide_share)
    zoom = random_zoom(settings, rng, wide=is_wide)
    source, zoom = source.at(zoom)
    shape = source.image.shape[1:]
    view = random_affine(shape, source.boxes, settings, rng, zoom)
    window = view.footprint(size).clipped((shape[0], shape[1]))
    ignored = source.ignored
    if view.footprint(size) == window:
        rows, cols = window.slices
        view, image = view.moved(window), source.image[:, rows, cols]
        planes = source.planes[:, rows, cols]
        ignored = None if ignored is None else ignored[rows, cols]
    else:
        image, planes = source.image, source.planes
    planes = planes[[0, *(i for i in range(1, len(planes)) if planes[i].any())]]
    if ignored is not None:
        ignored = view.warp_labels(ignored[None].astype(np.uint8), size)[0] > 0
    light = IntensityChange.drawn(settings, rng)
    clean = view.warp(image.astype(np.float32, copy=False), size)
    lit = light.apply(clean, rng)
    width = None if source.width is None else source.width * np.float32(zoom)
    return RandomView(lit, view.warp_labels(planes, size), source.diameter * np.float32(zoom),
                      ignored, is_wide, width, clean)  # fmt: skip


def random_zoom(
    settings: AugmentSettings, rng: np.random.Generator, *, wide: bool = False
) -> float:
    """Draw a zoom, crop pixels per source pixel, uniformly in its logarithm."""
    return float(np.exp(rng.uniform(*np.log(settings.wide_zoom if wide else settings.zoom))))


def random_affine(
    shape: tuple[int, ...],
    boxes: NDArray[np.int32],
    settings: AugmentSettings,
    rng: np.random.Generator,
    zoom: float,
) -> Affine:
    """Draw the position of a random crop in an image of (H, W).

    Args:
        shape: The shape of the image.
        boxes: int32[N, 4], the boxes of its cells.
        settings: The augmentation.
        rng: The random generator.
        zoom: Crop pixels per image pixel.
    """
    height, width = shape
    stretch = float(np.exp(rng.uniform(-1, 1) * np.log(settings.stretch)))
    angle = float(rng.uniform(0, 2 * np.pi)) if settings.rotate else 0.0
    flip = bool(settings.flip and rng.random() < 0.5)
    centre = rng.uniform((0, 0), (height, width))
    if len(boxes) and rng.random() < settings.on_cell:
        box = boxes[rng.integers(len(boxes))]
        # Jittered, so that no cell is always at the centre.
        centre = (box[:2] + box[2:]) / 2 + rng.uniform(-0.4, 0.4, 2) * settings.size / zoom
    # Views stay inside the image if it is large enough, because mirrored cells teach nothing.
    reach = settings.size / zoom / 2
    if settings.rotate:
        reach *= abs(np.sin(angle)) + abs(np.cos(angle))
    reach += 2
    limits = [min(reach, side / 2) for side in (height, width)]
    low, high = np.array(limits), np.array((height, width)) - limits
    row, col = np.clip(centre, low, high)
    return Affine.around((float(row), float(col)), (settings.size, settings.size), zoom=zoom,
                         angle=angle, flip=flip, stretch=stretch)  # fmt: skip
