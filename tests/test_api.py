from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from pycocotools import mask as coco_mask
from shapely import Polygon

import bigkingxxl as bk
from bigkingxxl.api import LoadedModel, as_source
from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import ImageError, InputError, ModelError, OutputError
from bigkingxxl.images import ArrayImage, ImageSource
from bigkingxxl.model_card import ModelCard
from bigkingxxl.operating_points import OperatingPoints
from bigkingxxl.runs.outputs import IMAGE_FORMATS
from bigkingxxl.runs.selection import Selection
from tests.refusals import refused


class Squares:
    """Detects a bright square wherever there is one."""

    def candidates(self, source: ImageSource) -> Candidates:
        from scipy import ndimage

        bright = source.read()[0] > 128
        labels, count = ndimage.label(bright)
        score = np.full(count, 0.9, np.float32)
        kinds = np.ones((count, 1), np.float32)
        return Candidates.from_label_map(
            labels.astype(np.int32), bright.astype(np.float32), score, kinds, ("cell",)
        )


@pytest.fixture
def model() -> LoadedModel:
    card = ModelCard(method="none", settings={}, type_names=("cell",))
    return LoadedModel(card, Squares(), Selection(OperatingPoints()))


def picture() -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    pixels = np.zeros((40, 60), np.uint8)
    pixels[5:15, 10:20] = 200
    pixels[20:36, 30:50] = 250
    return pixels


def test_arrays_paths_and_tensors_give_the_same_cells(model: LoadedModel, tmp_path: Path) -> None:
    pixels = picture()
    Image.fromarray(pixels).save(tmp_path / "a.png")
    color = np.stack([pixels] * 3, axis=2)
    for image in (pixels, pixels.astype(np.float64), torch.from_numpy(pixels), pixels[None], color,
                  tmp_path / "a.png", str(tmp_path / "a.png")):  # fmt: skip
        cells = model.predict(image)
        assert len(cells) == 2
        assert np.array_equal(cells.label_map() > 0, pixels > 0)


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # pycocotools, numpy 2
def test_cells_measure_and_export_themselves(model: LoadedModel) -> None:
    cells = model.predict(picture(), pixel_size=0.5)
    table = cells.measurements()
    assert sorted(table["area"].tolist()) == [100, 320]
    assert sorted(table["area_um2"].tolist()) == [25, 80]
    assert sorted(table["intensity_mean"].tolist()) == [200, 250]
    assert set(cells.measurements(picture() + 1)["intensity_mean"].tolist()) == {201, 251}
    results = cells.to_coco()
    masks = [coco_mask.decode(result["segmentation"]) for result in results]
    assert np.array_equal(np.sum(masks, axis=0) > 0, picture() > 0)
    assert sorted(result["bbox"] for result in results) == [[10, 5, 10, 10], [30, 20, 20, 16]]
    assert cells.overlay().shape == (40, 60, 3)


@pytest.mark.parametrize(
    ("image", "named"),
    [
        (np.zeros((2, 3, 4, 5)), "(2, 3, 4, 5)"),
        (np.zeros((0, 5)), "(0, 5)"),
        (np.array(["a"]), "<U1"),
        (np.zeros((4, 5), complex), "complex128"),
        (None, "NoneType"),
    ],
)
def test_other_objects_are_refused(image: object, named: str) -> None:
    with refused(InputError, named):
        as_source(image)


@pytest.mark.parametrize("pixel_size", [0, -1.0, 1e-300, (1.0, 0.0), [1.0], (1, 2, 3), "a"])
def test_an_impossible_pixel_size_is_refused(model: LoadedModel, pixel_size: Any) -> None:
    with refused(InputError):
        model.predict(picture(), pixel_size=pixel_size)


class Sized(Squares):
    """Records what is known of the image."""

    scale: float | None = None

    def __init__(self) -> None:
        self.seen: list[tuple[object, object]] = []

    def candidates(self, source: ImageSource) -> Candidates:
        self.seen.append((source.pixel_size_um, source.cell_diameter))
        return super().candidates(source)


@pytest.fixture
def sized() -> LoadedModel:
    card = ModelCard(
        method="none",
        settings={},
        type_names=("cell",),
        median_diameter=16.0,
        pixel_size_um=(0.5, 0.5),
        image_statistics={"coarse": (0.0, 0.01)},
    )
    return LoadedModel(card, Sized(), Selection(OperatingPoints()))


