"""Features of an image's quality, checked on images and cells made by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bigkingxxl.candidates import Candidates
from bigkingxxl.expected_quality import DIRECTIONS, ExpectedQuality, Term
from bigkingxxl.images import ArrayImage
from bigkingxxl.inference.domain.quality_features import expected_quality, quality_values
from bigkingxxl.instances import Instances
from tests.small_models import small_card

SIZE = (200, 300)
SIDE = 16


def cells(count: int, score: float = 0.725) -> Instances:
    """Squares in the left third of the image, row by row, and then further right."""
    labels = np.zeros(SIZE, np.int32)
    for index in range(count):
        col, row = divmod(index, 10)
        labels[row * 20 + 2 : row * 20 + 2 + SIDE, col * 20 + 2 : col * 20 + 2 + SIDE] = index + 1
    return replace(Instances.from_label_map(labels), score=np.full(count, score, np.float32))


def candidates(found: Instances, unsure: int = 0, score: float = 0.2) -> Candidates:
    """The same cells, plus candidates too uncertain to be cells."""
    assert found.score is not None
    boxes = np.concatenate((found.boxes(), np.tile([180, 280, 184, 284], (unsure, 1))))
    crops = [np.full((r1 - r0, c1 - c0), 255, np.uint8) for r0, c0, r1, c1 in boxes.tolist()]
    scores = np.concatenate((found.score, np.full(unsure, score)))
    return Candidates.from_crops(SIZE, boxes, crops, scores)


def textured(columns: int) -> ArrayImage:
    """An image that is noisy in its left columns and flat elsewhere."""
    pixels = np.random.default_rng(0).normal(0, 20, SIZE)
    pixels[:, columns:] *= 0.01
    return ArrayImage(pixels + 100)


def test_every_value_has_a_direction_and_is_finite() -> None:
    for found in (cells(30), cells(0)):
        read = quality_values(candidates(found, 3), found)
        assert read.keys() == DIRECTIONS.keys()
        assert all(np.isfinite(list(read.values())))


def test_hits_are_the_share_of_thresholds_that_are_expected_to_be_passed() -> None:
    found = cells(20)  # 0.725 is halfway between the thresholds
    assert quality_values(candidates(found), found)["hits"] == pytest.approx(0.5)
    # 100 candidates of 0.2 stand for 20 more cells, none of which is found.
    doubtful = quality_values(candidates(found, 100), found)
    assert doubtful["hits"] == pytest.approx(0.25, abs=0.001)
    assert doubtful["rejected"] == pytest.approx(20 / (20 + 20 * 0.725), abs=0.001)
    assert quality_values(candidates(found), found)["rejected"] == 0


def test_sureness_is_the_mean_probability() -> None:
    found = cells(4)
    seen = candidates(found)
    faint = replace(seen, probability=np.full_like(seen.probability, 153))
    assert quality_values(faint, found)["sureness"] == pytest.approx(0.6)


def test_quality_is_predicted_only_by_such_models_and_with_cells() -> None:
    card = small_card(("cell",))
    own = card.changed(
        quality=ExpectedQuality(
            terms={"hits": Term(centre=0.5, spread=0.1, weight=0.1)}, base=0.3
        ).model_dump()
    )
    found = cells(20)
    assert expected_quality(card, candidates(found), found) is None
    assert expected_quality(own, candidates(found), found) == pytest.approx(0.3)
    assert expected_quality(own, candidates(cells(0)), cells(0)) is None
