"""A tile predicted piece by piece gives the same maps, and too small pieces are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from bigkingxxl.errors import InputError
from bigkingxxl.evaluation.metrics.registry import find_metric
from bigkingxxl.evaluation.pairing import pairs_of
from bigkingxxl.evaluation.scoring import score_pairs
from bigkingxxl.images import ArrayImage
from bigkingxxl.inference.chunked_maps import checked_side, in_chunks, least_side
from bigkingxxl.inference.load_ensemble import load_ensemble
from bigkingxxl.inference.selection import select
from bigkingxxl.model_files import resolve_model
from bigkingxxl.simulate import simulate_field
from tests.refusals import refused

Float32 = NDArray[np.float32]
STRIDE = 4


def blurred(tiles: Float32) -> Float32:
    """A network with a receptive field of 7 pixels around each pixel, a grid, and zero padding."""
    middle = [ndimage.uniform_filter(tile[0], 15, mode="constant") for tile in tiles]
    coarse = [np.kron(tile[0, ::STRIDE, ::STRIDE], np.ones((STRIDE, STRIDE))) for tile in tiles]
    return np.stack([middle, coarse], axis=1).astype(np.float32)


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 20), st.integers(0, 2**32 - 1))
def test_maps_are_those_of_the_whole_tile(rows: int, cols: int, more: int, seed: int) -> None:
    size = (2, 1, STRIDE * rows, STRIDE * cols)
    tiles = np.random.default_rng(seed).integers(0, 9, size).astype(np.float32)
    seen: list[int] = []

    def noted(part: Float32) -> Float32:
        seen.append(max(part.shape[2:]))
        return blurred(part)

    side = least_side(8, STRIDE) + more
    found = in_chunks(noted, tiles, side, 8, STRIDE)
    np.testing.assert_allclose(found, blurred(tiles), atol=1e-5)
    assert max(seen) <= side


@pytest.mark.parametrize("side", [None, 1088, 5000])
def test_a_tile_as_large_as_the_models_own_changes_nothing(side: int | None) -> None:
    assert checked_side(side, 1088, 320, 32) is None
    assert checked_side(side, 1088, None, 32) is None


@pytest.mark.parametrize(
    ("side", "context", "message"),
    [(33, 320, "expected 704 or more"), (703, 320, "expected 704 or more"),
     (512, None, "leave the tile out"), (1000, 530, "leave the tile out")],
)  # fmt: skip
def test_tiles_that_would_change_results_are_refused(
    side: int, context: int | None, message: str
) -> None:
    with refused(InputError, key="tile", found=side):
        checked_side(side, 1088, context, 32)


@pytest.mark.slow
def test_the_bundled_model_finds_the_same_cells_in_smaller_tiles() -> None:
    """Up to rounding: where floats differ by a last bit, 8-bit activations may differ by a step."""
    image = ArrayImage(simulate_field("shsy5y", size=(160, 520), seed=1).image)
    found = []
    for tile in (None, 704):
        predictor, card = load_ensemble([resolve_model("bundled")], scale=1.5, tile=tile)
        found.append(select(predictor.candidates(image), card.operating_points))
    assert len(found[0]) > 5
    scores = score_pairs(pairs_of({"a": found[0]}, {"a": found[1]}), [find_metric("f1@0.9")])
    assert (scores.by_key["f1@0.9"].value or 0) > 0.95


def test_the_bundled_model_refuses_tiny_tiles() -> None:
    with refused(InputError, key="tile", found=33, expected=704):
        load_ensemble([resolve_model("bundled")], tile=33)
