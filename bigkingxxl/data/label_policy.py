"""Correct broken outlines of annotated cells for training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bigkingxxl.data.quality.shapes import measure_shapes
from bigkingxxl.instances import Instances

LabelPolicy = Literal["as_annotated", "fill_holes", "mended"]
SPECK = 4  # pixels; smaller cells are slips of the brush


def apply_policy(instances: Instances, policy: LabelPolicy) -> Instances:
    """Correct annotations for training; scores always use the original ones."""
    if policy == "mended":
        instances = without_specks(largest_parts(instances))
    return instances if policy == "as_annotated" else fill_holes(instances)


@dataclass(frozen=True)
class Flaws:
    """The number of cells of an image with several parts, and of cells below `SPECK` pixels."""

    fragmented: int
    specks: int


def flaws(instances: Instances) -> Flaws:
    """Count the cells that the policy 'mended' changes, except for holes."""
    shapes = measure_shapes(instances)
    return Flaws(int((shapes.parts > 1).sum()), int((shapes.area < SPECK).sum()))


def without_specks(instances: Instances) -> Instances:
    """Keep the cells of at least `SPECK` pixels."""
    return instances.take(instances.areas() >= SPECK)


def largest_parts(instances: Instances) -> Instances:
    """Keep the largest 8-connected part of each cell.

    A stray part is not connected to the centre of its cell: a network would learn flows that lead
    nowhere.
    """
    broken = np.flatnonzero(measure_shapes(instances).parts > 1)
    if len(broken) == 0:
        return instances
    owner, flat = instances.pixels()
    whole = ~np.isin(owner, broken)
    owners, pixels = [owner[whole]], [flat[whole]]
    width, boxes = instances.size[1], instances.boxes()
    for cell in broken:
        row, col, stop, end = boxes[cell]
        part, _ = ndimage.label(instances.mask(int(cell))[row:stop, col:end], np.ones((3, 3)))
        largest = np.bincount(part.ravel())[1:].argmax() + 1
        rows, cols = np.nonzero(part == largest)
        pixels.append((rows + row) * width + cols + col)
        owners.append(np.full(len(rows), cell, owner.dtype))
    return _same_cells(instances, owners, pixels)


def fill_holes(instances: Instances) -> Instances:
    """Fill the holes of cells.

    Many outlines of astrocytes in the challenge were saved incorrectly, as the rim of a cell
    without its interior. A network trained on them would learn to doubt the interior of every cell.
    """
    hollow = np.flatnonzero(measure_shapes(instances).holes)
    if len(hollow) == 0:
        return instances
    owner, flat = instances.pixels()
    owners, pixels = [owner], [flat]
    width, boxes = instances.size[1], instances.boxes()
    for cell in hollow:
        row, col, stop, end = boxes[cell]
        mask = instances.mask(int(cell))[row:stop, col:end]
        rows, cols = np.nonzero(ndimage.binary_fill_holes(mask))
        pixels.append((rows + row) * width + cols + col)
        owners.append(np.full(len(rows), cell, owner.dtype))
    return _same_cells(instances, owners, pixels)


def _same_cells(
    instances: Instances, owners: list[NDArray[np.int64]], pixels: list[NDArray[np.int64]]
) -> Instances:
    return Instances.from_pixels(
        np.concatenate(owners), np.concatenate(pixels), len(instances), instances.size,
        cell_type=instances.cell_type, type_names=instances.type_names,
        score=instances.score, pixel_size_um=instances.pixel_size_um,
    )  # fmt: skip
