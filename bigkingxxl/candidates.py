"""The output of a model before any threshold: scored soft masks that may overlap."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl import rle
from bigkingxxl.errors import FormatError
from bigkingxxl.geometry import Symmetry
from bigkingxxl.npz_files import as_array, write_npz

UInt8 = NDArray[np.uint8]
Int64 = NDArray[np.int64]
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
SCORE_FLOOR = 0.02


@dataclass(frozen=True, eq=False)
class Candidates:
    """N candidate cells of one image, each a soft mask cropped to its bounding box.

    Attributes:
        size: (H, W) of the image in pixels.
        boxes: int32[N, 4], half-open (row0, col0, row1, col1) inside the image.
        probability: uint8[P], the crops in row-major order, one after the other; 255 means 1.
        offsets: int64[N + 1], the start of each crop in `probability`.
        score: float32[N] in [0, 1].
        type_probability: float32[N, T], or None if the model does not predict cell types.
        type_names: The names of the T cell types, or () if there are none.
        scale_ratio: The length of a pixel of this image in pixels of the training images. Values
            given in pixels of the training images, such as minimum areas, are converted with it.
        cell_diameter: The diameter of the cells that was assumed for the image, in its pixels; None
            if it is unknown.
    """

    size: tuple[int, int]
    boxes: NDArray[np.int32]
    probability: UInt8
    offsets: Int64
    score: Float32
    type_probability: Float32 | None = None
    type_names: tuple[str, ...] = ()
    scale_ratio: float = 1.0
    cell_diameter: float | None = None

    def __post_init__(self) -> None:
        heights, widths = self.heights, self.widths
        if not np.array_equal(np.diff(self.offsets), heights * widths):
            raise ValueError("offsets do not fit the boxes")
        if len(self.probability) != self.offsets[-1] or len(self.score) != len(self.boxes):
            raise ValueError("probability, score and boxes do not fit each other")

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def heights(self) -> Int64:
        """The height of each box in pixels, int64[N]."""
        return (self.boxes[:, 2] - self.boxes[:, 0]).astype(np.int64)

    @property
    def widths(self) -> Int64:
        """The width of each box in pixels, int64[N]."""
        return (self.boxes[:, 3] - self.boxes[:, 1]).astype(np.int64)

    @property
    def owner(self) -> Int64:
        """The index of the candidate that each pixel of the crops belongs to, int64[P]."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @property
    def highest(self) -> Float64:
        """The maximum probability of each candidate, float64[N] in 0 .. 255; 0 if it is empty."""
        found = np.zeros(len(self))
        some = np.flatnonzero(np.diff(self.offsets))
        if len(some):
            found[some] = np.maximum.reduceat(self.probability, self.offsets[some])
        return found

    # ---- constructors -------------------------------------------------------------------------

    @classmethod
    def empty(cls, size: tuple[int, int], type_names: tuple[str, ...] = ()) -> Candidates:
        """Create an empty set of candidates."""
        types = np.zeros((0, len(type_names)), np.float32) if type_names else None
        return cls(size, np.zeros((0, 4), np.int32), np.zeros(0, np.uint8), np.zeros(1, np.int64),
                   np.zeros(0, np.float32), types, type_names)  # fmt: skip

    @classmethod
    def from_crops(
        cls,
        size: tuple[int, int],
        boxes: NDArray[Any],
        crops: Sequence[UInt8],
        score: NDArray[Any],
        type_probability: NDArray[Any] | None = None,
        type_names: tuple[str, ...] = (),
    ) -> Candidates:
        """Create candidates from N crops uint8[h, w], one per box."""
        flat = [np.asarray(crop, np.uint8).ravel() for crop in crops]
        return cls(
            size,
            np.asarray(boxes, np.int32).reshape(-1, 4),
            np.concatenate(flat) if flat else np.zeros(0, np.uint8),
            rle.split_points(np.array([len(crop) for crop in flat], np.int64)),
            np.asarray(score, np.float32),
            None if type_probability is None else np.asarray(type_probability, np.float32),
            type_names,
        )

    @classmethod
    def from_label_map(
        cls,
        label_map: NDArray[np.int32],
        probability: Float32,
        score: Float32,
        type_probability: Float32 | None = None,
        type_names: tuple[str, ...] = (),
    ) -> Candidates:
        """Create candidates from a decoded label map.

        The soft mask of a candidate is the probability inside its label and 0 elsewhere. A label
        without pixels is left out.

        Args:
            label_map: int32[H, W] with labels 1 .. N and 0 = background.
            probability: float32[H, W], the foreground probability.
            score: float32[N], the score of each label.
            type_probability: float32[N, T], or None.
            type_names: The names of the T cell types.
        """
        size = (int(label_map.shape[0]), int(label_map.shape[1]))
        flat = np.flatnonzero(label_map)
        owner = label_map.ravel()[flat].astype(np.int64) - 1
        present = np.bincount(owner, minlength=len(score)) > 0
        owner = (np.cumsum(present) - 1)[owner]
        score = score[present]
        types = None if type_probability is None else type_probability[present]
        row, col = np.divmod(flat, size[1])
        boxes = np.empty((len(score), 4), np.int64)
        boxes[:, :2], boxes[:, 2:] = np.iinfo(np.int32).max, 0
        for column, values in ((0, row), (1, col)):
            np.minimum.at(boxes[:, column], owner, values)
            np.maximum.at(boxes[:, column + 2], owner, values + 1)
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        offsets = rle.split_points(areas)
        crops = np.zeros(int(offsets[-1]), np.uint8)
        width = boxes[:, 3] - boxes[:, 1]
        place = offsets[owner] + (row - boxes[owner, 0]) * width[owner] + col - boxes[owner, 1]
        crops[place] = np.clip(np.rint(probability.ravel()[flat] * 255), 1, 255)
        return cls(size, boxes.astype(np.int32), crops, offsets, score.astype(np.float32), types,
                   type_names)  # fmt: skip

    @classmethod
    def concatenate(cls, parts: Sequence[Candidates]) -> Candidates:
        """Concatenate the candidates of several sets over the same image.

        Sets with cell types must name the same ones; if a set has none, the result has none. The
        scale ratio and the cell diameter are those of the first set.
        """
        first = parts[0]
        types = [part.type_probability for part in parts if part.type_probability is not None]
        known = len(types) == len(parts)
        names = sorted({part.type_names for part in parts if part.type_names})
        if any(part.size != first.size for part in parts) or len(names) > 1:
            raise ValueError("only candidates of one image and the same cell types can be joined")
        return cls(
            first.size,
            np.concatenate([part.boxes for part in parts]),
            np.concatenate([part.probability for part in parts]),
            rle.split_points(np.concatenate([np.diff(part.offsets) for part in parts])),
            np.concatenate([part.score for part in parts]),
            np.concatenate(types) if known else None,
            names[0] if names else (),
            first.scale_ratio,
            first.cell_diameter,
        )

    # ---- access -------------------------------------------------------------------------------

    def crop(self, index: int) -> UInt8:
        """Return the soft mask of one candidate, uint8[h, w], as a view."""
        pixels = self.probability[self.offsets[index] : self.offsets[index + 1]]
        return pixels.reshape(int(self.heights[index]), int(self.widths[index]))

    def pixels(self) -> tuple[Int64, Int64, Int64]:
        """Return the candidate, row and column of each crop pixel, int64[P] each."""
        owner = self.owner
        local = np.arange(len(self.probability)) - self.offsets[owner]
        row, col = np.divmod(local, np.maximum(self.widths, 1)[owner])
        return owner, row + self.boxes[owner, 0], col + self.boxes[owner, 1]

    # ---- selection and transforms -------------------------------------------------------------

    def ranking(self) -> NDArray[np.int64]:
        """Return the indices in descending order of score.

        Ties are resolved by position, upper left first, so that the blocks of one image agree
        whatever order their candidates were found in.
        """
        order: NDArray[np.int64] = np.lexsort((self.boxes[:, 1], self.boxes[:, 0], -self.score))
        return order

    def take(self, index: NDArray[Any] | Sequence[int]) -> Candidates:
        """Select candidates by an index or boolean array, in its order."""
        chosen = np.asarray(index)
        chosen = np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype(np.int64)
        counts = self.offsets[chosen + 1] - self.offsets[chosen]
        types = self.type_probability
        return replace(
            self,
            boxes=self.boxes[chosen],
            probability=rle.gather(self.probability, self.offsets[chosen], counts),
            offsets=rle.split_points(counts),
            score=self.score[chosen],
            type_probability=None if types is None else types[chosen],
        )

    def _rebuilt(
        self, size: tuple[int, int], boxes: NDArray[Any], probability: UInt8
    ) -> Candidates:
        """Return the same scores and types with other boxes and crops; drop empty boxes."""
        boxes = np.asarray(boxes, np.int32)
        areas = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).astype(np.int64)
        keep = areas > 0
        types = self.type_probability
        return replace(
            self,
            size=size,
            boxes=boxes[keep],
            probability=probability,
            offsets=rle.split_points(areas[keep]),
            score=self.score[keep],
            type_probability=None if types is None else types[keep],
        )

    def shift(self, rows: int, cols: int, size: tuple[int, int]) -> Candidates:
        """Move the candidates by (rows, cols) into an image of `size`; clip them at its border."""
        boxes = self.boxes + np.array([rows, cols, rows, cols], np.int32)
        limit = np.array([*size, *size], np.int32)
        inside = np.clip(boxes, 0, limit)
        inside[:, 2:] = np.maximum(inside[:, 2:], inside[:, :2])
        if np.array_equal(inside, boxes):
            return replace(self, size=size, boxes=boxes)
        _, row, col = self.pixels()
        row, col = row + rows, col + cols
        keep = (row >= 0) & (col >= 0) & (row < size[0]) & (col < size[1])
        return self._rebuilt(size, inside, self.probability[keep])

    def transform(self, symmetry: Symmetry) -> Candidates:
        """Flip and rotate the candidates together with their image."""
        if symmetry == Symmetry():
            return self
        owner = self.owner
        row, col = np.divmod(
            np.arange(len(self.probability)) - self.offsets[owner],
            np.maximum(self.widths, 1)[owner],
        )
        box_size = (self.heights[owner], self.widths[owner])
        new_row, new_col = symmetry.points(row, col, box_size)  # type: ignore[arg-type]
        new_width = box_size[symmetry.quarter_turns % 2 == 0]
        crops = np.empty_like(self.probability)
        crops[self.offsets[owner] + new_row * new_width + new_col] = self.probability
        # Boxes are half-open: their corners are grid points, of which there is one more per axis.
        lines = (self.size[0] + 1, self.size[1] + 1)
        low = np.stack(symmetry.points(self.boxes[:, 0], self.boxes[:, 1], lines), axis=1)
        high = np.stack(symmetry.points(self.boxes[:, 2], self.boxes[:, 3], lines), axis=1)
        boxes = np.concatenate((np.minimum(low, high), np.maximum(low, high)), axis=1)
        return replace(
            self, size=symmetry.size(self.size), boxes=boxes.astype(np.int32), probability=crops
        )

    def resize(self, size: tuple[int, int]) -> Candidates:
        """Resize the candidates to another size of the same image; soft masks are interpolated.

        A candidate that would vanish keeps a box of at least one pixel.
        """
        if size == self.size:
            return self
        shrunk = float(np.sqrt(np.prod(self.size) / np.prod(size)))
        factor = np.array([size[0] / self.size[0], size[1] / self.size[1]])
        exact = self.boxes * np.tile(factor, 2)
        boxes = np.empty_like(self.boxes)
        boxes[:, :2] = np.minimum(np.floor(exact[:, :2]), np.array(size) - 1)
        boxes[:, 2:] = np.clip(np.ceil(exact[:, 2:]), boxes[:, :2] + 1, size)
        sides = [(boxes[:, axis], boxes[:, axis + 2]) for axis in (0, 1)]
        old = [(self.boxes[:, axis], self.boxes[:, axis + 2]) for axis in (0, 1)]
        # Resize along the columns, then along the rows; each pass transposes the crops.
        values = _along(self.probability, self.heights, old[1], sides[1], (self.size[1], size[1]))
        widths = sides[1][1].astype(np.int64) - sides[1][0]
        values = _along(values, widths, old[0], sides[0], (self.size[0], size[0]))
        resized = self._rebuilt(size, boxes, np.rint(values).astype(np.uint8))
        diameter = None if self.cell_diameter is None else self.cell_diameter / shrunk
        return replace(resized, scale_ratio=self.scale_ratio * shrunk, cell_diameter=diameter)

    # ---- files --------------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Write the candidates to an `.npz` file without pickles.

        The file is written completely or not at all, and the same candidates give the same bytes.

        Raises:
            OutputError: The file cannot be written.
        """
        header = {
            "format": "bigkingxxl-candidates-1",
            "size": list(self.size),
            "type_names": list(self.type_names),
            "scale_ratio": self.scale_ratio,
            "cell_diameter": self.cell_diameter,
        }
        arrays: dict[str, NDArray[Any]] = {
            "boxes": self.boxes,
            "probability": self.probability,
            "offsets": self.offsets,
            "score": self.score,
            "header": as_array(header),
        }
        if self.type_probability is not None:
            arrays["type_probability"] = self.type_probability
        write_npz(path, arrays)

    @classmethod
    def load(cls, path: Path) -> Candidates:
        """Read a file that `save` wrote.

        Raises:
            FormatError: The file is not such an archive.
        """
        try:
            # numpy leaves a file open if it opened it itself and then failed to read it.
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
                header = json.loads(archive["header"].tobytes())
                diameter = header.get("cell_diameter")
                return cls(
                    (int(header["size"][0]), int(header["size"][1])),
                    archive["boxes"], archive["probability"], archive["offsets"], archive["score"],
                    archive.get("type_probability"),
                    tuple(header["type_names"]),
                    # Files written before version 0.2 use the name relative_size.
                    float(header.get("scale_ratio", header.get("relative_size", 1.0))),
                    None if diameter is None else float(diameter),
                )  # fmt: skip
        # zipfile, zlib and numpy raise many kinds of exception for a broken archive.
        except Exception as error:
            raise FormatError(f"{path} is not a file of candidates ({error})", file=path) from error


Sides = tuple[NDArray[np.int32], NDArray[np.int32]]


def _along(
    values: NDArray[Any], lines: Int64, old: Sides, new: Sides, length: tuple[int, int]
) -> Float64:
    """Resize N crops along one axis: average when shrinking, interpolate linearly when enlarging.

    Args:
        values: [P], the crops one after the other; each holds its lines, and each line holds its
            pixels along the axis.
        lines: int64[N], the number of lines of each crop.
        old: int32[N] twice, the start and stop of each crop along the axis before resizing.
        new: int32[N] twice, the start and stop after resizing.
        length: The old and new length of the image along the axis.

    Returns:
        float64[Q], the crops one after the other, transposed: for each new pixel along the axis,
        the values of all lines.
    """
    spans = (old[1] - old[0]).astype(np.int64)
    counts = (new[1] - new[0]).astype(np.int64) * lines
    owner = np.repeat(np.arange(len(lines)), counts)
    local = np.arange(len(owner)) - rle.split_points(counts)[owner]
    place, line = np.divmod(local, np.maximum(lines, 1)[owner])
    base = rle.split_points(spans * lines)[owner] + line * spans[owner]
    first, span, step = old[0][owner], spans[owner], length[0] / length[1]
    place += new[0][owner]
    values = np.append(values, 0).astype(np.float64)
    if step >= 1:
        before = np.zeros(len(values))
        np.cumsum(values[:-1], out=before[1:])

        def below(edge: Float64) -> Float64:
            """Return the integral of a line up to a position; pixels outside the crop are 0."""
            inside = np.clip(edge - first, 0, span)
            whole = inside.astype(np.int64)
            total: Float64 = before[base + whole] + (inside - whole) * values[base + whole]
            return total

        return np.asarray((below((place + 1) * step) - below(place * step)) / step)
    centre = (place + 0.5) * step - 0.5
    low = np.floor(centre)
    total = np.zeros(len(owner))
    for neighbour, weight in ((low, low + 1 - centre), (low + 1, centre - low)):
        # A crop that ends at the image border is extended beyond it, so that it does not fade
        # there.
        pixel = np.clip(neighbour, 0, length[0] - 1).astype(np.int64) - first
        inside = (pixel >= 0) & (pixel < span)
        total += np.where(inside, values[np.where(inside, base + pixel, 0)], 0) * weight
    return total
