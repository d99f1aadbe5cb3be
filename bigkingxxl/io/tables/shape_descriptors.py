"""Shape descriptors of all cells at once, equal to scikit-image's `regionprops` but much faster.

Overlapping cells are measured independently. Cells without pixels have an area of 0, and NaN for
everything else.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bigkingxxl import rle
from bigkingxxl.instances import Instances

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
FAR = np.iinfo(np.int32).max

# The contribution of a border pixel, by 1 + 2 x its border neighbours + 10 x the diagonal ones.
BORDER_WEIGHTS = np.zeros(50)
BORDER_WEIGHTS[[5, 7, 15, 17, 25, 27]] = 1
BORDER_WEIGHTS[[21, 33]] = np.sqrt(2)
BORDER_WEIGHTS[[13, 23]] = (1 + np.sqrt(2)) / 2


def centroids(instances: Instances) -> Float64:
    """Compute the centroid of each cell, float64[N, 2]; the centre of the first pixel is 0."""
    area, row, col = _sums(instances)[:3]
    corner = instances.boxes()[:, :2]
    with np.errstate(invalid="ignore"):
        result: Float64 = np.stack((row / area, col / area), axis=1) + corner
    return result


def eccentricities(instances: Instances) -> Float64:
    """Compute the eccentricity of the ellipse with the same second moments, float64[N], 0 to 1."""
    area, row, col, row_row, row_col, col_col = _sums(instances).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        along_rows = row_row / area - (row / area) ** 2
        along_cols = col_col / area - (col / area) ** 2
        mixed = row_col / area - row * col / area**2
        middle = (along_rows + along_cols) / 2
        spread = np.hypot((along_rows - along_cols) / 2, mixed)
        longest, shortest = middle + spread, np.maximum(middle - spread, 0)
        result: Float64 = np.where(longest > 0, np.sqrt(1 - shortest / longest), middle)
    return result


def _sums(instances: Instances) -> Int64:
    """Return pixels and sums of row, col, row², row x col, col² in each cell's box, int64[6, N]."""
    corner = instances.boxes()[instances.run_owner]
    row = instances.runs[:, 0].astype(np.int64) - corner[:, 0]
    start, stop = (instances.runs[:, side].astype(np.int64) - corner[:, 1] for side in (1, 2))
    length = stop - start
    col = (stop * (stop - 1) - start * (start - 1)) // 2
    col_col = ((stop - 1) * stop * (2 * stop - 1) - (start - 1) * start * (2 * start - 1)) // 6
    terms = np.stack((length, row * length, col, row * row * length, row * col, col_col))
    total = np.zeros((6, len(row) + 1), np.int64)
    np.cumsum(terms, axis=1, out=total[:, 1:])
    return np.diff(total[:, instances.splits], axis=1)


def perimeters(instances: Instances) -> Float64:
    """Compute the perimeter of each cell in pixels, float64[N], as `skimage.measure.perimeter`.

    Source: K. Benkrid, D. Crookes, "Design and FPGA implementation of a perimeter estimator".
    """
    boxes = instances.boxes().astype(np.int64)
    # Every cell is drawn into a padded box of its own; the boxes follow one another.
    stride = boxes[:, 3] - boxes[:, 1] + 2
    first = rle.split_points(stride * (boxes[:, 2] - boxes[:, 0] + 2))
    owner, flat = instances.pixels()
    row, col = np.divmod(flat, instances.size[1])
    row, col = row - boxes[owner, 0] + 1, col - boxes[owner, 1] + 1
    place, step = first[owner] + row * stride[owner] + col, stride[owner]
    inside = np.zeros(int(first[-1]), np.uint8)
    inside[place] = 1
    kernel = inside[place - step] & inside[place + step] & inside[place - 1] & inside[place + 1]
    edge = kernel == 0
    place, step = place[edge], step[edge]
    border = np.zeros_like(inside)
    border[place] = 1
    beside = border[place - step] + border[place + step] + border[place - 1] + border[place + 1]
    above, below = place - step, place + step
    diagonal = border[above - 1] + border[above + 1] + border[below - 1] + border[below + 1]
    weights = BORDER_WEIGHTS[1 + 2 * beside + 10 * diagonal]
    result = np.bincount(owner[edge], weights, minlength=len(instances)).astype(np.float64)
    result[instances.areas() == 0] = np.nan
    return result


