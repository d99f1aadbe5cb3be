"""How large the cells of a run's images were taken to be, in words."""

from __future__ import annotations

from collections.abc import Collection
from statistics import median


def size_sentence(diameters: Collection[float], change: str = "--diameter changes it") -> str:
    """A sentence on the diameters (px) that images were seen with; "" where none is known.

    >>> size_sentence([41.2])
    'cells taken to be 41 px across: --diameter changes it'
    >>> size_sentence([41.2, 8.46, 52])
    'cells taken to be 41 px across (median; 8.5 to 52): --diameter changes it'

    Args:
        change: how a user says another one.
    """
    if not diameters:
        return ""
    low, high = _pixels(min(diameters)), _pixels(max(diameters))
    spread = "" if low == high else f" (median; {low} to {high})"
    return f"cells taken to be {_pixels(median(diameters))} px across{spread}: {change}"


def _pixels(diameter: float) -> str:
    return f"{diameter:.0f}" if diameter >= 10 else f"{diameter:.2g}"
