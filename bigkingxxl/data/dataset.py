"""Open a data set whatever its layout, and tell whether two are the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bigkingxxl import provenance
from bigkingxxl.data.base import Dataset
from bigkingxxl.data.layout_coco import annotation_files, open_coco
from bigkingxxl.data.layout_kaggle import ANNOTATIONS, is_kaggle, open_kaggle
from bigkingxxl.data.layout_pairs import is_pairs, open_pairs
from bigkingxxl.errors import InputError

__all__ = ["Dataset", "fingerprint", "open_dataset"]

ENDS = 1 << 18  # bytes of each end of an image file that a fingerprint looks at
LOOKED_FOR = (
    "train.csv beside train/, one annotations*.json, images/ beside labels/, "
    "or x.png beside x_masks.png or .tif"
)


def open_dataset(path: Path, *, skip_bad: bool = False) -> Dataset:
    """Open a data set of any known layout.

    Args:
        path: a folder in Kaggle's layout, a COCO annotation file or the folder of one, or a folder
            of pairs of image and label image.
        skip_bad: leave bad rows and missing images out (they are listed in `skipped`).

    Raises:
        InputError: nothing is there, or no known layout.
        FormatError: the annotations break the rules of their format.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"there is no data set at {path}")
    if path.is_file():
        if path.suffix.lower() == ".json":
            return open_coco(path, skip_bad=skip_bad)
        if path.name == ANNOTATIONS:
            return open_kaggle(path.parent, skip_bad=skip_bad)
        raise InputError(f"{path} is a file, expected a folder or a COCO annotation file (.json)")
    if is_kaggle(path):
        return open_kaggle(path, skip_bad=skip_bad)
    if is_pairs(path):
        return open_pairs(path, skip_bad=skip_bad)
    if annotation_files(path):
        return open_coco(path, skip_bad=skip_bad)
    raise InputError(f"{path} holds no data set that is known (looked for {LOOKED_FOR})")


def fingerprint(dataset: Dataset) -> str:
    """A short hash of images and annotations: the same data elsewhere has the same one.

    Of a large image file its length and both ends are looked at.
    """
    return provenance.fingerprint(_parts(dataset))


def _parts(dataset: Dataset) -> Iterator[str | bytes]:
    yield from dataset.type_names
    for image_id in dataset.ids:
        instances = dataset.read_instances(image_id)
        yield image_id
        yield _ends(dataset.image_path(image_id))
        yield repr(instances.size)
        for array, dtype in ((instances.runs, "<i4"), (instances.splits, "<i8"),
                             (instances.cell_type, "<i2")):  # fmt: skip
            yield array.astype(dtype).tobytes()


def _ends(path: Path) -> bytes:
    length = path.stat().st_size
    with path.open("rb") as stream:
        if length <= 2 * ENDS:
            return stream.read()
        first = stream.read(ENDS)
        stream.seek(-ENDS, 2)
        return length.to_bytes(8, "little") + first + stream.read()
