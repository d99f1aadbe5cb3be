"""Estimate the size of an image's cells from the candidates at several scales.

A network that was trained on a range of cell sizes covers most cells, with the highest scores, if
they are shown in that range. Windows of the image are therefore predicted at several scales. The
scale with the most evidence wins, unless the scale of training has nearly as much.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from bigkingxxl.candidates import Candidates
from bigkingxxl.geometry import Window, disc_diameter, whole
from bigkingxxl.images import ImageSource, Normalisation
from bigkingxxl.inference.domain.image_statistics import outside_ranges
from bigkingxxl.inference.selection import type_votes
from bigkingxxl.inference.size.scale_ratio import TrainingImages

# The study size_estimation (benchmarks/studies/README.md) measured these values on images of the
# challenge that were scaled by 0.5 to 2, and familiar_images the false alarms.
LADDER = tuple(2 ** (half / 2) for half in (-4, -3, -2, -1, 1, 2, 3))
REGION = 384  # the side of the windows, in pixels of the training images
PLACES = 4  # possible positions of a window along each axis
SURE = 0.3  # the least score of candidates that count
BETTER = 1.25  # factor by which another scale must exceed the evidence at the scale of training
LITTLE = 0.0005  # evidence that debris alone may produce
# the number of cells that counts half in a shrunken image, where a colony looks like one cell
FEW = 10
DIAMETER_MARGIN = 1.25
WINDOW_MARGIN = 0.05
SIZE_STATISTICS = ("grain", "fine", "coarse")  # statistics that change with the scale

PredictWindow = Callable[[ImageSource, Window, float], Candidates]


def is_plausible(
    found: Candidates, statistics: Mapping[str, float], training: TrainingImages
) -> bool:
    """Return whether the candidates at the scale of training are beyond doubt.

    That is the case if there are enough cells, their median diameter occurred in training images of
    their type, and the image is as coarse as these.

    Args:
        found: The candidates.
        statistics: The `image_statistics` of the image.
        training: The properties of the training images.
    """
    diameter, cell_type = median_diameter(found)
    low, high = training.diameter_range(cell_type)
    if not low / DIAMETER_MARGIN <= diameter <= high * DIAMETER_MARGIN:
        return False
    known = {
        name: span for name, span in training.image_statistics.items() if name in SIZE_STATISTICS
    }
    return not outside_ranges(statistics, known, WINDOW_MARGIN)


def sizes_in_question(
    statistics: Mapping[str, float], training: TrainingImages
) -> tuple[float, ...]:
    """Return the scale ratios to try; an image coarser than the training images is not enlarged.

    A network finds many false cells in the texture of an image that is enlarged too much.

    Args:
        statistics: The `image_statistics` of the image.
        training: The properties of the training images.
    """
    known = training.image_statistics
    coarser = statistics["coarse"] > known.get("coarse", (0.0, np.inf))[1]
    coarser |= statistics["fine"] < known.get("fine", (0.0, np.inf))[0]
    return tuple(size for size in LADDER if size < 1 or not coarser)


def median_diameter(found: Candidates) -> tuple[float, str]:
    """Return the median diameter of confident candidates and the type with most of their area.

    The diameter is in pixels of the training images; it is 0 if there are no such candidates.
    """
    sure = found.take(found.score >= SURE)
    if not len(sure):
        return 0.0, ""
    owner, _, _ = sure.pixels()
    areas = np.bincount(owner[sure.probability > 127], minlength=len(sure))
    names, shares = sure.type_names, sure.type_probability
    cell_type = ""
    if shares is not None and names:
        votes = type_votes(shares, sure.score * areas)
        cell_type = names[votes.index(max(votes))]
    return float(disc_diameter(np.median(areas))) * found.scale_ratio, cell_type


def estimate_size(
    predict_window: PredictWindow,
    source: ImageSource,
    normalisation: Normalisation,
    first: Candidates | None,
    sizes: Sequence[float] = LADDER,
) -> float:
    """Return the scale ratio with the most evidence; 1 unless another is clearly better.

    Args:
        predict_window: Returns the candidates of a window of the image at a scale ratio, in the
            frame of the window.
        source: The image.
        normalisation: The normalisation of the model.
        first: The candidates of the whole image at a scale ratio of 1, if available.
        sizes: The scale ratios to try.
    """
    middle = busiest(source, normalisation)
    seen = whole(source.shape) if first is not None else window_around(middle, REGION, source)
    first = predict_window(source, seen, 1.0) if first is None else first
    best, size = float(np.log(BETTER)), 1.0
    for ratio in sizes:
        window = window_around(middle, round(REGION / ratio), source)
        common = _both(window, seen)
        found = evidence(
            predict_window(source, window, ratio), window, common, FEW if ratio < 1 else 0
        )
        gain = float(np.log((found + LITTLE) / (evidence(first, seen, common) + LITTLE)))
        if gain > best:
            best, size = gain, ratio
    return size


def evidence(found: Candidates, frame: Window, region: Window, few: int = 0) -> float:
    """Return the fraction of a region that candidates cover, weighted by the squared score.

    Args:
        found: The candidates.
        frame: The window of the candidates in the image.
        region: The region of the image.
        few: The number of confident candidates that counts half; fewer count less.
    """
    owner, row, col = found.pixels()
    row, col = row + frame.row0, col + frame.col0
    sure = found.score >= SURE
    weight = np.where(sure, found.score, 0) ** 2
    inside = (found.probability > 127) & (row >= region.row0) & (row < region.row1)
    inside &= (col >= region.col0) & (col < region.col1)
    covered = float(weight[owner[inside]].sum()) / (region.size[0] * region.size[1])
    if few == 0:
        return covered
    cells = int(sure[np.unique(owner[inside])].sum())
    return covered * cells / (cells + few)


def busiest(source: ImageSource, normalisation: Normalisation) -> tuple[int, int]:
    """Return the centre (row, column) of the window with the most contrast."""
    side = REGION // 2
    rows, cols = (
        np.unique(np.linspace(0, max(length - side, 0), PLACES).astype(int)).tolist()
        for length in source.shape
    )
    windows = [Window(r, c, r + side, c + side).clipped(source.shape) for r in rows for c in cols]
    contrast = [
        float(normalisation.apply(source.read(window), source.statistics).std())
        for window in windows
    ]
    window = windows[int(np.argmax(contrast))]
    return (window.row0 + window.row1) // 2, (window.col0 + window.col1) // 2


def window_around(middle: tuple[int, int], side: int, source: ImageSource) -> Window:
    """Return a window of the given side, or of the image's if that is shorter, inside the image."""
    edges = []
    for centre, length in zip(middle, source.shape, strict=True):
        extent = min(side, length)
        start = min(max(centre - extent // 2, 0), length - extent)
        edges.append((start, start + extent))
    return Window(edges[0][0], edges[1][0], edges[0][1], edges[1][1])


def _both(one: Window, two: Window) -> Window:
    """Return the intersection of two windows with the same centre, which is not empty."""
    return Window(max(one.row0, two.row0), max(one.col0, two.col0),
                  min(one.row1, two.row1), min(one.col1, two.col1))  # fmt: skip
