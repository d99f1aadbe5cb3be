"""Damaged files of every format: an image or an ImageError, soon and within little memory."""

from __future__ import annotations

import io
import time
import tracemalloc
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bigkingxxl.errors import ImageError
from bigkingxxl.geometry import Window
from bigkingxxl.io.images import open_images, read_header

RANDOM = np.random.default_rng(0)
GRAY = RANDOM.integers(0, 250, (40, 52)).astype(np.uint8)
COLOUR = RANDOM.integers(0, 250, (40, 52, 3)).astype(np.uint8)
STACK = RANDOM.integers(0, 250, (4, 40, 52)).astype(np.uint8)


def tiff(pixels: np.ndarray, **options: Any) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, **options)
    return stream.getvalue()


def picture(pixels: np.ndarray, kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def npy(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, pixels)
    return stream.getvalue()


FILES: dict[str, bytes] = {
    "plain.tif": tiff(GRAY),
    "zlib.tif": tiff(GRAY, compression="zlib", rowsperstrip=7),
    "lzw.tif": tiff(GRAY.astype(np.uint16), compression="lzw", predictor=True),
    "jpeg.tif": tiff(COLOUR, compression="jpeg", tile=(16, 16)),
    "jpeg2000.tif": tiff(COLOUR, compression="jpeg2000"),
    "imagej.tif": tiff(STACK, imagej=True, metadata={"axes": "ZYX"}),
    "ome.ome.tif": tiff(STACK, ome=True, compression="zlib", photometric="minisblack"),
    "big.tif": tiff(GRAY, bigtiff=True, compression="zstd"),
    "gray.png": picture(GRAY, "PNG"),
    "deep.png": bytes(imagecodecs.png_encode(COLOUR.astype(np.uint16) * 200)),
    "colour.jpg": picture(COLOUR, "JPEG"),
    "colour.bmp": picture(COLOUR, "BMP"),
    "gray.gif": picture(GRAY, "GIF"),
    "colour.webp": picture(COLOUR, "WEBP"),
    "colour.ppm": picture(COLOUR, "PPM"),
    "colour.jp2": bytes(imagecodecs.jpeg2k_encode(COLOUR, codecformat="jp2")),
    "stack.npy": npy(STACK),
}


def look(path: Path) -> None:
    """Open a file and look at every image, which may be refused."""
    started = time.process_time()
    tracemalloc.start()
    try:
        read_header(path)
        for image in open_images(path, z="all"):
            image.read_raw(Window(0, 0, 1, 1))
    except ImageError as error:
        assert "\n" not in str(error)  # noqa: PT017 - an error is allowed, not asked for
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 100_000_000
    assert time.process_time() - started < 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged")


@pytest.mark.parametrize("name", FILES)
@given(data=st.data())
def test_bytes_that_changed(name: str, data: st.DataObject, folder: Path) -> None:
    content = bytearray(FILES[name])
    within = min(len(content), data.draw(st.sampled_from([64, 400, 1 << 20]))) - 1
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, within))] = data.draw(st.integers(0, 255))
    (folder / name).write_bytes(content)
    look(folder / name)


@pytest.mark.parametrize("name", FILES)
@given(data=st.data())
def test_files_that_are_cut_off_or_end_in_noise(
    name: str, data: st.DataObject, folder: Path
) -> None:
    content = FILES[name][: data.draw(st.integers(1, len(FILES[name])))]
    (folder / name).write_bytes(content + data.draw(st.binary(max_size=60)))
    look(folder / name)


@given(content=st.binary(min_size=1, max_size=400), name=st.sampled_from(sorted(FILES)))
def test_any_bytes_at_all(content: bytes, name: str, folder: Path) -> None:
    (folder / name).write_bytes(content)
    look(folder / name)
