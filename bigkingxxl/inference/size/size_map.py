"""Measure the size of cells with the size maps of a network.

The image is processed over a small pyramid: as a whole at a coarse scale, and at finer scales in
the busiest windows. The map predicts the size of the cell at each of its pixels, most accurately
for cells that are about as large as in training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from bigkingxxl.geometry import Window, whole
from bigkingxxl.images import (
    SUBSAMPLE_ABOVE,
    Float32,
    ImageSource,
    Normalisation,
    PartOfImage,
    busy_windows,
)
from bigkingxxl.inference.size.size_estimate import busiest, window_around

SIDE = 256  # the side of the network's input, in network pixels
SAMPLE_SIDE = 1024  # image pixels; the side of a window of a large image
FINEST = 2.0  # network pixels per image pixel at the finest level
TRUST = 1.0  # octaves around the size in training within which the map is trusted most
FEWEST_PIXELS = 30  # foreground pixels; with fewer the map is not used

Maps = Callable[[ImageSource, Window, float], Float32]


class Reading(NamedTuple):
    """The measurements of one window.

    Attributes:
        log_size: float32[S, P], log2 of each size in image pixels, at each foreground pixel.
        weight: float32[P]; all cells have the same total weight, reduced where the map is trusted
            less.
    """

    log_size: Float32
    weight: Float32


def sizes_of_cells(
    maps: Maps,
    source: ImageSource,
    normalisation: Normalisation,
    size_maps: Sequence[int],
    unit: float,
) -> list[float] | None:
    """Measure the sizes of an image's cells in pixels; None if there is too little foreground.

    Args:
        maps: Returns the maps of a window of an image at a scale (network pixels per image pixel),
            the foreground first.
        source: The image.
        normalisation: The normalisation of the model.
        size_maps: The indices of the maps that hold log2(size / unit) in network pixels: the
            diameter first, and last the size by which training brought images to one scale.
        unit: The size that the value 0 stands for.

    Returns:
        The median of each size over the cells.
    """
    readings = [read(maps(source, window, scale), scale, size_maps, unit)
                for window, scale in sampled_windows(source, normalisation)]  # fmt: skip
    sizes = np.concatenate([each.log_size for each in readings], axis=1)
    weights = np.concatenate([each.weight for each in readings])
    if len(weights) < FEWEST_PIXELS:
        return None
    return [float(2.0 ** weighted_median(each, weights)) for each in sizes]


def weighted_median(values: Float32, weights: Float32) -> float:
    """Return the weighted median."""
    order = np.argsort(values)
    total = np.cumsum(weights[order], dtype=np.float64)
    middle = int(np.searchsorted(total, total[-1] / 2))
    return float(values[order][min(middle, len(values) - 1)])


def sampled_windows(
    source: ImageSource, normalisation: Normalisation
) -> Iterator[tuple[Window, float]]:
    """Yield windows and scales: the whole image, then windows of half the side at twice the scale.

    A large image is represented by windows spread over it, so that it is never read as a whole.
    """
    if source.shape[0] * source.shape[1] > SUBSAMPLE_ABOVE:
        for place in busy_windows(source, SAMPLE_SIDE):
            for window, scale in sampled_windows(PartOfImage(source, place), normalisation):
                row, col = place.row0, place.col0
                moved = Window(window.row0 + row, window.col0 + col, window.row1 + row,
                               window.col1 + col)  # fmt: skip
                yield moved, scale
        return
    scale = SIDE / float(np.sqrt(source.shape[0] * source.shape[1]))
    yield whole(source.shape), min(scale, FINEST)
    middle = None
    while scale * 2 <= FINEST:
        scale *= 2
        middle = busiest(source, normalisation) if middle is None else middle
        yield window_around(middle, round(SIDE / scale), source), scale


def read(maps: Float32, scale: float, size_maps: Sequence[int], unit: float) -> Reading:
    """Read the sizes of cells, in image pixels, from the maps of a window at a scale."""
    inside = maps[0] > 0.5
    octaves = maps[list(size_maps)][:, inside]
    trust = np.exp(-0.5 * (octaves[-1] / TRUST) ** 2)
    weight = maps[0][inside] * np.exp2(-2 * octaves[0]) * trust
    return Reading((octaves + np.log2(unit / scale)).astype(np.float32), weight.astype(np.float32))
