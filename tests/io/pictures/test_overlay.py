"""Overlays: which pixels are coloured, with which colour, over which image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from PIL import Image

from bigkingxxl.images import ArrayImage
from bigkingxxl.instances import Instances
from bigkingxxl.io.pictures.overlay import draw_overlay, write_overlay
from tests.support import Stack, instances_of, stacks


def coloured(picture: np.ndarray) -> np.ndarray:
    """bool[H, W]: pixels that are not gray."""
    spread: np.ndarray = picture.max(axis=2) != picture.min(axis=2)
    return spread


def blocks(kinds: list[int], type_names: tuple[str, ...] = ("a", "b")) -> Instances:
    """Cells of 6 x 6 pixels in a row, 10 apart."""
    labels = np.zeros((12, 10 * len(kinds)), int)
    for index in range(len(kinds)):
        labels[3:9, 10 * index + 2 : 10 * index + 8] = index + 1
    return Instances.from_label_map(labels, cell_type=np.array(kinds), type_names=type_names)


def ramp(size: tuple[int, int]) -> ArrayImage:
    return ArrayImage(np.linspace(500, 900, size[0] * size[1]).reshape(size))


def test_outlines_are_the_boundary_pixels_of_cells() -> None:
    cells = blocks([0, 1])
    picture = draw_overlay(ramp(cells.size), cells)
    rim = np.zeros((6, 6), bool)
    rim[[0, -1]] = rim[:, [0, -1]] = True
    expected = np.zeros(cells.size, bool)
    expected[3:9, 2:8] = expected[3:9, 12:18] = rim
    assert picture.dtype == np.uint8
    assert np.array_equal(coloured(picture), expected)


@given(stack=stacks())
def test_outlines_are_inside_cells(stack: Stack) -> None:
    cells = instances_of(stack)
    picture = draw_overlay(ramp(cells.size), cells)
    assert picture.shape == (*cells.size, 3)
    assert not (coloured(picture) & ~stack.any(axis=0)).any()


def test_one_colour_a_type_or_a_cell() -> None:
    cells = blocks([0, 1, 0])
    source = ramp(cells.size)

    def colours(picture: np.ndarray) -> list[tuple[int, ...]]:
        return [tuple(picture[3, 10 * index + 2].tolist()) for index in range(3)]

    first, second, third = colours(draw_overlay(source, cells))
    assert first == third != second
    assert len(set(colours(draw_overlay(source, cells, by="cell")))) == 3
    assert len(set(colours(draw_overlay(source, blocks([0, 0, 0], ("cell",)))))) == 3


def test_the_contrast_reaches_from_black_to_white() -> None:
    source = ramp((40, 50))
    picture = draw_overlay(source, Instances.empty((40, 50)))
    assert picture.min() == 0
    assert picture.max() == 255
    assert (np.diff(picture[..., 0].ravel().astype(int)) >= 0).all()


def test_a_blank_image_and_one_of_nans_are_drawn() -> None:
    for value in (7.0, np.nan):
        picture = draw_overlay(ArrayImage(np.full((5, 6), value)), Instances.empty((5, 6)))
        assert picture.shape == (5, 6, 3)


def test_a_huge_image_is_shrunk_with_its_cells() -> None:
    labels = np.zeros((300, 9000), int)
    labels[60:240, 3000:6000] = 1
    labels[0, 0] = 2
    cells = Instances.from_label_map(labels, type_names=("a", "b"))
    source = ArrayImage((labels == 1) * 100.0)
    picture = draw_overlay(source, cells, longest_side=900)
    assert picture.shape == (30, 900, 3)
    rows, cols = np.nonzero(coloured(picture))
    assert (rows.min(), cols.min()) == (0, 0)  # the one-pixel cell is still there
    rows, cols = np.nonzero(coloured(picture[:, 100:]))
    assert (rows.min(), rows.max(), cols.min() + 100, cols.max() + 100) == (6, 23, 300, 599)
    assert picture[15, 450].tolist() == [255, 255, 255]
    assert picture[15, 100].tolist() == [0, 0, 0]


def test_bands_of_a_large_image_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    size = (64, 48)
    source, none = ArrayImage(np.add.outer(np.arange(64.0), np.arange(48.0))), Instances.empty(size)
    once = draw_overlay(source, none, longest_side=32)
    monkeypatch.setattr("bigkingxxl.io.pictures.overlay.BAND_PIXELS", 48 * 10)
    assert np.abs(draw_overlay(source, none, longest_side=32).astype(int) - once).max() <= 2


@pytest.mark.parametrize(("size", "written"), [((12, 30), (24, 60)), ((4, 1300), (4, 1300))])
def test_a_small_image_is_enlarged_twice(
    tmp_path: Path, size: tuple[int, int], written: tuple[int, int]
) -> None:
    labels = np.zeros(size, int)
    labels[1:3, 5:9] = 1
    cells = Instances.from_label_map(labels)
    write_overlay(tmp_path / "x.png", ramp(size), cells)
    with Image.open(tmp_path / "x.png") as image:
        picture = np.asarray(image.convert("RGB"))
    assert picture.shape == (*written, 3)
    factor = written[0] // size[0]
    rows, cols = np.nonzero(coloured(picture))
    assert (rows.min(), rows.max() + 1) == (factor, 3 * factor)
    assert (cols.min(), cols.max() + 1) == (5 * factor, 9 * factor)


@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_a_written_overlay_equals_the_drawn_one(tmp_path: Path, ending: str) -> None:
    size = (1210, 40)
    labels = np.zeros(size, int)
    labels[100:160, 5:30] = 1
    source, cells = ramp(size), Instances.from_label_map(labels)
    write_overlay(tmp_path / f"x{ending}", source, cells)
    with Image.open(tmp_path / f"x{ending}") as image:
        written = np.asarray(image.convert("RGB")).astype(int)
    drawn = draw_overlay(source, cells)
    away = np.abs(written - drawn)
    assert away.max() == 0 if ending == ".png" else away.mean() < 3


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_the_unit_of_an_image_does_not_matter(scale: float) -> None:
    plain = draw_overlay(ramp((20, 30)), Instances.empty((20, 30))).astype(int)
    other = ArrayImage(ramp((20, 30)).pixels[0] * scale)
    assert np.abs(draw_overlay(other, Instances.empty((20, 30))) - plain).max() <= 2


def test_cells_of_another_image(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="over an image"):
        draw_overlay(ramp((5, 6)), Instances.empty((6, 5)))
    with pytest.raises(ValueError, match="over an image"):
        write_overlay(tmp_path / "x.png", ramp((5, 6)), Instances.empty((6, 5)))
    assert list(tmp_path.iterdir()) == []
