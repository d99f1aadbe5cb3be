"""Large images in every form in which microscopes and programs store them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray

from bigkingxxl.images import ImageSource
from bigkingxxl.inference.predictor import ImageContext
from tests.runs.large.blobs import Blobs, field, image_of, predict, small_blocks

SIZE = (130, 170)  # 3 x 3 blocks, and no multiple of any tile
LABELS = field(SIZE, 70)


class Dim(Blobs):
    """Finds cells by the middle between the median and the maximum, in any unit."""

    def image_context(self, source: ImageSource) -> ImageContext:
        low, high = source.statistics.percentile(50.0)[0], source.statistics.percentile(99.0)[0]
        return {"threshold": float(low + high) / 2}


def found_in(path: Path) -> NDArray[np.int64]:
    """Return the labels of an image of which all blocks are found."""
    out = path.parent / "out"
    result = predict(path, out, formats=("labels", "measurements"), predictor=Dim())
    assert not result.failed
    assert not result.damaged
    labels: NDArray[np.int64] = tifffile.imread(out / "labels" / f"{path.stem}.tif").astype(
        np.int64
    )
    return labels


TIFFS: dict[str, dict[str, Any]] = {
    "tiles": {"tile": (32, 48), "bigtiff": True},
    "deflate": {"tile": (32, 48), "compression": "deflate", "bigtiff": True},
    "lzw": {"rowsperstrip": 7, "compression": "lzw"},
    "one strip": {"rowsperstrip": SIZE[0], "compression": "deflate"},
    "strips": {"rowsperstrip": 9},
    "big-endian": {"byteorder": ">", "rowsperstrip": 9},
    "predictor": {"tile": (32, 32), "compression": "zstd", "predictor": 2},
}


@pytest.mark.parametrize("form", TIFFS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiffs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, dtype: type[np.integer[Any]]
) -> None:
    small_blocks(monkeypatch)
    pixels = image_of(LABELS).astype(dtype) * (1 if dtype is np.uint8 else 100)
    tifffile.imwrite(tmp_path / "a.tif", pixels.astype(dtype), **TIFFS[form])
    assert np.array_equal(found_in(tmp_path / "a.tif") > 0, LABELS > 0)


def test_jpeg_tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch)
    options: dict[str, Any] = {
        "tile": (32, 48),
        "compression": "jpeg",
        "compressionargs": {"level": 98},
    }
    tifffile.imwrite(tmp_path / "a.tif", image_of(LABELS), **options)
    found = found_in(tmp_path / "a.tif") > 0
    assert (found & (LABELS > 0)).sum() > 0.98 * (found | (LABELS > 0)).sum()


def float_pixels() -> NDArray[np.float32]:
    """float32[H, W] with defective pixels on the background."""
    pixels = (image_of(LABELS) / np.float32(1e6)).astype(np.float32)
    rows, cols = np.nonzero(LABELS == 0)
    pixels[rows[::97], cols[::97]] = np.nan
    pixels[rows[5::97], cols[5::97]] = np.inf
    pixels[rows[9::97], cols[9::97]] = -np.inf
    return pixels


ZARRS: dict[str, tuple[int, dict[str, Any], Any]] = {
    "big-endian": (2, {"chunks": (32, 48)}, ">u2"),
    "unequal chunks": (2, {"chunks": (17, 101)}, "u1"),
    "one chunk": (2, {"chunks": SIZE}, "u1"),
    "floats": (2, {"chunks": (32, 48)}, "f4"),
    "doubles": (3, {"chunks": (32, 48)}, "f8"),
    "sharded": (3, {"chunks": (16, 16), "shards": (64, 48)}, "u1"),
    "sharded, 16 bits": (3, {"chunks": (16, 16), "shards": (48, 64)}, "u2"),
    "not compressed": (3, {"chunks": (32, 48), "compressors": None}, "u1"),
}


def ome_zarr(path: Path, pixels: NDArray[Any], zarr_format: int, options: dict[str, Any]) -> None:
    """Write an OME-Zarr 0.4 or 0.5 of one level."""
    group = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    array = group.create_array("s0", shape=pixels.shape, dtype=pixels.dtype, **options)
    array[...] = pixels
    multiscales = [{
        "axes": [{"name": each, "type": "space"} for each in "yx"],
        "datasets": [{"path": "s0", "coordinateTransformations": [
            {"type": "scale", "scale": [1.0, 1.0]}]}],
    }]  # fmt: skip
    if zarr_format == 2:
        group.attrs["multiscales"] = [{"version": "0.4", **multiscales[0]}]
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": multiscales}


@pytest.mark.parametrize("form", ZARRS)
def test_ome_zarrs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    small_blocks(monkeypatch)
    version, options, dtype = ZARRS[form]
    pixels = float_pixels() if np.dtype(dtype).kind == "f" else image_of(LABELS)
    ome_zarr(tmp_path / "a.zarr", pixels.astype(dtype), version, options)
    assert np.array_equal(found_in(tmp_path / "a.zarr") > 0, LABELS > 0)
