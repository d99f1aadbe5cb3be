"""Compute any metrics of one image, from label maps or cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import InputError
from bigkingxxl.evaluation.average_precision import distinguished_types
from bigkingxxl.evaluation.metrics.registry import ALL, find_metrics
from bigkingxxl.evaluation.pairing import ImagePair
from bigkingxxl.evaluation.partial_annotation import counted
from bigkingxxl.evaluation.scoring import score_pairs
from bigkingxxl.instances import Instances


def score_image(
    truth: Instances | NDArray[Any],
    predicted: Instances | NDArray[Any],
    metrics: str | Sequence[str] = ALL,
    *,
    ignored: NDArray[np.bool_] | None = None,
) -> dict[str, float | None]:
    """Compute metrics of one image.

    Args:
        truth: Cells, or a label map int[H, W] with 0 = background.
        predicted: Cells, or a label map, in the same form.
        metrics: Names such as 'f1@0.5,pq', or a list of them.
        ignored: bool[H, W], True where the image is not annotated; cells that lie mostly there are
            ignored.

    Returns:
        Each value by its name, such as 'pq.sq'; None if it is undefined.

    Raises:
        InputError: A metric is unknown, the sizes differ, an argument is not a label map, or
            predicted cells overlap although a metric forbids it.
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
    """Compare the two sets; also return the cell types that both have."""
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
    return ImagePair.of(cells, found, ignored=ignored), distinguished_types(
        {"": cells}, {"": found}
    )


def _cells(cells: Instances | NDArray[Any]) -> Instances:
    if isinstance(cells, Instances):
        return cells
    labels = np.asarray(cells)
    ImagePair.of_labels(labels, labels)  # refuses anything that is not a label map
    return Instances.from_label_map(labels)
