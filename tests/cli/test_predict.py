"""`bigkingxxl predict` with a tiny untrained network: written, resumed and refused runs."""

from __future__ import annotations

import csv
import errno
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from typer.testing import CliRunner, Result

from bigkingxxl.candidates import Candidates
from bigkingxxl.cli import main
from bigkingxxl.errors import MissingExtraError
from bigkingxxl.inference.dense_predictor import DensePredictor
from bigkingxxl.inference.selection import select
from bigkingxxl.io.annotations.kaggle import read_submission
from bigkingxxl.io.annotations.label_images import read_label_image
from bigkingxxl.io.annotations.run_cells import load_cells
from bigkingxxl.model_card import PredictionSettings
from bigkingxxl.model_files import save_model
from bigkingxxl.operating_points import OperatingPoints
from bigkingxxl.runs.reader import open_run
from tests.refusals import numbers_of, refused_by
from tests.small_models import small_card, small_weights
from tests.support import sentence_of

SIZE = (40, 56)
NAMES = ("astro", "cort")
Run = Callable[..., Result]


def save_tiny(path: Path, type_names: tuple[str, ...] = NAMES, **card: Any) -> Path:
    """A network that predicts cells of the first type nearly everywhere."""
    weights = dict(small_weights(type_names))
    bias = torch.full((len(type_names) + 1,), -3.0)
    bias[0], bias[-1] = 3.0, 0.5
    weights["out.conv.conv.bias"] = bias
    prediction = PredictionSettings(tile=64, overlap=16)
    save_model(path, small_card(type_names, prediction=prediction, **card), weights)
    return path


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny.safetensors")


def pixels(seed: int, dtype: Any = np.uint8, size: tuple[int, ...] = SIZE) -> Any:
    return np.random.default_rng(seed).integers(0, 250, size).astype(dtype)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """An 8-bit PNG, a 16-bit TIFF with a pixel size, and a constant image."""
    folder = tmp_path / "images"
    folder.mkdir()
    Image.fromarray(pixels(1)).save(folder / "gray.png")
    tifffile.imwrite(
        folder / "deep.tif", pixels(2, np.uint16) * 200, imagej=True,
        resolution=(1 / 0.5, 1 / 0.25), metadata={"unit": "um"},
    )  # fmt: skip
    Image.fromarray(np.full(SIZE, 77, np.uint8)).save(folder / "empty.png")
    return folder


@pytest.fixture
def predict(model: Path, tmp_path: Path) -> Run:
    """Run the command; the results go to `out`."""

    def run(*arguments: object, models: tuple[Path, ...] = (model,)) -> Result:
        options = [part for path in models for part in ("--model", str(path))]
        command = ["predict", *map(str, arguments), *options]
        if "--out" not in command:
            command += ["--out", str(tmp_path / "out")]
        return CliRunner().invoke(main.app, command)

    return run


def stamps(out: Path, kind: str = "labels") -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (out / kind).iterdir()}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# ---- what is written -----------------------------------------------------------------------------


def test_all_formats(predict: Run, images: Path, tmp_path: Path) -> None:
    result = predict(images, "--format", "labels,overlay", "--format", "submission, coco")
    out = tmp_path / "out"
    assert result.exit_code == 0, result.output
    found = {name: Candidates.load(out / "candidates" / f"{name}.npz")
             for name in ("deep", "empty", "gray")}  # fmt: skip
    cells = {name: select(each, OperatingPoints()) for name, each in found.items()}
    assert {name: len(each) > 0 for name, each in cells.items()} == {
        "deep": True, "empty": False, "gray": True,
    }  # fmt: skip
    total = sum(map(len, cells.values()))
    assert numbers_of(result.stdout.splitlines()[-1].rpartition("out:")[2])[:2] == [total, 3]
    submitted = read_submission(out / "submission.csv", dict.fromkeys(cells, SIZE))
    for name, each in cells.items():
        labels = tifffile.imread(out / "labels" / f"{name}.tif")
        assert labels.dtype == np.uint16
        np.testing.assert_array_equal(labels, each.label_map())
        np.testing.assert_array_equal(submitted[name].label_map() > 0, each.label_map() > 0)
        with Image.open(out / "overlays" / f"{name}.png") as overlay:  # small ones are enlarged
            assert overlay.width * SIZE[0] == overlay.height * SIZE[1]
    assert "\nempty,\n" in (out / "submission.csv").read_text()
    assert not list(out.rglob("*.part*"))


