"""Random views of an annotated image: crops, zooms, turns and flips."""

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
    """An image ready for cropping.

    Attributes:
        image: float[C, H, W] normalised.
        planes: int[L, H, W] label planes.
        boxes: int32[N, 4] of the cells; cell_type: int16[N].
        diameter: float32[N], of a disc of each cell's area, in pixels.
        width: float32[N], of each cell (see `bigkingxxl.widths`), or None where nobody asks for it.
        ignored: bool[H, W], pixels that nobody annotated; None where all are.
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
        """Bytes of its pixels, those of what is shrunk from it included."""
        own = self.image.nbytes + self.planes.nbytes
        own += 0 if self.ignored is None else self.ignored.nbytes
        return own + sum(half.nbytes for half in self._halves)

    def shrunk(self, factor: float) -> AnnotatedPixels:
        """The same with sides times `factor` below 1, averaged so that nothing aliases."""
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
        """What is to be zoomed to see it at `zoom` without aliasing, and the zoom that remains.

        Sides are halved, again and again, until the rest of the zoom hardly shrinks.
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
        image: float32[C, size, size]; planes: int32[L, size, size] label planes.
        diameter, width: float32[N], of every cell of the image as it is seen here, in pixels; the
            width is None where nobody asks for it.
        ignored: bool[size, size], or None where every pixel is annotated.
        is_wide: its zoom was drawn from `AugmentSettings.wide_zoom`.
        unlit: float32[C, size, size], the image in the light that the camera saw it in.
    """

    image: Float32
    planes: NDArray[np.int32]
    diameter: Float32
    ignored: NDArray[np.bool_] | None
    is_wide: bool
    width: Float32 | None
    unlit: Float32


def random_view(
    source: AnnotatedPixels, settings: AugmentSettings, rng: np.random.Generator
) -> RandomView:
    """A random crop, in a random light."""
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
    unlit = view.warp(image.astype(np.float32, copy=False), size)
    lit = light.apply(unlit, rng)
    width = None if source.width is None else source.width * np.float32(zoom)
    return RandomView(lit, view.warp_labels(planes, size), source.diameter * np.float32(zoom),
                      ignored, is_wide, width, unlit)  # fmt: skip


def random_zoom(
    settings: AugmentSettings, rng: np.random.Generator, *, wide: bool = False
) -> float:
    """Crop pixels per source pixel, log-uniform."""
    return float(np.exp(rng.uniform(*np.log(settings.wide_zoom if wide else settings.zoom))))


def random_affine(
    shape: tuple[int, ...],
    boxes: NDArray[np.int32],
    settings: AugmentSettings,
    rng: np.random.Generator,
    zoom: float,
) -> Affine:
    """Where a random crop of an image of (H, W) lies.

    Args:
        boxes: int32[N, 4] of its cells.
        zoom: crop pixels per image pixel.
    """
    height, width = shape
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
