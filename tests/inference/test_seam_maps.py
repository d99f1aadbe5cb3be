"""What is kept for a neighbouring block is made once, given back as it was, and let go in time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

from bigkingxxl.inference.seam_maps import Float32, SeamMaps


class Network:
    """Makes other maps every time it is asked."""

    def __init__(self) -> None:
        self.times = 0

    def make(self) -> Float32:
        self.times += 1
        return np.full((1, 4, 4), self.times, np.float32)


def test_the_second_block_gets_what_the_first_one_made() -> None:
    kept, network = SeamMaps(), Network()
    one, two = (kept.get("tile", 2, network.make) for _ in range(2))
    assert one is two
    assert network.times == 1


@pytest.mark.parametrize("blocks", [1, 2, 4])
def test_nothing_is_held_once_all_blocks_had_it(blocks: int) -> None:
    kept, network = SeamMaps(), Network()
    for _ in range(3 * blocks):
        kept.get("tile", blocks, network.make)
    assert network.times == 3


def test_tiles_images_and_looks_are_told_apart() -> None:
    kept, network = SeamMaps(), Network()
    keys = [("image", 1), ("image", 2), ("other", 1)]
    assert len({float(kept.get(key, 2, network.make).max()) for key in keys}) == 3


def test_the_oldest_go_where_there_are_too_many() -> None:
    kept, network = SeamMaps(most_bytes=2 * 64), Network()
    for key in "abc":
        kept.get(key, 2, network.make)
    assert kept.get("c", 2, network.make).max() == 3
    assert kept.get("a", 2, network.make).max() == 4


def test_what_fails_is_tried_again() -> None:
    kept = SeamMaps()

    def fail() -> Float32:
        raise MemoryError

    with pytest.raises(MemoryError):
        kept.get("tile", 4, fail)
    assert kept.get("tile", 4, Network().make).max() == 1


def test_threads_wait_for_the_one_that_is_at_it() -> None:
    kept, network, begin = SeamMaps(), Network(), Barrier(4)

    def ask(make: Callable[[], Float32]) -> float:
        begin.wait()
        return float(kept.get("tile", 4, make).max())

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(ask, [network.make] * 4)) == {1.0}
