"""Training and fine-tuning on users' data: any layout, odd annotations, few images."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file
from typer.testing import CliRunner

from bigkingxxl.cli.main import app
from bigkingxxl.data.dataset import open_dataset
from bigkingxxl.errors import InputError
from bigkingxxl.model_card import ModelCard, PredictionSettings
from bigkingxxl.model_files import read_card, resolve_model, save_model
from bigkingxxl.training.recipe import Recipe, load_recipe
from bigkingxxl.training.run import TrainingResult, train
from bigkingxxl.training.starting_model import load_start
from tests.refusals import refused, refused_by
from tests.small_models import SMALL_UNETR, small_card, small_weights

NETWORK = {**SMALL_UNETR, "representation": "flows"}


def discs(size: tuple[int, int], radius: int, step: int) -> NDArray[np.int32]:
    """int32[H, W]: discs on a grid, numbered with gaps."""
    rows, cols = np.mgrid[: size[0], : size[1]]
    labels = np.zeros(size, np.int32)
    number = 0
    for row in range(radius + 2, size[0] - radius, step):
        for col in range(radius + 2, size[1] - radius, step):
            number += 3
            labels[(rows - row) ** 2 + (cols - col) ** 2 <= radius**2] = number
    return labels


def pairs(
    folder: Path, labels: dict[str, NDArray[np.int32]], depths: tuple[Any, ...] = (np.uint8,)
) -> Path:
    """Write `images/` beside `labels/`, with alternating bit depths."""
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index, (name, cells) in enumerate(labels.items()):
        depth = depths[index % len(depths)]
        gray = 100 + 60 * (cells > 0) + rng.normal(0, 5, cells.shape)
        scaled = gray * (1 if depth == np.uint8 else 200)
        tifffile.imwrite(folder / "images" / f"{name}.tif", scaled.astype(depth))
        tifffile.imwrite(folder / "labels" / f"{name}.tif", cells.astype(np.uint16))
    return folder


def recipe(base: Path | None, **values: Any) -> Recipe:
    """A few steps of a tiny network, with the recipe `finetune` if there is a base."""
    adapt = {} if base is None else {"init": str(base), "adapt": True, "augment": {
        "size": 32, "zoom": (0.8, 1.25)}}  # fmt: skip
    return Recipe.model_validate({
        "method": "unetr", "settings": {} if base else NETWORK, "augment": {"size": 32},
        "training": {"epochs": 1, "crops_per_epoch": 8, "batch_size": 4, "workers": 0,
                     "validation_images": 1, "label_policy": "mended", "small_set": 20},
        **adapt, **values,
    })  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model of three types for cells of 12 pixels."""
    from bigkingxxl.methods.registry import make_method

    types = ("a", "b", "c")
    method = make_method("unetr", NETWORK, types)
    card = ModelCard(
        method="unetr", settings=method.settings.model_dump(), type_names=types,
        median_diameter=12.0, trained_on=("old",),
        prediction=PredictionSettings(scale=2.0, tile=64, overlap=16),
    )  # fmt: skip
    path = tmp_path_factory.mktemp("base") / "base.safetensors"
    save_model(path, card, method.build().state_dict())
    return path


def run(own: Recipe, folder: Path, out: Path, **options: Any) -> TrainingResult:
    return train(own, open_dataset(folder), out, device="cpu", quiet=True, **options)


def test_few_images_of_larger_cells_make_a_model_of_their_scale(base: Path, tmp_path: Path) -> None:
    folder = pairs(
        tmp_path / "data",
        {"big": discs((90, 120), 12, 30), "small": discs((40, 50), 12, 30),
         "empty": np.zeros((64, 64), np.int32)},
        (np.uint8, np.uint16, np.float32),
    )  # fmt: skip
    result = run(recipe(base), folder, tmp_path / "run")
    card = read_card(result.model)
    assert not result.chosen
    assert card.type_names == ("cell",)
    assert card.median_diameter is not None
    assert card.median_diameter == pytest.approx(24, abs=1)
    assert card.prediction.scale == pytest.approx(2.0 * 12 / card.median_diameter)
    assert card.trained_on == ("big", "empty", "small", "old")
    assert card.selected_on == ()
    stored = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert stored["prediction"]["scale"] == card.prediction.scale


