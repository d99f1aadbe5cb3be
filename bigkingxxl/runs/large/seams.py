"""Resolve the cells between neighbouring blocks: each cell once, and no pixel twice.

Every block finds disjoint cells in its core and a margin around it, and keeps those whose centre
lies in its core or slightly outside, because two blocks may compute slightly different centres of a
cell at a seam. The decision depends only on the cells of a block and its neighbours, so that all
blocks agree wherever and whenever they are processed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.inference.selection import not_suppressed
from bigkingxxl.instances import Instances
from bigkingxxl.overlaps import overlaps_among

SAME_CELL = 0.5  # IoU
MOSTLY = 0.5  # fraction of an uncertain cell's area that another cell covers
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class BlockCells:
    """The cells found by a block, in the frame of the image; disjoint, by descending score.

    Attributes:
        block: The number of the block.
        cells: The cells.
        is_owned: bool[N], whether the centre lies in the core of the block.
        is_cut: bool[N], whether the cell extends beyond what the block processed.
        minimum: float64[N], the area in pixels below which each cell is dropped.
        margin: The number of pixels around its core that it processed.
    """

    block: int
    cells: Instances
    is_owned: Bools
    is_cut: Bools
    minimum: NDArray[np.float64]
    margin: int = 0

    def __len__(self) -> int:
        return len(self.cells)

    def take(self, index: NDArray[np.int64]) -> BlockCells:
        """Select cells."""
        return replace(
            self, cells=self.cells.take(index), is_owned=self.is_owned[index],
            is_cut=self.is_cut[index], minimum=self.minimum[index],
        )  # fmt: skip


def settled(own: BlockCells, neighbours: Sequence[BlockCells]) -> BlockCells:
    """Return the final cells of a block, without pixels that a better neighbour takes.

    Of cells of different blocks that are the same (IoU above 0.5), one is kept: preferably one
    whose centre lies in the core of its block and that is not cut, else that of the first block. An
    uncertain cell (not owned, or cut) is also dropped if a better one covers most of it; but of two
    cut cells both are kept, each with its own pixels.

    Args:
        own: The cells of the block.
        neighbours: The cells of the blocks around it.
    """
    blocks = sorted([own, *neighbours], key=lambda each: each.block)
    near = [_near_others(each, [other for other in blocks if other is not each]) for each in blocks]
    where = next(place for place, each in enumerate(blocks) if each is own)
    if not len(near[where]):
        return own
    joined = _joined([each.take(index) for each, index in zip(blocks, near, strict=True)])
    block_of = np.repeat([each.block for each in blocks], [len(index) for index in near])
    pairs = overlaps_among(joined.cells)
    foreign = block_of[pairs.first] != block_of[pairs.second]
    one, two, common = (each[foreign] for each in pairs)
    kept = _kept(joined, one, two, common)
    # Painted in ascending order of score; `near` is sorted by block, and within it by score.
    shown = _painted(joined.cells, kept, one, two)
    mine = np.flatnonzero(block_of == own.block)
    lasting = kept[mine] & (shown.areas()[mine] >= np.minimum(
        joined.minimum[mine], joined.cells.areas()[mine]
    )) & (shown.areas()[mine] > 0)  # fmt: skip
    return _with_changed(own, near[where], shown.take(mine), lasting)


def _near_others(own: BlockCells, others: Sequence[BlockCells]) -> NDArray[np.int64]:
    """Return the cells whose box overlaps the box of a cell of another block, approximately."""
    boxes = own.cells.boxes()
    found = np.zeros(len(own), bool)
    for other in others:
        if not len(other) or not len(own):
            continue
        theirs = other.cells.boxes()
        low, high = theirs[:, :2].min(axis=0), theirs[:, 2:].max(axis=0)
        found |= ((boxes[:, :2] < high) & (boxes[:, 2:] > low)).all(axis=1)
    return np.flatnonzero(found)


def _joined(parts: Sequence[BlockCells]) -> BlockCells:
    some = [part for part in parts if len(part)]
    return BlockCells(
        -1,
        Instances.concatenate([part.cells for part in some]),
        np.concatenate([part.is_owned for part in some]),
        np.concatenate([part.is_cut for part in some]),
        np.concatenate([part.minimum for part in some]),
    )


def _kept(
    cells: BlockCells, one: NDArray[np.int64], two: NDArray[np.int64], common: NDArray[np.int64]
) -> Bools:
    """Return the cells that no better cell of another block replaces, bool[N]."""
    areas = cells.cells.areas()
    # The best first: complete owned cells, then cut ones, then others; then by block.
    grade = np.where(cells.is_owned, 0, 2) + cells.is_cut
    order = np.lexsort((np.arange(len(areas)), grade))
    rank = np.empty(len(areas), np.int64)
    rank[order] = np.arange(len(areas))
    better, worse = np.where(rank[one] < rank[two], (one, two), (two, one))
    goes = common > SAME_CELL * (areas[better] + areas[worse] - common)
    goes |= (grade[worse] > 0) & (common > MOSTLY * areas[worse])
    # If no block sees a cell completely, all of its pieces are kept, because they differ.
    goes &= ~(cells.is_cut[better] & cells.is_cut[worse])
    kept = np.zeros(len(areas), bool)
    kept[order[not_suppressed(len(areas), rank[better[goes]], rank[worse[goes]])]] = True
    return kept


def _painted(
    cells: Instances, kept: Bools, one: NDArray[np.int64], two: NDArray[np.int64]
) -> Instances:
    """Assign pixels that two blocks claim to the cell with the higher score, or to the first."""
    both = kept[one] & kept[two]
    meeting = np.unique(np.concatenate((one[both], two[both])))
    if not len(meeting):
        return cells
    score = np.zeros(len(meeting)) if cells.score is None else cells.score[meeting]
    order = np.argsort(-score, kind="stable")
    some = cells.take(meeting[order])
    boxes = some.boxes()
    (row, col), (bottom, right) = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    here = some.shift(-int(row), -int(col), (int(bottom - row), int(right - col)))
    shown = here.disjoint(np.arange(len(some))[::-1]).shift(int(row), int(col), cells.size)
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    return _replaced(cells, meeting, shown.take(back))


def _replaced(cells: Instances, index: NDArray[np.int64], by: Instances) -> Instances:
    """Replace the cells at the given indices."""
    both = Instances.concatenate([cells, by])
    place = np.arange(len(cells))
    place[index] = len(cells) + np.arange(len(by))
    return replace(both.take(place), cell_type=cells.cell_type, score=cells.score)


def _with_changed(
    own: BlockCells, near: NDArray[np.int64], shown: Instances, lasting: Bools
) -> BlockCells:
    """Return the cells of a block with the changed cells near others, without dropped ones."""
    changed = replace(own, cells=_replaced(own.cells, near, shown))
    stays = np.ones(len(own), bool)
    stays[near] = lasting
    # A cell outside the core that no other block sees is kept; it would be lost.
    return changed.take(np.flatnonzero(stays))
