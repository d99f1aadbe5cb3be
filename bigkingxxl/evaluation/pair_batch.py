"""Many compared images treated as one, so that each step of a metric runs only once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bigkingxxl import rle
from bigkingxxl.evaluation.pairing import ImagePair, centres
from bigkingxxl.instances import Instances
from bigkingxxl.overlaps import Overlaps

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
# the largest number of cells and pairs that are joined, unless one image has more
AT_ONCE = 1 << 20


@dataclass(frozen=True, eq=False)
class PairBatch:
    """The compared cells of n images, numbered across the images.

    Attributes:
        parts: The images.
    """

    parts: Sequence[ImagePair]

    @classmethod
    def in_parts(cls, pairs: Iterable[ImagePair]) -> Iterator[PairBatch]:
        """Yield all images in groups that fit into memory."""
        parts, size = [], 0
        for pair in pairs:
            parts.append(pair)
            size += len(pair.truth_areas) + len(pair.predicted_areas) + len(pair.overlaps.first)
            if size > AT_ONCE:
                yield cls(parts)
                parts, size = [], 0
        if parts:
            yield cls(parts)

    @cached_property
    def whole(self) -> ImagePair:
        """The areas, overlaps, IoU and hits of all cells, without pixels."""
        if len(self.parts) == 1:
            return self.parts[0]
        truth = rle.split_points(self.truth_counts)
        predicted = rle.split_points(self.predicted_counts)
        counts = np.array([len(pair.overlaps.first) for pair in self.parts], np.int64)
        pairs = Overlaps(
            np.concatenate([pair.overlaps.first for pair in self.parts])
            + np.repeat(truth[:-1], counts),
            np.concatenate([pair.overlaps.second for pair in self.parts])
            + np.repeat(predicted[:-1], counts),
            np.concatenate([pair.overlaps.pixels for pair in self.parts]),
        )
        return ImagePair(
            "", (0, 0), pairs,
            np.concatenate([pair.truth_areas for pair in self.parts]),
            np.concatenate([pair.predicted_areas for pair in self.parts]),
        )  # fmt: skip

    @cached_property
    def truth_counts(self) -> Int64:
        """The number of annotated cells of each image, int64[n]."""
        return np.array([len(pair.truth_areas) for pair in self.parts], np.int64)

    @cached_property
    def predicted_counts(self) -> Int64:
        """The number of predicted cells of each image, int64[n]."""
        return np.array([len(pair.predicted_areas) for pair in self.parts], np.int64)

    @cached_property
    def truth_image(self) -> Int64:
        """The image of each annotated cell, int64[N]."""
        return np.repeat(np.arange(len(self.parts)), self.truth_counts)

    @cached_property
    def predicted_image(self) -> Int64:
        """The image of each predicted cell, int64[M]."""
        return np.repeat(np.arange(len(self.parts)), self.predicted_counts)

    @cached_property
    def pair_image(self) -> Int64:
        """The image of each pair of cells, int64[K]."""
        return self.truth_image[self.whole.overlaps.first]

    @cached_property
    def truth(self) -> Instances:
        """All annotated cells, each in the frame of its own image."""
        return _together([pair.truth for pair in self.parts])

    @cached_property
    def predicted(self) -> Instances:
        """All predicted cells, each in the frame of its own image."""
        return _together([pair.predicted for pair in self.parts])

    @cached_property
    def truth_centres(self) -> Float64:
        """The centre (row, column) of each annotated cell in its image, float64[N, 2]."""
        return centres(self.truth, self.whole.truth_areas)

    def summed(self, image: Int64, values: NDArray[np.generic] | None = None) -> Float64:
        """Count the items of each image, or sum their values: float64[n].

        Args:
            image: int64[X], the image of each item.
            values: [X], the value of each item; by default 1.
        """
        return np.bincount(image, values, len(self.parts)).astype(np.float64)

    def tabled(self, image: Int64, kind: Int64, kinds: int) -> Float64:
        """Count the items of each kind in each image, float64[n, kinds]."""
        table = np.bincount(image * kinds + kind, minlength=len(self.parts) * kinds)
        return table.reshape(-1, kinds).astype(np.float64)


def _together(parts: Sequence[Instances]) -> Instances:
    """Join the cells of several images; types, which are numbered by image, are dropped."""
    if len(parts) == 1:
        return parts[0]
    counts = np.concatenate([np.diff(part.splits) for part in parts])
    return Instances(
        np.concatenate([part.runs for part in parts]), rle.split_points(counts), (0, 0),
        np.zeros(len(counts), np.int16),
    )  # fmt: skip
