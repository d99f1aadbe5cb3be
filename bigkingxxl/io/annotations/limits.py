"""Limits of what an annotation file may claim about an image.

A few characters can claim an image of any size and a cell that covers it. Sizes are checked before
memory is allocated for them.
"""

from __future__ import annotations

LONGEST_SIDE = 1 << 20
MOST_PIXELS = 1 << 34
MOST_ROWS = 1 << 24  # runs of all cells of an image


def check_claimed_size(size: tuple[int, int]) -> str | None:
    """Return what is wrong with a claimed size (H, W), as the end of a sentence; None if valid."""
    height, width = size
    if max(size) > LONGEST_SIDE:
        return f"expected sides of at most {LONGEST_SIDE:,} pixels"
    if height * width > MOST_PIXELS:
        return f"expected at most {MOST_PIXELS:,} pixels"
    return None
