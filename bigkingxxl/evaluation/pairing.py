"""The annotated and predicted cells of one image, compared once for all metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import InputError
from bigkingxxl.evaluation.assignment import assign
from bigkingxxl.evaluation.partial_annotation import Ignored, IgnoredOf
from bigkingxxl.instances import Instances
from bigkingxxl.overlaps import (
    Overlaps,
    SortedRuns,
    first_clash,
    label_overlaps,
    overlaps,
    overlaps_of_runs,
    sorted_runs,
)

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
HALF = Fraction(1, 2)


class Hits(NamedTuple):
    """One-to-one pairs whose IoU reaches a threshold.

    Attributes:
        truth: int64[L], the annotated cell of each pair.
        predicted: int64[L], the predicted cell of each pair.
        pair: int64[L], the index of each pair in `overlaps`.
    """

    truth: Int64
    predicted: Int64
    pair: Int64


@dataclass(frozen=True, eq=False)
class ImagePair:
    """The annotated and predicted cells of one image; cells without pixels are left out.

    Attributes:
        image_id: The id of the image.
        size: (H, W) in pixels.
        overlaps: The pairs of an annotated and a predicted cell that share pixels.
        truth_areas: int64[N], the area of each annotated cell.
        predicted_areas: int64[M], the area of each predicted cell.
        clash: The position (row, column) where predicted cells overlap each other, or None.
        annotated: The number of annotated pixels of the image.
        cell_type: The most frequent type of the annotated cells, or None.
        named: False if the predictions do not contain the image.
        scored: Scored masks for ranking metrics, which may overlap, or None.
        ignored: bool[H, W], True where the image is not annotated, or None.
        covered: The number of annotated pixels covered by annotated and by predicted cells.
    """

    image_id: str
    size: tuple[int, int]
    overlaps: Overlaps
    truth_areas: Int64
    predicted_areas: Int64
    clash: tuple[int, int] | None = None
    annotated: int = 0
    cell_type: str | None = None
    named: bool = True
    ignored: Ignored | None = None
    covered: tuple[int, int] = (0, 0)
    _source: tuple[Any, Any] = ((), ())
    _masks: Instances | None = None
    _hits: dict[Fraction, Hits] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(
        cls,
        truth: Instances,
        predicted: Instances,
        *,
        image_id: str = "",
        masks: Instances | None = None,
        ignored: Ignored | None = None,
        cell_type: str | None = None,
        named: bool = True,
    ) -> ImagePair:
        """Compare cells, which may overlap.

        Args:
            truth: The annotated cells.
            predicted: The predicted cells.
            image_id: The id of the image.
            masks: Scored masks for ranking metrics, if they differ from `predicted`.
            ignored: bool[H, W], True where the image is not annotated. Cells that lie mostly there
                have been left out before (`partial_annotation.without_ignored`).
            cell_type: The type of the image.
            named: Whether the predictions contain the image.

        Raises:
            InputError: The sizes differ.
        """
        if truth.size != predicted.size:
            raise InputError(
                f"the predicted cells lie in an image of {_size(predicted)} pixels, "
                f"the true ones in one of {_size(truth)} (width x height)",
                key="size",
                found=predicted.size,
                expected=truth.size,
            )
        given = predicted
        truth, truth_areas = _with_pixels(truth)
        predicted, predicted_areas = _with_pixels(predicted)
        for scored in (predicted, masks):
            if scored is not None and scored.score is not None and np.isnan(scored.score).any():
                raise InputError("a predicted cell has a score that is not a number", key="score")
        one, two = sorted_runs(truth), sorted_runs(predicted)
        clash = first_clash(two)
        pixels = truth.size[0] * truth.size[1]
        return cls(
            image_id,
            truth.size,
            overlaps_of_runs(one, two, len(predicted)),
            truth_areas,
            predicted_areas,
            None if clash is None else divmod(clash, truth.size[1]),
            pixels if ignored is None else pixels - int(ignored.sum()),
            cell_type,
            named,
            ignored,
            (_covered(one, truth_areas, ignored), _covered(two, predicted_areas, ignored)),
            (truth, predicted),
            None if masks is given else masks,
        )

    @classmethod
    def of_labels(
        cls, truth: NDArray[Any], predicted: NDArray[Any], *, image_id: str = ""
    ) -> ImagePair:
        """Compare two label maps [H, W] with 0 = background, which is faster than comparing cells.

        Raises:
            InputError: The sizes differ, or an argument is not a label map.
        """
        for labels in (truth, predicted):
            if labels.ndim != 2 or labels.dtype.kind not in "iub":
                raise InputError(
                    f"an array of shape {labels.shape} and type {labels.dtype} is not a label map, "
                    "expected whole numbers [H, W], 0 for background",
                    found=(labels.shape, labels.dtype),
                )
        if truth.shape != predicted.shape:
            raise InputError(
                f"the predicted label map has {predicted.shape[1]} x {predicted.shape[0]} pixels, "
                f"the true one {truth.shape[1]} x {truth.shape[0]} (width x height)",
                key="size",
                found=predicted.shape,
                expected=truth.shape,
            )
        pairs, truth_areas, predicted_areas = label_overlaps(truth, predicted)
        return cls(
            image_id, (truth.shape[0], truth.shape[1]), pairs, truth_areas, predicted_areas,
            annotated=truth.size, covered=(int(truth_areas.sum()), int(predicted_areas.sum())),
            _source=(truth, predicted),
        )  # fmt: skip

    # ---- cells --------------------------------------------------------------------------------

    @cached_property
    def truth(self) -> Instances:
        """The N annotated cells that have pixels."""
        return _instances(self._source[0])

    @cached_property
    def predicted(self) -> Instances:
        """The M predicted cells that have pixels."""
        return _instances(self._source[1])

    @property
    def scored(self) -> Instances:
        """Scored masks, which may overlap, if there are any; else the predicted cells."""
        return self.predicted if self._masks is None else self._masks

    @cached_property
    def scored_overlaps(self) -> Overlaps:
        """The pairs of an annotated cell and a scored mask that share pixels."""
        masks = self.scored
        return self.overlaps if masks is self.predicted else overlaps(self.truth, masks)

    # ---- overlaps -----------------------------------------------------------------------------

    @cached_property
    def union(self) -> Int64:
        """The number of pixels in the union of each pair, int64[K]."""
        pairs = self.overlaps
        total: Int64 = self.truth_areas[pairs.first] + self.predicted_areas[pairs.second]
        return total - pairs.pixels

    @cached_property
    def iou(self) -> Float64:
        """The intersection over union of each pair, float64[K]."""
        return self.overlaps.pixels / self.union

    @cached_property
    def best_iou_of_truth(self) -> Float64:
        """The highest IoU of each annotated cell, float64[N]; 0 if it overlaps nothing."""
        best = np.zeros(len(self.truth_areas))
        np.maximum.at(best, self.overlaps.first, self.iou)
        return best

    def hits(self, threshold: Fraction = HALF) -> Hits:
        """Match cells one to one at an IoU threshold: as many pairs as possible, the best ones.

        Source: the matching of StarDist (Weigert et al. 2020, `stardist.matching`).
        """
        if threshold not in self._hits:
            pairs = self.overlaps
            # In integers, so that an IoU of exactly the threshold is a hit.
            reached = threshold.denominator * pairs.pixels >= threshold.numerator * self.union
            some = np.flatnonzero(reached)
            first, second = pairs.first[some], pairs.second[some]
            # The sum stays below 0.5, so that one more hit outweighs any gain in IoU.
            worth = 1 + self.iou[some] / (2 * max(len(some), 1))
            kept = some[assign(first, second, worth)]
            self._hits[threshold] = Hits(pairs.first[kept], pairs.second[kept], kept)
        return self._hits[threshold]

    @cached_property
    def truth_within(self) -> NDArray[np.bool_]:
        """Whether more than half of the annotated cell lies in the predicted one, bool[K]."""
        within: NDArray[np.bool_] = 2 * self.overlaps.pixels > self.truth_areas[self.overlaps.first]
        return within

    @cached_property
    def predicted_within(self) -> NDArray[np.bool_]:
        """Whether more than half of the predicted cell lies in the annotated one, bool[K]."""
        within: NDArray[np.bool_] = (
            2 * self.overlaps.pixels > self.predicted_areas[self.overlaps.second]
        )
        return within

    def check_disjoint(self, metric: str) -> None:
        """Check that predicted cells are disjoint, for a metric that requires it.

        Raises:
            InputError: They overlap; the message names the image, the pixel and the metric.
        """
        if self.clash is not None:
            where = f"image {self.image_id}: " if self.image_id else ""
            raise InputError(
                f"{where}predicted cells overlap at row {self.clash[0]}, column {self.clash[1]}, "
                f"expected disjoint ones for {metric}",
                key=metric,
                found=self.clash,
            )


def pairs_of(
    truth: Mapping[str, Instances],
    predicted: Mapping[str, Instances],
    cell_types: Mapping[str, str | None] | None = None,
    *,
    masks: Mapping[str, Instances] | None = None,
    ignored_of: IgnoredOf | None = None,
) -> dict[str, ImagePair]:
    """Compare the images of the truth with their predictions; a missing image has no cells.

    Args:
        truth: The annotated cells that count; see `partial_annotation.without_ignored`.
        predicted: The predicted cells that count.
        cell_types: The cell type of each image.
        masks: The scored masks that count.
        ignored_of: Returns the mask of pixels of an image that are not annotated.

    Raises:
        InputError: There is no image, or the sizes of an image differ.
    """
    if not truth:
        raise InputError("there is no image to score")
    result = {}
    for image_id, cells in truth.items():
        named = image_id in predicted
        found = predicted[image_id] if named else Instances.empty(cells.size)
        try:
            result[image_id] = ImagePair.of(
                cells, found, image_id=image_id,
                masks=None if masks is None else masks.get(image_id),
                ignored=None if ignored_of is None else ignored_of(image_id),
                cell_type=(cell_types or {}).get(image_id), named=named,
            )  # fmt: skip
        except InputError as error:
            told = error.details() | {"key": image_id}
            raise InputError(f"image {image_id}: {error}", **told) from error
    return result


def centres(cells: Instances, areas: Int64) -> Float64:
    """Compute the centre of mass (row, column) of each cell, float64[N, 2]; none is empty."""
    row, start, stop = cells.runs.astype(np.int64).T
    length, starts = stop - start, cells.splits[:-1]
    rows = np.add.reduceat(length * row, starts)
    columns = np.add.reduceat(length * (start + stop - 1), starts) / 2
    return np.stack((rows, columns), axis=1) / areas[:, None]


def _covered(runs: SortedRuns, areas: Int64, ignored: Ignored | None) -> int:
    """Count the pixels that sorted runs cover, each once, without the ignored ones."""
    if not len(runs.start):
        return 0
    if ignored is None and first_clash(runs) is None:
        return int(areas.sum())
    before = np.concatenate(([0], np.maximum.accumulate(runs.stop)[:-1]))
    start = np.maximum(runs.start, before)
    some = start < runs.stop
    if ignored is None:
        return int((runs.stop[some] - start[some]).sum())
    counted = np.concatenate(([0], np.cumsum(~ignored.ravel())))
    return int((counted[runs.stop[some]] - counted[start[some]]).sum())


def _with_pixels(cells: Instances) -> tuple[Instances, Int64]:
    areas = cells.areas()
    some = areas > 0
    return (cells, areas) if some.all() else (cells.take(some), areas[some])


def _instances(cells: Any) -> Instances:
    return cells if isinstance(cells, Instances) else Instances.from_label_map(cells)


def _size(cells: Instances) -> str:
    return f"{cells.size[1]} x {cells.size[0]}"
