"""Training crops drawn from a data set, balanced by type and reproducible in every process."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from bigkingxxl.cell_widths import cell_widths
from bigkingxxl.data.augment import AnnotatedPixels, RandomView, random_view
from bigkingxxl.data.augment_settings import AugmentSettings
from bigkingxxl.data.dataset import Dataset as ImageDataset
from bigkingxxl.data.joined import SET, JoinedDataset
from bigkingxxl.data.label_policy import LabelPolicy, apply_policy
from bigkingxxl.errors import InputError
from bigkingxxl.geometry import disc_diameter
from bigkingxxl.images import Normalisation
from bigkingxxl.instances import Instances
from bigkingxxl.methods.base import Batch, Crop, Method
from bigkingxxl.training.cell_size_scaling import type_diameters
from bigkingxxl.training.devices import ALONE, Devices
from bigkingxxl.training.interrupt import start_worker
from bigkingxxl.training.recipe import Recipe, TrainingSettings

CACHE_BYTES = 2_000_000_000
# with this many cells, an image's size is half its own median and half that of its set
FEW_CELLS = 5
Measure = Callable[[Instances], NDArray[np.float32]]
NO_INDEX = -1  # the type of cells that have none of the method's types


class CropDataset(Dataset[tuple[torch.Tensor, Any]]):
    """An endless sequence of crops; item i depends only on the seed and i.

    Args:
        data: The annotated images.
        ids: The images to train on.
        method: Computes the targets.
        recipe: Determines augmentation, balance and seed.
    """

    def __init__(
        self, data: ImageDataset, ids: Sequence[str], method: Method, recipe: Recipe
    ) -> None:
        if not ids:
            raise InputError(f"{data.root}: no images to train on", file=data.root)
        self.data, self.ids, self.method, self.recipe = data, tuple(ids), method, recipe
        self.chance = image_chances(data, self.ids, recipe.training)
        self.diameters: dict[str | None, float] = {}
        self.own_diameters: dict[str, float] = {}
        if recipe.augment.diameter is not None:
            policy = recipe.training.label_policy
            self.diameters = type_diameters(data, self.ids, policy)
            if recipe.augment.is_by_image:
                measure = MEASURES[recipe.augment.diameter_of]
                self.own_diameters = image_diameters(data, self.ids, policy, measure)
        self.cache: OrderedDict[str, AnnotatedPixels] = OrderedDict()
        self.cached_bytes = 0

    def __len__(self) -> int:
        return self.recipe.training.epochs * self.recipe.training.crops_per_epoch

    def __getitem__(self, index: int) -> tuple[torch.Tensor, Any]:
        """Return the image float32[C, h, w] and the method's targets."""
        _, view, targets = self.view(index)
        return torch.from_numpy(view.image), targets

    def view(self, index: int) -> tuple[str, RandomView, Any]:
        """Return the image of crop `index`, its view and the method's targets."""
        rng = np.random.default_rng((self.recipe.seed, index))
        image_id = self.ids[int(rng.choice(len(self.ids), p=self.chance))]
        pixels = self.pixels(image_id)
        view = random_view(pixels, self.views(image_id)[1], rng)
        crop = Crop(view.image, view.planes, pixels.cell_type, view.diameter, view.ignored,
                    view.is_wide, view.width)  # fmt: skip
        return image_id, view, self.method.targets(crop)

    def views(self, image_id: str) -> tuple[float, AugmentSettings]:
        """Return the factor by which an image is shrunk once, and the views of the shrunk image."""
        return self.views_of(self.data.cell_type(image_id), self.own_diameters.get(image_id))

    def views_of(
        self, cell_type: str | None, diameter: float | None = None
    ) -> tuple[float, AugmentSettings]:
        """Return the same for images of a cell type, or of unknown type.

        Images that no view enlarges are shrunk smoothly, as in prediction.

        Args:
            cell_type: The cell type of the images.
            diameter: The median cell diameter of the image, in pixels, or its substitute; by
                default that of the cell type.
        """
        augment, enlarge = self.recipe.augment, 1.0
        if augment.diameter is not None and self.diameters:
            own = diameter or self.diameters.get(cell_type, self.diameters[None])
            enlarge = augment.diameter / own
        zooms = [augment.zoom, augment.wide_zoom]
        largest = max(high for _, high in (zooms if augment.wide_share > 0 else zooms[:1]))
        shrink = min(1.0, largest * enlarge)
        usual, wide = ((low * enlarge / shrink, high * enlarge / shrink) for low, high in zooms)
        return shrink, augment.changed(zoom=usual, wide_zoom=wide)

    def pixels(self, image_id: str) -> AnnotatedPixels:
        """Read an image with its annotations, cached for further crops."""
        if image_id in self.cache:
            self.cache.move_to_end(image_id)
            return self.cache[image_id]
        pixels = annotated_pixels(
            self.data, image_id, self.recipe.normalisation, self.method.type_names,
            self.recipe.training.label_policy, self.views(image_id)[0],
            with_width=self.method.learns_width,
        )  # fmt: skip
        if pixels.ignored is not None and not self.method.learns_partly:
            pixels = hidden(pixels)
        self.cache[image_id] = pixels
        # An image that is shrunk later needs a third more memory.
        self.cached_bytes += pixels.nbytes * 4 // 3
        while self.cached_bytes > CACHE_BYTES and len(self.cache) > 1:
            _, oldest = self.cache.popitem(last=False)
            self.cached_bytes -= oldest.nbytes * 4 // 3
        return pixels


