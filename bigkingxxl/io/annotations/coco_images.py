"""The images of a COCO annotation file: their names in this package, and their sizes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from bigkingxxl.errors import FormatError
from bigkingxxl.io.annotations.limits import check_claimed_size
from bigkingxxl.io.images.folders import with_and_without_ome


def whole_number(value: Any) -> int | None:
    """Parse an integer, also one written as text or as 1.0; None for anything else."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.strip().isdecimal() and len(value) <= len(str(2**63)):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def image_names(path: Path, images: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """Return the stem of every image's file, or its path if stems are not unique."""
    seen: set[int | str] = set()
    for image in images:
        number, name = image.get("id"), image.get("file_name")
        if not isinstance(number, int | str) or not isinstance(name, str) or not name:
            raise FormatError(
                f"{path}: the image {image} lacks an id or a file_name",
                file=path,
                key="images",
                found=image,
            )
        if number in seen:
            raise FormatError(
                f"{path} names the image id {number} twice", file=path, key="images", found=number
            )
        seen.add(number)
    files = [PurePosixPath(image["file_name"].replace("\\", "/")) for image in images]
    stems = [_stem(file) for file in files]
    shared = Counter(stems)
    names = [stem if shared[stem] == 1 else _inner_path(file, stem)
             for file, stem in zip(files, stems, strict=True)]  # fmt: skip
    shared = Counter(names)
    names = [name if shared[name] == 1 else _inner_path(file, file.name)
             for file, name in zip(files, names, strict=True)]  # fmt: skip
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise FormatError(
            f"{path} names two images '{twice}', expected names that differ",
            file=path,
            key="images",
            found=twice,
        )
    return tuple(names)


def _stem(file: PurePosixPath) -> str:
    """Return a file name without its ending; `.ome.tif` is one ending."""
    return list(with_and_without_ome(file.stem))[-1]


def _inner_path(file: PurePosixPath, name: str) -> str:
    """Replace the last part of a path, and remove what would lead out of a folder."""
    return "/".join(part for part in (*file.parts[:-1], name) if part.strip("/.") != "")


def claimed_size(
    path: Path, image: dict[str, Any], name: str, complain: Callable[[str, str], None]
) -> tuple[int, int]:
    """Return the (H, W) that a file claims of an image.

    Args:
        path: The file.
        image: Its entry of the image.
        name: The name of the image.
        complain: Called with a sentence and the name if the size is impossible, which is then
            (0, 0).
    """
    height, width = whole_number(image.get("height")), whole_number(image.get("width"))
    whole = height is not None and width is not None and height > 0 and width > 0
    if whole and (problem := check_claimed_size((height, width))) is None:  # type: ignore[arg-type]
        return height, width  # type: ignore[return-value]
    what = f"image {image['file_name']} is {image.get('width')} x {image.get('height')}, "
    expected = problem if whole else "expected a positive width and height"
    complain(f"{path}: {what}{expected}", name)
    return 0, 0
