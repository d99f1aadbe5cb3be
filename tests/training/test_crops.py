from __future__ import annotations

from dataclasses import replace
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from bigkingxxl.data.augment import AnnotatedPixels, random_view
from bigkingxxl.data.augment_settings import AugmentSettings
from bigkingxxl.data.dataset import Dataset, open_dataset
from bigkingxxl.data.joined import JoinedDataset, open_datasets
from bigkingxxl.data.synthesize import Recipe as SyntheticData
from bigkingxxl.data.synthesize import synthesize
from bigkingxxl.errors import InputError
from bigkingxxl.geometry import Affine, disc_diameter
from bigkingxxl.instances import Instances
from bigkingxxl.methods.registry import make_method
from bigkingxxl.training.crops import (
    CropDataset,
    EpochSampler,
    MixedCrops,
    crop_loader,
    hidden,
    image_chances,
    type_balanced_chances,
)
from bigkingxxl.training.recipe import Recipe
from tests.refusals import refused

PLAIN = AugmentSettings(size=64, gamma=1, contrast=0, brightness=0, noise=0, blur=0)


def crops_of(data: Dataset, recipe: Recipe) -> CropDataset:
    method = make_method(recipe.method, recipe.settings, data.type_names)
    return CropDataset(data, data.ids, method, recipe)


def test_a_crop_depends_on_seed_and_index_alone(data: Dataset, recipe: Recipe) -> None:
    first, second = crops_of(data, recipe), crops_of(data, recipe)
    second[9], second[3]
    for index in (0, 3, 11):
        image, targets = first[index]
        again, same = second[index]
        assert torch.equal(image, again)
        assert np.array_equal(targets, same)
    other, _ = crops_of(data, recipe.changed(seed=1))[0]
    assert not torch.equal(first[0][0], other)


def test_crops_can_be_pickled_for_workers(data: Dataset, recipe: Recipe) -> None:
    """As on macOS and Windows, and everywhere from Python 3.14 on."""
    loader = crop_loader(crops_of(data, recipe))
    crops, collate = ForkingPickler.loads(ForkingPickler.dumps((loader.dataset, loader.collate_fn)))
    here = loader.collate_fn([loader.dataset[0], loader.dataset[1]])
    there = collate([crops[0], crops[1]])
    assert torch.equal(here.images, there.images)
    assert torch.equal(here.targets, there.targets)


def test_epochs_never_repeat_a_crop() -> None:
    sampler = EpochSampler(5)
    seen = list(sampler)
    sampler.set_epoch(2)
    assert seen == [0, 1, 2, 3, 4]
    assert list(sampler) == [10, 11, 12, 13, 14]


@pytest.mark.parametrize(
    ("power", "expected"), [(1.0, [0.75, 0.25]), (0.0, [0.5, 0.5]), (0.5, [0.634, 0.366])]
)
def test_types_are_balanced_by_the_power(power: float, expected: list[float]) -> None:
    chance = type_balanced_chances(["a", "a", "a", "b"], power)
    assert chance.sum() == pytest.approx(1)
    assert [chance[:3].sum(), chance[3]] == pytest.approx(expected, abs=1e-3)


def test_no_images_is_an_error(data: Dataset, recipe: Recipe) -> None:
    method = make_method(recipe.method, recipe.settings, data.type_names)
    with refused(InputError, file=data.root):
        CropDataset(data, [], method, recipe)


def disc_image() -> AnnotatedPixels:
    """An image that shows its own label map: two discs, one of which partly covers the other."""
    rows, cols = np.mgrid[:120, :150]
    first = (rows - 40) ** 2 + (cols - 60) ** 2 < 15**2
    second = (rows - 55) ** 2 + (cols - 70) ** 2 < 12**2
    planes = np.stack((np.where(first, 1, 0), np.where(second, 2, 0))).astype(np.int32)
    boxes = np.array([[26, 46, 55, 75], [44, 59, 67, 82]], np.int32)
    return AnnotatedPixels(
        np.stack((first, second)).astype(np.float32), planes, boxes, np.zeros(2, np.int16)
    )


def test_image_and_labels_stay_registered_under_every_view() -> None:
    source = disc_image()
    found = 0
    for seed in range(30):
        image, planes, *_ = random_view(source, PLAIN, np.random.default_rng(seed))
        labels = np.zeros((2, 64, 64), bool)
        for plane in planes:
            for cell in (1, 2):
                labels[cell - 1] |= plane == cell
        # A mask's picture, warped bilinearly and thresholded at a half, is the warped mask.
        assert (labels != (image > 0.5)).mean() < 0.002
        found += bool(labels.any())
    assert found > 15


def test_the_identity_view_is_the_image_itself() -> None:
    source = disc_image()
    view = Affine.around((59.5, 74.5), (120, 150))
    assert np.allclose(view.warp(source.image, (120, 150)), source.image, atol=1e-6)
    assert np.array_equal(view.warp_labels(source.planes, (120, 150)), source.planes)


