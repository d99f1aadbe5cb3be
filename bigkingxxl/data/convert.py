"""Convert a data set to another format: its images, and their cells as another program reads them.

Every format that can be read can be written. Where cells overlap, label images and `_seg.npy` keep
the topmost one. A table `cell_types.csv` stores types and scores if the format cannot.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from bigkingxxl.data.base import Dataset
from bigkingxxl.data.cell_types_table import write_cell_types
from bigkingxxl.data.output_folder import writable_folder
from bigkingxxl.data.progress_reports import Track, untracked
from bigkingxxl.errors import InputError, OutputError
from bigkingxxl.files import make_folder, whole_file
from bigkingxxl.images import ImageSource
from bigkingxxl.instances import UNTYPED, Instances
from bigkingxxl.io.annotations.coco import write_coco_annotations
from bigkingxxl.io.annotations.ignore_masks import IGNORE
from bigkingxxl.io.annotations.kaggle import write_annotations, write_submission
from bigkingxxl.io.annotations.mask_folders import write_mask_folder
from bigkingxxl.io.annotations.registry import FORMATS
from bigkingxxl.io.tables.csv_table import write_table
from bigkingxxl.settings import nearest

WHITE = LARGEST_UINT8 = 255
LARGEST_UINT16 = 65_535
FRAMES = "frames.csv"
CTC_FRAME = re.compile(r"\d{2}/t\d{3,}")


@dataclass
class Converted:
    """The result of a conversion.

    Attributes:
        images: The number of images.
        cells: The number of cells in all of them.
        hidden: The number of lost cells, which other cells cover completely.
        cut: The number of cells that other cells cover in part.
        notes: Sentences on what the format cannot store.
        failed: One sentence per image that could not be read.
    """

    images: int = 0
    cells: int = 0
    hidden: int = 0
    cut: int = 0
    notes: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


class Layout(NamedTuple):
    """The files of a format.

    Attributes:
        images: The folder of the images; '' for the top level.
        write_one: Writes the cells of one image.
        write_all: Writes the cells of all images to one file.
        is_painted: Whether a pixel can belong to one cell only.
        keeps_types: Whether the format stores cell types.
        keeps_scores: Whether the format stores scores.
        as_tiff: Whether programs expect the images as TIFF.
    """

    images: str
    write_one: Callable[[Path, str, Instances, Path], None] | None = None
    write_all: Callable[[Path, Mapping[str, Instances], Mapping[str, str]], None] | None = None
    is_painted: bool = False
    keeps_types: bool = True
    keeps_scores: bool = False
    as_tiff: bool = False


def _beside(name: str) -> Callable[[Path, str, Instances, Path], None]:
    """Return a writer of cells to a file beside their image."""
    file_format = FORMATS[name]

    def write(out: Path, image_id: str, cells: Instances, image: Path) -> None:
        file_format.write(out / f"{image_id}{file_format.ending}", cells, image.absolute())

    return write


def _in_labels(out: Path, image_id: str, cells: Instances, image: Path) -> None:  # noqa: ARG001
    FORMATS["labels"].write(out / "labels" / f"{image_id}.tif", cells, None)


def _masks(out: Path, image_id: str, cells: Instances, image: Path) -> None:  # noqa: ARG001
    write_mask_folder(out / image_id / "masks", cells)


def _ctc(out: Path, image_id: str, cells: Instances, image: Path) -> None:  # noqa: ARG001
    sequence, _, frame = image_id.partition("/")
    name = f"man_seg{frame.removeprefix('t')}.tif"
    FORMATS["labels"].write(out / f"{sequence}_GT" / "SEG" / name, cells, None)


def _coco(out: Path, cells: Mapping[str, Instances], names: Mapping[str, str]) -> None:
    files = {image_id: f"images/{name}" for image_id, name in names.items()}
    write_coco_annotations(out / "annotations.json", cells, files)


def _kaggle(out: Path, cells: Mapping[str, Instances], names: Mapping[str, str]) -> None:
    del names
    write_annotations(out / "train.csv", cells)


def _submission(out: Path, cells: Mapping[str, Instances], names: Mapping[str, str]) -> None:
    del names
    write_submission(out / "submission.csv", cells)


LAYOUTS: dict[str, Layout] = {
    "labels": Layout("images", _in_labels, is_painted=True, keeps_types=False),
    "cellpose": Layout("", _beside("cellpose"), is_painted=True, keeps_types=False),
    "imagej": Layout("", _beside("imagej"), keeps_scores=True),
    "qupath": Layout("", _beside("qupath"), keeps_scores=True),
    "labelme": Layout("", _beside("labelme")),
    "masks": Layout("{}/images", _masks, keeps_types=False),
    "ctc": Layout("", _ctc, is_painted=True, keeps_types=False, as_tiff=True),
    "coco": Layout("images", write_all=_coco),
    "kaggle": Layout("train", write_all=_kaggle),
    "submission": Layout("", write_all=_submission, is_painted=True, keeps_types=False),
}


def convert(
    dataset: Dataset,
    out: Path,
    name: str,
    *,
    images: bool = True,
    track: Track = untracked,
) -> Converted:
    """Write a data set in another format.

    Args:
        dataset: The data set.
        out: The folder.
        name: A key of `LAYOUTS`.
        images: Whether to copy the images, so that the result is a complete data set.
        track: Wraps iterables to show progress.

    Raises:
        InputError: The format is unknown.
        OutputError: The folder is not empty, or cannot be written.
    """
    if name not in LAYOUTS:
        raise InputError(
            f"there is no format '{name}' to convert to{nearest(name, LAYOUTS)}",
            key="format",
            found=name,
            expected=tuple(LAYOUTS),
        )
    layout = LAYOUTS[name]
    _check_empty(out)
    writable_folder(out, "choose another folder")
    done = Converted()
    ids = _names(dataset.ids, name)
    cells = _Cells(dataset, ids, layout.is_painted)
    written: dict[str, str] = {}
    for own in track(dataset.ids, len(dataset.ids), "converting"):
        image_id = ids[own]
        try:
            found = cells[image_id]
            ignored = dataset.ignored(own)
        except InputError as error:
            done.failed.append(str(error))
            continue
        stem = PurePosixPath(image_id).name if name == "masks" else image_id
        place = out / layout.images.format(image_id) / stem
        image = _copied(dataset, own, place, layout.as_tiff) if images else dataset.image_path(own)
        if layout.write_one is not None:
            layout.write_one(out, image_id, found, image)
        if ignored is not None:
            _write_ignored(out / IGNORE / f"{image_id}.png", ignored)
        written[image_id] = f"{image_id}{image.suffix}"
        _count(done, found, cells.before)
    _finish(out, layout, cells, written, done)
    if layout is LAYOUTS["ctc"] and any(own != ids[own] for own in ids):
        write_table(out / FRAMES, ("frame", "id"), ((ids[own], own) for own in ids))
        done.notes.append(f"the format cannot store names: {FRAMES} says which frame is which")
    return done


def _names(ids: Sequence[str], name: str) -> dict[str, str]:
    """Return the names of images in a format."""
    if name == "ctc":
        if all(CTC_FRAME.fullmatch(each) for each in ids):
            return dict(zip(ids, ids, strict=True))
        digits = max(3, len(str(len(ids) - 1)))
        return {each: f"01/t{number:0{digits}d}" for number, each in enumerate(ids)}
    if LAYOUTS[name].write_all or name == "masks":
        return _flat_names(ids)
    return dict(zip(ids, ids, strict=True))


class _Cells(Mapping[str, Instances]):
    """The cells of a data set by their names in the result, read on demand."""

    def __init__(self, dataset: Dataset, ids: Mapping[str, str], is_painted: bool) -> None:
        self.dataset, self.is_painted = dataset, is_painted
        self.own = {name: own for own, name in ids.items()}
        self.before = Instances.empty((1, 1))

    def __getitem__(self, image_id: str) -> Instances:
        """Return the cells; `before` holds them before painting."""
        self.before = self.dataset.instances(self.own[image_id])
        return self.before.disjoint() if self.is_painted else self.before

    def __iter__(self) -> Iterator[str]:
        return iter(self.own)

    def __len__(self) -> int:
        return len(self.own)


def _finish(
    out: Path, layout: Layout, cells: _Cells, written: Mapping[str, str], done: Converted
) -> None:
    """Write the files of the whole data set."""
    kept = _Some(cells, written)
    if layout.write_all is not None and written:
        layout.write_all(out, kept, written)
    scored = any(kept[image_id].score is not None for image_id in written)
    typed = cells.dataset.type_names != (UNTYPED,)
    if layout.write_one is not None and not layout.keeps_types and (typed or scored):
        write_cell_types(out, kept.items())
    if not layout.keeps_types and typed and layout.write_all is not None:
        done.notes.append("the format cannot store cell types: they are lost")
    if layout is not LAYOUTS["labels"] and scored and not layout.keeps_scores:
        done.notes.append("the format cannot store scores: they are lost")
    if layout in (LAYOUTS["cellpose"], LAYOUTS["masks"]) and typed:
        done.notes.append(
            "the format cannot store cell types: cell_types.csv keeps the type of each image"
        )
    if done.hidden or done.cut:
        done.notes.append(
            f"cells overlap: {done.hidden} are completely covered by others and missing, "
            f"{done.cut} are covered in part"
        )


class _Some(Mapping[str, Instances]):
    """A part of a mapping, in its order."""

    def __init__(self, every: Mapping[str, Instances], names: Iterable[str]) -> None:
        self.every, self.names = every, tuple(names)

    def __getitem__(self, name: str) -> Instances:
        return self.every[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def _count(done: Converted, found: Instances, before: Instances) -> None:
    areas, seen = before.areas(), found.areas()
    done.images += 1
    done.cells += int((seen > 0).sum())
    done.hidden += int(((seen == 0) & (areas > 0)).sum())
    done.cut += int(((seen < areas) & (seen > 0)).sum())


def _check_empty(out: Path) -> None:
    if out.exists() and (not out.is_dir() or next(out.iterdir(), None) is not None):
        raise OutputError(f"{out} exists already, expected a new or an empty folder", file=out)


def _flat_names(ids: Iterable[str]) -> dict[str, str]:
    """Return unique names without folders, for formats that have none."""
    names: dict[str, str] = {}
    for image_id in ids:
        name = wanted = image_id.replace("/", "_")
        count = 1
        while name in names.values():
            count += 1
            name = f"{wanted}_{count}"
        names[image_id] = name
    return names


def _copied(dataset: Dataset, image_id: str, place: Path, as_tiff: bool) -> Path:
    """Copy an image beside its cells: the complete file, or the part that the data set uses.

    Args:
        dataset: The data set.
        image_id: The id of the image.
        place: The target without ending.
        as_tiff: Whether to convert it to TIFF.
    """
    image = dataset.image_path(image_id)
    is_part = dataset.read_source is not None and dataset.is_part(image_id)
    if is_part or (as_tiff and image.suffix.lower() not in (".tif", ".tiff")):
        target = place.with_name(f"{place.name}.tif")
        with whole_file(target) as temporary:
            _write_source(temporary, dataset.source(image_id))
        return target
    target = place.with_name(f"{place.name}{image.suffix}")
    with whole_file(target) as temporary:
        if image.is_dir():
            shutil.copytree(image, temporary)
        else:
            shutil.copyfile(image, temporary)
    return target


def _write_source(path: Path, source: ImageSource) -> None:
    """Write the channels of an image as TIFF, as integers if that is lossless."""
    import tifffile

    pixels = source.read()
    low, high = float(pixels.min()), float(pixels.max())
    if low >= 0 and high <= LARGEST_UINT16 and (pixels == np.rint(pixels)).all():
        pixels = pixels.astype(np.uint8 if high <= LARGEST_UINT8 else np.uint16)
    options: dict[str, Any] = {"metadata": {"axes": "CYX"}}
    if source.pixel_size_um is not None:
        row, col = source.pixel_size_um
        options |= {"resolution": (1 / col, 1 / row), "metadata": {"axes": "CYX", "unit": "um"}}
    tifffile.imwrite(path, pixels, imagej=True, **options)


def _write_ignored(path: Path, ignored: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> None:
    from PIL import Image

    make_folder(path.parent)
    with whole_file(path) as temporary:
        Image.fromarray(ignored.astype(np.uint8) * WHITE).save(temporary)
