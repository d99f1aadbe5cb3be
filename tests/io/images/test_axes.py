"""Arrays of two and three axes: which axis is the channel axis."""

from __future__ import annotations

import numpy as np
import pytest

import bigkingxxl as bk
from bigkingxxl.errors import ImageError
from bigkingxxl.io.images.axes import array_source, channels_first

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("shape", "channels", "size", "is_colour"),
    [
        ((40, 60), 1, (40, 60), False),
        ((1, 40, 60), 1, (40, 60), False),
        ((40, 60, 1), 1, (40, 60), False),
        ((2, 40, 60), 2, (40, 60), False),
        ((40, 60, 2), 2, (40, 60), False),
        ((3, 40, 60), 3, (40, 60), False),
        ((40, 60, 3), 3, (40, 60), True),
        ((5, 6, 3), 3, (5, 6), True),
        ((40, 60, 4), 4, (40, 60), True),
        ((12, 40, 60), 12, (40, 60), False),
        ((40, 60, 12), 12, (40, 60), False),
        ((16, 16, 3), 3, (16, 16), True),
    ],
)
def test_the_axis_of_channels(
    shape: tuple[int, ...], channels: int, size: tuple[int, int], is_colour: bool
) -> None:
    pixels = RANDOM.random(shape)
    found, colour = channels_first(pixels)
    assert (found.shape, colour) == ((channels, *size), is_colour)
    assert np.shares_memory(found, pixels)
    last = pixels.ndim == 3 and shape[0] == size[0]
    for index in range(channels):
        plane = pixels if pixels.ndim == 2 else pixels[..., index] if last else pixels[index]
        assert np.array_equal(found[index], plane)


@pytest.mark.parametrize(
    "shape", [(3, 40, 3), (3, 4, 4), (40, 60, 60), (60, 40, 60), (100, 100, 100), (2, 5, 3)]
)
def test_ambiguous_axes_are_reported(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ImageError) as error:
        channels_first(np.zeros(shape))
    first, second, third = shape
    assert f"{first} channels of {second} x {third}" in str(error.value)
    assert f"{third} channels of {first} x {second}" in str(error.value)


@pytest.mark.parametrize("shape", [(5,), (0, 4), (2, 3, 4, 5), (3, 0, 4)])
def test_no_image(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError):
        channels_first(np.zeros(shape))


@pytest.mark.parametrize("channels", [3, 4])
def test_colour_becomes_luminance(channels: int) -> None:
    pixels = RANDOM.integers(0, 256, (20, 30, channels), np.uint8)
    source = array_source(pixels)
    expected = pixels[..., :3].astype(float) @ [0.299, 0.587, 0.114]
    assert source.channels == 1
    np.testing.assert_allclose(source.read()[0], expected, atol=1e-3)


def test_a_channels_last_array_predicts_like_its_plane() -> None:
    """[H, W, 1] used to be taken for H channels of W x 1."""
    picture = np.zeros((64, 64), np.uint8)
    picture[20:40, 20:40] = 200
    model = bk.load("open")
    plain = model.predict(picture, diameter=20)
    assert np.array_equal(
        model.predict(picture[..., None], diameter=20).label_map(), plain.label_map()
    )
    assert np.array_equal(model.predict(picture[None], diameter=20).label_map(), plain.label_map())
