"""Which files in folders are images, their names, and what is left out."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from bigkingxxl.errors import InputError
from bigkingxxl.io.images import find_images, open_image
from bigkingxxl.io.images.folders import images_in
from tests.io.images.test_tiff_oddities import STACK, write_series
from tests.refusals import refused

GRAY = np.arange(30, dtype=np.uint8).reshape(5, 6) * 8


def fill(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def found_names(*places: str | Path, recursive: bool = True) -> list[str]:
    return [file.name for file in find_images(places, recursive).files]


def reasons(*places: str | Path) -> dict[str, str]:
    return {path.name: reason for path, reason in find_images(places).skipped}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    fill(tmp_path, "b.png", "a.TIF", "c.jpeg", "notes.txt", ".hidden.png", "b_masks.tif",
         "lone_masks.png", "c_cp_masks.png", "deep/d.bmp", "deep/.e.png")  # fmt: skip
    (tmp_path / "empty").mkdir()
    (tmp_path / "folder.png").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("places", "found"),
    [
        (["."], ["a.TIF", "b.png", "c.jpeg", "deep/d.bmp", "lone_masks.png"]),
        (["b.png", ".", "b.png"], ["a.TIF", "b.png", "c.jpeg", "deep/d.bmp", "lone_masks.png"]),
        (["*.png"], ["b.png", "lone_masks.png"]),
        (["**/*.bmp"], ["deep/d.bmp"]),
        (["deep", "b.png"], ["b.png", "deep/d.bmp"]),
        (["notes.txt"], ["notes.txt"]),
        (["b_masks.tif"], ["b_masks.tif"]),
    ],
)
def test_places_name_images(folder: Path, places: list[str], found: list[str]) -> None:
    named = [folder / place if place != "." else folder for place in places]
    assert [file.path for file in find_images(named).files] == [folder / name for name in found]


@pytest.mark.parametrize("place", ["missing.png", "empty", "*.gif"])
def test_a_missing_place_is_refused(folder: Path, place: str) -> None:
    with refused(InputError, file=folder / place):
        find_images([folder / "b.png", folder / place])


def test_an_empty_place() -> None:
    with refused(InputError, found=""):
        find_images([""])


def test_a_name_with_brackets_is_a_name_first(tmp_path: Path) -> None:
    path = tmp_path / "shsy5y[diff]_1.png"
    Image.fromarray(GRAY).save(path)
    assert [file.path for file in find_images([path]).files] == [path]


# ---- names -------------------------------------------------------------------------------------


def test_names_follow_the_folders(tmp_path: Path) -> None:
    fill(tmp_path, "A1/img_1.png", "A2/img_1.png", "A2/more/x.ome.tif", "top.v2.tif")
    assert found_names(tmp_path) == ["A1/img_1", "A2/img_1", "A2/more/x", "top.v2"]
    assert found_names(tmp_path / "*" / "img_1.png") == ["A1/img_1", "A2/img_1"]
    assert found_names(tmp_path, recursive=False) == ["top.v2"]
    # As a shell expands the pattern.
    files = [tmp_path / "A1/img_1.png", tmp_path / "A2/img_1.png"]
    assert found_names(*files) == ["A1/img_1", "A2/img_1"]
    assert found_names(tmp_path / "A1", tmp_path / "A2") == ["A1/img_1", "A2/img_1", "A2/more/x"]
    assert found_names(files[0]) == ["img_1"]


def test_names_that_differ_only_in_the_ending(tmp_path: Path) -> None:
    fill(tmp_path, "A/x.png", "A/x.tif", "A/y.png")
    assert found_names(tmp_path) == ["A/x.png", "A/x.tif", "A/y"]


def test_names_that_some_systems_take_for_the_same(tmp_path: Path) -> None:
    """On Windows and macOS the results of an image A would overwrite those of an image a."""
    for name in ("A.tif", "a.png", "b.tif"):
        (tmp_path / name).touch()
    assert [file.name for file in find_images([tmp_path]).files] == ["A.tif", "a.png", "b"]


@pytest.mark.parametrize(
    "name", [b"\xff\xfe.png", b"new\nline.png", "ä.png".encode(), b"a" * 251 + b".png"]
)
def test_names_of_any_bytes(tmp_path: Path, name: bytes) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    path.write_bytes(_png())
    (file,) = find_images([tmp_path]).files
    file.name.encode()  # it can be written anywhere
    assert np.array_equal(open_image(file.path).read()[0], GRAY)


def _png() -> bytes:
    from io import BytesIO

    stream = BytesIO()
    Image.fromarray(GRAY).save(stream, "PNG")
    return stream.getvalue()


# ---- what is left out --------------------------------------------------------------------------


def test_results_of_other_programs_are_not_images(tmp_path: Path) -> None:
    fill(tmp_path, "x.tif", "x_masks.png", "x_cp_masks.tif", "x_cp_outlines.txt", "x_flows.tif",
         "x_seg.npy", "x_outlines.png", "x-labels.tif", "y_seg.npy", "z_cp_masks.png",
         "000_img.png", "000_masks.png")  # fmt: skip
    assert found_names(tmp_path) == ["000_img", "x"]
    assert len(find_images([tmp_path]).skipped) == 10


@pytest.mark.parametrize("labels", ["labels", "masks", "annotations", "Masks"])
def test_folders_of_labels_beside_images(tmp_path: Path, labels: str) -> None:
    fill(tmp_path, "images/a.png", f"{labels}/a.png", "other/b.png")
    assert found_names(tmp_path) == ["images/a", "other/b"]
    assert found_names(tmp_path / labels) == ["a"]


def test_the_truth_of_tracking_challenges(tmp_path: Path) -> None:
    fill(tmp_path, "01/t000.tif", "01_GT/SEG/man_seg000.tif", "01_ST/SEG/x.tif", "01_RES/m.tif")
    assert found_names(tmp_path) == ["01/t000"]


def test_our_own_results_are_no_images(tmp_path: Path) -> None:
    from tests.threshold import pixels, run

    Image.fromarray(pixels(3)).save(tmp_path / "a.png")
    run([tmp_path / "a.png"], tmp_path / "cells")
    assert list((tmp_path / "cells").rglob("*.tif"))
    assert found_names(tmp_path) == ["a"]
    with pytest.raises(InputError):  # into the folder of the images itself
        run([tmp_path / "a.png"], tmp_path)
    assert found_names(tmp_path) == ["a"]


def test_links(tmp_path: Path) -> None:
    fill(tmp_path, "real/a.png", "elsewhere/b.png", "here/c.png")
    (tmp_path / "here" / "linked.png").symlink_to(tmp_path / "elsewhere" / "b.png")
    (tmp_path / "here" / "again.png").symlink_to(tmp_path / "here" / "c.png")
    (tmp_path / "here" / "broken.png").symlink_to(tmp_path / "nothing.png")
    (tmp_path / "here" / "round").symlink_to(tmp_path / "here")
    found = find_images([tmp_path / "here"])
    assert len(found.files) == 2
    left = {path.name for path, _ in found.skipped}
    assert {"broken.png", "round"} < left
    sentence = found.sentence()
    assert sentence is not None
    assert "1 linked folders" in sentence
    assert "\n" not in sentence


def test_nothing_is_reported_if_nothing_is_skipped(tmp_path: Path) -> None:
    fill(tmp_path, "a.png")
    assert find_images([tmp_path]).sentence() is None


def test_a_multi_file_series_is_listed_once(tmp_path: Path) -> None:
    write_series(tmp_path, STACK)
    tifffile.imwrite(tmp_path / "alone.ome.tif", GRAY, ome=True)
    assert found_names(tmp_path) == ["alone", "f0"]
    assert reasons(tmp_path)["f1.ome.tif"] == "parts of series"
    assert found_names(tmp_path / "f1.ome.tif") == ["f1"]


def test_images_directly_in_a_folder(folder: Path) -> None:
    assert [path.name for path in images_in(folder)] == [
        "a.TIF", "b.png", "c.jpeg", "lone_masks.png",
    ]  # fmt: skip
