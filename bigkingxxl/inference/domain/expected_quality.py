"""What prediction has at hand of how well it outlined an image; see `bigkingxxl.quality`."""

from __future__ import annotations

import numpy as np

from bigkingxxl.candidates import Candidates
from bigkingxxl.instances import Instances
from bigkingxxl.models import ModelCard

FIRST_HIT, ALL_HITS = 0.475, 0.975  # expected IoU that passes none, and all, of 0.50 to 0.95
INSIDE = 127  # a pixel above it is more likely a cell's than not


def expected_quality(card: ModelCard, candidates: Candidates, cells: Instances) -> float | None:
    """The segmentation accuracy to be expected of an image's cells.

    None where the model does not foretell it, or where no cell was found: what such an image holds
    nobody can tell from it.

    Args:
        candidates: everything seen in the image; cells: those selected from it.
    """
    if card.quality is None or len(cells) == 0:
        return None
    return card.quality.of(quality_values(candidates, cells))


def quality_values(candidates: Candidates, cells: Instances) -> dict[str, float]:
    """By name, what is seen of an image's quality.

    `hits`: expected hits, over the IoU thresholds, of all cells found and of what was too unsure to
    be one. `rejected`: the share of all score that lies in the latter. `sureness`: the mean
    probability of the candidates' pixels.
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
