"""The scale of an image: its sources, their order, and what is refused."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

from bigkingxxl.errors import BigKingXXLError, ImageError, InputError
from bigkingxxl.images import ArrayImage
from bigkingxxl.inference.size.scale_ratio import (
    ScaleHint,
    TrainingImages,
    check_size,
    known_size,
    scale_ratio,
)
from tests.refusals import refused
from tests.small_models import small_card

KNOWS_ALL = TrainingImages(pixel_size_um=(0.5, 0.5), median_diameter=16.0)


def image(pixel_size: Any = None, diameter: float | None = None) -> ArrayImage:
    made = ArrayImage(np.zeros((520, 704), np.uint8), "field", pixel_size)
    made.cell_diameter = diameter
    return made


def test_relative_size_by_hand() -> None:
    assert scale_ratio((2.0, 8.0), (1.0, 1.0)) == pytest.approx(4)


@pytest.mark.parametrize(
    ("pixel_size", "diameter", "training", "expected"),
    [
        (None, None, KNOWS_ALL, None),
        ((1.0, 1.0), None, KNOWS_ALL, 2.0),
        ((1.0, 1.0), 32.0, KNOWS_ALL, 0.5),  # the diameter comes first
        (None, 8.0, KNOWS_ALL, 2.0),
        ((1.0, 1.0), None, TrainingImages(median_diameter=16.0), None),
        ((1.0, 1.0), 8.0, TrainingImages(median_diameter=16.0), 2.0),
    ],
)
def test_known_sizes_give_the_scale_ratio(
    pixel_size: Any, diameter: Any, training: Any, expected: Any
) -> None:
    assert known_size(image(pixel_size, diameter), training) == expected


def test_a_diameter_needs_a_model_that_knows_its_own() -> None:
    with refused(ImageError, "field", key="diameter", found=8):
        known_size(image(diameter=8.0), TrainingImages())


@pytest.mark.parametrize(
    ("ratio", "scale", "key", "fields"),
    [
        (100.0, 150.0, "scale", {"found": 150.0}),
        (1e-3, 1.5e-3, "scale", {"found": 1.5e-3}),
        (60.0, 90.0, "pixels", {"found": 1_317_888_000, "expected": 1_000_000_000}),
    ],
)
def test_images_beyond_the_limits(
    ratio: float, scale: float, key: str, fields: dict[str, Any]
) -> None:
    with refused(ImageError, key=key, **fields):
        check_size(image(), ratio, scale)


def test_a_large_image_of_training_size_is_no_matter() -> None:
    large = image()
    large.shape = (30_000, 32_000)
    check_size(large, 1.0, 1.5)


@pytest.mark.parametrize(
    ("given", "key", "found"),
    [
        ({"scale": 0.0}, "--scale", 0.0),
        ({"scale": float("nan")}, "--scale", "nan"),
        ({"diameter": 0.0}, "--diameter", 0.0),
        ({"diameter": -3.0}, "--diameter", -3.0),
        ({"diameter": float("nan")}, "--diameter", "nan"),
        ({"diameter": float("inf")}, "--diameter", "inf"),
        ({"diameter": 0.01}, "scale", 2400.0),
        ({"diameter": 1e6}, "scale", 2.4e-05),
        ({"pixel_size_um": (0.0, 0.0)}, "--pixel-size", "0.0"),
        ({"pixel_size_um": (1.0, -1.0)}, "--pixel-size", None),
        ({"pixel_size_um": (500.0, 500.0)}, "scale", 1500.0),
        ({"scale": 2.0, "diameter": 20.0}, "--scale", "--diameter"),
    ],
)
def test_sizes_that_make_no_sense(given: dict[str, Any], key: str, found: object) -> None:
    card = small_card(("a",), median_diameter=16.0, pixel_size_um=(0.5, 0.5),
                      prediction={"scale": 1.5})  # fmt: skip
    with refused(InputError, key=key) as caught:
        ScaleHint(**given).check([card], "--")
    assert isinstance(caught.value, BigKingXXLError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [{}, {"scale": 1.5}, {"diameter": 20.0}, {"pixel_size_um": (1.0, 2.0)},
     {"scale": 1.5, "pixel_size_um": (1.0, 1.0)}, {"diameter": 9.0, "pixel_size_um": (1.0, 1.0)}],
)  # fmt: skip
def test_sizes_that_make_sense(given: dict[str, Any]) -> None:
    card = small_card(("a",), median_diameter=16.0, pixel_size_um=(0.5, 0.5))
    ScaleHint(**given).check([card])


def test_a_useless_pixel_size_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        ScaleHint(pixel_size_um=(0.5, 0.5)).check([small_card(("a",))], "--")
    assert "does not know the pixel size of its training images" in caplog.text
    assert "--diameter" in caplog.text


def test_given_values_replace_those_of_the_file() -> None:
    source = image((2.0, 2.0))
    told = ScaleHint(diameter=9.0, pixel_size_um=(0.5, 1.0)).applied_to(source)
    assert (told.pixel_size_um, told.cell_diameter) == ((0.5, 1.0), 9.0)
    assert (source.pixel_size_um, source.cell_diameter) == ((2.0, 2.0), None)
    assert ScaleHint(diameter=9.0).applied_to(source).pixel_size_um == (2.0, 2.0)
    assert ScaleHint(scale=1.0).applied_to(source) is source
