"""Which planes of a file become images, and their names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from bigkingxxl.errors import ImageError, InputError
from bigkingxxl.geometry import whole
from bigkingxxl.io.images import open_image, open_images
from tests.refusals import refused

RANDOM = np.random.default_rng(0)
SIZE = (12, 17)


def write(path: Path, axes: str, *counts: int, **options: Any) -> np.ndarray:
    pixels = RANDOM.integers(0, 250, (*counts, *SIZE)).astype(np.uint8)
    tifffile.imwrite(path, pixels, photometric="minisblack", metadata={"axes": axes}, **options)
    return pixels


def names(path: Path, **options: Any) -> list[str]:
    return [image.name for image in open_images(path, **options)]


def test_a_time_lapse_returns_all_frames(tmp_path: Path) -> None:
    pixels = write(tmp_path / "x.tif", "TYX", 3, imagej=True)
    images = open_images(tmp_path / "x.tif")
    assert [image.name for image in images] == ["x_t000", "x_t001", "x_t002"]
    for image, plane in zip(images, pixels, strict=True):
        assert np.array_equal(image.read()[0], plane)


@pytest.mark.parametrize(
    ("frames", "places"),
    [("all", [0, 1, 2, 3]), ("1", [1]), (2, [2]), ("1:3", [1, 2]), (":2", [0, 1]), ("2:", [2, 3]),
     (slice(1, None), [1, 2, 3]), ("3:99", [3])],
)  # fmt: skip
def test_frames(tmp_path: Path, frames: Any, places: list[int]) -> None:
    write(tmp_path / "x.tif", "TYX", 4, imagej=True)
    assert names(tmp_path / "x.tif", frames=frames) == [f"x_t00{place}" for place in places]


def test_a_z_stack_needs_a_choice(tmp_path: Path) -> None:
    pixels = write(tmp_path / "x.tif", "ZYX", 5, imagej=True)
    path = tmp_path / "x.tif"
    with refused(ImageError, "--z max", "--z mid", "--z all", file=path, key="z", found=5):
        open_images(path)
    assert np.array_equal(open_image(path, z="max").read()[0], pixels.max(axis=0))
    assert names(path, z="max") == ["x"]
    assert np.array_equal(open_image(path, z="mid").read()[0], pixels[2])
    assert names(path, z=3) == ["x_z03"]
    assert names(path, z="all") == [f"x_z0{k}" for k in range(5)]


def test_the_brightest_value_of_a_pixel_that_is_not_a_number(tmp_path: Path) -> None:
    pixels = RANDOM.random((3, *SIZE)).astype(np.float32)
    pixels[0, 0, 0] = pixels[:, 1, 1] = np.nan
    tifffile.imwrite(tmp_path / "x.tif", pixels, imagej=True, metadata={"axes": "ZYX"})
    source = open_image(tmp_path / "x.tif", z="max")
    found = source.read_raw(whole(SIZE))
    assert found[0, 0, 0] == pixels[1:, 0, 0].max()
    assert np.isnan(found[0, 1, 1])


@pytest.mark.parametrize("imagej", [True, False])
def test_time_depth_and_channels_together(tmp_path: Path, imagej: bool) -> None:
    pixels = write(tmp_path / "x.tif", "TZCYX", 3, 2, 2, imagej=imagej)
    images = open_images(tmp_path / "x.tif", z="all")
    assert [image.name for image in images] == [
        f"x_t00{t}_z0{z}" for t in range(3) for z in range(2)
    ]
    for image, planes in zip(images, pixels.reshape(6, 2, *SIZE), strict=True):
        assert np.array_equal(image.read(), planes)
    one = open_image(tmp_path / "x.tif", channel=1, frames=2, z="max")
    assert (one.name, one.channels) == ("x_t002", 1)
    assert np.array_equal(one.read()[0], pixels[2, :, 1].max(axis=0))


def test_positions(tmp_path: Path) -> None:
    path = tmp_path / "x.ome.tif"
    pixels = RANDOM.integers(0, 250, (2, 3, *SIZE)).astype(np.uint8)
    with tifffile.TiffWriter(path, ome=True) as writer:
        for position in pixels:
            writer.write(position, photometric="minisblack", metadata={"axes": "TYX"})
    assert names(path) == [f"x_p0{p}_t00{t}" for p in range(2) for t in range(3)]
    images = open_images(path, position=1)
    assert [image.name for image in images] == [f"x_p01_t00{t}" for t in range(3)]
    assert np.array_equal(images[2].read()[0], pixels[1, 2])
    with refused(ImageError, file=path, key="position", found=2, expected=2):
        open_images(path, position=2)


def test_names_grow_with_the_count(tmp_path: Path) -> None:
    write(tmp_path / "x.tif", "TYX", 1001)
    found = names(tmp_path / "x.tif")
    assert (found[0], found[-1]) == ("x_t0000", "x_t1000")
    assert found == sorted(found)


def test_a_name_from_outside(tmp_path: Path) -> None:
    write(tmp_path / "x.tif", "TYX", 2)
    assert names(tmp_path / "x.tif", name="A1/x") == ["A1/x_t000", "A1/x_t001"]


@pytest.mark.parametrize(
    "options",
    [{"frames": "some"}, {"frames": "-1"}, {"frames": "1:2:3"}, {"frames": "max"}, {"frames": ""},
     {"z": "min"}, {"z": "1.5"}, {"frames": "9" * 30}, {"z": slice(0, 9, 2)}, {"frames": -1}],
)  # fmt: skip
def test_options_that_no_file_answers(tmp_path: Path, options: dict[str, Any]) -> None:
    write(tmp_path / "x.tif", "TYX", 2)
    with refused(InputError, key=f"--{next(iter(options))}", found=next(iter(options.values()))):
        open_images(tmp_path / "x.tif", **options)


@pytest.mark.parametrize("options", [{"frames": 2}, {"frames": "2:"}, {"z": 1}, {"channel": 1}])
def test_places_that_a_file_does_not_have(tmp_path: Path, options: dict[str, Any]) -> None:
    write(tmp_path / "x.tif", "TYX", 2)
    with refused(ImageError, file="x.tif"):
        open_images(tmp_path / "x.tif", **options)