class MixedCrops(Dataset[tuple[torch.Tensor, Any]]):
    """Crops of a data set, mixed with crops of another one; item i depends only on the seed and i.

    Args:
        crops: The crops of the data set.
        others: The crops of the other data set.
        share: The fraction of crops from `others`.
    """

    def __init__(self, crops: CropDataset, others: CropDataset, share: float) -> None:
        self.crops, self.others, self.share = crops, others, share
        self.method, self.recipe = crops.method, crops.recipe

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, Any]:
        """Return a crop; see `CropDataset`."""
        return self.source(index)[index]

    def source(self, index: int) -> CropDataset:
        """Return the data set from which crop `index` is drawn."""
        drawn = np.random.default_rng((self.recipe.seed, index, 1)).random()
        return self.others if drawn < self.share else self.crops


def annotated_pixels(
    data: ImageDataset,
    image_id: str,
    normalisation: Normalisation,
    type_names: tuple[str, ...],
    policy: LabelPolicy = "as_annotated",
    shrink: float = 1.0,
    *,
    with_width: bool = False,
) -> AnnotatedPixels:
    """Read an image, normalised by its own statistics, with its annotations as label planes.

    Args:
        data: The data set.
        image_id: The id of the image.
        normalisation: The normalisation of the model.
        type_names: The cell types.
        policy: How annotations are corrected.
        shrink: The factor by which the image is shrunk.
        with_width: Whether to measure the width of cells, which takes longer than everything else.
    """
    source, cells = data.source(image_id), apply_policy(data.instances(image_id), policy)
    image = normalisation.apply(source.read(), source.statistics)
    places = {name: place for place, name in enumerate(type_names)}
    order = np.array([places.get(name, NO_INDEX) for name in cells.type_names], np.int16)
    planes = cells.planes()
    pixels = AnnotatedPixels(
        # Half precision exceeds the precision of cameras and allows more images in memory.
        image.astype(np.float16),
        planes.astype(np.int16) if len(cells) < np.iinfo(np.int16).max else planes,
        cells.boxes(), order[cells.cell_type],
        cell_diameters(cells), data.ignored(image_id),
        cell_widths(cells) if with_width else None,
    )  # fmt: skip
    return pixels if shrink == 1 else pixels.shrunk(shrink)


def hidden(pixels: AnnotatedPixels) -> AnnotatedPixels:
    """Blank the pixels that are not annotated, and clip the cells to the rest.

    This is for methods whose losses use every pixel.
    """
    ignored = pixels.ignored
    if ignored is None:
        return pixels
    return replace(
        pixels, image=np.where(ignored, 0, pixels.image).astype(pixels.image.dtype),
        planes=np.where(ignored, 0, pixels.planes).astype(pixels.planes.dtype), ignored=None,
    )  # fmt: skip


def image_chances(data: ImageDataset, ids: Sequence[str], training: TrainingSettings) -> Any:
    """Return the probability of drawing each image, float64[N], balanced by set and cell type.

    The share of a data set is its number of cells to the power of `training.set_balance`, at least
    `training.set_floor`, times its weight in `training.set_weights`.
    """
    types = [data.cell_type(each) for each in ids]
    if not isinstance(data, JoinedDataset):
        return type_balanced_chances(types, training.type_balance)
    sets = np.array([data.set_of(each) for each in ids])
    cells = np.array([len(data.read_instances(each)) for each in ids], np.float64)
    names = np.unique(sets)
    share = np.array([cells[sets == name].sum() for name in names]) ** training.set_balance
    share = np.maximum(share / share.sum(), training.set_floor)
    share *= [training.set_weights.get(str(name), 1.0) for name in names]
    chance = np.zeros(len(ids))
    for name, own in zip(names, share / share.sum(), strict=True):
        inside = np.flatnonzero(sets == name)
        own_types = [types[place] for place in inside]
        chance[inside] = own * type_balanced_chances(own_types, training.type_balance)
    return chance / chance.sum()


def cell_diameters(cells: Instances) -> NDArray[np.float32]:
    """Return the diameter of a disc of each cell's area in pixels, float32[N]."""
    diameters: NDArray[np.float32] = disc_diameter(cells.areas()).astype(np.float32)
    return diameters


