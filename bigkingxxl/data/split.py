"""Folds of a data set: deterministic, stratified by cell type, balanced in images and cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.data.groups import Groups, find_groups
from bigkingxxl.errors import FormatError, InputError
from bigkingxxl.io.tables.csv_table import read_table, write_table

if TYPE_CHECKING:
    from bigkingxxl.data.dataset import Dataset

FOLDS = 5
FOLDS_FILE = "folds.csv"
COLUMNS = ("id", "fold")
NO_CELLS = "no cells"
# Images count more than cells, because the score of a fold is a mean over images.
CELL_WEIGHT = 0.5
SWAP_PASSES = 10


@dataclass(frozen=True)
class FoldAssignment:
    """The validation fold of each image.

    Attributes:
        fold: The fold 0 .. folds - 1 by image id.
        folds: The number of folds.
        groups: The number of groups of images that were kept together.
        grouped_by: How the groups were found; see `groups.Groups`.
    """

    fold: dict[str, int]
    folds: int
    groups: int
    grouped_by: str

    def training(self, fold: int) -> tuple[str, ...]:
        """Return the training ids of a fold."""
        return tuple(name for name, own in self.fold.items() if own != fold)

    def validation(self, fold: int) -> tuple[str, ...]:
        """Return the validation ids of a fold."""
        return tuple(name for name, own in self.fold.items() if own == fold)


def assign_folds(
    dataset: Dataset, *, folds: int = FOLDS, seed: int = 0, groups: Groups | None = None
) -> FoldAssignment:
    """Split the annotated images of a data set into folds, keeping groups together.

    Groups are assigned in descending order of size, each to the fold that it brings closest to an
    equal share of every cell type's images and cells. The split is determined by data, folds and
    seed.

    Args:
        dataset: The data set.
        folds: The number of folds.
        seed: The random seed.
        groups: The groups, if they are already known.

    Raises:
        InputError: There are fewer than two folds, or fewer groups than folds.
    """
    if folds < 2:
        raise InputError(
            f"{folds} folds were asked for, expected 2 or more",
            key="--folds",
            found=folds,
            expected=2,
        )
    groups = groups or find_groups(dataset)
    members = groups.members
    if len(members) < folds:
        raise InputError(
            f"{dataset.root}: {len(dataset.ids)} images in {len(members)} groups (by "
            f"{groups.grouped_by}) cannot be split into {folds} folds",
            file=dataset.root,
            key="--folds",
            found=folds,
            expected=len(members),
        )
    features = _features(dataset, list(members.values()), folds)
    dealt = _without_empty(_deal(features, folds, seed), features, folds)
    fold_of = {name: int(own) for own, names in zip(dealt, members.values(), strict=True)
               for name in names}  # fmt: skip
    ordered = {name: fold_of[name] for name in dataset.ids}
    return FoldAssignment(ordered, folds, len(members), groups.grouped_by)


def _features(dataset: Dataset, members: list[list[str]], folds: int) -> NDArray[np.float64]:
    """Return each group's share of the images, then of the cells, of every type, float64[G, F].

    A type with fewer groups than folds cannot be balanced; the share of all images is added then.
    """
    kinds = {name: dataset.cell_type(name) or NO_CELLS for name in dataset.ids}
    names = sorted(set(kinds.values()))
    counts = np.zeros((len(members), 2, len(names)))
    for row, group in enumerate(members):
        for image in group:
            counts[row, :, names.index(kinds[image])] += 1, len(dataset.read_instances(image))
    shares: NDArray[np.float64] = counts / np.maximum(counts.sum(axis=0), 1)
    shares[:, 1] *= CELL_WEIGHT
    features = shares.reshape(len(members), 2 * len(names))
    if (np.count_nonzero(counts[:, 0], axis=0) < folds).any():
        images = counts[:, 0].sum(axis=1, keepdims=True)
        features = np.hstack((features, images / images.sum()))
    return features


def _without_empty(
    dealt: NDArray[np.int64], features: NDArray[np.float64], folds: int
) -> NDArray[np.int64]:
    """Give every fold a group: the smallest one of the fold with the most."""
    counts = np.bincount(dealt, minlength=folds)
    for empty in np.flatnonzero(counts == 0):
        rich = np.flatnonzero(dealt == counts.argmax())
        dealt[rich[features[rich].sum(axis=1).argmin()]] = empty
        counts = np.bincount(dealt, minlength=folds)
    return dealt


def _deal(features: NDArray[np.float64], folds: int, seed: int) -> NDArray[np.int64]:
    """Assign groups to folds, int64[G], so that every column has similar sums in all folds."""
    shuffled = np.random.default_rng(seed).permutation(len(features))
    order = shuffled[np.argsort(-features[shuffled].max(axis=1), kind="stable")]
    target = features.sum(axis=0) / folds
    load = np.zeros((folds, features.shape[1]))
    dealt = np.zeros(len(features), np.int64)
    # A random preference prevents fold 0 from getting the largest group of every type.
    preference = np.random.default_rng([seed, 1]).permutation(folds)
    for group in order:
        excess = 2 * (load - target) @ features[group]
        best = preference[np.argmin(np.round(excess[preference], 12))]
        load[best] += features[group]
        dealt[group] = best
    return _swap(features, dealt, load)


def _swap(
    features: NDArray[np.float64], dealt: NDArray[np.int64], load: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Exchange groups between folds as long as the squared loads decrease."""
    improved, passes = True, 0
    while improved and passes < SWAP_PASSES:
        improved, passes = False, passes + 1
        for one in range(len(dealt)):
            move = features - features[one]
            gap = load[dealt[one]] - load[dealt]
            change = (move * gap).sum(axis=1) + (move * move).sum(axis=1)
            change[dealt == dealt[one]] = 0
            other = int(np.argmin(np.round(change, 12)))
            if change[other] < -1e-9:
                load[dealt[one]] += move[other]
                load[dealt[other]] -= move[other]
                dealt[[one, other]] = dealt[[other, one]]
                improved = True
    return dealt


