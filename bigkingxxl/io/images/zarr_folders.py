"""OME-Zarr (0.4 and 0.5): folders of chunks, read by window at the finest level."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigkingxxl.errors import ImageError
from bigkingxxl.geometry import Window
from bigkingxxl.io.images.file_image import PixelSize, Samples, check_size
from bigkingxxl.io.images.read_errors import damage_reported, one_line
from bigkingxxl.io.images.reader import ImageReader
from bigkingxxl.io.images.series import ImageSeries
from bigkingxxl.io.images.tiff_pixel_size import length_um, pixel_size
from bigkingxxl.io.images.zarr_chunks import check_chunks

_one_at_a_time = Lock()
MARKS = (".zattrs", ".zgroup", ".zarray", "zarr.json")
VERSIONS = ("0.4", "0.5")
LARGEST_CHUNK = 1 << 31  # bytes
# Codecs of numcodecs that only rearrange numbers; others may unpickle, which runs code.
NUMBER_CODECS = frozenset((
    "blosc", "zlib", "gzip", "zstd", "lz4", "bz2", "lzma", "shuffle", "delta", "fixedscaleoffset",
    "packbits", "quantize", "astype", "bitround", "adler32", "crc32", "crc32c", "fletcher32",
))  # fmt: skip


def is_zarr(path: Path) -> bool:
    """Return whether a folder is a Zarr group or array."""
    return any((path / mark).is_file() for mark in MARKS)


def open_zarr(path: Path, pixel_limit: int) -> list[ImageSeries]:
    """Return the images of an OME-Zarr; the fields of a plate or of a converted file are positions.

    Raises:
        ImageError: It is not an OME-Zarr of these versions, is damaged, or above the limit.
    """
    import zarr

    _check_metadata(path)
    # Warning filters are process-wide: blocks of several threads would end in the wrong order.
    with _one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about unusual but readable metadata
        with damage_reported(path, "is not a Zarr group"):
            group = zarr.open_group(path, mode="r")
        return [_series(path, image, multiscale, pixel_limit)
                for image, multiscale in _images(path, group)]  # fmt: skip


def _check_metadata(path: Path) -> None:
    """Refuse metadata that are no files: reading a pipe would not end.

    Raises:
        ImageError: There are such metadata in the folder, or in a folder of it.
    """
    for name in MARKS:
        for file in (path / name, *path.glob(f"*/{name}")):
            if file.exists() and not file.is_file():
                raise ImageError(f"{path} is damaged: {file} is not a file", file=file)


def _images(path: Path, group: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the groups that contain an image, each with its first multiscale."""
    import yaozarrs

    attributes = group.attrs.asdict()
    is_newer = isinstance(attributes.get("ome"), Mapping)
    ome = attributes["ome"] if is_newer else attributes
    version = yaozarrs.v05 if is_newer else yaozarrs.v04
    if "multiscales" in ome:
        _check_version(path, ome, is_newer=is_newer)
        try:
            image = version.Image.model_validate(ome)
        except ValueError as error:
            raise ImageError(
                f"{path} violates the specification of OME-Zarr {'0.5' if is_newer else '0.4'} "
                f"({_first_rule(error)})",
                file=path,
            ) from error
        yield group, image.multiscales[0]
    elif "plate" in ome:
        for well in ome["plate"].get("wells", ()):
            yield from _images(path, _member(path, group, str(well["path"])))
    elif "well" in ome:
        for field in ome["well"].get("images", ()):
            yield from _images(path, _member(path, group, str(field["path"])))
    elif "bioformats2raw.layout" in ome:
        for name in sorted((name for name in group.group_keys() if name.isdigit()), key=int):
            yield from _images(path, group[name])
    else:
        raise ImageError(
            f"{path} is a Zarr folder without an OME-Zarr image (no 'multiscales')",
            file=path,
            key="multiscales",
        )


def _check_version(path: Path, ome: Mapping[str, Any], *, is_newer: bool) -> None:
    """Refuse the versions of OME-Zarr that are not read; metadata without a version pass.

    Raises:
        ImageError: The metadata state another version.
    """
    stated: Any = ome
    if not is_newer:  # until 0.4, each multiscale stated the version
        images = ome["multiscales"]
        stated = images[0] if isinstance(images, list) and images else None
    found = stated.get("version") if isinstance(stated, Mapping) else None
    if found is not None and found not in VERSIONS:
        raise ImageError(
            f"{path} is of version {found} of OME-Zarr, which is not read: convert it to version "
            f"{' or '.join(VERSIONS)}",
            file=path,
            key="version",
            found=found,
            expected=VERSIONS,
        )


def _member(path: Path, group: Any, name: str) -> Any:
    """Return a group or array that metadata name.

    Raises:
        ImageError: It does not exist.
    """
    try:
        return group[name]
    except KeyError as error:
        place = path / str(group.path) / name
        raise ImageError(
            f"{path} is incomplete: its metadata name {place}, where no Zarr array or group is",
            file=path,
            key="path",
            expected=name,
        ) from error


