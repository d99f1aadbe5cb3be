"""A trained model as a teacher, compared with the maps that it predicts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bigkingxxl.data.dataset import Dataset, open_dataset
from bigkingxxl.data.intensity import IntensityChange
from bigkingxxl.data.synthesize import Recipe as SyntheticData
from bigkingxxl.data.synthesize import synthesize
from bigkingxxl.errors import InputError
from bigkingxxl.geometry import Affine
from bigkingxxl.inference.load_model import load_predictor
from bigkingxxl.methods.registry import make_method
from bigkingxxl.model_card import ModelCard
from bigkingxxl.model_files import read_card, save_model
from bigkingxxl.training.crops import CropDataset
from bigkingxxl.training.device_images import DeviceImages
from bigkingxxl.training.recipe import Recipe
from bigkingxxl.training.run import train
from bigkingxxl.training.teacher import Teacher
from bigkingxxl.training.views import View, Views
from tests.refusals import refused

NETWORK = {"imagenet": False, "widths": (8, 8, 8, 8)}
LOOKS = {"scale": 1.0, "tile": 320, "overlap": 16}
PLAIN = IntensityChange()
SIDE = 160


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("labelled")
    synthesize(folder, SyntheticData(4, 0, ("cort", "astro"), (SIDE, SIDE)), workers=1)
    return open_dataset(folder)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("others")
    synthesize(folder, SyntheticData(2, 9, ("cort",), (SIDE, SIDE)), workers=1)
    return sorted((folder / "train").glob("*.png"))


@pytest.fixture(scope="module")
def model(labelled: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_model(labelled, tmp_path_factory.mktemp("teacher"), 3)


def random_model(labelled: Dataset, folder: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    method = make_method("compact", NETWORK, labelled.type_names)
    card = ModelCard(
        method="compact", settings=method.settings.model_dump(), type_names=labelled.type_names,
        prediction=LOOKS, trained_on=("elsewhere",), selected_on=("there",), licence="its own",
    )  # fmt: skip
    path = folder / "model.safetensors"
    save_model(path, card, method.build().state_dict())
    return path


def recipe_of(model: Path, **teacher: object) -> Recipe:
    return Recipe.model_validate({
        "method": "compact", "settings": NETWORK, "prediction": LOOKS,
        "augment": {"size": SIDE},
        "training": {"epochs": 1, "crops_per_epoch": 8, "batch_size": 4, "warmup_steps": 2,
                     "validation_images": 2, "workers": 0, "feed": "device"},
        "teacher": {"model": str(model), "flips": 1, **teacher},
    })  # fmt: skip


def pool_of(labelled: Dataset, recipe: Recipe, others: list[Path]) -> DeviceImages:
    method = make_method(recipe.method, recipe.settings, labelled.type_names)
    assert recipe.teacher is not None
    teacher = Teacher.of(recipe.teacher, method.representation.channels, "cpu")  # type: ignore[attr-defined]
    return DeviceImages.of(CropDataset(labelled, labelled.ids, method, recipe), teacher, others)


def targets_of(pool: DeviceImages, place: int) -> NDArray[np.float32]:
    """The maps of a whole image of the pool, unchanged."""
    as_it_is = Affine(((1.0, 0.0), (0.0, 1.0)), (0.0, 0.0))
    found = pool.batch(Views.of([View(place, as_it_is, PLAIN, 0)])).targets[0]
    return np.asarray(found.numpy(), np.float32)


def maps_of(model: Path, path: Path) -> NDArray[np.float32]:
    """The model's prediction for a file."""
    from bigkingxxl.io.images.image_files import open_image

    predictor, _ = load_predictor(model, "cpu")
    maps: NDArray[np.float32] = predictor.maps(open_image(path))  # type: ignore[attr-defined]
    return maps


