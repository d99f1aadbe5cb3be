"""Unusual and damaged TIFFs from laboratories and scanners."""

from __future__ import annotations

import base64
import os
import struct
import time
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile

from bigkingxxl.errors import ImageError
from bigkingxxl.geometry import Window, whole
from bigkingxxl.io.images import open_image, open_images
from tests.io.images.handmade_tiff import packed_12, tiff_bytes, write_tiff
from tests.refusals import numbers_of, refused

RANDOM = np.random.default_rng(0)
GRAY = RANDOM.integers(0, 256, (24, 36)).astype(np.uint8)
STACK = RANDOM.integers(0, 256, (4, 24, 36)).astype(np.uint8)
WEIGHTS = np.array([0.299, 0.587, 0.114])


def raw(path: Path, **options: Any) -> np.ndarray:
    source = open_image(path, **options)
    pixels = source.read_raw(whole(source.shape))
    return pixels[0] if len(pixels) == 1 else pixels


def bits_of(pixels: np.ndarray, bits: int) -> bytes:
    """Rows of packed samples, each padded to whole bytes."""
    planes = (pixels[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(planes.reshape(len(pixels), -1).astype(np.uint8), axis=1).tobytes()


# ---- values and colours ------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", [1, 5])
def test_orientation_is_that_of_the_uncompressed_file(
    tmp_path: Path, orientation: int, compression: int
) -> None:
    """Rows and columns lie as stored, as Fiji and QuPath show them."""
    coders: dict[int, Any] = {1: bytes, 5: imagecodecs.lzw_encode}
    path = write_tiff(
        tmp_path / "x.tif", GRAY, lambda part: bytes(coders[compression](part.tobytes())), bits=8,
        compression=compression, tags={274: orientation},
    )  # fmt: skip
    assert np.array_equal(raw(path), GRAY)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 12, 16])
@pytest.mark.parametrize("compression", [1, 5, 8])
@pytest.mark.parametrize("order", "<>")
def test_white_stored_as_zero(tmp_path: Path, bits: int, compression: int, order: str) -> None:
    top = (1 << bits) - 1
    pixels = RANDOM.integers(0, top + 1, (24, 37)).astype(np.uint16)
    coders: dict[int, Any] = {1: bytes, 5: imagecodecs.lzw_encode, 8: zlib.compress}

    def encode(part: np.ndarray) -> bytes:
        whole_bytes = part.astype(f"{order}u{bits // 8}").tobytes() if bits in (8, 16) else b""
        return bytes(coders[compression](whole_bytes or bits_of(part[..., 0], bits)))

    for photometric, expected in ((1, pixels), (0, top - pixels)):
        path = write_tiff(tmp_path / "x.tif", pixels, encode, bits=bits, compression=compression,
                          photometric=photometric, order=order, rows=7)  # fmt: skip
        assert np.array_equal(raw(path), expected)


@pytest.mark.parametrize("bits", [1, 4, 8, 16])
@pytest.mark.parametrize("in_8_bits", [False, True])
def test_palettes(tmp_path: Path, bits: int, in_8_bits: bool) -> None:
    colours = RANDOM.integers(0, 256, (3, 1 << bits))
    pixels = RANDOM.integers(0, 1 << bits, (24, 37)).astype(np.uint16)

    def encode(part: np.ndarray) -> bytes:
        return part.astype(f"<u{bits // 8}").tobytes() if bits >= 8 else bits_of(part[..., 0], bits)

    table = tuple((colours if in_8_bits else colours * 257).ravel().tolist())
    path = write_tiff(tmp_path / "x.tif", pixels, encode, bits=bits, photometric=3,
                      tags={320: table})  # fmt: skip
    expected = np.moveaxis(colours[:, pixels], 0, -1) @ WEIGHTS
    np.testing.assert_allclose(raw(path), expected, atol=1e-3)