def fold_table(dataset: Dataset, fold: Mapping[str, int]) -> dict[str, list[tuple[int, int]]]:
    """Count images and cells of each type in each fold, for `data split` to print."""
    folds = max(fold.values(), default=-1) + 1
    table: dict[str, NDArray[np.int64]] = {}
    for name, own in fold.items():
        rows = table.setdefault(dataset.cell_type(name) or NO_CELLS, np.zeros((folds, 2), np.int64))
        rows[own] += 1, len(dataset.read_instances(name))
    return {kind: [(int(a), int(b)) for a, b in table[kind]] for kind in sorted(table)}


def folds_path(dataset: Dataset) -> Path:
    """Return the path of a data set's own split, `folds.csv` in its folder."""
    root = dataset.root
    return (root if root.is_dir() else root.parent) / FOLDS_FILE


def write_folds(path: Path, fold: Mapping[str, int]) -> None:
    """Write a table of ids and folds.

    Raises:
        OutputError: The file cannot be written.
    """
    write_table(path, COLUMNS, fold.items())


def read_folds(path: Path) -> dict[str, int]:
    """Read the fold of each image from a file of `write_folds`.

    Raises:
        InputError: The file does not exist.
        FormatError: A column is missing, an id occurs twice, or a fold is not a non-negative
            integer.
    """
    table = read_table(path, COLUMNS)
    fold: dict[str, int] = {}
    for name, text, line in zip(*(table.columns[key] for key in COLUMNS), table.lines, strict=True):
        if name in fold:
            raise FormatError(
                f"{path}, line {line}: image {name} occurs twice",
                file=path,
                key=name,
                line=line,
            )
        if not text.strip().isdecimal():
            raise FormatError(
                f"{path}, line {line}: the fold '{text}', expected 0, 1, 2 ...",
                file=path,
                key="fold",
                found=text,
                line=line,
            )
        fold[name] = int(text)
    return fold


def fold_ids(
    dataset: Dataset, fold: int, *, folds_file: Path | None = None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the training and the validation ids of a fold, in the order of the data set.

    The split is `folds_file`, else `folds.csv` in the folder of the data set, else that of
    `assign_folds` (with fewer folds if there are fewer than five groups).

    Raises:
        InputError: There is no such fold, it leaves nothing to train or to validate on, or the file
            does not name every image.
    """
    path = folds_path(dataset) if folds_file is None else folds_file
    if folds_file is not None or path.is_file():
        of, where = folds_of_images(dataset, path), path
    else:
        groups = find_groups(dataset)
        folds = max(2, min(FOLDS, groups.count))
        of, where = assign_folds(dataset, folds=folds, groups=groups).fold, dataset.root
    training = tuple(name for name in dataset.ids if of[name] != fold)
    validation = tuple(name for name in dataset.ids if of[name] == fold)
    if not training or not validation:
        raise InputError(
            f"{where} has the folds {sorted(set(of.values()))}: fold {fold} leaves {len(training)} "
            f"images to train and {len(validation)} to validate on",
            key="--fold",
            found=fold,
            expected=tuple(sorted(set(of.values()))),
        )
    return training, validation


def folds_of_images(dataset: Dataset, path: Path) -> dict[str, int]:
    """Read the fold of each image of a data set from a file that may name others as well.

    Raises:
        InputError: The file does not exist.
        FormatError: See `read_folds`; or an image is missing.
    """
    stored = read_folds(path)
    missing = [name for name in dataset.ids if name not in stored]
    if missing:
        raise FormatError(
            f"{path} names no fold for {len(missing)} of {len(dataset.ids)} images, the first "
            f"is {missing[0]}: make it again with `bigkingxxl data split`",
            file=path,
            key=missing[0],
            found=len(missing),
        )
    return {name: stored[name] for name in dataset.ids}