def test_labels_keep_the_pixel_size(predict: Run, images: Path, tmp_path: Path) -> None:
    assert predict(images / "deep.tif").exit_code == 0
    with tifffile.TiffFile(tmp_path / "out" / "labels" / "deep.tif") as tiff:
        tags = tiff.pages[0].tags
        across, down = tags["XResolution"].value, tags["YResolution"].value
        assert tiff.imagej_metadata is not None
        assert tiff.imagej_metadata["unit"] in ("um", "\\u00B5m", "µm")
    assert across[0] / across[1] == pytest.approx(2)
    assert down[0] / down[1] == pytest.approx(4)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # its own
def test_results_are_read_back_by_pycocotools(predict: Run, images: Path, tmp_path: Path) -> None:
    from pycocotools.coco import COCO

    assert predict(images, "--format", "coco").exit_code == 0
    path = tmp_path / "out" / "results.json"
    truth = COCO()
    truth.dataset = {
        "images": [
            {"id": name, "height": SIZE[0], "width": SIZE[1]} for name in ("deep", "empty", "gray")
        ],
        "annotations": [],
        "categories": [{"id": 1, "name": "astro"}, {"id": 2, "name": "cort"}],
    }
    truth.createIndex()
    loaded = truth.loadRes(str(path))
    for name in ("deep", "gray"):
        candidates = Candidates.load(tmp_path / "out" / "candidates" / f"{name}.npz")
        results = loaded.loadAnns(loaded.getAnnIds(imgIds=[name]))
        assert len(results) == len(candidates) > 0
        for index, result in enumerate(results):
            row0, col0, row1, col1 = candidates.boxes[index]
            mask = np.zeros(SIZE, bool)
            mask[row0:row1, col0:col1] = candidates.crop(index) >= 128
            np.testing.assert_array_equal(loaded.annToMask(result).astype(bool), mask)
            assert result["score"] == pytest.approx(float(candidates.score[index]))
    assert not loaded.getAnnIds(imgIds=["empty"])


@pytest.mark.parametrize(
    ("name", "array", "options"),
    [
        ("colour.png", pixels(3, size=(*SIZE, 3)), []),
        ("clear.png", pixels(4, size=(*SIZE, 4)), ["--channel", "1"]),
        ("float.tif", pixels(5, np.float32) / 250, []),
        ("tiny.png", pixels(6, size=(5, 3)), []),
        ("wide.png", pixels(7, size=(31, 211)), ["--tile", "64"]),
        ("fine.png", pixels(8), ["--scale", "1.7"]),
        ("two.tif", pixels(9, size=(2, *SIZE)), ["--channel", "1"]),
        ("known.png", pixels(10), ["--cell-type", "cort"]),
    ],
)
def test_images_of_any_kind(
    predict: Run, tmp_path: Path, name: str, array: Any, options: list[str]
) -> None:
    path = tmp_path / name
    if path.suffix == ".tif":
        stack = {"metadata": {"axes": "CYX"}} if array.ndim == 3 else {}
        tifffile.imwrite(path, array, photometric="minisblack", **stack)
    else:
        Image.fromarray(array).save(path)
    result = predict(path, *options)
    assert result.exit_code == 0, result.output
    size = array.shape[1:] if name == "two.tif" else array.shape[:2]
    assert read_label_image(tmp_path / "out" / "labels" / f"{path.stem}.tif").shape == size


@pytest.mark.parametrize(
    ("frames", "places"), [(None, (0, 1, 2)), ("all", (0, 1, 2)), ("0", (0,)), ("1:", (1, 2))]
)
def test_time_lapses(
    predict: Run, tmp_path: Path, frames: str | None, places: tuple[int, ...]
) -> None:
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, pixels(1, size=(3, *SIZE)), photometric="minisblack",
                     metadata={"axes": "TYX"})  # fmt: skip
    options = [] if frames is None else ["--frames", frames]
    result = predict(path, *options, "--format", "labels,submission")
    assert result.exit_code == 0, result.output
    names = [f"movie_t00{place}" for place in places]
    assert sorted(stamps(tmp_path / "out")) == [f"{name}.tif" for name in names]
    rows = (tmp_path / "out" / "submission.csv").read_text().splitlines()[1:]
    assert {row.split(",")[0] for row in rows} == set(names)


