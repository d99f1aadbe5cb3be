"""Stitching compared with an oracle that predicts each window's truth, cut at its edges."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from bigkingxxl.candidates import Candidates
from bigkingxxl.geometry import Window, tiles
from bigkingxxl.inference.stitching import connected_parts, stitch
from tests.support import Stack, instances_of, soft_stack, stack_of, stacks

LabelMap = NDArray[np.int32]


def candidates_of(label_map: LabelMap, score: float = 0.9) -> Candidates:
    count = int(label_map.max(initial=0))
    certain = (label_map > 0).astype(np.float32)
    types = np.tile(np.array([0.25, 0.75], np.float32), (count, 1))
    scores = np.full(count, score, np.float32)
    return Candidates.from_label_map(label_map, certain, scores, types, ("a", "b"))


def whole_cells(label_map: LabelMap, window: Window) -> Candidates:
    """One candidate per cell, however many parts of it the window contains."""
    return candidates_of(label_map[window.slices])


def parts_apart(label_map: LabelMap, window: Window) -> Candidates:
    """One candidate per connected part, like a decoder of connected cells."""
    seen = label_map[window.slices]
    apart, count = np.zeros_like(seen), 0
    for label in np.unique(seen[seen > 0]):
        parts, found = ndimage.label(seen == label)
        apart = np.where(parts > 0, parts + count, apart)
        count += found
    return candidates_of(apart.astype(np.int32))


def stitched(
    label_map: LabelMap, windows: Sequence[Window], oracle: Callable[..., Candidates] = whole_cells
) -> Candidates:
    parts = [oracle(label_map, window.clipped(label_map.shape)) for window in windows]
    return stitch(parts, windows, (label_map.shape[0], label_map.shape[1]))


def assert_same_cells(found: Candidates, label_map: LabelMap) -> None:
    """Every true cell is present once, to the pixel, and nothing else."""
    truth = {(label_map == label).tobytes() for label in np.unique(label_map[label_map > 0])}
    masks = [(mask > 127).tobytes() for mask in soft_stack(found)]
    assert len(masks) == len(truth)
    assert set(masks) == truth


def grown_cells(rng: np.random.Generator, size: tuple[int, int], count: int) -> LabelMap:
    """Connected cells of any shape that fill most of a field and touch each other."""
    label_map = np.zeros(size, np.int32)
    seeds = rng.choice(label_map.size, count, replace=False)
    label_map.ravel()[seeds] = np.arange(1, count + 1)
    for _ in range(int(0.6 * max(size))):
        for axis, step in rng.permutation([(0, 1), (0, -1), (1, 1), (1, -1)]).tolist():
            neighbour = np.roll(label_map, step, axis)
            border = [slice(None)] * 2
            border[axis] = slice(0, 1) if step == 1 else slice(-1, None)
            neighbour[tuple(border)] = 0
            grows = (label_map == 0) & (neighbour > 0) & (rng.random(size) < 0.35)
            label_map[grows] = neighbour[grows]
    return label_map


def renumbered(label_map: LabelMap) -> LabelMap:
    return np.unique(label_map, return_inverse=True)[1].reshape(label_map.shape).astype(np.int32)


ORACLES = pytest.mark.parametrize("oracle", [whole_cells, parts_apart])


@ORACLES
@pytest.mark.parametrize("overlap", [2, 5, 11])
@pytest.mark.parametrize("seed", range(4))
def test_random_fields_are_recovered(
    seed: int, overlap: int, oracle: Callable[..., Candidates]
) -> None:
    rng = np.random.default_rng(seed)
    size = (int(rng.integers(40, 90)), int(rng.integers(40, 90)))
    label_map = renumbered(grown_cells(rng, size, int(rng.integers(3, 60))))
    windows = tiles(size, (23, 31), overlap)
    assert len(windows) >= 4
    assert_same_cells(stitched(label_map, windows, oracle), label_map)


def figure(name: str) -> LabelMap:
    """Cells that are hard to stitch, in a field of 60 x 90."""
    field = np.zeros((60, 90), np.int32)
    if name == "long thin cells over three windows":
        field[10, 2:88], field[11, 2:88], field[30, 5:85] = 1, 2, 3
    elif name == "a diagonal":
        for step in range(58):
            field[step : step + 2, step + 10] = 1
    elif name == "a cell larger than any window":
        field[3:57, 3:87], field[20:40, 30:60], field[25:30, 40:50] = 1, 0, 2
    elif name == "legs that meet in another window":
        field[10:14, 5:80], field[30:34, 5:80], field[10:34, 76:80] = 1, 1, 1
        field[20:24, 5:70] = 2
    elif name == "touching squares on the seams":
        for row in range(10):
            for col in range(15):
                field[6 * row : 6 * row + 6, 6 * col : 6 * col + 6] = 15 * row + col + 1
    elif name == "cells that end exactly at a window's edge":
        field[5:10, 30:40], field[12:17, 40:50] = 1, 2
        field[20:25, 20:40], field[28:33, 30:70] = 3, 4
    elif name == "single pixels":
        field[::5, ::7] = np.arange(1, 157).reshape(12, 13)
    return field


@ORACLES
@pytest.mark.parametrize(
    "name",
    [
        "long thin cells over three windows",
        "a diagonal",
        "a cell larger than any window",
        "legs that meet in another window",
        "touching squares on the seams",
        "cells that end exactly at a window's edge",
        "single pixels",
    ],
)
@pytest.mark.parametrize("tile", [(60, 40), (20, 40), (30, 30)])
def test_hard_figures(name: str, tile: tuple[int, int], oracle: Callable[..., Candidates]) -> None:
    label_map = figure(name)
    windows = tiles((60, 90), tile, 10)
    assert_same_cells(stitched(label_map, windows, oracle), label_map)


def test_windows_may_reach_beyond_the_image() -> None:
    label_map = figure("touching squares on the seams")
    windows = [Window(-8, -8, 40, 60), Window(-8, 40, 40, 100), Window(24, -8, 72, 100)]
    parts = []
    for window in windows:
        padded = np.pad(label_map, 40)[window.row0 + 40 : window.row1 + 40,
                                       window.col0 + 40 : window.col1 + 40]  # fmt: skip
        parts.append(candidates_of(renumbered(padded)))
    assert_same_cells(stitch(parts, windows, (60, 90)), label_map)


def test_no_cells_and_one_window() -> None:
    windows = tiles((60, 90), (30, 30), 10)
    assert len(stitched(np.zeros((60, 90), np.int32), windows)) == 0
    overlapping = Candidates.concatenate([candidates_of(figure("a diagonal"))] * 2)
    assert len(stitch([overlapping], [Window(0, 0, 60, 90)], (60, 90))) == 2


def test_scores_and_types_of_a_union_are_means_by_area() -> None:
    label_map = np.zeros((4, 40), np.int32)
    label_map[:, 2:38] = 1
    windows = [Window(0, 0, 4, 22), Window(0, 18, 4, 40)]
    parts = [
        candidates_of(label_map[:, :22], 0.8),  # 20 columns of the cell
        candidates_of(label_map[:, 18:], 0.2),  # as many
    ]
    found = stitch(parts, windows, (4, 40))
    np.testing.assert_allclose(found.score, [0.5], atol=1e-6)
    np.testing.assert_allclose(np.asarray(found.type_probability), [[0.25, 0.75]], atol=1e-6)


@pytest.mark.parametrize("sliver", [1, 2, 4])
def test_a_wrong_sliver_at_an_edge_is_replaced_by_the_whole_cell(sliver: int) -> None:
    truth = np.zeros((20, 40), np.int32)
    truth[4:16, 18:30] = 1
    windows = [Window(0, 0, 20, 24), Window(0, 10, 20, 40)]
    poor = np.zeros((20, 24), np.int32)
    poor[6:10, 24 - sliver :] = 1  # the left window contains a corner of it
    parts = [candidates_of(poor, 0.95), candidates_of(truth[:, 10:], 0.7)]
    assert_same_cells(stitch(parts, windows, (20, 40)), truth)


def test_an_uncertain_candidate_removes_no_confident_piece() -> None:
    windows = [Window(0, 0, 20, 24), Window(0, 10, 20, 40)]
    sure, doubtful = np.zeros((20, 24), np.int32), np.zeros((20, 30), np.int32)
    sure[4:16, 14:24] = 1
    doubtful[0:19, 2:29] = 1
    parts = [candidates_of(sure, 0.9), candidates_of(doubtful, 0.05)]
    found = stitch(parts, windows, (20, 40))
    assert found.score[0] == pytest.approx(0.9)


def test_candidates_of_one_window_are_left_to_selection() -> None:
    label_map = np.zeros((20, 40), np.int32)
    label_map[4:10, 4:10] = 1
    twice = Candidates.concatenate([candidates_of(label_map[:, :24])] * 2)
    windows = [Window(0, 0, 20, 24), Window(0, 16, 20, 40)]
    nothing = candidates_of(np.zeros((20, 24), np.int32))
    assert len(stitch([twice, nothing], windows, (20, 40))) == 2


def test_faint_cells_are_stitched_as_well() -> None:
    label_map = figure("long thin cells over three windows")
    windows = tiles((60, 90), (60, 40), 10)
    parts = []
    for window in windows:
        seen = label_map[window.slices]
        faint = np.where(seen > 0, np.float32(0.2), np.float32(0))
        parts.append(Candidates.from_label_map(seen, faint, np.full(3, 0.2, np.float32)))
    found = stitch(parts, windows, (60, 90))
    assert len(found) == 3
    assert {int(mask.astype(bool).sum()) for mask in soft_stack(found)} == {86, 80}


@given(stacks(max_cells=3, max_side=8))
def test_connected_parts_are_those_of_ndimage(stack: Stack) -> None:
    parts, owner = connected_parts(instances_of(stack))
    expected = []
    for cell, mask in enumerate(stack):
        labels, count = ndimage.label(mask)
        expected += [(cell, (labels == k).tobytes()) for k in range(1, count + 1)]
    found = [(cell, mask.tobytes()) for cell, mask in zip(owner, stack_of(parts), strict=True)]
    assert sorted(found) == sorted(expected)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_any_field_any_overlap(seed: int, overlap: int) -> None:
    rng = np.random.default_rng(seed)
    size = (int(rng.integers(6, 26)), int(rng.integers(6, 26)))
    label_map = renumbered(grown_cells(rng, size, int(rng.integers(1, 7))))
    windows = tiles(size, (int(rng.integers(5, 14)), int(rng.integers(5, 14))), overlap)
    assert_same_cells(stitched(label_map, windows, parts_apart), label_map)
