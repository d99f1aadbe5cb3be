"""Data sets of every layout: found, opened, read, or refused with one sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from bigkingxxl.data.dataset import Dataset, fingerprint, open_dataset
from bigkingxxl.errors import BigKingXXLError, FormatError, InputError
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.coco import write_coco_annotations
from bigkingxxl.io.annotations.kaggle import write_annotations
from bigkingxxl.io.annotations.label_images import write_label_image
from tests.refusals import refused

SIZE = (20, 30)
TYPES = ("astro", "cort")
RANDOM = np.random.default_rng(0)
IMAGES = {name: RANDOM.integers(0, 256, SIZE).astype(np.uint8) for name in ("n1", "n2", "n3")}


def cells(*kinds: int) -> Instances:
    """Cells of 4 x 4 pixels side by side."""
    labels = np.zeros(SIZE, int)
    for index in range(len(kinds)):
        labels[2:6, 5 * index + 1 : 5 * index + 5] = index + 1
    return Instances.from_label_map(labels, cell_type=np.array(kinds), type_names=TYPES)


CELLS = {"n1": cells(1, 1, 0), "n2": cells(0), "n3": cells(0, 1)}


def write_images(folder: Path, ending: str = "png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, pixels in IMAGES.items():
        Image.fromarray(pixels).save(folder / f"{name}.{ending}")


def kaggle(root: Path) -> Path:
    write_images(root / "train")
    write_annotations(root / "train.csv", CELLS)
    return root


def coco(root: Path) -> Path:
    write_images(root / "images")
    names = {name: f"{name}.png" for name in CELLS}
    write_coco_annotations(root / "annotations.json", CELLS, names)
    return root


def flat_pairs(root: Path) -> Path:
    write_images(root)
    for name, instances in CELLS.items():
        write_label_image(root / f"{name}_masks.tif", instances)
    return root


def folder_pairs(root: Path) -> Path:
    write_images(root / "images", "tif")
    for name, instances in CELLS.items():
        write_label_image(root / "labels" / f"{name}.png", instances)
    return root


LAYOUTS = {
    "kaggle": (kaggle, "kaggle", TYPES),
    "coco": (coco, "coco", TYPES),
    "flat pairs": (flat_pairs, "pairs", ("cell",)),
    "pairs in folders": (folder_pairs, "pairs", ("cell",)),
}


@pytest.fixture(params=LAYOUTS)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Dataset, str, tuple[str, ...]]:
    make, layout, types = LAYOUTS[request.param]
    return open_dataset(make(tmp_path / "set")), layout, types


# ---- what every layout gives -------------------------------------------------------------------


def test_every_layout_returns_images_and_cells(
    opened: tuple[Dataset, str, tuple[str, ...]],
) -> None:
    dataset, layout, types = opened
    assert (dataset.layout, dataset.type_names) == (layout, types)
    assert dataset.ids == tuple(dataset) == ("n1", "n2", "n3")
    assert len(dataset) == 3
    assert not dataset.unlabelled
    assert not dataset.skipped
    for name in dataset.ids:
        source, instances = dataset.source(name), dataset.instances(name)
        assert (source.name, source.shape) == (name, SIZE)
        assert np.array_equal(source.read()[0], IMAGES[name])
        assert np.array_equal(instances.label_map(), CELLS[name].label_map())
        assert instances.type_names == types
        if types == TYPES:
            assert np.array_equal(instances.cell_type, CELLS[name].cell_type)


def test_the_type_of_an_image_is_its_most_frequent_one(tmp_path: Path) -> None:
    for index, (make, _, types) in enumerate(LAYOUTS.values()):
        dataset = open_dataset(make(tmp_path / str(index)))
        expected = ["cort", "astro", "astro"] if types == TYPES else ["cell"] * 3
        assert [dataset.cell_type(name) for name in dataset.ids] == expected


def test_an_image_without_cells_has_no_type(tmp_path: Path) -> None:
    write_images(tmp_path / "train")
    none = Instances.empty(SIZE, TYPES)
    write_annotations(tmp_path / "train.csv", {**CELLS, "n2": none})
    dataset = open_dataset(tmp_path)
    assert dataset.cell_type("n2") is None
    assert len(dataset.instances("n2")) == 0


def test_an_unknown_image_is_refused(opened: tuple[Dataset, str, tuple[str, ...]]) -> None:
    dataset = opened[0]
    for read in (dataset.source, dataset.instances, dataset.image_path, dataset.cell_type):
        with refused(InputError, found="nobody"):
            read("nobody")


def test_an_annotation_of_another_size_is_refused(
    opened: tuple[Dataset, str, tuple[str, ...]],
) -> None:
    dataset = opened[0]
    path = dataset.image_path("n2")
    Image.fromarray(IMAGES["n2"][:-1]).save(path)
    with refused(FormatError, key="size", found=(20, 30), expected=(19, 30)):
        dataset.instances("n2")


# ---- Kaggle ------------------------------------------------------------------------------------


def test_columns_fields_and_unlabelled_images(tmp_path: Path) -> None:
    kaggle(tmp_path)
    lines = (tmp_path / "train.csv").read_text().splitlines()
    lines = [f"{line},{extra}" for line, extra in zip(lines, ["sample_id", *"sssttt"], strict=True)]
    (tmp_path / "train.csv").write_text("\n".join(lines))
    (tmp_path / "fields.csv").write_text("id,field\nn1,f\nn2,f\n")
    write_images(tmp_path / "train_semi_supervised")
    dataset = open_dataset(tmp_path)
    assert dataset.columns["sample_id"] == {"n1": "s", "n2": "t", "n3": "t"}
    assert dataset.columns["field"] == {"n1": "f", "n2": "f", "n3": "n3"}
    assert [path.name for path in dataset.unlabelled] == ["n1.png", "n2.png", "n3.png"]


def test_a_missing_image_is_refused(tmp_path: Path) -> None:
    kaggle(tmp_path)
    (tmp_path / "train" / "n2.png").unlink()
    with refused(FormatError, "n2", file="train.csv", line=5):
        open_dataset(tmp_path)
    dataset = open_dataset(tmp_path, skip_bad=True)
    assert dataset.ids == ("n1", "n3")
    assert len(dataset.skipped) == 1


def test_bad_rows_are_skipped_on_request(tmp_path: Path) -> None:
    kaggle(tmp_path)
    with (tmp_path / "train.csv").open("a") as stream:
        stream.write("n1,1 2 3,30,20,cort\n")
    with refused(FormatError, file="train.csv", line=8):
        open_dataset(tmp_path)
    dataset = open_dataset(tmp_path, skip_bad=True)
    assert len(dataset.instances("n1")) == 3
    assert "line 8" in dataset.skipped[0]


def test_a_table_without_images(tmp_path: Path) -> None:
    write_annotations(tmp_path / "train.csv", CELLS)
    with refused(FormatError, expected="train"):
        open_dataset(tmp_path)
    (tmp_path / "train").mkdir()
    with refused(FormatError, file="train"):
        open_dataset(tmp_path, skip_bad=True)


# ---- COCO --------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["images", "train", ".", "../images", "../train", ".."])
def test_places_where_coco_images_are_found(tmp_path: Path, place: str) -> None:
    root = tmp_path / "set"
    root.mkdir()
    write_images(root / place)
    names = {name: f"/another/machine/{name}.png" for name in CELLS}
    write_coco_annotations(root / "cells.json", CELLS, names)
    dataset = open_dataset(root / "cells.json")
    assert np.array_equal(dataset.source("n3").read()[0], IMAGES["n3"])


def test_a_file_name_with_its_folder(tmp_path: Path) -> None:
    write_images(tmp_path / "deep" / "er")
    names = {name: f"deep/er/{name}.png" for name in CELLS}
    write_coco_annotations(tmp_path / "annotations" / "train.json", CELLS, names)
    dataset = open_dataset(tmp_path)
    assert dataset.image_path("n1") == tmp_path / "deep" / "er" / "n1.png"


def test_an_image_that_a_coco_file_names_but_lacks(tmp_path: Path) -> None:
    coco(tmp_path)
    (tmp_path / "images" / "n1.png").unlink()
    with refused(FormatError, "n1.png"):
        open_dataset(tmp_path)
    assert open_dataset(tmp_path, skip_bad=True).ids == ("n2", "n3")
    shutil.rmtree(tmp_path / "images")
    with refused(FormatError, file="annotations.json"):
        open_dataset(tmp_path, skip_bad=True)


def test_a_folder_of_several_coco_files(tmp_path: Path) -> None:
    coco(tmp_path)
    shutil.copy(tmp_path / "annotations.json", tmp_path / "annotations_val.json")
    with refused(InputError, "annotations.json", "annotations_val.json", file=tmp_path):
        open_dataset(tmp_path)
    assert open_dataset(tmp_path / "annotations_val.json").layout == "coco"


# ---- pairs -------------------------------------------------------------------------------------


def test_more_than_255_cells_survive(tmp_path: Path) -> None:
    side = 20
    labels = np.arange(side * side).reshape(side, side)
    Image.fromarray(np.zeros((side, side), np.uint8)).save(tmp_path / "x.png")
    write_label_image(tmp_path / "x_masks.tif", Instances.from_label_map(labels))
    assert len(open_dataset(tmp_path).instances("x")) == side * side - 1


def test_types_of_pairs_given_in_a_file(tmp_path: Path) -> None:
    flat_pairs(tmp_path)
    path = tmp_path / "cell_types.csv"
    path.write_text("id,cell_type\nn1,cort\nn2,astro\nn3,cort\n")
    dataset = open_dataset(tmp_path)
    assert dataset.type_names == ("astro", "cort")
    assert [dataset.cell_type(name) for name in dataset.ids] == ["cort", "astro", "cort"]
    path.write_text("id,cell_type\nn1,cort\n")
    with refused(FormatError, key="cell_type", found="n2"):
        open_dataset(tmp_path)


def test_an_image_without_labels_is_unlabelled_and_labels_without_image_are_bad(
    tmp_path: Path,
) -> None:
    flat_pairs(tmp_path)
    (tmp_path / "n1_masks.tif").unlink()
    dataset = open_dataset(tmp_path)
    assert dataset.ids == ("n2", "n3")
    assert [path.name for path in dataset.unlabelled] == ["n1.png"]
    folder_pairs(tmp_path / "folders")
    (tmp_path / "folders" / "images" / "n1.tif").unlink()
    with refused(FormatError, "n1.png"):
        open_dataset(tmp_path / "folders")
    assert open_dataset(tmp_path / "folders", skip_bad=True).ids == ("n2", "n3")


def test_images_may_have_names_of_label_images(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        for name in ("a_label", "b"):
            Image.fromarray(np.ones((3, 4), np.uint8)).save(tmp_path / folder / f"{name}.png")
    assert open_dataset(tmp_path).ids == ("a_label", "b")


def test_the_pixel_size_is_the_images(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.tif", np.zeros(SIZE, np.uint8), imagej=True, resolution=(2, 4),
                     metadata={"unit": "um"})  # fmt: skip
    write_label_image(tmp_path / "x_masks.tif", cells(0, 0))
    dataset = open_dataset(tmp_path)
    assert dataset.instances("x").pixel_size_um == pytest.approx((0.25, 0.5))
    assert dataset.source("x").pixel_size_um == pytest.approx((0.25, 0.5))


# ---- nothing there -----------------------------------------------------------------------------


def test_no_data_set(tmp_path: Path) -> None:
    with refused(InputError, file="missing"):
        open_dataset(tmp_path / "missing")
    with refused(InputError, "train.csv", "train/", "x_masks", file=tmp_path):
        open_dataset(tmp_path)
    (tmp_path / "x.txt").write_text("")
    with refused(InputError, file="x.txt"):
        open_dataset(tmp_path / "x.txt")
    (tmp_path / "annotations.json").write_text(json.dumps([]))
    with pytest.raises(BigKingXXLError, match=r"annotations\.json"):
        open_dataset(tmp_path)


# ---- fingerprints ------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_data_elsewhere_has_the_same_fingerprint(tmp_path: Path, layout: str) -> None:
    make = LAYOUTS[layout][0]
    first = fingerprint(open_dataset(make(tmp_path / "a")))
    assert fingerprint(open_dataset(make(tmp_path / "b"))) == first


def test_a_fingerprint_changes_with_pixels_cells_and_types(tmp_path: Path) -> None:
    seen = {fingerprint(open_dataset(kaggle(tmp_path)))}
    Image.fromarray(IMAGES["n1"] ^ 1).save(tmp_path / "train" / "n1.png")
    seen.add(fingerprint(open_dataset(tmp_path)))
    write_annotations(tmp_path / "train.csv", {**CELLS, "n2": cells(1)})
    seen.add(fingerprint(open_dataset(tmp_path)))
    write_annotations(tmp_path / "train.csv", {**CELLS, "n2": cells(1, 1)})
    seen.add(fingerprint(open_dataset(tmp_path)))
    text = (tmp_path / "train.csv").read_text()
    (tmp_path / "train.csv").write_text(text.replace("cort", "cart"))
    seen.add(fingerprint(open_dataset(tmp_path)))
    assert len(seen) == 5


# ---- real data ---------------------------------------------------------------------------------


def test_the_real_data_set(sartorius: Path) -> None:
    dataset = open_dataset(sartorius)
    assert dataset.layout == "kaggle"
    assert dataset.type_names == ("astro", "cort", "shsy5y")
    assert set(dataset.columns) >= {"field"}
    for name in dataset.ids[:: len(dataset) // 5]:
        assert dataset.source(name).shape == dataset.instances(name).size
        assert dataset.cell_type(name) in dataset.type_names
