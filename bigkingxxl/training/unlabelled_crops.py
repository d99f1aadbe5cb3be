"""Crops of images without annotations, one with each annotated crop."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from bigkingxxl.data.augment import AnnotatedPixels, random_view
from bigkingxxl.io.images.image_files import open_image
from bigkingxxl.training.crops import CropDataset, MixedCrops
from bigkingxxl.training.recipe import Recipe

CACHED = 400  # images kept in memory: 600 MB for those of the challenge
APART = 2  # separates these random numbers from those of annotated crops


class PairedCrop(NamedTuple):
    """An annotated crop with its targets, and an unlabelled crop."""

    image: torch.Tensor
    targets: Any
    unlabelled: torch.Tensor


class WithUnlabelled(Dataset[PairedCrop]):
    """The annotated crops, each with an unlabelled one; item i depends only on the seed and i.

    Args:
        crops: The crops of annotated images.
        paths: Images without annotations.
    """

    def __init__(self, crops: CropDataset | MixedCrops, paths: Sequence[Path]) -> None:
        self.crops, self.paths = crops, tuple(paths)
        self.method, self.recipe = crops.method, crops.recipe
        self.cache: dict[int, AnnotatedPixels] = {}

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, index: int) -> PairedCrop:
        """Return a pair of crops; both images are float32[C, h, w]."""
        rng = np.random.default_rng((self.recipe.seed, index, APART))
        pixels = self._pixels(int(rng.integers(len(self.paths))))
        view = random_view(pixels, self.recipe.augment, rng)
        return PairedCrop(*self.crops[index], torch.from_numpy(view.image))

    def _pixels(self, place: int) -> AnnotatedPixels:
        if place not in self.cache:
            while len(self.cache) >= CACHED:
                self.cache.pop(next(iter(self.cache)))
            self.cache[place] = bare_pixels(self.paths[place], self.recipe)
        return self.cache[place]


def bare_pixels(path: Path, recipe: Recipe) -> AnnotatedPixels:
    """Read an image, normalised by its own statistics, without cells."""
    source = open_image(path)
    image = recipe.normalisation.apply(source.read(), source.statistics)
    return AnnotatedPixels(
        image, np.zeros((1, *source.shape), np.int32), np.zeros((0, 4), np.int32),
        np.zeros(0, np.int16),
    )  # fmt: skip
