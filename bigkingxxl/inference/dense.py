"""Prediction with dense methods: maps blended over tiles and flips, then one decode.

Normalisation and scale are fixed from the whole image first. An image too large for its maps to be
held is decoded block by block and the blocks' candidates are stitched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.candidates import Candidates
from bigkingxxl.decoding.base import Channel, Representation
from bigkingxxl.geometry import (
    FLIPS,
    Symmetry,
    Window,
    blend_weights,
    resize,
    scaled_size,
    tiles,
    whole,
)
from bigkingxxl.images import ImageSource, Normalisation
from bigkingxxl.inference.stitching import stitch
from bigkingxxl.instances import PixelSize
from bigkingxxl.models import PredictionSettings
from bigkingxxl.operating_points import OperatingPoints

Float32 = NDArray[np.float32]
MapsFunction = Callable[[Float32], Float32]
BLOCK_PIXELS = 16_000_000
BLOCK_OVERLAP = 256


class DensePredictor:
    """A maps function and a representation as a `Predictor`.

    Args:
        maps_function: float32[B, C, h, w] normalised tiles to float32[B, K, h, w] activated maps.
        representation: decodes the maps.
        stride: sides of a tile are multiples of it.
        scale: network pixels an image pixel; None takes the settings' scale for images of the
            training pixel size, and more or less where the image's own pixel size differs.
        training_pixel_size: micrometres (row, column), or None where unknown.
        points: decode knobs by cell type.
        cell_type: the images' type where it is known; else the maps vote.
    """

    def __init__(
        self,
        maps_function: MapsFunction,
        representation: Representation,
        *,
        normalisation: Normalisation,
        settings: PredictionSettings,
        points: OperatingPoints,
        stride: int = 1,
        scale: float | None = None,
        training_pixel_size: PixelSize | None = None,
        cell_type: str | None = None,
        block_pixels: int = BLOCK_PIXELS,
    ) -> None:
        self.maps_function, self.representation = maps_function, representation
        self.normalisation, self.settings, self.points = normalisation, settings, points
        self.tile = -(-settings.tile // stride) * stride
        self.scale, self.training_pixel_size = scale, training_pixel_size
        self.cell_type, self.block_pixels = cell_type, block_pixels

    def candidates(self, source: ImageSource) -> Candidates:
        """See `Predictor.candidates`; a blank image has none."""
        if source.statistics.is_blank:
            return Candidates.empty(source.shape, self.representation.type_names)
        blocks = self._blocks(source.shape)
        first = self.maps(source, blocks[len(blocks) // 2])
        knobs = self._knobs(first)
        parts = []
        for index, block in enumerate(blocks):
            maps = first if index == len(blocks) // 2 else self.maps(source, block)
            parts.append(self.representation.decode(maps, knobs).resize(block.size))
        return stitch(parts, blocks, source.shape)

    def maps(self, source: ImageSource, window: Window | None = None) -> Float32:
        """float32[K, h, w] maps of a window (default: the image), in the frame they are decoded in.

        That is the coarser of the image's and the network's: enlarging for the network does not
        make the decoding dearer.
        """
        window = whole(source.shape) if window is None else window
        pixels = self.normalisation.apply(source.read(window), source.statistics)
        scale = self.scale_for(source)
        seen = resize(pixels, scaled_size(window.size, scale))
        flips = FLIPS[: self.settings.flips]
        total = self._flipped_maps(seen, flips[0])
        for symmetry in flips[1:]:
            total += self._flipped_maps(seen, symmetry)
        total /= len(flips)
        return resize(total, window.size) if scale > 1 else total

    def scale_for(self, source: ImageSource) -> float:
        """Network pixels a pixel of this image."""
        if self.scale is not None:
            return self.scale
        return self.settings.scale * relative_size(source.pixel_size_um, self.training_pixel_size)

    def _blocks(self, size: tuple[int, int]) -> list[Window]:
        side = int(self.block_pixels**0.5)
        if size[0] * size[1] <= self.block_pixels:
            return [whole(size)]
        found = tiles(size, (side, side), min(BLOCK_OVERLAP, side // 4))
        return [window.clipped(size) for window in found]

    def _knobs(self, maps: Float32) -> Mapping[str, Any]:
        names, cell_type = self.representation.type_names, self.cell_type
        if cell_type is None:
            weights = self.representation.type_weights(maps)
            cell_type = None if weights is None else names[int(weights.argmax())]
        return self.points.of(cell_type).decode

    def _flipped_maps(self, image: Float32, symmetry: Symmetry) -> Float32:
        maps = self._tiled_maps(np.ascontiguousarray(symmetry.apply(image)))
        back = symmetry.inverse
        return turn_vectors(np.array(back.apply(maps)), back, self.representation.channels)

    def _tiled_maps(self, image: Float32) -> Float32:
        """float32[K, H, W]: maps of overlapping tiles, blended by weights that fade at the edges."""
        size = (image.shape[1], image.shape[2])
        overlap = min(self.settings.overlap, self.tile // 2)
        windows = tiles(size, (self.tile, self.tile), overlap)
        weights = blend_weights((self.tile, self.tile), overlap)
        total = np.zeros((len(self.representation.channels), *size), np.float32)
        weight_sum = np.zeros(size, np.float32)
        for start in range(0, len(windows), self.settings.batch_size):
            batch = windows[start : start + self.settings.batch_size]
            maps = self.maps_function(np.stack([_padded(image, window) for window in batch]))
            for window, tile in zip(batch, maps, strict=True):
                inner = window.clipped(size)
                inside = Window(0, 0, *inner.size).slices
                total[(slice(None), *inner.slices)] += (tile * weights)[(slice(None), *inside)]
                weight_sum[inner.slices] += weights[inside]
        return np.divide(total, weight_sum, out=total)


def relative_size(pixel_size: PixelSize | None, training: PixelSize | None) -> float:
    """How many training pixels long an image's pixel is; 1 where either size is unknown."""
    if pixel_size is None or training is None:
        return 1.0
    return float(np.sqrt(np.prod(pixel_size) / np.prod(training)))


def _padded(image: Float32, window: Window) -> Float32:
    """float32[C, h, w] of a window that may end beyond the image, mirrored there."""
    size = (image.shape[1], image.shape[2])
    rows, cols = window.clipped(size).slices
    return np.pad(image[:, rows, cols], ((0, 0), *window.padding(size)), mode="symmetric")


def turn_vectors(
    maps: Float32, symmetry: Symmetry, channels: tuple[Channel, ...]
) -> Float32:
    """Maps whose fields were moved by a symmetry, with the vectors turned as well."""
    kinds = [channel.kind for channel in channels]
    rows = [i for i, kind in enumerate(kinds) if kind == "row"]
    cols = [i for i, kind in enumerate(kinds) if kind == "column"]
    for i, j in zip(rows, cols, strict=True):
        maps[i], maps[j] = symmetry.vectors(maps[i], maps[j].copy())
    return maps
