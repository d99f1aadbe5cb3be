"""What a run over many images writes: files of each image, and tables of the whole run.

Two registries, by the names of `--format`; a name in both stands for files of both kinds. A new
format is a function here and an entry in one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bigkingxxl.candidates import Candidates
from bigkingxxl.images import ImageSource
from bigkingxxl.instances import Instances

if TYPE_CHECKING:
    from bigkingxxl.io.tables.measurements import Table


@dataclass(frozen=True)
class PredictedImage:
    """One image and the cells found in it.

    Attributes:
        path: the image's file.
        frame: which page of a time-lapse it is, counted from 0; None where it is the only one.
    """

    source: ImageSource
    instances: Instances
    path: Path
    frame: int | None = None

    @cached_property
    def measurements(self) -> Table:
        """Made once for all formats that hold them."""
        from bigkingxxl.io.tables.measurements import measure

        return measure(self.source, self.instances)


@dataclass(frozen=True)
class PredictedImages:
    """All images of a run, by name.

    Attributes:
        out: the run's folder; model: hash of the model file.
        candidates, instances: read or made when asked for; cells: how many each has.
        scales: network pixels an image pixel, or None; warnings: sentences on the image.
    """

    out: Path
    model: str
    candidates: Mapping[str, Candidates]
    instances: Mapping[str, Instances]
    cells: Mapping[str, int]
    scales: Mapping[str, float | None]
    warnings: Mapping[str, list[str]]


class ImageFormat(NamedTuple):
    """Files of one image each: `out/<folder>/<image><ending>`."""

    folder: str
    ending: str
    write: Callable[[Path, PredictedImage], None]

    def place(self, out: Path, name: str) -> Path:
        """The file of an image."""
        return out / self.folder / f"{name}{self.ending}"


def _labels(path: Path, image: PredictedImage) -> None:
    from bigkingxxl.io.annotations.label_images import write_label_image

    write_label_image(path, image.instances)


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

    write_rois(path, image.instances, frame=image.frame)


def _qupath(path: Path, image: PredictedImage) -> None:
    from bigkingxxl.io.annotations.qupath import write_geojson

    write_geojson(path, image.instances, measurements=image.measurements, frame=image.frame)


def _cellpose(path: Path, image: PredictedImage) -> None:
    from bigkingxxl.io.annotations.cellpose import write_seg

    write_seg(path, image.instances, image.path.resolve())


IMAGE_FORMATS = {
    "labels": ImageFormat("labels", ".tif", _labels),
    "overlay": ImageFormat("overlays", ".png", _overlay),
    "measurements": ImageFormat("measurements", ".csv", _measurements),
    "contact_sheet": ImageFormat("thumbnails", ".png", _thumbnail),
    "imagej": ImageFormat("imagej", ".zip", _imagej),
    "qupath": ImageFormat("qupath", ".geojson", _qupath),
    "cellpose": ImageFormat("cellpose", "_seg.npy", _cellpose),
}


def _all_measurements(images: PredictedImages) -> None:
    from bigkingxxl.io.tables.measurements import join_measurements

    place = IMAGE_FORMATS["measurements"].place
    join_measurements(images.out, {name: place(images.out, name) for name in images.cells})


def _summary(images: PredictedImages) -> None:
    from bigkingxxl.io.tables.summary import summarise, write_summary

    rows = (
        summarise(name, instances, model=images.model, scale=images.scales[name],
                  warnings=images.warnings[name])
        for name, instances in images.instances.items()
    )  # fmt: skip
    write_summary(images.out / "summary.csv", rows)


def _contact_sheet(images: PredictedImages) -> None:
    from bigkingxxl.io.pictures.contact_sheet import Thumbnail, write_contact_sheet

    place = IMAGE_FORMATS["contact_sheet"].place
    thumbnails = [
        Thumbnail(place(images.out, name), name, count) for name, count in images.cells.items()
    ]
    write_contact_sheet(images.out / "contact_sheet.png", thumbnails)


def _submission(images: PredictedImages) -> None:
    from bigkingxxl.io.annotations.kaggle import write_submission

    write_submission(images.out / "submission.csv", images.instances)


def _coco(images: PredictedImages) -> None:
    from bigkingxxl.io.annotations.coco import write_results

    write_results(images.out / "results.json", images.candidates)


RUN_FORMATS: dict[str, Callable[[PredictedImages], Any]] = {
    "measurements": _all_measurements,
    "summary": _summary,
    "contact_sheet": _contact_sheet,
    "submission": _submission,
    "coco": _coco,
}

FORMATS = tuple(dict.fromkeys([*IMAGE_FORMATS, *RUN_FORMATS]))
