"""Crops made on the device, compared with those made by worker processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from bigkingxxl.data.augment_settings import AugmentSettings
from bigkingxxl.data.dataset import Dataset, open_dataset
from bigkingxxl.data.intensity import IntensityChange
from bigkingxxl.data.synthesize import Recipe as SyntheticData
from bigkingxxl.data.synthesize import synthesize
from bigkingxxl.errors import SettingsError
from bigkingxxl.geometry import Affine
from bigkingxxl.methods.registry import make_method
from bigkingxxl.training.crops import CropDataset, MixedCrops
from bigkingxxl.training.device_images import DeviceImages, blurred, with_changed_intensities
from bigkingxxl.training.recipe import Recipe
from bigkingxxl.training.run import train
from bigkingxxl.training.views import View, ViewDraws, Views
from tests.refusals import refused

DARK = {"gamma": 1, "contrast": 0, "brightness": 0, "noise": 0, "blur": 0}


def compact(size: int = 64, **augment: float | tuple[float, float]) -> Recipe:
    return Recipe.model_validate({
        "method": "compact",
        "augment": {"size": size, **augment},
        "training": {"epochs": 2, "crops_per_epoch": 16, "batch_size": 4, "warmup_steps": 2,
                     "validation_images": 2, "workers": 0, "feed": "device"},
        "prediction": {"scale": 1.0, "tile": 64, "overlap": 16},
        "settings": {"imagenet": False, "widths": (8, 8, 8, 8)},
    })  # fmt: skip


def crops_of(data: Dataset, recipe: Recipe) -> CropDataset:
    method = make_method(recipe.method, recipe.settings, data.type_names)
    return CropDataset(data, data.ids, method, recipe)


@pytest.fixture(scope="module")
def two_types(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder: Path = tmp_path_factory.mktemp("two_types")
    synthesize(folder, SyntheticData(6, 0, ("cort", "astro"), (300, 310)), workers=1)
    return open_dataset(folder)


@pytest.mark.parametrize("zoom", [(0.9, 1.1), (1.8, 2.2)])
def test_they_are_the_crops_that_processes_make(
    two_types: Dataset, zoom: tuple[float, float]
) -> None:
    recipe = compact(size=144, zoom=zoom, **DARK)
    crops = crops_of(two_types, recipe)
    pool = DeviceImages.of(crops)
    draws = ViewDraws(pool.viewed, recipe)
    views = [draws[index] for index in range(16)]
    batch = pool.batch(Views.of(views))
    alike, differ, inner = [], [], 0
    for index, view in enumerate(views):
        image, targets = crops[index]
        image_id = crops.ids[view.place]
        assert two_types.cell_type(image_id) is not None
        assert torch.allclose(batch.images[index], image, atol=0.02)
        own = batch.targets[index].numpy()
        differ.append((own[[0, 3, 4]] != targets[[0, 3, 4]]).mean())
        cells = (own[0] > 0) & (targets[0] > 0)
        # The centre of a cell cut by the crop differs; cells inside count.
        for label in _whole_cells(cells):
            alike.append((own[1:3, label] * targets[1:3, label]).sum(axis=0))
            inner += 1
    assert inner > 5
    # Planes are warped one by one there; here, cells that cover each other are one image.
    assert np.mean(differ) < 0.004
    assert np.max(differ) < 0.02
    cosine = np.concatenate(alike)
    assert np.median(cosine) > 0.995
    assert (cosine > 0.9).mean() > 0.95


def _whole_cells(cells: np.ndarray) -> list[np.ndarray]:
    """Masks of the regions that touch no border."""
    from skimage.measure import label

    regions = label(cells)
    edge = {*regions[0], *regions[-1], *regions[:, 0], *regions[:, -1]}
    return [regions == each for each in range(1, regions.max() + 1) if each not in edge]


def test_flows_are_unit_vectors_that_turn_with_the_view(two_types: Dataset) -> None:
    recipe = compact(size=144, zoom=(1.0, 1.0), stretch=1.0, **DARK)
    pool = DeviceImages.of(crops_of(two_types, recipe))
    dark = IntensityChange()
    place = max(range(len(pool.viewed)), key=lambda each: len(pool.viewed[each].boxes))

    def seen(angle: float, flip: bool) -> torch.Tensor:
        affine = Affine.around((150.0, 155.0), (144, 144), angle=angle, flip=flip)
        targets: torch.Tensor = pool.batch(Views.of([View(place, affine, dark, 0)])).targets[0]
        return targets

    plain, turned, flipped = seen(0, False), seen(np.pi / 2, False), seen(0, True)
    lengths = plain[1:3].norm(dim=0)[plain[0] > 0]
    assert (lengths > 0.99).float().mean() > 0.98
    quarter = torch.rot90(plain, 1, (1, 2))
    if not torch.allclose(turned[0], quarter[0]):
        quarter = torch.rot90(plain, -1, (1, 2))
        expected = torch.stack((quarter[2], -quarter[1]))
    else:
        expected = torch.stack((-quarter[2], quarter[1]))
    assert (turned[0] == quarter[0]).float().mean() > 0.99
    inside = (turned[0] > 0) & (quarter[0] > 0)
    assert (turned[1:3] * expected).sum(dim=0)[inside].mean() > 0.97
    mirrored = plain.flip(2)
    inside = (flipped[0] > 0) & (mirrored[0] > 0)
    expected = torch.stack((mirrored[1], -mirrored[2]))
    assert (flipped[1:3] * expected).sum(dim=0)[inside].mean() > 0.97


def test_images_are_mirrored_beyond_the_border(two_types: Dataset) -> None:
    recipe = compact(zoom=(1.0, 1.0), **DARK)
    pool = DeviceImages.of(crops_of(two_types, recipe))
    dark = IntensityChange()
    affine = Affine(((1.0, 0.0), (0.0, 1.0)), (-20.0, 30.0))
    batch = pool.batch(Views.of([View(1, affine, dark, 0)]))
    above, below = batch.images[0, 0, :20], batch.images[0, 0, 21:41].flip(0)
    assert torch.allclose(above, below)
    rows = batch.targets[0, 1]
    assert torch.allclose(rows[:20], -rows[21:41].flip(0))


def test_intensities_match_those_of_processes(two_types: Dataset) -> None:
    rng = np.random.default_rng(0)
    settings = AugmentSettings(size=64, noise=0, blur=0.7, invert=0.5, halo=0.8, uneven=1.0)
    lights = [IntensityChange.drawn(settings, rng) for _ in range(8)]
    images = rng.standard_normal((8, 1, 140, 150)).astype(np.float32)
    expected = np.stack(
        [light.apply(image, rng) for light, image in zip(lights, images, strict=True)]
    )
    values = values_of(lights)
    found = with_changed_intensities(torch.from_numpy(images), values, 0).numpy()
    inner = (..., slice(35, -35), slice(35, -35))
    np.testing.assert_allclose(found[inner], expected[inner], atol=2e-2)
    assert any(light.blur > 0 for light in lights)
    assert any(light.halo != 0 for light in lights)


def values_of(lights: Sequence[IntensityChange]) -> dict[str, torch.Tensor]:
    names = [field.name for field in fields(IntensityChange)]
    return {name: torch.tensor([float(getattr(each, name)) for each in lights]) for name in names}


def test_sizes_follow_the_zoom(two_types: Dataset) -> None:
    settings = {"representation_settings": {"size": True}}
    recipe = compact(zoom=(1.0, 1.0), stretch=1.0, **DARK)
    recipe = recipe.changed(settings={**recipe.settings, **settings})
    pool = DeviceImages.of(crops_of(two_types, recipe))
    place = max(range(len(pool.viewed)), key=lambda each: len(pool.viewed[each].boxes))

    row, col, stop, end = pool.viewed[place].boxes[0].tolist()

    def sizes(zoom: float) -> torch.Tensor:
        affine = Affine.around(((row + stop) / 2, (col + end) / 2), (65, 65), zoom=zoom)
        batch = pool.batch(Views.of([View(place, affine, IntensityChange(), 0)]))
        size: torch.Tensor = batch.targets[0, -1]
        return size[32, 32]

    assert float(sizes(2.0) - sizes(1.0)) == pytest.approx(1.0, abs=0.01)


def test_no_blur_leaves_an_image_as_it_is() -> None:
    images = torch.randn(2, 3, 20, 20)
    assert torch.allclose(blurred(images, torch.zeros(2)), images)


def test_noise_has_the_drawn_strength_and_is_reproducible() -> None:
    light = values_of([IntensityChange(), IntensityChange(noise=0.3)])
    noisy = with_changed_intensities(torch.zeros(2, 1, 64, 64), light, 5)
    assert not noisy[0].any()
    assert float(noisy[1].std()) == pytest.approx(0.3, rel=0.05)
    assert torch.equal(noisy, with_changed_intensities(torch.zeros(2, 1, 64, 64), light, 5))


def test_mixed_images_are_drawn_by_their_share(two_types: Dataset, data: Dataset) -> None:
    recipe = compact()
    own = crops_of(two_types, recipe)
    pool = DeviceImages.of(MixedCrops(own, CropDataset(data, data.ids, own.method, recipe), 0.25))
    chance = np.array([each.chance for each in pool.viewed])
    assert len(chance) == len(two_types.ids) + len(data.ids)
    assert chance[len(two_types.ids) :].sum() == pytest.approx(0.25)
    assert chance.sum() == pytest.approx(1)


def test_a_run_learns_from_it_and_resumes(data: Dataset, tmp_path: Path) -> None:
    recipe = compact()
    half = recipe.changed(training={**recipe.training.model_dump(), "epochs": 1})
    train(half, data, tmp_path / "run", device="cpu", quiet=True)
    result = train(recipe, data, tmp_path / "run", device="cpu", quiet=True, resume=True)
    assert result.model.is_file()
    assert result.epochs == 2


def test_targets_that_cannot_be_warped_are_refused(data: Dataset, tmp_path: Path) -> None:
    recipe = compact()
    settings = {**recipe.settings, "representation": "watershed"}
    with refused(SettingsError, key="training.feed", found="device", expected="flows"):
        train(recipe.changed(settings=settings), data, tmp_path / "run", device="cpu", quiet=True)
    with refused(SettingsError):
        recipe.changed(adversarial={})
