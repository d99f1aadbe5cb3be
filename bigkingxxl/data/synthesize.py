"""Write simulated images as a data set in the Kaggle layout, reproducible to the byte."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bigkingxxl.data.output_folder import writable_folder
from bigkingxxl.data.parallel import finished
from bigkingxxl.data.progress_reports import Track, untracked
from bigkingxxl.errors import InputError
from bigkingxxl.files import whole_file, write_json
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.kaggle import write_annotations
from bigkingxxl.io.tables.csv_table import write_table
from bigkingxxl.settings import nearest
from bigkingxxl.simulate.cell_types import CELL_TYPES
from bigkingxxl.simulate.field import simulate_field
from bigkingxxl.simulate.varied import VARIED

KINDS = (*CELL_TYPES, VARIED)
# The number of images of each type in the challenge's training set; other types have the total.
SHARES = {"astro": 131, "cort": 320, "shsy5y": 155, VARIED: 606}
SMALLEST_SIDE, MOST_PIXELS = 16, 100_000_000
ANNOTATIONS, IMAGES, FIELDS, RECORD = "train.csv", "train", "fields.csv", "synthetic.json"


@dataclass(frozen=True)
class Recipe:
    """The parameters of a synthetic data set.

    Attributes:
        images: The number of images.
        seed: The random seed.
        cell_types: The types, one per image, in the proportions of the challenge.
        size: (H, W) of each image.
    """

    images: int
    seed: int
    cell_types: tuple[str, ...] = CELL_TYPES
    size: tuple[int, int] = (520, 704)

    def __post_init__(self) -> None:
        if self.images < 1 or self.seed < 0:
            key = "images" if self.images < 1 else "seed"
            raise InputError(
                f"{self.images} images from seed {self.seed} were asked for, expected 1 image or "
                "more and a seed from 0",
                key=key,
                found=getattr(self, key),
            )
        height, width = self.size
        if min(self.size) < SMALLEST_SIDE or height * width > MOST_PIXELS:
            raise InputError(
                f"images of {height} x {width} pixels were asked for, expected sides of "
                f"{SMALLEST_SIDE} or more, and at most {MOST_PIXELS:,} pixels",
                key="size",
                found=(height, width),
                expected=SMALLEST_SIDE,
            )
        for name in self.cell_types:
            if name not in KINDS:
                raise InputError(
                    f"there is no cell type '{name}'{nearest(name, KINDS)}",
                    key="cell_type",
                    found=name,
                    expected=tuple(KINDS),
                )


@dataclass(frozen=True)
class _Plan:
    image_id: str
    cell_type: str
    seed: int
    size: tuple[int, int]
    path: Path


def synthesize(
    folder: Path, recipe: Recipe, *, workers: int | None = None, track: Track = untracked
) -> dict[str, int]:
    """Write `train/*.png`, `train.csv` and `fields.csv` (every image is a field of its own).

    Args:
        folder: The folder.
        recipe: The parameters.
        workers: The number of processes; see `parallel.finished`.
        track: Wraps iterables to show progress.

    Returns:
        The number of cells in each image, by its id.

    Raises:
        InputError: The folder contains other data, or the simulator refuses the size.
        OutputError: The folder cannot be written.
    """
    record = _record_of(recipe)
    writable_folder(folder, "choose another folder")
    _refuse_other_data(folder, record)
    plans = _plans(folder, recipe)
    made = track(finished(_make, plans, workers), len(plans), "simulating")
    cells: dict[str, Instances] = dict(made)
    ordered = {plan.image_id: cells[plan.image_id] for plan in plans}
    write_table(folder / FIELDS, ("id", "field"), ((name, name) for name in ordered))
    write_json(folder / RECORD, record)
    write_annotations(folder / ANNOTATIONS, ordered)
    return {name: len(instances) for name, instances in ordered.items()}


def simulated(folder: Path, recipe: Recipe, track: Track = untracked) -> None:
    """Write a data set into a folder that holds nothing else, unless it is there already.

    A data set with other parameters, or one that was interrupted, is replaced.

    Args:
        folder: The folder.
        recipe: The parameters.
        track: Wraps iterables to show progress.

    Raises:
        OutputError: The folder cannot be written.
    """
    if (folder / ANNOTATIONS).is_file() and _stored_record(folder) == _record_of(recipe):
        return
    # The annotations are written last, so a folder without them is incomplete.
    (folder / ANNOTATIONS).unlink(missing_ok=True)
    shutil.rmtree(folder / IMAGES, ignore_errors=True)
    synthesize(folder, recipe, track=track)


def _record_of(recipe: Recipe) -> Any:
    """Return the parameters as they are stored."""
    return json.loads(json.dumps(asdict(recipe)))


def _stored_record(folder: Path) -> Any:
    """Return the parameters of a folder's data set; None if they are missing or damaged."""
    try:
        return json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _refuse_other_data(folder: Path, record: dict[str, object]) -> None:
    """Refuse to overwrite data that a user may have annotated."""
    if not (folder / ANNOTATIONS).exists():
        return
    if _stored_record(folder) != record:
        raise InputError(
            f"{folder} already contains another data set ({ANNOTATIONS}): choose another folder",
            file=folder,
        )


def type_sequence(images: int, cell_types: Sequence[str], seed: int) -> list[str]:
    """Return the type of each image: in the proportions of the challenge, shuffled."""
    types = [name for name in KINDS if name in cell_types]
    weights = np.array([SHARES[name] for name in types], np.int64)
    counts, rest = np.divmod(images * weights, weights.sum())
    # The remainder of rounding goes to the largest fractions, the first in case of a tie.
    counts[np.argsort(-rest, kind="stable")[: images - counts.sum()]] += 1
    sequence = np.repeat(np.arange(len(types)), counts)
    return [types[index] for index in np.random.default_rng(seed).permutation(sequence)]


def _plans(folder: Path, recipe: Recipe) -> list[_Plan]:
    kinds = type_sequence(recipe.images, recipe.cell_types, recipe.seed)
    seeds = np.random.SeedSequence(recipe.seed).generate_state(recipe.images, np.uint32).tolist()
    names = [f"synthetic_{recipe.seed}_{index:05d}" for index in range(recipe.images)]
    return [
        _Plan(name, kind, seed, recipe.size, folder / IMAGES / f"{name}.png")
        for name, kind, seed in zip(names, kinds, seeds, strict=True)
    ]


def _make(plan: _Plan) -> tuple[str, Instances]:
    from PIL import Image

    field = simulate_field(plan.cell_type, size=plan.size, seed=plan.seed)
    with whole_file(plan.path) as temporary:
        Image.fromarray(field.image).save(temporary, format="PNG")
    instances = Instances.from_crops(
        [(cell.row0, cell.col0) for cell in field.cells],
        [cell.mask for cell in field.cells],
        plan.size,
        cell_type=np.full(len(field.cells), KINDS.index(plan.cell_type)),
        type_names=KINDS,
    )
    return plan.image_id, instances