@pytest.mark.parametrize("kind", [1, 2])
def test_gray_with_alpha_is_gray(tmp_path: Path, kind: int) -> None:
    pixels = np.stack([GRAY, GRAY[::-1]], -1)
    path = write_tiff(tmp_path / "x.tif", pixels, bytes, bits=8, tags={338: kind})
    assert np.array_equal(raw(path), GRAY)


def test_a_fourth_sample_that_is_no_alpha_is_not_dropped(tmp_path: Path) -> None:
    pixels = np.moveaxis(STACK, 0, -1).copy()
    path = write_tiff(tmp_path / "x.tif", pixels, bytes, bits=8, photometric=2, tags={338: 0})
    assert open_image(path).channels == 4
    assert np.array_equal(raw(path, channel=3), STACK[3])


@pytest.mark.parametrize(
    ("photometric", "samples", "name"),
    [(5, 4, "SEPARATED"), (6, 3, "YCBCR"), (8, 3, "CIELAB"), (9, 3, "ICCLAB"), (32_803, 1, "CFA")],
)
def test_unsupported_colours_are_refused(
    tmp_path: Path, photometric: int, samples: int, name: str
) -> None:
    pixels = np.stack([GRAY] * samples, -1)
    tags = {530: (1, 1)} if photometric == 6 else {}
    path = write_tiff(tmp_path / "x.tif", pixels, bytes, bits=8, photometric=photometric,
                      tags=tags)  # fmt: skip
    with refused(ImageError, file="x.tif", key="colours", found=name, expected="RGB"):
        open_image(path)


def test_packed_bits_are_not_mistaken_for_damage(tmp_path: Path) -> None:
    pixels = RANDOM.integers(0, 4096, (24, 37)).astype(np.uint16)
    path = write_tiff(tmp_path / "x.tif", pixels, packed_12, bits=12)
    assert np.array_equal(raw(path), pixels)


def test_channels_that_come_last(tmp_path: Path) -> None:
    """As tifffile writes an array [H, W, 2]: 24 planes of 36 x 2."""
    pixels = np.stack([GRAY, GRAY[::-1]], -1)
    tifffile.imwrite(tmp_path / "x.tif", pixels)
    assert open_image(tmp_path / "x.tif").channels == 2
    assert np.array_equal(raw(tmp_path / "x.tif", channel=1), GRAY[::-1])
    tifffile.imwrite(tmp_path / "y.tif", pixels, metadata={"axes": "YXC"})
    assert np.array_equal(raw(tmp_path / "y.tif", channel=1), GRAY[::-1])
    tifffile.imwrite(tmp_path / "z.tif", pixels, compression="zlib")
    with refused(ImageError, file="z.tif", key="axes", found=(24, 36, 2)):
        open_image(tmp_path / "z.tif")


