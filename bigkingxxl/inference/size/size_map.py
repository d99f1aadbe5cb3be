"""How large an image shows its cells, read from a network's map of sizes.

The image is looked at over a small pyramid: as a whole and coarsely, and in finer windows where
most is to be seen. At every pixel of a cell the map says how large that cell is, best where cells
are about as large as in training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from bigkingxxl.geometry import Window, whole
from bigkingxxl.images import Float32, ImageSource, Normalisation
from bigkingxxl.inference.size.size_estimate import busiest, window_around

SIDE = 256  # network pixels of one look, each way
FINEST = 2.0  # network pixels per image pixel of the finest level
TRUST = 1.0  # octaves from the size of training within which the map is trusted most
FEWEST_PIXELS = 30  # of foreground; below it nothing is read

Maps = Callable[[ImageSource, Window, float], Float32]


class Reading(NamedTuple):
    """What one look says.

    Attributes:
        log_diameter: float32[P], log2 of the diameter in image pixels, of each foreground pixel.
        weight: float32[P], so that every cell counts alike, more where the map is trusted more.
    """

    log_diameter: Float32
    weight: Float32


def diameter_of_cells(
    maps: Maps, source: ImageSource, normalisation: Normalisation, size_map: int, unit: float
) -> float | None:
    """The diameter of an image's cells in its pixels, or None where too little is seen of them.

    Args:
        maps: the maps of a window of an image at a scale (network pixels per image pixel), the
            foreground first.
        size_map: which of the maps is log2(diameter / unit), in network pixels.
    """
    readings = [read(maps(source, window, scale), scale, size_map, unit)
                for window, scale in looks(source, normalisation)]  # fmt: skip
    values = np.concatenate([each.log_diameter for each in readings])
    weights = np.concatenate([each.weight for each in readings])
    if len(values) < FEWEST_PIXELS:
        return None
    order = np.argsort(values)
    total = np.cumsum(weights[order], dtype=np.float64)
    middle = int(np.searchsorted(total, total[-1] / 2))
    return float(2.0 ** values[order][min(middle, len(values) - 1)])


def looks(source: ImageSource, normalisation: Normalisation) -> Iterator[tuple[Window, float]]:
    """Windows and scales: the whole image, then windows of half the extent and double the scale."""
    scale = SIDE / float(np.sqrt(source.shape[0] * source.shape[1]))
    yield whole(source.shape), min(scale, FINEST)
    middle = None
    while scale * 2 <= FINEST:
        scale *= 2
        middle = busiest(source, normalisation) if middle is None else middle
        yield window_around(middle, round(SIDE / scale), source), scale


def read(maps: Float32, scale: float, size_map: int, unit: float) -> Reading:
    """What the maps of a window at a scale say of the cells' diameter in image pixels."""
    inside = maps[0] > 0.5
    octaves = maps[size_map][inside]
    weight = maps[0][inside] * np.exp2(-2 * octaves) * np.exp(-0.5 * (octaves / TRUST) ** 2)
    return Reading((octaves + np.log2(unit / scale)).astype(np.float32), weight.astype(np.float32))