def test_one_image_is_enough_and_resuming_agrees(base: Path, tmp_path: Path) -> None:
    folder = pairs(tmp_path / "data", {"only": discs((60, 60), 6, 16)})
    own = recipe(base)
    first = run(own, folder, tmp_path / "run")
    before = read_card(first.model)
    again = run(own, folder, tmp_path / "run", resume=True)
    assert read_card(again.model).prediction == before.prediction
    assert again.score == first.score
    scratch = own.changed(init=None, adapt=False, settings=NETWORK)
    assert not run(scratch, folder, tmp_path / "scratch").chosen


def test_flawed_annotations_are_reported_and_corrected(
    base: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    flawed = discs((60, 60), 6, 20)
    flawed[0, 0] = flawed.max()
    flawed[59, 59] = 200
    folder = pairs(tmp_path / "data", {"fine": discs((60, 60), 6, 20), "odd": flawed})
    with caplog.at_level(logging.WARNING):
        run(recipe(base), folder, tmp_path / "run")
    lines = [line for line in caplog.messages if "training" in line]
    assert len(lines) == 2
    assert all("odd.tif" in line for line in lines)
    assert "1 cell has several parts" in lines[0]
    assert "1 cell has fewer than 4 pixels" in lines[1]


def test_cells_of_a_single_pixel_can_be_trained_on(tmp_path: Path) -> None:
    specks = np.zeros((60, 60), np.int32)
    specks[10, 10], specks[40, 20], specks[30:40, 30:40] = 1, 5, 9
    folder = pairs(tmp_path / "data", {"x": specks})
    as_annotated = recipe(None).training.changed(label_policy="as_annotated")
    own = recipe(None, training=as_annotated.model_dump())
    assert run(own, folder, tmp_path / "run").model.is_file()


def test_no_cells_raise_an_error(base: Path, tmp_path: Path) -> None:
    folder = pairs(tmp_path / "data", {"x": np.zeros((40, 40), np.int32)})
    with refused(InputError, file=folder):
        run(recipe(base), folder, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_only_specks_raise_an_error(base: Path, tmp_path: Path) -> None:
    specks = np.zeros((40, 40), np.int32)
    specks[5, 5] = 1
    folder = pairs(tmp_path / "data", {"x": specks})
    with refused(InputError, file=folder):
        run(recipe(base), folder, tmp_path / "run")


def two_channels(folder: Path, name: str) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (2, 60, 60)).astype(np.uint8)
    tifffile.imwrite(folder / "images" / f"{name}.tif", pixels, photometric="minisblack",
                     planarconfig="separate")  # fmt: skip


def test_different_channels_are_refused(base: Path, tmp_path: Path) -> None:
    labels = {"a": discs((60, 60), 6, 16), "b": discs((60, 60), 6, 16)}
    folder = pairs(tmp_path / "data", labels)
    two_channels(folder, "b")
    with refused(InputError, "a.tif", file="b.tif", key="channels", found=2, expected=1):
        run(recipe(base), folder, tmp_path / "run")
    two_channels(folder, "a")
    with refused(InputError, "base.safetensors", key="channels", found=2, expected=1):
        run(recipe(base), folder, tmp_path / "run")
    with refused(InputError, key="channels", found=2, expected=3):
        run(recipe(None, settings={**NETWORK, "image_channels": 3}), folder, tmp_path / "run")
    assert read_card(run(recipe(None), folder, tmp_path / "run").model).image_channels == 2


# ---- the command, on every layout ----------------------------------------------------------------


def coco_folder(folder: Path) -> Path:
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for index in range(2):
        name = f"{index}.png"
        Image.fromarray(np.random.default_rng(index).integers(0, 255, (64, 80)).astype(np.uint8)
                        ).save(folder / "images" / name)  # fmt: skip
        images.append({"id": index + 1, "file_name": name, "width": 80, "height": 64})
        annotations += [
            {"id": 10 * index + k + 1, "image_id": index + 1, "category_id": 1, "iscrowd": 0,
             "bbox": [12 * k, 20, 9, 9], "area": 81,
             "segmentation": [[12 * k, 20, 12 * k + 9, 20, 12 * k + 9, 29, 12 * k, 29]]}
            for k in range(4)
        ]  # fmt: skip
    (folder / "annotations.json").write_text(json.dumps({
        "images": images, "annotations": annotations,
        "categories": [{"id": 1, "name": "round"}],
    }))  # fmt: skip
    return folder


def kaggle_folder(folder: Path) -> Path:
    from tests.data.small_data import kaggle_folder, rectangles

    cells = rectangles((5, 5, 15, 15), (20, 30, 30, 38))
    return kaggle_folder(folder, {"x": cells, "y": cells})


@pytest.mark.parametrize("layout", ["coco", "kaggle", "pairs"])
def test_the_command_trains_on_every_layout(layout: str, tmp_path: Path) -> None:
    folder = {
        "coco": coco_folder,
        "kaggle": kaggle_folder,
        "pairs": lambda path: pairs(path, {"x": discs((60, 60), 6, 16)}),
    }[layout](tmp_path / "data")
    arguments = ["train", "compact", "--data", str(folder), "--out", str(tmp_path / "run"),
                 "--device", "cpu", "--quiet"]  # fmt: skip
    for each in ("settings.imagenet=false", "settings.widths=[8, 8, 8, 8]", "augment.size=64",
                 "training.epochs=1", "training.crops_per_epoch=2", "training.batch_size=2",
                 "training.validation_images=1", "training.workers=0"):  # fmt: skip
        arguments += ["--set", each]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.stderr
    assert "no image was kept back" in result.stdout
    types = {"coco": ("round",), "pairs": ("cell",)}.get(layout)
    assert read_card(tmp_path / "run" / "model.safetensors").type_names == (
        types or open_dataset(folder).type_names
    )


def test_a_model_of_another_method_ends_in_one_sentence(tmp_path: Path) -> None:
    folder = pairs(tmp_path / "data", {"x": discs((60, 60), 6, 16)})
    save_model(tmp_path / "unetr.safetensors", small_card(("a",)), small_weights(("a",)))
    result = CliRunner().invoke(app, [
        "train", "finetune", "--data", str(folder), "--out", str(tmp_path / "run"),
        "--init", str(tmp_path / "unetr.safetensors"),
    ])  # fmt: skip
    assert result.exit_code == 2
    refused_by(result, file="unetr.safetensors", key="method", found="unetr")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_the_shipped_model_is_one_to_start_from(tmp_path: Path) -> None:
    folder = pairs(tmp_path / "data", {"x": discs((160, 160), 35, 60)})
    still = ["augment.size=64", "training.epochs=1", "training.crops_per_epoch=2",
             "training.batch_size=2", "training.workers=0", "varied_images=0",
             "training.learning_rate=1e-9"]  # fmt: skip
    own = load_recipe("finetune", still, init="sartorius")
    card, before = read_card(resolve_model("sartorius")), load_start(own)
    assert before is not None
    made = run(own, folder, tmp_path / "run").model
    new = read_card(made)
    largest = max(high for _, high in card.image_diameters.values())
    assert new.median_diameter is not None
    assert new.median_diameter == pytest.approx(70, abs=3)
    assert largest < new.median_diameter
    assert new.prediction.scale == pytest.approx(
        card.prediction.scale * largest / new.median_diameter, rel=0.05
    )
    old, weights = before.model.network.state_dict(), load_file(made)
    kept = [name for name in weights if name.startswith("encoder.") and name.endswith("weight")]
    assert kept
    assert all(torch.allclose(weights[name], old[name], atol=1e-4) for name in kept)
