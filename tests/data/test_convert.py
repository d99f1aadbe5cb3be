"""Data sets written in every format that is read, and read back unchanged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bigkingxxl.data.base import Dataset
from bigkingxxl.data.convert import LAYOUTS, convert
from bigkingxxl.data.dataset import open_dataset
from bigkingxxl.errors import InputError, OutputError
from bigkingxxl.instances import Instances
from tests.refusals import refused

SIZE = (40, 50)
TYPES = ("astro", "cort")
TYPED = ("imagej", "qupath", "labelme", "coco", "kaggle")
BY_CELL = ("labels",)


def cells() -> Instances:
    """Three cells, one with a hole and one of two parts; none overlap."""
    labels = np.zeros(SIZE, np.int32)
    labels[3:11, 4:14] = 1
    labels[5:8, 7:10] = 0
    labels[20:35, 10:18] = 2
    labels[20:24, 30:33] = labels[30:34, 30:33] = 3
    return Instances.from_label_map(
        labels, cell_type=np.array([1, 0, 1]), type_names=TYPES,
        score=np.array([0.5, 0.75, 1.0], np.float32),
    )  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    ids = ("A1/x", "A2/x")
    paths = {}
    for number, image_id in enumerate(ids):
        path = tmp_path / "source" / f"{image_id}.png"
        path.parent.mkdir(parents=True)
        pixels = np.random.default_rng(number).integers(0, 256, SIZE).astype(np.uint8)
        Image.fromarray(pixels).save(path)
        paths[image_id] = path
    found = {"A1/x": cells(), "A2/x": cells().take([0, 1])}
    ignored = np.zeros(SIZE, bool)
    ignored[:, 40:] = True
    masks = {"A1/x": ignored, "A2/x": None}
    return Dataset("pairs", tmp_path / "source", ids, TYPES, paths, found.__getitem__,
                   masks.__getitem__)  # fmt: skip


def pixels(instances: Instances) -> set[bytes]:
    return {np.packbits(instances.mask(index)).tobytes() for index in range(len(instances))}


@pytest.mark.parametrize("name", [name for name in LAYOUTS if name != "labelme"])
def test_read_again_it_is_the_same(tmp_path: Path, data: Dataset, name: str) -> None:
    done = convert(data, tmp_path / "out", name)
    assert (done.images, done.cells, done.hidden, done.cut, done.failed) == (2, 5, 0, 0, [])
    again = open_dataset(tmp_path / "out")
    flat = bool(LAYOUTS[name].write_all) or name == "masks"
    names = {image_id: image_id.replace("/", "_") if flat else image_id for image_id in data.ids}
    if name == "ctc":
        names = {"A1/x": "01/t000", "A2/x": "01/t001"}
    assert set(again.ids) == set(names.values())
    for own, image_id in names.items():
        found, expected = again.instances(image_id), data.instances(own)
        assert pixels(found) == pixels(expected)
        assert np.array_equal(again.source(image_id).read(), data.source(own).read())
        kinds = [again.type_names[kind] for kind in found.cell_type]
        if name in TYPED or name in BY_CELL:
            assert sorted(kinds) == sorted(TYPES[kind] for kind in expected.cell_type)
        elif name != "submission":
            assert set(kinds) <= set(TYPES)
        else:
            assert "the format cannot store cell types: they are lost" in done.notes
        if LAYOUTS[name].keeps_scores or name in BY_CELL:
            assert found.score is not None
            assert expected.score is not None
            assert sorted(found.score.tolist()) == sorted(expected.score.tolist())
        else:
            assert "the format cannot store scores: they are lost" in done.notes
    kept, ignored = again.ignored(names["A1/x"]), data.ignored("A1/x")
    assert kept is not None
    assert ignored is not None
    assert np.array_equal(kept, ignored)
    assert again.ignored(names["A2/x"]) is None


def test_labelme_keeps_all_but_holes(tmp_path: Path, data: Dataset) -> None:
    convert(data, tmp_path / "out", "labelme")
    again = open_dataset(tmp_path / "out")
    found = again.instances("A1/x")
    assert found.areas().tolist() == [80, 120, 24]
    assert [again.type_names[kind] for kind in found.cell_type] == ["cort", "astro", "cort"]


def test_overlaps_are_counted(tmp_path: Path, data: Dataset) -> None:
    first = cells()
    mask = np.zeros((15, 8), bool)
    mask[:2] = True
    over = Instances.from_crops([(20, 10), (20, 10)], [mask, ~mask | True], SIZE, type_names=TYPES)
    both = Instances.concatenate([replace(first, score=None), over])
    overlapping = replace(data, ids=("A1/x",), read_instances=lambda _: both)
    done = convert(overlapping, tmp_path / "labels", "labels")
    assert (done.cells, done.hidden, done.cut) == (3, 2, 0)
    assert any("overlap" in note for note in done.notes)
    done = convert(overlapping, tmp_path / "coco", "coco")
    assert (done.cells, done.hidden, done.cut) == (5, 0, 0)
    assert len(open_dataset(tmp_path / "coco").instances("A1_x")) == 5


def test_label_images_keep_the_pixel_size(tmp_path: Path, data: Dataset) -> None:
    import tifffile

    path = tmp_path / "source" / "p.tif"
    tifffile.imwrite(path, np.zeros(SIZE, np.uint8), imagej=True, resolution=(2, 4),
                     metadata={"unit": "um"})  # fmt: skip
    one = Dataset("pairs", tmp_path, ("p",), TYPES, {"p": path}, lambda _: cells())
    convert(one, tmp_path / "out", "labels")
    again = open_dataset(tmp_path / "out")
    assert again.instances("p").pixel_size_um == pytest.approx((0.25, 0.5))
    from bigkingxxl.io.images.image_files import read_header

    kept = read_header(tmp_path / "out" / "labels" / "p.tif").pixel_size_um
    assert kept == pytest.approx((0.25, 0.5))


def test_nothing_is_overwritten(tmp_path: Path, data: Dataset) -> None:
    with refused(InputError, "'coco'", key="format", found="coca", expected="coco"):
        convert(data, tmp_path / "out", "coca")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("")
    with refused(OutputError, file="out"):
        convert(data, tmp_path / "out", "coco")


@pytest.mark.parametrize("name", ["coco", "labels", "masks"])
def test_one_bad_image_costs_one_image(tmp_path: Path, data: Dataset, name: str) -> None:
    data.paths["A2/x"].write_bytes(b"no image")
    done = convert(data, tmp_path / "out", name)
    assert done.images == 1
    assert len(done.failed) == 1
    assert len(open_dataset(tmp_path / "out").ids) == 1


def test_without_images(tmp_path: Path, data: Dataset) -> None:
    convert(data, tmp_path / "out", "cellpose", images=False)
    names = sorted(path.relative_to(tmp_path / "out").as_posix()
                   for path in (tmp_path / "out").rglob("*.*"))  # fmt: skip
    assert names == ["A1/x_seg.npy", "A2/x_seg.npy", "cell_types.csv", "ignore/A1/x.png"]
