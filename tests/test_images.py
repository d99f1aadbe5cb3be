"""Images by window, their statistics, and the input of a network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from bigkingxxl import images
from bigkingxxl.geometry import Window
from bigkingxxl.images import LEVELS, ArrayImage, ImageSource, Normalisation, measure

Float32 = NDArray[np.float32]


def noise(shape: tuple[int, ...], seed: int = 0) -> Float32:
    return np.random.default_rng(seed).normal(100, 20, shape).astype(np.float32)


# ---- reading -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float64, bool])
def test_any_dtype_reads_as_its_values(dtype: type) -> None:
    pixels: NDArray[Any] = (np.arange(12).reshape(3, 4) % 2 + 1).astype(dtype)
    source = ArrayImage(pixels)
    assert (source.shape, source.channels) == ((3, 4), 1)
    read = source.read()
    assert read.dtype == np.float32
    assert np.array_equal(read[0], pixels.astype(np.float32))


def test_a_window_of_channels_is_read() -> None:
    pixels = noise((3, 20, 30))
    source = ArrayImage(pixels, "a", (0.5, 0.6))
    assert (source.shape, source.channels, source.pixel_size_um) == ((20, 30), 3, (0.5, 0.6))
    assert np.array_equal(source.read(Window(4, 5, 9, 30)), pixels[:, 4:9, 5:30])


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (4,), (1, 2, 3, 4), (0, 5, 5)])
def test_other_objects_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="H, W"):
        ArrayImage(np.zeros(shape))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_become_the_median_of_their_channel(bad: float) -> None:
    pixels = np.stack([noise((9, 9), 1), 1000 + noise((9, 9), 2)])
    medians = [np.median(np.delete(channel.ravel(), 3 * 9 + 4)) for channel in pixels]
    holed = pixels.copy()
    holed[:, 3, 4] = bad
    source = ArrayImage(holed)
    read = source.read()
    np.testing.assert_allclose(read[:, 3, 4], medians)
    untouched = np.ones((9, 9), bool)
    untouched[3, 4] = False
    assert np.array_equal(read[:, untouched], pixels[:, untouched])
    assert source.statistics.finite_fraction == pytest.approx(80 / 81)
    # A tile gets the median of the whole image, not its own.
    np.testing.assert_allclose(source.read(Window(3, 4, 4, 5)).ravel(), medians)


# ---- statistics --------------------------------------------------------------------------------


@given(hnp.arrays(np.float32, st.tuples(st.just(2), st.integers(1, 9), st.integers(1, 9)),
                  elements=st.floats(-1000, 1000, width=32)))  # fmt: skip
def test_statistics_are_those_of_numpy(pixels: Float32) -> None:
    found = measure(pixels)
    flat = pixels.reshape(2, -1).astype(np.float64)
    np.testing.assert_allclose(found.percentiles, np.percentile(flat, LEVELS, axis=1).T, atol=1e-2)
    np.testing.assert_allclose(found.mean, flat.mean(axis=1), atol=1e-2)
    np.testing.assert_allclose(found.std, flat.std(axis=1), atol=1e-2)
    assert found.finite_fraction == 1


def test_percentiles_between_the_levels_are_interpolated() -> None:
    found = measure(np.linspace(0, 100, 10001, dtype=np.float32)[None, :, None])
    for level in (0, 0.5, 3.3, 42, 99.7, 100):
        assert found.percentile(level) == pytest.approx([level], abs=1e-3)


@pytest.mark.parametrize(
    ("pixels", "blank"),
    [
        (np.full((5, 5), 7.0), True),
        (np.full((5, 5), np.nan), True),
        (np.full((5, 5), np.inf), True),
        (np.where(np.eye(5), np.nan, 7.0), True),
        (np.stack([np.ones((5, 5)), np.eye(5)]), False),
        (np.eye(5), False),
    ],
)
def test_a_blank_image_is_known_and_read_without_nan(
    pixels: NDArray[np.float64], blank: bool
) -> None:
    source = ArrayImage(pixels)
    assert source.statistics.is_blank is blank
    assert np.isfinite(source.read()).all()


class Counting(ImageSource):
    """A huge smooth image made on demand, which counts the pixels requested."""

    name, channels, pixel_size_um = "huge", 1, None

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape, self.asked = shape, 0

    def read_raw(self, window: Window) -> Float32:
        assert window == window.clipped(self.shape)
        self.asked += window.size[0] * window.size[1]
        row = np.arange(window.row0, window.row1)[:, None] / self.shape[0]
        col = np.arange(window.col0, window.col1) / self.shape[1]
        return (row + col)[None].astype(np.float32)


@pytest.mark.parametrize("shape", [(30_000, 40_000), (300, 500_000), (100_000, 17)])
def test_statistics_of_a_huge_image_come_from_spread_windows(shape: tuple[int, int]) -> None:
    source = Counting(shape)
    found = source.statistics
    small = shape[0] * shape[1] <= images.SUBSAMPLE_ABOVE
    assert source.asked == shape[0] * shape[1] if small else source.asked <= 64 * 512 * 512
    assert found.percentile(50) == pytest.approx([1], abs=0.2)
    assert found.mean == pytest.approx([1], abs=0.2)
    asked = source.asked
    assert source.statistics is found
    assert source.asked == asked


# ---- normalisation -----------------------------------------------------------------------------


@given(st.floats(0.01, 1000), st.floats(-1000, 1000))
def test_normalisation_does_not_depend_on_gain_and_offset(gain: float, offset: float) -> None:
    pixels = np.random.default_rng(0).normal(0, 1, (1, 40, 40)).astype(np.float32)
    other = (pixels * gain + offset).astype(np.float32)
    plain, moved = (Normalisation().apply(each, measure(each)) for each in (pixels, other))
    np.testing.assert_allclose(moved, plain, atol=0.02 + 1e-5 * abs(offset) / gain)


def test_normalisation_puts_the_median_at_zero_and_the_percentiles_two_apart() -> None:
    pixels = np.linspace(0, 1, 10001, dtype=np.float32)[None, None]
    seen = Normalisation(low=5, high=95).apply(pixels, measure(pixels))
    low, middle, high = np.percentile(seen, [5, 50, 95])
    assert middle == pytest.approx(0, abs=1e-3)
    assert high - low == pytest.approx(2, abs=1e-3)
    assert seen.dtype == np.float32


def test_normalisation_clips_outliers() -> None:
    pixels = noise((1, 50, 50))
    pixels[0, 0, :2] = 1e6, -1e6
    seen = Normalisation(limit=3).apply(pixels, measure(pixels))
    assert (seen.min(), seen.max()) == (-3, 3)


@pytest.mark.parametrize("value", [0, 255, -3.5, 65535, 1e9])
def test_a_constant_image_becomes_zero(value: float) -> None:
    pixels = np.full((2, 6, 6), value, np.float32)
    assert (Normalisation().apply(pixels, measure(pixels)) == 0).all()


def test_a_tile_is_normalised_as_part_of_its_image() -> None:
    source = ArrayImage(noise((80, 80)))
    apply = Normalisation().apply
    tile = Window(10, 20, 30, 50)
    assert np.array_equal(
        apply(source.read(tile), source.statistics),
        apply(source.read(), source.statistics)[:, *tile.slices],
    )
