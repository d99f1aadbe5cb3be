"""Prediction with dense methods: maps blended over tiles and views, then one decode.

Normalisation and scale are fixed for the whole image first. An image too large for its maps to be
held is decoded block by block and the blocks' candidates are stitched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
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
from bigkingxxl.inference.lattice import Lattice, TileSize
from bigkingxxl.inference.network import MeasuredSize, NetworkPredictor
from bigkingxxl.inference.pieces import MapsFunction, in_pieces
from bigkingxxl.inference.size.size_map import sizes_of_cells
from bigkingxxl.inference.stitching import stitch
from bigkingxxl.inference.view import View
from bigkingxxl.operating_points import ZOOM, OperatingPoints, without_zoom
from bigkingxxl.test_time_augmentation import symmetries, zooms

Float32 = NDArray[np.float32]
BLOCK_OVERLAP = 256
VOTING_WINDOWS = 4  # each way


class Blocks(NamedTuple):
    """What of an image is looked at at once.

    Attributes:
        windows: one or several; core: (rows, columns) that each owns; margin: pixels around it.
    """

    windows: list[Window]
    core: tuple[int, int]
    margin: int


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
        return self._look(View.of(source, window), ratio, cell_type)

    def _look(
        self, view: View, ratio: float, cell_type: str | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> Candidates:  # fmt: skip
        looked: list[Float32] = []

        def vote() -> Float32 | None:
            looked.append(self.maps_of(view, ratio))
            return self.representation.type_weights(looked[0])

        parameters = self._parameters(vote, cell_type) if parameters is None else parameters
        zoom = self.zoom(view.source, parameters)
        maps = looked[0] if looked and zoom == 1 else self.maps_of(view, ratio, zoom)
        return self._decoded(maps, view, ratio, zoom, parameters)

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
        is_part: bool = False,  # noqa: ARG002
    ) -> Candidates:
        """See `NetworkPredictor.predict_image`."""
        blocks = self._blocks(source, ratio)
        if len(blocks.windows) == 1:
            return self.predict_window(source, blocks.windows[0], ratio, cell_type)
        parameters = self._parameters(lambda: self._spread_type_weights(source, ratio), cell_type)
        if source.part is None:
            source = PartOfImage(source, whole(source.shape), (blocks.core, blocks.margin))
        parts = [
            self._look(View.of(source, window), ratio, parameters=parameters)
            for window in blocks.windows
        ]
        return replace(stitch(parts, blocks.windows, source.shape), scale_ratio=ratio)

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
        zoom = float(np.sqrt(maps.shape[1] * maps.shape[2] / (size[0] * size[1])))
        found = self._decoded_at(maps, zoom / ratio, parameters).resize(size)
        return self.scored(replace(found, scale_ratio=ratio))

    def _decoded(
        self, maps: Float32, view: View, ratio: float, zoom: float, parameters: Mapping[str, Any]
    ) -> Candidates:
        """The candidates in the maps of a view, in its window's frame."""
        grid = self._grid(view, ratio, zoom)
        found = view.found(self._decoded_at(maps, view.zoom(grid) / ratio, parameters), grid)
        return self.scored(replace(found, scale_ratio=ratio))

    def _decoded_at(self, maps: Float32, zoom: float, parameters: Mapping[str, Any]) -> Candidates:
        """The candidates in maps of which `zoom` pixels make one of training; in their frame."""
        # Parameters count pixels of training; these maps have more or fewer of them.
        own = self.representation.parameters_at(without_zoom(parameters), zoom)
        return self.representation.decode(maps, own)

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
        ratio = self.scale_ratio(source) if ratio is None else ratio
        return self.maps_of(View.of(source, window), ratio, zoom)

    def maps_of(self, view: View, ratio: float, zoom: float = 1.0) -> Float32:
        """float32[K, h, w] maps of a view; see `maps`."""
        return self.maps_on(view, self._grid(view, ratio, zoom), ratio, zoom)

    def _grid(self, view: View, ratio: float, zoom: float) -> tuple[int, int]:
        """(H, W) of a view's frame as its maps are decoded."""
        seen = self.settings.scale * ratio * zoom
        decoded = max(ratio, 1.0) * self.settings.decode_scale
        return scaled_size(view.size, min(seen, decoded))

    def maps_on(
        self, view: View, grid: tuple[int, int], ratio: float, zoom: float = 1.0
    ) -> Float32:
        """float32[K, h, w] maps of a view on a grid of (H, W) over its frame, of all its looks."""
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
        """float32[K, h, w]: the maps of a window in the network's own frame."""
        view = View.of(source, window)
        scaled = view.scaled(scale)
        return self._blended(view, scaled, scaled.covering(view.window), ())

    def _blocks(self, source: ImageSource, ratio: float) -> Blocks:
        """What is looked at at once of an image: cores and the margins around them."""
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

    def _blended(
        self, view: View, scaled: Resizing, place: Window, names: Iterable[str]
    ) -> Float32:
        """float32[K, h, w]: maps of a window of network pixels, blended of all tiles there.

        Args:
            names: augmentations under which each tile is looked at.
        """
        reach = 0 if view.part is None else round(
            view.part.margin * scaled.new[0] / scaled.old[0]
        )  # fmt: skip
        lattice = Lattice.of(scaled.new, self._tile_size, view.part, reach)
        pixels, read = self._pixels_of(view, scaled, lattice.around(place))
        maps = np.zeros((len(self.representation.channels), *place.size), np.float32)
        for alike in lattice.touching(place):
            for start in range(0, len(alike), self.settings.batch_size):
                batch = alike[start : start + self.settings.batch_size]
                windows = [_from(tile.window, read) for tile in batch]
                seen = self._augmented(np.stack([padded(pixels, each) for each in windows]), names)
                for tile, own in zip(batch, seen, strict=True):
                    tile.add(own, maps, place)
        return maps

    def _pixels_of(self, view: View, scaled: Resizing, window: Window) -> tuple[Float32, Window]:
        """float32[C, h, w]: a window as the network sees it, inside the image; and that window."""
        window = window.clipped(scaled.new)
        needed = scaled.needed(window)
        return scaled.part(view.pixels(needed, self.normalisation), needed, window), window

    @property
    def _tile_size(self) -> TileSize:
        return TileSize(self.tile, self.overlap, self.stride)

    def _augmented(self, tiles: Float32, names: Iterable[str]) -> Float32:
        """float32[B, K, h, w]: the mean of what is seen of tiles in all flips and turns."""
        total = self._seen_maps(tiles)
        more = symmetries(names)[1:]
        if not more:
            return total
        total = np.array(total)
        for symmetry in more:
            back = symmetry.inverse
            seen = self._seen_maps(np.ascontiguousarray(symmetry.apply(tiles)))
            for number, turned in enumerate(np.array(back.apply(seen))):
                total[number] += turn_vectors(turned, back, self.representation.channels)
        total /= 1 + len(more)
        return total

    def _seen_maps(self, tiles: Float32) -> Float32:
        """float32[B, K, h, w]: what the network makes of normalised tiles."""
        if self.piece is None or max(tiles.shape[2:]) <= self.piece:
            return self.maps_function(tiles)
        return in_pieces(self.maps_function, tiles, self.piece, self.context, self.stride)


def _from(window: Window, corner: Window) -> Window:
    """A window counted from the first pixel of another."""
    return Window(window.row0 - corner.row0, window.col0 - corner.col0,
                  window.row1 - corner.row0, window.col1 - corner.col0)  # fmt: skip


def turn_vectors(maps: Float32, symmetry: Symmetry, channels: tuple[Channel, ...]) -> Float32:
    """Maps whose fields were moved by a symmetry, with the vectors turned as well."""
    kinds = [channel.kind for channel in channels]
    rows = [i for i, kind in enumerate(kinds) if kind == "row"]
    cols = [i for i, kind in enumerate(kinds) if kind == "column"]
    for i, j in zip(rows, cols, strict=True):
        maps[i], maps[j] = symmetry.vectors(maps[i].copy(), maps[j].copy())
    return maps
