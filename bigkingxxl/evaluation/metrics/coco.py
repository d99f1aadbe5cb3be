"""COCO's average precision and recall of scored masks, up to 2,000 per image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bigkingxxl.evaluation.average_precision import ALL_DETECTIONS, rank_image
from bigkingxxl.evaluation.metrics.base import Float64, Int64, Metric, Value
from bigkingxxl.evaluation.pair_batch import PairBatch
from bigkingxxl.evaluation.pairing import ImagePair
from bigkingxxl.evaluation.ranking import (
    THRESHOLDS_PERCENT,
    Ranked,
    curves,
    places,
    ranked,
)


class CocoAveragePrecision(Metric):
    """AP and AR over all areas, as computed by pycocotools."""

    name = "coco"
    title = "COCO AP and AR"
    formula = (
        "AP: mean over IoU >= 0.50, 0.55 ... 0.95 and 101 recalls of the highest precision there; "
        "AR: mean of the recall over IoU; at most 2,000 masks with the highest scores per type and "
        "image; mean over types if the predictions have types"
    )
    accepts = "masks with scores, which may overlap (without scores, all have the same rank); types"
    pooling = "the detections of all images are ranked together"
    empty = (
        "contributes nothing if it has no cells at all; otherwise its cells are misses "
        "or false alarms"
    )
    source = "Lin et al. 2014, Microsoft COCO; pycocotools"
    resamples = 200  # each sums up all detections at ten thresholds

    @property
    def values(self) -> tuple[Value, ...]:
        """See `Metric.values`."""
        return (
            Value("coco.ap", "COCO AP"),
            Value("coco.ap50", "COCO AP50"),
            Value("coco.ap75", "COCO AP75"),
            Value("coco.ar", "COCO AR"),
        )

    def terms(self, pair: ImagePair) -> Ranked:
        """See `Metric.terms`."""
        return rank_image(pair.truth, pair.scored, pair.scored_overlaps, self.types, classes=1)

    def terms_of(self, images: PairBatch) -> list[Ranked]:
        """See `Metric.terms_of`."""
        if any(pair.scored is not pair.predicted for pair in images.parts):
            return [self.terms(pair) for pair in images.parts]
        whole, types = images.whole, max(len(self.types), 1)
        kinds = [[np.zeros(0, np.int64)], [np.zeros(0, np.int64)]]
        scores = [np.zeros(0)]
        for pair in images.parts:
            for into, cells in zip(kinds, (pair.truth, pair.predicted), strict=True):
                into.append(
                    places(cells, self.types) if self.types else np.zeros(len(cells), np.int64)
                )
            score = pair.predicted.score
            scores.append(np.ones(len(kinds[1][-1])) if score is None else score.astype(float))
        # Each type of each image is a separate type, so that nothing is matched across images.
        of_truth, of_predicted = (
            np.where(kind >= 0, image * types + kind, -1)
            for kind, image in zip(
                map(np.concatenate, kinds), (images.truth_image, images.predicted_image),
                strict=True,
            )
        )  # fmt: skip
        together = ranked(
            whole.overlaps, whole.truth_areas, whole.predicted_areas,
            np.concatenate(scores), of_truth, of_predicted,
            types=types * len(images.parts), most=ALL_DETECTIONS, classes=1,
        )  # fmt: skip
        return together.split(len(images.parts), types)

    def pooled(self, terms: Sequence[Ranked], weights: Float64, groups: Int64) -> Float64:
        """See `Metric.pooled`."""
        del groups
        scores = [each.score for each in terms]
        image = np.repeat(np.arange(len(terms)), [len(each) for each in scores])
        image = image[np.argsort(-np.concatenate(scores), kind="stable")]
        detections = Ranked.concatenate(terms)
        cells = weights @ np.array([each.cells[0] for each in terms], np.float64)
        return np.array(
            [
                _values(detections, weight[image], there)
                for weight, there in zip(weights, cells, strict=True)
            ]
        ).reshape(-1, 4)


def _values(detections: Ranked, weight: Float64, cells: Float64) -> Float64:
    """Compute AP, AP50, AP75 and AR of one set, float64[4], averaged over its types."""
    found = [curves(detections, 0, kind, weight, cells=each) for kind, each in enumerate(cells)]
    measured = [each for each in found if each is not None]
    if not measured:
        return np.full(4, np.nan)
    by_threshold = np.mean([precision.mean(axis=1) for precision, _ in measured], axis=0)
    fifty, seventy_five = (THRESHOLDS_PERCENT.index(percent) for percent in (50, 75))
    recall = np.mean([best.mean() for _, best in measured])
    return np.array([by_threshold.mean(), by_threshold[fifty], by_threshold[seventy_five], recall])
