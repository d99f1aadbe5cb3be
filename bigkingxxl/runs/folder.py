"""Prediction over many images: one image is one unit of work, done once, never lost.

Every image's candidates are kept as `candidates/<id>.npz` and noted in a manifest; a broken run
goes on where it stopped, and other formats are made from the stored candidates. While the network
looks at one image, the cells of the one before are decoded and written.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from bigkingxxl.candidates import Candidates
from bigkingxxl.data.tracking import Track, untracked
from bigkingxxl.errors import FormatError, ImageError, InputError
from bigkingxxl.files import make_folder
from bigkingxxl.images import ImageSource
from bigkingxxl.inference.ordered import Task, in_order
from bigkingxxl.inference.predictor import Predictor
from bigkingxxl.inference.selection import select
from bigkingxxl.instances import Instances, PixelSize
from bigkingxxl.manifest import Manifest
from bigkingxxl.operating_points import OperatingPoints
from bigkingxxl.runs.outputs import (
    FORMATS,
    IMAGE_FORMATS,
    RUN_FORMATS,
    PredictedImage,
    PredictedImages,
)
from bigkingxxl.settings import nearest

log = logging.getLogger(__name__)

OpenImage = Callable[[Path], Sequence[ImageSource]]
Warn = Callable[[ImageSource, Candidates, Instances], list[str]]
AHEAD = 2  # images worked on at once
ALONE_ABOVE = 2**22  # pixels of an image that nothing else is worked on beside
BLANK = "the image is constant or empty, so no cells were sought"


@dataclass(frozen=True)
class Selection:
    """How stored candidates become instances.

    Attributes:
        points: the operating points; cell_type: where it is known.
    """

    points: OperatingPoints
    cell_type: str | None = None

    def instances(self, candidates: Candidates, pixel_size: PixelSize | None) -> Instances:
        """The cells of one image."""
        return select(candidates, self.points, cell_type=self.cell_type, pixel_size_um=pixel_size)


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
    """The cells of stored candidates by image id, selected when asked for: none are held.

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

    def __getitem__(self, image_id: str) -> Instances:
        size = self.pixel_sizes[image_id]
        pixel_size = None if size is None else (float(size[0]), float(size[1]))
        return self.selection.instances(self.stored[image_id], pixel_size)

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
    warn: Warn | None = None,
    *,
    track: Track = untracked,
    ahead: int = AHEAD,
) -> FolderResult:
    """Predict images and write the chosen formats into `out`.

    An image that cannot be read is listed, and the others are finished.

    Args:
        open_images: the images of a file (several for a time-lapse).
        key: fingerprint of the model and all settings; results of another key are made anew.
        model: hash of the model file, for tables to name.
        warn: sentences on what the user should know of an image.
        track: shows the progress, file by file.
        ahead: images worked on at once, each in a thread; what is written does not depend on it.
    Raises:
        InputError: an unknown format, or two images of one name.
        OutputError: `out` cannot be written.
    """
    check_request((), formats)
    folder = make_folder(out / "candidates")
    manifest = Manifest(out / "manifest.jsonl", key)
    run = _Run(predictor, out, tuple(formats), selection, manifest, warn)
    total = len(paths) if isinstance(paths, Sized) else None
    for _ in track(run.finished(paths, open_images, ahead), total, "predicting"):
        pass
    run.write_tables(StoredCandidates(folder, run.result.cells), model)
    return run.result


@dataclass(frozen=True)
class _Done:
    """An image that is done: its name, what the manifest keeps of it, whether that is new."""

    path: Path
    name: str
    record: Mapping[str, Any]
    is_new: bool


class _Turn(NamedTuple):
    """Whose turn it is: an image of a file, its last one or not."""

    path: Path
    is_last: bool = True


@dataclass(frozen=True)
class _Run:
    """A run over many images: what it uses, and what it has done so far."""

    predictor: Predictor
    out: Path
    formats: tuple[str, ...]
    selection: Selection
    manifest: Manifest
    warn: Warn | None
    result: FolderResult = field(default_factory=FolderResult)

    def finished(self, paths: Iterable[Path], open_images: OpenImage, ahead: int) -> Iterator[Path]:
        """The files, each when all its images are done and noted."""
        with closing(in_order(self._tasks(paths, open_images), ahead)) as outcomes:
            for turn, outcome in outcomes:
                try:
                    self._note(outcome.result())
                except ImageError as error:
                    self.result.unreadable.append(str(error))
                if turn.is_last:
                    yield turn.path

    def _tasks(self, paths: Iterable[Path], open_images: OpenImage) -> Iterator[Task[_Turn, _Done]]:
        """The images of all files; an error of opening comes in its turn."""
        names: set[str] = set()
        for path in paths:
            try:
                sources = open_images(path)
                stamp = {"path": str(path.resolve()), "modified": path.stat().st_mtime_ns}
            except Exception as error:
                yield Task(_Turn(path), partial(_fail, error))
                continue
            for index, source in enumerate(sources):
                turn = _Turn(path, index == len(sources) - 1)
                if source.name in names:
                    again = f"{path} holds a second image '{source.name}'"
                    yield Task(
                        turn, partial(_fail, InputError(f"{again}: give it a run of its own"))
                    )
                    continue
                names.add(source.name)
                frame = index if len(sources) > 1 else None
                work = partial(self._predict, source, path, stamp, frame)
                yield Task(turn, work, source.shape[0] * source.shape[1] > ALONE_ABOVE)

    def _predict(
        self, source: ImageSource, path: Path, stamp: Mapping[str, Any], frame: int | None
    ) -> _Done:
        """Do one image, or what is left to do of it."""
        name = source.name
        outputs = self._outputs(name)
        done = self.manifest.done.get(name, {})
        done = done if done.get("image") == stamp else {}
        if done and all(place.is_file() for place in outputs.values()):
            return _Done(path, name, done, is_new=False)
        candidates = _stored(outputs["candidates"]) if done else None
        if candidates is None:
            candidates = self.predictor.candidates(source)
            candidates.save(outputs["candidates"])
        instances = self.selection.instances(candidates, source.pixel_size_um)
        warnings = [BLANK] if source.statistics.is_blank else []
        warnings += self.warn(source, candidates, instances) if self.warn else []
        predicted = PredictedImage(source, instances, path, frame)
        for format_name, image_format in IMAGE_FORMATS.items():
            if format_name in self.formats:
                image_format.write(outputs[format_name], predicted)
        pixel_size = None if source.pixel_size_um is None else list(source.pixel_size_um)
        record = {
            "image": stamp, "cells": len(instances), "pixel_size_um": pixel_size,
            "scale": _scale(self.predictor, candidates), "warnings": warnings,
        }  # fmt: skip
        return _Done(path, name, record, is_new=True)

    def _note(self, done: _Done) -> None:
        """Keep what is done, on disk as well, and say what the user should know."""
        if done.is_new:
            for warning in done.record["warnings"]:
                log.warning("%s: %s", done.path, warning)
            self.manifest.record(done.name, done.record)
        else:
            self.result.skipped += 1
        self.result.cells[done.name] = int(done.record["cells"])

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


def _fail(error: Exception) -> Any:
    raise error


def _scale(predictor: Predictor, candidates: Candidates) -> float | None:
    """Network pixels a pixel of the image of these, where the predictor has one scale."""
    scale_of = getattr(predictor, "scale_of", None)
    return None if scale_of is None else float(scale_of(candidates))


def _stored(place: Path) -> Candidates | None:
    """Candidates kept by an earlier run, None where they are gone or damaged."""
    try:
        return Candidates.load(place) if place.is_file() else None
    except FormatError:
        return None
