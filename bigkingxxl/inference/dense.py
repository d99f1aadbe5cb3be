"""Prediction with dense methods: maps blended over tiles and flips, then one decode.

Normalisation and scale are fixed for the whole image first. An image too large for its maps to be
held is decoded block by block and the blocks' candidates are stitched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
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
from bigkingxxl.inference.appearance import appearance
from bigkingxxl.inference.inversion import Negative, is_inverted, may_be_inverted
from bigkingxxl.inference.size_estimate import estimate_size, is_plausible
from bigkingxxl.inference.sizing import TrainingImages, check_size, known_size
from bigkingxxl.inference.stitching import stitch
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
        scale: network pixels an image pixel; None takes the settings' scale for images that show
            cells as large as training did, and more or less where they are known to differ.
        training: what is known of the training images; by default nothing.
        points: decode knobs by cell type.
        cell_type: the images' type where it is known; else the maps vote.
        image_channels: how many the network takes; None does not check.
        block_pixels: network pixels whose maps are held at once.
        estimate: judge by what is seen how large the cells of an image are, where nothing says
            it, and whether its bright and dark are exchanged; as far as `training` is known.
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
        training: TrainingImages | None = None,
        cell_type: str | None = None,
        image_channels: int | None = None,
        block_pixels: int = BLOCK_PIXELS,
        estimate: bool = False,
    ) -> None:
        self.maps_function, self.representation = maps_function, representation
        self.normalisation, self.settings, self.points = normalisation, settings, points
        self.stride, self.tile = stride, _multiple(settings.tile, stride)
        self.overlap = min(settings.overlap, self.tile // 2)
        self.scale, self.training = scale, training or TrainingImages()
        self.cell_type, self.block_pixels = cell_type, block_pixels
        self.image_channels = image_channels
        self.estimate = estimate

    def candidates(self, source: ImageSource) -> Candidates:
        """See `Predictor.candidates`; a blank image has none.

        Raises:
            ImageError: the image has more or fewer channels than the network takes, or its size
                asks for too large an image.
        """
        self._check_channels(source)
        relative = self.relative_size(source)
        check_size(source, relative, self.settings.scale * relative)
        if source.statistics.is_blank:
            return Candidates.empty(source.shape, self.representation.type_names)
        if self.estimate and (self.training.diameters or self.training.appearance):
            return self._judged(source)
        return self.seen(source, relative)

    def _judged(self, source: ImageSource) -> Candidates:
        """The candidates where size and sense of brightness are judged by what is seen."""
        looks = appearance(source, self.normalisation, self.relative_size(source))
        if may_be_inverted(looks, self.training.appearance) and is_inverted(
            self.look, source, self.normalisation, self.relative_size(source)
        ):
            source = Negative(source)
        if not self.training.diameters or not self.is_unknown(source):
            return self.seen(source, self.relative_size(source))
        first = self.seen(source, 1.0) if len(self._blocks(source, 1.0)) == 1 else None
        if first is not None and is_plausible(first, looks, self.training):
            return first
        relative = estimate_size(self.look, source, self.normalisation, first)
        return first if first is not None and relative == 1 else self.seen(source, relative)

    def look(self, source: ImageSource, window: Window, relative: float) -> Candidates:
        """The candidates of a window, in its frame, as at a relative size."""
        return self.decode(self.maps(source, window, relative), window.size, relative)

    def seen(self, source: ImageSource, relative: float) -> Candidates:
        """The candidates of an image whose pixels are `relative` training pixels long."""
        blocks = self._blocks(source, relative)
        if len(blocks) == 1:
            return self.decode(self.maps(source, relative=relative), source.shape, relative)
        knobs = self._knobs(lambda: self._spread_type_weights(source, relative))
        parts = [
            self.decode(self.maps(source, block, relative), block.size, relative, knobs)
            for block in blocks
        ]
        return replace(stitch(parts, blocks, source.shape), relative_size=relative)

    def decode(
        self,
        maps: Float32,
        size: tuple[int, int],
        relative: float = 1.0,
        knobs: Mapping[str, Any] | None = None,
    ) -> Candidates:
        """The candidates in maps of an image of `size`, in its frame.

        Args:
            maps: float32[K, h, w] as `maps` makes them.
            relative: pixels of training that an image pixel is long.
            knobs: by default those of the type that the maps vote for.
        """
        if knobs is None:
            knobs = self._knobs(lambda: self.representation.type_weights(maps))
        # Knobs count pixels of training; these maps have more or fewer of them.
        zoom = float(np.sqrt(maps.shape[1] * maps.shape[2] / (size[0] * size[1]))) / relative
        found = self.representation.decode(maps, self.representation.knobs_at(knobs, zoom))
        return replace(found.resize(size), relative_size=relative)

    def _check_channels(self, source: ImageSource) -> None:
        expected = self.image_channels
        if expected is not None and source.channels != expected:
            advice = "; choose one of them" if expected == 1 else ""
            raise ImageError(
                f"{source.name} has {source.channels} channels, but the model was trained on "
                f"images of {expected}{advice}"
            )

    def maps(
        self, source: ImageSource, window: Window | None = None, relative: float | None = None
    ) -> Float32:
        """float32[K, h, w] maps of a window (default: the image), in the frame they are decoded in.

        That is the image's own times the settings' `decode_scale`, so that enlarging for the
        network does not make the decoding as much dearer; the network's where that is coarser; and
        that of training for smaller cells.

        Args:
            relative: pixels of training that an image pixel is long; by default what is known.
        """
        window = whole(source.shape) if window is None else window
        relative = self.relative_size(source) if relative is None else relative
        scale = self.settings.scale * relative
        pixels = self.normalisation.apply(source.read(window), source.statistics)
        seen = resize(pixels, scaled_size(window.size, scale))
        flips = FLIPS[: self.settings.flips]
        total = self._flipped_maps(seen, flips[0])
        for symmetry in flips[1:]:
            total += self._flipped_maps(seen, symmetry)
        if len(flips) > 1:
            total /= len(flips)
        decoded = max(relative, 1.0) * self.settings.decode_scale
        return resize(total, scaled_size(window.size, decoded)) if scale > decoded else total

    def is_unknown(self, source: ImageSource) -> bool:
        """True where no scale is given and nothing says how large the image shows its cells."""
        return self.scale is None and known_size(source, self.training) is None

    def relative_size(self, source: ImageSource) -> float:
        """Training pixels a pixel of this image is long, by what is known of it; else 1."""
        if self.scale is not None:
            return self.scale / self.settings.scale
        known = known_size(source, self.training)
        return 1.0 if known is None else known

    def scale_of(self, candidates: Candidates) -> float:
        """Network pixels an image pixel, as these candidates of the image were seen."""
        return self.settings.scale * candidates.relative_size

    def _blocks(self, source: ImageSource, relative: float) -> list[Window]:
        enlarged = max(self.settings.scale * relative, 1.0)
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

    def _spread_type_weights(self, source: ImageSource, relative: float) -> Float32 | None:
        """float32[T]: the sum over windows of a tile's size, spread evenly over a large image."""
        side = max(int(self.tile / (self.settings.scale * relative)), 1)
        starts = []
        for length in source.shape:
            first = tile_starts(length, min(side, length), 0)
            starts.append(first[:: -(-len(first) // VOTING_WINDOWS)])
        windows = [Window(r, c, r + side, c + side) for r in starts[0] for c in starts[1]]
        found = [
            self.representation.type_weights(
                self.maps(source, window.clipped(source.shape), relative)
            )
            for window in windows
        ]
        known = [weights for weights in found if weights is not None]
        return np.sum(known, axis=0, dtype=np.float32) if known else None

    def _flipped_maps(self, image: Float32, symmetry: Symmetry) -> Float32:
        if symmetry == Symmetry():
            return self._tiled_maps(image)
        maps = self._tiled_maps(np.ascontiguousarray(symmetry.apply(image)))
        back = symmetry.inverse
        return turn_vectors(np.array(back.apply(maps)), back, self.representation.channels)

    def _tiled_maps(self, image: Float32) -> Float32:
        """float32[K, H, W]: maps of overlapping tiles, blended with weights that fade outwards."""
        size = (image.shape[1], image.shape[2])
        side = (self._tile_side(size[0]), self._tile_side(size[1]))
        windows = tiles(size, side, self.overlap)
        if len(windows) == 1:
            only: Float32 = self.maps_function(_padded(image, windows[0])[None])[0]
            return only[:, : size[0], : size[1]]
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
