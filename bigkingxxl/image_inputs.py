"""Open whatever a user may pass as an image, or as several images."""

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
    """Open one image.

    Args:
        image: A path, an `ImageSource`, or an array or tensor [H, W], [C, H, W] or [H, W, C].
        pixel_size: Micrometres per pixel; by default the value stored in the file.
        channel: The channel to use, counted from 0.

    Raises:
        ImageError: The image cannot be read, is not an image, or has no such channel.
        InputError: The argument cannot be an image.
    """
    if isinstance(image, ImageSource):
        return image if channel is None else OneChannel(image, channel)
    if isinstance(image, str | Path):
        from bigkingxxl.io.images import open_image

        source = open_image(_named(image), channel=channel)
        source.pixel_size_um = pixel_size or source.pixel_size_um
        return source
    if hasattr(image, "detach"):  # detect a torch tensor without importing torch
        image = _of_tensor(image)
    pixels = np.asarray(image)
    if pixels.dtype.kind not in "biuf":
        what = type(image).__name__
        if isinstance(image, np.ndarray):
            what = f"an array of {image.dtype}"
        raise InputError(
            f"an image is a path or an array of real numbers, not {what}", key="image", found=what
        )
    from bigkingxxl.io.images.axes import array_source, channels_first

    if channel is None:
        return array_source(pixels, pixel_size_um=pixel_size)
    planes: NDArray[Any] = channels_first(pixels)[0]
    return OneChannel(array_source(planes, pixel_size_um=pixel_size), channel)


def sources_of(image: Any, **planes: Any) -> tuple[list[ImageSource], bool]:
    """Open all images that the argument stands for; also return whether it stands for several.

    Args:
        image: See `as_source`; or a list of these, a folder, a pattern, or a file of several
            images.
        **planes: channel, frames, z and position; see `bigkingxxl.io.images.open_images`.
    """
    if isinstance(image, str | Path):
        return _in_files(_named(image), planes)
    # A nested list of numbers is an image, as for numpy.
    if isinstance(image, list | tuple) and not _is_number(image):
        return [source for each in image for source in sources_of(each, **planes)[0]], True
    given = [name for name, value in planes.items() if name != "channel" and value is not None]
    if given:
        raise InputError(
            f"{given[0]} chooses from the planes of a file: pass that plane instead", key=given[0]
        )
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
        if str(tensor.dtype) == "torch.bfloat16":  # numpy has no such dtype
            tensor = tensor.float()
        values: NDArray[Any] = tensor.numpy()
    except (TypeError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"the tensor cannot be made an array: {error}") from error
    return values


def _named(place: str | Path) -> Path:
    if str(place) == "":
        raise InputError("the name of an image is empty", key="image", found="")
    return Path(place)


def _is_number(value: Any) -> bool:
    """Return whether a nested list contains numbers."""
    while isinstance(value, list | tuple):
        if not value:
            return False
        value = value[0]
    return isinstance(value, int | float | np.number)
