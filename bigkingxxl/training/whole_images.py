"""Complete images with the maps of their targets: annotated, taught, or both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bigkingxxl.decoding.flow_targets import smallest_on_top
from bigkingxxl.inference.thread_pool import Task, in_order
from bigkingxxl.io.images.image_files import open_image
from bigkingxxl.methods.base import Crop
from bigkingxxl.training.crops import CropDataset, MixedCrops
from bigkingxxl.training.teacher import Teacher
from bigkingxxl.training.unlabelled_crops import bare_pixels
from bigkingxxl.training.views import Viewed

AHEAD = 4  # images that a teacher processes in advance


@dataclass(frozen=True, eq=False)
class WholeImage:
    """An image with its maps.

    Attributes:
        pixels: float16[H, W, C + K], the channels of the image and the maps of its targets.
        labels: int32[H, W], the topmost annotated cell.
        viewed: The properties needed to draw views of it.
    """

    pixels: Tensor
    labels: Tensor
    viewed: Viewed


class AnnotatedImages(Dataset[WholeImage]):
    """The images of a crop data set, each with `share` times its probability there."""

    def __init__(self, crops: CropDataset, share: float) -> None:
        self.crops, self.share = crops, share

    def __len__(self) -> int:
        return len(self.crops.ids)

    def __getitem__(self, index: int) -> WholeImage:
        """Return an image."""
        crops, image_id = self.crops, self.crops.ids[index]
        source = crops.pixels(image_id)
        planes = source.planes.astype(np.int32)
        crop = Crop(source.image, planes, source.cell_type, source.diameter, source.ignored,
                    width=source.width)  # fmt: skip
        targets = crops.method.targets(crop)
        _, labels = smallest_on_top(planes)
        shape = (source.image.shape[1], source.image.shape[2])
        viewed = Viewed(shape, source.boxes, crops.views(image_id)[1],
                        self.share * float(crops.chance[index]))  # fmt: skip
        return WholeImage(layers(source.image, targets),
                          torch.from_numpy(labels.astype(np.int32)), viewed)  # fmt: skip


def whole_images(
    crops: CropDataset | MixedCrops, teacher: Teacher | None, unlabelled: Sequence[Path]
) -> Iterator[WholeImage]:
    """Yield the images of a run: annotated, simulated, and those that only a teacher labels.

    The teacher does not contribute to simulated images, whose annotations are exact.
    """
    share = teacher.settings.share if teacher is not None and unlabelled else 0.0
    main = crops_of(crops)
    for own, part in crop_shares(crops):
        found = annotated_images(own, part * (1 - share))
        if teacher is None or own is not main or teacher.settings.weight == 0:
            yield from (image for _, image in found)
        else:
            yield from worked_on(
                partial(taught, image, own, image_id, teacher) for image_id, image in found
            )
    if teacher is not None:
        chance = share / max(len(unlabelled), 1)
        yield from worked_on(
            partial(unannotated, path, main, teacher, chance) for path in unlabelled
        )


def annotated_images(crops: CropDataset, share: float) -> Iterator[tuple[str, WholeImage]]:
    """Yield the id and content of each image of a crop data set, prepared by worker processes."""
    workers = crops.recipe.training.workers
    made: Any = DataLoader(AnnotatedImages(crops, share), batch_size=None, num_workers=workers)
    yield from zip(crops.ids, made, strict=True)


def worked_on(tasks: Iterable[Callable[[], WholeImage]]) -> Iterator[WholeImage]:
    """Yield the results of tasks in order; threads keep a GPU busy while pixels are resized."""
    with closing(in_order((Task("", work) for work in tasks), AHEAD)) as outcomes:
        for _, outcome in outcomes:
            yield outcome.result()


def crops_of(crops: CropDataset | MixedCrops) -> CropDataset:
    """Return the crops of the data set to learn."""
    return crops.crops if isinstance(crops, MixedCrops) else crops


def crop_shares(crops: CropDataset | MixedCrops) -> list[tuple[CropDataset, float]]:
    """Return the data sets that crops come from, with their shares."""
    if isinstance(crops, MixedCrops):
        return [(crops.crops, 1 - crops.share), (crops.others, crops.share)]
    return [(crops, 1.0)]


def taught(image: WholeImage, crops: CropDataset, image_id: str, teacher: Teacher) -> WholeImage:
    """Mix the teacher's targets into those of an annotated image."""
    maps = teacher.targets(crops.data.source(image_id), image.labels.shape)
    channels = image.pixels.shape[-1] - len(maps)
    own, weight = image.pixels.float(), teacher.settings.weight
    seen = torch.from_numpy(np.moveaxis(maps, 0, -1))
    own[..., channels:] = (1 - weight) * own[..., channels:] + weight * seen
    return replace(image, pixels=own.half())


def unannotated(path: Path, crops: CropDataset, teacher: Teacher, chance: float) -> WholeImage:
    """Read an image whose targets are those of the teacher."""
    shrink, views = crops.views_of(None)
    pixels = bare_pixels(path, crops.recipe)
    pixels = pixels if shrink == 1 else pixels.shrunk(shrink)
    shape = (pixels.image.shape[1], pixels.image.shape[2])
    maps = teacher.targets(open_image(path), shape)
    viewed = Viewed(shape, pixels.boxes, views, chance)
    return WholeImage(layers(pixels.image, maps), torch.zeros(shape, dtype=torch.int32), viewed)


def layers(image: NDArray[np.float32], maps: NDArray[np.float32]) -> Tensor:
    """Interleave float32[C, H, W] and [K, H, W] as float16[H, W, C + K]."""
    both = np.concatenate((image, maps)).astype(np.float16)
    return torch.from_numpy(np.moveaxis(both, 0, -1).copy())
