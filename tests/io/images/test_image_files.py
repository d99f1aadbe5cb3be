"""Images on disk: every kind of pixel and of damage, and how paths name files."""

from __future__ import annotations

import struct
import tracemalloc
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bigkingxxl.errors import ImageError
from bigkingxxl.geometry import Window
from bigkingxxl.io.images import open_image, open_images, read_header
from tests.refusals import refused

GRAY = np.arange(30, dtype=np.uint8).reshape(5, 6) * 8
COLOUR = np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8)
ALPHA = np.full((5, 6, 1), 77, np.uint8)


def save(path: Path, pixels: np.ndarray, **options: Any) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


def luminance(colour: np.ndarray) -> np.ndarray:
    """ITU-R BT.601 by hand, red, green, blue last."""
    weighted: np.ndarray = 0.299 * colour[..., 0] + 0.587 * colour[..., 1] + 0.114 * colour[..., 2]
    return weighted


def png(width: int, height: int, data: bytes) -> bytes:
    """A gray 8-bit PNG of any claimed size around any compressed bytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(data))
        + chunk(b"IEND", b"")
    )


# ---- pixels ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["png", "bmp", "PNG"])
@pytest.mark.parametrize(
    ("stored", "seen"),
    [
        (GRAY, GRAY),
        (GRAY > 100, GRAY > 100),
        (COLOUR, luminance(COLOUR)),
        (np.concatenate((COLOUR, ALPHA), axis=2), luminance(COLOUR)),
    ],
    ids=["gray", "bool", "colour", "alpha"],
)
def test_pixels_as_stored(
    tmp_path: Path, stored: np.ndarray, seen: np.ndarray, ending: str
) -> None:
    source = open_image(save(tmp_path / f"cells.{ending}", stored))
    pixels = source.read_raw(Window(0, 0, 5, 6))
    assert pixels.dtype == np.float32
    assert (source.shape, source.channels, source.name) == ((5, 6), 1, "cells")
    # A bilevel BMP stores black and white as 0 and 255.
    factor = 255 if stored.dtype == bool and pixels.max() == 255 else 1
    np.testing.assert_allclose(pixels[0], seen * factor, atol=1e-3)


def test_16_bit_gray_keeps_its_16_bits(tmp_path: Path) -> None:
    pixels = (np.arange(30).reshape(5, 6) * 2000 + 1).astype(np.uint16)
    source = open_image(save(tmp_path / "deep.png", pixels))
    assert np.array_equal(source.read()[0], pixels)


def test_gray_with_alpha_is_gray(tmp_path: Path) -> None:
    stored = np.stack((GRAY, GRAY[::-1]), axis=2)
    source = open_image(save(tmp_path / "la.png", stored))
    assert np.array_equal(source.read(), GRAY[None])


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    path = tmp_path / "palette.png"
    image = Image.fromarray(GRAY // 8).convert("P")
    image.putpalette([value for index in range(256) for value in (255 - index, index, 0)])
    image.putdata((GRAY // 8).ravel().tolist())
    image.save(path)
    index = (GRAY // 8).astype(float)
    expected = luminance(np.stack((255 - index, index, 0 * index), axis=2))
    np.testing.assert_allclose(open_image(path).read()[0], expected, atol=1e-3)


def test_jpeg(tmp_path: Path) -> None:
    smooth = np.linspace(0, 255, 64 * 48).reshape(48, 64).astype(np.uint8)
    source = open_image(save(tmp_path / "cells.jpg", smooth, quality=95))
    assert source.shape == (48, 64)
    assert np.abs(source.read()[0] - smooth).mean() < 3


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_a_channel_of_colour(tmp_path: Path, channel: int) -> None:
    source = open_image(save(tmp_path / "rgb.png", COLOUR), channel=channel)
    assert np.array_equal(source.read(), COLOUR[None, ..., channel])


@given(data=st.data())
def test_a_window_is_that_part_of_the_whole(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    source = open_image(save(tmp_path_factory.mktemp("window") / "rgb.png", COLOUR))
    row0, col0 = data.draw(st.integers(0, 4)), data.draw(st.integers(0, 5))
    row1, col1 = data.draw(st.integers(row0 + 1, 5)), data.draw(st.integers(col0 + 1, 6))
    part = source.read(Window(row0, col0, row1, col1))
    assert np.array_equal(part, source.read()[:, row0:row1, col0:col1])


def test_a_file_is_known_by_its_bytes_not_by_its_ending(tmp_path: Path) -> None:
    path = tmp_path / "really_png.tif"
    Image.fromarray(GRAY).save(path, format="PNG")
    assert np.array_equal(open_image(path).read()[0], GRAY)
    path = tmp_path / "really_tiff.png"
    Image.fromarray(GRAY).save(path, format="TIFF")
    assert np.array_equal(open_image(path).read()[0], GRAY)


def test_one_frame_of_a_file_without_pages(tmp_path: Path) -> None:
    (frame,) = open_images(save(tmp_path / "x.png", GRAY))
    assert frame.name == "x"
    assert np.array_equal(frame.read()[0], GRAY)


def test_a_header_is_read_without_pixels(tmp_path: Path) -> None:
    path = tmp_path / "wide.png"
    path.write_bytes(png(8_000, 6_000, bytes(8_001 * 6_000)))
    tracemalloc.start()
    header = read_header(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert header == ((6_000, 8_000), None)
    assert peak < 10_000_000


# ---- damage ------------------------------------------------------------------------------------


def _valid_png() -> bytes:
    noise = np.random.default_rng(1).integers(0, 256, (65, 64), np.uint8)
    noise[:, 0] = 0
    return png(63, 65, noise.tobytes())


@pytest.mark.parametrize(
    ("name", "content", "fields"),
    [
        ("x.png", b"", {"key": "bytes", "found": 0}),
        ("x.png", b"not an image at all", {}),
        ("x.tif", b"not an image at all", {}),
        ("x.png", b"\x89PNG\r\n\x1a\n", {}),
        ("x.png", _valid_png()[:-200], {}),
        ("x.png", _valid_png()[:100], {}),
        ("x.png", png(0, 5, b""), {"key": "pixels", "found": (5, 0)}),
        ("x.png", png(5, 0, b""), {"key": "pixels", "found": (0, 5)}),
        ("x.png", png(64, 64, b"far too few"), {}),
        ("x.png", png(50_000, 40_000, b"bomb"), {"key": "pixels", "expected": 1_000_000_000}),
        ("x.jpg", b"\xff\xd8\xff\xe0nonsense", {}),
        ("x.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", {}),
    ],
)  # fmt: skip
def test_damage_is_one_sentence(
    tmp_path: Path, name: str, content: bytes, fields: dict[str, Any]
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with refused(ImageError, file=path, **fields) as error:
        open_image(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.9])
def test_a_jpeg_cut_off(tmp_path: Path, cut: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    path = save(tmp_path / "cut.jpg", noise)
    path.write_bytes(path.read_bytes()[: int(cut * path.stat().st_size)])
    with pytest.raises(ImageError, match=r"cut\.jpg"):
        open_image(path)


@pytest.mark.parametrize(
    "content",
    [png(30_000, 30_000, b"too few")[:-30], png(60_000, 60_000, b"above the limit")],
    ids=["truncated", "above the limit"],
)
def test_refused_before_anything_large_is_allocated(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(ImageError):
        open_image(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000


def test_the_limit_is_ours_not_pillows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    path = save(tmp_path / "x.png", GRAY)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_image(path, pixel_limit=30).shape == (5, 6)
    with refused(ImageError, file=path, key="pixels", found=(5, 6), expected=29):
        open_image(path, pixel_limit=29)
    assert Image.MAX_IMAGE_PIXELS == 10


@pytest.mark.parametrize(
    ("options", "key", "found", "expected"),
    [
        ({"channel": 3}, "channel", 3, 3),
        ({"channel": -1}, "channel", -1, 3),
        ({"frames": 1}, "frame", 1, 1),
        ({"position": 2}, "position", 2, 1),
        ({"z": "3"}, "z", 3, 1),
    ],
)
def test_missing_channels_and_planes_are_refused(
    tmp_path: Path, options: dict[str, Any], key: str, found: int, expected: int
) -> None:
    path = save(tmp_path / "x.png", COLOUR)
    with refused(ImageError, file=path, key=key, found=found, expected=expected):
        open_image(path, **options)


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    with refused(ImageError, file="x.png"):
        open_image(tmp_path / "x.png")
    with refused(ImageError, file=tmp_path, key="format", found="folder"):
        open_image(tmp_path)
