"""Open a data set of any layout, and compute a fingerprint of its content."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from bigkingxxl import provenance
from bigkingxxl.data.base import Dataset
from bigkingxxl.data.layouts.ignore_masks import with_ignore_masks
from bigkingxxl.data.layouts.registry import FILES, FOLDERS, find_layout
from bigkingxxl.errors import FormatError, InputError

__all__ = ["Dataset", "file_ends", "fingerprint", "open_dataset"]

ENDS = 1 << 18  # bytes at each end of an image file that enter a fingerprint


def open_dataset(path: Path, *, skip_bad: bool = False) -> Dataset:
    """Open a data set of any known layout; see `layouts`.

    Args:
        path: A folder, a COCO annotation file, a `train.csv` or a `submission.csv`.
        skip_bad: Skip bad rows, and images that are missing or whose annotations cannot be read or
            do not fit; they are listed in `skipped`. This reads every annotation.

    Raises:
        InputError: The path does not exist or has no known layout.
        FormatError: The annotations violate their format.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"there is no data set at {path}", file=path)
    name = find_layout(path)
    if name is None and path.is_file():
        what = ", ".join(each.what for each in FILES.values())
        raise InputError(f"{path} is a file, expected a folder, or {what}", file=path)
    if name is None:
        what = "; ".join(each.what for each in FOLDERS.values())
        raise InputError(
            f"{path} contains no data set of a known layout (looked for {what})", file=path
        )
    layouts = FOLDERS if path.is_dir() else FILES
    dataset = with_ignore_masks(layouts[name].open(path, skip_bad=skip_bad))
    return without_bad(dataset) if skip_bad else dataset


def without_bad(dataset: Dataset) -> Dataset:
    """Return the data set without images whose annotations cannot be read or do not fit.

    Raises:
        FormatError: No image is left.
    """
    good: list[str] = []
    skipped = list(dataset.skipped)
    for image_id in dataset.ids:
        try:
            dataset.instances(image_id)
            dataset.ignored(image_id)
        except InputError as error:
            skipped.append(str(error))
        else:
            good.append(image_id)
    if not good:
        raise FormatError(
            f"{dataset.root} contains no usable image: {skipped[-1]}", file=dataset.root
        )
    paths = {image_id: dataset.paths[image_id] for image_id in good}
    return replace(dataset, ids=tuple(good), paths=paths, skipped=tuple(skipped))


def fingerprint(dataset: Dataset) -> str:
    """Return a short hash of images and annotations, which is the same for a copy of the data.

    Only the length and both ends of large image files are used.
    """
    return provenance.fingerprint(_parts(dataset))


def _parts(dataset: Dataset) -> Iterator[str | bytes]:
    yield from dataset.type_names
    for image_id in dataset.ids:
        instances = dataset.read_instances(image_id)
        yield image_id
        yield file_ends(dataset.image_path(image_id))
        yield repr(instances.size)
        for array, dtype in ((instances.runs, "<i4"), (instances.splits, "<i8"),
                             (instances.cell_type, "<i2")):  # fmt: skip
            yield array.astype(dtype).tobytes()
        ignored = dataset.ignored(image_id)
        if ignored is not None:
            yield np.packbits(ignored).tobytes()


def file_ends(path: Path) -> bytes:
    """Return the content of a file; of a large one its length and both ends."""
    length = path.stat().st_size
    with path.open("rb") as stream:
        if length <= 2 * ENDS:
            return stream.read()
        first = stream.read(ENDS)
        stream.seek(-ENDS, 2)
        return length.to_bytes(8, "little") + first + stream.read()
