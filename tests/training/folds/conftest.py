"""Spots in a dozen images, and a training that takes no time: it makes a detector of spots."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bigkingxxl.data.dataset import Dataset, open_dataset
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.kaggle import write_annotations
from bigkingxxl.methods.registry import METHODS
from bigkingxxl.model_card import PredictionSettings
from bigkingxxl.model_files import read_card
from bigkingxxl.training.folds import run as folds_run
from bigkingxxl.training.images import choose_images
from bigkingxxl.training.recipe import Recipe
from bigkingxxl.training.run import TrainingResult
from tests.small_detector import PLACE, save_spots

SIZE = (64, 64)
IMAGES = 12
Trained = list[int | None]


def write_spots(
    folder: Path, count: int = IMAGES, fields: int | None = None, empty: Collection[int] = ()
) -> Path:
    """Images of five bright cells and five specks that are no cells; two images per field.

    Args:
        empty: Numbers of images in which nobody annotated a cell.
    """
    (folder / "train").mkdir(parents=True)
    cells = {}
    for number in range(count):
        image = np.full(SIZE, 20.0) + np.random.default_rng(number).normal(0, 1, SIZE)
        corners = [(4 + 12 * place, 6 + number) for place in range(5)]
        for row, col in corners:
            image[row : row + 8, col : col + 8] = 200
            image[row + 2 : row + 6, col + 20 : col + 24] = 200
        cells[f"image{number:02}"] = Instances.from_crops(
            corners, [np.ones((8, 8), bool)] * 5, SIZE,
            cell_type=np.zeros(5, int), type_names=("cell",),
        )  # fmt: skip
        if number in empty:
            cells[f"image{number:02}"] = Instances.empty(SIZE, ("cell",))
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(
            folder / "train" / f"image{number:02}.png"
        )
    write_annotations(folder / "train.csv", cells)
    rows = [f"image{number:02},{number % (fields or count // 2)}\n" for number in range(count)]
    (folder / "fields.csv").write_text("id,field\n" + "".join(rows))
    return folder


@pytest.fixture
def spots(tmp_path: Path) -> Dataset:
    return open_dataset(write_spots(tmp_path / "data"))


@pytest.fixture
def recipe() -> Recipe:
    return Recipe.model_validate({
        "method": "spots", "prediction": {"tile": 64, "overlap": 0},
        "training": {"validation_images": 1},
    })  # fmt: skip


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Trained:
    """The folds that were trained, in order; the limit of each model grows with its fold."""
    monkeypatch.setitem(METHODS, "spots", PLACE)
    folds: Trained = []

    def train(recipe: Recipe, data: Dataset, out: Path, **options: Any) -> TrainingResult:
        fold = options["fold"]
        images = choose_images(recipe, data, fold, options["folds_file"])
        folds.append(fold)
        out.mkdir(parents=True, exist_ok=True)
        path = save_spots(
            out / "model.safetensors", data.type_names, 100 + fold,
            prediction=PredictionSettings(tile=64, overlap=0).model_dump(),
            trained_on=images.training, selected_on=images.shown,
        )  # fmt: skip
        return TrainingResult(path, 0.5, True, True, 1, 0.1)

    monkeypatch.setattr(folds_run, "train", train)
    return folds


@pytest.fixture
def limit_of() -> Callable[[Path], int]:
    """The fold whose model a file is."""
    return lambda path: int(read_card(path).settings["detections"]) - 100
