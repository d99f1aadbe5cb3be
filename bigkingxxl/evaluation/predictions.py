"""Read the predictions of an evaluation in any format, with the cells of each annotated image."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bigkingxxl.data.dataset import open_dataset
from bigkingxxl.data.layouts.annotation_folder import find_annotations, same_names
from bigkingxxl.data.layouts.registry import find_layout
from bigkingxxl.data.layouts.run import certain
from bigkingxxl.display_text import counted
from bigkingxxl.errors import FormatError, ImageError, InputError
from bigkingxxl.evaluation.truth import Truth, left_out
from bigkingxxl.inference.selection import mask_nms
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.coco import read_coco, read_results
from bigkingxxl.io.annotations.corrections import CORRECTIONS
from bigkingxxl.io.annotations.kaggle import read_submission
from bigkingxxl.io.annotations.registry import json_kind
from bigkingxxl.operating_points import SelectionParameters
from bigkingxxl.runs.corrected import correction_sentence
from bigkingxxl.runs.reader import open_run

# Layouts that hold both cells and images.
WITH_IMAGES = ("kaggle", "ctc", "pairs", "masks", "coco", "submission", "nested pairs",
               "corrections")  # fmt: skip


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predicted cells.

    Attributes:
        cells: Disjoint cells by image id, for the competition metric.
        masks: The masks for COCO's evaluation: scored masks if there are any, else the cells.
        notes: Sentences that a reader of the scores should know.
        ranks_kept: Whether `masks` contain only the selected cells and not all candidates.
    """

    cells: dict[str, Instances]
    masks: dict[str, Instances]
    notes: tuple[str, ...] = ()
    ranks_kept: bool = False

    @property
    def has_candidates(self) -> bool:
        """Whether `masks` contain candidates beyond the selected cells."""
        return any(len(each) > len(self.cells[name]) for name, each in self.masks.items())


def read_predictions(
    path: Path,
    truth: Truth,
    *,
    skip_bad: bool = False,
    numbering: Path | None = None,
    categories: Mapping[int, str] | None = None,
    as_predicted: bool = False,
) -> Predictions:
    """Read a submission, COCO results or annotations, or a folder of cell files of any format.

    Args:
        path: The file or folder.
        truth: The annotated images.
        skip_bad: Skip files of cells that cannot be read or do not fit their image.
        numbering: The COCO file from which a tool took the image and category ids of its results.
        categories: The cell type of each category id of COCO results.
        as_predicted: Use the predicted cells of a run even where a person corrected them.

    Raises:
        InputError: The path does not exist, or `as_predicted` is set and it is not a run.
        FormatError: The content violates its format.
    """
    if as_predicted and not (path.is_dir() and find_layout(path) == "run"):
        raise InputError(
            f"{path} is not a run of `bigkingxxl predict`, and --as-predicted needs one: what was "
            "predicted: leave --as-predicted out",
            file=path,
            key="--as-predicted",
        )
    if path.is_dir():
        return _folder_predictions(path, truth, skip_bad, as_predicted)
    if path.suffix.lower() == ".csv":
        cells = read_submission(path, truth.sizes)
        return Predictions(cells, cells)
    if path.suffix.lower() == ".json":
        if path.is_file() and json_kind(path) == "coco":
            return _coco_cells(path, truth)
        return _coco_predictions(path, truth, numbering, categories)
    if not path.exists():
        raise InputError(f"there are no predictions at {path}", file=path)
    raise InputError(
        f"{path} is neither a submission (.csv), COCO results or annotations (.json) nor a folder "
        "of files of cells",
        file=path,
    )


def _folder_predictions(
    folder: Path, truth: Truth, skip_bad: bool, as_predicted: bool
) -> Predictions:
    layout = find_layout(folder)
    if layout == "run":
        return _run_predictions(folder, truth, as_predicted)
    if layout in WITH_IMAGES:
        return _dataset_predictions(folder, truth, skip_bad)
    found = find_annotations(folder, truth.ids)
    if not found.files:
        if layout is not None:
            return _dataset_predictions(folder, truth, skip_bad)
        own = min((each.name for each in folder.iterdir() if each.is_file()), default=None)
        there = "" if own is None else f"; there is '{own}'"
        raise InputError(
            f"{folder} contains no file of cells of an image in {truth.path} (looked for label "
            "images, _seg.npy, ImageJ ROIs, GeoJSON and labelme's JSON by the images' names, such "
            f"as '{next(iter(truth.ids), '')}'{there})",
            file=folder,
            found=own,
            expected=truth.ids[:1],
        )
    masks: dict[str, Instances] = {}
    skipped: list[str] = []
    for image_id in found.files:
        try:
            masks[image_id] = found.read(image_id, truth.sizes[image_id])
        except (FormatError, ImageError) as error:
            if not skip_bad:
                raise
            skipped.append(str(error))
    notes = [*found.notes, *left_out(skipped)]
    if found.unknown:
        notes.append(
            f"{counted(len(found.unknown), 'file')} of cells "
            f"{'is' if len(found.unknown) == 1 else 'are'} of no image in {truth.path}: "
            f"{found.unknown[0]}{' ...' if len(found.unknown) > 1 else ''}"
        )
    return _painted(masks, notes)


