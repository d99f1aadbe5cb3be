"""Images and results lie apart: neither takes the place of the other, nor is taken for it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bigkingxxl.errors import InputError
from bigkingxxl.io.annotations.corrections import CORRECTIONS
from bigkingxxl.runs.outputs import IMAGE_FORMATS
from bigkingxxl.runs.store import BLOCKS, LOCKS, RECORDS, STORED

# What a run writes into directly below its folder.
OWN_FOLDERS = frozenset((
    RECORDS, LOCKS, BLOCKS, CORRECTIONS, *STORED.values(),
    *(each.folder.split("/")[0] for each in IMAGE_FORMATS.values()),
))  # fmt: skip


def check_apart(images: Iterable[Path], out: Path) -> None:
    """Refuse a folder for results among the images, by whatever names and links they are given.

    A folder of results below a folder of images, or the reverse, is no matter: what a run writes
    lies in folders of its own, which no search for images enters.

    Raises:
        InputError: an image lies where results are written, or results would lie within an image.
    """
    folder = out.resolve()
    for image in images:
        place = image.resolve()
        if folder == place or place in folder.parents:
            raise InputError(
                f"{out} lies within the image {image}: give results a folder of their own with "
                f"--out, such as {_beside(place)}",
                file=out,
                key="--out",
                found=image,
            )
        if folder not in place.parents:
            continue
        inner = place.relative_to(folder)
        if len(inner.parts) == 1 or inner.parts[0] in OWN_FOLDERS:
            raise InputError(
                f"the image {image} lies in {out}, among the results to be: give these a folder "
                f"of their own with --out, such as {_beside(folder)}",
                file=out,
                key="--out",
                found=image,
            )


def _beside(place: Path) -> Path:
    """A folder beside a place that is not there yet."""
    for number in range(1, 1000):
        found = place.with_name(f"{place.stem}_cells{number if number > 1 else ''}")
        if not found.exists():
            return found
    return place.with_name("cells")
