"""A chunk that was cut off is damage, also where the decoder would read on behind its end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bigkingxxl.errors import ImageError
from bigkingxxl.geometry import Window
from bigkingxxl.io.images import open_image
from tests.io.annotations.test_zarr_inside import image

zarr = pytest.importorskip("zarr")


def blosc_image(path: Path, version: str) -> Path:
    """An OME-Zarr of noise that Blosc cannot make smaller, in chunks of 16 x 16 pixels."""
    from numcodecs import Blosc
    from zarr.codecs import BloscCodec

    source = image(path, version)
    group = zarr.open_group(source, mode="r+")
    pixels = group["0"][:]
    del group["0"]
    codec = Blosc() if version == "0.4" else BloscCodec()
    group.create_array("0", shape=pixels.shape, chunks=(16, 16), dtype="uint8", compressors=codec)
    group["0"][:] = pixels
    return source


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("share", [0.0, 0.03, 0.5, 0.99])
def test_a_chunk_that_is_cut_off_is_refused_and_the_others_are_read(
    tmp_path: Path, version: str, share: float
) -> None:
    source = blosc_image(tmp_path / "a.zarr", version)
    pixels = open_image(source).read()
    array = zarr.open_group(source, mode="r")["0"]
    chunk = source / "0" / array.metadata.encode_chunk_key((1, 2))
    content = chunk.read_bytes()
    chunk.write_bytes(content[: int(share * len(content))])
    damaged = open_image(source)
    with pytest.raises(ImageError):
        damaged.read_raw(Window(10, 20, 20, 40))
    beside = Window(0, 0, 16, 50)
    np.testing.assert_array_equal(damaged.read_raw(beside), pixels[(slice(None), *beside.slices)])
