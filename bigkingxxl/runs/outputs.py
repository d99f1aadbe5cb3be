"""What a run over many images writes: files of each image, and tables of the whole run.

Two registries, by the names of `--format`; a name in both stands for files of both kinds. A new
format is a function here and an entry in one of them, or in both where a table is joined from a
part that each image has (in `parts/`, or a file that is of use by itself).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import FormatError, InputError
from bigkingxxl.files import whole_file
from bigkingxxl.images import ImageSource
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.run_cells import NumberedCells
from bigkingxxl.plugins import plugins
from bigkingxxl.runs.names import place_of
from bigkingxxl.settings import nearest

if TYPE_CHECKING:
    from bigkingxxl.io.tables.measurements import Table
    from bigkingxxl.io.tables.summary import ImageSummary

ALL = "all"
OF_AN_EXTRA = ("zarr", "zarr-0.5")  # written by a package that is to be installed


@dataclass(frozen=True)
class PredictedImage:
    """One image and the cells found in it.

    Attributes:
        name: its id; path: its file.
        cells: with their numbers in the label image.
        load_candidates: everything that the model saw, read when asked for.
        frame: which page of a time-lapse it is, counted from 0; None where it is the only one.
    """

    source: ImageSource
    cells: NumberedCells
    path: Path
    name: str
    load_candidates: Callable[[], Candidates]
    frame: int | None = None

    @property
    def instances(self) -> Instances:
        """The cells alone."""
        return self.cells.instances

    @cached_property
    def measurements(self) -> Table:
        """Made once for all formats that hold them."""
        from bigkingxxl.io.tables.measurements import measure

        return {**measure(self.source, self.instances), "id": self.cells.numbers}


class ImageFormat(NamedTuple):
    """Files of one image each: `out/<folder>/<image><ending>`.

    Attributes:
        write: puts the image's cells into a file.
        of_candidates: made of all that the model saw, not of the selected cells.
    """

    folder: str
    ending: str
    write: Callable[[Path, PredictedImage], None]
    of_candidates: bool = False

    def place(self, out: Path, name: str) -> Path:
        """The file of an image."""
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
# Formats of other packages, which take no name of ours.
IMAGE_FORMATS = IMAGE_FORMATS | {
    name: each
    for name, each in plugins("bigkingxxl.result_formats", ImageFormat).items()
    if name not in IMAGE_FORMATS
}


@dataclass(frozen=True)
class RunParts:
    """What the tables of a run are joined from.

    Attributes:
        summaries: a row for each image, also of those that failed.
        parts: the file of each image that has one, by its id, sorted.
        cells: how many cells each of these images has.
        types: cell types that any image knows.
        columns: of the images' measurements, where these are joined.
    """

    summaries: Callable[[], Iterator[ImageSummary]]
    parts: Mapping[str, Path]
    cells: Mapping[str, int]
    types: Sequence[str]
    columns: Sequence[str] = ()


class RunFormat(NamedTuple):
    """Files of the whole run.

    Attributes:
        files: their names in the run's folder; write: makes them, in that order.
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
    """The images' lists as one, a result a line as in each of them."""
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
    """The formats that some names stand for, in the order of the registry.

    'all' is every one that the base install writes.

    Raises:
        InputError: there is none of that name.
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
    """What the run's tables need to know of a file of an image besides the file."""
    return {"columns": list(image.measurements)} if name == "measurements" else {}