def test_pixel_size_and_diameter_are_of_the_image(sized: LoadedModel) -> None:
    predictor = sized.predictor
    assert isinstance(predictor, Sized)
    source = as_source(picture(), (2.0, 2.0))
    cells = sized.predict(source, diameter=12, pixel_size=0.25)
    sized.predict(source)
    sized.predict(picture(), pixel_size=(1.0, 2.0))
    assert predictor.seen == [((0.25, 0.25), 12), ((2.0, 2.0), None), ((1.0, 2.0), None)]
    assert cells.instances.pixel_size_um == (0.25, 0.25)


@pytest.mark.parametrize(
    ("options", "key", "found"),
    [
        ({"diameter": 0}, "diameter", 0),
        ({"diameter": float("nan")}, "diameter", "nan"),
        ({"diameter": 0.01}, "scale", 1600),
        ({"pixel_size": float("inf")}, "pixel-size", "inf"),
        ({"pixel_size": 1000.0}, "scale", 2000),
    ],
)
def test_impossible_sizes_are_refused_before_anything_is_done(
    sized: LoadedModel, options: dict[str, Any], key: str, found: object
) -> None:
    with refused(InputError, key=key, found=found):
        sized.predict(picture(), **options)
    assert sized.predictor.seen == []  # type: ignore[attr-defined]


def test_scale_and_diameter_contradict_each_other(sized: LoadedModel) -> None:
    sized.predictor.scale = 1.5  # type: ignore[attr-defined]
    with refused(InputError, key="scale", found="diameter"):
        sized.predict(picture(), diameter=9)


def test_unusual_images_are_reported_in_one_line(
    sized: LoadedModel, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("WARNING"):
        found = sized.predict([ArrayImage(picture(), f"picture{k}") for k in range(5)])
    (line,) = caplog.messages
    assert line.startswith("5 of 5 images differ from the training images (picture0, picture1, ")
    assert all("differs from the training images" in cells.warnings[0] for cells in found)
    assert [cells.expected_quality for cells in found] == [None] * 5


def test_the_assumed_size_is_reported_once_and_stored(
    sized: LoadedModel, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = sized.predictor.candidates
    sizes = iter([20.0, 41.0, 30.0])
    monkeypatch.setattr(
        sized.predictor,
        "candidates",
        lambda source: replace(own(source), cell_diameter=next(sizes)),
    )
    with caplog.at_level("INFO"):
        found = sized.predict([picture(), picture()])
    assert [cells.diameter for cells in found] == [20.0, 41.0]
    (line,) = [each for each in caplog.messages if "cell diameter" in each]
    assert line.startswith("assumed cell diameter: 30 px (median; 20 to 41 px); predict(diameter=")
    caplog.clear()
    with caplog.at_level("INFO"):
        assert sized.predict(picture(), diameter=12).diameter == 30.0
    assert "cell diameter" not in caplog.text


def test_a_missing_model_is_refused() -> None:
    with refused(ModelError, file="nowhere.onnx"):
        bk.load("nowhere.onnx")


# ---- several images, channels, files, notebooks --------------------------------------------------


def test_lists_folders_and_patterns_give_a_list(model: LoadedModel, tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "deep/c.png"):
        place = tmp_path / "images" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture()).save(place)
    folder = tmp_path / "images"
    assert [cells.source.name for cells in model.predict(folder)] == ["a", "b", "deep/c"]
    assert len(model.predict(str(folder / "?.png"))) == 2
    several = model.predict([picture(), str(folder / "a.png"), folder])
    assert [len(cells) for cells in several] == [2] * 5
    assert model.predict([]) == []
    assert len(model.predict(picture().tolist())) == 2


def test_a_channel_is_chosen(model: LoadedModel, tmp_path: Path) -> None:
    both = np.stack([picture(), np.zeros_like(picture())])
    for image in (both, np.moveaxis(both, 0, 2), ArrayImage(both)):
        assert len(model.predict(image, channel=0)) == 2
        assert len(model.predict(image, channel=1)) == 0
        with refused(ImageError, key="channel", found=2, expected=2):
            model.predict(image, channel=2)
    tifffile.imwrite(tmp_path / "a.tif", both, photometric="minisblack", metadata={"axes": "CYX"})
    assert len(model.predict(tmp_path / "a.tif", channel=0)) == 2


def test_cells_are_excluded_on_request(model: LoadedModel) -> None:
    assert len(model.predict(picture(), min_area=200)) == 1
    assert len(model.predict(picture(), min_score=0.95)) == 0
    assert len(model.predict(np.pad(picture(), 0)[5:], exclude_border=True)) == 1
    with pytest.raises(InputError, match="min_score is 7"):
        model.predict(picture(), min_score=7)


@pytest.mark.parametrize(
    ("name", "format_name"),
    [("cells.tif", None), ("cells.png", None), ("cells.csv", None), ("cells.parquet", None),
     ("cells.zip", None), ("cells.geojson", None), ("cells_seg.npy", None), ("cells.json", None),
     *((f"cells{each.ending}", name) for name, each in IMAGE_FORMATS.items())],
)  # fmt: skip
def test_cells_are_saved_in_every_format(
    model: LoadedModel, tmp_path: Path, name: str, format_name: str | None
) -> None:
    path = model.predict(picture()).save(tmp_path / "new" / name, format_name)
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    assert sum(each.stat().st_size for each in files) > 0  # OME-Zarr is a folder


def test_saved_labels_are_the_cells(model: LoadedModel, tmp_path: Path) -> None:
    cells = model.predict(picture())
    cells.save(tmp_path / "a.tif")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), cells.label_map())
    with refused(OutputError, file="a.xyz", key="format"):
        cells.save(tmp_path / "a.xyz")
    with refused(OutputError, "'labels'", key="format", found="lables", expected="labels"):
        cells.save(tmp_path / "a.tif", "lables")


