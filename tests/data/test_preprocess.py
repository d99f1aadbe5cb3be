"""The output of preprocessing, read back by other libraries and by the package's own readers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from pycocotools import mask as coco_masks

from bigkingxxl.data.dataset import Dataset, open_dataset
from bigkingxxl.data.preprocess import Preprocessed, preprocess
from bigkingxxl.data.preprocess_unit import larger_first
from bigkingxxl.data.split import write_folds
from bigkingxxl.errors import InputError, OutputError
from bigkingxxl.io.annotations.label_images import read_label_folder, read_label_image
from tests.data.small_data import TYPES, kaggle_folder, rectangles
from tests.refusals import refused
from tests.support import stack_of

# Image a: a small cell annotated before the large one that covers it, and one of the other type.
CELLS = {
    "a": rectangles((5, 5, 8, 8), (2, 2, 20, 20), (18, 15, 30, 40), types=(0, 0, 1)),
    "b": rectangles((0, 0, 40, 50), types=(1,)),
    "c": rectangles(),
    "d": rectangles((1, 1, 3, 3), (2, 2, 5, 5), types=(0, 1)),
    "e": rectangles((10, 10, 12, 12), types=(0,)),
}


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    folder = kaggle_folder(tmp_path / "data", CELLS)
    write_folds(folder / "folds.csv", {"a": 0, "b": 1, "c": 1, "d": 2, "e": 0})
    return open_dataset(folder)


def run(dataset: Dataset, out: Path, **options: object) -> Preprocessed:
    return preprocess(dataset, out, workers=1, **options)  # type: ignore[arg-type]


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_every_image_has_its_files_and_the_fold_decides_where(
    dataset: Dataset, tmp_path: Path
) -> None:
    done = run(dataset, tmp_path / "out")
    assert (done.made, done.kept, done.cells, done.hidden, done.failed) == (5, 0, 7, 0, ())
    files = set(tree(tmp_path / "out"))
    images = {f"tif/{split}/{name}{ending}.tif"
              for split, names in (("val", "ae"), ("train", "bcd"))
              for name in names for ending in ("", "_masks")}  # fmt: skip
    single = {f"{kind}/{name}.tif" for kind in ("masks", "labels") for name in CELLS}
    coco = {"annotations_train.json", "annotations_val.json"}
    assert files == images | single | coco | {"preprocess.jsonl"}


def test_masks_have_a_layer_for_each_type(dataset: Dataset, tmp_path: Path) -> None:
    run(dataset, tmp_path)
    for name, cells in CELLS.items():
        pages = tifffile.imread(tmp_path / "masks" / f"{name}.tif")
        stack = stack_of(cells)
        for kind in range(2):
            expected = stack[cells.cell_type == kind].any(axis=0)
            np.testing.assert_array_equal(pages[kind], np.where(expected, 255, 0))
        assert page_names(tmp_path / "masks" / f"{name}.tif") == TYPES


def page_names(path: Path) -> tuple[str, ...]:
    with tifffile.TiffFile(path) as file:
        return tuple((file.imagej_metadata or {})["Labels"])


def test_small_cells_stay_visible_on_large_ones(dataset: Dataset, tmp_path: Path) -> None:
    run(dataset, tmp_path)
    labels = tifffile.imread(tmp_path / "labels" / "a.tif")
    expected = np.zeros((40, 50), int)
    expected[2:20, 2:20] = 2  # 324 pixels
    expected[18:30, 15:40] = 3  # 300 pixels
    expected[5:8, 5:8] = 1
    np.testing.assert_array_equal(labels, expected)
    assert labels.dtype == np.uint16


def test_pairs_hold_the_image_unchanged_and_its_labels(dataset: Dataset, tmp_path: Path) -> None:
    run(dataset, tmp_path)
    for name, split in (("a", "val"), ("d", "train")):
        image = tifffile.imread(tmp_path / "tif" / split / f"{name}.tif")
        original = np.asarray(Image.open(dataset.image_path(name)))
        assert image.dtype == original.dtype
        np.testing.assert_array_equal(image, original)
        np.testing.assert_array_equal(
            tifffile.imread(tmp_path / "tif" / split / f"{name}_masks.tif"),
            tifffile.imread(tmp_path / "labels" / f"{name}.tif"),
        )


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_coco_files_hold_every_cell_whole(dataset: Dataset, tmp_path: Path) -> None:
    run(dataset, tmp_path)
    seen: dict[str, list[tuple[str, bytes]]] = {}
    for split in ("train", "val"):
        content = json.loads((tmp_path / f"annotations_{split}.json").read_text())
        types = {row["id"]: row["name"] for row in content["categories"]}
        names = {row["id"]: Path(row["file_name"]).stem for row in content["images"]}
        for row in content["images"]:
            assert (tmp_path / row["file_name"]).is_file()
        for row in content["annotations"]:
            mask = coco_masks.decode(row["segmentation"])
            cell = (types[row["category_id"]], mask.astype(bool).tobytes())
            seen.setdefault(names[row["image_id"]], []).append(cell)
    expected = {
        name: [
            (TYPES[kind], mask.tobytes())
            for kind, mask in zip(cells.cell_type, stack_of(cells), strict=True)
        ]
        for name, cells in CELLS.items()
        if len(cells)
    }
    assert seen == expected


def test_the_package_reads_all_of_it_back(dataset: Dataset, tmp_path: Path) -> None:
    run(dataset, tmp_path / "out")
    coco = open_dataset(tmp_path / "out" / "annotations_train.json")
    assert set(coco.ids) == {"b", "c", "d"}
    for name in coco.ids:
        np.testing.assert_array_equal(stack_of(coco.instances(name)), stack_of(CELLS[name]))
    pairs = open_dataset(tmp_path / "out" / "tif" / "val")
    assert set(pairs.ids) == {"a", "e"}
    np.testing.assert_array_equal(
        pairs.instances("a").areas(), [9, 324 - 9 - 10, 300]
    )  # what the smaller ones leave
    labels = read_label_folder(tmp_path / "out" / "labels")
    assert set(labels) == set(CELLS)
    assert read_label_image(labels["b"]).max() == 1


def test_repeating_changes_nothing(dataset: Dataset, tmp_path: Path) -> None:
    run(dataset, tmp_path / "out")
    before = tree(tmp_path / "out")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.tif")}
    again = run(dataset, tmp_path / "out")
    assert (again.made, again.kept, again.cells) == (0, 5, 7)
    assert tree(tmp_path / "out") == before
    assert {path: path.stat().st_mtime_ns for path in times} == times
    run(dataset, tmp_path / "other")
    fresh = tree(tmp_path / "other")
    assert {name: fresh[name] for name in fresh if name.endswith(".tif")} == {
        name: before[name] for name in before if name.endswith(".tif")
    }


def test_an_interrupted_run_resumes(dataset: Dataset, tmp_path: Path) -> None:
    def until_second(items: Iterable[Any], total: int | None, label: str) -> Iterator[Any]:
        for count, item in enumerate(items):
            if count == 2:
                raise KeyboardInterrupt
            yield item

    with pytest.raises(KeyboardInterrupt):
        run(dataset, tmp_path / "out", track=until_second)
    done = run(dataset, tmp_path / "out")
    assert (done.made, done.kept) == (3, 2)
    run(dataset, tmp_path / "whole")
    cut, whole = tree(tmp_path / "out"), tree(tmp_path / "whole")
    assert cut.keys() == whole.keys()
    assert all(cut[name] == whole[name] for name in whole if name.endswith(".tif"))


def test_lost_files_are_made_again(dataset: Dataset, tmp_path: Path) -> None:
    run(dataset, tmp_path)
    (tmp_path / "labels" / "d.tif").unlink()
    done = run(dataset, tmp_path)
    assert (done.made, done.kept) == (1, 4)
    assert (tmp_path / "labels" / "d.tif").is_file()


def test_changed_annotations_redo_everything(dataset: Dataset, tmp_path: Path) -> None:
    run(dataset, tmp_path / "out")
    table = dataset.root / "train.csv"
    table.write_text(table.read_text().replace("astro", "shsy5y"))
    done = run(open_dataset(dataset.root), tmp_path / "out")
    assert (done.made, done.kept) == (5, 0)
    assert page_names(tmp_path / "out" / "masks" / "a.tif") == ("cort", "shsy5y")


def test_another_fold_moves_the_pairs(dataset: Dataset, tmp_path: Path) -> None:
    run(dataset, tmp_path)
    run(dataset, tmp_path, fold=2)
    places = {path.name: path.parent.name for path in (tmp_path / "tif").rglob("?.tif")}
    assert places == {"a.tif": "train", "b.tif": "train", "c.tif": "train", "d.tif": "val",
                      "e.tif": "train"}  # fmt: skip
    assert len(list((tmp_path / "tif").rglob("?.tif"))) == 5, "no image is on both sides"
    names = json.loads((tmp_path / "annotations_val.json").read_text())["images"]
    assert [Path(row["file_name"]).stem for row in names] == ["d"]


def test_only_some_kinds(dataset: Dataset, tmp_path: Path) -> None:
    run(dataset, tmp_path, kinds=("labels",))
    assert {path.parts[0] for path in map(Path, tree(tmp_path / "labels"))} == {
        f"{name}.tif" for name in CELLS
    }
    assert not (tmp_path / "tif").exists()
    done = run(dataset, tmp_path, kinds=("labels", "masks"))
    assert (done.made, (tmp_path / "masks").is_dir()) == (5, True)
    with refused(InputError, key="--what", found="mask", expected="masks"):
        run(dataset, tmp_path, kinds=("mask",))


def test_several_processes_write_the_same(dataset: Dataset, tmp_path: Path) -> None:
    run(dataset, tmp_path / "one")
    preprocess(dataset, tmp_path / "two", workers=2)
    one, two = tree(tmp_path / "one"), tree(tmp_path / "two")
    assert one.keys() == two.keys()
    assert all(one[name] == two[name] for name in one if name != "preprocess.jsonl")


@pytest.mark.parametrize("workers", [1, 2])
def test_an_unreadable_image_is_listed_and_the_rest_done(
    dataset: Dataset, tmp_path: Path, workers: int
) -> None:
    path = dataset.image_path("d")
    path.write_bytes(path.read_bytes()[:200])
    done = preprocess(dataset, tmp_path / "out", workers=workers)
    assert (done.made, len(done.failed)) == (4, 1)
    assert str(path) in done.failed[0]
    assert not list((tmp_path / "out").rglob("d*"))
    names = json.loads((tmp_path / "out" / "annotations_train.json").read_text())["images"]
    assert [Path(row["file_name"]).stem for row in names] == ["b", "c"]


def test_a_folder_that_cannot_be_written_is_one_sentence(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with refused(OutputError, "--out"):
        run(dataset, tmp_path / "file" / "out")
    sealed = tmp_path / "sealed"
    sealed.mkdir()
    sealed.chmod(0o555)  # holds for administrators too
    with refused(OutputError, "--out", file=sealed):
        run(dataset, sealed)
    assert list(sealed.iterdir()) == []


def test_larger_cells_are_painted_first() -> None:
    cells = rectangles((0, 0, 2, 2), (0, 0, 9, 9), (0, 0, 3, 3))
    assert larger_first(cells).tolist() == [1, 2, 0]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (np.array([[0, 255]], np.uint8), np.uint8),
        (np.array([[0, 60000]], np.uint16), np.uint16),
        (np.array([[0.5, -3.0]], np.float32), np.float32),
        (np.array([[np.nan, 7.0]], np.float32), np.float32),
    ],
)
def test_intensities_are_preserved(
    tmp_path: Path, values: np.ndarray[tuple[int, int], np.dtype[np.generic]], dtype: type
) -> None:
    folder = tmp_path / "pairs"
    folder.mkdir()
    pixels = np.resize(values, (16, 16))
    for name in ("x", "y"):
        tifffile.imwrite(folder / f"{name}.tif", pixels)
        tifffile.imwrite(folder / f"{name}_masks.tif", np.eye(16, dtype=np.uint16))
    write_folds(folder / "folds.csv", {"x": 0, "y": 1})
    run(open_dataset(folder), tmp_path / "out", kinds=("tif",))
    stored = tifffile.imread(tmp_path / "out" / "tif" / "val" / "x.tif")
    assert stored.dtype == dtype
    np.testing.assert_array_equal(stored, pixels)
