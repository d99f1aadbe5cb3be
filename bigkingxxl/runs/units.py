"""The units of work of a run: what different threads, processes, shards and machines may share.

An image is one unit; a large one has a unit for each of its blocks. Which units an image has
follows from its name and shape alone, so that every worker of a run lists the same ones. Units need
nothing of each other: any worker may do any of them, at any time, once or twice, and what is stored
is the same. When all units of an image are done, whoever comes by finishes it.

    for unit in units_of(image.name, image.source.shape):
        do_unit(store, work, image, unit)
    outcome = finish_image(store, work, image)
"""

from __future__ import annotations

from dataclasses import dataclass

from bigkingxxl.errors import BigKingXXLError
from bigkingxxl.runs.large.finish import finish_large
from bigkingxxl.runs.large.grid import Grid, is_large
from bigkingxxl.runs.large.image import LargeImage
from bigkingxxl.runs.store import RunStore
from bigkingxxl.runs.unit import predict_one
from bigkingxxl.runs.work import Outcome, RunImage, Work, failed_or_for_all, is_for_all


@dataclass(frozen=True)
class Unit:
    """A piece of work.

    Attributes:
        image: the image's id in the run.
        block: number of the block of a large image, row by row from 0; None where the image is one
            unit.
    """

    image: str
    block: int | None = None

    @property
    def name(self) -> str:
        """Unique in the run; the same in every process: to lock, to log, to share out."""
        return self.image if self.block is None else f"{self.image}#{self.block}"


def units_of(image_id: str, shape: tuple[int, int]) -> list[Unit]:
    """The units of an image of (H, W) pixels, in the order in which they are best done."""
    if not is_large(shape):
        return [Unit(image_id)]
    return [Unit(image_id, block) for block in Grid.of(shape).walk()]


def do_unit(
    store: RunStore, work: Work, image: RunImage, unit: Unit, *, wait: bool = True
) -> Outcome | None:
    """Do one unit of an image, unless it is done.

    Args:
        wait: for another process that is at work on it; else that gives None.

    Returns:
        The image's outcome where the unit is the whole of it or failed, and so the image; None
        where other units are to follow.

    Raises:
        OutputError: nothing can be written into the folder any more.
    """
    if unit.image != image.name:
        raise ValueError(f"a unit of '{unit.image}' is not one of '{image.name}'")
    if unit.block is None:
        return predict_one(store, work, image, wait=wait)
    try:
        LargeImage(store, work, image).do_block(unit.block, wait=wait)
    except Exception as error:
        return failed_or_for_all(store, work, image, error)
    return None


def is_ready(store: RunStore, work: Work, image: RunImage) -> bool:
    """Whether all units of a large image are done, so that it can be finished, or it failed."""
    try:
        return not LargeImage(store, work, image).missing()
    except BigKingXXLError as error:
        if is_for_all(error):
            raise
        return True  # `finish_image` says why


def finish_image(
    store: RunStore, work: Work, image: RunImage, *, wait: bool = True
) -> Outcome | None:
    """Make the files and records of an image; units that are not done are done first.

    Args:
        wait: for another process that is at work on it; else that gives None.

    Raises:
        OutputError: nothing can be written into the folder any more.
    """
    if not is_large(image.source.shape):
        return predict_one(store, work, image, wait=wait)
    try:
        return finish_large(LargeImage(store, work, image), wait=wait)
    except Exception as error:
        return failed_or_for_all(store, work, image, error)
