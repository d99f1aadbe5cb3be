"""Windows, tiles, symmetries, resizing and affine views, shared by training and prediction.

Rows come before columns, and all ranges are half-open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Window(NamedTuple):
    """A half-open rectangle of pixels: rows row0 .. row1 - 1 and columns col0 .. col1 - 1."""

    row0: int
    col0: int
    row1: int
    col1: int

    @property
    def size(self) -> tuple[int, int]:
        """The (height, width) of the window."""
        return self.row1 - self.row0, self.col1 - self.col0

    @property
    def slices(self) -> tuple[slice, slice]:
        """The slices that index the last two axes of an array."""
        return slice(self.row0, self.row1), slice(self.col0, self.col1)

    def clipped(self, size: tuple[int, int]) -> Window:
        """Return the part of the window inside an image of the given size; it may be empty."""
        height, width = size
        row0, col0 = min(max(self.row0, 0), height), min(max(self.col0, 0), width)
        row1, col1 = min(max(self.row1, row0), height), min(max(self.col1, col0), width)
        return Window(row0, col0, row1, col1)

    def padding(self, size: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return how far the window extends beyond an image: ((top, bottom), (left, right))."""
        inner = self.clipped(size)
        return (
            (inner.row0 - self.row0, self.row1 - inner.row1),
            (inner.col0 - self.col0, self.col1 - inner.col1),
        )


def whole(size: tuple[int, int]) -> Window:
    """Return the window that covers an image of the given size."""
    return Window(0, 0, *size)


