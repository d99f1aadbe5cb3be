"""A view of an image that a model processes: a window of an image, or a block of a large one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bigkingxxl.candidates import Candidates
from bigkingxxl.geometry import Resizing, Window, scaled_size, whole
from bigkingxxl.images import Float32, ImageSource, Normalisation, Part


@dataclass(frozen=True)
class ImageRegion:
    """A window in a frame: the large image to which a block belongs, or the image itself.

    A block is always read on grids of the whole image, so that neighbouring blocks agree.

    Attributes:
        source: The image or block.
        size: (H, W) of the frame.
        window: The window in the frame.
        origin: (row, column) of the source in the frame.
        part: The position of the source as a block of a large image.
    """

    source: ImageSource
    size: tuple[int, int]
    window: Window
    origin: tuple[int, int]
    part: Part | None = None

    @classmethod
    def of(cls, source: ImageSource, window: Window | None = None) -> ImageRegion:
        """Create the view of a window of an image or block, by default all of it."""
        window = whole(source.shape) if window is None else window
        part = source.part
        if part is None:
            origin = (-window.row0, -window.col0)
            return cls(source, window.size, whole(window.size), origin)
        origin = (part.window.row0, part.window.col0)
        return cls(source, part.size, _moved(window, *origin), origin, part)

    @property
    def is_whole(self) -> bool:
        """Whether the window covers the whole frame."""
        return self.window == whole(self.size)

    def scaled(self, scale: float) -> Resizing:
        """Return the resizing of the frame to `scale` pixels per image pixel."""
        return Resizing(self.size, scaled_size(self.size, scale))

    def pixels(self, place: Window, normalisation: Normalisation) -> Float32:
        """Read the network's input for a window of the frame, float32[C, h, w]."""
        here = _moved(place, -self.origin[0], -self.origin[1])
        return normalisation.apply(self.source.read(here), self.source.statistics)

    def zoom(self, grid: tuple[int, int]) -> float:
        """Return the pixels per image pixel of a grid of (H, W) over the frame."""
        return float(np.sqrt(grid[0] * grid[1] / (self.size[0] * self.size[1])))

    def found(self, candidates: Candidates, grid: tuple[int, int]) -> Candidates:
        """Convert candidates of the window on a grid over the frame to pixels of the window."""
        if self.is_whole:
            return candidates.resize(self.size)
        place = Resizing(self.size, grid).covering(self.window)
        placed = candidates.shift(place.row0, place.col0, grid).resize(self.size)
        return self.cut(placed)

    def cut(self, candidates: Candidates) -> Candidates:
        """Convert candidates of the frame to pixels of the window, and clip them at its border."""
        return candidates.shift(-self.window.row0, -self.window.col0, self.window.size)


def _moved(window: Window, rows: int, cols: int) -> Window:
    return Window(window.row0 + rows, window.col0 + cols, window.row1 + rows, window.col1 + cols)
