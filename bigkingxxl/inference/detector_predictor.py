"""Prediction with detectors: predict each enlarged window on its own and stitch the candidates.

At most one batch of tiles is held in memory, however large the image is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from itertools import islice
from math import ceil
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.candidates import Candidates
from bigkingxxl.geometry import (
    Symmetry,
    Window,
    even_tile,
    multiple,
    padded,
    resize,
    tiles,
    whole,
)
from bigkingxxl.images import ImageSource
from bigkingxxl.inference.fusion import fuse
from bigkingxxl.inference.image_region import ImageRegion
from bigkingxxl.inference.network_predictor import NetworkPredictor
from bigkingxxl.inference.stitching import stitch
from bigkingxxl.test_time_augmentation import symmetries, zooms

Float32 = NDArray[np.float32]
DetectFunction = Callable[[Float32], list[Candidates]]

log = logging.getLogger(__name__)


class Layout(NamedTuple):
    """The division of a region into windows.

    Attributes:
        windows: Windows of equal size in the frame of the region; they may extend beyond it.
        tile: (h, w) in network pixels to which each window is resized.
    """

    windows: list[Window]
    tile: tuple[int, int]


class Job(NamedTuple):
    """A tile to predict.

    Attributes:
        number: The index of its window.
        symmetry: The flip and rotation that were applied.
        pixels: float32[C, h, w].
    """

    number: int
    symmetry: Symmetry
    pixels: Float32


@dataclass(eq=False)
class DetectorPredictor(NetworkPredictor):
    """A `Predictor` made of a function that detects cells in tiles.

    The image is divided into overlapping windows, as few and as evenly spaced as the tile and
    overlap of the settings (in network pixels) allow. Each window is enlarged to a tile and
    predicted. A block of a large image uses those windows of the whole image that it touches. For
    the other arguments see `NetworkPredictor`.

    Args:
        detect: Maps normalised tiles float32[B, C, h, w] to the candidates of each tile, in its
            frame.
        type_names: The cell types that it distinguishes.
        limit: The largest number of candidates that it returns for a tile; None if there is no
            limit.
    """

    detect: DetectFunction
    _: KW_ONLY
    type_names: tuple[str, ...]
    limit: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        # Keyed by result, so that a warning refers to the result that was kept, whichever thread
        # computed it.
        self._fullest: WeakKeyDictionary[Candidates, int] = WeakKeyDictionary()
        self._warned_of = set[str]()

    def _found(self, source: ImageSource) -> Candidates:
        """See `NetworkPredictor._found`; warns of windows with too many cells."""
        return self._warned(source, super()._found(source))

    def _warned(self, source: ImageSource, found: Candidates, *, once: bool = False) -> Candidates:
        fullest = self._fullest.pop(found, 0)
        if once and source.name in self._warned_of:
            return found
        if self.limit is not None and fullest >= self.limit:
            self._warned_of.add(source.name)
            log.warning(
                "%s: more cells than the detection limit: %d in one of its windows, of at most %d; "
                "some may be missing, and a larger scale would find them",
                source.name, fullest, self.limit,
            )  # fmt: skip
        return found

    def predict_image(
        self,
        source: ImageSource,
        ratio: float,
        cell_type: str | None = None,  # noqa: ARG002
        *,
        is_part: bool = False,
    ) -> Candidates:
        """Predict an image; see `NetworkPredictor.predict_image`.

        A detector has no decoding parameters. For the parts of one image a single warning is
        enough.
        """
        found = self.predict_window(source, whole(source.shape), ratio)
        return self._warned(source, found, once=True) if is_part else found

    def predict_window(self, source: ImageSource, window: Window, ratio: float) -> Candidates:
        """Predict a window; see `NetworkPredictor.predict_window`."""
        views, fullest = [], 0
        for zoom in zooms(self.settings.tta):
            found, most = self._predict_at(ImageRegion.of(source, window), ratio * zoom)
            views.append(replace(found, scale_ratio=ratio))
            fullest = max(fullest, most)
        result = self.scored(fuse(views))
        self._fullest[result] = fullest
        return result

    def _predict_at(self, view: ImageRegion, ratio: float) -> tuple[Candidates, int]:
        """Predict at one scale under all flips and turns; return the largest count, too."""
        layout = self.layout(view.size, ratio)
        layout = Layout([each for each in layout.windows if _meet(each, view.window)], layout.tile)
        by_window: list[list[Candidates]] = [[] for _ in layout.windows]
        fullest, views = 0, symmetries(self.settings.tta)
        # The tiles of a batch must have the same shape, so transposed tiles form batches of their
        # own.
        for turns in (0, 1):
            alike = [each for each in views if each.quarter_turns % 2 == turns]
            jobs = self._jobs(view, layout, alike)
            while batch := list(islice(jobs, self.settings.batch_size)):
                found = self.detect(np.stack([job.pixels for job in batch]))
                for job, each in zip(batch, found, strict=True):
                    fullest = max(fullest, len(each))
                    upright = each.transform(job.symmetry.inverse)
                    by_window[job.number].append(upright.resize(layout.windows[job.number].size))
        stitched = stitch([fuse(each) for each in by_window], layout.windows, view.size)
        return view.cut(stitched), fullest

    def layout(self, size: tuple[int, int], ratio: float) -> Layout:
        """Divide a region of `size` image pixels into windows at a scale ratio."""
        scale = self.settings.scale * ratio
        largest = min(max(int(self.tile / scale), 1), self.block_side(ratio))
        overlap = min(ceil(self.overlap / scale), largest // 2)
        needed = [even_tile(length, largest, overlap) for length in size]
        rows, cols = (
            min(multiple(ceil(length * scale), self.stride), self.tile) for length in needed
        )
        side = (max(round(rows / scale), needed[0]), max(round(cols / scale), needed[1]))
        return Layout(tiles(size, side, overlap), (rows, cols))

    def _jobs(self, view: ImageRegion, layout: Layout, views: Sequence[Symmetry]) -> Iterator[Job]:
        if not views:
            return
        for number, window in enumerate(layout.windows):
            pixels = view.pixels(window.clipped(view.size), self.normalisation)
            pixels = _enlarged(pixels, window.size, layout.tile)
            for symmetry in views:
                yield Job(number, symmetry, symmetry.apply(pixels))


def _meet(one: Window, two: Window) -> bool:
    """Return whether two windows share pixels."""
    return (
        one.row0 < two.row1 and two.row0 < one.row1 and one.col0 < two.col1 and two.col0 < one.col1
    )


def _enlarged(pixels: Float32, window: tuple[int, int], tile: tuple[int, int]) -> Float32:
    """Resize a window to float32[C, *tile]; the part beyond the image is mirrored."""
    rows, cols = (
        max(round(there * new / full), 1)
        for there, new, full in zip(pixels.shape[1:], tile, window, strict=True)
    )
    return padded(resize(pixels, (rows, cols)), whole(tile))
