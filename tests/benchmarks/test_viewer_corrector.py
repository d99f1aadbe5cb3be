"""What the scripted annotator considers wrong, and where it cuts and draws."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.draw import polygon

pytest.importorskip("playwright")
corrector = pytest.importorskip("benchmarks.studies.viewer_corrector")

TRUTH = np.zeros((40, 60), np.int64)
TRUTH[5:15, 5:15], TRUTH[5:15, 15:25], TRUTH[20:32, 30:50] = 1, 2, 3


def kinds(labels: np.ndarray) -> list[tuple[str, tuple[int, ...]]]:
    return [(each.kind, each.cells) for each in corrector.faults(labels, TRUTH, 0.8)]


def test_each_fault_has_its_own_correction() -> None:
    assert kinds(TRUTH * 7) == []
    assert kinds(np.where(TRUTH == 3, 0, TRUTH)) == [("draw", ())]
    merged = np.where(TRUTH == 2, 1, TRUTH)
    assert kinds(merged) == [("cut", (1,)), ("cut", (1,))]
    split = TRUTH.copy()
    split[20:32, 40:50] = 9
    assert kinds(split) == [("merge", (3, 9))]
    extra = TRUTH.copy()
    extra[35:39, 2:8] = 5
    assert kinds(extra) == [("delete", (5,))]
    shrunken = TRUTH.copy()
    shrunken[20:32, 30:36] = 0
    assert kinds(shrunken) == [("redraw", (3,))]


def test_the_worst_comes_first() -> None:
    labels = np.where(TRUTH == 1, 0, TRUTH)
    labels[20:32, 30:36] = 0
    assert [kind for kind, _ in kinds(labels)] == ["draw", "redraw"]


def test_a_cut_parts_two_cells_and_crosses_all_of_the_one_that_they_are_in() -> None:
    host = np.isin(TRUTH, (1, 2))
    (row0, col0), (row1, col1) = corrector.cut_line(host, TRUTH, (1, 2))
    assert col0 == pytest.approx(15, abs=0.1)
    assert col1 == pytest.approx(15, abs=0.1)
    assert sorted((row0, row1)) == [pytest.approx(2, abs=0.6), pytest.approx(18, abs=0.6)]


def test_an_outline_is_that_of_the_cell() -> None:
    rows, cols = np.ogrid[:60, :60]
    disc = (rows - 30) ** 2 + (cols - 25) ** 2 < 18**2
    points = np.array(corrector.outline(disc)) - 0.5  # pixel centres have integer coordinates here
    drawn = np.zeros_like(disc)
    drawn[polygon(points[:, 0], points[:, 1], disc.shape)] = True
    assert (drawn & disc).sum() / (drawn | disc).sum() > 0.93