@pytest.mark.parametrize("value", [7.0, np.nan])
def test_blank_images_are_no_error(predict: Run, tmp_path: Path, value: float) -> None:
    path = tmp_path / "blank.tif"
    tifffile.imwrite(path, np.full(SIZE, value, np.float32))
    result = predict(path)
    assert result.exit_code == 0, result.output
    assert numbers_of(result.stdout.splitlines()[-1].rpartition(":")[2])[:2] == [0, 1]
    assert "blank: " in result.stderr


def test_two_identical_models_predict_like_one(
    predict: Run, model: Path, images: Path, tmp_path: Path
) -> None:
    second = save_tiny(tmp_path / "second.safetensors", scores={"another": 1})
    assert predict(images / "gray.png", "--out", tmp_path / "one").exit_code == 0
    result = predict(images / "gray.png", models=(model, second))
    assert result.exit_code == 0, result.output
    one = Candidates.load(tmp_path / "one" / "candidates" / "gray.npz")
    both = Candidates.load(tmp_path / "out" / "candidates" / "gray.npz")
    assert len(both) == len(one)
    np.testing.assert_array_equal(np.sort(both.score), np.sort(one.score))
    np.testing.assert_array_equal(
        read_label_image(tmp_path / "out" / "labels" / "gray.tif"),
        read_label_image(tmp_path / "one" / "labels" / "gray.tif"),
    )


# ---- going on ------------------------------------------------------------------------------------


def test_a_second_run_repeats_nothing(predict: Run, images: Path, tmp_path: Path) -> None:
    assert predict(images).exit_code == 0
    before = stamps(tmp_path / "out")
    result = predict(images)
    assert numbers_of(result.stdout.splitlines()[-1])[-1] == 3
    assert stamps(tmp_path / "out") == before


def test_changed_images_are_predicted_again(
    predict: Run, model: Path, images: Path, tmp_path: Path
) -> None:
    assert predict(images).exit_code == 0
    before, seen = stamps(tmp_path / "out"), contents(tmp_path / "out" / "candidates")
    Image.fromarray(pixels(20)).save(images / "gray.png")
    (tmp_path / "out" / "labels" / "deep.tif").unlink()
    result = predict(images)
    assert numbers_of(result.stdout.splitlines()[-1])[-1] == 1
    after = stamps(tmp_path / "out")
    assert {name for name in after if after[name] != before[name]} == {"gray.tif", "deep.tif"}
    now = contents(tmp_path / "out" / "candidates")
    assert {name for name in now if now[name] != seen[name]} == {"gray.npz"}
    for changes in (
        ["--scale", "1.1"],
        ["--tta", "mirror"],
        ["--cell-type", "cort"],
    ):
        assert "done before" not in predict(images, *changes).stdout
    other = save_tiny(tmp_path / "other.safetensors", scores={"another": 1})
    assert "done before" not in predict(images, models=(other,)).stdout


def test_further_formats_are_made_from_stored_candidates(
    predict: Run, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert predict(images, "--format", "labels").exit_code == 0

    def never(self: object, source: object) -> Candidates:
        raise AssertionError("the network must not run again")

    monkeypatch.setattr(DensePredictor, "candidates", never)
    result = predict(images, "--format", "labels,overlay,submission,coco")
    assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "out" / "overlays").iterdir())) == 3
    assert (tmp_path / "out" / "results.json").is_file()


def test_replacing_results_of_other_settings_is_announced(
    predict: Run, images: Path, tmp_path: Path
) -> None:
    told = [
        f"earlier run in {tmp_path / 'out'}" in predict(images, *options).stderr
        for options in ([], ["--format", "imagej"], ["--scale", "2"], ["--format", "imagej"])
    ]
    assert told == [False, False, True, True]