def test_zoom_multiplies_areas() -> None:
    source = disc_image()
    view = Affine.around((40, 60), (128, 128), zoom=3.0, angle=0.7, flip=True)
    area = (view.warp_labels(source.planes, (128, 128))[0] == 1).sum()
    assert area == pytest.approx(9 * (source.planes[0] == 1).sum(), rel=0.02)


def test_shrunk_pixels_are_averages_and_labels_follow() -> None:
    source = disc_image()
    small = source.shrunk(0.5)
    assert small.image.shape == (2, 60, 75)
    blocks = source.image.reshape(2, 60, 2, 75, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(small.image, blocks, atol=1e-6)
    labels = np.stack([(small.planes == cell).any(axis=0) for cell in (1, 2)])
    # A pixel of a mask's shrunk picture is at least half covered where the shrunk mask is.
    assert (labels != (small.image > 0.5)).mean() < 0.01
    assert np.abs(small.boxes - source.boxes / 2).max() <= 1


def test_views_below_full_size_sample_a_shrunk_image(data: Dataset, recipe: Recipe) -> None:
    half = recipe.changed(augment=PLAIN.changed(zoom=(0.25, 0.5)).model_dump())
    crops = crops_of(data, half)
    whole = crops_of(data, recipe)
    image_id = data.ids[0]
    assert crops.views(image_id)[1].zoom == (0.5, 1.0)
    assert crops.pixels(image_id).image.shape == (1, 48, 48)
    assert whole.pixels(image_id).image.shape == (1, 96, 96)


def test_images_are_brought_to_one_size_of_cells_type_by_type(
    tmp_path: Path, recipe: Recipe
) -> None:
    synthesize(tmp_path, SyntheticData(6, 0, ("cort", "astro"), (128, 128)), workers=1)
    data = open_dataset(tmp_path)
    augment = PLAIN.changed(zoom=(0.8, 1.2), diameter=12)
    crops = crops_of(data, recipe.changed(augment=augment.model_dump()))
    for kind in ("cort", "astro"):
        own = [name for name in data.ids if data.cell_type(name) == kind]
        middle = np.median([np.median(disc_diameter(data.instances(name).areas())) for name in own])
        for name in own:
            shrink, view = crops.views(name)
            assert shrink <= 1
            assert shrink * view.zoom[0] * middle == pytest.approx(0.8 * 12)
            assert shrink * view.zoom[1] * middle == pytest.approx(1.2 * 12)


def test_intensity_changes_are_bounded_and_keep_the_frame() -> None:
    source = disc_image()
    settings = AugmentSettings(size=64, rotate=False, flip=False, zoom=(1.0, 1.0), stretch=1)
    image = random_view(source, settings, np.random.default_rng(0)).image
    assert image.shape == (2, 64, 64)
    assert image.dtype == np.float32
    assert np.isfinite(image).all()


def test_a_share_of_the_crops_is_of_cells_without_a_type(tmp_path: Path) -> None:
    own = tmp_path / "own"
    synthesize(own, SyntheticData(3, 0, ("cort", "astro"), (96, 96)), workers=1)
    other = tmp_path / "other"
    synthesize(other, SyntheticData(2, 0, ("varied",), (96, 96)), workers=1)
    data, varied = open_dataset(own), open_dataset(other)
    recipe = Recipe(
        method="compact", augment={"size": 64}, training={"epochs": 1, "crops_per_epoch": 60}
    )
    method = make_method("compact", {}, data.type_names)
    mixed = MixedCrops(
        CropDataset(data, data.ids, method, recipe),
        CropDataset(varied, varied.ids, method, recipe),
        share=0.4,
    )
    assert len(mixed) == 60
    typed = []
    for index in range(len(mixed)):
        _, targets = mixed[index]
        assert np.array_equal(targets, mixed[index][1])
        if targets[0].any():
            # Where the foreground has a type, each of its pixels has exactly one.
            types = targets[3:].sum(axis=0)[targets[0] > 0]
            assert types.min() == types.max()
            typed.append(types.max())
    assert 0.2 < 1 - np.mean(typed) < 0.6


def test_a_wide_zoom_shrinks_without_aliasing() -> None:
    """Stripes a pixel wide, shrunk four times, become their mean, not stripes of another width."""
    stripes = np.tile(np.array([-1.0, 1.0], np.float32), (256, 128))[None]
    source = AnnotatedPixels(stripes, np.zeros((1, 256, 256), np.int32),
                             np.zeros((0, 4), np.int32), np.zeros(0, np.int16))  # fmt: skip
    settings = PLAIN.changed(wide_share=1.0, wide_zoom=(0.25, 0.26), size=32)
    view = random_view(source, settings, np.random.default_rng(0))
    assert view.is_wide
    assert np.abs(view.image).max() < 0.05


def test_diameters_follow_the_zoom() -> None:
    planes = np.zeros((1, 900, 900), np.int32)
    planes[0, 430:470, 430:470] = 1
    source = AnnotatedPixels(
        (planes > 0).astype(np.float32), planes, np.array([[430, 430, 470, 470]], np.int32),
        np.zeros(1, np.int16), disc_diameter(np.array([1600.0])).astype(np.float32),
    )  # fmt: skip
    for seed, zoom in enumerate((0.3, 0.8, 1.5)):
        settings = PLAIN.changed(zoom=(zoom, zoom), size=400, on_cell=1.0)
        view = random_view(source, settings, np.random.default_rng(seed))
        seen = disc_diameter((view.planes == 1).sum())
        assert view.diameter[0] == pytest.approx(45.14 * zoom, rel=0.02)
        assert seen == pytest.approx(45.14 * zoom, rel=0.1)


def test_pixels_without_annotation_turn_with_the_image() -> None:
    source = replace(disc_image(), ignored=disc_image().planes[0] > 0)
    for seed in range(5):
        view = random_view(source, PLAIN, np.random.default_rng(seed))
        assert view.ignored is not None
        assert (view.ignored != (view.image[0] > 0.5)).mean() < 0.002


def test_unannotated_pixels_are_hidden_from_methods_that_use_all_pixels() -> None:
    source = replace(disc_image(), ignored=np.arange(150)[None] + np.zeros((120, 1)) < 60)
    seen = hidden(source)
    assert not seen.image[:, :, :60].any()
    assert not seen.planes[:, :, :60].any()
    assert seen.ignored is None
    np.testing.assert_array_equal(seen.image[:, :, 60:], source.image[:, :, 60:])


def test_each_image_is_brought_to_one_size_of_cells(tmp_path: Path) -> None:
    """Whatever the size of its cells, their mean over crops is the requested one."""
    for name, size in (("small", 10), ("large", 50)):
        folder = tmp_path / name
        (folder / "images").mkdir(parents=True)
        (folder / "labels").mkdir()
        labels = np.zeros((300, 300), np.uint16)
        squares = [(r, c) for r in range(20, 240, 80) for c in range(20, 240, 80)]
        for number, (row, col) in enumerate(squares, 1):
            labels[row : row + size, col : col + size] = number
        tifffile.imwrite(folder / "labels" / "x.tif", labels)
        tifffile.imwrite(folder / "images" / "x.tif", (labels > 0).astype(np.uint8) * 200)
    data = open_datasets([tmp_path / "small", tmp_path / "large"])
    augment = {"size": 96, "diameter": 24.0, "diameter_of": "image", "zoom": [0.9, 1.1]}
    flows = {"representation_settings": {"size": True}}
    recipe = Recipe(method="compact", settings=flows, augment=augment)
    crops = crops_of(data, recipe)
    for image_id in data.ids:
        pixels, view = crops.pixels(image_id), crops.views(image_id)[1]
        for seed in range(3):
            seen = random_view(pixels, view, np.random.default_rng(seed))
            assert 0.88 * 24 <= np.median(seen.diameter) <= 1.12 * 24
    _, targets = crops[0]
    sizes = targets[-1][np.isfinite(targets[-1])]
    assert len(sizes) == (targets[0] > 0.5).sum()
    assert np.abs(sizes).max() < np.log2(1.15)


def test_sets_are_drawn_by_the_root_of_their_cells_with_a_floor_and_weights() -> None:
    cells = {"a": [40, 50], "b": [10], "c": [1]}

    def some_cells(image_id: str) -> Instances:
        name, _, place = image_id.partition("/")
        count = cells[name][int(place)]
        return Instances.from_pixels(np.arange(count), np.arange(count), count, (10, 10))

    ids = tuple(f"{name}/{i}" for name, counts in cells.items() for i in range(len(counts)))
    data = JoinedDataset(
        "joined", Path("x"), ids, ("cell",), dict.fromkeys(ids, Path("x")), some_cells,
        columns={"set": {each: each[0] for each in ids}},
    )  # fmt: skip

    def shares(**training: object) -> list[float]:
        chance = image_chances(
            data,
            ids,
            Recipe.model_validate(
                {"method": "compact", "training": {"type_balance": 1.0, **training}}
            ).training,
        )
        return [float(chance[:2].sum()), float(chance[2]), float(chance[3])]

    roots = np.sqrt([90, 10, 1])
    assert shares(set_floor=0.0) == pytest.approx(roots / roots.sum())
    floored = np.maximum(roots / roots.sum(), 0.2)
    assert shares(set_floor=0.2) == pytest.approx(floored / floored.sum())
    weighted = roots * [1, 0, 3]
    assert shares(set_floor=0.0, set_weights={"b": 0, "c": 3}) == pytest.approx(
        weighted / weighted.sum()
    )
