"""The sections of a report that show the scores of one method, or of several in comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from bigkingxxl.evaluation.average_precision import rank_image
from bigkingxxl.evaluation.evaluation import Evaluation
from bigkingxxl.evaluation.metrics.ap import AveragePrecision
from bigkingxxl.evaluation.metrics.f1 import F1
from bigkingxxl.evaluation.metrics.recall_size import RecallBySize
from bigkingxxl.evaluation.metrics.registry import find_metrics
from bigkingxxl.evaluation.ranking import THRESHOLDS_PERCENT, Ranked
from bigkingxxl.evaluation.report.charts import COLOURS, Axis, Chart
from bigkingxxl.evaluation.report.page import chart, heading, image_name, paragraph, table
from bigkingxxl.evaluation.scoring import Scores, score_pairs

# The metrics that every report shows, in addition to the requested ones.
SHOWN = ("f1@0.5", "precision@0.5", "recall@0.5", "f1@0.75", "map", "coco", "pq", "seg", "aji+",
         "boundary", "counts", "confluence", "errors", "recall-size", "recall-density")  # fmt: skip
MOST_POINTS = 300  # of a curve
BINS = 10
LABELS = 132  # pixels beside a chart, for the labels of levels
BY_CELL_TYPE = "Scores by cell type"
LEAST = 5  # the fewest cells of a class or bin for a meaningful fraction


@dataclass(frozen=True, eq=False)
class Shown:
    """A method in a report.

    Attributes:
        name: The name of the method.
        evaluation: Its scores.
    """

    name: str
    evaluation: Evaluation

    @cached_property
    def scores(self) -> Scores:
        """The scores of the requested metrics and of those that every report shows."""
        asked = self.evaluation.scores
        types = asked.metrics[0].types if asked.metrics else ()
        names = dict.fromkeys([*SHOWN, *(metric.key for metric in asked.metrics)])
        metrics = find_metrics(list(names), types)
        pairs = self.evaluation.pairs
        if not self.evaluation.is_disjoint:
            metrics = [metric for metric in metrics if not metric.disjoint]
        return score_pairs(pairs, metrics, self.evaluation.groups.of, seed=asked.seed)

    @cached_property
    def detections(self) -> Ranked | None:
        """All scored masks regardless of type; None if they have no scores."""
        pairs = self.evaluation.pairs.values()
        if not any(pair.scored.score is not None for pair in pairs if len(pair.scored)):
            return None
        return Ranked.concatenate(
            [
                rank_image(pair.truth, pair.scored, pair.scored_overlaps, (), classes=1)
                for pair in pairs
            ]
        )


def scores_section(shown: Sequence[Shown]) -> list[str]:
    """Return every value with its interval and meaning."""
    first = shown[0].scores
    rows = []
    for metric in first.metrics:
        if metric.name.startswith("recall-"):
            continue  # shown as a chart
        for value in metric.values:
            cells = []
            for each in shown:
                estimate = each.scores.by_key[value.key]
                ends = estimate.interval
                text = value.text(estimate.value)
                far = "" if ends is None else f" ({value.text(ends[0])} to {value.text(ends[1])})"
                cells.append(text + far)
            rows.append((value.name, *cells))
    one = "value (95 % interval)" if first.groups > 1 else "value"
    header = ("", *(each.name for each in shown)) if len(shown) > 1 else ("", one)
    by = shown[0].evaluation.groups.grouped_by
    told = (
        f"The intervals are 95 % bootstrap intervals over {first.groups} groups of images ({by})."
        if first.groups > 1
        else f"There are no confidence intervals, because all images belong to one group ({by})."
    )
    told += " The formulas are at the end of the page."
    return [heading("Scores"), table(header, rows), paragraph(told, "note")]


def formulas_section(shown: Sequence[Shown]) -> list[str]:
    """Return the definition and source of each metric."""
    metrics = {metric.name: metric for metric in shown[0].scores.metrics}
    rows = [(m.title, m.formula, m.accepts, m.pooling, m.empty, m.source) for m in metrics.values()]
    header = ("metric", "formula", "cells", "several images", "image without cells", "source")
    return [heading("Formulas"), f'<div class="wide">{table(header, rows)}</div>']


def curves_section(shown: Sequence[Shown]) -> list[str]:
    """Return charts of F1 and AP over the IoU threshold."""
    parts = []
    for kind, name in ((F1, "F1"), (AveragePrecision, "AP = TP / (TP + FP + FN)")):
        plot = Chart(Axis("IoU threshold", 0.5, 0.95), Axis(name))
        for each in shown:
            metrics = [kind(Fraction(percent, 100)) for percent in THRESHOLDS_PERCENT]
            scores = score_pairs(each.evaluation.pairs, metrics)
            points = [
                (percent / 100, scores.value(metric)[0])
                for percent, metric in zip(THRESHOLDS_PERCENT, metrics, strict=True)
            ]
            plot.line(points, each.name if len(shown) > 1 else "")
        caption = f"{name.partition(' ')[0]} by the IoU from which a predicted cell is a match."
        parts.append(chart(plot.svg(), caption))
    return [heading("Accuracy of the outlines"), *parts]


def precision_recall_section(shown: Sequence[Shown]) -> list[str]:
    """Return the precision-recall curve at an IoU of 0.5, with the method's operating point."""
    plot, any_curve = Chart(Axis("recall"), Axis("precision")), False
    for place, each in enumerate(shown):
        colour = COLOURS[place % len(COLOURS)]
        found = each.detections
        if found is not None and found.cells.sum():
            hits = np.cumsum(found.hit[0, 0])
            every = np.arange(1, len(hits) + 1)
            some = np.unique(np.linspace(0, len(hits) - 1, MOST_POINTS).astype(int))[: len(hits)]
            recall, precision = hits[some] / found.cells.sum(), hits[some] / every[some]
            points = list(zip(recall.tolist(), precision.tolist(), strict=True))
            plot.line(points, each.name if len(shown) > 1 else "", colour=colour)
            any_curve = True
        scores = each.scores.by_key
        at = (scores["recall@0.5"].value, scores["precision@0.5"].value)
        if at[0] is not None and at[1] is not None:
            plot.points([(at[0], at[1])], colour=colour, size=6)
    if not any_curve:
        return []
    return [
        heading("Precision and recall"),
        chart(
            plot.svg(),
            "Precision and recall at an IoU of 0.5 if only the masks with the highest scores are "
            "kept. The point is the operating point, that is, the cells that the method predicts.",
        ),
    ]


