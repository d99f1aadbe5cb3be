"""Crops for knowledge distillation, of images with and without annotations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from bigkingxxl.cell_widths import typical_size
from bigkingxxl.data.augment import AnnotatedPixels, RandomView, random_view
from bigkingxxl.data.joined import JoinedDataset
from bigkingxxl.data.progress_reports import Track, untracked
from bigkingxxl.errors import InputError
from bigkingxxl.files import write_json
from bigkingxxl.inference.load_model import load_predictor
from bigkingxxl.inference.selection import select
from bigkingxxl.io.images.image_files import open_image
from bigkingxxl.methods.base import Batch, Crop, Method
from bigkingxxl.model_files import resolve_model
from bigkingxxl.training.crops import CropDataset, MixedCrops
from bigkingxxl.training.recipe import Recipe, TeacherSettings
from bigkingxxl.training.run_folder import read_facts
from bigkingxxl.training.unlabelled_crops import CACHED, bare_pixels

APART = 3  # separates these random numbers from those of the crops
SIZES = "unlabelled_sizes.json"


class DistillationCrop(NamedTuple):
    """A crop with its targets and the teacher's input, the crop with its original intensities."""

    image: torch.Tensor
    targets: Any
    clean: torch.Tensor | None


class DistillationCrops(Dataset[DistillationCrop]):
    """Crops for a run with a teacher; item i depends only on the seed and i.

    The teacher does not contribute to simulated images, whose annotations are exact, nor to crops
    whose cells are far larger or smaller than it knows.

    Args:
        crops: The crops of annotated images.
        sizes: Images without annotations and their cell sizes (see `unlabelled_sizes`); they
            provide the fraction `teacher.share` of the crops.
        teacher: The settings of the recipe.
    """

    def __init__(
        self,
        crops: CropDataset | MixedCrops,
        sizes: Mapping[Path, float | None],
        teacher: TeacherSettings,
    ) -> None:
        self.crops, self.sizes, self.teacher = crops, sizes, teacher
        self.paths = tuple(sizes)
        self.main = crops.crops if isinstance(crops, MixedCrops) else crops
        self.method, self.recipe = crops.method, crops.recipe
        self.cache: dict[int, AnnotatedPixels] = {}

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, index: int) -> DistillationCrop:
        """Return a crop; images are float32[C, h, w]."""
        rng = np.random.default_rng((self.recipe.seed, index, APART))
        if self.paths and rng.random() < self.teacher.share:
            return self._unlabelled(rng)
        source = self.crops.source(index) if isinstance(self.crops, MixedCrops) else self.crops
        image_id, view, targets = source.view(index)
        shows = source is self.main and not view.is_wide and self.is_taught(image_id)
        return DistillationCrop(
            torch.from_numpy(view.image), targets, _clean(view) if shows else None
        )

    def is_taught(self, image_id: str) -> bool:
        """Return whether the teacher contributes to an annotated image."""
        sets, data = self.teacher.sets, self.main.data
        if not sets or not isinstance(data, JoinedDataset):
            return self.teacher.weight > 0
        return self.teacher.weight > 0 and data.set_of(image_id) in sets

    def _unlabelled(self, rng: np.random.Generator) -> DistillationCrop:
        place = int(rng.integers(len(self.paths)))
        augment = self.main.views_of(None, self.sizes[self.paths[place]])[1]
        view = random_view(self._pixels(place), augment.changed(wide_share=0.0), rng)
        blank = Crop(view.image, view.planes, np.zeros(0, np.int16), view.diameter,
                     np.ones(view.image.shape[1:], bool), width=view.diameter)  # fmt: skip
        return DistillationCrop(
            torch.from_numpy(view.image), self.method.targets(blank), _clean(view)
        )

    def _pixels(self, place: int) -> AnnotatedPixels:
        if place not in self.cache:
            while len(self.cache) >= CACHED:
                self.cache.pop(next(iter(self.cache)))
            path = self.paths[place]
            pixels = bare_pixels(path, self.recipe)
            shrink = self.main.views_of(None, self.sizes[path])[0]
            self.cache[place] = pixels if shrink == 1 else pixels.shrunk(shrink)
        return self.cache[place]


def _clean(view: RandomView) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(view.clean, np.float32))


@dataclass(frozen=True, eq=False)
class DistillationCollate:
    """Combines taught crops into batches; a class, so that it can be pickled for workers."""

    method: Method

    def __call__(self, items: Sequence[DistillationCrop]) -> Batch:
        """Combine crops into a batch."""
        seen = [(place, item.clean) for place, item in enumerate(items) if item.clean is not None]
        batch = Batch(torch.stack([item.image for item in items]),
                      self.method.collate([item.targets for item in items]))  # fmt: skip
        if seen:
            batch.taught = torch.tensor([place for place, _ in seen])
            batch.clean = torch.stack([clean for _, clean in seen])
        return batch


def check_taught(method: Method) -> None:
    """Check that a method can learn from images without annotations.

    Raises:
        InputError: It learns from completely annotated crops only.
    """
    if not method.learns_partly:
        raise InputError(
            f"the method '{method.name}' with these settings cannot learn from images without "
            "annotation by a teacher: add --no-unlabelled",
            key="--no-unlabelled",
            found=method.name,
        )


def unlabelled_sizes(
    paths: Sequence[Path], recipe: Recipe, out: Path, device: str, track: Track = untracked
) -> dict[Path, float | None]:
    """Return the median cell diameter or width in each image, as the first teacher measures it.

    It is None if the recipe does not scale images to one size, or if nothing is found. The result
    is stored in the run folder, so that a resumed run draws the same crops.
    """
    augment, teacher = recipe.augment, recipe.teacher
    if teacher is None or augment.diameter is None or not paths:
        return dict.fromkeys(paths)
    names, kept = [path.name for path in paths], out / SIZES
    before = read_facts(kept)
    if before.get("images") == names:
        return dict(zip(paths, before["sizes"], strict=True))
    predictor, card = load_predictor(resolve_model(teacher.models[0]), device)
    by_width, found = augment.diameter_of == "width", {}
    for path in track(paths, len(paths), "measuring cell sizes"):
        cells = select(predictor.candidates(open_image(path)), card.operating_points)
        found[path] = typical_size(cells, by_width=by_width)
    # Files in different folders may have the same name, so names cannot be keys.
    write_json(kept, {"images": names, "sizes": list(found.values())})
    return found
