"""The training and validation images of a run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from bigkingxxl.data.dataset import Dataset
from bigkingxxl.data.joined import JoinedDataset
from bigkingxxl.data.split import fold_ids, folds_path
from bigkingxxl.data.subset import ids_of_types
from bigkingxxl.errors import InputError
from bigkingxxl.instances import NO_TYPE
from bigkingxxl.training.even_sampling import evenly_by_kind, evenly_by_type, label
from bigkingxxl.training.recipe import Recipe

EVERY_IMAGE = -1


@dataclass(frozen=True)
class RunImages:
    """The training and validation images of a run.

    Attributes:
        fold: The validation fold; -1 for none.
        training: The ids of the training images.
        validation: The ids of the validation images; without a fold, the training images.
        shown: The ids that are predicted after each epoch.
        watches: Whether the validation images choose nothing, so that the last weights are kept.
    """

    fold: int
    training: tuple[str, ...]
    validation: tuple[str, ...]
    shown: tuple[str, ...] = field(default=())
    watches: bool = False

    @property
    def chooses(self) -> bool:
        """Whether validation images choose the checkpoint."""
        return self.fold != EVERY_IMAGE and not self.watches

    @property
    def keeps_back(self) -> bool:
        """Whether no validation image is used for training."""
        return not set(self.validation) & set(self.training)


def choose_images(
    recipe: Recipe, data: Dataset, fold: int | None = None, folds_file: Path | None = None
) -> RunImages:
    """Choose the images of a run; without a fold all are trained on, and some are monitored.

    Only images of the recipe's cell types are used. The folds are those of the whole data set, so
    that models of single types can be scored together.

    Raises:
        InputError: A cell type is unknown, there is no such fold, it has no image of the types, or
            there are no cells.
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
                "expected one or more of both",
                file=data.root,
                key="cell_types",
                found=(len(training), len(validation)),
                expected=tuple(recipe.cell_types),
            )
    if not any(len(data.instances(image_id)) for image_id in images.training):
        raise InputError(
            f"{data.root}: the images to train on have no annotated cells", file=data.root
        )
    return replace(
        images, shown=evenly_by_type(images.validation, data, recipe.training.validation_images)
    )


def images_of_sets(data: JoinedDataset, ids: set[str], fold: int | None, count: int) -> RunImages:
    """Choose the images of a run on several data sets; see `JoinedDataset.fold_ids`.

    The few monitored images choose nothing, because they come from other laboratories than the
    images for which the model is intended.
    """
    training, watched = (
        tuple(image_id for image_id in part if image_id in ids) for part in data.fold_ids(fold)
    )
    if not training:
        raise InputError(f"{data.root}: no image is left to train on", file=data.root)
    shown = evenly_by_kind(
        {image_id: label(data, image_id) for image_id in watched or training}, count
    )
    chosen = EVERY_IMAGE if fold == EVERY_IMAGE or not watched else fold or 0
    return RunImages(chosen, training, watched or training, shown, watches=True)


def with_types(data: Dataset, untyped: str) -> Dataset:
    """Replace the type `NO_TYPE` of a data set by an unknown type, if `untyped` asks for it."""
    if untyped == "none" or not isinstance(data, JoinedDataset):
        return data
    known = tuple(name for name in data.type_names if name != NO_TYPE)
    return replace(data, type_names=known) if known else data
