"""Find images of one field of view by their pixels.

There are two criteria: the border of one image continues in another (an image that was cut up), and
two images show the same place, possibly at different times. Images of different sizes are not
compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.data.progress_reports import Track, untracked
from bigkingxxl.data.quality.border_matching import SHORTEST_SIDE, BorderMatcher
from bigkingxxl.data.quality.phase_correlation import (
    folded_phases,
    is_same_place,
    similar,
    without_common,
)

if TYPE_CHECKING:
    from bigkingxxl.data.dataset import Dataset

Pair = tuple[int, int]


@dataclass
class _SameSize:
    """The data that are kept of images of one size, about 200 kB each."""

    names: list[str] = field(default_factory=list)
    across: BorderMatcher = field(default_factory=BorderMatcher)
    down: BorderMatcher = field(default_factory=BorderMatcher)
    phases: list[NDArray[np.complex64]] = field(default_factory=list)

    def add(self, name: str, image: NDArray[np.float32]) -> None:
        self.names.append(name)
        self.across.add(image)
        self.down.add(image.T)
        self.phases.append(folded_phases(image))


def matching_images(dataset: Dataset, track: Track = untracked) -> list[tuple[str, str]]:
    """Return sorted pairs of image ids that show parts of one field of view.

    Raises:
        ImageError: An image cannot be read.
    """
    sizes: dict[Any, _SameSize] = {}
    for name in track(dataset.ids, len(dataset.ids), "reading borders"):
        image = _gray(dataset, name)
        if min(image.shape) >= SHORTEST_SIDE:
            sizes.setdefault(image.shape, _SameSize()).add(name, image)
    pairs: set[tuple[str, str]] = set()
    for images in sizes.values():
        seams = [*images.across.pairs(), *images.down.pairs()]
        for found in (seams, _places(dataset, images, track)):
            for pair in found:
                first, second = sorted(images.names[index] for index in pair)
                pairs.add((first, second))
    return sorted(pairs)


def _places(dataset: Dataset, images: _SameSize, track: Track) -> Iterator[Pair]:
    """Yield pairs of images that show the same place."""
    phases = without_common(np.stack(images.phases))
    for first in track(range(len(phases)), len(phases), "comparing places"):
        if others := similar(phases, first):
            pixels = _gray(dataset, images.names[first])
            yield from (
                (first, other)
                for other in others
                if is_same_place(pixels, _gray(dataset, images.names[other]))
            )


def _gray(dataset: Dataset, name: str) -> NDArray[np.float32]:
    """Return the mean of the channels, float32[H, W]."""
    gray: NDArray[np.float32] = dataset.source(name).read().mean(axis=0)
    return gray