def test_cells_show_themselves(model: LoadedModel) -> None:
    cells = model.predict(ArrayImage(picture(), "well 3"))
    assert repr(cells) == "<2 cells in 'well 3' (40 x 60 pixels)>"
    assert len(repr(model)) < 100
    shown = np.asarray(Image.open(io.BytesIO(cells._repr_png_())))
    np.testing.assert_array_equal(shown, cells.overlay())


def test_polygons_enclose_the_cells(model: LoadedModel) -> None:
    cells = model.predict(picture())
    areas = [sum(Polygon(rings[0], rings[1:]).area for rings in cell) for cell in cells.polygons()]
    assert areas == cells.instances.areas().tolist()


def test_the_package_lists_its_names() -> None:
    assert {*bk.__all__} <= {*dir(bk)}
    for name in dir(bk):
        getattr(bk, name)


def test_no_model_and_no_image_are_sentences(model: LoadedModel) -> None:
    with refused(InputError, key="model"):
        bk.load("")
    with refused(InputError, key="model"):
        bk.load([])
    with refused(InputError, found=""):
        model.predict("")


def test_tensors_of_any_kind_are_images_or_refused(model: LoadedModel) -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(picture().copy())
    expected = model.predict(picture()).label_map()
    half = model.predict(tensor.to(torch.bfloat16).requires_grad_())
    assert np.array_equal(half.label_map(), expected)
    for other in (tensor.to_sparse(), torch.empty(5, 5, device="meta")):
        with refused(InputError):
            model.predict(other)


@pytest.mark.parametrize("choice", [{"frames": 0}, {"z": "max"}, {"position": 1}])
def test_planes_are_chosen_of_files_only(model: LoadedModel, choice: dict[str, Any]) -> None:
    with refused(InputError, key=next(iter(choice))):
        model.predict(picture(), **choice)


def test_cells_are_not_measured_in_an_image_of_another_size(model: LoadedModel) -> None:
    with refused(InputError, key="image", found=(30, 60), expected=(40, 60)):
        model.predict(picture()).measurements(picture()[:30])


@pytest.mark.parametrize("name", ["overlay", "contact_sheet"])
def test_pictures_have_endings_of_pictures(model: LoadedModel, tmp_path: Path, name: str) -> None:
    with refused(OutputError, ".png", file="x.bin", key="format"):
        model.predict(picture()).save(tmp_path / "x.bin", name)
