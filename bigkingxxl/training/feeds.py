"""The crops of a training run: annotated, simulated, replayed and taught, as batches.

What belongs here: which crops a recipe asks for. What does not: drawing a crop (`crops`,
`device_images`, `distillation_crops`), and the training loop (`run`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from bigkingxxl.data.dataset import Dataset
from bigkingxxl.data.joined import open_datasets
from bigkingxxl.data.progress_reports import Track, untracked
from bigkingxxl.data.synthesize import Recipe as SyntheticData
from bigkingxxl.data.synthesize import simulated
from bigkingxxl.data.unlabelled import unlabelled_images
from bigkingxxl.errors import InputError
from bigkingxxl.locks import locked
from bigkingxxl.methods.base import Method
from bigkingxxl.simulate.varied import VARIED
from bigkingxxl.training.crops import CropDataset, MixedCrops, crop_loader, epoch_loader
from bigkingxxl.training.device_images import DeviceImages, warped_channels
from bigkingxxl.training.devices import ALONE, Devices
from bigkingxxl.training.distillation_crops import (
    DistillationCollate,
    DistillationCrops,
    check_taught,
    unlabelled_sizes,
)
from bigkingxxl.training.images import RunImages
from bigkingxxl.training.recipe import Recipe
from bigkingxxl.training.teacher import Teacher
from bigkingxxl.training.unlabelled_crops import WithUnlabelled
from bigkingxxl.training.views import ViewDraws, Views


def training_crops(
    recipe: Recipe,
    data: Dataset,
    images: RunImages,
    method: Method,
    out: Path,
    track: Track = untracked,
) -> CropDataset | MixedCrops:
    """Return the crops of a run, mixed with simulated cells and replayed data sets.

    Raises:
        InputError: The method cannot learn from cells without a type.
    """
    crops = CropDataset(data, images.training, method, recipe)
    if recipe.varied_images == 0 and not recipe.replay:
        return crops
    if not method.learns_untyped:
        key, value = ("replay", recipe.replay) if recipe.replay else (
            "varied_images", recipe.varied_images)  # fmt: skip
        raise InputError(
            f"{key} is {value}, but the method '{method.name}' with these settings learns no cells "
            "without a type, expected none or the representation 'flows'",
            key=key,
            found=value,
        )
    places = [Path(each) for each in recipe.replay]
    if recipe.varied_images:
        places.append(out / "varied")
        with locked(out / ".varied.lock"):  # by the first of several processes
            simulated(
                places[-1], SyntheticData(recipe.varied_images, recipe.seed, (VARIED,)), track
            )
    others = open_datasets(places)
    return MixedCrops(crops, CropDataset(others, others.ids, method, recipe),
                      recipe.training.varied_share)  # fmt: skip


def device_images(
    crops: CropDataset | MixedCrops, unlabelled: Sequence[Path], device: str
) -> DeviceImages | None:
    """Load the images for crops on the device, including the teacher's targets.

    Raises:
        SettingsError: The targets of the method cannot be sampled on the device.
        InputError: They cannot be taught.
    """
    recipe = crops.recipe
    if recipe.training.feed != "device":
        return None
    teacher = None
    if recipe.teacher is not None:
        teacher = Teacher.of(recipe.teacher, warped_channels(crops.method), device)
    return DeviceImages.of(crops, teacher, unlabelled)


def taught_crops(
    crops: CropDataset | MixedCrops,
    unlabelled: Sequence[Path],
    out: Path,
    device: str,
    track: Track = untracked,
) -> DistillationCrops | None:
    """Return the crops of a run whose teacher predicts crops.

    Raises:
        InputError: The method cannot learn from images without annotations.
    """
    if crops.recipe.teacher is None:
        return None
    if unlabelled:
        check_taught(crops.method)
    sizes = unlabelled_sizes(unlabelled, crops.recipe, out, device, track)
    return DistillationCrops(crops, sizes, crops.recipe.teacher)


def batches(
    crops: CropDataset | MixedCrops | DistillationCrops,
    unlabelled: Sequence[Path],
    pool: DeviceImages | None,
    devices: Devices = ALONE,
) -> DataLoader[Any]:
    """Create the loader of the training: batches of crops, or `Views` of images on the device."""
    if isinstance(crops, DistillationCrops):
        return epoch_loader(
            crops, crops.recipe.training, DistillationCollate(crops.method), devices
        )
    if pool is None:
        return crop_loader(WithUnlabelled(crops, unlabelled) if unlabelled else crops, devices)
    draws = ViewDraws(pool.viewed, crops.recipe)
    return epoch_loader(draws, crops.recipe.training, Views.of, devices)


def images_without_annotation(recipe: Recipe, data: Dataset, images: RunImages) -> list[Path]:
    """Return the images without annotations for a critic or teacher; see `unlabelled_images`."""
    learners = (recipe.adversarial, recipe.teacher)
    own = next((each for each in learners if each is not None and each.semi_supervised), None)
    if own is None:
        return []
    kept_back = images.validation if images.keeps_back else ()
    return unlabelled_images(data, own.unlabelled, kept_back, images.training)
