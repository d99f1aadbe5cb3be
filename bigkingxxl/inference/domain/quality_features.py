"""The features that predict the accuracy of an image; see `bigkingxxl.expected_quality`."""

from __future__ import annotations

import numpy as np

from bigkingxxl.candidates import Candidates
from bigkingxxl.instances import Instances
from bigkingxxl.model_card import ModelCard

# the expected IoU at which no threshold of 0.50 to 0.95 is passed, and at which all are
FIRST_HIT, ALL_HITS = 0.475, 0.975
INSIDE = 127  # a pixel with a higher probability more likely belongs to a cell than not


def expected_quality(card: ModelCard, candidates: Candidates, cells: Instances) -> float | None:
    """Predict the segmentation accuracy of an image.

    It is None if the model does not predict it, or if no cell was found: such an image gives no
    evidence.

    Args:
        card: The card of the model.
        candidates: All candidates of the image.
        cells: The cells selected from them.
    """
    if card.quality is None or len(cells) == 0:
        return None
    return card.quality.of(quality_values(candidates, cells))


def quality_values(candidates: Candidates, cells: Instances) -> dict[str, float]:
    """Compute the inputs of the quality model, by name.

    `hits` is the expected number of hits over the IoU thresholds, of all cells and of the
    candidates that were too uncertain. `rejected` is the fraction of the total score that the
    latter hold. `sureness` is the mean probability of the pixels of all candidates.
    """
    score = np.zeros(0) if cells.score is None else cells.score.astype(np.float64)
    known = candidates.score.astype(np.float64)
    unsure = known[known < score.min(initial=1.0)].sum()
    hits = np.clip((score - FIRST_HIT) / (ALL_HITS - FIRST_HIT), 0, 1).sum()
    inside = candidates.probability[candidates.probability > INSIDE]
    return {
        "hits": float(hits / max(len(score) + unsure, 1e-6)),
        "rejected": float(unsure / max(known.sum(), 1e-6)),
        "sureness": float(inside.mean()) / 255 if len(inside) else 0.0,
    }
