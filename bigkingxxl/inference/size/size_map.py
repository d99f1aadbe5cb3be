"""How large an image shows its cells, read from a network's maps of their sizes.

The image is looked at over a small pyramid: as a whole and coarsely, and in finer windows where
most is to be seen. At every pixel of a cell the map says how large that cell is, best where cells
are about as large as in training.
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

SIDE = 256  # network pixels of one look, each way
SAMPLE_SIDE = 1024  # image pixels, of a window of a large image
FINEST = 2.0  # network pixels per image pixel of the finest level
TRUST = 1.0  # octaves from the size of training within which the map is trusted most
FEWEST_PIXELS = 30  # of foreground; below it nothing is read

Maps = Callable[[ImageSource, Window, float], Float32]


class Reading(NamedTuple):
    """What one look says.

    Attributes:
        log_size: float32[S, P], log2 of each size in image pixels, of each foreground pixel.
        weight: float32[P], so that every cell counts alike, more where the map is trusted more.
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
    """The sizes of an image's cells in its pixels, or None where too little is seen of them.

    Args:
        maps: the maps of a window of an image at a scale (network pixels per image pixel), the
            foreground first.
        size_maps: which of the maps are log2(size / unit), in network pixels: the diameter first,
            last the size by which training brought images to one.
    Returns:
        the median over cells of each size.
    """
    readings = [read(maps(source, window, scale), scale, size_maps, unit)
                for window, scale in sampled_windows(source, normalisation)]  # fmt: skip
    sizes = np.concatenate([each.log_size for each in readings], axis=1)
    weights = np.concatenate([each.weight for each in readings])
    if len(weights) < FEWEST_PIXELS:
        return None
    return [float(2.0 ** weighted_median(each, weights)) for each in sizes]


def weighted_median(values: Float32, weights: Float32) -> float:
    """The value at which half of the weight lies below."""
    order = np.argsort(values)
    total = np.cumsum(weights[order], dtype=np.float64)
    middle = int(np.searchsorted(total, total[-1] / 2))
    return float(values[order][min(middle, len(values) - 1)])


def sampled_windows(
    source: ImageSource, normalisation: Normalisation
) -> Iterator[tuple[Window, float]]:
    """Windows and scales: the whole image, then windows of half the extent and double the scale.

    Of a large image the same in windows spread over it: it is neither read nor seen as a whole.
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
    """What the maps of a window at a scale say of the cells' sizes in image pixels."""
    inside = maps[0] > 0.5
    octaves = maps[list(size_maps)][:, inside]
    trust = np.exp(-0.5 * (octaves[-1] / TRUST) ** 2)
    weight = maps[0][inside] * np.exp2(-2 * octaves[0]) * trust
    return Reading((octaves + np.log2(unit / scale)).astype(np.float32), weight.astype(np.float32))
