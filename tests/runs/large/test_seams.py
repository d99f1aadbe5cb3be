"""Neighbouring blocks decide alike on the cells between them, whichever is asked."""

from __future__ import annotations

import numpy as np
import pytest

from bigkingxxl.instances import Instances
from bigkingxxl.runs.large.grid import Grid
from bigkingxxl.runs.large.seams import BlockCells, settled

SIZE = (40, 80)


def block(number: int, *cells: tuple[int, int, int, int, float, bool, bool]) -> BlockCells:
    """A block with rectangles: row0, col0, row1, col1, score, owned, cut."""
    runs = [(row, c0, c1) for r0, c0, r1, c1, *_ in cells for row in range(r0, r1)]
    owner = [index for index, (r0, _, r1, *_) in enumerate(cells) for _ in range(r0, r1)]
    score = np.array([each[4] for each in cells], np.float32)
    instances = Instances.from_runs(
        np.array(runs, np.int32).reshape(-1, 3), np.array(owner, np.int64), len(cells), SIZE,
        score=score,
    )  # fmt: skip
    owned, cut = (np.array([each[k] for each in cells], bool) for k in (5, 6))
    return BlockCells(number, instances, owned, cut, np.full(len(cells), 5.0))


def both(first: BlockCells, second: BlockCells) -> tuple[Instances, Instances]:
    """The cells that each of two neighbours keeps."""
    return settled(first, [second]).cells, settled(second, [first]).cells


def test_a_cell_owned_by_both_blocks_is_kept_once() -> None:
    one, two = both(
        block(0, (10, 35, 20, 45, 0.6, True, False)), block(1, (10, 36, 20, 45, 0.9, True, False))
    )
    assert (len(one), len(two)) == (1, 0)


def test_a_cell_owned_by_no_block_is_kept_once() -> None:
    one, two = both(
        block(0, (10, 35, 20, 45, 0.6, False, False)), block(1, (10, 36, 20, 45, 0.9, False, False))
    )
    assert (len(one), len(two)) == (1, 0)


def test_the_owner_takes_precedence() -> None:
    one, two = both(
        block(0, (10, 35, 20, 45, 0.9, False, False)), block(1, (10, 36, 20, 45, 0.6, True, False))
    )
    assert (len(one), len(two)) == (0, 1)


def test_a_complete_cell_replaces_a_cut_piece() -> None:
    one, two = both(
        block(0, (10, 35, 20, 42, 0.9, True, True)), block(1, (10, 35, 20, 60, 0.6, True, False))
    )
    assert (len(one), len(two)) == (0, 1)


def test_shared_pixels_go_to_the_better_cell() -> None:
    one, two = both(
        block(0, (10, 30, 20, 42, 0.6, True, False)), block(1, (10, 38, 20, 50, 0.9, True, False))
    )
    assert one.areas().tolist() == [10 * 8]
    assert two.areas().tolist() == [10 * 12]
    assert one.boxes().tolist() == [[10, 30, 20, 38]]


def test_a_remnant_below_the_minimum_is_no_cell() -> None:
    one, two = both(
        block(0, (10, 38, 12, 42, 0.6, True, False)),
        block(1, (9, 39, 20, 60, 0.9, True, False)),
    )
    assert (len(one), len(two)) == (0, 1)


@pytest.mark.parametrize("seed", range(20))
def test_random_blocks_end_up_disjoint_and_lose_no_cell(seed: int) -> None:
    """Two blocks predict the same cells slightly differently; each cell is kept once."""
    rng = np.random.default_rng(seed)
    cells = [(r, c) for r in range(2, 34, 9) for c in range(2, 70, 9)]
    blocks = []
    for number in (0, 1):
        seen = []
        for r, c in cells:
            dr, dc, h, w = rng.integers(0, 2, 4)
            centre = c + dc + (7 + w - 1) / 2
            inside = centre < 40 if number == 0 else centre >= 40
            far = abs(centre - 39.5) > 6 and not inside
            if not far:
                score = float(rng.random())
                seen.append((r + dr, c + dc, r + dr + 7 + h, c + dc + 7 + w, score, inside, False))
        blocks.append(block(number, *seen))
    kept = both(*blocks)
    assert sum(map(len, kept)) == len(cells)
    painted = sum((np.array(each.label_map() > 0, int) for each in kept), np.zeros(SIZE, int))
    assert painted.max() == 1


@pytest.mark.parametrize("shape", [(100, 100), (130, 64), (1, 500), (64, 64), (65, 129)])
def test_cores_cover_an_image_once(shape: tuple[int, int]) -> None:
    grid = Grid(shape, 64)
    count = np.zeros(shape, int)
    for number in range(len(grid)):
        count[grid.core_of(number).slices] += 1
        assert number not in grid.neighbours(number)
        for other in grid.neighbours(number):
            assert number in grid.neighbours(other)
    assert (count == 1).all()