def test_of_an_image_without_annotation_its_maps_are_the_targets(
    labelled: Dataset, others: list[Path], model: Path
) -> None:
    pool = pool_of(labelled, recipe_of(model), others)
    found = targets_of(pool, len(labelled.ids) + 1)
    maps = maps_of(model, others[1])
    np.testing.assert_allclose(found[0], maps[0], atol=2e-3)
    # Not of length 1: a short vector means that the teacher is uncertain.
    np.testing.assert_allclose(found[1:3], maps[1:3], atol=5e-3)
    assert np.hypot(*found[1:3]).min() < 0.9
    np.testing.assert_allclose(found[3:5], maps[3:5] * maps[0], atol=2e-3)
    np.testing.assert_allclose(found[3:5].sum(axis=0), found[0], atol=5e-3)


def test_of_an_annotated_image_they_are_a_part_of_them(
    labelled: Dataset, others: list[Path], model: Path
) -> None:
    alone = targets_of(pool_of(labelled, recipe_of(model, weight=0.0), others), 0)
    mixed = targets_of(pool_of(labelled, recipe_of(model, weight=0.25), others), 0)
    assert set(np.unique(alone[0])) == {0, 1}
    maps = maps_of(model, labelled.root / "train" / f"{labelled.ids[0]}.png")
    np.testing.assert_allclose(mixed[0], 0.75 * alone[0] + 0.25 * maps[0], atol=3e-3)
    cells = alone[0] > 0
    assert (np.hypot(*mixed[1:3])[cells] > 0.99).mean() > 0.98
    assert np.hypot(*mixed[1:3])[~cells].max() < 0.5


def test_several_teachers_teach_the_mean_of_their_maps(
    labelled: Dataset, others: list[Path], model: Path, tmp_path: Path
) -> None:
    second = random_model(labelled, tmp_path, 4)
    recipe = recipe_of(model).changed(teacher={"model": [str(model), str(second)], "flips": 1})
    found = targets_of(pool_of(labelled, recipe, others), len(labelled.ids))
    one, two = maps_of(model, others[0]), maps_of(second, others[0])
    assert np.abs(one[0] - two[0]).max() > 0.05
    np.testing.assert_allclose(found[:3], (one[:3] + two[:3]) / 2, atol=5e-3)


def test_images_without_annotation_are_drawn_by_their_share(
    labelled: Dataset, others: list[Path], model: Path
) -> None:
    pool = pool_of(labelled, recipe_of(model, share=0.4), others)
    chance = np.array([each.chance for each in pool.viewed])
    assert chance.sum() == pytest.approx(1)
    assert chance[-len(others) :] == pytest.approx([0.2, 0.2])


def test_a_run_learns_from_it_and_its_card_says_so(
    labelled: Dataset, others: list[Path], model: Path, tmp_path: Path
) -> None:
    recipe = recipe_of(model).with_unlabelled([str(path) for path in others], use=True)
    result = train(recipe, labelled, tmp_path / "run", device="cpu", quiet=True)
    card = read_card(result.model)
    # The pupil has learned of its teacher's images: neither may be tested on them.
    assert "elsewhere" in card.trained_on
    assert "there" in card.selected_on
    assert card.licence == "its own"
    assert [each["name"] for each in card.provenance["teacher"]] == [str(model)]


def test_unlabelled_images_are_optional(labelled: Dataset, model: Path, tmp_path: Path) -> None:
    recipe = recipe_of(model)
    with refused(InputError, key="--unlabelled"):
        train(recipe, labelled, tmp_path / "with", device="cpu", quiet=True)
    without = recipe.with_unlabelled((), use=False)
    assert train(without, labelled, tmp_path / "run", device="cpu", quiet=True).model.is_file()


def test_a_teacher_of_other_maps_is_refused(labelled: Dataset, model: Path, tmp_path: Path) -> None:
    recipe = recipe_of(model).with_unlabelled((), use=False)
    other = recipe.changed(settings={**NETWORK, "representation_settings": {"boundary": True}})
    with refused(InputError, file=model, key="teacher", found="foreground", expected="boundary"):
        train(other, labelled, tmp_path / "run", device="cpu", quiet=True)
