"""A sentence on the cell diameter that was assumed in a run."""

from __future__ import annotations

from collections.abc import Collection
from statistics import median


def size_sentence(diameters: Collection[float], change: str = "--diameter changes it") -> str:
    """Describe the assumed cell diameters (in pixels) of images; "" if none is known.

    >>> size_sentence([41.2])
    'assumed cell diameter: 41 px; --diameter changes it'
    >>> size_sentence([41.2, 8.46, 52])
    'assumed cell diameter: 41 px (median; 8.5 to 52 px); --diameter changes it'

    Args:
        diameters: One diameter per image.
        change: How a user changes the diameter.
    """
    if not diameters:
        return ""
    low, high = _pixels(min(diameters)), _pixels(max(diameters))
    spread = "" if low == high else f" (median; {low} to {high} px)"
    return f"assumed cell diameter: {_pixels(median(diameters))} px{spread}; {change}"


def _pixels(diameter: float) -> str:
    return f"{diameter:.0f}" if diameter >= 10 else f"{diameter:.2g}"
