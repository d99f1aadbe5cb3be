"""OME-Zarr folders that lack what their metadata name, or that are of another version."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from bigkingxxl.errors import ImageError
from bigkingxxl.io.images import open_image
from tests.io.annotations.test_zarr_inside import image
from tests.refusals import refused

zarr = pytest.importorskip("zarr")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_an_array_that_is_missing_is_named(tmp_path: Path, version: str) -> None:
    source = image(tmp_path / "a.zarr", version)
    shutil.rmtree(source / "0")
    with refused(ImageError, source / "0", file=source, key="path", expected="0"):
        open_image(source)


def test_a_well_that_is_missing_is_named(tmp_path: Path) -> None:
    source = tmp_path / "plate.zarr"
    group = zarr.open_group(source, mode="w", zarr_format=2)
    group.attrs["plate"] = {"wells": [{"path": "A/1"}]}
    with refused(ImageError, source / "A/1", file=source, key="path", expected="A/1"):
        open_image(source)
    group.create_group("A/1").attrs["well"] = {"images": [{"path": "0"}]}
    with refused(ImageError, source / "A/1/0", file=source, key="path", expected="0"):
        open_image(source)


@pytest.mark.parametrize("version", ["0.1", "0.3", "7", 0.1])
@pytest.mark.parametrize("has_axes", [False, True])
def test_a_version_that_is_not_read_is_named(tmp_path: Path, version: Any, has_axes: bool) -> None:
    source = image(tmp_path / "a.zarr", "0.4")
    group = zarr.open_group(source, mode="r+")
    axes = {"axes": ["y", "x"]} if has_axes else {}
    group.attrs["multiscales"] = [{"version": version, "datasets": [{"path": "0"}], **axes}]
    with refused(ImageError, version, "0.4", "0.5", file=source, key="version", expected="0.4"):
        open_image(source)


def test_a_newer_version_is_named(tmp_path: Path) -> None:
    source = image(tmp_path / "a.zarr", "0.5")
    group = zarr.open_group(source, mode="r+")
    group.attrs["ome"] = {**group.attrs["ome"], "version": "0.6"}
    with refused(ImageError, "0.6", "0.4", "0.5", file=source, key="version", found="0.6"):
        open_image(source)


@pytest.mark.parametrize("multiscales", [[], {}, None, "0.4", [3]])
def test_multiscales_that_are_no_list_of_images_are_refused(
    tmp_path: Path, multiscales: Any
) -> None:
    source = image(tmp_path / "a.zarr", "0.4")
    zarr.open_group(source, mode="r+").attrs["multiscales"] = multiscales
    with refused(ImageError, file=source):
        open_image(source)
