"""One series of a TIFF: the meaning of its axes, its channels and colours, and its planes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import ImageError
from bigkingxxl.io.images.file_image import PixelSize, Samples, check_size
from bigkingxxl.io.images.series import ImageSeries
from bigkingxxl.io.images.tiff_checks import check_length, check_segments
from bigkingxxl.io.images.tiff_planes import (
    JPEGS,
    FirstChannels,
    InvertedPlane,
    PalettePlane,
    SegmentedPlane,
    StackedPlanes,
    UncompressedPlane,
)
from bigkingxxl.io.images.tile_cache import DecodedTileCache

GRAY, RGB, PALETTE, YCBCR, APERIO_YCBCR = (0, 1, 4), 2, 3, 6, 33003
WHITE_IS_ZERO, PHOTOMETRIC = 0, 262
ALPHA = (1, 2)
FRAMES, DEPTH, CHANNEL = "TIQ", "Z", "C"
NARROWEST = 4  # a 'plane' with fewer columns has its channels last


@dataclass
class TiffSeries:
    """One series of a TIFF while the file is open; its results need no open file.

    Attributes:
        path: The file that was opened; the planes may be in other files beside it.
        series: The `tifffile.TiffPageSeries`.
        byteorder: '<' or '>', the byte order of the file.
        cache: The decoded parts of the file, shared by its series.
        pixel_size_um: Micrometres per pixel (row, column), or None.
        pixel_limit: The largest number of pixels of a plane.
        as_stored: Whether palettes and inverted values are left unchanged.
    """

    path: Path
    series: Any
    byteorder: str
    cache: DecodedTileCache
    pixel_size_um: PixelSize | None
    pixel_limit: int
    as_stored: bool = False

    def __post_init__(self) -> None:
        self.keyframe = self.series.keyframe
        separate, depth, height, width, interleaved = map(int, self.keyframe.shaped)
        self.stored = (separate, height, width, interleaved)
        if depth > 1:
            raise ImageError(f"{self.path} contains volumes, expected planes", file=self.path)
        axes = str(self.series.get_axes(squeeze=False))
        shape = [int(side) for side in self.series.get_shape(squeeze=False)]
        self._set_outer(axes, shape)
        check_size(self.path, self.stored[1:3], self.pixel_limit)
        dtype = self.keyframe.dtype
        if dtype is None or dtype.kind not in "buif":
            raise ImageError(
                f"{self.path} contains samples of type {dtype}, expected real numbers",
                file=self.path,
                key="dtype",
                found=dtype,
            )
        self._check_colours()

    def _set_outer(self, axes: str, shape: list[int]) -> None:
        """Find the axes that enumerate planes, and reorder planes whose channels are last."""
        sides = dict(zip(axes, shape, strict=True)) if len(set(axes)) == len(axes) else {}
        self.is_channels_last = _is_channels_last(axes, shape, self.stored)
        if self.is_channels_last:
            height, width, channels = shape[-3:]
            self.stored = (1, height, width, channels)
            outer = list(zip(axes[:-3], shape[:-3], strict=True))
        else:
            outer = [(a, n) for a, n in zip(axes, shape, strict=True) if a not in "YXS"]
        plane = math.prod(self.stored)
        count = math.prod(shape) // plane if plane else 1
        if sides and math.prod(n for _, n in outer) == count:
            self.outer = outer
        else:  # the axes contradict the content of the pages
            self.outer = [("I", max(count, 1))]

    def as_series(self) -> ImageSeries:
        """Return an `ImageSeries`; all planes are located now, while the file is open."""
        sizes = self.sizes
        planes: dict[tuple[int, int], Samples | ImageError] = {}
        for frame in range(sizes["frames"]):
            for depth in range(sizes["depth"]):
                try:
                    planes[frame, depth] = self.plane(frame, depth)
                except ImageError as error:
                    planes[frame, depth] = error
        return ImageSeries(
            shape=self.stored[1:3],
            plane=partial(_located, planes),
            channels=self.channels,
            frames=sizes["frames"],
            depth=sizes["depth"],
            is_colour=self.is_colour,
            pixel_size_um=self.pixel_size_um,
        )

    @property
    def sizes(self) -> dict[str, int]:
        """The lengths of the axes of time, depth and channel; other axes count as time."""
        sizes = {"frames": 1, "depth": 1, "channels": 1}
        for axis, count in self.outer:
            sizes[_role(axis)] *= count
        return sizes

    @property
    def channels(self) -> int:
        """The number of channels."""
        if self.as_stored or self.keyframe.photometric != PALETTE:
            return self.sizes["channels"] * self._kept_samples()
        return 3

    @property
    def is_colour(self) -> bool:
        """Whether the channels are RGB without further samples except alpha."""
        if self.is_channels_last or self.sizes["channels"] > 1:
            return False
        samples = self._kept_samples()
        is_rgb = self.keyframe.photometric in (RGB, YCBCR) and samples == 3
        return is_rgb or (self.keyframe.photometric == PALETTE and not self.as_stored)

    def plane(self, frame: int, depth: int) -> Samples:
        """Return all channels of one plane, checked as far as the header allows."""
        places = self._places(frame, depth)
        planes = [self._shown(self._page(int(place))) for place in places]
        return planes[0] if len(planes) == 1 else StackedPlanes(planes)

    def _places(self, frame: int, depth: int) -> NDArray[np.int64]:
        """Return the planes of the series that are the channels of one image."""
        counts = [count for _, count in self.outer]
        numbers = np.arange(math.prod(counts)).reshape(counts or [1])
        roles = [_role(axis) for axis, _ in self.outer] or ["frames"]
        order = [
            i for role in ("frames", "depth", "channels") for i, r in enumerate(roles) if r == role
        ]
        sizes = self.sizes
        table = numbers.transpose(order).reshape(sizes["frames"], sizes["depth"], sizes["channels"])
        return np.asarray(table[frame, depth])

    def _page(self, place: int) -> Samples:
        keyframe, series = self.keyframe, self.series
        if self.is_channels_last or (len(series._pages) == 1 and self._count > 1):
            if series.dataoffset is None:
                raise self._undecided()
            offset = int(series.dataoffset) + place * self._bytes
            return self._uncompressed(self.path, offset, keyframe)
        page = series.pages[place]
        if page is None:
            raise ImageError(
                f"{self.path} is incomplete: its plane {place}, or the file with it, is missing",
                file=self.path,
                key="planes",
                found=place,
            )
        path = Path(page.parent.filehandle.path)
        path = self.path if path.name == self.path.name else path
        if page.keyframe.shaped != keyframe.shaped:
            raise ImageError(f"{path} has pages whose size differs from {self.path}", file=path)
        if page.keyframe.is_final and page.is_contiguous and len(page.dataoffsets):
            return self._uncompressed(path, int(page.dataoffsets[0]), page.keyframe)
        check_segments(path, page)
        return SegmentedPlane(path, page, self.cache)

    @property
    def _count(self) -> int:
        return math.prod(count for _, count in self.outer)

    @property
    def _bytes(self) -> int:
        return math.prod(self.stored) * int(np.dtype(self.keyframe.dtype).itemsize)

    def _uncompressed(self, path: Path, offset: int, keyframe: Any) -> UncompressedPlane:
        # tifffile's dtype has the byte order of the machine, which may differ from that of the
        # file.
        order = str(keyframe.parent.byteorder)
        check_length(path, offset + self._bytes)
        dtype = np.dtype(keyframe.dtype).newbyteorder(order)
        return UncompressedPlane(path, offset, dtype, self.stored)

    def _undecided(self) -> ImageError:
        _, height, width, channels = self.stored
        return ImageError(
            f"{self.path} may contain {height} planes of {width} x {channels}, or {channels} "
            f"channels of {width} x {height}: save it with its channels first (axes 'CYX')",
            file=self.path,
            key="axes",
            found=(height, width, channels),
        )

    def _check_colours(self) -> None:
        """Refuse colours whose values would be misinterpreted."""
        photometric, compression = int(self.keyframe.photometric), int(self.keyframe.compression)
        if photometric in (*GRAY, RGB):
            known = compression != APERIO_YCBCR
        elif photometric == YCBCR:
            known = compression in (6, *JPEGS)
        else:
            known = photometric == PALETTE and self.keyframe.colormap is not None
        if not known and not (self.as_stored and photometric == PALETTE):
            name = getattr(self.keyframe.photometric, "name", photometric)
            name = "YCbCr" if compression == APERIO_YCBCR else name
            raise ImageError(
                f"{self.path} stores its colours as {name}, which is not read: "
                "save it as gray or RGB",
                file=self.path,
                key="colours",
                found=name,
                expected=("gray", "RGB"),
            )

    def _kept_samples(self) -> int:
        """Return the number of samples per pixel without alpha, which is the last one."""
        samples = self.stored[0] * self.stored[3]
        extra = self.keyframe.extrasamples or ()
        alphas = sum(int(kind) in ALPHA for kind in extra)
        return samples if self.as_stored or alphas >= samples else samples - alphas

    def _shown(self, plane: Samples) -> Samples:
        """Return the plane without alpha and palette, with white as the high value."""
        keyframe = self.keyframe
        if self.as_stored:
            return plane
        if keyframe.photometric == PALETTE:
            return PalettePlane(self.path, plane, keyframe.colormap)
        if self._kept_samples() < plane.shape[0]:
            plane = FirstChannels(plane, self._kept_samples())
        is_white_zero = keyframe.photometric == WHITE_IS_ZERO and PHOTOMETRIC in keyframe.tags
        if is_white_zero and np.dtype(keyframe.dtype).kind in "ub":
            return InvertedPlane(plane, (1 << int(keyframe.bitspersample)) - 1)
        return plane


def _located(
    planes: dict[tuple[int, int], Samples | ImageError], frame: int, depth: int
) -> Samples:
    plane = planes[frame, depth]
    if isinstance(plane, ImageError):
        raise plane
    return plane


def _role(axis: str) -> str:
    """Return what an axis of a series enumerates; axes other than depth and channel are time."""
    return {DEPTH: "depth", CHANNEL: "channels"}.get(axis, "frames")


def _is_channels_last(axes: str, shape: Sequence[int], stored: tuple[int, int, int, int]) -> bool:
    """Return whether the pages of a series are rows of pixels by channels.

    tifffile writes an array [H, W, C] in this way: as H planes of W x C.
    """
    if len(shape) < 3 or stored[0] * stored[3] != 1 or tuple(shape[-2:]) != stored[1:3]:
        return False
    if axes[-3:] in ("YXC", "YXS"):
        return True
    return axes[-3:] == "QYX" and shape[-1] <= NARROWEST < min(shape[-3:-1])