def counts_section(shown: Sequence[Shown]) -> list[str]:
    """Return a Bland-Altman plot of the counts; each point is a link to its image."""
    parts = []
    for each in shown:
        pairs = each.evaluation.pairs
        truth = np.array([len(pair.truth_areas) for pair in pairs.values()])
        found = np.array([len(pair.predicted_areas) for pair in pairs.values()])
        mean, gap = (truth + found) / 2, found - truth
        values = each.scores.by_key
        limits = {
            name: values[f"counts.{key}"].value
            for key, name in (("bias", "bias"), ("low", "lower limit"), ("high", "upper limit"))
        }
        reach = [*gap.tolist(), *(value for value in limits.values() if value is not None)]
        plot = Chart(
            Axis.around("mean of the predicted and the annotated count", mean.tolist(),
                        zero=True),
            Axis.around("predicted - annotated count", reach, zero=True),
            right=LABELS,
        )  # fmt: skip
        for name, value in limits.items():
            if value is not None:
                plot.level(value, f"{name}: {value:+.1f}")
        points = list(zip(mean.tolist(), gap.tolist(), strict=True))
        plot.points(points, ids=list(pairs), colour=COLOURS[0])
        named = f"{each.name}: " if len(shown) > 1 else ""
        parts.append(
            chart(plot.svg(), f"{named}Bland-Altman plot of the number of cells per image. Each "
                              "point is an image and a link to its picture. The dashed lines are "
                              "the mean difference (bias) and the 95 % limits of agreement.")
        )  # fmt: skip
    return [heading("Accuracy of the counts"), *parts]


