"""TIFF files as image sources: any page or channel, read by window."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import BigKingXXLError, ImageError
from bigkingxxl.geometry import whole
from bigkingxxl.io.images.file_image import FileImage, Samples, check_size
from bigkingxxl.io.images.tiff_pixel_size import pixel_size_um
from bigkingxxl.io.images.tiff_samples import (
    InvertedPlane,
    MappedPlane,
    PalettePlane,
    PillowPlane,
    Recent,
    SegmentedPlane,
    StackedPlanes,
)

PLANE_AXES = "YXS"
WHITE_IS_ZERO, RGB, PALETTE, YCBCR = 0, 2, 3, 6
UNCOMPRESSED = 1


def open_tiff(
    path: Path, *, channel: int | None = None, page: int = 0, pixel_limit: int
) -> FileImage:
    """One frame of a TIFF; see `image_files.open_image`."""
    with _opened(path) as tiff:
        frames = _frames(tiff)
        if not 0 <= page < len(frames):
            raise ImageError(f"{path} has no page {page}: it has {len(frames)}, counted from 0")
        reader = _Reader(path, tiff, Recent())
        return reader.image(frames[page], channel, pixel_limit)


def open_tiff_frames(path: Path, *, channel: int | None, pixel_limit: int) -> list[FileImage]:
    """All frames of a TIFF: every series, time and depth; channels stay together."""
    with _opened(path) as tiff:
        reader = _Reader(path, tiff, Recent())
        return [reader.image(frame, channel, pixel_limit) for frame in _frames(tiff)]


def read_stored(path: Path, pixel_limit: int) -> NDArray[Any]:
    """[C, H, W] of the first frame as stored: palettes are not looked up, nothing is inverted."""
    with _opened(path) as tiff:
        reader = _Reader(path, tiff, Recent())
        frame = _frames(tiff)[0]
        samples = reader.samples(frame, pixel_limit, as_stored=True)
    return samples.read(whole(samples.shape[1:]))


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """An open `tifffile.TiffFile`; whatever it cannot make sense of is an ImageError."""
    import tifffile

    # Its complaints about a damaged file would stand beside our one sentence.
    log = logging.getLogger("tifffile")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        with tifffile.TiffFile(path) as tiff:
            yield tiff
    except BigKingXXLError:
        raise
    except Exception as error:  # the parser raises anything on damaged bytes
        raise ImageError(f"{path} is not a TIFF that can be read ({error})") from error
    finally:
        log.setLevel(level)


@dataclass(frozen=True)
class _Frame:
    """One image of a file: the places of its channels' planes in one series."""

    series: Any
    planes: tuple[int, ...]


def _frames(tiff: Any) -> list[_Frame]:
    """The images of a file, in order."""
    return [frame for series in tiff.series for frame in _frames_of(series)]


def _frames_of(series: Any) -> list[_Frame]:
    """The images of one series: all axes but the plane's own and the channel's run over them."""
    if series.keyframe.size == 0 or series.size == 0:
        return [_Frame(series, (0,))]
    count = series.size // series.keyframe.size
    axes, shape = series.get_axes(squeeze=False), series.get_shape(squeeze=False)
    outer = [(a, int(n)) for a, n in zip(axes, shape, strict=True) if a not in PLANE_AXES]
    places = np.arange(count)
    sizes = [n for _, n in outer]
    if math.prod(sizes) == count and "C" in (names := [a for a, _ in outer]):
        channel = names.index("C")
        places = np.moveaxis(places.reshape(sizes), channel, -1).reshape(-1, sizes[channel])
    else:
        places = places[:, None]
    return [_Frame(series, tuple(row)) for row in places.tolist()]


