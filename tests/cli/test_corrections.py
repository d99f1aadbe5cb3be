"""Cells are predicted, one is corrected with another library, and that cell is read back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import roifile
import shapely
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as api
from typer.testing import CliRunner, Result

from bigkingxxl.cli.main import app
from bigkingxxl.data.dataset import open_dataset
from bigkingxxl.data.synthesize import Recipe, synthesize
from bigkingxxl.instances import Instances

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SIZE = (128, 160)
NAMES = ("sim0000", "sim0001")
# Where the corrected cell is drawn: rows 4 .. 27, columns 6 .. 41.
BOX = (4, 6, 28, 42)


def run(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [*map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def predicted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `images/`, and the cells predicted in them, `cells/`."""
    root = tmp_path_factory.mktemp("predicted")
    synthesize(root / "set", Recipe(2, 0, ("shsy5y",), SIZE), workers=1)
    (root / "images").mkdir()
    for name, path in zip(NAMES, sorted((root / "set" / "train").iterdir()), strict=True):
        shutil.copy(path, root / "images" / f"{name}.png")
    run("predict", root / "images", "--out", root / "cells", "--model", "open", "--quiet",
        "--format", "labels,cellpose,imagej,qupath")  # fmt: skip
    return root


@pytest.fixture
def work(predicted: Path, tmp_path: Path) -> Path:
    """A working copy whose images are where the run expects them."""
    shutil.copytree(predicted / "cells", tmp_path / "cells")
    return tmp_path


def found_in(root: Path, name: str) -> Instances:
    return open_dataset(root / "cells").instances(name)


def square() -> NDArray[np.bool_]:
    mask = np.zeros(SIZE, bool)
    mask[BOX[0] : BOX[2], BOX[1] : BOX[3]] = True
    return mask


def corrected(cells: Instances) -> NDArray[np.int32]:
    """int32[H, W]: the cells with the first one redrawn over all others."""
    labels = cells.label_map()
    labels[labels == 1] = 0
    labels[square()] = 1
    return labels


# ---- each program's own way to change a cell -----------------------------------------------------


def by_numpy(path: Path, cells: Instances) -> None:
    """Edit as Cellpose's program does: read a pickled dictionary, change masks, write it again."""
    content: dict[str, Any] = np.load(path, allow_pickle=True).item()
    assert np.array_equal(content["masks"], cells.label_map())
    content["masks"] = corrected(cells).astype(np.uint16)
    content["ismanual"] = np.ones(len(cells), bool)
    np.save(path, content)  # type: ignore[arg-type]


def by_roifile(path: Path, cells: Instances) -> None:
    rois = roifile.roiread(path)
    assert isinstance(rois, list)
    assert len(rois) == len(cells)
    top, left, bottom, right = BOX
    new = roifile.ImagejRoi.frompoints([(left, top), (right, top), (right, bottom), (left, bottom)])
    keep = [roi for index, roi in enumerate(rois) if index and not _touches(cells, index)]
    path.unlink()
    roifile.roiwrite(path, [new, *keep], name=[f"{n}" for n in range(len(keep) + 1)])


def by_shapely(path: Path, cells: Instances) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    shapes = [shapely.geometry.shape(each["geometry"]) for each in content["features"]]
    assert [round(shape.area) for shape in shapes] == cells.areas().tolist()
    top, left, bottom, right = BOX
    box = shapely.geometry.box(left, top, right, bottom)
    content["features"][0]["geometry"] = shapely.geometry.mapping(box)
    for index in range(len(shapes) - 1, 0, -1):
        if shapes[index].intersects(box):
            rest = shapes[index].difference(box)
            content["features"][index]["geometry"] = shapely.geometry.mapping(rest)
            if rest.is_empty:
                del content["features"][index]
    path.write_text(json.dumps(content), encoding="utf-8")


def by_pillow(path: Path, cells: Instances) -> None:
    with Image.open(path) as image:
        assert np.array_equal(np.array(image), cells.label_map())
    Image.fromarray(corrected(cells).astype(np.uint16)).save(path)


def by_pycocotools(path: Path, cells: Instances) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    images = {each["id"]: Path(each["file_name"]).stem for each in content["images"]}
    own = [each for each in content["annotations"] if images[each["image_id"]] == NAMES[0]]
    assert [int(api.area(each["segmentation"])) for each in own] == cells.areas().tolist()
    code = api.encode(np.asfortranarray(square().astype(np.uint8)))
    own[0]["segmentation"] = {"size": list(SIZE), "counts": code["counts"].decode()}
    for each in own[1:]:
        mask = api.decode(each["segmentation"]).astype(bool) & ~square()
        code = api.encode(np.asfortranarray(mask.astype(np.uint8)))
        each["segmentation"] = {"size": list(SIZE), "counts": code["counts"].decode()}
    path.write_text(json.dumps(content), encoding="utf-8")


