"""Determine the kind of a folder."""

from __future__ import annotations

from pathlib import Path

from bigkingxxl.data.layouts.registry import find_layout
from bigkingxxl.errors import InputError
from bigkingxxl.viewer.server.dataset_workspace import DatasetWorkspace
from bigkingxxl.viewer.server.files_workspace import FilesWorkspace, ImagesWorkspace
from bigkingxxl.viewer.server.run_workspace import RunWorkspace, is_run_folder
from bigkingxxl.viewer.server.workspace import Workspace


def open_workspace(folder: Path, *, annotate: bool = False) -> Workspace:
    """Open a run of `predict`, an annotated data set, or a folder of images.

    Args:
        folder: The folder.
        annotate: Whether images without annotations are not predicted.

    Raises:
        InputError: The folder does not exist or contains nothing to show.
    """
    folder = Path(folder)
    if not folder.exists():
        raise InputError(f"there is no folder {folder}", file=folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is a file, expected a folder", file=folder)
    folder = folder.resolve()
    if is_run_folder(folder):
        if annotate:
            raise InputError(
                f"{folder} is a run of `bigkingxxl predict`: correct its cells with "
                f"`bigkingxxl view {folder}`",
                file=folder,
                key="annotate",
            )
        return RunWorkspace(folder)
    if find_layout(folder) is not None:
        return DatasetWorkspace(folder)
    return FilesWorkspace(folder) if annotate else ImagesWorkspace(folder)