def tile_starts(length: int, tile: int, overlap: int) -> list[int]:
    """Return the first pixels of evenly spaced tiles along one axis.

    The tiles overlap by at least `overlap`. An axis no longer than a tile gets one tile at 0, which
    may extend beyond the axis.
    """
    if length <= tile:
        return [0]
    if not 0 <= overlap < tile:
        raise ValueError(f"an overlap of {overlap} does not fit a tile of {tile}")
    count = -(-(length - overlap) // (tile - overlap))
    return [round(i * (length - tile) / (count - 1)) for i in range(count)]


def even_tile(length: int, tile: int, overlap: int) -> int:
    """Return the smallest tile that needs no more tiles to cover the length than the given one."""
    count = len(tile_starts(length, tile, overlap))
    return -(-(length + (count - 1) * overlap) // count)


def multiple(length: int, stride: int) -> int:
    """Round a length up to a multiple of a stride."""
    return -(-length // stride) * stride


def tiles(size: tuple[int, int], tile: tuple[int, int], overlap: int) -> list[Window]:
    """Return windows of one size that cover the image, row by row; see `tile_starts`."""
    rows = tile_starts(size[0], tile[0], overlap)
    cols = tile_starts(size[1], tile[1], overlap)
    return [Window(r, c, r + tile[0], c + tile[1]) for r in rows for c in cols]


def padded(image: NDArray[np.float32], window: Window) -> NDArray[np.float32]:
    """Read a window that may extend beyond the image, which is mirrored there: float32[C, h, w]."""
    size = (image.shape[1], image.shape[2])
    rows, cols = window.clipped(size).slices
    return np.pad(image[:, rows, cols], ((0, 0), *window.padding(size)), mode="symmetric")


@dataclass(frozen=True)
class Symmetry:
    """A symmetry of the square, one of eight: an optional flip of the columns, then quarter turns.

    A quarter turn is that of `numpy.rot90`: counter-clockwise, so that the last column becomes the
    first row.
    """

    quarter_turns: int = 0
    flip: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "quarter_turns", self.quarter_turns % 4)

    @property
    def inverse(self) -> Symmetry:
        """The symmetry that undoes this one; a symmetry with a flip is its own inverse."""
        return self if self.flip else Symmetry(-self.quarter_turns % 4)

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the (H, W) of an image after the transform."""
        return size if self.quarter_turns % 2 == 0 else (size[1], size[0])

    def apply(self, array: NDArray[Any]) -> NDArray[Any]:
        """Flip and rotate the last two axes of an array; returns a view."""
        flipped = array[..., ::-1] if self.flip else array
        return np.rot90(flipped, self.quarter_turns, axes=(-2, -1))

    def points(
        self, row: NDArray[Any], col: NDArray[Any], size: tuple[int, int]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Transform pixel positions (row, col) of images of `size`; the sizes broadcast."""
        height, width = size
        if self.flip:
            col = width - 1 - col
        for _ in range(self.quarter_turns):
            row, col = width - 1 - col, row
            height, width = width, height
        return row, col

    def vectors(self, row: NDArray[Any], col: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Transform the components of vectors; `apply` moves the vector field itself."""
        if self.flip:
            col = -col
        for _ in range(self.quarter_turns):
            row, col = -col, row
        return row, col


FLIPS: tuple[Symmetry, ...] = (Symmetry(), Symmetry(0, True), Symmetry(2, True), Symmetry(2))
SYMMETRIES: tuple[Symmetry, ...] = tuple(Symmetry(k, f) for f in (False, True) for k in range(4))


def resize(array: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Resize float32[..., H, W] bilinearly to `size` with aligned pixel centres.

    When shrinking, each new pixel averages the old pixels that it covers, so that nothing aliases.
    """
    old = (array.shape[-2], array.shape[-1])
    return Resizing(old, size).part(array, whole(old), whole(size))


@dataclass(frozen=True)
class Resizing:
    """A resizing of images that can also be computed for a part of an image; see `resize`.

    The result for a part is bit for bit the same as that part of the resized whole.

    Attributes:
        old: (H, W) of the whole image before resizing.
        new: (H, W) of the whole image after resizing.
    """

    old: tuple[int, int]
    new: tuple[int, int]

    def covering(self, window: Window) -> Window:
        """Return the window of the resized image that `window` of the original touches."""
        (height, width), (tall, wide) = self.old, self.new
        return Window(
            window.row0 * tall // height, window.col0 * wide // width,
            -(-window.row1 * tall // height), -(-window.col1 * wide // width),
        )  # fmt: skip

    def needed(self, window: Window) -> Window:
        """Return the window of the original that `window` of the resized image depends on."""
        edges = []
        for axis in (0, 1):
            start, stop = window[axis], window[axis + 2]
            taps = _taps(self.old[axis], self.new[axis], start, stop)
            low = min((int(pixel.min()) for pixel, _ in taps), default=start)
            edges.append((low, max((int(pixel.max()) + 1 for pixel, _ in taps), default=stop)))
        return Window(edges[0][0], edges[1][0], edges[0][1], edges[1][1])

    def part(
        self, array: NDArray[np.float32], place: Window, window: Window
    ) -> NDArray[np.float32]:
        """Compute a window of the resized image, float32[..., h, w].

        Args:
            array: float32[..., h, w], a part of the original that contains all that is `needed`.
            place: The window of `array` in the original.
            window: The window of the resized image.
        """
        axes = []
        for axis in (0, 1):
            start, stop = window[axis], window[axis + 2]
            taps = _taps(self.old[axis], self.new[axis], start, stop)
            axes.append([(pixel - place[axis], weight) for pixel, weight in taps])
            if not taps:
                inside = slice(start - place[axis], stop - place[axis])
                array = array[..., inside] if axis else array[..., inside, :]
        result = np.empty((*array.shape[:-2], *window.size), np.float32)
        # Process one layer at a time, so that intermediate results stay in the processor's cache.
        for index in np.ndindex(array.shape[:-2]):
            between = _weighted(np.asarray(array[index], np.float32), axes[0], 0)
            result[index] = _weighted(between, axes[1], 1)
        return result


Taps = list[tuple[NDArray[np.intp], NDArray[np.float32]]]


def _taps(old: int, new: int, start: int, stop: int) -> Taps:
    """Return the old pixels and weights that make up the new pixels start .. stop - 1 of an axis.

    Returns:
        Pairs of indices intp[n] and weights float32[n]. The weights of a new pixel add up to 1. The
        list is empty if the length does not change.
    """
    if old == new:
        return []
    here = np.arange(start, stop)
    taps = []
    if old > new:
        # In units of 1 / new of an old pixel, all edges are integers.
        first, begin = here * old // new, here * old
        for step in range(-(-old // new) + 1):
            low, high = (first + step) * new, (first + step + 1) * new
            shared = np.minimum(high, begin + old) - np.maximum(low, begin)
            taps.append((first + step, np.maximum(shared, 0) / old))
    else:
        centre = np.clip((here + 0.5) * (old / new) - 0.5, 0, old - 1)
        low = np.minimum(centre.astype(np.intp), max(old - 2, 0))
        taps = [(low, 1 - (centre - low)), (low + 1, centre - low)]
    return [
        (np.minimum(pixel, old - 1), weight.astype(np.float32))
        for pixel, weight in taps if weight.any()
    ]  # fmt: skip


def _weighted(layer: NDArray[np.float32], taps: Taps, axis: int) -> NDArray[np.float32]:
    """Compute weighted sums of the pixels of float32[H, W] along an axis."""
    total = layer
    for number, (pixel, weight) in enumerate(taps):
        part = np.take(layer, pixel, axis=axis)
        part *= weight if axis else weight[:, None]
        total = part if number == 0 else np.add(total, part, out=total)
    return total


def scaled_size(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """Multiply (H, W) by a scale; each side keeps at least one pixel."""
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


@dataclass(frozen=True)
class Affine:
    """An affine map from a new image to its source: source = matrix @ (row, col) + offset.

    Attributes:
        matrix: ((a, b), (c, d)).
        offset: The source position (row, column) of the centre of the new image's first pixel.
    """

    matrix: tuple[tuple[float, float], tuple[float, float]]
    offset: tuple[float, float]

    @classmethod
    def around(
        cls, centre: tuple[float, float], size: tuple[int, int], *,
        zoom: float = 1.0, angle: float = 0.0, flip: bool = False, stretch: float = 1.0,
    ) -> Affine:  # fmt: skip
        """Return a view of `size` pixels centred on a source point.

        Args:
            centre: The source point (row, column).
            size: (H, W) of the view.
            zoom: New pixels per source pixel.
            angle: The rotation in radians.
            flip: Whether the columns are flipped.
            stretch: The ratio of the zoom along rows to the zoom along columns, before the
                rotation.
        """
        sine, cosine = np.sin(angle), np.cos(angle)
        turn = np.array([[cosine, -sine], [sine, cosine]])
        scale = np.diag([1 / (zoom * stretch**0.5), (-1 if flip else 1) * stretch**0.5 / zoom])
        matrix = turn @ scale
        offset = np.array(centre) - matrix @ ((np.array(size) - 1) / 2)
        rows = matrix.tolist()
        return cls(((rows[0][0], rows[0][1]), (rows[1][0], rows[1][1])),
                   (float(offset[0]), float(offset[1])))  # fmt: skip

    def footprint(self, size: tuple[int, int]) -> Window:
        """Return the source window that a view needs, including one pixel for interpolation."""
        corners = np.array([(r, c) for r in (0, size[0] - 1) for c in (0, size[1] - 1)])
        points = corners @ np.array(self.matrix).T + np.array(self.offset)
        low, high = np.floor(points.min(axis=0)) - 1, np.ceil(points.max(axis=0)) + 2
        return Window(int(low[0]), int(low[1]), int(high[0]), int(high[1]))

    def moved(self, window: Window) -> Affine:
        """Return the same view, relative to the window `window` of the source."""
        return Affine(self.matrix, (self.offset[0] - window.row0, self.offset[1] - window.col0))

    def warp(self, image: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
        """Sample float32[C, h, w] bilinearly; the source is mirrored beyond its border."""
        from scipy import ndimage

        result = np.empty((len(image), *size), np.float32)
        for layer, out in zip(image, result, strict=True):
            ndimage.affine_transform(layer, np.array(self.matrix), self.offset, size, out,
                                     order=1, mode="mirror")  # fmt: skip
        return result

    def warp_labels(self, planes: NDArray[np.integer], size: tuple[int, int]) -> NDArray[np.int32]:
        """Sample label planes, int32[L, h, w].

        Each label is interpolated bilinearly as a soft mask, and the strongest label of a pixel
        wins. Outlines are smoother than with nearest-neighbour sampling, and no mask per cell is
        needed.
        """
        height, width = planes.shape[1:]
        rows = np.arange(size[0])[:, None] * self.matrix[0][0] + self.offset[0]
        cols = np.arange(size[0])[:, None] * self.matrix[1][0] + self.offset[1]
        row = (rows + np.arange(size[1]) * self.matrix[0][1]).astype(np.float32)
        col = (cols + np.arange(size[1]) * self.matrix[1][1]).astype(np.float32)
        row0, col0 = np.floor(row).astype(np.int32), np.floor(col).astype(np.int32)
        fr, fc = row - row0, col - col0
        weights = ((1 - fr) * (1 - fc), (1 - fr) * fc, fr * (1 - fc), fr * fc)
        r0, r1 = mirrored(row0, height), mirrored(row0 + 1, height)
        c0, c1 = mirrored(col0, width), mirrored(col0 + 1, width)
        places = [r * width + c for r in (r0, r1) for c in (c0, c1)]
        strongest = [_strongest(plane.ravel(), places, weights) for plane in planes]
        return np.stack(strongest).astype(np.int32, copy=False)


def mirrored(index: NDArray[Any], length: int) -> NDArray[Any]:
    """Reflect indices at the first and last pixel into 0 .. length - 1."""
    if length == 1:
        return np.zeros_like(index)
    period = 2 * (length - 1)
    index = np.abs(index) % period
    reflected: NDArray[Any] = np.minimum(index, period - index)
    return reflected


def _strongest(
    labels: NDArray[np.integer], places: Sequence[NDArray[Any]], weights: Sequence[NDArray[Any]]
) -> NDArray[np.integer]:
    """Return the label with the largest total weight among the four neighbours of each pixel."""
    found = [labels[place] for place in places]
    best: NDArray[np.integer] = found[0]
    best_weight = np.zeros_like(weights[0])
    for label in found:
        total = np.zeros_like(weights[0])
        for other, weight in zip(found, weights, strict=True):
            total += np.where(other == label, weight, 0)
        better = total > best_weight
        best, best_weight = np.where(better, label, best), np.where(better, total, best_weight)
    return best


def disc_diameter(area: Any) -> Any:
    """Return the diameter of the disc of an area: the diameter of a cell of any shape.

    Args:
        area: In pixels; a number or an array.
    """
    return 2 * np.sqrt(np.asarray(area) / np.pi)
