"""Partially annotated images: cells in unannotated areas are neither hits nor misses."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.candidates import Candidates
from bigkingxxl.display_text import counted as counted_noun
from bigkingxxl.errors import InputError
from bigkingxxl.instances import Instances

Ignored = NDArray[np.bool_]
IgnoredOf = Callable[[str], Ignored | None]
MOSTLY = 0.5  # a cell with a larger fraction in ignored pixels is left out
SURE = 128  # the least probability of the pixels that count as a candidate's own


def counted(cells: Instances, ignored: Ignored | None) -> Instances:
    """Keep the cells of which at least half lies where the image is annotated.

    Args:
        cells: The cells.
        ignored: bool[H, W]; None if the whole image is annotated.

    Raises:
        InputError: The size of the mask differs from that of the image.
    """
    if ignored is None or not len(cells):
        return cells
    if ignored.shape != cells.size:
        raise InputError(
            f"the mask of what is not annotated has {ignored.shape[1]} x {ignored.shape[0]} "
            f"pixels, the image of the cells {cells.size[1]} x {cells.size[0]} (width x height)",
            key="ignored",
            found=ignored.shape,
            expected=cells.size,
        )
    before = np.zeros((ignored.shape[0], ignored.shape[1] + 1), np.int32)
    np.cumsum(ignored, axis=1, out=before[:, 1:])
    row, start, stop = cells.runs.T
    inside = np.bincount(
        cells.run_owner, before[row, stop] - before[row, start], minlength=len(cells)
    )
    return cells.take(inside <= MOSTLY * cells.areas())


def counted_candidates(candidates: Candidates, ignored: Ignored | None) -> Candidates:
    """Keep the candidates of which at least half lies where the image is annotated."""
    if ignored is None or not len(candidates):
        return candidates
    owner, row, col = candidates.pixels()
    sure = candidates.probability >= SURE
    owner, row, col = owner[sure], row[sure], col[sure]
    areas = np.bincount(owner, minlength=len(candidates))
    inside = np.bincount(owner, ignored[row, col], minlength=len(candidates))
    return candidates.take(inside <= MOSTLY * areas)


def without_ignored(
    truth: Mapping[str, Instances], predicted: Mapping[str, Instances], ignored_of: IgnoredOf
) -> tuple[dict[str, Instances], dict[str, Instances], str | None]:
    """Return the annotated and predicted cells that count, and a note on the others.

    Images that are not annotated anywhere are left out: nothing in them can be right or wrong.

    Args:
        truth: The annotated cells of the images that are scored.
        predicted: The predicted cells of these and possibly other images.
        ignored_of: Returns the mask of pixels of an image that are not annotated.

    Raises:
        InputError: No image is annotated anywhere.
    """
    cells, found, images, left = dict(truth), dict(predicted), 0, 0
    blank: list[str] = []
    for image_id in truth:
        ignored = ignored_of(image_id)
        if ignored is None or not ignored.any():
            continue
        if ignored.all():
            blank.append(image_id)
            del cells[image_id]
            continue
        images += 1
        for some in (cells, found):
            if image_id in some:
                kept = counted(some[image_id], ignored)
                left += len(some[image_id]) - len(kept)
                some[image_id] = kept
    if blank and not cells:
        raise InputError("all images are marked as not annotated anywhere", found=len(blank))
    notes = []
    if blank:
        notes.append(
            f"{counted_noun(len(blank), 'image')} {'is' if len(blank) == 1 else 'are'} marked as "
            f"not annotated anywhere and left out ({blank[0]}{', ...' if blank[1:] else ''})"
        )
    if images:
        notes.append(
            f"{images} of {counted_noun(len(truth), 'image')} {'is' if images == 1 else 'are'} "
            f"annotated in part: {counted_noun(left, 'cell')}, annotated or predicted, of which "
            f"more than a half lies elsewhere {'is' if left == 1 else 'are'} not counted"
        )
    return cells, found, "; ".join(notes) or None
