"""Selection compared with dense arithmetic, one mask at a time."""

from __future__ import annotations

import time
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import InputError
from bigkingxxl.inference.selection import mask_nms, masks_above, select, soft_areas, vote
from bigkingxxl.operating_points import OperatingPoint, OperatingPoints, SelectionParameters
from tests.refusals import refused
from tests.support import Stack, candidate_sets, instances_of, soft_stack, stack_of, stacks

SIZE = (12, 30)
NAMES = ("astro", "cort")


def points(**parameters: float) -> OperatingPoints:
    values = {"minimum_area": 0, "score_threshold": 0, "nms_iou": 1} | parameters
    return OperatingPoints(default=OperatingPoint(select=SelectionParameters(**values)))


def squares(
    *boxes: tuple[int, int, int, int],
    score: list[float] | None = None,
    probability: int = 255,
    types: list[list[float]] | None = None,
) -> Candidates:
    crops = [np.full((r1 - r0, c1 - c0), probability, np.uint8) for r0, c0, r1, c1 in boxes]
    scores = np.array(score or [0.9] * len(boxes), np.float32)
    shares = None if types is None else np.array(types, np.float32)
    return Candidates.from_crops(SIZE, np.array(boxes), crops, scores, shares, NAMES)


@pytest.mark.parametrize(
    ("parameter", "value", "kept"),
    [
        # The mask threshold is exclusive: 0.6 of 255 is 153.
        ("mask_threshold", 0.599, 1), ("mask_threshold", 0.6, 0),
        # The score threshold is inclusive, even for numbers that float32 cannot represent.
        ("score_threshold", 0.7, 1), ("score_threshold", 0.7001, 0),
        # The minimum area is inclusive: 4 x 5 pixels.
        ("minimum_area", 20, 1), ("minimum_area", 21, 0),
    ],
)  # fmt: skip
def test_thresholds(parameter: str, value: float, kept: int) -> None:
    one = squares((2, 3, 6, 8), score=[0.7], probability=153)
    assert len(select(one, points(**{parameter: value}))) == kept


@pytest.mark.parametrize(("limit", "kept"), [(1 / 3, 2), (0.333, 1)])
def test_nms_limit_is_inclusive(limit: float, kept: int) -> None:
    # 4 x 6 and 4 x 6 share 4 x 3: an IoU of exactly a third.
    two = squares((0, 0, 4, 6), (0, 3, 4, 9), score=[0.9, 0.8])
    assert len(select(two, points(nms_iou=limit))) == kept


@pytest.mark.parametrize(("relative", "kept"), [(1.0, 1), (0.99, 0), (2.0, 1)])
def test_minimum_areas_count_pixels_of_training(relative: float, kept: int) -> None:
    # 4 x 5 pixels are 20 of training at equal pixel sizes, and 80 if its pixels are half as long.
    one = replace(squares((2, 3, 6, 8)), scale_ratio=relative)
    assert len(select(one, points(minimum_area=20))) == kept


def test_the_better_cell_is_on_top_and_visible_area_counts() -> None:
    two = squares((0, 0, 4, 6), (0, 3, 4, 9), score=[0.6, 0.8])
    cells = select(two, points(), pixel_size_um=(0.5, 0.7))
    np.testing.assert_allclose(np.asarray(cells.score), [0.8, 0.6])
    assert cells.areas().tolist() == [24, 12]
    assert cells.pixel_size_um == (0.5, 0.7)
    # 24 pixels before painting, 12 after it.
    assert len(select(two, points(minimum_area=13))) == 1


@given(candidate_sets(max_count=5), st.sampled_from([0.1, 0.5, 0.9]), st.integers(0, 6))
def test_cells_are_disjoint_large_enough_and_inside_a_mask(
    candidates: Candidates, threshold: float, minimum: int
) -> None:
    parameters = points(mask_threshold=threshold, minimum_area=minimum, nms_iou=0.6)
    cells = select(candidates, parameters)
    stack = stack_of(cells)
    assert (stack.sum(axis=0) <= 1).all()
    masks = soft_stack(candidates) > threshold * 255
    for cell, score in zip(stack, np.asarray(cells.score), strict=True):
        assert cell.sum() >= max(minimum, 1)
        own = candidates.score == score
        assert any((cell <= mask).all() for mask in masks[own])
    assert (np.diff(np.asarray(cells.score)) <= 0).all()


