"""The order in which blocks are done: each once, most of them soon after a neighbour."""

from __future__ import annotations

import pytest

from bigkingxxl.runs.large.grid import Grid


@pytest.mark.parametrize("shape", [(1, 1), (2048, 9000), (9000, 2048), (20000, 30000)])
def test_the_walk_comes_to_every_block_once(shape: tuple[int, int]) -> None:
    grid = Grid.of(shape)
    assert sorted(grid.walk()) == list(range(len(grid)))


def test_most_blocks_follow_their_neighbours_closely() -> None:
    """Of the seams of a large image most lie between blocks at most a few steps apart."""
    grid = Grid.of((50_000, 50_000))
    step = {block: number for number, block in enumerate(grid.walk())}
    across = grid.counts[1]
    seams = [(block, block + 1) for block in range(len(grid)) if (block + 1) % across]
    seams += [(block, block + across) for block in range(len(grid) - across)]
    near = sum(abs(step[one] - step[two]) <= 4 for one, two in seams)
    assert near > 0.87 * len(seams)
