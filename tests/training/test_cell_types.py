"""Models of one cell type: what they learn from, and that predicting nothing earns nothing.

The team's models of one type were validated on all images, of which those of other types held no
cell for them: seeing nothing there scored 1, and "0.459" was the score of an empty prediction.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bigkingxxl.data.dataset import Dataset, open_dataset
from bigkingxxl.data.split import fold_ids, write_folds
from bigkingxxl.errors import InputError
from bigkingxxl.inference.load_ensemble import load_ensemble
from bigkingxxl.model_files import read_card
from bigkingxxl.training.images import choose_images
from bigkingxxl.training.recipe import Recipe
from bigkingxxl.training.run import TrainingResult, train
from tests.data.small_data import kaggle_folder, rectangles
from tests.refusals import refused

SIZE = (64, 64)


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Four images of large cells, five of small ones (a few large among them), two of none."""
    large, small = [(4, 4, 28, 28), (34, 30, 60, 58)], [(4, 4, 12, 12), (30, 40, 38, 48)]
    cells = {f"astro{k}": rectangles(*large, size=SIZE) for k in range(4)}
    cells |= {f"cort{k}": rectangles(*small, size=SIZE, types=(1, 1)) for k in range(4)}
    cells["cort4"] = rectangles(*small, large[1], size=SIZE, types=(1, 1, 0))
    cells |= {f"empty{k}": rectangles(size=SIZE) for k in range(2)}
    rng = np.random.default_rng(0)
    pixels = {
        name: np.clip(100 + 90 * (each.label_map() > 0) + rng.normal(0, 8, SIZE), 0, 255)
        for name, each in cells.items()
    }
    folder = kaggle_folder(
        tmp_path_factory.mktemp("typed") / "data", cells,
        {name: each.astype(np.uint8) for name, each in pixels.items()},
    )  # fmt: skip
    # The first fold has an image of each kind, the last none of the large cells.
    first = {"astro0": 0, "cort0": 0, "empty0": 0, "cort1": 2, "empty1": 2}
    write_folds(folder / "folds.csv", {name: first.get(name, 1) for name in cells})
    return open_dataset(folder)


def short(recipe: Recipe, *cell_types: str, **values: Any) -> Recipe:
    training = recipe.training.changed(epochs=1, crops_per_epoch=4)
    return recipe.changed(cell_types=cell_types, training=training.model_dump(), **values)


def run(recipe: Recipe, data: Dataset, out: Path, **options: Any) -> TrainingResult:
    return train(recipe, data, out, device="cpu", quiet=True, **options)


def test_each_type_is_trained_and_validated_on_its_own_images(
    recipe: Recipe, typed: Dataset, tmp_path: Path
) -> None:
    paths = []
    for name, others in (("astro", "123"), ("cort", "1234")):
        result = run(short(recipe, name), typed, tmp_path / name, fold=0)
        card = read_card(result.model)
        assert card.type_names == (name,)
        assert card.trained_on == tuple(f"{name}{number}" for number in others)
        assert card.selected_on == (f"{name}0",)
        record = json.loads((tmp_path / name / "run.json").read_text())
        assert record["validated_on"] == [f"{name}0"]
        # In the mixed image, only cells of the type count.
        area = {"astro": np.median([24 * 24] * 3 + [26 * 28] * 3), "cort": 64.0}[name]
        assert card.median_diameter == pytest.approx(2 * np.sqrt(area / np.pi))
        paths.append(result.model)
    ensemble, card = load_ensemble(paths, "cpu")
    assert card.type_names == ("astro", "cort")
    found = ensemble.candidates(typed.source("astro0"))
    assert found.type_names == ("astro", "cort")


def test_a_model_that_predicts_nothing_scores_nothing(
    recipe: Recipe, typed: Dataset, tmp_path: Path
) -> None:
    """Lesson 9: with the empty image and those of the other type, it would look like 2 of 3."""
    blind = {"default": {"select": {"score_threshold": 1.0}}}
    result = run(short(recipe, "astro", operating_points=blind), typed, tmp_path / "run", fold=0)
    assert result.chosen
    assert result.score == 0
    assert read_card(result.model).scores["validation_map_in_sample"] == 0


def test_the_folds_are_those_of_all_images(recipe: Recipe, typed: Dataset) -> None:
    """So that no model of an ensemble has learned from images on which others are scored."""
    training, validation = fold_ids(typed, 1)
    for name in ("astro", "cort"):
        images = choose_images(short(recipe, name), typed, 1)
        assert set(images.training) <= set(training)
        assert set(images.validation) <= set(validation)
        assert all(each.startswith(name) for each in (*images.training, *images.shown))
    both = choose_images(short(recipe, "cort", "astro"), typed, 1)
    assert set(both.training) == {each for each in training if "empty" not in each}
    assert choose_images(short(recipe), typed, 1).training == training


def test_every_image_of_a_type(recipe: Recipe, typed: Dataset) -> None:
    images = choose_images(short(recipe, "cort"), typed, -1)
    assert images.training == images.validation == tuple(f"cort{k}" for k in range(5))


def test_a_fold_without_the_type_is_refused(recipe: Recipe, typed: Dataset, tmp_path: Path) -> None:
    with refused(InputError, key="cell_types", found=(4, 0), expected=("astro",)):
        run(short(recipe, "astro"), typed, tmp_path / "run", fold=2)
    assert not (tmp_path / "run").exists()


def test_a_type_missing_in_the_data_is_refused(
    recipe: Recipe, typed: Dataset, tmp_path: Path
) -> None:
    with refused(InputError, key="cell_types", found="astros", expected="astro"):
        run(short(recipe, "astros"), typed, tmp_path / "run")
