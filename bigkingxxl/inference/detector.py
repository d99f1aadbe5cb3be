"""Prediction with detectors: enlarged windows, each seen on its own, their candidates stitched.

No more of an image is held than one batch of tiles, however large it is.
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
from bigkingxxl.inference.network import NetworkPredictor
from bigkingxxl.inference.stitching import stitch
from bigkingxxl.inference.view import View
from bigkingxxl.test_time_augmentation import symmetries, zooms

Float32 = NDArray[np.float32]
DetectFunction = Callable[[Float32], list[Candidates]]

log = logging.getLogger(__name__)


class Layout(NamedTuple):
    """How a region is cut.

    Attributes:
        windows: of one size, in the region's frame; they may reach beyond it.
        tile: (h, w) in network pixels that each is resized to.
    """

    windows: list[Window]
    tile: tuple[int, int]


class Job(NamedTuple):
    """One tile to be looked at.

    Attributes:
        number: of its window; symmetry: how it is flipped and turned; pixels: float32[C, h, w].
    """

    number: int
    symmetry: Symmetry
    pixels: Float32


@dataclass(eq=False)
class DetectorPredictor(NetworkPredictor):
    """A function that detects cells in tiles as a `Predictor`.

    The image is cut into overlapping windows of its own pixels, as few and as even as the
    settings' tile and overlap (network pixels) allow. Each is enlarged to a tile and looked at. Of
    a large image that is seen in blocks, each takes those of the whole image's windows it touches.

    Args:
        detect: float32[B, C, h, w] normalised tiles to the candidates of each, in its frame.
        type_names: the cell types it tells apart.
        limit: how many candidates of a tile it returns at most; None knows no limit.

    For the others see `NetworkPredictor`.
    """

    detect: DetectFunction
    _: KW_ONLY
    type_names: tuple[str, ...]
    limit: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        # By result, so that a warning speaks of the look that was kept, whatever thread took it.
        self._fullest: WeakKeyDictionary[Candidates, int] = WeakKeyDictionary()
        self._warned_of = set[str]()

    def _found(self, source: ImageSource) -> Candidates:
        """See `NetworkPredictor._found`; a window with too many cells is warned of."""
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
        """See `NetworkPredictor.predict_image`; a detector has no decoding parameters.

        Of the parts of an image one warning is enough.
        """
        found = self.predict_window(source, whole(source.shape), ratio)
        return self._warned(source, found, once=True) if is_part else found

    def predict_window(self, source: ImageSource, window: Window, ratio: float) -> Candidates:
        """See `NetworkPredictor.predict_window`."""
        looks, fullest = [], 0
        for zoom in zooms(self.settings.tta):
            found, most = self._predict_at(View.of(source, window), ratio * zoom)
            looks.append(replace(found, scale_ratio=ratio))
            fullest = max(fullest, most)
        result = self.scored(fuse(looks))
        self._fullest[result] = fullest
        return result

    def _predict_at(self, view: View, ratio: float) -> tuple[Candidates, int]:
        """What is seen at one size under all flips and turns, and the most in any tile."""
        layout = self.layout(view.size, ratio)
        layout = Layout([each for each in layout.windows if _meet(each, view.window)], layout.tile)
        looks: list[list[Candidates]] = [[] for _ in layout.windows]
        fullest, views = 0, symmetries(self.settings.tta)
        # Of a batch all tiles are of one shape: those that lie on their side come by themselves.
        for turns in (0, 1):
            alike = [each for each in views if each.quarter_turns % 2 == turns]
            jobs = self._jobs(view, layout, alike)
            while batch := list(islice(jobs, self.settings.batch_size)):
                found = self.detect(np.stack([job.pixels for job in batch]))
                for job, each in zip(batch, found, strict=True):
                    fullest = max(fullest, len(each))
                    upright = each.transform(job.symmetry.inverse)
                    looks[job.number].append(upright.resize(layout.windows[job.number].size))
        stitched = stitch([fuse(each) for each in looks], layout.windows, view.size)
        return view.cut(stitched), fullest

    def layout(self, size: tuple[int, int], ratio: float) -> Layout:
        """How a region of `size` image pixels is cut at a scale ratio."""
        scale = self.settings.scale * ratio
        largest = min(max(int(self.tile / scale), 1), self.block_side(ratio))
        overlap = min(ceil(self.overlap / scale), largest // 2)
        needed = [even_tile(length, largest, overlap) for length in size]
        rows, cols = (
            min(multiple(ceil(length * scale), self.stride), self.tile) for length in needed
        )
        side = (max(round(rows / scale), needed[0]), max(round(cols / scale), needed[1]))
        return Layout(tiles(size, side, overlap), (rows, cols))

    def _jobs(self, view: View, layout: Layout, views: Sequence[Symmetry]) -> Iterator[Job]:
        if not views:
            return
        for number, window in enumerate(layout.windows):
            pixels = view.pixels(window.clipped(view.size), self.normalisation)
            pixels = _enlarged(pixels, window.size, layout.tile)
            for symmetry in views:
                yield Job(number, symmetry, symmetry.apply(pixels))


def _meet(one: Window, two: Window) -> bool:
    """Whether two windows share pixels."""
    return (
        one.row0 < two.row1 and two.row0 < one.row1 and one.col0 < two.col1 and two.col0 < one.col1
    )


def _enlarged(pixels: Float32, window: tuple[int, int], tile: tuple[int, int]) -> Float32:
    """float32[C, *tile] of what an image has of a window; mirrored where the window ends later."""
    rows, cols = (
        max(round(there * new / full), 1)
        for there, new, full in zip(pixels.shape[1:], tile, window, strict=True)
    )
    return padded(resize(pixels, (rows, cols)), whole(tile))
