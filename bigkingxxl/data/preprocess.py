"""Preprocess a data set for training and other tools: masks, label images, TIFFs and COCO.

In the output folder:

    masks/<id>.tif                  one page per cell type, 255 where a cell is (UNETR)
    labels/<id>.tif                 label image; where cells overlap, the smaller one is on top
    tif/<train|val>/<id>.tif        the image, and <id>_masks.tif its label image (Cellpose)
    annotations_<train|val>.json    COCO, with complete cells

Each image is a unit of work: existing results are not computed again, and an interrupted run
continues where it stopped.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bigkingxxl.data.dataset import fingerprint
from bigkingxxl.data.output_folder import writable_folder
from bigkingxxl.data.parallel import finished
from bigkingxxl.data.preprocess_unit import Unit, UnitResult, make_unit
from bigkingxxl.data.progress_reports import Track, untracked
from bigkingxxl.data.split import fold_ids
from bigkingxxl.errors import InputError
from bigkingxxl.io.annotations.coco import write_coco_annotations
from bigkingxxl.manifest import Manifest

if TYPE_CHECKING:
    from bigkingxxl.data.dataset import Dataset

SPLITS = ("train", "val")
PER_IMAGE = ("masks", "labels", "tif")
KINDS = (*PER_IMAGE, "coco")
LAYOUT_VERSION = "1"
MANIFEST = "preprocess.jsonl"


@dataclass(frozen=True)
class Preprocessed:
    """The result of preprocessing.

    Attributes:
        made: The number of processed images.
        kept: The number of images whose results existed.
        cells: The number of annotated cells.
        hidden: The number of cells that others cover completely in label images.
        failed: One sentence per image that could not be read.
        files: The COCO files.
    """

    made: int
    kept: int
    cells: int
    hidden: int
    failed: tuple[str, ...]
    files: tuple[Path, ...]


def preprocess(
    dataset: Dataset,
    out: Path,
    *,
    fold: int = 0,
    folds_file: Path | None = None,
    kinds: Collection[str] = KINDS,
    workers: int | None = None,
    track: Track = untracked,
) -> Preprocessed:
    """Preprocess a data set as described above.

    Args:
        dataset: The data set.
        out: The output folder.
        fold: The fold that becomes 'val'; see `split.fold_ids`.
        folds_file: The split, if it is not that of the data set.
        kinds: A subset of `KINDS`.
        workers: The number of processes; by default one per core. With 1 the work is done in this
            process. Processes are spawned: a script must call this under
            `if __name__ == "__main__"`.
        track: Wraps iterables to show progress.

    Raises:
        InputError: A kind or the fold is unknown.
        OutputError: A file cannot be written.
    """
    unknown = sorted(set(kinds) - set(KINDS))
    if unknown:
        raise InputError(
            f"'{unknown[0]}' is not a kind of output, expected one or more of {', '.join(KINDS)}",
            key="--what",
            found=unknown[0],
            expected=tuple(KINDS),
        )
    writable_folder(out, "choose another folder with --out")
    split = _splits(dataset, fold, folds_file)
    manifest = Manifest(out / MANIFEST, f"{fingerprint(dataset)}-{LAYOUT_VERSION}")
    targets = {name: _targets(out, name, split[name], kinds) for name in dataset.ids}
    todo = [name for name in dataset.ids if not manifest.complete(name, _made(targets[name]))]
    units = (_unit(dataset, name, targets[name]) for name in todo)
    failed: list[str] = []
    for result in track(finished(make_unit, units, workers), len(todo), "preprocessing"):
        if result.counts is None:
            failed.append(result.error)
            manifest.forget(result.image_id)
            continue
        _remove_from_other_split(out, result.image_id, split[result.image_id], kinds)
        manifest.record(result.image_id, result.counts)
    done = [name for name in dataset.ids if name in manifest.done]
    files = _write_coco(dataset, out, split, done) if "coco" in kinds else ()
    cells, hidden = (sum(manifest.done[name][key] for name in done) for key in ("cells", "hidden"))
    made, kept = len(todo) - len(failed), len(dataset.ids) - len(todo)
    return Preprocessed(made, kept, cells, hidden, tuple(failed), files)


def _splits(dataset: Dataset, fold: int, folds_file: Path | None) -> dict[str, str]:
    members = fold_ids(dataset, fold, folds_file=folds_file)
    return {name: split for split, names in zip(SPLITS, members, strict=True) for name in names}


def _targets(out: Path, name: str, split: str, kinds: Collection[str]) -> dict[str, Path]:
    places = {
        "masks": {"masks": out / "masks" / f"{name}.tif"},
        "labels": {"labels": out / "labels" / f"{name}.tif"},
        "tif": {
            "image": out / "tif" / split / f"{name}.tif",
            "image_masks": out / "tif" / split / f"{name}_masks.tif",
        },
    }
    return {key: path for kind in PER_IMAGE if kind in kinds for key, path in places[kind].items()}


def _made(targets: Mapping[str, Path]) -> Callable[[Any], bool]:
    return lambda _: all(path.is_file() for path in targets.values())


def _remove_from_other_split(out: Path, name: str, split: str, kinds: Collection[str]) -> None:
    """Remove the results of an image that has moved to the other split."""
    other = next(place for place in SPLITS if place != split)
    if "tif" in kinds:
        for path in _targets(out, name, other, ("tif",)).values():
            path.unlink(missing_ok=True)


def _unit(dataset: Dataset, name: str, targets: Mapping[str, Path]) -> Unit | UnitResult:
    try:
        return Unit(name, dataset.image_path(name), dataset.instances(name), targets)
    except InputError as error:
        return UnitResult(name, None, str(error))


def _write_coco(
    dataset: Dataset, out: Path, split: Mapping[str, str], done: Sequence[str]
) -> tuple[Path, ...]:
    """Write both annotation files; images are named relative to the output folder."""
    paths = []
    for part in SPLITS:
        names = [name for name in done if split[name] == part]
        files = {name: _seen_from(dataset.image_path(name), out) for name in names}
        path = out / f"annotations_{part}.json"
        write_coco_annotations(path, {name: dataset.instances(name) for name in names}, files)
        paths.append(path)
    return tuple(paths)


def _seen_from(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