def recall_section(shown: Sequence[Shown]) -> list[str]:
    """Return the recall by cell size."""
    metric = RecallBySize()
    edges = metric.edges
    counts = [pair.truth_areas for pair in shown[0].evaluation.pairs.values()]
    areas = np.concatenate([np.zeros(0, np.int64), *counts])
    cells = np.bincount(
        np.searchsorted(edges, areas, side="right") - 1,
        minlength=len(edges),
    )
    some = np.flatnonzero(cells >= LEAST)
    if not len(some):
        return []
    names = {float(k): f"{edges[k]}+" for k in some.tolist()}
    plot = Chart(
        Axis("area of the annotated cell, pixels", some.min() - 0.6, some.max() + 0.6),
        Axis("recall at IoU 0.5"), names=names,
    )  # fmt: skip
    for each in shown:
        values = [each.scores.by_key[f"{metric.key}.{edges[k]}"].value for k in some.tolist()]
        points = [(float(k), np.nan if v is None else v) for k, v in zip(some, values, strict=True)]
        if len(shown) == 1:
            plot.bars(points, 0.8, labels=[f"{cells[k]:,}" for k in some.tolist()])
        else:
            plot.line(points, each.name)
    told = (
        "The numbers above the bars are numbers of annotated cells."
        if len(shown) == 1
        else f"Size classes with fewer than {LEAST} annotated cells are left out."
    )
    return [
        heading("Recall by cell size"),
        chart(plot.svg(), f"Recall by the area of the annotated cell. {told}"),
    ]


def calibration_section(shown: Sequence[Shown]) -> list[str]:
    """Return a calibration plot: the precision of cells by their score."""
    plot, any_scores = Chart(Axis("score of a cell"), Axis("precision at IoU 0.5")), False
    plot.line([(0, 0), (1, 1)], colour="#999", dash=True)
    for place, each in enumerate(shown):
        found = each.detections
        if found is None or not len(found.score):
            continue
        which = np.minimum((found.score * BINS).astype(int), BINS - 1)
        cells = np.bincount(which, minlength=BINS)
        real = np.bincount(which, found.hit[0, 0], BINS)
        score = np.bincount(which, found.score, BINS)
        some = cells >= LEAST
        if not some.any():
            continue
        points = list(zip((score[some] / cells[some]).tolist(), (real[some] / cells[some]).tolist(),
                          strict=True))  # fmt: skip
        colour = COLOURS[place % len(COLOURS)]
        plot.line(points, each.name if len(shown) > 1 else "", colour=colour)
        plot.points(points, colour=colour)
        any_scores = True
    if not any_scores:
        return []
    return [
        heading("Calibration of the scores"),
        chart(
            plot.svg(),
            "Precision of cells with similar scores. On the dashed line, the score of a cell is "
            "the probability that it matches an annotated cell.",
        ),
    ]


def types_section(each: Shown, keys: Sequence[str]) -> list[str]:
    """Return some values by the cell type of the images."""
    chosen = [each.scores.by_key[key] for key in keys if key in each.scores.by_key]
    types = sorted({kind for estimate in chosen for kind in estimate.by_type})
    if not types:
        return []
    images = list(each.evaluation.pairs.values())
    rows = [
        (
            kind, str(sum(pair.cell_type == kind for pair in images)),
            *(estimate.what.text(estimate.by_type.get(kind)) for estimate in chosen),
        )
        for kind in types
    ]  # fmt: skip
    header = ("cell type of the image", "images", *(e.what.name for e in chosen))
    return [heading(BY_CELL_TYPE), table(header, rows)]


def images_section(shown: Sequence[Shown], pictured: Mapping[str, str]) -> list[str]:
    """Return one row per image, from worst to best, linked to its picture.

    Args:
        shown: The methods.
        pictured: The pictures by image id.
    """
    first = shown[0]
    f1 = first.scores.per_image["f1@0.5"]
    order = np.argsort(np.where(np.isnan(f1), 2, f1), kind="stable")
    rows = []
    for place in order.tolist():
        name = first.scores.ids[place]
        pair = first.evaluation.pairs[name]
        cells = [image_name(name, pictured), pair.cell_type or "",
                 str(len(pair.truth_areas))]  # fmt: skip
        for each in shown:
            own = each.evaluation.pairs[name]
            numbers = each.scores.per_image
            cells.append(str(len(own.predicted_areas)) if own.named else "not predicted")
            cells += [_digits(numbers[key][place]) for key in IMAGE_KEYS if key in numbers]
        rows.append(cells)
    header = ["image", "cell type", "annotated cells"]
    for each in shown:
        named = f"{each.name}: " if len(shown) > 1 else ""
        header += [f"{named}predicted cells", *(named + IMAGE_KEYS[key] for key in IMAGE_KEYS
                                      if key in each.scores.per_image)]  # fmt: skip
    return [heading("All images"), table(header, rows, raw=(0,))]


IMAGE_KEYS = {"f1@0.5": "F1", "precision@0.5": "precision", "recall@0.5": "recall", "map": "mAP",
              "pq": "PQ"}  # fmt: skip


def _digits(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.3f}"
