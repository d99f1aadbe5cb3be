"""Geometry: symmetries form a group and move arrays, points and vectors alike; tiles; resizing."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage
from skimage import transform

from bigkingxxl.geometry import (
    FLIPS,
    SYMMETRIES,
    Affine,
    Resizing,
    Symmetry,
    Window,
    resize,
    scaled_size,
    tile_starts,
    whole,
)

Float32 = NDArray[np.float32]
symmetries = st.sampled_from(SYMMETRIES)
sizes = st.tuples(st.integers(1, 7), st.integers(1, 7))
CHIRAL = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]])


def picture(size: tuple[int, int], seed: int = 0) -> Float32:
    return np.random.default_rng(seed).random(size, np.float32)


# ---- windows -----------------------------------------------------------------------------------


@given(st.integers(-6, 6), st.integers(-6, 6), st.integers(1, 9), st.integers(1, 9), sizes)
def test_a_window_is_its_clipped_part_and_its_padding(
    row: int, col: int, height: int, width: int, size: tuple[int, int]
) -> None:
    window = Window(row, col, row + height, col + width)
    inner = window.clipped(size)
    reached = [(r, c) for r in range(row, row + height) for c in range(col, col + width)
               if 0 <= r < size[0] and 0 <= c < size[1]]  # fmt: skip
    assert inner.size[0] * inner.size[1] == len(reached)
    if reached:
        assert (inner.row0, inner.col0) == min(reached)
        (top, bottom), (left, right) = window.padding(size)
        assert inner.size == (height - top - bottom, width - left - right)
        assert (inner.row0 - top, inner.col0 - left) == (row, col)


def test_the_whole_image_is_a_window() -> None:
    assert whole((4, 6)) == Window(0, 0, 4, 6)
    assert whole((4, 6)).size == (4, 6)
    part = np.arange(24).reshape(4, 6)[Window(1, 2, 3, 5).slices]
    assert part.tolist() == [[8, 9, 10], [14, 15, 16]]


# ---- tiles -------------------------------------------------------------------------------------


@given(st.integers(1, 300), st.integers(1, 80), st.data())
def test_tiles_cover_a_side_and_overlap_enough(length: int, tile: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, tile - 1))
    starts = tile_starts(length, tile, overlap)
    assert starts[0] == 0
    if length <= tile:
        assert starts == [0]
        return
    assert starts[-1] == length - tile
    gaps = np.diff(starts)
    assert (gaps > 0).all()
    assert gaps.max() <= tile - overlap
    fewest = math.ceil((length - overlap) / (tile - overlap))
    assert len(starts) == fewest


@pytest.mark.parametrize(("tile", "overlap"), [(4, 4), (4, 5), (4, -1), (0, 0)])
def test_an_overlap_that_fits_no_tile_is_refused(tile: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        tile_starts(10, tile, overlap)


SIDES = st.integers(1, 60)


@given(SIDES, SIDES, SIDES, SIDES, st.data())
def test_a_part_is_resized_as_the_whole_is(
    height: int, width: int, tall: int, wide: int, data: st.DataObject
) -> None:
    image = np.random.default_rng(height + 60 * width).random((2, height, width), np.float32)
    resizing = Resizing((height, width), (tall, wide))
    row0, col0 = data.draw(st.integers(0, tall - 1)), data.draw(st.integers(0, wide - 1))
    row1, col1 = data.draw(st.integers(row0 + 1, tall)), data.draw(st.integers(col0 + 1, wide))
    window = Window(row0, col0, row1, col1)
    needed = resizing.needed(window)
    assert needed == needed.clipped((height, width))
    part = resizing.part(np.ascontiguousarray(image[(..., *needed.slices)]), needed, window)
    assert np.array_equal(part, resize(image, (tall, wide))[(..., *window.slices)])


@given(SIDES, SIDES, st.data())
def test_covering_windows_contain_the_window(old: int, new: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, old - 1))
    stop = data.draw(st.integers(start + 1, old))
    found = Resizing((old, 1), (new, 1)).covering(Window(start, 0, stop, 1))
    assert 0 <= found.row0 * old <= start * new < found.row1 * old
    assert stop * new <= found.row1 * old < (stop * new) + old * 1 or found.row1 == new


# ---- symmetries --------------------------------------------------------------------------------


def test_there_are_eight_symmetries_and_they_form_a_group() -> None:
    results = {each.apply(CHIRAL).tobytes() for each in SYMMETRIES}
    assert len(results) == 8
    for first, second in itertools.product(SYMMETRIES, repeat=2):
        assert second.apply(first.apply(CHIRAL)).tobytes() in results


def test_the_flips_keep_rows_rows() -> None:
    assert len({each.apply(CHIRAL).tobytes() for each in FLIPS}) == 4
    assert all(each.size((3, 5)) == (3, 5) for each in FLIPS)


@given(symmetries, sizes)
def test_the_inverse_undoes_a_symmetry(symmetry: Symmetry, size: tuple[int, int]) -> None:
    image = picture(size)
    turned = symmetry.apply(image)
    assert turned.shape == symmetry.size(size)
    assert np.array_equal(symmetry.inverse.apply(turned), image)
    assert symmetry.inverse.size(symmetry.size(size)) == size


@given(symmetries, sizes)
def test_points_move_with_their_pixels(symmetry: Symmetry, size: tuple[int, int]) -> None:
    image = picture(size)
    row, col = np.indices(size)
    new_row, new_col = symmetry.points(row, col, size)
    assert np.array_equal(symmetry.apply(image)[new_row, new_col], image)


@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_a_turned_gradient_field_is_the_gradient_of_the_turned_image(symmetry: Symmetry) -> None:
    image = ndimage.gaussian_filter(np.random.default_rng(1).random((12, 17)), 2)
    row, col = (symmetry.apply(part) for part in np.gradient(image))
    expected = np.gradient(symmetry.apply(image))
    np.testing.assert_allclose(symmetry.vectors(row, col), expected, atol=1e-12)


def test_quarter_turns_beyond_a_whole_turn_are_the_same() -> None:
    assert Symmetry(5) == Symmetry(1)
    assert Symmetry(-1, True) == Symmetry(3, True)


def test_a_symmetry_moves_the_last_two_axes_only() -> None:
    image = np.arange(24).reshape(2, 3, 4)
    turned = Symmetry(1).apply(image)
    assert np.array_equal(turned, np.stack([np.rot90(each) for each in image]))


# ---- resizing ----------------------------------------------------------------------------------


@given(sizes, st.integers(0, 20), st.integers(0, 20))
def test_enlarging_equals_scikit_image(size: tuple[int, int], more: int, wider: int) -> None:
    image = picture(size, seed=more)
    new = (size[0] + more, size[1] + wider)
    expected = transform.resize(image, new, order=1, mode="edge", anti_aliasing=False)
    np.testing.assert_allclose(resize(image, new), expected, atol=2e-6)


@pytest.mark.parametrize("factors", [(2, 2), (3, 1), (4, 5)])
def test_shrinking_by_whole_factors_averages_blocks(factors: tuple[int, int]) -> None:
    image = picture((60, 40))
    new = (60 // factors[0], 40 // factors[1])
    expected = transform.downscale_local_mean(image, factors)
    np.testing.assert_allclose(resize(image, new), expected, atol=1e-6)


@given(sizes, sizes)
def test_shrinking_keeps_the_mean_and_a_constant(
    new: tuple[int, int], more: tuple[int, int]
) -> None:
    size = (new[0] + more[0], new[1] + more[1])
    image = picture(size)
    assert resize(image, new).mean() == pytest.approx(image.mean(), abs=1e-5)
    np.testing.assert_allclose(resize(np.full(size, 7, np.float32), new), 7, rtol=1e-6)


def test_shrinking_does_not_alias() -> None:
    stripes = np.tile(np.array([0, 1], np.float32), (8, 64))
    assert np.ptp(resize(stripes, (8, 48))) < 0.7
    np.testing.assert_allclose(resize(stripes, (8, 32)), 0.5)


@given(symmetries, sizes, sizes)
def test_resizing_and_turning_commute(
    symmetry: Symmetry, size: tuple[int, int], new: tuple[int, int]
) -> None:
    image = picture(size)
    first = symmetry.apply(resize(image, new))
    second = resize(symmetry.apply(image), symmetry.size(new))
    np.testing.assert_allclose(first, second, atol=1e-5)


def test_resizing_leaves_the_first_axes_alone() -> None:
    layers = np.stack([picture((5, 6), seed) for seed in range(3)])
    expected = np.stack([resize(layer, (9, 4)) for layer in layers])
    assert np.array_equal(resize(layers, (9, 4)), expected)


@pytest.mark.parametrize(
    ("size", "scale", "expected"),
    [((520, 704), 1.5, (780, 1056)), ((5, 3), 0.1, (1, 1)), ((10, 10), 1.0, (10, 10))],
)
def test_scaled_sizes(size: tuple[int, int], scale: float, expected: tuple[int, int]) -> None:
    assert scaled_size(size, scale) == expected


# ---- affine views ------------------------------------------------------------------------------


def test_the_plain_view_is_a_crop() -> None:
    image = picture((30, 40))
    view = Affine.around((14.5, 19.5), (10, 20))
    assert np.allclose(view.warp(image[None], (10, 20))[0], image[10:20, 10:30], atol=1e-6)


@pytest.mark.parametrize("angle", [0, math.pi / 2, math.pi, -math.pi / 2])
@pytest.mark.parametrize("flip", [False, True])
def test_quarter_angles_and_flips_are_symmetries(angle: float, flip: bool) -> None:
    image = picture((9, 9))
    view = Affine.around((4, 4), (9, 9), angle=angle, flip=flip)
    seen = view.warp(image[None], (9, 9))[0]
    matches = [each for each in SYMMETRIES if np.allclose(each.apply(image), seen, atol=1e-5)]
    assert [each.flip for each in matches] == [flip]


def test_zoom_makes_things_larger() -> None:
    image = np.zeros((40, 40), np.float32)
    image[15:25, 15:25] = 1
    seen = Affine.around((19.5, 19.5), (80, 80), zoom=2).warp(image[None], (80, 80))
    assert seen.sum() == pytest.approx(4 * image.sum(), rel=0.02)
    tall = Affine.around((19.5, 19.5), (30, 30), stretch=2).warp(image[None], (30, 30))[0]
    inside = tall > 0.5
    assert (inside.any(axis=1).sum(), inside.any(axis=0).sum()) == (14, 8)


@given(st.integers(0, 1000))
def test_the_footprint_contains_all_needed_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = picture((90, 80), seed)
    view = Affine.around(
        (45 + rng.uniform(-5, 5), 40 + rng.uniform(-5, 5)), (12, 16), zoom=rng.uniform(0.7, 2),
        angle=rng.uniform(-4, 4), flip=bool(rng.integers(2)), stretch=rng.uniform(0.8, 1.25),
    )  # fmt: skip
    window = view.footprint((12, 16))
    part = image[window.slices]
    assert part.shape == window.size
    seen = view.moved(window).warp(part[None], (12, 16))
    np.testing.assert_allclose(seen, view.warp(image[None], (12, 16)), atol=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_labels_are_warped_as_soft_masks_of_which_the_strongest_wins(seed: int) -> None:
    rng = np.random.default_rng(seed)
    planes = ndimage.zoom(rng.integers(0, 5, (2, 6, 7)), (1, 5, 5), order=0).astype(np.int32)
    view = Affine.around(
        (14, 16), (25, 33), zoom=1.3, angle=float(rng.uniform(0, 6)), flip=bool(seed % 2)
    )
    size = (25, 33)
    warped = view.warp_labels(planes, size)
    for plane, found in zip(planes, warped, strict=True):
        labels = np.unique(plane)
        masks = np.stack([(plane == label).astype(np.float32) for label in labels])
        soft = view.warp(masks, size)
        ranked = np.sort(soft, axis=0)
        clear = ranked[-1] - ranked[-2] > 1e-3
        assert clear.mean() > 0.9
        assert np.array_equal(labels[soft.argmax(axis=0)][clear], found[clear])


@given(hnp.arrays(np.int32, (1, 6, 7), elements=st.integers(0, 9)))
def test_the_plain_view_keeps_labels(planes: NDArray[np.int32]) -> None:
    view = Affine.around((2.5, 3), (6, 7))
    assert np.array_equal(view.warp_labels(planes, (6, 7)), planes)
