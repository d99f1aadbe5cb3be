"""ROI archives as roifile reads them, and as Fiji's users draw them."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from matplotlib.path import Path as Curve
from roifile import ROI_SUBTYPE, ROI_TYPE, ImagejRoi, roiread, roiwrite

from bigkingxxl.errors import FormatError, InputError
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.imagej import read_rois, write_rois
from tests.refusals import refused
from tests.support import Stack, instances_of, stack_of, stacks

SIZE = (12, 30)


def drawn(*rows: str) -> np.ndarray:
    """bool[1, H, W]: '#' is cell."""
    return np.array([[[letter == "#" for letter in row] for row in rows]])


def read(path: Path) -> list[ImagejRoi]:
    rois = roiread(path)
    assert isinstance(rois, list)
    return rois


def filled_by_even_odd(roi: ImagejRoi, size: tuple[int, int]) -> np.ndarray:
    """bool[H, W]: the pixels that ImageJ fills, by their centres."""
    row, col = np.mgrid[: size[0], : size[1]] + 0.5
    result = np.zeros(row.size, bool)
    for ring in roi.coordinates(multi=True):
        closed = Curve(np.concatenate((ring, ring[:1])), closed=True)
        result ^= closed.contains_points(np.stack((col.ravel(), row.ravel()), axis=1))
    return result.reshape(size)


@given(stack=stacks())
def test_rois_fill_to_the_same_pixels(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("rois") / "x.zip"
    cells = instances_of(stack)
    write_rois(path, cells)
    with_pixels = stack[stack.any(axis=(1, 2))]
    rois = read(path)
    assert len(rois) == len(with_pixels)
    for roi, mask in zip(rois, with_pixels, strict=True):
        assert np.array_equal(filled_by_even_odd(roi, cells.size), mask)
        rows, cols = np.nonzero(mask)
        box = (rows.min(), cols.min(), rows.max() + 1, cols.max() + 1)
        assert (roi.top, roi.left, roi.bottom, roi.right) == box
    assert np.array_equal(stack_of(read_rois(path, cells.size)), with_pixels)


def test_a_rectangle_by_hand(tmp_path: Path) -> None:
    labels = np.zeros(SIZE, int)
    labels[2:5, 10:20] = 1
    cells = Instances.from_label_map(
        labels, cell_type=np.array([1]), type_names=("astro", "cort"),
        score=np.array([0.875], np.float32),
    )  # fmt: skip
    write_rois(tmp_path / "x.zip", cells)
    (roi,) = read(tmp_path / "x.zip")
    assert roi.roitype == ROI_TYPE.TRACED
    corners = np.asarray(roi.coordinates()).tolist()
    assert corners == [[10, 2], [20, 2], [20, 5], [10, 5]]
    assert (roi.name, roi.group, roi.position) == ("0001 cort", 2, 0)
    assert roi.properties == {"type": "cort", "score": 0.875}
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert archive.namelist() == ["0001 cort.roi"]


@pytest.mark.parametrize(
    ("rows", "kind", "rings"),
    [
        ((".##.", ".##."), ROI_TYPE.TRACED, 1),
        (("###", "#.#", "###"), ROI_TYPE.RECT, 2),
        (("#.#",), ROI_TYPE.RECT, 2),
        (("#..", ".#.", "..#"), ROI_TYPE.RECT, 3),
    ],
)
def test_parts_and_holes_make_composite_rois(
    tmp_path: Path, rows: tuple[str, ...], kind: ROI_TYPE, rings: int
) -> None:
    write_rois(tmp_path / "x.zip", instances_of(drawn(*rows)))
    (roi,) = read(tmp_path / "x.zip")
    assert roi.roitype == kind
    assert len(roi.coordinates(multi=True)) == rings
    assert roi.composite == (rings > 1)


def many(count: int = 700, **fields: Any) -> Instances:
    """Cells of 2 x 2 pixels of two types."""
    labels = np.arange(count).reshape(-1, 20).repeat(2, axis=0).repeat(2, axis=1) + 1
    return Instances.from_label_map(
        labels, cell_type=np.arange(count) % 2, type_names=("a", "b/c"),
        score=np.linspace(0.1, 1, count, dtype=np.float32), **fields,
    )  # fmt: skip


def test_more_than_255_cells_keep_type_and_score(tmp_path: Path) -> None:
    cells = many()
    write_rois(tmp_path / "x.zip", cells)
    assert [roi.name for roi in read(tmp_path / "x.zip")][-2:] == ["0699 a", "0700 b/c"]
    found = read_rois(tmp_path / "x.zip", cells.size)
    assert np.array_equal(found.label_map(), cells.label_map())
    assert found.type_names == cells.type_names
    assert np.array_equal(found.cell_type, cells.cell_type)
    assert found.score is not None
    assert np.array_equal(found.score, np.asarray(cells.score))
    expected = read_rois(tmp_path / "x.zip", cells.size, type_names=("b/c", "z", "a"))
    assert expected.type_names == ("b/c", "z", "a")
    assert expected.cell_type.tolist()[:2] == [2, 0]


def test_no_cells(tmp_path: Path) -> None:
    write_rois(tmp_path / "x.zip", Instances.empty(SIZE))
    assert read(tmp_path / "x.zip") == []
    found = read_rois(tmp_path / "x.zip", SIZE, type_names=("a", "b"))
    assert (len(found), found.size, found.type_names) == (0, SIZE, ("a", "b"))


def test_rois_of_a_frame_belong_to_it(tmp_path: Path) -> None:
    write_rois(tmp_path / "x.zip", many(20), frame=4)
    assert {roi.position for roi in read(tmp_path / "x.zip")} == {5}  # ImageJ counts from 1
    assert len(read_rois(tmp_path / "x.zip", SIZE, frame=4)) == 15  # others lie outside the image
    assert len(read_rois(tmp_path / "x.zip", SIZE, frame=5)) == 0


def test_the_same_cells_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_rois(tmp_path / f"{name}.zip", many())
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert {entry.date_time[0] for entry in archive.infolist()} == {1980}


@pytest.mark.parametrize("left", [32_700, 60_500, 70_000])
def test_cells_far_out_in_a_huge_image(tmp_path: Path, left: int) -> None:
    mask = np.zeros((1, 3, 80_000), bool)
    mask[0, 1, left : left + 100] = True
    write_rois(tmp_path / "x.zip", instances_of(mask))
    (roi,) = read(tmp_path / "x.zip")
    assert np.asarray(roi.coordinates())[:, 0].tolist() == [left, left + 100, left + 100, left]
    assert np.array_equal(stack_of(read_rois(tmp_path / "x.zip", (3, 80_000))), mask)


def by_hand(kind: ROI_TYPE, points: Any = None, box: tuple[int, ...] = ()) -> ImagejRoi:
    if points is not None:
        roi = ImagejRoi.frompoints(points)
        roi.roitype = kind
        return roi
    top, left, bottom, right = box
    return ImagejRoi(roitype=kind, top=top, left=left, bottom=bottom, right=right)


def circle(radius: float) -> np.ndarray:
    row, col = np.mgrid[:12, :30] + 0.5
    inside: np.ndarray = (row - 4.5) ** 2 + (col - 4.5) ** 2 < radius**2
    return inside


@pytest.mark.parametrize(
    ("roi", "expected"),
    [
        (by_hand(ROI_TYPE.RECT, box=(2, 3, 5, 9)), np.s_[2:5, 3:9]),
        (by_hand(ROI_TYPE.OVAL, box=(0, 0, 9, 9)), circle(4.5)),
        (by_hand(ROI_TYPE.POLYGON, np.array([[1, 1], [9, 1], [9, 4], [1, 4]])), np.s_[1:4, 1:9]),
        (by_hand(ROI_TYPE.FREEHAND, np.array([[0.6, 0.6], [2.6, 0.6], [2.6, 2.4], [0.6, 2.4]])),
         np.s_[1:2, 1:3]),
        (by_hand(ROI_TYPE.POLYGON, np.array([[-5, -5], [3, -5], [3, 99], [-5, 99]])), np.s_[:, :3]),
    ],
)  # fmt: skip
def test_rois_drawn_by_hand(tmp_path: Path, roi: ImagejRoi, expected: Any) -> None:
    mask = np.zeros((1, *SIZE), bool)
    mask[0][expected] = True
    roiwrite(tmp_path / "x.zip", [roi], name=["x"])
    found = read_rois(tmp_path / "x.zip", SIZE)
    assert np.array_equal(stack_of(found), mask)
    assert (found.type_names, found.score) == (("cell",), None)
    roiwrite(tmp_path / "x.roi", roi)
    assert np.array_equal(stack_of(read_rois(tmp_path / "x.roi", SIZE)), mask)


def test_a_cell_added_by_hand_is_certain(tmp_path: Path) -> None:
    cells = many(20, pixel_size_um=(1.0, 1.0))
    write_rois(tmp_path / "x.zip", cells)
    added = by_hand(ROI_TYPE.RECT, box=(5, 3, 8, 9))
    roiwrite(tmp_path / "x.zip", [added], name=["added"])
    found = read_rois(tmp_path / "x.zip", SIZE)
    assert found.type_names == ("a", "b/c", "cell")
    assert np.asarray(found.score)[-1] == 1


def composite(*path: float) -> ImagejRoi:
    return ImagejRoi(
        roitype=ROI_TYPE.RECT, shape_roi_size=len(path),
        multi_coordinates=np.array(path, np.float32),
    )  # fmt: skip


@pytest.mark.parametrize(
    "roi",
    [
        by_hand(ROI_TYPE.POINT, [[1, 2], [3, 4]]),
        by_hand(ROI_TYPE.POLYLINE, [[1, 2], [3, 4], [5, 5]]),
        ImagejRoi(roitype=ROI_TYPE.LINE),
        ImagejRoi(roitype=ROI_TYPE.RECT, subtype=ROI_SUBTYPE.TEXT),
        composite(0, 1, np.inf, 1, 5, 5, 1, 1, 5, 4),
        composite(0, 1, 1, 7, 5, 5),
        composite(0, 1, 1, 3, 5, 5, 6, 6, 7, 7),
        composite(0, 1),
    ],
)
def test_rois_that_are_no_areas(tmp_path: Path, roi: ImagejRoi) -> None:
    roiwrite(tmp_path / "x.zip", [roi], name=["x"])
    with refused(FormatError, file="x.zip", key="x.roi") as error:
        read_rois(tmp_path / "x.zip", SIZE)
    assert str(tmp_path / "x.zip") in str(error.value)


@pytest.mark.parametrize("kind", [ROI_SUBTYPE.ELLIPSE, ROI_SUBTYPE.ROTATED_RECT])
def test_ellipses_and_turned_rectangles_are_areas(tmp_path: Path, kind: ROI_SUBTYPE) -> None:
    roi = ImagejRoi.frompoints(np.array([[2, 1], [9, 1], [9, 8], [2, 8]]))
    roi.roitype, roi.subtype = ROI_TYPE.FREEHAND, kind
    roiwrite(tmp_path / "x.zip", [roi], mode="w")
    expected = filled_by_even_odd(roi, SIZE)
    assert np.array_equal(read_rois(tmp_path / "x.zip", SIZE).mask(0), expected)
    roiwrite(tmp_path / "y.zip", [ImagejRoi(roitype=ROI_TYPE.FREEHAND, subtype=kind)], mode="w")
    with refused(FormatError, file="y.zip"):
        read_rois(tmp_path / "y.zip", SIZE)


def test_files_that_hold_no_rois(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with refused(InputError, file=path):
        read_rois(path, SIZE)
    path.write_bytes(b"no archive at all")
    with refused(FormatError, file=path):
        read_rois(path, SIZE)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.roi", b"Iout" + bytes(70))
        archive.writestr("y.roi", b"no ROI" * 20)
    with pytest.raises(FormatError, match=r"\(y\.roi: "):
        read_rois(path, SIZE)


def test_a_damaged_archive_is_one_sentence(tmp_path: Path) -> None:
    """Whatever byte is broken, the file is read or refused in our own words."""
    write_rois(tmp_path / "x.zip", many(20))
    content = (tmp_path / "x.zip").read_bytes()
    refused = 0
    for place in range(0, len(content), 41):
        broken = bytearray(content)
        broken[place] ^= 0xFF
        (tmp_path / "x.zip").write_bytes(bytes(broken))
        try:
            read_rois(tmp_path / "x.zip", SIZE)
        except FormatError:
            refused += 1
    assert refused > 20
