"""What a file holds: planes over time and depth at one or several positions, and which to take."""

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
        plane: the plane [C, H, W] at (frame, depth), counted from 0; it may raise `ImageError`.
        channels: C, alpha included.
        frames, depth: how many points in time, how many planes of a z-stack.
        is_colour: the channels are red, green, blue and maybe alpha.
        pixel_size_um: micrometres per pixel (row, column), or None where the file does not say.
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
    """Which planes of a file become images, as the command line's options say it.

    Attributes:
        channel: counted from 0; None takes all channels (of colour the luminance).
        frames: None or 'all', a number, or a range 'first:end' that leaves out its end.
        z: None (a z-stack is then refused), 'all', 'mid', 'max' (the maximum projection), a number
            or a range.
        position: a number; None takes all.
    """

    channel: int | None = None
    frames: Index | None = None
    z: Index | None = None
    position: int | None = None

    def check(self) -> None:
        """Refuse what no file could answer.

        Raises:
            InputError: an option that is neither a word it knows, a number nor a range.
        """
        _taken("frames", self.frames, 1, ("all",))
        _taken("z", self.z, 1, ("all", "mid", "max"))


def images_of(
    path: Path, series: Sequence[ImageSeries], choice: PlaneChoice, name: str
) -> list[ImageSource]:
    """The images of a file, in the order position, time, depth.

    A file of one plane gives one image called `name`. Otherwise the name says the place of each
    plane in the file: `name_p01_t003_z02`, of those axes that have more than one place.

    Raises:
        ImageError: a place that the file does not have, a z-stack without a choice, or the only
            plane cannot be read. Of several planes one that cannot be read raises when it is.
        InputError: see `PlaneChoice.check`.
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
    """What tells an image from the others of its file; as many digits as the largest needs."""
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
    """The depths of each image: one, or all of a projection."""
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
    """The places that an option names: a word, those there are, or the number that is not there.

    Raises:
        InputError: it is neither a word, a number nor a range.
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
    """Refuse a file of several planes where one is needed.

    Raises:
        ImageError: there are several.
    """
    if count > 1:
        raise ImageError(
            f"{path} holds {count} images (a time-lapse, several positions or a z-stack), expected "
            "one: save each as a file of its own, or name one by its frame, position and z",
            file=path,
            key="images",
            found=count,
            expected=1,
        )
