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
from bigkingxxl.errors import ImageError
from bigkingxxl.geometry import (
    FLIPS,
    Symmetry,
    Window,
    blend_weights,
    resize,
    scaled_size,
    tile_starts,
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
BLOCK_PIXELS = 2**24  # 2048 x 2048 at twice the size
BLOCK_OVERLAP = 256
SMALLEST_TILE = 256  # a network sees less well in less context than it was trained with
VOTING_WINDOWS = 4  # each way


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
        image_channels: how many the network takes; None does not check.
        block_pixels: network pixels whose maps are held at once.
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
        image_channels: int | None = None,
        block_pixels: int = BLOCK_PIXELS,
    ) -> None:
        self.maps_function, self.representation = maps_function, representation
        self.normalisation, self.settings, self.points = normalisation, settings, points
        self.stride, self.tile = stride, _multiple(settings.tile, stride)
        self.overlap = min(settings.overlap, self.tile // 2)
        self.scale, self.training_pixel_size = scale, training_pixel_size
        self.cell_type, self.block_pixels = cell_type, block_pixels
        self.image_channels = image_channels

    def candidates(self, source: ImageSource) -> Candidates:
        """See `Predictor.candidates`; a blank image has none.

        Raises:
            ImageError: the image has more or fewer channels than the network takes.
        """
        self._check_channels(source)
        if source.statistics.is_blank:
            return Candidates.empty(source.shape, self.representation.type_names)
        blocks = self._blocks(source)
        if len(blocks) == 1:
            maps = self.maps(source)
            knobs = self._knobs(lambda: self.representation.type_weights(maps))
            return self.representation.decode(maps, knobs).resize(source.shape)
        knobs = self._knobs(lambda: self._spread_type_weights(source))
        parts = []
        for block in blocks:
            found = self.representation.decode(self.maps(source, block), knobs)
            parts.append(found.resize(block.size))
        return stitch(parts, blocks, source.shape)

    def _check_channels(self, source: ImageSource) -> None:
        expected = self.image_channels
        if expected is not None and source.channels != expected:
            advice = "; choose one of them" if expected == 1 else ""
            raise ImageError(
                f"{source.name} has {source.channels} channels, but the model was trained on "
                f"images of {expected}{advice}"
            )

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

    def _blocks(self, source: ImageSource) -> list[Window]:
        enlarged = max(self.scale_for(source), 1.0)
        side = max(int(self.block_pixels**0.5 / enlarged), 16)
        if source.shape[0] * source.shape[1] <= side**2:
            return [whole(source.shape)]
        found = tiles(source.shape, (side, side), min(BLOCK_OVERLAP, side // 4))
        return [window.clipped(source.shape) for window in found]

    def _knobs(self, type_weights: Callable[[], Float32 | None]) -> Mapping[str, Any]:
        """The decode knobs of the images' type; the vote is held only where it decides anything."""
        names, cell_type = self.representation.type_names, self.cell_type
        if cell_type is None and self.points.by_type:
            weights = type_weights()
            cell_type = None if weights is None else names[int(weights.argmax())]
        return self.points.of(cell_type).decode

    def _spread_type_weights(self, source: ImageSource) -> Float32 | None:
        """float32[T]: the sum over windows of a tile's size, spread evenly over a large image."""
        side = max(int(self.tile / self.scale_for(source)), 1)
        starts = []
        for length in source.shape:
            first = tile_starts(length, min(side, length), 0)
            starts.append(first[:: -(-len(first) // VOTING_WINDOWS)])
        windows = [Window(r, c, r + side, c + side) for r in starts[0] for c in starts[1]]
        found = [
            self.representation.type_weights(self.maps(source, window.clipped(source.shape)))
            for window in windows
        ]
        known = [weights for weights in found if weights is not None]
        return np.sum(known, axis=0, dtype=np.float32) if known else None

    def _flipped_maps(self, image: Float32, symmetry: Symmetry) -> Float32:
        maps = self._tiled_maps(np.ascontiguousarray(symmetry.apply(image)))
        back = symmetry.inverse
        return turn_vectors(np.array(back.apply(maps)), back, self.representation.channels)

    def _tiled_maps(self, image: Float32) -> Float32:
        """float32[K, H, W]: maps of overlapping tiles, blended with weights that fade outwards."""
        size = (image.shape[1], image.shape[2])
        side = (self._tile_side(size[0]), self._tile_side(size[1]))
        windows = tiles(size, side, self.overlap)
        weights = blend_weights(side, self.overlap)
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

    def _tile_side(self, length: int) -> int:
        """The smallest side with which as few tiles cover a length as with the largest."""
        count = len(tile_starts(length, self.tile, self.overlap))
        needed = -(-(length + (count - 1) * self.overlap) // count)
        return min(self.tile, _multiple(max(needed, SMALLEST_TILE), self.stride))


def _multiple(length: int, stride: int) -> int:
    return -(-length // stride) * stride


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


def turn_vectors(maps: Float32, symmetry: Symmetry, channels: tuple[Channel, ...]) -> Float32:
    """Maps whose fields were moved by a symmetry, with the vectors turned as well."""
    kinds = [channel.kind for channel in channels]
    rows = [i for i, kind in enumerate(kinds) if kind == "row"]
    cols = [i for i, kind in enumerate(kinds) if kind == "column"]
    for i, j in zip(rows, cols, strict=True):
        maps[i], maps[j] = symmetry.vectors(maps[i].copy(), maps[j].copy())
    return maps
