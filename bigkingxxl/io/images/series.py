"""The planes of a file over time, depth and position, and the selection of planes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bigkingxxl.errors import ImageError, InputError
from bigkingxxl.images import ImageSource
from bigkingxxl.io.images.file_image import (
    BrightestOfDepth,
    BrokenSamples,
    FileImage,
    PixelSize,
    Samples,
)

Index = int | str | slice
WHOLE_NUMBER = re.compile(r"\d{1,9}")
RANGE = re.compile(r"(\d{1,9})?:(\d{1,9})?")


@dataclass(frozen=True)
class ImageSeries:
    """The planes of one position of a file, all of one size.

    Attributes:
        shape: (H, W) of every plane.
        plane: Returns the plane [C, H, W] at (frame, depth), counted from 0; may raise
            `ImageError`.
        channels: The number of channels C, including alpha.
        frames: The number of time points.
        depth: The number of planes of a z-stack.
        is_colour: Whether the channels are RGB(A).
        pixel_size_um: Micrometres per pixel (row, column), or None if the file does not give it.
    """

    shape: tuple[int, int]
    plane: Callable[[int, int], Samples]
    channels: int = 1
    frames: int = 1
    depth: int = 1
    is_colour: bool = False
    pixel_size_um: PixelSize | None = None


@dataclass(frozen=True)
class PlaneChoice:
    """The planes of a file to open, as given by command line options.

    Attributes:
        channel: The channel, counted from 0; None takes all (of colour images the luminance).
        frames: None or 'all', a number, or a half-open range 'first:end'.
        z: None (a z-stack is then refused), 'all', 'mid', 'max' (the maximum projection), a number
            or a range.
        position: A number; None takes all.
    """

    channel: int | None = None
    frames: Index | None = None
    z: Index | None = None
    position: int | None = None

    def check(self) -> None:
        """Check the options independently of a file.

        Raises:
            InputError: An option is not a known word, a number or a range.
        """
        _taken("frames", self.frames, 1, ("all",))
        _taken("z", self.z, 1, ("all", "mid", "max"))


def images_of(
    path: Path, series: Sequence[ImageSeries], choice: PlaneChoice, name: str
) -> list[ImageSource]:
    """Return the images of a file, ordered by position, time and depth.

    A file with one plane gives one image called `name`. Otherwise the name contains the position of
    each plane on the axes with more than one entry, such as `name_p01_t003_z02`.

    Raises:
        ImageError: The file does not have a selected plane, it is a z-stack without a selection, or
            its only plane cannot be read. One of several planes that cannot be read raises the
            error when it is read.
        InputError: See `PlaneChoice.check`.
    """
    positions = range(len(series))
    if choice.position is not None:
        if choice.position not in positions:
            raise ImageError(
                _absent(path, "position", choice.position, len(series)),
                file=path,
                key="position",
                found=choice.position,
                expected=len(series),
            )
        positions = range(choice.position, choice.position + 1)
    places = [
        (position, frame, depth)
        for position in positions
        for frame in _frames(path, series[position], choice.frames)
        for depth in _depths(path, series[position], choice.z)
    ]
    if not places:
        raise ImageError(
            f"{path} has no frame in {choice.frames}", file=path, key="frame", found=choice.frames
        )
    alone = len(places) == 1
    return [_image(path, series, place, choice, name, alone=alone) for place in places]


def _image(
    path: Path, series: Sequence[ImageSeries], place: tuple[int, int, tuple[int, ...]],
    choice: PlaneChoice, name: str, *, alone: bool,
) -> ImageSource:  # fmt: skip
    position, frame, depths = place
    one = series[position]
    try:
        planes = [one.plane(frame, depth) for depth in depths]
        samples = planes[0] if len(planes) == 1 else BrightestOfDepth(planes)
    except ImageError as error:
        if alone:
            raise
        samples = BrokenSamples((one.channels, *one.shape), error)
    full = name + "".join(_marks(series, place))
    within = frame * one.depth + depths[0] if len(depths) == 1 else frame
    is_alone = (one.frames if len(depths) > 1 else one.frames * one.depth) == 1
    return FileImage(path, samples, name=full, is_colour=one.is_colour, channel=choice.channel,
                     pixel_size_um=one.pixel_size_um,
                     frame=None if is_alone else within)  # fmt: skip


def _marks(series: Sequence[ImageSeries], place: tuple[int, int, tuple[int, ...]]) -> Iterator[str]:
    """Yield the marks that distinguish an image from others of its file, with leading zeros."""
    position, frame, depths = place
    frames, depth = series[position].frames, series[position].depth
    if len(series) > 1:
        yield f"_p{position:0{max(2, len(str(len(series) - 1)))}d}"
    if frames > 1:
        yield f"_t{frame:0{max(3, len(str(frames - 1)))}d}"
    if depth > 1 and len(depths) == 1:
        yield f"_z{depths[0]:0{max(2, len(str(depth - 1)))}d}"


def _frames(path: Path, series: ImageSeries, frames: Index | None) -> Sequence[int]:
    chosen = _taken("frames", frames, series.frames, ("all",))
    if isinstance(chosen, int):
        raise ImageError(
            _absent(path, "frame", chosen, series.frames),
            file=path,
            key="frame",
            found=chosen,
            expected=series.frames,
        )
    return range(series.frames) if isinstance(chosen, str) else chosen


def _depths(path: Path, series: ImageSeries, z: Index | None) -> list[tuple[int, ...]]:
    """Return the depths of each image: one, or all for a projection."""
    if z is None and series.depth > 1:
        raise ImageError(
            f"{path} is a z-stack of {series.depth} planes: choose with --z max (their maximum), "
            f"--z mid, --z N (0 to {series.depth - 1}) or --z all",
            file=path,
            key="z",
            found=series.depth,
        )
    chosen = _taken("z", z, series.depth, ("all", "mid", "max"))
    if isinstance(chosen, int):
        raise ImageError(
            _absent(path, "z plane", chosen, series.depth),
            file=path,
            key="z",
            found=chosen,
            expected=series.depth,
        )
    if chosen == "max":
        return [tuple(range(series.depth))]
    if chosen == "mid":
        return [(series.depth // 2,)]
    return [(depth,) for depth in (range(series.depth) if isinstance(chosen, str) else chosen)]


def _taken(
    option: str, index: Index | None, count: int, words: tuple[str, ...]
) -> range | str | int:
    """Return what an option selects: a word, the existing entries, or a missing number.

    Raises:
        InputError: It is not a known word, a number or a range.
    """
    text = "all" if index is None else index if not isinstance(index, str) else index.strip()
    if isinstance(text, slice):
        if text.step in (None, 1) and min(text.start or 0, text.stop or 0) >= 0:
            return range(*text.indices(count))
    elif isinstance(text, int) or WHOLE_NUMBER.fullmatch(text):
        place = int(text)
        if place >= 0:
            return range(place, place + 1) if place < count else place
    elif text in words:
        return text
    elif found := RANGE.fullmatch(text):
        first, end = (int(part) if part else None for part in found.groups())
        return range(*slice(first, end).indices(count))
    known = ", ".join(f"'{word}'" for word in words)
    raise InputError(
        f"--{option} is '{index}', expected {known}, a number or a range like 0:10",
        key=f"--{option}",
        found=index,
    )


def _absent(path: Path, what: str, place: int, count: int) -> str:
    has = f"it has {count}" if count > 1 else "it has 1"
    return f"{path} has no {what} {place}: {has}, counted from 0"


def check_single(path: Path, count: int) -> None:
    """Check that a file has a single plane.

    Raises:
        ImageError: It has several.
    """
    if count > 1:
        raise ImageError(
            f"{path} contains {count} images (a time-lapse, several positions or a z-stack), "
            "expected one: save each image in a separate file, or choose one by frame, position "
            "and z",
            file=path,
            key="images",
            found=count,
            expected=1,
        )
