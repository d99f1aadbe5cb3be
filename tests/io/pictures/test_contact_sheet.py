"""Contact sheets as Pillow opens them: the place of each thumbnail."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bigkingxxl.images import ArrayImage
from bigkingxxl.instances import Instances
from bigkingxxl.io.pictures.contact_sheet import (
    LONGEST_SIDE,
    MARGIN,
    SIDE,
    Thumbnail,
    draw_contact_sheet,
    write_contact_sheet,
    write_thumbnail,
)

STEP = SIDE + MARGIN
COLOURS = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]


def coloured(folder: Path, count: int, size: tuple[int, int] = (320, 240)) -> list[Thumbnail]:
    """Plain thumbnails, width x height."""
    thumbnails = []
    for index in range(count):
        path = folder / f"{index}.png"
        Image.new("RGB", size, COLOURS[index % 3]).save(path)
        thumbnails.append(Thumbnail(path, f"image {index}", index))
    return thumbnails


def colour_counts(picture: np.ndarray) -> list[int]:
    return [int((picture == colour).all(axis=2).sum()) for colour in COLOURS]


def test_a_thumbnail_is_the_overlay_shrunk(tmp_path: Path) -> None:
    labels = np.zeros((1000, 2000), int)
    labels[200:800, 500:1500] = 1
    source = ArrayImage(np.random.default_rng(0).random(labels.shape))
    write_thumbnail(tmp_path / "x.png", source, Instances.from_label_map(labels))
    with Image.open(tmp_path / "x.png") as image:
        picture = np.asarray(image.convert("RGB"))
    assert picture.shape == (SIDE // 2, SIDE, 3)
    rows, cols = np.nonzero(picture.max(axis=2) != picture.min(axis=2))  # outlines have colours
    edges = (rows.min(), rows.max() + 1, cols.min(), cols.max() + 1)
    assert edges == (32, 128, 80, 240)


def test_images_lie_in_rows_with_text_below(tmp_path: Path) -> None:
    write_contact_sheet(tmp_path / "sheet.png", coloured(tmp_path, 3))
    with Image.open(tmp_path / "sheet.png") as image:
        assert image.format == "PNG"
        picture = np.asarray(image)
    assert colour_counts(picture) == [320 * 240] * 3
    for index, (row, col) in enumerate([(0, 0), (0, 1), (1, 0)]):
        down = 240 + (picture.shape[0] - MARGIN) // 2 - 240
        top, left = MARGIN + row * down, MARGIN + col * STEP
        assert (picture[top : top + 240, left : left + 320] == COLOURS[index]).all()
        text = picture[top + 240 : top + down - MARGIN, left : left + 320]
        assert (text < 128).all(axis=2).any()


@pytest.mark.parametrize(("size", "shown"), [((640, 320), (320, 160)), ((100, 200), (100, 200)),
                                             ((10, 6400), (1, 320))])  # fmt: skip
def test_pictures_of_any_shape_are_made_to_fit(
    tmp_path: Path, size: tuple[int, int], shown: tuple[int, int]
) -> None:
    picture = draw_contact_sheet(coloured(tmp_path, 1, size))
    assert colour_counts(picture)[0] == shown[0] * shown[1]


def test_a_long_name_stays_in_its_column(tmp_path: Path) -> None:
    thumbnails = [Thumbnail(each.path, "W" * 300, 1) for each in coloured(tmp_path, 2)]
    picture = draw_contact_sheet(thumbnails)
    assert (picture[:, MARGIN + SIDE : STEP] == 255).all()
    assert (picture[:, -MARGIN:] == 255).all()


def test_a_thumbnail_that_is_gone_leaves_its_place_empty(tmp_path: Path) -> None:
    thumbnails = coloured(tmp_path, 3)
    thumbnails[0].path.unlink()
    thumbnails[1].path.write_bytes(b"no picture")
    assert colour_counts(draw_contact_sheet(thumbnails)) == [0, 0, 320 * 240]


def test_no_images() -> None:
    assert (draw_contact_sheet([]) == 255).all()


def test_many_images_make_smaller_thumbnails(tmp_path: Path) -> None:
    thumbnails = coloured(tmp_path, 3, (64, 48)) * 500
    picture = draw_contact_sheet(thumbnails)
    assert max(picture.shape) <= LONGEST_SIDE
    assert colour_counts(picture) == [500 * 64 * 48] * 3


def test_the_same_images_are_the_same_bytes(tmp_path: Path) -> None:
    thumbnails = coloured(tmp_path, 3)
    for name in ("a", "b"):
        write_contact_sheet(tmp_path / f"sheet_{name}.png", thumbnails)
    assert (tmp_path / "sheet_a.png").read_bytes() == (tmp_path / "sheet_b.png").read_bytes()
