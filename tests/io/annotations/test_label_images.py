"""Label images, read and written, and as Pillow and tifffile read them."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from bigkingxxl.errors import FormatError, ImageError, InputError, OutputError
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.label_images import (
    read_label_folder,
    read_label_image,
    write_label_image,
)
from bigkingxxl.io.images.image_files import open_image
from tests.refusals import refused
from tests.support import Stack, disk_full_after, instances_of, stacks


def single_pixels(count: int, width: int = 300, **fields: object) -> Instances:
    """`count` cells of one pixel each."""
    size = (-(-count // width), width)
    pixels = np.arange(count)
    return Instances.from_pixels(pixels, pixels, count, size, **fields)  # type: ignore[arg-type]


@given(stack=stacks(), ending=st.sampled_from(["tif", "tiff", "png"]))
@example(stack=np.array([[[0, 0, 0]], [[1, 0, 1]]], bool), ending="tif")
def test_labels_written_are_labels_read(
    stack: Stack, ending: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    cells = instances_of(stack)
    path = tmp_path_factory.mktemp("labels") / f"x.{ending}"
    write_label_image(path, cells)
    expected = np.zeros(cells.size, int)
    for index, mask in enumerate(stack):
        expected[mask] = index + 1
    read = read_label_image(path)
    assert read.dtype == np.int32
    assert np.array_equal(read, expected)


@pytest.mark.parametrize("ending", ["tif", "png"])
@pytest.mark.parametrize("count", [255, 256, 700, 65_535])
def test_more_than_255_cells_survive(tmp_path: Path, ending: str, count: int) -> None:
    path = tmp_path / f"x.{ending}"
    write_label_image(path, single_pixels(count))
    assert np.array_equal(np.unique(read_label_image(path)), np.arange(count % 300 == 0, count + 1))
    with Image.open(path) as image:
        assert np.asarray(image).dtype == np.uint16
        assert np.asarray(image).max() == count


def test_above_65535_cells_32_bits(tmp_path: Path) -> None:
    cells = single_pixels(65_536, pixel_size_um=(0.5, 0.25))
    path = tmp_path / "x.tif"
    write_label_image(path, cells)
    assert tifffile.imread(path).dtype == np.uint32
    assert np.array_equal(read_label_image(path), cells.label_map())
    assert open_image(path).pixel_size_um == pytest.approx((0.5, 0.25))
    with pytest.raises(OutputError) as error:
        write_label_image(tmp_path / "y.png", cells)
    assert (error.value.key, error.value.found, error.value.expected) == ("cells", 65_536, 65_535)
    assert not (tmp_path / "y.png").exists()


def test_the_pixel_size_as_imagej_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    write_label_image(path, single_pixels(3, pixel_size_um=(0.5, 0.25)))
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_imagej
        assert tiff.imagej_metadata["unit"] == "um"
        across = tiff.pages[0].tags["XResolution"].value
        assert across[0] / across[1] == pytest.approx(4)
    assert open_image(path).pixel_size_um == pytest.approx((0.5, 0.25))
    write_label_image(path, single_pixels(3))
    assert open_image(path).pixel_size_um is None


def test_the_same_cells_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_label_image(tmp_path / f"{name}.tif", single_pixels(9))
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


@pytest.mark.parametrize(
    "dtype", ["uint8", "int16", "uint16", "int32", "uint32", "float32", "bool"]
)
def test_labels_of_any_type(tmp_path: Path, dtype: str) -> None:
    labels = np.array([[0, 1, 1], [1, 0, 0]]).astype(dtype)
    tifffile.imwrite(tmp_path / "x.tif", labels, photometric="minisblack", compression="zlib")
    assert np.array_equal(read_label_image(tmp_path / "x.tif"), labels)


def test_a_palettes_indices_are_the_labels(tmp_path: Path) -> None:
    labels = np.array([[0, 3, 3], [200, 0, 7]], np.uint8)
    image = Image.fromarray(labels).convert("P")
    image.putdata(labels.ravel().tolist())
    image.putpalette([9] * 768)
    image.save(tmp_path / "x.png")
    assert np.array_equal(read_label_image(tmp_path / "x.png"), labels)
    tifffile.imwrite(tmp_path / "x.tif", labels, photometric="palette",
                     colormap=np.full((3, 256), 9, np.uint16))  # fmt: skip
    assert np.array_equal(read_label_image(tmp_path / "x.tif"), labels)


@pytest.mark.parametrize(
    ("labels", "key", "found"),
    [
        (np.arange(60, dtype=np.uint8).reshape(4, 5, 3), "channels", 3),
        (np.array([[0.0, 1.5]], np.float32), None, "float32"),
        (np.array([[0.0, np.nan]], np.float32), None, "float32"),
        (np.array([[0, -1]], np.int16), "label", -1),
        (np.array([[0, 2**31]], np.uint32), "label", 2**31),
    ],
)
def test_other_images_are_refused(
    tmp_path: Path, labels: np.ndarray, key: str | None, found: object
) -> None:
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, labels, photometric="rgb" if labels.ndim == 3 else "minisblack")
    with pytest.raises(FormatError) as error:
        read_label_image(path)
    assert (error.value.file, error.value.key, error.value.found) == (path, key, found)
    assert str(path) in str(error.value)


def test_files_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    with refused(ImageError, file="x.tif"):
        read_label_image(tmp_path / "x.tif")
    with pytest.raises(OutputError) as error:
        write_label_image(tmp_path / "x.jpg", single_pixels(3))
    assert (error.value.found, error.value.expected) == (".jpg", (".tif", ".tiff", ".png"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("count", "name"), [(9, "x.tif"), (9, "x.png"), (70_000, "x.tif")])
def test_a_full_disk_is_one_sentence(tmp_path: Path, count: int, name: str) -> None:
    with disk_full_after(64), refused(OutputError, file=tmp_path / name):
        write_label_image(tmp_path / name, single_pixels(count))
    assert list(tmp_path.iterdir()) == []


# ---- folders -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (["b.png", "a.tif"], {"a": "a.tif", "b": "b.png"}),
        (["a.png", "a_masks.tif", "b.jpg", "b_masks.png"],
         {"a": "a_masks.tif", "b": "b_masks.png"}),
        (["a.png", "a_cp_masks.png"], {"a": "a_cp_masks.png"}),
        (["a_labels.tif", "b_label.TIF", "notes.txt"], {"a": "a_labels.tif", "b": "b_label.TIF"}),
    ],
)  # fmt: skip
def test_a_folder_of_label_images(tmp_path: Path, files: list[str], found: dict[str, str]) -> None:
    for name in files:
        (tmp_path / name).write_bytes(b"x")
    expected = {name: tmp_path / file for name, file in found.items()}
    assert read_label_folder(tmp_path) == expected


def test_an_image_may_be_called_labels(tmp_path: Path) -> None:
    for name in ("my_labels.tif", "other.tif"):
        (tmp_path / name).write_bytes(b"x")
    found = read_label_folder(tmp_path, images=["my_labels", "other"])
    assert list(found) == ["my_labels", "other"]


def test_a_folder_without_and_with_doubles(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        read_label_folder(tmp_path)
    assert (error.value.file, error.value.found) == (tmp_path, 0)
    with pytest.raises(InputError) as error:
        read_label_folder(tmp_path / "missing")
    assert error.value.file == tmp_path / "missing"
    for name in ("a.tif", "a.png"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError) as error:
        read_label_folder(tmp_path)
    assert error.value.key == "a"
    assert error.value.found in list(permutations([tmp_path / "a.tif", tmp_path / "a.png"]))


def test_a_stack_is_no_label_image(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, np.zeros((2, 8, 9), np.uint16), photometric="minisblack")
    with refused(ImageError, file=path, key="images", found=2, expected=1):
        read_label_image(path)
