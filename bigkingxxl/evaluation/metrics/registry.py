"""The registry of metrics; a new metric is one file here and one line in `METRICS`."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from fractions import Fraction

from bigkingxxl.errors import InputError
from bigkingxxl.evaluation.metrics.base import Metric
from bigkingxxl.plugins import plugin_classes
from bigkingxxl.settings import nearest

METRICS: dict[str, str] = {
    "f1": "f1:F1",
    "precision": "precision:Precision",
    "recall": "recall:Recall",
    "ap": "ap:AveragePrecision",
    "map": "competition:CompetitionMap",
    "coco": "coco:CocoAveragePrecision",
    "pq": "pq:PanopticQuality",
    "pq-type": "pq_type:PanopticQualityByType",
    "seg": "seg:Seg",
    "det": "det:Det",
    "aji": "aji:AggregatedJaccard",
    "aji+": "aji_plus:AggregatedJaccardPlus",
    "boundary": "boundary:BoundaryDistance",
    "counts": "counts:CountError",
    "counts-field": "counts_field:FieldCountError",
    "confluence": "confluence:ConfluenceError",
    "errors": "errors:Errors",
    "recall-size": "recall_size:RecallBySize",
    "recall-density": "recall_density:RecallByDensity",
}
GROUP = "bigkingxxl.metrics"  # the entry points of other packages
ALL = "all"
# what 'all' includes in addition to each metric once
MORE_THRESHOLDS = ("f1@0.75", "f1@0.9", "ap@0.75")
STANDARD = ("f1@0.5", "pq", "aji+", "counts", "errors")  # printed by default


def find_class(name: str) -> type[Metric]:
    """Return the metric with this name.

    Raises:
        InputError: The name is unknown.
    """
    if name not in METRICS:
        others = plugin_classes(GROUP, Metric)  # type: ignore[type-abstract]
        if name in others:
            return others[name]
        known = (*METRICS, *(each for each in others if each not in METRICS))
        raise InputError(
            f"there is no metric '{name}'{nearest(name, [*known, ALL])} (all of them: "
            f"{', '.join(known)}; with an IoU where one counts found cells: f1@0.75)",
            key="metric",
            found=name,
            expected=(*known, ALL),
        )
    module, _, attribute = METRICS[name].partition(":")
    package = __name__.rpartition(".")[0]
    found: type[Metric] = getattr(importlib.import_module(f"{package}.{module}"), attribute)
    return found


def find_metric(text: str, types: Sequence[str] = ()) -> Metric:
    """Create a metric from a text such as 'pq' or 'f1@0.75'.

    Args:
        text: The name, optionally with a threshold.
        types: The cell types of the truth, if the predictions have types, too.

    Raises:
        InputError: The metric is unknown, or the IoU is invalid.
    """
    name, at, value = text.strip().lower().partition("@")
    kind = find_class(name)
    if not at:
        return kind(types=types)
    if not kind.takes_threshold:
        raise InputError(
            f"'{text}': {kind.title} does not need an IoU, expected '{name}'",
            key="metric",
            found=text,
            expected=name,
        )
    return kind(_threshold(text, value), types)


def _threshold(text: str, value: str) -> Fraction:
    try:
        threshold = Fraction(value)
    except (ValueError, ZeroDivisionError):
        threshold = Fraction(0)
    if not 0 < threshold <= 1:
        raise InputError(
            f"'{text}' asks for an IoU of '{value}', expected above 0, 1 at most",
            key="metric",
            found=value,
        )
    return threshold


def find_metrics(names: Iterable[str], types: Sequence[str] = ()) -> list[Metric]:
    """Create the metrics that several texts name, without duplicates; 'all' stands for all metrics.

    Raises:
        InputError: See `find_metric`; or no metric is named.
    """
    texts = [part for name in names for part in name.split(",") if part.strip()]
    if not texts:
        raise InputError(
            f"no metric is named, expected {', '.join(METRICS)} or {ALL}",
            key="metric",
            expected=(*METRICS, ALL),
        )
    found: dict[str, Metric] = {}
    for text in texts:
        everything = (*METRICS, *MORE_THRESHOLDS) if text.strip().lower() == ALL else (text,)
        for each in everything:
            metric = find_metric(each, types)
            found.setdefault(metric.key, metric)
    return list(found.values())
