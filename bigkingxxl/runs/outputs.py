"""The output formats of a run: files of each image, and tables of the whole run.

There are two registries by the names of `--format`; a name in both stands for files of both kinds.
A new format is a function here and an entry in one registry, or in both if a table is merged from a
part of each image (in `parts/`, or a file that is useful by itself).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import FormatError, InputError
from bigkingxxl.file_names import place_of
from bigkingxxl.files import whole_file
from bigkingxxl.images import ImageSource
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.run_cells import NumberedCells
from bigkingxxl.plugins import plugins
from bigkingxxl.settings import nearest

if TYPE_CHECKING:
    from bigkingxxl.io.tables.measurements import Table
    from bigkingxxl.io.tables.summary import ImageSummary

ALL = "all"
OF_AN_EXTRA = ("zarr", "zarr-0.5")  # written by a package of an extra


@dataclass(frozen=True)
class PredictedImage:
    """An image with its predicted cells.

    Attributes:
        name: The id of the image.
        path: Its file.
        source: The image.
        cells: The cells with their numbers in the label image.
        load_candidates: Reads all candidates on demand.
        frame: The page of a time-lapse, counted from 0; None for a single image.
    """

    source: ImageSource
    cells: NumberedCells
    path: Path
    name: str
    load_candidates: Callable[[], Candidates]
    frame: int | None = None

    @property
    def instances(self) -> Instances:
        """The cells without their numbers."""
        return self.cells.instances

    @cached_property
    def measurements(self) -> Table:
        """The measurements, computed once for all formats."""
        from bigkingxxl.io.tables.measurements import measure

        return {**measure(self.source, self.instances), "id": self.cells.numbers}


class ImageFormat(NamedTuple):
    """A format with one file per image: `out/<folder>/<image><ending>`.

    Attributes:
        folder: The folder of the files.
        ending: Their ending.
        write: Writes the cells of an image to a file.
        of_candidates: Whether it is made of all candidates instead of the selected cells.
    """

    folder: str
    ending: str
    write: Callable[[Path, PredictedImage], None]
    of_candidates: bool = False

    def place(self, out: Path, name: str) -> Path:
        """Return the file of an image."""
        place = place_of(name)
        return out / self.folder / place.with_name(f"{place.name}{self.ending}")


def _labels(path: Path, image: PredictedImage) -> None:
    from bigkingxxl.io.annotations.label_images import write_label_image

    write_label_image(path, image.instances)


def _zarr(version: str) -> Callable[[Path, PredictedImage], None]:
    def write(path: Path, image: PredictedImage) -> None:
        from bigkingxxl.io.annotations.zarr_labels import write_zarr_labels

        write_zarr_labels(path, image.instances, version)

    return write


def _overlay(path: Path, image: PredictedImage) -> None:
    from bigkingxxl.io.pictures.overlay import write_overlay

    write_overlay(path, image.source, image.instances)


def _measurements(path: Path, image: PredictedImage) -> None:
    from bigkingxxl.io.tables.measurements import write_measurements

    write_measurements(path, image.measurements)


def _thumbnail(path: Path, image: PredictedImage) -> None:
    from bigkingxxl.io.pictures.contact_sheet import write_thumbnail

    write_thumbnail(path, image.source, image.instances)


def _imagej(path: Path, image: PredictedImage) -> None:
    from bigkingxxl.io.annotations.imagej import write_rois

    write_rois(path, image.instances, frame=image.frame, numbers=image.cells.numbers)


def _qupath(path: Path, image: PredictedImage) -> None:
    from bigkingxxl.io.annotations.qupath import write_geojson

    write_geojson(
        path, image.instances, measurements=image.measurements, frame=image.frame,
        numbers=image.cells.numbers,
    )  # fmt: skip


def _cellpose(path: Path, image: PredictedImage) -> None:
    from bigkingxxl.io.annotations.cellpose import write_seg

    write_seg(path, image.instances, image.path.resolve())


def _submission_rows(path: Path, image: PredictedImage) -> None:
    from bigkingxxl.io.annotations.kaggle import write_submission

    write_submission(path, {image.name: image.instances})


def _coco_results(path: Path, image: PredictedImage) -> None:
    from bigkingxxl.io.annotations.coco import write_results

    write_results(path, {image.name: image.load_candidates()})


IMAGE_FORMATS = {
    "labels": ImageFormat("labels", ".tif", _labels),
    "zarr": ImageFormat("labels", ".zarr", _zarr("0.4")),
    "zarr-0.5": ImageFormat("labels", ".0.5.zarr", _zarr("0.5")),
    "overlay": ImageFormat("overlays", ".png", _overlay),
    "measurements": ImageFormat("measurements", ".csv", _measurements),
    "contact_sheet": ImageFormat("thumbnails", ".png", _thumbnail),
    "imagej": ImageFormat("imagej", ".zip", _imagej),
    "qupath": ImageFormat("qupath", ".geojson", _qupath),
    "cellpose": ImageFormat("cellpose", "_seg.npy", _cellpose),
    "submission": ImageFormat("parts/submission", ".csv", _submission_rows),
    "coco": ImageFormat("parts/coco", ".json", _coco_results, of_candidates=True),
}
# Formats of other packages, which must not reuse our names.
IMAGE_FORMATS = IMAGE_FORMATS | {
    name: each
    for name, each in plugins("bigkingxxl.result_formats", ImageFormat).items()
    if name not in IMAGE_FORMATS
}


@dataclass(frozen=True)
class RunParts:
    """The data from which the tables of a run are made.

    Attributes:
        summaries: One row per image, including those that failed.
        parts: The part of each image that has one, by its id, sorted.
        cells: The number of cells of each of these images.
        types: The cell types of all images, if any cell has one.
        columns: The columns of the images' measurements, if these are merged.
    """

    summaries: Callable[[], Iterator[ImageSummary]]
    parts: Mapping[str, Path]
    cells: Mapping[str, int]
    types: Sequence[str]
    columns: Sequence[str] = ()


class RunFormat(NamedTuple):
    """A format with files for the whole run.

    Attributes:
        files: Their names in the folder of the run.
        write: Writes them, in that order.
    """

    files: tuple[str, ...]
    write: Callable[[Sequence[Path], RunParts], None]


def _all_measurements(places: Sequence[Path], run: RunParts) -> None:
    from bigkingxxl.io.tables.measurements import join_measurements

    some = {name: path for name, path in run.parts.items() if run.cells[name]}
    join_measurements(places[0], places[1], some, run.columns)


def _summary(places: Sequence[Path], run: RunParts) -> None:
    from bigkingxxl.io.tables.summary import write_summary

    write_summary(places[0], run.summaries(), run.types)


def _contact_sheet(places: Sequence[Path], run: RunParts) -> None:
    from bigkingxxl.io.pictures.contact_sheet import Thumbnail, write_contact_sheet

    thumbnails = [Thumbnail(path, name, run.cells[name]) for name, path in run.parts.items()]
    write_contact_sheet(places[0], thumbnails)


def _submission(places: Sequence[Path], run: RunParts) -> None:
    with whole_file(places[0]) as temporary, temporary.open("wb") as stream:
        stream.write(b"id,predicted\n")
        for path in run.parts.values():
            with path.open("rb") as part:
                next(part, b"")
                stream.writelines(part)


def _coco(places: Sequence[Path], run: RunParts) -> None:
    """Merge the lists of the images, one result per line."""
    with whole_file(places[0]) as temporary, temporary.open("wb") as stream:
        before = b"[\n"
        for path in run.parts.values():
            content = path.read_bytes().strip()
            if not (content.startswith(b"[") and content.endswith(b"]")):
                raise FormatError(f"{path} is not a list of COCO results", file=path)
            if inner := content[1:-1].strip():
                stream.write(before + inner)
                before = b",\n"
        stream.write(b"[]\n" if before == b"[\n" else b"\n]\n")


RUN_FORMATS = {
    "measurements": RunFormat(("measurements.csv", "measurements.parquet"), _all_measurements),
    "summary": RunFormat(("summary.csv",), _summary),
    "contact_sheet": RunFormat(("contact_sheet.png",), _contact_sheet),
    "submission": RunFormat(("submission.csv",), _submission),
    "coco": RunFormat(("results.json",), _coco),
}

FORMATS = tuple(dict.fromkeys([*IMAGE_FORMATS, *RUN_FORMATS]))


def chosen_formats(names: Sequence[str]) -> tuple[str, ...]:
    """Return the formats that some names stand for, in the order of the registry.

    'all' stands for all formats that the base installation can write.

    Raises:
        InputError: A name is unknown.
    """
    for name in names:
        if name != ALL and name not in FORMATS:
            raise InputError(
                f"there is no format '{name}'{nearest(name, (*FORMATS, ALL))}",
                key="--format",
                found=name,
                expected=(*FORMATS, ALL),
            )
    if ALL in names:
        return tuple(name for name in FORMATS if name in names or name not in OF_AN_EXTRA)
    return tuple(name for name in FORMATS if name in names)


def details_of(name: str, image: PredictedImage) -> dict[str, Any]:
    """Return what the tables of the run need to know of an image's file."""
    return {"columns": list(image.measurements)} if name == "measurements" else {}
