"""What is compared: the annotated cells of TRUTH and the cells of PREDICTIONS, of any format."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from bigkingxxl.data.dataset import open_dataset
from bigkingxxl.data.layout_coco import annotation_files
from bigkingxxl.data.layout_kaggle import ANNOTATIONS, is_kaggle
from bigkingxxl.data.layout_pairs import is_pairs
from bigkingxxl.data.split import fold_ids
from bigkingxxl.errors import FormatError, InputError
from bigkingxxl.inference.selection import mask_nms
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.coco import CocoSet, read_coco, read_results
from bigkingxxl.io.annotations.kaggle import read_annotations, read_submission
from bigkingxxl.io.annotations.label_images import label_instances, read_label_folder
from bigkingxxl.io.images.image_files import images_in
from bigkingxxl.operating_points import SelectKnobs

Size = tuple[int, int]
Ids = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Truth:
    """Annotated images.

    Attributes:
        path: the file or folder.
        ids: the images; type_names: the cell types.
        instances: the annotated cells of an image; they may overlap.
        known: the COCO set, where it is one, or the sizes (H, W) by id.
        notes: a sentence for everything that a reader of the scores should know.
    """

    path: Path
    ids: Ids
    type_names: tuple[str, ...]
    instances: Callable[[str], Instances] = field(repr=False)
    known: CocoSet | Mapping[str, Size] = field(repr=False)
    notes: tuple[str, ...] = ()

    @cached_property
    def sizes(self) -> Mapping[str, Size]:
        """(H, W) of each image."""
        return self.known.sizes if isinstance(self.known, CocoSet) else self.known


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predicted cells.

    Attributes:
        cells: disjoint cells by image id, for the competition metric.
        masks: what COCO's evaluation takes: scored masks where there are any, else the same cells.
        notes: a sentence for everything that a reader of the scores should know.
    """

    cells: dict[str, Instances]
    masks: dict[str, Instances]
    notes: tuple[str, ...] = ()


def read_truth(path: Path) -> Truth:
    """A Kaggle `train.csv`, a COCO annotation file, a data folder or a folder of label images.

    The images themselves are not needed, except in a folder of image and label pairs.

    Raises:
        InputError: nothing is there; FormatError: what is there breaks its format's rules.
    """
    if not path.exists():
        raise InputError(f"there is no truth at {path}")
    if path.is_dir():
        return _truth_folder(path)
    if path.suffix.lower() == ".json":
        return _coco_truth(path)
    table = read_annotations(path)
    return Truth(path, table.ids, table.type_names, table.instances, table.sizes)


def _coco_truth(path: Path) -> Truth:
    coco = read_coco(path)
    notes: tuple[str, ...] = ()
    if coco.crowds:
        notes = (f"{coco.crowds} crowd annotations of {path.name} are left out",)
    return Truth(path, coco.ids, coco.type_names, coco.instances, coco, notes)


def _truth_folder(folder: Path) -> Truth:
    if is_kaggle(folder):
        return read_truth(folder / ANNOTATIONS)
    if is_pairs(folder) and ((folder / "images").is_dir() or images_in(folder)):
        dataset = open_dataset(folder)
        cells = {image_id: dataset.read_instances(image_id) for image_id in dataset.ids}
        return _truth_of(folder, cells, dataset.type_names)
    if annotation_files(folder):
        return _coco_truth(open_dataset(folder).root)
    cells = {name: label_instances(path) for name, path in read_label_folder(folder).items()}
    return _truth_of(folder, cells, ("cell",))


def _truth_of(path: Path, cells: dict[str, Instances], type_names: tuple[str, ...]) -> Truth:
    sizes = {image_id: found.size for image_id, found in cells.items()}
    return Truth(path, tuple(cells), type_names, cells.__getitem__, sizes)


def majority_type(cells: Instances) -> str | None:
    """The type of most cells, the first of equals; None without cells."""
    if not len(cells):
        return None
    return cells.type_names[int(np.bincount(cells.cell_type).argmax())]


def read_predictions(path: Path, truth: Truth) -> Predictions:
    """A submission csv, a COCO results json or a folder of label images.

    Raises:
        InputError: nothing is there; FormatError: what is there breaks its format's rules.
    """
    if path.is_dir():
        return _label_predictions(path, truth)
    if path.suffix.lower() == ".csv":
        cells = read_submission(path, truth.sizes)
        return Predictions(cells, cells)
    if path.suffix.lower() == ".json":
        return _coco_predictions(path, truth)
    if not path.exists():
        raise InputError(f"there are no predictions at {path}")
    raise InputError(
        f"{path} is neither a submission (.csv), COCO results (.json) nor a folder of label images"
    )


def _label_predictions(folder: Path, truth: Truth) -> Predictions:
    paths = read_label_folder(folder)
    unknown = [name for name in paths if name not in truth.sizes]
    cells = {name: label_instances(path) for name, path in paths.items() if name in truth.sizes}
    notes: tuple[str, ...] = ()
    if unknown:
        notes = (f"{len(unknown)} label images are of no image in {truth.path}: {unknown[0]} ...",)
    return Predictions(cells, cells, notes)


def _coco_predictions(path: Path, truth: Truth) -> Predictions:
    masks = read_results(path, truth.known, truth.type_names)
    knobs = SelectKnobs()
    cells = {image_id: disjoint_by_score(found, knobs) for image_id, found in masks.items()}
    note = (
        "the competition mAP is of disjoint cells: masks of score "
        f"{knobs.score_threshold:g} or more and {knobs.minimum_area:g} pixels or more, without "
        f"those that overlap a surer one by an IoU above {knobs.nms_iou:g}, painted in score order"
    )
    return Predictions(cells, masks, (note,))


def disjoint_by_score(masks: Instances, knobs: SelectKnobs) -> Instances:
    """Disjoint cells from scored masks, as `select` makes them from candidates."""
    score = np.ones(len(masks), np.float32) if masks.score is None else masks.score
    order = np.argsort(-score, kind="stable")
    large = masks.areas() >= max(knobs.minimum_area, 1)
    order = order[(score >= knobs.score_threshold)[order] & large[order]]
    sorted_masks = masks.take(order)
    kept = sorted_masks.take(mask_nms(sorted_masks, np.full(len(order), knobs.nms_iou)))
    painted = kept.disjoint(np.arange(len(kept))[::-1])
    return painted.take(painted.areas() >= max(knobs.minimum_area, 1))


def ids_of_fold(truth: Truth, fold: int, folds_file: Path | None = None) -> Ids:
    """The images that one fold validates, see `data.split.fold_ids`.

    Raises:
        InputError: the truth belongs to no data set that can be split, or has no such fold.
    """
    known = set(truth.ids)
    validation = fold_ids(open_dataset(truth.path), fold, folds_file=folds_file)[1]
    return tuple(image_id for image_id in validation if image_id in known)


def ids_of_file(path: Path, known: Collection[str]) -> Ids:
    """The images that a text file names, one a line (an id or a file name; '#' starts a comment).

    Raises:
        InputError: the file cannot be read or names none; FormatError: one that is not `known`.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise FormatError(f"{path} is not a text file of one image a line") from error
    ids: dict[str, None] = {}
    for number, line in enumerate(lines, start=1):
        name = line.partition("#")[0].strip()
        if not name:
            continue
        image_id = name if name in known else Path(name).stem
        if image_id not in known:
            raise FormatError(f"{path} line {number}: '{name}' is no image of the truth")
        ids[image_id] = None
    if not ids:
        raise InputError(f"{path} names no images, expected one a line")
    return tuple(ids)
