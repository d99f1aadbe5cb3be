"""TIFFs of every layout, compared with the array that was written, window by window."""

from __future__ import annotations

import logging
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bigkingxxl.errors import ImageError
from bigkingxxl.geometry import Window, tiles
from bigkingxxl.io.images import open_image, open_images, read_header
from tests.refusals import refused

RANDOM = np.random.default_rng(0)
PLAIN = RANDOM.integers(0, 60_000, (45, 70)).astype(np.uint16)
STACK = RANDOM.integers(0, 250, (4, 45, 70)).astype(np.uint8)
COLOUR = RANDOM.integers(0, 256, (45, 70, 3)).astype(np.uint8)
WEIGHTS = np.array([0.299, 0.587, 0.114])

LAYOUTS: dict[str, dict[str, Any]] = {
    "one piece": {},
    "strips": {"rowsperstrip": 7},
    "one compressed strip": {"compression": "zlib", "rowsperstrip": 45},
    "compressed strips": {"compression": "zlib", "rowsperstrip": 7},
    "predicted": {"compression": "zlib", "rowsperstrip": 8, "predictor": 2},
    "tiles": {"tile": (16, 32)},
    "compressed tiles": {"tile": (32, 16), "compression": "zlib"},
    "lzma": {"compression": "lzma"},
    "big-endian": {"byteorder": ">"},
    "big-endian tiles": {"byteorder": ">", "tile": (16, 16), "compression": "zlib"},
    "BigTIFF": {"bigtiff": True},
}


def write(path: Path, pixels: np.ndarray, **options: Any) -> Path:
    tifffile.imwrite(path, pixels, **{"photometric": "minisblack", **options})
    return path


def check_windows(source: Any, expected: np.ndarray) -> None:
    """Every tile of the source is that part of float32[C, H, W]."""
    assert (source.channels, *source.shape) == expected.shape
    for window in tiles(source.shape, (19, 23), 3):
        part = expected[(slice(None), *window.slices)]
        np.testing.assert_allclose(source.read_raw(window), part, rtol=1e-6, atol=1e-3)


# ---- layouts, types, channels ------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_window_of_any_layout(tmp_path: Path, layout: str, dtype: type) -> None:
    options = dict(LAYOUTS[layout])
    if dtype == np.float32 and "predictor" in options:
        options.pop("predictor")
    pixels = (PLAIN // 256).astype(dtype) if dtype == np.uint8 else PLAIN.astype(dtype)
    source = open_image(write(tmp_path / "x.tif", pixels, **options))
    check_windows(source, pixels[None].astype(np.float32))
    assert np.array_equal(source.read(), pixels[None])


@given(data=st.data())
def test_any_window_of_compressed_tiles(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("tiff") / "x.tif"
    source = open_image(write(path, PLAIN, tile=(16, 32), compression="zlib"))
    row0, col0 = data.draw(st.integers(0, 44)), data.draw(st.integers(0, 69))
    row1, col1 = data.draw(st.integers(row0 + 1, 45)), data.draw(st.integers(col0 + 1, 70))
    part = source.read(Window(row0, col0, row1, col1))
    assert np.array_equal(part[0], PLAIN[row0:row1, col0:col1])


@pytest.mark.parametrize("dtype", ["bool", "int8", "int16", "uint32", "float16", "float64"])
def test_types(tmp_path: Path, dtype: str) -> None:
    pixels = (PLAIN % 100 > 50).astype(dtype) if dtype == "bool" else (PLAIN % 100).astype(dtype)
    source = open_image(write(tmp_path / "x.tif", pixels))
    check_windows(source, pixels[None].astype(np.float32))


def test_nan_is_preserved_raw_and_filled_when_read(tmp_path: Path) -> None:
    pixels = PLAIN.astype(np.float64)
    pixels[3, 4], pixels[5, 6] = np.nan, 1e300
    source = open_image(write(tmp_path / "x.tif", pixels))
    raw = source.read_raw(Window(0, 0, 45, 70))
    assert np.isnan(raw[0, 3, 4])
    assert np.isinf(raw[0, 5, 6])
    assert np.isfinite(source.read()).all()


@pytest.mark.parametrize(
    "options", [{}, {"tile": (16, 16)}, {"compression": "zlib", "rowsperstrip": 5}]
)
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("alpha", [False, True])
def test_colour(tmp_path: Path, options: dict[str, Any], planar: bool, alpha: bool) -> None:
    stored = np.concatenate((COLOUR, COLOUR[::-1, :, :1]), axis=2) if alpha else COLOUR
    options = {"photometric": "rgb", "extrasamples": ["unassalpha"] if alpha else None, **options}
    if planar:
        options["planarconfig"] = "separate"
        stored = np.ascontiguousarray(np.moveaxis(stored, 2, 0))
    path = write(tmp_path / "x.tif", stored, **options)
    check_windows(open_image(path), (COLOUR @ WEIGHTS)[None])
    check_windows(open_image(path, channel=1), COLOUR[None, ..., 1].astype(np.float32))
    with refused(ImageError, file=path, key="channel", found=3, expected=3):
        open_image(path, channel=3)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}])
