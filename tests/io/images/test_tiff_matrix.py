"""TIFFs of every compression, depth, byte order, colour, predictor and layout.

The files are written by tifffile with imagecodecs, or tag by tag, and read back by tifffile.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile

from bigkingxxl.geometry import Window, tiles
from bigkingxxl.io.images import open_image
from tests.io.images.handmade_tiff import packed_12, write_tiff

SIZE = (70, 52)
COMPRESSIONS: dict[str, Any] = {
    "none": None, "lzw": "lzw", "deflate": "zlib", "zstd": "zstd", "jpeg": "jpeg",
    "jpeg2000": "jpeg2000",
}  # fmt: skip
DEPTHS = {"8": np.uint8, "12": np.uint16, "16": np.uint16, "float32": np.float32}
COLOURS = ("gray", "rgb", "planar", "two planes")


def cases() -> Iterator[tuple[str, str, str, str, bool, bool]]:
    """The combinations that exist: no predictor for packed bits or with lossy compression."""
    for compression, depth, order, colour, predictor, tiled in itertools.product(
        COMPRESSIONS, DEPTHS, "<>", COLOURS, (False, True), (False, True)
    ):
        if predictor and (compression in ("none", "jpeg", "jpeg2000") or depth == "12"):
            continue
        if depth == "float32" and compression in ("jpeg", "jpeg2000"):
            continue
        if depth == "16" and compression == "jpeg":
            continue  # lossy JPEG has 8 or 12 bits
        yield compression, depth, order, colour, predictor, tiled


def name(case: tuple[Any, ...]) -> str:
    compression, depth, order, colour, predictor, tiled = case
    words = ("big" if order == ">" else "little", colour, "predictor" if predictor else "plain",
             "tiles" if tiled else "strips")  # fmt: skip
    return "-".join((compression, depth, *words))


def pixels_of(depth: str, colour: str) -> np.ndarray:
    """Smooth pixels, so that JPEG comes near them; every channel is different."""
    rows, cols = np.mgrid[: SIZE[0], : SIZE[1]] / max(SIZE)
    top = {"8": 255, "12": 4095, "16": 65_535, "float32": 1.0}[depth]
    count = {"gray": 1, "two planes": 2}.get(colour, 3)
    channels = [np.abs(np.sin(3 * rows + k) * np.cos(4 * cols - k)) for k in range(count)]
    stack = (np.stack(channels) * top).astype(DEPTHS[depth])
    return stack[0] if colour == "gray" else np.moveaxis(stack, 0, -1) if colour == "rgb" else stack


def write(path: Path, case: tuple[str, str, str, str, bool, bool]) -> np.ndarray:
    compression, depth, order, colour, predictor, tiled = case
    pixels = pixels_of(depth, colour)
    if depth == "12" or (compression, order) == ("jpeg2000", ">"):
        write_by_hand(path, case, pixels)
        return pixels
    options: dict[str, Any] = {
        "photometric": "rgb" if colour in ("rgb", "planar") else "minisblack",
        "planarconfig": {"rgb": "contig", "gray": None}.get(colour, "separate"),
        "compression": COMPRESSIONS[compression], "byteorder": order, "metadata": None,
    }  # fmt: skip
    options |= {"tile": (32, 48)} if tiled else {"rowsperstrip": 16}
    if predictor:
        options["predictor"] = True
    if compression == "jpeg2000":
        options["compressionargs"] = {"level": 0, "reversible": True}
    if colour == "two planes":
        options["extrasamples"] = ["unspecified"]
    tifffile.imwrite(path, pixels, **options)
    return pixels


def write_by_hand(path: Path, case: tuple[Any, ...], pixels: np.ndarray) -> None:
    """What tifffile does not write (packed bits), or writes with its bytes swapped."""
    compression, depth, order, colour, _, tiled = case

    def encode(part: np.ndarray) -> bytes:
        if compression == "jpeg2000":
            image = part if part.shape[2] > 1 else part[..., 0]
            return bytes(
                imagecodecs.jpeg2k_encode(
                    np.ascontiguousarray(image), level=0, reversible=True, codecformat="j2k",
                    bitspersample=12 if depth == "12" else None,
                )
            )  # fmt: skip
        if compression == "jpeg":
            image = part.astype(np.uint16) if part.shape[2] > 1 else part[..., 0].astype(np.uint16)
            colours: dict[str, Any] = (
                {"colorspace": "RGB", "outcolorspace": "RGB"} if image.ndim == 3 else {}
            )
            image = np.ascontiguousarray(image)
            return bytes(imagecodecs.jpeg_encode(image, level=95, bitspersample=12, **colours))
        coders: dict[str, Callable[[bytes], Any]] = {
            "none": bytes, "lzw": imagecodecs.lzw_encode, "deflate": imagecodecs.zlib_encode,
            "zstd": imagecodecs.zstd_encode,
        }  # fmt: skip
        return bytes(coders[compression](packed_12(part)))

    write_tiff(
        path, pixels, encode, bits={"8": 8, "12": 12, "16": 16}[depth],
        compression={"none": 1, "lzw": 5, "deflate": 8, "zstd": 50_000, "jpeg": 7,
                     "jpeg2000": 34_712}[compression],
        photometric=2 if colour in ("rgb", "planar") else 1,
        planar=colour in ("planar", "two planes"), order=order,
        tile=(32, 48) if tiled else None, rows=16,
    )  # fmt: skip


@pytest.mark.parametrize("case", list(cases()), ids=name)
def test_values_are_those_of_tifffile(tmp_path: Path, case: tuple[Any, ...]) -> None:
    path = tmp_path / "x.tif"
    written = write(path, case)
    expected = tifffile.imread(path)
    if case[0] == "jpeg":
        assert np.abs(expected.astype(float) - written.astype(float)).mean() < 0.02 * written.max()
    else:
        assert np.array_equal(expected, written)
    channels = np.atleast_3d(expected) if expected.ndim == 2 or case[3] == "rgb" else expected
    channels = np.moveaxis(channels, -1, 0) if case[3] in ("gray", "rgb") else channels
    for index, channel in enumerate(channels):
        source = open_image(path, channel=index)
        assert source.shape == SIZE
        for window in tiles(SIZE, (33, 29), 3):
            assert np.array_equal(source.read_raw(window)[0], channel[window.slices])
    if case[3] in ("rgb", "planar"):
        weighted = np.tensordot([0.299, 0.587, 0.114], channels.astype(float), 1)
        found = open_image(path).read_raw(Window(0, 0, *SIZE))[0]
        np.testing.assert_allclose(found, weighted, rtol=1e-5, atol=1e-3)


def test_the_matrix_is_not_empty() -> None:
    assert len(list(cases())) > 250
