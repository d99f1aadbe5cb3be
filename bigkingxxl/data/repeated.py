"""Find images that a data set contains more than once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bigkingxxl.data.base import Dataset
from bigkingxxl.data.dataset import file_ends


def repeated_images(data: Dataset, ids: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the ids of images whose files have the same content, in groups of two or more.

    Images that are parts of one file, such as the frames of a time-lapse, are compared with those
    at the same position in a copy of the file. As for `fingerprint`, only the length and both ends
    of large files are compared.

    Raises:
        OSError: A file cannot be read.
    """
    inside: dict[Path, list[str]] = {}
    for image_id in ids:
        inside.setdefault(data.image_path(image_id), []).append(image_id)
    by_length: dict[int, list[Path]] = {}
    for path in inside:
        by_length.setdefault(path.stat().st_size, []).append(path)
    found: dict[tuple[bytes, int], list[str]] = {}
    for paths in by_length.values():
        for path in paths if len(paths) > 1 else ():
            content = file_ends(path)
            for place, image_id in enumerate(inside[path]):
                found.setdefault((content, place), []).append(image_id)
    return [tuple(group) for group in found.values() if len(group) > 1]
