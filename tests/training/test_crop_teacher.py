"""A teacher of crops, compared with the maps that its model predicts for the same pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from bigkingxxl.data.dataset import Dataset
from bigkingxxl.data.joined import open_datasets
from bigkingxxl.errors import InputError, SettingsError
from bigkingxxl.methods.base import Batch
from bigkingxxl.methods.registry import make_method
from bigkingxxl.model_files import load_model, read_card
from bigkingxxl.training.crop_teacher import CropTeacher
from bigkingxxl.training.crops import CropDataset
from bigkingxxl.training.distillation_crops import (
    SIZES,
    DistillationCollate,
    DistillationCrops,
    unlabelled_sizes,
)
from bigkingxxl.training.recipe import Recipe
from bigkingxxl.training.run import train
from tests.data.test_joined import write_pairs
from tests.training.test_teacher import (
    NETWORK,
    labelled,
    model,
    others,
    random_model,
    recipe_of,
)

__all__ = ["labelled", "model", "others"]
SIZED = {**NETWORK, "representation_settings": {"size": True, "width": True}}


def by_crops(model: Path, **teacher: Any) -> Recipe:
    recipe = recipe_of(model, **teacher)
    return recipe.changed(training={**recipe.training.model_dump(), "feed": "processes"})


def taught(data: Dataset, recipe: Recipe, paths: list[Path]) -> DistillationCrops:
    method = make_method(recipe.method, recipe.settings, data.type_names)
    assert recipe.teacher is not None
    crops = CropDataset(data, data.ids, method, recipe)
    return DistillationCrops(crops, dict.fromkeys(paths), recipe.teacher)


def batch_of(crops: DistillationCrops, count: int = 4) -> Batch:
    return DistillationCollate(crops.method)([crops[index] for index in range(count)])


def maps_of(model: Path, images: torch.Tensor) -> torch.Tensor:
    loaded = load_model(model)
    with torch.no_grad():
        return loaded.method.maps(loaded.network, images)  # type: ignore[attr-defined, no-any-return]


def test_the_teacher_receives_crops_with_original_intensities(
    labelled: Dataset, model: Path
) -> None:
    recipe = by_crops(model, weight=0.25)
    recipe = recipe.changed(augment={"size": 64, "brightness": 3.0, "invert": 1.0})
    crops = taught(labelled, recipe, [])
    batch = batch_of(crops)
    assert batch.clean is not None
    assert batch.taught is not None
    assert batch.taught.tolist() == [0, 1, 2, 3]
    assert (batch.clean - batch.images).abs().mean() > 0.2
    assert recipe.teacher is not None
    targets = CropTeacher.of(recipe.teacher, crops.method, "cpu").targets(batch)
    seen = maps_of(model, batch.clean)
    torch.testing.assert_close(
        targets[:, :3], 0.75 * batch.targets[:, :3] + 0.25 * seen[:, :3], rtol=0, atol=1e-4
    )
    torch.testing.assert_close(
        targets[:, 3:], 0.75 * batch.targets[:, 3:] + 0.25 * seen[:, 3:] * seen[:, :1],
        rtol=0, atol=1e-4,
    )  # fmt: skip


def test_views_of_a_crop_turn_with_it(labelled: Dataset, model: Path) -> None:
    """The mean over the mirrored views is mirrored with the crop, vectors included."""
    recipe = by_crops(model, flips=4)
    assert recipe.teacher is not None
    method = make_method("compact", NETWORK, labelled.type_names)
    teacher = CropTeacher.of(recipe.teacher, method, "cpu")
    image = torch.randn(1, 1, 64, 64)
    plain, _ = teacher.maps(image)
    mirrored, _ = teacher.maps(image.flip(-1))
    sign = torch.tensor([1, 1, -1, 1, 1])[None, :, None, None]
    torch.testing.assert_close(mirrored, sign * plain.flip(-1), rtol=0, atol=1e-4)
    assert (mirrored - plain.flip(-1)).abs().max() > 0.01


def test_unannotated_pixels_have_the_teachers_targets(
    labelled: Dataset, others: list[Path], model: Path
) -> None:
    recipe = by_crops(model, share=0.99, weight=0.0)
    crops = taught(labelled, recipe, others)
    batch = batch_of(crops)
    assert batch.clean is not None
    assert batch.targets.isnan().all()
    assert recipe.teacher is not None
    targets = CropTeacher.of(recipe.teacher, crops.method, "cpu").targets(batch)
    torch.testing.assert_close(
        targets[:, :3], maps_of(model, batch.clean)[:, :3], rtol=0, atol=1e-4
    )
    assert crops.method.loss(
        load_model(model).network, Batch(batch.images, targets)
    )["loss"].isfinite()  # fmt: skip


def test_maps_that_the_teacher_lacks_keep_their_targets(labelled: Dataset, model: Path) -> None:
    recipe = by_crops(model, weight=0.5).changed(settings=SIZED)
    crops = taught(labelled, recipe, [])
    batch = batch_of(crops)
    assert recipe.teacher is not None
    targets = CropTeacher.of(recipe.teacher, crops.method, "cpu").targets(batch)
    torch.testing.assert_close(targets[:, -2:], batch.targets[:, -2:], equal_nan=True)
    assert not torch.allclose(targets[:, 0], batch.targets[:, 0])


def test_crops_of_far_other_sizes_and_of_other_sets_are_not_taught(
    labelled: Dataset, model: Path, tmp_path: Path
) -> None:
    wide = by_crops(model).changed(augment={"size": 64, "wide_share": 1.0})
    assert batch_of(taught(labelled, wide, [])).taught is None
    write_pairs(tmp_path / "squares", 3)
    joined = open_datasets([labelled.root, tmp_path / "squares"])
    named = by_crops(model, sets=("squares",)).changed(augment={"size": 64})
    crops = taught(joined, named, [])
    for index in range(12):
        image_id, _, _ = crops.main.view(index)
        assert (crops[index].clean is not None) == image_id.startswith("squares/")


def test_cell_sizes_of_unlabelled_images_are_measured_once(
    others: list[Path], model: Path, tmp_path: Path
) -> None:
    plain = by_crops(model)
    assert unlabelled_sizes(others, plain, tmp_path, "cpu") == dict.fromkeys(others)
    sized = plain.changed(augment={"size": 64, "diameter": 24.0, "diameter_of": "width"})
    found = unlabelled_sizes(others, sized, tmp_path, "cpu")
    kept = tmp_path / SIZES
    kept.write_text(kept.read_text().replace("null", "7.5"))
    again = unlabelled_sizes(others, sized, tmp_path, "cpu")
    assert list(again) == list(found) == others
    assert all(again[path] == (7.5 if found[path] is None else found[path]) for path in others)


def test_a_run_is_trained_on_taught_crops(
    labelled: Dataset, others: list[Path], model: Path, tmp_path: Path
) -> None:
    recipe = by_crops(model, share=0.5).changed(settings=SIZED)
    recipe = recipe.with_unlabelled([str(path) for path in others], use=True)
    result = train(recipe, labelled, tmp_path / "run", device="cpu", quiet=True)
    card = read_card(result.model)
    assert "elsewhere" in card.trained_on
    assert [each["name"] for each in card.provenance["teacher"]] == [str(model)]


def test_methods_that_cannot_be_taught_are_refused(labelled: Dataset, model: Path) -> None:
    boxes = make_method("mask_rcnn", {}, labelled.type_names)
    recipe = by_crops(model)
    assert recipe.teacher is not None
    with pytest.raises(InputError):
        CropTeacher.of(recipe.teacher, boxes, "cpu")
    with pytest.raises(SettingsError):
        recipe.changed(adversarial={"weight": 0.1})


def test_several_teachers_teach_their_mean(labelled: Dataset, model: Path, tmp_path: Path) -> None:
    second = random_model(labelled, tmp_path, 4)
    method = make_method("compact", NETWORK, labelled.type_names)
    settings = by_crops(model).teacher
    assert settings is not None
    both = CropTeacher.of(settings.changed(model=(str(model), str(second))), method, "cpu")
    image = torch.randn(1, 1, 64, 64)
    mean = (maps_of(model, image) + maps_of(second, image)) / 2
    torch.testing.assert_close(both.maps(image)[0][:, :3], mean[:, :3], rtol=0, atol=1e-4)
