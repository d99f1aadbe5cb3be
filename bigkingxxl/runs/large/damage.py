"""An image with unreadable areas: the rest is read, and the areas are reported."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from threading import local

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import ImageError
from bigkingxxl.geometry import Window
from bigkingxxl.images import ImageSource

log = logging.getLogger(__name__)

SMALLEST = 128  # pixels; smaller unreadable areas are not divided further


class MendedImage(ImageSource):
    """An image whose unreadable areas are NaN, which are filled when images are read.

    Attributes:
        reason: Why the first of them cannot be read, or "".
    """

    def __init__(self, source: ImageSource) -> None:
        self.source = source
        self.name, self.shape, self.channels = source.name, source.shape, source.channels
        self.pixel_size_um, self.cell_diameter = source.pixel_size_um, source.cell_diameter
        self.reason = ""
        # Blocks are read by several threads, each of which records what it could not read.
        self._here = local()

    def read_raw(self, window: Window) -> NDArray[np.float32]:
        """Read a window; see `ImageSource.read_raw`. Unreadable areas are NaN."""
        try:
            return self.source.read_raw(window)
        except ImageError as error:
            self.reason = self.reason or str(error)
        parts = list(_quarters(window))
        if len(parts) == 1:
            self._here.missing = [*self._missing, window]
            return np.full((self.channels, *window.size), np.nan, np.float32)
        pixels = np.empty((self.channels, *window.size), np.float32)
        for part in parts:
            rows = slice(part.row0 - window.row0, part.row1 - window.row0)
            cols = slice(part.col0 - window.col0, part.col1 - window.col0)
            pixels[:, rows, cols] = self.read_raw(part)
        return pixels

    @property
    def _missing(self) -> list[Window]:
        return list(getattr(self._here, "missing", ()))

    def taken_missing(self) -> list[Window]:
        """Return the areas that this thread could not read since the last call."""
        found = sorted(set(self._missing))
        self._here.missing = []
        return found


def _quarters(window: Window) -> Iterator[Window]:
    """Divide a window into four or two parts, or return it unchanged if it is small."""
    height, width = window.size
    rows = _halves(window.row0, window.row1) if height > SMALLEST else [(window.row0, window.row1)]
    cols = _halves(window.col0, window.col1) if width > SMALLEST else [(window.col0, window.col1)]
    for top, bottom in rows:
        for left, right in cols:
            yield Window(top, left, bottom, right)


def _halves(start: int, stop: int) -> list[tuple[int, int]]:
    """Divide an axis into two parts at a multiple of the smallest size."""
    middle = (start + stop) // 2 // SMALLEST * SMALLEST
    middle = middle if start < middle < stop else (start + stop) // 2
    return [(start, middle), (middle, stop)]
