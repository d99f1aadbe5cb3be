"""Images on disk as `ImageSource`s: PNG, JPEG and BMP by Pillow, TIFF by window."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bigkingxxl.errors import ImageError, InputError
from bigkingxxl.images import ImageSource
from bigkingxxl.io.images.file_image import ArraySamples, FileImage, PixelSize

TIFF_SUFFIXES = (".tif", ".tiff")
IMAGE_SUFFIXES = (".png", *TIFF_SUFFIXES, ".jpg", ".jpeg", ".bmp")
DEFAULT_PIXEL_LIMIT = 1_000_000_000
# Of label images beside their image, the longer first.
MASK_ENDINGS = (
    "_cp_masks", "_masks", "_mask", "_labels", "_label", "-labels", "-label", "-masks", "-mask",
    "_seg",
)  # fmt: skip
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class ImageHeader(NamedTuple):
    """What a file says of its first image before any pixel is read.

    Attributes:
        shape: (H, W).
        pixel_size_um: micrometres a pixel (row, column), or None where the file does not say.
    """

    shape: tuple[int, int]
    pixel_size_um: PixelSize | None


def open_image(
    path: Path,
    *,
    channel: int | None = None,
    page: int | None = None,
    pixel_limit: int = DEFAULT_PIXEL_LIMIT,
) -> ImageSource:
    """One image of a file, in its own intensities, named after the file.

    Colour becomes luminance unless a channel is chosen; alpha is dropped; a file of other channels
    keeps them all. TIFFs are read by window, and never whole where their layout allows it.

    Args:
        channel: counted from 0.
        page: of a TIFF, counted from 0; the first by default.
        pixel_limit: H x W above it is refused.

    Raises:
        ImageError: the file is missing, empty, cut off, no image, has no pixels, more than the
            limit, or not that page or channel.
    """
    path = Path(path)
    if is_tiff(path):
        from bigkingxxl.io.images.tiff_files import open_tiff

        return open_tiff(path, channel=channel, page=page or 0, pixel_limit=pixel_limit)
    if page not in (None, 0):
        raise ImageError(f"{path} has no page {page}: it has 1, counted from 0")
    from bigkingxxl.io.images.pillow_files import read_pixels

    pixels, is_colour = read_pixels(path, pixel_limit)
    return FileImage(path, ArraySamples(pixels), is_colour=is_colour, channel=channel)


def open_frames(
    path: Path, *, channel: int | None = None, pixel_limit: int = DEFAULT_PIXEL_LIMIT
) -> list[ImageSource]:
    """Every page of a time-lapse, named stem_f0000, stem_f0001 ...; see `open_image`."""
    path = Path(path)
    frames: list[ImageSource]
    if is_tiff(path):
        from bigkingxxl.io.images.tiff_files import open_tiff_frames

        frames = [*open_tiff_frames(path, channel=channel, pixel_limit=pixel_limit)]
    else:
        frames = [open_image(path, channel=channel, pixel_limit=pixel_limit)]
    for index, frame in enumerate(frames):
        frame.name = f"{path.stem}_f{index:04d}"
    return frames


def read_header(path: Path, *, pixel_limit: int = DEFAULT_PIXEL_LIMIT) -> ImageHeader:
    """Size and pixel size of a file's first image; no pixel is decoded.

    Raises:
        ImageError: as in `open_image`, as far as the header shows it.
    """
    path = Path(path)
    if is_tiff(path):
        from bigkingxxl.io.images.tiff_files import open_tiff

        source = open_tiff(path, pixel_limit=pixel_limit)
        return ImageHeader(source.shape, source.pixel_size_um)
    from bigkingxxl.io.images.pillow_files import read_size

    return ImageHeader(read_size(path, pixel_limit), None)


def is_tiff(path: Path) -> bool:
    """True where a file begins as a TIFF does, whatever its name ends in.

    Raises:
        ImageError: it is missing, a folder, empty or cannot be opened.
    """
    if path.is_dir():
        raise ImageError(f"{path} is a folder, expected an image file")
    if not path.exists():
        raise ImageError(f"there is no image {path}")
    try:
        with path.open("rb") as stream:
            start = stream.read(4)
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror}") from error
    if not start:
        raise ImageError(f"{path} is empty (0 bytes), expected an image")
    return start in TIFF_STARTS


def find_images(places: Sequence[str | Path]) -> list[Path]:
    """The image files that files, folders and glob patterns name, sorted, each once.

    A folder gives the images directly in it; label images beside their image (`x_masks.tif` beside
    `x.png`) are left out there.

    Raises:
        InputError: a place that names nothing, or a folder without images.
    """
    found: dict[Path, Path] = {}
    for place in places:
        for path in _images_at(str(place)):
            found.setdefault(path.resolve(), path)
    return sorted(found.values())


def _images_at(place: str) -> list[Path]:
    path = Path(place).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        images, kind = images_in(path), "the folder"
    elif glob.has_magic(place):
        matches = glob.glob(str(path), recursive=True)  # noqa: PTH207 - patterns may be absolute
        images, kind = without_masks(sorted(filter(_is_image, map(Path, matches)))), "the pattern"
    else:
        raise InputError(f"there is no file or folder {place}")
    if not images:
        raise InputError(f"{kind} {place} holds no images (looked for {', '.join(IMAGE_SUFFIXES)})")
    return images


def images_in(folder: Path) -> list[Path]:
    """The image files directly in a folder, sorted, without label images beside their image."""
    return without_masks(all_images_in(folder))


def all_images_in(folder: Path) -> list[Path]:
    """The image files directly in a folder, sorted."""
    return sorted(path for path in folder.iterdir() if _is_image(path))


def _is_image(path: Path) -> bool:
    ending = path.suffix.lower()
    return ending in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()


def without_masks(paths: Sequence[Path]) -> list[Path]:
    """Those that are no label image (`x_masks.tif`) of another one (`x.png`)."""
    stems = {path.with_suffix("") for path in paths}
    return [path for path in paths if not _beside(path) & stems]


def _beside(path: Path) -> set[Path]:
    """The images, without ending, whose label image this one would be."""
    return {
        path.with_name(path.stem.removesuffix(ending))
        for ending in MASK_ENDINGS
        if path.stem.endswith(ending) and path.stem != ending
    }
