"""What is read of an image's quality, against images and cells made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bigkingxxl.candidates import Candidates
from bigkingxxl.images import ArrayImage, Normalisation
from bigkingxxl.inference.domain.expected_quality import (
    bare_texture,
    expected_quality,
    quality_values,
    size_gap,
)
from bigkingxxl.instances import Instances
from bigkingxxl.quality import DIRECTIONS, ExpectedQuality, Term
from tests.small_models import small_card

SIZE = (200, 300)
NORMALISATION = Normalisation()
SIDE = 16


def cells(count: int, score: float = 0.725) -> Instances:
    """Squares in the left third of the image, row by row, and on to the right."""
    labels = np.zeros(SIZE, np.int32)
    for index in range(count):
        col, row = divmod(index, 10)
        labels[row * 20 + 2 : row * 20 + 2 + SIDE, col * 20 + 2 : col * 20 + 2 + SIDE] = index + 1
    return replace(Instances.from_label_map(labels), score=np.full(count, score, np.float32))


def candidates(found: Instances, unsure: int = 0, score: float = 0.2) -> Candidates:
    """Those cells, and so many too unsure to be one."""
    assert found.score is not None
    boxes = np.concatenate((found.boxes(), np.tile([180, 280, 184, 284], (unsure, 1))))
    crops = [np.full((r1 - r0, c1 - c0), 255, np.uint8) for r0, c0, r1, c1 in boxes.tolist()]
    scores = np.concatenate((found.score, np.full(unsure, score)))
    made = Candidates.from_crops(SIZE, boxes, crops, scores)
    return replace(made, cell_diameter=18.0)


def textured(columns: int) -> ArrayImage:
    """An image that is noisy in its left columns and flat elsewhere."""
    pixels = np.random.default_rng(0).normal(0, 20, SIZE)
    pixels[:, columns:] *= 0.01
    return ArrayImage(pixels + 100)


def values(image: ArrayImage, found: Instances, seen: Candidates) -> dict[str, float]:
    return quality_values(image, seen, found, NORMALISATION)


def test_every_value_has_a_direction_and_is_finite() -> None:
    for image in (textured(100), ArrayImage(np.zeros(SIZE))):
        for found in (cells(30), cells(0)):
            read = values(image, found, candidates(found, 3))
            assert read.keys() == DIRECTIONS.keys()
            assert all(np.isfinite(list(read.values())))


def test_hits_are_the_share_of_thresholds_that_are_expected_to_be_passed() -> None:
    found = cells(20)  # 0.725 is halfway between the thresholds
    assert values(textured(100), found, candidates(found))["hits"] == pytest.approx(0.5)
    # 100 candidates of 0.2 stand for 20 cells more, of which none is found.
    doubtful = values(textured(100), found, candidates(found, 100))
    assert doubtful["hits"] == pytest.approx(0.25, abs=0.001)
    assert doubtful["rejected"] == pytest.approx(20 / (20 + 20 * 0.725), abs=0.001)
    assert values(textured(100), found, candidates(found))["rejected"] == 0


def test_sureness_is_the_mean_probability() -> None:
    found = cells(4)
    seen = candidates(found)
    faint = replace(seen, probability=np.full_like(seen.probability, 153))
    assert values(textured(100), found, faint)["sureness"] == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("columns", "expected"), [(100, 0.0), (200, 0.25), (300, 0.5)]
)  # of what is as textured as cells, three quarters lie above the first quarter
def test_texture_without_cells_is_bare(columns: int, expected: float) -> None:
    found = cells(50)
    share = bare_texture(textured(columns), found, NORMALISATION, 18.0)
    assert share == pytest.approx(expected, abs=0.08)


def test_nothing_is_said_of_texture_without_cells_to_compare() -> None:
    assert bare_texture(textured(300), cells(0), NORMALISATION, 18.0) == 0
    assert bare_texture(textured(300), cells(0), NORMALISATION, None) == 0


def test_large_images_are_sampled() -> None:
    """Read by window: the whole is never asked for."""

    class Windowed(ArrayImage):
        def read_raw(self, window: Any) -> Any:
            assert window.size[0] * window.size[1] <= 300 * 300
            return super().read_raw(window)

    pixels = np.random.default_rng(0).normal(100, 20, (1500, 2000)).astype(np.float32)
    image = Windowed(pixels)
    image.statistics = ArrayImage(pixels).statistics
    labels = np.kron(np.arange(1, 1501).reshape(30, 50), np.ones((50, 40), int)).astype(np.int32)
    labels[:, 1000:] = 0
    found = Instances.from_label_map(labels)
    assert bare_texture(image, found, NORMALISATION, 18.0) == pytest.approx(0.37, abs=0.1)


def test_size_gap_in_octaves() -> None:
    found = cells(9)
    diameter = float(np.sqrt(4 * SIDE**2 / np.pi))
    assert size_gap(found, diameter) == pytest.approx(0)
    assert size_gap(found, 2 * diameter) == pytest.approx(1)
    assert size_gap(found, diameter / 2) == pytest.approx(1)
    assert size_gap(found, 1000 * diameter) == 2
    assert size_gap(found, None) == size_gap(cells(0), 10.0) == 0


def test_only_models_that_foretell_it_do_so_and_only_of_cells() -> None:
    card = small_card(("cell",))
    own = card.changed(
        quality=ExpectedQuality(
            terms={"hits": Term(centre=0.5, spread=0.1, weight=0.1)}, base=0.3
        ).model_dump()
    )
    found, image = cells(20), textured(100)
    assert expected_quality(card, image, candidates(found), found) is None
    assert expected_quality(own, image, candidates(found), found) == pytest.approx(0.3)
    assert expected_quality(own, image, candidates(cells(0)), cells(0)) is None