def test_a_palette_is_looked_up(tmp_path: Path, options: dict[str, Any]) -> None:
    colours = RANDOM.integers(0, 256, (3, 256)).astype(np.uint16)
    path = write(tmp_path / "x.tif", STACK[0], photometric="palette", colormap=colours * 257,
                 **options)  # fmt: skip
    expected = np.moveaxis(colours[:, STACK[0]], 0, -1) @ WEIGHTS
    check_windows(open_image(path), expected[None])


def test_white_stored_as_zero_is_shown_white(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tif", STACK[0], photometric="miniswhite")
    check_windows(open_image(path), 255.0 - STACK[:1])
    with Image.open(path) as image:  # Pillow, independently, does the same
        assert np.array_equal(np.asarray(image), 255 - STACK[0])


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "raw"])
def test_files_written_by_pillow_are_read(tmp_path: Path, compression: str) -> None:
    for name, pixels in (("gray", STACK[0]), ("deep", PLAIN)):
        path = tmp_path / f"{name}.tif"
        Image.fromarray(pixels).save(path, compression=compression)
        check_windows(open_image(path), pixels[None].astype(np.float32))
    path = tmp_path / "colour.tif"
    Image.fromarray(COLOUR).save(path, compression=compression)
    check_windows(open_image(path), (COLOUR @ WEIGHTS)[None])


def test_pages_compressed_as_only_pillow_reads(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    pages = [Image.fromarray(page) for page in STACK]
    pages[0].save(path, save_all=True, append_images=pages[1:], compression="tiff_lzw")
    frames = open_images(path)
    assert len(frames) == 4
    for frame, page in zip(frames, STACK, strict=True):
        check_windows(frame, page[None].astype(np.float32))


# ---- pages and channels ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "zlib"},
        {"imagej": True, "metadata": {"axes": "TYX"}},
        {"ome": True, "metadata": {"axes": "TYX"}},
        {"metadata": None},
        {"metadata": None, "tile": (16, 16)},
    ],
)
def test_pages(tmp_path: Path, options: dict[str, Any]) -> None:
    path = write(tmp_path / "lapse.ome.tif" if options.get("ome") else tmp_path / "lapse.tif",
                 STACK, **options)  # fmt: skip
    frames = open_images(path)
    assert [frame.name for frame in frames] == [f"lapse_t{i:03d}" for i in range(4)]
    for index, frame in enumerate(frames):
        check_windows(frame, STACK[index : index + 1].astype(np.float32))
        check_windows(open_image(path, frames=index), STACK[index : index + 1].astype(np.float32))
    assert [frame.name for frame in open_images(path, frames="1:3")] == ["lapse_t001", "lapse_t002"]
    with refused(ImageError, file=path, key="images", found=4, expected=1):
        open_image(path)
    with refused(ImageError, file=path, key="frame", found=4, expected=4):
        open_image(path, frames=4)


@pytest.mark.parametrize(
    ("axes", "shape"), [("TCYX", (3, 2, 9, 11)), ("CYX", (2, 9, 11)), ("ZCYX", (2, 4, 9, 11))]
)
@pytest.mark.parametrize("imagej", [False, True])
def test_channels_of_a_frame_stay_together(
    tmp_path: Path, axes: str, shape: tuple[int, ...], imagej: bool
) -> None:
    pixels = RANDOM.integers(0, 250, shape).astype(np.uint8)
    path = write(tmp_path / "x.tif", pixels, imagej=imagej, metadata={"axes": axes})
    frames = open_images(path, z="all")
    expected = pixels.reshape(-1, *shape[-3:]).astype(np.float32)
    assert len(frames) == len(expected)
    for frame, channels in zip(frames, expected, strict=True):
        check_windows(frame, channels)
    first = open_image(path, channel=1, frames=0, z=0)
    check_windows(first, expected[0, 1:2])