@given(candidate_sets(), st.sampled_from([0.1, 0.5, 0.9]))
def test_masks_above_is_a_dense_comparison(candidates: Candidates, threshold: float) -> None:
    masks = masks_above(candidates, np.full(len(candidates), threshold))
    np.testing.assert_array_equal(stack_of(masks), soft_stack(candidates) > threshold * 255)


@given(candidate_sets(empty_boxes=True))
def test_soft_areas_are_dense_sums(candidates: Candidates) -> None:
    expected = soft_stack(candidates).sum(axis=(1, 2)) / 255
    np.testing.assert_allclose(soft_areas(candidates), expected)


def naive_nms(stack: Stack, limits: NDArray[np.float64]) -> list[int]:
    kept: list[int] = []
    for index, mask in enumerate(stack):
        for other in kept:
            union = (mask | stack[other]).sum()
            if union and (mask & stack[other]).sum() / union > limits[index]:
                break
        else:
            kept.append(index)
    return kept


@given(st.data())
def test_mask_nms_is_the_naive_one(data: st.DataObject) -> None:
    stack = data.draw(stacks(max_cells=7, max_side=5))
    limits = data.draw(hnp.arrays(np.float64, len(stack), elements=st.sampled_from([0, 0.3, 0.5])))
    assert mask_nms(instances_of(stack), limits).tolist() == naive_nms(stack, limits)


def test_a_suppressed_mask_suppresses_nothing() -> None:
    # Each overlaps the next by an IoU of a third, and not the one after it.
    chain = squares((0, 0, 4, 6), (0, 3, 4, 9), (0, 6, 4, 12), score=[0.9, 0.8, 0.7])
    cells = select(chain, points(nms_iou=0.3))
    np.testing.assert_allclose(np.asarray(cells.score), [0.9, 0.7])


def test_every_cell_type_has_its_own_parameters() -> None:
    two = squares(
        (0, 0, 4, 6), (6, 0, 10, 6), score=[0.5, 0.5], types=[[0.9, 0.1], [0.2, 0.8]]
    )  # fmt: skip
    strict = OperatingPoint(select=SelectionParameters(score_threshold=0.6, minimum_area=0))
    loose = OperatingPoint(select=SelectionParameters(score_threshold=0.1, minimum_area=0))
    parameters = OperatingPoints(by_type={"astro": strict}, default=loose, type_vote="cell")
    cells = select(two, parameters)
    assert [cells.type_names[kind] for kind in cells.cell_type] == ["cort"]


@pytest.mark.parametrize(
    ("how", "given_type", "expected"),
    [("cell", None, [0, 1, 1]), ("image", None, [0, 0, 0]), ("image", "cort", [1, 1, 1]),
     ("cell", "astro", [0, 0, 0])],
)  # fmt: skip
def test_votes(how: str, given_type: str | None, expected: list[int]) -> None:
    # The first outweighs the others together: 96 pixels x 0.9 against 2 x 6 x 0.9.
    three = squares(
        (0, 0, 8, 12), (9, 0, 11, 3), (9, 6, 11, 9),
        types=[[1, 0], [0.1, 0.9], [0.1, 0.9]],
    )  # fmt: skip
    how_to = OperatingPoints.model_validate({"type_vote": how})
    assert vote(three, how_to, given_type).tolist() == expected


def test_a_large_faint_box_does_not_decide_the_vote() -> None:
    two = squares((0, 0, 4, 4), (0, 5, 12, 30), types=[[1, 0], [0, 1]])
    faint = two.probability.copy()
    faint[16:] = 2
    candidates = Candidates(SIZE, two.boxes, faint, two.offsets, two.score,
                            two.type_probability, NAMES)  # fmt: skip
    assert vote(candidates, OperatingPoints()).tolist() == [0, 0]


def test_an_unknown_type_names_the_nearest() -> None:
    with refused(InputError, "'astro'", key="cell_type", found="astr", expected="astro"):
        select(squares((0, 0, 4, 6)), points(), cell_type="astr")


@pytest.mark.parametrize("names", [(), NAMES])
def test_candidates_without_types_use_the_default(names: tuple[str, ...]) -> None:
    crop = [np.full((4, 6), 255, np.uint8)]
    one = Candidates.from_crops(SIZE, np.array([(0, 0, 4, 6)]), crop, np.array([0.5]), None, names)
    never = OperatingPoint(select=SelectionParameters(score_threshold=1))
    cells = select(one, points().changed(by_type={"astro": never}))
    assert len(cells) == 1
    assert cells.type_names == ("cell",)


