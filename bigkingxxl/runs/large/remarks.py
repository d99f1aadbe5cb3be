"""Sentences on what of a large image could not be done as in a small one."""

from __future__ import annotations

from bigkingxxl.errors import ImageError
from bigkingxxl.geometry import Window
from bigkingxxl.images import ImageSource
from bigkingxxl.runs.large.image import LargeImage

MOST_NAMED = 3


def cut_cells(large: LargeImage) -> list[str]:
    """Return a sentence on the cells that no block contains whole, if any."""
    blocks = (large.settled_block(block)[0] for block in range(len(large.plan.grid)))
    boxes = (box for each in blocks for box in each.cells.take(each.is_cut).boxes().tolist())
    places = [
        f"row {(top + bottom) // 2}, column {(left + right) // 2}"
        for top, left, bottom, right in boxes
    ]
    if not places:
        return []
    more = len(places) - MOST_NAMED
    shown = "; ".join(places[:MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")
    count = "1 cell is" if len(places) == 1 else f"{len(places)} cells are"
    seen = f"the widest margin ({large.plan.widest} pixels around a block)"
    return [f"{count} larger than {seen} and may be cut there: near {shown}"]


def unreadable_pixels(large: LargeImage) -> str:
    """Return a sentence on what could not be read, or ""."""
    windows = [
        window for block in range(len(large.plan.grid))
        for window in large.settled_block(block)[1]
    ]  # fmt: skip
    if not windows:
        return ""
    area = sum(window.size[0] * window.size[1] for window in windows)
    first = windows[0]
    share = 100 * area / (large.plan.grid.shape[0] * large.plan.grid.shape[1])
    return (
        f"{large.image.path}: {area:,} pixels ({share:.2g} %) cannot be read, so no cells are "
        f"sought there: first rows {first.row0} to {first.row1 - 1}, columns {first.col0} to "
        f"{first.col1 - 1}{_reason(large, first)}"
    )


def _reason(large: LargeImage, window: Window) -> str:
    """Return why a window cannot be read, by reading it again."""
    source: ImageSource = large.image.source
    try:
        source.read_raw(window)
    except ImageError as error:
        return f" ({error})"
    return ""
