"""Formats other than TIFF, each compared with its own library or plain arithmetic."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from bigkingxxl.errors import ImageError
from bigkingxxl.geometry import Window, tiles, whole
from bigkingxxl.io.images import open_image, open_images
from tests.refusals import refused

RANDOM = np.random.default_rng(0)
SIZE = (30, 44)
GRAY = RANDOM.integers(0, 256, SIZE).astype(np.uint8)
COLOUR = RANDOM.integers(0, 256, (*SIZE, 3)).astype(np.uint8)
DEEP = RANDOM.integers(0, 65_536, (*SIZE, 3)).astype(np.uint16)
WEIGHTS = np.array([0.299, 0.587, 0.114])


def check(source: Any, expected: np.ndarray) -> None:
    """Every window of the source is that part of [C, H, W]."""
    assert (source.channels, *source.shape) == expected.shape
    for window in tiles(source.shape, (17, 19), 3):
        np.testing.assert_allclose(
            source.read_raw(window), expected[(slice(None), *window.slices)], rtol=1e-5, atol=1e-3
        )


# ---- pictures ----------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [1, 2, 3, 4])
def test_a_16_bit_png_keeps_16_bits(tmp_path: Path, samples: int) -> None:
    stored = np.concatenate([DEEP, DEEP[::-1, :, :1]], 2)[..., :samples]
    path = tmp_path / "x.png"
    path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(stored.squeeze())))
    seen = stored[..., 0] if samples < 3 else stored[..., :3] @ WEIGHTS
    check(open_image(path), seen[None])
    if samples > 2:
        check(open_image(path, channel=2), stored[None, ..., 2])
    path.write_bytes(path.read_bytes()[:-300])
    with refused(ImageError, file=path):
        open_image(path)


def test_an_animation_has_frames(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.roll(GRAY, 5 * k, axis=0)) for k in range(3)]
    kinds: dict[str, dict[str, Any]] = {"gif": {}, "webp": {"lossless": True}}
    for ending, options in kinds.items():
        path = tmp_path / f"x.{ending}"
        frames[0].save(path, save_all=True, append_images=frames[1:], **options)
        images = open_images(path)
        assert [image.name for image in images] == ["x_t000", "x_t001", "x_t002"]
        for image, frame in zip(images, frames, strict=True):
            check(image, np.asarray(frame, np.float32)[None])


@pytest.mark.parametrize("ending", ["pgm", "ppm", "webp"])
def test_other_pictures(tmp_path: Path, ending: str) -> None:
    pixels = GRAY if ending == "pgm" else COLOUR
    options: dict[str, Any] = {"lossless": True} if ending == "webp" else {}
    Image.fromarray(pixels).save(tmp_path / f"x.{ending}", **options)
    seen = GRAY if ending == "pgm" else COLOUR @ WEIGHTS
    check(open_image(tmp_path / f"x.{ending}"), seen[None])


def test_16_bits_of_a_pnm(tmp_path: Path) -> None:
    path = tmp_path / "x.pgm"
    path.write_bytes(b"P5\n44 30\n65535\n" + DEEP[..., 0].astype(">u2").tobytes())
    check(open_image(path), DEEP[None, ..., 0])
    path.write_bytes(b"P6\n44 30\n65535\n" + DEEP.astype(">u2").tobytes())
    with refused(ImageError, file=path, key="format", found="PNM", expected="PNG"):
        open_image(path)


def test_colours_for_printing_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.dstack([COLOUR, GRAY]), "RGBA").convert("RGB").convert("CMYK").save(
        tmp_path / "x.jpg"
    )
    with pytest.raises(ImageError, match="CMYK"):
        open_image(tmp_path / "x.jpg")


@pytest.mark.parametrize("codec", ["jp2", "j2k"])
@pytest.mark.parametrize("pixels", [GRAY, COLOUR, DEEP], ids=["gray", "colour", "16 bits"])
def test_jpeg_2000(tmp_path: Path, codec: str, pixels: np.ndarray) -> None:
    path = tmp_path / f"x.{codec}"
    path.write_bytes(imagecodecs.jpeg2k_encode(pixels, level=0, codecformat=codec))
    check(open_image(path), (pixels if pixels.ndim == 2 else pixels @ WEIGHTS)[None])


# ---- arrays ------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["u1", ">u2", "<f4", "f8", "?"])
def test_npy(tmp_path: Path, order: Any, dtype: str) -> None:
    stack = np.stack([GRAY, GRAY[::-1]]).astype(dtype)
    np.save(tmp_path / "x.npy", np.asarray(stack, order=order))
    check(open_image(tmp_path / "x.npy"), stack.astype(np.float32))
    np.save(tmp_path / "y.npy", np.moveaxis(stack, 0, -1))
    check(open_image(tmp_path / "y.npy"), stack.astype(np.float32))
    np.save(tmp_path / "z.npy", COLOUR)
    check(open_image(tmp_path / "z.npy"), (COLOUR @ WEIGHTS)[None])


def test_npy_that_is_no_image(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    for values in (np.array([{"a": 1}], object), np.zeros((4, 4), complex), np.zeros(5),
                   np.zeros((3, 40, 3))):  # fmt: skip
        np.save(path, values, allow_pickle=True)
        with pytest.raises(ImageError):
            open_image(path)
    np.save(path, GRAY)
    path.write_bytes(path.read_bytes().replace(b"(30, 44)", b"(30,9**9)").ljust(128))
    with pytest.raises(ImageError):
        open_image(path)
    np.save(path, GRAY)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ImageError):
        open_image(path)


# ---- OME-Zarr ----------------------------------------------------------------------------------


def write_zarr(
    folder: Path, pixels: np.ndarray, axes: str, version: str, unit: str | None = "micrometer",
    scale: tuple[float, float] = (0.5, 0.25),
) -> Path:  # fmt: skip
    """Two levels, the second a quarter of the first."""
    import zarr

    kinds = {"t": "time", "c": "channel"}
    named: list[dict[str, str | None]] = [
        {"name": axis, "type": kinds.get(axis, "space")} for axis in axes
    ]
    for each in named[-2:] if unit is not None else ():
        each["unit"] = unit
    group = zarr.open_group(folder, mode="w", zarr_format=2 if version == "0.4" else 3)
    levels = []
    for level, step in enumerate((1, 2)):
        data = pixels[..., ::step, ::step]
        array = group.create_array(str(level), shape=data.shape, dtype=data.dtype,
                                   chunks=(*[1] * (data.ndim - 2), 16, 16))  # fmt: skip
        array[:] = data
        sides = [1.0] * (data.ndim - 2) + [side * step for side in scale]
        scaled = [{"type": "scale", "scale": sides}]
        levels.append({"path": str(level), "coordinateTransformations": scaled})
    multiscales = [{"axes": named, "datasets": levels, "name": "x"}]
    if version == "0.4":
        multiscales[0]["version"] = "0.4"
        group.attrs.update({"multiscales": multiscales})
    else:
        group.attrs.update({"ome": {"version": "0.5", "multiscales": multiscales}})
    return folder


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr(tmp_path: Path, version: str) -> None:
    pixels = RANDOM.integers(0, 60_000, (2, 2, 3, *SIZE)).astype(np.uint16)
    path = write_zarr(tmp_path / "x.ome.zarr", pixels, "tczyx", version)
    images = open_images(path, z="all")
    assert [image.name for image in images] == [
        f"x_t00{t}_z0{z}" for t in range(2) for z in range(3)
    ]
    for number, image in enumerate(images):
        check(image, pixels[number // 3, :, number % 3].astype(np.float32))
        assert image.pixel_size_um == (0.5, 0.25)
    check(open_image(path, channel=1, frames=1, z="max"), pixels[1, 1].max(axis=0)[None])
    with pytest.raises(ImageError, match="z-stack of 3"):
        open_images(path)


@pytest.mark.parametrize(
    ("unit", "expected"),
    [("nanometer", (5e-4, 2.5e-4)), ("millimeter", (500, 250)), ("angstrom", (5e-5, 2.5e-5)),
     (None, None)],
)  # fmt: skip
def test_units_of_ome_zarr(tmp_path: Path, unit: str | None, expected: Any) -> None:
    path = write_zarr(tmp_path / "x.zarr", GRAY, "yx", "0.5", unit)
    found = open_image(path).pixel_size_um
    assert found == (None if expected is None else pytest.approx(expected))


def test_a_plate_has_positions(tmp_path: Path) -> None:
    import zarr

    folder = tmp_path / "plate.zarr"
    group = zarr.open_group(folder, mode="w", zarr_format=2)
    group.attrs["plate"] = {"wells": [{"path": "A/1"}, {"path": "B/2"}]}
    for k, well in enumerate(("A/1", "B/2")):
        group.require_group(well).attrs["well"] = {"images": [{"path": "0"}]}
        write_zarr(folder / well / "0", GRAY + np.uint8(k), "yx", "0.4")
    images = open_images(folder)
    assert [image.name for image in images] == ["plate_p00", "plate_p01"]
    check(images[1], (GRAY + np.uint8(1))[None])


def test_no_code_of_a_zarr_is_run(tmp_path: Path) -> None:
    """Zarr 2 has a codec that unpickles."""
    path = write_zarr(tmp_path / "x.zarr", GRAY, "yx", "0.4")
    place = path / "0" / ".zarray"
    text = place.read_text()
    assert '"filters": null' in text
    place.write_text(text.replace('"filters": null', '"filters": [{"id": "pickle"}]'))
    with pytest.raises(ImageError):
        open_image(path).read()


def test_zarr_that_is_no_image(tmp_path: Path) -> None:
    import zarr

    zarr.open_group(tmp_path / "x.zarr", mode="w")
    with refused(ImageError, file="x.zarr", key="multiscales"):
        open_image(tmp_path / "x.zarr")
    path = write_zarr(tmp_path / "y.zarr", GRAY, "yx", "0.5")
    (path / "0" / "c" / "0" / "0").write_bytes(b"junk")
    with refused(ImageError):
        open_image(path).read()
    (path / "zarr.json").write_text("{")
    with pytest.raises(ImageError):
        open_image(path)


# ---- DICOM -------------------------------------------------------------------------------------


def write_dicom(path: Path, pixels: np.ndarray, colours: str = "MONOCHROME2") -> None:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = Dataset()
    data.file_meta = meta
    frames, rows, cols = pixels.shape[:3]
    samples = 1 if pixels.ndim == 3 else pixels.shape[3]
    bits = 8 * pixels.dtype.itemsize
    data.Rows, data.Columns, data.NumberOfFrames = rows, cols, frames
    data.SamplesPerPixel, data.PhotometricInterpretation = samples, colours
    data.BitsAllocated = data.BitsStored = bits
    data.HighBit, data.PixelRepresentation = bits - 1, 0
    if samples > 1:
        data.PlanarConfiguration = 0
    data.PixelSpacing = [0.0005, 0.00025]
    data.PixelData = pixels.tobytes()
    data.save_as(path, enforce_file_format=True)


def test_dicom(tmp_path: Path) -> None:
    stack = np.stack([DEEP[..., 0], DEEP[..., 1]])
    write_dicom(tmp_path / "x.dcm", stack)
    images = open_images(tmp_path / "x.dcm")
    assert [image.name for image in images] == ["x_t000", "x_t001"]
    for image, plane in zip(images, stack, strict=True):
        check(image, plane[None].astype(np.float32))
        assert image.pixel_size_um == pytest.approx((0.5, 0.25))
    write_dicom(tmp_path / "y.dcm", GRAY[None], "MONOCHROME1")
    check(open_image(tmp_path / "y.dcm"), 255.0 - GRAY[None])
    write_dicom(tmp_path / "z.dcm", COLOUR[None], "RGB")
    check(open_image(tmp_path / "z.dcm"), (COLOUR @ WEIGHTS)[None])
    content = (tmp_path / "x.dcm").read_bytes()
    (tmp_path / "x.dcm").write_bytes(content[:-100])
    with refused(ImageError, file="x.dcm"):
        open_image(tmp_path / "x.dcm", frames=1).read()


# ---- LIF ---------------------------------------------------------------------------------------


def write_lif(path: Path, images: list[tuple[str, np.ndarray, tuple[float, float]]]) -> None:
    """Images [Z, C, H, W] of 16 bits; pixel sizes in metres (row, column)."""
    elements, blocks = "", b""
    for k, (name, pixels, (row, col)) in enumerate(images):
        depth, channels, height, width = pixels.shape
        plane = height * width * 2
        listed = "".join(
            '<ChannelDescription DataType="0" ChannelTag="0" Resolution="16" Min="0" Max="1" '
            'Unit="" NameOfMeasuredQuantity="" LUTName="Gray" IsLUTInverted="0" BitInc="0" '
            f'BytesInc="{c * plane}"/>'
            for c in range(channels)
        )
        dimensions = "".join(
            f'<DimensionDescription DimID="{number}" NumberOfElements="{count}" Origin="0" '
            f'Length="{length}" Unit="m" BytesInc="{step}" BitInc="0"/>'
            for number, count, length, step in (
                (1, width, (width - 1) * col, 2), (2, height, (height - 1) * row, width * 2),
                (3, depth, (depth - 1) * 1e-6, plane * channels),
            )
            if number < 3 or depth > 1
        )  # fmt: skip
        elements += (
            f'<Element Name="{name}" Visibility="1"><Data><Image><ImageDescription><Channels>'
            f"{listed}</Channels><Dimensions>{dimensions}</Dimensions></ImageDescription></Image></Data>"
            f'<Memory Size="{pixels.nbytes}" MemoryBlockID="MemBlock_{k}"/></Element>'
        )
        text = f"MemBlock_{k}".encode("utf-16-le")
        head = struct.pack("<BQBI", 0x2A, pixels.nbytes, 0x2A, len(text) // 2) + text
        blocks += struct.pack("<II", 0x70, len(head)) + head + pixels.astype("<u2").tobytes()
    xml = (
        f'<LMSDataContainerHeader Version="2"><Element Name="x"><Children>{elements}</Children>'
        "</Element></LMSDataContainerHeader>"
    ).encode("utf-16-le")
    start = struct.pack("<BI", 0x2A, len(xml) // 2) + xml
    path.write_bytes(struct.pack("<II", 0x70, len(start)) + start + blocks)


def test_lif(tmp_path: Path) -> None:
    path = tmp_path / "x.lif"
    one = RANDOM.integers(0, 60_000, (1, 2, *SIZE)).astype(np.uint16)
    deep = RANDOM.integers(0, 60_000, (3, 1, *SIZE)).astype(np.uint16)
    write_lif(path, [("one", one, (0.5e-6, 0.25e-6)), ("deep", deep, (1e-6, 1e-6))])
    first = open_image(path, position=0)
    check(first, one[0].astype(np.float32))
    assert first.name == "x_p00"
    assert first.pixel_size_um == pytest.approx((0.5, 0.25))
    images = open_images(path, position=1, z="all")
    assert [image.name for image in images] == ["x_p01_z00", "x_p01_z01", "x_p01_z02"]
    for image, plane in zip(images, deep[:, 0], strict=True):
        check(image, plane[None].astype(np.float32))
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ImageError):
        [image.read() for image in open_images(path, z="all")]


def test_windows_share_a_decoded_image(tmp_path: Path) -> None:
    path = tmp_path / "x.lif"
    pixels = RANDOM.integers(0, 60_000, (1, 1, *SIZE)).astype(np.uint16)
    write_lif(path, [("one", pixels, (1e-6, 1e-6))])
    source = open_image(path)
    assert np.array_equal(source.read_raw(whole(SIZE))[0], pixels[0, 0])
    path.unlink()
    assert np.array_equal(source.read_raw(Window(2, 3, 5, 7))[0], pixels[0, 0, 2:5, 3:7])
