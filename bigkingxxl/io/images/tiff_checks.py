"""Check the claims of a TIFF against the file before memory is allocated."""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np

from bigkingxxl.errors import ImageError

log = logging.getLogger(__name__)

MOST_PLANES = 1 << 22
# The largest expansion per byte, which a constant image comes close to; others are not limited.
LARGEST_RATIO = {1: 1, 5: 4096, 8: 1040, 32946: 1040, 50000: 1 << 16, 34926: 1 << 16, 32773: 64}
SPARE_BYTES = 1 << 16
JPEG_2000 = (33003, 33004, 33005, 34712)
JPEGS = (7, 34892, 33007)
START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def check_chain(path: Path, tiff: Any) -> bool:
    """Follow the chain of pages of a file once; return whether it ends within the file.

    A chain that leads beyond the end of the file causes a warning, and its pages up to there are
    read.

    Args:
        path: The file.
        tiff: An open `tifffile.TiffFile`.

    Raises:
        ImageError: The chain is circular.
    """
    form, stream = tiff.tiff, tiff.filehandle
    seen: set[int] = set()
    stream.seek(4 if form.version == 42 else 8)
    while len(seen) < MOST_PLANES:
        field = stream.read(form.offsetsize)
        offset = stream.size
        if len(field) == form.offsetsize:
            (offset,) = struct.unpack(form.offsetformat, field)
        if offset in seen:
            raise ImageError(
                f"{path} is damaged: its list of pages is circular", file=path, key="pages"
            )
        if offset == 0:
            return True
        if offset >= stream.size:
            log.warning("%s is truncated: its list of pages points beyond the end of the file; "
                        "%d pages are read",
                        path, len(seen))  # fmt: skip
            return False
        seen.add(offset)
        stream.seek(offset)
        number = stream.read(form.tagnosize)
        tags = struct.unpack(form.tagnoformat, number)[0] if len(number) == form.tagnosize else 0
        stream.seek(offset + form.tagnosize + tags * form.tagsize)
    return True


def check_ome(path: Path, xml: str) -> list[str]:
    """Return the files of an OME-TIFF series in order, as named in its XML.

    Raises:
        ImageError: More planes are claimed than a file can contain, or a file is elsewhere.
    """
    names: dict[str, None] = {}
    for element in ome_elements(xml):
        tag = element.tag.rpartition("}")[2]
        if tag == "Pixels":
            claimed = 1
            for axis in "ZCT":
                claimed *= max(_number(element, f"Size{axis}"), 1)
            _check_planes(path, claimed)
        elif tag == "TiffData":
            _check_planes(path, _number(element, "PlaneCount") + _number(element, "NumPlanes"))
        elif tag == "BinaryOnly":
            log.warning("%s refers to %s for the meaning of its planes, and that file is not "
                        "read: the planes are used as frames, in the order of the file",
                        path, element.get("MetadataFile"))  # fmt: skip
        elif tag == "UUID" and element.get("FileName"):
            names.setdefault(str(element.get("FileName")))
    for name in names:
        place = path.parent / name
        if Path(name).name != name:
            raise ImageError(
                f"{path} refers to a file in another folder ({name}), expected a file name",
                file=path,
                key="OME",
                found=name,
            )
        if place.exists() and not place.is_file():
            raise ImageError(
                f"{path} refers to a part that is not a file: {place}",
                file=path,
                key="OME",
                found=place,
            )
    return list(names)


def ome_elements(xml: str) -> Iterator[ET.Element]:
    """Yield the elements of OME metadata in order; none if it is not XML."""
    try:
        yield from ET.fromstring(xml).iter()
    except ET.ParseError:
        return


def _number(element: ET.Element, name: str) -> int:
    text = element.get(name, "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def _check_planes(path: Path, claimed: int) -> None:
    if claimed > MOST_PLANES:
        raise ImageError(
            f"{path} is damaged: its header claims {claimed:,} planes",
            file=path,
            key="planes",
            found=claimed,
        )


def check_length(path: Path, end: int) -> None:
    """Check that a file has all bytes up to `end`.

    Raises:
        ImageError: It is shorter.
    """
    length = path.stat().st_size
    if end > length:
        raise ImageError(
            f"{path} is truncated: it has {length:,} bytes and needs {end:,}",
            file=path,
            key="bytes",
            found=length,
            expected=end,
        )


def check_segments(path: Path, page: Any) -> None:
    """Check the claimed size of each strip or tile against its bytes in the file.

    Raises:
        ImageError: One extends beyond the end of the file, or cannot contain its pixels.
    """
    keyframe = page.keyframe
    offsets = np.asarray(page.dataoffsets[: len(page.databytecounts)], np.uint64)
    counts = np.asarray(page.databytecounts[: len(offsets)], np.uint64)
    # Beyond 2 ** 63 the sum would overflow.
    end = int((offsets.clip(max=1 << 62) + counts.clip(max=1 << 62)).max(initial=0))
    check_length(path, end)
    ratio = LARGEST_RATIO.get(int(keyframe.compression))
    if ratio is None or not len(counts):
        return
    samples = int(keyframe.shaped[-1])
    if keyframe.is_tiled:
        pixels = int(keyframe.tilelength) * int(keyframe.tilewidth)
    else:
        height = int(keyframe.imagelength)
        pixels = min(int(keyframe.rowsperstrip), height) * int(keyframe.imagewidth)
    bits = int(keyframe.bitspersample) * samples
    needed = pixels * bits // 8
    fullest = int(counts.max())
    if fullest and needed > fullest * ratio + SPARE_BYTES:
        raise ImageError(
            f"{path} is damaged: {fullest:,} bytes cannot hold the {pixels:,} pixels that it "
            "claims",
            file=path,
            key="bytes",
            found=fullest,
            expected=pixels,
        )


def check_codestream(path: Path, compression: int, data: bytes, size: tuple[int, int]) -> None:
    """Check the size that a JPEG or JPEG 2000 in a TIFF claims against that of its tile.

    Args:
        path: The file.
        compression: The compression of the TIFF.
        data: The compressed bytes.
        size: (H, W) of the tile.

    Raises:
        ImageError: It claims far more pixels.
    """
    claimed: tuple[int, int] | None = None
    if compression in JPEG_2000:
        claimed = jpeg_2000_size(data)
    elif compression in JPEGS:
        claimed = jpeg_size(data)
    if claimed is not None and claimed[0] * claimed[1] > 4 * max(size[0] * size[1], 1 << 16):
        raise ImageError(
            f"{path} is damaged: a part of {size[1]} x {size[0]} pixels claims "
            f"{claimed[1]} x {claimed[0]}",
            file=path,
            key="pixels",
            found=tuple(claimed),
            expected=tuple(size),
        )


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Return (H, W) of the first frame of a JPEG, or None."""
    place = 2
    while place + 9 <= len(data) and data[place] == 0xFF:
        kind = data[place + 1]
        if kind in START_OF_FRAME:
            height, width = struct.unpack(">HH", data[place + 5 : place + 9])
            return height, width
        if kind == 0xFF:
            place += 1
            continue
        place += 2 + struct.unpack(">H", data[place + 2 : place + 4])[0]
    return None


def jpeg_2000_size(data: bytes) -> tuple[int, int] | None:
    """Return (H, W) of a JPEG 2000 codestream, bare or in boxes, or None."""
    start = data.find(b"\xff\x4f\xff\x51", 0, 1 << 16)
    if start < 0 or len(data) < start + 24:
        return None
    width, height, left, top = struct.unpack(">IIII", data[start + 8 : start + 24])
    return max(height - top, 0), max(width - left, 0)
