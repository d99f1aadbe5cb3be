"""Fusion compared with a slow reference, hand-computed cases and properties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import InputError
from bigkingxxl.inference.fusion import fuse
from tests.refusals import refused
from tests.support import soft_stack

NAMES = ("a", "b")


def one(
    box: tuple[int, int, int, int],
    crop: Any,
    score: float,
    types: Sequence[float] | None = None,
    names: tuple[str, ...] = NAMES,
    size: tuple[int, int] = (20, 30),
) -> Candidates:
    """A single candidate; a scalar crop fills the box."""
    shape = (box[2] - box[0], box[3] - box[1])
    soft = np.broadcast_to(np.asarray(crop, np.uint8), shape)
    shares = None if types is None else np.array([types])
    return Candidates.from_crops(size, np.array([box]), [soft], np.array([score]), shares,
                                 names if types is not None else ())  # fmt: skip


def random_candidates(
    rng: np.random.Generator, size: tuple[int, int], names: tuple[str, ...] | None
) -> Candidates:
    """Up to four candidates; their boxes are large, so that many of them match."""
    count = int(rng.integers(0, 5))
    boxes, crops = [], []
    for _ in range(count):
        low = [int(rng.integers(0, max(1, side // 2))) for side in size]
        high = [int(rng.integers(a + 1, side + 1)) for a, side in zip(low, size, strict=True)]
        crop = rng.integers(0, 256, (high[0] - low[0], high[1] - low[1]))
        boxes.append((*low, *high))
        crops.append((crop if rng.random() < 0.3 else np.maximum(crop, 140)).astype(np.uint8))
    types = None if names is None else rng.dirichlet(np.ones(len(names)), count)
    return Candidates.from_crops(size, np.array(boxes), crops, rng.random(count), types,
                                 names or ())  # fmt: skip


def slow_fusion(
    parts: Sequence[Candidates], weights: Sequence[float]
) -> list[tuple[float, NDArray[np.uint8], dict[str, float] | None]]:
    """Score, full-frame soft mask and types of each fused candidate, candidate by candidate."""
    seen = []
    for model, part in enumerate(parts):
        for index, soft in enumerate(soft_stack(part)):
            mask = soft > soft.max() / 2
            types = part.type_probability
            named = None if types is None else dict(zip(part.type_names, types[index], strict=True))
            seen.append((float(part.score[index]), model, soft, mask, named))
    groups: list[list[Any]] = []
    for each in sorted(seen, key=lambda item: -item[0] * weights[item[1]]):
        best, most = None, 0.5
        for group in groups:
            union = (group[0][3] | each[3]).sum()
            overlap = (group[0][3] & each[3]).sum() / union if union else 0.0
            if overlap > most and each[1] not in [member[1] for member in group]:
                best, most = group, overlap
        if best is None:
            groups.append([each])
        else:
            best.append(each)
    return [_slow_mean(group, weights) for group in groups]


def _slow_mean(
    group: list[Any], weights: Sequence[float]
) -> tuple[float, NDArray[np.uint8], dict[str, float] | None]:
    mass = sum(weights[member[1]] for member in group)
    score = sum(weights[member[1]] * member[0] for member in group) / sum(weights)
    soft = sum(weights[member[1]] * member[2].astype(float) for member in group) / mass
    typed = [(weights[member[1]], member[4]) for member in group if member[4] is not None]
    types = None
    if typed:
        whole = sum(weight for weight, _ in typed)
        types = {name: sum(w * each[name] for w, each in typed) / whole for name in typed[0][1]}
    return score, np.rint(soft).astype(np.uint8), types


@given(st.integers(0, 100_000), st.integers(2, 4), st.booleans())
def test_fusion_is_that_of_the_slow_reference(seed: int, models: int, weighted: bool) -> None:
    rng = np.random.default_rng(seed)
    size = (int(rng.integers(1, 9)), int(rng.integers(1, 9)))
    orders = (NAMES, NAMES[::-1], None)
    parts = [random_candidates(rng, size, orders[int(rng.integers(3))]) for _ in range(models)]
    weights = rng.uniform(0.5, 3, models).tolist() if weighted else [1.0] * models
    fused = fuse(parts, weights)
    expected = slow_fusion(parts, weights)
    assert len(fused) == len(expected)
    for index, (score, soft, types) in enumerate(expected):
        assert fused.score[index] == pytest.approx(score, abs=1e-6)
        difference = soft_stack(fused)[index].astype(int) - soft
        # a half may be rounded either way
        assert np.abs(difference).max() <= (1 if weighted else 0)
        if fused.type_probability is None:
            assert types is None
        else:
            named = dict(zip(fused.type_names, fused.type_probability[index], strict=True))
            assert named == pytest.approx(types or dict.fromkeys(named, 0.5), abs=1e-6)


@given(st.integers(0, 100_000))
def test_the_order_of_models_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts = [random_candidates(rng, (8, 8), NAMES) for _ in range(3)]
    parts.append(parts[0])  # candidates that are equal in every respect
    fused, turned = fuse(parts), fuse([parts[index] for index in rng.permutation(4)])
    np.testing.assert_array_equal(fused.boxes, turned.boxes)
    np.testing.assert_array_equal(fused.probability, turned.probability)
    np.testing.assert_array_equal(fused.score, turned.score)
    np.testing.assert_allclose(fused.type_probability, turned.type_probability, atol=1e-6)  # type: ignore[arg-type]


# ---- cases by hand -------------------------------------------------------------------------------


def test_one_model_is_unchanged() -> None:
    only = one((1, 2, 5, 9), 200, 0.7, (0.2, 0.8))
    assert fuse([only], [3.0]) is only


def test_two_identical_models_fuse_to_one() -> None:
    parts = [one((1, 2, 5, 9), 200, 0.7, (0.25, 0.75)), one((9, 2, 15, 9), 131, 0.4, (0.5, 0.5))]
    both = Candidates.concatenate(parts)
    for weights in (None, [1.0, 1.0], [0.3, 0.7]):
        fused = fuse([both, both], weights)
        np.testing.assert_array_equal(fused.boxes, both.boxes)
        np.testing.assert_array_equal(fused.probability, both.probability)
        np.testing.assert_allclose(fused.score, both.score, rtol=1e-6)
        np.testing.assert_allclose(fused.type_probability, both.type_probability)  # type: ignore[arg-type]


def test_masks_are_averaged_in_the_union_of_their_boxes() -> None:
    """Four columns by the first, four by the second, three of them shared."""
    first = one((2, 4, 4, 8), [[255, 255, 200, 130], [255, 255, 200, 130]], 0.8, (0.9, 0.1))
    second = one((2, 5, 4, 9), [[201, 200, 140, 60], [255, 255, 140, 60]], 0.4, (0.3, 0.7))
    fused = fuse([first, second])
    assert fused.boxes.tolist() == [[2, 4, 4, 9]]
    # Means of 127.5 and 227.5 are rounded to even.
    assert fused.crop(0).tolist() == [[128, 228, 200, 135, 30], [128, 255, 228, 135, 30]]
    assert fused.score.tolist() == pytest.approx([0.6])
    np.testing.assert_allclose(np.asarray(fused.type_probability), [[0.6, 0.4]], atol=1e-6)
    thrice = fuse([first, second], [3, 1])
    assert thrice.crop(0)[0].tolist() == [191, 242, 200, 132, 15]
    assert thrice.score.tolist() == pytest.approx([0.7])
    np.testing.assert_allclose(np.asarray(thrice.type_probability), [[0.75, 0.25]], atol=1e-6)


def test_a_cell_of_one_of_two_models_has_half_its_score_and_its_mask() -> None:
    seen = one((1, 2, 5, 9), 200, 0.8, (0.25, 0.75))
    blind = Candidates.empty((20, 30), NAMES)
    for parts in ([seen, blind], [blind, seen]):
        fused = fuse(parts)
        assert fused.score.tolist() == pytest.approx([0.4])
        np.testing.assert_array_equal(fused.probability, seen.probability)
        np.testing.assert_array_equal(fused.type_probability, seen.type_probability)
    assert fuse([seen, blind], [3, 1]).score.tolist() == pytest.approx([0.6])


def test_cells_with_at_most_half_overlap_are_not_fused() -> None:
    first, second = one((0, 0, 4, 9), 255, 0.8), one((0, 3, 4, 12), 255, 0.6)  # 24 of 48 pixels
    assert fuse([first, second]).score.tolist() == pytest.approx([0.4, 0.3])
    nearer = one((0, 2, 4, 11), 255, 0.6)
    assert fuse([first, nearer]).score.tolist() == pytest.approx([0.7])


def test_faint_masks_match_by_their_own_height() -> None:
    strong, faint = one((0, 0, 6, 6), 250, 0.8), one((0, 0, 6, 6), 40, 0.2)
    fused = fuse([strong, faint])
    assert len(fused) == 1
    assert set(fused.probability.tolist()) == {145}


def test_a_group_takes_the_best_candidate_of_a_model() -> None:
    first = one((0, 0, 6, 10), 255, 0.9)
    sure, doubtful = one((0, 0, 6, 8), 255, 0.7), one((0, 0, 6, 10), 255, 0.1)
    fused = fuse([first, Candidates.concatenate([doubtful, sure])])
    assert fused.score.tolist() == pytest.approx([0.8, 0.05])
    # Candidates of one model are left to selection, however much they overlap.
    twice = Candidates.concatenate([sure, sure])
    assert len(fuse([twice, Candidates.empty((20, 30))])) == 2


def test_a_candidate_joins_what_it_overlaps_most() -> None:
    large, small = one((0, 0, 6, 10), 255, 0.9), one((0, 0, 6, 7), 255, 0.8)
    fused = fuse([Candidates.concatenate([large, small]), one((0, 0, 6, 7), 255, 0.5)])
    assert fused.score.tolist() == pytest.approx([0.45, 0.65])


def test_types_are_mapped_by_name_and_the_untyped_abstain() -> None:
    first = one((0, 0, 6, 6), 255, 0.9, (0.9, 0.1), ("a", "b"))
    second = one((0, 0, 6, 6), 255, 0.9, (0.7, 0.3), ("b", "a"))
    untyped = one((0, 0, 6, 6), 255, 0.9)
    fused = fuse([untyped, first, second])
    assert fused.type_names == ("a", "b")
    np.testing.assert_allclose(np.asarray(fused.type_probability), [[0.6, 0.4]], atol=1e-6)
    alone = fuse([one((9, 9, 15, 15), 255, 0.6), first])
    assert alone.score.tolist() == pytest.approx([0.45, 0.3])
    np.testing.assert_allclose(np.asarray(alone.type_probability), [[0.9, 0.1], [0.5, 0.5]])
    assert fuse([untyped, untyped]).type_probability is None


def test_the_first_relative_size_holds() -> None:
    first = replace(one((0, 0, 6, 6), 255, 0.9), scale_ratio=2.0)
    second = replace(one((0, 0, 6, 6), 255, 0.9), scale_ratio=1.9)
    assert fuse([first, second]).scale_ratio == 2.0


def test_no_candidates_at_all() -> None:
    nothing = Candidates.empty((20, 30), NAMES)
    fused = fuse([nothing, nothing])
    assert (len(fused), fused.size, fused.type_names) == (0, (20, 30), NAMES)


# ---- what cannot be fused ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weights", "key", "found"),
    [
        ([1.0], "weights", 1),
        ([1.0, 0.0], "weights", 0.0),
        ([1.0, -2.0], "weights", -2.0),
        ([float("nan"), 1.0], "weights", "nan"),
        ([1.0, float("inf")], "weights", "inf"),
    ],
)
def test_weights_that_make_no_sense(weights: list[float], key: str, found: object) -> None:
    with refused(InputError, key=key, found=found):
        fuse([one((0, 0, 6, 6), 255, 0.9)] * 2, weights)


def test_other_types_or_sizes() -> None:
    first = one((0, 0, 6, 6), 255, 0.9, (0.9, 0.1))
    other = one((0, 0, 6, 6), 255, 0.9, (0.9, 0.1), ("a", "c"))
    with refused(InputError, "a, b", "a, c", key="cell_types"):
        fuse([first, other])
    with pytest.raises(ValueError, match="one image"):
        fuse([first, Candidates.empty((9, 9), NAMES)])
    with refused(InputError, key="models", found=0):
        fuse([])


def test_dense_fields_of_many_cells_fuse_cell_by_cell() -> None:
    rng = np.random.default_rng(0)
    corners = np.array([(r, c) for r in range(4, 490, 20) for c in range(4, 680, 20)])[:800]
    disc = (np.hypot(*(np.indices((18, 18)) - 8.5)) < 9) * np.uint8(230)
    parts = []
    for _ in range(3):
        moved = corners + rng.integers(-1, 2, corners.shape)
        boxes = np.concatenate((moved, moved + 18), axis=1)
        parts.append(Candidates.from_crops((520, 704), boxes, [disc] * 800, rng.random(800)))
    fused = fuse(parts)
    assert len(fused) == 800
    mean = np.mean([part.score for part in parts], axis=0)
    np.testing.assert_allclose(np.sort(fused.score), np.sort(mean), rtol=1e-5)
