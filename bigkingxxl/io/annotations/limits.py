"""What a file of annotations may claim of an image before anybody has seen the image.

A few letters can claim an image of any size and a cell that covers it. Sizes are checked before
memory is taken for them.
"""

from __future__ import annotations

LONGEST_SIDE = 1 << 20
MOST_PIXELS = 1 << 34
MOST_ROWS = 1 << 24  # of all the runs of an image's cells


def check_claimed_size(size: tuple[int, int]) -> str | None:
    """What is wrong with a claimed size (H, W), for the end of a sentence; None if nothing is."""
    height, width = size
    if max(size) > LONGEST_SIDE:
        return f"expected sides of at most {LONGEST_SIDE:,} pixels"
    if height * width > MOST_PIXELS:
        return f"expected at most {MOST_PIXELS:,} pixels"
    return None