@pytest.mark.parametrize("names", [(), NAMES])
def test_no_candidates(names: tuple[str, ...]) -> None:
    cells = select(Candidates.empty(SIZE, names), OperatingPoints(), pixel_size_um=(1, 1))
    assert (len(cells), cells.size, cells.type_names) == (0, SIZE, names or ("cell",))
    assert len(select(squares((0, 0, 4, 6), score=[0.1]), points(score_threshold=0.5))) == 0


def test_memory_for_thousands_of_candidates_is_bounded() -> None:
    rng = np.random.default_rng(0)
    row, col = rng.integers(0, 500, 3000), rng.integers(0, 680, 3000)
    boxes = np.stack((row, col, row + 20, col + 24), axis=1)
    crops = [np.full((20, 24), 200, np.uint8)] * 3000
    many = Candidates.from_crops((520, 704), boxes, crops, rng.random(3000))
    tracemalloc.start()
    started = time.process_time()
    cells = select(many, OperatingPoints())
    seconds, peak = time.process_time() - started, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 300 < len(cells) < 3000
    assert peak < 250e6
    # A guard against a quadratic loop, not a benchmark.
    assert seconds < 10


@pytest.mark.parametrize("step", [0, 1])
def test_heaps_of_candidates_are_not_compared_pair_by_pair(step: int) -> None:
    """All pairs of 20,000 masks in one place, or in a chain, would be 200 million."""
    count, side = 20_000, 12
    col = step * (np.arange(count) % 40)
    boxes = np.stack((0 * col, col, 0 * col + side, col + side), axis=1)
    crops = [np.full((side, side), 255, np.uint8)] * count
    heap = Candidates.from_crops((side, 60), boxes, crops, np.linspace(1, 0.5, count))
    tracemalloc.start()
    started = time.process_time()
    cells = select(heap, OperatingPoints())
    seconds, peak = time.process_time() - started, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(cells) == len(naive_choice(step, 40, side, 0.5))
    assert peak < 20 * len(heap.probability)
    assert seconds < 20


def naive_choice(step: int, count: int, side: int, limit: float) -> list[int]:
    """Columns of the squares that are kept, highest score first."""
    kept: list[int] = []
    for col in range(0, step * count + 1 - step, max(step, 1)):
        shared = [max(side - abs(col - other), 0) for other in kept]
        if all(both / (2 * side - both) <= limit for both in shared):
            kept.append(col)
    return kept


@given(candidate_sets(max_count=6), st.sampled_from([0.0, 0.2, 0.5, 1.0]))
def test_halving_keeps_the_same_masks(candidates: Candidates, limit: float) -> None:
    masks = masks_above(candidates, np.full(len(candidates), 0.3))
    with pytest.MonkeyPatch.context() as patch:
        expected = mask_nms(masks, [limit] * len(masks)).tolist()
        patch.setattr("bigkingxxl.inference.selection.FEW", 1)
        patch.setattr("bigkingxxl.inference.selection.CROWDED", 0)
        assert mask_nms(masks, [limit] * len(masks)).tolist() == expected


@given(candidate_sets(max_count=6, empty_boxes=True), st.sampled_from([0.0, 0.2, 0.5, 0.999]),
       st.integers(1, 50))  # fmt: skip
def test_masks_do_not_depend_on_the_block_size(
    candidates: Candidates, threshold: float, block: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bigkingxxl.rle.BLOCK", block)
        masks = masks_above(candidates, np.full(len(candidates), threshold))
        shown = masks.disjoint()
    expected = soft_stack(candidates) > threshold * 255
    np.testing.assert_array_equal(stack_of(masks), expected)
    later = np.zeros(candidates.size, bool)
    for mask, seen in zip(expected[::-1], stack_of(shown)[::-1], strict=True):
        np.testing.assert_array_equal(seen, mask & ~later)
        later |= mask


def test_the_vote_does_not_depend_on_the_order_of_the_candidates() -> None:
    """Both types get the same; sums of floats would differ by their rounding."""
    shares = [[0.1, 0.9], [0.2, 0.8], [0.7, 0.3], [0.9, 0.1], [0.8, 0.2], [0.3, 0.7]]
    boxes = [(0, 4 * each, 3, 4 * each + 3) for each in range(6)]
    alike = squares(*boxes, types=shares)
    for shift in range(6):
        order = np.roll(np.arange(6), shift)
        assert vote(alike.take(order), OperatingPoints()).tolist() == [0] * 6