def _first_rule(error: ValueError) -> str:
    """Return where metadata break a rule first, and which rule."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return one_line(error)
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def _series(path: Path, group: Any, multiscale: Any, pixel_limit: int) -> ImageSeries:
    finest = multiscale.datasets[0]
    array = _member(path, group, finest.path)
    if array.ndim != len(multiscale.axes):
        raise ImageError(
            f"{path} has {array.ndim} axes, but its metadata name {len(multiscale.axes)}",
            file=path,
            key="axes",
            found=len(multiscale.axes),
            expected=array.ndim,
        )
    _check_array(path, array)
    height, width = map(int, array.shape[-2:])
    check_size(path, (height, width), pixel_limit)
    roles = [_role(axis) for axis in multiscale.axes[:-2]]
    sizes = dict.fromkeys(("frames", "depth", "channels"), 1)
    for role, count in zip(roles, array.shape[:-2], strict=True):
        sizes[role] *= int(count)
    return ImageSeries(
        (height, width), partial(_plane, path, array, tuple(roles)), channels=sizes["channels"],
        frames=sizes["frames"], depth=sizes["depth"], pixel_size_um=_pixel_size(multiscale),
    )  # fmt: skip


def _check_array(path: Path, array: Any) -> None:
    if np.dtype(array.dtype).kind not in "buif":
        raise ImageError(
            f"{path} contains values of type {array.dtype}, expected real numbers",
            file=path,
            key="dtype",
            found=array.dtype,
        )
    metadata = array.metadata
    if metadata.zarr_format == 2:
        codecs = [
            *(metadata.filters or ()),
            *([metadata.compressor] if metadata.compressor else []),
        ]
        names = [str(getattr(codec, "codec_id", codec)) for codec in codecs]
        strange = [name for name in names if name not in NUMBER_CODECS]
    else:
        names = [str(codec.to_dict().get("name", codec)) for codec in metadata.codecs]
        strange = [name for name in names if "pickle" in name or "json" in name]
    if strange:
        raise ImageError(
            f"{path} is compressed by '{strange[0]}', which is not read",
            file=path,
            key="codec",
            found=strange[0],
        )
    if int(np.prod(array.chunks, dtype=object)) * int(array.dtype.itemsize) > LARGEST_CHUNK:
        raise ImageError(
            f"{path} has chunks of {array.chunks}, larger than 2 GiB each",
            file=path,
            key="chunks",
            found=array.chunks,
        )


def _role(axis: Any) -> str:
    """Return what an axis before rows enumerates; axes other than depth and channel are time."""
    return {"space": "depth", "channel": "channels"}.get(str(axis.type), "frames")


def _pixel_size(multiscale: Any) -> PixelSize | None:
    """Return the pixel size of the finest level in the units of its axes; None without units."""
    scale = np.ones(len(multiscale.axes))
    finest = multiscale.datasets[0].coordinateTransformations
    for transform in (*finest, *(multiscale.coordinateTransformations or ())):
        if transform.type == "scale" and hasattr(transform, "scale"):
            scale = scale * np.array(transform.scale)
    sides = []
    for axis, factor in zip(multiscale.axes[-2:], scale[-2:], strict=True):
        unit = None if axis.unit is None else length_um(str(axis.unit))
        sides.append(None if unit is None else float(factor) * unit)
    return pixel_size(*sides)


@dataclass(frozen=True)
class ZarrPlane:
    """All channels of one plane of a Zarr array.

    Args:
        path: The folder.
        array: The array.
        places: The index on each axis except the last two; None for that of channels.
    """

    path: Path
    array: Any
    places: tuple[int | None, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W)."""
        channels = [
            n for n, place in zip(self.array.shape, self.places, strict=False) if place is None
        ]
        height, width = self.array.shape[-2:]
        return (int(channels[0]) if channels else 1, int(height), int(width))

    def read(self, window: Window) -> NDArray[Any]:
        """Read a window, [C, h, w].

        Raises:
            ImageError: A chunk cannot be decoded.
        """
        index = tuple(slice(None) if place is None else place for place in self.places)
        check_chunks(self.path, self.array, self.places, window)
        with damage_reported(self.path):
            pixels = np.asarray(self.array[(*index, *window.slices)])
        return pixels if pixels.ndim == 3 else pixels[None]


def _plane(path: Path, array: Any, roles: Sequence[str], frame: int, depth: int) -> Samples:
    places: list[int | None] = [None] * len(roles)
    for role, number in (("frames", frame), ("depth", depth)):
        axes = [axis for axis, each in enumerate(roles) if each == role]
        counts = [int(array.shape[axis]) for axis in axes]
        for axis, place in zip(axes, np.unravel_index(number, counts or (1,)), strict=False):
            places[axis] = int(place)
    return ZarrPlane(path, array, tuple(places))


READER = ImageReader(
    "OME-Zarr", (".zarr",), open_zarr, is_folder=is_zarr, packages=("zarr", "yaozarrs"),
    extra="zarr", by_window=True,
)  # fmt: skip
