"""Figures as PNG files in memory."""

from __future__ import annotations

import io
from typing import Any


def figure(x: str, y: str) -> tuple[Any, Any]:
    """A small figure and its axes, by the names of their directions."""
    # Not pyplot: it keeps every figure and picks a backend for the whole process.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.4), layout="constrained")
    axes = figure.add_subplot(xlabel=x, ylabel=y)
    return figure, axes


def png(drawing: Any) -> bytes:
    """The figure as a PNG file: the same scores make the same bytes."""
    stream = io.BytesIO()
    # Without the version of matplotlib in it.
    drawing.savefig(stream, format="png", dpi=110, metadata={"Software": None})
    return stream.getvalue()
