"""Every layout of annotated images on disk: found, read alike, or refused with a reason."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import roifile
import tifffile
from numpy.typing import NDArray
from PIL import Image

from bigkingxxl.data.dataset import fingerprint, open_dataset
from bigkingxxl.data.layouts.registry import FOLDERS
from bigkingxxl.errors import BigKingXXLError, FormatError, ImageError, InputError
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.kaggle import write_submission
from bigkingxxl.io.annotations.label_images import write_label_image
from bigkingxxl.io.annotations.registry import FORMATS
from bigkingxxl.io.images import find_images
from tests.refusals import refused

SIZE = (40, 50)
LABELS = np.zeros(SIZE, np.int32)
LABELS[3:11, 4:14] = 1
LABELS[5:8, 20:33] = 2
LABELS[20:35, 10:18] = 3
CELLS = Instances.from_label_map(LABELS)
PIXELS = np.random.default_rng(0).integers(0, 256, SIZE).astype(np.uint8)
Make = Callable[[Path], None]


def image(path: Path, pixels: np.ndarray = PIXELS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def labels(path: Path, values: np.ndarray = LABELS, dtype: type = np.uint16) -> Path:
    return image(path, values.astype(dtype))


def beside(name: str) -> Make:
    """A label image of this name, beside `x.png`."""

    def make(root: Path) -> None:
        image(root / "x.png")
        labels(root / name)

    return make


def in_folder(images: str, folder: str, name: str) -> Make:
    def make(root: Path) -> None:
        image(root / images / "x.png")
        labels(root / folder / name)

    return make


def written(name: str, file: str) -> Make:
    """A file of this name, as one of our own writers makes it."""

    def make(root: Path) -> None:
        image(root / "x.png")
        FORMATS[name].write(root / file, CELLS, root / "x.png")

    return make


def numbered(root: Path) -> None:
    image(root / "x_img.png")
    labels(root / "x_masks.png")


def one_roi_zip(root: Path) -> None:
    image(root / "x.png")
    rings = ([(4, 3), (14, 3), (14, 11), (4, 11)], [(20, 5), (33, 5), (33, 8), (20, 8)],
             [(10, 20), (18, 20), (18, 35), (10, 35)])  # fmt: skip
    rois = [roifile.ImagejRoi.frompoints(ring) for ring in rings]
    roifile.roiwrite(root / "RoiSet.zip", rois, name=["a", "b", "c"])


def qupath_old(root: Path) -> None:
    image(root / "x.png")
    FORMATS["qupath"].write(root / "x.png.geojson", CELLS, None)
    (root / "x.png.geojson").rename(root / "x.json")


def masks(root: Path) -> None:
    image(root / "x" / "images" / "x.png")
    for cell in (1, 2, 3):
        labels(root / "x" / "masks" / f"m{cell}.png", np.where(cell == LABELS, 255, 0), np.uint8)


def tracking(root: Path) -> None:
    image(root / "01" / "t000.tif")
    labels(root / "01_ST" / "SEG" / "man_seg000.tif", np.where(LABELS == 1, 1, 0))
    labels(root / "01_GT" / "SEG" / "man_seg000.tif")
    labels(root / "01_GT" / "TRA" / "man_track000.tif", np.where(LABELS == 1, 1, 0))


def nested(root: Path) -> None:
    image(root / "plate" / "A1" / "x.png")
    labels(root / "plate" / "A1" / "x_masks.tif")


def nested_folders(root: Path) -> None:
    image(root / "images" / "A1" / "x.png")
    labels(root / "labels" / "A1" / "x.tif")


def submission(root: Path) -> None:
    image(root / "x.png")
    write_submission(root / "submission.csv", {"x": CELLS})


CASES: dict[str, tuple[Make, str, str]] = {
    **{name: (beside(name), "x", "pairs") for name in (
        "x_masks.tif", "x_mask.png", "x_cp_masks.png", "x-labels.tif", "x_label.tif",
        "x_labels.png", "x_seg.png",
    )},
    "labels/": (in_folder("images", "labels", "x.tif"), "x", "pairs"),
    "masks/": (in_folder("images", "masks", "x_mask.png"), "x", "pairs"),
    "annotations/": (in_folder("images", "annotations", "x.png"), "x", "pairs"),
    "000_img + 000_masks": (numbered, "x_img", "pairs"),
    "_seg.npy": (written("cellpose", "x_seg.npy"), "x", "pairs"),
    "x.zip": (written("imagej", "x.zip"), "x", "pairs"),
    "x_rois.zip": (written("imagej", "x_rois.zip"), "x", "pairs"),
    "RoiSet.zip": (one_roi_zip, "x", "pairs"),
    "geojson": (written("qupath", "x.geojson"), "x", "pairs"),
    "geojson of an image file": (written("qupath", "x.png.geojson"), "x", "pairs"),
    "geojson called json": (qupath_old, "x", "pairs"),
    "labelme": (written("labelme", "x.json"), "x", "pairs"),
    "masks per cell": (masks, "x", "masks"),
    "tracking": (tracking, "01/t000", "ctc"),
    "nested": (nested, "plate/A1/x", "pairs"),
    "nested folders": (nested_folders, "A1/x", "pairs"),
    "submission": (submission, "x", "submission"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "image_id", "layout"), CASES.values(), ids=CASES.keys())
def test_every_layout_returns_the_same_cells(
    tmp_path: Path, make: Make, image_id: str, layout: str
) -> None:
    make(tmp_path)
    dataset = open_dataset(tmp_path)
    assert (dataset.layout, dataset.ids) == (layout, (image_id,))
    assert dataset.type_names == ("cell",)
    assert np.array_equal(dataset.instances(image_id).label_map(), LABELS)
    assert np.array_equal(dataset.source(image_id).read()[0], PIXELS)
    assert dataset.ignored(image_id) is None
    assert not dataset.unlabelled
    assert open_dataset(tmp_path, skip_bad=True).ids == (image_id,)
    assert fingerprint(dataset) == fingerprint(open_dataset(tmp_path))


def test_a_single_roi(tmp_path: Path) -> None:
    image(tmp_path / "x.png")
    roi = roifile.ImagejRoi.frompoints([(4, 3), (14, 3), (14, 11), (4, 11)])
    roi.tofile(tmp_path / "x.roi")
    assert open_dataset(tmp_path).instances("x").areas().tolist() == [80]


def test_several_files_that_agree_are_read_and_others_are_refused(tmp_path: Path) -> None:
    """Cellpose leaves `_seg.npy`, `_cp_masks` and a zip of ROIs beside an image."""
    for name in ("x", "y"):
        image(tmp_path / f"{name}.png")
        labels(tmp_path / f"{name}_cp_masks.png", 2 * LABELS)
        FORMATS["cellpose"].write(tmp_path / f"{name}_seg.npy", CELLS, None)
        FORMATS["imagej"].write(tmp_path / f"{name}_rois.zip", CELLS, None)
        (tmp_path / f"{name}_cp_outlines.txt").write_text("1,2,3,4\n")
        image(tmp_path / f"{name}_cp_outlines.png")
    dataset = open_dataset(tmp_path)
    assert dataset.ids == ("x", "y")
    assert np.array_equal(dataset.instances("x").label_map(), LABELS)
    FORMATS["cellpose"].write(tmp_path / "y_seg.npy", CELLS.take([0, 2]), None)
    dataset = open_dataset(tmp_path)
    with refused(FormatError, key="y", found=2, expected=3):
        dataset.instances("y")
    assert len(dataset.instances("x")) == 3
    kept = open_dataset(tmp_path, skip_bad=True)
    assert kept.ids == ("x",)
    assert kept.skipped[0].startswith("y ")
    assert "y_seg.npy" in kept.skipped[0]


def test_two_images_of_one_name_are_not_chosen_between(tmp_path: Path) -> None:
    image(tmp_path / "x.png")
    image(tmp_path / "x.tif")
    image(tmp_path / "y.png")
    labels(tmp_path / "x_masks.tif")
    labels(tmp_path / "y_masks.tif")
    with refused(FormatError, "x.png", "x.tif"):
        open_dataset(tmp_path)
    assert open_dataset(tmp_path, skip_bad=True).ids == ("y",)


def test_an_ambiguous_roi_set_is_reported(tmp_path: Path) -> None:
    one_roi_zip(tmp_path)
    image(tmp_path / "y.png")
    labels(tmp_path / "y_masks.tif")
    dataset = open_dataset(tmp_path)
    assert dataset.ids == ("y",)
    assert any("RoiSet.zip is not read" in note for note in dataset.notes)


def test_types_of_drawn_cells_are_those_of_all_files(tmp_path: Path) -> None:
    typed = Instances.from_label_map(
        LABELS, cell_type=np.array([1, 0, 1]), type_names=("cort", "astro")
    )
    for name, cells in (("x", typed), ("y", typed.take([1]))):
        image(tmp_path / f"{name}.png")
        FORMATS["qupath"].write(tmp_path / f"{name}.geojson", cells, None)
    image(tmp_path / "z.png")
    FORMATS["imagej"].write(tmp_path / "z.zip", typed, None)
    dataset = open_dataset(tmp_path)
    assert dataset.type_names == ("astro", "cort")
    names = {name: [dataset.type_names[kind] for kind in dataset.instances(name).cell_type]
             for name in dataset.ids}  # fmt: skip
    assert names == {"x": ["astro", "cort", "astro"], "y": ["cort"],
                     "z": ["astro", "cort", "astro"]}  # fmt: skip


# ---- binary masks --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "dtype", "cells"),
    [
        (np.where(LABELS, 255, 0), np.uint8, 3),
        (np.where(LABELS, 1, 0), np.uint8, 3),
        (np.where(LABELS, 65_535, 0), np.uint16, 3),
        (np.where(LABELS, 1, 0), bool, 3),
        (np.where(LABELS == 1, 255, 0), np.uint8, 1),
        (np.where(LABELS, 1, 0), np.uint16, 3),
        (np.where(LABELS, 128, 0), np.uint8, 3),
        (np.where(LABELS == 1, 7, 0), np.uint16, 1),
        (np.where(LABELS == 2, 255, LABELS), np.uint8, 3),  # 255 among other labels is a label
    ],
)
def test_a_binary_mask_is_never_one_cell(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    values: np.ndarray,
    dtype: type,
    cells: int,
) -> None:
    image(tmp_path / "x.png")
    image(tmp_path / "x_masks.png", values.astype(dtype))
    found = open_dataset(tmp_path).instances("x")
    assert len(found) == cells
    assert bool(caplog.messages) == ("binary mask" in caplog.text)
    is_label = len(np.unique(values)) > 2 or (cells == 1 and values.max() < 255)
    assert ("binary mask" in caplog.text) != is_label
    if cells == 3:
        assert np.array_equal(found.label_map() > 0, LABELS > 0)
        assert sorted(found.areas()) == sorted(CELLS.areas())


@pytest.mark.parametrize("ending", [".tif", ".png"])
def test_a_single_cell_in_parts_is_one_cell_where_we_wrote_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, ending: str
) -> None:
    image(tmp_path / "x.png")
    single = Instances.from_label_map((LABELS > 0).astype(np.int32))
    write_label_image(tmp_path / f"x_masks{ending}", single)
    found = open_dataset(tmp_path).instances("x")
    assert found.areas().tolist() == single.areas().tolist()
    assert not caplog.messages


@pytest.mark.parametrize("kind", ["1", "255"])
def test_white_in_a_seg_file_is_no_label(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """Cellpose numbers cells from 1, so that 1 is a cell there."""
    image(tmp_path / "x.png")
    masks = np.where(LABELS, int(kind), 0).astype(np.uint8)
    np.save(tmp_path / "x_seg.npy", np.array({"masks": masks}, object), allow_pickle=True)
    assert len(open_dataset(tmp_path).instances("x")) == (3 if kind == "255" else 1)
    assert ("binary mask" in caplog.text) == (kind == "255")


@pytest.mark.parametrize("shape", ["planes", "channels"])
def test_a_stack_of_labels_is_not_its_first_plane(tmp_path: Path, shape: str) -> None:
    image(tmp_path / "x.png")
    stack = np.stack((LABELS, LABELS[::-1])).astype(np.uint16)
    options: dict[str, Any] = {"planarconfig": "separate"} if shape == "channels" else {}
    tifffile.imwrite(tmp_path / "x_masks.tif", stack, photometric="minisblack", **options)
    with pytest.raises(FormatError if shape == "channels" else ImageError, match="x_masks"):
        open_dataset(tmp_path).instances("x")


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "u8"])
def test_labels_of_any_number_type(tmp_path: Path, dtype: str) -> None:
    image(tmp_path / "x.png")
    tifffile.imwrite(tmp_path / "x_masks.tif", LABELS.astype(dtype))
    assert open_dataset(tmp_path).instances("x").areas().tolist() == CELLS.areas().tolist()


OME_NAMES = {
    "labels": ("x.ome_masks.tif", "x.ome_cp_masks.png", "x_masks.ome.tif", "x_Masks.TIF"),
    "cellpose": ("x.ome_seg.npy", "x_seg.npy"),
    "imagej": ("x.ome.zip", "x.ome_rois.zip", "x.ome.tif.zip"),
    "qupath": ("x.ome.geojson", "x.ome.tif.geojson"),
    "labelme": ("x.ome.json",),
}


@pytest.mark.parametrize(
    ("name", "file"), [(n, f) for n, files in OME_NAMES.items() for f in files]
)
def test_names_of_annotations_beside_an_ome_tiff(tmp_path: Path, name: str, file: str) -> None:
    tifffile.imwrite(tmp_path / "x.ome.tif", PIXELS)
    if file.endswith("TIF"):
        tifffile.imwrite(tmp_path / file, LABELS.astype(np.uint16))
    else:
        FORMATS[name].write(tmp_path / file, CELLS, tmp_path / "x.ome.tif")
    dataset = open_dataset(tmp_path)
    assert dataset.ids == ("x",)
    assert not dataset.unlabelled
    assert len(dataset.instances("x")) == len(CELLS)
    assert [each.name for each in find_images([tmp_path]).files] == ["x"]


@pytest.mark.parametrize("file", ["x.bmp", "x.npy", "x.ome.tif"])
@pytest.mark.parametrize("folders", [("Images", "Masks"), ("raw", "ground_truth")])
def test_folders_and_kinds_of_label_images(
    tmp_path: Path, file: str, folders: tuple[str, str]
) -> None:
    image(tmp_path / folders[0] / "x.png")
    place = tmp_path / folders[1] / file
    place.parent.mkdir()
    if file.endswith(".npy"):
        np.save(place, LABELS)
    elif file.endswith(".tif"):
        tifffile.imwrite(place, LABELS)
    else:
        image(place, LABELS.astype(np.uint8))
    assert len(open_dataset(tmp_path).instances("x")) == 3
    assert [each.name for each in find_images([tmp_path]).files] == [f"{folders[0]}/x"]


def test_many_binary_masks_are_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in "abc":
        image(tmp_path / f"{name}.png")
        image(tmp_path / f"{name}_mask.png", np.where(LABELS, 255, 0).astype(np.uint8))
    dataset = open_dataset(tmp_path)
    assert [len(dataset.instances(name)) for name in dataset.ids] == [3, 3, 3]
    assert len(caplog.messages) == 1


def test_a_gray_picture_saved_in_colour(tmp_path: Path) -> None:
    image(tmp_path / "x.png")
    gray = np.where(LABELS, 255, 0).astype(np.uint8)
    image(tmp_path / "x_masks.png", np.stack((gray, gray, gray, np.full_like(gray, 255)), axis=-1))
    assert len(open_dataset(tmp_path).instances("x")) == 3


# ---- COCO as others write it ---------------------------------------------------------------------


def square(row: int, col: int, side: int) -> list[float]:
    return [col, row, col + side, row, col + side, row + side, col, row + side]


def coco_content(file_name: str = "x.png", **changes: Any) -> dict[str, Any]:
    return {
        "images": [{"id": 0, "file_name": file_name, "height": SIZE[0], "width": SIZE[1]}],
        "annotations": [
            {"id": 0, "image_id": 0, "category_id": 0, "segmentation": [square(3, 4, 8)]},
            {"id": 1, "image_id": 0, "category_id": 0, "segmentation": [square(20, 10, 5)]},
        ],
        "categories": [{"id": 0, "name": "cell"}],
        **changes,
    }


@pytest.mark.parametrize(
    ("place", "name", "image_place"),
    [
        ("_annotations.coco.json", "x_png.rf.0123.jpg.png", "x_png.rf.0123.jpg.png"),  # Roboflow
        ("result.json", "images\\1234abcd-x.png", "images/1234abcd-x.png"),  # Label Studio
        ("result.json", "/data/upload/7/1234abcd-x.png", "images/x.png"),
        ("annotations/instances_default.json", "x.png", "images/x.png"),  # CVAT
        ("annotations/instances_train.json", "x.png", "images/train/x.png"),
        ("annotations.json", "JPEGImages/x.png", "JPEGImages/x.png"),  # labelme2coco
    ],
)
def test_coco_files_of_other_tools_are_found(
    tmp_path: Path, place: str, name: str, image_place: str
) -> None:
    image(tmp_path / image_place)
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text(json.dumps(coco_content(name)))
    dataset = open_dataset(tmp_path)
    assert dataset.layout == "coco"
    (image_id,) = dataset.ids
    assert dataset.instances(image_id).areas().tolist() == [64, 25]


def test_an_ignored_coco_file_is_reported(tmp_path: Path) -> None:
    image(tmp_path / "x.png")
    labels(tmp_path / "x_masks.tif")
    (tmp_path / "other.json").write_text(json.dumps(coco_content()))
    dataset = open_dataset(tmp_path)
    assert len(dataset.instances("x")) == 3
    assert any("other.json" in note for note in dataset.notes)


def test_two_images_of_a_coco_file_are_never_one_file(tmp_path: Path) -> None:
    image(tmp_path / "images" / "x.png")
    images = [{"id": n, "file_name": f"{n}/x.png", "width": 50, "height": 40} for n in (0, 1)]
    (tmp_path / "annotations.json").write_text(json.dumps(coco_content(images=images)))
    with refused(FormatError, "0/x.png", "1/x.png"):
        open_dataset(tmp_path)


def test_doubled_and_unused_categories_and_crowds_as_text(tmp_path: Path) -> None:
    image(tmp_path / "x.png")
    content = coco_content(
        categories=[
            {"id": 0, "name": "cells", "supercategory": "none"},
            {"id": 1, "name": "astro", "supercategory": "cells"},
            {"id": 2, "name": "cort", "supercategory": "cells"},
            {"id": 3, "name": "astro", "supercategory": "cells"},
        ]
    )
    content["annotations"] = [
        {"id": n, "image_id": 0, "category_id": kind, "segmentation": parts, "iscrowd": crowd}
        for n, (kind, parts, crowd) in enumerate([
            (1, [square(3, 4, 8)], "0"), (3, [square(20, 10, 5), [1, 2, 3, 4]], "false"),
            (2, [square(30, 30, 6)], 0), (2, [[5.0, 5.0, 6.0, 6.0]], 0), (1, [], 0),
            (1, {"size": list(SIZE), "counts": [0, 80, 1920]}, "1"),
        ])
    ]  # fmt: skip
    (tmp_path / "result.json").write_text(json.dumps(content))
    dataset = open_dataset(tmp_path)
    assert dataset.type_names == ("astro", "cort")
    found = dataset.instances("x")
    assert found.cell_type.tolist() == [0, 0, 1]
    assert found.areas().tolist() == [64, 25, 36]
    ignored = dataset.ignored("x")
    assert ignored is not None
    assert ignored.sum() == 80
    assert ignored[:, :2].all()
    assert len(dataset.notes) == 2


def test_a_file_with_only_crowds_contains_cells(tmp_path: Path) -> None:
    image(tmp_path / "x.png")
    content = coco_content()
    for annotation in content["annotations"]:
        annotation["iscrowd"] = 1
    (tmp_path / "instances_default.json").write_text(json.dumps(content))
    dataset = open_dataset(tmp_path)
    assert len(dataset.instances("x")) == 2
    assert dataset.ignored("x") is None
    assert "marked as crowds" in dataset.notes[0]


def test_bad_annotations_of_a_coco_file_cost_their_image(tmp_path: Path) -> None:
    for name in ("x", "y"):
        image(tmp_path / f"{name}.png")
    content = coco_content()
    content["images"].append({**content["images"][0], "id": 1, "file_name": "y.png"})
    content["annotations"].append({"id": 2, "image_id": 1, "category_id": 0, "bbox": [1, 2, 3, 4]})
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    with refused(FormatError, file="annotations.json"):
        open_dataset(tmp_path)
    dataset = open_dataset(tmp_path, skip_bad=True)
    assert dataset.ids == ("x",)
    assert "annotation 2" in dataset.skipped[0]


# ---- what is bad ---------------------------------------------------------------------------------


def test_bad_files_are_skipped_on_request_and_listed(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d", "e"):
        image(tmp_path / f"{name}.png")
    labels(tmp_path / "a_masks.tif")
    labels(tmp_path / "b_masks.tif", LABELS[:-1])
    (tmp_path / "c_seg.npy").write_bytes(b"\x93NUMPY broken")
    (tmp_path / "d.geojson").write_text('{"type": "FeatureCollection", "features": [1]}')
    labels(tmp_path / "e_masks.tif")
    (tmp_path / "e.png").write_bytes(b"no image")
    dataset = open_dataset(tmp_path, skip_bad=True)
    assert dataset.ids == ("a",)
    assert len(dataset.skipped) == 4
    for name in "bcde":
        assert sum(f"/{name}_" in text or f"/{name}." in text for text in dataset.skipped) == 1


@pytest.mark.parametrize("layout", FOLDERS)
def test_an_empty_folder_has_no_layout(tmp_path: Path, layout: str) -> None:
    assert not FOLDERS[layout].is_it(tmp_path)


def test_tracking_masks_of_stacks_are_refused(tmp_path: Path) -> None:
    tracking(tmp_path)
    shutil.rmtree(tmp_path / "01_ST")
    seg = tmp_path / "01_GT" / "SEG"
    (seg / "man_seg000.tif").rename(seg / "man_seg_000_003.tif")
    with refused(FormatError, "man_seg_T_Z"):
        open_dataset(tmp_path)


def test_the_folder_of_one_sequence(tmp_path: Path) -> None:
    tracking(tmp_path)
    dataset = open_dataset(tmp_path / "01")
    assert dataset.ids == ("01/t000",)
    assert "gold truth" in dataset.notes[0]


def test_masks_of_cells_may_overlap_and_have_parts(tmp_path: Path) -> None:
    masks(tmp_path)
    other = np.zeros(SIZE, np.uint8)
    other[3:5, 4:9] = other[38, 40:] = 255
    image(tmp_path / "x" / "masks" / "z.png", other)
    cells = open_dataset(tmp_path).instances("x")
    assert cells.areas().tolist() == [80, 39, 120, 20]
    image(tmp_path / "x" / "masks" / "zz.png", other[:-1])
    with pytest.raises(FormatError, match="50 x 39"):
        open_dataset(tmp_path).instances("x")


# ---- partial annotation --------------------------------------------------------------------------

LEFT = np.zeros(SIZE, bool)
LEFT[:, :15] = True


def is_left(ignored: NDArray[np.bool_] | None) -> bool:
    return ignored is not None and np.array_equal(ignored, LEFT)


def feature(ring: list[list[float]], name: str) -> dict[str, Any]:
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"objectType": "annotation", "classification": {"name": name}},
    }


RIGHT_RING = [[15.0, 0.0], [50.0, 0.0], [50.0, 40.0], [15.0, 40.0], [15.0, 0.0]]
LEFT_RING = [[0.0, 0.0], [15.0, 0.0], [15.0, 40.0], [0.0, 40.0], [0.0, 0.0]]


def ignore_mask(root: Path) -> None:
    image(root / "x_ignore.png", np.where(LEFT, 255, 0).astype(np.uint8))


def reviewed_mask(root: Path) -> None:
    image(root / "x_reviewed.tif", np.where(LEFT, 0, 255).astype(np.uint8))


def reviewed_geojson(root: Path) -> None:
    content = {"type": "FeatureCollection", "features": [feature(RIGHT_RING, "Region*")]}
    (root / "x_reviewed.geojson").write_text(json.dumps(content))


def reviewed_roi(root: Path) -> None:
    roifile.ImagejRoi.frompoints(RIGHT_RING[:-1]).tofile(root / "x_reviewed.roi")


@pytest.mark.parametrize("mark", [ignore_mask, reviewed_mask, reviewed_geojson, reviewed_roi])
def test_a_file_beside_the_image_marks_unannotated_pixels(tmp_path: Path, mark: Make) -> None:
    image(tmp_path / "x.png")
    labels(tmp_path / "x_masks.tif")
    before = fingerprint(open_dataset(tmp_path))
    mark(tmp_path)
    dataset = open_dataset(tmp_path)
    assert dataset.ids == ("x",)
    assert not dataset.unlabelled
    assert is_left(dataset.ignored("x"))
    assert len(dataset.instances("x")) == 3
    assert fingerprint(dataset) != before


def test_folders_of_marks_are_read(tmp_path: Path) -> None:
    for name in ("x", "y", "z"):
        image(tmp_path / "images" / f"{name}.png")
        labels(tmp_path / "labels" / f"{name}.tif")
    image(tmp_path / "ignore" / "x.png", np.where(LEFT, 255, 0).astype(np.uint8))
    image(tmp_path / "reviewed" / "y.png", np.where(LEFT, 0, 255).astype(np.uint8))
    dataset = open_dataset(tmp_path)
    assert is_left(dataset.ignored("x"))
    assert is_left(dataset.ignored("y"))
    assert dataset.ignored("z") is None


def test_qupath_classes_mark_unannotated_pixels(tmp_path: Path) -> None:
    cell = feature([[20.0, 5.0], [33.0, 5.0], [33.0, 8.0], [20.0, 8.0], [20.0, 5.0]], "cort")
    for name, kinds in (("x", [("Ignore*", LEFT_RING)]), ("y", [("Region*", RIGHT_RING)])):
        image(tmp_path / f"{name}.png")
        features = [cell, *(feature(ring, kind) for kind, ring in kinds)]
        content = {"type": "FeatureCollection", "features": features}
        (tmp_path / f"{name}.geojson").write_text(json.dumps(content))
    dataset = open_dataset(tmp_path)
    assert dataset.type_names == ("cort",)
    for name in ("x", "y"):
        assert is_left(dataset.ignored(name))
        assert dataset.instances(name).areas().tolist() == [39]


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    image(tmp_path / "x.png")
    labels(tmp_path / "x_masks.tif")
    image(tmp_path / "x_ignore.png", np.zeros((40, 49), np.uint8))
    with refused(FormatError, key="size", found=(40, 49), expected=(40, 50)):
        open_dataset(tmp_path).ignored("x")
    with refused(InputError, found="nobody"):
        open_dataset(tmp_path).ignored("nobody")


def test_a_mark_without_an_image_is_reported(tmp_path: Path) -> None:
    image(tmp_path / "images" / "x.png")
    labels(tmp_path / "labels" / "x.tif")
    image(tmp_path / "ignore" / "y.png", np.zeros(SIZE, np.uint8))
    dataset = open_dataset(tmp_path)
    assert dataset.ignored("x") is None
    assert any("y.png" in note for note in dataset.notes)


def test_a_mask_of_values_that_are_no_numbers_is_refused(tmp_path: Path) -> None:
    image(tmp_path / "x.png")
    labels(tmp_path / "x_masks.tif")
    values = np.zeros(SIZE, np.float32)
    values[0, 0] = np.nan
    tifffile.imwrite(tmp_path / "x_ignore.tif", values)
    with refused(FormatError, file="x_ignore.tif"):
        open_dataset(tmp_path).ignored("x")


def test_types_and_scores_by_cell(tmp_path: Path) -> None:
    image(tmp_path / "x.png")
    labels(tmp_path / "x_masks.tif", np.where(LABELS == 2, 9, LABELS))
    path = tmp_path / "cell_types.csv"
    path.write_text("id,cell,cell_type,score\nx,,cort,\nx,9,astro,0.25\n")
    dataset = open_dataset(tmp_path)
    cells = dataset.instances("x")
    assert dataset.type_names == ("astro", "cort")
    assert cells.cell_type.tolist() == [1, 1, 0]
    assert cells.score is not None
    assert cells.score.tolist() == [1, 1, 0.25]
    for wrong in ("x,-1,astro,", "x,1,astro,2", "x,1,astro,nan"):
        path.write_text(f"id,cell,cell_type,score\n{wrong}\n")
        with refused(BigKingXXLError, line=2):
            open_dataset(tmp_path)


def test_a_tiff_with_its_ome_ending(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.ome.tif", PIXELS, metadata={"axes": "YX"})
    FORMATS["qupath"].write(tmp_path / "x.ome.tif.geojson", CELLS, None)
    assert len(open_dataset(tmp_path).instances(open_dataset(tmp_path).ids[0])) == 3


def test_labels_inside_an_ome_zarr(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr", reason="zarr is not installed (extra zarr)")
    pytest.importorskip("yaozarrs", reason="yaozarrs is not installed (extra zarr)")

    def write(place: Path, values: np.ndarray) -> None:
        group = zarr.open_group(place, mode="w", zarr_format=3)
        group.create_array("0", data=values)
        axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
        scale = {"type": "scale", "scale": [0.5, 0.25]}
        datasets = [{"path": "0", "coordinateTransformations": [scale]}]
        group.attrs["ome"] = {
            "version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}],
        }  # fmt: skip

    write(tmp_path / "x.zarr", PIXELS)
    write(tmp_path / "x.zarr" / "labels" / "cells", LABELS.astype(np.uint16))
    write(tmp_path / "y.zarr", PIXELS)
    for place in (tmp_path, tmp_path / "x.zarr"):
        dataset = open_dataset(place)
        assert (dataset.layout, dataset.ids) == ("zarr", ("x",))
        cells = dataset.instances("x")
        assert np.array_equal(cells.label_map(), LABELS)
        assert cells.pixel_size_um == pytest.approx((0.5, 0.25))
        assert np.array_equal(dataset.source("x").read()[0], PIXELS)
    assert [path.name for path in open_dataset(tmp_path).unlabelled] == ["y.zarr"]