MEASURES: Mapping[str, Measure] = {"image": cell_diameters, "width": cell_widths}


def image_diameters(
    data: ImageDataset, ids: Sequence[str], policy: LabelPolicy, measure: Measure = cell_diameters
) -> dict[str, float]:
    """Return the median cell diameter of each image, shrunk to that of its set if cells are few.

    Images without cells are left out.

    Args:
        data: The data set.
        ids: The images.
        policy: How annotations are corrected.
        measure: The diameter of cells, in pixels.
    """
    groups = data.columns[SET] if isinstance(data, JoinedDataset) else {}
    found = {image_id: measure(apply_policy(data.instances(image_id), policy))
             for image_id in ids}  # fmt: skip
    logs = {name: float(np.median(np.log(each))) for name, each in found.items() if len(each)}
    of_set: dict[str, list[float]] = {}
    for name, own in logs.items():
        of_set.setdefault(groups.get(name, ""), []).append(own)
    middle = {group: float(np.median(each)) for group, each in of_set.items()}
    return {
        name: float(np.exp((len(found[name]) * own + FEW_CELLS * middle[groups.get(name, "")])
                           / (len(found[name]) + FEW_CELLS)))
        for name, own in logs.items()
    }  # fmt: skip


def type_balanced_chances(types: Sequence[str | None], power: float) -> Any:
    """Return the probability of drawing each image, float64[N].

    The share of a type is its number of images to a power: 1 keeps the proportions of the data, and
    0 makes all types equally likely.
    """
    _, index, count = np.unique(
        [name or "" for name in types], return_inverse=True, return_counts=True
    )
    share = count.astype(np.float64) ** power / count
    chance = share[index]
    return chance / chance.sum()


class EpochSampler(Sampler[int]):
    """The indices of one epoch's crops; Lightning sets the epoch.

    Each of several devices gets its part of every batch.

    Args:
        crops_per_epoch: The number of crops of an epoch.
        batch_size: The batch size of all devices together.
        rank: The number of this device.
        devices: The number of devices.

    Attributes:
        done: The crops of this epoch that this device used before the run was resumed.
    """

    def __init__(
        self, crops_per_epoch: int, batch_size: int = 1, rank: int = 0, devices: int = 1
    ) -> None:
        self.crops_per_epoch, self.epoch, self.done = crops_per_epoch, 0, 0
        self.batch_size, self.rank, self.devices = batch_size, rank, devices

    def begin_at(self, epoch: int, done: int) -> None:
        """Continue within an epoch; worker processes draw ahead before Lightning sets it."""
        self.epoch, self.done = epoch, done

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next crops."""
        if epoch != self.epoch:
            self.epoch, self.done = epoch, 0

    def __len__(self) -> int:
        return self.crops_per_epoch // self.devices

    def __iter__(self) -> Iterator[int]:
        start = self.epoch * self.crops_per_epoch
        return iter([start + each for each in self._own()][self.done :])

    def _own(self) -> Iterator[int]:
        """Yield the indices of this device's crops in an epoch, counted from 0."""
        for first in range(0, self.crops_per_epoch, self.batch_size):
            share = min(self.batch_size, self.crops_per_epoch - first) // self.devices
            yield from range(first + self.rank * share, first + (self.rank + 1) * share)


@dataclass(frozen=True, eq=False)
class Collate:
    """Combines a method's crops into batches; a class, so that it can be pickled for workers."""

    method: Method

    def __call__(self, items: Sequence[tuple[Any, ...]]) -> Batch:
        """Combine items: an image, its targets and optionally an unlabelled crop."""
        images, targets, *others = zip(*items, strict=True)
        return Batch(torch.stack(images), self.method.collate(targets), *map(torch.stack, others))


def crop_loader(crops: Any, devices: Devices = ALONE) -> DataLoader[Any]:
    """Create a loader of batches of crops, which a worker process draws during training.

    Args:
        crops: Its items are an image, its targets and optionally an unlabelled crop.
        devices: The devices of the training.
    """
    return epoch_loader(crops, crops.recipe.training, Collate(crops.method), devices)


def epoch_loader(
    items: Dataset[Any], training: TrainingSettings, collate: Callable[[Any], Any],
    devices: Devices = ALONE,
) -> DataLoader[Any]:  # fmt: skip
    """Create a loader of batches of an epoch's items, prepared by worker processes."""
    workers = training.workers
    return DataLoader(
        items,
        batch_size=training.batch_size // devices.count,
        sampler=EpochSampler(
            training.crops_per_epoch, training.batch_size, devices.rank, devices.count
        ),
        collate_fn=collate,
        num_workers=workers,
        persistent_workers=workers > 0,
        prefetch_factor=4 if workers else None,
        worker_init_fn=start_worker,
    )
