"""The numbered cells of a large image by block, predicted or corrected."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.geometry import Window
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.run_cells import NumberedCells
from bigkingxxl.io.tables.shape_descriptors import centroids
from bigkingxxl.runs.large.grid import Grid


@dataclass(frozen=True, eq=False)
class CellsByBlock:
    """Cells, each belonging to one block of the image.

    Attributes:
        grid: The blocks.
        counts: int64[blocks], the number of cells of each block.
        load: Returns the cells of a block in the frame of the image, with their numbers.
        highest: The highest number.
        reach: The distance, in blocks, of blocks whose cells may extend into a block.
    """

    grid: Grid
    counts: NDArray[np.int64]
    load: Callable[[int], NumberedCells]
    highest: int
    reach: int = 1

    @classmethod
    def settled(cls, grid: Grid, load: Callable[[int], Instances]) -> CellsByBlock:
        """Assign numbers from 1 to the predicted cells, block by block."""
        counts = np.array([len(load(block)) for block in range(len(grid))], np.int64)
        first = np.cumsum(counts) - counts

        def numbered(block: int) -> NumberedCells:
            cells = load(block)
            return NumberedCells(cells, int(first[block]) + np.arange(1, len(cells) + 1))

        return cls(grid, counts, numbered, int(counts.sum()))

    @classmethod
    def shared_out(cls, grid: Grid, cells: NumberedCells) -> CellsByBlock:
        """Assign the cells of the whole image to the blocks that contain their centres."""
        found = cells.instances
        rows, cols = (np.rint(centroids(found)).astype(np.int64) // grid.core).T
        block = rows * grid.counts[1] + cols
        order = np.argsort(block, kind="stable")
        counts = np.bincount(block, minlength=len(grid))
        ends = np.cumsum(counts)

        def of(number: int) -> NumberedCells:
            index = order[ends[number] - counts[number] : ends[number]]
            return NumberedCells(found.take(index), cells.numbers[index])

        boxes = found.boxes() // grid.core
        last = np.maximum(found.boxes()[:, 2:] - 1, 0) // grid.core
        place = np.stack((rows, cols), 1)
        reach = np.maximum(place - boxes[:, :2], last - place).max(initial=1)
        return cls(grid, counts, of, int(cells.numbers.max(initial=0)), int(reach))

    @cached_property
    def total(self) -> int:
        """The number of cells."""
        return int(self.counts.sum())

    def of(self, block: int) -> NumberedCells:
        """Return the cells of a block."""
        return self.load(block)

    def all(self) -> Iterator[Instances]:
        """Yield the cells of each block in order."""
        for block in range(len(self.grid)):
            yield self.load(block).instances

    def labels(self, block: int) -> NDArray[np.int64]:
        """Paint the numbers of all cells, including neighbours', in a block's core: int64[h, w]."""
        core = self.grid.core_of(block)
        labels = np.zeros(core.size, np.int64)
        for other in self.grid.within(block, self.reach):
            cells = self.load(other)
            boxes = cells.instances.boxes()
            inside = (boxes[:, 0] < core.row1) & (boxes[:, 2] > core.row0)
            inside &= (boxes[:, 1] < core.col1) & (boxes[:, 3] > core.col0)
            index = np.flatnonzero(inside)
            if len(index):
                self._paint(labels, core, cells.instances.take(index), cells.numbers[index])
        return labels

    @staticmethod
    def _paint(
        labels: NDArray[np.int64], core: Window, cells: Instances, numbers: NDArray[np.int64]
    ) -> None:
        """Write numbers where cells lie in a core; a neighbour's reach a little into it only."""
        boxes = cells.boxes()
        low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
        place = Window(*low.tolist(), *high.tolist())
        place = Window(
            max(place.row0, core.row0), max(place.col0, core.col0),
            min(place.row1, core.row1), min(place.col1, core.col1),
        )  # fmt: skip
        here = cells.crop(place).label_map()
        rows = slice(place.row0 - core.row0, place.row1 - core.row0)
        cols = slice(place.col0 - core.col0, place.col1 - core.col0)
        shown = here > 0
        labels[rows, cols][shown] = numbers[here[shown] - 1]
