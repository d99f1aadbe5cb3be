"""Figures as PNG files in memory."""

from __future__ import annotations

import io
from typing import Any


def figure(x: str, y: str) -> tuple[Any, Any]:
    """Create a small figure and its axes with labels."""
    # pyplot would keep every figure and choose a backend for the whole process.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.4), layout="constrained")
    axes = figure.add_subplot(xlabel=x, ylabel=y)
    return figure, axes


def png(drawing: Any) -> bytes:
    """Render the figure as PNG; the same scores give the same bytes."""
    stream = io.BytesIO()
    # The version of matplotlib is left out.
    drawing.savefig(stream, format="png", dpi=110, metadata={"Software": None})
    return stream.getvalue()
