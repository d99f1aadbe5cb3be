"""Training crops drawn from a data set: balanced by type, the same in every process and run."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from bigkingxxl.data.augment import AnnotatedPixels, AugmentSettings, random_view
from bigkingxxl.data.dataset import Dataset as ImageDataset
from bigkingxxl.data.label_policy import LabelPolicy, apply_policy
from bigkingxxl.errors import InputError
from bigkingxxl.images import Normalisation
from bigkingxxl.methods.base import Batch, Crop, Method
from bigkingxxl.training.recipe import Recipe, TrainingSettings
from bigkingxxl.training.sizes import type_diameters

CACHE_BYTES = 1_500_000_000
UNTYPED = -1  # the type of cells that are of none of the method's types


class CropDataset(Dataset[tuple[torch.Tensor, Any]]):
    """Endless crops: item i is a pure function of the seed and i.

    Args:
        data: annotated images; ids: those to train on; type_names: order of the types.
        method: makes the targets; recipe: augmentation, balance and seed.
    """

    def __init__(
        self, data: ImageDataset, ids: Sequence[str], method: Method, recipe: Recipe
    ) -> None:
        if not ids:
            raise InputError(f"{data.root}: no images to train on")
        self.data, self.ids, self.method, self.recipe = data, tuple(ids), method, recipe
        self.chance = type_balanced_chances(
            [data.cell_type(each) for each in self.ids], recipe.training.type_balance
        )
        self.diameters: dict[str | None, float] = {}
        if recipe.augment.diameter is not None:
            self.diameters = type_diameters(data, self.ids, recipe.training.label_policy)
        self.cache: OrderedDict[str, AnnotatedPixels] = OrderedDict()
        self.cached_bytes = 0

    def __len__(self) -> int:
        return self.recipe.training.epochs * self.recipe.training.crops_per_epoch

    def __getitem__(self, index: int) -> tuple[torch.Tensor, Any]:
        """image float32[C, h, w] and the method's targets."""
        rng = np.random.default_rng((self.recipe.seed, index))
        image_id = self.ids[int(rng.choice(len(self.ids), p=self.chance))]
        pixels = self.pixels(image_id)
        image, planes = random_view(pixels, self.views(image_id)[1], rng)
        targets = self.method.targets(Crop(image, planes, pixels.cell_type))
        return torch.from_numpy(image), targets

    def views(self, image_id: str) -> tuple[float, AugmentSettings]:
        """How much an image is shrunk once, and the views of what it then is."""
        return self.views_of(self.data.cell_type(image_id))

    def views_of(self, cell_type: str | None) -> tuple[float, AugmentSettings]:
        """The same for images of a cell type, or of unknown ones.

        What no view enlarges is shrunk smoothly, as prediction shrinks it.
        """
        augment, enlarge = self.recipe.augment, 1.0
        if augment.diameter is not None and self.diameters:
            own = self.diameters.get(cell_type, self.diameters[None])
            enlarge = augment.diameter / own
        low, high = (zoom * enlarge for zoom in augment.zoom)
        shrink = min(1.0, high)
        return shrink, augment.changed(zoom=(low / shrink, high / shrink))

    def pixels(self, image_id: str) -> AnnotatedPixels:
        """An image and its annotations, kept for the next crop."""
        if image_id in self.cache:
            self.cache.move_to_end(image_id)
            return self.cache[image_id]
        pixels = annotated_pixels(
            self.data, image_id, self.recipe.normalisation, self.method.type_names,
            self.recipe.training.label_policy, self.views(image_id)[0],
        )  # fmt: skip
        self.cache[image_id] = pixels
        self.cached_bytes += pixels.image.nbytes + pixels.planes.nbytes
        while self.cached_bytes > CACHE_BYTES and len(self.cache) > 1:
            _, oldest = self.cache.popitem(last=False)
            self.cached_bytes -= oldest.image.nbytes + oldest.planes.nbytes
        return pixels


class MixedCrops(Dataset[tuple[torch.Tensor, Any]]):
    """Crops of a data set, and now and then one of another: item i is a function of seed and i.

    Args:
        share: of the crops that come from `others`.
    """

    def __init__(self, crops: CropDataset, others: CropDataset, share: float) -> None:
        self.crops, self.others, self.share = crops, others, share
        self.method, self.recipe = crops.method, crops.recipe

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, Any]:
        """As `CropDataset`."""
        drawn = np.random.default_rng((self.recipe.seed, index, 1)).random()
        return (self.others if drawn < self.share else self.crops)[index]


def annotated_pixels(
    data: ImageDataset,
    image_id: str,
    normalisation: Normalisation,
    type_names: tuple[str, ...],
    policy: LabelPolicy = "as_annotated",
    shrink: float = 1.0,
) -> AnnotatedPixels:
    """One image, normalised by its own statistics, with its annotations as planes."""
    source, cells = data.source(image_id), apply_policy(data.instances(image_id), policy)
    image = normalisation.apply(source.read(), source.statistics)
    places = {name: place for place, name in enumerate(type_names)}
    order = np.array([places.get(name, UNTYPED) for name in cells.type_names], np.int16)
    pixels = AnnotatedPixels(image, cells.planes(), cells.boxes(), order[cells.cell_type])
    return pixels if shrink == 1 else pixels.shrunk(shrink)


def type_balanced_chances(types: Sequence[str | None], power: float) -> Any:
    """float64[N]: chance of each image; a type's share goes with its number to this power.

    1 leaves the data's own shares, 0 makes all types equally likely.
    """
    _, index, count = np.unique(
        [name or "" for name in types], return_inverse=True, return_counts=True
    )
    share = count.astype(np.float64) ** power / count
    chance = share[index]
    return chance / chance.sum()


class EpochSampler(Sampler[int]):
    """Indices of one epoch's crops; Lightning sets the epoch, also after a resume."""

    def __init__(self, crops_per_epoch: int) -> None:
        self.crops_per_epoch, self.epoch = crops_per_epoch, 0

    def set_epoch(self, epoch: int) -> None:
        """The epoch whose crops come next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.crops_per_epoch

    def __iter__(self) -> Iterator[int]:
        start = self.epoch * self.crops_per_epoch
        return iter(range(start, start + self.crops_per_epoch))


@dataclass(frozen=True, eq=False)
class Collate:
    """Makes batches of a method's crops; a class, as worker processes may be sent it by name."""

    method: Method

    def __call__(self, items: Sequence[tuple[Any, ...]]) -> Batch:
        """Items are an image, its targets and maybe a crop without annotation."""
        images, targets, *others = zip(*items, strict=True)
        return Batch(torch.stack(images), self.method.collate(targets), *map(torch.stack, others))


def crop_loader(crops: Any) -> DataLoader[Any]:
    """Batches of crops; one worker process draws them while the network learns.

    Args:
        crops: items are an image, its targets and maybe a crop without annotation.
    """
    return epoch_loader(crops, crops.recipe.training, Collate(crops.method))


def epoch_loader(
    items: Dataset[Any], training: TrainingSettings, collate: Callable[[Any], Any]
) -> DataLoader[Any]:
    """Batches of an epoch's items, prepared by worker processes."""
    workers = training.workers
    return DataLoader(
        items,
        batch_size=training.batch_size,
        sampler=EpochSampler(training.crops_per_epoch),
        collate_fn=collate,
        num_workers=workers,
        persistent_workers=workers > 0,
        prefetch_factor=4 if workers else None,
    )
