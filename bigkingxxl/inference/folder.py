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
from bigkingxxl.errors import ImageError, InputError
from bigkingxxl.images import ImageSource
from bigkingxxl.inference.dense import relative_size
from bigkingxxl.inference.predictor import Predictor
from bigkingxxl.inference.selection import select
from bigkingxxl.instances import Instances, PixelSize
from bigkingxxl.operating_points import OperatingPoints
from bigkingxxl.runs import Manifest, make_folder, whole_file

log = logging.getLogger(__name__)

FORMATS = ("labels", "overlay", "submission", "coco")
OpenImage = Callable[[Path], Sequence[ImageSource]]


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


def predict_folder(
    predictor: Predictor,
    paths: Iterable[Path],
    open_images: OpenImage,
    out: Path,
    formats: Sequence[str],
    selection: Selection,
    key: str,
) -> FolderResult:
    """Predict images and write the chosen formats into `out`.

    Args:
        open_images: the images of a file (several for a time-lapse).
        key: fingerprint of the model and all settings; results of another key are made anew.
    Raises:
        InputError: an unknown format, or two images of one name.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise InputError(f"no format '{unknown[0]}'; known are {', '.join(FORMATS)}")
    folder = make_folder(out / "candidates")
    manifest = Manifest(out / "manifest.json", key)
    result = FolderResult()
    for path in paths:
        try:
            for source in open_images(path):
                _one_image(predictor, source, path, out, formats, selection, manifest, result)
        except ImageError as error:
            result.unreadable.append(str(error))
    stored = StoredCandidates(folder, result.cells)
    sizes = {name: manifest.done[name]["pixel_size_um"] for name in stored}
    _write_tables(stored, out, formats, selection, sizes)
    return result


def _one_image(
    predictor: Predictor, source: ImageSource, path: Path, out: Path, formats: Sequence[str],
    selection: Selection, manifest: Manifest, result: FolderResult,
) -> None:  # fmt: skip
    if source.name in result.cells:
        raise InputError(f"{path}: a second image of the name '{source.name}'; give them own --out")
    image = {"path": str(path.resolve()), "modified": path.stat().st_mtime_ns}
    wanted = _image_outputs(out, source.name, formats)
    done = manifest.done.get(source.name, {})
    if done.get("image") == image and all(place.is_file() for place in wanted.values()):
        result.cells[source.name] = int(done["cells"])
        result.skipped += 1
        return
    if source.statistics.is_blank:
        log.warning("%s: the image is constant or empty, so no cells were sought", path)
    candidates = predictor.candidates(source)
    instances = selection.instances(candidates, source.pixel_size_um)
    _write_image(source, candidates, instances, wanted)
    pixel_size = None if source.pixel_size_um is None else list(source.pixel_size_um)
    manifest.record(source.name, {"image": image, "cells": len(instances),
                                  "pixel_size_um": pixel_size})  # fmt: skip
    result.cells[source.name] = len(instances)


def _image_outputs(out: Path, name: str, formats: Sequence[str]) -> dict[str, Path]:
    places = {"candidates": out / "candidates" / f"{name}.npz"}
    if "labels" in formats:
        places["labels"] = out / "labels" / f"{name}.tif"
    if "overlay" in formats:
        places["overlay"] = out / "overlays" / f"{name}.png"
    return places


def _write_image(
    source: ImageSource, candidates: Candidates, instances: Instances, places: Mapping[str, Path]
) -> None:
    from bigkingxxl.formats.label_images import write_label_image
    from bigkingxxl.formats.overlay import write_overlay

    with whole_file(places["candidates"]) as temporary:
        candidates.save(temporary)
    if "labels" in places:
        make_folder(places["labels"].parent)
        write_label_image(places["labels"], instances)
    if "overlay" in places:
        make_folder(places["overlay"].parent)
        write_overlay(places["overlay"], source, instances)


def _write_tables(
    stored: StoredCandidates, out: Path, formats: Sequence[str], selection: Selection,
    pixel_sizes: Mapping[str, Sequence[float] | None],
) -> None:  # fmt: skip
    from bigkingxxl.formats.coco import write_results
    from bigkingxxl.formats.kaggle import write_submission

    if "submission" in formats:
        chosen = {}
        for name, candidates in stored.items():
            size = pixel_sizes[name]
            pixel_size = None if size is None else (float(size[0]), float(size[1]))
            chosen[name] = selection.instances(candidates, pixel_size)
        write_submission(out / "submission.csv", chosen)
    if "coco" in formats:
        write_results(out / "results.json", stored)