@pytest.mark.parametrize("name", ["zarr", "zarr-0.5"])
def test_a_format_without_its_library_is_refused_at_once(
    predict: Run, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, "zarr", None)
    refused_by(
        predict(images, "--format", f"measurements,{name}"), "[zarr]",
        kind=MissingExtraError, key="zarr",
    )  # fmt: skip
    assert not (tmp_path / "out").exists()


def test_an_interrupted_run_resumes(
    predict: Run, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, seen = DensePredictor.candidates, list[str]()

    def break_off(self: DensePredictor, source: Any) -> Candidates:
        seen.append(source.name)
        if source.name == "gray" and seen.count("gray") < 3:
            raise KeyboardInterrupt
        return real(self, source)

    monkeypatch.setattr(DensePredictor, "candidates", break_off)
    assert predict(images).exit_code == 130
    assert predict(images).exit_code == 130
    assert predict(images).exit_code == 0
    assert seen.count("gray") == 3
    assert set(seen) == {"deep", "empty", "gray"}
    assert len(stamps(tmp_path / "out")) == 3


def test_damaged_candidates_are_made_again(predict: Run, images: Path, tmp_path: Path) -> None:
    assert predict(images / "gray.png").exit_code == 0
    (tmp_path / "out" / "candidates" / "gray.npz").write_bytes(b"broken")
    (tmp_path / "out" / "labels" / "gray.tif").unlink()
    assert predict(images / "gray.png").exit_code == 0
    assert len(Candidates.load(tmp_path / "out" / "candidates" / "gray.npz")) > 0


def test_lost_and_damaged_cells_are_made_again(predict: Run, images: Path, tmp_path: Path) -> None:
    assert predict(images).exit_code == 0
    cells = tmp_path / "out" / "cells"
    before = contents(cells)
    (cells / "gray.npz").unlink()
    (cells / "deep.npz").write_bytes(b"broken")
    result = predict(images)
    assert result.exit_code == 0
    assert numbers_of(result.stdout.splitlines()[-1])[-1] == 1  # done before
    assert contents(cells).keys() == before.keys()
    assert all(len(load_cells(cells / name)) >= 0 for name in before)


# ---- what cannot be done -------------------------------------------------------------------------


def test_unreadable_images_are_listed_and_the_others_finished(
    predict: Run, images: Path, tmp_path: Path
) -> None:
    whole = (images / "gray.png").read_bytes()
    (images / "cut.png").write_bytes(whole[: len(whole) // 2])
    (images / "none.tif").write_bytes(b"")
    result = predict(images, "--format", "labels,submission,summary")
    assert result.exit_code == 1
    lines = [line for line in result.stderr.splitlines() if str(images) in line]
    assert len(lines) == 2
    assert "cut.png" in lines[0]
    assert "none.tif" in lines[1]
    assert sorted(stamps(tmp_path / "out")) == ["deep.tif", "empty.tif", "gray.tif"]
    rows = (tmp_path / "out" / "submission.csv").read_text()
    assert "cut," not in rows
    assert "gray," in rows
    summary = (tmp_path / "out" / "summary.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in summary] == [
        "image", "cut", "deep", "empty", "gray", "none",
    ]  # fmt: skip
    assert "none.tif is empty (0 bytes)" in summary[-1]


def test_an_image_of_other_channels_is_listed(predict: Run, tmp_path: Path) -> None:
    path = tmp_path / "three.tif"
    tifffile.imwrite(path, pixels(1, size=(3, *SIZE)), photometric="minisblack",
                     metadata={"axes": "CYX"})  # fmt: skip
    result = predict(path, "--quiet")
    assert result.exit_code == 1
    assert "--channel 0" in result.stderr


def test_two_images_of_one_name(predict: Run, images: Path, tmp_path: Path) -> None:
    (images / "more").mkdir()
    Image.fromarray(pixels(1)).save(images / "more" / "gray.png")
    assert predict(images, "--format", "labels,summary").exit_code == 0
    labels = tmp_path / "out" / "labels"
    assert (labels / "gray.tif").is_file()
    assert (labels / "more" / "gray.tif").is_file()
    assert "\nmore/gray," in (tmp_path / "out" / "summary.csv").read_text()


def test_subfolders_are_not_searched_without_recursion(
    predict: Run, images: Path, tmp_path: Path
) -> None:
    (images / "more").mkdir()
    Image.fromarray(pixels(1)).save(images / "more" / "gray.png")
    assert (
        numbers_of(predict(images, "--no-recursive").stdout.splitlines()[-1].rpartition(":")[2])[1]
        == 3
    )


def test_skipped_files_are_counted(predict: Run, images: Path) -> None:
    (images / "notes.txt").touch()
    Image.fromarray(pixels(1)).save(images / "gray_masks.png")
    result = predict(images)
    assert result.exit_code == 0
    (line,) = [line for line in result.stderr.splitlines() if "left out" in line]
    assert "1 label images" in line
    assert "1 other files (.txt)" in line


def test_a_z_stack_needs_a_choice(predict: Run, tmp_path: Path) -> None:
    path = tmp_path / "deep.tif"
    tifffile.imwrite(path, pixels(1, size=(3, *SIZE)), imagej=True, metadata={"axes": "ZYX"})
    result = predict(path)
    assert result.exit_code != 0
    assert "--z max" in result.stderr
    assert predict(path, "--z", "max").exit_code == 0
    assert [*stamps(tmp_path / "out")] == ["deep.tif"]


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        (["--format", "label"], {"key": "--format", "found": "label", "expected": "labels"}),
        (["--format", "labels,tiff"], {"key": "--format", "found": "tiff"}),
        (["--tta", "spin"], {"key": "--tta", "found": "spin"}),
        (["--scale", "0"], {"key": "--scale", "found": 0.0}),
        (["--scale", "nan"], {"key": "--scale", "found": "nan"}),
        (["--diameter", "0"], {"key": "--diameter", "found": 0.0}),
        (["--diameter", "-4"], {"key": "--diameter", "found": -4.0}),
        (["--diameter", "nan"], {"key": "--diameter", "found": "nan"}),
        (["--diameter", "20"], {"key": "diameter", "found": 20}),
        (["--pixel-size", "0"], {"key": "--pixel-size", "found": "0.0"}),
        (["--pixel-size", "inf"], {"key": "--pixel-size", "found": "inf"}),
        (["--scale", "1", "--diameter", "9"], {"key": "--scale", "found": "--diameter"}),
        (
            ["--type-vote", "all"],
            {"key": "--type-vote", "found": "all", "expected": ("image", "cell")},
        ),
        (["--frames", "some"], {"key": "--frames", "found": "some"}),
        (["--frames", "-1"], {"key": "--frames", "found": "-1"}),
        (["--z", "top"], {"key": "--z", "found": "top"}),
        (["--cell-type", "astr"], {"key": "cell_type", "found": "astr", "expected": "astro"}),
        (["--device", "tpu"], {"key": "device", "found": "tpu"}),
        (["nowhere/*.tif"], {"file": "*.tif"}),
        (["nowhere.png"], {"file": "nowhere.png"}),
        (["--model", "missing.safetensors"], {"file": "missing.safetensors"}),
    ],
)
def test_options_that_make_no_sense(
    predict: Run, images: Path, tmp_path: Path, options: list[str], fields: dict[str, Any]
) -> None:
    refused_by(predict(images, *options), **fields)
    assert not (tmp_path / "out").exists()


def test_models_of_other_types_cannot_be_joined(
    predict: Run, model: Path, images: Path, tmp_path: Path
) -> None:
    other = save_tiny(tmp_path / "other.safetensors", ("neuron",))
    sentence = sentence_of(predict(images / "gray.png", "--quiet", models=(model, other)))
    assert "(astro, cort and neuron)" in sentence


def test_a_damaged_model(predict: Run, model: Path, images: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(model.read_bytes()[:-10])
    refused_by(predict(images, models=(broken,)), file=broken)


def test_an_output_that_cannot_be_written(predict: Run, images: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    refused_by(predict(images, "--quiet"), file="out")


def test_a_full_disk(
    predict: Run, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    sentence = sentence_of(predict(images, "--quiet"))
    assert os.strerror(errno.ENOSPC) in sentence
    assert not list((tmp_path / "out" / "labels").iterdir())
    manifest = tmp_path / "out" / "manifest.jsonl"
    assert not manifest.exists() or len(manifest.read_text().splitlines()) == 1


def test_the_card_determines_how_images_are_read(
    predict: Run, images: Path, tmp_path: Path
) -> None:
    """A model with another training pixel size predicts the image at another scale."""
    own = save_tiny(tmp_path / "own.safetensors", pixel_size_um=(0.25, 0.5))
    fine = save_tiny(tmp_path / "fine.safetensors", pixel_size_um=(0.125, 0.25))
    found = []
    for number, path in enumerate((own, fine)):
        out = tmp_path / f"out{number}"
        assert predict(images / "deep.tif", "--out", out, models=(path,)).exit_code == 0
        found.append(Candidates.load(out / "candidates" / "deep.npz"))
    assert found[0].size == found[1].size == SIZE
    assert not np.array_equal(found[0].score, found[1].score)


def scores_of(out: Path, name: str = "deep") -> Any:
    return Candidates.load(out / "candidates" / f"{name}.npz").score


def test_pixel_size_and_diameter_decide_the_scale(
    predict: Run, images: Path, tmp_path: Path
) -> None:
    """All statements about the file's 0.25 x 0.5 um give the same scale."""
    own = save_tiny(tmp_path / "own.safetensors", pixel_size_um=(0.25, 0.5), median_diameter=16.0)
    found = {}
    for name, options in {
        "file": [], "half": ["--scale", "0.5"], "double": ["--scale", "2"],
        "small": ["--diameter", "8"], "large": ["--diameter", "32"],
        "coarse": ["--pixel-size", str(0.125**0.5 * 2)],
        "both": ["--diameter", "8", "--pixel-size", "9"],
    }.items():  # fmt: skip
        out = tmp_path / name
        result = predict(images / "deep.tif", *options, "--out", out, models=(own,))
        assert result.exit_code == 0, result.output
        found[name] = scores_of(out)
    for one, two in (("small", "double"), ("coarse", "double"), ("both", "double"),
                     ("large", "half")):  # fmt: skip
        np.testing.assert_allclose(found[one], found[two])
    assert not np.array_equal(found["file"], found["double"])
    with tifffile.TiffFile(tmp_path / "both" / "labels" / "deep.tif") as tiff:
        down = tiff.pages[0].tags["YResolution"].value
    assert down[1] / down[0] == pytest.approx(9)


def test_a_size_beyond_the_limit_is_refused(predict: Run, images: Path, tmp_path: Path) -> None:
    own = save_tiny(tmp_path / "own.safetensors", median_diameter=16.0)
    gray = images / "gray.png"
    sentence = sentence_of(predict(gray, "--diameter", "0.01", models=(own,)))
    assert numbers_of(sentence)[-2:] == [0.01, 100]
    assert not (tmp_path / "out").exists()
    Image.fromarray(np.zeros((900, 1200), np.uint8)).save(tmp_path / "wide.png")
    result = predict(tmp_path / "wide.png", "--diameter", "0.2", "--quiet", models=(own,))
    assert result.exit_code == 1
    assert "wide: " in result.stderr
    assert 6_912_000_000 in numbers_of(result.stderr)


def test_the_vote_is_by_image_or_by_cell(predict: Run, images: Path, tmp_path: Path) -> None:
    for vote in ("image", "cell"):
        out = tmp_path / vote
        assert predict(images / "gray.png", "--type-vote", vote, "--out", out,
                       "--format", "measurements").exit_code == 0  # fmt: skip
        points = OperatingPoints.model_validate({"type_vote": vote})
        expected = select(Candidates.load(out / "candidates" / "gray.npz"), points)
        rows = (out / "measurements" / "gray.csv").read_text().splitlines()
        column = rows[0].split(",").index("type")
        kinds = [row.split(",")[column] for row in rows[1:]]
        assert kinds == [NAMES[kind] for kind in expected.cell_type]


def test_images_unlike_those_of_training_are_counted_in_a_line(
    predict: Run, images: Path, tmp_path: Path
) -> None:
    own = save_tiny(tmp_path / "own.safetensors", image_statistics={"coarse": (0.9, 0.95)})
    result = predict(images, "--format", "summary", models=(own,))
    assert result.exit_code == 0, result.output
    (line,) = [line for line in result.stderr.splitlines() if "(deep, gray)" in line]
    assert numbers_of(line)[:2] == [2, 3]
    rows = (tmp_path / "out" / "summary.csv").read_text().splitlines()
    told = {row.split(",")[0]: "differs from the training images" in row for row in rows[1:]}
    assert told == {"deep": True, "empty": False, "gray": True}
    # Repeated from stored results, and omitted with --quiet.
    assert line in predict(images, "--format", "summary", models=(own,)).stderr
    assert "(deep, gray)" not in predict(images, "--quiet", models=(own,)).output


def rows_of(out: Path) -> dict[str, dict[str, str]]:
    with (out / "summary.csv").open(newline="", encoding="utf-8") as stream:
        return {row["image"]: row for row in csv.DictReader(stream)}


def test_the_assumed_size_is_reported_and_stored(
    predict: Run, images: Path, tmp_path: Path
) -> None:
    own = save_tiny(tmp_path / "own.safetensors", median_diameter=16.0)
    options = (images, "--format", "summary", "--json")
    for more, diameter in (((), 16.0), (("--diameter", "8"), 8.0), (("--scale", "0.5"), 32.0)):
        out = tmp_path / "-".join(["out", *more])
        result = predict(*options, *more, "--out", out, models=(own,))
        assert result.exit_code == 0, result.output
        said = [16.0] in [numbers_of(line) for line in result.stderr.splitlines()]
        assert said == (not more)
        assert json.loads(result.stdout)["diameters"] == {"deep": diameter, "gray": diameter}
        rows = rows_of(out)
        assert float(rows["gray"]["diameter"]) == diameter
        assert rows["empty"]["diameter"] == ""
        assert open_run(out)["gray"].summary.diameter == diameter
        # With stored results, nothing is predicted again.
        again = predict(*options, *more, "--out", out, models=(own,))
        assert json.loads(again.stdout)["diameters"] == {"deep": diameter, "gray": diameter}
    assert "cell diameter" not in predict(images, "--quiet", models=(own,)).stderr


def test_the_expected_quality_is_stored_and_summarised_in_a_line(
    predict: Run, images: Path, tmp_path: Path
) -> None:
    terms = {"rejected": {"centre": 0.0, "spread": 1.0, "weight": 0.0}}
    own = save_tiny(
        tmp_path / "own.safetensors", quality={"terms": terms, "base": 0.25, "low": 0.3}
    )
    result = predict(images, "--format", "summary,labels", "--json", models=(own,))
    assert result.exit_code == 0, result.output
    (line,) = [line for line in result.stderr.splitlines() if "outlined poorly" in line]
    assert "2 of 3 images are probably outlined poorly (deep, gray)" in line
    out = tmp_path / "out"
    assert json.loads(result.stdout)["expected_quality"] == {"deep": 0.25, "gray": 0.25}
    rows = rows_of(out)
    assert (rows["deep"]["expected_quality"], rows["empty"]["expected_quality"]) == ("0.25", "")
    assert open_run(out)["deep"].summary.expected_quality == 0.25
    # Cells that a person drew have no expected quality.
    labels = out / "labels" / "deep.tif"
    tifffile.imwrite(labels, np.pad(np.ones((9, 9), np.uint16), ((3, 28), (4, 43))))
    assert CliRunner().invoke(main.app, ["measure", str(out)]).exit_code == 0
    rows = rows_of(out)
    assert (rows["deep"]["cells"], rows["deep"]["expected_quality"]) == ("1", "")
    assert rows["gray"]["expected_quality"] == "0.25"


def test_help_lists_all_formats() -> None:
    text = CliRunner().invoke(main.app, ["predict", "--help"]).stdout
    for option in ("--model", "--out", "--format", "--tile", "--scale", "--pixel-size",
                   "--diameter", "--cell-type", "--type-vote", "--frames",
                   "--channel", "--z", "--position", "--no-recursive"):  # fmt: skip
        assert option in text