def _touches(cells: Instances, index: int) -> bool:
    return bool((cells.mask(index) & square()).any())


Edit = Callable[[Path, Instances], None]
CONVERTED: dict[str, tuple[str, Edit]] = {
    "cellpose": (f"{NAMES[0]}_seg.npy", by_numpy),
    "imagej": (f"{NAMES[0]}.zip", by_roifile),
    "qupath": (f"{NAMES[0]}.geojson", by_shapely),
    "labels": (f"labels/{NAMES[0]}.tif", by_pillow),
    "coco": ("annotations.json", by_pycocotools),
}
IN_PLACE: dict[str, tuple[str, Edit]] = {
    "cellpose": (f"cellpose/{NAMES[0]}_seg.npy", by_numpy),
    "imagej": (f"imagej/{NAMES[0]}.zip", by_roifile),
    "qupath": (f"qupath/{NAMES[0]}.geojson", by_shapely),
    "labels": (f"labels/{NAMES[0]}.tif", by_pillow),
}


def holds(cells: Instances, mask: NDArray[np.bool_]) -> bool:
    """Whether one of the cells is exactly this mask."""
    return any(np.array_equal(cells.mask(index), mask) for index in range(len(cells)))


@pytest.mark.parametrize("name", CONVERTED)
def test_a_corrected_cell_file_is_used_for_training_and_scores(work: Path, name: str) -> None:
    file, edit = CONVERTED[name]
    before = found_in(work, NAMES[0])
    run("data", "convert", work / "cells", work / "corrected", "--format", name, "--quiet")
    same = evaluated(work / "cells", work / "corrected")
    assert same["competition_map"] == 1
    edit(work / "corrected" / file, before)
    data = open_dataset(work / "corrected")
    assert data.ids == NAMES
    assert holds(data.instances(NAMES[0]), square())
    assert not holds(before, square())
    untouched = found_in(work, NAMES[1])
    assert np.array_equal(data.instances(NAMES[1]).label_map(), untouched.label_map())
    # The predicted cells miss the corrected one.
    scores = evaluated(work / "cells", work / "corrected")
    assert scores["competition_map"] < 1
    assert evaluated(work / "corrected", work / "corrected")["competition_map"] == 1


@pytest.mark.parametrize("name", IN_PLACE)
def test_a_cell_corrected_in_the_runs_own_folder(work: Path, name: str) -> None:
    file, edit = IN_PLACE[name]
    before = found_in(work, NAMES[0])
    types = [before.type_names[kind] for kind in before.cell_type]
    edit(work / "cells" / file, before)
    data = open_dataset(work / "cells")
    after = data.instances(NAMES[0])
    assert holds(after, square())
    assert "1 of 2 images" in data.notes[0]
    # a format without types: those of the predicted cells are used
    if name in ("labels", "cellpose"):
        kept = {after.type_names[kind] for kind in after.cell_type}
        assert kept <= {*types, ""}
    scores = evaluated(work / "cells", work / "cells")
    assert scores["competition_map"] == 1
    run("data", "convert", work / "cells", work / "again", "--format", "kaggle", "--quiet")
    assert holds(open_dataset(work / "again").instances(NAMES[0]), square())


def test_two_corrections_of_one_image_that_differ_are_not_chosen_between(work: Path) -> None:
    before = found_in(work, NAMES[0])
    by_pillow(work / "cells" / f"labels/{NAMES[0]}.tif", before)
    by_numpy(work / "cells" / f"cellpose/{NAMES[0]}_seg.npy", before)
    assert holds(open_dataset(work / "cells").instances(NAMES[0]), square())
    by_pillow(work / "cells" / f"labels/{NAMES[1]}.tif", found_in(work, NAMES[1]))
    path = work / "cells" / f"cellpose/{NAMES[1]}_seg.npy"
    content = np.load(path, allow_pickle=True).item()
    content["masks"][:] = 0
    np.save(path, content)
    result = run("data", "info", work / "cells", "--quiet", "--json", code=1)
    (reason,) = json.loads(result.stdout)["skipped"]
    assert "two different annotations" in reason
    run("data", "convert", work / "cells", work / "more", "--quiet", code=2)
    result = run("data", "info", work / "cells", "--quiet", "--skip-bad")
    assert reason.partition(":")[0].partition(" ")[0] in result.stderr


