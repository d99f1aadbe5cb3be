"""The expected fraction of errors in an image, which determines the order for reviewing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

EXPECTED_QUALITY = "expected_quality"  # in a row of the summary, if prediction estimates it


def expected_error(row: Mapping[str, Any]) -> float | None:
    """Estimate the error, 0 to 1, from an image's row of the summary; None if unknown.

    If prediction estimates the quality of the image, that is used; else the scores of its cells,
    which after `calibrate` are the expected IoU of each mask.
    """
    for name, whole in ((EXPECTED_QUALITY, 1.0), ("mean_score", 1.0)):
        value = row.get(name)
        if isinstance(value, int | float) and value == value:
            return min(max(whole - float(value), 0.0), 1.0)
    return None
