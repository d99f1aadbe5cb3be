"""The units of work of a run, which threads, processes, shards and machines share out.

An image is one unit; a large image has one unit for each of its blocks. The units of an image
follow from its name and shape alone, so every worker of a run lists the same ones. Units are
independent of each other: any worker may do any of them, at any time, once or twice, and the stored
result is the same. Once all units of an image are done, any worker finishes it.

    for unit in units_of(image.name, image.source.shape):
        do_unit(store, pipeline, image, unit)
    outcome = finish_image(store, pipeline, image)
"""

from __future__ import annotations

from dataclasses import dataclass

from bigkingxxl.errors import BigKingXXLError
from bigkingxxl.runs.large.finish import finish_large
from bigkingxxl.runs.large.grid import Grid, is_large
from bigkingxxl.runs.large.image import LargeImage
from bigkingxxl.runs.outcome import Outcome, failed_or_for_all, is_for_all
from bigkingxxl.runs.pipeline import Pipeline, RunImage
from bigkingxxl.runs.small_image import predict_one
from bigkingxxl.runs.store import RunStore


@dataclass(frozen=True)
class Unit:
    """A piece of work.

    Attributes:
        image: Id of the image in the run.
        block: Number of the block of a large image, row by row from 0; None if the image is one
            unit.
    """

    image: str
    block: int | None = None

    @property
    def name(self) -> str:
        """A name unique in the run and the same in every process, for locks and logs."""
        return self.image if self.block is None else f"{self.image}#{self.block}"


def units_of(image_id: str, shape: tuple[int, int]) -> list[Unit]:
    """Return the units of an image of (H, W) pixels, in the order in which to do them."""
    if not is_large(shape):
        return [Unit(image_id)]
    return [Unit(image_id, block) for block in Grid.of(shape).walk()]


def do_unit(
    store: RunStore, pipeline: Pipeline, image: RunImage, unit: Unit, *, wait: bool = True
) -> Outcome | None:
    """Do one unit of an image unless it is done.

    Args:
        store: The folder of the run.
        pipeline: What is done with every image.
        image: The image.
        unit: One of its units.
        wait: Wait for another process that is working on the unit; otherwise return None then.

    Returns:
        The outcome of the image if the unit is all of it or if the unit failed; None if other units
        are to follow.

    Raises:
        OutputError: Nothing can be written into the folder any more.
    """
    if unit.image != image.name:
        raise ValueError(f"a unit of '{unit.image}' is not one of '{image.name}'")
    if unit.block is None:
        return predict_one(store, pipeline, image, wait=wait)
    try:
        LargeImage(store, pipeline, image).do_block(unit.block, wait=wait)
    except Exception as error:
        return failed_or_for_all(store, pipeline.settings, image, error)
    return None


def is_ready(store: RunStore, pipeline: Pipeline, image: RunImage) -> bool:
    """Whether a large image can be finished: all its units are done, or one failed."""
    try:
        return not LargeImage(store, pipeline, image).missing()
    except BigKingXXLError as error:
        if is_for_all(error):
            raise
        return True  # `finish_image` says why


def finish_image(
    store: RunStore, pipeline: Pipeline, image: RunImage, *, wait: bool = True
) -> Outcome | None:
    """Make the files and records of an image, after any units that are not done yet.

    Args:
        store: The folder of the run.
        pipeline: What is done with every image.
        image: The image.
        wait: Wait for another process that is working on the image; otherwise return None then.

    Raises:
        OutputError: Nothing can be written into the folder any more.
    """
    if not is_large(image.source.shape):
        return predict_one(store, pipeline, image, wait=wait)
    try:
        return finish_large(LargeImage(store, pipeline, image), wait=wait)
    except Exception as error:
        return failed_or_for_all(store, pipeline.settings, image, error)