def test_tiles_that_are_left_out_have_the_value_that_the_file_names(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    full = zlib.compress(np.full((16, 16), 7, np.uint8).tobytes())
    tiles = (tile for tile in (b"", full, b"", b""))
    tifffile.imwrite(path, tiles, shape=(32, 32), dtype=np.uint8, tile=(16, 16),
                     compression="zlib", photometric="minisblack",
                     extratags=[(42_113, 2, 3, "9", True)])  # fmt: skip
    assert np.array_equal(raw(path), tifffile.imread(path))
    assert set(np.unique(raw(path))) == {7, 9}


# ---- stacks and series of files ----------------------------------------------------------------


def write_series(
    folder: Path, pixels: np.ndarray, compression: str | None = None, named: str = "f{}.ome.tif"
) -> list[Path]:
    """An OME series in time over files of one plane each; `named` are their names in its XML."""
    count = len(pixels)
    ids = [f"urn:uuid:00000000-0000-0000-0000-00000000000{k}" for k in range(count)]
    data = "".join(
        f'<TiffData FirstT="{k}" IFD="0" PlaneCount="1"><UUID FileName="{named.format(k)}">{ids[k]}'
        "</UUID></TiffData>" for k in range(count)
    )  # fmt: skip
    for k, plane in enumerate(pixels):
        xml = (
            '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/'
            f'Schemas/OME/2016-06" UUID="{ids[k]}"><Image ID="Image:0"><Pixels ID="Pixels:0" '
            f'DimensionOrder="XYCZT" Type="uint8" SizeX="{plane.shape[1]}" SizeY="{plane.shape[0]}"'
            f' SizeC="1" SizeZ="1" SizeT="{count}"><Channel ID="Channel:0:0" SamplesPerPixel="1"/>'
            f"{data}</Pixels></Image></OME>"
        )
        tifffile.imwrite(folder / f"f{k}.ome.tif", plane, metadata=None, description=xml,
                         compression=compression, software=False)  # fmt: skip
    return [folder / f"f{k}.ome.tif" for k in range(count)]


@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
def test_each_plane_of_a_series_is_read_from_its_own_file(
    tmp_path: Path, compression: str | None
) -> None:
    for number, path in enumerate(write_series(tmp_path, STACK, compression)):
        images = open_images(path)
        assert [image.name for image in images] == [f"f{number}_t00{k}" for k in range(4)]
        for image, plane in zip(images, STACK, strict=True):
            assert np.array_equal(image.read()[0], plane)


def test_a_missing_file_costs_its_own_planes(tmp_path: Path) -> None:
    paths = write_series(tmp_path, STACK)
    paths[2].unlink()
    images = open_images(paths[0])
    with refused(ImageError, file=paths[0], key="planes", found=2):
        images[2].read()
    for k in (0, 1, 3):
        assert np.array_equal(images[k].read()[0], STACK[k])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", ["../f{}.ome.tif", "/f{}.ome.tif", "pipe.ome.tif"])
def test_a_series_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe.ome.tif")
    path = write_series(tmp_path, STACK[:2], named=name)[0]
    with pytest.raises(ImageError):
        [image.read() for image in open_images(path)]


@pytest.mark.parametrize("options", [{"imagej": True}, {"imagej": True, "compression": "zlib"}, {}])
def test_no_plane_of_a_stack_that_is_cut_off_is_lost_in_silence(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, STACK, metadata={"axes": "TYX"}, photometric="minisblack", **options)
    path.write_bytes(path.read_bytes()[: -GRAY.size])
    with refused(ImageError, file=path):
        [image.read() for image in open_images(path)]


def test_a_page_chain_beyond_the_file_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "x.tif"
    with tifffile.TiffWriter(path) as writer:
        for plane in STACK:
            writer.write(plane, photometric="minisblack", metadata=None, contiguous=False)
    path.write_bytes(path.read_bytes()[: -GRAY.size - 300])
    images = open_images(path)
    assert len(images) == 3
    assert np.array_equal(images[1].read()[0], STACK[1])
    assert numbers_of(caplog.text)[-1] == 3


# ---- what a file claims ------------------------------------------------------------------------

LOOP = base64.b64decode(
    "SUkqAAgAAAAOAAABBACWxgQAAQAAAAEAAAB4AAAAAQEEAAEAAABgAAAAAgEDAAEAAAAIAAAAAwEDAAEAAAAIAAAABgEDAAEA"
    "AAABAAAADgECABUAAAC2AAAAEQEEAAEAAAAAAQAAFQEDAAEAAAABAAAAFgEEAAEAAABgAAAAFwEEAAEAAABwHwAAGgEFAAEA"
    "AADaAAAAGwEFAAEAAADiAAAAKAEDAAEAAAABAAAAMQECAAwAAADqAAAAAAAAAA=="
)


def looping(pages: int, target: int, order: str, *, big: bool) -> bytes:
    """Pages without tags, the last of which leads back to one of them."""
    head, entry = (16, 16) if big else (8, 6)
    offset, count = ("Q", "Q") if big else ("I", "H")
    start = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    start += struct.pack(order + "HH", 8, 0) if big else b""
    start += struct.pack(order + offset, head)
    following = [head + entry * (k + 1) for k in range(pages - 1)] + [head + entry * target]
    return start + b"".join(struct.pack(order + count + offset, 0, each) for each in following)


@pytest.mark.parametrize(
    "content",
    [
        LOOP,
        looping(1, 0, "<", big=False),
        looping(1000, 999, ">", big=False),
        looping(120, 3, "<", big=False),
        looping(5, 2, "<", big=True),
    ],
    ids=["lost", "itself", "the last", "long", "BigTIFF"],
)
def test_a_circular_page_chain_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "loop.tif"
    path.write_bytes(content)
    started = time.process_time()
    with refused(ImageError, file=path, key="pages"):
        open_images(path)
    assert time.process_time() - started < 1


def claiming(compression: int, data: bytes | bytearray, side: int = 30_000, bits: int = 8) -> bytes:
    """A page of side x side pixels in one strip of these bytes."""
    tags = {256: side, 257: side, 258: bits, 259: compression, 262: 1, 277: 1, 278: side}
    return tiff_bytes(tags, [bytes(data)])


JPEG = imagecodecs.jpeg_encode(GRAY)
HUGE_JPEG = JPEG.replace(struct.pack(">HH", *GRAY.shape), struct.pack(">HH", 60_000, 60_000), 1)
JP2 = imagecodecs.jpeg2k_encode(GRAY, level=0, codecformat="j2k")
HUGE_JP2 = JP2.replace(struct.pack(">II", 36, 24), struct.pack(">II", 60_000, 60_000), 1)
SIZES = "".join(f' Size{axis}="99999"' for axis in "ZCT")
OME = (
    '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels '
    f'ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="36" SizeY="24"{SIZES}>'
    '<TiffData IFD="0" PlaneCount="1" FirstT="99998"/></Pixels></Image></OME>'
)


@pytest.mark.parametrize(
    "content",
    [
        claiming(1, b"few"),
        claiming(5, imagecodecs.lzw_encode(bytes(1000))),
        claiming(8, zlib.compress(bytes(1000))),
        claiming(32_773, bytes(100)),
        claiming(50_000, imagecodecs.zstd_encode(bytes(1000))),
        claiming(7, HUGE_JPEG, side=64),
        claiming(34_712, HUGE_JP2, side=64),
        claiming(1, b"few", side=2**31 - 1),
        claiming(8, b"", side=2**32 - 1, bits=64),
    ],
)
def test_claims_are_checked_against_the_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.tif"
    path.write_bytes(content)
    started = time.process_time()
    tracemalloc.start()
    with pytest.raises(ImageError) as error:
        open_image(path).read_raw(Window(0, 0, 8, 8))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000
    assert time.process_time() - started < 2
    assert "\n" not in str(error.value)


def test_planes_that_ome_claims(tmp_path: Path) -> None:
    path = tmp_path / "x.ome.tif"
    tifffile.imwrite(path, GRAY, metadata=None, description=OME)
    tracemalloc.start()
    with refused(ImageError, file=path, key="planes"):
        open_images(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000


def test_metadata_nested_deep(tmp_path: Path) -> None:
    deep = "<a>" * 100_000 + "</a>" * 100_000
    xml = OME.replace(SIZES, ' SizeZ="1" SizeC="1" SizeT="1"').replace(' FirstT="99998"', "")
    path = tmp_path / "x.ome.tif"
    tifffile.imwrite(path, GRAY, metadata=None, description=xml.replace("</OME>", f"{deep}</OME>"))
    assert np.array_equal(raw(path), GRAY)


def test_planes_described_by_another_file_are_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<BinaryOnly MetadataFile="x.companion.ome" UUID="urn:uuid:1"/></OME>'
    )
    planes = np.zeros((3, 20, 30), np.uint8)
    tifffile.imwrite(
        tmp_path / "x.ome.tif", planes, photometric="minisblack", description=xml, metadata=None
    )
    assert len(open_images(tmp_path / "x.ome.tif")) == 3
    assert "x.companion.ome" in caplog.text
