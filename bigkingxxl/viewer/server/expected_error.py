"""How much of an image is expected to be wrong: the order in which to look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

EXPECTED_QUALITY = "expected_quality"  # in a summary's row, where prediction estimates it


def expected_error(row: Mapping[str, Any]) -> float | None:
    """0 to 1 from an image's row of the summary; None where nothing tells.

    Where prediction estimates the quality of the image, that counts; else the scores of its cells,
    which say after `calibrate` how well each mask is expected to fit.
    """
    for name, whole in ((EXPECTED_QUALITY, 1.0), ("mean_score", 1.0)):
        value = row.get(name)
        if isinstance(value, int | float) and value == value:
            return min(max(whole - float(value), 0.0), 1.0)
    return None
