"""An image file as an `ImageSource`, independent of how its samples are stored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import ImageError
from bigkingxxl.geometry import Window
from bigkingxxl.images import ImageSource

PixelSize = tuple[float, float]
# ITU-R BT.601, as in Pillow's conversion of RGB to luminance.
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)


class Samples(Protocol):
    """One plane of a file as [C, H, W] of any real type, read by window."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W)."""

    def read(self, window: Window) -> NDArray[Any]:
        """Read a window inside the plane, [C, h, w]."""


class ArraySamples:
    """Samples in memory, or mapped from a file.

    Args:
        pixels: [C, H, W] of any real type.
    """

    def __init__(self, pixels: NDArray[Any]) -> None:
        self.pixels = pixels

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W)."""
        channels, height, width = self.pixels.shape
        return channels, height, width

    def read(self, window: Window) -> NDArray[Any]:
        """Read a window, [C, h, w]."""
        return self.pixels[(slice(None), *window.slices)]


class BrokenSamples:
    """A plane that cannot be read, among others that can; reading it raises the reason."""

    def __init__(self, shape: tuple[int, int, int], reason: ImageError) -> None:
        self.shape, self.reason = shape, reason

    def read(self, window: Window) -> NDArray[Any]:  # noqa: ARG002 - as every plane's
        """Raise the reason.

        Raises:
            ImageError: Always.
        """
        raise self.reason


class BrightestOfDepth:
    """The maximum projection of planes at several depths, with two planes in memory at a time.

    Args:
        planes: One plane per depth, all of one shape.
    """

    def __init__(self, planes: Sequence[Samples]) -> None:
        self.planes = planes

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W)."""
        return self.planes[0].shape

    def read(self, window: Window) -> NDArray[Any]:
        """Read a window, [C, h, w]; NaNs are ignored if another plane has a value."""
        brightest = np.array(self.planes[0].read(window))
        for plane in self.planes[1:]:
            np.fmax(brightest, plane.read(window), out=brightest)
        return brightest


class FileImage(ImageSource):
    """One plane of an image file.

    Args:
        path: The file.
        samples: All its channels.
        name: Its name in results.
        is_colour: Whether the channels are RGB(A).
        channel: The channel to read; None reads the luminance of colour, else all channels.
        pixel_size_um: Micrometres per pixel (row, column), if known.
        frame: Its index among the planes of its position, time before depth, counted from 0; None
            for a single plane.

    Raises:
        ImageError: It has no such channel.
    """

    def __init__(
        self,
        path: Path,
        samples: Samples,
        *,
        name: str | None = None,
        is_colour: bool = False,
        channel: int | None = None,
        pixel_size_um: PixelSize | None = None,
        frame: int | None = None,
    ) -> None:
        count, height, width = samples.shape
        count = min(count, 3) if is_colour else count
        if channel is not None and not 0 <= channel < count:
            raise ImageError(
                f"{path} has no channel {channel}: it has {count}, counted from 0",
                file=path,
                key="channel",
                found=channel,
                expected=count,
            )
        self.path = path
        self.name = path.stem if name is None else name
        self.shape = (height, width)
        self.pixel_size_um = pixel_size_um
        self.frame = frame
        self._samples = samples
        self.is_colour = is_colour
        self._is_luminance = is_colour and channel is None
        self._taken = slice(0, count) if channel is None else slice(channel, channel + 1)
        self.channels = 1 if self._is_luminance or channel is not None else count

    def read_raw(self, window: Window) -> NDArray[np.float32]:
        """Read a window; see `ImageSource.read_raw`.

        Raises:
            ImageError: The file contains pixels that cannot be decoded.
        """
        # A double beyond float32 becomes infinite, and `read` replaces non-finite values.
        with np.errstate(over="ignore"):
            pixels = self._samples.read(window)[self._taken].astype(np.float32)
        if self._is_luminance:
            # Not a matrix product, whose rounding would depend on the window.
            pixels = pixels * LUMINANCE[:, None, None]
            pixels = (pixels[0] + pixels[1] + pixels[2])[None]
        return pixels


def check_size(path: Path, size: tuple[int, int], pixel_limit: int) -> None:
    """Check the size of an image before its pixels are read.

    Raises:
        ImageError: A side is 0, or H x W exceeds the limit.
    """
    height, width = size
    if min(height, width) < 1:
        raise ImageError(
            f"{path} has no pixels: it is {width} x {height}",
            file=path,
            key="pixels",
            found=tuple(size),
        )
    if height * width > pixel_limit:
        raise ImageError(
            f"{path} has {width} x {height} pixels, more than the limit of {pixel_limit:,}: "
            "`bigkingxxl predict` reads images of any size as tiled TIFF or OME-Zarr",
            file=path,
            key="pixels",
            found=tuple(size),
            expected=pixel_limit,
        )
