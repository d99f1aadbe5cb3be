"""Shapes of cells compared with scikit-image's `regionprops`, cell by cell."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from skimage.measure import regionprops

from bigkingxxl.io.tables.shape_descriptors import (
    centroids,
    eccentricities,
    perimeters,
    solidities,
)
from tests.support import Stack, instances_of, stacks


@pytest.mark.filterwarnings("ignore:Failed to get convex hull image")
@given(stack=stacks(max_side=14))
def test_shapes_are_those_of_regionprops(stack: Stack) -> None:
    cells = instances_of(stack)
    measured = zip(
        stack, centroids(cells), eccentricities(cells), perimeters(cells), solidities(cells),
        strict=True,
    )  # fmt: skip
    for mask, centroid, eccentricity, perimeter, solidity in measured:
        if not mask.any():
            assert np.isnan([*centroid, eccentricity, perimeter, solidity]).all()
            continue
        (region,) = regionprops(mask.astype(np.uint8))
        assert centroid == pytest.approx(region.centroid)
        assert eccentricity == pytest.approx(region.eccentricity, abs=1e-6)
        assert perimeter == pytest.approx(region.perimeter)
        assert solidity == pytest.approx(region.solidity)


def test_a_crescent_far_from_the_origin() -> None:
    row, col = np.mgrid[:70, :90]
    disc = (row - 35) ** 2 + (col - 40) ** 2 <= 30**2
    crescent = disc & ((row - 35) ** 2 + (col - 55) ** 2 > 27**2)
    mask = np.zeros((400, 30_000), bool)
    mask[-70:, -90:] = crescent
    cells = instances_of(mask[None])
    (region,) = regionprops(crescent.astype(np.uint8))
    assert centroids(cells)[0] == pytest.approx(np.add(region.centroid, (330, 29_910)))
    assert eccentricities(cells)[0] == pytest.approx(region.eccentricity)
    assert perimeters(cells)[0] == pytest.approx(region.perimeter)
    assert solidities(cells)[0] == pytest.approx(region.solidity)
    assert solidities(cells)[0] < 0.6