def _run_predictions(folder: Path, truth: Truth, as_predicted: bool) -> Predictions:
    """Read the cells of a run of `bigkingxxl predict`, with or without corrections.

    If the truth is the run's own corrections, the predicted cells are used; otherwise corrections
    would be scored against themselves.
    """
    run = open_run(folder)
    images = {name: image for name, image in run.items() if not image.failure}
    names = same_names(images, truth.ids)
    _check_any(folder, images, names, truth)
    is_own = truth.path.resolve() == (folder / CORRECTIONS).resolve()
    notes = []
    if as_predicted or is_own:
        masks = {names[own]: images[own].found_cells for own in names}
        why = f", as {truth.path} is what was made of them" if is_own else ""
        notes.append(f"the predicted cells of {folder} are scored, not the corrected ones{why}")
    else:
        masks = {names[own]: certain(images[own].cells) for own in names}
        notes.append(correction_sentence(folder, [images[own].corrected for own in names]))
    if len(names) < len(images):
        unknown = [own for own in images if own not in names]
        notes.append(_strange(unknown, truth))
    return replace(_painted(masks, notes), ranks_kept=True)


def _dataset_predictions(folder: Path, truth: Truth, skip_bad: bool) -> Predictions:
    """Read a data set whose cells lie in one file, or in a folder per image."""
    dataset = open_dataset(folder, skip_bad=skip_bad)
    names = same_names(dataset.ids, truth.ids)
    _check_any(folder, dataset.ids, names, truth)
    masks = {names[own]: dataset.instances(own) for own in dataset.ids if own in names}
    notes = [*dataset.notes, *left_out(dataset.skipped)]
    if len(names) < len(dataset.ids):
        unknown = [own for own in dataset.ids if own not in names]
        notes.append(_strange(unknown, truth))
    return _painted(masks, notes)


def _coco_cells(path: Path, truth: Truth) -> Predictions:
    coco = read_coco(path)
    names = same_names(coco.ids, truth.ids)
    masks = {names[own]: coco.instances(own) for own in coco.ids if own in names}
    _check_any(path, coco.ids, names, truth)
    return _painted(masks, list(coco.notes))


def _strange(names: Sequence[str], truth: Truth) -> str:
    """Return a note on predicted images that are not in the truth."""
    told = counted(len(names), "predicted image", "is", "are")
    more = ", ..." if len(names) > 1 else ""
    return f"{told} not in {truth.path} and not scored ({names[0]}{more})"


def _check_any(path: Path, own: Iterable[str], names: Collection[str], truth: Truth) -> None:
    """Check that the predictions contain images of the truth."""
    first = next(iter(own), None)
    if first is not None and not names:
        raise FormatError(
            f"{path} names no image of {truth.path}: there is '{first}' in the one, "
            f"'{next(iter(truth.ids), '')}' in the other",
            file=path,
            found=first,
        )


def _painted(masks: dict[str, Instances], notes: list[str]) -> Predictions:
    """Convert drawn cells, which may overlap; the competition metric uses the topmost cell."""
    cells, overlapping = {}, 0
    for image_id, found in masks.items():
        order = None if found.score is None else np.argsort(found.score, kind="stable")
        disjoint = found.disjoint(order)
        covered = int((disjoint.areas() != found.areas()).sum())
        overlapping += covered
        cells[image_id] = disjoint if covered else found
    if overlapping:
        notes.append(
            f"{counted(overlapping, 'cell', 'overlaps', 'overlap')} others: all metrics "
            "but COCO's are of disjoint cells, painted one over the other"
        )
    return Predictions(cells, masks, tuple(notes))


def _coco_predictions(
    path: Path, truth: Truth, numbering: Path | None, categories: Mapping[int, str] | None
) -> Predictions:
    if numbering is None:
        masks = read_results(path, truth.known, truth.type_names, categories=categories)
    else:
        coco = read_coco(numbering)
        found = read_results(path, coco, categories=categories)
        names = same_names(coco.ids, truth.ids)
        _check_any(numbering, coco.ids, names, truth)
        masks = {names[own]: each for own, each in found.items() if own in names}
    parameters = SelectionParameters()
    cells = {image_id: disjoint_by_score(found, parameters) for image_id, found in masks.items()}
    is_scored = any(found.score is not None for found in masks.values())
    kept = f"of score {parameters.score_threshold:g} or more and " if is_scored else "of "
    rival = "a surer one" if is_scored else "an earlier one"
    order = "in score order" if is_scored else "from the last to the first"
    painted = (
        f"all metrics but COCO's are of disjoint cells: masks {kept}{parameters.minimum_area:g} "
        f"pixels or more, without those that overlap {rival} by an IoU above "
        f"{parameters.nms_iou:g}, painted {order}"
    )
    notes = [painted]
    if masks and not is_scored:
        notes.append(
            f"{path} holds no scores: all its masks count as equally sure, so that COCO's AP says "
            "nothing of how well they are ranked"
        )
    count = sum(map(len, masks.values()))
    if is_scored and count and not any(map(len, cells.values())):
        notes.append(
            f"none of the {count} masks of {path} reaches that score, so that all metrics but "
            "COCO's find no cells: scores are expected between 0 and 1"
        )
    return Predictions(cells, masks, tuple(notes))


def disjoint_by_score(masks: Instances, parameters: SelectionParameters) -> Instances:
    """Create disjoint cells from scored masks in the same way as `select`."""
    score = np.ones(len(masks), np.float32) if masks.score is None else masks.score
    order = np.argsort(-score, kind="stable")
    large = masks.areas() >= max(parameters.minimum_area, 1)
    order = order[(score >= parameters.score_threshold)[order] & large[order]]
    sorted_masks = masks.take(order)
    kept = sorted_masks.take(mask_nms(sorted_masks, np.full(len(order), parameters.nms_iou)))
    painted = kept.disjoint(np.arange(len(kept))[::-1])
    return painted.take(painted.areas() >= max(parameters.minimum_area, 1))
