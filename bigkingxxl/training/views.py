"""Random views as numbers alone: drawn by a worker process, looked through on the device."""

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
    """One crop: of which image, where, in what light, and what makes its noise."""

    place: int
    affine: Affine
    light: IntensityChange
    seed: int


@dataclass
class Views:
    """B crops of a pool of images.

    Attributes:
        place: int64[B], the image; matrix, offset: float32[B, 2, 2] and [B, 2], source pixels of
            crop pixels as in `Affine`.
        light: float32[B] by the names of `IntensityChange`'s attributes.
        seed: of the noise of them all.
    """

    place: Tensor
    matrix: Tensor
    offset: Tensor
    light: dict[str, Tensor]
    seed: int

    @classmethod
    def of(cls, views: Sequence[View]) -> Views:
        """A batch of single ones."""
        light = torch.tensor([astuple(each.light) for each in views], dtype=torch.float32)
        return cls(
            torch.tensor([each.place for each in views]),
            torch.tensor([each.affine.matrix for each in views], dtype=torch.float32),
            torch.tensor([each.affine.offset for each in views], dtype=torch.float32),
            {field.name: light[:, i] for i, field in enumerate(fields(IntensityChange))},
            views[0].seed,
        )

    def to(self, device: torch.device) -> Views:
        """The same on a device."""
        return replace(
            self, place=self.place.to(device), matrix=self.matrix.to(device),
            offset=self.offset.to(device),
            light={name: values.to(device) for name, values in self.light.items()},
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Viewed:
    """What drawing a view asks of an image.

    Attributes:
        shape: (H, W); boxes: int32[N, 4] of its cells; settings: of its views.
        chance: of being drawn.
    """

    shape: tuple[int, int]
    boxes: NDArray[np.int32]
    settings: AugmentSettings
    chance: float


class ViewDraws(Dataset[View]):
    """Endless views of a pool of images: item i is a function of the seed and i."""

    def __init__(self, images: Iterable[Viewed], recipe: Recipe) -> None:
        self.images, self.recipe = tuple(images), recipe
        self.chance: Any = np.array([each.chance for each in self.images])

    def __len__(self) -> int:
        return self.recipe.training.epochs * self.recipe.training.crops_per_epoch

    def __getitem__(self, index: int) -> View:
        """See `View`."""
        rng = np.random.default_rng((self.recipe.seed, index))
        place = int(rng.choice(len(self.images), p=self.chance))
        image = self.images[place]
        zoom = random_zoom(image.settings, rng)
        affine = random_affine(image.shape, image.boxes, image.settings, rng, zoom)
        return View(
            place, affine, IntensityChange.drawn(image.settings, rng), int(rng.integers(2**62))
        )
