"""All tiles of an image: they cover it, their weights add to 1, and blocks share few of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigkingxxl.geometry import Window, whole
from bigkingxxl.images import Part
from bigkingxxl.inference.tile_grid import TileGrid, TileSize


@given(
    st.integers(1, 3000), st.integers(1, 3000), st.sampled_from([(1088, 64, 32), (512, 0, 1)]),
    st.none() | st.integers(40, 900), st.integers(0, 90),
)  # fmt: skip
def test_weights_add_to_one_everywhere(
    height: int, width: int, tile: tuple[int, int, int], core: int | None, reach: int
) -> None:
    part = None if core is None else Part(whole((1, 1)), (height, width), (core, core + 7), reach)
    grid = TileGrid.of((height, width), TileSize(*tile), part, reach)
    for spans, length in ((grid.rows, height), (grid.cols, width)):
        total = np.zeros(length)
        for span in spans:
            low, high = max(span.start, 0), min(span.stop, length)
            inside = span.weight[low - span.start : high - span.start]
            assert (span.stop - span.start) % tile[2] == 0
            assert span.stop - span.start <= tile[0]
            assert inside.min() > 0
            total[low:high] += inside
        np.testing.assert_allclose(total, 1, atol=1e-6)


@pytest.mark.parametrize("core", [700, 2048])
def test_a_block_is_blended_like_the_whole_image(core: int) -> None:
    size, reach = (5000, 4300), 100
    part = Part(whole((1, 1)), size, (core, core), reach)
    grid = TileGrid.of(size, TileSize(1088, 64, 32), part, reach)
    maps = {
        tile.window: np.random.default_rng(number).random((1, *tile.window.size), np.float32)
        for number, tile in enumerate(
            tile for alike in grid.touching(whole(size)) for tile in alike
        )
    }

    def blended(place: Window) -> np.ndarray:
        total = np.zeros((1, *place.size), np.float32)
        for alike in grid.touching(place):
            for tile in alike:
                tile.add(maps[tile.window], total, place)
        return total

    everything = blended(whole(size))
    place = Window(core - reach, 0, 2 * core + reach, core + reach).clipped(size)
    assert np.array_equal(blended(place), everything[(slice(None), *place.slices)])


def test_blocks_have_only_the_tiles_over_their_seams_in_common() -> None:
    size, core, reach = (12288, 12288), 3072, 144
    part = Part(whole((1, 1)), size, (core, core), reach)
    grid = TileGrid.of(size, TileSize(1088, 64, 32), part, reach)

    def pixels(place: Window) -> int:
        seen = [tile.window.clipped(size).size for each in grid.touching(place) for tile in each]
        return sum(height * width for height, width in seen)

    places = range(0, size[0], core)
    seen = sum(
        pixels(Window(r - reach, c - reach, r + core + reach, c + core + reach).clipped(size))
        for r in places for c in places
    )  # fmt: skip
    assert pixels(whole(size)) < seen < 1.3 * pixels(whole(size))


def test_an_image_has_as_few_tiles_as_possible() -> None:
    grid = TileGrid.of((1088, 1089), TileSize(1088, 64, 32))
    assert [(each.start, each.stop) for each in grid.rows] == [(0, 1088)]
    assert [(each.start, each.stop) for each in grid.cols] == [(0, 608), (481, 1089)]
    assert np.array_equal(grid.rows[0].weight, np.ones(1088, np.float32))
