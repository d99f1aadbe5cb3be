"""The number of channels of the images in a training, which has to be the same for all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bigkingxxl.data.dataset import Dataset
from bigkingxxl.data.joined import open_datasets
from bigkingxxl.display_text import counted
from bigkingxxl.errors import InputError
from bigkingxxl.model_files import read_card, resolve_model
from bigkingxxl.training.recipe import Recipe

ADVICE = "save the channel that shows the cells as a file of its own for each image"


def common_channels(data: Dataset, ids: Sequence[str]) -> int:
    """Return the number of channels of the images.

    Raises:
        InputError: The images differ.
    """
    channels = {image_id: data.source(image_id).channels for image_id in ids}
    first = ids[0]
    for image_id, count in channels.items():
        if count != channels[first]:
            raise InputError(
                f"{data.image_path(image_id)} has {counted(count, 'channel')}, but "
                f"{data.image_path(first)} has {channels[first]}: {ADVICE}",
                file=data.image_path(image_id),
                key="channels",
                found=count,
                expected=channels[first],
            )
    return channels[first]


def check_taken(data: Dataset, channels: int, expected: int | None, taker: str) -> None:
    """Check that a model can be trained on the images of a data set.

    Args:
        data: The data set.
        channels: The number of channels of its images.
        expected: The number of channels that the model takes; None takes any.
        taker: The model, as the user named it.

    Raises:
        InputError: The numbers differ.
    """
    if expected in (None, channels):
        return
    raise InputError(
        f"{data.root}: its images have {counted(channels, 'channel')}, but {taker} takes "
        f"{expected}{f': {ADVICE}' if expected == 1 else ''}",
        file=data.root,
        key="channels",
        found=channels,
        expected=expected,
    )


def check_companions(recipe: Recipe, channels: int) -> None:
    """Check that simulated and replayed images and teachers have the channels of the images.

    Args:
        recipe: The recipe.
        channels: The number of channels of the images to train on.

    Raises:
        InputError: Some have other channels, or a replayed data set cannot be opened.
        ModelError: A teacher is missing.
    """
    if recipe.varied_images and channels != 1:
        raise InputError(
            f"the recipe adds {counted(recipe.varied_images, 'simulated image')} of 1 channel to "
            f"the training, but the images have {channels}: add --set varied_images=0",
            key="varied_images",
            found=channels,
            expected=1,
        )
    if recipe.replay:
        others = open_datasets([Path(each) for each in recipe.replay])
        check_taken(others, common_channels(others, others.ids), channels, "the training")
    for name in () if recipe.teacher is None else recipe.teacher.models:
        path = resolve_model(name)
        expected = read_card(path).image_channels
        if expected != channels:
            raise InputError(
                f"the teacher '{name}' takes images of {counted(expected, 'channel')}, but the "
                f"images to train on have {channels}",
                file=path,
                key="teacher",
                found=channels,
                expected=expected,
            )
