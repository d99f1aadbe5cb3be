"""Prediction with dense methods: blend the maps of all tiles and views, then decode once.

Normalisation and scale are fixed for the whole image first. An image whose maps do not fit into
memory is decoded block by block, and the candidates of the blocks are stitched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.candidates import Candidates
from bigkingxxl.decoding.base import SIZE_UNIT, Channel, Representation
from bigkingxxl.geometry import (
    Resizing,
    Symmetry,
    Window,
    even_tile,
    padded,
    scaled_size,
    tile_starts,
    whole,
)
from bigkingxxl.images import ImageSource, PartOfImage
from bigkingxxl.inference.chunked_maps import MapsFunction, in_chunks
from bigkingxxl.inference.image_region import ImageRegion
from bigkingxxl.inference.network_predictor import MeasuredSize, NetworkPredictor
from bigkingxxl.inference.seam_maps import SeamMaps
from bigkingxxl.inference.size.size_map import sizes_of_cells
from bigkingxxl.inference.stitching import stitch
from bigkingxxl.inference.tile_grid import Tile, TileGrid, TileSize
from bigkingxxl.operating_points import ZOOM, OperatingPoints, without_zoom
from bigkingxxl.test_time_augmentation import symmetries, zooms

Float32 = NDArray[np.float32]
BLOCK_OVERLAP = 256
VOTING_WINDOWS = 4  # along each axis


class Blocks(NamedTuple):
    """The parts of an image that are processed one at a time.

    Attributes:
        windows: The windows, one or several.
        core: (rows, columns) that each window owns.
        margin: The number of pixels around the core.
    """

    windows: list[Window]
    core: tuple[int, int]
    margin: int


@dataclass(eq=False)
class DensePredictor(NetworkPredictor):
    """A `Predictor` made of a function that computes maps and a representation that decodes them.

    At most the maps of `block_pixels` are held in memory. For the other arguments see
    `NetworkPredictor`.

    Args:
        maps_function: Maps normalised tiles float32[B, C, h, w] to activated maps
            float32[B, K, h, w].
        representation: Decodes the maps.
        points: The decoding parameters by cell type.
        cell_type: The cell type of the images, if known; otherwise the maps vote on it.
        zooms: The enlargements that tuning tries; see `DenseMethod.zooms`.
        piece: The side, in network pixels, of the pieces in which a tile is processed; None
            processes the whole tile at once.
        context: The number of pixels around a piece that affect its maps; see `in_chunks`.
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
        self.seam_maps = SeamMaps()

    def predict_window(
        self, source: ImageSource, window: Window, ratio: float, cell_type: str | None = None
    ) -> Candidates:
        """Return the candidates of a window, in its frame, predicted at a scale ratio.

        If the operating point of the voted cell type has another zoom, the window is predicted once
        more at that zoom.

        Args:
            source: The image.
            window: The window.
            ratio: Pixels of the training images per image pixel.
            cell_type: The type whose parameters are used; by default the known or the voted type.
        """
        return self._predict_view(ImageRegion.of(source, window), ratio, cell_type)

    def _predict_view(
        self, view: ImageRegion, ratio: float, cell_type: str | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> Candidates:  # fmt: skip
        cached_maps: list[Float32] = []

        def vote() -> Float32 | None:
            cached_maps.append(self.maps_of(view, ratio))
            return self.representation.type_weights(cached_maps[0])

        parameters = self._parameters(vote, cell_type) if parameters is None else parameters
        zoom = self.zoom(view.source, parameters)
        maps = cached_maps[0] if cached_maps and zoom == 1 else self.maps_of(view, ratio, zoom)
        return self._decoded(maps, view, ratio, zoom, parameters)

    @property
    def measures_size(self) -> bool:
        """Whether the representation has a size map; see `NetworkPredictor.measures_size`."""
        return self.representation.size_map is not None

    @property
    def measures_width(self) -> bool:
        """See `NetworkPredictor.measures_width`."""
        return self.representation.width_map is not None

    def measured_size(self, source: ImageSource) -> MeasuredSize | None:
        """Measure the cell size; see `NetworkPredictor.measured_size`."""
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
        is_part: bool = False,  # noqa: ARG002
    ) -> Candidates:
        """Predict an image; see `NetworkPredictor.predict_image`."""
        blocks = self._blocks(source, ratio)
        if len(blocks.windows) == 1:
            return self.predict_window(source, blocks.windows[0], ratio, cell_type)
        parameters = self._parameters(lambda: self._spread_type_weights(source, ratio), cell_type)
        if source.part is None:
            source = PartOfImage(
                source, whole(source.shape), (blocks.core, blocks.margin), object()
            )
        parts = [
            self._predict_view(ImageRegion.of(source, window), ratio, parameters=parameters)
            for window in blocks.windows
        ]
        return replace(stitch(parts, blocks.windows, source.shape), scale_ratio=ratio)

    def zoom(self, source: ImageSource, parameters: Mapping[str, Any]) -> float:
        """Return the enlargement that the parameters ask for; 1 if the user gives the cell size."""
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
        """Decode the maps of an image of `size` into candidates in the frame of the image.

        Args:
            maps: float32[K, h, w] from `maps`.
            size: (H, W) of the image.
            ratio: Pixels of the training images per image pixel.
            parameters: By default those of the cell type that the maps vote for.
        """
        if parameters is None:
            parameters = self._parameters(lambda: self.representation.type_weights(maps))
        zoom = float(np.sqrt(maps.shape[1] * maps.shape[2] / (size[0] * size[1])))
        found = self._decoded_at(maps, zoom / ratio, parameters).resize(size)
        return self.scored(replace(found, scale_ratio=ratio))

    def _decoded(
        self,
        maps: Float32,
        view: ImageRegion,
        ratio: float,
        zoom: float,
        parameters: Mapping[str, Any],
    ) -> Candidates:
        """Decode the maps of a view into candidates in the frame of its window."""
        grid = self._grid(view, ratio, zoom)
        found = view.found(self._decoded_at(maps, view.zoom(grid) / ratio, parameters), grid)
        return self.scored(replace(found, scale_ratio=ratio))

    def _decoded_at(self, maps: Float32, zoom: float, parameters: Mapping[str, Any]) -> Candidates:
        """Decode maps with `zoom` pixels per training pixel, in the frame of the maps."""
        # The parameters are given in pixels of the training images, so they are converted to pixels
        # of these maps.
        own = self.representation.parameters_at(without_zoom(parameters), zoom)
        return self.representation.decode(maps, own)

    def maps(
        self,
        source: ImageSource,
        window: Window | None = None,
        ratio: float | None = None,
        zoom: float = 1.0,
    ) -> Float32:
        """Compute the maps of a window (default: the image), float32[K, h, w].

        The resolution of the maps is that of the image times the `decode_scale` of the settings, so
        that a larger network scale does not make decoding as much slower. It is at most the
        resolution of the network and, for smaller cells, at least that of the training images.

        Args:
            source: The image.
            window: The window.
            ratio: Pixels of the training images per image pixel; by default the best known value.
            zoom: A further enlargement for the network, which does not change the size of the
                result.
        """
        ratio = self.scale_ratio(source) if ratio is None else ratio
        return self.maps_of(ImageRegion.of(source, window), ratio, zoom)

    def maps_of(self, view: ImageRegion, ratio: float, zoom: float = 1.0) -> Float32:
        """Compute the maps of a view, float32[K, h, w]; see `maps`."""
        return self.maps_on(view, self._grid(view, ratio, zoom), ratio, zoom)

    def _grid(self, view: ImageRegion, ratio: float, zoom: float) -> tuple[int, int]:
        """Return the (H, W) of the grid on which a view is decoded."""
        seen = self.settings.scale * ratio * zoom
        decoded = max(ratio, 1.0) * self.settings.decode_scale
        return scaled_size(view.size, min(seen, decoded))

    def maps_on(
        self, view: ImageRegion, grid: tuple[int, int], ratio: float, zoom: float = 1.0
    ) -> Float32:
        """Compute the maps of a view on a grid of (H, W), float32[K, h, w], over all scales."""
        names = self.settings.tta
        wanted = Resizing(view.size, grid).covering(view.window)
        total: Float32 | None = None
        for closer in zooms(names):
            scaled = view.scaled(self.settings.scale * ratio * zoom * closer)
            shown = Resizing(scaled.new, grid)
            needed = shown.needed(wanted)
            maps = shown.part(self._blended(view, scaled, needed, names), needed, wanted)
            total = maps if total is None else np.add(total, maps, out=total)
        mean, count = np.asarray(total, np.float32), len(zooms(names))
        return mean if count == 1 else np.divide(mean, count, out=mean)

    def _maps_at(self, source: ImageSource, window: Window, scale: float) -> Float32:
        """Compute the maps of a window at the resolution of the network, float32[K, h, w]."""
        view = ImageRegion.of(source, window)
        scaled = view.scaled(scale)
        return self._blended(view, scaled, scaled.covering(view.window), ())

    def _blocks(self, source: ImageSource, ratio: float) -> Blocks:
        """Divide an image into blocks: cores with the margins around them."""
        if self.is_one_block(source, ratio):
            return Blocks([whole(source.shape)], source.shape, 0)
        side = self.block_side(ratio)
        margin = min(BLOCK_OVERLAP, side // 4) // 2
        rows, cols = (even_tile(length, side - 2 * margin, 0) for length in source.shape)
        windows = [
            Window(row - margin, col - margin, row + rows + margin, col + cols + margin)
            for row in range(0, source.shape[0], rows) for col in range(0, source.shape[1], cols)
        ]  # fmt: skip
        return Blocks([each.clipped(source.shape) for each in windows], (rows, cols), margin)

    def voted_type(self, source: ImageSource, ratio: float) -> str | None:
        """Vote on the cell type; see `NetworkPredictor.voted_type`."""
        return self._type(lambda: self._spread_type_weights(source, ratio))

    def _parameters(
        self, type_weights: Callable[[], Float32 | None], cell_type: str | None = None
    ) -> Mapping[str, Any]:
        """Return the decoding parameters of the image's cell type."""
        return self.points.of(cell_type or self._type(type_weights)).decode

    def _type(self, type_weights: Callable[[], Float32 | None]) -> str | None:
        """Return the cell type of the image; the vote is only computed if it changes anything."""
        if self.cell_type is not None or not self.points.by_type:
            return self.cell_type
        weights = type_weights()
        return None if weights is None else self.representation.type_names[int(weights.argmax())]

    def _spread_type_weights(self, source: ImageSource, ratio: float) -> Float32 | None:
        """Return the type weights of a large image, float32[T], summed over evenly spread tiles."""
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

    def _blended(
        self, view: ImageRegion, scaled: Resizing, place: Window, names: Iterable[str]
    ) -> Float32:
        """Compute the maps of a window of network pixels, float32[K, h, w], blended over its tiles.

        Args:
            view: The view of the image.
            scaled: The resizing to network pixels.
            place: The window.
            names: The augmentations of each tile.
        """
        reach = 0 if view.part is None else round(
            view.part.margin * scaled.new[0] / scaled.old[0]
        )  # fmt: skip
        tile_grid = TileGrid.of(scaled.new, self._tile_size, view.part, reach)
        pixels, read = self._pixels_of(view, scaled, tile_grid.around(place))

        def seen(tiles: Sequence[Tile]) -> Float32:
            windows = [_from(tile.window, read) for tile in tiles]
            return self._augmented(np.stack([padded(pixels, each) for each in windows]), names)

        maps = np.zeros((len(self.representation.channels), *place.size), np.float32)
        for alike in tile_grid.touching(place):
            own = [tile for tile in alike if tile.blocks == 1]
            for start in range(0, len(own), self.settings.batch_size):
                batch = own[start : start + self.settings.batch_size]
                for tile, its_maps in zip(batch, seen(batch), strict=True):
                    tile.add(its_maps, maps, place)
            for tile in (tile for tile in alike if tile.blocks > 1):
                # By itself, as a batch may change the last bits: the same for all its blocks.
                make = partial(_copied_first, seen, tile)
                tile.add(self._shared(make, view, scaled, tile, names), maps, place)
        return maps

    def _shared(
        self, make: Callable[[], Float32], view: ImageRegion, scaled: Resizing, tile: Tile,
        names: Iterable[str],
    ) -> Float32:  # fmt: skip
        """Return float32[K, h, w], the maps of a tile across a seam, computed once."""
        if view.part is None or view.part.image is None:
            return make()
        key = (view.part.image, scaled.new, tuple(names), tile.window)
        return self.seam_maps.get(key, tile.blocks, make)

    def _pixels_of(
        self, view: ImageRegion, scaled: Resizing, window: Window
    ) -> tuple[Float32, Window]:
        """Return the network's input for a window, float32[C, h, w], and the window read."""
        window = window.clipped(scaled.new)
        needed = scaled.needed(window)
        return scaled.part(view.pixels(needed, self.normalisation), needed, window), window

    @property
    def _tile_size(self) -> TileSize:
        return TileSize(self.tile, self.overlap, self.stride)

    def _augmented(self, tiles: Float32, names: Iterable[str]) -> Float32:
        """Average the maps of tiles over all flips and turns, float32[B, K, h, w]."""
        total = self._network_maps(tiles)
        more = symmetries(names)[1:]
        if not more:
            return total
        total = np.array(total)
        for symmetry in more:
            back = symmetry.inverse
            maps = self._network_maps(np.ascontiguousarray(symmetry.apply(tiles)))
            for number, turned in enumerate(np.array(back.apply(maps))):
                total[number] += turn_vectors(turned, back, self.representation.channels)
        total /= 1 + len(more)
        return total

    def _network_maps(self, tiles: Float32) -> Float32:
        """Run the network on normalised tiles: float32[B, K, h, w]."""
        if self.piece is None or max(tiles.shape[2:]) <= self.piece:
            return self.maps_function(tiles)
        return in_chunks(self.maps_function, tiles, self.piece, self.context, self.stride)


def _copied_first(seen: Callable[[Sequence[Tile]], Float32], tile: Tile) -> Float32:
    """Return float32[K, h, w], the maps of a tile, in memory of their own."""
    return np.array(seen([tile])[0])


def _from(window: Window, corner: Window) -> Window:
    """Express a window relative to the first pixel of another one."""
    return Window(window.row0 - corner.row0, window.col0 - corner.col0,
                  window.row1 - corner.row0, window.col1 - corner.col0)  # fmt: skip


def turn_vectors(maps: Float32, symmetry: Symmetry, channels: tuple[Channel, ...]) -> Float32:
    """Transform the vectors of maps whose pixels a symmetry has already moved."""
    kinds = [channel.kind for channel in channels]
    rows = [i for i, kind in enumerate(kinds) if kind == "row"]
    cols = [i for i, kind in enumerate(kinds) if kind == "column"]
    for i, j in zip(rows, cols, strict=True):
        maps[i], maps[j] = symmetry.vectors(maps[i].copy(), maps[j].copy())
    return maps