class _Reader:
    """Makes images of frames; all of one file share the strips decoded last."""

    def __init__(self, path: Path, tiff: Any, recent: Recent) -> None:
        self.path, self.tiff, self.recent = path, tiff, recent
        self.length = path.stat().st_size
        self.pixel_size_um = pixel_size_um(tiff)

    def image(self, frame: _Frame, channel: int | None, pixel_limit: int) -> FileImage:
        samples = self.samples(frame, pixel_limit)
        # Palettes have been looked up; Pillow has turned other colour spaces into red, green, blue.
        colours = (RGB, PALETTE, YCBCR)
        is_colour = frame.series.keyframe.photometric in colours and samples.shape[0] >= 3
        return FileImage(self.path, samples, is_colour=is_colour, channel=channel,
                         pixel_size_um=self.pixel_size_um)  # fmt: skip

    def samples(self, frame: _Frame, pixel_limit: int, *, as_stored: bool = False) -> Samples:
        """All channels of a frame, checked as far as the header shows."""
        keyframe = frame.series.keyframe
        _, depth, height, width, _ = keyframe.shaped
        check_size(self.path, (int(height), int(width)), pixel_limit)
        if depth > 1 or keyframe.dtype is None or keyframe.dtype.kind not in "buif":
            kind = "volumes" if depth > 1 else f"samples of type {keyframe.dtype}"
            raise ImageError(f"{self.path} holds {kind}, expected planes of real numbers")
        planes = [self._plane(frame.series, place) for place in frame.planes]
        if not as_stored:
            planes = [_shown(plane, keyframe) for plane in planes]
        return planes[0] if len(planes) == 1 else StackedPlanes(planes)

    def _plane(self, series: Any, place: int) -> Samples:
        keyframe = series.keyframe
        separate, _, height, width, interleaved = map(int, keyframe.shaped)
        # tifffile's own dtype is in the machine's byte order, the file's may be another.
        dtype = np.dtype(keyframe.dtype).newbyteorder(self.tiff.byteorder)
        if series.dataoffset is not None and keyframe.is_final:
            offset = int(series.dataoffset) + place * int(keyframe.nbytes)
            self._check_length(offset + int(keyframe.nbytes))
            return MappedPlane(self.path, offset, dtype, (separate, height, width, interleaved))
        page = series.pages[place]
        if page is None:
            raise ImageError(f"{self.path} is incomplete: its plane {place} is missing")
        self._check_length(_end(page))
        if not _can_decode(keyframe):
            return self._by_pillow(page)
        return SegmentedPlane(self.path, page, np.dtype(keyframe.dtype), self.recent)

    def _by_pillow(self, page: Any) -> PillowPlane:
        keyframe = page.keyframe
        _, _, height, width, _ = map(int, keyframe.shaped)
        channels = 3 if keyframe.photometric in (RGB, PALETTE, YCBCR) else 1
        plane = PillowPlane(self.path, page.index, (channels, height, width), self.recent)
        try:
            plane.check()
        except ImageError as error:
            name = getattr(keyframe.compression, "name", keyframe.compression)
            raise ImageError(f"{self.path} cannot be read: {name} compression of "
                             f"{keyframe.dtype} samples is not supported") from error  # fmt: skip
        return plane

    def _check_length(self, end: int) -> None:
        if end > self.length:
            raise ImageError(
                f"{self.path} is cut off: it has {self.length:,} bytes and needs {end:,}"
            )


def _shown(plane: Samples, keyframe: Any) -> Samples:
    """The plane with its palette looked up, or turned where white is stored as 0."""
    if isinstance(plane, PillowPlane):  # Pillow has done so
        return plane
    if keyframe.photometric == PALETTE and keyframe.colormap is not None:
        return PalettePlane(plane, keyframe.colormap)
    if keyframe.photometric == WHITE_IS_ZERO and keyframe.dtype.kind == "u":
        return InvertedPlane(plane)
    return plane


def _end(page: Any) -> int:
    """The byte after a page's last strip or tile."""
    spans = zip(page.dataoffsets, page.databytecounts, strict=False)
    return max((int(offset + count) for offset, count in spans), default=0)


def _can_decode(keyframe: Any) -> bool:
    """True where tifffile decodes the compression without further packages."""
    from tifffile import TIFF

    try:
        if keyframe.compression != UNCOMPRESSED:
            _ = TIFF.DECOMPRESSORS[keyframe.compression]
        if keyframe.predictor != 1:
            _ = TIFF.UNPREDICTORS[keyframe.predictor]
    except KeyError:
        return False
    return True
