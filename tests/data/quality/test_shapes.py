"""Shapes measured from runs, compared with scipy on dense masks."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from scipy import ndimage

from bigkingxxl.data.quality.shapes import measure_shapes
from tests.support import Stack, instances_of, stacks

CORNERS_TOUCH = np.ones((3, 3))


@given(stacks(max_cells=5, max_side=10))
def test_shapes_are_those_of_the_masks(stack: Stack) -> None:
    found = measure_shapes(instances_of(stack))
    for cell, mask in enumerate(stack):
        padded = np.pad(mask, 1)
        across, down = padded[:, 1:] != padded[:, :-1], padded[1:] != padded[:-1]
        assert found.area[cell] == mask.sum()
        assert found.outline[cell] == across.sum() + down.sum()
        assert found.parts[cell] == ndimage.label(mask, CORNERS_TOUCH)[1]
        assert found.holes[cell] == ndimage.label(~padded)[1] - 1
        assert found.filled[cell] == ndimage.binary_fill_holes(mask).sum()


def test_thickness_is_the_width_of_a_strip() -> None:
    strip = np.zeros((1, 20, 400), bool)
    strip[0, 8:12] = True
    thickness = measure_shapes(instances_of(strip)).thickness
    np.testing.assert_allclose(thickness, 4, rtol=0.02)
