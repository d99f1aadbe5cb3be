"""Names of images as paths: inside the folder, distinct, and never too long."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigkingxxl.file_names import place_of
from bigkingxxl.runs.outputs import IMAGE_FORMATS
from bigkingxxl.runs.reader import open_run
from tests.threshold import Threshold, run, save_images

LETTERS = st.text(st.sampled_from("a.%/\\ 2E~:\0\x1b"), max_size=8)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("img_1", "img_1"), ("A1/img 1.ome", "A1/img 1.ome"), ("été", "été"), ("100%", "100%"),
        ("../x", "%2E%2E/x"), ("/etc/x", "%2F/etc/x"), ("a/./b", "a/%2E/b"), ("a//b", "a/%2F/b"),
        ("a\\b", "a%5Cb"), ("a\nb", "a%0Ab"), ("C:x", "C%3Ax"), ("nul", "%6Eul"),
        ("COM1.x", "%43OM1.x"), ("x.", "x%2E"), ("%2E%2E", "%252E%252E"), ("", "%2F"),
        ("a.tif/b.tif", "a%2Etif/b.tif"), ("a.tifs/b", "a.tifs/b"), ("b.NPY/b", "b%2ENPY/b"),
    ],
)  # fmt: skip
def test_by_hand(name: str, place: str) -> None:
    assert place_of(name) == PurePosixPath(place)


@given(LETTERS, LETTERS)
def test_names_map_to_unique_paths_inside_the_folder(one: str, two: str) -> None:
    places = place_of(one), place_of(two)
    assert (one == two) == (places[0] == places[1])
    for place in places:
        assert not place.is_absolute()
        assert not {"..", ".", ""} & set(place.parts)
        assert not any(letter < " " for letter in str(place))


def test_the_longest_names_fit() -> None:
    names = ["x" * 255, "x" * 254 + "y", "é" * 127]
    places = {place_of(name) for name in names}
    assert len(places) == 3
    for place in places:
        for each in IMAGE_FORMATS.values():
            name = each.place(Path("out"), "x" * 251).name
            assert len(name.encode()) <= 255
        assert len(place.name.encode()) <= 200


def test_images_of_the_longest_names_are_predicted(tmp_path: Path) -> None:
    (path,) = save_images(tmp_path / "images", [3])
    long = path.rename(path.with_name("x" * 251 + ".png"))
    result = run([long], tmp_path / "out", predictor=Threshold())
    assert result.failed == {}
    assert list(result.cells.values()) == [3]


def test_folders_named_like_files_do_not_conflict(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    names = ["a", *(f"a.{ending}/b" for ending in ("tif", "PNG", "csv", "json", "npz", "zip"))]
    paths = {}
    for name in names:
        (path,) = save_images((folder / name).parent, [2])
        paths[path.rename(folder / f"{name}.bmp")] = name
    for order in (list(paths), list(paths)[::-1]):
        out = tmp_path / str(paths[order[0]] == "a")
        result = run(order, out, names=paths)
        assert result.failed == {}
        assert set(open_run(out)) == set(names)
        assert len(list((out / "labels").rglob("*.tif"))) == len(names)


def test_names_of_any_letters_are_written_on_all_tables(tmp_path: Path) -> None:
    paths = {}
    for name in ("a\nb", "\x1b[31mred", "=1+1", "\u202e", "bytes\udcff"):
        (path,) = save_images(tmp_path / "images", [2])
        paths[path.rename(path.with_name(f"{name}.png"))] = name
    result = run(list(paths), tmp_path / "out", names=paths)
    assert result.failed == {}
    assert set(open_run(tmp_path / "out")) == set(paths.values())
    assert (tmp_path / "out" / "contact_sheet.png").is_file()
