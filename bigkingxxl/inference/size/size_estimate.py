"""The size of an image's cells from what the network sees of them, where nothing says it.

A network trained on cells of one size range covers most of them, and most surely, where it is
shown cells of that range. So an image is looked at in several sizes, in windows, and the size with
the most evidence holds, unless the size of training has nearly as much.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from bigkingxxl.candidates import Candidates
from bigkingxxl.geometry import Window, disc_diameter, whole
from bigkingxxl.images import ImageSource, Normalisation
from bigkingxxl.inference.domain.image_statistics import outside_ranges
from bigkingxxl.inference.selection import type_votes
from bigkingxxl.inference.size.sizing import TrainingImages

LADDER = tuple(2 ** (half / 2) for half in (-4, -3, -2, -1, 1, 2, 3))
REGION = 384  # side of the windows, pixels of training
PLACES = 4  # each way, where a window may lie
SURE = 0.3  # least score of candidates that count
BETTER = 1.25  # times the evidence at the size of training that another must have
LITTLE = 0.0005  # evidence that debris may give
FEW = 10  # cells that count half where an image is shrunk: from afar a colony looks like one cell
DIAMETER_MARGIN = 1.25
LOOK_MARGIN = 0.05
SIZE_STATISTICS = ("grain", "fine", "coarse")  # that change with the size of what is seen

Look = Callable[[ImageSource, Window, float], Candidates]


def is_plausible(
    found: Candidates, statistics: Mapping[str, float], training: TrainingImages
) -> bool:
    """True where what was found at the size of training leaves no doubt of it.

    That is some cells, of a median diameter that images of their type had in training, in an image
    whose structure is as coarse as theirs.

    Args:
        statistics: the image's `image_statistics`.
    """
    diameter, cell_type = median_diameter(found)
    low, high = training.diameter_range(cell_type)
    if not low / DIAMETER_MARGIN <= diameter <= high * DIAMETER_MARGIN:
        return False
    known = {
        name: span for name, span in training.image_statistics.items() if name in SIZE_STATISTICS
    }
    return not outside_ranges(statistics, known, LOOK_MARGIN)


def sizes_in_question(
    statistics: Mapping[str, float], training: TrainingImages
) -> tuple[float, ...]:
    """Scale ratios that an image may have: one coarser than those of training is not enlarged.

    A network sees cells in the texture of what is enlarged too much, and many.

    Args:
        statistics: the image's `image_statistics`.
    """
    known = training.image_statistics
    coarser = statistics["coarse"] > known.get("coarse", (0.0, np.inf))[1]
    coarser |= statistics["fine"] < known.get("fine", (0.0, np.inf))[0]
    return tuple(size for size in LADDER if size < 1 or not coarser)


def median_diameter(found: Candidates) -> tuple[float, str]:
    """Of the sure candidates, in pixels of training, and the type most of their area has.

    0 where there are none.
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
    look: Look,
    source: ImageSource,
    normalisation: Normalisation,
    first: Candidates | None,
    sizes: Sequence[float] = LADDER,
) -> float:
    """The scale ratio at which the network finds the most; 1 where nothing speaks against it.

    Args:
        look: the candidates of an image's window at a scale ratio, in the window's frame.
        first: those of the whole image at a scale ratio of 1, where there are any.
        sizes: that are tried besides.
    """
    middle = busiest(source, normalisation)
    seen = whole(source.shape) if first is not None else window_around(middle, REGION, source)
    first = look(source, seen, 1.0) if first is None else first
    best, size = float(np.log(BETTER)), 1.0
    for ratio in sizes:
        window = window_around(middle, round(REGION / ratio), source)
        common = _both(window, seen)
        found = evidence(look(source, window, ratio), window, common, FEW if ratio < 1 else 0)
        gain = float(np.log((found + LITTLE) / (evidence(first, seen, common) + LITTLE)))
        if gain > best:
            best, size = gain, ratio
    return size


def evidence(found: Candidates, frame: Window, region: Window, few: int = 0) -> float:
    """Share of a region that candidates cover, each weighted with its squared score.

    Args:
        frame: where in the image the candidates' frame lies; region: of the image, inside it.
        few: so many sure ones count half, and fewer of them still less.
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
    """The middle (row, column) of the window with the most contrast, of a few that are spread."""
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
    """A window of that side, or of the image's where that is shorter, moved inside the image."""
    edges = []
    for centre, length in zip(middle, source.shape, strict=True):
        extent = min(side, length)
        start = min(max(centre - extent // 2, 0), length - extent)
        edges.append((start, start + extent))
    return Window(edges[0][0], edges[1][0], edges[0][1], edges[1][1])


def _both(one: Window, two: Window) -> Window:
    """What two windows share; they have the same middle, so it is something."""
    return Window(max(one.row0, two.row0), max(one.col0, two.col0),
                  min(one.row1, two.row1), min(one.col1, two.col1))  # fmt: skip
