"""Cell instances as runs of pixels in rows: compact, exact, with overlaps and holes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl import rle
from bigkingxxl.geometry import Symmetry, Window

PixelSize = tuple[float, float]
NO_TYPE = ""  # the type name of cells with an unknown or unlisted type
UNTYPED = "cell"  # the only type name where cell types are not distinguished
Int64 = NDArray[np.int64]
BAND_PIXELS = 2**21  # pixels painted at once where only the runs are needed


@dataclass(frozen=True, eq=False)
class Instances:
    """N cells of one image; selected cells are disjoint, annotated ones may overlap.

    Attributes:
        runs: int32[R, 3], half-open (row, start, stop); sorted within each cell, and the cells
            follow one another.
        splits: int64[N + 1], the start of each cell's runs.
        size: (H, W) of the image in pixels.
        cell_type: int16[N], an index into `type_names`.
        type_names: The names of the cell types, at least one.
        score: float32[N] in [0, 1], or None for annotations.
        pixel_size_um: Micrometres per pixel (row, column), or None.
    """

    runs: NDArray[np.int32]
    splits: Int64
    size: tuple[int, int]
    cell_type: NDArray[np.int16]
    type_names: tuple[str, ...] = (UNTYPED,)
    score: NDArray[np.float32] | None = None
    pixel_size_um: PixelSize | None = None

    def __post_init__(self) -> None:
        count = len(self.splits) - 1
        if len(self.cell_type) != count or (self.score is not None and len(self.score) != count):
            raise ValueError(f"{count} cells need {count} cell types and scores")
        if int(self.splits[-1]) != len(self.runs):
            raise ValueError("splits must end at the number of runs")

    def __len__(self) -> int:
        return len(self.splits) - 1

    def __repr__(self) -> str:
        height, width = self.size
        return f"<Instances: {len(self)} cells in {height} x {width} pixels>"

    # ---- constructors -------------------------------------------------------------------------

    @classmethod
    def empty(cls, size: tuple[int, int], type_names: tuple[str, ...] = (UNTYPED,)) -> Instances:
        """Create an empty set of cells."""
        return cls.from_pixels(np.zeros(0, np.int64), np.zeros(0, np.int64), 0, size,
                               type_names=type_names)  # fmt: skip

    @classmethod
    def from_pixels(
        cls,
        owner: Int64,
        flat: Int64,
        count: int,
        size: tuple[int, int],
        *,
        cell_type: NDArray[Any] | None = None,
        type_names: tuple[str, ...] = (UNTYPED,),
        score: NDArray[np.float32] | None = None,
        pixel_size_um: PixelSize | None = None,
    ) -> Instances:
        """Create `count` cells from their pixels, in any order and with duplicates.

        Args:
            owner: int64[P], the cell of each pixel.
            flat: int64[P], the position row * W + column of each pixel.
            count: The number of cells; some may have no pixels.
            size: (H, W) of the image.
            cell_type: int[N], an index into `type_names`; by default 0.
            type_names: The names of the cell types.
            score: float32[N], or None for annotations.
            pixel_size_um: Micrometres per pixel (row, column), or None.
        """
        height, width = size
        key = owner.astype(np.int64) * (height * width) + flat
        if len(key) and (np.diff(key) <= 0).any():
            # np.unique hashes first since numpy 2.3, which takes four times as long.
            key.sort()
            key = key[np.append(True, key[1:] != key[:-1])]
        owner, flat = np.divmod(key, max(height * width, 1))
        run_owner, start, length = rle.encode_sorted(owner, flat, flat // max(width, 1))
        row = start // max(width, 1)
        col = start - row * width
        return cls(
            np.stack((row, col, col + length), axis=1).astype(np.int32),
            rle.split_points(np.bincount(run_owner, minlength=count)),
            size,
            np.zeros(count, np.int16) if cell_type is None else np.asarray(cell_type, np.int16),
            type_names,
            score,
            pixel_size_um,
        )

    @classmethod
    def from_runs(
        cls, runs: NDArray[Any], owner: Int64, count: int, size: tuple[int, int], **fields: Any
    ) -> Instances:
        """Create `count` cells from row runs in any order; the runs of a cell are merged.

        Args:
            runs: int[R, 3], half-open (row, start, stop).
            owner: int64[R], the cell of each run.
            count: The number of cells.
            size: (H, W) of the image.
            **fields: As in `from_pixels`.
        """
        height, width = size
        some = runs[:, 1] < runs[:, 2]
        runs, owner = runs[some], owner[some]
        # A stride of W + 1 separates the last pixel of a row from the first one of the next.
        base = (owner.astype(np.int64) * height + runs[:, 0]) * (width + 1)
        if (np.diff(base + runs[:, 1]) < 0).any():
            order = np.argsort(base + runs[:, 1], kind="stable")
            runs, owner, base = runs[order], owner[order], base[order]
        start, stop = base + runs[:, 1], np.maximum.accumulate(base + runs[:, 2])
        first = np.flatnonzero(np.concatenate(([True], start[1:] > stop[:-1])))[: len(runs)]
        ends = np.append(first, len(runs))[1:] - 1
        merged = np.stack((runs[first, 0], runs[first, 1], stop[ends] - base[first]), axis=1)
        splits = rle.split_points(np.bincount(owner[first], minlength=count))
        fields.setdefault("cell_type", np.zeros(count, np.int16))
        return cls(merged.astype(np.int32), splits, size, **fields)

    @classmethod
    def from_label_map(cls, label_map: NDArray[Any], **fields: Any) -> Instances:
        """Create cells from an integer label map [H, W] with 0 = background.

        The cells are ordered by label; gaps between labels are closed.

        Args:
            label_map: int[H, W].
            **fields: As in `from_pixels`, with one entry per label.
        """
        runs, label = rle.label_runs(label_map)
        # For 16-bit values numpy's stable sort is a radix sort.
        small = label.min(initial=0) >= 0 and label.max(initial=0) < 2**16
        order = np.argsort(label.astype(np.uint16) if small else label, kind="stable")
        label = label[order]
        starts = np.flatnonzero(np.concatenate(([True], label[1:] != label[:-1])))[: len(label)]
        splits = np.append(starts, len(label))
        size = (int(label_map.shape[0]), int(label_map.shape[1]))
        if fields.get("cell_type") is None:
            fields["cell_type"] = np.zeros(len(starts))
        fields["cell_type"] = np.asarray(fields["cell_type"], np.int16)
        return cls(runs[order], splits, size, **fields)

    @classmethod
    def from_crops(
        cls,
        corners: Sequence[tuple[int, int]],
        masks: Sequence[NDArray[np.bool_]],
        size: tuple[int, int],
        **fields: Any,
    ) -> Instances:
        """Create cells from cropped boolean masks; parts outside the image are left out.

        Args:
            corners: N pairs (row, column), the position of each crop's first pixel.
            masks: N masks bool[h, w].
            size: (H, W) of the image.
            **fields: As in `from_pixels`.
        """
        owners, flats = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for index, ((row0, col0), mask) in enumerate(zip(corners, masks, strict=True)):
            row, col = np.nonzero(mask)
            row, col = row + row0, col + col0
            inside = (row >= 0) & (col >= 0) & (row < size[0]) & (col < size[1])
            flats.append((row * size[1] + col)[inside])
            owners.append(np.full(int(inside.sum()), index))
        return cls.from_pixels(
            np.concatenate(owners), np.concatenate(flats), len(masks), size, **fields
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Instances]) -> Instances:
        """Concatenate several sets of cells; types and pixel size are those of the first set."""
        first = parts[0]
        scores = [part.score for part in parts if part.score is not None]
        return replace(
            first,
            runs=np.concatenate([part.runs for part in parts]),
            splits=rle.split_points(np.concatenate([np.diff(part.splits) for part in parts])),
            cell_type=np.concatenate([part.cell_type for part in parts]),
            score=np.concatenate(scores) if len(scores) == len(parts) else None,
        )

    # ---- measurements -------------------------------------------------------------------------

    @property
    def run_owner(self) -> Int64:
        """The cell that each run belongs to, int64[R]."""
        return np.repeat(np.arange(len(self)), np.diff(self.splits))

    def areas(self) -> Int64:
        """Return the area of each cell in pixels, int64[N]."""
        total = rle.split_points((self.runs[:, 2] - self.runs[:, 1]).astype(np.int64))
        return np.diff(total[self.splits])

    def boxes(self) -> NDArray[np.int32]:
        """Return the boxes, int32[N, 4], half-open (row0, col0, row1, col1); 0 if empty."""
        result = np.zeros((len(self), 4), np.int32)
        some = np.flatnonzero(np.diff(self.splits) > 0)
        if len(some):
            starts = self.splits[some]
            result[some, 0] = self.runs[starts, 0]  # the runs are sorted by row
            result[some, 1] = np.minimum.reduceat(self.runs[:, 1], starts)
            result[some, 2] = self.runs[self.splits[some + 1] - 1, 0] + 1
            result[some, 3] = np.maximum.reduceat(self.runs[:, 2], starts)
        return result

    def pixels(self) -> tuple[Int64, Int64]:
        """Return the cell and the flat row-major position of each pixel, int64[P] each, sorted."""
        lengths = (self.runs[:, 2] - self.runs[:, 1]).astype(np.int64)
        starts = self.runs[:, 0].astype(np.int64) * self.size[1] + self.runs[:, 1]
        return np.repeat(self.run_owner, lengths), rle.expand(starts, lengths)

    def mask(self, index: int) -> NDArray[np.bool_]:
        """Return the mask of one cell, bool[H, W]."""
        result = np.zeros(self.size, bool)
        for row, start, stop in self.runs[self.splits[index] : self.splits[index + 1]]:
            result[row, start:stop] = True
        return result

    # ---- painting -----------------------------------------------------------------------------

    def label_map(self, order: NDArray[Any] | None = None) -> NDArray[np.int32]:
        """Paint a label map, int32[H, W]: cell i has the label i + 1.

        Args:
            order: The order of painting (default 0, 1, ...); later cells cover earlier ones.
        """
        result = np.zeros(self.size, np.int32)
        _paint(result, *self._in_order(order))
        return result

    def _in_order(self, order: NDArray[Any] | None) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return the runs in painting order, int32[R, 3], and their labels, int32[R]."""
        cells = self if order is None else self.take(order)
        names = np.arange(1, len(self) + 1, dtype=np.int32)
        names = names if order is None else names[np.asarray(order)]
        return cells.runs, np.repeat(names, np.diff(cells.splits))

    def planes(self) -> NDArray[np.int32]:
        """Paint label planes, int32[L, H, W], as few as hold all cells completely.

        Overlapping cells lie on different planes; cell i has the label i + 1. Training warps these
        planes instead of a mask per cell.
        """
        level = self._levels()
        result = np.zeros((max(1, int(level.max(initial=0)) + 1), *self.size), np.int32)
        owner, flat = self.pixels()
        result.reshape(len(result), -1)[level[owner], flat] = owner + 1
        return result

    def _levels(self) -> Int64:
        """Assign a plane to each cell greedily, int64[N], so that overlapping cells differ."""
        owner, flat = self.pixels()
        level = np.zeros(len(self), np.int64)
        order = np.argsort(flat, kind="stable")
        owner, flat = owner[order], flat[order]
        neighbours: dict[int, set[int]] = {}
        step = 1
        while step < len(flat) and (same := flat[step:] == flat[:-step]).any():
            pairs = np.unique(np.stack((owner[:-step][same], owner[step:][same]), 1), axis=0)
            for low, high in pairs.tolist():
                neighbours.setdefault(max(low, high), set()).add(min(low, high))
            step += 1
        for cell in sorted(neighbours):
            taken = {int(level[other]) for other in neighbours[cell]}
            level[cell] = next(k for k in range(len(taken) + 1) if k not in taken)
        return level

    # ---- selection and transforms -------------------------------------------------------------

    def take(self, index: NDArray[Any] | Sequence[int]) -> Instances:
        """Select cells by an index or boolean array, in its order."""
        chosen = np.asarray(index)
        chosen = np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype(np.int64)
        counts = self.splits[chosen + 1] - self.splits[chosen]
        return replace(
            self,
            runs=rle.gather(self.runs, self.splits[chosen], counts),
            splits=rle.split_points(counts),
            cell_type=self.cell_type[chosen],
            score=None if self.score is None else self.score[chosen],
        )

    def crop(self, window: Window) -> Instances:
        """Clip the N cells to a window and move them into its frame; some may become empty."""
        runs = self.runs - np.array([window.row0, window.col0, window.col0], np.int32)
        runs[:, 1:] = np.clip(runs[:, 1:], 0, window.size[1])
        keep = (runs[:, 0] >= 0) & (runs[:, 0] < window.size[0]) & (runs[:, 1] < runs[:, 2])
        counts = np.bincount(self.run_owner[keep], minlength=len(self))
        return replace(self, runs=runs[keep], splits=rle.split_points(counts), size=window.size)

    def shift(self, rows: int, cols: int, size: tuple[int, int]) -> Instances:
        """Move the cells by (rows, cols) into an image of `size` and clip them at its border."""
        return self.crop(Window(-rows, -cols, size[0] - rows, size[1] - cols))

    def transform(self, symmetry: Symmetry) -> Instances:
        """Flip and rotate the cells together with their image."""
        owner, flat = self.pixels()
        row, col = symmetry.points(flat // self.size[1], flat % self.size[1], self.size)
        size = symmetry.size(self.size)
        pixel_size = self.pixel_size_um
        if pixel_size is not None and symmetry.quarter_turns % 2:
            pixel_size = (pixel_size[1], pixel_size[0])
        return Instances.from_pixels(
            owner, row * size[1] + col, len(self), size, cell_type=self.cell_type,
            type_names=self.type_names, score=self.score, pixel_size_um=pixel_size,
        )  # fmt: skip

    def disjoint(self, order: NDArray[Any] | None = None) -> Instances:
        """Resolve overlaps by painting the cells in `order`: later cells take the shared pixels."""
        runs, names = self._in_order(order)
        # A stable sort preserves the painting order within each row.
        by_row = np.argsort(runs[:, 0], kind="stable")
        runs, names = runs[by_row], names[by_row]
        height, width = self.size
        rows = max(1, BAND_PIXELS // max(width, 1))
        found, labels = [np.zeros((0, 3), np.int32)], [np.zeros(0, np.int32)]
        for top in range(0, height, rows):
            low, high = np.searchsorted(runs[:, 0], (top, top + rows))
            if low < high:
                band = np.zeros((min(rows, height - top), width), np.int32)
                _paint(band, runs[low:high] - np.array([top, 0, 0], np.int32), names[low:high])
                shown, label = rle.label_runs(band)
                found.append(shown + np.array([top, 0, 0], np.int32))
                labels.append(label)
        label = np.concatenate(labels)
        splits = rle.split_points(np.bincount(label - 1, minlength=len(self)))
        order_of_runs = np.argsort(label, kind="stable")
        return replace(self, runs=np.concatenate(found)[order_of_runs], splits=splits)

    def kaggle_strings(self) -> list[str]:
        """Return the Kaggle annotation of each cell."""
        return rle.kaggle_strings(self.runs, self.splits, self.size[1])

    def coco_strings(self) -> list[str]:
        """Return COCO's compressed run-length string of each cell."""
        return rle.coco_strings(self.runs, self.splits, self.size)


def _paint(label_map: NDArray[np.int32], runs: NDArray[np.int32], names: NDArray[np.int32]) -> None:
    """Paint runs into a label map int32[H, W] in order; later runs cover earlier ones."""
    flat, width = label_map.reshape(-1), label_map.shape[1]
    lengths = (runs[:, 2] - runs[:, 1]).astype(np.int64)
    for block, _ in rle.blocks(lengths):
        starts = runs[block, 0].astype(np.int64) * width + runs[block, 1]
        places = rle.expand(starts, lengths[block])
        flat[places] = np.repeat(names[block], lengths[block])
