"""The validation images of each fold, checked before training starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bigkingxxl.data.dataset import Dataset
from bigkingxxl.data.groups import Groups, find_groups
from bigkingxxl.data.joined import JoinedDataset
from bigkingxxl.data.split import (
    FOLDS,
    FOLDS_FILE,
    assign_folds,
    folds_of_images,
    folds_path,
)
from bigkingxxl.data.subset import ids_of_types
from bigkingxxl.errors import InputError
from bigkingxxl.training.recipe import Recipe


@dataclass(frozen=True)
class Plan:
    """The folds of a data set.

    Attributes:
        fold_of: The fold of every image of the data set.
        validation: The validation images of each fold, of the recipe's cell types only.
        groups: The group of each image.
    """

    fold_of: dict[str, int]
    validation: dict[int, tuple[str, ...]]
    groups: Groups

    @property
    def folds(self) -> tuple[int, ...]:
        """The numbers of the folds."""
        return tuple(self.validation)

    @property
    def divided(self) -> int:
        """Count the groups of images that are split between folds."""
        folds: dict[str, set[int]] = {}
        for image_id, fold in self.fold_of.items():
            folds.setdefault(self.groups.of.get(image_id, image_id), set()).add(fold)
        return sum(len(own) > 1 for own in folds.values())

    @property
    def ids(self) -> tuple[str, ...]:
        """All images."""
        return tuple(image_id for own in self.validation.values() for image_id in own)


def make_plan(
    recipe: Recipe, data: Dataset, out: Path, count: int | None = None, file: Path | None = None
) -> Plan:
    """Return the folds that `out` started with, else those of a file, of the data set, or new ones.

    New folds keep images of one field, well or sample together (`data.split.assign_folds`).

    Args:
        recipe: The recipe.
        data: The data set.
        out: The folder of the cross-validation.
        count: The number of new folds.
        file: A split as `bigkingxxl data split` writes it.

    Raises:
        InputError: There are several data sets, `out` started with other folds, there are fewer
            images or groups than folds, or a fold has no image of the recipe's types or no cell.
    """
    if isinstance(data, JoinedDataset):
        raise InputError(
            f"--fold all needs one data set, found {len(data.parts)}: of several each is left out "
            "in turn by --leave-out",
            key="--fold",
            found=len(data.parts),
            expected=1,
        )
    if recipe.finetune is not None:
        raise InputError(
            "a fine-tuning keeps images back in turn by itself: leave --fold all out", key="--fold"
        )
    groups = find_groups(data)
    kept = out / FOLDS_FILE
    fold_of = _split(data, groups, count, file, kept)
    numbers = sorted(set(fold_of.values()))
    if len(numbers) < 2:
        raise InputError(
            f"{file or kept} has only one fold, expected two or more",
            file=file or kept,
            key="--fold",
            found=1,
        )
    wanted = ids_of_types(data, recipe.cell_types) if recipe.cell_types else data.ids
    validation = {fold: tuple(each for each in wanted if fold_of[each] == fold) for fold in numbers}
    _check(data, recipe, validation)
    return Plan(fold_of, validation, groups)


def _check(data: Dataset, recipe: Recipe, validation: dict[int, tuple[str, ...]]) -> None:
    """Check that every fold can be trained and validated.

    Raises:
        InputError: A fold cannot, which the message names.
    """
    of_types = f" of the cell type {' or '.join(recipe.cell_types)}" if recipe.cell_types else ""
    advice = "use fewer --folds, or annotate more images"
    for fold, own in validation.items():
        if not own:
            raise InputError(
                f"{data.root}: fold {fold} has no image{of_types}: {advice}",
                file=data.root,
                key="--fold",
                found=fold,
            )
        if not any(len(data.read_instances(image_id)) for image_id in own):
            raise InputError(
                f"{data.root}: fold {fold} has no annotated cell{of_types} in its {len(own)} "
                f"images: {advice}",
                file=data.root,
                key="--fold",
                found=fold,
            )


def _split(
    data: Dataset, groups: Groups, count: int | None, file: Path | None, kept: Path
) -> dict[str, int]:
    """Return the fold of each image."""
    begun = folds_of_images(data, kept) if kept.is_file() else None
    wanted: dict[str, int] | None = None
    if file is not None:
        wanted = folds_of_images(data, file)
    elif count is not None:
        wanted = _new(data, groups, count)
    elif begun is None and folds_path(data).is_file():
        wanted = folds_of_images(data, folds_path(data))
    if begun is not None:
        if wanted is not None and wanted != begun:
            raise InputError(
                f"{kept.parent}: the run began with other folds ({kept}): leave --folds out, or "
                "choose another --out",
                file=kept,
                key="--folds",
                found=count,
            )
        return begun
    return _new(data, groups, FOLDS) if wanted is None else wanted


def _new(data: Dataset, groups: Groups, count: int) -> dict[str, int]:
    if count < 2:
        raise InputError(
            f"--folds is {count}, expected 2 or more", key="--folds", found=count, expected=2
        )
    if len(data.ids) < count:
        raise InputError(
            f"{data.root}: {len(data.ids)} annotated images cannot be split into {count} folds: "
            + _fewer(len(data.ids)),
            key="--folds",
            found=count,
            expected=len(data.ids),
        )
    if groups.count < count:
        raise InputError(
            f"{data.root}: {len(data.ids)} images in {groups.count} groups (by "
            f"{groups.grouped_by}) cannot be split into {count} folds: " + _fewer(groups.count),
            key="--folds",
            found=count,
            expected=groups.count,
        )
    return assign_folds(data, folds=count, groups=groups).fold


def _fewer(most: int) -> str:
    return f"take --folds {most}" if most > 1 else "annotate images of another field or sample"
