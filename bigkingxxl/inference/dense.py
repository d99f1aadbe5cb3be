"""Prediction with dense methods: maps blended over tiles and views, then one decode.

Normalisation and scale are fixed for the whole image first. An image too large for its maps to be
held is decoded block by block and the blocks' candidates are stitched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.candidates import Candidates
from bigkingxxl.decoding.base import SIZE_UNIT, Channel, Representation
from bigkingxxl.geometry import (
    Symmetry,
    Window,
    blend_weights,
    even_tile,
    multiple,
    padded,
    resize,
    scaled_size,
    tile_starts,
    tiles,
    whole,
)
from bigkingxxl.images import ImageSource
from bigkingxxl.inference.network import MeasuredSize, NetworkPredictor
from bigkingxxl.inference.pieces import MapsFunction, in_pieces
from bigkingxxl.inference.size.size_map import sizes_of_cells
from bigkingxxl.inference.stitching import stitch
from bigkingxxl.operating_points import ZOOM, OperatingPoints, without_zoom
from bigkingxxl.test_time_augmentation import symmetries, view_count, zooms

Float32 = NDArray[np.float32]
BLOCK_OVERLAP = 256
SMALLEST_TILE = 256  # a network sees less well in less context than it was trained with
VOTING_WINDOWS = 4  # each way


@dataclass(eq=False)
class DensePredictor(NetworkPredictor):
    """A maps function and a representation as a `Predictor`.

    Args:
        maps_function: float32[B, C, h, w] normalised tiles to float32[B, K, h, w] activated maps.
        representation: decodes the maps.
        points: decoding parameters by cell type.
        cell_type: the images' type where it is known; else the maps vote.
        zooms: how many times larger tuning looks at images; see `DenseMethod.zooms`.
        piece: side of what is seen at once of a tile, in network pixels; None: all of it.
        context: pixels around a piece that its maps depend on; see `in_pieces`.

    Of `block_pixels` the maps are held at once. For the others see `NetworkPredictor`.
    """

    maps_function: MapsFunction
    representation: Representation
    _: KW_ONLY
    points: OperatingPoints
    cell_type: str | None = None
    zooms: Sequence[float] = ()
    piece: int | None = None
    context: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.type_names = self.representation.type_names

    def predict_window(
        self, source: ImageSource, window: Window, ratio: float, cell_type: str | None = None
    ) -> Candidates:
        """The candidates of a window, in its frame, as at a scale ratio.

        Where the type that it shows is to be seen larger or smaller, it is looked at once more.

        Args:
            cell_type: whose parameters are used; by default the known type, or the voted one.
        """
        looked: list[Float32] = []

        def vote() -> Float32 | None:
            looked.append(self.maps(source, window, ratio))
            return self.representation.type_weights(looked[0])

        parameters = self._parameters(vote, cell_type)
        zoom = self.zoom(source, parameters)
        maps = looked[0] if looked and zoom == 1 else self.maps(source, window, ratio, zoom)
        return self.decode(maps, window.size, ratio, parameters)

    @property
    def measures_size(self) -> bool:
        """See `NetworkPredictor.measures_size`: where the representation has a map of sizes."""
        return self.representation.size_map is not None

    @property
    def measures_width(self) -> bool:
        """See `NetworkPredictor.measures_width`."""
        return self.representation.width_map is not None

    def measured_size(self, source: ImageSource) -> MeasuredSize | None:
        """See `NetworkPredictor.measured_size`."""
        places = (self.representation.size_map, self.representation.width_map)
        known = [place for place in places if place is not None]
        if not known:
            return None
        found = sizes_of_cells(self._maps_at, source, self.normalisation, known, SIZE_UNIT)
        return None if found is None else MeasuredSize(found[0], found[-1])

    def predict_image(
        self,
        source: ImageSource,
        ratio: float,
        cell_type: str | None = None,
        *,
        is_part: bool = False,
    ) -> Candidates:
        """See `NetworkPredictor.predict_image`."""
        blocks = self._blocks(source, ratio, is_part=is_part)
        if len(blocks) == 1:
            return self.predict_window(source, blocks[0], ratio, cell_type)
        parameters = self._parameters(lambda: self._spread_type_weights(source, ratio), cell_type)
        zoom = self.zoom(source, parameters)
        parts = [
            self.decode(self.maps(source, block, ratio, zoom), block.size, ratio, parameters)
            for block in blocks
        ]
        return replace(stitch(parts, blocks, source.shape), scale_ratio=ratio)

    def zoom(self, source: ImageSource, parameters: Mapping[str, Any]) -> float:
        """How many times larger these parameters show the image; 1 where a user gives the size."""
        is_said = self.scale is not None or source.cell_diameter is not None
        is_said |= self.training.usual_diameter is not None
        return 1.0 if is_said else float(parameters.get(ZOOM, 1.0))

    def decode(
        self,
        maps: Float32,
        size: tuple[int, int],
        ratio: float = 1.0,
        parameters: Mapping[str, Any] | None = None,
    ) -> Candidates:
        """The candidates in maps of an image of `size`, in its frame.

        Args:
            maps: float32[K, h, w] as `maps` makes them.
            ratio: pixels of training that an image pixel is long.
            parameters: by default those of the type that the maps vote for.
        """
        if parameters is None:
            parameters = self._parameters(lambda: self.representation.type_weights(maps))
        # Parameters count pixels of training; these maps have more or fewer of them.
        zoom = float(np.sqrt(maps.shape[1] * maps.shape[2] / (size[0] * size[1]))) / ratio
        own = self.representation.parameters_at(without_zoom(parameters), zoom)
        found = self.representation.decode(maps, own)
        return self.scored(replace(found.resize(size), scale_ratio=ratio))

    def maps(
        self,
        source: ImageSource,
        window: Window | None = None,
        ratio: float | None = None,
        zoom: float = 1.0,
    ) -> Float32:
        """float32[K, h, w] maps of a window (default: the image), in the frame they are decoded in.

        That is the image's own times the settings' `decode_scale`, so that enlarging for the
        network does not make the decoding as much dearer; the network's where that is coarser; and
        that of training for smaller cells.

        Args:
            ratio: pixels of training that an image pixel is long; by default what is known.
            zoom: the network sees it so many times larger; what comes back is not.
        """
        window = whole(source.shape) if window is None else window
        ratio = self.scale_ratio(source) if ratio is None else ratio
        scale = self.settings.scale * ratio * zoom
        total = self._augmented_maps(source, window, scale)
        decoded = max(ratio, 1.0) * self.settings.decode_scale
        return resize(total, scaled_size(window.size, decoded)) if scale > decoded else total

    def _augmented_maps(self, source: ImageSource, window: Window, scale: float) -> Float32:
        """float32[K, h, w]: the mean of the maps of all views, in the frame of the first."""
        names = self.settings.tta
        total: Float32 | None = None
        for zoom in zooms(names):
            seen = self._scaled(source, window, scale * zoom)
            for symmetry in symmetries(names):
                maps = self._flipped_maps(seen, symmetry)
                if total is not None and zoom != 1:
                    maps = resize(maps, (total.shape[1], total.shape[2]))
                total = maps if total is None else np.add(total, maps, out=total)
        count, mean = view_count(names), np.asarray(total, np.float32)
        return mean if count == 1 else np.divide(mean, count, out=mean)

    def _scaled(self, source: ImageSource, window: Window, scale: float) -> Float32:
        """float32[C, h, w]: a window as the network sees it at network pixels per image pixel."""
        pixels = self.normalisation.apply(source.read(window), source.statistics)
        return resize(pixels, scaled_size(window.size, scale))

    def _maps_at(self, source: ImageSource, window: Window, scale: float) -> Float32:
        """float32[K, h, w]: the maps of a window in the network's own frame."""
        return self._tiled_maps(self._scaled(source, window, scale))

    def _blocks(self, source: ImageSource, ratio: float, *, is_part: bool = False) -> list[Window]:
        if self.is_one_block(source, ratio):
            return [whole(source.shape)]
        side = self.block_side(ratio)
        overlap = min(BLOCK_OVERLAP, side // 4)
        sides = (side, side)
        if is_part:  # which is little larger than a block: four whole ones would cover it thrice
            height, width = (even_tile(length, side, overlap) for length in source.shape)
            sides = (height, width)
        found = tiles(source.shape, sides, overlap)
        return [window.clipped(source.shape) for window in found]

    def voted_type(self, source: ImageSource, ratio: float) -> str | None:
        """See `NetworkPredictor.voted_type`."""
        return self._type(lambda: self._spread_type_weights(source, ratio))

    def _parameters(
        self, type_weights: Callable[[], Float32 | None], cell_type: str | None = None
    ) -> Mapping[str, Any]:
        """The decoding parameters of the images' type."""
        return self.points.of(cell_type or self._type(type_weights)).decode

    def _type(self, type_weights: Callable[[], Float32 | None]) -> str | None:
        """The images' type; the vote is held only where it decides anything."""
        if self.cell_type is not None or not self.points.by_type:
            return self.cell_type
        weights = type_weights()
        return None if weights is None else self.representation.type_names[int(weights.argmax())]

    def _spread_type_weights(self, source: ImageSource, ratio: float) -> Float32 | None:
        """float32[T]: the sum over windows of a tile's size, spread evenly over a large image."""
        side = max(int(self.tile / (self.settings.scale * ratio)), 1)
        starts = []
        for length in source.shape:
            first = tile_starts(length, min(side, length), 0)
            starts.append(first[:: -(-len(first) // VOTING_WINDOWS)])
        windows = [Window(r, c, r + side, c + side) for r in starts[0] for c in starts[1]]
        found = [
            self.representation.type_weights(self.maps(source, window.clipped(source.shape), ratio))
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
            only: Float32 = self._seen_maps(padded(image, windows[0])[None])[0]
            return only[:, : size[0], : size[1]]
        weights = blend_weights(side, self.overlap)
        total = np.zeros((len(self.representation.channels), *size), np.float32)
        weight_sum = np.zeros(size, np.float32)
        for start in range(0, len(windows), self.settings.batch_size):
            batch = windows[start : start + self.settings.batch_size]
            maps = self._seen_maps(np.stack([padded(image, window) for window in batch]))
            for window, tile in zip(batch, maps, strict=True):
                inner = window.clipped(size)
                inside = Window(0, 0, *inner.size).slices
                total[(slice(None), *inner.slices)] += (tile * weights)[(slice(None), *inside)]
                weight_sum[inner.slices] += weights[inside]
        return np.divide(total, weight_sum, out=total)

    def _seen_maps(self, tiles: Float32) -> Float32:
        """float32[B, K, h, w]: what the network makes of normalised tiles."""
        if self.piece is None or max(tiles.shape[2:]) <= self.piece:
            return self.maps_function(tiles)
        return in_pieces(self.maps_function, tiles, self.piece, self.context, self.stride)

    def _tile_side(self, length: int) -> int:
        """The smallest side with which as few tiles cover a length as with the largest."""
        needed = max(even_tile(length, self.tile, self.overlap), SMALLEST_TILE)
        return min(self.tile, multiple(needed, self.stride))


def turn_vectors(maps: Float32, symmetry: Symmetry, channels: tuple[Channel, ...]) -> Float32:
    """Maps whose fields were moved by a symmetry, with the vectors turned as well."""
    kinds = [channel.kind for channel in channels]
    rows = [i for i, kind in enumerate(kinds) if kind == "row"]
    cols = [i for i, kind in enumerate(kinds) if kind == "column"]
    for i, j in zip(rows, cols, strict=True):
        maps[i], maps[j] = symmetry.vectors(maps[i].copy(), maps[j].copy())
    return maps
