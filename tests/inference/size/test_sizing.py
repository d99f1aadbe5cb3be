"""The scale of an image: its sources, their order, and what is refused."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

from bigkingxxl.errors import BigKingXXLError, ImageError, InputError
from bigkingxxl.images import ArrayImage
from bigkingxxl.inference.size.sizing import (
    ScaleHint,
    TrainingImages,
    check_size,
    known_size,
    scale_ratio,
)
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
def test_what_is_known(pixel_size: Any, diameter: Any, training: Any, expected: Any) -> None:
    assert known_size(image(pixel_size, diameter), training) == expected


def test_a_diameter_needs_a_model_that_knows_its_own() -> None:
    with pytest.raises(ImageError, match="field: a diameter of 8 pixels is given, but the model"):
        known_size(image(diameter=8.0), TrainingImages())


@pytest.mark.parametrize(
    ("ratio", "scale", "message"),
    [
        (100.0, 150.0, "asks for 150 network pixels per image pixel, expected 0.01 to 100"),
        (1e-3, 1.5e-3, "asks for 0.0015 network pixels"),
        (60.0, 90.0, "asks for an image of 1,317,888,000 pixels, more than .* 1,000,000,000"),
    ],
)
def test_images_beyond_the_limits(ratio: float, scale: float, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        check_size(image(), ratio, scale)


def test_a_large_image_of_training_size_is_no_matter() -> None:
    large = image()
    large.shape = (30_000, 32_000)
    check_size(large, 1.0, 1.5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"scale": 0.0}, "--scale is 0.0, expected 0.01 to 100"),
        ({"scale": float("nan")}, "--scale is nan"),
        ({"diameter": 0.0}, "--diameter is 0.0, expected pixels, above 0"),
        ({"diameter": -3.0}, "--diameter is -3.0"),
        ({"diameter": float("nan")}, "--diameter is nan"),
        ({"diameter": float("inf")}, "--diameter is inf"),
        ({"diameter": 0.01}, "a cell diameter of 0.01 pixels asks for 2.4e[+]03 network pixels"),
        ({"diameter": 1e6}, "asks for 2.4e-05 network pixels"),
        (
            {"pixel_size_um": (0.0, 0.0)},
            "the pixel size is 0.0, expected 1e-06 to 1e[+]06 micrometres",
        ),
        ({"pixel_size_um": (1.0, -1.0)}, "the pixel size is"),
        ({"pixel_size_um": (500.0, 500.0)}, "a pixel size of 500 x 500 um asks for 1.5e[+]03"),
        ({"scale": 2.0, "diameter": 20.0}, "--scale and --diameter both set"),
    ],
)
def test_sizes_that_make_no_sense(given: dict[str, Any], message: str) -> None:
    card = small_card(("a",), median_diameter=16.0, pixel_size_um=(0.5, 0.5),
                      prediction={"scale": 1.5})  # fmt: skip
    with pytest.raises(InputError, match=message) as caught:
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


def test_a_pixel_size_that_cannot_size_the_cells_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        ScaleHint(pixel_size_um=(0.5, 0.5)).check([small_card(("a",))], "--")
    assert "does not know the pixel size of its training images" in caplog.text
    assert "--diameter" in caplog.text


def test_what_is_given_stands_for_what_the_file_says() -> None:
    source = image((2.0, 2.0))
    told = ScaleHint(diameter=9.0, pixel_size_um=(0.5, 1.0)).applied_to(source)
    assert (told.pixel_size_um, told.cell_diameter) == ((0.5, 1.0), 9.0)
    assert (source.pixel_size_um, source.cell_diameter) == ((2.0, 2.0), None)
    assert ScaleHint(diameter=9.0).applied_to(source).pixel_size_um == (2.0, 2.0)
    assert ScaleHint(scale=1.0).applied_to(source) is source
