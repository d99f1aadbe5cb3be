"""Random views as parameters only: drawn by a worker process, applied on the device."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from bigkingxxl.data.augment import random_affine, random_zoom
from bigkingxxl.data.augment_settings import AugmentSettings
from bigkingxxl.data.intensity import IntensityChange
from bigkingxxl.geometry import Affine
from bigkingxxl.training.recipe import Recipe


class View(NamedTuple):
    """The parameters of one crop: image, position, intensities and noise."""

    place: int
    affine: Affine
    light: IntensityChange
    seed: int


@dataclass
class Views:
    """B crops of a pool of images.

    Attributes:
        place: int64[B], the index of the image.
        matrix: float32[B, 2, 2], the map from crop pixels to source pixels as in `Affine`.
        offset: float32[B, 2], its offset.
        light: float32[B] by the names of `IntensityChange`'s attributes.
        seed: The seed of the noise of all crops.
    """

    place: Tensor
    matrix: Tensor
    offset: Tensor
    light: dict[str, Tensor]
    seed: int

    @classmethod
    def of(cls, views: Sequence[View]) -> Views:
        """Combine views into a batch."""
        light = torch.tensor([astuple(each.light) for each in views], dtype=torch.float32)
        return cls(
            torch.tensor([each.place for each in views]),
            torch.tensor([each.affine.matrix for each in views], dtype=torch.float32),
            torch.tensor([each.affine.offset for each in views], dtype=torch.float32),
            {field.name: light[:, i] for i, field in enumerate(fields(IntensityChange))},
            views[0].seed,
        )

    def to(self, device: torch.device) -> Views:
        """Move the views to a device."""
        return replace(
            self, place=self.place.to(device), matrix=self.matrix.to(device),
            offset=self.offset.to(device),
            light={name: values.to(device) for name, values in self.light.items()},
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Viewed:
    """The properties of an image that are needed to draw a view.

    Attributes:
        shape: (H, W).
        boxes: int32[N, 4], the boxes of its cells.
        settings: The augmentation of its views.
        chance: The probability of drawing it.
    """

    shape: tuple[int, int]
    boxes: NDArray[np.int32]
    settings: AugmentSettings
    chance: float


class ViewDraws(Dataset[View]):
    """Endless views of a pool of images; item i depends only on the seed and i."""

    def __init__(self, images: Iterable[Viewed], recipe: Recipe) -> None:
        self.images, self.recipe = tuple(images), recipe
        self.chance: Any = np.array([each.chance for each in self.images])

    def __len__(self) -> int:
        return self.recipe.training.epochs * self.recipe.training.crops_per_epoch

    def __getitem__(self, index: int) -> View:
        """Draw a view."""
        rng = np.random.default_rng((self.recipe.seed, index))
        place = int(rng.choice(len(self.images), p=self.chance))
        image = self.images[place]
        zoom = random_zoom(image.settings, rng)
        affine = random_affine(image.shape, image.boxes, image.settings, rng, zoom)
        return View(
            place, affine, IntensityChange.drawn(image.settings, rng), int(rng.integers(2**62))
        )
