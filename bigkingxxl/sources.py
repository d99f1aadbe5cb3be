"""Whatever a user calls an image, or several, as sources that are read by window."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import InputError
from bigkingxxl.images import ImageSource, OneChannel
from bigkingxxl.instances import PixelSize


def as_source(
    image: Any, pixel_size: PixelSize | None = None, channel: int | None = None
) -> ImageSource:
    """One image.

    Args:
        image: a path, an `ImageSource`, or an array or tensor [H, W], [C, H, W] or [H, W, C].
        channel: the one to look at, counted from 0.
    Raises:
        ImageError, InputError: it cannot be read, is no image, or has no such channel.
    """
    if isinstance(image, ImageSource):
        return image if channel is None else OneChannel(image, channel)
    if isinstance(image, str | Path):
        from bigkingxxl.io.images import open_image

        source = open_image(_named(image), channel=channel)
        source.pixel_size_um = pixel_size or source.pixel_size_um
        return source
    if hasattr(image, "detach"):  # a torch tensor, without importing torch
        image = _of_tensor(image)
    pixels = np.asarray(image)
    if pixels.dtype.kind not in "biuf":
        what = type(image).__name__
        if isinstance(image, np.ndarray):
            what = f"an array of {image.dtype}"
        raise InputError(f"an image is a path or an array of real numbers, not {what}")
    from bigkingxxl.io.images.axes import array_source, channels_first

    if channel is None:
        return array_source(pixels, pixel_size_um=pixel_size)
    planes: NDArray[Any] = channels_first(pixels)[0]
    return OneChannel(array_source(planes, pixel_size_um=pixel_size), channel)


def sources_of(image: Any, **planes: Any) -> tuple[list[ImageSource], bool]:
    """All images that are meant, and whether these are several by what was asked.

    Args:
        image: as in `as_source`; or a list of such, a folder, a pattern, a file of several images.
        planes: channel, frames, z and position, see `bigkingxxl.io.images.open_images`.
    """
    if isinstance(image, str | Path):
        return _in_files(_named(image), planes)
    # Numbers in lists are an image, as numpy takes them.
    if isinstance(image, list | tuple) and not _is_number(image):
        return [source for each in image for source in sources_of(each, **planes)[0]], True
    given = [name for name, value in planes.items() if name != "channel" and value is not None]
    if given:
        raise InputError(f"{given[0]} chooses from the planes of a file: pass that plane instead")
    return [as_source(image, channel=planes.get("channel"))], False


def _in_files(place: Path, planes: dict[str, Any]) -> tuple[list[ImageSource], bool]:
    from bigkingxxl.io.images import find_images, open_images

    if place.is_file() or not (place.is_dir() or any(sign in str(place) for sign in "*?[")):
        found: Sequence[ImageSource] = open_images(place, **planes)
        return list(found), len(found) > 1
    files = find_images([place]).files
    several = [each for file in files for each in open_images(file.path, name=file.name, **planes)]
    return several, True


def _of_tensor(tensor: Any) -> NDArray[Any]:
    tensor = tensor.detach()
    try:
        tensor = tensor.cpu()
        if str(tensor.dtype) == "torch.bfloat16":  # numpy knows none
            tensor = tensor.float()
        values: NDArray[Any] = tensor.numpy()
    except (TypeError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"the tensor cannot be made an array: {error}") from error
    return values


def _named(place: str | Path) -> Path:
    if str(place) == "":
        raise InputError("the name of an image is empty")
    return Path(place)


def _is_number(value: Any) -> bool:
    """Whether a list of lists ends in numbers."""
    while isinstance(value, list | tuple):
        if not value:
            return False
        value = value[0]
    return isinstance(value, int | float | np.number)