def evaluated(predictions: Path, truth: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        run("evaluate", predictions, truth, "--json").stdout
    )  # fmt: skip
    return found


def test_unannotated_pixels_are_neither_hits_nor_misses(work: Path) -> None:
    run("data", "convert", work / "cells", work / "truth", "--quiet")
    path = work / "truth" / "labels" / f"{NAMES[0]}.tif"
    with Image.open(path) as image:
        labels = np.array(image)
    left = np.zeros(SIZE, bool)
    left[:, :80] = True
    # The annotator reviewed only the right half.
    mostly = np.bincount(labels[left], minlength=labels.max() + 1) * 2 > np.bincount(labels.ravel())
    Image.fromarray(np.where(mostly[labels], 0, labels).astype(np.uint16)).save(path)
    assert mostly[1:].any()
    assert evaluated(work / "cells", work / "truth")["competition_map"] < 1
    (work / "truth" / "ignore").mkdir()
    Image.fromarray(left.astype(np.uint8) * 255).save(work / "truth" / "ignore" / f"{NAMES[0]}.png")
    scores = evaluated(work / "cells", work / "truth")
    assert scores["competition_map"] == 1
    assert any("annotated in part" in note for note in scores["notes"])
    text = run("data", "info", work / "truth", "--quiet").stdout
    assert "50 % of its pixels are not annotated" in text


def test_a_run_over_channels_and_planes_reopens_the_same_planes(tmp_path: Path) -> None:
    import tifffile

    rng = np.random.default_rng(0)
    stack = rng.integers(0, 60_000, (2, 3, *SIZE)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "x.tif", stack, imagej=True, metadata={"axes": "TCYX"})
    run("predict", tmp_path / "x.tif", "--out", tmp_path / "cells", "--model", "open",
        "--quiet", "--channel", 1, "--format", "labels")  # fmt: skip
    data = open_dataset(tmp_path / "cells")
    assert len(data.ids) == 2
    for index, image_id in enumerate(data.ids):
        assert np.array_equal(data.source(image_id).read()[0], stack[index, 1])
    run("data", "convert", tmp_path / "cells", tmp_path / "out", "--quiet")
    again = open_dataset(tmp_path / "out")
    for index, image_id in enumerate(again.ids):
        assert np.array_equal(again.source(image_id).read()[0], stack[index, 1])
        assert again.instances(image_id).size == SIZE


def test_images_in_folders_are_known_again_in_formats_without_folders(tmp_path: Path) -> None:
    """A plain image keeps its file; each plane of a time-lapse beside it becomes a file."""
    import tifffile

    synthesize(tmp_path / "set", Recipe(2, 0, ("cort",), SIZE), workers=1)
    first, second = sorted((tmp_path / "set" / "train").iterdir())
    images = tmp_path / "images"
    for folder in ("A1", "A2"):
        (images / folder).mkdir(parents=True)
    with Image.open(first) as gray:
        gray.convert("RGB").save(images / "A1" / "x.png")
        tifffile.imwrite(images / "A2" / "x.tif", np.stack([np.array(gray), 255 - np.array(gray)]),
                         photometric="minisblack")  # fmt: skip
    shutil.copy(second, images / "A2" / "y_1.png")
    run("predict", images, "--out", tmp_path / "cells", "--model", "sartorius", "--quiet")
    for name in ("coco", "masks", "cellpose"):
        run("data", "convert", tmp_path / "cells", tmp_path / name, "--format", name)
        scores = json.loads(run("evaluate", tmp_path / "cells", tmp_path / name, "--json").stdout)
        assert (scores["scored"], scores["missing"]) == (4, [])
        assert scores["competition_map"] == 1
    assert (tmp_path / "coco" / "images" / "A1_x.png").read_bytes() == (
        images / "A1" / "x.png"
    ).read_bytes()
    assert (tmp_path / "cellpose" / "A2" / "x_t001.tif").is_file()


@pytest.mark.parametrize("layout", ["labels", "coco", "run"])
def test_cells_of_other_images_are_no_score_of_zero(work: Path, layout: str) -> None:
    synthesize(work / "set", Recipe(1, 0, ("cort",), SIZE), workers=1)
    predictions = work / "cells"
    if layout != "run":
        predictions = work / layout
        run("data", "convert", work / "cells", predictions, "--format", layout)
    result = run("evaluate", predictions, work / "set", code=2)
    assert NAMES[0] in result.output
