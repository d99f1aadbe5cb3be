"""Predicted cells as a data set: a `submission.csv` with the images that it names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bigkingxxl.data.base import Dataset
from bigkingxxl.data.layouts.tree import files_in, is_image_name
from bigkingxxl.errors import BigKingXXLError, FormatError
from bigkingxxl.instances import UNTYPED
from bigkingxxl.io.annotations.kaggle import SUBMISSION_COLUMNS, read_submission
from bigkingxxl.io.images.image_files import read_header
from bigkingxxl.io.tables.csv_table import BadRows, read_table

FILE = "submission.csv"
IMAGE_FOLDERS = (".", "images", "test", "train")


def is_submission(path: Path) -> bool:
    """Return whether a path is a table of predicted cells, or a folder with `submission.csv`."""
    path = path / FILE if path.is_dir() else path
    if path.suffix.lower() != ".csv" or not path.is_file():
        return False
    try:
        with path.open("rb") as stream:
            header = stream.readline(1 << 12).decode("utf-8-sig", "replace")
    except OSError:
        return False
    return [name.strip() for name in header.split(",")] == list(SUBMISSION_COLUMNS)


def open_submission(path: Path, *, skip_bad: bool = False) -> Dataset:
    """Open a `submission.csv` with images beside it, or in `images/`, `test/` or `train/` there.

    Raises:
        FormatError: An image does not exist, or a row is bad; see `kaggle.read_submission`.
    """
    path = path / FILE if path.is_dir() else path
    bad = BadRows(path, skip_bad)
    there = dict(_images(path.parent))
    paths, sizes = {}, {}
    for name in dict.fromkeys(read_table(path, SUBMISSION_COLUMNS).columns["id"]):
        try:
            if name not in there:
                raise FormatError(
                    f"{path} names the image {name}, which is not in the same folder",
                    file=path,
                    found=name,
                )
            sizes[name] = read_header(there[name]).shape
        except BigKingXXLError as error:
            bad.add_text(str(error))
            continue
        paths[name] = there[name]
    if not paths:
        raise FormatError(f"{path} names no image that is there", file=path)
    cells = read_submission(path, sizes, skip_unknown=skip_bad)
    return Dataset(
        layout="submission",
        root=path,
        ids=tuple(paths),
        type_names=(UNTYPED,),
        paths=paths,
        read_instances=cells.__getitem__,
        skipped=tuple(bad.messages),
    )


def _images(folder: Path) -> Iterator[tuple[str, Path]]:
    for name in reversed(IMAGE_FOLDERS):
        place = folder / name
        if place.is_dir():
            yield from ((path.stem, path) for path in files_in(place) if is_image_name(path))
