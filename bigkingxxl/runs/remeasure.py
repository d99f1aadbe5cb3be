"""Measure current label images and make all other results again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from bigkingxxl.data.progress_reports import Track, untracked
from bigkingxxl.errors import ImageError, InputError
from bigkingxxl.images import ImageSource
from bigkingxxl.runs.folder import predict_folder
from bigkingxxl.runs.folder_result import FolderResult
from bigkingxxl.runs.open_options import OpenOptions
from bigkingxxl.runs.outputs import chosen_formats
from bigkingxxl.runs.pipeline import Pipeline
from bigkingxxl.runs.reader import open_run
from bigkingxxl.runs.records import Stamp
from bigkingxxl.runs.selection import STORED

DEFAULT_FORMATS = ("measurements", "summary")


def remeasure(
    folder: Path,
    formats: Sequence[str] = (),
    *,
    overwrite: bool = False,
    track: Track = untracked,
    only: Collection[str] | None = None,
) -> FolderResult:
    """Measure the cells of a run's current label images, and remake the files that show them.

    Unchanged cells are measured as by `predict`. Label images and candidates are not changed.

    Args:
        folder: The folder of the run.
        formats: Formats in addition to those of the run; measurements and summary are always made.
        overwrite: Whether to overwrite tables, ROIs and pictures that a person changed.
        track: Wraps iterables to show progress.
        only: The ids of the images to process (default: all); tables always contain all images.

    Raises:
        InputError: The folder contains no run, or a format is unknown.
        OutputError: It cannot be written.
    """
    run = open_run(folder)
    wanted = chosen_formats([*run.settings.formats, *DEFAULT_FORMATS, *formats])
    settings = replace(run.settings, formats=wanted)
    reading = OpenOptions.of(settings.reading)
    # Missing images keep their measurements; the tables leave them out with a notice.
    images = [image for name, image in run.items() if only is None or name in only]
    seen = {
        image.path: image.record.seen for image in images
        if not image.failure and not image.record.is_gone()
    }  # fmt: skip
    ids: dict[Path, list[str]] = {}
    for image in images:
        ids.setdefault(image.path, []).append(image.name)
    if not seen:
        raise InputError(f"{folder} contains no images with cells to measure", file=folder)

    def open_images(path: Path) -> Sequence[ImageSource]:
        _check_same(path, seen[path])
        return reading.reopen(path, ids[path])

    pipeline = Pipeline(settings, STORED, overwrite=overwrite, track=track)
    return predict_folder(
        pipeline, sorted(seen), open_images, folder, name_of=lambda path: ids[path][0],
        label="measuring",
    )  # fmt: skip


def _check_same(path: Path, seen: Stamp | None) -> None:
    """Refuse an image that is no longer the one in which the cells were found."""
    if seen is None or Stamp.of(path, seen).sha256 != seen.sha256:
        raise ImageError(f"{path} changed since its cells were found: predict it again", file=path)
