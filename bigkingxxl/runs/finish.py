"""Finish a run that was done in parts: make its tables from the records.

Only images that a person corrected since they were measured are processed again, so that the tables
contain the current cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bigkingxxl.errors import BigKingXXLError, InputError
from bigkingxxl.runs.folder_result import FolderResult
from bigkingxxl.runs.image_result import ImageResult
from bigkingxxl.runs.outputs import chosen_formats
from bigkingxxl.runs.reader import open_run
from bigkingxxl.runs.remeasure import remeasure
from bigkingxxl.runs.store import RunStore
from bigkingxxl.runs.tables import make_tables

ALWAYS = "summary"


def finish_run(
    folder: Path, formats: Sequence[str] = (), *, overwrite: bool = False
) -> FolderResult:
    """Make the tables of a run and return a summary of its images.

    Args:
        folder: The folder of the run.
        formats: Tables to make in addition to those of the run.
        overwrite: Whether to overwrite tables that a person changed.

    Raises:
        InputError: The folder contains no run, no image is done, or a format is unknown.
        OutputError: A table cannot be written.
    """
    run = open_run(folder)
    store = RunStore(folder)
    wanted = chosen_formats([*run.settings.formats, ALWAYS, *formats])
    settings = store.begin(replace(run.settings, formats=wanted))
    stale = [name for name, image in run.items() if _is_corrected_since(image)]
    measured = remeasure(folder, wanted, only=stale) if stale else FolderResult()
    tables = make_tables(store, settings, overwrite=overwrite)
    if not tables.cells and not tables.failed:
        raise InputError(
            f"{folder} has no finished image: run `bigkingxxl predict` first", file=folder
        )
    return FolderResult(
        tables.cells, failed={**tables.failed, **measured.failed}, kept=list(tables.kept),
        corrected=tables.corrected, tables=tables,
    )  # fmt: skip


def _is_corrected_since(image: ImageResult) -> bool:
    """Return whether the current cells of an image differ from the measured ones."""
    if image.failure or image.record.is_gone():
        return False
    try:
        return not image.is_measured
    except BigKingXXLError:  # measuring will report the error
        return True
