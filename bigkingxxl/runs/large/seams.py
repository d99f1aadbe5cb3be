"""What neighbouring blocks make of the cells between them: each cell once, no pixel twice.

Every block finds disjoint cells in its core and a margin around it, and keeps those whose centre
lies in its core or a little outside: at a seam two blocks may place the centre of one cell on
different sides. Settling decides between them, from the cells of a block and its neighbours alone,
so that all of them come to the same decision wherever and whenever each is asked.
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
MOSTLY = 0.5  # of a doubtful cell's area, that another cell covers
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class BlockCells:
    """The cells that a block found, in the image's frame; disjoint, the surest first.

    Attributes:
        block: its number.
        is_owned: bool[N], the centre lies in its core; is_cut: bool[N], the cell goes on where the
            block saw nothing any more.
        minimum: float64[N], the area in pixels below which a cell is dropped.
        margin: pixels around its core that it saw.
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
        """Some of the cells."""
        return replace(
            self, cells=self.cells.take(index), is_owned=self.is_owned[index],
            is_cut=self.is_cut[index], minimum=self.minimum[index],
        )  # fmt: skip


def settled(own: BlockCells, neighbours: Sequence[BlockCells]) -> BlockCells:
    """The cells that are a block's own in the end, without pixels that a surer neighbour has.

    Of cells of different blocks that are the same (IoU above a half) one stays: one whose centre
    lies in its block's core and that is not cut, before others; of such the earlier block's. A
    doubtful one (not owned, or cut) goes also where a better one covers most of it; but of two that
    are cut both stay, each with pixels of its own.

    Args:
        neighbours: those of the blocks around it.
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
    # Painted the least sure first; `near` is sorted by block, and within it by certainty.
    shown = _painted(joined.cells, kept, one, two)
    mine = np.flatnonzero(block_of == own.block)
    lasting = kept[mine] & (shown.areas()[mine] >= np.minimum(
        joined.minimum[mine], joined.cells.areas()[mine]
    )) & (shown.areas()[mine] > 0)  # fmt: skip
    return _with_changed(own, near[where], shown.take(mine), lasting)


def _near_others(own: BlockCells, others: Sequence[BlockCells]) -> NDArray[np.int64]:
    """The cells whose box meets the box of a cell of another block, about."""
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
    """bool[N]: the cells that no better one of another block takes the place of."""
    areas = cells.cells.areas()
    # The best first: sure owners, then those that are cut, then those of nobody; then by block.
    grade = np.where(cells.is_owned, 0, 2) + cells.is_cut
    order = np.lexsort((np.arange(len(areas)), grade))
    rank = np.empty(len(areas), np.int64)
    rank[order] = np.arange(len(areas))
    better, worse = np.where(rank[one] < rank[two], (one, two), (two, one))
    goes = common > SAME_CELL * (areas[better] + areas[worse] - common)
    goes |= (grade[worse] > 0) & (common > MOSTLY * areas[worse])
    # Of a cell that nobody sees whole every piece is kept: none shows what the others do.
    goes &= ~(cells.is_cut[better] & cells.is_cut[worse])
    kept = np.zeros(len(areas), bool)
    kept[order[not_suppressed(len(areas), rank[better[goes]], rank[worse[goes]])]] = True
    return kept


def _painted(
    cells: Instances, kept: Bools, one: NDArray[np.int64], two: NDArray[np.int64]
) -> Instances:
    """The same cells; what two blocks claim goes to the surer one, of equals to the first."""
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
    """The cells with those of an index in the place of others."""
    both = Instances.concatenate([cells, by])
    place = np.arange(len(cells))
    place[index] = len(cells) + np.arange(len(by))
    return replace(both.take(place), cell_type=cells.cell_type, score=cells.score)


def _with_changed(
    own: BlockCells, near: NDArray[np.int64], shown: Instances, lasting: Bools
) -> BlockCells:
    """A block's cells with those near others as they are shown, without those that go."""
    changed = replace(own, cells=_replaced(own.cells, near, shown))
    stays = np.ones(len(own), bool)
    stays[near] = lasting
    # A cell outside the core that nobody else sees is kept: it would be lost.
    return changed.take(np.flatnonzero(stays))