def solidities(instances: Instances) -> Float64:
    """Compute the area divided by that of the convex hull, float64[N], as in `regionprops`.

    A pixel is in the hull of the midpoints of pixel edges if its centre is.
    """
    boxes = instances.boxes().astype(np.int64)
    heights = boxes[:, 2] - boxes[:, 0]
    left, right = _ends_of_rows(instances, boxes, heights)
    rows = int(heights.sum())
    # The right side is the left side of the mirrored cell, so both hulls are computed at once.
    hull = _hull_starts(np.concatenate((left, -right)), np.tile(heights, 2))
    widths = 1 - hull[:rows] - hull[rows:]
    total = rle.split_points(widths)
    areas = np.diff(total[rle.split_points(heights)])
    with np.errstate(invalid="ignore", divide="ignore"):
        return instances.areas() / areas


def _ends_of_rows(instances: Instances, boxes: Int64, heights: Int64) -> tuple[Int64, Int64]:
    """Return the first and last column of every row of every box, int64[sum of heights] each.

    Rows without pixels have FAR and -FAR.
    """
    line = rle.split_points(heights)[:-1][instances.run_owner]
    line = line + instances.runs[:, 0] - boxes[instances.run_owner, 0]
    left = np.full(int(heights.sum()), FAR, np.int64)
    right = -left
    # Runs are sorted: the first run of a row has its first column, and the last run its last.
    new = np.flatnonzero(np.diff(line, prepend=-1))
    last = np.append(new[1:], len(line))[: len(new)] - 1
    left[line[new]] = instances.runs[new, 1]
    right[line[last]] = instances.runs[last, 2] - 1
    return left, right


def _hull_starts(starts: Int64, heights: Int64) -> Int64:
    """Return the first column whose centre is in the hull, row by row: int64[sum of heights].

    Args:
        starts: int64[sum of heights], the first column of each row (FAR if empty) of each shape.
        heights: int64[M], the number of rows of each shape.
    """
    # On a grid of half pixels all corners of the hull are integers: the centre of a row lies on odd
    # lines, and its upper and lower edge on even ones.
    first = rle.split_points(2 * heights + 1)
    middle = rle.expand(first[:-1], heights) + rle.expand(0 * heights + 1, heights)
    x = np.full(int(first[-1]), 2 * FAR, np.int64)
    np.minimum.at(x, middle - 1, 2 * starts)
    np.minimum.at(x, middle + 1, 2 * starts)
    x[middle] = 2 * starts - 1
    shape = np.repeat(np.arange(len(heights)), 2 * heights + 1)
    y = np.flatnonzero(x < 2 * FAR - 1)
    x = x[y]
    kept = _without_dents(x, y, shape[y])
    x, y = x[kept], y[kept]
    # Between two corners the hull is a straight line.
    edge = np.searchsorted(y, middle, side="right") - 1
    rise = y[edge + 1] - y[edge]
    doubled = x[edge] * rise + (x[edge + 1] - x[edge]) * (middle - y[edge])
    starts_of_rows: Int64 = -(-doubled // (2 * rise))
    return starts_of_rows


def _without_dents(x: Int64, y: Int64, shape: Int64) -> Int64:
    """Return the indices of the corners of the hull's left side; y ascends within a shape."""
    kept = np.arange(len(x))
    while len(kept) > 2:
        before, here, after = kept[:-2], kept[1:-1], kept[2:]
        same = (shape[before] == shape[here]) & (shape[here] == shape[after])
        run, rise = x[after] - x[before], y[after] - y[before]
        # A corner of the hull is convex with respect to any neighbours.
        dent = (x[here] - x[before]) * rise >= run * (y[here] - y[before])
        remove = same & dent
        if not remove.any():
            break
        kept = np.delete(kept, np.flatnonzero(remove) + 1)
    return kept
