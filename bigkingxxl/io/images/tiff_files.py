"""TIFF and formats based on it (OME, ImageJ, LSM, STK, SVS ...), decoded by tifffile."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from bigkingxxl.errors import ImageError
from bigkingxxl.geometry import whole
from bigkingxxl.io.images.read_errors import damage_reported
from bigkingxxl.io.images.reader import ImageReader
from bigkingxxl.io.images.series import ImageSeries, check_single
from bigkingxxl.io.images.tiff_checks import check_chain, check_ome
from bigkingxxl.io.images.tiff_pixel_size import pixel_sizes_um
from bigkingxxl.io.images.tiff_series import TiffSeries
from bigkingxxl.io.images.tile_cache import DecodedTileCache

log = logging.getLogger(__name__)
SUFFIXES = (".tif", ".tiff", ".btf", ".tf2", ".tf8", ".lsm", ".stk", ".svs", ".ndpi", ".qptiff",
            ".scn", ".bif", ".gel")  # fmt: skip


STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# In slide formats the first series is the slide; the others show the slide and its label.
SLIDES = ("svs", "ndpi", "scn", "bif", "qpi", "philips", "avs")


def is_tiff(start: bytes) -> bool:
    """Return whether a file begins like a TIFF."""
    return start.startswith(STARTS)


def open_tiff(path: Path, pixel_limit: int) -> list[ImageSeries]:
    """Return the series of a TIFF; its planes are read by window.

    Raises:
        ImageError: The file is damaged, truncated, above the limit, or has unsupported colours or
            types.
    """
    with _opened(path) as tiff:
        return [each.as_series() for each in _all_series(path, tiff, pixel_limit)]


def read_stored(path: Path, pixel_limit: int) -> NDArray[Any]:
    """Read the only plane as stored, [C, H, W], without resolving palettes or inverting.

    Raises:
        ImageError: See `open_tiff`; or there are several planes.
    """
    with _opened(path) as tiff:
        series = _all_series(path, tiff, pixel_limit, as_stored=True)
        sizes = [each.sizes for each in series if each.stored == series[0].stored]
        check_single(path, sum(size["frames"] * size["depth"] for size in sizes))
        samples = series[0].plane(0, 0)
    return samples.read(whole(samples.shape[1:]))


def parts_of(path: Path) -> list[str]:
    """Return the names of the files of an OME-TIFF series; none for other files."""
    import tifffile

    try:
        # What `check_ome` says is said when the image is opened.
        with silent(), silent(check_ome.__module__), tifffile.TiffFile(path) as tiff:
            return check_ome(path, tiff.ome_metadata) if tiff.is_ome else []
    except Exception:  # opening the image will report the error
        return []


def files_of(path: Path) -> list[Path]:
    """Return the files that an image is read from: the file, and the others of its OME-TIFF series.

    Raises:
        OSError: The file cannot be accessed.
    """
    status = path.stat()
    state = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return [path, *(other for other in _others_of(path, state) if other.is_file())]


@lru_cache(maxsize=1024)
def _others_of(path: Path, state: tuple[int, ...]) -> tuple[Path, ...]:  # noqa: ARG001 - a key
    if not path.is_file():
        return ()
    with path.open("rb") as stream:
        if not is_tiff(stream.read(len(STARTS[0]))):
            return ()
    return tuple(path.with_name(name) for name in parts_of(path) if name != path.name)


class _Silence(logging.Filter):
    """Suppresses all log records."""

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - the module's name
        return False


@contextmanager
def silent(name: str = "tifffile") -> Iterator[None]:
    """Suppress log messages of a module; those of tifffile would appear beside our errors."""
    # Each block has its own filter, because blocks of several threads may end in any order.
    log, silence = logging.getLogger(name), _Silence()
    log.addFilter(silence)
    try:
        yield
    finally:
        log.removeFilter(silence)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a `tifffile.TiffFile`; anything that it cannot interpret is an ImageError."""
    import tifffile

    with (
        damage_reported(path, "is not a TIFF that can be read"),
        silent(),
        tifffile.TiffFile(path) as tiff,
    ):
        for part in check_ome(path, tiff.ome_metadata) if tiff.is_ome else []:
            if part != path.name and (path.parent / part).exists():
                with tifffile.TiffFile(path.parent / part) as sibling:
                    check_chain(path.parent / part, sibling)
        yield tiff


def _all_series(
    path: Path, tiff: Any, pixel_limit: int, *, as_stored: bool = False
) -> list[TiffSeries]:
    is_whole = check_chain(path, tiff)
    _check_imagej(path, tiff, is_whole)
    sizes = pixel_sizes_um(tiff)
    pairs = list(zip(tiff.series, sizes, strict=True))
    if any(getattr(tiff, f"is_{kind}") for kind in SLIDES):
        pairs = pairs[:1]
    whole_ones = [pair for pair in pairs if not _is_smaller_copy(pair[0].keyframe)]
    cache = DecodedTileCache()
    return [
        TiffSeries(path, series, str(tiff.byteorder), cache, size, pixel_limit, as_stored)
        for series, size in whole_ones or pairs
    ]


def _check_imagej(path: Path, tiff: Any, is_whole: bool) -> None:
    """Refuse an ImageJ stack that claims more planes than there are, if its pages are truncated.

    Otherwise the description may be that of the stack from which it was taken: a warning.
    """
    if not tiff.is_imagej:
        return
    claimed = int((tiff.imagej_metadata or {}).get("images", 1))
    keyframe = tiff.series[0].keyframe
    there = sum(each.size for each in tiff.series) // max(int(keyframe.size), 1)
    if claimed > there:
        sentence = f"it contains {there} of the {claimed} planes that its header lists"
        if not is_whole:
            raise ImageError(f"{path} is truncated: {sentence}", file=path)
        log.warning("%s may be incomplete: %s", path, sentence)


def _is_smaller_copy(keyframe: Any) -> bool:
    return bool(keyframe.is_reduced or keyframe.is_mask)


READER = ImageReader("TIFF", SUFFIXES, open_tiff, begins=is_tiff, by_window=True)