def test_pages_of_different_sizes(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(PLAIN, photometric="minisblack")
        writer.write(PLAIN[:20, :30].copy(), photometric="minisblack")
    assert [frame.shape for frame in open_images(path)] == [(45, 70), (20, 30)]


# ---- pixel size --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, None),
        ({"imagej": True, "resolution": (2, 4), "metadata": {"unit": "um"}}, (0.25, 0.5)),
        ({"imagej": True, "resolution": (2, 2), "metadata": {"unit": "micron"}}, (0.5, 0.5)),
        ({"imagej": True, "resolution": (2, 2), "metadata": {"unit": "\\u00B5m"}}, (0.5, 0.5)),
        ({"imagej": True, "resolution": (2, 2), "metadata": {"unit": "mm"}}, (500, 500)),
        ({"imagej": True, "resolution": (2, 2), "metadata": {"unit": "pixel"}}, None),
        ({"resolution": (20_000, 10_000), "resolutionunit": "CENTIMETER"}, (1.0, 0.5)),
        ({"resolution": (25_400, 25_400), "resolutionunit": "INCH"}, (1.0, 1.0)),
        ({"resolution": (72, 72), "resolutionunit": "INCH"}, None),
        ({"resolution": (300, 300), "resolutionunit": "INCH"}, None),
        ({"resolution": (2, 2), "resolutionunit": "NONE"}, None),
        ({"ome": True, "metadata": {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25}}, (0.25, 0.5)),
        (
            {
                "ome": True,
                "metadata": {
                    "PhysicalSizeX": 500, "PhysicalSizeXUnit": "nm",
                    "PhysicalSizeY": 1, "PhysicalSizeYUnit": "µm",
                },
            },
            (1.0, 0.5),
        ),
        ({"ome": True}, None),
    ],
)  # fmt: skip
def test_pixel_size(
    tmp_path: Path, options: dict[str, Any], expected: tuple[float, float] | None
) -> None:
    path = write(tmp_path / ("x.ome.tif" if options.get("ome") else "x.tif"), PLAIN, **options)
    found = open_image(path).pixel_size_um
    assert found == (None if expected is None else pytest.approx(expected, rel=1e-6))
    assert read_header(path).pixel_size_um == found


# ---- huge and damaged --------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"tile": (512, 512)}], ids=["one piece", "tiles"])
def test_a_huge_image_is_read_by_window(tmp_path: Path, options: dict[str, Any]) -> None:
    path, side = tmp_path / "huge.tif", 20_000
    if options:
        rows = (np.full((512, 512), 7, np.uint8) for _ in range(40 * 40))
        tifffile.imwrite(path, rows, shape=(side, side), dtype=np.uint8, compression="zlib",
                         photometric="minisblack", **options)  # fmt: skip
    else:  # a sparse file: 400 MB that take no disk space
        mapped = tifffile.memmap(path, shape=(side, side), dtype=np.uint8, photometric="minisblack")
        mapped[10_000:10_100, 10_000:10_100] = 7
        mapped.flush()
        del mapped
    tracemalloc.start()
    source = open_image(path)
    part = source.read_raw(Window(10_000, 10_000, 10_100, 10_100))
    brightest = source.statistics.percentile(100.0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert source.shape == (side, side)
    assert (part == 7).all()
    assert brightest == 7
    assert peak < 350_000_000  # the statistics' 64 windows, not 400 MB and their copies


def test_a_window_of_a_huge_image_needs_only_its_own_memory(tmp_path: Path) -> None:
    path = tmp_path / "huge.tif"
    mapped = tifffile.memmap(path, shape=(20_000, 20_000), dtype=np.uint8)
    mapped.flush()
    del mapped
    tracemalloc.start()
    open_image(path).read_raw(Window(5_000, 5_000, 5_512, 5_512))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000


def test_the_limit(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tif", PLAIN)
    assert open_image(path, pixel_limit=PLAIN.size).shape == PLAIN.shape
    with refused(ImageError, file=path, key="pixels", found=(45, 70), expected=PLAIN.size - 1):
        open_image(path, pixel_limit=PLAIN.size - 1)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("cut", [0.05, 0.5, 0.95])
def test_a_file_cut_off(
    tmp_path: Path, layout: str, cut: float, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "x.tif", PLAIN, **LAYOUTS[layout])
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * cut)])
    with caplog.at_level(logging.DEBUG), pytest.raises(ImageError, match=r"x\.tif") as error:
        open_image(path)
    assert "\n" not in str(error.value)
    assert not caplog.records


def test_compressed_bytes_that_are_damaged(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tif", PLAIN, compression="zlib")
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages[0].dataoffsets[0]
    content[offset : offset + 40] = b"\0" * 40
    path.write_bytes(content)
    with refused(ImageError, file=path):
        open_image(path).read()


@given(position=st.integers(0, 400), value=st.integers(0, 255))
def test_a_header_with_any_byte_changed_is_an_image_or_an_error(
    position: int, value: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = write(tmp_path_factory.mktemp("tiff") / "x.tif", PLAIN, compression="zlib")
    content = bytearray(path.read_bytes())
    content[position] = value
    path.write_bytes(content)
    try:
        source = open_image(path, pixel_limit=100_000)
        assert source.read_raw(Window(0, 0, 1, 1)).shape[1:] == (1, 1)
    except ImageError:
        pass


def test_complex_numbers_are_no_image(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tif", PLAIN.astype(np.complex64))
    with refused(ImageError, file=path, key="dtype", found="complex64"):
        open_image(path)


def test_no_pixels(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    with pytest.warns(UserWarning, match="zero-size"):
        write(path, np.zeros((0, 7), np.uint8))
    with refused(ImageError, file=path, key="pixels"):
        open_image(path)
