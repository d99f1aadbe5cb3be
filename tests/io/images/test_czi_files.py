"""Zeiss' CZI, written segment by segment; needs czifile, which runs on Python 3.12 and later."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from bigkingxxl.errors import ImageError
from bigkingxxl.geometry import tiles
from bigkingxxl.io.images import open_images

pytest.importorskip("czifile", reason="czifile is not installed (it needs Python 3.12 or newer)")

SCALING = (
    '<ImageDocument><Metadata><Scaling><Items><Distance Id="X"><Value>2.5e-07</Value></Distance>'
    '<Distance Id="Y"><Value>5e-07</Value></Distance></Items></Scaling></Metadata></ImageDocument>'
)
GRAY16 = 1


def segment(name: str, data: bytes) -> bytes:
    room = -(-len(data) // 32) * 32
    head = name.encode().ljust(16, b"\0") + struct.pack("<QQ", room, len(data))
    return head + data.ljust(room, b"\0")


def entry(place: int, dimensions: list[tuple[str, int, int]]) -> bytes:
    listed = b"".join(
        name.encode().ljust(4, b"\0") + struct.pack("<iifi", start, size, float(start), size)
        for name, start, size in dimensions
    )
    head = b"DV" + struct.pack("<iqii", GRAY16, place, 0, 0) + bytes(6)
    return head + struct.pack("<i", len(dimensions)) + listed


def write_czi(path: Path, pixels: np.ndarray, first: tuple[int, int, int]) -> None:
    """uint16[T, Z, C, H, W]; `first` is the (time, row, column) from which the file counts."""
    frames, depth, channels, height, width = pixels.shape

    def header(metadata: int, directory: int) -> bytes:
        fixed = struct.pack("<iiii", 1, 0, 0, 0) + bytes(32)
        return segment(
            "ZISRAWFILE",
            (fixed + struct.pack("<iqqiq", 0, directory, metadata, 0, 0)).ljust(512, b"\0"),
        )

    xml = SCALING.encode()
    body = segment("ZISRAWMETADATA", struct.pack("<ii", len(xml), 0) + bytes(248) + xml)
    start = len(header(0, 0))
    entries = []
    for t, z, c in np.ndindex(frames, depth, channels):
        place = start + len(body)
        dimensions = [("X", first[2], width), ("Y", first[1], height), ("C", c, 1), ("Z", z, 1),
                      ("T", first[0] + t, 1)]  # fmt: skip
        entries.append(entry(place, dimensions))
        data = pixels[t, z, c].astype("<u2").tobytes()
        fixed = struct.pack("<iiq", 0, 0, len(data)) + entries[-1]
        body += segment("ZISRAWSUBBLOCK", fixed.ljust(256, b"\0") + data)
    directory = start + len(body)
    body += segment(
        "ZISRAWDIRECTORY", struct.pack("<i", len(entries)) + bytes(124) + b"".join(entries)
    )
    path.write_bytes(header(start, directory) + body)


@pytest.mark.parametrize("first", [(0, 0, 0), (5, -30, 100)])
def test_czi(tmp_path: Path, first: tuple[int, int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 60_000, (2, 3, 2, 40, 52)).astype(np.uint16)
    path = tmp_path / "x.czi"
    write_czi(path, pixels, first)
    images = open_images(path, z="all")
    assert [image.name for image in images] == [
        f"x_t00{t}_z0{z}" for t in (0, 1) for z in (0, 1, 2)
    ]
    for image, planes in zip(images, pixels.reshape(6, 2, 40, 52), strict=True):
        assert image.pixel_size_um == pytest.approx((0.5, 0.25))
        for window in tiles(image.shape, (17, 19), 3):
            expected = planes[(slice(None), *window.slices)]
            assert np.array_equal(image.read_raw(window), expected)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ImageError):
        [image.read() for image in open_images(path, z="all")]
