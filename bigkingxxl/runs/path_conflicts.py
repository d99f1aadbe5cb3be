"""Check that images and results do not overwrite or include each other."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bigkingxxl.errors import InputError
from bigkingxxl.io.annotations.corrections import CORRECTIONS
from bigkingxxl.runs.outputs import IMAGE_FORMATS
from bigkingxxl.runs.store import BLOCKS, LOCKS, RECORDS, STORED

# The folders into which a run writes.
OWN_FOLDERS = frozenset((
    RECORDS, LOCKS, BLOCKS, CORRECTIONS, *STORED.values(),
    *(each.folder.split("/")[0] for each in IMAGE_FORMATS.values()),
))  # fmt: skip


def check_path_conflicts(images: Iterable[Path], out: Path) -> None:
    """Refuse an output folder in which results would lie among the images, whatever links are used.

    An output folder below a folder of images, or the reverse, is accepted: a run writes into
    folders of its own, in which images are not searched.

    Raises:
        InputError: An image lies where results are written, or results would lie within an image.
    """
    folder = out.resolve()
    for image in images:
        place = image.resolve()
        if folder == place or place in folder.parents:
            raise InputError(
                f"{out} is inside the image {image}: choose a separate folder for the results "
                f"with --out, such as {_beside(place)}",
                file=out,
                key="--out",
                found=image,
            )
        if folder not in place.parents:
            continue
        inner = place.relative_to(folder)
        if len(inner.parts) == 1 or inner.parts[0] in OWN_FOLDERS:
            raise InputError(
                f"the image {image} is inside {out}, the folder for the results: choose a "
                f"separate folder with --out, such as {_beside(folder)}",
                file=out,
                key="--out",
                found=image,
            )


def _beside(place: Path) -> Path:
    """Return a folder beside a place that does not exist yet."""
    for number in range(1, 1000):
        found = place.with_name(f"{place.stem}_cells{number if number > 1 else ''}")
        if not found.exists():
            return found
    return place.with_name("cells")
