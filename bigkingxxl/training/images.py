"""Which images a run trains on, and which it is judged by."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from bigkingxxl.data.dataset import Dataset
from bigkingxxl.data.joined import JoinedDataset
from bigkingxxl.data.split import fold_ids, folds_path
from bigkingxxl.data.subset import ids_of_types
from bigkingxxl.errors import InputError
from bigkingxxl.instances import NO_TYPE
from bigkingxxl.training.recipe import Recipe
from bigkingxxl.training.selection import label, spread, spread_by

EVERY_IMAGE = -1


@dataclass(frozen=True)
class RunImages:
    """Which images a run trains on, and which it is judged by.

    Attributes:
        fold: the validation fold, -1 for none.
        training, validation: ids; without a fold the same ones.
        shown: ids that are predicted after each epoch.
        watches: the validation images choose nothing, and the last weights are kept.
    """

    fold: int
    training: tuple[str, ...]
    validation: tuple[str, ...]
    shown: tuple[str, ...] = field(default=())
    watches: bool = False

    @property
    def chooses(self) -> bool:
        """True where validation images choose the checkpoint."""
        return self.fold != EVERY_IMAGE and not self.watches

    @property
    def keeps_back(self) -> bool:
        """True where no validation image trains."""
        return not set(self.validation) & set(self.training)


def choose_images(
    recipe: Recipe, data: Dataset, fold: int | None = None, folds_file: Path | None = None
) -> RunImages:
    """The images of a run; without a fold all of them train, and some are watched.

    Only images of the recipe's cell types are among them. The folds are those of the whole data
    set, so that models of one type each can be scored together.

    Raises:
        InputError: an unknown cell type, no such fold, one without images of the types, no cells.
    """
    ids = ids_of_types(data, recipe.cell_types) if recipe.cell_types else data.ids
    if isinstance(data, JoinedDataset):
        return images_of_sets(data, set(ids), fold, recipe.training.validation_images)
    if fold is None:
        own_split = folds_file is not None or folds_path(data).is_file()
        is_small = len(ids) < recipe.training.small_set
        fold = EVERY_IMAGE if is_small and not own_split else 0
    if fold == EVERY_IMAGE:
        images = RunImages(fold, ids, ids)
    else:
        wanted = set(ids)
        training, validation = (
            tuple(image_id for image_id in part if image_id in wanted)
            for part in fold_ids(data, fold, folds_file=folds_file)
        )
        images = RunImages(fold, training, validation)
        if not training or not validation:
            raise InputError(
                f"{data.root}: fold {fold} leaves {len(training)} images of the cell type "
                f"{' or '.join(recipe.cell_types)} to train and {len(validation)} to validate on, "
                "expected some of both",
                file=data.root,
                key="cell_types",
                found=(len(training), len(validation)),
                expected=tuple(recipe.cell_types),
            )
    if not any(len(data.instances(image_id)) for image_id in images.training):
        raise InputError(
            f"{data.root}: the images to train on have no annotated cells", file=data.root
        )
    return replace(images, shown=spread(images.validation, data, recipe.training.validation_images))


def images_of_sets(data: JoinedDataset, ids: set[str], fold: int | None, count: int) -> RunImages:
    """The images of a run on several data sets: see `JoinedDataset.fold_ids`.

    The few images that are watched choose nothing: they are of other laboratories than those the
    model is for.
    """
    training, watched = (
        tuple(image_id for image_id in part if image_id in ids) for part in data.fold_ids(fold)
    )
    if not training:
        raise InputError(f"{data.root}: no image is left to train on", file=data.root)
    shown = spread_by({image_id: label(data, image_id) for image_id in watched or training}, count)
    chosen = EVERY_IMAGE if fold == EVERY_IMAGE or not watched else fold or 0
    return RunImages(chosen, training, watched or training, shown, watches=True)


def with_types(data: Dataset, untyped: str) -> Dataset:
    """The data set without the type `NO_TYPE`, where cells without a type are of an unknown one."""
    if untyped == "none" or not isinstance(data, JoinedDataset):
        return data
    known = tuple(name for name in data.type_names if name != NO_TYPE)
    return replace(data, type_names=known) if known else data
