"""Pictures of images with the outlines of annotated and predicted cells, coloured by error."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import BigKingXXLError
from bigkingxxl.evaluation.error_kinds import (
    FOUND,
    INEXACT,
    MERGED,
    MISSED,
    SPLIT,
    SPURIOUS,
    kinds_of,
)
from bigkingxxl.evaluation.pairing import ImagePair
from bigkingxxl.images import ImageSource
from bigkingxxl.instances import Instances
from bigkingxxl.io.pictures.overlay import doubled, gray, outlines, shown_size, shrunk

UInt8 = NDArray[np.uint8]
SourceOf = Callable[[str], ImageSource | None]
LONGEST_SIDE = 704
QUALITY = 60
ANNOTATED, DOUBTFUL = "annotated", "doubtful"
# Bright enough on grey images, and distinguishable by colour-blind readers.
COLOURS: Mapping[str, tuple[int, int, int]] = {
    FOUND: (0, 200, 120),
    MISSED: (255, 60, 40),
    SPURIOUS: (86, 180, 255),
    MERGED: (235, 120, 235),
    SPLIT: (255, 165, 0),
    INEXACT: (245, 235, 60),
    ANNOTATED: (255, 255, 255),
    DOUBTFUL: (255, 165, 0),
}
MEANINGS = {
    FOUND: "found cell", MISSED: "missed cell", SPURIOUS: "spurious cell (not annotated)",
    MERGED: "merged cells", SPLIT: "split cell", INEXACT: "cell with an inexact outline",
    ANNOTATED: "annotated outline of a found cell", DOUBTFUL: "doubtful cell (score below 0.5)",
}  # fmt: skip


def error_picture(pair: ImagePair, source: ImageSource | None, side: int = LONGEST_SIDE) -> bytes:
    """Draw a compared image as JPEG: annotated outlines first, predicted ones over them.

    Args:
        pair: The compared cells.
        source: The image; None draws on black.
        side: The longest side of the picture.
    """
    kinds = kinds_of(pair)
    truth = np.where(kinds.truth == FOUND, ANNOTATED, kinds.truth)
    layers = ((pair.truth, truth), (pair.predicted, kinds.predicted))
    return _picture(pair.size, layers, source, side)


def cells_picture(
    cells: Instances, doubtful: NDArray[np.bool_], source: ImageSource | None,
    side: int = LONGEST_SIDE,
) -> bytes:  # fmt: skip
    """Draw predicted cells only as JPEG; `doubtful` is bool[N]."""
    names = np.where(doubtful, DOUBTFUL, FOUND)
    return _picture(cells.size, ((cells, names),), source, side)


def _picture(
    size: tuple[int, int], layers: tuple[tuple[Instances, NDArray[np.str_]], ...],
    source: ImageSource | None, side: int,
) -> bytes:  # fmt: skip
    from PIL import Image

    # On small images, one-pixel outlines would hide small cells.
    twice = 2 * max(size) <= side
    shown = (2 * size[0], 2 * size[1]) if twice else shown_size(size, side)
    pixels = np.zeros((*shown, 3), np.uint8)
    if source is not None and source.shape == size:
        pixels[:] = gray(source, shown, 256)[..., None]
    for cells, names in layers:
        if len(cells):
            labels = (doubled(cells) if twice else shrunk(cells, shown)).label_map()
            edge = outlines(labels)
            colours = np.array([COLOURS[str(name)] for name in names], np.uint8)
            pixels[edge] = colours[labels[edge] - 1]
    stream = io.BytesIO()
    # A PDF of the page contains JPEG as it is, but other formats decoded; without subsampling of
    # colours, thin outlines keep theirs.
    Image.fromarray(pixels).save(
        stream, format="JPEG", quality=QUALITY, subsampling=0, optimize=True
    )
    return stream.getvalue()


def colour_key(*kinds: str) -> str:
    """Return the legend of the colours as HTML."""
    return "<p>" + "".join(
        f'<span class="key" style="background: rgb{COLOURS[kind]}"></span>{MEANINGS[kind]}'
        for kind in kinds
    ) + "</p>"  # fmt: skip


def opened(source_of: SourceOf, image_id: str) -> ImageSource | None:
    """Open an image; None if it cannot be read, in which case the report shows only cells."""
    try:
        return source_of(image_id)
    except BigKingXXLError:
        return None
