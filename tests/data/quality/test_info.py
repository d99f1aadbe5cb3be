"""The description of a data set, compared with one whose every oddity is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bigkingxxl.data.dataset import open_dataset
from bigkingxxl.data.quality.info import DataInfo, describe
from bigkingxxl.data.quality.info_views import as_text, plot
from bigkingxxl.errors import OutputError
from bigkingxxl.instances import Instances
from tests.data.small_data import TYPES, kaggle_folder, rectangles
from tests.refusals import refused

SIZE = (120, 160)


def odd_cells() -> Instances:
    """21 squares of 10 x 10 and one of every oddity, all of the first type."""
    masks = [np.ones((10, 10), bool) for _ in range(21)]
    corners = [(12 * (place // 7), 12 * (place % 7)) for place in range(21)]
    hollow = np.ones((10, 10), bool)
    hollow[3:7, 3:7] = False
    split = np.ones((10, 10), bool)
    split[:, 4:6] = False
    comb = np.zeros((20, 20), bool)
    comb[::2] = True
    comb[:, 0] = True
    for mask, corner in (
        (np.ones((3, 3), bool), (2, 2)),  # tiny, and inside the first square
        (np.ones((40, 40), bool), (75, 0)),  # huge
        (hollow, (50, 100)), (split, (50, 120)), (comb, (70, 100)),
        (np.ones((10, 10), bool), (12, 12)),  # a square once more
    ):  # fmt: skip
        masks.append(mask)
        corners.append(corner)
    kinds = np.zeros(len(masks), int)
    return Instances.from_crops(corners, masks, SIZE, cell_type=kinds, type_names=TYPES)


@pytest.fixture
def info(tmp_path: Path) -> DataInfo:
    cells = {
        "odd": odd_cells(),
        "plain": rectangles((0, 0, 10, 10), (0, 5, 10, 15), size=SIZE, types=(1, 1)),
        "copy": rectangles((0, 0, 10, 10), (0, 5, 10, 15), size=SIZE, types=(1, 1)),
        "bare": rectangles(size=SIZE),
    }
    rng = np.random.default_rng(3)
    same = rng.integers(0, 255, SIZE).astype(np.uint8)
    brighter = (same // 2 + 60).astype(np.uint8)
    pixels = {"plain": same, "copy": same, "odd": brighter, "bare": np.full(SIZE, 9, np.uint8)}
    folder = kaggle_folder(tmp_path / "data", cells, pixels)
    (folder / "train_semi_supervised").mkdir()
    Image.fromarray(same).save(folder / "train_semi_supervised" / "u.png")
    return describe(open_dataset(folder))


def test_counts(info: DataInfo) -> None:
    assert (info.images, info.cells, info.unlabelled) == (4, 31, 1)
    assert info.image_sizes == {"160 x 120": 4}
    assert info.images_without_cells == 1
    assert (info.types["astro"].images, info.types["astro"].cells) == (1, 27)
    assert info.types["cort"].cells_per_image == {"min": 2, "median": 2, "max": 2}
    assert info.types["cort"].area == dict.fromkeys(info.types["cort"].area, 100.0)
    assert (info.types["astro"].area["min"], info.types["astro"].area["max"]) == (9, 1600)


def test_oddities(info: DataInfo) -> None:
    assert info.suspicious == {
        "speck": 0, "whole image": 0, "tiny": 1, "huge": 1, "ragged": 1, "broken outline": 1,
        "fragments": 1,
        "inside another": 3, "duplicate": 2,
    }  # fmt: skip
    found = {(cell["image"], cell["cell"], cell["kind"]) for cell in info.cells_to_check}
    assert found == {
        ("odd", 22, "tiny"), ("odd", 23, "huge"), ("odd", 24, "broken outline"),
        ("odd", 25, "fragments"), ("odd", 26, "ragged"), ("odd", 22, "inside another"),
        ("odd", 9, "inside another"), ("odd", 27, "inside another"),
        ("odd", 9, "duplicate"), ("odd", 27, "duplicate"),
    }  # fmt: skip
    assert (info.holes, info.fragments) == (1, 1)


def test_overlaps(info: DataInfo) -> None:
    # In `odd`: tiny and its square, the square and its copy. In the others: 50 pixels each.
    assert info.overlaps["cells"] == 4 + 2 + 2
    shared = 9 + 100 + 2 * 50
    covered = 21 * 100 + 1600 + 84 + 80 + (10 * 20 + 10) + 2 * 150
    assert info.overlaps["pixel_share"] == pytest.approx(shared / covered)


def test_duplicates(info: DataInfo) -> None:
    assert info.duplicates["cells_identical"] == 2
    assert info.duplicates["images_identical"] == [["plain", "copy"]]
    assert info.duplicates["annotations_identical"] == [["plain", "copy"]]
    alike = {frozenset(pair) for pair in info.duplicates["images_alike"]}
    assert alike == {frozenset(pair) for pair in (("odd", "plain"), ("odd", "copy"),
                                                  ("plain", "copy"))}  # fmt: skip
    assert info.blank_images == ["bare"]


def test_an_unreadable_image_is_listed_and_the_rest_described(tmp_path: Path) -> None:
    cells = {"one": rectangles((0, 0, 5, 5)), "two": rectangles((0, 0, 5, 5))}
    folder = kaggle_folder(tmp_path / "data", cells)
    path = folder / "train" / "two.png"
    path.write_bytes(path.read_bytes()[:300])
    info = describe(open_dataset(folder))
    assert info.cells == 2
    assert len(info.unreadable) == 1
    assert str(path) in info.unreadable[0]
    assert info.blank_images == []


def test_json_is_for_programs_and_text_for_people(info: DataInfo) -> None:
    read = json.loads(json.dumps(info.as_json()))
    assert read["types"]["astro"]["cells"] == 27
    assert "table" not in read
    text = as_text(info)
    for part in ("160 x 120 (4)", "astro", "broken outline", "odd 24", "blank", "bare"):
        assert part in text


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_the_same_data_draw_the_same_plot(info: DataInfo, tmp_path: Path, ending: str) -> None:
    first, second = (tmp_path / f"{name}.{ending}" for name in "ab")
    plot(info, first)
    plot(info, second)
    assert first.stat().st_size > 1000
    assert first.read_bytes() == second.read_bytes()


def test_a_plot_needs_a_picture_s_ending(info: DataInfo, tmp_path: Path) -> None:
    with refused(OutputError, file="plot.docx", expected=".png"):
        plot(info, tmp_path / "plot.docx")
    assert not list(tmp_path.glob("*.docx"))


def test_real_data_match_their_readme(sartorius: Path) -> None:
    info = describe(open_dataset(sartorius))
    counts = {name: kind.images for name, kind in info.types.items()}
    assert counts == {"astro": 106, "cort": 293, "shsy5y": 55}
    assert (info.images, info.cells, info.unlabelled) == (454, 34546, 83)
    assert info.image_sizes == {"704 x 520": 454}
    astro = sum(cell["cell_type"] == "astro" for cell in info.cells_to_check
                if cell["kind"] == "broken outline")  # fmt: skip
    assert astro > 0.8 * info.suspicious["broken outline"], "it is the astro outlines that broke"
