"""What training takes for the truth where annotated outlines are broken."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy import ndimage

from bigkingxxl.data.shapes import measure_shapes
from bigkingxxl.instances import Instances

LabelPolicy = Literal["as_annotated", "fill_holes"]


def apply_policy(instances: Instances, policy: LabelPolicy) -> Instances:
    """Annotations as training should see them; scoring always sees them as they are."""
    return fill_holes(instances) if policy == "fill_holes" else instances


def fill_holes(instances: Instances) -> Instances:
    """The same cells without gaps inside them.

    Many outlines of the challenge's astrocytes were saved broken: the rim of a cell with nothing
    in it. A network that learns them learns to doubt the inside of every cell.
    """
    hollow = np.flatnonzero(measure_shapes(instances).holes)
    if len(hollow) == 0:
        return instances
    owner, flat = instances.pixels()
    owners, pixels = [owner], [flat]
    width, boxes = instances.size[1], instances.boxes()
    for cell in hollow:
        row, col, stop, end = boxes[cell]
        mask = instances.mask(cell)[row:stop, col:end]
        rows, cols = np.nonzero(ndimage.binary_fill_holes(mask))
        pixels.append((rows + row) * width + cols + col)
        owners.append(np.full(len(rows), cell, owner.dtype))
    return Instances.from_pixels(
        np.concatenate(owners), np.concatenate(pixels), len(instances), instances.size,
        cell_type=instances.cell_type, type_names=instances.type_names,
        score=instances.score, pixel_size_um=instances.pixel_size_um,
    )  # fmt: skip
