"""Prediction over many images: one image is one unit of work, done once, never lost.

Every image's candidates are kept as `candidates/<id>.npz` and noted in a manifest; a broken run
goes on where it stopped, and other formats are made from the stored candidates.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import FormatError, ImageError, InputError
from bigkingxxl.images import ImageSource
from bigkingxxl.inference.dense import relative_size
from bigkingxxl.inference.outputs import (
    FORMATS,
    IMAGE_FORMATS,
    RUN_FORMATS,
    PredictedImage,
    PredictedImages,
)
from bigkingxxl.inference.predictor import Predictor
from bigkingxxl.inference.selection import select
from bigkingxxl.instances import Instances, PixelSize
from bigkingxxl.operating_points import OperatingPoints
from bigkingxxl.runs import Manifest, make_folder
from bigkingxxl.settings import nearest

log = logging.getLogger(__name__)

OpenImage = Callable[[Path], Sequence[ImageSource]]
BLANK = "the image is constant or empty, so no cells were sought"


@dataclass(frozen=True)
class Selection:
    """How stored candidates become instances.

    Attributes:
        points: the operating points; cell_type: where it is known.
        training_pixel_size: micrometres (row, column), or None.
    """

    points: OperatingPoints
    cell_type: str | None = None
    training_pixel_size: PixelSize | None = None

    def instances(self, candidates: Candidates, pixel_size: PixelSize | None) -> Instances:
        """The cells of one image."""
        relative = relative_size(pixel_size, self.training_pixel_size)
        return select(candidates, self.points, cell_type=self.cell_type,
                      pixel_size_um=pixel_size, area_scale=relative**-2)  # fmt: skip


@dataclass
class FolderResult:
    """What a run over many images did.

    Attributes:
        cells: number of cells by image id, in order; skipped: already done before.
        unreadable: one sentence for each image that could not be read.
    """

    cells: dict[str, int] = field(default_factory=dict)
    skipped: int = 0
    unreadable: list[str] = field(default_factory=list)


class StoredCandidates(Mapping[str, Candidates]):
    """Candidates on disk by image id, read one at a time."""

    def __init__(self, folder: Path, ids: Iterable[str]) -> None:
        self.folder, self.ids = folder, tuple(ids)

    def __getitem__(self, image_id: str) -> Candidates:
        if image_id not in self.ids:
            raise KeyError(image_id)
        return Candidates.load(self.folder / f"{image_id}.npz")

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

    def __len__(self) -> int:
        return len(self.ids)


class SelectedInstances(Mapping[str, Instances]):
    """The cells of stored candidates by image id, selected when first asked for, and kept.

    Args:
        pixel_sizes: micrometres (row, column) by image id, or None where unknown.
    """

    def __init__(
        self,
        stored: Mapping[str, Candidates],
        selection: Selection,
        pixel_sizes: Mapping[str, Sequence[float] | None],
    ) -> None:
        self.stored, self.selection, self.pixel_sizes = stored, selection, pixel_sizes
        self.made: dict[str, Instances] = {}

    def __getitem__(self, image_id: str) -> Instances:
        if image_id not in self.made:
            size = self.pixel_sizes[image_id]
            pixel_size = None if size is None else (float(size[0]), float(size[1]))
            self.made[image_id] = self.selection.instances(self.stored[image_id], pixel_size)
        return self.made[image_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self.stored)

    def __len__(self) -> int:
        return len(self.stored)


def check_request(paths: Sequence[Path], formats: Sequence[str]) -> None:
    """Refuse at once what would only show after hours.

    Raises:
        InputError: an unknown format, or two files whose results would have one name.
    """
    for name in formats:
        if name not in FORMATS:
            raise InputError(f"there is no format '{name}'{nearest(name, FORMATS)}")
    first: dict[str, Path] = {}
    for path in paths:
        if first.setdefault(path.stem, path) != path:
            raise InputError(
                f"{first[path.stem]} and {path} would both be '{path.stem}' in the results: "
                "give each a name or a run of its own"
            )


def predict_folder(
    predictor: Predictor,
    paths: Iterable[Path],
    open_images: OpenImage,
    out: Path,
    formats: Sequence[str],
    selection: Selection,
    key: str,
    model: str = "",
) -> FolderResult:
    """Predict images and write the chosen formats into `out`.

    An image that cannot be read is listed, and the others are finished.

    Args:
        open_images: the images of a file (several for a time-lapse).
        key: fingerprint of the model and all settings; results of another key are made anew.
        model: hash of the model file, for tables to name.
    Raises:
        InputError: an unknown format, or two images of one name.
        OutputError: `out` cannot be written.
    """
    check_request((), formats)
    folder = make_folder(out / "candidates")
    run = _Run(predictor, out, tuple(formats), selection, Manifest(out / "manifest.json", key))
    for path in paths:
        try:
            sources = open_images(path)
            for index, source in enumerate(sources):
                run.predict(source, path, index if len(sources) > 1 else None)
        except ImageError as error:
            run.result.unreadable.append(str(error))
    run.write_tables(StoredCandidates(folder, run.result.cells), model)
    return run.result


@dataclass(frozen=True)
class _Run:
    """A run over many images: what it uses, and what it has done so far."""

    predictor: Predictor
    out: Path
    formats: tuple[str, ...]
    selection: Selection
    manifest: Manifest
    result: FolderResult = field(default_factory=FolderResult)

    def predict(self, source: ImageSource, path: Path, frame: int | None) -> None:
        """Do one image, or what is left to do of it."""
        name = source.name
        if name in self.result.cells:
            raise InputError(f"{path} holds a second image '{name}': give it a run of its own")
        image = {"path": str(path.resolve()), "modified": path.stat().st_mtime_ns}
        outputs = self._outputs(name)
        done = self.manifest.done.get(name, {})
        done = done if done.get("image") == image else {}
        if done and all(place.is_file() for place in outputs.values()):
            self.result.cells[name] = int(done["cells"])
            self.result.skipped += 1
            return
        warnings = [BLANK] if source.statistics.is_blank else []
        for warning in warnings:
            log.warning("%s: %s", path, warning)
        candidates = _stored(outputs["candidates"]) if done else None
        if candidates is None:
            candidates = self.predictor.candidates(source)
            candidates.save(outputs["candidates"])
        instances = self.selection.instances(candidates, source.pixel_size_um)
        predicted = PredictedImage(source, instances, path, frame)
        for format_name, image_format in IMAGE_FORMATS.items():
            if format_name in self.formats:
                image_format.write(outputs[format_name], predicted)
        pixel_size = None if source.pixel_size_um is None else list(source.pixel_size_um)
        self.manifest.record(name, {
            "image": image, "cells": len(instances), "pixel_size_um": pixel_size,
            "scale": _scale(self.predictor, source), "warnings": warnings,
        })  # fmt: skip
        self.result.cells[name] = len(instances)

    def write_tables(self, stored: Mapping[str, Candidates], model: str) -> None:
        """The chosen formats that hold all images."""
        done = self.manifest.done
        sizes = {name: done[name]["pixel_size_um"] for name in stored}
        images = PredictedImages(
            out=self.out,
            model=model,
            candidates=stored,
            instances=SelectedInstances(stored, self.selection, sizes),
            cells=self.result.cells,
            scales={name: done[name].get("scale") for name in stored},
            warnings={name: done[name].get("warnings", []) for name in stored},
        )
        for format_name, write in RUN_FORMATS.items():
            if format_name in self.formats:
                write(images)

    def _outputs(self, name: str) -> dict[str, Path]:
        places = {"candidates": self.out / "candidates" / f"{name}.npz"}
        for format_name, image_format in IMAGE_FORMATS.items():
            if format_name in self.formats:
                places[format_name] = image_format.place(self.out, name)
        return places


def _scale(predictor: Predictor, source: ImageSource) -> float | None:
    """Network pixels a pixel of this image, where the predictor has one scale."""
    scale_for = getattr(predictor, "scale_for", None)
    return None if scale_for is None else float(scale_for(source))


def _stored(place: Path) -> Candidates | None:
    """Candidates kept by an earlier run, None where they are gone or damaged."""
    try:
        return Candidates.load(place) if place.is_file() else None
    except FormatError:
        return None
