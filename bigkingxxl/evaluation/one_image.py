"""Any metrics of one image, from label maps or cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import InputError
from bigkingxxl.evaluation.average_precision import told_types
from bigkingxxl.evaluation.metrics.registry import ALL, find_metrics
from bigkingxxl.evaluation.pairing import ImagePair
from bigkingxxl.evaluation.partial import counted
from bigkingxxl.evaluation.scoring import score_pairs
from bigkingxxl.instances import Instances


def score_image(
    truth: Instances | NDArray[Any],
    predicted: Instances | NDArray[Any],
    metrics: str | Sequence[str] = ALL,
    *,
    ignored: NDArray[np.bool_] | None = None,
) -> dict[str, float | None]:
    """Every number of some metrics of one image.

    Args:
        truth, predicted: cells, or a label map int[H, W], 0 = background.
        metrics: names such as 'f1@0.5,pq', or a list of them.
        ignored: bool[H, W], what is not annotated; cells that mostly lie there are not counted.
    Returns:
        by the name of the number, such as 'pq.sq'; None where there is nothing to measure.

    Raises:
        InputError: an unknown metric, sizes that differ, no label map, or overlapping predicted
            cells where a metric forbids them.
    """
    names = [metrics] if isinstance(metrics, str) else list(metrics)
    find_metrics(names)
    pair, types = _compared(truth, predicted, ignored)
    scores = score_pairs({"": pair}, find_metrics(names, types))
    return {key: estimate.value for key, estimate in scores.by_key.items()}


def _compared(
    truth: Instances | NDArray[Any],
    predicted: Instances | NDArray[Any],
    ignored: NDArray[np.bool_] | None,
) -> tuple[ImagePair, tuple[str, ...]]:
    """The two sets compared, and the cell types that both tell."""
    maps = not isinstance(truth, Instances) and not isinstance(predicted, Instances)
    if maps and ignored is None:
        return ImagePair.of_labels(np.asarray(truth), np.asarray(predicted)), ()
    cells, found = _cells(truth), _cells(predicted)
    if ignored is not None:
        if ignored.dtype != bool:
            raise InputError(
                f"the ignored pixels are {ignored.dtype}, expected bool[H, W]",
                key="ignored",
                found=ignored.dtype,
                expected="bool",
            )
        cells, found = counted(cells, ignored), counted(found, ignored)
    return ImagePair.of(cells, found, ignored=ignored), told_types({"": cells}, {"": found})


def _cells(cells: Instances | NDArray[Any]) -> Instances:
    if isinstance(cells, Instances):
        return cells
    labels = np.asarray(cells)
    ImagePair.of_labels(labels, labels)  # refuses what is no label map
    return Instances.from_label_map(labels)
